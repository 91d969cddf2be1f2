package storetest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/store"
)

func connection(owner, name string, version int64) *store.Connection {
	return &store.Connection{
		Connection: roster.Connection{
			Owner: owner, Name: name, URL: "https://service.example/scim", Directory: "there", RuleSet: "standard",
			Created: epoch, Modified: epoch.Add(time.Duration(version) * time.Microsecond), Version: version,
		},
		Sealed: []byte(name + "\x00\xff sealed"),
	}
}

func testConnections(t *testing.T, s store.Store) {
	const other = dir + "-other"
	begin(t, s, dir, other)
	update(t, s, func(tx store.Tx) error {
		for _, c := range []*store.Connection{connection(dir, "b", 1), connection(dir, "a", 1), connection(other, "a", 1)} {
			if err := tx.CreateConnection(c); err != nil {
				return err
			}
		}
		return nil
	})
	refuse(t, s, store.ErrExists, func(tx store.Tx) error { return tx.CreateConnection(connection(dir, "a", 1)) })
	refuse(t, s, store.ErrNotFound, func(tx store.Tx) error { return tx.CreateConnection(connection("none", "a", 1)) })

	next := connection(dir, "a", 2)
	next.URL, next.Directory, next.RuleSet, next.Sealed = "https://other.example", "", "strict", []byte("other")
	update(t, s, func(tx store.Tx) error { return tx.ReplaceConnection(next) })
	refuse(t, s, store.ErrStale, func(tx store.Tx) error { return tx.ReplaceConnection(next) })
	refuse(t, s, store.ErrStale, func(tx store.Tx) error { return tx.ReplaceConnection(connection(dir, "none", 2)) })
	list := func(directory string) (all []*store.Connection) {
		t.Helper()
		view(t, s, func(r store.Reader) (err error) {
			all, err = r.ListConnections(directory)
			return err
		})
		return all
	}
	equal(t, "list", list(dir), []*store.Connection{next, connection(dir, "b", 1)})

	resealed := *next
	resealed.URL, resealed.Sealed = "https://not.stored.example", []byte("sealed anew")
	update(t, s, func(tx store.Tx) error { return tx.ResealConnection(&resealed) })
	refuse(t, s, store.ErrStale, func(tx store.Tx) error { return tx.ResealConnection(connection(dir, "a", 1)) })
	next.Sealed = resealed.Sealed
	update(t, s, func(tx store.Tx) error {
		got, err := tx.GetConnection(dir, "a")
		equal(t, "resealed", got, next)
		return err
	})

	refuse(t, s, store.ErrStale, func(tx store.Tx) error { return tx.DeleteConnection(dir, "a", 1) })
	update(t, s, func(tx store.Tx) error { return tx.DeleteConnection(dir, "a", 2) })
	refuse(t, s, store.ErrNotFound, func(tx store.Tx) error {
		_, err := tx.GetConnection(dir, "a")
		return err
	})
	equal(t, "list without a", list(dir), []*store.Connection{connection(dir, "b", 1)})

	update(t, s, func(tx store.Tx) error { return tx.DeleteDirectory(dir) })
	equal(t, "list of a deleted directory", list(dir), nil)
	equal(t, "list of the other one", list(other), []*store.Connection{connection(other, "a", 1)})
	refuse(t, s, store.ErrNotFound, func(tx store.Tx) error { return tx.CreateConnection(connection(dir, "c", 1)) })
}

// Of those who replace one version one wins.
func testConnectionsConcurrent(t *testing.T, s store.Store) {
	begin(t, s, dir)
	update(t, s, func(tx store.Tx) error { return tx.CreateConnection(connection(dir, "a", 1)) })
	const writers = 8
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			errs[i] = s.Update(t.Context(), func(tx store.Tx) error { return tx.ReplaceConnection(connection(dir, "a", 2)) })
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, store.ErrStale):
			t.Error(err)
		}
	}
	equal(t, "winners", won, 1)
}
