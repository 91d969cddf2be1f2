package action

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/scim"
)

// A member is one name and value of an object, in the order of its document.
type member struct {
	name  string
	value jsontext.Value
}

// An object is a JSON object whose names are found without regard to case, as
// SCIM's are.
type object []member

// parseObject reads a JSON object. Of a name that is there twice, as services
// send against RFC 8259's advice, the last one counts.
func parseObject(v jsontext.Value) (object, error) {
	dec := jsontext.NewDecoder(bytes.NewReader(v), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if t, err := dec.ReadToken(); err != nil || t.Kind() != '{' {
		return nil, fmt.Errorf("expected a JSON object, not %s", kindName(v.Kind()))
	}
	var o object
	for dec.PeekKind() == '"' {
		t, err := dec.ReadToken()
		if err != nil {
			return nil, err
		}
		name := t.String()
		value, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		o.put(name, value.Clone())
	}
	_, err := dec.ReadToken()
	return o, err
}

func (o object) find(name string) int {
	for i := range o {
		if strings.EqualFold(o[i].name, name) {
			return i
		}
	}
	return -1
}

// get returns the value of a name, empty when there is none.
func (o object) get(name string) jsontext.Value {
	if i := o.find(name); i >= 0 {
		return o[i].value
	}
	return nil
}

// text returns the text of a name whose value is a string, else "".
func (o object) text(name string) string {
	return Input{name: o.get(name)}.text(name)
}

// isTrue reports whether the value of a name is true, or "true" as some services
// send it.
func (o object) isTrue(name string) bool {
	return o.get(name).Kind() == 't' || strings.EqualFold(o.text(name), "true")
}

// put gives a name a value, in the place of the one that it has.
func (o *object) put(name string, v jsontext.Value) {
	if i := o.find(name); i >= 0 {
		(*o)[i].value = v
	} else {
		*o = append(*o, member{name, v})
	}
}

// drop takes a name away.
func (o *object) drop(name string) {
	if i := o.find(name); i >= 0 {
		*o = append((*o)[:i], (*o)[i+1:]...)
	}
}

// set is put, or drop where the value is null.
func (o *object) set(name string, v jsontext.Value) {
	if v.Kind() == 'n' {
		o.drop(name)
	} else {
		o.put(name, v)
	}
}

func (o object) append(dst []byte) (jsontext.Value, error) {
	dst = append(dst, '{')
	for i, m := range o {
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = jsontext.AppendQuote(dst, strings.ToValidUTF8(m.name, "\uFFFD")); err != nil {
			return nil, err
		}
		dst = append(append(dst, ':'), m.value...)
	}
	return append(dst, '}'), nil
}

// serviceOwn are the members of a user that a service writes itself. Of what t
// knows to be readOnly it ignores what is sent.
var serviceOwn = []string{"id", "meta", "groups", "schemas", scim.AtlassianExternalURN}

// isUnknown reports whether t has no attribute of that name: it is one of a
// service's own schemas.
func isUnknown(t *scim.Type, name string) bool {
	return t.Attr(name) == nil && !slices.ContainsFunc(serviceOwn, func(s string) bool { return strings.EqualFold(s, name) })
}

// known returns what t knows of a user, and what in gives, without what is null.
func known(t *scim.Type, doc jsontext.Value, in Input) (jsontext.Value, error) {
	o, err := parseObject(doc)
	if err != nil {
		return nil, err
	}
	o = slices.DeleteFunc(o, func(m member) bool {
		return m.value.Kind() == 'n' || isUnknown(t, m.name) && len(in[m.name]) == 0
	})
	o.drop("schemas") // which names those of the unknown ones
	return o.append(nil)
}

// keepBody returns the body of a PUT that changes only what in names: the resource
// as the service shows it, attributes that t does not know included, with the
// parameters of in put into it. The parts of a name that are not given stay; so
// do the values of a list, see mergeList.
func keepBody(t *scim.Type, m *Manifest, current jsontext.Value, in Input) (jsontext.Value, error) {
	doc, err := parseObject(current)
	if err != nil {
		return nil, err
	}
	for _, name := range serviceOwn {
		doc.drop(name)
	}
	if t.Rules.KeepOmittedMembers && len(in["members"]) == 0 {
		doc.drop("members") // there may be more than a request can hold
	}
	if err := doc.keepMembers(t); err != nil {
		return nil, err
	}
	for _, p := range m.Parameters() {
		v, ok := in[p.Name]
		if !ok || p.In != InBody {
			continue
		}
		switch old := doc.get(p.Name); {
		case p.Type == Object && v.Kind() == '{' && old.Kind() == '{':
			v, err = mergeObject(old, v)
		case p.Type == Array && v.Kind() == '[' && old.Kind() == '[':
			v, err = mergeList(old, v)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		if p.Name == "emails" {
			v = markLone(v)
		}
		doc.set(p.Name, v)
		if err := doc.setView(t, p.Name, v); err != nil {
			return nil, err
		}
	}
	schemas := []string{t.Schema}
	for _, m := range doc {
		if strings.HasPrefix(strings.ToLower(m.name), "urn:") {
			schemas = append(schemas, m.name)
		}
	}
	list, err := json.Marshal(schemas)
	if err != nil {
		return nil, err
	}
	return append(object{{"schemas", list}}, doc...).append(nil)
}

// keepMembers leaves of the members of a group what a service needs to know them by,
// so that a large group still fits into a request.
func (o *object) keepMembers(t *scim.Type) error {
	if t.Schema != scim.GroupURN || o.get("members").Kind() != '[' {
		return nil
	}
	list, err := parseList(o.get("members"))
	if err != nil {
		return err
	}
	dst := []byte{'['}
	for i, m := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		one := object{{"value", m.get("value")}}
		if typ := m.text("type"); typ != "" && typ != "User" {
			one = append(one, member{"type", m.get("type")})
		}
		if dst, err = one.append(dst); err != nil {
			return err
		}
	}
	o.put("members", append(dst, ']'))
	return nil
}

// setView gives the other view of an attribute the same value: Atlassian's
// department and organization are in the enterprise extension too.
func (o *object) setView(t *scim.Type, name string, v jsontext.Value) error {
	path := scim.EnterpriseUserURN + ":" + name
	old := o.get(scim.EnterpriseUserURN)
	if old.Kind() != '{' || t.Attr(name) == nil || t.Attr(path) == nil {
		return nil
	}
	ext, err := parseObject(old)
	if err != nil {
		return err
	}
	ext.set(name, v)
	doc, err := ext.append(nil)
	o.set(scim.EnterpriseUserURN, doc)
	return err
}

// mergeObject puts the members of one object into another; null takes one away.
func mergeObject(old, given jsontext.Value) (jsontext.Value, error) {
	o, err := parseObject(old)
	if err != nil {
		return nil, err
	}
	g, err := parseObject(given)
	if err != nil {
		return nil, err
	}
	for _, m := range g {
		o.set(m.name, m.value)
	}
	return o.append(nil)
}

// mergeList puts the values of one list into another. A given value takes the
// place of the one with the same value, else of the one with its type, else, when
// it is primary, of the primary one that has no type; otherwise it is added. When
// a given one is primary, no other stays it. An empty list is none.
func mergeList(old, given jsontext.Value) (jsontext.Value, error) {
	before, err := parseList(old)
	if err != nil {
		return nil, err
	}
	values, err := parseList(given)
	if err != nil || len(values) == 0 {
		return given, err
	}
	taken := make([]bool, len(before))
	target := make([]int, len(values))
	for j := range target {
		target[j] = -1
	}
	match := func(same func(b, g object) bool) {
		for j, g := range values {
			for i, b := range before {
				if target[j] < 0 && !taken[i] && same(b, g) {
					target[j], taken[i] = i, true
				}
			}
		}
	}
	match(func(b, g object) bool {
		return g.text("value") != "" && strings.EqualFold(b.text("value"), g.text("value"))
	})
	match(func(b, g object) bool {
		return g.text("type") != "" && strings.EqualFold(b.text("type"), g.text("type"))
	})
	match(func(b, g object) bool { return b.text("type") == "" && b.isTrue("primary") && g.isTrue("primary") })
	out, first := before, -1 // the place of the given value that is primary
	for j, g := range values {
		if target[j] < 0 {
			target[j] = len(out)
			out = append(out, nil)
		}
		for _, m := range g {
			out[target[j]].set(m.name, m.value)
		}
		if g.isTrue("primary") {
			first = target[j]
		}
	}
	dst := []byte{'['}
	for i := range out {
		if first >= 0 && i != first && out[i].isTrue("primary") {
			out[i].drop("primary")
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = out[i].append(dst); err != nil {
			return nil, err
		}
	}
	return append(dst, ']'), nil
}

// parseList reads an array of objects.
func parseList(v jsontext.Value) ([]object, error) {
	var items []jsontext.Value
	if err := json.Unmarshal(v, &items, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil {
		return nil, err
	}
	list := make([]object, len(items))
	for i, it := range items {
		var err error
		if list[i], err = parseObject(it); err != nil {
			return nil, err
		}
	}
	return list, nil
}
