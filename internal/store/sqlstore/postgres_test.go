package sqlstore

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/roster-scim/roster/internal/pgtest"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/internal/store/storetest"
)

// openPostgresTest opens a new database. Few connections each: many tests share
// the server.
func openPostgresTest(tb testing.TB) *DB {
	tb.Helper()
	db, err := Open(tb.Context(), pgtest.DSN(tb), Options{Migrate: true, MaxConns: 16})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

func TestPostgres(t *testing.T) {
	storetest.Run(t, func(tb testing.TB) store.Store { return openPostgresTest(tb) })
}

// run executes SQL as somebody else than the store.
func run(t *testing.T, dsn, text string) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(context.Background()) }()
	if _, err := c.Exec(t.Context(), text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

func TestOpen_PostgresSchema(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	if _, err := Open(t.Context(), dsn, Options{}); err == nil || !strings.Contains(err.Error(), "roster migrate") {
		t.Errorf("Open of an empty database: got %v, want one that says to run `roster migrate`", err)
	}
	// Two at once do not disturb each other.
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if _, err := Migrate(t.Context(), dsn, nil); err != nil {
				t.Errorf("Migrate: %v", err)
			}
		})
	}
	wg.Wait()
	db, err := Open(t.Context(), dsn, Options{})
	if err != nil {
		t.Fatal(err)
	}
	_ = db.Close()
	run(t, dsn, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, true)`)
	for what, err := range map[string]error{
		"Open":    second(Open(t.Context(), dsn, Options{Migrate: true})),
		"Migrate": second(Migrate(t.Context(), dsn, nil)),
	} {
		if err == nil || !strings.Contains(err.Error(), "newer") {
			t.Errorf("%s of a newer database: got %v", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestOpen_PostgresDurability(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	if _, err := Migrate(t.Context(), dsn, nil); err != nil {
		t.Fatal(err)
	}
	run(t, dsn, `DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || ' SET synchronous_commit = off'; END $$`)
	if _, err := Open(t.Context(), dsn, Options{}); err == nil || !strings.Contains(err.Error(), "synchronous_commit") {
		t.Errorf("got %v, want a refusal that names synchronous_commit", err)
	}
	db, err := Open(t.Context(), dsn, Options{AllowDataLoss: true})
	if err != nil {
		t.Fatal(err)
	}
	_ = db.Close()
}

// Two transactions that lock the same two rows in opposite orders both succeed:
// the one that the server chooses as the victim runs again.
func TestUpdate_DeadlockIsRetried(t *testing.T) {
	t.Parallel()
	db := openPostgresTest(t)
	createDirectory(t, db, "d")
	ids := []string{"a", "b"}
	for _, id := range ids {
		update(t, db, func(tx store.Tx) error { return create(tx, record("d", id, 1), store.Keys{}) })
	}
	var both, wg sync.WaitGroup
	both.Add(2)
	for i := range ids {
		wg.Go(func() {
			met := false
			err := db.Update(t.Context(), func(tx store.Tx) error {
				for j := range ids {
					r, err := tx.Get("d", "User", ids[(i+j)%2])
					if err != nil {
						return err
					}
					r.Version++
					if err := replace(tx, r, store.Keys{}, store.Keys{}); err != nil {
						return err
					}
					if !met { // each has locked its first
						met = true
						both.Done()
						both.Wait()
					}
				}
				return nil
			})
			if err != nil {
				t.Errorf("Update: %v", err)
			}
		})
	}
	wg.Wait()
	if db.Stats().Retries == 0 {
		t.Error("nothing was tried again: there was no deadlock")
	}
	for _, id := range ids {
		err := db.View(t.Context(), func(r store.Reader) error {
			got, err := r.Get("d", "User", id)
			if err == nil && got.Version != 3 {
				t.Errorf("%s: version %d, want 3", id, got.Version)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Who has found a user and makes it a member, and who deletes that user and has
// seen no group of it, meet at the user's row: the DELETE waits, and is then
// refused, so that nobody is a member who is no more.
func TestDelete_WaitsForNewMemberships(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	db, err := Open(t.Context(), dsn, Options{Migrate: true, MaxConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	createDirectory(t, db, "d")
	g := record("d", "g", 1)
	g.Type = "Group"
	update(t, db, func(tx store.Tx) error {
		return errors.Join(create(tx, record("d", "a", 1), store.Keys{}), create(tx, g, store.Keys{}))
	})
	var wg sync.WaitGroup
	deleted := make(chan error, 1)
	update(t, db, func(tx store.Tx) error {
		if _, err := tx.Get("d", "Group", "g"); err != nil {
			return err
		}
		found, err := tx.Find("d", []string{"a"})
		if err != nil {
			return err
		}
		if _, err := tx.AddMembers("d", "g", found); err != nil {
			return err
		}
		wg.Go(func() {
			deleted <- db.Update(t.Context(), func(tx store.Tx) error {
				r, err := tx.Get("d", "User", "a") // does not wait for who has found it
				if err != nil {
					return err
				}
				groups, err := tx.Memberships("d", []string{"a"})
				if err != nil {
					return err
				}
				if len(groups) > 0 {
					t.Errorf("got %v, which is not committed", groups)
				}
				r.Version++
				return tx.Delete(&store.Trashed{Record: *r}, store.Keys{}, eventOf(r))
			})
		})
		blocked(t, dsn)
		return nil
	})
	wg.Wait()
	if err := <-deleted; !errors.Is(err, store.ErrStale) {
		t.Errorf("Delete: got %v, want ErrStale", err)
	}
	if n := db.Stats().Retries; n != 0 {
		t.Errorf("%d transactions were tried again: there was a deadlock", n)
	}
	err = db.View(t.Context(), func(r store.Reader) error {
		if _, err := r.Get("d", "User", "a"); err != nil {
			return err
		}
		groups, err := r.Memberships("d", []string{"a"})
		if len(groups) != 1 {
			t.Errorf("got the memberships %v, want one", groups)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Who finds a user that is being deleted waits, and does not find it.
func TestFind_WaitsForDelete(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	db, err := Open(t.Context(), dsn, Options{Migrate: true, MaxConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	createDirectory(t, db, "d")
	update(t, db, func(tx store.Tx) error { return create(tx, record("d", "a", 1), store.Keys{}) })
	var wg sync.WaitGroup
	var found []store.Member
	update(t, db, func(tx store.Tx) error {
		gone := record("d", "a", 2)
		if err := tx.Delete(&store.Trashed{Record: *gone}, store.Keys{}, eventOf(gone)); err != nil {
			return err
		}
		if _, err := tx.ListTrash("d", "", 1); err != nil { // a read makes certain that the write was sent
			return err
		}
		wg.Go(func() {
			err := db.Update(t.Context(), func(tx store.Tx) (err error) {
				found, err = tx.Find("d", []string{"a"})
				return err
			})
			if err != nil {
				t.Errorf("Update: %v", err)
			}
		})
		blocked(t, dsn)
		return nil
	})
	wg.Wait()
	if len(found) > 0 {
		t.Errorf("found %v, who is no more", found)
	}
}

// blocked returns when some transaction of the database waits for a lock.
func blocked(t *testing.T, dsn string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = c.Close(context.Background()) }()
	for waits := false; !waits && err == nil; {
		err = c.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock')`).Scan(&waits)
	}
	if err != nil {
		t.Error(err)
	}
}

// A transaction whose connection is cut before its COMMIT is run again.
func TestUpdate_ConnectionLost(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	db, err := Open(t.Context(), dsn, Options{Migrate: true, MaxConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	createDirectory(t, db, "d")
	runs := 0
	update(t, db, func(tx store.Tx) error {
		runs++
		if _, err := tx.GetDirectory("d"); err != nil {
			return err
		}
		if runs == 1 {
			run(t, dsn, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
		}
		return create(tx, record("d", "a", 1), store.Keys{})
	})
	if runs < 2 {
		t.Errorf("%d runs, want at least 2", runs)
	}
	if err := db.Ping(t.Context()); err != nil {
		t.Errorf("Ping: %v", err)
	}
}

func TestBackup_Postgres(t *testing.T) {
	t.Parallel()
	db := openPostgresTest(t)
	if err := db.Backup(t.Context(), t.TempDir()+"/copy"); err == nil || !strings.Contains(err.Error(), "pg_dump") {
		t.Errorf("got %v, want an error that names pg_dump", err)
	}
}

func TestOrder(t *testing.T) {
	t.Parallel()
	type reading struct {
		last int64
		open string // the open transactions, one letter each
		want int64  // what is settled then
	}
	for name, readings := range map[string][]reading{
		"quiet":                 {{0, "", 0}, {3, "", 3}, {3, "", 3}},
		"open, then ended":      {{3, "a", 0}, {3, "", 3}},
		"others begin":          {{3, "a", 0}, {4, "ab", 0}, {4, "b", 3}, {5, "bc", 3}, {5, "c", 4}, {5, "", 5}},
		"always somebody":       {{1, "a", 0}, {2, "b", 1}, {3, "c", 2}, {4, "d", 3}},
		"a long one holds back": {{1, "x", 0}, {2, "xb", 0}, {3, "xc", 0}, {4, "d", 3}},
		"ended in between":      {{3, "a", 0}, {9, "", 9}},
	} {
		o := &order{}
		for i, r := range readings {
			var open []string
			for _, c := range r.open {
				open = append(open, string(c))
			}
			o.read(r.last, open)
			if o.settled != r.want {
				t.Errorf("%s: settled %d after reading %d, want %d", name, o.settled, i, r.want)
			}
		}
	}
	// What is remembered has a bound, and still ends settled.
	o := &order{}
	for i := range int64(10 * maxFences) {
		o.read(i+1, []string{"x"})
	}
	if len(o.fences) > maxFences {
		t.Errorf("%d fences, want at most %d", len(o.fences), maxFences)
	}
	o.read(10*maxFences+1, nil)
	if diff := cmp.Diff(int64(10*maxFences+1), o.settled); diff != "" {
		t.Error(diff)
	}
}
