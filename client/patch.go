package client

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/scim"
)

// A Patch is the operations of a PATCH, which are done in their order, all or
// none of them (RFC 7644 section 3.5.2).
//
// When an answer is lost, a Patch is sent again where doing it twice is as doing
// it once: with every operation on a Roster, and elsewhere with a Replace or Add
// whose path has no filter (the values of an attribute are a set, so that adding
// one again changes nothing), and with any Remove.
type Patch []Operation

// An Operation is one operation of a Patch.
type Operation struct {
	Op Op
	// Path is what it acts on: "title", "name.givenName",
	// `emails[type eq "work"].value`. Empty, for Add and Replace: the value is an
	// object of attributes.
	Path string
	// Value is sent as its JSON. Nil and an absent Field are no value; Null is
	// null; false, "" and an empty list are themselves.
	Value any
}

// An Op says what an Operation does.
type Op string

// The operations.
const (
	OpAdd     Op = "add"
	OpRemove  Op = "remove"
	OpReplace Op = "replace"
)

// Add returns the operation that sets an attribute with one value, and adds to
// one with many.
func Add(path string, value any) Operation { return Operation{OpAdd, path, value} }

// Replace returns the operation that sets an attribute, all its values.
func Replace(path string, value any) Operation { return Operation{OpReplace, path, value} }

// Remove returns the operation that clears an attribute, or takes away those of
// its values that the path's filter selects.
func Remove(path string) Operation { return Operation{Op: OpRemove, Path: path} }

// JSON returns p as it is sent, the body of a PATCH. What no service could take is
// an error.
func (p Patch) JSON() (jsontext.Value, error) {
	if len(p) == 0 {
		return nil, errors.New("a patch without operations: give it at least one")
	}
	type operation struct {
		Op    Op             `json:"op"`
		Path  string         `json:"path,omitzero"`
		Value jsontext.Value `json:"value,omitzero"`
	}
	body := struct {
		Schemas    []string    `json:"schemas"`
		Operations []operation `json:"Operations"`
	}{Schemas: []string{scim.PatchOpURN}}
	for i, o := range p {
		invalid := func(format string, args ...any) error {
			return fmt.Errorf("operation %d of the patch, %s %s: %w", i, o.Op, o.Path, fmt.Errorf(format, args...))
		}
		sent := operation{Op: o.Op, Path: o.Path}
		if o.hasValue() {
			var err error
			if sent.Value, err = json.Marshal(o.Value); err != nil {
				return nil, invalid("the value: %w", err)
			}
		}
		switch {
		case o.Op != OpAdd && o.Op != OpRemove && o.Op != OpReplace:
			return nil, invalid("it must be OpAdd, OpRemove or OpReplace")
		case o.Op == OpRemove && o.Path == "":
			return nil, invalid("a remove needs a path")
		case o.Op != OpRemove && sent.Value == nil:
			return nil, invalid("it needs a value")
		case o.Op != OpRemove && o.Path == "" && sent.Value.Kind() != '{':
			return nil, invalid("without a path the value must be an object")
		}
		body.Operations = append(body.Operations, sent)
	}
	return json.Marshal(body)
}

// hasValue reports whether o has a value, which may be null.
func (o *Operation) hasValue() bool {
	if v, ok := o.Value.(interface{ IsZero() bool }); ok {
		if _, field := o.Value.(interface{ IsNull() bool }); field {
			return !v.IsZero()
		}
	}
	return o.Value != nil
}

// repeatable reports whether doing p twice is as doing it once, with any
// service.
func (p Patch) repeatable() bool {
	for _, o := range p {
		if o.Op != OpRemove && strings.Contains(o.Path, "[") {
			// What the filter selects may be gone by then, and a service may add
			// what it names.
			return false
		}
	}
	return true
}
