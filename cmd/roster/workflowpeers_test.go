package main

import (
	"fmt"
	"net/http"
	"syscall"
	"testing"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/pgtest"
)

// Two servers whose workflows change each other's user go round until the chain of
// runs is as long as a server allows: what made a change is told over HTTP too.
func TestWorkflow_CircleOfTwoServers(t *testing.T) {
	t.Parallel()
	node := func() *served {
		s := serve(t, nil, "--data", t.TempDir(), "--workflow-allow-address", "127.0.0.1/32")
		s.useDefault(t)
		return s
	}
	one, two := node(), node()
	user := func(s *served) string {
		return s.must(t, http.StatusCreated, http.MethodPost, s.users(""), userBody("ada", "Engineer")).text("id")
	}
	ids := map[*served]string{one: user(one), two: user(two)}
	other := map[*served]*served{one: two, two: one}
	for s, name := range map[*served]string{one: "ping", two: "pong"} {
		o := other[s]
		s.must(t, http.StatusCreated, http.MethodPost, "/api/v1/connections",
			fmt.Sprintf(`{"name":"peer","url":%q,"directory":%q,"key":%q}`, o.url, o.directory, processKey))
		s.deploy(t, name, fmt.Sprintf(`name: %s
connections: [peer]
triggers:
  - event: {type: User, attributes: [title]}
steps:
  - id: title
    action: patch-user
    connection: peer
    with:
      userId: %s
      operations: [{op: replace, path: title, value: "${{ run.id }}"}]
`, name, ids[o]))
	}
	one.must(t, http.StatusOK, http.MethodPatch, one.users(ids[one]),
		`{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"title","value":"first"}]}`)
	two.log.await(t, two.ended, "changes did not start a workflow")

	// ping starts with the change, and is 1, 3 and 5 of the chain; pong is 2 and 4, and
	// would have been 6.
	for s, want := range map[*served]int{one: 3, two: 2} {
		var page struct {
			Runs []*roster.Run `json:"runs"`
		}
		s.read(t, "/api/v1/runs", &page)
		if len(page.Runs) != want {
			t.Errorf("got %d runs, want %d", len(page.Runs), want)
		}
		for _, r := range page.Runs {
			s.await(t, r.ID, roster.RunSucceeded)
		}
		s.finish(t, syscall.SIGTERM, exitOK)
	}
}

// A server of the role api takes runs and carries none out; a worker does, and
// answers for nothing but its health.
func TestWorkflow_Roles(t *testing.T) {
	t.Parallel()
	dsn, keys := pgtest.DSN(t), keyFile(t)
	node := func(role string) *served {
		return serve(t, nil, "--db", dsn, "--secret-key-file", keys, "--role", role, "--node", role)
	}
	api := node(roleAPI)
	api.useDefault(t)
	id := api.must(t, http.StatusCreated, http.MethodPost, api.users(""), userBody("ada", "Engineer")).text("id")
	api.deploy(t, "title", `name: title
inputs:
  userId: {type: string, required: true}
steps:
  - id: title
    action: update-user
    keep: true
    with: {userId: "${{ inputs.userId }}", title: CTO}
`)
	run := api.start(t, http.StatusAccepted, "title", "?wait=1", map[string]any{"userId": id})
	if run.Status != roster.RunQueued {
		t.Errorf("without a worker: got %s, want %s", run.Status, roster.RunQueued)
	}
	worker := node(roleWorker)
	api.await(t, run.ID, roster.RunSucceeded)
	if got := api.must(t, http.StatusOK, http.MethodGet, api.users(id), "").text("title"); got != "CTO" {
		t.Errorf("title: got %q", got)
	}
	if got := worker.status(t, "", "/readyz"); got != http.StatusOK {
		t.Errorf("/readyz of the worker: got %d", got)
	}
	if got := worker.status(t, processKey, "/api/v1/directories"); got != http.StatusNotFound {
		t.Errorf("/api/v1/directories of the worker: got %d", got)
	}
	worker.finish(t, syscall.SIGTERM, exitOK)
	api.finish(t, syscall.SIGTERM, exitOK)
}
