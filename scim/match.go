package scim

import (
	"strconv"
	"strings"
	"time"
)

// Match reports whether f holds of a resource: its document r, and m, which
// answers for id and meta. As RFC 7644 section 3.4.2.2 is read here:
//
//   - a comparison of a multi-valued attribute holds when it holds of one value,
//     but ne when eq holds of none;
//   - eq null is "has no value", ne null is pr;
//   - text is compared rune by rune, folded unless the attribute is caseExact;
//     dateTimes are compared as instants, numbers exactly.
//
// What is kept as memberships (a user's groups, a group's members) is matched as
// far as it is in r.
func (f *Filter) Match(r *Resource, m *Meta) bool {
	return (&matcher{f: f, r: r, m: m}).holds(f.Root(), nil)
}

// MatchValue reports whether f, the filter of a Path or of a MemberOp, holds of
// one value of its attribute.
func (f *Filter) MatchValue(v Value) bool {
	return (&matcher{f: f}).holds(f.Root(), &v)
}

type matcher struct {
	f *Filter
	r *Resource
	m *Meta

	// The text that was folded last: many comparisons may be of one attribute.
	text, key string
}

// holds evaluates n: of the resource, or inside a value path of one value.
func (x *matcher) holds(n *Node, item *Value) bool {
	switch n.Op {
	case And:
		return x.holds(x.f.Left(n), item) && x.holds(x.f.Right(n), item)
	case Or:
		return x.holds(x.f.Left(n), item) || x.holds(x.f.Right(n), item)
	case Not:
		return !x.holds(x.f.Left(n), item)
	case ValuePath:
		found := false
		x.each(n.Attr, nil, func(v Value) bool {
			found = x.holds(x.f.Left(n), &v)
			return !found
		})
		return found
	case Ne:
		return !x.any(n, item)
	}
	return x.any(n, item)
}

// any reports whether a value is there that n, or for ne its opposite, holds of.
func (x *matcher) any(n *Node, item *Value) bool {
	found := false
	x.each(n.Attr, item, func(v Value) bool {
		found = x.compare(n, v)
		return !found
	})
	if n.Value.kind == Null {
		return !found // compare says of null that there is a value
	}
	return found
}

// each calls fn with the values of a until it returns false.
func (x *matcher) each(a *Attr, item *Value, fn func(Value) bool) {
	var v Value
	switch {
	case item != nil && (a.Type != TypeComplex && a.MultiValued && item.kind != Object):
		v = *item
	case item != nil:
		v = find(item.Members(), a)
	case a.parent.ord >= 0 && a.parent.MultiValued:
		for _, it := range x.r.value(a.parent).Items() {
			if sub := find(it.Members(), a); !sub.unset() && !fn(sub) {
				return
			}
		}
		return
	default:
		v = x.value(a)
	}
	if v.kind == List {
		for _, it := range v.Items() {
			if !fn(it) {
				return
			}
		}
	} else if !v.unset() {
		fn(v)
	}
}

// value returns the value of an attribute of the document, or of those that the
// service keeps beside it.
func (x *matcher) value(a *Attr) Value {
	switch a.Path {
	case "id":
		return StringValue(x.m.ID)
	case "meta.resourceType":
		return StringValue(x.r.typ.Name)
	case "meta.created":
		return StringValue(x.m.Created.UTC().Format(time.RFC3339Nano))
	case "meta.lastModified":
		return StringValue(x.m.Modified.UTC().Format(time.RFC3339Nano))
	case "meta.location":
		return StringValue(x.m.Location)
	case "meta.version":
		if !x.r.typ.Rules.MetaVersion {
			return Value{}
		}
		return StringValue(`W/"` + strconv.FormatInt(x.m.Version, 10) + `"`)
	case "meta":
		var members []Member
		for _, sub := range a.subs {
			if v := x.value(sub); !v.unset() {
				members = append(members, Member{sub, v})
			}
		}
		return objectValue(members)
	case "schemas":
		urns := []Value{StringValue(x.r.typ.Schema)}
		for _, e := range x.r.typ.Extensions {
			if x.r.typ.Rules.ObservedShape || !find(x.r.members, x.r.typ.root.Sub(e.Schema)).unset() {
				urns = append(urns, StringValue(e.Schema))
			}
		}
		return listValue(urns)
	}
	return x.r.value(a)
}

// compare reports whether n holds of one value, which is there; for ne, and for
// null, whether eq does.
func (x *matcher) compare(n *Node, v Value) bool {
	if n.Op == Pr || n.Value.kind == Null {
		return true
	}
	switch n.Value.kind {
	case Bool:
		return v.text == n.key
	case Number:
		return n.Op.ordered(strings.Compare(numberKey(v.text), n.key))
	}
	if n.Attr.Type == TypeDateTime {
		at, ok := parseDateTime(v.text)
		return ok && n.Op.ordered(at.Compare(n.at))
	}
	key := v.text
	if !n.Attr.CaseExact {
		if v.text != x.text {
			x.text, x.key = v.text, Fold(v.text)
		}
		key = x.key
	}
	switch n.Op {
	case Co:
		return strings.Contains(key, n.key)
	case Sw:
		return strings.HasPrefix(key, n.key)
	case Ew:
		return strings.HasSuffix(key, n.key)
	}
	return n.Op.ordered(strings.Compare(key, n.key))
}

// ordered says what an operator makes of a comparison.
func (o Op) ordered(c int) bool {
	switch o {
	case Eq, Ne:
		return c == 0
	case Gt:
		return c > 0
	case Ge:
		return c >= 0
	case Lt:
		return c < 0
	case Le:
		return c <= 0
	}
	return false
}
