package durable

import (
	"context"
	"fmt"
	"testing"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/workflow"
)

// Runs that a node stops in the middle of have not failed: they go on at the next
// start. There are many, as DBOS ends their contexts one after the other, and each
// of them is told before DBOS has noted that it was.
func TestEngine_StoppedIsNotFailed(t *testing.T) {
	onBoth(t, func(t *testing.T, o opener) {
		const n = 40
		var ids []string
		for i := range n {
			ids = append(ids, fmt.Sprintf("r%02d", i))
		}
		begun := make(chan struct{}, n)
		opts := o.options(func(ctx context.Context, _ workflow.Execution) ([]byte, error) {
			begun <- struct{}{}
			<-ctx.Done()
			return nil, context.Cause(ctx)
		})
		opts.Concurrency = n
		for round := range 5 {
			e := o.open(opts)
			if round == 0 {
				start(t, e, ids...)
			}
			for range n {
				next(t, begun)
			}
			closeNow(t, e)
		}
		last := o.node(func(context.Context, workflow.Execution) ([]byte, error) { return nil, nil })
		for _, id := range ids {
			equal(t, id, wait(t, last, id).Status, roster.RunSucceeded)
		}
	})
}
