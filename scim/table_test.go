package scim_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster/scim"
)

var update = flag.Bool("update", false, "write the outputs in testdata/*.txt again")

// TestTables runs testdata/*.txt. A case is a command, its input, "----" and the
// output; a blank line ends it. The words of a command:
//
//	atlassian, standard, strict   the rule set, with rules changed: standard{"tolerant":false}
//	User, Group, Gadget           the resource type; User unless said
//	quoted                        the input is a Go string
//	attributes=A, excluded=A      the projection
//	links=JSON                    the groups of a user, the members of a group
//
// The rule set and the type hold until others are named.
//
//	parse     the input is a body; the output what Parse made of it and noted
//	create    the input is a body; the output is the document
//	current   the same, and the document is the current one for replace
//	set       path and value, for the current document
//	replace   the input is a body; the output is what changed, or "unchanged"
//	patch     the same of a PATCH, and what it does to members; "apply" makes its
//	          result the current document; the body may be Operations alone
//	path      the input is a path; the output is its canonical form
//	linked    the input is a body; the output is its document, its members, and whether
//	          it has any
//	diff      the input is two bodies, a line each
//	render    the input is a body; the output is the answer that shows it
//	decode    the input is a document
//	filter    the input is a filter; the output is its canonical form
//	match     the input is a resource, and filters, a line each
//	custom    the input is a document of schemas and resource types; the output
//	          the types of the directory, or the error
//	sort      the words are sortBy and sortOrder, the input resources, a line
//	          each; the output is the order of the lines, with = between equals
//	search    the input is a SearchRequest; the output is what was read
//	error     the input is a detail; status and scimType are in the command
func TestTables(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no tables in testdata: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			cases := readCases(t, file)
			if len(cases) == 0 {
				t.Fatalf("%s: no cases", file)
			}
			m := &machine{rules: scim.Atlassian, typ: "User"}
			for i := range cases {
				c := &cases[i]
				if got := m.run(t, c); *update {
					c.output = got
				} else if diff := cmp.Diff(c.output, got); diff != "" {
					t.Errorf("%s:%d: %s\n%s\n(-want +got):\n%s", file, c.line, c.command, c.input, diff)
				}
			}
			if *update {
				writeCases(t, file, cases)
			}
		})
	}
}

type tableCase struct {
	line                            int
	comment, command, input, output string
}

func readCases(tb testing.TB, file string) []tableCase {
	tb.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	var cases []tableCase
	lines := strings.Split(string(data), "\n")
	take := func(i int, end string) (string, int) {
		from := i
		for i < len(lines) && lines[i] != end {
			i++
		}
		return strings.Join(lines[from:i], "\n"), i + 1
	}
	for i := 0; i < len(lines); {
		var c tableCase
		for i < len(lines) && (lines[i] == "" || strings.HasPrefix(lines[i], "#")) {
			c.comment += lines[i] + "\n"
			i++
		}
		if i >= len(lines) {
			break
		}
		c.line, c.command = i+1, lines[i]
		c.input, i = take(i+1, "----")
		c.output, i = take(i, "")
		cases = append(cases, c)
	}
	return cases
}

func writeCases(tb testing.TB, file string, cases []tableCase) {
	tb.Helper()
	var b strings.Builder
	for i, c := range cases {
		if i > 0 {
			c.comment = "\n" + c.comment
		}
		fmt.Fprintf(&b, "%s%s\n%s\n----\n%s\n", c.comment, c.command, c.input, c.output)
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		tb.Fatal(err)
	}
}

// A machine runs the cases of one file, one after the other.
type machine struct {
	rules, typ string
	current    *scim.Resource
}

var tableMeta = scim.Meta{
	ID:       "2819c223-7f76-453a-919d-413861904646",
	Version:  7,
	Created:  time.Date(2021, 2, 16, 15, 5, 13, 490730000, time.UTC),
	Modified: time.Date(2021, 2, 16, 17, 5, 41, 185473999, time.FixedZone("", 3600)),
	Location: "https://scim.example/scim/directory/d/Users/2819c223-7f76-453a-919d-413861904646",
	Base:     "https://x",
}

func (m *machine) run(t *testing.T, c *tableCase) string {
	t.Helper()
	words := strings.Fields(c.command)
	input, meta := c.input, tableMeta
	var attributes, excluded, rest []string
	for _, w := range words[1:] {
		name, value, _ := strings.Cut(w, "=")
		base, _, _ := strings.Cut(w, "{")
		switch {
		case base == scim.Atlassian, base == scim.Standard, base == scim.Strict:
			m.rules = w
		case w == "User", w == "Group", w == "Gadget":
			m.typ = w
		case w == "quoted":
			s, err := strconv.Unquote(input)
			if err != nil {
				t.Fatalf("line %d: %v", c.line, err)
			}
			input = s
		case name == "attributes":
			attributes = append(attributes, value)
		case name == "excluded":
			excluded = append(excluded, value)
		case name == "links":
			for l := range strings.SplitSeq(value, ",") {
				f := append(strings.Split(l, "/"), "", "")
				meta.Links = append(meta.Links, scim.Link{ID: f[0], Type: f[1], Display: f[2]})
			}
		default:
			rest = append(rest, w)
		}
	}
	typ := typeOf(t, m.rules, m.typ)
	fail := func(err error) string { return err.Error() }
	switch words[0] {
	case "parse":
		r, notes, err := typ.Parse([]byte(input))
		if err != nil {
			return fail(err)
		}
		out := text(r)
		for _, n := range notes.Ignored {
			out += "\nignored " + n
		}
		for _, n := range notes.Coerced {
			out += "\ncoerced " + n
		}
		return out
	case "decode":
		r, err := typ.Decode([]byte(input))
		if err != nil {
			return fail(err)
		}
		return text(r)
	case "custom":
		c, err := scim.ParseCustom([]byte(input))
		if err != nil {
			return fail(err)
		}
		rules, err := scim.Rules(m.rules)
		if err != nil {
			t.Fatal(err)
		}
		model, err := scim.NewModel(rules, c)
		if err != nil {
			return fail(err)
		}
		var lines []string
		for _, typ := range model.Types {
			lines = append(lines, fmt.Sprintf("%s %s %s %v", typ.Name, typ.Endpoint, typ.Schema, typ.Extensions))
		}
		return strings.Join(lines, "\n")
	case "create", "current":
		body, _, err := typ.Parse([]byte(input))
		if err != nil {
			return fail(err)
		}
		r, err := scim.Create(body)
		if err != nil {
			return fail(err)
		}
		if words[0] == "current" {
			m.current = r
		}
		return text(r)
	case "set":
		m.current = m.current.Set(rest[0], scim.StringValue(rest[1]))
		return text(m.current)
	case "replace":
		before := text(m.current)
		body, _, err := m.current.Type().Parse([]byte(input))
		if err != nil {
			return fail(err)
		}
		next, ignored, err := scim.Replace(m.current, body)
		if text(m.current) != before {
			t.Errorf("line %d: Replace changed the current resource", c.line)
		}
		if err != nil {
			return fail(err)
		}
		var out []string
		for _, d := range scim.Diff(m.current, next) {
			out = append(out, d.String())
		}
		if (len(out) == 0) != (text(next) == before) {
			t.Errorf("line %d: Diff and the documents disagree: %s -> %s", c.line, before, text(next))
		}
		if len(out) == 0 {
			out = append(out, "unchanged")
		}
		for _, name := range ignored {
			out = append(out, "ignored "+name)
		}
		return strings.Join(out, "\n")
	case "patch":
		return m.patch(t, c, slices.Contains(rest, "apply"))
	case "path":
		p, err := typ.ParsePath(input)
		if err != nil {
			return fail(err)
		}
		return p.String()
	case "linked":
		r, _, err := typ.Parse([]byte(input))
		if err != nil {
			return fail(err)
		}
		doc, links, sent, err := r.TakeLinks()
		if err != nil {
			return fail(err)
		}
		return fmt.Sprint(text(doc), " ", links, " ", sent)
	case "diff":
		a, b, _ := strings.Cut(input, "\n")
		side := func(s string) *scim.Resource {
			if s == "-" {
				return nil
			}
			return created(t, typ, s)
		}
		var out []string
		for _, d := range scim.Diff(side(a), side(b)) {
			out = append(out, d.String())
		}
		return strings.Join(out, "\n")
	case "render":
		p, err := typ.NewProjection(attributes, excluded)
		if err != nil {
			return fail(err)
		}
		doc := created(t, typ, input)
		if accounts := "urn:scim:schemas:extension:atlassian-external:1.0:atlassianAccountId"; typ.Attr(accounts) != nil {
			doc = doc.Set(accounts, scim.StringValue("602bdf"))
		}
		out, err := typ.Render(nil, doc.Append(nil), &meta, p)
		if err != nil {
			return fail(err)
		}
		return string(out)
	case "filter":
		f, err := typ.ParseFilter(input)
		if err != nil {
			return fail(err)
		}
		return f.String()
	case "match":
		// The first line is the resource, each other one a filter.
		doc, filters, _ := strings.Cut(input, "\n")
		r := created(t, typ, doc)
		var out []string
		for line := range strings.SplitSeq(filters, "\n") {
			f, err := typ.ParseFilter(line)
			if err != nil {
				out = append(out, fail(err))
				continue
			}
			out = append(out, strconv.FormatBool(f.Match(r, &tableMeta)))
		}
		return strings.Join(out, "\n")
	case "sort":
		o, err := typ.NewOrder(rest[0], strings.Join(rest[1:], " "))
		if err != nil {
			return fail(err)
		}
		return sorted(t, typ, o, strings.Split(input, "\n"))
	case "search":
		q, err := scim.ParseSearch([]byte(input), typ.Rules)
		if err != nil {
			return fail(err)
		}
		b, err := json.Marshal(q, json.OmitZeroStructFields(true))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	case "error":
		status, err := strconv.Atoi(rest[0])
		if err != nil {
			t.Fatalf("line %d: %v", c.line, err)
		}
		e := &scim.Error{Status: status, Detail: input, Err: os.ErrPermission}
		if len(rest) > 1 {
			e.Type = rest[1]
		}
		return string(e.AppendJSON(nil))
	}
	t.Fatalf("line %d: no command %s", c.line, words[0])
	return ""
}
