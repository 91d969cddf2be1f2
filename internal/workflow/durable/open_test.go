package durable

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/roster-scim/roster/internal/secret"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/internal/workflow"
)

func refused(t *testing.T, opts Options, want string) {
	t.Helper()
	e, err := Open(t.Context(), opts)
	if err == nil {
		closeNow(t, e)
	}
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Open: got %v, want one with %q", err, want)
	}
}

func nothing(context.Context, workflow.Execution) ([]byte, error) { return nil, nil }

func TestOpen_Refused(t *testing.T) {
	onBoth(t, func(t *testing.T, o opener) {
		opts := o.options(nothing)
		opts.Node = "one"
		e := o.open(opts)
		start(t, e, "r1")
		wait(t, e, "r1")
		if o.leases == nil {
			refused(t, opts, "in use by another process")
		} else {
			refused(t, opts, "there is a node one already")
			opts.Node = "two"
			o.open(opts)
		}
		closeNow(t, e)
		// A name that was given back is free at once.
		opts.Node = "one"
		closeNow(t, o.open(opts))
		opts.Seal = keyring(t)
		refused(t, opts, "sealed with a key that is not in the file of keys")
		_, err := Open(t.Context(), opts)
		is(t, "Open with another key", err, secret.ErrNoKey)
	})
	t.Run("DSN", func(t *testing.T) {
		t.Parallel()
		refused(t, Options{DSN: "mysql://x:secret@y"}, "want sqlite:PATH or postgres://…")
		refused(t, Options{DSN: "sqlite:" + filepath.Join(t.TempDir(), "none", "a.db")}, "is not there")
	})
}

// A damaged file is named, and stays as it is.
func TestOpen_Damaged(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "runs.db")
	damaged := bytes.Repeat([]byte("no database "), 1000)
	if err := os.WriteFile(path, damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, Options{DSN: "sqlite:" + path, Seal: keyring(t), Body: nothing}, "move "+path+" and its -wal and -shm away")
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, damaged) {
		t.Errorf("the file has changed: %v", err)
	}
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	o := onPostgres(t)
	opts := o.options(nothing)
	opts.Migrate = false
	refused(t, opts, "roster migrate")
	for range 2 {
		if err := Migrate(t.Context(), o.dsn, nil); err != nil {
			t.Fatal(err)
		}
	}
	closeNow(t, o.open(opts))
}

// What DBOS would take from the environment is of no account.
func TestOpen_Environment(t *testing.T) {
	for name, value := range map[string]string{
		"DBOS__VMID": "other", "DBOS__APPVERSION": "other", "DBOS__CLOUD": "true",
		"DBOS__CONDUCTOR_URL": "ws://127.0.0.1:1", "DBOS__CONDUCTOR_KEY": "k", "DBOS__CONDUCTOR_APP_NAME": "roster",
	} {
		t.Setenv(name, value)
	}
	o := opener{t: t, keys: keyring(t), dsn: "sqlite:" + filepath.Join(t.TempDir(), "a.db")}
	e := o.node(nothing)
	start(t, e, "r1")
	equal(t, "node", wait(t, e, "r1").Node, node)
	s, err := e.status(t.Context(), "r1")
	is(t, "status", err, nil)
	equal(t, "version", s.ApplicationVersion, version)
}

// A lockedBuffer may be read while others still write to it.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// Nothing that a run was given, gave, or failed with is readable in the database or
// in the log.
func TestEngine_Sealed(t *testing.T) {
	const canary = "canary-5f2c0e71"
	onBoth(t, func(t *testing.T, o opener) {
		var log lockedBuffer
		opts := o.options(func(ctx context.Context, x workflow.Execution) ([]byte, error) {
			if _, err := x.Do(ctx, "step", gives(canary)); err != nil {
				return nil, err
			}
			switch x.ID() {
			case "failed":
				return []byte(canary), errors.New(canary)
			case "call":
				return x.Do(ctx, "fails", func(context.Context) ([]byte, error) { return nil, errors.New(canary) })
			case "panic":
				return x.Do(ctx, "fails", func(context.Context) ([]byte, error) { panic(canary) })
			case "body-panic":
				panic(canary)
			}
			return []byte(canary), nil
		})
		opts.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		e := o.open(opts)
		for _, id := range []string{"ok", "failed", "call", "panic", "body-panic"} {
			_, err := e.Start(t.Context(), workflow.NewRun{ID: id, Directory: dir, Workflow: flow, Input: []byte(canary)})
			is(t, "Start", err, nil)
			r := wait(t, e, id)
			if !strings.Contains(string(r.Output)+r.Error, canary) {
				t.Errorf("%s: the canary is not in %+v", id, r)
			}
		}
		all := dump(t, o, e)
		closeNow(t, e)
		all = append(all, log.String()...)
		for _, form := range forms(canary) {
			if i := bytes.Index(all, []byte(form)); i >= 0 {
				t.Errorf("the canary, as %q: %q", form, all[max(0, i-200):min(len(all), i+100)])
			}
		}
		if !bytes.Contains(all, []byte(flow)) {
			t.Error("what was searched has not even the name of the workflow")
		}
	})
}

// forms are the ways in which a text may stand in a database.
func forms(s string) []string {
	list := []string{s, fmt.Sprintf("%x", s)}
	for i := range 3 {
		b := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat(" ", i) + s))
		list = append(list, b[4:len(b)-4]) // of which its neighbours change nothing
	}
	return list
}

// dump returns all that is in the database.
func dump(t *testing.T, o opener, e *Engine) []byte {
	t.Helper()
	var all []byte
	if e.db.path != "" {
		for _, suffix := range []string{"", "-wal"} {
			b, err := os.ReadFile(e.db.path + suffix)
			is(t, "read", err, nil)
			all = append(all, b...)
		}
		return all
	}
	tables, err := e.db.ids(t.Context(), `SELECT table_name::text FROM information_schema.tables WHERE table_schema = $1`, schema)
	if err != nil || len(tables) < 5 {
		t.Fatalf("tables: got %v, %v", tables, err)
	}
	for _, table := range tables {
		rows, err := e.db.ids(t.Context(), `SELECT t::text FROM {}`+table+` t`)
		is(t, table, err, nil)
		all = append(all, strings.Join(rows, "\n")...)
	}
	return all
}

// lost is a store in which a node finds its lease lost when it renews it.
type lost struct {
	LeaseStore
	now atomic.Bool
}

func (l *lost) RenewLease(ctx context.Context, name, holder string, d time.Duration) error {
	if l.now.CompareAndSwap(true, false) {
		return store.ErrNotFound
	}
	return l.LeaseStore.RenewLease(ctx, name, holder, d)
}

// told is a log that tells each of its messages.
type told struct {
	slog.Handler
	messages chan string
}

func (l *told) Handle(ctx context.Context, r slog.Record) error {
	l.messages <- r.Message
	return l.Handler.Handle(ctx, r)
}

// A node that was taken for dead stops what it does and goes on under a new name.
// Nobody has taken its runs here, so it takes them itself.
func TestEngine_TakenForDead(t *testing.T) {
	t.Parallel()
	o := onPostgres(t)
	l := &lost{LeaseStore: o.leases}
	o.leases = l
	begun, causes := make(chan string, 9), make(chan error, 9)
	var attempts atomic.Int64
	opts := o.options(func(ctx context.Context, x workflow.Execution) ([]byte, error) {
		if attempts.Add(1) > 1 {
			return x.Do(ctx, "hang", gives("gone on"))
		}
		_, err := x.Do(ctx, "hang", hangs(begun, ""))
		causes <- context.Cause(ctx)
		return nil, err
	})
	log := &told{Handler: opts.Log.Handler(), messages: make(chan string, 1000)}
	opts.Log = slog.New(log)
	e := o.open(opts)
	start(t, e, "r1")
	next(t, begun)
	first := e.worker.current().node
	l.now.Store(true)
	is(t, "cause", next(t, causes), workflow.ErrStopped)
	r := wait(t, e, "r1")
	equal(t, "output", string(r.Output), "gone on")
	if r.Node == first {
		t.Errorf("the node is still %s", first)
	}
	// The run may end before the lease by which it was taken over is given back.
	for next(t, log.messages) != "the runs of a dead node go on" {
	}
	all, err := o.leases.Leases(t.Context())
	if err != nil || len(all) != 1 || all[0].Name != leasePrefix+r.Node {
		t.Errorf("leases: got %v, %v, want one of %s", all, err, r.Node)
	}
}

// Runs are found by an index, whatever they are found by.
func TestListQuery_UsesIndex(t *testing.T) {
	onBoth(t, func(t *testing.T, o opener) {
		opts := o.options(nil)
		opts.Work = false
		e := o.open(opts)
		var runs []workflow.NewRun
		for i := range 2000 {
			runs = append(runs, workflow.NewRun{ID: fmt.Sprint("r", i), Directory: fmt.Sprint("d", i%4), Workflow: fmt.Sprint("w", i%3)})
		}
		_, err := e.Start(t.Context(), runs...)
		is(t, "Start", err, nil)
		_, err = e.db.sql.ExecContext(t.Context(), e.db.text(`ANALYZE {}workflow_status`))
		is(t, "ANALYZE", err, nil)
		for what, q := range map[string]workflow.RunQuery{
			"directory": {Directory: "d1", Limit: 10},
			"before":    {Directory: "d1", Limit: 10, Before: "r777"},
			"workflow":  {Directory: "d1", Workflow: "w1", Limit: 10},
			"status":    {Directory: "d1", Status: "succeeded", Limit: 10},
		} {
			plan := explain(t, e, q)
			if !strings.Contains(plan, "roster_runs_of_") {
				t.Errorf("%s: got the plan\n%s", what, plan)
			}
		}
	})
}

func explain(t *testing.T, e *Engine, q workflow.RunQuery) string {
	t.Helper()
	text, args := listQuery(q)
	prefix := "EXPLAIN "
	if e.db.path != "" {
		prefix = "EXPLAIN QUERY PLAN "
	}
	rows, err := e.db.sql.QueryContext(t.Context(), prefix+e.db.text(text), args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var plan strings.Builder
	for rows.Next() {
		columns, err := rows.Columns()
		is(t, "columns", err, nil)
		cells := make([]any, len(columns))
		for i := range cells {
			cells[i] = new(any)
		}
		is(t, "scan", rows.Scan(cells...), nil)
		for _, c := range cells {
			fmt.Fprintf(&plan, "%v ", *c.(*any))
		}
		plan.WriteByte('\n')
	}
	is(t, "rows", rows.Err(), nil)
	return plan.String()
}
