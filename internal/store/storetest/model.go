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
	// versions are the versions of the events of each user.
	versions map[string][]int64
}

type modelUser struct {
	record *store.Record
	keys   store.Keys
}

func (m *model) clone() *model {
	c := &model{maps.Clone(m.users), maps.Clone(m.trash), maps.Clone(m.versions)}
	for id, vs := range c.versions {
		c.versions[id] = slices.Clone(vs)
	}
	return c
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
		kind:   rapid.SampledFrom([]string{"create", "replace", "delete", "restore"}).Draw(t, "kind"),
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
			if diff := cmp.Diff(u.record, got); diff != "" {
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
			m.users[o.id] = modelUser{r, o.keys}
		}
	case "replace":
		got = replace(tx, r, u.keys, o.keys)
		switch {
		case !exists || o.stale:
			want = store.ErrStale
		case m.conflicts(o.id, o.keys.Claims):
			want = store.ErrExists
		default:
			m.users[o.id] = modelUser{r, o.keys}
		}
	case "delete":
		got = remove(tx, trashed(directory, o.id, version), u.keys)
		if !exists || o.stale {
			want = store.ErrStale
		} else {
			delete(m.users, o.id)
			m.trash[o.id] = modelUser{r, u.keys}
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
		r = user(directory, o.id, t.Version+1)
		got = create(tx, r, d.keys)
		switch {
		case exists, m.conflicts(o.id, d.keys.Claims):
			want = store.ErrExists
		default:
			if got == nil {
				got = tx.DropTrash(directory, "User", o.id)
			}
			delete(m.trash, o.id)
			m.users[o.id] = modelUser{r, d.keys}
		}
	}
	if !errors.Is(got, want) {
		return fmt.Errorf("%s %s: got error %v, want %v", o.kind, o.id, got, want)
	}
	if want != nil {
		return want
	}
	m.versions[o.id] = append(m.versions[o.id], r.Version)
	return nil
}

// testModel runs random transactions of random operations against the store and
// the model, which must agree on every outcome and on everything that can be
// read.
func testModel(t *testing.T, s store.Store) {
	var directories atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		directory := fmt.Sprintf("%s-%d", dir, directories.Add(1))
		begin(t, s, directory)
		m := &model{map[string]modelUser{}, map[string]modelUser{}, map[string][]int64{}}
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
	for id, want := range m.versions {
		list, err := r.History(directory, id, 0, 1000)
		if err != nil {
			return err
		}
		var got []int64
		for _, e := range list {
			got = append(got, e.Version)
		}
		if diff := cmp.Diff(slices.Sorted(slices.Values(want)), got); diff != "" {
			return fmt.Errorf("history of %s (-want +got):\n%s", id, diff)
		}
	}
	return nil
}
