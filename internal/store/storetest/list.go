package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/roster-scim/roster/internal/store"
)

func testList(t *testing.T, s store.Store) {
	begin(t, s, dir)
	// The order is that of bytes, whatever a language would say.
	want := []string{"0", "A", "Z", "a", "a ", "a-b", "aa", "z", "é", "日本"}
	update(t, s, func(tx store.Tx) error {
		for i := range want {
			id := want[(i*7)%len(want)]
			if err := create(tx, user(dir, id, 1), store.Keys{Terms: []store.Term{{Attribute: "active", Value: "true"}}}); err != nil {
				return err
			}
		}
		return nil
	})
	for _, term := range []*store.Term{nil, {Attribute: "active", Value: "true"}} {
		q := store.Query{Directory: dir, Type: "User", Limit: 100, Term: term}
		equal(t, "all", list(t, s, q), want)
		q.Offset = 3
		equal(t, "offset", list(t, s, q), want[3:])
		q.Limit = 2
		equal(t, "limit", list(t, s, q), want[3:5])
		q.After = "A"
		equal(t, "after and offset", list(t, s, q), want[5:7])
		q.Offset = 100
		equal(t, "beyond", list(t, s, q), nil)
		equal(t, "total", total(t, s, q), int64(len(want)))
		var pages []string
		for after := ""; ; {
			page := list(t, s, store.Query{Directory: dir, Type: "User", Limit: 3, After: after, Term: term})
			if len(page) == 0 {
				break
			}
			pages = append(pages, page...)
			after = page[len(page)-1]
		}
		equal(t, "pages", pages, want)
	}
	// Folding is not the store's business.
	equal(t, "other case", list(t, s, store.Query{Directory: dir, Type: "User", Limit: 9, Term: &store.Term{Attribute: "active", Value: "TRUE"}}), nil)
	var got *store.Record
	view(t, s, func(r store.Reader) error {
		return r.List(store.Query{Directory: dir, Type: "User", Limit: 1, After: "Z"}, func(r *store.Record) error { got = r; return nil })
	})
	equal(t, "record", got, user(dir, "a", 1))
}

func testListReverse(t *testing.T, s store.Store) {
	begin(t, s, dir)
	ids := []string{"A", "a", "b", "c", "é", "日本"}
	active := store.Term{Attribute: "active", Value: "true"}
	update(t, s, func(tx store.Tx) error {
		for _, id := range ids {
			if err := create(tx, user(dir, id, 1), store.Keys{Terms: []store.Term{active}}); err != nil {
				return err
			}
		}
		if _, err := tx.Find(dir, ids); err != nil {
			return err
		}
		for _, id := range ids {
			g := user(dir, "g"+id, 1)
			g.Type = "Group"
			if err := create(tx, g, store.Keys{}); err != nil {
				return err
			}
			if _, err := tx.AddMembers(dir, g.ID, []store.Member{{ID: "a", Type: "User"}}); err != nil {
				return err
			}
		}
		return nil
	})
	for name, q := range map[string]store.Query{
		"all": {Type: "User"}, "term": {Type: "User", Term: &active}, "member": {Type: "Group", Member: "a"},
	} {
		prefix := ""
		if q.Type == "Group" {
			prefix = "g"
		}
		var want []string
		for i := range ids {
			want = append(want, prefix+ids[len(ids)-1-i])
		}
		q.Directory, q.Reverse, q.Limit = dir, true, 100
		equal(t, name, list(t, s, q), want)
		q.Offset, q.Limit = 1, 2
		equal(t, name+": offset and limit", list(t, s, q), want[1:3])
		q.After, q.Offset = prefix+"c", 0
		equal(t, name+": after", list(t, s, q), want[3:5])
		equal(t, name+": total", total(t, s, q), int64(len(ids)))
	}
}

func testListBy(t *testing.T, s store.Store) {
	begin(t, s, dir)
	values := map[string][]string{"1": {"b"}, "2": {"B"}, "3": {"a"}, "4": {"b"}, "5": nil, "6": {""}, "7": {"日本", "x"}, "8": {"\U0010FFFF"}}
	update(t, s, func(tx store.Tx) error {
		for id, list := range values {
			keys := store.Keys{Terms: []store.Term{{Attribute: "other", Value: "z"}}}
			for _, v := range list {
				keys.Terms = append(keys.Terms, store.Term{Attribute: "label", Value: v})
			}
			if err := create(tx, user(dir, id, 1), keys); err != nil {
				return err
			}
		}
		return nil
	})
	view(t, s, func(r store.Reader) error {
		for attribute, want := range map[string]int64{"other": 0, "none": 8} {
			got, err := r.Lacking(dir, "User", attribute)
			if err != nil {
				return err
			}
			equal(t, "lacking "+attribute, got, want)
		}
		return nil
	})
	// One with two values is there twice.
	want := []string{"6", "2", "3", "1", "4", "7", "7", "8"}
	reversed := []string{"8", "7", "7", "4", "1", "3", "2", "6"}
	q := store.Query{Directory: dir, Type: "User", By: "label", Limit: 100}
	equal(t, "all", list(t, s, q), want)
	equal(t, "total", total(t, s, q), 8)
	q.Offset, q.Limit = 2, 3
	equal(t, "offset and limit", list(t, s, q), want[2:5])
	q.After, q.AfterValue, q.Offset = "1", "b", 1
	equal(t, "after and offset", list(t, s, q), want[5:8])
	q = store.Query{Directory: dir, Type: "User", By: "label", Limit: 100, Reverse: true}
	equal(t, "reverse", list(t, s, q), reversed)
	q.After, q.AfterValue = "4", "b"
	equal(t, "reverse after", list(t, s, q), reversed[4:])
	q.By, q.After, q.AfterValue = "none", "", ""
	equal(t, "no such attribute", list(t, s, q), nil)
	equal(t, "none", total(t, s, q), 0)
}

func testListIDs(t *testing.T, s store.Store) {
	begin(t, s, dir, "other")
	update(t, s, func(tx store.Tx) error {
		for _, id := range []string{"c", "a", "b"} {
			if err := create(tx, user(dir, id, 1), store.Keys{}); err != nil {
				return err
			}
		}
		return create(tx, user("other", "z", 1), store.Keys{})
	})
	q := store.Query{Directory: dir, Type: "User", Limit: 100, IDs: []string{"c", "z", `"`, "a", "no such"}}
	equal(t, "some", list(t, s, q), []string{"a", "c"})
	q.Type = "Group"
	equal(t, "of another type", list(t, s, q), nil)
	q.IDs = []string{}
	equal(t, "none", list(t, s, q), nil)
}

func testListStops(t *testing.T, s store.Store) {
	begin(t, s, dir)
	update(t, s, func(tx store.Tx) error {
		for i := range 200 {
			if err := create(tx, user(dir, fmt.Sprintf("%03d", i), 1), store.Keys{}); err != nil {
				return err
			}
		}
		return nil
	})
	stop := fmt.Errorf("stop: %w", store.ErrNotFound)
	n := 0
	err := s.View(t.Context(), func(r store.Reader) error {
		n = 0
		return r.List(store.Query{Directory: dir, Type: "User", Limit: 200}, func(*store.Record) error {
			if n++; n == 5 {
				return stop
			}
			return nil
		})
	})
	if err != stop || n != 5 { //nolint:errorlint // it is returned as it is
		t.Errorf("got %v after %d, want the function's own error after 5", err, n)
	}
	// A reader that stops listening is not read for to the end.
	ctx, cancel := context.WithCancel(t.Context())
	n = 0
	err = s.View(ctx, func(r store.Reader) error {
		return r.List(store.Query{Directory: dir, Type: "User", Limit: 200}, func(*store.Record) error {
			n++
			cancel()
			return nil
		})
	})
	if !errors.Is(err, context.Canceled) && err != nil || n == 0 {
		t.Errorf("got %v after %d, want context.Canceled or nil", err, n)
	}
	// The connection is as good as new.
	equal(t, "first", list(t, s, store.Query{Directory: dir, Type: "User", Limit: 1}), []string{"000"})
}

func testCounters(t *testing.T, s store.Store) {
	begin(t, s, dir)
	want := func(users, groups int64) {
		t.Helper()
		equal(t, "users", total(t, s, store.Query{Directory: dir, Type: "User", Limit: 1}), users)
		equal(t, "groups", total(t, s, store.Query{Directory: dir, Type: "Group", Limit: 1}), groups)
		view(t, s, func(r store.Reader) error {
			d, err := r.GetDirectory(dir)
			if err != nil {
				return err
			}
			equal(t, "Users of the directory", d.Users, users)
			all, err := r.ListDirectories()
			if err != nil {
				return err
			}
			equal(t, "Users of the listed directory", all[0].Users, users)
			return nil
		})
	}
	want(0, 0)
	update(t, s, func(tx store.Tx) error {
		for _, id := range []string{"a", "b", "c"} {
			if err := create(tx, user(dir, id, 1), store.Keys{}); err != nil {
				return err
			}
		}
		g := user(dir, "g", 1)
		g.Type = "Group"
		return create(tx, g, store.Keys{})
	})
	want(3, 1)
	update(t, s, func(tx store.Tx) error { return remove(tx, trashed(dir, "a", 2), store.Keys{}) })
	want(2, 1)
	refuse(t, s, errAgain, func(tx store.Tx) error {
		if err := remove(tx, trashed(dir, "b", 2), store.Keys{}); err != nil {
			return err
		}
		return errAgain
	})
	want(2, 1)
}
