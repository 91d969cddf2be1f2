package main

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/roster-scim/roster/internal/pgtest"
	"github.com/roster-scim/roster/internal/secret"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/internal/store/sqlstore"
	"github.com/roster-scim/roster/internal/workflow"
)

// connectionCanary is the key of a connection, which nothing may show.
const connectionCanary = "rk_connection_canary_7d21"

// canaries are secrets of every kind, which nothing may show.
var canaries = []string{connectionCanary, inputCanary, mailCanary}

// wantNoCanary looks for the secrets in what was written somewhere, as they are and
// in the forms that a database may give them.
func wantNoCanary(t *testing.T, where, text string) {
	t.Helper()
	if text == "" {
		t.Errorf("%s: there is nothing to look at", where)
	}
	for _, canary := range canaries {
		forms := []string{canary, hex.EncodeToString([]byte(canary))}
		for before := range 3 { // bytes: in base64 three of them are four characters
			text := base64.StdEncoding.EncodeToString([]byte("###"[:before] + canary))
			forms = append(forms, text[4:24])
		}
		for _, form := range forms {
			if i := strings.Index(text, form); i >= 0 {
				t.Errorf("%s has the secret %s in it: %q", where, canary, text[max(0, i-100):min(len(text), i+100)])
			}
		}
	}
}

// useCanary makes requests of every kind with the key, and looks at the answers.
func useCanary(t *testing.T, s *served) {
	t.Helper()
	const path = "/api/v1/connections"
	body := fmt.Sprintf(`"url":%q,"key":%q}`, s.url, connectionCanary)
	for _, a := range []*httpAnswer{
		s.must(t, http.StatusCreated, "POST", path, `{"name":"self",`+body),
		s.must(t, http.StatusConflict, "POST", path, `{"name":"self",`+body),
		s.must(t, http.StatusBadRequest, "POST", path, `{"name":"Not a name",`+body),
		s.must(t, http.StatusOK, "PUT", path+"/self", "{"+body),
		s.must(t, http.StatusOK, "GET", path+"/self", ""),
		s.must(t, http.StatusOK, "GET", path, ""),
		s.must(t, http.StatusOK, "POST", path+"/self/test", ""),
	} {
		wantNoCanary(t, "an answer", string(a.body))
	}
}

func TestSecretKey_NothingIsInTheClearOnSQLite(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s := serve(t, nil, "--data", data, "--log-level", "debug", "--workflow-allow-address", "127.0.0.1")
	s.useDefault(t)
	useCanary(t, s)
	files := func() {
		t.Helper()
		found := 0
		for _, name := range []string{"roster.db", "roster.db-wal"} {
			content, err := os.ReadFile(filepath.Join(data, name))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			found++
			if len(content) > 0 {
				wantNoCanary(t, name, string(content))
			}
		}
		if found == 0 {
			t.Error("there is no database")
		}
	}
	files() // with its log
	s.finish(t, syscall.SIGTERM, exitOK)
	files()
	wantNoCanary(t, "the log", s.log.String())
}

func TestSecretKey_NothingIsInTheClearOnPostgres(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	keys := filepath.Join(t.TempDir(), "secret.key")
	succeed(t, nil, "secret-key", "create", keys)
	s := serve(t, nil, "--db", dsn, "--secret-key-file", keys, "--log-level", "debug", "--workflow-allow-address", "127.0.0.1")
	s.useDefault(t)
	useCanary(t, s)
	wantNoCanary(t, "the database", postgresDump(t, dsn))
	s.finish(t, syscall.SIGTERM, exitOK)
	wantNoCanary(t, "the log", s.log.String())
}

// postgresDump returns every row of every table as text.
func postgresDump(t *testing.T, dsn string) string {
	t.Helper()
	c := connectPostgres(t, dsn)
	defer func() { _ = c.Close(t.Context()) }()
	rows, err := c.Query(t.Context(), "SELECT quote_ident(table_schema) || '.' || quote_ident(table_name) FROM information_schema.tables WHERE table_schema NOT IN ('pg_catalog', 'information_schema')")
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	var dump strings.Builder
	for _, table := range tables {
		rows, err := c.Query(t.Context(), "SELECT CAST(t AS TEXT) FROM "+table+" t")
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		dump.WriteString(strings.Join(lines, "\n"))
	}
	if !strings.Contains(dump.String(), "self") {
		t.Error("the dump lacks the connection")
	}
	return dump.String()
}

// A server on PostgreSQL needs no file of keys, until one was used.
func TestSecretKey_OnPostgres(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	dir := t.TempDir()
	keys, other := filepath.Join(dir, "secret.key"), filepath.Join(dir, "other.key")
	s := serve(t, nil, "--db", dsn)
	s.useDefault(t)
	s.must(t, http.StatusCreated, "POST", s.users(""), userBody("ada", "Engineer"))
	a := s.must(t, http.StatusNotImplemented, "GET", "/api/v1/connections", "")
	if !strings.Contains(string(a.body), "--secret-key-file FILE (or ROSTER_SECRET_KEY_FILE)") {
		t.Errorf("got %s", a.body)
	}
	s.finish(t, syscall.SIGTERM, exitOK)
	start := []string{"serve", "--db", dsn, "--listen", "127.0.0.1:0"}
	refuse(t, nil, exitError, "roster secret-key create "+keys+" makes it", append(start, "--secret-key-file", keys)...)

	succeed(t, nil, "secret-key", "create", keys)
	succeed(t, nil, "secret-key", "create", other)
	a1 := serve(t, nil, "--db", dsn, "--secret-key-file", keys)
	a2 := serve(t, []string{"ROSTER_SECRET_KEY_FILE=" + keys}, "--db", dsn)
	a1.must(t, http.StatusCreated, "POST", "/api/v1/connections", `{"name":"a","url":"https://a.example","key":"k"}`)
	a2.must(t, http.StatusOK, "GET", "/api/v1/connections/a", "")
	refuse(t, nil, exitError, other+" is not the file of keys of this database", append(start, "--secret-key-file", other)...)
	refuse(t, nil, exitError, "give --secret-key-file with the file that has it", start...)
	if err := os.Chmod(keys, 0o640); err != nil {
		t.Fatal(err)
	}
	refuse(t, nil, exitError, "chmod 600 "+keys, append(start, "--secret-key-file", keys)...)
	if err := os.Chmod(keys, 0o600); err != nil {
		t.Fatal(err)
	}

	// A rotation while they serve: who lacks the new key finds it in the file.
	succeed(t, nil, "secret-key", "rotate", "--db", dsn, "--secret-key-file", keys)
	for _, s := range []*served{a1, a2} {
		got := s.must(t, http.StatusOK, "POST", "/api/v1/connections/a/test", "")
		if got.text("fault") == "" { // there is no such host
			t.Errorf("got %s", got.body)
		}
		s.finish(t, syscall.SIGTERM, exitOK)
	}
}

func TestSecretKey_RotationIsKilled_SQLite(t *testing.T) {
	t.Parallel()
	rotateUnderKills(t, "sqlite:"+filepath.Join(t.TempDir(), "roster.db"))
}

func TestSecretKey_RotationIsKilled_Postgres(t *testing.T) {
	t.Parallel()
	rotateUnderKills(t, pgtest.DSN(t))
}

// rotateUnderKills kills rotations, some at once and some when they have begun to
// seal anew, and looks each time whether every record opens.
func rotateUnderKills(t *testing.T, dsn string) {
	t.Helper()
	keys := filepath.Join(t.TempDir(), "secret.key")
	db := []string{"--db", dsn, "--secret-key-file", keys}
	succeed(t, nil, "secret-key", "create", keys)
	s := serve(t, nil, db...)
	s.useDefault(t)
	const n = 60
	for i := range n {
		s.must(t, http.StatusCreated, "POST", "/api/v1/connections", fmt.Sprintf(`{"name":"c%d","url":"https://a.example","key":"key-%d"}`, i, i))
	}
	s.finish(t, syscall.SIGTERM, exitOK)
	for round := range 6 {
		p := launch(t, nil, append([]string{"secret-key", "rotate"}, db...)...)
		if round%3 > 0 {
			p.log.await(t, p.ended, " key ")
		}
		p.kill()
		_ = os.Remove(keys + ".new") // of a change of the file that was cut off
		openAll(t, dsn, keys, s.directory, n, "")
	}
	succeed(t, nil, append([]string{"secret-key", "rotate"}, db...)...)
	r, err := secret.Load(keys)
	if err != nil {
		t.Fatal(err)
	}
	openAll(t, dsn, keys, s.directory, n, r.IDs()[0])
}

// openAll opens the connections and wants each key; sealed is the id of the key of
// the file that all are sealed under, "" for any.
func openAll(t *testing.T, dsn, keys, directory string, n int, sealed string) {
	t.Helper()
	db, err := sqlstore.Open(t.Context(), dsn, sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	r, err := workflow.OpenKeys(t.Context(), db, keys, false)
	if err != nil {
		t.Fatal(err)
	}
	var list []*store.Connection
	err = db.View(t.Context(), func(rd store.Reader) (err error) {
		list, err = rd.ListConnections(directory)
		return err
	})
	if err != nil || len(list) != n {
		t.Fatalf("got %d connections, %v; want %d", len(list), err, n)
	}
	for _, c := range list {
		key, err := r.Open(c.Sealed, workflow.SealedConnection(c.Owner, c.Name))
		if want := "key-" + strings.TrimPrefix(c.Name, "c"); err != nil || string(key) != want || c.Version != 1 {
			t.Errorf("%s: got %q, %v, version %d; want %q", c.Name, key, err, c.Version, want)
		}
		if id, _ := secret.KeyID(c.Sealed); sealed != "" && id != sealed {
			t.Errorf("%s is sealed under %s, want %s", c.Name, id, sealed)
		}
	}
}
