package durable

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/roster-scim/roster/internal/pgtest"
	"github.com/roster-scim/roster/internal/secret"
	"github.com/roster-scim/roster/internal/store/sqlstore"
	"github.com/roster-scim/roster/internal/workflow"
)

// onBoth runs a test on a new database of each kind.
func onBoth(t *testing.T, fn func(t *testing.T, open opener)) {
	t.Helper()
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		fn(t, opener{t: t, keys: keyring(t), dsn: "sqlite:" + filepath.Join(dir, "a b%?#.db")})
	})
	t.Run("Postgres", func(t *testing.T) {
		t.Parallel()
		fn(t, onPostgres(t))
	})
}

// onPostgres is for what happens between nodes.
func onPostgres(t *testing.T) opener {
	t.Helper()
	dsn := pgtest.DSN(t)
	return opener{t: t, keys: keyring(t), dsn: dsn, leases: leases(t, dsn)}
}

func keyring(t *testing.T) *secret.Keyring {
	t.Helper()
	keys, err := secret.Make(filepath.Join(t.TempDir(), "keys"))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// leases opens the store of a PostgreSQL database.
func leases(t *testing.T, dsn string) LeaseStore {
	t.Helper()
	db, err := sqlstore.Open(t.Context(), dsn, sqlstore.Options{Migrate: true, MaxConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// An opener opens engines on one database.
type opener struct {
	t      *testing.T
	dsn    string
	keys   *secret.Keyring
	leases LeaseStore
}

// options are those of a node with a body, which the test may change.
func (o opener) options(body workflow.Body) Options {
	return Options{
		DSN: o.dsn, Seal: o.keys, Work: true, Body: body, Leases: o.leases, Migrate: true,
		Beat: 50 * time.Millisecond, Dead: time.Minute, Log: slog.New(slog.NewTextHandler(o.t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo})),
	}
}

func (o opener) open(opts Options) *Engine {
	o.t.Helper()
	e, err := Open(o.t.Context(), opts)
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { closeNow(o.t, e) })
	return e
}

// node opens a node with a body.
func (o opener) node(body workflow.Body) *Engine {
	o.t.Helper()
	return o.open(o.options(body))
}

// closeNow closes an engine without waiting for what runs.
func closeNow(t *testing.T, e *Engine) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := e.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
}

const (
	dir  = "d1"
	flow = "update-user"
)

func start(t *testing.T, e *Engine, ids ...string) {
	t.Helper()
	var runs []workflow.NewRun
	for _, id := range ids {
		runs = append(runs, workflow.NewRun{ID: id, Directory: dir, Workflow: flow, Input: []byte("input of " + id)})
	}
	got, err := e.Start(t.Context(), runs...)
	if err != nil || got != len(ids) {
		t.Fatalf("Start: got %d, %v, want %d", got, err, len(ids))
	}
}

// patience is how long any machine may need for what a test waits for.
const patience = time.Minute

// next returns what comes next on a channel.
func next[T any](t *testing.T, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(patience):
		t.Fatalf("no %T came", v)
	}
	return v
}

// wait waits for a run, no longer than patience.
func wait(t *testing.T, e *Engine, id string) *workflow.EngineRun {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := e.Wait(ctx, dir, id)
	if err != nil {
		t.Fatalf("Wait for %s: %v", id, err)
	}
	return r
}
