package durable

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/workflow"
)

// change changes the database behind the engine's back.
func change(t *testing.T, e *Engine, text string, args ...any) {
	t.Helper()
	if _, err := e.db.sql.ExecContext(t.Context(), e.db.text(text), args...); err != nil {
		t.Fatal(err)
	}
}

// refuse has the database refuse results of steps and ends of runs, as a full disk
// does; the function that it returns ends that.
func refuse(t *testing.T, e *Engine) (end func()) {
	t.Helper()
	begin, on := ` BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`, ``
	if e.db.path == "" {
		change(t, e, `CREATE FUNCTION {}refusal() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'the disk is full'; END $$`)
		begin, on = ` FOR EACH ROW EXECUTE FUNCTION {}refusal()`, ` ON {}`
	}
	tables := []string{"operation_outputs", "workflow_output"}
	for _, table := range tables {
		change(t, e, `CREATE TRIGGER refusal_`+table+` BEFORE INSERT ON {}`+table+begin)
	}
	return func() {
		for _, table := range tables {
			if on != "" {
				change(t, e, `DROP TRIGGER refusal_`+table+on+table)
			} else {
				change(t, e, `DROP TRIGGER refusal_`+table)
			}
		}
	}
}

// A run that the database has for one of this node, and that nothing here carries
// out, is begun again.
func TestEngine_Stray(t *testing.T) {
	onBoth(t, func(t *testing.T, o opener) {
		var begun atomic.Int64
		opts := o.options(func(context.Context, workflow.Execution) ([]byte, error) {
			begun.Add(1)
			return nil, nil
		})
		opts.Dead = time.Second
		e := o.open(opts)
		start(t, e, "r1")
		wait(t, e, "r1")
		// As it is when a node has taken a run and could not read what it took.
		change(t, e, `UPDATE {}workflow_status SET status = 'PENDING', owner_xid = 'nobody', completed_at = NULL WHERE workflow_uuid = 'r1'`)
		equal(t, "status", wait(t, e, "r1").Status, roster.RunSucceeded)
		equal(t, "begun", begun.Load(), 2)
	})
}

// A run whose result, or whose end, the database refuses has not failed, and is not
// forgotten: it goes on when the database does.
func TestEngine_DatabaseRefuses(t *testing.T) {
	onBoth(t, func(t *testing.T, o opener) {
		tries := make(chan string, 100)
		opts := o.options(func(ctx context.Context, x workflow.Execution) ([]byte, error) {
			defer func() { tries <- x.ID() }()
			switch x.ID() {
			case "sleep":
				return nil, x.Sleep(ctx, 0)
			case "step":
				return x.Do(ctx, "one", gives("1"))
			}
			return nil, nil
		})
		opts.Dead = time.Second
		e := o.open(opts)
		end := refuse(t, e)
		want := map[string][]string{"sleep": nil, "step": {"0 one 1"}, "end": nil}
		for id := range want {
			start(t, e, id)
		}
		begun := map[string]int{}
		for begun["sleep"] < 2 || begun["step"] < 2 || begun["end"] < 2 {
			begun[next(t, tries)]++
		}
		end()
		for id, kept := range want {
			r := wait(t, e, id)
			equal(t, id, r.Status, roster.RunSucceeded)
			equal(t, id, steps(t, e, id), kept)
		}
	})
}

// Whoever cancels and retries a run at the same moments: it has never failed, it
// ends, and what a call is told is so.
func TestEngine_CancelAndRetry(t *testing.T) {
	onBoth(t, func(t *testing.T, o opener) {
		var calm atomic.Bool
		e := o.node(func(ctx context.Context, x workflow.Execution) ([]byte, error) {
			return x.Do(ctx, "one", func(ctx context.Context) ([]byte, error) {
				if !calm.Load() {
					<-ctx.Done()
					return nil, context.Cause(ctx)
				}
				return []byte("fine"), nil
			})
		})
		var ids []string
		for i := range 4 {
			ids = append(ids, fmt.Sprintf("r%d", i))
		}
		start(t, e, ids...)
		var all sync.WaitGroup
		for _, id := range ids {
			for _, call := range []func() error{
				func() error { return e.Cancel(t.Context(), id) },
				func() error { return e.Retry(t.Context(), id, 0) },
			} {
				for range 2 {
					all.Go(func() {
						for range 150 {
							if err := call(); err != nil && !errors.Is(err, workflow.ErrState) {
								t.Errorf("%s: %v", id, err)
							}
							r, err := e.Get(t.Context(), dir, id)
							if err != nil || r.Status == roster.RunFailed {
								t.Errorf("%s: got %+v, error %v", id, r, err)
								return
							}
						}
					})
				}
			}
		}
		all.Wait()
		for _, id := range ids {
			_ = e.Cancel(t.Context(), id)
			equal(t, id, wait(t, e, id).Status, roster.RunCancelled)
		}
		calm.Store(true)
		for _, id := range ids {
			is(t, "Retry", e.Retry(t.Context(), id, 0), nil)
			equal(t, id, wait(t, e, id).Status, roster.RunSucceeded)
		}
	})
}

// A run that is cancelled in the moment in which it ends either was cancelled or has
// ended, and its Cancel says which.
func TestEngine_CancelAtTheEnd(t *testing.T) {
	onBoth(t, func(t *testing.T, o opener) {
		ending := make(chan struct{})
		e := o.node(func(context.Context, workflow.Execution) ([]byte, error) {
			ending <- struct{}{}
			return nil, nil
		})
		for i := range 40 {
			id := fmt.Sprintf("r%02d", i)
			start(t, e, id)
			next(t, ending)
			want := roster.RunCancelled
			if err := e.Cancel(t.Context(), id); err != nil {
				is(t, "Cancel", err, workflow.ErrState)
				want = roster.RunSucceeded
			}
			equal(t, id, wait(t, e, id).Status, want)
		}
	})
}

// A run that another process cancels, and retries before the node that carries it
// out has seen that, is not carried out twice at once: the first execution ends while
// the second one is under way.
func TestEngine_RetryElsewhere(t *testing.T) {
	t.Parallel()
	o := onPostgres(t)
	begun, causes, seen := make(chan string), make(chan error), make(chan bool)
	var executions atomic.Int64
	e := o.node(func(ctx context.Context, x workflow.Execution) ([]byte, error) {
		return x.Do(ctx, "one", func(ctx context.Context) ([]byte, error) {
			if executions.Add(1) == 1 {
				begun <- ""
				<-ctx.Done()
				causes <- context.Cause(ctx)
				return nil, ctx.Err()
			}
			select {
			case <-seen:
			case <-ctx.Done():
			}
			return []byte("fine"), ctx.Err()
		})
	})
	opts := o.options(nil)
	opts.Work = false
	api := o.open(opts)
	start(t, api, "r1")
	next(t, begun)
	is(t, "Cancel", api.Cancel(t.Context(), "r1"), nil)
	is(t, "Retry", api.Retry(t.Context(), "r1", 0), nil)
	if cause := next(t, causes); !errors.Is(cause, errLost) && !errors.Is(cause, errCancelled) {
		t.Errorf("cause: got %v", cause)
	}
	close(seen)
	equal(t, "output", string(wait(t, e, "r1").Output), "fine")
}
