package durable

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/secret"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/internal/workflow"
)

// maxID is the longest id of a run, in characters.
const maxID = 200

func checkRun(r workflow.NewRun) error {
	ok := r.ID != "" && len(r.ID) <= maxID
	for _, c := range []byte(r.ID) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.')
	}
	switch {
	case !ok:
		return fmt.Errorf("start runs: an id has 1 to %d characters of A-Z a-z 0-9 - _ ., not %q", maxID, r.ID)
	case r.Directory == "" || r.Workflow == "":
		return fmt.Errorf("start runs: run %s has no directory or no workflow", r.ID)
	}
	return nil
}

func sortRuns(runs []workflow.NewRun) []workflow.NewRun {
	return slices.SortedStableFunc(slices.Values(runs), func(a, b workflow.NewRun) int { return cmp.Compare(a.ID, b.ID) })
}

// statuses are what DBOS calls the states.
var statuses = map[roster.RunStatus][]string{
	roster.RunQueued:    {string(dbos.WorkflowStatusEnqueued), string(dbos.WorkflowStatusDelayed)},
	roster.RunRunning:   {string(dbos.WorkflowStatusPending)},
	roster.RunSucceeded: {string(dbos.WorkflowStatusSuccess)},
	roster.RunFailed:    {string(dbos.WorkflowStatusError), string(dbos.WorkflowStatusMaxRecoveryAttemptsExceeded)},
	roster.RunCancelled: {string(dbos.WorkflowStatusCancelled)},
}

func statusOf(s dbos.WorkflowStatusType) roster.RunStatus {
	for status, names := range statuses {
		if slices.Contains(names, string(s)) {
			return status
		}
	}
	return roster.RunFailed // a state of a later DBOS, which ours never enters
}

func ended(s dbos.WorkflowStatusType) bool {
	status := statusOf(s)
	return status != roster.RunQueued && status != roster.RunRunning
}

// find returns what DBOS knows of runs, in no particular order; load: with what is
// sealed.
func (e *Engine) find(ctx context.Context, ids []string, load bool) ([]dbos.WorkflowStatus, error) {
	return dbos.ListWorkflows(e.client(ctx), dbos.WithFilterWorkflowIDs(ids...),
		dbos.WithFilterLoadInput(load), dbos.WithFilterLoadOutput(load))
}

// status returns what DBOS knows of a run, without what is sealed, or
// store.ErrNotFound.
func (e *Engine) status(ctx context.Context, id string) (dbos.WorkflowStatus, error) {
	list, err := e.find(ctx, []string{id}, false)
	if err == nil && len(list) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return dbos.WorkflowStatus{}, err
	}
	return list[0], nil
}

// run returns a run, or store.ErrNotFound.
func (e *Engine) run(ctx context.Context, id string) (*workflow.EngineRun, error) {
	list, err := e.find(ctx, []string{id}, true)
	if err == nil && len(list) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return e.fromStatus(list[0])
}

// Get implements workflow.Engine.
func (e *Engine) Get(ctx context.Context, directory, id string) (*workflow.EngineRun, error) {
	r, err := e.run(ctx, id)
	if err == nil && r.Directory != directory {
		err = store.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("get run: %w", err)
	}
	return r, nil
}

// fromStatus returns a run of which everything was loaded.
func (e *Engine) fromStatus(s dbos.WorkflowStatus) (*workflow.EngineRun, error) {
	r := &workflow.EngineRun{
		NewRun: workflow.NewRun{ID: s.ID, Directory: s.AuthenticatedUser, Workflow: s.AssumedRole},
		Status: statusOf(s.Status), Created: utc(s.CreatedAt), Started: utc(s.StartedAt), Finished: utc(s.CompletedAt),
		Node: s.ExecutorID,
	}
	var err error
	if r.Input, err = e.openValue(s.Input, placeInput, s.ID); err != nil {
		return nil, err
	}
	if !ended(s.Status) {
		return r, nil // what an earlier attempt left is of no account
	}
	if r.Output, err = e.openValue(s.Output, placeOutput, s.ID); err != nil {
		return nil, err
	}
	switch {
	case s.Status == dbos.WorkflowStatusMaxRecoveryAttemptsExceeded:
		r.Error = fmt.Sprintf("the run was begun %d times, and each time the node that carried it out, or its database, failed before it ended: it was given up, because it may be the reason", s.Attempts-1)
	case s.Status == dbos.WorkflowStatusError && s.Error != nil:
		r.Error, err = e.openError(s.Error, s.ID)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// openValue opens what codec decoded; nil for nothing.
func (e *Engine) openValue(v any, place, id string) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case []byte:
		return e.open(v, place, id)
	case kept:
		return e.open(v.record, place, id)
	}
	return nil, fmt.Errorf("%s: %w", place, secret.ErrDamaged)
}

// utc keeps the zero time as it is.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC()
}

// List implements workflow.Engine. The order, and which runs they are, comes from
// an index of ours; DBOS has none on what a run is found by.
func (e *Engine) List(ctx context.Context, q workflow.RunQuery) ([]*workflow.EngineRun, error) {
	ids, err := e.listIDs(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	if len(ids) == 0 {
		return nil, nil
	}
	found, err := e.find(ctx, ids, true)
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	byID := make(map[string]dbos.WorkflowStatus, len(found))
	for _, s := range found {
		byID[s.ID] = s
	}
	list := make([]*workflow.EngineRun, 0, len(ids))
	for _, id := range ids {
		s, ok := byID[id]
		if !ok {
			continue // purged since
		}
		r, err := e.fromStatus(s)
		if err != nil {
			return nil, fmt.Errorf("list runs: run %s: %w", id, err)
		}
		list = append(list, r)
	}
	return list, nil
}

func (e *Engine) listIDs(ctx context.Context, q workflow.RunQuery) ([]string, error) {
	if q.Status != "" && statuses[q.Status] == nil {
		return nil, nil // of a status that no run has
	}
	text, args := listQuery(q)
	return e.db.ids(ctx, text, args...)
}

// listQuery returns the statement that finds the ids of q.
func listQuery(q workflow.RunQuery) (string, []any) {
	text := `SELECT workflow_uuid FROM {}workflow_status WHERE authenticated_user = $1`
	args := []any{q.Directory}
	arg := func(v any) string {
		args = append(args, v)
		return fmt.Sprintf("$%d", len(args))
	}
	if q.Workflow != "" {
		text += ` AND assumed_role = ` + arg(q.Workflow)
	}
	if q.Status != "" {
		var in []string
		for _, s := range statuses[q.Status] {
			in = append(in, arg(s))
		}
		text += ` AND status IN (` + strings.Join(in, ", ") + `)`
	}
	if q.Before != "" {
		// Of one that is not there, nothing is older.
		text += ` AND (created_at, workflow_uuid) < (SELECT created_at, workflow_uuid FROM {}workflow_status WHERE workflow_uuid = ` + arg(q.Before) + `)`
	}
	text += ` ORDER BY created_at DESC, workflow_uuid DESC LIMIT ` + arg(int64(q.Limit))
	return text, args
}

// Steps implements workflow.Engine. A Sleep is not among them.
func (e *Engine) Steps(ctx context.Context, id string) ([]workflow.StepResult, error) {
	rows, err := dbos.GetWorkflowSteps(e.client(ctx), id, dbos.WithStepsLoadOutput(true))
	if err != nil {
		return nil, fmt.Errorf("list steps: %w", err)
	}
	list := make([]workflow.StepResult, 0, len(rows))
	for _, row := range rows {
		if _, ok := row.Output.(kept); !ok {
			continue
		}
		output, err := e.openValue(row.Output, placeStep, id)
		if err != nil {
			return nil, fmt.Errorf("list steps: step %d: %w", row.StepID, err)
		}
		list = append(list, workflow.StepResult{
			Number: row.StepID, Name: row.StepName, Output: output,
			Started: utc(row.StartedAt), Finished: utc(row.CompletedAt),
		})
	}
	return list, nil
}

// The pauses of Wait: runs end on any node, and nothing tells.
const (
	firstWait = 10 * time.Millisecond
	lastWait  = 500 * time.Millisecond
)

// Wait implements workflow.Engine.
func (e *Engine) Wait(ctx context.Context, directory, id string) (*workflow.EngineRun, error) {
	for pause := firstWait; ; pause = min(pause*3/2, lastWait) {
		s, err := e.status(ctx, id)
		if err == nil && s.AuthenticatedUser != directory {
			err = store.ErrNotFound
		}
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil:
			return nil, fmt.Errorf("wait for run: %w", err)
		case ended(s.Status):
			return e.Get(ctx, directory, id)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-e.ended:
			return nil, fmt.Errorf("wait for run: %w", errClosed)
		}
	}
}

// purgeBatch is how many runs one transaction forgets.
const purgeBatch = 100

// Purge implements workflow.Engine.
func (e *Engine) Purge(ctx context.Context, before time.Time, limit int) (int, error) {
	purged := 0
	for purged < limit {
		n := min(limit-purged, purgeBatch)
		ids, err := e.db.ids(ctx, `SELECT workflow_uuid FROM {}workflow_status WHERE completed_at < $1 ORDER BY completed_at LIMIT $2`,
			before.UnixMilli(), int64(n))
		if err == nil && len(ids) > 0 {
			// Through DBOS, which knows in how many tables a run stands: one step that
			// stayed would be taken for that of a later run with this id.
			err = dbos.DeleteWorkflows(e.client(ctx), ids)
		}
		if err != nil {
			return purged, fmt.Errorf("purge runs: %w", err)
		}
		purged += len(ids)
		if len(ids) < n {
			break
		}
	}
	return purged, nil
}

// errIsLost says that an execution no longer has its run.
func errIsLost(err error) bool { return errors.Is(err, dbos.ErrConflictingWorkflowID) }
