package durable

import (
	"context"
	"testing"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/workflow"
)

// text is a call that gives a text.
func text(s string) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return []byte(s), nil }
}

func TestEngine_Run(t *testing.T) {
	onBoth(t, func(t *testing.T, o opener) {
		e := o.node(func(ctx context.Context, x workflow.Execution) ([]byte, error) {
			a, err := x.Do(ctx, "a", text("A"))
			if err != nil {
				return nil, err
			}
			b, err := x.Do(ctx, "b", text("B"))
			return append(append(append([]byte(x.ID()+": "), x.Input()...), a...), b...), err
		})
		start(t, e, "r1")
		r := wait4(t, e, "r1")
		if r.Status != roster.RunSucceeded || string(r.Output) != "r1: input of r1AB" || r.Error != "" {
			t.Errorf("run: got %+v", r)
		}
		steps, err := e.Steps(t.Context(), "r1")
		if err != nil || len(steps) != 2 || string(steps[1].Output) != "B" || steps[1].Number != 1 || steps[1].Name != "b" {
			t.Errorf("steps: got %+v, %v", steps, err)
		}
	})
}
