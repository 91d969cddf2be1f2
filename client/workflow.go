package client

import (
	"cmp"
	"context"
	"crypto/rand"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster"
)

// The directory that the calls of workflows and runs take may be empty: then it is
// that of the key, or for an operator key the default one.

// Workflows are those of a directory.
type Workflows struct {
	Workflows []*roster.Workflow `json:"workflows"`
	// Backlog is how many changes of the directory wait for the triggers to look at
	// them, 10,000 at the most.
	Backlog int64 `json:"backlog"`
}

// ListWorkflows returns the workflows of a directory in the order of their names.
func (m Management) ListWorkflows(ctx context.Context, directory string) (*Workflows, error) {
	return call[*Workflows](ctx, m, http.MethodGet, "/workflows", within(directory), nil)
}

// GetWorkflow returns a workflow; none is a *scim.Error with status 404.
func (m Management) GetWorkflow(ctx context.Context, directory, name string) (*roster.Workflow, error) {
	path, err := workflowPath(name)
	if err != nil {
		return nil, err
	}
	return call[*roster.Workflow](ctx, m, http.MethodGet, path, within(directory), nil)
}

// A Deployment is a workflow to be deployed.
type Deployment struct {
	Source  string `json:"source"`            // the file
	Enabled *bool  `json:"enabled,omitempty"` // whether its triggers start runs; nil: as before, of a new one true
	// Version is the one that it must still have. 0: any, or none.
	Version int64 `json:"-"`
}

// DeployWorkflow creates the workflow of that name or replaces it. What is wrong
// with the file is a *scim.Error with status 400 that tells every fault.
func (m Management) DeployWorkflow(ctx context.Context, directory, name string, d Deployment) (*roster.Workflow, error) {
	return m.changeWorkflow(ctx, http.MethodPut, directory, name, d.Version, d)
}

// EnableWorkflow says whether the triggers of a workflow start runs. Those of one
// that was disabled see the changes from now on.
func (m Management) EnableWorkflow(ctx context.Context, directory, name string, enabled bool) (*roster.Workflow, error) {
	return m.changeWorkflow(ctx, http.MethodPatch, directory, name, 0, struct {
		Enabled bool `json:"enabled"`
	}{enabled})
}

func (m Management) changeWorkflow(ctx context.Context, method, directory, name string, version int64, in any) (*roster.Workflow, error) {
	path, err := workflowPath(name)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	// Doing either twice is as doing it once.
	r := &Request{Method: method, Path: path, Query: within(directory), Body: body, repeatable: version == 0}
	if version > 0 {
		r.IfMatch = `W/"` + strconv.FormatInt(version, 10) + `"`
	}
	a, err := m.request(ctx, r)
	if err != nil {
		return nil, err
	}
	w := new(roster.Workflow)
	if err := json.Unmarshal(a.Body, w); err != nil {
		return nil, unreadable(method, path, a, err)
	}
	return w, nil
}

// DeleteWorkflow removes a workflow; runs of it go on to their end.
func (m Management) DeleteWorkflow(ctx context.Context, directory, name string) error {
	path, err := workflowPath(name)
	if err != nil {
		return err
	}
	_, err = m.send(ctx, http.MethodDelete, path, within(directory), nil)
	return err
}

// A RunStart says how a run is started.
type RunStart struct {
	Inputs map[string]jsontext.Value
	// IdempotencyKey stands for the run: started again with it, it is the same one.
	// Empty: one is made, so that a retry starts no second run.
	IdempotencyKey string
	// Wait is how long the service waits for the run to end, in whole seconds, up
	// to a minute. It must be less than Client.Timeout.
	Wait time.Duration
}

// StartRun starts a run of a workflow and returns it as it is then.
func (m Management) StartRun(ctx context.Context, directory, workflow string, s RunStart) (*roster.Run, error) {
	path, err := workflowPath(workflow)
	if err != nil {
		return nil, err
	}
	path += "/runs"
	body, err := json.Marshal(struct {
		Inputs map[string]jsontext.Value `json:"inputs,omitempty"`
	}{s.Inputs})
	if err != nil {
		return nil, err
	}
	a, err := m.request(ctx, &Request{
		Method: http.MethodPost, Path: path, Query: waiting(within(directory), s.Wait), Body: body,
		IdempotencyKey: cmp.Or(s.IdempotencyKey, rand.Text()), repeatable: true,
	})
	if err != nil {
		return nil, err
	}
	run := new(roster.Run)
	if err := json.Unmarshal(a.Body, run); err != nil {
		return nil, unreadable(http.MethodPost, path, a, err)
	}
	return run, nil
}

// A RunQuery selects runs of a directory; the zero value is the newest ones.
type RunQuery struct {
	Workflow string           // empty: of any
	Status   roster.RunStatus // empty: any
	Cursor   string           // where to go on; empty: from the newest on
	Limit    int              // how many at the most. Less than 1: the service decides
}

// ListRuns returns runs of a directory without their steps, the newest first, and
// the cursor to go on with; "" at the end.
func (m Management) ListRuns(ctx context.Context, directory string, q RunQuery) (runs []*roster.Run, next string, err error) {
	values := within(directory)
	for name, value := range map[string]string{"workflow": q.Workflow, "status": string(q.Status), "cursor": q.Cursor} {
		if value != "" {
			values.Set(name, value)
		}
	}
	if q.Limit > 0 {
		values.Set("limit", strconv.Itoa(q.Limit))
	}
	page, err := call[struct {
		Runs []*roster.Run `json:"runs"`
		Next string        `json:"next"`
	}](ctx, m, http.MethodGet, "/runs", values, nil)
	return page.Runs, page.Next, err
}

// GetRun returns a run with its steps; none is a *scim.Error with status 404.
func (m Management) GetRun(ctx context.Context, directory, id string) (*roster.Run, error) {
	return m.run(ctx, http.MethodGet, id, "", within(directory))
}

// FollowRun returns a run as it is, and then each time that something of it has
// changed, until it has ended. After an error, which comes with a nil run, it ends.
func (m Management) FollowRun(ctx context.Context, directory, id string) iter.Seq2[*roster.Run, error] {
	// Short: what changes between two calls is seen by the next one.
	wait := min(orElse(m.c.Timeout, defaultTimeout)/2, 5*time.Second)
	return func(yield func(*roster.Run, error) bool) {
		run, err := m.GetRun(ctx, directory, id)
		for yield(run, err) && err == nil && run.Finished.IsZero() {
			run, err = m.run(ctx, http.MethodGet, id, "", waiting(within(directory), wait))
			if err == nil && wait < time.Second { // too short to wait there
				select {
				case <-time.After(time.Second):
				case <-ctx.Done():
				}
			}
		}
	}
}

// CancelRun ends a run. One that has ended is a *scim.Error with status 409.
func (m Management) CancelRun(ctx context.Context, directory, id string) (*roster.Run, error) {
	return m.run(ctx, http.MethodPost, id, "/cancel", within(directory))
}

// RetryRun has a run go on that has failed or was cancelled, from the step that
// failed. Any other is a *scim.Error with status 409.
func (m Management) RetryRun(ctx context.Context, directory, id string) (*roster.Run, error) {
	return m.run(ctx, http.MethodPost, id, "/retry", within(directory))
}

func (m Management) run(ctx context.Context, method, id, below string, q url.Values) (*roster.Run, error) {
	s, err := segment("run", id)
	if err != nil {
		return nil, err
	}
	return call[*roster.Run](ctx, m, method, "/runs/"+s+below, q, nil)
}

func workflowPath(name string) (string, error) {
	s, err := segment("workflow", name)
	return "/workflows/" + s, err
}

// within returns the query that names a directory, unless it is empty.
func within(directory string) url.Values {
	q := url.Values{}
	if directory != "" {
		q.Set("directory", directory)
	}
	return q
}

// waiting adds to a query how long the service waits, in whole seconds.
func waiting(q url.Values, wait time.Duration) url.Values {
	if seconds := int(wait / time.Second); seconds > 0 {
		q.Set("wait", strconv.Itoa(seconds))
	}
	return q
}
