package scim

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of a PATCH. More operations or members are 413: they can be sent in
// parts.
const (
	MaxPatchOps     = 1000    // operations of one PATCH
	MaxPatchMembers = 10_000  // members of a group named in one PATCH, POST or PUT
	MaxPatched      = 1 << 20 // bytes of text to which a PATCH lets a resource grow
	maxPatchSteps   = 500_000 // comparisons of values in one PATCH

	maxMemberFilters = 3 // operations that have all the members of a group read
)

// PatchOpURN is the schema of a PATCH request (RFC 7644 section 3.5.2).
const PatchOpURN = "urn:ietf:params:scim:api:messages:2.0:PatchOp"

// A Patch is a PATCH request (RFC 7644 section 3.5.2) bound to a Type, checked
// as far as that goes without the resource. It is immutable, and safe for
// concurrent use.
type Patch struct {
	typ     *Type
	ops     []operation
	members []MemberOp
}

type patchOp uint8

const (
	opNone patchOp = iota
	opAdd
	opRemove
	opReplace
)

var patchOps = [...]string{opAdd: "add", opRemove: "remove", opReplace: "replace"}

// An operation is one operation of a Patch on the document.
type operation struct {
	at    int // its place in Operations
	op    patchOp
	path  Path
	value Value // Absent: of a remove, none was given
}

// A request is an operation as it was sent.
type request struct {
	at         int
	op         patchOp
	path       string
	hasPath    bool
	start, end int // of the value in the body; 0, 0 when there is none
}

// Members returns what p does to the linked attribute (the members of a group),
// in the order in which it is to be done: nil when nothing. It is not a part of
// what Apply does, and does not depend on the resource. The operations between
// two that a filter decides are brought together: each member is named once.
func (p *Patch) Members() []MemberOp { return p.members }

// Append appends what p does to dst, in one spelling for all that mean the same:
// for comparing two, and without a value that must not be kept.
func (p *Patch) Append(dst []byte) []byte {
	for _, o := range p.ops {
		dst = append(append(append(dst, patchOps[o.op]...), ' '), o.path.String()...)
		dst = append(o.value.AppendJSON(append(dst, ' ')), '\n')
	}
	for _, m := range p.members {
		dst = append(dst, m.Kind.String()...)
		for _, l := range m.Members {
			dst = append(appendString(append(dst, ' '), l.ID), l.Type...)
		}
		if m.Where != nil {
			dst = append(append(dst, ' '), m.Where.String()...)
		}
		dst = append(dst, '\n')
	}
	return dst
}

// ParsePatch reads the body of a PATCH. Outside the strict rules it takes what
// identity providers send against the RFC, and notes it under the name that the
// table of docs/scim.md has for it.
//
// Errors are *Error: 400 invalidSyntax, invalidPath, invalidFilter,
// invalidValue, noTarget or mutability, 403 sensitive, and 413 beyond
// MaxPatchOps and MaxPatchMembers.
func (t *Type) ParsePatch(data []byte) (*Patch, Notes, error) {
	p := parsers.Get().(*parser)
	defer p.release()
	p.reset(t, data)
	b := binder{patch: &Patch{typ: t}, data: data, p: p}
	if err := p.patchBody(b.bind); err != nil {
		return nil, p.notes, err
	}
	b.patch.members = b.delta.end()
	return b.patch, p.notes, nil
}

// patchBody reads the body and hands its operations on, one by one.
func (p *parser) patchBody(bind func(*request) error) error {
	if err := p.begin(); err != nil {
		return err
	}
	ops, named := 0, false
	err := p.fields("", bodyFields, func(i int) (err error) {
		if bodyFields[i] == "schemas" {
			named, err = p.patchSchemas()
			return err
		}
		if kind := p.dec.PeekKind(); kind != '[' {
			return p.syntaxMismatch(kind, "Operations", "an array")
		}
		if _, err := p.dec.ReadToken(); err != nil {
			return p.syntax(err)
		}
		for ; p.dec.PeekKind() != ']'; ops++ {
			if ops >= MaxPatchOps {
				return Errorf(413, "", "more than %d operations: send them in several requests", MaxPatchOps)
			}
			r := request{at: ops}
			if err := p.request(&r); err != nil {
				return err
			}
			if err := bind(&r); err != nil {
				return err
			}
		}
		if _, err := p.dec.ReadToken(); err != nil {
			return p.syntax(err)
		}
		return nil
	})
	if err == nil {
		err = p.end()
	}
	switch {
	case err != nil:
		return err
	case ops == 0:
		return Errorf(400, InvalidSyntax, "no operations: send Operations with at least one")
	case !named && !p.typ.Rules.Tolerant:
		return Errorf(400, InvalidSyntax, "schemas must name %s", PatchOpURN)
	case !named:
		note(&p.notes.Coerced, "schemas (not PatchOp)")
	}
	return nil
}

var (
	bodyFields = []string{"schemas", "Operations"}
	opFields   = []string{"op", "path", "value"}
)

// fields reads an object of the protocol, which is called by prefix: it calls
// read with the place of each of its names in names, to read the value.
func (p *parser) fields(prefix string, names []string, read func(i int) error) error {
	if kind := p.dec.PeekKind(); kind != '{' {
		return p.syntaxMismatch(kind, "an operation", "an object")
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return p.syntax(err)
	}
	seen := 0
	for n := 0; p.dec.PeekKind() != '}'; n++ {
		raw, err := p.dec.ReadValue()
		if err != nil {
			return p.syntax(err)
		}
		if n >= MaxMembers {
			return p.invalid(InvalidSyntax, "an object has more than %d members", MaxMembers)
		}
		i := 0
		for i < len(names) && string(raw[1:len(raw)-1]) != names[i] {
			i++
		}
		if i == len(names) {
			name, err := unquote(raw)
			if err != nil {
				return p.syntax(err)
			}
			if i = foldedIndex(names, name); i < 0 || !p.typ.Rules.Tolerant {
				if p.typ.Rules.RefuseUnknown {
					return p.invalid(InvalidSyntax, "a PATCH has no %s%s: there are %s", prefix, clipName(name), strings.Join(names, ", "))
				}
				note(&p.notes.Ignored, prefix+clipName(name))
				if err := p.skip(); err != nil {
					return err
				}
				continue
			}
			note(&p.notes.Coerced, prefix+names[i]+" (case)")
		}
		if seen&(1<<i) != 0 {
			return p.invalid(InvalidSyntax, "%s is given twice (names ignore case)", names[i])
		}
		seen |= 1 << i
		if err := read(i); err != nil {
			return err
		}
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return p.syntax(err)
	}
	return nil
}

func foldedIndex(names []string, name string) int {
	for i := range names {
		if strings.EqualFold(names[i], name) {
			return i
		}
	}
	return -1
}

// syntaxMismatch is mismatch for what no schema describes.
func (p *parser) syntaxMismatch(kind jsontext.Kind, what, want string) error {
	err := p.mismatch(&Attr{Path: what}, kind, want)
	if e, ok := err.(*Error); ok {
		e.Type = InvalidSyntax
	}
	return err
}

// patchSchemas reports whether schemas names that of a PATCH.
func (p *parser) patchSchemas() (named bool, err error) {
	if p.dec.PeekKind() != '[' {
		return false, p.skip()
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return false, p.syntax(err)
	}
	for p.dec.PeekKind() != ']' {
		if p.dec.PeekKind() != '"' {
			if err := p.skip(); err != nil {
				return false, err
			}
			continue
		}
		raw, err := p.dec.ReadValue()
		if err != nil {
			return false, p.syntax(err)
		}
		named = named || bytes.EqualFold(raw[1:len(raw)-1], []byte(PatchOpURN))
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return false, p.syntax(err)
	}
	return named, nil
}

// request reads an operation. Its value can be read only when its path is
// known, which may follow it: here it is found.
func (p *parser) request(r *request) error {
	return p.fields("Operations.", opFields, func(i int) error {
		kind := p.dec.PeekKind()
		if opFields[i] != "value" && kind != '"' && !(opFields[i] == "path" && kind == 'n') {
			return p.syntaxMismatch(kind, opFields[i], "a string")
		}
		raw, err := p.dec.ReadValue()
		if err != nil {
			return p.syntax(err)
		}
		switch opFields[i] {
		case "op":
			return p.opName(r, string(raw[1:len(raw)-1]))
		case "path":
			if r.hasPath = kind != 'n'; r.hasPath {
				r.path, err = unquote(raw)
			}
			return err
		}
		r.end = int(p.dec.InputOffset())
		r.start = r.end - len(raw)
		return nil
	})
}

func (p *parser) opName(r *request, name string) error {
	for op := opAdd; op <= opReplace; op++ {
		switch {
		case name == patchOps[op]:
		case p.typ.Rules.Tolerant && strings.EqualFold(name, patchOps[op]):
			note(&p.notes.Coerced, "op (capital letters)")
		default:
			continue
		}
		r.op = op
		return nil
	}
	return p.invalid(InvalidSyntax, "op is %s: it must be add, remove or replace", clip(name))
}

// passOver passes over a readOnly attribute in a value without a path, or in
// one of an extension: identity providers send back what they were answered.
func (p *parser) passOver(a *Attr) error {
	if a.Path == "schemas" {
		return nil
	}
	if !p.typ.Rules.Tolerant {
		return atOperation(readOnly(a), p.op)
	}
	note(&p.notes.Coerced, a.Path+" (read-only)")
	return nil
}

func readOnly(a *Attr) *Error {
	return Errorf(400, Mutability, "%s is read-only: leave it out", a.Path)
}

// atOperation says which operation an error is about.
func atOperation(err *Error, at int) *Error {
	err.Detail = fmt.Sprintf("Operations[%d]: %s", at, err.Detail)
	return err
}
