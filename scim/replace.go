package scim

import (
	"fmt"
	"strings"
)

// Create returns the resource that a POST of body makes (RFC 7644 section 3.3),
// or an *Error. Attributes that the service assigns are not in it: Set adds
// them.
func Create(body *Resource) (*Resource, error) {
	t := body.typ
	next := &Resource{typ: t, members: settle(body.members)}
	if t.active != nil && next.value(t.active).kind == Absent {
		next.set(t.active, BoolValue(true))
	}
	for _, top := range t.views {
		sent := body.value(top)
		if sent.unset() {
			sent = body.value(top.view)
		}
		next.setViews(top, sent)
	}
	return next, next.check()
}

// Replace returns the resource that a PUT of body makes of current (RFC 7644
// section 3.5.1), or an *Error: attribute by attribute, the body's value takes
// the place of the old one and what the body leaves out is cleared. Beyond that:
//
//   - readOnly attributes keep their value whatever was sent;
//   - an immutable attribute keeps its value, and another value is 400
//     mutability;
//   - active and externalId that were left out follow the rule set;
//   - the two views of one value are brought together, see setViews; ignored
//     names the views whose value lost.
//
// When nothing changes, next equals current.
func Replace(current, body *Resource) (next *Resource, ignored []string, err error) {
	t := body.typ
	members, err := replaceMembers(t.root, current.members, body.members)
	if err != nil {
		return nil, nil, err
	}
	next = &Resource{typ: t, members: members, left: current.left}
	if t.active != nil && next.value(t.active).kind == Absent {
		if t.Rules.KeepOmittedActive {
			next.set(t.active, current.value(t.active))
		} else {
			next.set(t.active, BoolValue(true))
		}
	}
	if ext := t.externalID; t.Rules.KeepOmittedExternalID && body.value(ext).kind == Absent {
		next.set(ext, current.value(ext))
	}
	for _, top := range t.views {
		old, a, b := current.value(top), body.value(top), body.value(top.view)
		sent := a
		switch {
		case a.kind == Absent:
			sent = b
		case b.kind == Absent:
		case a.same(old): // the view that the client edited is the other one
			sent = b
		case !b.same(old) && !b.same(a):
			ignored = append(ignored, top.view.Path)
		}
		next.setViews(top, sent)
	}
	return next, ignored, next.check()
}

// replaceMembers makes the members of one level: those at the top, or those of
// an extension, whose attributes are replaced one by one like those at the top.
// A complex attribute is replaced as a whole, but for what a client cannot
// write in it.
func replaceMembers(scope *Attr, current, body []Member) ([]Member, error) {
	members := make([]Member, 0, max(len(current), len(body))+2)
	for _, a := range scope.subs {
		var old, sent Value
		old, current = shift(current, a)
		sent, body = shift(body, a)
		if old.kind == Absent && sent.kind == Absent || a.linked {
			continue
		}
		switch {
		case a.Mutability == ReadOnly:
			sent = old
		case a.Mutability == Immutable && !old.unset():
			if !sent.unset() && !sent.Equal(old) {
				return nil, immutable(a)
			}
			sent = old
		case a.Extension, a.guarded && !old.unset() && !sent.unset():
			below, err := replaceMembers(a, old.Members(), sent.Members())
			if err != nil {
				return nil, err
			}
			sent = objectValue(below)
		}
		if !sent.unset() {
			members = append(members, Member{a, sent})
		}
	}
	return members, nil
}

func immutable(a *Attr) *Error {
	return Errorf(400, Mutability, "%s is immutable: it stays as it is, send the same value or leave it out", a.Path)
}

// shift returns the value of a when members begin with it, and the members
// that follow.
func shift(members []Member, a *Attr) (Value, []Member) {
	if len(members) > 0 && members[0].Attr == a {
		return members[0].Value, members[1:]
	}
	return Value{}, members
}

// settle returns members without those that have no value: null, [] and {} are
// one state (RFC 7643 section 2.5).
func settle(members []Member) []Member {
	out := make([]Member, 0, len(members)+1)
	for _, m := range members {
		if m.Attr.Extension {
			m.Value = objectValue(settle(m.Value.Members()))
		}
		if !m.Value.unset() && !m.Attr.linked {
			out = append(out, m)
		}
	}
	return out
}

// setViews stores one value under both of its names.
func (r *Resource) setViews(top *Attr, v Value) {
	r.set(top, v)
	r.set(top.view, v)
}

// check enforces what holds of every stored resource.
func (r *Resource) check() error {
	t := r.typ
	if err := checkRequired(t.root, r.members); err != nil {
		return err
	}
	if t.userName != nil {
		if name := r.value(t.userName); name.kind == String && strings.TrimSpace(name.text) == "" {
			return Errorf(400, InvalidValue, "userName is blank")
		}
	}
	for i := range r.members {
		m := &r.members[i]
		if primary := m.Attr.primary; primary != nil {
			if n := count(m.Value.Items(), primary); n > 1 {
				return Errorf(400, InvalidValue, "%s has %d primary values: mark one at the most (RFC 7643 section 2.4)", m.Attr.Path, n)
			}
		}
	}
	if t.emails == nil || !t.Rules.RequireEmails && !t.Rules.RequirePrimaryEmail {
		return nil
	}
	emails := r.value(t.emails).Items()
	if t.Rules.RequireEmails && len(emails) == 0 {
		return Errorf(400, InvalidValue, "emails is required: send at least one, one of them with \"primary\": true")
	}
	for i, e := range emails {
		if strings.TrimSpace(e.Sub("value").text) == "" {
			return Errorf(400, InvalidValue, "emails[%d] has no value", i)
		}
	}
	if t.Rules.RequirePrimaryEmail && len(emails) > 0 && count(emails, t.emails.primary) == 0 {
		return Errorf(400, InvalidValue, "no e-mail is primary: mark one of emails with \"primary\": true")
	}
	return nil
}

func count(items []Value, primary *Attr) (n int) {
	for _, it := range items {
		if find(it.Members(), primary).Bool() {
			n++
		}
	}
	return n
}

// checkRequired demands the required attributes of a level and, of each complex
// value that is there, its required sub-attributes (RFC 7643 section 2.2).
func checkRequired(scope *Attr, members []Member) error {
	for _, a := range scope.required {
		if !find(members, a).unset() {
			continue
		}
		if a.MultiValued {
			return Errorf(400, InvalidValue, "%s is required: send at least one value", a.Path)
		}
		return Errorf(400, InvalidValue, "%s is required", a.Path)
	}
	for i := range members {
		m := &members[i]
		if !m.Attr.demanding {
			continue
		}
		for _, o := range objects(m.Value) {
			if err := checkRequired(m.Attr, o.Members()); err != nil {
				return err
			}
		}
	}
	return nil
}

// objects returns the one object that v is, or those that it lists.
func objects(v Value) []Value {
	if v.kind == List {
		return v.Items()
	}
	return []Value{v}
}

// A Difference is one attribute that has another value in one resource than in
// the other: at the top, or of an extension. An absent side has no value.
type Difference struct {
	Attr          *Attr
	Before, After Value
}

// Diff returns the differences from before to after in canonical order; either
// may be nil, which has no attribute. Of two views of one value it names the one
// at the top.
func Diff(before, after *Resource) []Difference {
	var out []Difference
	var walk func(scope *Attr, before, after []Member)
	walk = func(scope *Attr, before, after []Member) {
		for _, a := range scope.subs {
			var b, c Value
			b, before = shift(before, a)
			c, after = shift(after, a)
			switch {
			case a.Extension:
				walk(a, b.Members(), c.Members())
			case a.view != nil && scope.Extension:
			case !b.Equal(c):
				out = append(out, Difference{a, b, c})
			}
		}
	}
	var root *Attr
	var old, cur []Member
	if before != nil {
		root, old = before.typ.root, before.members
	}
	if after != nil {
		root, cur = after.typ.root, after.members
	}
	if root != nil {
		walk(root, old, cur)
	}
	return out
}

func (d Difference) String() string {
	return fmt.Sprintf("%s: %s -> %s", d.Attr.Path, d.Before.AppendJSON(nil), d.After.AppendJSON(nil))
}
