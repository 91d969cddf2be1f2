package scim

import "slices"

// A Link is one group of a user, or one member of a group.
type Link struct {
	ID      string
	Type    string // of a group "direct" or "indirect", of a member its resource type
	Display string // empty: none
}

// Linked returns the attribute that is kept as memberships: groups of a User,
// members of a Group; or nil.
func (t *Type) Linked() *Attr { return t.linked }

// TakeLinks splits the body of a POST or PUT: into what is stored as a document,
// and the links that were sent, each once. sent is false when the body leaves
// them out; null and [] are no links. A link without a value is an *Error.
func (r *Resource) TakeLinks() (doc *Resource, links []Link, sent bool, err error) {
	a := r.typ.linked
	if a == nil {
		return r, nil, false, nil
	}
	v := r.value(a)
	if v.kind == Absent {
		return r, nil, false, nil
	}
	seen := make(map[string]bool, len(v.Items()))
	for i, it := range v.Items() {
		l := Link{ID: it.Sub("value").text, Type: it.Sub("type").text}
		if l.ID == "" {
			return nil, nil, false, Errorf(400, InvalidValue, "%s[%d] has no value: send the id of a resource", a.Path, i)
		}
		if !seen[l.ID] {
			seen[l.ID] = true
			links = append(links, l)
		}
	}
	doc = &Resource{typ: r.typ, members: slices.DeleteFunc(slices.Clone(r.members), func(m Member) bool { return m.Attr == a }), left: r.left}
	return doc, links, true, nil
}

// linkedMembers returns members with the links that p shows.
func (t *Type) linkedMembers(members []Member, m *Meta, p *Projection) []Member {
	if t.linked == nil || !p.show[t.linked.ord] || len(m.Links) == 0 && !t.showsNoLinks() {
		return members
	}
	return append(members, Member{t.linked, t.linkValue(m.Links, m.Base)})
}

// linkValue returns links as the value of the linked attribute, with references
// when there is a base for them.
func (t *Type) linkValue(links []Link, base string) Value {
	if len(links) == 0 {
		return Value{kind: List}
	}
	refers, before := base != "", base+"/"
	if t.Rules.RelativeReferences {
		before = ""
	}
	items := make([]Value, len(links))
	room := make([]Member, 0, len(items)*len(t.linked.subs))
	for i, l := range links {
		from := len(room)
		for _, a := range t.linked.subs {
			text := ""
			switch a.Name {
			case "value":
				text = l.ID
			case "display":
				text = l.Display
			case "type":
				text = l.Type
			case "$ref":
				switch {
				case !refers:
				case l.Type == "User":
					text = before + "Users/" + l.ID
				default:
					text = before + "Groups/" + l.ID
				}
			}
			if text != "" {
				room = append(room, Member{a, StringValue(text)})
			}
		}
		items[i] = objectValue(room[from:len(room):len(room)])
	}
	return listValue(items)
}

// WithLinks returns r with links as a value of it, as TakeLinks takes them: for
// Match, and for a document in the trash.
func (r *Resource) WithLinks(links []Link) *Resource {
	next := &Resource{typ: r.typ, members: slices.Clone(r.members), left: r.left}
	next.set(r.typ.linked, r.typ.linkValue(links, ""))
	return next
}
