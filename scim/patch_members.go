package scim

import "strings"

// A MemberOpKind says what a MemberOp does.
type MemberOpKind uint8

// The kinds of a MemberOp.
const (
	AddMembers    MemberOpKind = iota + 1 // add Members; who is one already stays one
	RemoveMembers                         // remove Members; who is none stays none
	ClearMembers                          // remove all
	RemoveWhere                           // remove those that Where holds of
)

func (k MemberOpKind) String() string {
	return [...]string{AddMembers: "add", RemoveMembers: "remove", ClearMembers: "clear", RemoveWhere: "remove where"}[k]
}

// A MemberOp is one step of what a Patch does to memberships.
type MemberOp struct {
	Kind    MemberOpKind
	Members []Link  // of AddMembers and RemoveMembers: no id twice
	Where   *Filter // of RemoveWhere: for MatchLink
	// Target says of RemoveMembers and RemoveWhere that it is the first half of
	// a replace: when it finds nobody, the PATCH is 400 noTarget (RFC 7644
	// section 3.5.2.3).
	Target bool
}

// ErrNoMember returns the error of a MemberOp with Target that found nobody.
func ErrNoMember() *Error {
	return Errorf(400, NoTarget, "the filter of the path matches no member: add the new member instead")
}

// MatchLink reports whether f, the filter of a MemberOp, holds of a member. It
// has no $ref.
func (f *Filter) MatchLink(l Link) bool {
	return f.MatchValue(f.typ.linkValue([]Link{l}, "").Items()[0])
}

// link returns what a client says of a member.
func link(v Value) Link {
	l := Link{ID: v.Sub("value").text}
	for _, typ := range []string{"User", "Group"} {
		if strings.EqualFold(v.Sub("type").text, typ) {
			l.Type = typ
		}
	}
	return l
}

// A memberDelta brings operations on members together: of a member that several
// name, the last one decides, until a filter or a clear comes between.
type memberDelta struct {
	done    []MemberOp
	pending []memberChange
	place   map[string]int // in pending, by id
	cleared bool           // nobody is a member when pending begins
	named   int
	filters int
}

type memberChange struct {
	member Link
	add    bool
}

func (d *memberDelta) set(m Link, add bool) {
	if i, ok := d.place[m.ID]; ok {
		if m.Type == "" {
			m.Type = d.pending[i].member.Type
		}
		d.pending[i] = memberChange{m, add}
		return
	}
	if d.place == nil {
		d.place = make(map[string]int)
	}
	d.place[m.ID] = len(d.pending)
	d.pending = append(d.pending, memberChange{m, add})
}

// all notes what is to become of the members that values name.
func (d *memberDelta) all(values []Value, add bool) error {
	if d.named += len(values); d.named > MaxPatchMembers {
		return Errorf(413, "", "more than %d members in one PATCH: send them in several requests", MaxPatchMembers)
	}
	for _, v := range values {
		if l := link(v); l.ID != "" { // of a filter; it names nobody
			d.set(l, add)
		}
	}
	return nil
}

func (d *memberDelta) clear() {
	*d = memberDelta{done: append(d.done[:0], MemberOp{Kind: ClearMembers}), cleared: true, named: d.named, filters: d.filters}
}

// end returns all that was to be done.
func (d *memberDelta) end() []MemberOp {
	var add, remove []Link
	for _, c := range d.pending {
		if c.add {
			add = append(add, c.member)
		} else if !d.cleared {
			remove = append(remove, c.member)
		}
	}
	if remove != nil {
		d.done = append(d.done, MemberOp{Kind: RemoveMembers, Members: remove})
	}
	if add != nil {
		d.done = append(d.done, MemberOp{Kind: AddMembers, Members: add})
	}
	d.pending, d.place, d.cleared = nil, nil, false
	return d.done
}

// bind adds an operation on the linked attribute. Its values come and go as a
// whole (RFC 7643 section 4.2), and a remove takes away whom it names: it
// empties a group only where it names nobody at all.
func (d *memberDelta) bind(o *operation) error {
	a := o.path.attr
	if sub := o.path.sub; sub != nil {
		return Errorf(400, Mutability, "%s is immutable: remove the member and add another", sub.Path)
	}
	if o.path.filter != nil {
		return d.bindFilter(o)
	}
	switch {
	case o.op == opAdd:
		return d.all(o.value.Items(), true)
	case o.op == opReplace:
		d.clear()
		return d.all(o.value.Items(), true)
	case o.value.kind != Absent:
		return d.all(o.value.Items(), false)
	case a.Required:
		return Errorf(400, Mutability, "%s is required: it cannot be removed", a.Path)
	}
	d.clear()
	return nil
}

func (d *memberDelta) bindFilter(o *operation) error {
	a, f := o.path.attr, o.path.filter
	ids, byID := f.values(f.Root(), a.Sub("value"), nil)
	if o.op == opRemove && byID {
		return d.all(ids, false)
	}
	if o.op == opAdd {
		return Errorf(400, InvalidPath, "a member is added whole: the path is %s, and the value the member", a.Path)
	}
	op := MemberOp{Kind: RemoveWhere, Where: f, Target: o.op == opReplace}
	if byID {
		some := memberDelta{named: d.named}
		if err := some.all(ids, false); err != nil {
			return err
		}
		d.named = some.named
		list := some.end()
		if list == nil {
			return ErrNoMember()
		}
		op = MemberOp{Kind: RemoveMembers, Members: list[0].Members, Target: true}
	} else if d.filters++; d.filters > maxMemberFilters {
		return Errorf(400, TooMany, "more than %d operations choose members by a filter other than on their value: send them in several requests", maxMemberFilters)
	}
	d.done = append(d.end(), op)
	if o.op == opReplace && !o.value.unset() {
		return d.all([]Value{o.value}, true)
	}
	return nil
}

// values returns the values of which f, from n on, is "a eq x or a eq y …"; ok
// is false when it is not.
func (f *Filter) values(n *Node, a *Attr, found []Value) (values []Value, ok bool) {
	switch {
	case n.Op == Or:
		if found, ok = f.values(f.Left(n), a, found); ok {
			found, ok = f.values(f.Right(n), a, found)
		}
		return found, ok
	case n.Op == Eq && n.Attr == a && n.Value.kind == String:
		return append(found, objectValue([]Member{{a, n.Value}})), true
	}
	return nil, false
}
