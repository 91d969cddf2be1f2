package server

import (
	"context"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/workflow"
	"github.com/roster-scim/roster/scim"
)

// workflowRoutes are those of workflows and their runs. They name no directory:
// it is that of the key, or for an operator key the parameter directory.
func (s *Server) workflowRoutes(add func(pattern string, h func(*request) error)) {
	in := func(scope roster.Scope, h func(*request) error) func(*request) error {
		return func(r *request) error {
			if err := s.enterOwn(r); err != nil {
				return err
			}
			if err := r.allow(scope); err != nil {
				return err
			}
			if s.Workflows == nil {
				return workflow.NoKeys()
			}
			return h(r)
		}
	}
	add("GET /api/v1/workflows", in(roster.ScopeWorkflowsRun, s.listWorkflows))
	add("GET /api/v1/workflows/{name}", in(roster.ScopeWorkflowsRun, s.getWorkflow))
	add("PUT /api/v1/workflows/{name}", in(roster.ScopeAdmin, s.deployWorkflow))
	add("PATCH /api/v1/workflows/{name}", in(roster.ScopeAdmin, s.enableWorkflow))
	add("DELETE /api/v1/workflows/{name}", in(roster.ScopeAdmin, s.deleteWorkflow))
	add("POST /api/v1/workflows/{name}/runs", in(roster.ScopeWorkflowsRun, s.startRun))
	add("GET /api/v1/runs", in(roster.ScopeWorkflowsRun, s.listRuns))
	add("GET /api/v1/runs/{run}", in(roster.ScopeWorkflowsRun, s.getRun))
	add("POST /api/v1/runs/{run}/cancel", in(roster.ScopeWorkflowsRun, s.cancelRun))
	add("POST /api/v1/runs/{run}/retry", in(roster.ScopeWorkflowsRun, s.retryRun))
}

func (s *Server) listWorkflows(r *request) error {
	list, backlog, err := s.Workflows.List(r.Context(), r.dir.ID)
	if err != nil {
		return err
	}
	return r.reply(http.StatusOK, struct {
		Workflows []*roster.Workflow `json:"workflows"`
		Backlog   int64              `json:"backlog"`
	}{list, backlog})
}

func (s *Server) getWorkflow(r *request) error {
	w, err := s.Workflows.Get(r.Context(), r.dir.ID, r.PathValue("name"))
	if err != nil {
		return err
	}
	return r.replyWorkflow(http.StatusOK, w)
}

func (r *request) replyWorkflow(status int, w *roster.Workflow) error {
	r.tag(w.Version)
	return r.reply(status, w)
}

// deployWorkflow takes the file itself, as YAML, or an object with it.
func (s *Server) deployWorkflow(r *request) error {
	d := workflow.Deployment{Directory: r.dir.ID, Name: r.PathValue("name"), Key: r.key, Holds: ifMatch(r)}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); strings.HasSuffix(kind, "yaml") {
		data, err := s.read(r, nil, s.MaxBody)
		if err != nil {
			return err
		}
		d.Source = string(data)
	} else {
		var in struct {
			Source  string `json:"source"`
			Enabled *bool  `json:"enabled"`
		}
		if err := s.body(r, &in); err != nil {
			return err
		}
		d.Source, d.Enabled = in.Source, in.Enabled
	}
	if d.Source == "" {
		return scim.Errorf(400, scim.InvalidValue, "source is required: the workflow file; with the type application/yaml the body is the file")
	}
	w, created, err := s.Workflows.Deploy(r.Context(), d)
	if err != nil {
		return err
	}
	if !created {
		return r.replyWorkflow(http.StatusOK, w)
	}
	r.w.Header().Set("Location", r.base+"/api/v1/workflows/"+w.Name+"?directory="+w.Directory)
	return r.replyWorkflow(http.StatusCreated, w)
}

func (s *Server) enableWorkflow(r *request) error {
	var in struct {
		Enabled *bool `json:"enabled"`
	}
	if err := s.body(r, &in); err != nil {
		return err
	}
	if in.Enabled == nil {
		return scim.Errorf(400, scim.InvalidValue, "enabled is required: true or false")
	}
	w, _, err := s.Workflows.Deploy(r.Context(), workflow.Deployment{
		Directory: r.dir.ID, Name: r.PathValue("name"), Enabled: in.Enabled, Key: r.key, Holds: ifMatch(r),
	})
	if err != nil {
		return err
	}
	return r.replyWorkflow(http.StatusOK, w)
}

func (s *Server) deleteWorkflow(r *request) error {
	if err := s.Workflows.Delete(r.Context(), r.dir.ID, r.PathValue("name"), ifMatch(r)); err != nil {
		return err
	}
	r.send(http.StatusNoContent, nil, nil)
	return nil
}

// startRun starts a run. With wait it answers 200 with the run when it has ended
// in that time; else 202, and Location says where to look.
func (s *Server) startRun(r *request) error {
	wait, err := waitOf(r)
	if err != nil {
		return err
	}
	var in struct {
		Inputs map[string]jsontext.Value `json:"inputs"`
	}
	if r.ContentLength != 0 {
		if err := s.body(r, &in); err != nil {
			return err
		}
	}
	run, err := s.Workflows.Start(r.Context(), workflow.Start{
		Directory: r.dir.ID, Workflow: r.PathValue("name"), Inputs: in.Inputs, IdempotencyKey: r.Header.Get("Idempotency-Key"),
	})
	if err != nil {
		return err
	}
	if wait > 0 && !workflow.Final(run.Status) {
		err := s.hold(r, wait, func(ctx context.Context) (err error) {
			run, err = s.Workflows.AwaitRun(ctx, r.dir.ID, run.ID)
			return err
		})
		if err != nil {
			return err
		}
	}
	status := http.StatusAccepted
	if workflow.Final(run.Status) {
		status = http.StatusOK
	}
	r.w.Header().Set("Location", r.base+"/api/v1/runs/"+run.ID+"?directory="+run.Directory)
	return r.reply(status, run)
}

// getRun shows a run. With wait it answers when something of it has changed, or
// the time is up.
func (s *Server) getRun(r *request) error {
	wait, err := waitOf(r)
	if err != nil {
		return err
	}
	if wait == 0 {
		run, err := s.Workflows.GetRun(r.Context(), r.dir.ID, r.PathValue("run"))
		if err != nil {
			return err
		}
		return r.reply(http.StatusOK, run)
	}
	var run *roster.Run
	err = s.hold(r, wait, func(ctx context.Context) (err error) {
		run, err = s.Workflows.FollowRun(ctx, r.dir.ID, r.PathValue("run"))
		return err
	})
	if err != nil {
		return err
	}
	return r.reply(http.StatusOK, run)
}

func (s *Server) listRuns(r *request) error {
	limit, err := integer(r.query(), "limit", 0)
	if err != nil {
		return err
	}
	q := workflow.RunList{
		Directory: r.dir.ID, Workflow: r.query().Get("workflow"), Status: roster.RunStatus(r.query().Get("status")),
		Before: r.query().Get("cursor"), Limit: limit,
	}
	runs, next, err := s.Workflows.ListRuns(r.Context(), q)
	if err != nil {
		return err
	}
	return r.reply(http.StatusOK, struct {
		Runs []*roster.Run `json:"runs"`
		Next string        `json:"next,omitzero"`
	}{runs, next})
}

func (s *Server) cancelRun(r *request) error {
	run, err := s.Workflows.CancelRun(r.Context(), r.dir.ID, r.PathValue("run"))
	if err != nil {
		return err
	}
	return r.reply(http.StatusOK, run)
}

func (s *Server) retryRun(r *request) error {
	run, err := s.Workflows.RetryRun(r.Context(), r.dir.ID, r.PathValue("run"))
	if err != nil {
		return err
	}
	return r.reply(http.StatusAccepted, run)
}

// waitOf returns the parameter wait, in seconds with or without their unit, MaxWait
// at the most; 0: not given.
func waitOf(r *request) (time.Duration, error) {
	text := strings.TrimSuffix(r.query().Get("wait"), "s")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, scim.Errorf(400, scim.InvalidValue, "wait must be a number of seconds, such as 30")
	}
	return min(time.Duration(n)*time.Second, MaxWait), nil
}
