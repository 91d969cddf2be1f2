package directory

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/scim"
)

// memberPage is how many members are read at once.
const memberPage = 1000

// manyMembers is how many members make reading all of them a scan.
const manyMembers = 10_000

func isGroup(t *scim.Type) bool { return t.Schema == scim.GroupURN }

// label is what a resource is called where others show it: a group by its name,
// a user by its displayName or else its userName; as Atlassian was seen to
// answer, always by that.
func label(r *scim.Resource) string {
	t := r.Type()
	name := r.Get("displayName").Text()
	if t.Schema == scim.UserURN && (name == "" || t.Rules.ObservedShape) {
		name = r.Get("userName").Text()
	}
	return name
}

// shows reports whether the answer to a write shows the links of its result.
func (c *Call) shows(res *Result) bool {
	return c.Links && res != nil && res.Answer == nil && res.linked() && (c.MaxLinks == 0 || res.Members <= int64(c.MaxLinks))
}

// linked reports whether a resource that Get has read has links.
func (r *Result) linked() bool { return r.Joined || r.Members > 0 }

// link reads the links of resources of one type.
func (d *Directory) link(r store.Reader, t *scim.Type, list ...*Result) error {
	switch {
	case len(list) == 0:
		return nil
	case t.Schema == scim.UserURN:
		return d.linkGroups(r, list)
	case isGroup(t):
		for _, res := range list {
			if res.Members == 0 {
				continue
			}
			res.Links = make([]scim.Link, 0, res.Members)
			err := d.members(r, res.ID, func(m store.Member) error {
				res.Links = append(res.Links, scim.Link{ID: m.ID, Type: m.Type, Display: m.Label})
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// linkMany reads the links of one resource. Of groups with many members a few are
// read at once, as of scans, and together they take no more than the room that
// there is for large answers.
func (d *Directory) linkMany(ctx context.Context, res *Result, patience time.Duration) (err error) {
	if res.Members > manyMembers {
		if res.release, err = d.service.hold(ctx, res.Members*linkMemory, patience); err != nil {
			return err
		}
		defer func() {
			if err != nil {
				res.Release()
			}
		}()
		end, err := d.service.scan(ctx)
		if err != nil {
			return err
		}
		defer end()
	}
	return d.service.store.View(ctx, func(r store.Reader) error { return d.link(r, res.Type, res) })
}

// members calls fn for every member of a group, in the order of their ids.
func (d *Directory) members(r store.Reader, group string, fn func(store.Member) error) error {
	for after := ""; ; {
		n := 0
		err := r.Members(d.ID, group, after, memberPage, func(m store.Member) error {
			n++
			after = m.ID
			return fn(m)
		})
		if err != nil || n < memberPage {
			return err
		}
	}
}

// linkGroups reads the groups of users: those that have them as a member, and
// those that these groups are in, level by level.
func (d *Directory) linkGroups(r store.Reader, users []*Result) error {
	ids := make([]string, len(users))
	for i, u := range users {
		ids[i] = u.ID
	}
	parents := make(map[string][]store.Membership) // of users and groups
	for len(ids) > 0 {
		list, err := r.Memberships(d.ID, ids)
		if err != nil {
			return err
		}
		for _, id := range ids {
			parents[id] = nil
		}
		ids = nil
		for _, m := range list {
			parents[m.Member] = append(parents[m.Member], m)
		}
		if !d.Model.Rules.NestedGroups {
			break
		}
		for _, m := range list {
			if _, asked := parents[m.Group]; !asked {
				parents[m.Group] = nil
				ids = append(ids, m.Group)
			}
		}
	}
	for _, u := range users {
		seen := make(map[string]bool)
		for level, kind := parents[u.ID], "direct"; len(level) > 0; kind = "indirect" {
			var next []store.Membership
			for _, m := range level {
				if !seen[m.Group] {
					seen[m.Group] = true
					u.Links = append(u.Links, scim.Link{ID: m.Group, Type: kind, Display: m.Label})
					next = append(next, parents[m.Group]...)
				}
			}
			level = next
		}
	}
	return nil
}

// A membership is what one write does to the members of a group. The zero value
// but for its first three fields does nothing.
type membership struct {
	directory *Directory
	tx        store.Tx
	group     *store.Record // locked, or new

	add    []store.Member
	remove []string
	// added and removed are what write has changed; of a new group, before it,
	// what it will.
	added, removed []string
}

// find notes those links to be added that there are. Of one that there is not,
// the rule MissingMember decides: it is refused with status, or passed over and
// returned.
func (m *membership) find(links []scim.Link, status int) (ignored []string, err error) {
	if len(links) == 0 {
		return nil, nil
	}
	ids := make([]string, 0, len(links))
	for _, l := range links {
		if isID(l.ID) {
			ids = append(ids, l.ID)
		}
	}
	found, err := m.tx.Find(m.directory.ID, ids)
	if err != nil {
		return nil, err
	}
	rules := m.directory.Model.Rules
	for _, l := range links {
		i, ok := slices.BinarySearchFunc(found, l.ID, func(f store.Member, id string) int { return strings.Compare(f.ID, id) })
		switch {
		case ok && found[i].Type != "User" && !rules.NestedGroups:
			return nil, scim.Errorf(400, scim.InvalidValue, "member %s is a group: this directory's groups have users as members only (rule nestedGroups)", clip(l.ID))
		case ok:
			m.add = append(m.add, found[i])
			m.added = append(m.added, l.ID)
		case rules.MissingMember == scim.MissingIgnored:
			ignored = append(ignored, `members[value eq "`+clip(l.ID)+`"]`)
		case status == 404 && rules.MissingMember == scim.MissingNotFound:
			return nil, scim.Errorf(404, "", "Resource [USER]: with id[%s] not found.", clip(l.ID))
		default:
			return nil, scim.Errorf(400, scim.InvalidValue, "member %s is no user or group of this directory: create it first, and send its id", clip(l.ID))
		}
	}
	return ignored, nil
}

// findLeft is find for what was a member once: who is gone is passed over.
func (m *membership) findLeft(links []scim.Link) error {
	ids := make([]string, len(links))
	for i, l := range links {
		ids[i] = l.ID
	}
	found, err := m.tx.Find(m.directory.ID, ids)
	for _, f := range found {
		m.add = append(m.add, f)
		m.added = append(m.added, f.ID)
	}
	return err
}

// current returns the ids of the members that there are.
func (m *membership) current() (ids []string, err error) {
	err = m.directory.members(m.tx, m.group.ID, func(member store.Member) error {
		ids = append(ids, member.ID)
		return nil
	})
	return ids, err
}

// replace notes what makes the members of the group just these.
func (m *membership) replace(links []scim.Link) (ignored []string, err error) {
	if m.group.Members == 0 {
		return m.find(links, 400)
	}
	current, err := m.current()
	if err != nil {
		return nil, err
	}
	keep := make(map[string]bool, len(links))
	var more []scim.Link
	for _, l := range links {
		keep[l.ID] = true
		if _, there := slices.BinarySearch(current, l.ID); !there {
			more = append(more, l)
		}
	}
	m.remove = slices.DeleteFunc(current, func(id string) bool { return keep[id] })
	return m.find(more, 400)
}

// patch notes what a PATCH does to the members.
func (m *membership) patch(ops []scim.MemberOp) (ignored []string, err error) {
	if len(ops) == 0 {
		return nil, nil
	}
	// Who comes and who goes, by id. Of who is named neither, cleared decides.
	var add []scim.Link
	coming, going, cleared := make(map[string]bool), make(map[string]bool), false
	remove := func(id string) {
		delete(coming, id)
		going[id] = true
	}
	for _, op := range ops {
		switch op.Kind {
		case scim.ClearMembers:
			clear(coming)
			clear(going)
			cleared = true
		case scim.AddMembers:
			for _, l := range op.Members {
				coming[l.ID] = true
				delete(going, l.ID)
				add = append(add, l)
			}
		case scim.RemoveMembers:
			found := false
			for _, l := range op.Members {
				if op.Target && !found {
					if found, err = m.has(l.ID, coming, going, cleared); err != nil {
						return nil, err
					}
				}
				remove(l.ID)
			}
			if op.Target && !found {
				return nil, scim.ErrNoMember()
			}
		case scim.RemoveWhere:
			ids, err := m.where(op.Where, coming, going, cleared)
			if err != nil {
				return nil, err
			}
			if op.Target && len(ids) == 0 {
				return nil, scim.ErrNoMember()
			}
			for _, id := range ids {
				remove(id)
			}
		}
	}
	seen := make(map[string]bool)
	add = slices.DeleteFunc(add, func(l scim.Link) bool {
		again := seen[l.ID] || !coming[l.ID]
		seen[l.ID] = true
		return again
	})
	if cleared {
		return m.replace(add)
	}
	for id := range going {
		if isID(id) {
			m.remove = append(m.remove, id)
		}
	}
	slices.Sort(m.remove)
	return m.find(add, 404)
}

// has reports whether a resource is a member now that these come and those go.
func (m *membership) has(id string, coming, going map[string]bool, cleared bool) (bool, error) {
	if coming[id] || going[id] || cleared || !isID(id) {
		return coming[id], nil
	}
	list, err := m.tx.Memberships(m.directory.ID, []string{id})
	return slices.ContainsFunc(list, func(s store.Membership) bool { return s.Group == m.group.ID }), err
}

// where returns the ids of the members that a filter holds of.
func (m *membership) where(f *scim.Filter, coming, going map[string]bool, cleared bool) (ids []string, err error) {
	match := func(member store.Member) error {
		if f.MatchLink(scim.Link{ID: member.ID, Type: member.Type, Display: member.Label}) {
			ids = append(ids, member.ID)
		}
		return nil
	}
	if len(coming) > 0 {
		found, err := m.tx.Find(m.directory.ID, slices.Sorted(maps.Keys(coming)))
		if err != nil {
			return nil, err
		}
		for _, member := range found {
			_ = match(member) // no error
		}
	}
	if cleared {
		return ids, nil
	}
	err = m.directory.members(m.tx, m.group.ID, func(member store.Member) error {
		if coming[member.ID] || going[member.ID] {
			return nil
		}
		return match(member)
	})
	return ids, err
}

// write does what was noted.
func (m *membership) write() (err error) {
	if len(m.remove) > 0 {
		if m.removed, err = m.tx.RemoveMembers(m.directory.ID, m.group.ID, m.remove); err != nil {
			return err
		}
	}
	if len(m.add) > 0 {
		m.added, err = m.tx.AddMembers(m.directory.ID, m.group.ID, m.add)
	}
	return err
}

func (m *membership) changes() bool { return len(m.added)+len(m.removed) > 0 }

// change returns what the event of the write says of the members: those that
// left before, those that came after, never all.
func (m *membership) change() []roster.Change {
	if !m.changes() {
		return nil
	}
	return []roster.Change{{Attribute: "members", Before: values(m.removed), After: values(m.added)}}
}

// values returns ids as the JSON of an attribute like members, nil for none.
func values(ids []string) []byte {
	if len(ids) == 0 {
		return nil
	}
	b := append(make([]byte, 0, len(ids)*50), '[')
	for i, id := range ids {
		if i > 0 {
			b = append(b, ',')
		}
		// Ids are made here: nothing in them needs an escape.
		b = append(append(append(b, `{"value":"`...), id...), `"}`...)
	}
	return append(b, ']')
}

// leave takes a resource that is being deleted out of its groups, and out of a
// group its members, and returns what its event says of that. The document in
// the trash keeps them, for Restore.
func (d *Directory) leave(tx store.Tx, c Call, t *scim.Type, gone *store.Trashed) ([]roster.Change, error) {
	if t.Linked() == nil {
		return nil, nil
	}
	groups, err := tx.Memberships(d.ID, []string{gone.ID})
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, g := range groups { // in the order of their ids, so that two who do this do not deadlock
		if g.Group == gone.ID { // its own member: it leaves with the others
			continue
		}
		ids = append(ids, g.Group)
		if err := d.regroup(tx, c, g.Group, func(m *membership) { m.remove = []string{gone.ID} }); err != nil {
			return nil, err
		}
	}
	if isGroup(t) {
		m := membership{directory: d, tx: tx, group: &gone.Record}
		if m.remove, err = m.current(); err != nil {
			return nil, err
		}
		if err := m.write(); err != nil {
			return nil, err
		}
		ids = m.removed
		gone.Members = 0
	}
	if len(ids) == 0 {
		return nil, nil
	}
	r, err := t.Decode(gone.Doc)
	if err != nil {
		return nil, err
	}
	links := make([]scim.Link, len(ids))
	for i, id := range ids {
		links[i].ID = id
	}
	gone.Doc = r.WithLinks(links).Append(nil)
	return []roster.Change{{Attribute: t.Linked().Path, Before: values(ids)}}, nil
}

// rejoin makes a restored user a member again of those of its groups that there
// still are.
func (d *Directory) rejoin(tx store.Tx, c Call, rec *store.Record, groups []scim.Link) error {
	for _, g := range groups {
		err := d.regroup(tx, c, g.ID, func(m *membership) { m.add = []store.Member{{ID: rec.ID, Type: rec.Type}} })
		if err != nil {
			return err
		}
	}
	return nil
}

// regroup changes the members of another group than the one that a write is
// about. A group that is gone is passed over.
func (d *Directory) regroup(tx store.Tx, c Call, id string, note func(*membership)) error {
	cur, err := tx.Get(d.ID, "Group", id)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	r, err := d.Model.Type("Group").Decode(cur.Doc)
	if err != nil {
		return err
	}
	m := membership{directory: d, tx: tx, group: cur}
	note(&m)
	_, err = d.advance(c, roster.OpPatch, cur, r, r, &m, nil)
	return err
}
