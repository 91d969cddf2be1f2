package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/store"
)

func testExpect(t *testing.T, s store.Store) {
	const other = dir + "-other"
	begin(t, s, dir, other)
	update(t, s, func(tx store.Tx) error {
		if err := tx.Expect(dir, 1); err != nil {
			return err
		}
		return create(tx, user(dir, "a", 1), name("A"))
	})
	update(t, s, func(tx store.Tx) error {
		d, err := tx.LockDirectory(dir)
		if err != nil {
			return err
		}
		equal(t, "locked", d.ID, dir)
		d.Version++
		return tx.ReplaceDirectory(d)
	})
	for what, expect := range map[string]func(store.Tx) error{
		"old version":  func(tx store.Tx) error { return tx.Expect(dir, 1) },
		"no directory": func(tx store.Tx) error { return tx.Expect("none", 1) },
	} {
		refuse(t, s, store.ErrStale, func(tx store.Tx) error {
			if err := expect(tx); err != nil {
				return err
			}
			return create(tx, user(dir, "b", 1), name("B"))
		})
		equal(t, what, list(t, s, store.Query{Directory: dir, Type: "User", Limit: 9}), []string{"a"})
	}
	update(t, s, func(tx store.Tx) error { return tx.Expect(other, 1) })
	refuse(t, s, store.ErrNotFound, func(tx store.Tx) error {
		_, err := tx.LockDirectory("none")
		return err
	})
	update(t, s, func(tx store.Tx) error { return tx.DeleteDirectory(other) })
	refuse(t, s, store.ErrStale, func(tx store.Tx) error {
		if err := tx.Expect(other, 1); err != nil {
			return err
		}
		return create(tx, user(dir, "b", 1), name("B"))
	})
}

// What passed Expect is there for who locks the directory next, and nothing
// passes once it has a new version.
func testLockDirectory(t *testing.T, s store.Store) {
	begin(t, s, dir)
	const writers, each = 8, 20
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			version := int64(1)
			for i := 0; i < each; {
				err := s.Update(t.Context(), func(tx store.Tx) error {
					if err := tx.Expect(dir, version); err != nil {
						return err
					}
					// The document is the version that it was made under.
					r := user(dir, fmt.Sprintf("%d-%02d", w, i), 1)
					r.Doc = []byte(fmt.Sprint(version))
					return create(tx, r, store.Keys{})
				})
				switch {
				case err == nil:
					i++
				case errors.Is(err, store.ErrStale):
					view(t, s, func(r store.Reader) error {
						d, err := r.GetDirectory(dir)
						version = d.Version
						return err
					})
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	seen := 0
	for range 10 {
		update(t, s, func(tx store.Tx) error {
			d, err := tx.LockDirectory(dir)
			if err != nil {
				return err
			}
			// All that is there was made under this version or an earlier one, and
			// the second look finds what the first did.
			var count [2]int
			for i := range count {
				err := tx.List(store.Query{Directory: dir, Type: "User", Limit: 1000}, func(r *store.Record) error {
					count[i]++
					if v := string(r.Doc); v > fmt.Sprint(d.Version) && len(v) == len(fmt.Sprint(d.Version)) {
						return fmt.Errorf("made under version %s, before that was there", v)
					}
					return nil
				})
				if err != nil {
					return err
				}
			}
			if count[0] != count[1] || count[0] < seen {
				return fmt.Errorf("%d resources, then %d, with the directory locked; before %d", count[0], count[1], seen)
			}
			seen = count[0]
			d.Version++
			return tx.ReplaceDirectory(d)
		})
	}
	wg.Wait()
	equal(t, "resources", total(t, s, store.Query{Directory: dir, Type: "User", Limit: 1}), int64(writers*each))
}

func testClearAttribute(t *testing.T, s store.Store) {
	const n = 700 // more than a transaction remembers of what it has locked
	begin(t, s, dir)
	id := func(i int) string { return fmt.Sprintf("%04d", i) }
	both := func(i int) store.Keys {
		k := name(id(i))
		k.Terms = append(k.Terms, store.Term{Attribute: "title", Value: "t"})
		return k
	}
	update(t, s, func(tx store.Tx) error {
		for i := range n {
			if err := create(tx, user(dir, id(i), 1), both(i)); err != nil {
				return err
			}
		}
		return nil
	})
	title := store.Query{Directory: dir, Type: "User", Term: &store.Term{Attribute: "title", Value: "t"}, Limit: 1}
	named := func(name string) store.Query {
		return store.Query{Directory: dir, Type: "User", Term: &store.Term{Attribute: "userName", Value: name}, Limit: 1}
	}
	locked := func(fn func(store.Tx) error) func(store.Tx) error {
		return func(tx store.Tx) error {
			if _, err := tx.LockDirectory(dir); err != nil {
				return err
			}
			if err := tx.ClearAttribute(dir, "User", "userName"); err != nil {
				return err
			}
			return fn(tx)
		}
	}
	update(t, s, locked(func(tx store.Tx) error {
		for i := range n {
			if err := tx.AddKeys(dir, "User", id(i), "", name("new "+id(i))); err != nil {
				return err
			}
			next := user(dir, id(i), 2)
			if err := replace(tx, next, store.Keys{}, store.Keys{}); err != nil {
				return err
			}
		}
		return nil
	}))
	equal(t, "others", total(t, s, title), int64(n))
	equal(t, "old", total(t, s, named(id(0))), int64(0))
	equal(t, "new", list(t, s, named("new "+id(3))), []string{id(3)})
	equal(t, "replaced", get(t, s, dir, id(n-1)), user(dir, id(n-1), 2))
	// The claims are there: nobody else gets them.
	refuse(t, s, store.ErrExists, func(tx store.Tx) error { return create(tx, user(dir, "x", 1), name("new "+id(5))) })
	refuse(t, s, store.ErrStale, locked(func(tx store.Tx) error {
		for i := range 2 {
			if err := tx.AddKeys(dir, "User", id(i), "", name("same")); err != nil {
				return err
			}
		}
		return nil
	}))
	refuse(t, s, store.ErrStale, locked(func(tx store.Tx) error { return replace(tx, user(dir, id(0), 9), store.Keys{}, store.Keys{}) }))
	equal(t, "undone", list(t, s, named("new "+id(0))), []string{id(0)})
	var d *roster.Directory
	view(t, s, func(r store.Reader) (err error) {
		d, err = r.GetDirectory(dir)
		return err
	})
	equal(t, "version", d.Version, int64(1))
}
