package workflow_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/roster-scim/roster/internal/workflow"
)

var errKilled = errors.New("the node was killed")

// Where a tape is cut, in the call of that number.
type cutAt int

const (
	cutNowhere cutAt = iota
	cutBefore        // nothing of the call is done
	cutAfter         // it is done, and its record is lost
)

// A tape is an engine for one run in memory, which can be cut at every call. A
// run that goes on on it must ask for the same calls again.
type tape struct {
	t     testing.TB
	id    string
	input []byte

	mu     sync.Mutex
	kept   map[int]workflow.StepResult
	next   int
	at     int // the call where it is cut
	how    cutAt
	cut    bool
	sleeps []time.Duration
	most   int // how many calls were under way at once at the most
	now    int
	// before is called with the name of each call that is carried out.
	before func(name string)
}

func newTape(t testing.TB, id string, in *workflow.RunInput) *tape {
	t.Helper()
	data, err := in.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return &tape{t: t, id: id, input: data, kept: make(map[int]workflow.StepResult), at: -1}
}

// play carries out the run, and again as long as it is cut.
func (x *tape) play(body workflow.Body) ([]byte, error) {
	for range 3 {
		x.next, x.cut, x.sleeps = 0, false, nil
		out, err := body(x.t.Context(), x)
		if !x.cut {
			return out, err
		}
		if !errors.Is(err, errKilled) {
			x.t.Fatalf("cut at %d: the run ended with %v", x.at, err)
		}
		x.how = cutNowhere
	}
	return nil, errors.New("cut again and again")
}

// steps returns what is kept.
func (x *tape) steps() []workflow.StepResult {
	var out []workflow.StepResult
	for _, r := range x.kept {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b workflow.StepResult) int { return a.Number - b.Number })
	return out
}

// forget is what Engine.Retry does.
func (x *tape) forget(from int) {
	for n := range x.kept {
		if n >= from {
			delete(x.kept, n)
		}
	}
}

func (x *tape) ID() string    { return x.id }
func (x *tape) Input() []byte { return x.input }

func (x *tape) Do(ctx context.Context, name string, fn func(context.Context) ([]byte, error)) ([]byte, error) {
	out, err := x.DoAll(ctx, []workflow.Call{{Name: name, Do: fn}})
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

func (x *tape) DoAll(ctx context.Context, calls []workflow.Call) ([][]byte, error) {
	first := x.next
	x.next += len(calls)
	out := make([][]byte, len(calls))
	errs := make([]error, len(calls))
	var done sync.WaitGroup
	for i, c := range calls {
		done.Go(func() { out[i], errs[i] = x.one(ctx, first+i, c) })
	}
	done.Wait()
	if x.cut {
		return nil, errKilled
	}
	return out, errors.Join(errs...)
}

func (x *tape) one(ctx context.Context, n int, c workflow.Call) ([]byte, error) {
	x.mu.Lock()
	if r, ok := x.kept[n]; ok {
		x.mu.Unlock()
		if r.Name != c.Name {
			return nil, fmt.Errorf("call %d was %s, and is %s now", n, r.Name, c.Name)
		}
		return r.Output, nil
	}
	here := x.at == n && x.how != cutNowhere
	if here {
		x.cut = true
	}
	x.now++
	x.most = max(x.most, x.now)
	x.mu.Unlock()
	if here && x.how == cutBefore {
		return nil, errKilled
	}
	if x.before != nil {
		x.before(c.Name)
	}
	out, err := c.Do(ctx)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.now--
	if err != nil || here {
		return nil, errors.Join(err, errKilled)
	}
	x.kept[n] = workflow.StepResult{Number: n, Name: c.Name, Output: out}
	return out, nil
}

func (x *tape) Sleep(_ context.Context, d time.Duration) error {
	x.sleeps = append(x.sleeps, d)
	return nil
}
