package scim

import (
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxFilter is the largest filter that ParseFilter reads, in bytes.
const MaxFilter = 8 << 10

// A Filter is a filter (RFC 7644 section 3.4.2.2) bound to a Type. In this
// version it is one comparison of an attribute with eq.
type Filter struct {
	Attr  *Attr
	Value string
}

// ParseFilter reads a filter. It returns an *Error: 400 invalidFilter for what
// is no filter or does not fit the schema, 403 sensitive for one on an attribute
// that is never returned, 501 for the part of the grammar that is still missing.
func (t *Type) ParseFilter(s string) (*Filter, error) {
	if len(s) > MaxFilter {
		return nil, t.badFilter("longer than %d bytes", MaxFilter)
	}
	if strings.IndexByte(s, 0) >= 0 {
		return nil, t.badFilter("U+0000 in it")
	}
	if !utf8.ValidString(s) {
		return nil, t.badFilter("not UTF-8")
	}
	path, rest, ok := strings.Cut(strings.TrimSpace(s), " ")
	if !ok || path == "" {
		return nil, t.badFilter(`expected attribute, operator and value, as in userName eq "ada"`)
	}
	if strings.ContainsAny(path, "([") || strings.EqualFold(path, "not") {
		return nil, missing(path)
	}
	a := t.Attr(path)
	if a == nil || a.Extension {
		return nil, t.badFilter("no attribute %s", clip(path))
	}
	if a.never() {
		return nil, Errorf(403, Sensitive, "%s cannot be searched for", a.Path)
	}
	op, literal, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
	switch strings.ToLower(op) {
	case "eq":
	case "ne", "co", "sw", "ew", "pr", "gt", "ge", "lt", "le":
		return nil, missing(op)
	default:
		return nil, t.badFilter("no operator %s", clip(op))
	}
	v := jsontext.Value(strings.TrimSpace(literal))
	if !v.IsValid() {
		if n := strings.IndexByte(literal, '"'); n >= 0 && strings.Count(literal, `"`) > 1 {
			return nil, missing("and, or")
		}
		return nil, t.badFilter("after eq, expected a value such as \"ada\"")
	}
	switch {
	case a.Type == TypeComplex:
		return nil, t.badFilter("%s is complex: name a sub-attribute, as in %s.value", a.Path, a.Path)
	case a.Type == TypeString || a.Type == TypeReference:
		if v.Kind() != '"' {
			return nil, t.badFilter("%s is compared with a string", a.Path)
		}
	default:
		return nil, missing(a.Path)
	}
	text, err := unquote(v)
	if err != nil {
		return nil, t.badFilter("after eq, expected a value such as \"ada\"")
	}
	return &Filter{Attr: a, Value: text}, nil
}

func (t *Type) badFilter(format string, args ...any) *Error {
	e := Errorf(400, InvalidFilter, format, args...)
	e.Detail = "Resource [" + strings.ToUpper(t.Name) + "] invalid filter: " + e.Detail
	return e
}

func missing(what string) *Error {
	return Errorf(501, "", "filters with %s are not there yet: this version answers one eq on userName, externalId or emails.value", clip(what))
}
