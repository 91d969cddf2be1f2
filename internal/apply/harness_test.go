package apply_test

import (
	"bytes"
	"context"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/internal/apply"
	"github.com/roster-scim/roster/internal/directory"
	"github.com/roster-scim/roster/internal/server"
	"github.com/roster-scim/roster/internal/store/sqlstore"
	"github.com/roster-scim/roster/scim"
)

const operatorKey = "operator-key-of-the-tests"

// serve serves a Roster on a database of its own, through wrap unless that is nil,
// and returns a client of its directory.
func serve(t *testing.T, ruleSet string, wrap func(http.Handler) http.Handler) *client.Client {
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
	return &client.Client{BaseURL: srv.URL, Directory: first.Directory, Key: operatorKey, RetryWait: time.Millisecond}
}

// plain makes a Roster look like a service that has neither versions nor
// Idempotency-Keys, and says nothing of itself.
func plain(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Idempotency-Key")
		r.Header.Del("If-Match")
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		for name, values := range rec.Header() {
			if !strings.HasPrefix(name, "Roster-") && !strings.EqualFold(name, "ETag") {
				w.Header()[name] = values
			}
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes()) // a client that has gone is its own affair
	})
}

func open(t testing.TB, c *client.Client) *apply.Directory {
	t.Helper()
	rules, err := scim.Rules(scim.Atlassian)
	if err != nil {
		t.Fatal(err)
	}
	d, err := apply.OpenDirectory(t.Context(), c, rules)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// A bench is a directory and a folder of runs.
type bench struct {
	testing.TB
	d     *apply.Directory
	store *apply.Store
}

func newBench(t testing.TB, d *apply.Directory) *bench {
	return &bench{t, d, &apply.Store{Dir: t.TempDir()}}
}

// plan plans a file.
func (b *bench) plan(text string, format apply.Format, o apply.PlanOptions) (*apply.Run, error) {
	b.Helper()
	run, err := b.store.Create(apply.Meta{Source: "test", URL: b.d.Client.BaseURL, Directory: b.d.Client.Directory})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := run.Close(); err != nil {
			b.Error(err)
		}
	})
	in, err := apply.NewReader(strings.NewReader(text), b.d.Type, apply.ReadOptions{Format: format})
	if err != nil {
		return run, err
	}
	return run, apply.Plan(b.Context(), b.d, in, run, o)
}

// apply plans a file and carries it out, which must do want steps.
func (b *bench) apply(text string, want int) *apply.Run {
	b.Helper()
	run, err := b.plan(text, "", apply.PlanOptions{})
	if err != nil {
		b.Fatal(err)
	}
	b.execute(run, want)
	return run
}

func (b *bench) execute(run *apply.Run, want int) {
	b.Helper()
	at, err := apply.Execute(b.Context(), b.d, run, apply.ExecuteOptions{Concurrency: 4})
	if err != nil {
		b.Fatal(err)
	}
	if at.Done != want || at.Failed != 0 {
		b.Errorf("got %d done, %d failed, want %d and 0", at.Done, at.Failed, want)
		b.failures(run)
	}
}

func (b *bench) failures(run *apply.Run) {
	b.Helper()
	if err := run.Failed(func(s *apply.Step, r *apply.Result) error {
		b.Logf("%s %s: %s", s.Op, s.UserName, r.Error)
		return nil
	}); err != nil {
		b.Error(err)
	}
}

func (b *bench) export(format apply.Format) string {
	b.Helper()
	var out bytes.Buffer
	if _, err := apply.Export(context.Background(), b.d, &out, apply.ExportOptions{Format: format, Dir: b.store.Dir}); err != nil {
		b.Fatal(err)
	}
	return out.String()
}
