package scim

// Stored returns a value of an attribute, at the top or of an extension, of the
// JSON that Value.AppendJSON wrote of it. A path that the type does not have, or
// a value that its schema has no place for, is an *Error: the schema has changed
// since then.
func (t *Type) Stored(path string, raw []byte) (Value, error) {
	a := t.Attr(path)
	if a == nil || a.Extension || a.Top() != a {
		return Value{}, Errorf(409, "", "%s has no attribute %s any more", t.Name, clip(path))
	}
	doc := append(append([]byte(`{"`), a.Name...), `":`...)
	doc = append(append(doc, raw...), '}')
	if a.parent.Extension {
		doc = append(append(append([]byte(`{"`), a.parent.Name...), `":`...), doc...)
		doc = append(doc, '}')
	}
	r, err := t.Decode(doc)
	if err != nil || r.value(a).unset() {
		return Value{}, &Error{Status: 409, Detail: a.Path + " cannot have the value any more that it had: its schema has changed", Err: err}
	}
	return r.value(a), nil
}

// Assign returns r with attributes, at the top or of an extension, set to other
// values by who is not bound by what a client may write; absent takes one out.
// The rules of every resource hold all the same: those of Create and Replace for
// required and primary values, that an immutable attribute keeps its value, and
// that the two views of one value are one. A breach is an *Error.
func (r *Resource) Assign(values map[*Attr]Value) (*Resource, error) {
	next := r
	for _, a := range r.typ.attrs { // in one order, so that an error is always the same
		v, ok := values[a]
		if !ok || r.value(a).same(v) {
			continue
		}
		if a.Mutability == Immutable && !r.value(a).unset() {
			return nil, immutable(a)
		}
		next = next.Set(a.Path, v)
		if a.view != nil {
			next = next.Set(a.view.Path, v)
		}
	}
	return next, next.check()
}
