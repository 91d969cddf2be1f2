package storetest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/roster-scim/roster/internal/store"
	"pgregory.net/rapid"
)

// A model is a directory as Go maps: what the store is compared with.
type model struct {
	users map[string]modelUser
	trash map[string]modelUser
	// members are the members of the group "g", which has had so many versions.
	members map[string]bool
	version int64
}

type modelUser struct {
	record   *store.Record
	keys     store.Keys
	versions []int64 // of its events, the newest first
}

// next returns the user after a change.
func (u modelUser) next(r *store.Record, keys store.Keys) modelUser {
	return modelUser{r, keys, append([]int64{r.Version}, u.versions...)}
}

func (m *model) clone() *model {
	return &model{maps.Clone(m.users), maps.Clone(m.trash), maps.Clone(m.members), m.version}
}

// holder returns who has a claim; empty: nobody.
func (m *model) holder(claim store.Term) string {
	for id, u := range m.users {
		if slices.Contains(u.keys.Claims, claim) {
			return id
		}
	}
	return ""
}

// conflicts reports whether id may not have the claims.
func (m *model) conflicts(id string, claims []store.Term) bool {
	return slices.ContainsFunc(claims, func(c store.Term) bool {
		h := m.holder(c)
		return h != "" && h != id
	})
}

// An op is one random change: it does to tx what it then does to the model, and
// returns the error that the contract wants.
type op struct {
	kind, id string
	stale    bool
	locked   bool
	keys     store.Keys
}

func drawOp(t *rapid.T) op {
	value := rapid.SampledFrom([]string{"p", "q", "r"})
	o := op{
		kind:   rapid.SampledFrom([]string{"create", "replace", "delete", "restore", "join", "leave"}).Draw(t, "kind"),
		id:     rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "id"),
		stale:  rapid.IntRange(0, 9).Draw(t, "stale") == 0,
		locked: rapid.Bool().Draw(t, "locked"),
	}
	for _, attribute := range []string{"mail", "name"} {
		if v := value.Draw(t, attribute); v != "r" {
			o.keys.Claims = append(o.keys.Claims, store.Term{Attribute: attribute, Value: v})
		}
		o.keys.Terms = append(o.keys.Terms, store.Term{Attribute: attribute, Value: value.Draw(t, attribute+" term")})
	}
	return o
}

// run applies o to both and reports the first disagreement as an error that is
// no error of the contract.
func (o op) run(tx store.Tx, m *model, directory string) error {
	u, exists := m.users[o.id]
	version := int64(1)
	if exists {
		version = u.record.Version + 1
	}
	if o.stale {
		version += 2
	}
	if o.locked {
		got, err := tx.Get(directory, "User", o.id)
		if errors.Is(err, store.ErrNotFound) == exists {
			return fmt.Errorf("get %s: %v, exists: %v", o.id, err, exists)
		}
		if exists {
			want := *u.record
			want.Joined = m.members[o.id]
			if diff := cmp.Diff(&want, got); diff != "" {
				return fmt.Errorf("get %s (-want +got):\n%s", o.id, diff)
			}
		}
	}
	r := user(directory, o.id, version)
	var got, want error
	switch o.kind {
	case "create":
		got = create(tx, r, o.keys)
		switch {
		case exists, m.conflicts(o.id, o.keys.Claims):
			want = store.ErrExists
		default:
			m.users[o.id] = modelUser{}.next(r, o.keys)
		}
	case "replace":
		got = replace(tx, r, u.keys, o.keys)
		switch {
		case !exists || o.stale:
			want = store.ErrStale
		case m.conflicts(o.id, o.keys.Claims):
			want = store.ErrExists
		default:
			m.users[o.id] = u.next(r, o.keys)
		}
	case "delete":
		got = remove(tx, trashed(directory, o.id, version), u.keys)
		if !exists || o.stale || m.members[o.id] {
			want = store.ErrStale
		} else {
			delete(m.users, o.id)
			m.trash[o.id] = u.next(r, u.keys)
		}
	case "restore":
		d, inTrash := m.trash[o.id]
		var t *store.Trashed
		t, got = tx.GetTrash(directory, "User", o.id)
		if !inTrash {
			want = store.ErrNotFound
			break
		}
		if got != nil {
			break
		}
		if got = tx.DropTrash(directory, "User", o.id); got != nil {
			break
		}
		r = user(directory, o.id, t.Version+1)
		got = create(tx, r, d.keys)
		switch {
		case exists, m.conflicts(o.id, d.keys.Claims):
			want = store.ErrExists
		default:
			delete(m.trash, o.id)
			m.users[o.id] = d.next(r, d.keys)
		}
	case "join", "leave":
		changes, fn := exists && !m.members[o.id], join
		if o.kind == "leave" {
			changes, fn = m.members[o.id], leave
		}
		var changed []string
		changed, got = fn(tx, directory, "g", o.id)
		if len(changed) > 0 != changes {
			return fmt.Errorf("%s %s: got %v, changes: %v", o.kind, o.id, changed, changes)
		}
		if changes {
			m.version++
			m.members[o.id] = o.kind == "join"
			if !m.members[o.id] {
				delete(m.members, o.id)
			}
		}
	}
	if !errors.Is(got, want) {
		return fmt.Errorf("%s %s: got error %v, want %v", o.kind, o.id, got, want)
	}
	return want
}

// testModel runs random transactions of random operations against the store and
// the model, which must agree on every outcome and on everything that can be
// read.
func testModel(t *testing.T, s store.Store) {
	var directories atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		directory := fmt.Sprintf("%s-%d", dir, directories.Add(1))
		begin(t, s, directory)
		people(t, s, directory, nil, []string{"g"})
		m := &model{map[string]modelUser{}, map[string]modelUser{}, map[string]bool{}, 1}
		rt.Repeat(map[string]func(*rapid.T){
			"update": func(rt *rapid.T) {
				ops := rapid.SliceOfN(rapid.Custom(drawOp), 1, 3).Draw(rt, "ops")
				fails := rapid.IntRange(0, 4).Draw(rt, "fails") == 0
				var next *model
				var want error
				err := s.Update(t.Context(), func(tx store.Tx) error {
					next, want = m.clone(), nil // assigned afresh: it may run again
					for _, o := range ops {
						if err := o.run(tx, next, directory); err != nil {
							want = err
							return err
						}
					}
					if fails {
						want = errBoom
					}
					return want
				})
				if !errors.Is(err, want) {
					rt.Fatalf("Update: got %v, want %v", err, want)
				}
				if want == nil {
					m = next
				} else if !errors.Is(want, store.ErrExists) && !errors.Is(want, store.ErrStale) &&
					!errors.Is(want, store.ErrNotFound) && !errors.Is(want, errBoom) {
					rt.Fatal(want)
				}
			},
		})
		// Once, at the end: in between it is the outcomes that are compared.
		if err := s.View(t.Context(), func(r store.Reader) error { return m.compare(r, directory) }); err != nil {
			rt.Fatal(err)
		}
	})
}

// compare reads all that there is and returns the first difference.
func (m *model) compare(r store.Reader, directory string) error {
	var got, want []*store.Record
	ids := slices.Sorted(maps.Keys(m.users))
	for _, id := range ids {
		want = append(want, m.users[id].record)
	}
	q := store.Query{Directory: directory, Type: "User", Limit: 100}
	if err := r.List(q, func(rec *store.Record) error { got = append(got, rec); return nil }); err != nil {
		return err
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("list (-want +got):\n%s", diff)
	}
	if n, err := r.Count(q); err != nil || n != int64(len(want)) {
		return fmt.Errorf("count: got %d, %v; want %d", n, err, len(want))
	}
	for _, attribute := range []string{"mail", "name"} {
		for _, value := range []string{"p", "q", "r"} {
			term := store.Term{Attribute: attribute, Value: value}
			var got, want []string
			for _, id := range ids {
				if slices.Contains(m.users[id].keys.Terms, term) {
					want = append(want, id)
				}
			}
			q.Term = &term
			if err := r.List(q, func(rec *store.Record) error { got = append(got, rec.ID); return nil }); err != nil {
				return err
			}
			if diff := cmp.Diff(want, got); diff != "" {
				return fmt.Errorf("list %v (-want +got):\n%s", term, diff)
			}
			if n, err := r.Count(q); err != nil || n != int64(len(want)) {
				return fmt.Errorf("count %v: got %d, %v; want %d", term, n, err, len(want))
			}
		}
	}
	trash, err := r.ListTrash(directory, "", 100)
	if err != nil {
		return err
	}
	var inTrash []string
	for _, d := range trash {
		inTrash = append(inTrash, d.ID)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(m.trash)), inTrash, cmpopts.EquateEmpty()); diff != "" {
		return fmt.Errorf("trash (-want +got):\n%s", diff)
	}
	histories := maps.Clone(m.trash)
	maps.Copy(histories, m.users) // who is there again goes first
	for id, u := range histories {
		list, err := r.History(directory, "User", id, 0, 1000)
		if err != nil {
			return err
		}
		var got []int64
		for _, e := range list {
			got = append(got, e.Version)
		}
		if diff := cmp.Diff(u.versions, got); diff != "" {
			return fmt.Errorf("history of %s (-want +got):\n%s", id, diff)
		}
	}
	return m.compareMembers(r, directory)
}

func (m *model) compareMembers(r store.Reader, directory string) error {
	var got []string
	err := r.Members(directory, "g", "", 100, func(member store.Member) error { got = append(got, member.ID); return nil })
	if err != nil {
		return err
	}
	want := slices.Sorted(maps.Keys(m.members))
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		return fmt.Errorf("members (-want +got):\n%s", diff)
	}
	g, err := r.Get(directory, "Group", "g")
	if err != nil {
		return err
	}
	if g.Members != int64(len(want)) || g.Version != m.version {
		return fmt.Errorf("got %d members in version %d, want %d in %d", g.Members, g.Version, len(want), m.version)
	}
	list, err := r.Memberships(directory, slices.Sorted(maps.Keys(m.users)))
	if err != nil {
		return err
	}
	got = nil
	for _, member := range list {
		got = append(got, member.Member)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		return fmt.Errorf("memberships (-want +got):\n%s", diff)
	}
	return nil
}
