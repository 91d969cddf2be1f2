package workflow

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/scim"
)

// What starts a run.
const (
	TriggerManual   = "manual"
	TriggerEvent    = "event"
	TriggerSchedule = "schedule"
)

// MaxRuns is how many runs ListRuns returns at the most.
const MaxRuns = 100

// The bounds of a page of runs, each of which may have megabytes.
const (
	maxPage  = 4 << 20 // bytes of inputs, outputs and errors after which it ends
	pageStep = 10      // runs that are read at once
)

// maxIdempotencyKey is the length of the longest Idempotency-Key, in bytes.
const maxIdempotencyKey = 255

// A Start is a run to be started by hand.
type Start struct {
	Directory, Workflow string
	Inputs              map[string]jsontext.Value
	// IdempotencyKey stands for the run: started again, it is the same one. Empty:
	// each start is a run of its own.
	IdempotencyKey string
}

// Start queues a run and returns it, or the one that the Idempotency-Key has
// started before; with other inputs that is a 422. Inputs that the workflow does
// not take are a 400 that tells all of them.
func (s *Service) Start(ctx context.Context, in Start) (*roster.Run, error) {
	if len(in.IdempotencyKey) > maxIdempotencyKey {
		return nil, scim.Errorf(400, scim.InvalidValue, "the Idempotency-Key is longer than %d bytes", maxIdempotencyKey)
	}
	id, request := newRunID(), []byte(nil)
	if in.IdempotencyKey != "" {
		id = runID(TriggerManual, in.Directory, in.Workflow, in.IdempotencyKey)
		body, err := json.Marshal(in.Inputs, json.Deterministic(true))
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(body)
		request = sum[:]
		// Before all else: the workflow may have changed, and take other inputs now.
		run, err := s.started(ctx, in, id, request)
		if !errors.Is(err, store.ErrNotFound) {
			return run, err
		}
	}
	w, err := s.Get(ctx, in.Directory, in.Workflow)
	if err != nil {
		return nil, err
	}
	f, err := Parse([]byte(w.Source))
	if err != nil {
		return nil, scim.Errorf(409, "", "workflow %s is not one that this version takes: deploy it again", w.Name)
	}
	inputs, err := f.Bind(in.Inputs)
	if err != nil {
		return nil, err
	}
	input := s.runInput(w, TriggerManual)
	input.Inputs, input.Request = inputs, request
	data, err := input.Encode()
	if err != nil {
		return nil, err
	}
	n, err := s.Engine.Start(ctx, NewRun{ID: id, Directory: in.Directory, Workflow: in.Workflow, Input: data})
	if err != nil {
		return nil, err
	}
	if n == 0 { // somebody with the same key was quicker
		return s.started(ctx, in, id, request)
	}
	return s.GetRun(ctx, in.Directory, id)
}

// runInput returns what a run of a workflow is started with, but for its inputs.
func (s *Service) runInput(w *roster.Workflow, trigger string) *RunInput {
	return &RunInput{Directory: w.Directory, Queued: s.now(), Version: w.Version, Source: w.Source, Key: w.Key, Trigger: trigger}
}

// Body returns the Body of the Service's engine: next, but for runs whose trigger
// has made inputs that the workflow does not take.
func (s *Service) Body(next Body) Body {
	return func(ctx context.Context, x Execution) ([]byte, error) {
		in, err := DecodeRunInput(x.Input())
		if err == nil && in.Fault != "" {
			err = errors.New(in.Fault)
		}
		var out []byte
		if err != nil {
			err = failed("", err)
		} else {
			out, err = next(ctx, x)
		}
		switch {
		case err == nil:
			s.stats.succeeded.Add(1)
		case ctx.Err() == nil: // else it goes on elsewhere, or was cancelled
			s.stats.failed.Add(1)
		}
		return out, err
	}
}

// started returns the run that an Idempotency-Key stands for, or
// store.ErrNotFound.
func (s *Service) started(ctx context.Context, in Start, id string, request []byte) (*roster.Run, error) {
	e, err := s.Engine.Get(ctx, in.Directory, id)
	if err != nil {
		return nil, err
	}
	input, err := DecodeRunInput(e.Input)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(input.Request, request) {
		return nil, scim.Errorf(422, "", "this Idempotency-Key has started run %s with other inputs: use another key", id)
	}
	return s.GetRun(ctx, in.Directory, id)
}

// GetRun returns a run with its steps, or a 404.
func (s *Service) GetRun(ctx context.Context, directory, id string) (*roster.Run, error) {
	e, err := s.engineRun(ctx, directory, id)
	if err != nil {
		return nil, err
	}
	results, err := s.Engine.Steps(ctx, id)
	if err != nil {
		return nil, err
	}
	run, f, err := describe(e)
	if err != nil {
		return nil, err
	}
	if f != nil {
		if run.Steps, err = History(results); err != nil {
			return nil, err
		}
	}
	return run, nil
}

// engineRun returns a run of a directory as the engine has it, or a 404.
func (s *Service) engineRun(ctx context.Context, directory, id string) (*EngineRun, error) {
	if !isRunID(id) {
		return nil, noRun(id)
	}
	e, err := s.Engine.Get(ctx, directory, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, noRun(id)
	}
	return e, err
}

// AwaitRun is GetRun that waits until the run has ended, or ctx ends. That ctx ends
// is no error, in the middle of a look neither.
func (s *Service) AwaitRun(ctx context.Context, directory, id string) (*roster.Run, error) {
	_, err := s.engineRun(ctx, directory, id)
	if err == nil {
		_, err = s.Engine.Wait(ctx, directory, id)
	}
	if err != nil && ctx.Err() == nil {
		return nil, err
	}
	return s.GetRun(context.WithoutCancel(ctx), directory, id)
}

// FollowRun is GetRun that waits until something of the run is otherwise than it
// was when it was called, or ctx ends. That ctx ends is no error, in the middle of a
// look neither.
func (s *Service) FollowRun(ctx context.Context, directory, id string) (*roster.Run, error) {
	const look = 250 * time.Millisecond
	first, err := s.GetRun(context.WithoutCancel(ctx), directory, id)
	if err != nil || Final(first.Status) {
		return first, err
	}
	steps, err := s.Engine.Steps(ctx, id)
	tick := time.NewTicker(look)
	defer tick.Stop()
	for err == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return first, nil
		}
		var e *EngineRun
		if e, err = s.engineRun(ctx, directory, id); err != nil {
			break
		}
		var now []StepResult
		if now, err = s.Engine.Steps(ctx, id); err != nil {
			break
		}
		if e.Status != first.Status || len(now) != len(steps) {
			return s.GetRun(context.WithoutCancel(ctx), directory, id)
		}
	}
	if ctx.Err() != nil {
		return first, nil
	}
	return nil, err
}

// A RunList selects runs of a directory.
type RunList struct {
	Directory, Workflow string           // the workflow may be empty: any
	Status              roster.RunStatus // empty: any
	Before              string           // only those older than the run with this id; empty: from the newest on
	Limit               int              // 0: MaxRuns
}

// ListRuns returns runs without their steps, the newest first, and the id after
// which the next page begins; "" when there is none. A page of large runs ends
// before its limit.
func (s *Service) ListRuns(ctx context.Context, q RunList) (runs []*roster.Run, next string, err error) {
	statuses := []roster.RunStatus{"", roster.RunQueued, roster.RunRunning, roster.RunSucceeded, roster.RunFailed, roster.RunCancelled}
	if !slices.Contains(statuses, q.Status) {
		return nil, "", scim.Errorf(400, scim.InvalidValue, "status must be queued, running, succeeded, failed or cancelled")
	}
	if q.Before != "" {
		if _, err := s.engineRun(ctx, q.Directory, q.Before); err != nil {
			return nil, "", scim.Errorf(400, scim.InvalidValue, "cursor is of a run that is not there any more: list from the newest on")
		}
	}
	limit, size := pageOf(q.Limit), 0
	runs = []*roster.Run{}
	for len(runs) < limit {
		q.Limit = min(limit-len(runs), pageStep)
		found, err := s.Engine.List(ctx, RunQuery(q))
		if err != nil {
			return nil, "", err
		}
		for _, e := range found {
			run, _, err := describe(e)
			if err != nil {
				return nil, "", err
			}
			runs, q.Before = append(runs, run), e.ID
			if size += len(e.Input) + len(e.Output) + len(e.Error); size >= maxPage {
				return runs, q.Before, nil
			}
		}
		if len(found) < q.Limit {
			return runs, "", nil
		}
	}
	return runs, q.Before, nil
}

// pageOf returns how many runs ListRuns returns at the most for a limit.
func pageOf(limit int) int {
	if limit <= 0 || limit > MaxRuns {
		return MaxRuns
	}
	return limit
}

// CancelRun ends a run that has not ended; of one that has it is a 409.
func (s *Service) CancelRun(ctx context.Context, directory, id string) (*roster.Run, error) {
	e, err := s.engineRun(ctx, directory, id)
	if err != nil {
		return nil, err
	}
	if Final(e.Status) {
		return nil, scim.Errorf(409, "", "run %s has %s already", id, e.Status)
	}
	if err := s.Engine.Cancel(ctx, id); err != nil {
		return nil, s.state(ctx, directory, id, err)
	}
	return s.GetRun(ctx, directory, id)
}

// state tells a run that has changed in between.
func (s *Service) state(ctx context.Context, directory, id string, err error) error {
	if !errors.Is(err, ErrState) {
		return err
	}
	e, err := s.engineRun(ctx, directory, id)
	if err != nil {
		return err
	}
	return scim.Errorf(409, "", "run %s is %s by now: read it, and decide again", id, e.Status)
}

// CancelRuns ends every run of a directory that has not ended: for one that is
// deleted.
func (s *Service) CancelRuns(ctx context.Context, directory string) error {
	for _, status := range []roster.RunStatus{roster.RunQueued, roster.RunRunning} {
		for before := ""; ; {
			list, err := s.Engine.List(ctx, RunQuery{Directory: directory, Status: status, Before: before, Limit: MaxRuns})
			if err != nil || len(list) == 0 {
				if err != nil {
					return err
				}
				break
			}
			before = list[len(list)-1].ID
			for _, e := range list {
				if err := s.Engine.Cancel(ctx, e.ID); err != nil && !errors.Is(err, ErrState) {
					return err
				}
			}
		}
	}
	return nil
}

// RetryRun queues a run again that has failed or was cancelled: it goes on with
// the step that failed, and what was done before is not done again. Of any other
// it is a 409.
func (s *Service) RetryRun(ctx context.Context, directory, id string) (*roster.Run, error) {
	e, err := s.engineRun(ctx, directory, id)
	if err != nil {
		return nil, err
	}
	if e.Status != roster.RunFailed && e.Status != roster.RunCancelled {
		return nil, scim.Errorf(409, "", "run %s is %s: only one that has failed or was cancelled can be tried again", id, e.Status)
	}
	_, f, err := describe(e)
	if err != nil {
		return nil, err
	}
	if f == nil {
		return nil, scim.Errorf(409, "", "run %s is of a file that this version does not take: start a new one", id)
	}
	results, err := s.Engine.Steps(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := s.Engine.Retry(ctx, id, RetryFrom(results)); err != nil {
		return nil, s.state(ctx, directory, id, err)
	}
	return s.GetRun(ctx, directory, id)
}

// Final reports whether a run with that status has ended.
func Final(status roster.RunStatus) bool {
	return status != roster.RunQueued && status != roster.RunRunning
}

// describe returns a run as it is shown, without its steps, and its file; nil for
// one that this version does not take.
func describe(e *EngineRun) (*roster.Run, *File, error) {
	in, err := DecodeRunInput(e.Input)
	if err != nil {
		return nil, nil, err
	}
	run := &roster.Run{
		ID: e.ID, Directory: e.Directory, Workflow: e.Workflow, Version: in.Version, Status: e.Status, Trigger: in.Trigger,
		Cause: in.Cause, Created: e.Created, Started: e.Started, Finished: e.Finished,
	}
	f, err := Parse([]byte(in.Source))
	if err != nil {
		f = nil // and nothing is known of its secrets: the inputs stay hidden
	} else if run.Inputs, err = f.mask(in.Inputs); err != nil {
		return nil, nil, err
	}
	if run.Outputs, run.Error, err = result(e); err != nil {
		return nil, nil, err
	}
	return run, f, nil
}

// isRunID reports whether id can be that of a run.
func isRunID(id string) bool {
	return id != "" && len(id) <= 200 && !strings.ContainsFunc(id, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune("-_.", r)
	})
}

func noRun(id string) *scim.Error {
	if len(id) > 100 {
		id = id[:100] + "…"
	}
	return scim.Errorf(404, "", "there is no run %q: roster run list shows those that there are", id)
}
