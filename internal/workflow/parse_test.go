package workflow_test

import (
	"errors"
	"testing"

	"github.com/roster-scim/roster/internal/workflow"
)

// TestParse_Faults runs testdata/parse: a file, and every fault of it.
func TestParse_Faults(t *testing.T) {
	t.Parallel()
	runTable(t, "testdata/parse/*.txt", func(t *testing.T, input string) string {
		f, err := workflow.Parse([]byte(input))
		var faults workflow.Faults
		switch {
		case errors.As(err, &faults) && f == nil:
			return faults.Error()
		case err != nil || f == nil:
			t.Errorf("got %v, %v: want a file or Faults", f, err)
		}
		return "ok"
	})
}
