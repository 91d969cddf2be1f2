package scim

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// The scimType values of RFC 7644 section 3.12, of RFC 9865 section 2.1.3 where
// noted, and one of RFC 7644 section 3.4.2.
const (
	InvalidFilter = "invalidFilter"
	TooMany       = "tooMany"
	Uniqueness    = "uniqueness"
	Mutability    = "mutability"
	InvalidSyntax = "invalidSyntax"
	InvalidPath   = "invalidPath"
	NoTarget      = "noTarget"
	InvalidValue  = "invalidValue"
	InvalidVers   = "invalidVers"
	Sensitive     = "sensitive"
	InvalidCursor = "invalidCursor" // RFC 9865, as the next two
	ExpiredCursor = "expiredCursor"
	InvalidCount  = "invalidCount"
)

// ErrorURN is the schema of an error response (RFC 7644 section 3.12).
const ErrorURN = "urn:ietf:params:scim:api:messages:2.0:Error"

// Error is a SCIM error response (RFC 7644 section 3.12). Err is the private
// cause: it is logged and never sent.
type Error struct {
	Status int    // the HTTP status: 400 to 599
	Type   string // scimType; empty when the RFC defines none
	Detail string // for people; safe to send
	Err    error  // private cause; may be nil
}

// Errorf returns an Error whose Detail is formatted.
func Errorf(status int, typ, format string, args ...any) *Error {
	return &Error{Status: status, Type: typ, Detail: fmt.Sprintf(format, args...)}
}

func (e *Error) Error() string {
	s := strconv.Itoa(e.Status)
	if e.Type != "" {
		s += " " + e.Type
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the private cause.
func (e *Error) Unwrap() error { return e.Err }

// AppendJSON appends the body of the response to dst. The status is a string,
// as the RFC has it.
func (e *Error) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"schemas":["`+ErrorURN+`"],"status":"`...)
	dst = strconv.AppendInt(dst, int64(e.Status), 10)
	dst = append(dst, '"')
	if e.Type != "" {
		dst = append(dst, `,"scimType":`...)
		dst = appendQuote(dst, e.Type)
	}
	if e.Detail != "" {
		dst = append(dst, `,"detail":`...)
		dst = appendQuote(dst, e.Detail)
	}
	return append(dst, '}')
}

// appendQuote appends s as a JSON string. Text that is not UTF-8 can reach an
// error's detail only; what is not is replaced there.
func appendQuote(dst []byte, s string) []byte {
	dst, _ = jsontext.AppendQuote(dst, strings.ToValidUTF8(s, "\uFFFD"))
	return dst
}
