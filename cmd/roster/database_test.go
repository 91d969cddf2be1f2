package main

import (
	"database/sql"
	"net/url"
	"os"
	"testing"
)

// sqliteExec runs statements on a SQLite database beside roster.
func sqliteExec(t *testing.T, path string, statements ...string) {
	t.Helper()
	db := openSQLite(t, path)
	defer db.Close()
	for _, text := range statements {
		if _, err := db.ExecContext(t.Context(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

// sqliteQuery returns the one value that a query finds.
func sqliteQuery(t *testing.T, path, query string) (value string) {
	t.Helper()
	db := openSQLite(t, path)
	defer db.Close()
	if err := db.QueryRowContext(t.Context(), query).Scan(&value); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return value
}

// openSQLite uses the driver that package sqlstore brings.
func openSQLite(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", OmitHost: true, Path: path}).String())
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// wantPrivate: what has personal data nobody else may read.
func wantPrivate(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			t.Error(err)
		} else if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has the mode %v", path, info.Mode())
		}
	}
}
