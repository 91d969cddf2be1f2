package workflow

import (
	"context"
	"errors"
	"time"

	"github.com/roster-scim/roster"
)

// The errors of an Engine and of an Execution, to be asked for with errors.Is.
var (
	// ErrState: the run is in a state in which it cannot be cancelled or retried.
	ErrState = errors.New("not possible in the state of the run")
	// ErrStopped is the cause with which the context of an execution ends on a node
	// that stops. The run goes on later, so what is under way returns an error.
	ErrStopped = errors.New("the node stops")
)

// An Engine keeps runs and carries them out durably: what a step gave is kept,
// and a run that a crash cut off goes on after the last step that was kept. All
// that it stores of inputs and outputs is sealed.
type Engine interface {
	// Start queues runs, and returns how many of them it had not before: one whose
	// ID is there already, in whatever state, is passed over. Either all are
	// queued or, with an error, any of them may be: the caller starts them again.
	Start(ctx context.Context, runs ...NewRun) (int, error)
	// Get returns a run of a directory, or store.ErrNotFound.
	Get(ctx context.Context, directory, id string) (*EngineRun, error)
	// List returns the runs of a directory, the newest first.
	List(ctx context.Context, q RunQuery) ([]*EngineRun, error)
	// Steps returns the results that are kept of a run, in the order of their
	// calls.
	Steps(ctx context.Context, id string) ([]StepResult, error)
	// Wait returns the run when it has ended, or the error of ctx.
	Wait(ctx context.Context, directory, id string) (*EngineRun, error)
	// Cancel ends a run that has not ended: no step begins any more, and the
	// context of one that is under way ends, on another node within seconds. Of one
	// that has ended it is ErrState, of none store.ErrNotFound.
	Cancel(ctx context.Context, id string) error
	// Retry queues a run again that has failed or was cancelled. What was kept
	// before the result number step (of Steps, from 0) stays; that one and those
	// after it are forgotten. Of a run that has not ended, or has succeeded, it is
	// ErrState; of none store.ErrNotFound.
	Retry(ctx context.Context, id string, step int) error
	// Purge forgets up to limit runs that ended before a time, and returns how
	// many.
	Purge(ctx context.Context, before time.Time, limit int) (int, error)
	// Close stops taking runs and gives those under way until ctx ends; what is
	// left goes on when the node starts again, or on another one.
	Close(ctx context.Context) error
}

// A Body carries out a run. It must ask for the same calls in the same order
// each time it is given the same run and the same results: nothing in it may
// depend on a clock, chance or the order of a map. It returns what the run gave.
type Body func(ctx context.Context, x Execution) ([]byte, error)

// An Execution is what a Body knows of the run it carries out.
type Execution interface {
	ID() string
	Input() []byte
	// Do carries out one call, or returns what is kept of it. What fn returns is
	// kept before Do returns: a failure that the run should know of is part of the
	// bytes. An error of fn is kept nowhere, and no call of this attempt begins any
	// more. When the node stops (context.Cause is ErrStopped) the run goes on later
	// with this call: so must return an error what was cut short by its context. In
	// any other case the run fails with the error, and a Retry goes on with this call;
	// a panic of fn is such an error. fn may run more than once, when the node dies
	// before its result is kept.
	Do(ctx context.Context, name string, fn func(context.Context) ([]byte, error)) ([]byte, error)
	// DoAll carries out calls side by side, and returns what is kept of each in
	// their order. As many run at once as there are.
	DoAll(ctx context.Context, calls []Call) ([][]byte, error)
	// Sleep waits, a crash included: a run that goes on waits for the rest.
	Sleep(ctx context.Context, d time.Duration) error
}

// A Call is one of DoAll.
type Call struct {
	Name string
	Do   func(context.Context) ([]byte, error)
}

// A NewRun is a run to be queued.
type NewRun struct {
	ID        string // at most 200 characters of A-Z a-z 0-9 - _ .
	Directory string // by which it is found
	Workflow  string // by which it is found
	Input     []byte // for its Body
}

// An EngineRun is a run as the engine knows it.
type EngineRun struct {
	NewRun
	Status                     roster.RunStatus
	Created, Started, Finished time.Time // UTC; zero: not yet
	Output                     []byte    // what its Body returned; nil: nothing yet
	Error                      string    // of its Body; empty: none
	Node                       string    // which carries it out, or did
}

// A RunQuery selects runs of one directory.
type RunQuery struct {
	Directory string
	Workflow  string           // empty: any
	Status    roster.RunStatus // empty: any
	Before    string           // only those older than the run with this ID; empty: from the newest on
	Limit     int              // >= 1
}

// A StepResult is what is kept of one call.
type StepResult struct {
	Number   int    // from 0, as Retry takes it
	Name     string // of the Call
	Output   []byte
	Started  time.Time // UTC
	Finished time.Time // UTC
}
