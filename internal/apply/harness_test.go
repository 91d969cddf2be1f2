package apply_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/internal/apply"
	"github.com/roster-scim/roster/internal/rostertest"
	"github.com/roster-scim/roster/scim"
)

// serve is rostertest.Serve, for tests that need the client alone.
func serve(t *testing.T, ruleSet string, wrap func(http.Handler) http.Handler) *client.Client {
	t.Helper()
	c, _ := rostertest.Serve(t, ruleSet, wrap)
	return c
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
