package server_test

import (
	"context"
	"sync"
	"testing"

	"github.com/roster-scim/roster/internal/pgtest"
	"github.com/roster-scim/roster/internal/server"
	"github.com/roster-scim/roster/scim"
)

// onPostgres runs in the shared world on PostgreSQL, where there is one.
func onPostgres(t *testing.T) *world {
	t.Helper()
	w, err := openPostgres(t)()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func openPostgres(t *testing.T) func() (*world, error) {
	t.Helper()
	postgres.mu.Lock()
	defer postgres.mu.Unlock()
	if postgres.open == nil {
		shared := &sharedTB{TB: t}
		dsn := pgtest.DSN(shared) // without a server it ends the test, and each other one too
		postgres.open = share(func() (*world, error) {
			w, err := openWorld(dsn, nil, server.Options{})
			if err != nil {
				return nil, err
			}
			ctx := context.Background()
			rec, err := w.dirs.Create(ctx, "fence", scim.Standard, nil, false)
			if err == nil {
				w.fence, err = w.dirs.Get(ctx, rec.ID)
			}
			if err != nil {
				return nil, err
			}
			closeWorld := w.close
			w.close = func() {
				closeWorld()
				shared.cleanup()
			}
			return w, nil
		})
	}
	return postgres.open
}

var postgres struct {
	mu   sync.Mutex
	open func() (*world, error)
}

// A sharedTB is the test that happened to be the first: what it cleans up is
// cleaned up after the last one.
type sharedTB struct {
	testing.TB
	cleanup func()
}

func (s *sharedTB) Cleanup(fn func()) { s.cleanup = fn }
