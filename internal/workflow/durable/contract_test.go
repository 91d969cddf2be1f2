package durable

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/internal/workflow"
)

// gives is a call that gives a text.
func gives(s string) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return []byte(s), nil }
}

// hangs is a call that says that it has begun, and ends with its context.
func hangs(begun chan<- string, what string) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		begun <- what
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
}

func is(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: -want +got:\n%s", what, diff)
	}
}

// steps returns what is kept of a run, "number name output".
func steps(t *testing.T, e *Engine, id string) []string {
	t.Helper()
	list, err := e.Steps(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, s := range list {
		out = append(out, fmt.Sprintf("%d %s %s", s.Number, s.Name, s.Output))
	}
	return out
}

func TestEngine_Run(t *testing.T) {
	onBoth(t, func(t *testing.T, o opener) {
		e := o.node(func(ctx context.Context, x workflow.Execution) ([]byte, error) {
			a, err := x.Do(ctx, "a", gives("A"))
			if err != nil {
				return nil, err
			}
			if err := x.Sleep(ctx, time.Millisecond); err != nil {
				return nil, err
			}
			b, err := x.Do(ctx, "b", gives(""))
			return append(append(append([]byte(x.ID()+": "), x.Input()...), a...), b...), err
		})
		start(t, e, "r1")
		r := wait(t, e, "r1")
		equal(t, "output", string(r.Output), "r1: input of r1A")
		equal(t, "run", *r, workflow.EngineRun{
			NewRun: workflow.NewRun{ID: "r1", Directory: dir, Workflow: flow, Input: []byte("input of r1")},
			Status: roster.RunSucceeded, Output: r.Output, Node: e.worker.session.node,
			Created: r.Created, Started: r.Started, Finished: r.Finished,
		})
		if r.Created.IsZero() || r.Started.Before(r.Created) || r.Finished.Before(r.Started) || r.Finished.Location() != time.UTC {
			t.Errorf("times: got %v, %v, %v", r.Created, r.Started, r.Finished)
		}
		equal(t, "steps", steps(t, e, "r1"), []string{"0 a A", "2 b "})

		_, err := e.Get(t.Context(), "other", "r1")
		is(t, "Get of another directory's run", err, store.ErrNotFound)
		_, err = e.Get(t.Context(), dir, "none")
		is(t, "Get of no run", err, store.ErrNotFound)
		_, err = e.Wait(t.Context(), "other", "r1")
		is(t, "Wait for another directory's run", err, store.ErrNotFound)
	})
}

func TestEngine_StartPassesOver(t *testing.T) {
	onBoth(t, func(t *testing.T, o opener) {
		begun := make(chan string, 9)
		opts := o.options(func(ctx context.Context, x workflow.Execution) ([]byte, error) {
			switch x.ID() {
			case "running", "cancelled":
				return x.Do(ctx, "hang", hangs(begun, x.ID()))
			case "failed":
				return nil, errors.New("no")
			}
			return nil, nil
		})
		opts.Concurrency = 1
		e := o.open(opts)
		for _, id := range []string{"succeeded", "failed"} {
			start(t, e, id)
			wait(t, e, id)
		}
		start(t, e, "cancelled")
		next(t, begun)
		is(t, "Cancel", e.Cancel(t.Context(), "cancelled"), nil)
		wait(t, e, "cancelled")
		start(t, e, "running")
		next(t, begun)
		start(t, e, "queued")
		var runs []workflow.NewRun
		for _, id := range []string{"succeeded", "failed", "cancelled", "running", "queued", "new", "new"} {
			runs = append(runs, workflow.NewRun{ID: id, Directory: dir, Workflow: flow, Input: []byte("other")})
		}
		got, err := e.Start(t.Context(), runs...)
		if err != nil || got != 1 {
			t.Errorf("Start: got %d, %v, want 1", got, err)
		}
		for _, id := range []string{"succeeded", "failed", "cancelled", "running", "queued"} {
			r, err := e.Get(t.Context(), dir, id)
			if err != nil || string(r.Status) != id || string(r.Input) != "input of "+id {
				t.Errorf("%s: got %+v, %v", id, r, err)
			}
		}
		for _, id := range []string{"", "a b", "a/b", "ä", strings.Repeat("a", maxID+1)} {
			if _, err := e.Start(t.Context(), workflow.NewRun{ID: id, Directory: dir, Workflow: flow}); err == nil {
				t.Errorf("Start of %q: got no error", id)
			}
		}
	})
}

// Two that start the same runs in another order start each once.
func TestEngine_StartConcurrent(t *testing.T) {
	onBoth(t, func(t *testing.T, o opener) {
		opts := o.options(nil)
		opts.Work = false
		e := o.open(opts)
		var runs []workflow.NewRun
		for i := range 3*startBatch/2 + 1 {
			runs = append(runs, workflow.NewRun{ID: fmt.Sprintf("r%05d", i), Directory: dir, Workflow: flow})
		}
		reverse := slices.Clone(runs)
		slices.Reverse(reverse)
		var started atomic.Int64
		var wg sync.WaitGroup
		for _, list := range [][]workflow.NewRun{runs, reverse} {
			wg.Go(func() {
				n, err := e.Start(t.Context(), list...)
				if err != nil {
					t.Error(err)
				}
				started.Add(int64(n))
			})
		}
		wg.Wait()
		equal(t, "started", started.Load(), int64(len(runs)))
	})
}

// Of many that retry one run, one queues it again: to the others it is one that
// has not ended.
func TestEngine_RetryConcurrent(t *testing.T) {
	onBoth(t, func(t *testing.T, o opener) {
		opts := o.options(nil)
		opts.Work = false
		e := o.open(opts)
		start(t, e, "r1")
		is(t, "Cancel", e.Cancel(t.Context(), "r1"), nil)
		errs := make(chan error)
		for range 20 {
			go func() { errs <- e.Retry(t.Context(), "r1", 0) }()
		}
		queued := 0
		for range 20 {
			if err := next(t, errs); err == nil {
				queued++
			} else {
				is(t, "Retry", err, workflow.ErrState)
			}
		}
		equal(t, "queued again", queued, 1)
	})
}

func TestEngine_List(t *testing.T) {
	onBoth(t, func(t *testing.T, o opener) {
		e := o.node(func(ctx context.Context, x workflow.Execution) ([]byte, error) {
			if x.ID() == "r2" {
				return nil, errors.New("no")
			}
			return nil, nil
		})
		for i := range 6 {
			id := fmt.Sprintf("r%d", i)
			r := workflow.NewRun{ID: id, Directory: dir, Workflow: []string{"one", "two"}[i%2], Input: []byte(id)}
			if _, err := e.Start(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			wait(t, e, id)
		}
		if _, err := e.Start(t.Context(), workflow.NewRun{ID: "other", Directory: "d2", Workflow: "one"}); err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			q    workflow.RunQuery
			want string
		}{
			{workflow.RunQuery{Directory: dir, Limit: 10}, "r5 r4 r3 r2 r1 r0"},
			{workflow.RunQuery{Directory: dir, Limit: 2}, "r5 r4"},
			{workflow.RunQuery{Directory: dir, Before: "r4", Limit: 2}, "r3 r2"},
			{workflow.RunQuery{Directory: dir, Before: "r0", Limit: 2}, ""},
			{workflow.RunQuery{Directory: dir, Before: "none", Limit: 2}, ""},
			{workflow.RunQuery{Directory: dir, Workflow: "two", Limit: 10}, "r5 r3 r1"},
			{workflow.RunQuery{Directory: dir, Workflow: "two", Before: "r3", Limit: 10}, "r1"},
			{workflow.RunQuery{Directory: dir, Status: roster.RunFailed, Limit: 10}, "r2"},
			{workflow.RunQuery{Directory: dir, Status: roster.RunFailed, Workflow: "two", Limit: 10}, ""},
			{workflow.RunQuery{Directory: dir, Status: roster.RunSucceeded, Workflow: "one", Before: "r4", Limit: 10}, "r0"},
			{workflow.RunQuery{Directory: dir, Status: roster.RunSkipped, Limit: 10}, ""},
			{workflow.RunQuery{Directory: "d2", Limit: 10}, "other"},
			{workflow.RunQuery{Directory: "d3", Limit: 10}, ""},
		} {
			list, err := e.List(t.Context(), tt.q)
			if err != nil {
				t.Errorf("%+v: %v", tt.q, err)
			}
			var got []string
			for _, r := range list {
				got = append(got, r.ID)
			}
			equal(t, fmt.Sprintf("%+v", tt.q), strings.Join(got, " "), tt.want)
		}
	})
}

func TestEngine_DoAll(t *testing.T) {
	onBoth(t, func(t *testing.T, o opener) {
		e := o.node(func(ctx context.Context, x workflow.Execution) ([]byte, error) {
			var met sync.WaitGroup // ends when all calls are under way
			var calls []workflow.Call
			for i := range 5 {
				met.Add(1)
				calls = append(calls, workflow.Call{Name: fmt.Sprint("c", i), Do: func(context.Context) ([]byte, error) {
					met.Done()
					met.Wait()
					return fmt.Append(nil, i), nil
				}})
			}
			all, err := x.DoAll(ctx, calls)
			if err != nil {
				return nil, err
			}
			none, err := x.DoAll(ctx, nil)
			return fmt.Appendf(nil, "%s %d", all, len(none)), err
		})
		start(t, e, "r1")
		equal(t, "output", string(wait(t, e, "r1").Output), "[0 1 2 3 4] 0")
		equal(t, "steps", steps(t, e, "r1"), []string{"0 c0 0", "1 c1 1", "2 c2 2", "3 c3 3", "4 c4 4"})
	})
}

func TestEngine_Failed(t *testing.T) {
	onBoth(t, func(t *testing.T, o opener) {
		var fails atomic.Bool
		fails.Store(true)
		var first sync.Map // how often the first call of each run was made
		e := o.node(func(ctx context.Context, x workflow.Execution) ([]byte, error) {
			if _, err := x.Do(ctx, "first", func(context.Context) ([]byte, error) {
				n, _ := first.LoadOrStore(x.ID(), new(atomic.Int64))
				return fmt.Append(nil, n.(*atomic.Int64).Add(1)), nil
			}); err != nil {
				return nil, err
			}
			again := fails.Load()
			call := func(context.Context) ([]byte, error) {
				if again {
					switch x.ID() {
					case "call":
						return nil, errors.New("the call said no")
					case "panic":
						panic("the call fell over")
					}
				}
				return []byte("ok"), nil
			}
			switch x.ID() {
			case "body":
				if again {
					return []byte("so far"), errors.New("the body said no")
				}
			case "body-panic":
				if again {
					panic("the body fell over")
				}
			case "ignored":
				if again {
					_, _ = x.Do(ctx, "second", func(context.Context) ([]byte, error) { return nil, errors.New("nobody cared") })
					if _, err := x.Do(ctx, "third", gives("")); err == nil {
						t.Error("a call began after one that failed")
					}
					return []byte("done"), nil
				}
			case "all", "all-panic":
				_, err := x.DoAll(ctx, []workflow.Call{{Name: "one", Do: gives("1")}, {Name: "two", Do: func(context.Context) ([]byte, error) {
					if again && x.ID() == "all-panic" {
						panic("one of all fell over")
					} else if again {
						return nil, errors.New("one of all said no")
					}
					return nil, nil
				}}, {Name: "three", Do: gives("3")}})
				return nil, err
			}
			return x.Do(ctx, "second", call)
		})
		failures := map[string]string{
			"call":       "the call said no",
			"panic":      "step second panicked: the call fell over",
			"body":       "the body said no",
			"body-panic": "the run panicked: the body fell over",
			"ignored":    "nobody cared",
			"all":        "one of all said no",
			"all-panic":  "step two panicked: one of all fell over",
		}
		for id, want := range failures {
			start(t, e, id)
			r := wait(t, e, id)
			equal(t, id+": status", r.Status, roster.RunFailed)
			equal(t, id+": error", r.Error, want)
			if id == "body" {
				equal(t, id+": output", string(r.Output), "so far")
			}
			is(t, "Cancel of one that has ended", e.Cancel(t.Context(), id), workflow.ErrState)
		}
		equal(t, "steps of one that failed", steps(t, e, "call"), []string{"0 first 1"})
		equal(t, "steps of one that failed", steps(t, e, "all"), []string{"0 first 1", "1 one 1", "3 three 3"})

		// What was kept stays, and the rest is done again.
		fails.Store(false)
		for id := range failures {
			is(t, "Retry", e.Retry(t.Context(), id, 1), nil)
			r := wait(t, e, id)
			equal(t, id+": status", r.Status, roster.RunSucceeded)
			equal(t, id+": error", r.Error, "")
			n, _ := first.Load(id)
			equal(t, id+": first calls", n.(*atomic.Int64).Load(), 1)
		}
		equal(t, "steps of one that was retried", steps(t, e, "call"), []string{"0 first 1", "1 second ok"})
		is(t, "Retry of one that has succeeded", e.Retry(t.Context(), "call", 0), workflow.ErrState)
		is(t, "Retry of none", e.Retry(t.Context(), "none", 0), store.ErrNotFound)
		is(t, "Cancel of none", e.Cancel(t.Context(), "none"), store.ErrNotFound)
	})
}

func TestEngine_Cancel(t *testing.T) {
	onBoth(t, func(t *testing.T, o opener) {
		begun, causes := make(chan string, 9), make(chan error, 9)
		var hang atomic.Bool
		hang.Store(true)
		opts := o.options(func(ctx context.Context, x workflow.Execution) ([]byte, error) {
			if _, err := x.Do(ctx, "first", gives("1")); err != nil {
				return nil, err
			}
			if !hang.Load() {
				return nil, nil
			}
			if x.ID() == "sleep" {
				begun <- x.ID()
				err := x.Sleep(ctx, time.Hour)
				causes <- err
				return nil, err
			}
			_, err := x.Do(ctx, "hang", hangs(begun, x.ID()))
			causes <- context.Cause(ctx)
			return nil, err
		})
		opts.Concurrency = 2
		e := o.open(opts)
		for _, id := range []string{"call", "sleep"} {
			start(t, e, id)
			next(t, begun)
		}
		start(t, e, "queued")
		for _, id := range []string{"queued", "call", "sleep"} {
			is(t, "Retry of one that has not ended", e.Retry(t.Context(), id, 0), workflow.ErrState)
			is(t, "Cancel", e.Cancel(t.Context(), id), nil)
			equal(t, "status", wait(t, e, id).Status, roster.RunCancelled)
		}
		for range 2 {
			is(t, "cause", next(t, causes), errCancelled)
		}
		equal(t, "steps", steps(t, e, "call"), []string{"0 first 1"})
		hang.Store(false)
		for _, id := range []string{"queued", "call"} {
			is(t, "Retry", e.Retry(t.Context(), id, 1), nil)
			equal(t, "status", wait(t, e, id).Status, roster.RunSucceeded)
		}
	})
}

// A run that another process cancelled ends within seconds where it runs.
func TestEngine_CancelElsewhere(t *testing.T) {
	t.Parallel()
	o := onPostgres(t)
	begun, causes := make(chan string, 9), make(chan error, 9)
	e := o.node(func(ctx context.Context, x workflow.Execution) ([]byte, error) {
		_, err := x.Do(ctx, "hang", hangs(begun, x.ID()))
		causes <- context.Cause(ctx)
		return nil, err
	})
	opts := o.options(nil)
	opts.Work = false
	api := o.open(opts)
	start(t, api, "r1")
	next(t, begun)
	is(t, "Cancel", api.Cancel(t.Context(), "r1"), nil)
	is(t, "cause", next(t, causes), errCancelled)
	equal(t, "status", wait(t, e, "r1").Status, roster.RunCancelled)
}

func TestEngine_Purge(t *testing.T) {
	onBoth(t, func(t *testing.T, o opener) {
		begun := make(chan string, 9)
		e := o.node(func(ctx context.Context, x workflow.Execution) ([]byte, error) {
			if x.ID() == "running" {
				return x.Do(ctx, "hang", hangs(begun, ""))
			}
			return x.Do(ctx, "a", gives("A"))
		})
		start(t, e, "running")
		next(t, begun)
		var last time.Time
		for _, id := range []string{"a", "b", "c"} {
			start(t, e, id)
			last = wait(t, e, id).Finished
		}
		n, err := e.Purge(t.Context(), last.Add(-time.Hour), 10)
		equal(t, "purged of the time before", n, 0)
		is(t, "Purge", err, nil)
		n, err = e.Purge(t.Context(), last.Add(time.Hour), 2)
		equal(t, "purged of two", n, 2)
		is(t, "Purge", err, nil)
		n, err = e.Purge(t.Context(), last.Add(time.Hour), 1000)
		equal(t, "purged of all", n, 1)
		is(t, "Purge", err, nil)
		list, err := e.List(t.Context(), workflow.RunQuery{Directory: dir, Limit: 10})
		if err != nil || len(list) != 1 || list[0].ID != "running" {
			t.Errorf("left: got %v, %v", list, err)
		}
		// The id may be used again, and no step of the first run is found.
		equal(t, "steps", steps(t, e, "a"), nil)
		start(t, e, "a")
		equal(t, "steps", func() []string { wait(t, e, "a"); return steps(t, e, "a") }(), []string{"0 a A"})
	})
}

// What runs when a node closes may end; what does not goes on at the next start.
func TestEngine_Close(t *testing.T) {
	onBoth(t, func(t *testing.T, o opener) {
		begun, finish := make(chan string, 9), make(chan struct{})
		var firsts atomic.Int64
		causes := make(chan error, 1)
		first := o.node(func(ctx context.Context, x workflow.Execution) ([]byte, error) {
			if _, err := x.Do(ctx, "first", func(context.Context) ([]byte, error) {
				firsts.Add(1)
				return nil, nil
			}); err != nil {
				return nil, err
			}
			if x.ID() == "ends" {
				return x.Do(ctx, "wait", func(context.Context) ([]byte, error) {
					begun <- ""
					<-finish
					return []byte("in time"), nil
				})
			}
			_, err := x.Do(ctx, "hang", hangs(begun, ""))
			causes <- context.Cause(ctx)
			return []byte("cut off"), err
		})
		start(t, first, "ends", "goes-on")
		next(t, begun)
		next(t, begun)
		ctx, cancel := context.WithCancel(t.Context())
		closed := make(chan error)
		go func() { closed <- first.Close(ctx) }()
		close(finish)
		opts := o.options(nil)
		if o.leases != nil {
			opts.Work = false
			e := o.open(opts)
			equal(t, "output of the one that ends", string(wait(t, e, "ends").Output), "in time")
		}
		cancel()
		is(t, "cause", next(t, causes), workflow.ErrStopped)
		is(t, "Close", next(t, closed), nil)
		second := o.node(func(ctx context.Context, x workflow.Execution) ([]byte, error) {
			_, err := x.Do(ctx, "first", gives("not again"))
			if err != nil {
				return nil, err
			}
			return x.Do(ctx, "hang", gives("gone on"))
		})
		r := wait(t, second, "goes-on")
		equal(t, "output", string(r.Output), "gone on")
		equal(t, "steps", steps(t, second, "goes-on"), []string{"0 first ", "1 hang gone on"})
		equal(t, "first calls", firsts.Load(), 2)
	})
}
