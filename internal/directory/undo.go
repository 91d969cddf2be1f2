package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/scim"
)

// UndoOptions say how an event is undone.
type UndoOptions struct {
	Plan  bool // find out what it does, and change nothing
	Force bool // also where later events changed the same
}

// An Undo is what undoing an event does.
type Undo struct {
	Event *roster.Event
	Type  *scim.Type
	// Operation is that of the change which undoes the event: patch, delete or
	// restore. Empty: the state is so already, and nothing changes.
	Operation roster.Operation
	// Version is that of the resource, there or in the trash: the one that the
	// plan is about, or that the change left behind.
	Version int64
	// Before and After are the resource, of a patch.
	Before, After *scim.Resource
	// Added and Removed are the ids of members; Missing of those who are no more,
	// and so cannot be added.
	Added, Removed, Missing []string
	// Overridden are the seqs of later events whose changes are lost; the last
	// maxNamed of them.
	Overridden []int64
}

const (
	maxNamed  = 20  // how many later events are named
	laterPage = 500 // how many of them are read at once
)

var (
	// errPlanned ends the transaction of a plan.
	errPlanned = errors.New("it was a plan")
	// errMoved says that the resource has changed since Undo looked at it.
	errMoved = errors.New("the resource has changed since")
)

// Undo restores what an event changed: of an update each attribute as it was
// before, others untouched, and the members who came and went; what was created
// or restored goes to the trash, what was deleted comes back. That is a change
// like any other, by the same rules, with an event of its own; to undo that one
// is to do it again.
//
// A 409 says why an event cannot be undone: its values were purged, the resource
// is deleted since, or later events changed the same, which it names; with Force
// those do not count. A plan runs into the same errors.
func (d *Directory) Undo(ctx context.Context, c Call, e *roster.Event, o UndoOptions) (*Undo, error) {
	t := d.Model.Type(e.ResourceType)
	switch {
	case t == nil:
		return nil, cannotUndo(e, "the directory has no resource type %s any more", e.ResourceType)
	case e.Purged:
		return nil, cannotUndo(e, "its values were purged")
	}
	c.Undoes = e.Seq
	for range attempts {
		s, err := d.look(ctx, t, e)
		if err != nil {
			return nil, err
		}
		u := &undoing{Undo: Undo{Event: e, Type: t, Version: s.version}, directory: d, call: c, seen: s, force: o.Force}
		do, err := u.way()
		if do == nil || err != nil {
			return &u.Undo, err
		}
		_, err = d.write(ctx, c, func(tx store.Tx) (*Result, error) {
			u.Undo = Undo{Event: e, Type: t, Version: s.version}
			res, err := do(tx)
			if err == nil && o.Plan {
				err = errPlanned
			} else if err == nil {
				u.Version = res.Version
			}
			return res, err
		})
		switch {
		case err == nil, errors.Is(err, errPlanned):
			return &u.Undo, nil
		case !errors.Is(err, errMoved):
			return nil, err
		}
	}
	return nil, scim.Errorf(409, "", "too many writers change this resource at once: try again")
}

func cannotUndo(e *roster.Event, format string, args ...any) *scim.Error {
	return scim.Errorf(409, "", "Event %d cannot be undone: %s.", e.Seq, fmt.Sprintf(format, args...))
}

// A sight is what there was when Undo looked: that may be much, and it is not
// done while other writers wait. The transaction then holds only for the version
// that was seen.
type sight struct {
	there   bool  // else it is in the trash, or nowhere
	version int64 // 0: nowhere
	// later are the seqs of the events after the one that is undone, attributes
	// and members those that touched one that it touched: maxNamed of each.
	later      []int64
	attributes map[string][]int64
	members    map[string][]int64
}

func (d *Directory) look(ctx context.Context, t *scim.Type, e *roster.Event) (s *sight, err error) {
	err = d.service.store.View(ctx, func(r store.Reader) error {
		s = &sight{attributes: make(map[string][]int64), members: make(map[string][]int64)}
		for _, ch := range e.Changes {
			s.attributes[ch.Attribute] = nil
		}
		was, is := memberIDs(t, e)
		for _, id := range append(was, is...) {
			s.members[id] = nil
		}
		rec, err := r.Get(d.ID, t.Name, e.Resource)
		if err == nil {
			s.there, s.version = true, rec.Version
		} else if errors.Is(err, store.ErrNotFound) {
			var gone *store.Trashed
			if gone, err = r.GetTrash(d.ID, t.Name, e.Resource); errors.Is(err, store.ErrNotFound) {
				return nil
			} else if err == nil {
				s.version = gone.Version
			}
		}
		if err != nil {
			return err
		}
		for before := s.version + 1; before > e.Version+1; {
			list, err := r.History(d.ID, t.Name, e.Resource, before, laterPage)
			if err != nil || len(list) == 0 {
				return err
			}
			for _, later := range list {
				if later.Version > e.Version {
					s.note(t, later)
				}
			}
			before = list[len(list)-1].Version
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read what came after event %d: %w", e.Seq, err)
	}
	return s, nil
}

func (s *sight) note(t *scim.Type, e *roster.Event) {
	add := func(to map[string][]int64, key string) {
		if list, touched := to[key]; touched && len(list) < maxNamed {
			to[key] = append(list, e.Seq)
		}
	}
	if len(s.later) < maxNamed {
		s.later = append(s.later, e.Seq)
	}
	if e.Operation == roster.OpDelete || e.Operation == roster.OpRestore {
		return // it came back as it was
	}
	for _, ch := range e.Changes {
		add(s.attributes, ch.Attribute)
	}
	was, is := memberIDs(t, e)
	for _, id := range append(was, is...) {
		add(s.members, id)
	}
}

// memberIDs returns the members of a group that an event took and that it added.
func memberIDs(t *scim.Type, e *roster.Event) (removed, added []string) {
	if !isGroup(t) {
		return nil, nil
	}
	read := func(v jsontext.Value) (ids []string) {
		var list []struct {
			Value string `json:"value"`
		}
		if len(v) == 0 || json.Unmarshal(v, &list) != nil { // values wrote it
			return nil
		}
		for _, it := range list {
			ids = append(ids, it.Value)
		}
		return ids
	}
	for _, ch := range e.Changes {
		if ch.Attribute == t.Linked().Path {
			return read(ch.Before), read(ch.After)
		}
	}
	return nil, nil
}

// An undoing is one run of Undo.
type undoing struct {
	Undo
	directory *Directory
	call      Call
	seen      *sight
	force     bool
}

// way returns what undoes the event in a transaction, nil when there is nothing
// to do.
func (u *undoing) way() (func(store.Tx) (*Result, error), error) {
	switch u.Event.Operation {
	case roster.OpCreate, roster.OpRestore:
		if u.seen.there {
			return u.discard, nil
		}
		return nil, nil
	case roster.OpDelete:
		switch {
		case u.seen.there:
			return nil, nil
		case u.seen.version == 0:
			return nil, cannotUndo(u.Event, "%s is not in the trash any more", u.Event.Resource)
		}
		return u.restore, nil
	}
	if !u.seen.there {
		return nil, cannotUndo(u.Event, "%s is deleted: restore it first", u.Event.Resource)
	}
	return u.revert, nil
}

func (u *undoing) discard(tx store.Tx) (*Result, error) {
	cur, old, err := u.current(tx)
	if err == nil {
		err = u.override("", u.seen.later)
	}
	if err != nil {
		return nil, err
	}
	u.Operation = roster.OpDelete
	return u.directory.discard(tx, u.call, u.Type, cur, old)
}

func (u *undoing) restore(tx store.Tx) (*Result, error) {
	gone, err := tx.GetTrash(u.directory.ID, u.Type.Name, u.Event.Resource)
	if errors.Is(err, store.ErrNotFound) || err == nil && gone.Version != u.seen.version {
		return nil, errMoved
	}
	if err == nil {
		err = u.override("", u.seen.later)
	}
	if err != nil {
		return nil, err
	}
	u.Operation = roster.OpRestore
	return u.directory.restore(tx, u.call, u.Type, gone)
}

// revert takes back an update.
func (u *undoing) revert(tx store.Tx) (*Result, error) {
	cur, old, err := u.current(tx)
	if err != nil {
		return nil, err
	}
	values := make(map[*scim.Attr]scim.Value)
	for _, ch := range u.Event.Changes {
		a := u.Type.Attr(ch.Attribute)
		if a != nil && a == u.Type.Linked() || a == nil && len(ch.Before) == 0 {
			continue
		}
		var v scim.Value
		if len(ch.Before) > 0 {
			if v, err = u.Type.Stored(ch.Attribute, ch.Before); err != nil {
				return nil, u.refused(err)
			}
		}
		if old.Get(ch.Attribute).Equal(v) {
			continue
		}
		if err := u.override(ch.Attribute, u.seen.attributes[ch.Attribute]); err != nil {
			return nil, err
		}
		values[a] = v
	}
	next, err := old.Assign(values)
	if err != nil {
		return nil, u.refused(err)
	}
	if _, linked := values[u.Type.Attr(accountID)]; linked {
		if next, err = u.directory.keepAccount(tx, next); err != nil {
			return nil, err
		}
	}
	m := membership{directory: u.directory, tx: tx, group: cur}
	left, came := memberIDs(u.Type, u.Event)
	m.remove = came
	links := make([]scim.Link, len(left))
	for i, id := range left {
		links[i].ID = id
	}
	if err := m.findLeft(links); err != nil {
		return nil, err
	}
	found := make(map[string]bool, len(m.added))
	for _, id := range m.added {
		found[id] = true
	}
	for _, id := range left {
		if !found[id] {
			u.Missing = append(u.Missing, id)
		}
	}
	res, err := u.directory.advance(u.call, roster.OpPatch, cur, old, next, &m, nil)
	if err != nil || res.Version == cur.Version {
		return res, err
	}
	for _, id := range slices.Concat(m.added, m.removed) {
		if err := u.override("members", u.seen.members[id]); err != nil {
			return nil, err
		}
	}
	u.Operation, u.Before, u.After, u.Added, u.Removed = roster.OpPatch, old, next, m.added, m.removed
	return res, nil
}

// current locks the resource, in the version that was seen.
func (u *undoing) current(tx store.Tx) (*store.Record, *scim.Resource, error) {
	cur, old, err := u.directory.current(tx, u.Type, u.Event.Resource, u.call)
	if err == nil && cur.Version != u.seen.version {
		err = errMoved
	}
	return cur, old, err
}

// override notes that the changes of later events are lost, which is refused
// unless it is forced. attribute is what they changed, empty for all of it.
func (u *undoing) override(attribute string, later []int64) error {
	for _, seq := range later {
		if len(u.Overridden) < maxNamed && !slices.Contains(u.Overridden, seq) {
			u.Overridden = append(u.Overridden, seq)
		}
	}
	slices.Sort(u.Overridden)
	if len(later) == 0 || u.force {
		return nil
	}
	if attribute == "" {
		attribute = "the resource"
	}
	names := make([]string, len(later))
	for i, seq := range slices.Sorted(slices.Values(later)) {
		names[i] = fmt.Sprint(seq)
	}
	noun := "event"
	if len(later) > 1 {
		noun = "events"
	}
	return cannotUndo(u.Event, "%s changed after it, in %s %s: undo that first, or force it and lose what that changed", attribute, noun, strings.Join(names, ", "))
}

// refused is the 409 of an undo that the rules of the directory forbid.
func (u *undoing) refused(err error) error {
	var e *scim.Error
	if !errors.As(err, &e) || e.Status >= 500 {
		return err
	}
	return &scim.Error{Status: 409, Type: e.Type, Detail: fmt.Sprintf("Event %d cannot be undone: %s.", u.Event.Seq, strings.TrimSuffix(e.Detail, ".")), Err: err}
}
