package scim

import (
	"slices"
	"strings"
)

// A Projection is what an answer shows of a resource (RFC 7644 section 3.9).
// The nil Projection is the default one.
type Projection struct {
	show []bool // by Attr.ord
}

// Shows reports whether an answer shows the attribute a.
func (p *Projection) Shows(a *Attr) bool {
	if p == nil {
		return a.Returned != ReturnedRequest && !a.never()
	}
	return p.show[a.ord]
}

// NewProjection returns the Projection that the parameters attributes and
// excludedAttributes ask for. The names are those of Type.Attr; unknown ones are
// passed over. What is returned always cannot be left out, what is returned
// never cannot be asked for. With both lists non-empty it returns an *Error.
func (t *Type) NewProjection(attributes, excluded []string) (*Projection, error) {
	attributes, excluded = names(attributes), names(excluded)
	switch {
	case len(attributes) > 0 && len(excluded) > 0:
		return nil, Errorf(400, InvalidValue, "attributes and excludedAttributes exclude each other: send one of them")
	case len(attributes) == 0 && len(excluded) == 0:
		return nil, nil
	case len(attributes) == 0:
		return t.excluding(excluded), nil
	}
	p := &Projection{show: make([]bool, len(t.attrs))}
	for _, name := range attributes {
		if a := t.Attr(name); a != nil {
			p.include(a)
		}
	}
	for _, a := range t.attrs {
		// A sub-attribute that is returned always comes with its parent.
		if a.Returned == ReturnedAlways && (a.parent == t.root || p.show[a.parent.ord]) {
			p.show[a.ord] = true
		}
	}
	return p, nil
}

// Without returns p without a, whoever asked for it.
func (t *Type) Without(p *Projection, a *Attr) *Projection {
	if p == nil {
		p = t.unasked
	}
	p = &Projection{show: slices.Clone(p.show)}
	p.show[a.ord] = false
	return p
}

// excluding returns the Projection of all that is shown unasked but names.
func (t *Type) excluding(names []string) *Projection {
	p := &Projection{show: make([]bool, len(t.attrs))}
	for _, a := range t.attrs {
		p.show[a.ord] = a.Returned != ReturnedRequest && !a.never()
	}
	for _, name := range names {
		if a := t.Attr(name); a != nil && a.Returned != ReturnedAlways {
			p.exclude(a)
		}
	}
	return p
}

// include shows a with all below it, and the way down to it.
func (p *Projection) include(a *Attr) {
	var below func(a *Attr, asked bool)
	below = func(a *Attr, asked bool) {
		if !a.never() && (asked || a.Returned != ReturnedRequest) {
			p.show[a.ord] = true
		}
		for _, s := range a.subs {
			below(s, false)
		}
	}
	below(a, true)
	for up := a.parent; up.ord >= 0; up = up.parent {
		p.show[up.ord] = true
	}
}

// exclude hides a. What below it is returned always stays, and keeps it.
func (p *Projection) exclude(a *Attr) {
	p.show[a.ord] = false
	for _, s := range a.subs {
		if s.Returned != ReturnedAlways {
			p.exclude(s)
		}
		p.show[a.ord] = p.show[a.ord] || p.show[s.ord]
	}
}

// names splits what may be comma lists and drops blanks.
func names(list []string) []string {
	var out []string
	for _, s := range list {
		for name := range strings.SplitSeq(s, ",") {
			if name = strings.TrimSpace(name); name != "" {
				out = append(out, name)
			}
		}
	}
	return out
}
