package server_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/secret"
	"github.com/roster-scim/roster/internal/server"
	"github.com/roster-scim/roster/internal/workflow"
	"github.com/roster-scim/roster/internal/workflow/durable"
	"github.com/roster-scim/roster/scim"
)

// withWorkflows returns a server on the same directories that has workflows. Their
// runs have no steps; one whose input fail is true fails.
func (w *world) withWorkflows(t *testing.T) *world {
	t.Helper()
	return w.withRuns(t, func(_ context.Context, x workflow.Execution) ([]byte, error) {
		if bytes.Contains(x.Input(), []byte(`"fail":true`)) {
			return nil, errors.New("as it was told")
		}
		return []byte(`{"done":true}`), nil
	})
}

// withRuns is withWorkflows with what a run does; nil: runs wait.
func (w *world) withRuns(t *testing.T, body workflow.Body) *world {
	t.Helper()
	dir := t.TempDir()
	keys, err := secret.Make(filepath.Join(dir, "secret.key"))
	if err != nil {
		t.Fatal(err)
	}
	engine, err := durable.Open(t.Context(), durable.Options{
		DSN: "sqlite:" + filepath.Join(dir, "runs.db"), Seal: keys, Work: body != nil, Body: body,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := engine.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	connections, err := newConnections(w.store)
	if err != nil {
		t.Fatal(err)
	}
	return w.serveToo(t, server.Options{
		Connections: connections, Workflows: workflow.NewService(workflow.Options{Store: w.store, Engine: engine}),
	})
}

const greet = "name: greet\nsteps:\n  - {id: end, stop: {}}\n"

// Each directory has its own workflows and runs, and nobody reaches those of
// another: what it is told is what there is no such thing.
func TestWorkflows_OfOneDirectory(t *testing.T) {
	w := onSQLite(t).withWorkflows(t)
	a, b := w.directory(t, scim.Standard), w.directory(t, scim.Standard)
	mine, other := a.at(""), b.at("")
	put := mine.do("PUT", "/api/v1/workflows/greet", object{"source": greet}).want(201)
	if got, want := put.header.Get("Location"), publicURL+"/api/v1/workflows/greet?directory="+a.id; got != want {
		t.Errorf("got Location %q, want %q", got, want)
	}
	run := mine.do("POST", "/api/v1/workflows/greet/runs?wait=60s", nil).want(200)
	id := run.str("id")
	for _, path := range []string{"/api/v1/workflows/%s", "/api/v1/runs/%s"} {
		there, nowhere := "greet", "none"
		if path == "/api/v1/runs/%s" {
			there, nowhere = id, "0000000000000000"
		}
		bodies := make([]string, 0, 2)
		for _, name := range []string{there, nowhere} {
			r := other.do("GET", replaceName(path, name), nil).want(404)
			bodies = append(bodies, string(bytes.ReplaceAll(r.body, []byte(name), []byte("X"))))
		}
		if bodies[0] != bodies[1] {
			t.Errorf("what another directory has is told apart from what there is not:\n%s\n%s", bodies[0], bodies[1])
		}
	}
	other.do("POST", "/api/v1/workflows/greet/runs", nil).want(404)
	other.do("POST", "/api/v1/runs/"+id+"/cancel", nil).want(404)
	other.do("POST", "/api/v1/runs/"+id+"/retry", nil).want(404)
	other.do("DELETE", "/api/v1/workflows/greet", nil).want(404)
	other.do("GET", "/api/v1/workflows/greet?directory="+a.id, nil).want(404)
	if list := other.do("GET", "/api/v1/runs", nil).want(200).obj()["runs"].([]any); len(list) != 0 {
		t.Errorf("got %d runs of another directory", len(list))
	}
	if list := other.do("GET", "/api/v1/workflows", nil).want(200).obj()["workflows"].([]any); len(list) != 0 {
		t.Errorf("got %d workflows of another directory", len(list))
	}

	runner := mine.as(a.newKey(roster.ScopeWorkflowsRun))
	runner.do("POST", "/api/v1/workflows/greet/runs", nil).want(202)
	runner.do("GET", "/api/v1/runs/"+id, nil).want(200)
	runner.do("PUT", "/api/v1/workflows/greet", object{"source": greet}).want(403)
	runner.do("PATCH", "/api/v1/workflows/greet", object{"enabled": false}).want(403)
	runner.do("DELETE", "/api/v1/workflows/greet", nil).want(403)
	mine.as(a.newKey(roster.ScopeUsersWrite)).do("GET", "/api/v1/runs", nil).want(403)
}

// The file itself is a body, too.
func TestWorkflows_YAML(t *testing.T) {
	w := onSQLite(t).withWorkflows(t)
	d := w.directory(t, scim.Standard)
	put := func(kind, body string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "PUT", w.url+"/api/v1/workflows/greet", bytes.NewReader([]byte(body)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", kind)
		req.Header.Set("Authorization", "Bearer "+d.key)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(answer)
	}
	if status, body := put("application/yaml", greet); status != 201 {
		t.Errorf("got %d %s, want 201", status, body)
	}
	if status, body := put("application/yaml; charset=utf-8", greet+"wrong: 1\nworse: 2\n"); status != 400 || !bytes.Contains([]byte(body), []byte("4:1:")) || !bytes.Contains([]byte(body), []byte("5:1:")) {
		t.Errorf("got %d %s, want both faults", status, body)
	}
	if status, body := put("text/plain", greet); status != 415 {
		t.Errorf("got %d %s, want 415", status, body)
	}
}

// The runs of a directory that is deleted end.
func TestWorkflows_DirectoryDeleted(t *testing.T) {
	w := onSQLite(t)
	began := make(chan struct{}, 1)
	w = w.withRuns(t, func(ctx context.Context, _ workflow.Execution) ([]byte, error) {
		began <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	})
	d := w.directory(t, scim.Standard)
	d.at("").do("PUT", "/api/v1/workflows/greet", object{"source": greet}).want(201)
	d.at("").do("POST", "/api/v1/workflows/greet/runs", nil).want(202)
	select {
	case <-began:
	case <-time.After(time.Minute):
		t.Fatal("no run began")
	}
	op := &dir{t: t, w: w, key: operatorKey}
	op.do("DELETE", "/api/v1/directories/"+d.id, nil).want(204)
	d.at("").do("GET", "/api/v1/runs", nil).want(401)
}

func replaceName(path, name string) string {
	return string(bytes.ReplaceAll([]byte(path), []byte("%s"), []byte(name)))
}
