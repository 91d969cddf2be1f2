package storetest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/roster-scim/roster/internal/store"
)

const many = 64 // goroutines

// together runs fn in many goroutines at once.
func together(fn func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range many {
		wg.Go(func() {
			<-start
			fn(i)
		})
	}
	close(start)
	wg.Wait()
}

// Of many that replace the same version one wins; the others are told.
func testOneWinner(t *testing.T, s store.Store) {
	begin(t, s, dir)
	update(t, s, func(tx store.Tx) error { return create(tx, user(dir, "a", 1), store.Keys{}) })
	for version := int64(2); version < 5; version++ {
		var won, lost atomic.Int64
		together(func(int) {
			err := s.Update(t.Context(), func(tx store.Tx) error {
				return replace(tx, user(dir, "a", version), store.Keys{}, store.Keys{})
			})
			switch {
			case err == nil:
				won.Add(1)
			case errors.Is(err, store.ErrStale):
				lost.Add(1)
			default:
				t.Errorf("Update: %v", err)
			}
		})
		equal(t, "won and lost", []int64{won.Load(), lost.Load()}, []int64{1, many - 1})
	}
	equal(t, "version", get(t, s, dir, "a").Version, int64(4))
}

// Get locks: what many read, increment and write is exact.
func testReadModifyWrite(t *testing.T, s store.Store) {
	const each = 5
	begin(t, s, dir)
	update(t, s, func(tx store.Tx) error {
		r := user(dir, "a", 1)
		r.Doc = make([]byte, 8)
		return create(tx, r, store.Keys{})
	})
	together(func(int) {
		for range each {
			err := s.Update(t.Context(), func(tx store.Tx) error {
				r, err := tx.Get(dir, "User", "a")
				if err != nil {
					return err
				}
				r.Version++
				binary.BigEndian.PutUint64(r.Doc, binary.BigEndian.Uint64(r.Doc)+1)
				return replace(tx, r, store.Keys{}, store.Keys{})
			})
			if err != nil {
				t.Errorf("Update: %v", err)
			}
		}
	})
	got := get(t, s, dir, "a")
	equal(t, "counter", binary.BigEndian.Uint64(got.Doc), uint64(many*each))
	equal(t, "version", got.Version, int64(many*each+1))
	for i, e := range events(t, s, dir, 0, many*each+1) {
		if e.Version != int64(i+1) {
			t.Fatalf("event %d has version %d", i, e.Version)
		}
	}
}

// Of many that claim the same value one gets it; the others learn which.
func testClaimOnce(t *testing.T, s store.Store) {
	begin(t, s, dir)
	holders := make([]string, many)
	together(func(i int) {
		id := fmt.Sprintf("u%02d", i)
		err := s.Update(t.Context(), func(tx store.Tx) error { return create(tx, user(dir, id, 1), name("SAME")) })
		if err == nil {
			holders[i] = id
		} else if c, ok := errors.AsType[*store.ConflictError](err); ok {
			holders[i] = c.Holder
		} else {
			t.Errorf("Create: %v", err)
		}
	})
	for _, h := range holders {
		if h != holders[0] {
			t.Fatalf("got holders %v, want one", holders)
		}
	}
	equal(t, "users", list(t, s, store.Query{Directory: dir, Type: "User", Limit: 100}), holders[:1])
}

// Many that claim two values, each in another order, do not block each other for
// good.
func testClaimsInAnyOrder(t *testing.T, s store.Store) {
	begin(t, s, dir)
	var created atomic.Int64
	together(func(i int) {
		a, b := store.Term{Attribute: "a", Value: fmt.Sprint(i / 4)}, store.Term{Attribute: "b", Value: fmt.Sprint(i / 4)}
		if i%2 == 0 {
			a, b = b, a
		}
		err := s.Update(t.Context(), func(tx store.Tx) error {
			return create(tx, user(dir, fmt.Sprintf("u%02d", i), 1), store.Keys{Claims: []store.Term{a, b}})
		})
		switch {
		case err == nil:
			created.Add(1)
		case !errors.Is(err, store.ErrExists):
			t.Errorf("Create: %v", err)
		}
	})
	equal(t, "created", created.Load(), int64(many/4))
	equal(t, "total", total(t, s, store.Query{Directory: dir, Type: "User", Limit: 1}), int64(many/4))
}

// A function that fails takes nothing from those that run beside it, whether it
// fails before it has written or after, and also when it panics.
func testNeighbours(t *testing.T, s store.Store) {
	begin(t, s, dir)
	ends := func(i int) error {
		defer func() { _ = recover() }()
		return s.Update(t.Context(), func(tx store.Tx) error {
			if i%4 == 1 {
				return errBoom
			}
			if err := create(tx, user(dir, fmt.Sprintf("u%02d", i), 1), name(fmt.Sprint(i))); err != nil {
				return err
			}
			switch i % 4 {
			case 2:
				return errBoom
			case 3:
				panic(errBoom)
			}
			return nil
		})
	}
	var want []string
	for i := 0; i < many; i += 4 {
		want = append(want, fmt.Sprintf("u%02d", i))
	}
	together(func(i int) {
		if err := ends(i); err != nil && !errors.Is(err, errBoom) || err != nil && i%4 == 0 {
			t.Errorf("%d: %v", i, err)
		}
	})
	equal(t, "users", list(t, s, store.Query{Directory: dir, Type: "User", Limit: 100}), want)
	equal(t, "total", total(t, s, store.Query{Directory: dir, Type: "User", Limit: 1}), int64(len(want)))
}

func testCountersConcurrent(t *testing.T, s store.Store) {
	begin(t, s, dir)
	together(func(i int) {
		for round := range 3 {
			id := fmt.Sprintf("%02d-%d", i, round)
			err := s.Update(t.Context(), func(tx store.Tx) error { return create(tx, user(dir, id, 1), store.Keys{}) })
			if err == nil && round == 1 {
				err = s.Update(t.Context(), func(tx store.Tx) error { return remove(tx, trashed(dir, id, 2), store.Keys{}) })
			}
			if err != nil {
				t.Errorf("Update: %v", err)
			}
		}
	})
	equal(t, "total", total(t, s, store.Query{Directory: dir, Type: "User", Limit: 1}), int64(2*many))
}

// Of many that reserve the same request one is the first; the others get its
// answer.
func testReserveConcurrent(t *testing.T, s store.Store) {
	begin(t, s, dir)
	var first, replayed atomic.Int64
	together(func(i int) {
		var a *store.Answer
		err := s.Update(t.Context(), func(tx store.Tx) (err error) {
			a, err = tx.Reserve(dir, "k", "n", [32]byte{1}, epoch)
			if err != nil || a != nil {
				return err
			}
			if err := create(tx, user(dir, "a", 1), name("A")); err != nil {
				return err
			}
			return tx.Keep(dir, "k", "n", "r", []byte("the answer"))
		})
		switch {
		case err != nil:
			t.Errorf("Update: %v", err)
		case a == nil:
			first.Add(1)
		case string(a.Body) == "the answer":
			replayed.Add(1)
		default:
			t.Errorf("got the answer %q", a.Body)
		}
	})
	equal(t, "first and replayed", []int64{first.Load(), replayed.Load()}, []int64{1, many - 1})
}
