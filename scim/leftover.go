package scim

import (
	"bytes"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// A schema can change under data. What a stored document then holds that the
// schema does not know any more, or whose type no longer fits, is kept: Decode
// sets it aside, Append writes it as the first member of the document, "~", and
// nothing else sees it. When a later schema has a place for it, Decode puts it
// back, unless there is another value by then.

// A leftover is a value that was set aside.
type leftover struct {
	path string // of an attribute, as Attr.Path was
	// item tells the value of a list that sub-attributes were taken from: what is
	// left of it, as JSON. Empty: the leftover is the whole value of path.
	item string
	raw  string // JSON; of an item an object of the sub-attributes
}

const leftoverName = "~"

// leftoverPrefix begins a document with leftovers.
var leftoverPrefix = []byte(`{"` + leftoverName + `":`)

// appendLeftovers appends the member "~": an array of [path, value] and, of a
// list's item, [path, value, item].
func appendLeftovers(dst []byte, left []leftover) []byte {
	dst = append(dst, `"`+leftoverName+`":[`...)
	for i, l := range left {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '[')
		dst = appendString(dst, l.path)
		dst = append(dst, ',')
		dst = append(dst, l.raw...)
		if l.item != "" {
			dst = append(dst, ',')
			dst = append(dst, l.item...)
		}
		dst = append(dst, ']')
	}
	return append(dst, ']')
}

// visible returns doc without its leftovers.
func (t *Type) visible(doc []byte) ([]byte, error) {
	r, err := t.Decode(doc)
	if err != nil {
		return nil, err
	}
	return (&Resource{typ: t, members: r.members}).Append(nil), nil
}

// adopt is Decode of a document that another schema has written.
func (t *Type) adopt(doc []byte) (*Resource, error) {
	if v := jsontext.Value(doc); !v.IsValid() || v.Kind() != '{' {
		return nil, Errorf(500, "", "a stored document is no JSON object")
	}
	x := &adopter{typ: t}
	top, err := fields(doc)
	if err != nil {
		return nil, err
	}
	if len(top) > 0 && top[0].name == leftoverName {
		if x.left, err = readLeftovers(top[0].raw); err != nil {
			return nil, err
		}
		top = top[1:]
	}
	r := &Resource{typ: t, members: x.members(t.root, top)}
	x.restore(r)
	r.left = x.left
	return r, nil
}

// A field is one member of a JSON object.
type field struct {
	name string
	raw  jsontext.Value
}

// fields returns the members of an object.
func fields(raw []byte) ([]field, error) {
	var out []field
	dec := jsontext.NewDecoder(bytes.NewBuffer(raw))
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, err
		}
		f := field{name: name.String()}
		v, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		f.raw = v.Clone()
		out = append(out, f)
	}
	return out, nil
}

// items returns the values of an array.
func items(raw []byte) ([]jsontext.Value, error) {
	var out []jsontext.Value
	dec := jsontext.NewDecoder(bytes.NewBuffer(raw))
	if dec.PeekKind() != '[' {
		return nil, Errorf(500, "", "a stored document has leftovers of another form")
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	for dec.PeekKind() != ']' {
		v, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		out = append(out, v.Clone())
	}
	return out, nil
}

func readLeftovers(raw jsontext.Value) ([]leftover, error) {
	list, err := items(raw)
	if err != nil {
		return nil, err
	}
	out := make([]leftover, len(list))
	for i, entry := range list {
		parts, err := items(entry)
		if err != nil || len(parts) < 2 || parts[0].Kind() != '"' {
			return nil, Errorf(500, "", "a stored document has leftovers of another form")
		}
		if out[i].path, err = unquote(parts[0]); err != nil {
			return nil, err
		}
		out[i].raw = string(parts[1])
		if len(parts) > 2 {
			out[i].item = string(parts[2])
		}
	}
	return out, nil
}

// An adopter reads the values of a document one by one and collects those that
// have no place.
type adopter struct {
	typ  *Type
	left []leftover
}

// below returns the path of what scope calls name.
func (t *Type) below(scope *Attr, name string) string {
	switch {
	case scope == t.root:
		return name
	case scope.Extension:
		return scope.Path + ":" + name
	}
	return scope.Path + "." + name
}

// members returns what of the fields of an object has a place in scope.
func (x *adopter) members(scope *Attr, from []field) []Member {
	var out []Member
	for _, f := range from {
		if a := scope.Sub(f.name); a != nil {
			if v, ok := x.value(a, f.raw); ok {
				out = put(out, a, v)
				continue
			}
		}
		x.left = append(x.left, leftover{path: x.typ.below(scope, f.name), raw: string(f.raw)})
	}
	return out
}

// value reads the value of a; ok says that raw fits.
func (x *adopter) value(a *Attr, raw jsontext.Value) (v Value, ok bool) {
	switch {
	case a.hidden:
		return Value{}, false
	case a.Type != TypeComplex:
		return x.simple(a, raw)
	case a.MultiValued && raw.Kind() == '[':
		return x.list(a, raw)
	case !a.MultiValued && raw.Kind() == '{':
		from, err := fields(raw)
		return objectValue(x.members(a, from)), err == nil
	}
	return Value{}, false
}

// simple reads the value of an attribute that is not complex.
func (x *adopter) simple(a *Attr, raw jsontext.Value) (Value, bool) {
	p := parsers.Get().(*parser)
	defer p.release()
	p.reset(x.typ, raw)
	p.stored = true
	v, err := p.value(a)
	return v, err == nil
}

// list reads the objects of a list.
func (x *adopter) list(a *Attr, raw jsontext.Value) (Value, bool) {
	list, err := items(raw)
	if err != nil || slices.ContainsFunc(list, func(it jsontext.Value) bool { return it.Kind() != '{' }) {
		return Value{}, false
	}
	var out []Value
	for _, it := range list {
		from, err := fields(it)
		if err != nil {
			return Value{}, false
		}
		members, extra := x.item(a, from)
		v := objectValue(members)
		switch {
		case len(extra) == 0:
		case len(members) == 0: // it is hidden as a whole, with what it had lost before
			extra = x.take(a.Path, string(it), extra)
			x.left = append(x.left, leftover{path: a.Path, item: "{}", raw: object(extra)})
		default:
			rest := string(v.AppendJSON(nil))
			rename(x.left, a.Path, string(it), rest)
			x.left = append(x.left, leftover{path: a.Path, item: rest, raw: object(extra)})
		}
		if len(members) > 0 {
			out = append(out, v)
		}
	}
	return listValue(out), true
}

// rename notes that an item of a list looks another way now.
func rename(left []leftover, path, was, now string) {
	for i := range left {
		if l := &left[i]; l.path == path && l.item == was {
			l.item = now
		}
	}
}

// take adds to extra the leftovers of an item that have other names, and takes
// them out of x.left.
func (x *adopter) take(path, item string, extra []field) []field {
	x.left = slices.DeleteFunc(x.left, func(l leftover) bool {
		from, err := fields([]byte(l.raw))
		if l.path != path || l.item != item || err != nil || slices.ContainsFunc(from, func(f field) bool {
			return slices.ContainsFunc(extra, func(e field) bool { return e.name == f.name })
		}) {
			return false
		}
		extra = append(extra, from...)
		return true
	})
	return extra
}

// item reads one object of a list; extra is what has no place in it.
func (x *adopter) item(a *Attr, from []field) (members []Member, extra []field) {
	for _, f := range from {
		if sub := a.Sub(f.name); sub != nil && !sub.hidden {
			if v, ok := x.simple(sub, f.raw); ok {
				members = put(members, sub, v)
				continue
			}
		}
		extra = append(extra, f)
	}
	return members, extra
}

// object returns the JSON object of some fields.
func object(from []field) string {
	b := []byte{'{'}
	for i, f := range from {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, f.name), ':')
		b = append(b, f.raw...)
	}
	return string(append(b, '}'))
}

// restore gives r the leftovers that have a place now, the last first: it is the
// newest value.
func (x *adopter) restore(r *Resource) {
	old := x.left
	x.left = nil
	for i, l := range slices.Backward(old) {
		from := x.left
		x.left = nil
		if l.item == "" {
			x.put(r, l.path, jsontext.Value(l.raw))
		} else {
			x.putItem(r, l, old[:i])
		}
		x.left = append(x.left, from...)
	}
}

// put sets path to raw where there is a place and no value.
func (x *adopter) put(r *Resource, path string, raw jsontext.Value) {
	a := x.typ.Attr(path)
	if a != nil && a.Type == TypeComplex && !a.MultiValued && !a.hidden && raw.Kind() == '{' {
		from, err := fields(raw)
		for _, f := range from {
			x.put(r, x.typ.below(a, f.name), f.raw)
		}
		if err == nil {
			return
		}
	}
	if a != nil && !a.parent.MultiValued && r.value(a).unset() {
		if v, ok := x.value(a, raw); ok {
			r.set(a, v)
			return
		}
	}
	x.left = append(x.left, leftover{path: path, raw: string(raw)})
}

// putItem gives sub-attributes back to the item of a list that they are of;
// others are the leftovers to come.
func (x *adopter) putItem(r *Resource, l leftover, others []leftover) {
	a := x.typ.Attr(l.path)
	from, err := fields([]byte(l.raw))
	var given []Member
	var extra []field
	if a != nil && a.Type == TypeComplex && a.MultiValued && !a.hidden && err == nil {
		given, extra = x.item(a, from)
	}
	if len(given) == 0 {
		x.left = append(x.left, l)
		return
	}
	list := slices.Clone(r.value(a).Items())
	at := func() int {
		for i, v := range slices.Backward(list) {
			if string(v.AppendJSON(nil)) == l.item {
				return i
			}
		}
		return -1
	}
	i := at()
	if i < 0 && l.item == "{}" {
		i, list = len(list), append(list, objectValue(nil))
	}
	if i < 0 {
		x.left = append(x.left, l)
		return
	}
	members := slices.Clone(list[i].Members())
	for _, m := range given {
		if find(members, m.Attr).unset() {
			members = put(members, m.Attr, m.Value)
		} else {
			extra = append(extra, field{m.Attr.Name, m.Value.AppendJSON(nil)})
		}
	}
	list[i] = objectValue(members)
	now := string(list[i].AppendJSON(nil))
	if len(extra) > 0 {
		x.left = append(x.left, leftover{path: l.path, item: now, raw: object(extra)})
	}
	if len(members) > 0 {
		r.set(a, listValue(list))
	}
	// Where another item looks as this one did, the other leftovers are of that.
	if l.item != "{}" && at() < 0 {
		rename(others, l.path, l.item, now)
	}
}
