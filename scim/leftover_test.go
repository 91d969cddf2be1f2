package scim_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/roster-scim/roster/scim"
)

const badgeURN = "urn:example:schemas:Badge"

// badge returns the type Badge with attributes in a short form: "a", "b:integer",
// "list[]:string", "c(x y:integer)", "d[](x)", "secret!never"; after "|" those of
// its extension.
func badge(tb fataler, spec string) *scim.Type {
	tb.Helper()
	core, ext, extended := strings.Cut(spec, "|")
	doc := `{"schemas":[{"id":"` + badgeURN + `","name":"Badge","attributes":[{"name":"number"}` + attributes(core) + `]}`
	extensions := ""
	if extended {
		doc += `,{"id":"` + badgeURN + `:Lock","name":"Lock","attributes":[{"name":"kind"}` + attributes(ext) + `]}`
		extensions = `,"schemaExtensions":[{"schema":"` + badgeURN + `:Lock","required":false}]`
	}
	doc += `],"resourceTypes":[{"name":"Badge","endpoint":"/Badges","schema":"` + badgeURN + `"` + extensions + `}]}`
	custom, err := scim.ParseCustom([]byte(doc))
	if err != nil {
		tb.Fatalf("%s: %v", doc, err)
	}
	rules, err := scim.Rules(scim.Standard)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	m, err := scim.NewModel(rules, custom)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	return m.Type("Badge")
}

func attributes(spec string) string {
	var b strings.Builder
	for spec = strings.TrimSpace(spec); spec != ""; spec = strings.TrimSpace(spec) {
		end := strings.IndexByte(spec, ' ')
		if open := strings.IndexByte(spec, '('); open >= 0 && (end < 0 || open < end) {
			end = strings.IndexByte(spec, ')') + 1
		}
		word := spec
		if end >= 0 && end < len(spec) {
			word, spec = spec[:end], spec[end:]
		} else {
			spec = ""
		}
		word, subs, complex := strings.Cut(strings.TrimSuffix(word, ")"), "(")
		word, never := strings.CutSuffix(word, "!never")
		name, typ, _ := strings.Cut(word, ":")
		name, multi := strings.CutSuffix(name, "[]")
		if complex {
			typ = scim.TypeComplex
		}
		fmt.Fprintf(&b, `,{"name":%q,"type":%q,"multiValued":%v`, name, typ, multi)
		if never {
			b.WriteString(`,"returned":"never"`)
		}
		if complex {
			fmt.Fprintf(&b, `,"subAttributes":[%s]`, strings.TrimPrefix(attributes(subs), ","))
		}
		b.WriteString("}")
	}
	return b.String()
}

// A document goes through schemas; what one has no place for comes back with the
// next that has.
func TestDecode_KeepsWhatTheSchemaHasNoPlaceFor(t *testing.T) {
	t.Parallel()
	type step struct{ spec, want string }
	for name, tt := range map[string]struct {
		doc   string
		steps []step
	}{
		"attribute": {`{"number":"1","a":"x","b":7}`, []step{
			{"b:integer", `{"~":[["a","x"]],"number":"1","b":7}`},
			{"", `{"~":[["a","x"],["b",7]],"number":"1"}`},
			{"b:integer", `{"~":[["a","x"]],"number":"1","b":7}`},
			{"a b:integer", `{"number":"1","a":"x","b":7}`},
		}},
		"type": {`{"number":"1","a":"x"}`, []step{
			{"a:integer", `{"~":[["a","x"]],"number":"1"}`},
			{"a[]", `{"~":[["a","x"]],"number":"1"}`},
			{"a(x)", `{"~":[["a","x"]],"number":"1"}`},
			{"a:dateTime", `{"~":[["a","x"]],"number":"1"}`},
			{"a:binary", `{"~":[["a","x"]],"number":"1"}`},
			{"a!never", `{"~":[["a","x"]],"number":"1"}`},
			{"a:reference", `{"number":"1","a":"x"}`},
		}},
		"fraction": {`{"number":"1","a":1.5}`, []step{
			{"a:integer", `{"~":[["a",1.5]],"number":"1"}`},
			{"a:decimal", `{"number":"1","a":1.5}`},
		}},
		"sub-attribute": {`{"number":"1","c":{"x":"p","y":"q"}}`, []step{
			{"c(x)", `{"~":[["c.y","q"]],"number":"1","c":{"x":"p"}}`},
			{"", `{"~":[["c.y","q"],["c",{"x":"p"}]],"number":"1"}`},
			{"c(y)", `{"~":[["c.x","p"]],"number":"1","c":{"y":"q"}}`},
			{"c(x y)", `{"number":"1","c":{"x":"p","y":"q"}}`},
		}},
		"list": {`{"number":"1","d":[{"x":"1","y":"p"},{"x":"2"},{"y":"r"}]}`, []step{
			{"d[](x)", `{"~":[["d",{"y":"p"},{"x":"1"}],["d",{"y":"r"},{}]],"number":"1","d":[{"x":"1"},{"x":"2"}]}`},
			{"d[](x y:integer)", `{"~":[["d",{"y":"p"},{"x":"1"}],["d",{"y":"r"},{}]],"number":"1","d":[{"x":"1"},{"x":"2"}]}`},
			{"d", `{"~":[["d",{"y":"p"},{"x":"1"}],["d",{"y":"r"},{}],["d",[{"x":"1"},{"x":"2"}]]],"number":"1"}`},
			{"d[](x y)", `{"number":"1","d":[{"x":"1","y":"p"},{"x":"2"},{"y":"r"}]}`},
		}},
		"items lose twice": {`{"number":"1","d":[{"x":"1","y":"p","z":"q"}]}`, []step{
			{"d[](x y)", `{"~":[["d",{"z":"q"},{"x":"1","y":"p"}]],"number":"1","d":[{"x":"1","y":"p"}]}`},
			{"d[](x)", `{"~":[["d",{"z":"q"},{"x":"1"}],["d",{"y":"p"},{"x":"1"}]],"number":"1","d":[{"x":"1"}]}`},
			{"d[](x y z)", `{"number":"1","d":[{"x":"1","y":"p","z":"q"}]}`},
		}},
		"extension": {`{"number":"1","` + badgeURN + `:Lock":{"kind":"k","p":"q"}}`, []step{
			{"|", `{"~":[["` + badgeURN + `:Lock:p","q"]],"number":"1","` + badgeURN + `:Lock":{"kind":"k"}}`},
			{"", `{"~":[["` + badgeURN + `:Lock:p","q"],["` + badgeURN + `:Lock",{"kind":"k"}]],"number":"1"}`},
			{"|p:integer", `{"~":[["` + badgeURN + `:Lock:p","q"]],"number":"1","` + badgeURN + `:Lock":{"kind":"k"}}`},
			{"|p", `{"number":"1","` + badgeURN + `:Lock":{"kind":"k","p":"q"}}`},
		}},
	} {
		doc := tt.doc
		for _, s := range tt.steps {
			doc = text(decoded(t, badge(t, s.spec), []byte(doc)))
			if diff := cmp.Diff(s.want, doc); diff != "" {
				t.Fatalf("%s: as %q (-want +got):\n%s", name, s.spec, diff)
			}
		}
	}
}

// A leftover does not take the place of a value that was written since, and is
// not lost by writing.
func TestReplace_CarriesLeftovers(t *testing.T) {
	t.Parallel()
	now, then := badge(t, "b"), badge(t, "a b")
	doc := []byte(`{"number":"1","a":"old","b":"x"}`)
	next := replaced(t, decoded(t, now, doc), `{"number":"2"}`).Set("b", scim.StringValue("y"))
	if got, want := text(next), `{"~":[["a","old"]],"number":"2","b":"y"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := text(decoded(t, then, next.Append(nil))), `{"number":"2","a":"old","b":"y"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	kept := []byte(`{"~":[["a","old"]],"number":"2","a":"new"}`)
	if got := text(decoded(t, then, kept)); got != string(kept) {
		t.Errorf("got %s, want %s", got, kept)
	}
}

func TestRender_ShowsNoLeftovers(t *testing.T) {
	t.Parallel()
	typ := badge(t, "c(x)|")
	doc := []byte(`{"~":[["a","secret"],["` + badgeURN + `:Lock",{"p":"secret"}],["c.y","secret"]],"number":"1","c":{"x":"p"}}`)
	for _, p := range []*scim.Projection{nil, mustProject(t, typ, "c", "a", "number")} {
		got, err := typ.Render(nil, doc, &tableMeta, p)
		if err != nil {
			t.Fatal(err)
		}
		if s := string(got); strings.Contains(s, "secret") || strings.Contains(s, "~") || strings.Contains(s, `Lock"`) || !strings.Contains(s, `"c":{"x":"p"}`) {
			t.Errorf("got %s", s)
		}
	}
}

// There and back: whatever schemas a document went through, under the first it
// is what it was.
func TestProperty_SchemaChangesDropNothing(t *testing.T) {
	t.Parallel()
	specs := []string{"a", "a:integer", "a[]", "a:dateTime", "a!never", "a(x)", "b", "b[]:integer", "c(x y)", "c(y:integer z)", "c[](x)", "d[](x y)", "d[](x)", "d[](y:boolean z)", "d[]", "|", "|p", "|p:integer", "|q(x)", "|q(y)"}
	rapid.Check(t, func(t *rapid.T) {
		draw := func() *scim.Type {
			var core, ext []string
			extended := false
			seen := map[byte]bool{}
			for _, s := range rapid.SliceOfN(rapid.SampledFrom(specs), 0, 6).Draw(t, "schema") {
				key, to := s[0], &core
				if s[0] == '|' {
					extended, to, s = true, &ext, s[1:]
					if s == "" {
						continue
					}
					key = s[0]
				}
				if !seen[key] {
					seen[key] = true
					*to = append(*to, s)
				}
			}
			spec := strings.Join(core, " ")
			if extended {
				spec += "|" + strings.Join(ext, " ")
			}
			return badge(t, spec)
		}
		first := draw()
		body, _, err := first.Parse([]byte(genBody(first).Draw(t, "body")))
		if err != nil {
			t.Fatal(err)
		}
		r, err := scim.Create(body)
		if err != nil {
			t.Fatal(err)
		}
		want := string(r.Append(nil))
		doc := []byte(want)
		for range rapid.IntRange(1, 4).Draw(t, "changes") {
			r, err := draw().Decode(doc)
			if err != nil {
				t.Fatal(err)
			}
			doc = r.Append(nil)
		}
		r, err = first.Decode(doc)
		if err != nil {
			t.Fatal(err)
		}
		// An item that was hidden as a whole comes back at the end of its list.
		if got := string(r.Append(nil)); sortedItems(got) != sortedItems(want) {
			t.Fatalf("by way of %s\n got %s\nwant %s", doc, got, want)
		}
	})
}

// sortedItems returns a document with the objects of its lists in one order.
func sortedItems(doc string) string {
	var members map[string]any
	if err := json.Unmarshal([]byte(doc), &members); err != nil {
		return err.Error()
	}
	for _, v := range members {
		if list, ok := v.([]any); ok && len(list) > 0 {
			if _, ok := list[0].(map[string]any); ok {
				slices.SortFunc(list, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
			}
		}
	}
	out, err := json.Marshal(members, json.Deterministic(true))
	return fmt.Sprint(string(out), err)
}

func TestPatch_CarriesLeftovers(t *testing.T) {
	t.Parallel()
	typ := badge(t, "b")
	p, _, err := typ.ParsePatch([]byte(`{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"b","value":"y"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	next, _, err := p.Apply(decoded(t, typ, []byte(`{"number":"1","a":"old","b":"x"}`)))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := text(next), `{"~":[["a","old"]],"number":"1","b":"y"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Whatever is stored, Decode keeps it, and what it writes is a fixed point; or
// it is no document.
func FuzzDecode(f *testing.F) {
	for _, s := range append(seeds(f, "decode", "create"), `{"~":[["a","x"],["d",{"y":"p"},{"x":"1"}]],"number":"1","d":[{"x":"1"}]}`, `{"~":[["d",{"x":"1"},{}],["c.y",[1]]],"c":{"y":{}}}`) {
		f.Add(s)
	}
	typ := badge(f, "a:integer c(x y) d[](x y:boolean)|p")
	f.Fuzz(func(t *testing.T, doc string) {
		r, err := typ.Decode([]byte(doc))
		if err != nil {
			if status(err) != 500 {
				t.Fatalf("got %v, want a 500", err)
			}
			return
		}
		once := r.Append(nil)
		if !jsontext.Value(once).IsValid() {
			t.Fatalf("not JSON: %s", once)
		}
		if twice := text(decoded(t, typ, once)); twice != string(once) {
			t.Fatalf("not a fixed point:\n%s\n%s", once, twice)
		}
		if r.Get("id").Kind()+r.Get("meta").Kind()+r.Get("schemas").Kind() != scim.Absent {
			return // Append writes none of them
		}
		answer, err := typ.Render(nil, once, &tableMeta, nil)
		if err != nil || !jsontext.Value(answer).IsValid() || strings.Contains(string(answer), `"~":`) {
			t.Fatalf("%v: %s", err, answer)
		}
	})
}

// A document is refused with a text for a client, or makes a model.
func FuzzParseCustom(f *testing.F) {
	for _, s := range seeds(f, "custom") {
		f.Add(s)
	}
	rules, err := scim.Rules(scim.Standard)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, doc string) {
		c, err := scim.ParseCustom([]byte(doc))
		if err != nil {
			e, _ := err.(*scim.Error)
			if e == nil || e.Status != 400 || e.Detail == "" || len(e.Detail) > 6000 || !jsontext.Value(e.AppendJSON(nil)).IsValid() {
				t.Fatalf("not an error for a client: %#v", err)
			}
			return
		}
		m, err := scim.NewModel(rules, c)
		if err != nil {
			if !strings.Contains(err.Error(), "no schema") {
				t.Fatalf("taken, and then refused: %v", err)
			}
			return
		}
		for _, typ := range m.Types {
			for _, a := range typ.Attributes() {
				if typ.Attr(a.Path) != a {
					t.Fatalf("%s: %s is another attribute", typ.Name, a.Path)
				}
			}
		}
	})
}
