package workflow_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/roster-scim/roster/internal/workflow"
)

// FuzzParse holds that a source is a file or has faults, in their order, at places
// that are in it, and in words that fit a line.
func FuzzParse(f *testing.F) {
	f.Add([]byte("name: x\ninputs: {a: {type: string}}\nsteps:\n- {id: b, if: inputs.a, then: [{id: c, stop: {}}]}\noutputs:\n  d: |\n    ${{ steps.b.output }}\n"))
	tables, err := filepath.Glob("testdata/parse/*.txt")
	if err != nil || len(tables) == 0 {
		f.Fatalf("no tables: %v", err)
	}
	for _, table := range tables {
		data, err := os.ReadFile(table)
		if err != nil {
			f.Fatal(err)
		}
		for one := range strings.SplitSeq(string(data), "====\n") {
			source, _, _ := strings.Cut(one, "----\n")
			f.Add([]byte(source))
		}
	}
	f.Fuzz(func(t *testing.T, source []byte) {
		got, err := workflow.Parse(source)
		if err == nil {
			if got == nil || got.Name == "" || len(got.Steps) == 0 {
				t.Fatalf("got %+v, want a file with a name and steps", got)
			}
			return
		}
		var faults workflow.Faults
		if !errors.As(err, &faults) || got != nil || len(faults) == 0 || len(faults) > 100 {
			t.Fatalf("got %v, %v, want 1 to 100 Faults", got, err)
		}
		lines := strings.Split(strings.TrimPrefix(strings.ReplaceAll(string(source), "\r\n", "\n"), "\ufeff"), "\n")
		for i, one := range faults {
			if i > 0 && (one.Line < faults[i-1].Line || one.Line == faults[i-1].Line && one.Column < faults[i-1].Column) {
				t.Errorf("%v comes after %v", one, faults[i-1])
			}
			if one.Line < 1 || one.Line > len(lines) || one.Column < 1 || one.Column > utf8.RuneCountInString(lines[one.Line-1])+2 {
				t.Errorf("%v is not in the file", one)
			}
			if one.Text == "" || len(one.Text) > 510 || !utf8.ValidString(one.Text) {
				t.Errorf("the text %q", one.Text)
			}
		}
	})
}

// fuzzEnv has something of every type.
func fuzzEnv() workflow.Env {
	return workflow.Env{
		"inputs": map[string]any{"text": "Ada <ada@corp.example>", "number": 3.5, "flag": true, "list": []any{"a", 1.0, nil, map[string]any{"b": "c"}}, "object": map[string]any{"a": []any{}}, "none": nil},
		"steps":  map[string]any{}, "event": nil, "run": map[string]any{"id": "r1"},
	}
}

// quoted returns a text as JSON, which is YAML.
func quoted(s string) string {
	data, err := json.Marshal(s)
	if err != nil {
		return `"not UTF-8"`
	}
	return string(data)
}

const fuzzInputs = "name: x\ninputs: {text: {type: string}, number: {type: any}, flag: {type: boolean}, list: {type: array}, object: {type: object}, none: {type: any}}\nsteps:\n"

// FuzzExpr holds that an expression that compiles gives a value of JSON or an
// error, the same each time, and that a text with it can be made.
func FuzzExpr(f *testing.F) {
	for _, s := range []string{
		`inputs.text`, `inputs.number + 1 == 4.5`, `inputs.list[3].b`, `inputs.list[1:2]`, `has(inputs.object, "a") ? "x" : 'y'`, `inputs?.none?.a ?? 1`,
		`join(split(inputs.text, " "), "-")`, `json([inputs, {"a": -1, (inputs.text): nil}])`, `not ("a" in inputs.list) and len(keys(inputs)) >= 3`,
		"lower(upper(trim(`x `))) contains 'x'", `default(first(inputs.list), text(1.0e6)) startsWith "a"`, `1..9`, `filter(inputs.list, # == 1)`, `1<(1<(1<1<1)<1)<1`, `advice(nil)`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		file, err := workflow.Parse([]byte(fuzzInputs + "  - {id: a, stop: {message: " + quoted("x ${{"+source+"}} y") + "}}\n  - {id: b, for-each: " + quoted(source) + ", steps: [{id: c, if: true, then: [{id: d, action: list-users}]}]}\n"))
		if err != nil {
			return
		}
		env, before := fuzzEnv(), fuzzEnv()
		got, err := file.Steps[1].ForEach.In.Eval(env)
		again, errAgain := file.Steps[1].ForEach.In.Eval(env)
		if diff := cmp.Diff(got, again); diff != "" || fmt.Sprint(err) != fmt.Sprint(errAgain) {
			t.Errorf("twice, it gives %v, %v and %v, %v", got, err, again, errAgain)
		}
		if _, jsonErr := json.Marshal(got); err == nil && jsonErr != nil {
			t.Errorf("%v is no JSON: %v", got, jsonErr)
		}
		if text, err := file.Steps[0].Stop.Message.Text(env); len(text) > 1<<20 || err == nil && !strings.HasPrefix(text, "x ") {
			t.Errorf("got a text of %d bytes", len(text))
		}
		if diff := cmp.Diff(before, env); diff != "" {
			t.Errorf("it has changed what it was given:\n%s", diff)
		}
	})
}

// FuzzTemplate holds that a template that is valid renders within its bound or
// has an error, and that what is put into HTML is escaped.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{
		`{{ .inputs.text }}`, `{{ range $i, $x := .inputs.list }}{{ $i }}{{ with $x }}{{ . }}{{ else }}-{{ end }}{{ end }}`, `{{ if and .inputs.flag (gt .inputs.number 3) }}x{{ end }}`,
		`{{ index .inputs.object "a" | json }}`, `{{ $x := .inputs.text | upper }}{{ $x = lower $x }}{{ $x | default "y" }}`, `{{ range .inputs.list }}{{ break }}{{ end }}{{- /* c */ -}}`,
		`<a href="{{ .inputs.text }}" style="{{ .inputs.text }}" onclick="{{ .inputs.text }}">`, `<script>{{ .inputs.object }}</script>`, `{{ define "a" }}{{ end }}`, `{{ join ", " .inputs.list }}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		file, err := workflow.Parse([]byte(fuzzInputs + "  - {id: a, email: {to: ada@corp.example, subject: x, text: " + quoted(source) + ", html: " + quoted(source) + "}}\n"))
		if err != nil {
			return
		}
		mail := file.Steps[0].Email
		for _, template := range []*workflow.Template{mail.Text, mail.HTML} {
			got, err := template.Render(fuzzEnv())
			if len(got) > 1<<20 || err != nil && got != "" {
				t.Errorf("got %d bytes and %v", len(got), err)
			}
			if again, _ := template.Render(fuzzEnv()); again != got {
				t.Errorf("got %q and then %q", got, again)
			}
			if template.HTML && strings.Contains(got, "<ada@") && !strings.Contains(source, "<ada@") {
				t.Errorf("%q is not escaped", got)
			}
		}
	})
}

// genJSON generates values as JSON decodes to, with texts that hold no expression
// and, as a file may not have them, no bare control characters.
func genJSON(depth int) *rapid.Generator[any] {
	text := rapid.Map(rapid.String(), func(s string) string {
		s = strings.Map(func(r rune) rune {
			if 0x7f <= r && r <= 0x9f { // which JSON leaves as they are
				return -1
			}
			return r
		}, s)
		return strings.ReplaceAll(s, "${{", "")
	})
	generators := []*rapid.Generator[any]{
		rapid.Just[any](nil), rapid.Map(rapid.Bool(), func(v bool) any { return v }), rapid.Map(text, func(v string) any { return v }),
		rapid.Map(rapid.Int32(), func(v int32) any { return float64(v) }), rapid.Map(rapid.Float64Range(-1e9, 1e9), func(v float64) any { return v }),
	}
	if depth > 0 {
		generators = append(generators,
			rapid.Map(rapid.SliceOfN(genJSON(depth-1), 0, 4), func(v []any) any { return append([]any{}, v...) }),
			rapid.Map(rapid.MapOfN(text, genJSON(depth-1), 0, 4), func(v map[string]any) any { return v }))
	}
	return rapid.OneOf(generators...)
}

// TestValue_WithoutExpressionsIsItself: JSON is YAML, and a value without
// expressions gives what is written.
func TestValue_WithoutExpressionsIsItself(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := genJSON(3).Draw(t, "value")
		data, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		f, err := workflow.Parse([]byte("name: x\nsteps: [{id: a, action: list-users}]\noutputs: {v: [" + string(data) + "]}\n"))
		if err != nil {
			t.Fatalf("%v in %s", err, data)
		}
		got, present, err := f.Outputs[0].Value.Eval(nil)
		if diff := cmp.Diff([]any{want}, got); diff != "" || !present || err != nil {
			t.Fatalf("got %v, %v, %v of %s", got, present, err, data)
		}
	})
}

// TestValue_ExpressionIsWhatItNames: a value that is one expression has the value
// and the type of what it names, within others as well as alone.
func TestValue_ExpressionIsWhatItNames(t *testing.T) {
	t.Parallel()
	f, err := workflow.Parse([]byte("name: x\ninputs: {v: {type: any}}\nsteps: [{id: a, action: list-users}]\noutputs:\n  v: ${{ inputs.v }}\n  w: {a: [\" ${{inputs.v}}\", \"${{inputs.v}}\"]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		want := genJSON(3).Draw(t, "value")
		env := workflow.Env{"inputs": map[string]any{"v": want}}
		got, present, err := f.Outputs[0].Value.Eval(env)
		if diff := cmp.Diff(want, got); diff != "" || present != (want != nil) || err != nil {
			t.Fatalf("got %v, %v, %v, want %v", got, present, err, want)
		}
		got, _, err = f.Outputs[1].Value.Eval(env)
		if err != nil {
			t.Fatal(err)
		}
		list := got.(map[string]any)["a"].([]any)
		text, isText := list[0].(string)
		if !isText || len(list) != 2 && want != nil || len(list) != 1 && want == nil {
			t.Fatalf("got %v, want a text, and the value unless it is nothing", list)
		}
		var back any
		if _, plain := want.(string); !plain && want != nil && (json.Unmarshal([]byte(text), &back) != nil || !cmp.Equal(back, want)) {
			t.Fatalf("got the text %q, want %v as JSON", text, want)
		}
	})
}
