package scim

import "slices"

// A Resource is one user, group or other resource: the attributes that have a
// value, in canonical order. It does not change once it was returned.
type Resource struct {
	typ     *Type
	members []Member
	left    []leftover // what has no place in the schema
}

// Type returns the type of r.
func (r *Resource) Type() *Type { return r.typ }

// Members returns the attributes at the top that have a value, in canonical
// order; they must not be changed.
func (r *Resource) Members() []Member { return r.members }

// Get returns the value of a path as of Type.Attr, absent when there is none.
// A sub-attribute of a multi-valued attribute has no one value: it is absent.
func (r *Resource) Get(path string) Value {
	a := r.typ.Attr(path)
	if a == nil {
		return Value{}
	}
	return r.value(a)
}

func (r *Resource) value(a *Attr) Value {
	switch a.parent {
	case r.typ.root:
		return find(r.members, a)
	case nil: // the root of another type
		return Value{}
	}
	return find(r.value(a.parent).Members(), a)
}

func find(members []Member, a *Attr) Value {
	for i := range members {
		if members[i].Attr == a {
			return members[i].Value
		}
	}
	return Value{}
}

// Equal reports whether r and o hold the same values.
func (r *Resource) Equal(o *Resource) bool {
	return objectValue(r.members).Equal(objectValue(o.members))
}

// Append appends the canonical document of r to dst: one JSON object of the
// attributes that have a value, in the order of the schema, after what was left
// over of other schemas.
func (r *Resource) Append(dst []byte) []byte {
	dst = append(dst, '{')
	if len(r.left) > 0 {
		dst = appendLeftovers(dst, r.left)
		if len(r.members) > 0 {
			dst = append(dst, ',')
		}
	}
	dst = appendMembers(dst, r.members, nil)
	return append(dst, '}')
}

// Set returns r with the attribute at path set to v. It is how the service
// assigns readOnly attributes; a path that the type does not have, or that is
// in the values of a list, is passed over.
func (r *Resource) Set(path string, v Value) *Resource {
	a := r.typ.Attr(path)
	if a == nil || a.parent.MultiValued {
		return r
	}
	next := &Resource{typ: r.typ, members: slices.Clone(r.members), left: r.left}
	next.set(a, v)
	return next
}

// set changes r in place, which nobody else may have seen yet.
func (r *Resource) set(a *Attr, v Value) {
	if r.value(a).same(v) {
		return
	}
	if a.parent == r.typ.root {
		r.members = put(r.members, a, v)
		return
	}
	below := put(slices.Clone(r.value(a.parent).Members()), a, v)
	r.set(a.parent, objectValue(below))
}

// put sets a to v among members; an unset v takes it out.
func put(members []Member, a *Attr, v Value) []Member {
	i, found := slices.BinarySearchFunc(members, a.ord, func(m Member, ord int) int { return m.Attr.ord - ord })
	switch {
	case found && v.unset():
		return slices.Delete(members, i, i+1)
	case found:
		members[i].Value = v
	case !v.unset():
		return slices.Insert(members, i, Member{a, v})
	}
	return members
}

// Has reports whether r has a value of a, which may be in the values of a list.
func (r *Resource) Has(a *Attr) bool {
	if a.parent == r.typ.root {
		return !r.value(a).unset()
	}
	up := r.value(a.parent)
	return slices.ContainsFunc(objects(up), func(o Value) bool { return !find(o.Members(), a).unset() })
}
