package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/scim"
)

// An Error is a request that failed. Err is a *scim.Error when the service
// refused it, whatever form its answer had; otherwise there was no answer, or a
// success that could not be read. errors.As finds both.
type Error struct {
	Method string
	Path   string // without the query, which can hold personal data
	// Answer is what the service said; nil when it said nothing.
	Answer *Answer
	// Attempts is how often the request was sent, from 1; 0 when it could not
	// be. After more than one, a 409 or 412 can come from an earlier attempt
	// that was done though its answer was lost.
	Attempts int
	Err      error
}

func (e *Error) Error() string {
	s := e.Method + " " + e.Path + ": " + e.Err.Error()
	if e.Attempts > 1 {
		s += fmt.Sprintf(" (after %d attempts)", e.Attempts)
	}
	return s
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// RequestID returns the id that the service gave the request, for a search in
// its logs; "" when there is none.
func (e *Error) RequestID() string {
	if e.Answer == nil {
		return ""
	}
	if id := e.Answer.RequestID(); id != "" {
		return id
	}
	var body errorBody
	_ = json.Unmarshal(e.Answer.Body, &body, looseJSON)
	return text(body.TraceID)
}

// RetryAfter returns how long the service asks to wait; 0 when it does not. At
// most 24 hours.
func (e *Error) RetryAfter() time.Duration {
	if e.Answer == nil {
		return 0
	}
	wait, _ := retryAfter(&http.Response{Header: e.Answer.Header}, time.Now())
	return wait
}

// errorBody is a SCIM error (RFC 7644 section 3.12), Atlassian's Failure
// ({"error", "traceId"}) or another object in which a text may say what is wrong.
// Nothing in it is relied upon, so every member is taken in any type.
type errorBody struct {
	ScimType jsontext.Value `json:"scimType"`
	Detail   jsontext.Value `json:"detail"`
	Error    jsontext.Value `json:"error"`
	Message  jsontext.Value `json:"message"`
	TraceID  jsontext.Value `json:"traceId"`
}

// looseJSON reads what services send against RFC 8259's advice.
var looseJSON = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// maxDetail bounds what is repeated of an answer, in bytes.
const maxDetail = 2000

// answerError makes an error of an answer that is no success.
func answerError(a *Answer) error {
	if a.Status < 400 {
		err := fmt.Errorf("%d %s where a result was expected", a.Status, http.StatusText(a.Status))
		if to, perr := url.Parse(a.Header.Get("Location")); perr == nil && to.Host != "" {
			err = fmt.Errorf("%w: the service is at %s://%s, use that as the base URL", err, to.Scheme, to.Host)
		}
		return err
	}
	se := &scim.Error{Status: a.Status}
	var body errorBody
	if json.Unmarshal(a.Body, &body, looseJSON) == nil {
		se.Type = text(body.ScimType)
		for _, v := range []jsontext.Value{body.Detail, body.Message, body.Error} {
			if se.Detail = text(v); se.Detail != "" {
				return se
			}
		}
	}
	se.Detail = http.StatusText(a.Status)
	switch {
	case len(bytes.TrimSpace(a.Body)) == 0:
		se.Detail += " (without a body)"
	case !a.Body.IsValid():
		se.Detail += " (not an answer of a SCIM service, but " + orElseText(a.Header.Get("Content-Type"), "something else") + ")"
	}
	return se
}

// text returns the text of a JSON string or number, and "" of anything else.
func text(v jsontext.Value) string {
	var s string
	switch v.Kind() {
	case '"':
		if json.Unmarshal(v, &s, looseJSON) != nil {
			return ""
		}
	case '0':
		s = v.String()
	}
	if len(s) > maxDetail {
		s = strings.ToValidUTF8(s[:maxDetail], "") + "…"
	}
	return strings.TrimSpace(s)
}

func orElseText(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// transportError takes from an error what url.Error repeats of the request: the
// query can hold personal data.
func transportError(ctx context.Context, err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, ctx.Err()) {
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return err
}

// unreadable is the error of a success whose body does not fit: the service did
// what was asked.
func unreadable(method, path string, a *Answer, err error) error {
	return &Error{Method: method, Path: path, Answer: a, Attempts: a.Attempts,
		Err: errors.New("the service answered " + strconv.Itoa(a.Status) + ", but its answer cannot be read: " + err.Error())}
}
