package apply

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/action"
	"github.com/roster-scim/roster/scim"
)

// ReasonColumn is the column, or the member of a JSON row, that says why a row
// failed in the file of failed rows. A Reader passes it over.
const ReasonColumn = "roster.reason"

// A Set is one attribute that a row gives a value.
type Set struct {
	Path string `json:"path"` // as of scim.Attr: "title", "name.givenName", "emails"
	// Type chooses the value of a list that has this type; Primary the primary
	// one. With neither, Path is set whole.
	Type    string `json:"type,omitzero"`
	Primary bool   `json:"primary,omitzero"`
	// Sub is the sub-attribute of the chosen value; empty: its value.
	Sub   string         `json:"sub,omitzero"`
	Value jsontext.Value `json:"value"` // null clears
}

// A column is what the cells under one name are about.
type column struct {
	name    string // as the file has it
	skip    bool   // nothing: it is passed over
	attr    *scim.Attr
	typ     string
	primary bool
	sub     *scim.Attr
}

// shortNames are the columns that people write and no schema has.
var shortNames = map[string]string{
	"email": "emails", "emailaddress": "emails", "mail": "emails", "phone": "phoneNumbers", "phonenumber": "phoneNumbers",
	"firstname": "name.givenName", "lastname": "name.familyName", "surname": "name.familyName",
}

// plainName returns a name without case and what people put between words.
func plainName(s string) string {
	return strings.ToLower(strings.NewReplacer(" ", "", "_", "", "-", "").Replace(s))
}

// columnOf reads the name of a column, as a person writes it: an attribute with
// its path, or its last part alone where only one has it; without regard to
// case. mapping gives other names for names; "-" passes a column over.
func columnOf(t *scim.Type, name string, mapping map[string]string) (column, error) {
	c := column{name: name}
	to := strings.TrimSpace(name)
	for from, other := range mapping {
		if strings.EqualFold(strings.TrimSpace(from), to) {
			to = other
			break
		}
	}
	if to == "-" || to == "" || strings.EqualFold(to, ReasonColumn) {
		c.skip = true
		return c, nil
	}
	part := "" // the sub-attribute behind the brackets
	base, rest, labelled := strings.Cut(to, "[")
	if labelled {
		label, after, ok := strings.Cut(rest, "]")
		sub, dotted := strings.CutPrefix(after, ".")
		if !ok || after != "" && !dotted || label == "" {
			return c, fmt.Errorf("column %q: expected a name such as emails[work] or emails[work].display", clip(name))
		}
		c.typ, part = label, sub
		if strings.EqualFold(label, "primary") {
			c.typ, c.primary = "", true
		}
	}
	a, err := attrOf(t, base)
	if err != nil {
		return c, fmt.Errorf("column %q: %w", clip(name), err)
	}
	if up := a.Above(); up != nil && up.MultiValued {
		if labelled {
			return c, fmt.Errorf("column %q: write it as %s[%s].%s", clip(name), up.Path, c.typ, a.Name)
		}
		a, c.sub, c.primary = up, a, true
	}
	c.attr = a
	if !labelled && a.MultiValued && a.Sub("value") != nil && !strings.EqualFold(base, a.Path) && t.Attr(base) == nil {
		c.primary = true // a short name is of one value
	}
	switch {
	case a.Returned == scim.ReturnedNever || a.Mutability == scim.WriteOnly:
		return c, fmt.Errorf("column %q: a secret is never kept in a plan: give it to the directory in another way", clip(name))
	case labelled && (!a.MultiValued || a.Sub("value") == nil || a.Sub("type") == nil):
		return c, fmt.Errorf("column %q: %s has no values with types", clip(name), a.Path)
	case part != "" && a.Sub(part) == nil:
		return c, fmt.Errorf("column %q: %s has no part %s", clip(name), a.Path, clip(part))
	case a.Mutability == scim.ReadOnly && a.Path != "id", a.Above() != nil && a.Above().Mutability == scim.ReadOnly:
		c.skip = true
	}
	if part != "" {
		c.sub = a.Sub(part)
	}
	return c, nil
}

// attrOf returns the attribute that a person calls name.
func attrOf(t *scim.Type, name string) (*scim.Attr, error) {
	found := findAttr(t, name)
	switch len(found) {
	case 1:
		return t.Attr(found[0]), nil
	case 0:
		return nil, &unknownError{name, nearAttr(t, name)}
	}
	return nil, fmt.Errorf("it can be %s: choose with --map '%s=ATTRIBUTE'", strings.Join(found, " or "), name)
}

// findAttr returns the paths of the attributes that a person may call name.
func findAttr(t *scim.Type, name string) (found []string) {
	if a := t.Attr(strings.TrimSpace(name)); a != nil {
		return []string{a.Path}
	}
	plain := plainName(name)
	if path, ok := shortNames[plain]; ok && t.Attr(path) != nil {
		return []string{path}
	}
	for _, a := range t.Attributes() {
		up := a.Above()
		if plainName(a.Path) == plain {
			return []string{a.Path}
		}
		if plainName(a.Name) == plain && up != nil && !up.MultiValued && up.Path != "meta" && !a.Extension {
			found = append(found, a.Path)
		}
	}
	return found
}

// nearAttr returns what a person who wrote name may have meant, "" where that is
// no mistyping.
func nearAttr(t *scim.Type, name string) string {
	names := slices.Sorted(maps.Keys(shortNames))
	for _, a := range t.Attributes() {
		names = append(names, a.Path, a.Name)
	}
	near := action.Near(name, names)
	if len(findAttr(t, near)) != 1 {
		return ""
	}
	return near
}

// An unknownError is that of a name that no attribute has.
type unknownError struct {
	name string
	near string // what may be meant, or ""
}

func (e *unknownError) Error() string {
	text := fmt.Sprintf("the directory has no such attribute: name one with --map '%s=ATTRIBUTE'", e.name)
	if e.near != "" {
		text = fmt.Sprintf("the directory has no such attribute: did you mean %s? Then give --map '%s=%[1]s'", e.near, e.name)
	}
	return text + fmt.Sprintf(", or pass the column over with --map '%s=-'", e.name)
}

// clearCell is the cell that clears.
const clearCell = "<clear>"

// jsonCell begins a cell whose value is written in JSON.
const jsonCell = "<json>"

// set reads a cell, which is not empty.
func (c *column) set(cell string) (Set, error) {
	s := Set{Path: c.attr.Path, Type: c.typ, Primary: c.primary}
	if c.sub != nil {
		s.Sub = c.sub.Name
	}
	a := c.attr
	text := strings.TrimSpace(cell)
	switch {
	case text == clearCell:
		s.Value = jsontext.Value("null")
		return s, nil
	case strings.HasPrefix(cell, jsonCell):
		s.Value = jsontext.Value(strings.TrimPrefix(cell, jsonCell))
		if !s.Value.IsValid() {
			return s, fmt.Errorf("%s: no JSON follows %s", c.name, jsonCell)
		}
		return s, nil
	case c.typ == "" && !c.primary && a.Type == scim.TypeComplex:
		if strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[") {
			s.Value = jsontext.Value(text)
			if !s.Value.IsValid() {
				return s, fmt.Errorf("%s: it begins as JSON, and is none", c.name)
			}
			return s, nil
		}
		v := a.Sub("value")
		if v == nil {
			return s, fmt.Errorf("%s: write it as JSON, or use a column for each part, such as %s.%s", c.name, a.Path, a.SubAttributes[0].Name)
		}
		if a.MultiValued {
			s.Primary = true
		} else {
			s.Path = v.Path
		}
		a = v
	case c.sub != nil:
		a = c.sub
	case a.Type == scim.TypeComplex:
		a = a.Sub("value")
	case a.MultiValued:
		return c.setList(s, text)
	}
	var err error
	if s.Value, err = scalar(a, cell); err != nil {
		return s, fmt.Errorf("%s: %w", c.name, err)
	}
	return s, nil
}

// setList reads a cell of simple values: a JSON array, or values with | between.
func (c *column) setList(s Set, text string) (Set, error) {
	if s.Value = jsontext.Value(text); strings.HasPrefix(text, "[") && s.Value.IsValid() {
		return s, nil
	}
	var list []jsontext.Value
	for part := range strings.SplitSeq(text, "|") {
		v, err := scalar(c.attr, strings.TrimSpace(part))
		if err != nil {
			return s, fmt.Errorf("%s: %w", c.name, err)
		}
		list = append(list, v)
	}
	var err error
	s.Value, err = json.Marshal(list)
	return s, err
}

// boolWords are how tables spell booleans.
var boolWords = map[string]string{"true": "true", "false": "false", "yes": "true", "no": "false", "1": "true", "0": "false"}

// scalar reads the text of one value of a.
func scalar(a *scim.Attr, text string) (jsontext.Value, error) {
	switch a.Type {
	case scim.TypeBoolean:
		word, ok := boolWords[strings.ToLower(strings.TrimSpace(text))]
		if !ok {
			return nil, fmt.Errorf("%q is not one of %s", clip(text), strings.Join(slices.Sorted(maps.Keys(boolWords)), ", "))
		}
		return jsontext.Value(word), nil
	case scim.TypeInteger, scim.TypeDecimal:
		v := jsontext.Value(strings.TrimSpace(text))
		if v.Kind() != '0' || !v.IsValid() {
			return nil, fmt.Errorf("%q is no number", clip(text))
		}
		return v, nil
	}
	if strings.ToValidUTF8(text, "") != text {
		return nil, fmt.Errorf("%q is not UTF-8: save the file as UTF-8", clip(strings.ToValidUTF8(text, "?")))
	}
	return quote(text), nil
}
