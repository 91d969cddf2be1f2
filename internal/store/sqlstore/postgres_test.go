package sqlstore

import (
	"testing"

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
