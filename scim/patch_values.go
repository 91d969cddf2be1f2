package scim

import (
	"slices"
	"strings"
)

// step counts n comparisons with each of items, those of long texts for more: a
// client drives them, and others wait meanwhile.
func (x *applier) step(n int, items []Value) *Error {
	if x.steps += n * (len(items) + listValue(items).size()/32); x.steps > maxPatchSteps {
		return Errorf(400, TooMany, "the operations compare too many values: send them in several requests")
	}
	return nil
}

// pairs counts the comparisons of each of old with each of given.
func (x *applier) pairs(old, given []Value) *Error {
	if err := x.step(len(given), old); err != nil {
		return err
	}
	return x.step(len(old), given)
}

// values applies an operation to some of the values of an attribute, or to a
// sub-attribute of them.
func (x *applier) values(o *operation) *Error {
	a, f := o.path.attr, o.path.filter
	old := x.next.value(a)
	items := old.Items()
	if !a.MultiValued && !old.unset() {
		items = []Value{old}
	}
	n := 1
	if f != nil {
		n += len(f.nodes)
	}
	if err := x.step(n, items); err != nil {
		return err
	}
	out := slices.Clone(items)
	primary, found := make([]bool, len(out)), false
	makes := isPrimary(a, o.given())
	for i, it := range out {
		if f != nil && !f.MatchValue(it) {
			continue
		}
		v, err := x.element(o, it)
		if err != nil {
			return err
		}
		out[i], primary[i], found = v, makes, true
	}
	if !found {
		v, err := x.absent(o)
		if err != nil || v.unset() {
			return err
		}
		out, primary = append(out, v), append(primary, isPrimary(a, v))
	}
	if !a.MultiValued {
		return x.put(a, out[0])
	}
	v, err := x.list(a, old, out, primary, true)
	if err != nil {
		return err
	}
	return x.put(a, v)
}

// given returns the value of an operation as a part of a value of its attribute.
func (o *operation) given() Value {
	if o.path.sub != nil {
		return objectValue([]Member{{o.path.sub, o.value}})
	}
	return o.value
}

// element returns what an operation makes of one of the values that its path
// names.
func (x *applier) element(o *operation, it Value) (Value, *Error) {
	a := o.path.attr
	switch {
	case o.path.sub != nil:
		return x.sub(o, it, o.path.sub)
	case o.op == opAdd && o.value.unset():
		return it, nil
	case o.op == opAdd && a.Type == TypeComplex, a.Type == TypeComplex && !a.MultiValued && o.op == opReplace && !o.value.unset():
		return x.merge(o, it, o.value)
	case a.Type == TypeComplex && !a.MultiValued:
		return x.clear(it)
	}
	return o.value, nil // of a remove: none
}

// absent returns the value that an operation makes where its path matches none.
// An add makes one with what the filter says eq of, which is what Entra ID
// expects; a remove has nothing to do; anything else has no target.
func (x *applier) absent(o *operation) (Value, *Error) {
	a, f := o.path.attr, o.path.filter
	if o.op == opRemove && (f == nil || o.path.typ.Rules.Tolerant) {
		if f != nil {
			note(&x.notes.Coerced, o.path.name()+" (nothing to remove)")
		}
		return Value{}, nil
	}
	noTarget := Errorf(400, NoTarget, "no value of %s matches the path: correct the filter, or add the value", a.Path)
	if !o.path.typ.Rules.Tolerant || a.Type != TypeComplex || !a.MultiValued || o.op == opReplace && f != nil {
		return Value{}, noTarget
	}
	var members []Member
	if f != nil {
		var ok bool
		if members, ok = f.equalities(f.Root(), nil); !ok {
			return Value{}, noTarget
		}
	}
	given := o.given()
	made := len(given.Members()) > 0
	for _, m := range given.Members() {
		made = made && !m.Value.unset()
		members = put(members, m.Attr, m.Value)
	}
	if !made {
		return Value{}, nil
	}
	note(&x.notes.Coerced, o.path.name()+" (add if absent)")
	return objectValue(members), nil
}

// equalities returns what f, from n on, says eq of; ok is false when it says
// anything else, eq of one attribute twice, or eq of what no value may be.
func (f *Filter) equalities(n *Node, found []Member) (members []Member, ok bool) {
	switch {
	case n.Op == And:
		if found, ok = f.equalities(f.Left(n), found); ok {
			found, ok = f.equalities(f.Right(n), found)
		}
		return found, ok
	case n.Op != Eq || n.Attr.readOnly() || find(found, n.Attr).kind != Absent:
	case n.Value.kind == Bool, n.Value.kind == String && (n.Attr.Type == TypeString || n.Attr.Type == TypeReference) &&
		n.Value.text != "" && !strings.Contains(n.Value.text, "\x00"):
		return put(found, n.Attr, n.Value), true
	}
	return nil, false
}

// append adds the values of given that old does not have. One that old has in
// value and type is the same one: it gets the other sub-attributes.
func (x *applier) append(o *operation, a *Attr, old, given Value) (Value, *Error) {
	items := old.Items()
	if err := x.pairs(items, given.Items()); err != nil {
		return Value{}, err
	}
	out := slices.Clone(items)
	primary := make([]bool, len(out), len(out)+len(given.Items()))
	merged := false
	for _, it := range given.Items() {
		i := slices.IndexFunc(out[:len(items)], it.Equal)
		if i < 0 {
			i = slices.IndexFunc(out[:len(items)], func(v Value) bool { return sameValue(a, v, it) })
		}
		if i < 0 {
			out, primary = append(out, it), append(primary, isPrimary(a, it))
			continue
		}
		if a.Type == TypeComplex {
			v, err := x.merge(o, out[i], it)
			if err != nil {
				return Value{}, err
			}
			merged = merged || !v.Equal(out[i])
			out[i] = v
		}
		primary[i] = primary[i] || isPrimary(a, it)
	}
	return x.list(a, old, out, primary, merged)
}

// sameValue reports whether two complex values of a list have one value and one
// type, which no two should (RFC 7643 section 2.4).
func sameValue(a *Attr, v, w Value) bool {
	value, typ := a.names["value"], a.names["type"]
	if value == nil || a.Type != TypeComplex {
		return false
	}
	b, c := find(v.Members(), value), find(w.Members(), value)
	return b.kind == String && c.kind == String && value.Key(b.text) == value.Key(c.text) &&
		(typ == nil || typ.Key(find(v.Members(), typ).text) == typ.Key(find(w.Members(), typ).text))
}

// isPrimary reports whether v, a value of a, is the primary one.
func isPrimary(a *Attr, v Value) bool {
	return a.primary != nil && find(v.Members(), a.primary).Bool()
}

// list returns the list of what is left of out, in which some values may be
// there twice. When an operation has made a value primary, as made says, no
// other is (RFC 7644 section 3.5.2).
func (x *applier) list(a *Attr, old Value, out []Value, made []bool, twice bool) (Value, *Error) {
	if slices.Contains(made, true) {
		for i, v := range out {
			if !made[i] && isPrimary(a, v) {
				out[i] = objectValue(put(slices.Clone(v.Members()), a.primary, BoolValue(false)))
				twice = true // it may be what another one is
			}
		}
	}
	if out = slices.DeleteFunc(out, Value.unset); twice {
		out = distinct(out)
	}
	if len(out) > MaxValues && len(out) > len(old.Items()) {
		return Value{}, Errorf(400, InvalidValue, "%s would have more than %d values", a.Path, MaxValues)
	}
	return listValue(out), nil
}

// subtract removes from old the values that given describes: those that have
// all the sub-attributes of one of them.
func (x *applier) subtract(a *Attr, old, given Value) (Value, *Error) {
	if err := x.pairs(old.Items(), given.Items()); err != nil {
		return Value{}, err
	}
	out := slices.DeleteFunc(slices.Clone(old.Items()), func(v Value) bool {
		return slices.ContainsFunc(given.Items(), func(w Value) bool { return describes(a, w, v) })
	})
	return listValue(out), nil
}

// describes reports whether v, a value of a, has all that w has.
func describes(a *Attr, w, v Value) bool {
	if w.kind != Object {
		return w.kind == v.kind && a.Key(w.text) == a.Key(v.text)
	}
	for _, m := range w.Members() {
		if !describes(m.Attr, m.Value, find(v.Members(), m.Attr)) {
			return false
		}
	}
	return true
}
