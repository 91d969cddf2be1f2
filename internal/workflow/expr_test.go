package workflow_test

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/roster-scim/roster/internal/workflow"
)

// tableFile is what the cases of testdata/expr and testdata/template stand in.
const tableFile = `name: x
inputs:
  name: {type: string, required: true}
  flag: {type: boolean, default: true}
  size: {type: integer, default: 3}
  title: {type: string}
  list: {type: array}
  object: {type: object}
  token: {type: string, secret: true}
steps:
  - {id: read, action: get-user, with: {userId: "${{ inputs.name }}"}}
`

func tableEnv(t *testing.T) workflow.Env {
	t.Helper()
	var env workflow.Env
	if err := json.Unmarshal([]byte(`{
		"inputs": {"name": "Ada <Lovelace>", "flag": true, "size": 3, "list": ["a", "b", 7, null], "object": {"b": 1, "a": {"c": [true]}}, "token": "s3cret"},
		"steps": {"read": {"status": "succeeded", "output": {"userName": "ada", "active": false, "emails": [{"value": "ada@corp.example"}]}, "error": null, "changes": [], "before": null}},
		"event": null, "run": {"id": "r1", "workflow": "x", "directory": "d", "trigger": "manual", "started": "2026-11-24T07:00:00Z"}}`), &env); err != nil {
		t.Fatal(err)
	}
	return env
}

// TestExpr runs testdata/expr: a value as it is written, and what it gives as
// JSON, with its error, or with the faults of a file that it is in.
func TestExpr(t *testing.T) {
	t.Parallel()
	runTable(t, "testdata/expr/*.txt", func(t *testing.T, input string) string {
		head := tableFile + "outputs:\n  v: "
		f, err := workflow.Parse([]byte(head + quoted(strings.TrimSuffix(input, "\n"))))
		if err != nil {
			return err.Error()
		}
		v, present, err := f.Outputs[0].Value.Eval(tableEnv(t))
		switch {
		case err != nil:
			return "error: " + err.Error()
		case !present:
			return "nothing"
		}
		data, err := json.Marshal(v, json.Deterministic(true))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	})
}

// TestTemplate runs testdata/template: a template, and what it renders as text
// and as HTML, or the faults of a file that it is in.
func TestTemplate(t *testing.T) {
	t.Parallel()
	runTable(t, "testdata/template/*.txt", func(t *testing.T, input string) string {
		source := quoted(strings.TrimSuffix(input, "\n"))
		f, err := workflow.Parse([]byte(tableFile + "  - id: tell\n    email:\n      to: ada@corp.example\n      subject: x\n      text: " + source + "\n      html: " + source + "\n"))
		if err != nil {
			return err.Error()
		}
		out := ""
		mail := f.Steps[1].Email
		for _, template := range []*workflow.Template{mail.Text, mail.HTML} {
			got, err := template.Render(tableEnv(t))
			if err != nil {
				got = "error: " + err.Error()
			}
			out += got + "\n"
		}
		return out
	})
}
