package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/roster-scim/roster/internal/pgtest"
	"github.com/roster-scim/roster/internal/store/sqlstore"
)

func TestMigrate_SQLite(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	path := filepath.Join(data, "roster.db")
	migrate(t, []string{"--data", data}, func() {
		if _, err := os.Stat(data); err == nil {
			t.Error("a dry run made a data folder")
		}
	}, func(text string) { sqliteExec(t, path, text) })
	wantPrivate(t, path)
}

func TestMigrate_Postgres(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	migrate(t, []string{"--db", dsn}, func() {
		if n := postgresTables(t, dsn); n != 0 {
			t.Errorf("a dry run made %d tables", n)
		}
	}, func(text string) { postgresExec(t, dsn, text) })
}

// migrate migrates an empty database, serves it, and makes it newer than this
// program. checkDry looks at it after a dry run; exec runs a statement on it.
func migrate(t *testing.T, db []string, checkDry func(), exec func(string)) {
	t.Helper()
	run := func(want string, flags ...string) {
		t.Helper()
		stdout, _ := succeed(t, nil, append(append([]string{"migrate"}, db...), flags...)...)
		if stdout != want {
			t.Errorf("migrate %q: got %q, want %q", flags, stdout, want)
		}
	}
	empty, err := sqlstore.ReadSchema(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "none.db"))
	if err != nil || len(empty.Pending) == 0 {
		t.Fatalf("got %v, %v; want the migrations that there are", empty, err)
	}
	latest := fmt.Sprint(empty.Latest)
	each := func(verb string) (lines string) {
		for _, name := range empty.Pending {
			lines += verb + " " + name + "\n"
		}
		return lines
	}
	run("schema version 0 of "+latest+"\n"+each("would apply"), "--dry-run")
	checkDry()
	run(each("applied") + "schema version " + latest + "\n")
	run("schema version " + latest + "\n")
	current := "schema version " + latest + " of " + latest + "\n"
	run(current, "--dry-run")
	s := serve(t, nil, db...)
	s.useDefault(t)
	s.must(t, http.StatusCreated, "POST", s.users(""), userBody("ada", "Engineer"))
	run(current, "--dry-run") // also while it is served
	s.finish(t, syscall.SIGTERM, exitOK)

	exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, " + map[bool]string{true: "true", false: "1"}[db[0] == "--db"] + ")")
	newer := "schema version 999 is newer than this program's, " + latest + ": use the newer program"
	refuse(t, nil, exitError, newer, append([]string{"serve", "--listen", "127.0.0.1:0"}, db...)...)
	refuse(t, nil, exitError, newer, append([]string{"migrate"}, db...)...)
	run("schema version 999 of "+latest+"\n", "--dry-run")
	exec("DELETE FROM goose_db_version WHERE version_id = 999")
	s = serve(t, nil, db...)
	s.useDefault(t)
	if got := s.list(t, "").Total; got != 1 {
		t.Errorf("got %d users, want 1", got)
	}
	s.finish(t, syscall.SIGTERM, exitOK)
}

// A server fills an empty PostgreSQL; several of them at once do not quarrel.
func TestServe_EmptyPostgres(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	var nodes []*served
	for range 3 {
		nodes = append(nodes, launch(t, []string{"ROSTER_BOOTSTRAP_KEY=" + processKey, "ROSTER_LISTEN=127.0.0.1:0", "ROSTER_DB=" + dsn}, "serve"))
	}
	for _, s := range nodes {
		s.stdout.await(t, s.ended, "\n")
		s.url = strings.TrimSuffix(strings.TrimPrefix(s.stdout.String(), "listening on "), "\n")
		s.useDefault(t)
	}
	a := nodes[0].must(t, http.StatusCreated, "POST", nodes[0].users(""), userBody("ada", "Engineer"))
	for _, s := range nodes {
		if s.directory != nodes[0].directory {
			t.Errorf("they have the default directories %s and %s", s.directory, nodes[0].directory)
		}
		s.must(t, http.StatusOK, "GET", s.users(a.text("id")), "")
	}
	stdout, _ := succeed(t, []string{"ROSTER_URL=" + nodes[1].url, "ROSTER_KEY=" + processKey}, "key", "list", "--operator", "-o", "json")
	if got := strings.Count(stdout, `"bootstrap"`); got != 1 {
		t.Errorf("there are %d bootstrap keys: %s", got, stdout)
	}
	for _, s := range nodes {
		s.finish(t, syscall.SIGTERM, exitOK)
	}
}

func postgresExec(t *testing.T, dsn, statement string) {
	t.Helper()
	c := connectPostgres(t, dsn)
	defer c.Close(context.WithoutCancel(t.Context()))
	if _, err := c.Exec(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func postgresTables(t *testing.T, dsn string) (n int) {
	t.Helper()
	c := connectPostgres(t, dsn)
	defer c.Close(context.WithoutCancel(t.Context()))
	err := c.QueryRow(t.Context(), "SELECT count(*) FROM information_schema.tables WHERE table_schema = current_schema()").Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func connectPostgres(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
