package client

import (
	"errors"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A Field is an attribute in one of three states: absent, which is its zero
// value and is left out of a document; null; or a value, which may well be
// empty or false. A PUT clears an absent attribute as it does a null one, save
// for those that the service keeps or defaults (active, externalId).
type Field[T any] struct {
	value T
	state fieldState
}

type fieldState uint8

const (
	absent fieldState = iota
	null
	set
)

// Set returns a Field that has the value v.
func Set[T any](v T) Field[T] { return Field[T]{v, set} }

// Null returns a Field that is null.
func Null[T any]() Field[T] { return Field[T]{state: null} }

// Get returns the value, and whether there is one.
func (f Field[T]) Get() (T, bool) { return f.value, f.state == set }

// Value returns the value, or the zero value of T when there is none.
func (f Field[T]) Value() T { return f.value }

// IsNull reports whether the Field is null.
func (f Field[T]) IsNull() bool { return f.state == null }

// IsZero reports whether the Field is absent.
func (f Field[T]) IsZero() bool { return f.state == absent }

// MarshalJSONTo writes the value or null. An absent Field must not get here: its
// struct tag has omitzero.
func (f Field[T]) MarshalJSONTo(enc *jsontext.Encoder) error {
	if f.state != set {
		return enc.WriteToken(jsontext.Null)
	}
	return json.MarshalEncode(enc, f.value)
}

// UnmarshalJSONFrom reads null or a value. It takes "true" for true and a number
// for its text, as some services send them.
func (f *Field[T]) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	var zero T
	kind := dec.PeekKind()
	if kind == 'n' {
		f.value, f.state = zero, null
		return dec.SkipValue()
	}
	f.value, f.state = zero, set
	var err error = errors.ErrUnsupported
	switch p := any(&f.value).(type) {
	case *bool:
		err = looseBool(dec, p)
	case *string:
		err = looseString(dec, p)
	}
	if err != errors.ErrUnsupported {
		return err
	}
	return json.UnmarshalDecode(dec, &f.value)
}
