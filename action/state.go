package action

import (
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/scim"
)

// A state is a resource as it was, is or is to become.
type state struct {
	typ   *scim.Type
	doc   jsontext.Value // as a service shows it, or as it is sent; empty: there is no document
	known *scim.Resource // what the rules know of it; nil: there is none
	// members are the ids of a group's members, in order, each once. listed says that
	// they are known: nil is then none.
	members []string
	listed  bool
}

// readUser reads an answer of a service: with what the rules tolerate, as services
// differ, else exactly. What is null is not there.
func readUser(t *scim.Type, doc jsontext.Value) (*scim.Resource, error) {
	clean, err := known(t, doc, nil)
	if err != nil {
		return nil, err
	}
	r, _, err := t.Parse(clean)
	if err != nil {
		r, err = t.Decode(clean)
	}
	return r, err
}

// readState is readUser of a user or group.
func readState(t *scim.Type, doc jsontext.Value) (*state, error) {
	r, err := readUser(t, doc)
	if err != nil {
		return nil, err
	}
	return stateOf(r, doc)
}

// stateOf returns a resource with its members taken out of it.
func stateOf(r *scim.Resource, doc jsontext.Value) (*state, error) {
	s := &state{typ: r.Type(), doc: doc, known: r}
	if s.typ.Schema != scim.GroupURN {
		return s, nil
	}
	rest, links, sent, err := r.TakeLinks()
	if err != nil {
		return nil, err
	}
	s.known, s.listed = rest, sent
	for _, l := range links {
		s.members = append(s.members, l.ID)
	}
	return s, nil
}

// name returns what people know the resource by.
func (s *state) name() string {
	if s.typ.Schema == scim.GroupURN {
		return s.known.Get("displayName").Text()
	}
	return s.known.Get("userName").Text()
}

// shows reports whether s, an answer, has the members that after has, so that they
// can be compared: services leave out those of a large group.
func (s *state) shows(after *state) bool { return s.listed || len(after.members) == 0 }

// replace returns what a PUT of body makes of s, and the attributes in it that are
// passed over. An error of the rules is a *scim.Error.
func (s *state) replace(t *scim.Type, body jsontext.Value) (_ *state, ignored []string, err error) {
	r, notes, err := t.Parse(body)
	if err != nil {
		return nil, nil, err
	}
	want, err := stateOf(r, nil)
	if err != nil {
		return nil, nil, err
	}
	if t.Schema == scim.GroupURN && t.Rules.RefuseGroupRename && want.name() != s.name() {
		return nil, nil, scim.Errorf(400, scim.Mutability, "displayName: this directory never changes the name of a group: it is %q", s.name())
	}
	next, lost, err := scim.Replace(s.known, want.known)
	if err != nil {
		return nil, nil, err
	}
	after := &state{typ: t, known: next, members: want.members, listed: true}
	if !want.listed && t.Rules.KeepOmittedMembers {
		after.members = s.members
	}
	return after, slices.Concat(notes.Ignored, lost), nil
}

// changes returns what differs from s, which may be nil, to after.
func (s *state) changes(after *state) []Change {
	if s == nil {
		return append(Changes(nil, after.known), changesOfMembers(nil, after.members)...)
	}
	out := append(Changes(s.known, after.known), changesOfMembers(s.members, after.members)...)
	if len(s.doc) > 0 && len(after.doc) > 0 {
		out = append(out, changesOfUnknown(s.typ, s.doc, after.doc)...)
	}
	return out
}

// changesOfMembers returns who is no longer a member, and then who is a new one.
func changesOfMembers(before, after []string) []Change {
	var out []Change
	is := make(map[string]bool, len(after))
	for _, id := range after {
		is[id] = true
	}
	was := make(map[string]bool, len(before))
	for _, id := range before {
		was[id] = true
		if !is[id] {
			out = append(out, Change{Op: Clear, Attribute: "members", Before: quoteJSON(id), Warning: true})
		}
	}
	for _, id := range after {
		if !was[id] {
			out = append(out, Change{Op: Add, Attribute: "members", After: quoteJSON(id)})
		}
	}
	return out
}

// quoteJSON returns a text as JSON.
func quoteJSON(s string) jsontext.Value {
	v, err := jsontext.AppendQuote(nil, strings.ToValidUTF8(s, "\uFFFD"))
	if err != nil {
		return nil // of valid UTF-8 there is no error
	}
	return v
}

// noun is what messages call a resource of a type: "user".
func noun(resourceType string) string { return strings.ToLower(resourceType) }
