package apply

import (
	"bytes"
	"fmt"
	"maps"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/scim"
)

// merge puts what a row sets into doc, in place. What the row does not name
// stays.
func merge(t *scim.Type, doc object, sets []Set) error {
	old := maps.Clone(doc)
	for i := range sets {
		s := &sets[i]
		a := t.Attr(s.Path)
		if a == nil {
			return fmt.Errorf("the directory has no attribute %s", s.Path)
		}
		if a.Path == "id" {
			continue
		}
		path := namesOf(a)
		other := twin(t, a)
		// Of two places that show one value, the one that was edited counts.
		if other != nil && len(s.Value) > 0 && bytes.Equal(valueAt(old, path), s.Value) {
			continue
		}
		v := s.Value
		if s.Type != "" || s.Primary {
			old, err := listAt(doc, path)
			if err != nil {
				return fmt.Errorf("%s: %w", a.Path, err)
			}
			if v, err = setOne(a, old, s); err != nil {
				return fmt.Errorf("%s: %w", a.Path, err)
			}
		}
		if err := doc.setAt(path, v); err != nil {
			return fmt.Errorf("%s: %w", a.Path, err)
		}
		if a.Path == "externalId" && v.Kind() == 'n' {
			doc["externalId"] = v // left out, it stays in some directories
		}
		if other != nil {
			if err := doc.setAt(namesOf(other), v); err != nil {
				return fmt.Errorf("%s: %w", other.Path, err)
			}
		}
	}
	return markLone(t, doc)
}

// namesOf returns the names that lead to a in a document.
func namesOf(a *scim.Attr) []string {
	var names []string
	for ; a != nil; a = a.Above() {
		names = append([]string{a.Name}, names...)
	}
	return names
}

// twin returns the other place where a directory shows the value of a: under
// Atlassian's rules department and organization are at the top and in the
// enterprise extension; nil: there is none.
func twin(t *scim.Type, a *scim.Attr) *scim.Attr {
	if t.Rules.Schemas != scim.Atlassian {
		return nil
	}
	if up := a.Above(); up != nil && up.Name == scim.EnterpriseUserURN {
		if top := t.Attr(a.Name); top != a {
			return top
		}
		return nil
	}
	if a.Above() == nil {
		return t.Attr(scim.EnterpriseUserURN + ":" + a.Name)
	}
	return nil
}

// listAt returns the objects of the list at path.
func listAt(doc object, path []string) ([]object, error) {
	v := doc.get(path[0])
	for _, name := range path[1:] {
		below, err := parseObject(v)
		if v == nil || err != nil {
			return nil, nil
		}
		v = below.get(name)
	}
	if v.Kind() == '{' {
		v = jsontext.Value("[" + string(v) + "]")
	}
	if v.Kind() != '[' {
		return nil, nil
	}
	var list []object
	err := json.Unmarshal(v, &list, loose)
	return list, err
}

// setOne returns a list with one value of it changed, added or taken away: that
// of a type, or the primary one.
func setOne(a *scim.Attr, list []object, s *Set) (jsontext.Value, error) {
	at := -1
	for i, o := range list {
		if s.Primary && isTrue(o.get("primary")) || s.Type != "" && strings.EqualFold(o.text("type"), s.Type) {
			if at >= 0 {
				return nil, fmt.Errorf("there are two values of type %q: give the list as JSON", s.Type)
			}
			at = i
		}
	}
	if at < 0 && s.Primary && len(list) > 0 {
		at = 0 // where none is marked, the first one is meant
	}
	sub := s.Sub
	if sub == "" {
		sub = "value"
	}
	clears := s.Value.Kind() == 'n'
	switch {
	case at < 0 && clears:
	case at < 0:
		o := object{sub: s.Value, "type": quote(s.Type)}
		if s.Type == "" {
			o.set("type", quote("work"))
		}
		if len(list) == 0 && a.Sub("primary") != nil && s.Primary {
			o["primary"] = jsontext.Value("true")
		}
		list = append(list, o)
	case clears && sub == "value":
		list = append(list[:at], list[at+1:]...)
	default:
		list[at].set(sub, s.Value)
	}
	if len(list) == 0 {
		return jsontext.Value("null"), nil
	}
	return json.Marshal(list, json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
}

// markLone marks a lone e-mail primary where the rules demand one.
func markLone(t *scim.Type, doc object) error {
	if !t.Rules.RequirePrimaryEmail {
		return nil
	}
	list, err := listAt(doc, []string{"emails"})
	if err != nil || len(list) != 1 || len(list[0].get("primary")) > 0 {
		return err
	}
	list[0]["primary"] = jsontext.Value("true")
	v, err := json.Marshal(list, json.Deterministic(true))
	doc.set("emails", v)
	return err
}

// read reads a person as a service shows it, with what the rules tolerate, else
// exactly.
func read(t *scim.Type, doc jsontext.Value) (*scim.Resource, error) {
	o, err := own(doc)
	if err != nil {
		return nil, err
	}
	clean, err := o.json()
	if err != nil {
		return nil, err
	}
	r, _, err := t.Parse(clean)
	if err != nil {
		r, err = t.Decode(clean)
	}
	return r, err
}
