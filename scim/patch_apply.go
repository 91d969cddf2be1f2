package scim

import "slices"

// Apply returns what p makes of current, or an *Error: all of its operations or
// none. What must hold of a resource (required attributes, one primary value)
// must hold after the last of them. It returns current itself when nothing
// changes. The linked attribute is not in it: see Members.
func (p *Patch) Apply(current *Resource) (next *Resource, notes Notes, err error) {
	x := applier{current: current, next: current}
	for i := range p.ops {
		if err := x.apply(&p.ops[i]); err != nil {
			return nil, x.notes, atOperation(err, p.ops[i].at)
		}
	}
	if x.next == current {
		return current, x.notes, nil
	}
	if active := current.typ.active; active != nil && x.next.value(active).kind == Absent {
		x.next.set(active, current.value(active)) // who is not to be active is set to false
	}
	if x.next.Equal(current) {
		return current, x.notes, nil
	}
	if err := x.lost(); err != nil {
		return nil, x.notes, err
	}
	if n := objectValue(x.next.members).size(); n > MaxPatched && n > objectValue(current.members).size() {
		return nil, x.notes, Errorf(400, InvalidValue, "the resource would hold more than %d bytes of text: make it smaller first", MaxPatched)
	}
	if err := x.next.check(); err != nil {
		return nil, x.notes, err
	}
	return x.next, x.notes, nil
}

type applier struct {
	current *Resource
	next    *Resource // current until something changes; then its own
	notes   Notes
	steps   int
}

func (x *applier) apply(o *operation) *Error {
	a := o.path.attr
	switch {
	case a == x.current.typ.root:
		return x.object(o, o.value)
	case a.Extension && o.op == opRemove, a.Extension && o.value.kind == Null:
		if o.op == opAdd {
			return nil
		}
		for _, m := range x.next.value(a).Members() {
			if m.Attr.Mutability == ReadOnly {
				continue
			}
			if err := x.put(m.Attr, Value{}); err != nil {
				return err
			}
		}
		return nil
	case a.Extension:
		return x.object(o, o.value)
	case o.path.filter != nil, o.path.sub != nil && a.MultiValued:
		return x.values(o)
	}
	old := x.next.value(a)
	if sub := o.path.sub; sub != nil {
		v, err := x.sub(o, old, sub)
		if err != nil {
			return err
		}
		return x.put(a, v)
	}
	v, err := x.whole(o, a, old, o.value)
	if err != nil {
		return err
	}
	return x.put(a, v)
}

// object applies an operation whose value holds attributes: without a path, or
// with that of an extension.
func (x *applier) object(o *operation, v Value) *Error {
	before := x.next
	for _, m := range v.Members() {
		a := m.Attr
		switch {
		case a.linked:
			continue
		case a.Extension:
			below := operation{at: o.at, op: o.op, path: Path{typ: o.path.typ, attr: a}, value: m.Value}
			for _, sub := range m.Value.Members() {
				if top := sub.Attr.view; top != nil && !find(v.Members(), top).same(before.value(top)) && find(v.Members(), top).kind != Absent {
					// As in a PUT: the view at the top was edited, it decides.
					if !sub.Value.same(find(v.Members(), top)) && !sub.Value.same(before.value(top)) {
						note(&x.notes.Ignored, sub.Attr.Path)
					}
					below.value = without(below.value, sub.Attr)
				}
			}
			if err := x.apply(&below); err != nil {
				return err
			}
			continue
		}
		v, err := x.whole(o, a, x.next.value(a), m.Value)
		if err == nil {
			err = x.put(a, v)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func without(v Value, a *Attr) Value {
	return objectValue(slices.DeleteFunc(slices.Clone(v.Members()), func(m Member) bool { return m.Attr == a }))
}

// put sets an attribute at the top or of an extension, both views of it.
func (x *applier) put(a *Attr, v Value) *Error {
	old := x.next.value(a)
	if old.same(v) {
		return nil
	}
	if err := mayChange(a, old); err != nil {
		return err
	}
	if x.next == x.current {
		x.next = &Resource{typ: x.current.typ, members: slices.Clone(x.current.members), left: x.current.left}
	}
	x.next.set(a, v)
	if a.view != nil {
		x.next.set(a.view, v)
	}
	return nil
}

// mayChange says whether a client may give a, which has the value old, another.
func mayChange(a *Attr, old Value) *Error {
	switch {
	case a.Mutability == ReadOnly:
		return readOnly(a)
	case a.Mutability == Immutable && !old.unset():
		return immutable(a)
	}
	return nil
}

// whole returns what an operation with the value given makes of old, the value
// of a.
func (x *applier) whole(o *operation, a *Attr, old, given Value) (Value, *Error) {
	single := a.Type == TypeComplex && !a.MultiValued
	switch {
	case o.op == opAdd && given.unset():
		return old, nil
	case o.op == opRemove && given.kind == List:
		return x.subtract(a, old, given)
	case given.unset() && single: // of a remove, too: there is no value
		return x.clear(old)
	case given.unset():
		return Value{}, nil
	case single:
		return x.merge(o, old, given)
	case a.MultiValued && o.op == opAdd:
		return x.append(o, a, old, given)
	}
	return given, nil
}

// clear removes a complex value, but what a client cannot write in it.
func (x *applier) clear(old Value) (Value, *Error) {
	var kept []Member
	for _, m := range old.Members() {
		if m.Attr.Mutability == ReadOnly {
			kept = append(kept, m)
		} else if err := mayChange(m.Attr, m.Value); err != nil {
			return Value{}, err
		}
	}
	return objectValue(kept), nil
}

// merge sets the sub-attributes of a complex value that given names, and leaves
// the others as they are (RFC 7644 sections 3.5.2.1 and 3.5.2.3).
func (x *applier) merge(o *operation, old, given Value) (Value, *Error) {
	members := slices.Clone(old.Members())
	for _, m := range given.Members() {
		was := find(members, m.Attr)
		v, err := x.whole(o, m.Attr, was, m.Value)
		if err != nil {
			return Value{}, err
		}
		if v.same(was) {
			continue
		}
		if err := mayChange(m.Attr, was); err != nil {
			return Value{}, err
		}
		members = put(members, m.Attr, v)
	}
	return objectValue(members), nil
}

// sub applies an operation to a sub-attribute of one complex value.
func (x *applier) sub(o *operation, old Value, sub *Attr) (Value, *Error) {
	v := o.value
	if o.op == opRemove {
		// Nothing is null: that merge takes out, whatever the operation.
		v = Value{kind: Null}
		o = &operation{op: opReplace}
	}
	return x.merge(o, old, objectValue([]Member{{sub, v}}))
}

// lost refuses the removal of a required attribute (RFC 7644 section 3.5.2.2).
func (x *applier) lost() error {
	var gone *Attr
	look := func(scope *Attr, before, after []Member) {
		for _, a := range scope.required {
			if !find(before, a).unset() && find(after, a).unset() {
				gone = a
			}
		}
	}
	root := x.current.typ.root
	look(root, x.current.members, x.next.members)
	for _, m := range x.next.members {
		if m.Attr.Extension {
			look(m.Attr, x.current.value(m.Attr).Members(), m.Value.Members())
		}
	}
	if gone == nil {
		return nil
	}
	return Errorf(400, Mutability, "%s is required: it cannot be removed, give it another value", gone.Path)
}
