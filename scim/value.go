package scim

import (
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// A Kind is the kind of a Value.
type Kind uint8

// The kinds of values. The zero Value is Absent: there is none. Null is the
// null that a client sent, which clears where an absent value may not.
const (
	Absent Kind = iota
	Null
	Bool
	Number
	String
	Object
	List
)

// A Value is the value of an attribute. Values are not changed once they are
// part of a Resource.
type Value struct {
	kind  Kind
	text  string // String: the text. Number: the literal, exact. Bool: "true" or "false"
	parts *parts // Object and List; nil when there are none
}

// parts stand apart, so that the many values that have none stay small.
type parts struct {
	members []Member // Object: in canonical order
	items   []Value  // List: in the client's order
}

func objectValue(members []Member) Value {
	return Value{kind: Object, parts: &parts{members: members}}
}

func listValue(items []Value) Value {
	return Value{kind: List, parts: &parts{items: items}}
}

// A Member is one attribute of a resource or of a complex value.
type Member struct {
	Attr  *Attr
	Value Value
}

// StringValue returns s as a Value.
func StringValue(s string) Value { return Value{kind: String, text: s} }

// BoolValue returns b as a Value.
func BoolValue(b bool) Value {
	if b {
		return Value{kind: Bool, text: "true"}
	}
	return Value{kind: Bool, text: "false"}
}

// Kind returns the kind of v.
func (v Value) Kind() Kind { return v.kind }

// Text returns a string's text, a number's literal, "true" or "false", or "".
func (v Value) Text() string { return v.text }

// Bool reports whether v is the boolean true.
func (v Value) Bool() bool { return v.kind == Bool && v.text == "true" }

// Items returns the values of a list, which must not be changed.
func (v Value) Items() []Value {
	if v.parts == nil {
		return nil
	}
	return v.parts.items
}

// Members returns the members of an object, which must not be changed.
func (v Value) Members() []Member {
	if v.parts == nil {
		return nil
	}
	return v.parts.members
}

// Sub returns the value of the sub-attribute of that name, without regard to
// case; absent when v is no object or has none.
func (v Value) Sub(name string) Value {
	for _, m := range v.Members() {
		if m.Attr.Name == name || foldName(m.Attr.Name) == foldName(name) {
			return m.Value
		}
	}
	return Value{}
}

// unset says that v is no value: absent, null, or an empty list or object,
// which are the same state (RFC 7643 section 2.5).
func (v Value) unset() bool {
	switch v.kind {
	case Absent, Null:
		return true
	case Object:
		return len(v.Members()) == 0
	case List:
		return len(v.Items()) == 0
	}
	return false
}

// same reports whether v and w are the same value or are both none.
func (v Value) same(w Value) bool { return v.Equal(w) || v.unset() && w.unset() }

// Equal reports whether v and w are the same value. Text is compared exactly,
// and the order of a list counts.
func (v Value) Equal(w Value) bool {
	return v.kind == w.kind && v.text == w.text && (v.parts == w.parts ||
		slices.EqualFunc(v.Items(), w.Items(), Value.Equal) &&
			slices.EqualFunc(v.Members(), w.Members(), func(a, b Member) bool {
				return a.Attr.Name == b.Attr.Name && a.Value.Equal(b.Value)
			}))
}

// size returns how many bytes of text v holds.
func (v Value) size() int {
	n := len(v.text)
	for _, it := range v.Items() {
		n += it.size()
	}
	for _, m := range v.Members() {
		n += m.Value.size()
	}
	return n
}

// AppendJSON appends v as JSON to dst; an absent value as null.
func (v Value) AppendJSON(dst []byte) []byte {
	switch v.kind {
	case Bool, Number:
		return append(dst, v.text...)
	case String:
		return appendString(dst, v.text)
	case Object:
		dst = append(dst, '{')
		dst = appendMembers(dst, v.Members(), nil)
		return append(dst, '}')
	case List:
		return appendItems(dst, v.Items(), nil)
	}
	return append(dst, "null"...)
}

func appendItems(dst []byte, items []Value, p *Projection) []byte {
	dst = append(dst, '[')
	first := true
	for i := range items {
		mark := len(dst)
		if !first {
			dst = append(dst, ',')
		}
		if it := &items[i]; it.kind == Object {
			dst = append(dst, '{')
			body := len(dst)
			dst = appendMembers(dst, it.Members(), p)
			if len(dst) == body && p != nil {
				dst = dst[:mark] // nothing of it is shown
				continue
			}
			dst = append(dst, '}')
		} else {
			dst = it.AppendJSON(dst)
		}
		first = false
	}
	return append(dst, ']')
}

// appendMembers appends what p shows of members, without the braces.
func appendMembers(dst []byte, members []Member, p *Projection) []byte {
	first := true
	for i := range members {
		m := &members[i]
		if p != nil && !p.show[m.Attr.ord] {
			continue
		}
		mark := len(dst)
		if !first {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		dst = append(dst, m.Attr.Name...) // names and URNs need no escapes
		dst = append(dst, '"', ':')
		switch m.Value.kind {
		case Object:
			dst = append(dst, '{')
			body := len(dst)
			dst = appendMembers(dst, m.Value.Members(), p)
			if len(dst) == body && p != nil {
				dst = dst[:mark] // nothing of it is shown
				continue
			}
			dst = append(dst, '}')
		case List:
			body := len(dst)
			dst = appendItems(dst, m.Value.Items(), p)
			if len(dst) == body+len("[]") && len(m.Value.Items()) > 0 {
				dst = dst[:mark]
				continue
			}
		default:
			dst = m.Value.AppendJSON(dst)
		}
		first = false
	}
	return dst
}

// appendString appends text that is known to be UTF-8.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' {
			dst, _ = jsontext.AppendQuote(dst, s)
			return dst
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}
