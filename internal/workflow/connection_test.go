package workflow_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/pgtest"
	"github.com/roster-scim/roster/internal/secret"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/internal/store/sqlstore"
	"github.com/roster-scim/roster/internal/workflow"
	"github.com/roster-scim/roster/scim"
)

const canary = "rk_canary_9f1c2b7e_never_shown"

// openStore returns a store with the directories d1 and d2.
func openStore(t *testing.T, dsn string) *sqlstore.DB {
	t.Helper()
	db, err := sqlstore.Open(t.Context(), dsn, sqlstore.Options{Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	now := time.Now().UTC().Truncate(time.Microsecond)
	for _, id := range []string{"d1", "d2"} {
		err := db.Update(t.Context(), func(tx store.Tx) error {
			return tx.CreateDirectory(&roster.Directory{ID: id, Name: id, RuleSet: scim.Standard, Created: now, Modified: now, Version: 1})
		})
		if err != nil && !errors.Is(err, store.ErrExists) {
			t.Fatal(err)
		}
	}
	return db
}

func sqliteDSN(t *testing.T) string {
	t.Helper()
	return "sqlite:" + filepath.Join(t.TempDir(), "test.db")
}

func makeKeys(t *testing.T) (*secret.Keyring, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret.key")
	keys, err := secret.Make(path)
	if err != nil {
		t.Fatal(err)
	}
	return keys, path
}

// onBoth runs a test on both databases.
func onBoth(t *testing.T, fn func(t *testing.T, db *sqlstore.DB)) {
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		fn(t, openStore(t, sqliteDSN(t)))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		fn(t, openStore(t, pgtest.DSN(t)))
	})
}

func newConnections(t *testing.T, db store.Store) *workflow.Connections {
	t.Helper()
	keys, _ := makeKeys(t)
	return workflow.NewConnections(workflow.ConnectionOptions{Store: db, Keys: keys, Guard: newGuard(t, "127.0.0.1", "10.9.0.0/16", "hr.corp.example:8080")})
}

func newGuard(t *testing.T, allow ...string) *workflow.Guard {
	t.Helper()
	g, err := workflow.NewGuard(allow)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func is(versions ...int64) func(int64) bool {
	return func(v int64) bool {
		for _, want := range versions {
			if v == want {
				return true
			}
		}
		return false
	}
}

// wantStatus fails the test unless err is a *scim.Error of that status whose text
// has want in it.
func wantStatus(t *testing.T, err error, status int, want string) {
	t.Helper()
	var e *scim.Error
	if !errors.As(err, &e) || e.Status != status || !strings.Contains(e.Detail, want) {
		t.Errorf("got %v, want %d with %q", err, status, want)
	}
	if err != nil && strings.Contains(err.Error(), "canary") {
		t.Errorf("the error shows the key: %v", err)
	}
}

func TestConnections_Lifecycle(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqlstore.DB) {
		ctx := t.Context()
		c := newConnections(t, db)
		made, err := c.Create(ctx, "d1", "cloud", workflow.ConnectionInput{URL: "https://api.atlassian.com/", Directory: "there", RuleSet: "atlassian", Key: canary})
		if err != nil {
			t.Fatal(err)
		}
		want := &roster.Connection{
			Owner: "d1", Name: "cloud", URL: "https://api.atlassian.com", Directory: "there", RuleSet: "atlassian",
			Created: made.Created, Modified: made.Created, Version: 1,
		}
		if diff := cmp.Diff(made, want); diff != "" {
			t.Error(diff)
		}
		_, err = c.Create(ctx, "d1", "cloud", workflow.ConnectionInput{URL: "https://other.example", Key: "k"})
		wantStatus(t, err, 409, "PUT replaces it")
		if _, err := c.Create(ctx, "d2", "cloud", workflow.ConnectionInput{URL: "https://other.example/scim", Key: "other"}); err != nil {
			t.Fatal(err)
		}
		if _, key, err := c.Open(ctx, "d1", "cloud"); err != nil || key != canary {
			t.Errorf("got key %q, %v", key, err)
		}
		_, _, err = c.Open(ctx, "d1", "none")
		wantStatus(t, err, 404, "there is no connection none in this directory")

		// Without a key it keeps the one it has; a key follows to no other place.
		next, err := c.Replace(ctx, "d1", "cloud", is(1), workflow.ConnectionInput{URL: "https://api.atlassian.com", Directory: "there"})
		if err != nil {
			t.Fatal(err)
		}
		if next.Version != 2 || next.RuleSet != scim.Standard || !next.Modified.After(made.Modified) || !next.Created.Equal(made.Created) {
			t.Errorf("got %+v", next)
		}
		if _, key, err := c.Open(ctx, "d1", "cloud"); err != nil || key != canary {
			t.Errorf("got key %q, %v after a change without key", key, err)
		}
		for _, in := range []workflow.ConnectionInput{
			{URL: "https://elsewhere.example", Directory: "there"},
			{URL: "https://api.atlassian.com", Directory: "elsewhere"},
		} {
			_, err = c.Replace(ctx, "d1", "cloud", nil, in)
			wantStatus(t, err, 400, "key is required where url or directory changes")
		}
		_, err = c.Replace(ctx, "d1", "cloud", is(1), workflow.ConnectionInput{URL: "https://api.atlassian.com", Directory: "there"})
		wantStatus(t, err, 412, `W/"2"`)
		if _, err = c.Replace(ctx, "d1", "cloud", is(2), workflow.ConnectionInput{URL: "https://elsewhere.example", Key: "new"}); err != nil {
			t.Fatal(err)
		}
		if got, key, err := c.Open(ctx, "d1", "cloud"); err != nil || key != "new" || got.Directory != "" {
			t.Errorf("got %+v, key %q, %v after a change of all", got, key, err)
		}

		list, err := c.List(ctx, "d1")
		if err != nil || len(list) != 1 || list[0].Version != 3 {
			t.Errorf("got %v, %v", list, err)
		}
		wantStatus(t, c.Delete(ctx, "d1", "cloud", is(2)), 412, `W/"3"`)
		if err := c.Delete(ctx, "d1", "cloud", is(3)); err != nil {
			t.Error(err)
		}
		wantStatus(t, c.Delete(ctx, "d1", "cloud", nil), 404, "no connection cloud")
		if _, err := c.Get(ctx, "d2", "cloud"); err != nil {
			t.Errorf("that of the other directory is gone: %v", err)
		}
		_, err = c.Create(ctx, "gone", "cloud", workflow.ConnectionInput{URL: "https://other.example", Key: "k"})
		wantStatus(t, err, 404, "the directory gone was deleted")
	})
}

func TestConnections_Refuse(t *testing.T) {
	t.Parallel()
	c := newConnections(t, openStore(t, sqliteDSN(t)))
	good := workflow.ConnectionInput{URL: "https://service.example/scim/v2", Key: canary}
	with := func(change func(*workflow.ConnectionInput)) workflow.ConnectionInput {
		in := good
		change(&in)
		return in
	}
	url := func(u string) workflow.ConnectionInput {
		return with(func(in *workflow.ConnectionInput) { in.URL = u })
	}
	for _, tt := range []struct {
		name string
		in   workflow.ConnectionInput
		want string
	}{
		{"local", good, "name must not be local"},
		{"", good, "name must be"},
		{"Cloud", good, "name must be"},
		{"-a", good, "name must be"},
		{"a-", good, "name must be"},
		{"a_b", good, "name must be"},
		{"a\x00", good, "name must be"},
		{strings.Repeat("a", 64), good, "name must be"},
		{"a", url(""), "url is required"},
		{"a", url("service.example"), "url must be one such as"},
		{"a", url("ftp://service.example"), "url must be one such as"},
		{"a", url("https://"), "url must be one such as"},
		{"a", url("https://:443/x"), "url must be one such as"},
		{"a", url("https://" + strings.Repeat("a", 2000)), "url must be one such as"},
		{"a", url("https://canary:canary@service.example"), "no user name"},
		{"a", url("https://service.example?canary=1"), "no query"},
		{"a", url("https://service.example?"), "no query"},
		{"a", url("https://service.example#canary"), "no query and no fragment"},
		{"a", url("http://service.example"), "must begin with https://"},
		{"a", url("http://10.0.0.1"), "must begin with https://"},
		{"a", url("http://hr.corp.example"), "must begin with https://"},
		{"a", url("http://9.9.9.9"), "must begin with https://"},
		{"a", url("http://localhost.service.example"), "must begin with https://"},
		{"a", with(func(in *workflow.ConnectionInput) { in.Key = "" }), "key is required"},
		{"a", with(func(in *workflow.ConnectionInput) { in.Key = "canary\r\nX: y" }), "key must be"},
		{"a", with(func(in *workflow.ConnectionInput) { in.Key = strings.Repeat("k", 9000) }), "key must be"},
		{"a", with(func(in *workflow.ConnectionInput) { in.RuleSet = "okta" }), "ruleSet must be one of"},
		{"a", with(func(in *workflow.ConnectionInput) { in.Directory = strings.Repeat("d", 201) }), "directory must be"},
		{"a", with(func(in *workflow.ConnectionInput) { in.Directory = "a\nb" }), "directory must be"},
	} {
		_, err := c.Create(t.Context(), "d1", tt.name, tt.in)
		wantStatus(t, err, 400, tt.want)
	}
	for _, u := range []string{"http://127.0.0.1:8080", "http://[::1]:8080", "http://localhost:8080/scim", "https://10.0.0.1", "http://10.9.1.2", "http://HR.corp.example:8080"} {
		name := "a" + fmt.Sprint(len(u))
		if _, err := c.Create(t.Context(), "d1", name, url(u)); err != nil {
			t.Errorf("%s: %v", u, err)
		}
	}
}

func TestConnections_AtMostSoMany(t *testing.T) {
	t.Parallel()
	c := newConnections(t, openStore(t, sqliteDSN(t)))
	in := workflow.ConnectionInput{URL: "https://service.example", Key: "k"}
	for i := range workflow.MaxConnections {
		if _, err := c.Create(t.Context(), "d1", fmt.Sprint("c", i), in); err != nil {
			t.Fatal(err)
		}
	}
	_, err := c.Create(t.Context(), "d1", "more", in)
	wantStatus(t, err, 409, "the directory has 100 connections, which is the most")
	if _, err := c.Create(t.Context(), "d2", "more", in); err != nil {
		t.Error(err)
	}
}

func TestConnections_OneThatAWorkflowUsesStays(t *testing.T) {
	t.Parallel()
	db := openStore(t, sqliteDSN(t))
	keys, _ := makeKeys(t)
	c := workflow.NewConnections(workflow.ConnectionOptions{Store: db, Keys: keys, Guard: newGuard(t), Used: func(_ store.Reader, directory, name string) (string, error) {
		if directory == "d1" && name == "used" {
			return "offboard", nil
		}
		return "", nil
	}})
	for _, name := range []string{"used", "other"} {
		if _, err := c.Create(t.Context(), "d1", name, workflow.ConnectionInput{URL: "https://service.example", Key: "k"}); err != nil {
			t.Fatal(err)
		}
	}
	wantStatus(t, c.Delete(t.Context(), "d1", "used", nil), 409, "the workflow offboard uses the connection used")
	if err := c.Delete(t.Context(), "d1", "other", nil); err != nil {
		t.Error(err)
	}
}

// Where a connection leads is looked at when it is used, too.
func TestConnections_TestGoesNowhereThatIsNotPublic(t *testing.T) {
	t.Parallel()
	asked := false
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	t.Cleanup(srv.Close)
	keys, _ := makeKeys(t)
	c := workflow.NewConnections(workflow.ConnectionOptions{Store: openStore(t, sqliteDSN(t)), Keys: keys, Guard: newGuard(t)})
	if _, err := c.Create(t.Context(), "d1", "a", workflow.ConnectionInput{URL: srv.URL, Key: canary}); err != nil {
		t.Fatal(err)
	}
	_, err := c.Test(t.Context(), "d1", "a")
	if d, ok := errors.AsType[*workflow.Diagnosis](err); !ok || !strings.Contains(d.What, "--workflow-allow-address") || asked {
		t.Errorf("got %v, asked %v; want a refusal that tells the flag", err, asked)
	}
}

func TestConnections_WithoutKeysSayWhichFlag(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := workflow.NewConnections(workflow.ConnectionOptions{Store: openStore(t, sqliteDSN(t))})
	in := workflow.ConnectionInput{URL: "https://service.example", Key: canary}
	for what, err := range map[string]error{
		"list":    second(c.List(ctx, "d1")),
		"get":     second(c.Get(ctx, "d1", "a")),
		"create":  second(c.Create(ctx, "d1", "a", in)),
		"replace": second(c.Replace(ctx, "d1", "a", nil, in)),
		"test":    second(c.Test(ctx, "d1", "a")),
		"delete":  c.Delete(ctx, "d1", "a", nil),
	} {
		t.Run(what, func(t *testing.T) { wantStatus(t, err, 501, "--secret-key-file FILE (or ROSTER_SECRET_KEY_FILE)") })
	}
}

func second[T any](_ T, err error) error { return err }

// A sealed key opens in its place alone.
func TestConnections_ARecordThatWasMovedDoesNotOpen(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqlstore.DB) {
		ctx := t.Context()
		c := newConnections(t, db)
		in := workflow.ConnectionInput{URL: "https://service.example", Key: canary}
		for _, place := range [][2]string{{"d1", "a"}, {"d1", "b"}, {"d2", "a"}} {
			if _, err := c.Create(ctx, place[0], place[1], in); err != nil {
				t.Fatal(err)
			}
		}
		err := db.Update(ctx, func(tx store.Tx) error {
			from, err := tx.GetConnection("d1", "a")
			if err != nil {
				return err
			}
			for _, place := range [][2]string{{"d1", "b"}, {"d2", "a"}} {
				to, err := tx.GetConnection(place[0], place[1])
				if err != nil {
					return err
				}
				to.Sealed = from.Sealed
				if err := tx.ResealConnection(to); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, place := range [][2]string{{"d1", "b"}, {"d2", "a"}} {
			if _, key, err := c.Open(ctx, place[0], place[1]); !errors.Is(err, secret.ErrDamaged) || key != "" {
				t.Errorf("%v: got key %q, %v; want damaged", place, key, err)
			}
		}
	})
}

// What a test says of a service that sends its key back does not show it.
func TestConnections_TestShowsNoKey(t *testing.T) {
	t.Parallel()
	var auth string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		auth = r.Header.Get("Authorization")
		w.Header().Set("Content-Type", "application/scim+json")
		w.WriteHeader(http.StatusTeapot)
		_, _ = fmt.Fprintf(w, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"418","detail":"I do not like %s"}`, auth)
	}))
	t.Cleanup(srv.Close)
	c := newConnections(t, openStore(t, sqliteDSN(t)))
	if _, err := c.Create(t.Context(), "d1", "a", workflow.ConnectionInput{URL: srv.URL, Key: canary}); err != nil {
		t.Fatal(err)
	}
	_, err := c.Test(t.Context(), "d1", "a")
	d, ok := errors.AsType[*workflow.Diagnosis](err)
	if !ok || d.What != "the service answers 418: I do not like Bearer ***" || errors.Unwrap(err) != nil {
		t.Errorf("got %v", err)
	}
	if auth != "Bearer "+canary {
		t.Errorf("the service was sent %q", auth)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Test(ctx, "d1", "a"); err == nil {
		t.Error("a test whose client has gone succeeds")
	}
}
