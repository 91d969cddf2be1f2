package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/internal/store/storetest"
)

func openTest(tb testing.TB, path string) *DB {
	tb.Helper()
	db, err := Open(tb.Context(), "sqlite:"+path, Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

func tempPath(tb testing.TB) string { return filepath.Join(tb.TempDir(), "a b%?#.db") }

func TestSQLite(t *testing.T) {
	storetest.Run(t, func(tb testing.TB) store.Store { return openTest(tb, tempPath(tb)) })
}

func TestOpen_CommitsAreDurable(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	db := openTest(t, path)
	createDirectory(t, db, "d")
	err := db.update(t.Context(), func(c conn) error {
		for pragma, want := range map[string]any{"synchronous": int64(2), "journal_mode": "wal", "foreign_keys": int64(1)} {
			got, err := c.(*sqliteConn).pragma(pragma)
			if err != nil {
				return err
			}
			if got[0] != want {
				t.Errorf("PRAGMA %s: got %v, want %v", pragma, got[0], want)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS == "windows" {
		return
	}
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != 0o600 {
			t.Errorf("%s: mode %o, want 600", suffix, got)
		}
	}
}

func TestOpen_ReadersCannotWrite(t *testing.T) {
	t.Parallel()
	db := openTest(t, tempPath(t))
	err := db.view(t.Context(), func(c conn) error {
		_, err := c.exec(putSetting, "s", []byte("x"))
		return err
	})
	if err == nil {
		t.Error("a View has written")
	}
}

func TestOpen_SecondServerIsKeptOff(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	db := openTest(t, path)
	if _, err := Open(t.Context(), "sqlite:"+path, Options{}); err == nil || !strings.Contains(err.Error(), path+".lock") {
		t.Errorf("second Open: got %v, want an error that names the lock file", err)
	}
	if _, err := Migrate(t.Context(), "sqlite:"+path, nil); err == nil {
		t.Error("Migrate of an open database: no error")
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	openTest(t, path)
}

func TestOpen_BadDSN(t *testing.T) {
	t.Parallel()
	for _, dsn := range []string{"", "sqlite:", "mysql://user:secret@host/db", "/var/lib/roster.db"} {
		_, err := Open(t.Context(), dsn, Options{})
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("Open(%q): got %v, want an error without the password", dsn, err)
		}
	}
}

// createDirectory creates an empty directory.
func createDirectory(tb testing.TB, db *DB, id string) {
	tb.Helper()
	update(tb, db, func(tx store.Tx) error {
		return tx.CreateDirectory(&roster.Directory{ID: id, Name: id, RuleSet: "atlassian", Version: 1})
	})
}

func update(tb testing.TB, db *DB, fn func(store.Tx) error) {
	tb.Helper()
	if err := db.Update(tb.Context(), fn); err != nil {
		tb.Fatal(err)
	}
}

func record(directory, id string, version int64) *store.Record {
	return &store.Record{Directory: directory, Type: "User", ID: id, Version: version, Doc: []byte(`{"userName":"` + id + `"}`)}
}

// create and replace are the changes with an event of them.
func create(tx store.Tx, r *store.Record, keys store.Keys) error {
	return tx.Create(r, keys, eventOf(r))
}

func replace(tx store.Tx, r *store.Record, drop, add store.Keys) error {
	return tx.Replace(r, drop, add, eventOf(r))
}

func eventOf(r *store.Record) *roster.Event {
	return &roster.Event{ID: r.ID, Directory: r.Directory, ResourceType: r.Type, Resource: r.ID, Version: r.Version, Operation: roster.OpReplace}
}

// hold keeps the writer of db busy until the function it returns is called.
func hold(t *testing.T, db *DB) (release func()) {
	t.Helper()
	entered, leave := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	enter := sync.OnceFunc(func() { close(entered) }) // it may run again
	wg.Go(func() {
		if err := db.Update(t.Context(), func(store.Tx) error { enter(); <-leave; return nil }); err != nil {
			t.Errorf("Update: %v", err)
		}
	})
	select {
	case <-entered:
	case <-time.After(patience):
		t.Fatal("the writer does not begin")
	}
	return func() { close(leave); wg.Wait() }
}

// patience is how long any machine may need for what a test waits for.
const patience = time.Minute

// queued waits until n functions wait for the writer.
func queued(t *testing.T, db *DB, n int) {
	t.Helper()
	for deadline := time.Now().Add(patience); len(db.engine.(*sqliteEngine).writer.jobs) < n; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Error("not all wait for the writer")
			return // so that who holds it is let go
		}
	}
}

func TestUpdate_GroupCommit(t *testing.T) {
	t.Parallel()
	const n = 100
	db := openTest(t, tempPath(t))
	createDirectory(t, db, "d")
	release := hold(t, db)
	before := db.Stats()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			err := db.Update(t.Context(), func(tx store.Tx) error { return create(tx, record("d", fmt.Sprint(i), 1), store.Keys{}) })
			if err != nil {
				t.Errorf("Update: %v", err)
			}
		})
	}
	queued(t, db, n)
	release()
	wg.Wait()
	after := db.Stats()
	if got := after.Updates - before.Updates; got != n+1 { // and the one that held the writer
		t.Errorf("%d updates, want %d", got, n+1)
	}
	if got := after.Commits - before.Commits; got != 1 { // they joined it while it was held
		t.Errorf("%d updates took %d commits, want 1", n+1, got)
	}
}

func TestUpdate_GivenUpWhileWaiting(t *testing.T) {
	t.Parallel()
	db := openTest(t, tempPath(t))
	release := hold(t, db)
	ctx, cancel := context.WithCancel(t.Context())
	ran := false
	done := make(chan error)
	go func() { done <- db.Update(ctx, func(store.Tx) error { ran = true; return nil }) }()
	queued(t, db, 1)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) { // while the writer is still busy
		t.Errorf("got %v, want context.Canceled", err)
	}
	release()
	if err := db.Update(t.Context(), func(store.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if ran {
		t.Error("the function was run")
	}
}

func TestUpdate_Goexit(t *testing.T) {
	t.Parallel()
	db := openTest(t, tempPath(t))
	createDirectory(t, db, "d")
	err := db.Update(t.Context(), func(tx store.Tx) error {
		if err := create(tx, record("d", "a", 1), store.Keys{}); err != nil {
			return err
		}
		runtime.Goexit()
		return nil
	})
	if err == nil {
		t.Error("a function that never returned was acknowledged")
	}
	update(t, db, func(tx store.Tx) error { return create(tx, record("d", "a", 1), store.Keys{}) })
}

// When the COMMIT of a batch fails, those that are not to blame are committed
// all the same, and the one that is hears of it.
func TestUpdate_CommitFails(t *testing.T) {
	t.Parallel()
	const n = 20
	db := openTest(t, tempPath(t))
	createDirectory(t, db, "d")
	err := db.update(t.Context(), func(c conn) error {
		for _, text := range []string{
			`CREATE TABLE parent (id INTEGER PRIMARY KEY)`,
			`CREATE TABLE child (id INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)`,
		} {
			if _, err := c.(*sqliteConn).first(text); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	release := hold(t, db)
	var runs, failures atomic.Int64
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			err := db.update(t.Context(), func(c conn) error {
				runs.Add(1)
				tx := &tx{reader: reader{c}}
				if err := create(tx, record("d", fmt.Sprint(i), 1), store.Keys{}); err != nil {
					return err
				}
				if i == 7 {
					_, err := c.(*sqliteConn).first(`INSERT INTO child VALUES (1)`)
					return err
				}
				return tx.finish()
			})
			if err != nil {
				failures.Add(1)
				if i != 7 {
					t.Errorf("%d: %v", i, err)
				}
			}
		})
	}
	queued(t, db, n)
	release()
	wg.Wait()
	if failures.Load() != 1 || runs.Load() != 2*n {
		t.Errorf("%d failures in %d runs, want 1 in %d", failures.Load(), runs.Load(), 2*n)
	}
	err = db.View(t.Context(), func(r store.Reader) error {
		got, err := r.Count(store.Query{Directory: "d", Type: "User"})
		if got != n-1 {
			t.Errorf("%d resources, want %d", got, n-1)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestUpdate_SeqIsNeverUsedAgain(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	last := int64(0)
	for i := range 3 {
		db := openTest(t, path)
		if i == 0 {
			createDirectory(t, db, "d")
		}
		for j := range 3 {
			if j == 1 { // after a rollback of the transaction that took the block
				boom := errors.New("boom")
				err := db.Update(t.Context(), func(tx store.Tx) error {
					if err := create(tx, record("d", "gone", 1), store.Keys{}); err != nil {
						return err
					}
					return boom
				})
				if !errors.Is(err, boom) {
					t.Fatal(err)
				}
			}
			update(t, db, func(tx store.Tx) error { return create(tx, record("d", fmt.Sprint(i, j), 1), store.Keys{}) })
			events, err := db.Events(t.Context(), "d", last, 10)
			if err != nil {
				t.Fatal(err)
			}
			if len(events) != 1 {
				t.Fatalf("%d events after %d, want 1", len(events), last)
			}
			last = events[0].Seq
		}
		// With every event erased, nothing but the setting knows the seq.
		if _, err := db.Prune(t.Context(), time.Time{}, time.Now(), time.Time{}); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCheckpoint_LogBeginsAnew(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	db := openTest(t, path)
	createDirectory(t, db, "d")
	e := db.engine.(*sqliteEngine)
	e.checkpoint.pages = 50
	doc := make([]byte, 8000)
	update(t, db, func(tx store.Tx) error {
		r := record("d", "a", 1)
		r.Doc = doc
		return create(tx, r, store.Keys{})
	})
	for v := int64(2); v < 2000; v++ {
		update(t, db, func(tx store.Tx) error {
			r := record("d", "a", v)
			r.Doc = doc
			return replace(tx, r, store.Keys{}, store.Keys{})
		})
	}
	info, err := os.Stat(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	// 2,000 versions of two pages are 16 MB; how much of that there is at once
	// depends on when the checkpointer gets to run.
	if info.Size() > 8<<20 {
		t.Errorf("the log has grown to %d bytes", info.Size())
	}
}

func TestBackup(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	db := openTest(t, path)
	createDirectory(t, db, "d")
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	written := make(chan struct{}, 1)
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				err := db.Update(t.Context(), func(tx store.Tx) error {
					id := fmt.Sprint(w, "-", i)
					return create(tx, record("d", id, 1), store.Keys{Terms: []store.Term{{Attribute: "a", Value: "v"}}})
				})
				if err != nil {
					t.Errorf("Update: %v", err)
				}
				select {
				case written <- struct{}{}:
				default:
				}
			}
		})
	}
	<-written
	copied := filepath.Join(t.TempDir(), "copy.db")
	err := db.Backup(t.Context(), copied)
	cancel()
	wg.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Backup(t.Context(), copied); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Backup onto a file: got %v, want fs.ErrExist", err)
	}
	b := openTest(t, copied)
	err = b.View(t.Context(), func(r store.Reader) error {
		q := store.Query{Directory: "d", Type: "User", Limit: 1 << 30}
		counted, err := r.Count(q)
		if err != nil {
			return err
		}
		listed := int64(0)
		if err := r.List(q, func(*store.Record) error { listed++; return nil }); err != nil {
			return err
		}
		q.Term = &store.Term{Attribute: "a", Value: "v"}
		terms, err := r.Count(q)
		if err != nil {
			return err
		}
		events, err := b.Events(t.Context(), "d", 0, 1<<30)
		if counted == 0 || counted != listed || counted != terms || counted != int64(len(events)) {
			t.Errorf("counted %d, listed %d, terms %d, events %d", counted, listed, terms, len(events))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(copied + ".part*")
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestMigrate_CopiesFirst(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	db := openTest(t, path)
	createDirectory(t, db, "d")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	now, err := schemaSQLite(path)
	if err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{}
	for i, text := range []string{"CREATE TABLE more (x);", "CREATE TABLE worse (x);\nno SQL;"} {
		files[fmt.Sprintf("%05d_new.sql", now.Latest+int64(i)+1)] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + text + "\n")}
	}
	if err := migrateSQLite(t.Context(), path, files, Options{}.logger()); err == nil {
		t.Fatal("a migration that is no SQL: no error")
	}
	if v, err := versionSQLite(path); err != nil || v != now.Latest+1 {
		t.Errorf("version %d, %v; want %d", v, err, now.Latest+1)
	}
	c, err := connectSQLite(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.close() }()
	if got, err := c.first("SELECT 1 FROM sqlite_master WHERE name = 'worse'"); err != nil || got != nil {
		t.Errorf("half of a migration is left: %v, %v", got, err)
	}
	s, err := ReadSchema(t.Context(), "sqlite:"+fmt.Sprintf("%s.before-%05d_new", path, now.Latest+1))
	if diff := cmp.Diff(now, s); err != nil || diff != "" {
		t.Errorf("the copy (-want +got):\n%s%v", diff, err)
	}
	// And this program refuses the newer one.
	if _, err := Open(t.Context(), "sqlite:"+path, Options{}); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("Open of a newer database: got %v", err)
	}
}
