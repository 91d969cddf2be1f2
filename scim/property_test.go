package scim_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/roster-scim/roster/scim"
)

// allTypes are those that the properties are tried on.
var allTypes = []struct{ rules, name string }{
	{scim.Atlassian, "User"}, {scim.Standard, "User"}, {scim.Strict, "User"}, {scim.Standard, "Gadget"}, {scim.Strict, "Gadget"}, {scim.Atlassian, "Group"}, {scim.Standard, "Group"},
}

// genBody generates bodies of a type that Create takes: names in any case and
// order, nulls, empty values, whatever text.
func genBody(typ *scim.Type) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		var top []*scim.Attr
		for _, a := range typ.Attributes() {
			if a.Top() == a && !strings.Contains(a.Path, ":") || a.Extension {
				top = append(top, a)
			}
		}
		var members []string
		twice := map[string]bool{} // attributes with two views: one of them is sent
		for _, a := range top {
			subs := a.SubAttributes
			switch {
			case a.Path == "emails":
				members = append(members, genName(t, a.Name)+`:[{"value":`+genText(t, 1)+`,"primary":true},{"value":`+genText(t, 1)+`}]`)
				continue
			case a.Path == "members":
				items := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string { return `{"value":` + genText(t, 1) + `}` }), 0, 3).Draw(t, "members")
				members = append(members, genName(t, a.Name)+":["+strings.Join(items, ",")+"]")
				continue
			case a.Required:
				members = append(members, genName(t, a.Name)+":"+genText(t, 1))
				continue
			case a.Extension:
				subs = slices.DeleteFunc(slices.Clone(subs), func(s *scim.Attribute) bool { return twice[s.Name] })
			}
			if !rapid.Bool().Draw(t, "with "+a.Path) {
				continue
			}
			twice[a.Name] = true
			v := genValue(t, &scim.Attribute{Name: a.Name, Type: a.Type, MultiValued: a.MultiValued, SubAttributes: subs}, typ.Rules)
			members = append(members, genName(t, a.Name)+":"+v)
		}
		if !typ.Rules.RefuseUnknown && rapid.Bool().Draw(t, "unknown") {
			members = append(members, `"shoe":[{"a":null},1e400,"x"]`)
		}
		return "{" + strings.Join(rapid.Permutation(members).Draw(t, "order"), ", ") + "}"
	})
}

func genName(t *rapid.T, name string) string {
	switch rapid.IntRange(0, 3).Draw(t, "case") {
	case 0:
		name = strings.ToUpper(name)
	case 1:
		name = strings.ToLower(name)
	}
	return `"` + name + `"`
}

func genText(t *rapid.T, least int) string {
	s := rapid.StringN(least, 12, -1).Filter(func(s string) bool {
		return !strings.ContainsRune(s, 0) && (least == 0 || strings.TrimSpace(s) != "")
	}).Draw(t, "text")
	return quote(s)
}

func quote(s string) string {
	b, _ := jsontext.AppendQuote(nil, s)
	return string(b)
}

func genValue(t *rapid.T, a *scim.Attribute, rules scim.RuleSet) string {
	if rapid.IntRange(0, 9).Draw(t, "null") == 0 && !a.Required {
		return "null"
	}
	if a.MultiValued {
		one := *a
		one.MultiValued = false
		var items []string
		for range rapid.IntRange(0, 3).Draw(t, "items") {
			items = append(items, genValue(t, &one, rules))
		}
		return "[" + strings.Join(items, ",") + "]"
	}
	switch a.Type {
	case scim.TypeComplex:
		var members []string
		for _, s := range a.SubAttributes {
			if s.Required || rapid.Bool().Draw(t, "with "+s.Name) {
				members = append(members, genName(t, s.Name)+":"+genValue(t, s, rules))
			}
		}
		return "{" + strings.Join(members, ",") + "}"
	case scim.TypeBoolean:
		if a.Name == "primary" { // two of them are refused
			return "false"
		}
		words := []string{"true", "false"}
		if rules.Tolerant {
			words = append(words, `"True"`, `"FALSE"`)
		}
		return rapid.SampledFrom(words).Draw(t, "boolean")
	case scim.TypeInteger:
		return rapid.StringMatching(`-?[1-9][0-9]{0,30}`).Draw(t, "integer")
	case scim.TypeDecimal:
		return rapid.StringMatching(`-?(0|[1-9][0-9]{0,9})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?`).Draw(t, "decimal")
	case scim.TypeDateTime:
		return rapid.SampledFrom([]string{`"2008-01-23T04:56:22Z"`, `"2030-01-01T00:00:00.5+02:00"`}).Draw(t, "time")
	case scim.TypeBinary:
		return rapid.SampledFrom([]string{`"AAEC"`, `"AA=="`}).Draw(t, "binary")
	}
	least := 0
	if a.Required {
		least = 1
	}
	return genText(t, least)
}

// checkCanonical: the document of r is a fixed point of decoding and of parsing.
func checkCanonical(tb fataler, r *scim.Resource) {
	tb.Helper()
	doc := r.Append(nil)
	if !jsontext.Value(doc).IsValid() {
		tb.Fatalf("not JSON: %q", doc)
	}
	back, err := r.Type().Decode(doc)
	if err != nil {
		tb.Fatalf("decode %q: %v", doc, err)
	}
	if got := back.Append(nil); string(got) != string(doc) {
		tb.Fatalf("decoded:\ngot  %q\nwant %q", got, doc)
	}
	if d := scim.Diff(r, back); len(d) > 0 {
		tb.Fatalf("decoded, it differs: %v", d)
	}
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// checkReplace: a PUT of body makes of current what no second PUT changes, and
// neither does a PUT of the answer to a GET.
func checkReplace(tb fataler, current, body *scim.Resource) {
	tb.Helper()
	typ := current.Type()
	before := text(current)
	next, ignored, err := scim.Replace(current, body)
	if text(current) != before {
		tb.Fatalf("current changed: %s -> %s", before, text(current))
	}
	if err != nil {
		if status(err) != 400 {
			tb.Fatalf("not a 400: %v", err)
		}
		return
	}
	checkCanonical(tb, next)
	if changed := len(scim.Diff(current, next)) > 0; changed != (text(next) != before) {
		tb.Fatalf("Diff and the documents disagree: %s -> %s", before, text(next))
	}
	// Two views that contradict each other and the stored value take turns:
	// nothing to hold them to.
	if len(ignored) == 0 && viewsAgree(body) {
		again, _, err := scim.Replace(next, body)
		if err != nil || text(again) != text(next) {
			tb.Fatalf("the same PUT again:\ngot  %v, %v\nwant %s", again, err, text(next))
		}
	}
	answer, err := typ.Render(nil, next.Append(nil), &tableMeta, everything(tb, typ))
	if err != nil {
		tb.Fatalf("render: %v", err)
	}
	same, _, err := typ.Parse(answer)
	if err != nil {
		tb.Fatalf("a PUT of the answer %s: %v", answer, err)
	}
	same, _, err = scim.Replace(next, same)
	if err != nil || text(same) != text(next) {
		tb.Fatalf("a PUT of the answer:\ngot  %v, %v\nwant %s", same, err, text(next))
	}
}

func viewsAgree(body *scim.Resource) bool {
	for _, name := range []string{"department", "organization"} {
		a, b := body.Get(name), body.Get(scim.EnterpriseUserURN+":"+name)
		if a.Kind() != scim.Absent && b.Kind() != scim.Absent && !a.Equal(b) {
			return false
		}
	}
	return true
}

// everything is the projection that asks for all attributes.
func everything(tb fataler, typ *scim.Type) *scim.Projection {
	tb.Helper()
	var paths []string
	for _, a := range typ.Attributes() {
		paths = append(paths, a.Path)
	}
	p, err := typ.NewProjection(paths, nil)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	return p
}

// checkProjection: what a projection shows is a part of what there is, the id
// and the schemas always among it.
func checkProjection(tb fataler, r *scim.Resource, attributes, excluded []string) {
	tb.Helper()
	typ, doc := r.Type(), r.Append(nil)
	p, err := typ.NewProjection(attributes, excluded)
	if err != nil {
		if status(err) != 400 {
			tb.Fatalf("not a 400: %v", err)
		}
		return
	}
	meta := tableMeta
	if typ.Name == "User" {
		meta.Links = []scim.Link{{ID: "g1", Display: "team"}, {ID: "g2", Type: "direct"}}
	}
	all, err := typ.Render(nil, doc, &meta, everything(tb, typ))
	if err != nil {
		tb.Fatalf("render %s: %v", doc, err)
	}
	part, err := typ.Render(nil, doc, &meta, p)
	if err != nil {
		tb.Fatalf("render %s: %v", doc, err)
	}
	if !jsontext.Value(part).IsValid() {
		tb.Fatalf("not JSON: %q", part)
	}
	if err := partOf(part, all); err != nil {
		tb.Fatalf("attributes %q, excluded %q: %v\npart %s\nall  %s", attributes, excluded, err, part, all)
	}
	if !strings.Contains(string(part), `"id":"`+meta.ID+`"`) || !strings.HasPrefix(string(part), `{"schemas":["urn:`) {
		tb.Fatalf("without id or schemas: %s", part)
	}
}

// partOf reports what of part is not in all: of an object any members, of a list
// any values in their order, may be left out.
func partOf(part, all jsontext.Value) error {
	switch {
	case part.Kind() != all.Kind():
		return fmt.Errorf("%s is not %s", part, all)
	case part.Kind() == '{':
		var p, a map[string]jsontext.Value
		if err := errorsOf(json.Unmarshal(part, &p), json.Unmarshal(all, &a)); err != nil {
			return err
		}
		if len(p) == 0 {
			return fmt.Errorf("an empty object is shown")
		}
		for k, v := range p {
			if a[k] == nil {
				return fmt.Errorf("%s is not there", k)
			}
			if err := partOf(v, a[k]); err != nil {
				return fmt.Errorf("%s: %w", k, err)
			}
		}
	case part.Kind() == '[':
		var p, a []jsontext.Value
		if err := errorsOf(json.Unmarshal(part, &p), json.Unmarshal(all, &a)); err != nil {
			return err
		}
		for _, v := range p {
			i := slices.IndexFunc(a, func(w jsontext.Value) bool { return partOf(v, w) == nil })
			if i < 0 {
				return fmt.Errorf("%s is not there, or not in order", v)
			}
			a = a[i+1:]
		}
	case string(part) != string(all):
		return fmt.Errorf("%s is not %s", part, all)
	}
	return nil
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// eachType runs a property on each of allTypes.
func eachType(t *testing.T, property func(t *rapid.T, typ *scim.Type)) {
	t.Helper()
	for _, tt := range allTypes {
		typ := typeOf(t, tt.rules, tt.name)
		t.Run(tt.rules+"_"+tt.name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) { property(t, typ) })
		})
	}
}

func TestParse_DocumentIsAFixedPoint(t *testing.T) {
	t.Parallel()
	eachType(t, func(t *rapid.T, typ *scim.Type) {
		b := genBody(typ).Draw(t, "body")
		r, _, err := typ.Parse([]byte(b))
		if err != nil {
			t.Fatalf("parse %s: %v", b, err)
		}
		checkCanonical(t, r)
		again, notes, err := typ.Parse(r.Append(nil))
		if err != nil || text(again) != text(r) {
			t.Fatalf("parsed again:\ngot  %v, %v\nwant %s", again, err, text(r))
		}
		if len(notes.Ignored)+len(notes.Coerced) > 0 {
			t.Fatalf("a canonical document needs coercion: %v", notes)
		}
	})
}

func TestReplace_AgainIsNoChange(t *testing.T) {
	t.Parallel()
	eachType(t, func(t *rapid.T, typ *scim.Type) {
		bodies := make([]*scim.Resource, 2)
		for i := range bodies {
			b := genBody(typ).Draw(t, "body")
			r, _, err := typ.Parse([]byte(b))
			if err != nil {
				t.Fatalf("parse %s: %v", b, err)
			}
			bodies[i] = r
		}
		current, err := scim.Create(bodies[0])
		if err != nil {
			t.Fatalf("create %s: %v", text(bodies[0]), err)
		}
		checkCanonical(t, current)
		checkReplace(t, current, bodies[1])
		checkReplace(t, current, bodies[0])
	})
}

func TestRender_EveryProjectionIsAPartOfTheWhole(t *testing.T) {
	t.Parallel()
	eachType(t, func(t *rapid.T, typ *scim.Type) {
		body, _, err := typ.Parse([]byte(genBody(typ).Draw(t, "body")))
		if err != nil {
			t.Fatal(err)
		}
		r, err := scim.Create(body)
		if err != nil {
			t.Fatalf("create %s: %v", text(body), err)
		}
		paths := []string{"shoeSize", "name.shoe", "urn:x"}
		for _, a := range typ.Attributes() {
			paths = append(paths, a.Path, strings.ToUpper(a.Path))
		}
		list := rapid.SliceOfN(rapid.SampledFrom(paths), 0, 5).Draw(t, "list")
		checkProjection(t, r, list, nil)
		checkProjection(t, r, nil, list)
	})
}

func checkFold(tb fataler, a, b string) {
	tb.Helper()
	fa, fb := scim.Fold(a), scim.Fold(b)
	if scim.Fold(fa) != fa {
		tb.Fatalf("folding %q twice: %q, then %q", a, fa, scim.Fold(fa))
	}
	if (fa == fb) != strings.EqualFold(a, b) {
		tb.Fatalf("%q and %q: EqualFold is %v, folded they are %q and %q", a, b, strings.EqualFold(a, b), fa, fb)
	}
	if !strings.EqualFold(a, fa) {
		tb.Fatalf("%q folds to another text: %q", a, fa)
	}
	if !utf8.ValidString(fa) && utf8.ValidString(a) {
		tb.Fatalf("%q folds to bad UTF-8: %q", a, fa)
	}
}

func TestFold_IsEqualFold(t *testing.T) {
	t.Parallel()
	tricky := []rune("kKKsSſßẞµμΜΣσςiIıİǅǆǄΩωΩåÅÅéÉÿŸа\u0390\u1fd3\u0345\u0399\u1fbeﬅﬆ\uFFFD")
	rapid.Check(t, func(t *rapid.T) {
		r := rapid.OneOf(rapid.SampledFrom(tricky), rapid.Rune())
		s := rapid.StringOfN(r, 0, 8, -1).Draw(t, "s")
		other := rapid.StringOfN(r, 0, 8, -1).Draw(t, "other")
		for _, o := range []string{other, strings.ToUpper(s), strings.ToLower(s), strings.ToTitle(s)} {
			checkFold(t, s, o)
		}
	})
}

func TestFold_EveryRune(t *testing.T) {
	t.Parallel()
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if utf8.ValidRune(r) {
			checkFold(t, "x"+string(r), strings.ToLower("x"+string(r)))
		}
	}
}
