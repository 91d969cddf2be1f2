package server_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/directory"
	"github.com/roster-scim/roster/internal/server"
	"github.com/roster-scim/roster/scim"
)

// localKey makes a key of a directory, "" for an operator's.
func (d *dir) localKey(directoryID string, scopes ...roster.Scope) *roster.Key {
	d.t.Helper()
	k, _, err := d.w.dirs.CreateKey(d.t.Context(), nil, directory.NewKey{Directory: directoryID, Name: d.t.Name(), Scopes: scopes})
	if err != nil {
		d.t.Fatal(err)
	}
	return k
}

// serveLocal returns a server on the directories that listens nowhere.
func (d *dir) serveLocal(o server.Options) *server.Server {
	o.Directories, o.PublicURL, o.Log = d.w.dirs, publicURL, slog.New(slog.DiscardHandler)
	return server.New(o)
}

// ask sends a request on a transport and returns status and body.
func ask(t *testing.T, rt http.RoundTripper, method, path, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://local"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header[header[i]] = []string{header[i+1]}
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(data)
}

const ada = `{"userName":"ada","emails":[{"value":"ada@example.com","primary":true}]}`

func TestLocal_ActsAsItsKey(t *testing.T) {
	d := onSQLite(t).directory(t, scim.Standard)
	other := d.w.directory(t, scim.Standard)
	srv := d.serveLocal(server.Options{})
	key := d.localKey(d.id, roster.ScopeUsersWrite)
	cause := &roster.Cause{Run: "run-1", Step: "create", Workflow: "w", Depth: 1}
	rt := srv.Local(d.id, key, cause)

	// What a request from outside would open a door with opens none here.
	resp, body := ask(t, rt, "POST", d.path+"/Users", ada, "Authorization", "Bearer "+other.key)
	if resp.StatusCode != 201 || !strings.HasPrefix(resp.Header.Get("Location"), publicURL) {
		t.Fatalf("create: %d %s, at %q", resp.StatusCode, body, resp.Header.Get("Location"))
	}
	if resp, body = ask(t, rt, "GET", other.path+"/Users", ""); resp.StatusCode != 404 {
		t.Errorf("another directory: %d %s, want 404", resp.StatusCode, body)
	}
	if resp, body = ask(t, rt, "POST", d.path+"/Groups", `{"displayName":"g"}`); resp.StatusCode != 403 {
		t.Errorf("without the scope: %d %s, want 403", resp.StatusCode, body)
	}
	if resp, body = ask(t, rt, "POST", d.path+"/Users", strings.Repeat(" ", server.DefaultMaxBody+1)); resp.StatusCode != 413 {
		t.Errorf("a large body: %d %s, want 413", resp.StatusCode, body)
	}
	list := d.api("GET", "/events?last=1", nil).want(200).obj()["events"].([]any)
	e := list[0].(object)
	if e["key"] != key.ID {
		t.Errorf("the event is of key %v, want %s", e["key"], key.ID)
	}
	want := object{"run": "run-1", "step": "create", "workflow": "w", "depth": 1.0}
	if diff := cmp.Diff(want, e["cause"]); diff != "" {
		t.Errorf("cause:\n%s", diff)
	}
}

func TestLocal_OperatorKeyStaysInTheDirectory(t *testing.T) {
	d := onSQLite(t).directory(t, scim.Standard)
	other := d.w.directory(t, scim.Standard)
	rt := d.serveLocal(server.Options{}).Local(d.id, d.localKey("", roster.Scopes...), nil)
	for path, want := range map[string]int{d.path + "/Users": 200, other.path + "/Users": 404, "/api/v1/keys": 403, "/api/v1/org": 403} {
		if resp, body := ask(t, rt, "GET", path, ""); resp.StatusCode != want {
			t.Errorf("%s: %d %s, want %d", path, resp.StatusCode, body, want)
		}
	}
}

func TestLocal_KeyOfAnotherDirectory(t *testing.T) {
	d := onSQLite(t).directory(t, scim.Standard)
	other := d.w.directory(t, scim.Standard)
	rt := d.serveLocal(server.Options{}).Local(d.id, d.localKey(other.id, roster.Scopes...), nil)
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://local"+other.path+"/Users", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := rt.RoundTrip(req); err == nil {
		t.Errorf("got %d, want an error", resp.StatusCode)
	}
}

func TestLocal_RevokedKey(t *testing.T) {
	d := onSQLite(t).directory(t, scim.Standard)
	key := d.localKey(d.id, roster.Scopes...)
	key.Revoked = time.Now().Add(-time.Minute)
	if resp, body := ask(t, d.serveLocal(server.Options{}).Local(d.id, key, nil), "GET", d.path+"/Users", ""); resp.StatusCode != 401 {
		t.Errorf("got %d %s, want 401", resp.StatusCode, body)
	}
}

func TestLocal_KeepsTheRateOfItsKey(t *testing.T) {
	d := onSQLite(t).directory(t, scim.Standard)
	rt := d.serveLocal(server.Options{Rate: 0.001, Burst: 1}).Local(d.id, d.localKey(d.id, roster.Scopes...), nil)
	for _, want := range []int{200, 429} {
		if resp, body := ask(t, rt, "GET", d.path+"/Users", ""); resp.StatusCode != want {
			t.Errorf("got %d %s, want %d", resp.StatusCode, body, want)
		}
	}
}

func TestLocal_RepeatedRequestIsDoneOnce(t *testing.T) {
	d := onSQLite(t).directory(t, scim.Standard)
	rt := d.serveLocal(server.Options{}).Local(d.id, d.localKey(d.id, roster.Scopes...), nil)
	for _, again := range []string{"", "true"} {
		// net/http would put a name as this in its canonical form.
		resp, body := ask(t, rt, "POST", d.path+"/Users", ada, "idempotency-key", "run.create")
		if got := resp.Header.Get("Idempotency-Replayed"); resp.StatusCode != 201 || got != again {
			t.Errorf("got %d %s, replayed %q, want %q", resp.StatusCode, body, got, again)
		}
	}
}

// A lost connection, on purpose, is an error of the request and not the end of
// the process.
func TestLocal_LosesItsAnswer(t *testing.T) {
	d := onSQLite(t).directory(t, scim.Standard)
	rt := d.serveLocal(chaos(t, "drop-after=1")).Local(d.id, d.localKey(d.id, roster.Scopes...), nil)
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://local"+d.path+"/Users", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := rt.RoundTrip(req); err == nil {
		t.Errorf("got %d, want an error", resp.StatusCode)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := rt.RoundTrip(req.WithContext(ctx)); !errors.Is(err, context.Canceled) && err == nil {
		t.Errorf("got %v, want an error", err)
	}
}

// Over the network a cause is what the request claims, where it can be read.
func TestCause_OfARequest(t *testing.T) {
	d := onSQLite(t).directory(t, scim.Standard)
	for claim, want := range map[string]any{
		"run=r;step=s;workflow=w;depth=2":    object{"run": "r", "step": "s", "workflow": "w", "depth": 2.0},
		"run=r;step=s;workflow=w;depth=9999": nil,
		"{}":                                 nil,
	} {
		id := d.do("POST", "/Users", object{"userName": "u" + claim}, roster.CauseHeader, claim).want(201).str("id")
		list := d.api("GET", "/resources/"+id+"/history", nil).want(200).obj()["events"].([]any)
		if diff := cmp.Diff(want, list[0].(object)["cause"]); diff != "" {
			t.Errorf("%s:\n%s", claim, diff)
		}
	}
	// The operations of a bulk request have that of the request.
	d.do("POST", "/Bulk", object{"schemas": []any{scim.BulkRequestURN}, "Operations": []any{
		object{"method": "POST", "path": "/Users", "bulkId": "a", "data": object{"userName": "bulk"}},
	}}, roster.CauseHeader, "run=bulk;step=s;workflow=w;depth=1").want(200)
	list := d.api("GET", "/events?last=1", nil).want(200).obj()["events"].([]any)
	if cause, _ := list[0].(object)["cause"].(object); cause["run"] != "bulk" {
		t.Errorf("of a bulk request: %v", list[0])
	}
}
