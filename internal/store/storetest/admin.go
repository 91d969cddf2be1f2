package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/store"
)

func testDirectories(t *testing.T, s store.Store) {
	a, b := directory("a"), directory("b")
	a.Created = epoch.Add(time.Second) // after b
	a.Rules = []byte(`{"emailsRequired":false}`)
	a.Default = true
	update(t, s, func(tx store.Tx) error {
		if err := tx.CreateDirectory(a); err != nil {
			return err
		}
		return tx.CreateDirectory(b)
	})
	refuse(t, s, store.ErrExists, func(tx store.Tx) error { return tx.CreateDirectory(directory("a")) })
	var got *roster.Directory
	var all []*roster.Directory
	read := func() {
		t.Helper()
		view(t, s, func(r store.Reader) (err error) {
			if got, err = r.GetDirectory("a"); err != nil {
				return err
			}
			all, err = r.ListDirectories()
			return err
		})
	}
	read()
	equal(t, "directory", got, a)
	equal(t, "list", all, []*roster.Directory{b, a})

	next := *a
	next.Version, next.Name, next.RuleSet, next.Rules, next.Default, next.Modified = 2, "New", "strict", nil, false, epoch.Add(time.Hour)
	next.SuppressMail = true
	update(t, s, func(tx store.Tx) error { return tx.ReplaceDirectory(&next) })
	refuse(t, s, store.ErrStale, func(tx store.Tx) error { return tx.ReplaceDirectory(&next) })
	refuse(t, s, store.ErrStale, func(tx store.Tx) error { d := directory("none"); d.Version = 2; return tx.ReplaceDirectory(d) })
	read()
	equal(t, "replaced", got, &next)
}

func testDefaultDirectory(t *testing.T, s store.Store) {
	with := func(id string, version int64) *roster.Directory {
		d := directory(id)
		d.Default, d.Version = true, version
		return d
	}
	update(t, s, func(tx store.Tx) error { return tx.CreateDirectory(with("a", 1)) })
	refuse(t, s, store.ErrExists, func(tx store.Tx) error { return tx.CreateDirectory(with("b", 1)) })
	begin(t, s, "b")
	refuse(t, s, store.ErrExists, func(tx store.Tx) error { return tx.ReplaceDirectory(with("b", 2)) })
	update(t, s, func(tx store.Tx) error { return tx.ReplaceDirectory(with("a", 2)) })
	update(t, s, func(tx store.Tx) error { return tx.DeleteDirectory("a") })
	update(t, s, func(tx store.Tx) error { return tx.ReplaceDirectory(with("b", 2)) })
}

func testDeleteDirectory(t *testing.T, s store.Store) {
	const other, n = dir + "-other", 1201 // several batches
	begin(t, s, dir, other)
	k := key("k", dir)
	update(t, s, func(tx store.Tx) error { return tx.CreateKey(k) })
	for _, d := range []string{dir, other} {
		update(t, s, func(tx store.Tx) error {
			for i := range n {
				id := fmt.Sprintf("%04d", i)
				if err := create(tx, user(d, id, 1), name(id)); err != nil {
					return err
				}
			}
			if err := remove(tx, trashed(d, "0000", 2), name("0000")); err != nil {
				return err
			}
			if _, err := tx.Reserve(d, "k", "r", [32]byte{1}, epoch); err != nil {
				return err
			}
			return tx.Keep(d, "k", "r", "r", []byte("answer"))
		})
	}
	update(t, s, func(tx store.Tx) error { return tx.DeleteDirectory(dir) })
	for what, fn := range map[string]func(store.Reader) error{
		"directory": func(r store.Reader) error { _, err := r.GetDirectory(dir); return err },
		"key":       func(r store.Reader) error { _, err := r.GetKey(k.Digest); return err },
	} {
		if err := s.View(t.Context(), fn); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: got %v, want ErrNotFound", what, err)
		}
	}
	refuse(t, s, store.ErrNotFound, func(tx store.Tx) error { return tx.DeleteDirectory(dir) })
	refuse(t, s, store.ErrNotFound, func(tx store.Tx) error { return create(tx, user(dir, "new", 1), store.Keys{}) })
	refuse(t, s, store.ErrExists, func(tx store.Tx) error { return tx.CreateDirectory(directory(dir)) })

	pruned, err := s.Prune(t.Context(), time.Time{}, time.Time{}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if pruned < 4*n {
		t.Errorf("Prune: %d rows went, want at least %d", pruned, 4*n)
	}
	// Nothing is left to a directory that takes the id again.
	begin(t, s, dir)
	equal(t, "users", total(t, s, store.Query{Directory: dir, Type: "User", Limit: 1}), int64(0))
	equal(t, "list", list(t, s, store.Query{Directory: dir, Type: "User", Limit: 10}), nil)
	equal(t, "term", total(t, s, store.Query{Directory: dir, Type: "User", Limit: 1, Term: &name("0001").Terms[0]}), int64(0))
	events, err := s.Events(t.Context(), dir, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "events", events, nil)
	update(t, s, func(tx store.Tx) error { return create(tx, user(dir, "new", 1), name("0001")) })
	view(t, s, func(r store.Reader) error {
		trash, err := r.ListTrash(dir, "", 10)
		equal(t, "trash", trash, nil)
		return err
	})
	update(t, s, func(tx store.Tx) error {
		a, err := tx.Reserve(dir, "k", "r", [32]byte{2}, epoch)
		equal(t, "answer", a, (*store.Answer)(nil))
		return err
	})
	// And the other directory is whole.
	equal(t, "other users", total(t, s, store.Query{Directory: other, Type: "User", Limit: 1}), int64(n-1))
	equal(t, "other term", total(t, s, store.Query{Directory: other, Type: "User", Limit: 1, Term: &name("0001").Terms[0]}), int64(1))
	if again, err := s.Prune(t.Context(), time.Time{}, time.Time{}, time.Time{}); err != nil || again != 0 {
		t.Errorf("Prune again: %d rows, %v", again, err)
	}
}

func key(id, directory string) *roster.Key {
	k := &roster.Key{
		ID: id, Directory: directory, Name: "Key " + id, Prefix: "rk_" + id,
		Scopes:  []roster.Scope{roster.ScopeUsersWrite, roster.ScopeGroupsRead},
		Created: epoch, Expires: epoch.Add(time.Hour),
	}
	copy(k.Digest[:], "digest of "+id+"\x00\xff")
	return k
}

func testKeys(t *testing.T, s store.Store) {
	begin(t, s, dir)
	a, b, op := key("a", dir), key("b", dir), key("op", "")
	a.Created = epoch.Add(time.Second) // after b
	op.Scopes, op.Expires = nil, time.Time{}
	b.User = "u"
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.CreateKey(a), tx.CreateKey(b), tx.CreateKey(op))
	})
	same := key("a", dir)
	same.Digest[0]++
	refuse(t, s, store.ErrExists, func(tx store.Tx) error { return tx.CreateKey(same) })
	same = key("c", dir)
	same.Digest = a.Digest
	refuse(t, s, store.ErrExists, func(tx store.Tx) error { return tx.CreateKey(same) })
	check := func(want *roster.Key, directory string, all ...*roster.Key) {
		t.Helper()
		view(t, s, func(r store.Reader) error {
			got, err := r.GetKey(want.Digest)
			if err != nil {
				return err
			}
			equal(t, "key", got, want)
			list, err := r.ListKeys(directory)
			equal(t, "list", list, all)
			return err
		})
	}
	check(a, dir, b, a)
	check(op, "", op)
	next := *a
	next.Name, next.User = "New", "other"
	next.Scopes, next.Revoked, next.LastUsed = []roster.Scope{roster.ScopeAdmin}, epoch.Add(time.Minute), epoch.Add(time.Minute)
	update(t, s, func(tx store.Tx) error { return tx.ReplaceKey(&next) })
	check(&next, dir, b, &next)
	refuse(t, s, store.ErrNotFound, func(tx store.Tx) error { return tx.ReplaceKey(key("none", dir)) })
}

func testTouch(t *testing.T, s store.Store) {
	begin(t, s, dir)
	a, b := key("a", dir), key("b", dir)
	update(t, s, func(tx store.Tx) error { return errors.Join(tx.CreateKey(a), tx.CreateKey(b)) })
	for _, used := range []map[string]time.Time{
		nil,
		{"a": epoch.Add(2 * time.Minute), "none": epoch},
		{"a": epoch.Add(time.Minute), "b": epoch.Add(time.Minute)}, // a's is older than what is there
	} {
		if err := s.Touch(t.Context(), used); err != nil {
			t.Fatal(err)
		}
	}
	// Who replaces a key that was used meanwhile does not undo its use.
	update(t, s, func(tx store.Tx) error { return tx.ReplaceKey(a) })
	view(t, s, func(r store.Reader) error {
		list, err := r.ListKeys(dir)
		if err != nil {
			return err
		}
		equal(t, "last used", []time.Time{list[0].LastUsed, list[1].LastUsed}, []time.Time{epoch.Add(2 * time.Minute), epoch.Add(time.Minute)})
		return nil
	})
}

func testSettings(t *testing.T, s store.Store) {
	for _, want := range []string{"one\x00\xff", "two", ""} {
		update(t, s, func(tx store.Tx) error { return tx.PutSetting("s", []byte(want)) })
		view(t, s, func(r store.Reader) error {
			got, err := r.GetSetting("s")
			equal(t, "setting", string(got), want)
			return err
		})
	}
}

func testReserve(t *testing.T, s store.Store) {
	begin(t, s, dir)
	reserve := func(directory, key, name string, hash [32]byte) (a *store.Answer) {
		t.Helper()
		update(t, s, func(tx store.Tx) (err error) {
			a, err = tx.Reserve(directory, key, name, hash, epoch)
			if err == nil && a == nil {
				err = tx.Keep(directory, key, name, "r", []byte(directory+key+name+"\x00"))
			}
			return err
		})
		return a
	}
	for _, r := range [][3]string{{dir, "k", "n"}, {dir, "k", "m"}, {dir, "l", "n"}, {"", "k", "n"}} {
		equal(t, "first", reserve(r[0], r[1], r[2], [32]byte{1}), (*store.Answer)(nil))
		want := &store.Answer{Hash: [32]byte{1}, Body: []byte(r[0] + r[1] + r[2] + "\x00"), Created: epoch}
		equal(t, "again", reserve(r[0], r[1], r[2], [32]byte{1}), want)
		// To compare the hash is the caller's business.
		equal(t, "other hash", reserve(r[0], r[1], r[2], [32]byte{2}), want)
	}
}

func testReserveUndone(t *testing.T, s store.Store) {
	begin(t, s, dir)
	for range 2 {
		refuse(t, s, errBoom, func(tx store.Tx) error {
			a, err := tx.Reserve(dir, "k", "n", [32]byte{1}, epoch)
			if err != nil || a != nil {
				return fmt.Errorf("got %v, %v; want to be the first", a, err)
			}
			if err := tx.Keep(dir, "k", "n", "r", []byte("x")); err != nil {
				return err
			}
			return errBoom
		})
	}
}

var errBoom = errors.New("boom")

func testPruneByAge(t *testing.T, s store.Store) {
	begin(t, s, dir)
	old, young := epoch, epoch.Add(48*time.Hour)
	update(t, s, func(tx store.Tx) error {
		for i := range 1201 {
			at := old
			if i%3 == 0 {
				at = young
			}
			id := fmt.Sprintf("%04d", i)
			if _, err := tx.Reserve([]string{dir, ""}[i%2], "k", id, [32]byte{}, at); err != nil {
				return err
			}
			if err := create(tx, user(dir, id, 1), store.Keys{}); err != nil {
				return err
			}
			d := trashed(dir, id, 2)
			d.Deleted = at
			e := eventOf(&d.Record)
			e.At = at
			if err := tx.Delete(d, store.Keys{}, e); err != nil {
				return err
			}
		}
		return nil
	})
	if n, err := s.Prune(t.Context(), old, old, old); err != nil || n != 0 {
		t.Fatalf("Prune of nothing: %d, %v", n, err)
	}
	if n, err := s.Prune(t.Context(), young, time.Time{}, time.Time{}); err != nil || n != 800 {
		t.Fatalf("Prune of answers: %d, %v; want 800", n, err)
	}
	if n, err := s.Prune(t.Context(), time.Time{}, time.Time{}, young); err != nil || n != 800 {
		t.Fatalf("Prune of trash: %d, %v; want 800", n, err)
	}
	if n, err := s.Prune(t.Context(), time.Time{}, young, time.Time{}); err != nil || n != 2001 {
		t.Fatalf("Prune of events: %d, %v; want 2001", n, err)
	}
	equal(t, "events", len(events(t, s, dir, 0, 401)), 401)
	view(t, s, func(r store.Reader) error {
		trash, err := r.ListTrash(dir, "", 2000)
		equal(t, "trash", len(trash), 401)
		return err
	})
}
