package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/pgtest"
)

// A change starts one run, which takes effect once, though the server is killed
// while it dispatches and carries out.
func TestWorkflowCrash_SQLite(t *testing.T) {
	t.Parallel()
	workflowCrash(t, "sqlite:"+filepath.Join(t.TempDir(), "roster.db"), 4)
}

// The next server has to wait until the dead one counts as such.
func TestWorkflowCrash_Postgres(t *testing.T) {
	t.Parallel()
	workflowCrash(t, pgtest.DSN(t), 2)
}

// onUser is a workflow whose runs change what its trigger selects: it must not
// start itself.
const onUser = `name: on-user
inputs:
  userId: {type: string, required: true}
triggers:
  - event: {type: User}
    inputs: {userId: "${{ event.resource }}"}
steps:
  - id: update
    action: update-user
    keep: true
    with: {userId: "${{ inputs.userId }}", title: "${{ run.id }}"}
`

func workflowCrash(t *testing.T, db string, kills int) {
	t.Helper()
	keys := filepath.Join(t.TempDir(), "secret.key")
	succeed(t, nil, "secret-key", "create", keys)
	begin := func() *process {
		return startProcess(t, nil, "--db", db, "--secret-key-file", keys, "--node-timeout", "6s")
	}
	p := begin()
	deployment, err := json.Marshal(map[string]string{"source": onUser})
	if err != nil {
		t.Fatal(err)
	}
	must := func(status int, method, path, body string) *httpAnswer {
		t.Helper()
		a, err := p.call(t.Context(), method, path, body)
		if err != nil || a.status != status {
			t.Fatalf("%s %s: got %v, %v, want %d", method, path, a, err, status)
		}
		return a
	}
	must(201, http.MethodPut, "/api/v1/workflows/on-user", string(deployment))
	const people = 30
	total := (kills + 1) * people
	for round := range kills + 1 {
		for i := range people {
			name := fmt.Sprintf("user-%d-%d", round, i)
			must(201, http.MethodPost, p.users(""), fmt.Sprintf(`{"userName":%q,"emails":[{"value":"%[1]s@corp.example","primary":true}]}`, name))
		}
		if round < kills {
			p.kill()
			p = begin()
		}
	}

	// Each person was created, and changed by one run.
	changes := make(map[string][]*roster.Event)
	for after, n := int64(0), 0; n < 2*total; {
		var page struct {
			Events []*roster.Event `json:"events"`
			Next   int64           `json:"next"`
		}
		p.read(t, fmt.Sprintf("/api/v1/directories/%s/events?wait=30&limit=1000&after=%d", p.directory, after), &page)
		if t.Failed() || len(page.Events) == 0 {
			t.Fatalf("got %d events and no more, want %d", n, 2*total)
		}
		for _, e := range page.Events {
			changes[e.Resource] = append(changes[e.Resource], e)
		}
		after, n = page.Next, n+len(page.Events)
	}
	for id, list := range changes {
		if len(list) != 2 || list[0].Cause != nil || list[1].Cause == nil || list[1].Cause.Workflow != "on-user" || list[1].Cause.Depth != 1 {
			t.Errorf("user %s: got %d changes, want its creation and one of a run", id, len(list))
		}
	}
	seen := make(map[string]bool)
	for cursor := ""; ; {
		var page struct {
			Runs []*roster.Run `json:"runs"`
			Next string        `json:"next"`
		}
		p.read(t, "/api/v1/runs?cursor="+cursor, &page)
		for _, run := range page.Runs {
			for tries := 0; run.Finished.IsZero() && tries < 4 && !t.Failed(); tries++ {
				p.read(t, "/api/v1/runs/"+run.ID+"?wait=30", run)
			}
			if run.Status != roster.RunSucceeded {
				t.Errorf("run %s has %s: %+v", run.ID, run.Status, run.Error)
			}
			seen[run.ID] = true
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if len(seen) != total {
		t.Errorf("got %d runs, want %d", len(seen), total)
	}
	for id, list := range changes {
		if len(list) == 2 && !seen[list[1].Cause.Run] {
			t.Errorf("user %s was changed by a run that is not there: %s", id, list[1].Cause.Run)
		}
	}
	var w roster.Workflow
	deadline := time.Now().Add(processPatience)
	for p.read(t, "/api/v1/workflows/on-user", &w); w.Held < int64(total) && !t.Failed() && time.Now().Before(deadline); { // its own changes, as they are dispatched
		p.read(t, "/api/v1/workflows/on-user", &w)
	}
	if w.Held != int64(total) {
		t.Errorf("got %d changes held back, want the %d of its own runs", w.Held, total)
	}
	p.stop(t)
}
