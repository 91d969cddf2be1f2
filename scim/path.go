package scim

import "strings"

// A Path says what a PATCH operation is about (RFC 7644 figure 7): an attribute
// or a sub-attribute, some values of a list or a sub-attribute of them, an
// extension, or the resource itself. It is bound to a Type and immutable.
type Path struct {
	typ    *Type
	attr   *Attr   // never a sub-attribute; the root for the resource itself
	filter *Filter // which values of attr; nil: all of them
	sub    *Attr   // of attr; or nil
}

// String returns the path in its canonical form, which parses to itself.
func (p *Path) String() string {
	s := p.attr.Path
	if p.attr == p.typ.root {
		s = p.typ.Schema
	}
	if p.filter != nil {
		s += "[" + p.filter.String() + "]"
	}
	if p.sub != nil {
		s += "." + p.sub.Name
	}
	return s
}

// name is the path without its filter, which may hold a person's data: it is
// what notes tell.
func (p *Path) name() string {
	if p.sub != nil {
		return p.sub.Path
	}
	return p.attr.Path
}

// pathName is name for the text of a path.
func pathName(s string) string {
	name, rest, filtered := strings.Cut(s, "[")
	if filtered {
		name += rest[strings.LastIndexByte(rest, ']')+1:]
	}
	return clipName(name)
}

// target is the attribute whose values the path names.
func (p *Path) target() *Attr {
	if p.sub != nil {
		return p.sub
	}
	return p.attr
}

// ParsePath reads a path of a PATCH operation and binds it to t. It returns an
// *Error: 400 invalidPath, 400 invalidFilter for what is wrong between the
// brackets (RFC 7644 table 9), or 403 sensitive for a filter on an attribute
// that is never returned.
func (t *Type) ParsePath(s string) (*Path, error) {
	p, err := t.path(s)
	if err == nil && p.attr == nil {
		err = t.badPath("%s has no attribute %s", t.Name, pathName(s))
	}
	if err != nil {
		return nil, err
	}
	return &p, nil
}

func (t *Type) badPath(format string, args ...any) *Error {
	e := Errorf(400, InvalidPath, format, args...)
	e.Detail = "invalid path: " + e.Detail
	return e
}

// path is ParsePath, but for a path that is well formed and names an attribute
// that t does not have: then it returns the zero Path.
func (t *Type) path(s string) (Path, error) {
	if len(s) > MaxFilter {
		return Path{}, t.badPath("longer than %d bytes", MaxFilter)
	}
	f := filterParser{typ: t, s: s}
	name := f.word()
	filtered := f.i < len(s) && s[f.i] == '['
	if name == "" || f.i < len(s) && !filtered {
		return Path{}, t.badPath("at column %d, expected an attribute such as name.givenName or emails[type eq \"work\"].value", f.i+1)
	}
	p := Path{typ: t, attr: t.Attr(name)}
	switch {
	case p.attr != nil:
	case strings.EqualFold(name, t.Schema):
		p.attr = t.root
	case !isPathName(name):
		return Path{}, t.badPath("%s is not a name", clip(strings.ToValidUTF8(name, "\uFFFD")))
	default:
		return Path{}, nil
	}
	if parent := p.attr.parent; parent != nil && parent != t.root && !parent.Extension {
		p.attr, p.sub = parent, p.attr
	}
	if !filtered {
		return p, nil
	}
	if p.sub != nil || p.attr == t.root || p.attr.Extension || p.attr.Type != TypeComplex && !p.attr.MultiValued {
		return Path{}, t.badPath("at column %d, %s has no values to choose from", f.i+1, clip(name))
	}
	f.scope = p.attr
	if _, err := f.nested(']'); err != nil {
		return Path{}, err
	}
	p.filter = f.filter()
	if f.i == len(s) {
		return p, nil
	}
	sub, dotted := strings.CutPrefix(s[f.i:], ".")
	if !dotted || !isName(sub) {
		return Path{}, t.badPath("at column %d, expected a dot and a sub-attribute, or the end", f.i+1)
	}
	if a := f.attr(sub); a == nil {
		return Path{}, nil
	} else if a != p.attr { // the value of a list of simple values is the value itself
		p.sub = a
	}
	return p, nil
}

// isPathName reports whether s can name an attribute of some schema.
func isPathName(s string) bool {
	if strings.Contains(s, ":") {
		return isURN(s)
	}
	name, sub, dotted := strings.Cut(s, ".")
	return isName(name) && (!dotted || isName(sub))
}
