package sqlstore

import (
	"database/sql"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/roster-scim/roster/internal/pgtest"
	"github.com/roster-scim/roster/internal/store"
	"modernc.org/sqlite"
)

// fixtures fill a database of each schema version with one directory "d" that
// has one user "a", and a deleted one "b". A migration that changes what such a row looks like adds its
// own; until then the newest before it serves.
var fixtures = map[int64]string{
	1: `INSERT INTO directories (id, name, rule_set, rules, is_default, created, modified, version) VALUES ('d', 'D', 'strict', '{}', 1, 1, 1, 1);
		INSERT INTO resources (directory, type, id, version, created, modified, doc) VALUES ('d', 'User', 'a', 7, 1, 2, '{"userName":"a"}');
		INSERT INTO terms (directory, type, attribute, value, id) VALUES ('d', 'User', 'userName', 'A', 'a');
		INSERT INTO claims (directory, type, attribute, value, id) VALUES ('d', 'User', 'userName', 'A', 'a');
		INSERT INTO counters (directory, type, shard, n) VALUES ('d', 'User', 0, 1);
		INSERT INTO trash (directory, id, type, version, created, modified, doc, deleted, key_id) VALUES ('d', 'b', 'User', 2, 1, 2, '{}', 3, 'k');
		INSERT INTO events (directory, seq, id, type, resource, version, operation, key_id, request_id, at, purged, changes) VALUES
			('d', 10, '1', 'User', 'a', 5, 'replace', '', '', 1, 0, '[]'), ('d', 11, '2', 'User', 'b', 1, 'create', '', '', 1, 0, '[]'),
			('d', 12, '3', 'User', 'a', 6, 'replace', '', '', 1, 0, '[]'), ('e', 13, '4', 'User', 'a', 1, 'create', '', '', 1, 0, '[]'),
			('d', 14, '5', 'User', 'b', 2, 'delete', '', '', 1, 0, '[]'), ('d', 15, '6', 'User', 'a', 7, 'replace', '', '', 1, 0, '[]');`,
	2: `INSERT INTO directories (id, name, rule_set, rules, is_default, created, modified, version) VALUES ('d', 'D', 'strict', '{}', 1, 1, 1, 1);
		INSERT INTO resources (directory, type, id, version, created, modified, doc, last_seq) VALUES ('d', 'User', 'a', 7, 1, 2, '{"userName":"a"}', 15);
		INSERT INTO terms (directory, type, attribute, value, id) VALUES ('d', 'User', 'userName', 'A', 'a');
		INSERT INTO claims (directory, type, attribute, value, id) VALUES ('d', 'User', 'userName', 'A', 'a');
		INSERT INTO counters (directory, type, shard, n) VALUES ('d', 'User', 0, 1);
		INSERT INTO trash (directory, id, type, version, created, modified, doc, deleted, key_id, last_seq) VALUES ('d', 'b', 'User', 2, 1, 2, '{}', 3, 'k', 14);
		INSERT INTO events (directory, seq, id, type, resource, version, operation, key_id, request_id, at, purged, changes, prev_seq) VALUES
			('d', 10, '1', 'User', 'a', 5, 'replace', '', '', 1, 0, '[]', 0), ('d', 11, '2', 'User', 'b', 1, 'create', '', '', 1, 0, '[]', 0),
			('d', 12, '3', 'User', 'a', 6, 'replace', '', '', 1, 0, '[]', 10), ('e', 13, '4', 'User', 'a', 1, 'create', '', '', 1, 0, '[]', 0),
			('d', 14, '5', 'User', 'b', 2, 'delete', '', '', 1, 0, '[]', 11), ('d', 15, '6', 'User', 'a', 7, 'replace', '', '', 1, 0, '[]', 12);`,
}

// TestMigrate_FromEveryVersion brings databases of every schema version there
// has been to the newest, and finds in them what was there.
func TestMigrate_FromEveryVersion(t *testing.T) {
	t.Parallel()
	for _, database := range []struct {
		name    string
		kind    kind
		dialect goose.Dialect
		after   string // is run after a fixture
		// create returns an empty database.
		create func(t *testing.T) (dsn string, db *sql.DB)
	}{
		{"SQLite", kindSQLite, goose.DialectSQLite3, `UPDATE events SET changes = CAST(changes AS BLOB)`, func(t *testing.T) (string, *sql.DB) {
			path := tempPath(t)
			c, err := sqlite.NewConnector(sqliteURI(path))
			if err != nil {
				t.Fatal(err)
			}
			return "sqlite:" + path, sql.OpenDB(c)
		}},
		{"Postgres", kindPostgres, goose.DialectPostgres, ``, func(t *testing.T) (string, *sql.DB) {
			dsn := pgtest.DSN(t)
			c, err := pgx.ParseConfig(dsn)
			if err != nil {
				t.Fatal(err)
			}
			return dsn, stdlib.OpenDB(*c)
		}},
	} {
		newest, err := schemaOf(folder(database.kind), 0)
		if err != nil {
			t.Fatal(err)
		}
		for done := range len(newest.Pending) + 1 { // numbers may have gaps
			version := int64(0)
			if done > 0 {
				if _, err := fmt.Sscanf(newest.Pending[done-1], "%d_", &version); err != nil {
					t.Fatal(err)
				}
			}
			t.Run(fmt.Sprintf("%s/%d", database.name, version), func(t *testing.T) {
				t.Parallel()
				dsn, db := database.create(t)
				if version > 0 {
					p, err := goose.NewProvider(database.dialect, db, folder(database.kind))
					if err != nil {
						t.Fatal(err)
					}
					if _, err := p.UpTo(t.Context(), version); err != nil {
						t.Fatal(err)
					}
					fixture := version
					for fixtures[fixture] == "" {
						fixture--
					}
					if _, err := db.ExecContext(t.Context(), fixtures[fixture]+database.after); err != nil {
						t.Fatal(err)
					}
				}
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
				want := Schema{Current: version, Latest: newest.Latest, Pending: newest.Pending[done:]}
				got, err := ReadSchema(t.Context(), dsn)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want.Pending, got.Pending, cmpopts.EquateEmpty()); got.Current != want.Current || diff != "" {
					t.Errorf("ReadSchema: got %+v, want %+v", got, want)
				}
				for range 2 { // the second time there is nothing to do
					if _, err := Migrate(t.Context(), dsn, nil); err != nil {
						t.Fatal(err)
					}
				}
				s, err := Open(t.Context(), dsn, Options{})
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = s.Close() }()
				if version == 0 {
					createDirectory(t, s, "d")
					return
				}
				err = s.View(t.Context(), func(r store.Reader) error {
					found := int64(0)
					q := store.Query{Directory: "d", Type: "User", Limit: 2, Term: &store.Term{Attribute: "userName", Value: "A"}}
					if err := r.List(q, func(r *store.Record) error { found = r.Version; return nil }); err != nil {
						return err
					}
					d, err := r.GetDirectory("d")
					if err != nil {
						return err
					}
					if found != 7 || d.Users != 1 {
						t.Errorf("version %d of the user, %d users; want 7 and 1", found, d.Users)
					}
					for id, want := range map[string][]int64{"a": {15, 12, 10}, "b": {14, 11}} {
						events, err := r.History("d", "User", id, 0, 10)
						if err != nil {
							return err
						}
						var got []int64
						for _, e := range events {
							got = append(got, e.Seq)
						}
						if diff := cmp.Diff(want, got); diff != "" {
							t.Errorf("history of %s (-want +got):\n%s", id, diff)
						}
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

// Every statement is one that its database understands.
func TestStatements(t *testing.T) {
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		db := openTest(t, tempPath(t))
		err := db.view(t.Context(), func(c conn) error {
			for _, s := range statements {
				if s.sqlite == "" {
					continue
				}
				p, err := c.(*sqliteConn).Prepare(s.sqlite)
				if err != nil {
					t.Errorf("%s: %v", s.sqlite, err)
					continue
				}
				_ = p.Close()
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	t.Run("Postgres", func(t *testing.T) {
		t.Parallel()
		db := openPostgresTest(t)
		err := db.view(t.Context(), func(c conn) error {
			for _, s := range statements {
				if s.postgres == "" {
					continue
				}
				if _, err := c.(*postgresConn).describe(t.Context(), s); err != nil {
					t.Errorf("%s: %v", s.postgres, err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestAnonymous(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a = $1 AND b = $2": "a = ? AND b = ?",
		"b = $2 AND a = $1": "b = $2 AND a = $1",
		"a = $1 OR b = $1":  "a = $1 OR b = $1",
		"SELECT 1":          "SELECT 1",
		"($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)": "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	} {
		if got := anonymous(in); got != want {
			t.Errorf("anonymous(%q): got %q, want %q", in, got, want)
		}
	}
}
