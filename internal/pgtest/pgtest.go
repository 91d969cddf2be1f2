// Package pgtest gives a test a PostgreSQL database of its own, on the server
// that the environment variable ROSTER_TEST_POSTGRES names. scripts/with-postgres.sh
// starts one for as long as a command runs.
package pgtest

import (
	"context"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Env is the environment variable that holds the DSN of a server, postgres://…,
// whose user may create databases.
const Env = "ROSTER_TEST_POSTGRES"

// DSN returns the DSN of a new, empty database, which is dropped when the test
// ends. Without a server it skips the test, and in CI (CI=true) fails it.
func DSN(tb testing.TB) string {
	tb.Helper()
	server := os.Getenv(Env)
	if server == "" {
		const need = "this test needs PostgreSQL: run `make test`, which starts one, or set " + Env + " to the postgres:// URL of a server"
		if os.Getenv("CI") == "true" {
			tb.Fatal(need)
		}
		tb.Skip(need)
	}
	u, err := url.Parse(server)
	if err != nil {
		tb.Fatalf("%s: %v", Env, err)
	}
	name := "roster_test_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	// From template0: nobody is ever connected to it, as CREATE DATABASE demands.
	exec(tb, server, "CREATE DATABASE "+name+" TEMPLATE template0")
	tb.Cleanup(func() { exec(tb, server, "DROP DATABASE "+name+" WITH (FORCE)") })
	u.Path = "/" + name
	return u.String()
}

// exec runs a statement on a connection of its own.
func exec(tb testing.TB, dsn, statement string) {
	tb.Helper()
	// Not tb.Context, which has ended when a cleanup runs.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := pgx.Connect(ctx, dsn)
	if err != nil {
		tb.Fatalf("connect to the server that %s names: %v", Env, err)
	}
	defer func() { _ = c.Close(ctx) }()
	if _, err := c.Exec(ctx, statement); err != nil {
		tb.Fatalf("%s: %v", statement, err)
	}
}
