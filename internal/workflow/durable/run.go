package durable

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	"github.com/roster-scim/roster/internal/secret"
	"github.com/roster-scim/roster/internal/workflow"
)

// The causes with which the context of an execution ends.
var (
	errCancelled = errors.New("the run was cancelled")
	errLost      = errors.New("the run is carried out by another node")
	errNotKept   = errors.New("the database keeps nothing of the run")
)

// An execution is one attempt at a run, on one node.
type execution struct {
	w     *worker
	id    string
	input []byte
	dbos  dbos.Context            // of this run
	end   context.CancelCauseFunc // of that context, and of the one that the body has
	// failed is set when the attempt cannot go on: a call has no result that a later
	// attempt would find. DoAll's calls set it side by side.
	failed firstError
}

var _ workflow.Execution = (*execution)(nil)

// ID implements workflow.Execution.
func (x *execution) ID() string { return x.id }

// Input implements workflow.Execution.
func (x *execution) Input() []byte { return x.input }

// carryOut is the function that DBOS calls for each run. Its result is sealed; an
// error of it that is not is kept nowhere.
func (s *session) carryOut(d dbos.Context, record []byte) (output []byte, err error) {
	id, err := dbos.GetWorkflowID(d)
	if err != nil {
		return nil, err
	}
	e := s.w.e
	own, endOwn := dbos.WithCancelCause(d)
	ctx, end := context.WithCancelCause(bare{d})
	x := &execution{w: s.w, id: id, dbos: own, end: func(cause error) { end(cause); endOwn(cause) }}
	defer x.end(nil)
	if !s.begin(x) {
		return nil, hold(d)
	}
	defer s.end(x)
	if x.input, err = e.open(record, placeInput, id); err != nil {
		return nil, e.sealError(err, id)
	}
	output, err = x.body(ctx)
	cause := context.Cause(ctx)
	switch failed := x.failed.get(); {
	case errors.Is(failed, errLost) || errors.Is(cause, errLost):
		return nil, dbos.ErrConflictingWorkflowID
	case errors.Is(failed, errNotKept):
		// DBOS writes nothing of it, as above: it has not failed, and is begun again as
		// a stray.
		e.opts.Log.Warn("a run stops here for now", "run", id, "error", failed)
		return nil, dbos.ErrConflictingWorkflowID
	case (errors.Is(cause, workflow.ErrStopped) || d.Err() != nil) && (err != nil || failed != nil):
		// Not before all is at an end: what returns now has failed or succeeded.
		s.end(x)
		return nil, hold(d)
	case err == nil && failed != nil:
		// The body made nothing of it, but a later attempt at this run, after a Retry,
		// would not find what this one went on with.
		err = failed
	}
	if output != nil || err == nil {
		output = e.seal(output, placeOutput, id)
	}
	if err != nil {
		return output, e.sealError(err, id)
	}
	return output, nil
}

// hold returns when the context of DBOS ends. It keeps nothing then of the attempt,
// as what is returned is the error of that context: DBOS, which may not have noted
// yet that its context is at an end, would keep any other one as the run's.
func hold(d dbos.Context) error {
	<-d.Done()
	return d.Err()
}

// body calls the Body; a panic is its error.
func (x *execution) body(ctx context.Context) (output []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			output, err = nil, x.panicked("the run", p)
		}
	}()
	return x.w.e.opts.Body(ctx, x)
}

// panicked tells of a panic: the log where it was, the run that it was.
func (x *execution) panicked(what string, p any) error {
	x.w.e.opts.Log.Error("a run panicked", "run", x.id, "where", what, "stack", string(debug.Stack()))
	return fmt.Errorf("%s panicked: %v", what, p)
}

// Do implements workflow.Execution.
func (x *execution) Do(ctx context.Context, name string, fn func(context.Context) ([]byte, error)) ([]byte, error) {
	if err := x.ready(); err != nil {
		return nil, err
	}
	k, err := dbos.RunAsStep(x.dbos, x.step(ctx, name, fn), dbos.WithStepName(name))
	return x.result(k, err)
}

// DoAll implements workflow.Execution.
func (x *execution) DoAll(ctx context.Context, calls []workflow.Call) ([][]byte, error) {
	if err := x.ready(); err != nil {
		return nil, err
	}
	outcomes := make([]<-chan dbos.StepOutcome[kept], len(calls))
	for i, c := range calls {
		// The number of the call is given here, in order, and not where it runs.
		var err error
		if outcomes[i], err = dbos.Go(x.dbos, x.step(ctx, c.Name, c.Do), dbos.WithStepName(c.Name)); err != nil {
			return nil, x.fail(err)
		}
	}
	results := make([][]byte, len(calls))
	var first error
	for i, ch := range outcomes {
		o := <-ch
		result, err := x.result(o.Result, o.Err)
		if err != nil && first == nil {
			first = err
		}
		results[i] = result
	}
	if first != nil {
		return nil, first
	}
	return results, nil
}

// Sleep implements workflow.Execution.
func (x *execution) Sleep(ctx context.Context, d time.Duration) error {
	if err := x.ready(); err != nil {
		return err
	}
	_, err := dbos.Sleep(x.dbos, d)
	if err != nil {
		return x.fail(err)
	}
	return nil
}

// An unkeptError is what fn returned, on its way through DBOS.
type unkeptError struct{ error }

func (e *unkeptError) Unwrap() error { return e.error }

// ready says why no call may begin.
func (x *execution) ready() error {
	if err := x.failed.get(); err != nil {
		return err
	}
	if x.dbos.Err() != nil {
		return x.fail(context.Cause(x.dbos))
	}
	return nil
}

// step returns the function that DBOS calls: it seals what fn returns, and with an
// error of fn, or a panic, has nothing kept.
func (x *execution) step(ctx context.Context, name string, fn func(context.Context) ([]byte, error)) dbos.Step[kept] {
	return func(context.Context) (k kept, _ error) {
		defer func() {
			if p := recover(); p != nil {
				k = kept{err: &unkeptError{x.panicked("step "+name, p)}}
			}
		}()
		b, err := fn(ctx)
		if err != nil {
			return kept{err: &unkeptError{err}}, nil
		}
		return kept{record: x.w.e.seal(b, placeStep, x.id)}, nil
	}
}

// result opens what a step gave, now or in an earlier attempt.
func (x *execution) result(k kept, err error) ([]byte, error) {
	if err != nil {
		return nil, x.fail(err)
	}
	b, err := x.w.e.open(k.record, placeStep, x.id)
	if err != nil {
		return nil, x.failed.set(err)
	}
	return b, nil
}

// fail ends the attempt after an error of DBOS: no call begins any more. It returns
// what the body is told.
func (x *execution) fail(err error) error {
	// DBOS words what fn returned as a failure of its own.
	u, failed := errors.AsType[*unkeptError](err)
	if failed {
		err = u.error
	}
	switch cause := context.Cause(x.dbos); {
	case errIsLost(err):
		err = errLost
		x.end(errLost)
	case errors.Is(err, dbos.ErrWorkflowCancelled):
		err = errCancelled
		x.end(errCancelled)
	case cause != nil:
		err = fmt.Errorf("%w: %w", cause, err)
	case !failed && !unmendable(err):
		err = fmt.Errorf("%w: %w", errNotKept, err)
		x.end(errNotKept)
	}
	return x.failed.set(err)
}

// unmendable reports whether an error of DBOS comes again with each attempt. The
// others are those of its database.
func unmendable(err error) bool {
	for _, code := range []dbos.ErrorCode{dbos.ErrorCodeUnexpectedStep, dbos.ErrorCodeStepNondeterminism, dbos.ErrorCodeNonExistentWorkflow} {
		if errors.Is(err, &dbos.Error{Code: code}) {
			return true
		}
	}
	return errors.Is(err, secret.ErrDamaged)
}
