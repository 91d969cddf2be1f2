package client

import (
	"errors"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// looseJSON reads what services send against RFC 8259's advice, and scalars of
// another JSON type than the attribute has: a number for its text, "true" for
// true, "7" for 7.
var looseJSON = json.JoinOptions(
	jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true),
	json.WithUnmarshalers(json.JoinUnmarshalers(
		json.UnmarshalFromFunc(looseBool), json.UnmarshalFromFunc(looseString), json.UnmarshalFromFunc(looseInt))),
)

func looseBool(dec *jsontext.Decoder, p *bool) error {
	if dec.PeekKind() != '"' {
		return errors.ErrUnsupported
	}
	v, err := dec.ReadValue()
	if err != nil {
		return err
	}
	switch s := text(v); {
	case strings.EqualFold(s, "true"):
		*p = true
	case strings.EqualFold(s, "false"):
		*p = false
	default:
		return &json.SemanticError{JSONPointer: dec.StackPointer(), JSONValue: v.Clone()}
	}
	return nil
}

func looseString(dec *jsontext.Decoder, p *string) error {
	if dec.PeekKind() != '0' {
		return errors.ErrUnsupported
	}
	v, err := dec.ReadValue()
	*p = v.String()
	return err
}

func looseInt(dec *jsontext.Decoder, p *int64) error {
	if dec.PeekKind() != '"' {
		return errors.ErrUnsupported
	}
	v, err := dec.ReadValue()
	if err != nil {
		return err
	}
	n, err := strconv.ParseInt(text(v), 10, 64)
	if err != nil {
		return &json.SemanticError{JSONPointer: dec.StackPointer(), JSONValue: v.Clone()}
	}
	*p = n
	return nil
}
