package action_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/roster-scim/roster/action"
	"github.com/roster-scim/roster/client"
)

func TestManifestInput(t *testing.T) {
	t.Parallel()
	type flags = map[string][]string
	tests := []struct {
		name   string
		action string
		flags  flags
		clear  []string
		want   string // the input as JSON, or the faults
	}{
		{"nothing", "update-user", nil, nil, `{}`},
		{"texts, empty too", "update-user", flags{"title": {"CTO"}, "nick-name": {""}}, nil, `{"nickName":"","title":"CTO"}`},
		{"the last text counts", "update-user", flags{"title": {"a", "b"}}, nil, `{"title":"b"}`},
		{"false and null", "update-user", flags{"active": {" false\n"}}, []string{"title"}, `{"active":false,"title":null}`},
		{"one address is primary", "update-user", flags{"email": {"a@b"}}, nil, `{"emails":[{"value":"a@b","type":"work","primary":true}]}`},
		{"the first of two", "update-user", flags{"email": {"a@b", "c@d"}}, nil, `{"emails":[{"value":"a@b","type":"work","primary":true},{"value":"c@d","type":"work"}]}`},
		{"with a comma", "update-user", flags{"phone": {"+44 1, +44 2"}}, nil, `{"phoneNumbers":[{"value":"+44 1","type":"work"},{"value":"+44 2","type":"work"}]}`},
		{"JSON", "update-user", flags{"emails": {`[{"value":"a@b"}]`}, "name": {`{"givenName":"Ada"}`}}, nil, `{"emails":[{"value":"a@b"}],"name":{"givenName":"Ada"}}`},
		{"parts", "update-user", flags{"given-name": {"Ada"}, "family-name": {""}}, nil, `{"name":{"familyName":"","givenName":"Ada"}}`},
		{"names", "get-user", flags{"attributes": {"userName,emails.value", "title"}}, nil, `{"attributes":["userName","emails.value","title"]}`},
		{"names as JSON", "get-user", flags{"attributes": {`["userName"]`}}, nil, `{"attributes":["userName"]}`},
		{"a list of lines", "add-members", flags{"group-id": {"g"}, "member": {"u1,u2\nu3\r\n"}}, nil, `{"groupId":"g","members":["u1","u2","u3"]}`},
		{"an empty list", "add-members", flags{"member": {""}}, nil, `{"members":[]}`},
		{"members", "create-group", flags{"member": {"u1", "u2"}}, nil, `{"members":[{"value":"u1"},{"value":"u2"}]}`},
		{"a number", "list-users", flags{"count": {"0"}, "all": {"true"}}, nil, `{"all":true,"count":0}`},
		{"twice", "update-user", flags{"email": {"a@b"}, "emails": {"[]"}, "given-name": {"A"}}, []string{"name"}, "emails is given by two flags: give one of them\nname is given by two flags: give one of them"},
		{"clear of nothing", "create-group", nil, []string{"groups"}, "--clear groups: no such parameter; there are displayName, externalId, members"},
		{"an unknown flag", "get-user", flags{"colour": {"x"}}, nil, "--colour is no flag of get-user"},
		{"no UTF-8", "update-user", flags{"given-name": {"\xff"}}, nil, `name: name: `},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a, err := action.Find(tt.action)
			if err != nil {
				t.Fatal(err)
			}
			in, err := a.Input(tt.flags, tt.clear)
			if err != nil {
				if !strings.HasPrefix(err.Error(), tt.want) || strings.HasPrefix(tt.want, "{") {
					t.Errorf("got %v, want %s", err, tt.want)
				}
				return
			}
			got := make(map[string]json.RawMessage)
			for name, v := range in {
				got[name] = json.RawMessage(v)
			}
			doc, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(doc), tt.want); diff != "" {
				t.Errorf("(-got +want):\n%s", diff)
			}
		})
	}
}

// TestProperty_WhatIsGivenIsSent draws the flags of an action that sends a body:
// what they give is in the body, with its value, and nothing else is.
func TestProperty_WhatIsGivenIsSent(t *testing.T) {
	t.Parallel()
	var body atomic.Pointer[[]byte]
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			sent, _ := io.ReadAll(r.Body) // what did not come is missing in it
			body.Store(&sent)
		}
		_, _ = io.WriteString(w, `{"id":"x1","userName":"before","displayName":"before","nickName":"before"}`)
	}))
	t.Cleanup(srv.Close)
	c := &client.Client{BaseURL: srv.URL, Directory: "d", Retries: -1}
	text := rapid.OneOf(rapid.SampledFrom([]string{"", "a", "@a", "-", "null", "false", "[", `"`, "a,b", " a ", "ß\t\u2028"}), rapid.StringN(0, 8, -1))
	for _, name := range []string{"create-user", "update-user", "create-group", "update-group"} {
		a, err := action.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		rapid.Check(t, func(rt *rapid.T) {
			flags, want := make(map[string][]string), make(map[string]any)
			var clear []string
			for _, p := range a.Parameters() {
				switch {
				case p.Required:
					flags[p.Flag] = []string{"x1"}
					if want[p.Name] = "x1"; p.In == action.InPath {
						delete(want, p.Name)
					}
					continue
				case p.In != action.InBody || rapid.Bool().Draw(rt, "without "+p.Name):
					continue
				case rapid.IntRange(0, 4).Draw(rt, "null "+p.Name) == 0:
					clear = append(clear, p.Name)
					want[p.Name] = nil
					continue
				}
				v := drawValue(rt, &p, text)
				want[p.Name] = v
				if p.Type == action.String {
					flags[p.Flag] = []string{v.(string)}
					continue
				}
				doc, err := json.Marshal(v)
				if err != nil {
					rt.Fatal(err)
				}
				flags[p.Flag] = []string{string(doc)}
			}
			in, err := a.Input(flags, clear)
			if err != nil {
				rt.Fatalf("%q: %v", flags, err)
			}
			if err := a.Validate(in); err != nil {
				rt.Fatalf("%q: %v", flags, err)
			}
			body.Store(nil)
			if _, err := a.Run(t.Context(), c, in); err != nil {
				// Rules of the standard refuse more than the manifest: then nothing is sent.
				if body.Load() != nil || !strings.HasPrefix(name, "update") {
					rt.Fatalf("%q: %v", flags, err)
				}
				return
			}
			got := make(map[string]any)
			if err := json.Unmarshal(*body.Load(), &got); err != nil {
				rt.Fatalf("%q: %v in %s", flags, err, *body.Load())
			}
			delete(got, "schemas")
			if emails, ok := want["emails"].([]any); ok && len(emails) == 1 {
				if one := emails[0].(map[string]any); one["primary"] == nil {
					if _, said := one["primary"]; !said {
						one["primary"] = true // a lone one is marked
					}
				}
			}
			if diff := cmp.Diff(got, want); diff != "" {
				rt.Fatalf("%q --clear %q: sent (-got +want):\n%s", flags, clear, diff)
			}
		})
	}
}

// drawValue returns a value that fits a parameter.
func drawValue(rt *rapid.T, p *action.Parameter, text *rapid.Generator[string]) any {
	object := func() any {
		o := make(map[string]any)
		for _, part := range p.Parts {
			switch {
			case part.Name == "value" && p.Name == "members":
				o["value"] = "u1"
			case part.Name == "value":
				o["value"] = rapid.StringMatching(`[a-z]{1,8}`).Draw(rt, "value")
			case rapid.Bool().Draw(rt, "without "+part.Name):
			case part.Type == action.Boolean:
				o[part.Name] = false
			default:
				o[part.Name] = text.Draw(rt, part.Name)
			}
		}
		return o
	}
	switch p.Type {
	case action.Boolean:
		return rapid.Bool().Draw(rt, p.Name)
	case action.Object:
		return object()
	case action.Array:
		list := []any{}
		for range rapid.IntRange(0, 3).Draw(rt, "length") {
			list = append(list, object())
		}
		return list
	}
	return text.Draw(rt, p.Name)
}

// TestProperty_FormsAgree holds for the short flags: what they give is what JSON
// gives.
func TestProperty_FormsAgree(t *testing.T) {
	t.Parallel()
	for _, a := range action.All() {
		for _, p := range a.Parameters() {
			var parts []string
			for _, part := range p.Parts {
				if part.Flag != "" {
					parts = append(parts, part.Flag)
				}
			}
			rapid.Check(t, func(rt *rapid.T) {
				short, long := make(map[string][]string), make(map[string][]string)
				word := rapid.StringMatching(`[a-z@. ]{0,6}[a-z]`)
				switch {
				case p.Short != nil:
					var objects []map[string]any
					for i := range rapid.IntRange(1, 3).Draw(rt, "n") {
						o := map[string]any{"value": strings.TrimSpace(word.Draw(rt, "value"))}
						if p.Short.Type != "" {
							o["type"] = p.Short.Type
						}
						if p.Short.Primary && i == 0 {
							o["primary"] = true
						}
						objects = append(objects, o)
						short[p.Short.Flag] = append(short[p.Short.Flag], o["value"].(string))
					}
					doc, _ := json.Marshal(objects)
					long[p.Flag] = []string{string(doc)}
				case parts != nil:
					o := make(map[string]any)
					for _, part := range p.Parts {
						if rapid.Bool().Draw(rt, part.Name) {
							o[part.Name] = word.Draw(rt, "text")
							short[part.Flag] = []string{o[part.Name].(string)}
						}
					}
					if len(o) == 0 {
						return
					}
					doc, _ := json.Marshal(o)
					long[p.Flag] = []string{string(doc)}
				case p.Type == action.Names || p.Type == action.List:
					list := rapid.SliceOfN(rapid.StringMatching(`[a-z.]{1,6}`), 0, 4).Draw(rt, "list")
					doc, _ := json.Marshal(list)
					short[p.Flag], long[p.Flag] = []string{strings.Join(list, ",")}, []string{string(doc)}
				default:
					return
				}
				one, err := a.Input(short, nil)
				if err != nil {
					rt.Fatal(err)
				}
				other, err := a.Input(long, nil)
				if err != nil {
					rt.Fatal(err)
				}
				names := slices.Collect(maps.Keys(one))
				if len(names) != 1 || len(other) != 1 {
					rt.Fatalf("%q: %v and %v", short, one, other)
				}
				x, y := one[names[0]].Clone(), other[names[0]].Clone()
				if x.Canonicalize() != nil || y.Canonicalize() != nil || !bytes.Equal(x, y) {
					rt.Fatalf("%q gives %s, %q gives %s", short, x, long, y)
				}
			})
		}
	}
}

// FuzzManifestInput holds for any text in any flag: what becomes of it is refused
// in words, or is JSON that Validate has passed.
func FuzzManifestInput(f *testing.F) {
	for _, text := range []string{"", "a,b", "[", `["a"]`, `[{"value":"a@b"}]`, `{"givenName":"Ada"}`, "true", "1", "null", "\xff", ",\n,", `[{"op":"add"}]`} {
		f.Add(text, "")
		f.Add(text, "emails")
	}
	f.Fuzz(func(t *testing.T, text, clear string) {
		for _, a := range action.All() {
			for _, p := range a.Parameters() {
				flags := map[string][]string{p.Flag: {text, text}}
				if p.Short != nil && clear == "" {
					flags = map[string][]string{p.Short.Flag: {text}}
				}
				in, err := a.Input(flags, []string{clear})
				if clear == "" {
					in, err = a.Input(flags, nil)
				}
				if err == nil {
					err = a.Validate(in)
				}
				var bad *action.InputError
				switch {
				case err == nil:
					for name, v := range in {
						if !v.IsValid() {
							t.Errorf("%s %s %q: passed %s", a.Name, name, text, v)
						}
					}
				case !errors.As(err, &bad) || len(bad.Faults) == 0 || bad.Faults[0].Text == "":
					t.Errorf("%s %s %q: got %v", a.Name, p.Name, text, err)
				}
			}
		}
	})
}
