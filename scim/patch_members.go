package scim

import "strings"

// A LinkedMember is one value of a linked attribute: a member of a group.
type LinkedMember struct {
	Value string // the id
	Type  string // "User" or "Group"; "" when it was not said, or nothing known
	// Display and Ref are the server's: they are empty in what a client sent.
	Display, Ref string
}

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
	Members []LinkedMember // of AddMembers and RemoveMembers: no id twice
	Where   *Filter        // of RemoveWhere: for MatchValue of Type.LinkedValue
	// Target says of RemoveMembers and RemoveWhere that it is the first half of
	// a replace: when it finds nobody, the PATCH is 400 noTarget (RFC 7644
	// section 3.5.2.3).
	Target bool
}

// ErrNoMember returns the error of a MemberOp with Target that found nobody.
func ErrNoMember() *Error {
	return Errorf(400, NoTarget, "the filter of the path matches no member: add the new member instead")
}

// LinkedValue returns m as a value of the linked attribute, for a filter.
func (t *Type) LinkedValue(m LinkedMember) Value {
	members := make([]Member, 0, 4)
	for _, sub := range t.linked.subs {
		text := ""
		switch sub.Name {
		case "value":
			text = m.Value
		case "type":
			text = m.Type
		case "display":
			text = m.Display
		case "$ref":
			text = m.Ref
		}
		if text != "" {
			members = append(members, Member{sub, StringValue(text)})
		}
	}
	return objectValue(members)
}

func linkedMember(v Value) LinkedMember {
	m := LinkedMember{Value: v.Sub("value").text}
	for _, typ := range []string{"User", "Group"} {
		if strings.EqualFold(v.Sub("type").text, typ) {
			m.Type = typ
		}
	}
	return m
}

// A memberDelta brings operations on members together: of a member that several
// name, the last one decides, until a filter or a clear comes between.
type memberDelta struct {
	done    []MemberOp
	pending []memberChange
	place   map[string]int // in pending, by id
	cleared bool           // nobody is a member when pending begins
	named   int
}

type memberChange struct {
	member LinkedMember
	add    bool
}

func (d *memberDelta) set(m LinkedMember, add bool) {
	if i, ok := d.place[m.Value]; ok {
		if m.Type == "" {
			m.Type = d.pending[i].member.Type
		}
		d.pending[i] = memberChange{m, add}
		return
	}
	if d.place == nil {
		d.place = make(map[string]int)
	}
	d.place[m.Value] = len(d.pending)
	d.pending = append(d.pending, memberChange{m, add})
}

func (d *memberDelta) all(v Value, add bool) error {
	if d.named += len(v.Items()); d.named > MaxPatchMembers {
		return Errorf(413, "", "more than %d members in one PATCH: send them in several requests", MaxPatchMembers)
	}
	for _, it := range v.Items() {
		d.set(linkedMember(it), add)
	}
	return nil
}

func (d *memberDelta) clear() {
	*d = memberDelta{done: append(d.done[:0], MemberOp{Kind: ClearMembers}), cleared: true, named: d.named}
}

// end returns all that was to be done.
func (d *memberDelta) end() []MemberOp {
	var add, remove []LinkedMember
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
		return d.all(o.value, true)
	case o.op == opReplace:
		d.clear()
		return d.all(o.value, true)
	case o.value.kind != Absent:
		return d.all(o.value, false)
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
		return d.all(listValue(ids), false)
	}
	if o.op == opAdd {
		return Errorf(400, InvalidPath, "a member is added whole: the path is %s, and the value the member", a.Path)
	}
	done := d.end()
	op := MemberOp{Kind: RemoveWhere, Where: f, Target: o.op == opReplace}
	if byID {
		if d.named += len(ids); d.named > MaxPatchMembers {
			return d.all(listValue(ids), false)
		}
		op.Kind, op.Where = RemoveMembers, nil
		for _, id := range ids {
			op.Members = append(op.Members, linkedMember(id))
		}
	}
	d.done = append(done, op)
	if o.op == opReplace && !o.value.unset() {
		return d.all(listValue([]Value{o.value}), true)
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
