package workflow_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster/internal/workflow"
)

// examples are the mails that the pages show, of testdata/library.
var examples = map[string]string{
	"create-user-and-email": "created", "deactivate-user-and-email": "deactivated", "delete-user-and-email": "deleted",
	"list-users-and-email": "none", "offboard": "incomplete", "update-user-and-email": "changed",
}

// page returns the page of a workflow of the library.
func page(t *testing.T, f *workflow.LibraryFile) string {
	t.Helper()
	var b bytes.Buffer
	fmt.Fprintf(&b, "<!-- Made from internal/workflow/library/%s.yaml by go test ./internal/workflow -update. Do not edit. -->\n\n", f.Name)
	fmt.Fprintf(&b, "# %s\n\n%s\n\n## Inputs\n\n| Input | Type | Description |\n| --- | --- | --- |\n", f.Name, f.Description)
	required := ""
	for _, in := range f.Inputs {
		text := in.Description
		if in.Required {
			text = "Required. " + text
			required += fmt.Sprintf(" --input %s=…", in.Name)
		}
		if len(in.Values) > 0 {
			text += " One of `" + strings.Join(in.Values, "`, `") + "`."
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", in.Name, in.Type, strings.ReplaceAll(text, "|", `\|`))
	}
	fmt.Fprintf(&b, "\n## Steps\n\n")
	list(&b, f.Steps, "")
	fmt.Fprintf(&b, "\nWhen a step fails:\n\n")
	list(&b, f.OnError, "")
	fmt.Fprintf(&b, "\nThen the run has failed.\n\n## Outputs\n\n")
	for _, o := range f.Outputs {
		fmt.Fprintf(&b, "* `%s`: `%s`\n", o.Name, o.Value.Source)
	}
	mail, err := os.ReadFile(filepath.Join("testdata", "library", f.Name+"."+examples[f.Name]+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ := strings.Cut(string(mail), "\n[")
	fmt.Fprintf(&b, "\n## A mail\n\nAs text; it has the same in HTML.\n\n```\n%s\n```\n", strings.TrimSpace(text))
	fmt.Fprintf(&b, "\n## Use\n\n```sh\nroster workflow new %s > %s.yaml     # to change it\nroster workflow validate %s.yaml\nroster workflow deploy %s.yaml\nroster workflow run %s%s\n```\n\nThe form of the file: [workflows](../workflows.md).\n",
		f.Name, f.Name, f.Name, f.Name, f.Name, required)
	return b.String()
}

// list writes steps as a list, those within others below them.
func list(b *bytes.Buffer, steps []*workflow.Step, indent string) {
	for _, s := range steps {
		what, when := "", ""
		switch {
		case s.Action != nil:
			what = fmt.Sprintf("the action [%s](../actions/%s.md)", s.Action.Name, s.Action.Name)
		case s.Email != nil:
			what = fmt.Sprintf("a mail, %q", s.Email.Subject.Source)
		case s.ForEach != nil:
			what = fmt.Sprintf("for each `%s` of `%s`", s.ForEach.As, s.ForEach.In.Source)
		case s.Stop != nil:
			what = "ends the run"
			if s.Stop.Failed {
				what = "fails the run"
			}
		}
		if s.When != nil {
			when = fmt.Sprintf(", when `%s`", s.When.Source)
		}
		fmt.Fprintf(b, "%s* `%s`: %s%s\n", indent, s.ID, what, when)
		if s.ForEach != nil {
			list(b, s.ForEach.Steps, indent+"  ")
		}
	}
}

func TestPages_AreInStep(t *testing.T) {
	t.Parallel()
	dir := filepath.Join("..", "..", "docs", "workflows")
	want := make(map[string]bool)
	for _, f := range workflow.Library() {
		path, made := filepath.Join(dir, f.Name+".md"), page(t, f)
		want[f.Name+".md"] = true
		if *update {
			if err := os.WriteFile(path, []byte(made), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(got), made); diff != "" {
			t.Errorf("%s is out of step: run go test ./internal/workflow -update\n%s", path, diff)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !want[file.Name()] {
			t.Errorf("%s is of no workflow: remove it", file.Name())
		}
	}
}

// TestReference_Examples keeps docs/workflows.md true: each of its examples that
// is a whole file is valid, and each function is in it.
func TestReference_Examples(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join("..", "..", "docs", "workflows.md"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for i, block := range strings.Split(string(data), "```") {
		source, ok := strings.CutPrefix(block, "yaml\n")
		if i%2 == 0 || !ok || !strings.HasPrefix(source, "name:") {
			continue
		}
		n++
		if _, err := workflow.Parse([]byte(source)); err != nil {
			t.Errorf("%v in\n%s", err, source)
		}
	}
	if n == 0 {
		t.Error("no example is a whole file")
	}
	for _, name := range workflow.FunctionNames() {
		if !strings.Contains(string(data), "| `"+name+"(") {
			t.Errorf("the function %s is not in docs/workflows.md", name)
		}
	}
}
