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
const patience = time.Minute

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
				e.Cause = &roster.Cause{Run: "run-1", Step: "update", Workflow: "w", Depth: 2}
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

// history returns the versions of the events of a user, as History does.
func history(t testing.TB, s store.Store, id string, before int64, limit int) (versions []int64) {
	t.Helper()
	view(t, s, func(r store.Reader) error {
		list, err := r.History(dir, "User", id, before, limit)
		versions = nil
		for _, e := range list {
			want := event(dir, id, e.Version)
			want.Seq, want.Purged = e.Seq, e.Purged
			if e.Purged {
				want.Changes = erased(want.Changes)
			}
			equal(t, "event", e, want)
			versions = append(versions, e.Version)
		}
		return err
	})
	return versions
}

// erased returns changes without their values.
func erased(changes []roster.Change) (list []roster.Change) {
	for _, c := range changes {
		list = append(list, roster.Change{Attribute: c.Attribute})
	}
	return list
}

func testHistory(t *testing.T, s store.Store) {
	begin(t, s, dir, dir+"-other")
	update(t, s, func(tx store.Tx) error {
		for v := int64(1); v <= 6; v++ {
			for _, id := range []string{"a", "b"} {
				if err := put(tx, user(dir, id, v), event(dir, id, v)); err != nil {
					return err
				}
			}
		}
		g := user(dir, "a", 1)
		g.Type = "Group"
		return errors.Join(create(tx, g, store.Keys{}), create(tx, user(dir+"-other", "a", 1), store.Keys{}))
	})
	equal(t, "all", history(t, s, "a", 0, 10), []int64{6, 5, 4, 3, 2, 1})
	equal(t, "page", history(t, s, "b", 5, 3), []int64{4, 3, 2})
	equal(t, "limit", history(t, s, "b", 0, 2), []int64{6, 5})
	equal(t, "before the first", history(t, s, "a", 1, 10), nil)
	equal(t, "none", history(t, s, "c", 0, 10), nil)

	// The trash keeps it, and who is restored goes on with it.
	update(t, s, func(tx store.Tx) error { return remove(tx, trashed(dir, "a", 7), store.Keys{}) })
	equal(t, "deleted", history(t, s, "a", 0, 3), []int64{7, 6, 5})
	update(t, s, func(tx store.Tx) error {
		if err := tx.DropTrash(dir, "User", "a"); err != nil {
			return err
		}
		return create(tx, user(dir, "a", 8), store.Keys{})
	})
	equal(t, "restored", history(t, s, "a", 0, 10), []int64{8, 7, 6, 5, 4, 3, 2, 1})
	// In one transaction too.
	update(t, s, func(tx store.Tx) error {
		if err := remove(tx, trashed(dir, "a", 9), store.Keys{}); err != nil {
			return err
		}
		if err := tx.DropTrash(dir, "User", "a"); err != nil {
			return err
		}
		if err := create(tx, user(dir, "a", 10), store.Keys{}); err != nil {
			return err
		}
		return replace(tx, user(dir, "a", 11), store.Keys{}, store.Keys{})
	})
	equal(t, "all at once", history(t, s, "a", 0, 5), []int64{11, 10, 9, 8, 7})

	// Out of the trash it is out of reach; another of that id begins anew.
	update(t, s, func(tx store.Tx) error { return remove(tx, trashed(dir, "b", 7), store.Keys{}) })
	update(t, s, func(tx store.Tx) error { return tx.DropTrash(dir, "User", "b") })
	equal(t, "gone", history(t, s, "b", 0, 10), nil)
	update(t, s, func(tx store.Tx) error { return create(tx, user(dir, "b", 1), store.Keys{}) })
	equal(t, "anew", history(t, s, "b", 0, 10), []int64{1})

	// Who has the directory alone does not read what it replaces.
	update(t, s, func(tx store.Tx) error {
		if _, err := tx.LockDirectory(dir); err != nil {
			return err
		}
		for v := int64(2); v <= 3; v++ {
			if err := replace(tx, user(dir, "b", v), store.Keys{}, store.Keys{}); err != nil {
				return err
			}
		}
		return nil
	})
	equal(t, "replaced alone", history(t, s, "b", 0, 10), []int64{3, 2, 1})
}

// What is left after the oldest events were erased.
func testHistoryPruned(t *testing.T, s store.Store) {
	begin(t, s, dir)
	update(t, s, func(tx store.Tx) error {
		for v := int64(1); v <= 6; v++ {
			if err := put(tx, user(dir, "a", v), event(dir, "a", v)); err != nil {
				return err
			}
		}
		return nil
	})
	if _, err := s.Prune(t.Context(), time.Time{}, user(dir, "a", 4).Modified, time.Time{}); err != nil {
		t.Fatal(err)
	}
	equal(t, "left", history(t, s, "a", 0, 10), []int64{6, 5, 4})
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
		return remove(tx, trashed(dir, "a", 4), store.Keys{})
	})
	var n int64
	update(t, s, func(tx store.Tx) error {
		err := tx.DropTrash(dir, "User", "a")
		if err == nil {
			n, err = tx.Purge(dir, "User", "a")
		}
		return err
	})
	equal(t, "purged", n, int64(4))
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
	for _, e := range events(t, s, dir, 0, 7) {
		want := event(dir, e.Resource, e.Version)
		want.Seq = e.Seq
		if e.Resource == "a" {
			want.Purged, want.Changes = true, erased(want.Changes)
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
			if _, err := tx.History(dir, "User", "slow", 0, 1); err != nil {
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
	select {
	case <-appended:
	case <-time.After(patience):
		t.Fatal("the slow one does not begin")
	}
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
