package directory_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/roster-scim/roster/internal/directory"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/scim"
)

// Large answers share their room: a read that finds none is told to come again,
// a change waits, and one that is larger than all the room takes all of it.
func TestHold(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		svc := open(t, s, nil)
		release, err := svc.Hold(t.Context(), 10*directory.LargeBytes, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		var e *scim.Error
		if _, err := svc.Hold(t.Context(), 1, time.Millisecond); !errors.As(err, &e) || e.Status != 503 {
			t.Errorf("without room: got %v, want a 503", err)
		}
		gone, leave := context.WithCancel(t.Context())
		leave()
		if _, err := svc.Hold(gone, 1, 0); !errors.Is(err, context.Canceled) {
			t.Errorf("a client that has gone: got %v", err)
		}
		waits := make(chan error)
		go func() {
			release, err := svc.Hold(t.Context(), 1, 0)
			if err == nil {
				release()
			}
			waits <- err
		}()
		release()
		if err := <-waits; err != nil {
			t.Errorf("a change that waits: %v", err)
		}
	})
}
