package scim

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of what Parse takes from a client. The size of the whole is bounded by
// who reads it.
const (
	MaxDepth   = 32       // levels of objects and arrays
	MaxMembers = 1000     // members of one object, known or not
	MaxValues  = 1000     // values of one multi-valued attribute; of members MaxPatchMembers
	MaxText    = 64 << 10 // bytes of one text
	maxNotes   = 20       // notes of one request, of each sort
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

// Decode reads a document that Append wrote, if need be under another schema. It
// is for stored documents: it keeps readOnly values, coerces nothing, and drops
// nothing, see leftover.
func (t *Type) Decode(doc []byte) (*Resource, error) {
	p := parsers.Get().(*parser)
	defer p.release()
	p.reset(t, doc)
	p.stored = true
	r, err := p.resource()
	if err != nil || p.foreign {
		r, err = t.adopt(doc)
	}
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
	patch  bool // the value of a PATCH operation: null and "" clear, inside an object too
	op     int  // its place in Operations
	notes  Notes
	// foreign says that a stored document holds what has no place in the schema.
	foreign bool

	text    string   // the whole input: the texts of a resource are parts of it
	room    []Member // where the members of finished objects go
	placed  []placed // what a qualified name gave
	objects uint64   // objects begun, ever
	seen    []uint64 // by Attr.ord: the object that gave the attribute last
}

// placed is a member of outer, an attribute at the top, that was given there
// under the qualified name at.
type placed struct {
	outer *Attr
	Member
	at string
}

func (p *parser) reset(t *Type, data []byte) {
	p.resetText(t, data, string(data))
}

// resetText is reset for data whose text is there already.
func (p *parser) resetText(t *Type, data []byte, text string) {
	p.typ, p.stored, p.foreign, p.patch, p.notes = t, false, false, false, Notes{}
	p.text = text
	p.buf = *bytes.NewBuffer(data)
	p.dec.Reset(&p.buf)
	if n := len(t.attrs); len(p.seen) < n {
		p.seen = make([]uint64, n)
	}
}

func (p *parser) release() {
	p.buf, p.text, p.room, p.placed = bytes.Buffer{}, "", nil, nil
	parsers.Put(p)
}

// keep copies the members of a finished object to where they stay. The objects
// of a resource share few allocations.
func (p *parser) keep(members []Member) []Member {
	n, used := len(members), len(p.room)
	if n == 0 {
		return nil
	}
	if n > cap(p.room)-used {
		// A member takes some 25 bytes of JSON.
		p.room, used = make([]Member, 0, max(n, min(8+len(p.text)/25, 64))), 0
	}
	p.room = append(p.room, members...)
	return p.room[used : used+n : used+n]
}

func (p *parser) resource() (*Resource, error) {
	if err := p.begin(); err != nil {
		return nil, err
	}
	members, err := p.object(p.typ.root)
	if err != nil {
		return nil, err
	}
	if err := p.end(); err != nil {
		return nil, err
	}
	if members, err = p.place(members); err != nil {
		return nil, err
	}
	return &Resource{typ: p.typ, members: members}, nil
}

// begin demands that the body is an object.
func (p *parser) begin() error {
	k := p.dec.PeekKind()
	if k == '{' {
		return nil
	}
	switch _, err := p.dec.ReadToken(); {
	case err == io.EOF:
		return Errorf(400, InvalidSyntax, "the body is empty: send a JSON object")
	case err != nil:
		return p.syntax(err)
	}
	return Errorf(400, InvalidSyntax, "the body must be a JSON object, not %s", kindName(k))
}

// end demands that nothing follows the body.
func (p *parser) end() error {
	_, err := p.dec.ReadToken()
	if err == io.EOF {
		return nil
	}
	if err == nil {
		err = errors.New("more data after the object")
	}
	return p.syntax(err)
}

// object reads an object whose members are the subs of scope.
func (p *parser) object(scope *Attr) ([]Member, error) {
	if _, err := p.dec.ReadToken(); err != nil { // {
		return nil, p.syntax(err)
	}
	p.objects++
	object := p.objects
	// A complex value is replaced as a whole, and a null in it says nothing; but
	// a PATCH works on the sub-attributes of a single one.
	complex := scope != p.typ.root && !scope.Extension && (!p.patch || scope.MultiValued || scope.Top() != scope)
	var buf [16]Member
	members, sorted := buf[:0], true
	for n := 0; p.dec.PeekKind() != '}'; n++ {
		raw, err := p.dec.ReadValue()
		if err != nil {
			return nil, p.syntax(err)
		}
		if n >= MaxMembers {
			return nil, p.invalid(InvalidSyntax, "an object has more than %d members", MaxMembers)
		}
		a := scope.names[string(raw[1:len(raw)-1])] // without allocation, for the usual spelling
		name := ""
		if a == nil {
			if name, err = unquote(raw); err != nil {
				return nil, p.syntax(err)
			}
			if a = scope.Sub(name); a == nil {
				a = p.qualified(scope, name)
			}
			if a == nil {
				if err := p.unknown(scope, name); err != nil {
					return nil, err
				}
				continue
			}
		}
		if p.seen[a.ord] == object {
			return nil, p.invalid(InvalidSyntax, "%s is given twice (names ignore case)", a.Path)
		}
		p.seen[a.ord] = object
		v, err := p.member(a)
		if err != nil {
			return nil, err
		}
		switch {
		case v.kind == Absent || complex && v.unset():
		case a.parent != scope:
			p.placed = append(p.placed, placed{a.parent, Member{a, v}, name})
		default:
			sorted = sorted && (len(members) == 0 || members[len(members)-1].Attr.ord < a.ord)
			members = append(members, Member{a, v})
		}
	}
	if _, err := p.dec.ReadToken(); err != nil { // }
		return nil, p.syntax(err)
	}
	if !sorted {
		slices.SortFunc(members, byOrd)
	}
	return p.keep(members), nil
}

func byOrd(a, b Member) int { return a.Attr.ord - b.Attr.ord }

// qualified finds the attribute that identity providers call by a qualified
// name, "name.givenName" or "urn:…:department", where the RFC has nested
// objects; or nil.
func (p *parser) qualified(scope *Attr, name string) *Attr {
	if p.stored || scope != p.typ.root || !p.typ.Rules.Tolerant || !strings.ContainsAny(name, ".:") {
		return nil
	}
	a := p.typ.Attr(name)
	if a == nil || a.parent.MultiValued || a.parent != p.typ.root && a.parent.parent != p.typ.root {
		return nil
	}
	note(&p.notes.Coerced, a.Path+" (qualified name)")
	return a
}

// place puts what qualified names gave into the objects where it belongs.
func (p *parser) place(members []Member) ([]Member, error) {
	for _, m := range p.placed {
		i, found := slices.BinarySearchFunc(members, Member{Attr: m.outer}, byOrd)
		if !found {
			members = slices.Insert(members, i, Member{Attr: m.outer})
		}
		o := &members[i].Value
		if find(o.Members(), m.Attr).kind != Absent {
			return nil, Errorf(400, InvalidSyntax, "%s is given twice (at %s)", m.Attr.Path, clip(p.pointer(jsontext.Pointer("/"+m.at))))
		}
		below := slices.Clone(o.Members())
		if m.outer.Extension || p.patch || !m.Value.unset() {
			below = append(below, m.Member)
			slices.SortFunc(below, byOrd)
		}
		*o = objectValue(below)
	}
	return members, nil
}

// unknown passes over a member that no schema knows.
func (p *parser) unknown(scope *Attr, name string) error {
	if p.stored {
		p.foreign = true
		return p.skip()
	}
	path := clipName(p.typ.below(scope, name))
	if p.typ.Rules.RefuseUnknown {
		return p.invalid(InvalidSyntax, "%s has no attribute %s: correct the name, or leave it out", p.typ.Name, path)
	}
	note(&p.notes.Ignored, path)
	return p.skip()
}

// clipName bounds what is told of a name that no schema knows.
func clipName(s string) string {
	if len(s) <= 100 {
		return s
	}
	return strings.ToValidUTF8(s[:100], "") + "…"
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
	switch {
	case p.stored:
		p.foreign = p.foreign || a.hidden
	case a.readOnly():
		if p.patch && a.Top() == a {
			if err := p.passOver(a); err != nil {
				return Value{}, err
			}
		}
		return Value{}, p.skip()
	case a.hidden: // checked, and forgotten
		_, err := p.value(a)
		if e, ok := err.(*Error); ok && e.Type == InvalidSyntax {
			// The decoder's words may quote the value.
			err = Errorf(400, InvalidSyntax, "%s is not valid JSON", a.Path)
		}
		return Value{}, err
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

// single reads one value of a: its only one, or one of a list.
func (p *parser) single(a *Attr, kind jsontext.Kind) (Value, error) {
	switch a.Type {
	case TypeComplex:
		if sub := a.Sub("value"); kind == '"' && sub != nil && (a.Name == "manager" || a.linked) && p.typ.Rules.Tolerant && !p.stored {
			v, err := p.string(sub)
			if err != nil || v.kind == Absent {
				return v, err
			}
			note(&p.notes.Coerced, a.Path+" (a string)")
			return objectValue([]Member{{sub, v}}), nil
		}
		if kind != '{' {
			return Value{}, p.mismatch(a, kind, "an object")
		}
		members, err := p.object(a)
		if err != nil {
			return Value{}, err
		}
		return objectValue(members), nil
	case TypeBoolean:
		return p.boolean(a, kind)
	case TypeInteger, TypeDecimal:
		return p.number(a, kind)
	}
	if kind != '"' {
		return Value{}, p.mismatch(a, kind, "a string")
	}
	return p.string(a)
}

func (p *parser) tooDeep() error {
	return p.invalid(InvalidSyntax, "more than %d levels of nesting", MaxDepth)
}

// mismatch is the error of a value, not yet read, of the wrong kind.
func (p *parser) mismatch(a *Attr, kind jsontext.Kind, want string) error {
	if kind == 0 || kind == '}' || kind == ']' { // what stands there is no value: let the decoder say so
		_, err := p.dec.ReadToken()
		return p.syntax(err)
	}
	at := p.pointer(p.dec.StackPointer())
	if in, n := p.dec.StackIndex(p.dec.StackDepth()); in == '[' {
		if n > 0 { // the pointer is that of the value before
			at = at[:strings.LastIndexByte(at, '/')]
		}
		at = fmt.Sprintf("%s/%d", at, n)
	}
	return Errorf(400, InvalidValue, "%s must be %s, not %s (at %s)", a.Path, want, kindName(kind), clip(at))
}

// invalid is an error at the place that was read last.
func (p *parser) invalid(typ, format string, args ...any) error {
	e := Errorf(400, typ, format, args...)
	if at := p.pointer(p.dec.StackPointer()); at != "" {
		e.Detail += " (at " + clip(at) + ")"
	}
	return e
}

// pointer returns where in the body at is.
func (p *parser) pointer(at jsontext.Pointer) string {
	if p.patch {
		return fmt.Sprintf("/Operations/%d/value%s", p.op, at)
	}
	return string(at)
}

func (p *parser) syntax(err error) error {
	var se *jsontext.SyntacticError
	if !errors.As(err, &se) {
		return Errorf(400, InvalidSyntax, "not valid JSON: %v", err)
	}
	e := Errorf(400, InvalidSyntax, "not valid JSON: %s", clip(strings.TrimPrefix(se.Err.Error(), "jsontext: ")))
	if at := p.pointer(se.JSONPointer); at != "" {
		e.Detail += " (at " + clip(at) + ")"
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
