package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/roster-scim/roster/internal/store"
)

func testLeases(t *testing.T, s store.Store) {
	ctx := t.Context()
	is := func(what string, got, want error) {
		t.Helper()
		if !errors.Is(got, want) {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	is("create", s.CreateLease(ctx, "b", "one", time.Hour), nil)
	is("create anew", s.CreateLease(ctx, "b", "one", time.Hour), nil)
	is("create another's", s.CreateLease(ctx, "b", "two", time.Hour), store.ErrExists)
	is("renew", s.RenewLease(ctx, "b", "one", 2*time.Hour), nil)
	is("renew another's", s.RenewLease(ctx, "b", "two", time.Hour), store.ErrNotFound)
	is("renew none", s.RenewLease(ctx, "none", "one", time.Hour), store.ErrNotFound)
	is("delete another's", s.DeleteLease(ctx, "b", "two"), nil)

	// One that has run out is its holder's until another takes it.
	is("create", s.CreateLease(ctx, "a", "one", -time.Hour), nil)
	is("renew one that has run out", s.RenewLease(ctx, "a", "one", -time.Minute), nil)
	list, err := s.Leases(ctx)
	if err != nil || len(list) != 2 {
		t.Fatalf("Leases: got %v, %v, want two", list, err)
	}
	equal(t, "names", list[0].Name+list[1].Name, "ab")
	equal(t, "holder", list[0].Holder, "one")
	if left := list[0].Left; left > -time.Minute || left < -time.Hour {
		t.Errorf("left of one that has run out: got %s", left)
	}
	if left := list[1].Left; left > 2*time.Hour || left < time.Hour {
		t.Errorf("left of one that was renewed for two hours: got %s", left)
	}
	is("take", s.CreateLease(ctx, "a", "two", time.Hour), nil)
	is("renew one that was taken", s.RenewLease(ctx, "a", "one", time.Hour), store.ErrNotFound)

	is("delete", s.DeleteLease(ctx, "b", "one"), nil)
	is("renew one that was given back", s.RenewLease(ctx, "b", "one", time.Hour), store.ErrNotFound)
	is("create one that was given back", s.CreateLease(ctx, "b", "two", time.Hour), nil)
}

// Of many that take a lease which has run out, one gets it.
func testLeasesConcurrent(t *testing.T, s store.Store) {
	if err := s.CreateLease(t.Context(), "a", "dead", -time.Second); err != nil {
		t.Fatal(err)
	}
	var got atomic.Int64
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			switch err := s.CreateLease(t.Context(), "a", fmt.Sprint(i), time.Hour); {
			case err == nil:
				got.Add(1)
			case !errors.Is(err, store.ErrExists):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	equal(t, "holders", got.Load(), 1)
}
