package scim_test

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/scim"
)

// seeds returns the inputs of the tables' cases of some commands: what the
// fuzzers start from. Without any it fails: a fuzzer that starts from nothing
// finds nothing.
func seeds(f *testing.F, commands ...string) (inputs []string) {
	f.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		for _, c := range readCases(f, file) {
			words := strings.Fields(c.command)
			for _, command := range commands {
				if words[0] != command {
					continue
				}
				if s, err := strconv.Unquote(c.input); err == nil && strings.Contains(c.command, "quoted") {
					c.input = s
				}
				inputs = append(inputs, c.input)
			}
		}
	}
	if len(inputs) == 0 {
		f.Fatalf("no seeds: testdata/*.txt has no case of %v", commands)
	}
	return inputs
}

// checkRefusal: what a client gets to see of a refusal is a bounded text.
func checkRefusal(tb fataler, err error, want ...int) {
	tb.Helper()
	var ok bool
	for _, w := range want {
		ok = ok || status(err) == w
	}
	e, _ := err.(*scim.Error)
	if !ok || e == nil || e.Detail == "" || len(e.Detail) > 1000 || e.Err != nil {
		tb.Fatalf("not an error for a client: %#v", err)
	}
	if !jsontext.Value(e.AppendJSON(nil)).IsValid() {
		tb.Fatalf("its body is not JSON: %q", e.AppendJSON(nil))
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range seeds(f, "parse", "create", "current", "replace") {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		valid := jsontext.Value(data).IsValid()
		for _, tt := range allTypes {
			typ := typeOf(t, tt.rules, tt.name)
			input := string(data)
			r, notes, err := typ.Parse(data)
			if string(data) != input {
				t.Fatal("Parse wrote to its input")
			}
			if len(notes.Ignored) > 20 || len(notes.Coerced) > 20 {
				t.Fatalf("%d notes", len(notes.Ignored)+len(notes.Coerced))
			}
			if err != nil {
				checkRefusal(t, err, 400)
				if strings.Contains(err.Error(), "not valid JSON") && valid {
					t.Fatalf("valid JSON refused: %v", err)
				}
				continue
			}
			if !valid {
				t.Fatalf("taken, and no JSON: %s", text(r))
			}
			checkCanonical(t, r)
			again, notes, err := typ.Parse(r.Append(nil))
			if err != nil || text(again) != text(r) || len(notes.Ignored)+len(notes.Coerced) > 0 {
				t.Fatalf("parsed again: %v, %v\ngot  %v\nwant %s", notes, err, again, text(r))
			}
			if next, err := scim.Create(r); err == nil {
				checkCanonical(t, next)
			} else {
				checkRefusal(t, err, 400)
			}
		}
	})
}

func FuzzReplace(f *testing.F) {
	current := rfcUser
	for _, s := range seeds(f, "replace", "current") {
		f.Add([]byte(current), []byte(s))
		current = s
	}
	f.Fuzz(func(t *testing.T, was, body []byte) {
		for _, tt := range allTypes {
			typ := typeOf(t, tt.rules, tt.name)
			r, _, err := typ.Parse(was)
			if err != nil {
				continue
			}
			b, _, err := typ.Parse(body)
			if err != nil {
				continue
			}
			current, err := scim.Create(r)
			if err != nil {
				continue
			}
			checkReplace(t, current, b)
		}
	})
}

func FuzzFold(f *testing.F) {
	list := []string{"", "ada", "ADA", "Straße", "STRASSE", "K\u212a\u017f", "\xff", "\xfe\u00b5", "İstanbul"}
	for _, s := range append(list, seeds(f, "filter")...) {
		f.Add(s, strings.ToUpper(s))
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		checkFold(t, a, b)
		checkFold(t, a, strings.ToLower(a))
	})
}

func FuzzParseFilter(f *testing.F) {
	for _, s := range seeds(f, "filter") {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, tt := range allTypes {
			typ := typeOf(t, tt.rules, tt.name)
			filter, err := typ.ParseFilter(s)
			if err != nil {
				checkRefusal(t, err, 400, 403)
				continue
			}
			text := filter.String()
			if !utf8.ValidString(text) {
				t.Fatalf("bad UTF-8 in %q", text)
			}
			if len(text) > scim.MaxFilter {
				continue // escapes make it longer
			}
			again, err := typ.ParseFilter(text)
			if err != nil || again.String() != text {
				t.Fatalf("%q printed and parsed again: got %v, %v", text, again, err)
			}
			r := created(t, typ, samples[tt.name])
			if filter.Match(r, &tableMeta) != again.Match(r, &tableMeta) {
				t.Fatalf("%q and %q do not match the same", s, text)
			}
		}
	})
}

func FuzzProjection(f *testing.F) {
	var lists []string
	for _, file := range []string{"testdata/render_atlassian.txt", "testdata/render_custom.txt"} {
		for _, c := range readCases(f, file) {
			for _, w := range strings.Fields(c.command) {
				if _, list, ok := strings.Cut(w, "="); ok && !strings.HasPrefix(w, "links=") {
					lists = append(lists, list)
				}
			}
		}
	}
	if len(lists) == 0 {
		f.Fatal("no seeds: testdata/render_*.txt has no projections")
	}
	for _, list := range lists {
		f.Add(list, "")
		f.Add("", list)
		f.Add(list, list)
	}
	gadget := `{"serial":"s1","label":"l","notes":"n","tags":["a"],"place":{"country":"US","key":"k"},"parts":[{"value":"v","count":1},{"value":"w"}],"urn:example:schemas:Gadget:warranty":{"until":"2030-01-01T00:00:00Z","seller":{"value":"x","phone":"1"}}}`
	f.Fuzz(func(t *testing.T, attributes, excluded string) {
		checkProjection(t, created(t, typeOf(t, scim.Atlassian, "User"), rfcUser), []string{attributes}, []string{excluded})
		checkProjection(t, created(t, typeOf(t, scim.Standard, "Gadget"), gadget), []string{attributes}, []string{excluded})
	})
}

// samples are a resource of each type that filters are tried on.
var samples = map[string]string{
	"User":   rfcUser,
	"Group":  `{"displayName":"team"}`,
	"Gadget": `{"serial":"s1","label":"l","notes":"n","tags":["a"],"place":{"country":"US","key":"k"},"parts":[{"value":"v","count":1},{"value":"w"}],"urn:example:schemas:Gadget:warranty":{"until":"2030-01-01T00:00:00Z","seller":{"value":"x","phone":"1"}}}`,
}
