package workflow_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster/action"
	"github.com/roster-scim/roster/internal/workflow"
)

func TestLibrary_Names(t *testing.T) {
	t.Parallel()
	var got []string
	for _, f := range workflow.Library() {
		got = append(got, f.Name)
		if f.Description == "" {
			t.Errorf("%s has no description", f.Name)
		}
	}
	want := []string{"create-user-and-email", "deactivate-user-and-email", "delete-user-and-email", "list-users-and-email", "offboard", "update-user-and-email"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFromLibrary_Unknown(t *testing.T) {
	t.Parallel()
	_, err := workflow.FromLibrary("ofboard")
	if got, want := err.Error(), `no workflow "ofboard" in the library: did you mean offboard?`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLibraryFile_Rename(t *testing.T) {
	t.Parallel()
	f, err := workflow.FromLibrary("offboard")
	if err != nil {
		t.Fatal(err)
	}
	source, err := f.Rename("good-bye")
	if err != nil {
		t.Fatal(err)
	}
	renamed, err := workflow.Parse([]byte(source))
	if err != nil || renamed.Name != "good-bye" {
		t.Errorf("got %v, %v, want good-bye", renamed, err)
	}
	if _, err := f.Rename("Good Bye"); err == nil {
		t.Error("a name that no file can have was taken")
	}
}

// TestLibrary_InputsAreTheParameters keeps the library and the manifests in step:
// what a workflow about one action takes is what the action takes, and the
// recipient.
func TestLibrary_InputsAreTheParameters(t *testing.T) {
	t.Parallel()
	types := map[action.Type]string{
		action.String: "string", action.Boolean: "boolean", action.Integer: "integer", action.Object: "object",
		action.Array: "array", action.Names: "any", action.List: "any",
	}
	for _, f := range workflow.Library() {
		name, one := strings.CutSuffix(f.Name, "-and-email")
		if !one {
			continue
		}
		a, err := action.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		type input struct {
			Name, Type string
			Required   bool
			Values     []string
		}
		var got, want []input
		for _, in := range f.Inputs {
			got = append(got, input{in.Name, in.Type, in.Required, in.Values})
			if in.Description == "" {
				t.Errorf("%s: the input %s is not explained", f.Name, in.Name)
			}
		}
		for _, p := range a.Parameters() {
			want = append(want, input{p.Name, types[p.Type], p.Required, p.Values})
		}
		want = append(want, input{"recipient", "string", true, nil})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", f.Name, diff)
		}
	}
}

// mails renders the mails of steps, those in others too, as text and as HTML.
func mails(t *testing.T, steps []*workflow.Step, env workflow.Env) (text, page string) {
	t.Helper()
	for _, s := range steps {
		if s.Email == nil {
			continue
		}
		check := func(v string, err error) string {
			if err != nil {
				t.Errorf("%s: %v", s.ID, err)
			}
			return v
		}
		text += "To: " + check(s.Email.To[0].Text(env)) + "\nSubject: " + check(s.Email.Subject.Text(env)) + "\n\n" + check(s.Email.Text.Render(env))
		for _, a := range s.Email.Attach {
			v, _, err := a.Content.Eval(env)
			if err != nil {
				t.Errorf("%s: %v", a.Name, err)
			}
			data, err := json.Marshal(v, json.Deterministic(true), jsontext.WithIndent("  "))
			text += "\n[" + a.Name + "]\n" + check(string(data), err) + "\n"
		}
		page += check(s.Email.HTML.Render(env))
	}
	return text, page
}

// TestLibrary_Mails renders every mail of the library with what its steps gave,
// testdata/library/*.json: env, and in failed the roots of a run that failed. The
// mails are beside it.
func TestLibrary_Mails(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/library/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests: %v", err)
	}
	var seen []string
	for _, file := range files {
		base := strings.TrimSuffix(file, ".json")
		name, _, _ := strings.Cut(filepath.Base(base), ".")
		seen = append(seen, name)
		t.Run(filepath.Base(base), func(t *testing.T) {
			t.Parallel()
			f, err := workflow.FromLibrary(name)
			if err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var env workflow.Env
			if err := json.Unmarshal(data, &env); err != nil {
				t.Fatal(err)
			}
			env["run"] = map[string]any{"id": "r-7f3a", "workflow": f.Name, "directory": "d-0001", "trigger": "manual", "started": "2026-11-24T07:00:00Z"}
			steps := f.Steps
			if env["error"] != nil {
				steps = f.OnError
			}
			text, page := mails(t, steps, env)
			for path, got := range map[string]string{base + ".txt": text, base + ".html": page} {
				if *update {
					if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", path, diff)
				}
			}
		})
	}
	for _, f := range workflow.Library() {
		if n := len(slices.DeleteFunc(slices.Clone(seen), func(s string) bool { return s != f.Name })); n < 2 {
			t.Errorf("%s is rendered %d times, want a success and a failure", f.Name, n)
		}
	}
}
