package workflow_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/internal/workflow"
)

// A page of large runs ends early, and the next one goes on after it.
func TestService_ListRunsLarge(t *testing.T) {
	t.Parallel()
	s := newService(t, openStore(t, sqliteDSN(t)), nil)
	s.deploy("d1", "a", "")
	input := map[string]jsontext.Value{"userId": jsontext.Value(`"` + strings.Repeat("x", 1500<<10) + `"`)}
	for range 7 {
		if _, err := s.Start(t.Context(), workflow.Start{Directory: "d1", Workflow: "a", Inputs: input}); err != nil {
			t.Fatal(err)
		}
	}
	var sizes []int
	seen := map[string]bool{}
	for q := (workflow.RunList{Directory: "d1"}); len(sizes) == 0 || q.Before != ""; {
		page, next, err := s.ListRuns(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		sizes, q.Before = append(sizes, len(page)), next
		for _, run := range page {
			seen[run.ID] = true
		}
	}
	if want := []int{3, 3, 1}; !slices.Equal(sizes, want) || len(seen) != 7 {
		t.Errorf("got pages of %v with %d runs, want %v with 7", sizes, len(seen), want)
	}
}
