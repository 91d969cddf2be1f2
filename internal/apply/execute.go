package apply

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"
)

// ExecuteOptions say how a plan is carried out.
type ExecuteOptions struct {
	Concurrency int // requests at once; less than 1: 16
	// Progress is called, from one goroutine, after some steps were done; nil:
	// nobody asks.
	Progress func(Progress)
}

// Progress is how far a run is.
type Progress struct {
	Total   int
	Done    int
	Failed  int
	Retried int // requests that were sent again
	// Differing are those of Done who are not as planned all the same.
	Differing int
	Before    int // of Done and Failed, those of an earlier process
}

// syncEvery is how often the journal is made safe from a loss of power. What a
// loss takes of it is asked of the service: every step can tell whether it was
// done.
const syncEvery = 200 * time.Millisecond

// An executor carries out the steps of a run.
type executor struct {
	d       *Directory
	run     *Run
	resumed bool // a step without a result may have been done by a killed process
	done    *spill
	at      Progress
	o       ExecuteOptions
	synced  time.Time
	later   []*Step // refused for now: a value was taken, which another step may free
}

// Execute carries out what is left to do of a run: the steps that have no result,
// and those that failed in a way that another attempt may mend. When ctx ends, what
// is in flight is finished, and the error is that of ctx; Execute can be called
// again. A step that fails is no error: Progress tells.
func Execute(ctx context.Context, d *Directory, run *Run, o ExecuteOptions) (_ Progress, err error) {
	if o.Concurrency < 1 {
		o.Concurrency = 16
	}
	x := &executor{d: d, run: run, o: o, resumed: run.Meta.State != Planned, synced: time.Now()}
	earlier, err := run.journal()
	if err != nil {
		return x.at, err
	}
	defer func() { err = errors.Join(err, earlier.close()) }()
	x.at.Total = run.Meta.Counts.Steps()
	if err := x.count(earlier); err != nil {
		return x.at, err
	}
	run.Meta.State = Running
	if err := run.save(); err != nil {
		return x.at, err
	}
	if x.done, err = appendSpill(run.path(doneFile)); err != nil {
		return x.at, err
	}
	defer func() { err = errors.Join(err, x.done.close()) }()
	if x.o.Progress != nil {
		x.o.Progress(x.at)
	}
	err = x.pass(ctx, o.Concurrency, func(yield func(*Step, error) bool) {
		for s, err := range run.Steps() {
			if err == nil {
				var r *Result
				if r, err = earlier.of(s.N); r != nil && (r.Done || !r.Again) {
					continue
				}
			}
			if !yield(s, err) {
				return
			}
		}
	}, true)
	// A step that frees a value may have waited for another one: as long as some get
	// through, the others have a chance. Each time the other way round, so that a row
	// of people who each wait for the next is done whichever way it runs.
	for before := 0; err == nil && len(x.later) > 0; {
		again := x.later
		x.later = nil
		last := len(again) == before
		before = len(again)
		slices.Reverse(again)
		err = x.pass(ctx, 1, func(yield func(*Step, error) bool) {
			for _, s := range again {
				if !yield(s, nil) {
					return
				}
			}
		}, !last)
	}
	if err = errors.Join(err, x.done.sync()); err != nil {
		return x.at, err
	}
	run.Meta.State = Done
	if x.at.Failed == 0 { // the rows are for the file of those that failed
		if err := os.Remove(run.path(rowsFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return x.at, err
		}
	}
	return x.at, run.save()
}

// count takes in what was done before.
func (x *executor) count(earlier *journal) error {
	for n := range x.at.Total {
		r, err := earlier.of(n + 1)
		if err != nil {
			return err
		}
		if r == nil {
			continue
		}
		x.at.Retried += max(r.Attempts-1, 0)
		switch {
		case r.Done:
			x.at.Done++
			if len(r.Differs) > 0 {
				x.at.Differing++
			}
		case !r.Again:
			x.at.Failed++
		}
	}
	x.at.Before = x.at.Done + x.at.Failed
	return nil
}

// An outcome is a step with what became of it.
type outcome struct {
	step   *Step
	result *Result
}

// maxLater bounds how many steps wait for the end, since they are in memory.
const maxLater = 10_000

// pass does steps, several at once. first says that one that is refused since a
// value is taken may wait for the end.
func (x *executor) pass(parent context.Context, workers int, steps func(func(*Step, error) bool), first bool) error {
	ctx, stop := context.WithCancel(parent)
	defer stop()
	todo, outcomes := make(chan *Step), make(chan outcome, workers)
	var readErr error
	go func() {
		defer close(todo)
		for s, err := range steps {
			if err != nil {
				readErr = err
				return
			}
			select {
			case todo <- s:
			case <-ctx.Done():
				return
			}
		}
	}()
	var working sync.WaitGroup
	for range workers {
		working.Go(func() {
			for s := range todo {
				if ctx.Err() != nil {
					continue // sent before the end was seen
				}
				// What has begun is finished: a request that is cut off would leave
				// nobody knowing.
				outcomes <- outcome{s, x.step(context.WithoutCancel(ctx), s)}
			}
		})
	}
	go func() {
		working.Wait()
		close(outcomes)
	}()
	var failed error
	for out := range outcomes {
		// Without a journal nothing more is sent, and what is in flight waited for.
		if failed == nil {
			if failed = x.note(out, first, outcomes); failed != nil {
				stop()
			}
		}
	}
	return errors.Join(failed, readErr, parent.Err())
}

// note writes results into the journal: that of out, and with it those that are
// there already.
func (x *executor) note(out outcome, first bool, more <-chan outcome) error {
	for {
		r := out.result
		x.at.Retried += max(r.Attempts-1, 0)
		switch {
		case r.Done:
			x.at.Done++
			if len(r.Differs) > 0 {
				x.at.Differing++
			}
		case first && r.Status == 409 && len(x.later) < maxLater:
			x.later = append(x.later, out.step)
			r = nil
		default:
			x.at.Failed++
		}
		if r != nil {
			if _, err := x.done.append(r); err != nil {
				return err
			}
		}
		select {
		case next, ok := <-more:
			if ok {
				out = next
				continue
			}
		default:
		}
		break
	}
	if err := x.done.flush(); err != nil {
		return err
	}
	if time.Since(x.synced) > syncEvery {
		if err := x.done.sync(); err != nil {
			return err
		}
		x.synced = time.Now()
	}
	if x.o.Progress != nil {
		x.o.Progress(x.at)
	}
	return nil
}

// Failed calls fn for each step of a run that was tried and not done, in the order
// of the plan.
func (r *Run) Failed(fn func(*Step, *Result) error) error {
	return r.each(func(s *Step, res *Result) error {
		if res.Done {
			return nil
		}
		return fn(s, res)
	})
}

// Differing calls fn for each step that was done, and after which the service shows
// something else than was planned.
func (r *Run) Differing(fn func(*Step, *Result) error) error {
	return r.each(func(s *Step, res *Result) error {
		if len(res.Differs) == 0 {
			return nil
		}
		return fn(s, res)
	})
}

// each calls fn for each step that was tried.
func (r *Run) each(fn func(*Step, *Result) error) (err error) {
	done, err := r.journal()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done.close()) }()
	for s, err := range r.Steps() {
		if err != nil {
			return err
		}
		res, err := done.of(s.N)
		if err == nil && res != nil {
			err = fn(s, res)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// idempotencyKey names the request of a step: the same in every process.
func (x *executor) idempotencyKey(s *Step) string {
	return x.run.Meta.ID + "." + strconv.Itoa(s.N)
}

// A ChangedError says that a person is not as the plan found them.
type ChangedError struct{ Who string }

func (e *ChangedError) Error() string {
	return fmt.Sprintf("%s was changed by somebody else since the plan was made: nothing was sent; plan again", e.Who)
}
