package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/store"
)

// patience is how long these tests wait for an event that must come: a store may
// hold it back while another transaction is open.
const patience = 20 * time.Second

// events returns the events after a seq, once there are n of them.
func events(t testing.TB, s store.Store, directory string, after int64, n int) (list []*roster.Event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for len(list) < n {
		next, err := s.Events(ctx, directory, after, 1000)
		if err != nil {
			t.Fatalf("Events: %v; got %d of %d", err, len(list), n)
		}
		for _, e := range next {
			if e.Seq <= after {
				t.Fatalf("Events: seq %d after %d", e.Seq, after)
			}
			after = e.Seq
		}
		list = append(list, next...)
	}
	return list
}

func testEvents(t *testing.T, s store.Store) {
	begin(t, s, dir, dir+"-other")
	var want []*roster.Event
	for i := range 10 {
		var e *roster.Event
		update(t, s, func(tx store.Tx) error {
			r := user(dir, fmt.Sprint("r", i%3), int64(i/3+1))
			e = eventOf(r)
			if i == 5 {
				e.Changes, e.Key, e.Request, e.Operation = nil, "", "", roster.OpDelete
				e.Undoes = 4
			}
			if err := put(tx, r, e); err != nil {
				return err
			}
			return create(tx, user(dir+"-other", fmt.Sprint("x", i), 1), store.Keys{})
		})
		want = append(want, e)
	}
	got := events(t, s, dir, 0, 10)
	for i := range want {
		want[i].Seq = got[i].Seq
	}
	equal(t, "events", got, want)
	equal(t, "after", events(t, s, dir, got[6].Seq, 3), want[7:])
	page, err := s.Events(t.Context(), dir, got[1].Seq, 2)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "limit", page, want[2:4])
	page, err = s.Events(t.Context(), dir, got[9].Seq, 2)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "beyond", page, nil)
	for limit, n := range map[int]int{1: 9, 3: 7, 10: 0, 100: 0} {
		last, err := s.LastEvents(t.Context(), dir, limit)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, fmt.Sprint("last ", limit), last, want[n:])
	}
	view(t, s, func(r store.Reader) error {
		e, err := r.GetEvent(dir, got[5].Seq)
		equal(t, "one", e, want[5])
		if _, err := r.GetEvent(dir+"-other", got[5].Seq); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("an event of another directory: %v, want ErrNotFound", err)
		}
		return err
	})
}

// put stores a version of a user, which the first creates, with its event.
func put(tx store.Tx, r *store.Record, e *roster.Event) error {
	if r.Version == 1 {
		return tx.Create(r, store.Keys{}, e)
	}
	return tx.Replace(r, store.Keys{}, store.Keys{}, e)
}

func testHistory(t *testing.T, s store.Store) {
	begin(t, s, dir)
	update(t, s, func(tx store.Tx) error {
		for v := int64(1); v <= 6; v++ {
			for _, id := range []string{"a", "b"} {
				if err := put(tx, user(dir, id, v), event(dir, id, v)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	versions := func(resource string, after int64, limit int) (vs []int64) {
		t.Helper()
		view(t, s, func(r store.Reader) error {
			list, err := r.History(dir, resource, after, limit)
			vs = nil
			for _, e := range list {
				want := event(dir, resource, e.Version)
				want.Seq = e.Seq
				equal(t, "event", e, want)
				vs = append(vs, e.Version)
			}
			return err
		})
		return vs
	}
	equal(t, "all", versions("a", 0, 10), []int64{1, 2, 3, 4, 5, 6})
	equal(t, "page", versions("b", 2, 3), []int64{3, 4, 5})
	equal(t, "none", versions("c", 0, 10), nil)
}

func testPurge(t *testing.T, s store.Store) {
	begin(t, s, dir)
	update(t, s, func(tx store.Tx) error {
		for v := int64(1); v <= 3; v++ {
			for _, id := range []string{"a", "b"} {
				if err := put(tx, user(dir, id, v), event(dir, id, v)); err != nil {
					return err
				}
			}
		}
		for _, id := range []string{"a", "b"} {
			if _, err := tx.Reserve(dir, "k", "of "+id, [32]byte{}, epoch); err != nil {
				return err
			}
			if err := tx.Keep(dir, "k", "of "+id, id, []byte("about "+id)); err != nil {
				return err
			}
		}
		return nil
	})
	var n int64
	update(t, s, func(tx store.Tx) (err error) {
		n, err = tx.Purge(dir, "a")
		return err
	})
	equal(t, "purged", n, int64(3))
	update(t, s, func(tx store.Tx) error {
		a, err := tx.Reserve(dir, "k", "of a", [32]byte{}, epoch)
		if err != nil || a != nil {
			t.Errorf("the answer about a purged resource: %v, %v", a, err)
		}
		b, err := tx.Reserve(dir, "k", "of b", [32]byte{}, epoch)
		if err != nil || b == nil || string(b.Body) != "about b" {
			t.Errorf("the answer about another: %v, %v", b, err)
		}
		return nil
	})
	for _, e := range events(t, s, dir, 0, 6) {
		want := event(dir, e.Resource, e.Version)
		want.Seq = e.Seq
		if e.Resource == "a" {
			want.Purged = true
			for i := range want.Changes {
				want.Changes[i].Before, want.Changes[i].After = nil, nil
			}
		}
		equal(t, "event", e, want)
	}
}

// A reader that polls while many write never sees a lower seq after a higher
// one, sees each event once, and those of one resource in version order.
func testEventsInOrder(t *testing.T, s store.Store) {
	const resources, writers, each = 4, 16, 20
	begin(t, s, dir)
	update(t, s, func(tx store.Tx) error {
		for r := range resources {
			if err := create(tx, user(dir, fmt.Sprint("r", r), 1), store.Keys{}); err != nil {
				return err
			}
		}
		return nil
	})
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				err := s.Update(t.Context(), func(tx store.Tx) error {
					id := fmt.Sprint("r", (w+i)%resources)
					r, err := tx.Get(dir, "User", id)
					if err != nil {
						return err
					}
					if err := replace(tx, user(dir, id, r.Version+1), store.Keys{}, store.Keys{}); err != nil {
						return err
					}
					if i%5 == 4 {
						return errBoom // its seq becomes a gap
					}
					return nil
				})
				if err != nil && !errors.Is(err, errBoom) {
					t.Errorf("Update: %v", err)
				}
			}
		})
	}
	got := events(t, s, dir, 0, resources+writers*each*4/5)
	wg.Wait()
	versions := map[string]int64{}
	for _, e := range got {
		if last := versions[e.Resource]; e.Version != last+1 {
			t.Errorf("%s: version %d after %d", e.Resource, e.Version, last)
		}
		versions[e.Resource] = e.Version
	}
	rest, err := s.Events(t.Context(), dir, got[len(got)-1].Seq, 10)
	if err != nil || len(rest) > 0 {
		t.Errorf("after the last event: %v, %v", rest, err)
	}
}

// A transaction that has appended an event and stays open holds back what comes
// after it, or those that come after wait for it; no order gets lost.
func testEventsWhileOpen(t *testing.T, s store.Store) {
	begin(t, s, dir)
	appended, finish := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		first := true
		err := s.Update(t.Context(), func(tx store.Tx) error {
			if err := create(tx, user(dir, "slow", 1), store.Keys{}); err != nil {
				return err
			}
			// A read makes certain that the write was sent.
			if _, err := tx.History(dir, "slow", 0, 1); err != nil {
				return err
			}
			if first {
				first = false
				close(appended)
				<-finish
			}
			return nil
		})
		if err != nil {
			t.Errorf("Update: %v", err)
		}
	})
	<-appended
	fast := make(chan error, 1)
	wg.Go(func() {
		fast <- s.Update(t.Context(), func(tx store.Tx) error { return create(tx, user(dir, "fast", 1), store.Keys{}) })
	})
	// Where the fast one can be committed beside the slow one, wait for it; where
	// it cannot, there is one writer, and nothing to tell but the order.
	var seen []*roster.Event
	after := int64(0)
	poll := func() {
		t.Helper()
		next, err := s.Events(t.Context(), dir, after, 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range next {
			after = e.Seq
		}
		seen = append(seen, next...)
	}
	for range 5 {
		poll()
	}
	close(finish)
	wg.Wait()
	if err := <-fast; err != nil {
		t.Errorf("Update: %v", err)
	}
	for deadline := time.Now().Add(patience); len(seen) < 2 && time.Now().Before(deadline); {
		poll()
	}
	var names []string
	for _, e := range seen {
		names = append(names, e.Resource)
	}
	if !slices.IsSortedFunc(seen, func(a, b *roster.Event) int { return int(a.Seq - b.Seq) }) {
		t.Error("not in order")
	}
	slices.Sort(names)
	equal(t, "events", names, []string{"fast", "slow"})
}
