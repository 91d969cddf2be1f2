package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/roster-scim/roster/internal/store"
)

func testRoundTrip(t *testing.T, s store.Store) {
	begin(t, s, dir)
	want := user(dir, "a", 1)
	update(t, s, func(tx store.Tx) error { return tx.Create(user(dir, "a", 1), name("A")) })
	equal(t, "created", get(t, s, dir, "a"), want)

	want = user(dir, "a", 2)
	update(t, s, func(tx store.Tx) error {
		got, err := tx.Get(dir, "User", "a")
		if err != nil {
			return err
		}
		next := user(dir, "a", 2)
		next.Version = got.Version + 1
		return tx.Replace(next, store.Keys{}, store.Keys{})
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
		return tx.Create(r, store.Keys{})
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
			if err := tx.Create(r, name("A")); err != nil {
				return err
			}
			return tx.Append(event(d, "a", 1))
		})
	}
	update(t, s, func(tx store.Tx) error {
		r := user(dir, "a", 1)
		r.Type = "Group"
		return tx.Create(r, name("A"))
	})
	for _, d := range []string{dir, other} {
		equal(t, "doc", string(get(t, s, d, "a").Doc), `"`+d+`"`)
		equal(t, "list", list(t, s, store.Query{Directory: d, Type: "User", Limit: 10}), []string{"a"})
		equal(t, "total", total(t, s, store.Query{Directory: d, Type: "User", Limit: 1}), int64(1))
		equal(t, "by term", list(t, s, store.Query{Directory: d, Type: "User", Limit: 10, Term: &store.Term{Attribute: "userName", Value: "A"}}), []string{"a"})
	}
	update(t, s, func(tx store.Tx) error { return tx.Delete(trashed(dir, "a", 2), name("A")) })
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
	update(t, s, func(tx store.Tx) error { return tx.Create(user(dir, "a", 1), name("A")) })
	refuse(t, s, store.ErrExists, func(tx store.Tx) error { return tx.Create(user(dir, "a", 1), name("B")) })
	refuse(t, s, store.ErrExists, func(tx store.Tx) error { return tx.Create(user(dir, "a", 1), name("A")) })
	equal(t, "total", total(t, s, store.Query{Directory: dir, Type: "User", Limit: 1}), int64(1))
	// The claim of the refused one is free.
	update(t, s, func(tx store.Tx) error { return tx.Create(user(dir, "b", 1), name("B")) })
}

func testCreateWithoutDirectory(t *testing.T, s store.Store) {
	refuse(t, s, store.ErrNotFound, func(tx store.Tx) error { return tx.Create(user("none", "a", 1), store.Keys{}) })
}

func testReplaceStale(t *testing.T, s store.Store) {
	begin(t, s, dir)
	update(t, s, func(tx store.Tx) error { return tx.Create(user(dir, "a", 1), name("A")) })
	for _, version := range []int64{1, 3, 4} {
		refuse(t, s, store.ErrStale, func(tx store.Tx) error {
			return tx.Replace(user(dir, "a", version), store.Keys{}, name("B"))
		})
		refuse(t, s, store.ErrStale, func(tx store.Tx) error {
			if _, err := tx.Get(dir, "User", "a"); err != nil {
				return err
			}
			return tx.Replace(user(dir, "a", version), store.Keys{}, name("B"))
		})
		refuse(t, s, store.ErrStale, func(tx store.Tx) error { return tx.Delete(trashed(dir, "a", version), name("A")) })
	}
	refuse(t, s, store.ErrStale, func(tx store.Tx) error {
		return tx.Replace(user(dir, "none", 2), store.Keys{}, store.Keys{})
	})
	refuse(t, s, store.ErrStale, func(tx store.Tx) error { return tx.Delete(trashed(dir, "none", 2), store.Keys{}) })
	equal(t, "unchanged", get(t, s, dir, "a"), user(dir, "a", 1))
	equal(t, "by term", list(t, s, store.Query{Directory: dir, Type: "User", Limit: 10, Term: &store.Term{Attribute: "userName", Value: "B"}}), nil)
}

func testReplaceWithoutGet(t *testing.T, s store.Store) {
	begin(t, s, dir)
	update(t, s, func(tx store.Tx) error { return tx.Create(user(dir, "a", 1), name("A")) })
	update(t, s, func(tx store.Tx) error { return tx.Replace(user(dir, "a", 2), name("A"), name("B")) })
	update(t, s, func(tx store.Tx) error { // several versions in one transaction
		for v := int64(3); v < 6; v++ {
			if err := tx.Replace(user(dir, "a", v), store.Keys{}, store.Keys{}); err != nil {
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
		return tx.Create(user(dir, "a", 1), store.Keys{Claims: []store.Term{{Attribute: "userName", Value: "A"}, mail}})
	})
	update(t, s, func(tx store.Tx) error { return tx.Create(user(dir, "b", 1), name("B")) })

	for what, fn := range map[string]func(store.Tx) error{
		"Create": func(tx store.Tx) error {
			return tx.Create(user(dir, "c", 1), store.Keys{Claims: []store.Term{{Attribute: "aaa", Value: "1"}, mail, {Attribute: "userName", Value: "C"}}})
		},
		"Replace": func(tx store.Tx) error {
			return tx.Replace(user(dir, "b", 2), store.Keys{}, store.Keys{Claims: []store.Term{{Attribute: "aaa", Value: "1"}, mail}})
		},
		"AddKeys": func(tx store.Tx) error {
			return tx.AddKeys(dir, "User", "b", store.Keys{Claims: []store.Term{mail}})
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
		return tx.Create(user(dir, "c", 1), store.Keys{Claims: []store.Term{{Attribute: "aaa", Value: "1"}, {Attribute: "userName", Value: "C"}}})
	})
	// A claim that the resource has already is none too many.
	update(t, s, func(tx store.Tx) error {
		return tx.Replace(user(dir, "a", 2), store.Keys{}, store.Keys{Claims: []store.Term{mail}})
	})
}

// A function that swallows a conflict must not commit half a change.
func testConflictIgnored(t *testing.T, s store.Store) {
	begin(t, s, dir)
	update(t, s, func(tx store.Tx) error { return tx.Create(user(dir, "a", 1), name("A")) })
	refuse(t, s, store.ErrExists, func(tx store.Tx) error {
		_ = tx.Create(user(dir, "b", 1), store.Keys{Claims: []store.Term{{Attribute: "aaa", Value: "1"}, {Attribute: "userName", Value: "A"}}})
		return nil
	})
	if get(t, s, dir, "b") != nil {
		t.Error("the refused resource is there")
	}
}

func testClaimsFreed(t *testing.T, s store.Store) {
	begin(t, s, dir)
	update(t, s, func(tx store.Tx) error { return tx.Create(user(dir, "a", 1), name("A")) })
	update(t, s, func(tx store.Tx) error { return tx.Replace(user(dir, "a", 2), name("A"), name("A2")) })
	update(t, s, func(tx store.Tx) error { return tx.Create(user(dir, "b", 1), name("A")) })
	update(t, s, func(tx store.Tx) error { return tx.Delete(trashed(dir, "b", 2), name("A")) })
	update(t, s, func(tx store.Tx) error { return tx.Create(user(dir, "c", 1), name("A")) })
	// In one transaction too.
	update(t, s, func(tx store.Tx) error {
		if err := tx.Delete(trashed(dir, "c", 2), name("A")); err != nil {
			return err
		}
		return tx.Create(user(dir, "d", 1), name("A"))
	})
}

// Dropping a claim that someone else holds takes nothing from them.
func testClaimsMove(t *testing.T, s store.Store) {
	begin(t, s, dir)
	update(t, s, func(tx store.Tx) error { return tx.Create(user(dir, "a", 1), name("A")) })
	update(t, s, func(tx store.Tx) error { return tx.Create(user(dir, "b", 1), name("B")) })
	update(t, s, func(tx store.Tx) error { return tx.Replace(user(dir, "b", 2), name("A"), store.Keys{}) })
	refuse(t, s, store.ErrExists, func(tx store.Tx) error { return tx.Create(user(dir, "c", 1), name("A")) })
	// A key in both drop and add stays.
	update(t, s, func(tx store.Tx) error { return tx.Replace(user(dir, "a", 2), name("A"), name("A")) })
	refuse(t, s, store.ErrExists, func(tx store.Tx) error { return tx.Create(user(dir, "c", 1), name("A")) })
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
	update(t, s, func(tx store.Tx) error { return tx.Create(user(dir, "a", 1), terms("x", "y")) })
	update(t, s, func(tx store.Tx) error { return tx.Create(user(dir, "b", 1), terms("y", "")) })
	check(map[string]int{"x": 1, "y": 2, "": 1, "z": 0})
	update(t, s, func(tx store.Tx) error { return tx.Replace(user(dir, "a", 2), terms("x"), terms("z", "y")) })
	check(map[string]int{"x": 0, "y": 2, "z": 1})
	update(t, s, func(tx store.Tx) error { return tx.Delete(trashed(dir, "a", 3), terms("z", "y")) })
	check(map[string]int{"x": 0, "y": 1, "z": 0, "": 1})
}

func testClearKeys(t *testing.T, s store.Store) {
	const other, n = dir + "-other", 1201 // several batches
	begin(t, s, dir, other)
	for _, d := range []string{dir, other} {
		update(t, s, func(tx store.Tx) error {
			for i := range n {
				id := fmt.Sprintf("%04d", i)
				if err := tx.Create(user(d, id, 1), name(id)); err != nil {
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
	update(t, s, func(tx store.Tx) error { return tx.AddKeys(dir, "User", "1200", name("0000")) })
	refuse(t, s, store.ErrExists, func(tx store.Tx) error { return tx.AddKeys(dir, "User", "0000", name("0000")) })
	equal(t, "added", list(t, s, store.Query{Directory: dir, Type: "User", Term: first, Limit: 9}), []string{"1200"})
}

func testRollback(t *testing.T, s store.Store) {
	begin(t, s, dir)
	update(t, s, func(tx store.Tx) error { return tx.Create(user(dir, "a", 1), name("A")) })
	boom := errors.New("boom")
	err := s.Update(t.Context(), func(tx store.Tx) error {
		for _, err := range []error{
			tx.Create(user(dir, "b", 1), name("B")),
			tx.Replace(user(dir, "a", 2), name("A"), name("A2")),
			tx.Append(event(dir, "a", 2)),
			tx.PutSetting("s", []byte("1")),
			tx.CreateDirectory(directory("new")),
			tx.Keep(dir, "key", "none", nil),
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
	equal(t, "events", events, nil)
	for what, fn := range map[string]func(store.Reader) error{
		"setting":   func(r store.Reader) error { _, err := r.GetSetting("s"); return err },
		"directory": func(r store.Reader) error { _, err := r.GetDirectory("new"); return err },
	} {
		if err := s.View(t.Context(), fn); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: got %v, want ErrNotFound", what, err)
		}
	}
	update(t, s, func(tx store.Tx) error { return tx.Create(user(dir, "b", 1), name("A2")) })
}

func testReadsOwnWrites(t *testing.T, s store.Store) {
	begin(t, s, dir)
	var got *store.Record
	var ids []string
	var n, users, events int64
	update(t, s, func(tx store.Tx) error {
		if err := tx.Create(user(dir, "a", 1), name("A")); err != nil {
			return err
		}
		if err := tx.Replace(user(dir, "a", 2), store.Keys{}, store.Keys{}); err != nil {
			return err
		}
		if err := tx.Append(event(dir, "a", 2)); err != nil {
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
		h, err := tx.History(dir, "a", 0, 10)
		events = int64(len(h))
		return err
	})
	equal(t, "record", got, user(dir, "a", 2))
	equal(t, "ids", ids, []string{"a"})
	equal(t, "counts", []int64{n, users, events}, []int64{1, 1, 1})
}

func testList(t *testing.T, s store.Store) {
	begin(t, s, dir)
	// The order is that of bytes, whatever a language would say.
	want := []string{"0", "A", "Z", "a", "a ", "a-b", "aa", "z", "é", "日本"}
	update(t, s, func(tx store.Tx) error {
		for i := range want {
			id := want[(i*7)%len(want)]
			if err := tx.Create(user(dir, id, 1), store.Keys{Terms: []store.Term{{Attribute: "active", Value: "true"}}}); err != nil {
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

func testListStops(t *testing.T, s store.Store) {
	begin(t, s, dir)
	update(t, s, func(tx store.Tx) error {
		for i := range 200 {
			if err := tx.Create(user(dir, fmt.Sprintf("%03d", i), 1), store.Keys{}); err != nil {
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
			if err := tx.Create(user(dir, id, 1), store.Keys{}); err != nil {
				return err
			}
		}
		g := user(dir, "g", 1)
		g.Type = "Group"
		return tx.Create(g, store.Keys{})
	})
	want(3, 1)
	update(t, s, func(tx store.Tx) error { return tx.Delete(trashed(dir, "a", 2), store.Keys{}) })
	want(2, 1)
	refuse(t, s, errAgain, func(tx store.Tx) error {
		if err := tx.Delete(trashed(dir, "b", 2), store.Keys{}); err != nil {
			return err
		}
		return errAgain
	})
	want(2, 1)
}

func testTrash(t *testing.T, s store.Store) {
	begin(t, s, dir)
	update(t, s, func(tx store.Tx) error { return tx.Create(user(dir, "a", 1), name("A")) })
	update(t, s, func(tx store.Tx) error { return tx.Delete(trashed(dir, "a", 2), name("A")) })
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
		r := user(dir, "a", d.Version+1)
		if err := tx.Create(r, name("A")); err != nil {
			return err
		}
		return tx.DropTrash(dir, "User", "a")
	}
	update(t, s, restore)
	equal(t, "restored", get(t, s, dir, "a"), user(dir, "a", 3))
	refuse(t, s, store.ErrNotFound, restore)
	equal(t, "total", total(t, s, store.Query{Directory: dir, Type: "User", Limit: 1}), int64(1))
	// And again: the trash has the newest.
	update(t, s, func(tx store.Tx) error { return tx.Delete(trashed(dir, "a", 4), name("A")) })
	view(t, s, func(r store.Reader) (err error) {
		got, err = r.GetTrash(dir, "User", "a")
		return err
	})
	equal(t, "trash", got, trashed(dir, "a", 4))
	// A restore onto a value that is taken names who has it.
	update(t, s, func(tx store.Tx) error { return tx.Create(user(dir, "b", 1), name("A")) })
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
			if err := tx.Create(user(dir, id, 1), store.Keys{}); err != nil {
				return err
			}
			if err := tx.Delete(trashed(dir, id, 2), store.Keys{}); err != nil {
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

func testContextEnded(t *testing.T, s store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ran := false
	if err := s.Update(ctx, func(store.Tx) error { ran = true; return nil }); !errors.Is(err, context.Canceled) || ran {
		t.Errorf("Update: got %v, ran %v", err, ran)
	}
	if err := s.View(ctx, func(store.Reader) error { ran = true; return nil }); !errors.Is(err, context.Canceled) || ran {
		t.Errorf("View: got %v, ran %v", err, ran)
	}
	ctx, cancel = context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	if err := s.Update(ctx, func(store.Tx) error { ran = true; return nil }); !errors.Is(err, context.DeadlineExceeded) || ran {
		t.Errorf("Update: got %v, ran %v", err, ran)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("Ping: %v", err)
	}
}

func testPanic(t *testing.T, s store.Store) {
	begin(t, s, dir)
	panics := func() (v any) {
		defer func() { v = recover() }()
		_ = s.Update(t.Context(), func(tx store.Tx) error {
			if err := tx.Create(user(dir, "a", 1), name("A")); err != nil {
				return err
			}
			panic("boom")
		})
		return nil
	}
	if panics() == nil {
		t.Error("the panic was lost")
	}
	if get(t, s, dir, "a") != nil {
		t.Error("the function has panicked, and was committed")
	}
	update(t, s, func(tx store.Tx) error { return tx.Create(user(dir, "a", 1), name("A")) })
}

func testClosed(t *testing.T, s store.Store) {
	begin(t, s, dir)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), func(store.Tx) error { return nil }); err == nil {
		t.Error("Update on a closed store: no error")
	}
	if err := s.View(t.Context(), func(store.Reader) error { return nil }); err == nil {
		t.Error("View on a closed store: no error")
	}
}
