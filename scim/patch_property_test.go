package scim_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/roster-scim/roster/scim"
)

// genOperations generates operations on whatever a type has, some of which must
// be refused.
func genOperations(typ *scim.Type) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		var ops []string
		for range rapid.IntRange(1, 4).Draw(t, "operations") {
			op := rapid.SampledFrom([]string{"add", "replace", "remove"}).Draw(t, "op")
			path, value := "", genBody(typ).Draw(t, "value")
			if op == "remove" || rapid.IntRange(0, 4).Draw(t, "with path") > 0 {
				path, value = genPath(t, typ)
			}
			s := `{"op":"` + op + `"`
			if path != "" {
				s += `,"path":` + quote(path)
			}
			if op != "remove" {
				s += `,"value":` + value
			}
			ops = append(ops, s+"}")
		}
		return "[" + strings.Join(ops, ",") + "]"
	})
}

// genPath generates a path that a client can write, and a value for it.
func genPath(t *rapid.T, typ *scim.Type) (path, value string) {
	a := rapid.SampledFrom(slices.DeleteFunc(slices.Clone(typ.Attributes()), func(a *scim.Attr) bool {
		return a.Extension || a.Mutability == scim.ReadOnly || a.Top().Mutability == scim.ReadOnly
	})).Draw(t, "attribute")
	path, def := a.Path, *a.Attribute
	if top := a.Top(); top.MultiValued && rapid.Bool().Draw(t, "with filter") {
		filters := []string{`[value pr]`, `[value eq "a"]`, `[not (value eq "a")]`}
		if top.Sub("type") != nil {
			filters = append(filters, `[type eq "work"]`, `[type eq "work" and value sw "a"]`, `[primary eq "True"]`)
		}
		path = top.Path + rapid.SampledFrom(filters).Draw(t, "filter") + strings.TrimPrefix(a.Path, top.Path)
		def.MultiValued = false
	}
	if def.Name == "primary" && rapid.Bool().Draw(t, "primary") {
		return path, "true"
	}
	return path, genValue(t, &def, typ.Rules)
}

// checkPatch: a PATCH makes a valid resource or an error, changes nothing but
// what it returns, and makes the same of the same.
func checkPatch(tb fataler, p *scim.Patch, current *scim.Resource) *scim.Resource {
	tb.Helper()
	before := text(current)
	next, _, err := p.Apply(current)
	if text(current) != before {
		tb.Fatalf("current changed: %s -> %s", before, text(current))
	}
	if err != nil {
		checkRefusal(tb, err, 400)
		if next != nil {
			tb.Fatalf("a resource beside the error %v: %s", err, text(next))
		}
		return nil
	}
	if changed := text(next) != before; changed != (next != current) || changed != (len(scim.Diff(current, next)) > 0) {
		tb.Fatalf("Apply, Diff and the documents disagree: %s -> %s", before, text(next))
	}
	checkCanonical(tb, next)
	if again, _, err := p.Apply(current); err != nil || text(again) != text(next) {
		tb.Fatalf("applied again: got %v, %v, want %s", again, err, text(next))
	}
	// It is what a client could have sent.
	body, notes, err := current.Type().Parse(next.Append(nil))
	if err != nil || len(notes.Coerced)+len(notes.Ignored) > 0 {
		tb.Fatalf("parse %s: %v, %v", text(next), notes, err)
	}
	if same, _, err := scim.Replace(next, body); err != nil || text(same) != text(next) {
		tb.Fatalf("a PUT of the result: got %v, %v, want %s", same, err, text(next))
	}
	return next
}

// inverse returns the operations that bring after back to before, and whether
// they must be refused: what is immutable stays.
func inverse(before, after *scim.Resource) (ops string, refused bool) {
	var list []string
	for _, d := range scim.Diff(before, after) {
		for _, sub := range append(d.Attr.SubAttributes, d.Attr.Attribute) {
			refused = refused || sub.Mutability == scim.Immutable
		}
		list = append(list, `{"op":"remove","path":`+quote(d.Attr.Path)+`}`)
		if d.Before.Kind() != scim.Absent {
			list = append(list, `{"op":"add","path":`+quote(d.Attr.Path)+`,"value":`+string(d.Before.AppendJSON(nil))+`}`)
		}
	}
	return "[" + strings.Join(list, ",") + "]", refused
}

func TestPatch_InverseGivesTheResourceBack(t *testing.T) {
	t.Parallel()
	eachType(t, func(t *rapid.T, typ *scim.Type) {
		b := genBody(typ).Draw(t, "body")
		body, _, err := typ.Parse([]byte(b))
		if err != nil {
			t.Fatal(err)
		}
		current, err := scim.Create(body)
		if err != nil {
			t.Fatalf("create %s: %v", b, err)
		}
		ops := genOperations(typ).Draw(t, "patch")
		p, _, err := typ.ParsePatch(patchBody(ops))
		if err != nil {
			checkRefusal(t, err, 400)
			return
		}
		next := checkPatch(t, p, current)
		if next == nil || next == current {
			return
		}
		ops, refused := inverse(current, next)
		p, _, err = typ.ParsePatch(patchBody(ops))
		if err != nil {
			t.Fatalf("the inverse %s: %v", ops, err)
		}
		back, _, err := p.Apply(next)
		var e *scim.Error
		if errors.As(err, &e) && e.Type == scim.Mutability && refused {
			return
		}
		if err != nil || !back.Equal(current) {
			t.Fatalf("the inverse %s\nof %s\ngot  %v, %v\nwant %s", ops, text(next), back, err, text(current))
		}
	})
}

func checkPath(tb fataler, typ *scim.Type, s string) {
	tb.Helper()
	p, err := typ.ParsePath(s)
	if err != nil {
		checkRefusal(tb, err, 400, 403)
		return
	}
	text := p.String()
	if !utf8.ValidString(text) {
		tb.Fatalf("bad UTF-8 in %q", text)
	}
	if len(text) > scim.MaxFilter {
		return // escapes and URNs make it longer
	}
	if again, err := typ.ParsePath(text); err != nil || again.String() != text {
		tb.Fatalf("%q printed and parsed again: got %v, %v", text, again, err)
	}
}

func TestParsePath_PrintsWhatItParses(t *testing.T) {
	t.Parallel()
	eachType(t, func(t *rapid.T, typ *scim.Type) {
		path, _ := genPath(t, typ)
		if _, err := typ.ParsePath(path); err != nil && !strings.Contains(path, "[") {
			t.Fatalf("%s: %v", path, err)
		}
		checkPath(t, typ, path)
		checkPath(t, typ, strings.ToUpper(path))
		checkPath(t, typ, typ.Schema+":"+path)
	})
}

// What Members brings together does what the operations do one by one.
func TestPatch_MembersAreThoseOfTheOperationsOneByOne(t *testing.T) {
	t.Parallel()
	typ := typeOf(t, scim.Standard, "Group")
	ids := rapid.SliceOfN(rapid.SampledFrom([]string{"1", "2", "3", "4", "5"}), 0, 3)
	rapid.Check(t, func(t *rapid.T) {
		want := map[string]bool{}
		for _, id := range ids.Draw(t, "members") {
			want[id] = true
		}
		got := maps.Clone(want)
		var ops []string
		filters := 0 // of which there may be 3
		for range rapid.IntRange(1, 8).Draw(t, "operations") {
			some := ids.Draw(t, "ids")
			value := list(len(some), func(i int) string { return `{"value":"` + some[i] + `"}` })
			op := ""
			kind := rapid.IntRange(0, 4).Draw(t, "op")
			if kind == 2 {
				if filters++; filters > 3 {
					kind = 3
				}
			}
			switch kind {
			case 0:
				op = `{"op":"remove","path":"members","value":` + value + `}`
				for _, id := range some {
					delete(want, id)
				}
			case 1:
				op = `{"op":"replace","path":"members","value":` + value + `}`
				clear(want)
				for _, id := range some {
					want[id] = true
				}
			case 2:
				op = `{"op":"remove","path":"members[value sw \"1\" or not (value ne \"2\")]"}`
				delete(want, "1")
				delete(want, "2")
			default:
				op = `{"op":"add","value":{"members":` + value + `}}`
				for _, id := range some {
					want[id] = true
				}
			}
			ops = append(ops, op)
		}
		p, _, err := typ.ParsePatch(patchBody("[" + strings.Join(ops, ",") + "]"))
		if err != nil {
			t.Fatal(err)
		}
		for _, op := range p.Members() {
			for _, m := range op.Members {
				delete(got, m.ID)
				if op.Kind == scim.AddMembers {
					got[m.ID] = true
				}
			}
			maps.DeleteFunc(got, func(id string, _ bool) bool {
				return op.Kind == scim.ClearMembers || op.Kind == scim.RemoveWhere && op.Where.MatchLink(scim.Link{ID: id})
			})
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s\n%v\n(-want +got):\n%s", ops, memberOps(p), diff)
		}
	})
}

func FuzzParsePath(f *testing.F) {
	for _, s := range seeds(f, "path") {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, tt := range allTypes {
			checkPath(t, typeOf(t, tt.rules, tt.name), s)
		}
	})
}

func FuzzPatch(f *testing.F) {
	for _, s := range seeds(f, "patch") {
		f.Add(patchBody(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		valid := jsontext.Value(data).IsValid()
		for _, tt := range allTypes {
			typ := typeOf(t, tt.rules, tt.name)
			input := string(data)
			p, notes, err := typ.ParsePatch(data)
			if string(data) != input {
				t.Fatal("ParsePatch wrote to its input")
			}
			if len(notes.Ignored) > 20 || len(notes.Coerced) > 20 {
				t.Fatalf("%d notes", len(notes.Ignored)+len(notes.Coerced))
			}
			if err != nil {
				checkRefusal(t, err, 400, 403, 413)
				continue
			}
			if !valid {
				t.Fatal("taken, and no JSON")
			}
			checkPatch(t, p, created(t, typ, samples[tt.name]))
			for _, op := range p.Members() {
				seen := map[string]bool{}
				for _, m := range op.Members {
					if m.ID == "" || seen[m.ID] {
						t.Fatalf("no id, or twice: %v", memberOps(p))
					}
					seen[m.ID] = true
				}
				if (op.Where != nil) != (op.Kind == scim.RemoveWhere) || (len(op.Members) > 0) != (op.Kind == scim.AddMembers || op.Kind == scim.RemoveMembers) {
					t.Fatalf("a step of no kind: %+v", op)
				}
			}
		}
	})
}

func TestPatch_Bounds(t *testing.T) {
	t.Parallel()
	user, group := typeOf(t, scim.Standard, "User"), typeOf(t, scim.Standard, "Group")
	ops := func(n int, op string) string { return list(n, func(int) string { return op }) }
	add := func(n int) string {
		return `[{"op":"add","path":"members","value":` + list(n, func(i int) string { return fmt.Sprintf(`"%d"`, i) }) + `}]`
	}
	for _, tt := range []struct {
		name, ops string
		typ       *scim.Type
		want      int
	}{
		{"1,000 operations", ops(scim.MaxPatchOps, `{"op":"remove","path":"title"}`), user, 0},
		{"1,001 operations", ops(scim.MaxPatchOps+1, `{"op":"remove","path":"title"}`), user, 413},
		{"10,000 members", add(scim.MaxPatchMembers), group, 0},
		{"10,001 members in one list", add(scim.MaxPatchMembers + 1), group, 400},
		{"10,001 members", strings.TrimSuffix(add(scim.MaxPatchMembers), "]") + `,{"op":"remove","path":"members[value eq \"x\"]"}]`, group, 413},
		{"1,001 values", `[{"op":"add","path":"emails","value":` + list(scim.MaxValues+1, func(i int) string { return fmt.Sprintf(`{"value":"%d"}`, i) }) + `}]`, user, 400},
		{"3 filters on members", ops(3, `{"op":"remove","path":"members[display pr]"}`), group, 0},
		{"4 filters on members", ops(4, `{"op":"remove","path":"members[display pr]"}`), group, 400},
		{"a path of 8 KB", `[{"op":"remove","path":"emails[value eq \"` + strings.Repeat("x", scim.MaxFilter) + `\"]"}]`, user, 400},
		{"deep brackets", `[{"op":"remove","path":"emails[` + strings.Repeat("(", 4000) + `"}]`, user, 400},
		{"a deep value", `[{"op":"add","path":"title","value":` + strings.Repeat("[", 200_000), user, 400},
		{"a deep unknown value", `[{"op":"add","value":{"x":` + nested("[", "]", 40) + `}}]`, user, 400},
	} {
		if _, _, err := tt.typ.ParsePatch(patchBody(tt.ops)); status(err) != tt.want {
			t.Errorf("%s: got %v, want %d", tt.name, err, tt.want)
		}
	}
	if _, _, err := group.Parse([]byte(`{"displayName":"team","members":` + list(scim.MaxPatchMembers, func(i int) string { return fmt.Sprintf(`"%d"`, i) }) + `}`)); err != nil {
		t.Errorf("a body with MaxPatchMembers members: %v", err)
	}
}

// A list grows to MaxValues, whatever the operations, and what they compare is
// bounded.
func TestPatch_ListsAndComparisonsAreBounded(t *testing.T) {
	t.Parallel()
	typ := typeOf(t, scim.Standard, "User")
	current := created(t, typ, `{"userName":"ada","emails":`+list(scim.MaxValues, func(i int) string { return fmt.Sprintf(`{"value":"%d"}`, i) })+`}`)
	for _, tt := range []struct{ name, ops, want string }{
		{"one more value", `[{"op":"add","path":"emails","value":{"value":"x"}}]`, scim.InvalidValue},
		{"one more by filter", `[{"op":"add","path":"emails[type eq \"work\"].value","value":"x"}]`, scim.InvalidValue},
		{"long texts", list(scim.MaxPatched/scim.MaxText-1, func(i int) string {
			return fmt.Sprintf(`{"op":"add","path":"roles","value":{"value":"%d","display":%q}}`, i, strings.Repeat("x", scim.MaxText))
		}), ""},
		{"more text", `[{"op":"replace","path":"title","value":"` + strings.Repeat("x", scim.MaxText) + `"}]`, scim.InvalidValue},
		{"comparisons of long texts", list(20, func(i int) string {
			return `{"op":"remove","path":"roles[display co \"a\"]"}`
		}), scim.TooMany},
		{"filters", list(scim.MaxPatchOps, func(int) string {
			return `{"op":"remove","path":"emails[type eq \"a\" or type eq \"b\" or type eq \"c\"]"}`
		}), scim.TooMany},
		{"values", list(scim.MaxPatchOps, func(int) string {
			return `{"op":"add","path":"emails","value":[{"value":"0"},{"value":"1"},{"value":"2"}]}`
		}), scim.TooMany},
		{"values to remove", list(scim.MaxPatchOps, func(int) string {
			return `{"op":"remove","path":"emails","value":[{"value":"x"},{"value":"y"},{"value":"z"}]}`
		}), scim.TooMany},
	} {
		p, _, err := typ.ParsePatch(patchBody(tt.ops))
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		next, _, err := p.Apply(current)
		if tt.want == "" && err == nil {
			current = next
			continue
		}
		var e *scim.Error
		if !errors.As(err, &e) || e.Type != tt.want {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
}
