package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/roster-scim/roster/internal/store"
)

// group returns the version of a group.
func group(directory, id string, version int64) *store.Record {
	r := user(directory, id, version)
	r.Type, r.Label = "Group", "Group "+id
	return r
}

// labelled returns the first version of a user with a label, which reads give as
// part of a member alone.
func labelled(directory, id string) *store.Record {
	r := user(directory, id, 1)
	r.Label = "User " + id
	return r
}

// join makes the users members of a group as the contract wants it done, and
// returns the ids that AddMembers has returned. Who is not found is passed over.
func join(tx store.Tx, directory, group string, ids ...string) ([]string, error) {
	g, err := tx.Get(directory, "Group", group)
	if err != nil {
		return nil, err
	}
	found, err := tx.Find(directory, ids)
	if err != nil {
		return nil, err
	}
	added, err := tx.AddMembers(directory, group, found)
	if err != nil {
		return nil, err
	}
	return added, count(tx, g, len(added))
}

// leave is the reverse of join.
func leave(tx store.Tx, directory, group string, ids ...string) ([]string, error) {
	g, err := tx.Get(directory, "Group", group)
	if err != nil {
		return nil, err
	}
	removed, err := tx.RemoveMembers(directory, group, ids)
	if err != nil {
		return nil, err
	}
	return removed, count(tx, g, -len(removed))
}

// count stores the next version of a group, which has n members more.
func count(tx store.Tx, g *store.Record, n int) error {
	if n == 0 {
		return nil
	}
	next := group(g.Directory, g.ID, g.Version+1)
	next.Members = g.Members + int64(n)
	return replace(tx, next, store.Keys{}, store.Keys{})
}

// people creates users with labels, and groups.
func people(t testing.TB, s store.Store, directory string, users, groups []string) {
	t.Helper()
	update(t, s, func(tx store.Tx) error {
		for _, id := range users {
			if err := create(tx, labelled(directory, id), store.Keys{}); err != nil {
				return err
			}
		}
		for _, id := range groups {
			if err := create(tx, group(directory, id, 1), store.Keys{}); err != nil {
				return err
			}
		}
		return nil
	})
}

// change is join or leave in a transaction of its own.
func change(t testing.TB, s store.Store, fn func(store.Tx, string, string, ...string) ([]string, error), directory, group string, ids ...string) (changed []string) {
	t.Helper()
	update(t, s, func(tx store.Tx) (err error) {
		changed, err = fn(tx, directory, group, ids...)
		return err
	})
	return changed
}

func members(t testing.TB, s store.Store, directory, group, after string, limit int) (list []store.Member) {
	t.Helper()
	view(t, s, func(r store.Reader) error {
		list = nil
		return r.Members(directory, group, after, limit, func(m store.Member) error {
			list = append(list, m)
			return nil
		})
	})
	return list
}

func memberships(t testing.TB, s store.Store, directory string, ids ...string) (list []store.Membership) {
	t.Helper()
	view(t, s, func(r store.Reader) (err error) {
		list, err = r.Memberships(directory, ids)
		return err
	})
	return list
}

func asMembers(ids ...string) (list []store.Member) {
	for _, id := range ids {
		list = append(list, store.Member{ID: id, Type: "User", Label: "User " + id})
	}
	return list
}

func testMembers(t *testing.T, s store.Store) {
	const other = dir + "-other"
	begin(t, s, dir, other)
	for _, d := range []string{dir, other} {
		people(t, s, d, []string{"a", "b", "c", `d"'\`, "é"}, []string{"g", "h"})
	}
	equal(t, "added", change(t, s, join, dir, "g", "c", "a", `d"'\`, "none", "é"), []string{"a", "c", `d"'\`, "é"})
	equal(t, "added again", change(t, s, join, dir, "g", "b", "a"), []string{"b"})
	equal(t, "group in a group", change(t, s, join, dir, "g", "h"), []string{"h"})
	change(t, s, join, other, "g", "a")

	all := asMembers("a", "b", "c", `d"'\`)
	all = append(all, store.Member{ID: "h", Type: "Group", Label: "Group h"}, asMembers("é")[0])
	equal(t, "all", members(t, s, dir, "g", "", 100), all)
	equal(t, "page", members(t, s, dir, "g", "b", 2), all[2:4])
	equal(t, "beyond", members(t, s, dir, "g", "é", 2), nil)
	equal(t, "empty group", members(t, s, dir, "h", "", 100), nil)
	equal(t, "no group", members(t, s, dir, "none", "", 100), nil)
	equal(t, "other directory", members(t, s, other, "g", "", 100), all[:1])

	equal(t, "removed", change(t, s, leave, dir, "g", "c", "none", "h", "é"), []string{"c", "h", "é"})
	equal(t, "removed again", change(t, s, leave, dir, "g", "c"), nil)
	equal(t, "left", members(t, s, dir, "g", "", 100), asMembers("a", "b", `d"'\`))
	equal(t, "other directory", members(t, s, other, "g", "", 100), all[:1])

	// A label is that of the member now.
	update(t, s, func(tx store.Tx) error {
		r := user(dir, "a", 2)
		r.Label = "renamed"
		return replace(tx, r, store.Keys{}, store.Keys{})
	})
	update(t, s, func(tx store.Tx) error { return tx.AddKeys(dir, "User", "b", "folded", store.Keys{}) })
	got := members(t, s, dir, "g", "", 2)
	equal(t, "labels", []string{got[0].Label, got[1].Label}, []string{"renamed", "folded"})

	stop := errors.New("stop")
	n := 0
	err := s.View(t.Context(), func(r store.Reader) error {
		n = 0
		return r.Members(dir, "g", "", 100, func(store.Member) error { n++; return stop })
	})
	if err != stop || n != 1 { //nolint:errorlint // it is returned as it is
		t.Errorf("got %v after %d, want the function's own error after 1", err, n)
	}
}

// Several pieces of what is sent at once, with members that are there among
// those that are not.
func testMembersMany(t *testing.T, s store.Store) {
	const n = 1201
	begin(t, s, dir)
	var ids, even, odd []string
	for i := range n {
		id := fmt.Sprintf("%04d", i)
		ids = append(ids, id)
		if i%2 == 0 {
			even = append(even, id)
		} else {
			odd = append(odd, id)
		}
	}
	people(t, s, dir, ids, []string{"g"})
	equal(t, "even", change(t, s, join, dir, "g", even...), even)
	equal(t, "odd", change(t, s, join, dir, "g", ids...), odd)
	equal(t, "members", len(members(t, s, dir, "g", "", 2*n)), n)
	equal(t, "even", change(t, s, leave, dir, "g", even...), even)
	equal(t, "odd", change(t, s, leave, dir, "g", ids...), odd)
	equal(t, "left", members(t, s, dir, "g", "", 2*n), nil)
}

func testMemberships(t *testing.T, s store.Store) {
	const other = dir + "-other"
	begin(t, s, dir, other)
	for _, d := range []string{dir, other} {
		people(t, s, d, []string{"a", "b", "c"}, []string{"g", "h", "i"})
	}
	change(t, s, join, dir, "i", "a", "g")
	change(t, s, join, dir, "g", "a", "b")
	change(t, s, join, dir, "h", "b")
	change(t, s, join, other, "h", "a")
	of := func(member, group string) store.Membership {
		return store.Membership{Member: member, Group: group, Label: "Group " + group}
	}
	equal(t, "of none", memberships(t, s, dir), nil)
	equal(t, "of one", memberships(t, s, dir, "a"), []store.Membership{of("a", "g"), of("a", "i")})
	equal(t, "of one without", memberships(t, s, dir, "c"), nil)
	equal(t, "of several", memberships(t, s, dir, "g", "none", "b", "a", "c"), []store.Membership{
		of("a", "g"), of("a", "i"), of("b", "g"), of("b", "h"), of("g", "i"),
	})
	equal(t, "other directory", memberships(t, s, other, "a", "b"), []store.Membership{of("a", "h")})
}

func testFind(t *testing.T, s store.Store) {
	const other = dir + "-other"
	begin(t, s, dir, other)
	people(t, s, dir, []string{"a", "b", "z"}, []string{"g"})
	people(t, s, other, []string{"c"}, nil)
	find := func(tx store.Tx, ids ...string) []store.Member {
		t.Helper()
		list, err := tx.Find(dir, ids)
		if err != nil {
			t.Errorf("Find: %v", err)
		}
		return list
	}
	update(t, s, func(tx store.Tx) error {
		r := user(dir, "device", 1)
		r.Type = "Device"
		if err := create(tx, r, store.Keys{}); err != nil {
			return err
		}
		equal(t, "none", find(tx), nil)
		equal(t, "found", find(tx, "z", "g", "none", "c", "a", "a", "device"),
			append(asMembers("a"), store.Member{ID: "g", Type: "Group", Label: "Group g"}, asMembers("z")[0]))
		if err := create(tx, labelled(dir, "new"), store.Keys{}); err != nil {
			return err
		}
		if err := remove(tx, trashed(dir, "b", 2), store.Keys{}); err != nil {
			return err
		}
		equal(t, "created and deleted here", find(tx, "b", "new"), asMembers("new"))
		return nil
	})
}

func testQueryMember(t *testing.T, s store.Store) {
	const other = dir + "-other"
	begin(t, s, dir, other)
	for _, d := range []string{dir, other} {
		people(t, s, d, []string{"a", "b"}, []string{"g", "h", "i"})
	}
	change(t, s, join, dir, "i", "a", "b")
	change(t, s, join, dir, "g", "a")
	change(t, s, join, other, "h", "a")
	of := func(directory, member string) store.Query {
		return store.Query{Directory: directory, Type: "Group", Member: member, Limit: 10}
	}
	for _, tt := range []struct {
		directory, member string
		want              []string
	}{
		{dir, "a", []string{"g", "i"}},
		{dir, "b", []string{"i"}},
		{dir, "none", nil},
		{other, "a", []string{"h"}},
	} {
		equal(t, "groups of "+tt.member, list(t, s, of(tt.directory, tt.member)), tt.want)
		equal(t, "total of "+tt.member, total(t, s, of(tt.directory, tt.member)), int64(len(tt.want)))
	}
}

func testMemberCount(t *testing.T, s store.Store) {
	begin(t, s, dir)
	people(t, s, dir, []string{"a", "b"}, []string{"g"})
	change(t, s, join, dir, "g", "a", "b")
	var got []int64
	view(t, s, func(r store.Reader) error {
		g, err := r.Get(dir, "Group", "g")
		if err != nil {
			return err
		}
		got = []int64{g.Members}
		return r.List(store.Query{Directory: dir, Type: "Group", Limit: 1}, func(r *store.Record) error {
			got = append(got, r.Members)
			return nil
		})
	})
	equal(t, "members", got, []int64{2, 2})
	// It is what the record says, from the first version on.
	update(t, s, func(tx store.Tx) error {
		r := group(dir, "h", 1)
		r.Members = 1
		if err := create(tx, r, store.Keys{}); err != nil {
			return err
		}
		_, err := tx.AddMembers(dir, "h", asMembers("a"))
		return err
	})
	view(t, s, func(r store.Reader) error {
		h, err := r.Get(dir, "Group", "h")
		if err == nil {
			equal(t, "members of a new group", h.Members, int64(1))
		}
		return err
	})
}

// What has members, or is one, is not deleted.
func testDeleteMember(t *testing.T, s store.Store) {
	begin(t, s, dir)
	people(t, s, dir, []string{"a"}, []string{"g"})
	change(t, s, join, dir, "g", "a")
	gone := trashed(dir, "g", 3)
	gone.Type = "Group"
	refuse(t, s, store.ErrStale, func(tx store.Tx) error { return remove(tx, trashed(dir, "a", 2), store.Keys{}) })
	refuse(t, s, store.ErrStale, func(tx store.Tx) error { return remove(tx, gone, store.Keys{}) })
	// Also when the function does not mind.
	refuse(t, s, store.ErrStale, func(tx store.Tx) error { _ = remove(tx, gone, store.Keys{}); return nil })
	equal(t, "member", members(t, s, dir, "g", "", 9), asMembers("a"))
	equal(t, "total", total(t, s, store.Query{Directory: dir, Type: "User", Limit: 1}), int64(1))
	update(t, s, func(tx store.Tx) error {
		if _, err := leave(tx, dir, "g", "a"); err != nil {
			return err
		}
		return remove(tx, trashed(dir, "a", 2), store.Keys{})
	})
	gone.Version++
	update(t, s, func(tx store.Tx) error { return remove(tx, gone, store.Keys{}) })
}

func testDeleteDirectoryMembers(t *testing.T, s store.Store) {
	const other = dir + "-other"
	begin(t, s, dir, other)
	for _, d := range []string{dir, other} {
		people(t, s, d, []string{"a"}, []string{"g"})
		change(t, s, join, d, "g", "a")
	}
	update(t, s, func(tx store.Tx) error { return tx.DeleteDirectory(dir) })
	if _, err := s.Prune(t.Context(), time.Time{}, time.Time{}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	begin(t, s, dir)
	people(t, s, dir, []string{"a"}, []string{"g"})
	equal(t, "members", members(t, s, dir, "g", "", 9), nil)
	equal(t, "memberships", memberships(t, s, dir, "a"), nil)
	equal(t, "other directory", members(t, s, other, "g", "", 9), asMembers("a"))
}

// Many that add and remove members of one group at once lose none.
func testMembersConcurrent(t *testing.T, s store.Store) {
	const each = 4
	begin(t, s, dir)
	var ids []string
	for i := range many * each {
		ids = append(ids, fmt.Sprintf("%04d", i))
	}
	people(t, s, dir, ids, []string{"g"})
	together(func(i int) {
		mine := ids[i*each : (i+1)*each]
		for _, step := range []struct {
			fn  func(store.Tx, string, string, ...string) ([]string, error)
			ids []string
		}{
			{join, mine[:2]}, {leave, mine[:1]}, {join, mine}, {leave, mine[1:3]}, {join, ids[:1]}, // the last is of all
		} {
			err := s.Update(t.Context(), func(tx store.Tx) error {
				_, err := step.fn(tx, dir, "g", step.ids...)
				return err
			})
			if err != nil {
				t.Errorf("Update: %v", err)
			}
		}
	})
	var want []string
	for i := range many {
		want = append(want, ids[i*each], ids[i*each+3])
	}
	equal(t, "members", members(t, s, dir, "g", "", 2*len(ids)), asMembers(want...))
	view(t, s, func(r store.Reader) error {
		g, err := r.Get(dir, "Group", "g")
		if err == nil {
			equal(t, "count", g.Members, int64(len(want)))
		}
		return err
	})
}

// While some make users members, others delete these users: in the end nobody is
// a member who is no more.
func testDeleteMemberConcurrent(t *testing.T, s store.Store) {
	const users = many / 4
	begin(t, s, dir)
	var ids []string
	for i := range users {
		ids = append(ids, fmt.Sprintf("%04d", i))
	}
	people(t, s, dir, ids, []string{"g", "h"})
	together(func(i int) {
		id := ids[i%users]
		var err error
		if i < users {
			err = deleteMember(t, s, id)
		} else {
			err = s.Update(t.Context(), func(tx store.Tx) error {
				_, err := join(tx, dir, []string{"g", "h"}[i%2], id)
				return err
			})
		}
		if err != nil {
			t.Errorf("Update: %v", err)
		}
	})
	equal(t, "users", total(t, s, store.Query{Directory: dir, Type: "User", Limit: 1}), int64(0))
	for _, id := range []string{"g", "h"} {
		equal(t, "members", members(t, s, dir, id, "", 99), nil)
		view(t, s, func(r store.Reader) error {
			g, err := r.Get(dir, "Group", id)
			if err == nil {
				equal(t, "count", g.Members, int64(0))
			}
			return err
		})
	}
	for _, id := range ids {
		equal(t, "groups of "+id, total(t, s, store.Query{Directory: dir, Type: "Group", Member: id, Limit: 1}), int64(0))
	}
}

// deleteMember takes a user out of its groups and deletes it, again where it has
// become a member in between.
func deleteMember(t testing.TB, s store.Store, id string) (err error) {
	for range 100 {
		err = s.Update(t.Context(), func(tx store.Tx) error {
			u, err := tx.Get(dir, "User", id)
			if err != nil {
				return err
			}
			groups, err := tx.Memberships(dir, []string{id})
			if err != nil {
				return err
			}
			for _, g := range groups {
				if _, err := leave(tx, dir, g.Group, id); err != nil {
					return err
				}
			}
			return remove(tx, trashed(dir, id, u.Version+1), store.Keys{})
		})
		if !errors.Is(err, store.ErrStale) {
			break
		}
	}
	return err
}
