package sqlstore

import (
	"path/filepath"
	"testing"

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

func TestSQLite(t *testing.T) {
	storetest.Run(t, func(tb testing.TB) store.Store {
		return openTest(tb, filepath.Join(tb.TempDir(), "test.db"))
	})
}
