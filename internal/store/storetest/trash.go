package storetest

import (
	"fmt"
	"testing"

	"github.com/roster-scim/roster/internal/store"
)

func testTrash(t *testing.T, s store.Store) {
	begin(t, s, dir)
	update(t, s, func(tx store.Tx) error { return create(tx, user(dir, "a", 1), name("A")) })
	update(t, s, func(tx store.Tx) error { return remove(tx, trashed(dir, "a", 2), name("A")) })
	if get(t, s, dir, "a") != nil {
		t.Error("deleted, and still there")
	}
	equal(t, "by term", list(t, s, store.Query{Directory: dir, Type: "User", Limit: 10, Term: &name("A").Terms[0]}), nil)
	var got *store.Trashed
	var all []*store.Trashed
	view(t, s, func(r store.Reader) (err error) {
		if got, err = r.GetTrash(dir, "User", "a"); err != nil {
			return err
		}
		all, err = r.ListTrash(dir, "", 10)
		return err
	})
	equal(t, "trash", got, trashed(dir, "a", 2))
	equal(t, "list", all, []*store.Trashed{trashed(dir, "a", 2)})

	restore := func(tx store.Tx) error {
		d, err := tx.GetTrash(dir, "User", "a")
		if err != nil {
			return err
		}
		if err := tx.DropTrash(dir, "User", "a"); err != nil {
			return err
		}
		return create(tx, user(dir, "a", d.Version+1), name("A"))
	}
	update(t, s, restore)
	equal(t, "restored", get(t, s, dir, "a"), user(dir, "a", 3))
	refuse(t, s, store.ErrNotFound, restore)
	equal(t, "total", total(t, s, store.Query{Directory: dir, Type: "User", Limit: 1}), int64(1))
	// And again: the trash has the newest.
	update(t, s, func(tx store.Tx) error { return remove(tx, trashed(dir, "a", 4), name("A")) })
	view(t, s, func(r store.Reader) (err error) {
		got, err = r.GetTrash(dir, "User", "a")
		return err
	})
	equal(t, "trash", got, trashed(dir, "a", 4))
	// A restore onto a value that is taken names who has it.
	update(t, s, func(tx store.Tx) error { return create(tx, user(dir, "b", 1), name("A")) })
	refuse(t, s, store.ErrExists, restore)
	view(t, s, func(r store.Reader) error { _, err := r.GetTrash(dir, "User", "a"); return err })
}

func testTrashPages(t *testing.T, s store.Store) {
	begin(t, s, dir)
	var want []string
	update(t, s, func(tx store.Tx) error {
		want = nil
		for i := range 7 {
			id := fmt.Sprintf("%03d", i)
			want = append(want, id)
			if err := create(tx, user(dir, id, 1), store.Keys{}); err != nil {
				return err
			}
			if err := remove(tx, trashed(dir, id, 2), store.Keys{}); err != nil {
				return err
			}
		}
		return nil
	})
	var got []string
	for after := ""; ; {
		var page []*store.Trashed
		view(t, s, func(r store.Reader) (err error) {
			page, err = r.ListTrash(dir, after, 3)
			return err
		})
		if len(page) == 0 {
			break
		}
		for _, d := range page {
			got = append(got, d.ID)
		}
		after = got[len(got)-1]
	}
	equal(t, "pages", got, want)
}
