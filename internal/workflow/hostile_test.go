package workflow_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/roster-scim/roster/internal/workflow"
)

// watched runs f. What is not bounded takes hours, so that a loaded machine is
// told from it.
func watched(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("it does not end")
	}
}

// most is just below the size that a file may have.
const most = 255 << 10

func fill(s string) string { return strings.Repeat(s, most/len(s)) }

func nested(open, middle, end string, times int) string {
	return strings.Repeat(open, times) + middle + strings.Repeat(end, times)
}

// indented is as deep as block style can be in a file of that size.
func indented() string {
	var b strings.Builder
	for i := 0; b.Len() < most-1000; i++ {
		fmt.Fprintf(&b, "%sa:\n", strings.Repeat(" ", i))
	}
	return b.String()
}

func withCondition(expr string) string {
	return "name: x\nsteps:\n  - {id: a, stop: {}, when: '" + expr + "'}\n"
}

func withMail(text, html string) string {
	return "name: x\ninputs: {list: {type: array}, big: {type: string}}\nsteps:\n  - {id: a, email: {to: ada@corp.example, subject: x, text: '" + text + "', html: '" + html + "'}}\n"
}

func TestParse_Hostile(t *testing.T) {
	t.Parallel()
	const (
		deep    = "nested more than"
		tokens  = "more than 20000 words"
		noYAML  = "this is no YAML"
		chained = "chains such as"
	)
	for _, tt := range []struct{ name, source, want string }{
		{"too large", strings.Repeat("#", 256<<10+1), "make it no larger"},
		{"blank lines", "name: a\ndescription: >\n" + strings.Repeat("  \n", 80_000), "103:1: there are more than 100 blank lines in a row"},
		{"nothing", "", "the file is empty"},
		{"invalid UTF-8", "name: \xff", "1:7: a byte here is no text"},
		{"NUL", "name: a\x00b", "1:8: a byte here is no text"},
		{"control character", "name: \x1b[31m", "1:7: a byte here is no text"},
		{"alias bomb", "a: &a [x,x]\nb: &b [*a,*a,*a]\nc: &c [*b,*b,*b]\nd: [*c,*c,*c]\n", "anchors (&) are not allowed"},
		{"merge bomb", "a: {<<: {b: c}}", "merge keys (<<) are not allowed"},
		{"tag", "a: !!binary x", "tags (!) are not allowed"},
		{"two documents", "name: a\n---\nname: b\n", "more than one document"},
		{"documents", fill("--- a\n"), tokens},
		{"flow lists", "a: " + nested("[", "", "]", 9000), deep},
		{"flow objects", "a: " + nested("{a: ", "", "}", 4000), deep},
		{"lists in a line", fill("- "), tokens},
		{"lists in a short line", strings.Repeat("- ", 9000), deep},
		{"indentation", indented(), deep},
		{"members", strings.Repeat("a:\n", 6000), "a is here twice"},
		{"many members", func() string {
			var b strings.Builder
			for i := range 5000 {
				fmt.Fprintf(&b, "k%d:\n", i)
			}
			return b.String()
		}(), "more than 1000 members"},
		{"items", strings.Repeat("-\n", 19_000), "must be an object"},
		{"open quote", "a: '" + fill("x"), noYAML},
		{"escapes", `a: "` + strings.Repeat(`\u0041`, 40_000) + `"`, "a workflow has no a"},
		{"one word", fill("x")[:most], "must be an object"},
		{"steps", "name: x\nsteps:\n" + strings.Repeat("  - {id: a, stop: {}}\n", 300), "has 300 items"},
		{"steps within steps", func() string {
			s := "[{id: z, stop: {}}]"
			for i := range 12 {
				s = fmt.Sprintf("[{id: s%d, if: true, then: %s}]", i, s)
			}
			return "name: x\nsteps: " + s
		}(), "steps are nested more than 8"},
		{"expressions", "name: x\nsteps:\n  - {id: a, stop: {message: '" + strings.Repeat("${{inputs}}", 5000) + "'}}\n", "more than 2000 expressions"},

		{"range", withCondition("1 in 1..900000"), "operator .. is not allowed"},
		{"filter of a range", withCondition("let a = 1..900000; len(filter(a, {# in a})) == 1"), "not allowed in an expression"},
		{"closure", withCondition("inputs | map(# + 1) == 1"), "there is no function map"},
		{"reduce", withCondition("reduce(inputs, #acc + #) == 1"), "there is no function reduce"},
		{"repeat", withCondition(`repeat("a", 1000000000) == ""`), "there is no function repeat"},
		{"regular expression", withCondition(`"aaaa" matches "(a*)*b"`), "operator matches is not allowed"},
		{"powers", withCondition("9 ** 9 ** 9 ** 9 == 1"), "operator ** is not allowed"},
		{"method", withCondition("inputs.list() == 1"), "a value cannot be called"},
		{"the whole environment", withCondition("$env == 1"), "there is no $env"},
		{"sequence", withCondition("1; 2; true"), "not allowed in an expression"},
		{"chained comparisons, doubled by each level", withCondition(nested("1<(", "1", "<1)<1", 90)), chained},
		{"chained conditions, doubled by each level", withCondition(nested("(", "1", "?:1)", 190)), chained},
		{"brackets", withCondition(nested("(", "true", ")", 490)), ""},
		{"negations", withCondition(nested("!", "true", "", 990)), ""},
		{"conditions", withCondition(nested("true?true:", "true", "", 90)), ""},
		{"sums", withCondition(strings.Repeat("1+", 20) + "1 == 21"), "adds more than 16 times"},
		{"calls", withCondition(nested("len(", "1", ")", 40) + " == 1"), "calls functions more than 30 times"},
		{"long", withCondition(strings.Repeat(" ", 990) + "true == true"), ""},
		{"too long", withCondition("true == " + strings.Repeat("!", 1000) + "true"), "make it no longer than 1000"},

		{"recursive template", withMail(`{{define "a"}}{{template "a"}}{{end}}{{template "a"}}`, "x"), "templates within a template"},
		{"block", withMail(`{{block "a" .}}x{{end}}`, "x"), "templates within a template"},
		{"deep template", withMail(nested("{{if true}}", "x", "{{end}}", 2000), "x"), "nested more than 20"},
		{"brackets in a template", withMail("{{"+nested("(", "1", ")", 20_000)+"}}", "x"), "max expression depth"},
		{"loops, doubled by each level", withMail("x", nested("{{range .inputs.list}}", "x", "{{end}}", 60)), "more than 4 loops"},
		{"printf", withMail(`{{printf "%999999999d" 1}}`, "x"), "there is no function printf"},
		{"call", withMail(`{{call .inputs.big}}`, "x"), "there is no function call"},
		{"method of a value", withMail(`{{.inputs.big 1}}`, "x"), "a value cannot be called"},
		{"the budget's own function", withMail(`{{_list 0 .inputs.list}}`, "x"), "there is no function _list"},
		{"unsafe HTML", withMail("x", `<a href={{if .inputs.big}}"{{end}}x>`), "this cannot be made safe"},
		{"long template", withMail(strings.Repeat("x", 65<<10), "x"), "make it no longer than 65536"},
		{"long HTML", withMail("x", nested("{{range .inputs.list}}", strings.Repeat("<a href={{.}}>{{.}}</a>", 2600), "{{end}}", 4)), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var f *workflow.File
			var err error
			watched(t, func() { f, err = workflow.Parse([]byte(tt.source)) })
			if tt.want == "" {
				if err != nil {
					t.Errorf("got %v, want a file", err)
				}
				return
			}
			if err == nil || f != nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if faults, ok := err.(workflow.Faults); !ok || len(faults) > 100 || len(err.Error()) > 60_000 {
				t.Errorf("got a %T of %d bytes, want up to 100 short Faults", err, len(fmt.Sprint(err)))
			}
		})
	}
}

// TestTemplate_Hostile renders templates that would loop, write or compute
// without an end.
func TestTemplate_Hostile(t *testing.T) {
	t.Parallel()
	list := make([]any, 10_000)
	for i := range list {
		list[i] = "x"
	}
	big := strings.Repeat(`"<`, 400_000)
	env := workflow.Env{"inputs": map[string]any{"list": list, "big": big}, "steps": map[string]any{}, "event": nil, "run": map[string]any{"id": "r1"}}
	loops := func(body string) string { return nested("{{range $.inputs.list}}", body, "{{end}}", 4) }
	for _, tt := range []struct{ name, template, want string }{
		{"loops that write nothing", loops(""), "too many steps"},
		{"loops that write", loops("xxxxxxxxxxxxxxxx"), "more than 1048576 bytes"},
		{"one loop that writes", "{{range .inputs.list}}" + strings.Repeat("x", 2000) + "{{end}}", "more than 1048576 bytes"},
		{"a loop of conditions", "{{range .inputs.list}}" + strings.Repeat("{{if .}}{{end}}", 100) + "{{end}}", "too many steps"},
		{"large values", strings.Repeat("{{.inputs.big}}", 1000), "bytes"},
		{"large values in an attribute", "{{range .inputs.list}}<a href=\"{{$.inputs.big}}\">x</a>{{end}}", "more than 1048576 bytes"},
		{"large values compared", "{{range .inputs.list}}{{if eq $.inputs.big $.inputs.big}}{{end}}{{end}}", "too many steps"},
		{"large values kept", "{{range .inputs.list}}{{$x := lower $.inputs.big}}{{end}}", "too many"},
		{"a text that doubles", `{{$x := json .inputs.big}}` + strings.Repeat(`{{$x = json $x}}`, 100), "more than 1048576 bytes"},
		{"a loop over a text", "{{range .inputs.big}}x{{end}}", "range goes through a list, and this is a text"},
		{"a loop over a number", "{{range len .inputs.list}}x{{end}}", "range goes through a list, and this is a number"},
		{"a loop over an object", "{{range .inputs}}x{{end}}", "range goes through a list, and this is an object"},
		{"a name that is not there", "{{with .run}}{{.nothing}}{{end}}", "nothing"},
	} {
		for _, html := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, html %t", tt.name, html), func(t *testing.T) {
				t.Parallel()
				text, page := "x", tt.template
				if !html {
					text, page = page, text
				}
				f, err := workflow.Parse([]byte(withMail(text, page)))
				if err != nil {
					t.Fatal(err)
				}
				mail := f.Steps[0].Email
				made := mail.Text
				if html {
					made = mail.HTML
				}
				var got string
				watched(t, func() { got, err = made.Render(env) })
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %d bytes, %v, want the error %q", len(got), err, tt.want)
				}
			})
		}
	}
}

// TestExpr_Hostile evaluates expressions with values as large as they come.
func TestExpr_Hostile(t *testing.T) {
	t.Parallel()
	list := make([]any, 100_000)
	for i := range list {
		list[i] = strings.Repeat("x", 60)
	}
	env := workflow.Env{"inputs": map[string]any{"list": list, "big": strings.Repeat(`"`, 900_000), "object": map[string]any{"a": list}}}
	for _, tt := range []struct{ name, expr, want string }{
		{"sums", `len(inputs.big` + strings.Repeat("+inputs.big", 16) + `) == 15300000`, ""},
		{"JSON of JSON", nested("json(", "inputs.big", ")", 30) + ` == ""`, "more than 1048576 bytes"},
		{"search of all in all", strings.Repeat(`inputs.object in inputs.list or `, 28) + "inputs.list == inputs.list", ""},
		{"joins", nested("join([", "inputs.big", `], "")`, 29) + ` == ""`, ""},
		{"splits", `split(inputs.big, "") == []`, "split would give more than"},
		{"many lists", "[" + strings.Repeat("inputs.list, ", 60) + "1] == []", ""},
		{"a number by nothing", `1/0 == 1`, ""},
		{"wrong type", `inputs.big < 3`, "invalid operation"},
		{"nothing within nothing", `inputs.none.a == 1`, "cannot fetch a from"},
		{"no condition", `inputs.big`, "a condition must be true or false, and this is a text"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, err := workflow.Parse([]byte("name: x\ninputs: {list: {type: array}, big: {type: string}, object: {type: object}, none: {type: any}}\nsteps:\n  - {id: a, stop: {}, when: '" + tt.expr + "'}\n"))
			if err != nil {
				t.Fatal(err)
			}
			watched(t, func() { _, err = f.Steps[0].When.True(env) })
			if got := fmt.Sprint(err); (err == nil) != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("got the error %v, want %q", err, tt.want)
			}
		})
	}
}
