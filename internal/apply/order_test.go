package apply_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/roster-scim/roster/internal/apply"
	"github.com/roster-scim/roster/scim"
)

// TestExecute_RowOfFreedValues takes names along a row of people, whichever way the
// file has them.
func TestExecute_RowOfFreedValues(t *testing.T) {
	t.Parallel()
	const n = 12
	for _, step := range []int{1, -1, 5} {
		b := newBench(t, open(t, serve(t, scim.Standard, nil)))
		people, rows := "externalId,userName\n", "externalId,userName\n"
		for i := range n {
			people += fmt.Sprintf("E%d,u%d\n", i, i)
			j := ((i*step)%n + n) % n
			rows += fmt.Sprintf("E%d,u%d\n", j, j+1)
		}
		b.apply(people, n)
		b.apply(rows, n)
	}
}

// TestPlan_CircleOfNames: no order of requests gives everybody the name of the next.
func TestPlan_CircleOfNames(t *testing.T) {
	t.Parallel()
	b := newBench(t, open(t, serve(t, scim.Standard, nil)))
	b.apply("externalId,userName\nE1,ada\nE2,bob\nE3,carl\nE4,dora\n", 4)
	for rows, want := range map[string]string{
		"E1,BOB\nE2,Ada\n":                `line 2: "ada" and "bob" change their userNames in a circle`,
		"E4,x\nE3,ada\nE1,bob\nE2,carl\n": `line 4: "ada" and "bob" and "carl" change`,
		"E1,ADA\nE2,x\n":                  "",
	} {
		_, err := b.plan("externalId,userName\n"+rows, "", apply.PlanOptions{})
		var faults *apply.Faults
		if errors.As(err, &faults) != (want != "") || want != "" && !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", rows, err, want)
		}
	}
}

// TestRun_WriteMissing writes whom no row names and who could not be deactivated.
func TestRun_WriteMissing(t *testing.T) {
	t.Parallel()
	var down atomic.Bool
	b := newBench(t, open(t, serve(t, scim.Standard, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if down.Load() && r.Method == http.MethodPut {
				http.Error(w, `{"status":"400","detail":"no"}`, http.StatusBadRequest)
				return
			}
			next.ServeHTTP(w, r)
		})
	})))
	b.apply("userName\nada\nbob\n", 2)
	run, err := b.plan("userName\nada\n", "", apply.PlanOptions{DeactivateMissing: true})
	if err != nil {
		t.Fatal(err)
	}
	down.Store(true)
	if _, err := apply.Execute(t.Context(), b.d, run, apply.ExecuteOptions{}); err != nil {
		t.Fatal(err)
	}
	var out, rows bytes.Buffer
	if n, err := run.WriteMissing(&out); n != 1 || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
	if err := run.WriteFailed(&rows); err != nil || rows.String() != "userName,roster.reason\n" {
		t.Errorf("got %q, %v", rows.String(), err)
	}
	// It is ready to be applied.
	down.Store(false)
	again, err := b.plan(out.String(), apply.NDJSON, apply.PlanOptions{})
	if err != nil {
		t.Fatalf("%v in %s", err, out.String())
	}
	b.execute(again, 1)
	if got := b.export(apply.NDJSON); strings.Count(got, `"active":false`) != 1 {
		t.Errorf("got %s", got)
	}
}
