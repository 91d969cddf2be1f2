package durable

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/workflow"
)

// A run that sleeps when its node stops wakes at the moment that was set at first.
func TestEngine_SleepGoesOn(t *testing.T) {
	onBoth(t, func(t *testing.T, o opener) {
		body := func(ctx context.Context, x workflow.Execution) ([]byte, error) {
			return nil, x.Sleep(ctx, 2*time.Second)
		}
		first := o.node(body)
		start(t, first, "r1")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		ends := func(e *Engine) []string {
			list, err := e.db.ids(ctx, `SELECT output FROM {}operation_outputs`)
			is(t, "read", err, nil)
			return list
		}
		for deadline := time.Now().Add(patience); len(ends(first)) == 0; {
			if t.Failed() || time.Now().After(deadline) {
				t.Fatal("the run does not sleep")
			}
		}
		end := ends(first)
		closeNow(t, first)
		second := o.node(body)
		r := wait(t, second, "r1")
		equal(t, "status", r.Status, roster.RunSucceeded)
		equal(t, "the end of the sleep", ends(second), end)
		ms, err := strconv.ParseInt(end[0][1:], 10, 64)
		is(t, "read", err, nil)
		if at := time.UnixMilli(ms); r.Finished.Before(at.Add(-2 * time.Millisecond)) {
			t.Errorf("it ended %s before that", at.Sub(r.Finished))
		}
		equal(t, "steps", steps(t, second, "r1"), nil)
	})
}
