package action

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/scim"
)

// An Op is what happens to an attribute.
type Op string

// The operations of a Change.
const (
	Add     Op = "add"
	Replace Op = "replace"
	Clear   Op = "clear"
)

// A Change is one attribute, one part of a complex one, or one value of a
// multi-valued one, before and after.
type Change struct {
	Op Op `json:"op"`
	// Attribute is its path: "title", "name.givenName", "emails[work]",
	// "urn:…:User:department".
	Attribute string         `json:"attribute"`
	Before    jsontext.Value `json:"before,omitempty"` // empty: there was none
	After     jsontext.Value `json:"after,omitempty"`  // empty: there is none
	// Defaulted says that nobody gave the value: a rule of the directory set it.
	Defaulted bool `json:"defaulted,omitzero"`
	// Warning says that it is easily done by mistake: something is cleared that
	// may only have been left out, or somebody is re-activated by default.
	Warning bool `json:"warning,omitzero"`
}

// String returns the change as a line: "~ title: "Engineer" -> "CTO"".
func (c Change) String() string {
	suffix := ""
	switch {
	case c.Defaulted && c.Warning:
		suffix = " (defaulted: re-activates)"
	case c.Defaulted:
		suffix = " (defaulted)"
	}
	switch {
	case c.Op == Clear:
		return fmt.Sprintf("- %s: %s -> (cleared)%s", c.Attribute, c.Before, suffix)
	case c.Op == Add:
		return fmt.Sprintf("+ %s: %s%s", c.Attribute, c.After, suffix)
	}
	return fmt.Sprintf("~ %s: %s -> %s%s", c.Attribute, c.Before, c.After, suffix)
}

// Changes returns what differs from before to after, in the order of the schema:
// single attributes as they are, complex ones part by part, multi-valued ones
// value by value. Either may be nil, which has no attribute.
func Changes(before, after *scim.Resource) []Change {
	var out []Change
	for _, d := range scim.Diff(before, after) {
		if d.Attr.Mutability != scim.ReadOnly {
			out = append(out, changesOf(d.Attr, d.Before, d.After)...)
		}
	}
	return out
}

// changesOf returns the changes of one attribute.
func changesOf(a *scim.Attr, before, after scim.Value) []Change {
	switch {
	case secret(a):
		return []Change{masked(a.Path, before, after)}
	case a.MultiValued:
		return changesOfList(a.Path, before.Items(), after.Items())
	case a.Type == scim.TypeComplex:
		return changesOfParts(a.Path+".", "", before, after)
	}
	return []Change{change(a.Path, before, after)}
}

// Recorded returns a change that an event holds as a plan has it: value by value,
// where t knows the attribute, and else as it is. Nothing in it is a warning.
func Recorded(t *scim.Type, ch roster.Change) []Change {
	c := Change{Op: Replace, Attribute: ch.Attribute, Before: ch.Before, After: ch.After}
	switch {
	case len(ch.Before) == 0:
		c.Op = Add
	case len(ch.After) == 0:
		c.Op = Clear
	}
	a := t.Attr(ch.Attribute)
	if a == nil || !a.MultiValued && a.Type != scim.TypeComplex {
		return []Change{c}
	}
	var values [2]scim.Value
	for i, raw := range []jsontext.Value{ch.Before, ch.After} {
		if len(raw) == 0 {
			continue
		}
		var err error
		if values[i], err = t.Stored(ch.Attribute, raw); err != nil {
			return []Change{c}
		}
	}
	out := changesOf(a, values[0], values[1])
	for i := range out {
		out[i].Warning = false
	}
	return out
}

// changesOfUnknown returns what differs between two documents in the attributes
// that t does not know, whole as they are: those of a service's own schemas. A
// PUT that leaves them out clears them too.
func changesOfUnknown(t *scim.Type, before, after jsontext.Value) []Change {
	b, err := parseObject(before)
	if err != nil {
		return nil // its readers have said so
	}
	a, err := parseObject(after)
	if err != nil {
		return nil
	}
	var out []Change
	for _, m := range b {
		if !isUnknown(t, m.name) {
			continue
		}
		c := Change{Op: Replace, Attribute: m.name, Before: m.value, After: a.get(m.name)}
		if len(c.After) == 0 || c.After.Kind() == 'n' {
			c.Op, c.After, c.Warning = Clear, nil, true
		}
		if !sameJSON(c.Before, c.After) && m.value.Kind() != 'n' {
			out = append(out, c)
		}
	}
	return out
}

// sameJSON reports whether two values are the same but for spaces, the order of
// members and the form of numbers.
func sameJSON(v, w jsontext.Value) bool {
	v, w = v.Clone(), w.Clone()
	return v.Canonicalize() == nil && w.Canonicalize() == nil && string(v) == string(w)
}

// secret reports whether an attribute is one that no answer shows.
func secret(a *scim.Attr) bool {
	return a.Returned == scim.ReturnedNever || a.Mutability == scim.WriteOnly
}

// masked is change for a value that is not shown.
func masked(path string, before, after scim.Value) Change {
	c := change(path, before, after)
	for _, v := range []*jsontext.Value{&c.Before, &c.After} {
		if len(*v) > 0 {
			*v = jsontext.Value(`"***"`)
		}
	}
	return c
}

// change returns the change of one value, one side of which may be absent.
func change(path string, before, after scim.Value) Change {
	c := Change{Op: Replace, Attribute: path}
	if before.Kind() == scim.Absent {
		c.Op = Add
	} else {
		c.Before = before.AppendJSON(nil)
	}
	if after.Kind() == scim.Absent {
		c.Op, c.Warning = Clear, true
	} else {
		c.After = after.AppendJSON(nil)
	}
	return c
}

// changesOfParts returns the changes between the members of two complex values,
// but for the member called skip.
func changesOfParts(prefix, skip string, before, after scim.Value) []Change {
	var out []Change
	for _, m := range before.Members() {
		if w := after.Sub(m.Attr.Name); m.Attr.Name != skip && !m.Value.Equal(w) {
			out = append(out, changeOfPart(m.Attr)(prefix+m.Attr.Name, m.Value, w))
		}
	}
	for _, m := range after.Members() {
		if before.Sub(m.Attr.Name).Kind() == scim.Absent && m.Attr.Name != skip {
			out = append(out, changeOfPart(m.Attr)(prefix+m.Attr.Name, scim.Value{}, m.Value))
		}
	}
	return out
}

func changeOfPart(a *scim.Attr) func(path string, before, after scim.Value) Change {
	if secret(a) {
		return masked
	}
	return change
}

// changesOfList returns the changes between two lists: values are matched by
// their value, and those that are left by their type, so that another address of
// the same type is one change.
func changesOfList(path string, before, after []scim.Value) []Change {
	if len(after) == 0 {
		return []Change{{Op: Clear, Attribute: path, Before: brief(before), Warning: true}}
	}
	old := make([]int, len(after)) // the index in before of what each became, or -1
	taken := make([]bool, len(before))
	for j := range old {
		old[j] = -1
	}
	match := func(same func(b, a scim.Value) bool) {
		for j, a := range after {
			for i, b := range before {
				if old[j] < 0 && !taken[i] && same(b, a) {
					old[j], taken[i] = i, true
				}
			}
		}
	}
	match(func(b, a scim.Value) bool { return b.Equal(a) })
	match(func(b, a scim.Value) bool { return hasText(a, "value") && a.Sub("value").Equal(b.Sub("value")) })
	match(func(b, a scim.Value) bool { return hasText(a, "type") && a.Sub("type").Equal(b.Sub("type")) })

	var out []Change
	for i, b := range before {
		if !taken[i] {
			out = append(out, Change{Op: Clear, Attribute: label(path, before, b), Before: shown(b), Warning: true})
		}
	}
	for j, a := range after {
		if old[j] < 0 {
			out = append(out, Change{Op: Add, Attribute: label(path, after, a), After: shown(a)})
			continue
		}
		b, name := before[old[j]], label(path, after, a)
		if was, is := b.Sub("value"), a.Sub("value"); was.Kind() != is.Kind() || !was.Equal(is) {
			out = append(out, change(name, was, is))
		}
		out = append(out, changesOfParts(name+".", "value", b, a)...)
	}
	if len(out) == 0 { // only the order differs
		out = append(out, Change{Op: Replace, Attribute: path, Before: brief(before), After: brief(after)})
	}
	return out
}

func hasText(v scim.Value, sub string) bool { return v.Sub(sub).Text() != "" }

// label names one value of a list: by its type where no other value has it, else
// by itself.
func label(path string, list []scim.Value, v scim.Value) string {
	typ, n := v.Sub("type").Text(), 0
	for _, w := range list {
		if w.Sub("type").Text() == typ {
			n++
		}
	}
	switch {
	case typ != "" && n == 1 && !strings.ContainsAny(typ, "[]\"\n"):
		return path + "[" + typ + "]"
	case hasText(v, "value"):
		return path + "[" + string(v.Sub("value").AppendJSON(nil)) + "]"
	}
	return path
}

// shown returns what stands for one value of a list: its value, or all of it.
func shown(v scim.Value) jsontext.Value {
	if v.Kind() == scim.Object && hasText(v, "value") {
		v = v.Sub("value")
	}
	return v.AppendJSON(nil)
}

// brief returns a list as an array of what stands for its values.
func brief(list []scim.Value) jsontext.Value {
	out := []byte{'['}
	for i, v := range list {
		if i > 0 {
			out = append(out, ", "...)
		}
		out = append(out, shown(v)...)
	}
	return append(out, ']')
}

// ChangesOfUser is Changes of two answers of a service that show a whole user
// each, as t reads them.
func ChangesOfUser(t *scim.Type, before, after jsontext.Value) ([]Change, error) {
	was, err := readUser(t, before)
	if err != nil {
		return nil, err
	}
	is, err := readUser(t, after)
	if err != nil {
		return nil, err
	}
	return append(Changes(was, is), changesOfUnknown(t, before, after)...), nil
}
