package scim_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster/scim"
)

// patchBody returns a PATCH request: input itself, or that of its operations.
func patchBody(input string) []byte {
	if strings.HasPrefix(input, "[") {
		input = `{"schemas":["` + scim.PatchOpURN + `"],"Operations":` + input + `}`
	}
	return []byte(input)
}

func (m *machine) patch(t *testing.T, c *tableCase, keep bool) string {
	t.Helper()
	before := text(m.current)
	p, notes, err := m.current.Type().ParsePatch(patchBody(c.input))
	if err != nil {
		return err.Error()
	}
	next, more, err := p.Apply(m.current)
	if text(m.current) != before {
		t.Errorf("line %d: Apply changed the current resource", c.line)
	}
	if err != nil {
		return err.Error()
	}
	var out []string
	for _, d := range scim.Diff(m.current, next) {
		out = append(out, d.String())
	}
	if (next == m.current) != (text(next) == before) || (len(out) == 0) != (next == m.current) {
		t.Errorf("line %d: Apply, Diff and the documents disagree: %s -> %s", c.line, before, text(next))
	}
	out = append(out, memberOps(p)...)
	if len(out) == 0 {
		out = append(out, "unchanged")
	}
	for _, n := range append(notes.Ignored, more.Ignored...) {
		out = append(out, "ignored "+n)
	}
	for _, n := range append(notes.Coerced, more.Coerced...) {
		out = append(out, "coerced "+n)
	}
	if keep {
		m.current = next
	}
	return strings.Join(out, "\n")
}

func memberOps(p *scim.Patch) (out []string) {
	for _, op := range p.Members() {
		s := op.Kind.String()
		for _, member := range op.Members {
			s += " " + member.ID
			if member.Type != "" {
				s += "/" + member.Type
			}
		}
		if op.Where != nil {
			s += " " + op.Where.String()
		}
		if op.Target {
			s += " (must be there)"
		}
		out = append(out, s)
	}
	return out
}

func BenchmarkPatch(b *testing.B) {
	for _, bb := range []struct{ name, body string }{
		{"active", `[{"op":"replace","path":"active","value":false}]`},
		{"no_path", `[{"op":"replace","value":{"active":false}}]`},
		{"filter", `[{"op":"replace","path":"emails[type eq \"work\"].value","value":"b@example.com"}]`},
	} {
		b.Run(bb.name, func(b *testing.B) {
			typ, body := typeOf(b, scim.Standard, "User"), patchBody(bb.body)
			current := created(b, typ, rfcUser)
			b.ReportAllocs()
			for b.Loop() {
				p, _, err := typ.ParsePatch(body)
				if err != nil {
					b.Fatal(err)
				}
				if next, _, err := p.Apply(current); err != nil || next == current {
					b.Fatal(next, err)
				}
			}
		})
	}
	b.Run("one_member", func(b *testing.B) {
		typ := typeOf(b, scim.Standard, "Group")
		current := created(b, typ, `{"displayName":"team"}`)
		body := patchBody(`[{"op":"add","path":"members","value":[{"value":"2819c223-7f76-453a-919d-413861904646"}]}]`)
		b.ReportAllocs()
		for b.Loop() {
			p, _, err := typ.ParsePatch(body)
			if err != nil {
				b.Fatal(err)
			}
			if next, _, err := p.Apply(current); err != nil || next != current || len(p.Members()) != 1 {
				b.Fatal(next, err)
			}
		}
	})
	b.Run("members", func(b *testing.B) {
		typ := typeOf(b, scim.Standard, "Group")
		body := patchBody(`[{"op":"add","path":"members","value":` + list(scim.MaxPatchMembers, func(i int) string { return fmt.Sprintf(`{"value":"%d"}`, i) }) + `}]`)
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := typ.ParsePatch(body); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// Each tolerance has a name, which the documentation explains.
func TestTolerances_AreInTheDocs(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/scim.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(page), "## What identity providers send against the RFC\n")
	if !ok {
		t.Fatal("docs/scim.md has no section on tolerances")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	documented := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(section, -1) {
		documented[m[1]] = true
	}
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, file := range files {
		for _, c := range readCases(t, file) {
			for _, m := range regexp.MustCompile(`(?m)^coerced .* \(([^)]+)\)$`).FindAllStringSubmatch(c.output, -1) {
				seen[m[1]] = true
			}
		}
	}
	if diff := cmp.Diff(documented, seen); diff != "" {
		t.Errorf("tolerances (-documented +in the tables):\n%s", diff)
	}
}

// One Patch is applied by every attempt of a transaction, and by its retries at
// once: nothing may be written to it, nor to the current resource.
func TestPatch_AppliedAtOnce(t *testing.T) {
	t.Parallel()
	typ := typeOf(t, scim.Atlassian, "User")
	current := created(t, typ, rfcUser)
	p, _, err := typ.ParsePatch(patchBody(`[{"op":"replace","path":"department","value":"R&D"},
{"op":"add","path":"emails","value":[{"value":"bjensen@example.com","type":"work","display":"Office"},{"value":"new@example.com","primary":true}]},
{"op":"replace","path":"emails[type eq \"home\"].value","value":"x@example.com"},{"op":"add","path":"phoneNumbers[type eq \"fax\"].value","value":"1"},
{"op":"remove","path":"phoneNumbers[type eq \"work\"]"},{"op":"replace","value":{"name":{"givenName":"B","middleName":null}}}]`))
	if err != nil {
		t.Fatal(err)
	}
	before := text(current)
	want, _, err := p.Apply(current)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				next, _, err := p.Apply(current)
				if err != nil {
					t.Error(err)
					return
				}
				if got := text(next); got != text(want) {
					t.Errorf("got %s, want %s", got, text(want))
				}
				_ = next.Set("title", scim.StringValue("x"))
			}
		})
	}
	wg.Wait()
	if got := text(current); got != before {
		t.Errorf("current: got %s, want %s", got, before)
	}
}
