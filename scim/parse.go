package scim

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of what Parse takes from a client. The size of the whole is bounded by
// who reads it.
const (
	MaxDepth  = 32   // levels of objects and arrays
	MaxValues = 1000 // values of one multi-valued attribute
	maxNotes  = 20   // notes of one request, of each sort
)

// Notes are what Parse did not take literally: they are told to the client and
// kept in the request log. They hold names, never values.
type Notes struct {
	Ignored []string // attributes that no schema knows
	Coerced []string // attributes whose value an identity provider spelt its own way
}

func note(list *[]string, path string) {
	if len(*list) < maxNotes && !slices.Contains(*list, path) {
		*list = append(*list, path)
	}
}

// A Resource is one user, group or other resource: the attributes that have a
// value, in canonical order. It does not change once it was returned.
type Resource struct {
	typ     *Type
	members []Member
}

// Type returns the type of r.
func (r *Resource) Type() *Type { return r.typ }

// Members returns the attributes at the top that have a value, in canonical
// order; they must not be changed.
func (r *Resource) Members() []Member { return r.members }

// Get returns the value of a path as of Type.Attr, absent when there is none.
// A sub-attribute of a multi-valued attribute has no one value: it is absent.
func (r *Resource) Get(path string) Value {
	a := r.typ.Attr(path)
	if a == nil {
		return Value{}
	}
	return r.value(a)
}

func (r *Resource) value(a *Attr) Value {
	if a.parent == r.typ.root {
		return find(r.members, a)
	}
	return find(r.value(a.parent).members, a)
}

func find(members []Member, a *Attr) Value {
	for i := range members {
		if members[i].Attr == a {
			return members[i].Value
		}
	}
	return Value{}
}

// Append appends the canonical document of r to dst: one JSON object of the
// attributes that have a value, in the order of the schema.
func (r *Resource) Append(dst []byte) []byte {
	dst = append(dst, '{')
	dst = appendMembers(dst, r.members, nil)
	return append(dst, '}')
}

// Parse reads the body of a POST or PUT in one pass: it rejects what is not
// JSON (RFC 8259, and duplicate names, bad UTF-8, trailing data, more than
// MaxDepth levels), binds names to the schema without regard to case, checks
// types, and drops what a client cannot write (readOnly) and what must not be
// kept (returned never). A null stays in the Resource as Null, for Create and
// Replace to see. Errors are *Error with status 400 and a JSON pointer.
func (t *Type) Parse(data []byte) (*Resource, Notes, error) {
	p := parsers.Get().(*parser)
	defer p.release()
	p.reset(t, data)
	r, err := p.resource()
	return r, p.notes, err
}

// Decode reads a document that Append wrote. It is for stored documents: it
// keeps readOnly values and coerces nothing.
func (t *Type) Decode(doc []byte) (*Resource, error) {
	p := parsers.Get().(*parser)
	defer p.release()
	p.reset(t, doc)
	p.stored = true
	r, err := p.resource()
	if err != nil {
		return nil, &Error{Status: 500, Detail: "a stored document does not fit its schema", Err: err}
	}
	return r, nil
}

var parsers = sync.Pool{New: func() any { return new(parser) }}

type parser struct {
	typ    *Type
	buf    bytes.Buffer
	dec    jsontext.Decoder
	stored bool
	notes  Notes
}

func (p *parser) reset(t *Type, data []byte) {
	p.typ, p.stored, p.notes = t, false, Notes{}
	p.buf = *bytes.NewBuffer(data)
	p.dec.Reset(&p.buf)
}

func (p *parser) release() {
	p.buf = bytes.Buffer{}
	parsers.Put(p)
}

func (p *parser) resource() (*Resource, error) {
	if k := p.dec.PeekKind(); k != '{' {
		if _, err := p.dec.ReadToken(); err != nil {
			return nil, p.syntax(err)
		}
		return nil, Errorf(400, InvalidSyntax, "the body must be a JSON object, not %s", kindName(k))
	}
	members, err := p.object(p.typ.root)
	if err != nil {
		return nil, err
	}
	if _, err := p.dec.ReadToken(); err != io.EOF {
		if err == nil {
			err = errors.New("more data after the object")
		}
		return nil, p.syntax(err)
	}
	return &Resource{typ: p.typ, members: members}, nil
}

// object reads an object whose members are the subs of scope.
func (p *parser) object(scope *Attr) ([]Member, error) {
	if _, err := p.dec.ReadToken(); err != nil { // {
		return nil, p.syntax(err)
	}
	var members []Member
	sorted := true
	for p.dec.PeekKind() != '}' {
		raw, err := p.dec.ReadValue()
		if err != nil {
			return nil, p.syntax(err)
		}
		a := scope.names[string(raw[1:len(raw)-1])] // without allocation, for the usual spelling
		outer := scope
		if a == nil {
			name, err := unquote(raw)
			if err != nil {
				return nil, p.syntax(err)
			}
			if a = scope.Sub(name); a == nil {
				if a, outer = p.qualified(scope, name); a == nil {
					if err := p.unknown(scope, name); err != nil {
						return nil, err
					}
					continue
				}
			}
		}
		v, err := p.member(a)
		if err != nil {
			return nil, err
		}
		if v.kind == Absent {
			continue
		}
		if outer != scope {
			// A name that reaches below scope: "name.givenName", "urn:…:department".
			if !p.placeBelow(&members, outer, Member{a, v}) {
				return nil, p.invalid(InvalidSyntax, "%s is given twice", a.Path)
			}
			sorted = false
			continue
		}
		if n := len(members); n > 0 && members[n-1].Attr.ord >= a.ord {
			if find(members, a).kind != Absent {
				return nil, p.invalid(InvalidSyntax, "%s is given twice (names ignore case)", a.Path)
			}
			sorted = false
		}
		if members == nil {
			members = make([]Member, 0, min(len(scope.subs), 16))
		}
		members = append(members, Member{a, v})
	}
	if _, err := p.dec.ReadToken(); err != nil { // }
		return nil, p.syntax(err)
	}
	if !sorted {
		slices.SortFunc(members, func(a, b Member) int { return a.Attr.ord - b.Attr.ord })
	}
	return members, nil
}

// qualified finds the attribute that identity providers call by a qualified
// name where the RFC has nested objects, and the attribute that it belongs in.
func (p *parser) qualified(scope *Attr, name string) (a, outer *Attr) {
	if p.stored || scope != p.typ.root || !p.typ.Rules.Tolerant || !strings.ContainsAny(name, ".:") {
		return nil, nil
	}
	a = p.typ.Attr(name)
	if a == nil || a.parent.MultiValued || a.parent.parent != nil && a.parent.parent != p.typ.root {
		return nil, nil
	}
	note(&p.notes.Coerced, a.Path+" (qualified name)")
	return a, a.parent
}

// placeBelow puts m into the object of outer, which is a member at the top. It
// reports false when there is a value already.
func (p *parser) placeBelow(members *[]Member, outer *Attr, m Member) bool {
	for i := range *members {
		if o := &(*members)[i]; o.Attr == outer {
			if find(o.Value.members, m.Attr).kind != Absent {
				return false
			}
			if o.Value.kind != Object {
				o.Value = Value{kind: Object}
			}
			o.Value.members = append(o.Value.members, m)
			slices.SortFunc(o.Value.members, func(a, b Member) int { return a.Attr.ord - b.Attr.ord })
			return true
		}
	}
	*members = append(*members, Member{outer, Value{kind: Object, members: []Member{m}}})
	return true
}

// unknown passes over a member that no schema knows.
func (p *parser) unknown(scope *Attr, name string) error {
	path := name
	if scope != p.typ.root {
		path = scope.Path + "." + name
	}
	if len(path) > 100 {
		path = strings.ToValidUTF8(path[:100], "") + "…"
	}
	if p.typ.Rules.RefuseUnknown && !p.stored {
		return p.invalid(InvalidSyntax, "no attribute %s in %s: correct the name, or leave it out", path, p.typ.Schema)
	}
	note(&p.notes.Ignored, path)
	return p.skip()
}

// skip passes over a value of any kind, within the bound of depth.
func (p *parser) skip() error {
	depth := p.dec.StackDepth()
	for {
		if p.dec.StackDepth() > MaxDepth {
			return p.tooDeep()
		}
		if _, err := p.dec.ReadToken(); err != nil {
			return p.syntax(err)
		}
		if p.dec.StackDepth() <= depth {
			return nil
		}
	}
}

// member reads the value of a. What a client may not write is passed over.
func (p *parser) member(a *Attr) (Value, error) {
	if !p.stored {
		if a.Mutability == ReadOnly || a.linked && a.Mutability == ReadOnly {
			return Value{}, p.skip()
		}
		if a.never() {
			_, err := p.value(a) // checked, and forgotten
			return Value{}, err
		}
	}
	return p.value(a)
}

func (p *parser) value(a *Attr) (Value, error) {
	if p.dec.StackDepth() > MaxDepth {
		return Value{}, p.tooDeep()
	}
	kind := p.dec.PeekKind()
	switch {
	case kind == 'n':
		_, err := p.dec.ReadToken()
		if err != nil {
			return Value{}, p.syntax(err)
		}
		return Value{kind: Null}, nil
	case a.MultiValued:
		return p.list(a, kind)
	}
	return p.single(a, kind)
}

func (p *parser) list(a *Attr, kind jsontext.Kind) (Value, error) {
	if kind != '[' {
		return Value{}, p.mismatch(a, kind, "an array")
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return Value{}, p.syntax(err)
	}
	v := Value{kind: List}
	for n := 0; p.dec.PeekKind() != ']'; n++ {
		if n >= MaxValues && !p.stored {
			return Value{}, p.invalid(InvalidValue, "%s has more than %d values", a.Path, MaxValues)
		}
		kind := p.dec.PeekKind()
		if kind == 'n' {
			if _, err := p.dec.ReadToken(); err != nil {
				return Value{}, p.syntax(err)
			}
			continue
		}
		it, err := p.single(a, kind)
		if err != nil {
			return Value{}, err
		}
		// The same value twice is one (RFC 7643 section 2.4).
		if it.unset() || slices.ContainsFunc(v.items, it.Equal) {
			continue
		}
		v.items = append(v.items, it)
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return Value{}, p.syntax(err)
	}
	return v, nil
}

// single reads one value of a: its only one, or one of a list.
func (p *parser) single(a *Attr, kind jsontext.Kind) (Value, error) {
	switch a.Type {
	case TypeComplex:
		if kind == '"' && a.Name == "manager" && p.typ.Rules.Tolerant && !p.stored {
			sub := a.Sub("value")
			v, err := p.text(sub)
			if err != nil || v.kind == Absent {
				return v, err
			}
			note(&p.notes.Coerced, a.Path+" (a string)")
			return Value{kind: Object, members: []Member{{sub, v}}}, nil
		}
		if kind != '{' {
			return Value{}, p.mismatch(a, kind, "an object")
		}
		members, err := p.object(a)
		if err != nil {
			return Value{}, err
		}
		if !a.Extension {
			members = slices.DeleteFunc(members, func(m Member) bool { return m.Value.unset() })
		}
		return Value{kind: Object, members: members}, nil
	case TypeBoolean:
		return p.boolean(a, kind)
	case TypeInteger, TypeDecimal:
		return p.number(a, kind)
	}
	if kind != '"' {
		return Value{}, p.mismatch(a, kind, "a string")
	}
	return p.text(a)
}

func (p *parser) boolean(a *Attr, kind jsontext.Kind) (Value, error) {
	switch kind {
	case 't', 'f':
		if _, err := p.dec.ReadToken(); err != nil {
			return Value{}, p.syntax(err)
		}
		return BoolValue(kind == 't'), nil
	case '"':
		if !p.typ.Rules.Tolerant || p.stored {
			break
		}
		raw, err := p.dec.ReadValue()
		if err != nil {
			return Value{}, p.syntax(err)
		}
		word := strings.ToLower(string(raw))
		if word != `"true"` && word != `"false"` {
			return Value{}, p.invalid(InvalidValue, "%s must be true or false", a.Path)
		}
		note(&p.notes.Coerced, a.Path+" (a string)")
		return BoolValue(word == `"true"`), nil
	}
	return Value{}, p.mismatch(a, kind, "true or false")
}

func (p *parser) number(a *Attr, kind jsontext.Kind) (Value, error) {
	if kind != '0' {
		return Value{}, p.mismatch(a, kind, "a number")
	}
	raw, err := p.dec.ReadValue()
	if err != nil {
		return Value{}, p.syntax(err)
	}
	// RFC 7643 section 2.3.4: an integer has no fraction and no exponent.
	if a.Type == TypeInteger && bytes.ContainsAny(raw, ".eE") {
		return Value{}, p.invalid(InvalidValue, "%s must be an integer", a.Path)
	}
	return Value{kind: Number, text: string(raw)}, nil
}

// text reads a string and what is written as one.
func (p *parser) text(a *Attr) (Value, error) {
	raw, err := p.dec.ReadValue()
	if err != nil {
		return Value{}, p.syntax(err)
	}
	s, err := unquote(raw)
	if err != nil {
		return Value{}, p.syntax(err)
	}
	if p.stored {
		return StringValue(s), nil
	}
	if s == "" && !p.typ.Rules.KeepEmptyStrings {
		return Value{}, nil
	}
	if strings.IndexByte(s, 0) >= 0 {
		return Value{}, p.invalid(InvalidValue, "%s holds U+0000, which no value may", a.Path)
	}
	switch a.Type {
	case TypeDateTime:
		if !isDateTime(s) {
			return Value{}, p.invalid(InvalidValue, "%s must be a date and time such as 2008-01-23T04:56:22Z", a.Path)
		}
	case TypeBinary:
		if _, err := base64.StdEncoding.DecodeString(s); err != nil {
			return Value{}, p.invalid(InvalidValue, "%s must be base64 (RFC 4648 section 4)", a.Path)
		}
	}
	return StringValue(s), nil
}

// isDateTime reports whether s is an xsd:dateTime with a date and a time (RFC
// 7643 section 2.3.5); the zone may be missing, as there.
func isDateTime(s string) bool {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
		if _, err := time.Parse(layout, s); err == nil {
			return true
		}
	}
	return false
}

// unquote returns the text of a JSON string that the decoder has accepted.
func unquote(raw jsontext.Value) (string, error) {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]), nil
	}
	b, err := jsontext.AppendUnquote(nil, raw)
	return string(b), err
}

func (p *parser) tooDeep() error {
	return p.invalid(InvalidSyntax, "more than %d levels of nesting", MaxDepth)
}

func (p *parser) mismatch(a *Attr, kind jsontext.Kind, want string) error {
	if kind == 0 { // what stands there is no JSON: let the decoder say so
		_, err := p.dec.ReadToken()
		return p.syntax(err)
	}
	return p.invalid(InvalidValue, "%s must be %s, not %s", a.Path, want, kindName(kind))
}

// invalid is an error at the place that was read last.
func (p *parser) invalid(typ, format string, args ...any) error {
	e := Errorf(400, typ, format, args...)
	if at := p.dec.StackPointer(); at != "" {
		e.Detail += " (at " + clip(string(at)) + ")"
	}
	return e
}

func (p *parser) syntax(err error) error {
	var se *jsontext.SyntacticError
	if !errors.As(err, &se) {
		return Errorf(400, InvalidSyntax, "not valid JSON: %v", err)
	}
	e := Errorf(400, InvalidSyntax, "not valid JSON: %s", clip(strings.TrimPrefix(se.Err.Error(), "jsontext: ")))
	if se.JSONPointer != "" {
		e.Detail += " (at " + clip(string(se.JSONPointer)) + ")"
	}
	return e
}

// clip bounds what an error repeats of the client's text.
func clip(s string) string {
	if len(s) <= 200 {
		return s
	}
	return strings.ToValidUTF8(s[:200], "") + "…"
}

func kindName(k jsontext.Kind) string {
	switch k {
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '{':
		return "an object"
	case '[':
		return "an array"
	}
	return "something else"
}
