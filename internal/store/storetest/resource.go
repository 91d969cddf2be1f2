package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/roster-scim/roster/internal/store"
)

func testRoundTrip(t *testing.T, s store.Store) {
	begin(t, s, dir)
	want := user(dir, "a", 1)
	update(t, s, func(tx store.Tx) error { return create(tx, user(dir, "a", 1), name("A")) })
	equal(t, "created", get(t, s, dir, "a"), want)

	want = user(dir, "a", 2)
	update(t, s, func(tx store.Tx) error {
		got, err := tx.Get(dir, "User", "a")
		if err != nil {
			return err
		}
		next := user(dir, "a", 2)
		next.Version = got.Version + 1
		return replace(tx, next, store.Keys{}, store.Keys{})
	})
	equal(t, "replaced", get(t, s, dir, "a"), want)
}

func testDocIsBytes(t *testing.T, s store.Store) {
	begin(t, s, dir)
	doc := make([]byte, 0, 1<<18)
	for i := range cap(doc) {
		doc = append(doc, byte(i*7), byte(i>>8))[:i+1]
	}
	want := user(dir, "a", 1)
	want.Doc = doc
	update(t, s, func(tx store.Tx) error {
		r := user(dir, "a", 1)
		r.Doc = bytes.Clone(doc)
		return create(tx, r, store.Keys{})
	})
	got := get(t, s, dir, "a")
	if !bytes.Equal(got.Doc, doc) {
		t.Error("the document has changed")
	}
	// What is returned belongs to the caller.
	got.Doc[0] ^= 1
	if !bytes.Equal(get(t, s, dir, "a").Doc, doc) {
		t.Error("the caller's change is in the store")
	}
}

func testIsolation(t *testing.T, s store.Store) {
	const other = dir + "-other"
	begin(t, s, dir, other)
	for _, d := range []string{dir, other} {
		update(t, s, func(tx store.Tx) error {
			r := user(d, "a", 1)
			r.Doc = []byte(`"` + d + `"`)
			return create(tx, r, name("A"))
		})
	}
	update(t, s, func(tx store.Tx) error {
		r := user(dir, "a", 1)
		r.Type = "Group"
		return create(tx, r, name("A"))
	})
	for _, d := range []string{dir, other} {
		equal(t, "doc", string(get(t, s, d, "a").Doc), `"`+d+`"`)
		equal(t, "list", list(t, s, store.Query{Directory: d, Type: "User", Limit: 10}), []string{"a"})
		equal(t, "total", total(t, s, store.Query{Directory: d, Type: "User", Limit: 1}), int64(1))
		equal(t, "by term", list(t, s, store.Query{Directory: d, Type: "User", Limit: 10, Term: &store.Term{Attribute: "userName", Value: "A"}}), []string{"a"})
	}
	update(t, s, func(tx store.Tx) error { return remove(tx, trashed(dir, "a", 2), name("A")) })
	if get(t, s, other, "a") == nil {
		t.Error("deleting in one directory has reached another")
	}
	refuse(t, s, store.ErrNotFound, func(tx store.Tx) error {
		_, err := tx.GetTrash(other, "User", "a")
		return err
	})
	refuse(t, s, store.ErrNotFound, func(tx store.Tx) error { return tx.DropTrash(dir, "Group", "a") })
}

func testNotFound(t *testing.T, s store.Store) {
	begin(t, s, dir)
	for what, fn := range map[string]func(store.Reader) error{
		"Get":          func(r store.Reader) error { _, err := r.Get(dir, "User", "none"); return err },
		"GetTrash":     func(r store.Reader) error { _, err := r.GetTrash(dir, "User", "none"); return err },
		"GetDirectory": func(r store.Reader) error { _, err := r.GetDirectory("none"); return err },
		"GetKey":       func(r store.Reader) error { _, err := r.GetKey([32]byte{1}); return err },
		"GetSetting":   func(r store.Reader) error { _, err := r.GetSetting("none"); return err },
	} {
		if err := s.View(t.Context(), fn); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s in View: got %v, want ErrNotFound", what, err)
		}
		if err := s.Update(t.Context(), func(tx store.Tx) error { return fn(tx) }); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s in Update: got %v, want ErrNotFound", what, err)
		}
	}
	refuse(t, s, store.ErrNotFound, func(tx store.Tx) error { return tx.DropTrash(dir, "User", "none") })
	refuse(t, s, store.ErrNotFound, func(tx store.Tx) error { return tx.DeleteDirectory("none") })
}

func testCreateExists(t *testing.T, s store.Store) {
	begin(t, s, dir)
	update(t, s, func(tx store.Tx) error { return create(tx, user(dir, "a", 1), name("A")) })
	refuse(t, s, store.ErrExists, func(tx store.Tx) error { return create(tx, user(dir, "a", 1), name("B")) })
	refuse(t, s, store.ErrExists, func(tx store.Tx) error { return create(tx, user(dir, "a", 1), name("A")) })
	equal(t, "total", total(t, s, store.Query{Directory: dir, Type: "User", Limit: 1}), int64(1))
	// The claim of the refused one is free.
	update(t, s, func(tx store.Tx) error { return create(tx, user(dir, "b", 1), name("B")) })
}

func testCreateWithoutDirectory(t *testing.T, s store.Store) {
	refuse(t, s, store.ErrNotFound, func(tx store.Tx) error { return create(tx, user("none", "a", 1), store.Keys{}) })
}

func testReplaceStale(t *testing.T, s store.Store) {
	begin(t, s, dir)
	update(t, s, func(tx store.Tx) error { return create(tx, user(dir, "a", 1), name("A")) })
	for _, version := range []int64{1, 3, 4} {
		refuse(t, s, store.ErrStale, func(tx store.Tx) error {
			return replace(tx, user(dir, "a", version), store.Keys{}, name("B"))
		})
		refuse(t, s, store.ErrStale, func(tx store.Tx) error {
			if _, err := tx.Get(dir, "User", "a"); err != nil {
				return err
			}
			return replace(tx, user(dir, "a", version), store.Keys{}, name("B"))
		})
		refuse(t, s, store.ErrStale, func(tx store.Tx) error { return remove(tx, trashed(dir, "a", version), name("A")) })
	}
	refuse(t, s, store.ErrStale, func(tx store.Tx) error {
		return replace(tx, user(dir, "none", 2), store.Keys{}, store.Keys{})
	})
	refuse(t, s, store.ErrStale, func(tx store.Tx) error { return remove(tx, trashed(dir, "none", 2), store.Keys{}) })
	equal(t, "unchanged", get(t, s, dir, "a"), user(dir, "a", 1))
	equal(t, "by term", list(t, s, store.Query{Directory: dir, Type: "User", Limit: 10, Term: &store.Term{Attribute: "userName", Value: "B"}}), nil)
}

func testReplaceWithoutGet(t *testing.T, s store.Store) {
	begin(t, s, dir)
	update(t, s, func(tx store.Tx) error { return create(tx, user(dir, "a", 1), name("A")) })
	update(t, s, func(tx store.Tx) error { return replace(tx, user(dir, "a", 2), name("A"), name("B")) })
	update(t, s, func(tx store.Tx) error { // several versions in one transaction
		for v := int64(3); v < 6; v++ {
			if err := replace(tx, user(dir, "a", v), store.Keys{}, store.Keys{}); err != nil {
				return err
			}
		}
		return nil
	})
	equal(t, "replaced", get(t, s, dir, "a"), user(dir, "a", 5))
}

func testConflict(t *testing.T, s store.Store) {
	begin(t, s, dir)
	mail := store.Term{Attribute: "emails.value", Value: "A@X"}
	update(t, s, func(tx store.Tx) error {
		return create(tx, user(dir, "a", 1), store.Keys{Claims: []store.Term{{Attribute: "userName", Value: "A"}, mail}})
	})
	update(t, s, func(tx store.Tx) error { return create(tx, user(dir, "b", 1), name("B")) })

	for what, fn := range map[string]func(store.Tx) error{
		"Create": func(tx store.Tx) error {
			return create(tx, user(dir, "c", 1), store.Keys{Claims: []store.Term{{Attribute: "aaa", Value: "1"}, mail, {Attribute: "userName", Value: "C"}}})
		},
		"Replace": func(tx store.Tx) error {
			return replace(tx, user(dir, "b", 2), store.Keys{}, store.Keys{Claims: []store.Term{{Attribute: "aaa", Value: "1"}, mail}})
		},
		"AddKeys": func(tx store.Tx) error {
			return tx.AddKeys(dir, "User", "b", "", store.Keys{Claims: []store.Term{mail}})
		},
	} {
		err := s.Update(t.Context(), fn)
		conflict, ok := errors.AsType[*store.ConflictError](err)
		if !ok || !errors.Is(err, store.ErrExists) {
			t.Fatalf("%s: got %v, want a ConflictError", what, err)
		}
		equal(t, what, conflict, &store.ConflictError{Claim: mail, Holder: "a"})
	}
	// Nothing of the refused ones is left.
	equal(t, "b", get(t, s, dir, "b"), user(dir, "b", 1))
	update(t, s, func(tx store.Tx) error {
		return create(tx, user(dir, "c", 1), store.Keys{Claims: []store.Term{{Attribute: "aaa", Value: "1"}, {Attribute: "userName", Value: "C"}}})
	})
	// A claim that the resource has already is none too many.
	update(t, s, func(tx store.Tx) error {
		return replace(tx, user(dir, "a", 2), store.Keys{}, store.Keys{Claims: []store.Term{mail}})
	})
}

// A function that swallows a conflict must not commit half a change.
func testConflictIgnored(t *testing.T, s store.Store) {
	begin(t, s, dir)
	update(t, s, func(tx store.Tx) error { return create(tx, user(dir, "a", 1), name("A")) })
	refuse(t, s, store.ErrExists, func(tx store.Tx) error {
		_ = create(tx, user(dir, "b", 1), store.Keys{Claims: []store.Term{{Attribute: "aaa", Value: "1"}, {Attribute: "userName", Value: "A"}}})
		return nil
	})
	if get(t, s, dir, "b") != nil {
		t.Error("the refused resource is there")
	}
}

func testClaimsFreed(t *testing.T, s store.Store) {
	begin(t, s, dir)
	update(t, s, func(tx store.Tx) error { return create(tx, user(dir, "a", 1), name("A")) })
	update(t, s, func(tx store.Tx) error { return replace(tx, user(dir, "a", 2), name("A"), name("A2")) })
	update(t, s, func(tx store.Tx) error { return create(tx, user(dir, "b", 1), name("A")) })
	update(t, s, func(tx store.Tx) error { return remove(tx, trashed(dir, "b", 2), name("A")) })
	update(t, s, func(tx store.Tx) error { return create(tx, user(dir, "c", 1), name("A")) })
	// In one transaction too.
	update(t, s, func(tx store.Tx) error {
		if err := remove(tx, trashed(dir, "c", 2), name("A")); err != nil {
			return err
		}
		return create(tx, user(dir, "d", 1), name("A"))
	})
}

// Dropping a claim that someone else holds takes nothing from them.
func testClaimsMove(t *testing.T, s store.Store) {
	begin(t, s, dir)
	update(t, s, func(tx store.Tx) error { return create(tx, user(dir, "a", 1), name("A")) })
	update(t, s, func(tx store.Tx) error { return create(tx, user(dir, "b", 1), name("B")) })
	update(t, s, func(tx store.Tx) error { return replace(tx, user(dir, "b", 2), name("A"), store.Keys{}) })
	refuse(t, s, store.ErrExists, func(tx store.Tx) error { return create(tx, user(dir, "c", 1), name("A")) })
	// A key in both drop and add stays.
	update(t, s, func(tx store.Tx) error { return replace(tx, user(dir, "a", 2), name("A"), name("A")) })
	refuse(t, s, store.ErrExists, func(tx store.Tx) error { return create(tx, user(dir, "c", 1), name("A")) })
	equal(t, "by term", list(t, s, store.Query{Directory: dir, Type: "User", Limit: 10, Term: &store.Term{Attribute: "userName", Value: "A"}}), []string{"a"})
}

func testKeysAddAndDrop(t *testing.T, s store.Store) {
	begin(t, s, dir)
	term := func(v string) store.Term { return store.Term{Attribute: "title", Value: v} }
	terms := func(vs ...string) (k store.Keys) {
		for _, v := range vs {
			k.Terms = append(k.Terms, term(v))
		}
		return k
	}
	check := func(want map[string]int) {
		t.Helper()
		for v, n := range want {
			q := store.Query{Directory: dir, Type: "User", Limit: 10, Term: new(term(v))}
			equal(t, "total of "+v, total(t, s, q), int64(n))
			equal(t, "list of "+v, len(list(t, s, q)), n)
		}
	}
	update(t, s, func(tx store.Tx) error { return create(tx, user(dir, "a", 1), terms("x", "y")) })
	update(t, s, func(tx store.Tx) error { return create(tx, user(dir, "b", 1), terms("y", "")) })
	check(map[string]int{"x": 1, "y": 2, "": 1, "z": 0})
	update(t, s, func(tx store.Tx) error { return replace(tx, user(dir, "a", 2), terms("x"), terms("z", "y")) })
	check(map[string]int{"x": 0, "y": 2, "z": 1})
	update(t, s, func(tx store.Tx) error { return remove(tx, trashed(dir, "a", 3), terms("z", "y")) })
	check(map[string]int{"x": 0, "y": 1, "z": 0, "": 1})
}

func testClearKeys(t *testing.T, s store.Store) {
	const other, n = dir + "-other", 1201 // several batches
	begin(t, s, dir, other)
	for _, d := range []string{dir, other} {
		update(t, s, func(tx store.Tx) error {
			for i := range n {
				id := fmt.Sprintf("%04d", i)
				if err := create(tx, user(d, id, 1), name(id)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := s.ClearKeys(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	first := &store.Term{Attribute: "userName", Value: "0000"}
	equal(t, "cleared", total(t, s, store.Query{Directory: dir, Type: "User", Term: first, Limit: 1}), int64(0))
	equal(t, "other directory", total(t, s, store.Query{Directory: other, Type: "User", Term: first, Limit: 1}), int64(1))
	equal(t, "resources", total(t, s, store.Query{Directory: dir, Type: "User", Limit: 1}), int64(n))
	update(t, s, func(tx store.Tx) error { return tx.AddKeys(dir, "User", "1200", "", name("0000")) })
	refuse(t, s, store.ErrExists, func(tx store.Tx) error { return tx.AddKeys(dir, "User", "0000", "", name("0000")) })
	equal(t, "added", list(t, s, store.Query{Directory: dir, Type: "User", Term: first, Limit: 9}), []string{"1200"})
}

func testRollback(t *testing.T, s store.Store) {
	begin(t, s, dir)
	update(t, s, func(tx store.Tx) error { return create(tx, user(dir, "a", 1), name("A")) })
	boom := errors.New("boom")
	err := s.Update(t.Context(), func(tx store.Tx) error {
		for _, err := range []error{
			create(tx, user(dir, "b", 1), name("B")),
			replace(tx, user(dir, "a", 2), name("A"), name("A2")),
			tx.PutSetting("s", []byte("1")),
			tx.CreateDirectory(directory("new")),
			tx.Keep(dir, "key", "none", "r", nil),
		} {
			if err != nil && !errors.Is(err, store.ErrStale) {
				return err
			}
		}
		return boom
	})
	if err != boom { //nolint:errorlint // it is returned as it is
		t.Fatalf("got %v, want the function's own error", err)
	}
	equal(t, "a", get(t, s, dir, "a"), user(dir, "a", 1))
	equal(t, "ids", list(t, s, store.Query{Directory: dir, Type: "User", Limit: 10}), []string{"a"})
	equal(t, "total", total(t, s, store.Query{Directory: dir, Type: "User", Limit: 1}), int64(1))
	events, err := s.Events(t.Context(), dir, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "events", len(events), 1)
	for what, fn := range map[string]func(store.Reader) error{
		"setting":   func(r store.Reader) error { _, err := r.GetSetting("s"); return err },
		"directory": func(r store.Reader) error { _, err := r.GetDirectory("new"); return err },
	} {
		if err := s.View(t.Context(), fn); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: got %v, want ErrNotFound", what, err)
		}
	}
	update(t, s, func(tx store.Tx) error { return create(tx, user(dir, "b", 1), name("A2")) })
}

func testReadsOwnWrites(t *testing.T, s store.Store) {
	begin(t, s, dir)
	var got *store.Record
	var ids []string
	var n, users, events int64
	update(t, s, func(tx store.Tx) error {
		if err := create(tx, user(dir, "a", 1), name("A")); err != nil {
			return err
		}
		if err := replace(tx, user(dir, "a", 2), store.Keys{}, store.Keys{}); err != nil {
			return err
		}
		var err error
		if got, err = tx.Get(dir, "User", "a"); err != nil {
			return err
		}
		ids = nil
		q := store.Query{Directory: dir, Type: "User", Limit: 10, Term: &name("A").Terms[0]}
		if err := tx.List(q, func(r *store.Record) error { ids = append(ids, r.ID); return nil }); err != nil {
			return err
		}
		q.Term = nil
		if n, err = tx.Count(q); err != nil {
			return err
		}
		d, err := tx.GetDirectory(dir)
		if err != nil {
			return err
		}
		users = d.Users
		h, err := tx.History(dir, "User", "a", 0, 10)
		events = int64(len(h))
		return err
	})
	equal(t, "record", got, user(dir, "a", 2))
	equal(t, "ids", ids, []string{"a"})
	equal(t, "counts", []int64{n, users, events}, []int64{1, 1, 2})
}
