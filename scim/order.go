package scim

import (
	"encoding/binary"
	"strconv"
	"strings"
	"time"
)

// MaxSortKey bounds the key of an Order, in bytes: of longer values the
// beginnings are compared.
const MaxSortKey = 1000

// An Order is the order of a list (RFC 7644 section 3.4.2.3) bound to a Type. It
// is immutable, and safe for concurrent use.
type Order struct {
	attr       *Attr
	descending bool
}

// NewOrder binds sortBy and sortOrder to t. A complex attribute stands for its
// value, where it has one. It returns an *Error: 400 invalidValue for what
// cannot be sorted by, 403 sensitive for an attribute that is never returned.
func (t *Type) NewOrder(by, order string) (*Order, error) {
	list, err := NewOrders([]*Type{t}, by, order)
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// NewOrders binds sortBy and sortOrder to each of types. In one that does not
// have the attribute, though another has, no resource has a value.
func NewOrders(types []*Type, by, order string) ([]*Order, error) {
	var known *Attr
	list := make([]*Order, len(types))
	for i, t := range types {
		a, err := t.sortable(by)
		if err != nil {
			return nil, err
		}
		if list[i] = (&Order{attr: a}); a != nil {
			known = a
		}
	}
	if known == nil {
		return nil, Errorf(400, InvalidValue, "sortBy: there is no attribute %s", clip(by))
	}
	descending := false
	switch strings.ToLower(order) {
	case "", "ascending":
	case "descending":
		descending = true
	default:
		return nil, Errorf(400, InvalidValue, "sortOrder is %s: there are ascending and descending", clip(order))
	}
	for _, o := range list {
		o.descending = descending
		if o.attr == nil {
			o.attr = known
		}
	}
	return list, nil
}

// sortable returns the attribute that by names and whose values can be compared,
// nil when t has none of that name.
func (t *Type) sortable(by string) (*Attr, error) {
	a := t.Attr(by)
	if a == nil {
		return nil, nil
	}
	if a.never() {
		return nil, Errorf(403, Sensitive, "%s cannot be sorted by", a.Path)
	}
	if a.Type == TypeComplex {
		v := a.Sub("value")
		if v == nil || a.Extension {
			return nil, Errorf(400, InvalidValue, "sortBy: %s is complex: name one of its sub-attributes", a.Path)
		}
		a = v
	}
	if a.Path == "meta.location" {
		return nil, Errorf(400, InvalidValue, "sortBy: meta.location cannot be sorted by: use id")
	}
	return a, nil
}

// Attr returns the attribute that the order is by. It may be one of another Type.
func (o *Order) Attr() *Attr { return o.attr }

// Descending reports whether the order is the reverse of that of the keys.
func (o *Order) Descending() bool { return o.descending }

// String returns the order in one spelling for all that mean the same.
func (o *Order) String() string {
	if o.descending {
		return o.attr.Path + " descending"
	}
	return o.attr.Path + " ascending"
}

// What a key begins with.
const (
	keyValue   = "\x01"
	keyMissing = "\x02" // so that no value comes last
)

// Key returns what places a resource in the order: the keys of two compare, byte
// by byte, as their values do. Of a list counts the value that is marked
// primary, or else the first. Text is folded unless the attribute is caseExact,
// numbers compare exactly, dateTimes as instants, false comes before true, and
// no value comes last. (Descending is the reverse of all of that.)
//
// r is the document and m answers for id and meta, as for Filter.Match.
func (o *Order) Key(r *Resource, m *Meta) string {
	v := (&matcher{r: r, m: m}).preferred(o.attr)
	key, ok := sortKey(o.attr, v)
	if !ok {
		return keyMissing
	}
	if key = keyValue + key; len(key) > MaxSortKey {
		key = key[:MaxSortKey]
	}
	return key
}

// TextKey returns the key of a resource whose value of a text attribute is
// folded already.
func TextKey(folded string) string { return keyValue + folded }

// CutTextKey returns the folded value that TextKey was given; ok is false for
// the key of a resource without a value.
func CutTextKey(key string) (folded string, ok bool) { return strings.CutPrefix(key, keyValue) }

// preferred returns the one value of a that stands for all of them.
func (x *matcher) preferred(a *Attr) Value {
	if list := a.parent; list.ord >= 0 && list.MultiValued {
		return find(first(list, x.r.value(list)).Members(), a)
	}
	if v := x.value(a); v.kind != List {
		return v
	} else {
		return first(a, v)
	}
}

// first returns the item of list, a value of a, that is marked primary, or else
// the first.
func first(a *Attr, list Value) Value {
	items := list.Items()
	if a.primary != nil {
		for _, it := range items {
			if find(it.Members(), a.primary).Bool() {
				return it
			}
		}
	}
	if len(items) == 0 {
		return Value{}
	}
	return items[0]
}

// sortKey returns the key of one value; ok is false for none.
func sortKey(a *Attr, v Value) (key string, ok bool) {
	switch {
	case v.unset():
		return "", false
	case v.kind == Number:
		return numberKey(v.text), true
	case v.kind == String && a.Type == TypeDateTime:
		at, ok := parseDateTime(v.text)
		return timeKey(at), ok
	}
	return a.Key(v.text), true // of booleans, "false" < "true" as it is
}

// timeKey returns a text that compares as instants do.
func timeKey(t time.Time) string {
	const signed = 1 << 63 // makes numbers below zero compare as smaller
	b := binary.BigEndian.AppendUint64(nil, uint64(t.Unix())^signed)
	return string(binary.BigEndian.AppendUint32(b, uint32(t.Nanosecond())))
}

// numberKey returns a text that compares, byte by byte, as JSON numbers do:
// exactly, whatever their length and exponent. It is the sign, the exponent of
// 0.d₁d₂…, and the digits without zeros at either end.
func numberKey(s string) string {
	text, negative := strings.CutPrefix(s, "-")
	exponent := 0
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		// Beyond the range of an int, Atoi returns its end, which does.
		exponent, _ = strconv.Atoi(text[i+1:])
		exponent = min(max(exponent, -1<<40), 1<<40)
		text = text[:i]
	}
	whole, fraction, _ := strings.Cut(text, ".")
	digits := whole + fraction
	exponent += len(whole)
	trimmed := strings.TrimLeft(digits, "0")
	exponent -= len(digits) - len(trimmed)
	if trimmed = strings.TrimRight(trimmed, "0"); trimmed == "" {
		return "1" // zero, between the others
	}
	b := append(make([]byte, 0, 10+len(trimmed)), '2')
	b = binary.BigEndian.AppendUint64(b, uint64(exponent)^1<<63)
	b = append(b, trimmed...)
	if !negative {
		return string(b)
	}
	// What is larger without the sign is smaller with it, the longer of two too.
	b[0] = '0'
	for i := 1; i < len(b); i++ {
		b[i] = ^b[i]
	}
	return string(append(b, 0xff))
}
