// Package rostertest serves a Roster to the tests of what speaks to one: package
// client, package action and package apply.
package rostertest

import (
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/internal/directory"
	"github.com/roster-scim/roster/internal/server"
	"github.com/roster-scim/roster/internal/store/sqlstore"
)

// operatorKey may do all.
const operatorKey = "operator-key-of-the-tests"

// Serve serves a Roster on a database of its own until the test ends, each request
// through wrap, unless that is nil. It returns a client of its directory, which has
// the rule set, with a key that may do all, and the id of its organisation.
func Serve(t testing.TB, ruleSet string, wrap func(http.Handler) http.Handler) (c *client.Client, org string) {
	t.Helper()
	db, err := sqlstore.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "test.db"), sqlstore.Options{Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	quiet := slog.New(slog.DiscardHandler)
	dirs, err := directory.Open(t.Context(), directory.Options{Store: db, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	first, err := dirs.Bootstrap(t.Context(), ruleSet, operatorKey)
	if err != nil {
		t.Fatal(err)
	}
	h := server.New(server.Options{Directories: dirs, Log: quiet, PublicURL: "https://scim.corp.example"}).Handler()
	if wrap != nil {
		h = wrap(h)
	}
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.Start()
	t.Cleanup(srv.Close)
	return &client.Client{BaseURL: srv.URL, Directory: first.Directory, Key: operatorKey, RetryWait: time.Millisecond}, dirs.Org()
}
