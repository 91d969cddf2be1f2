package client

import (
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

	unsure bool // the service may have done what was asked
}

func (e *Error) Error() string {
	s := e.Method + " " + e.Path + ": " + e.Err.Error()
	if e.Answer == nil {
		if todo := transportAdvice(e.Err); todo != "" {
			s += ": " + todo
		}
	}
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

// maxDetail bounds what is repeated of an answer, in bytes.
const maxDetail = 2000

// answerError makes an error of an answer that is no success, to a request of
// that path.
func answerError(a *Answer, path string) error {
	if a.Status < 400 {
		s := fmt.Sprintf("%d %s where a result was expected", a.Status, http.StatusText(a.Status))
		if a.Status >= 300 {
			s += ": " + redirectAdvice(a.Header.Get("Location"))
		}
		return errors.New(s)
	}
	se := &scim.Error{Status: a.Status}
	se.Type, se.Detail = saidOf(a)
	if todo := advice(a, path, se.Detail); todo != "" {
		se.Detail = strings.TrimRight(se.Detail, ". ") + ". " + todo
	}
	return se
}

// saidOf returns the scimType and the text of an error, whatever its form is.
func saidOf(a *Answer) (scimType, detail string) {
	var body errorBody
	if json.Unmarshal(a.Body, &body, looseJSON) == nil {
		scimType = text(body.ScimType)
		for _, v := range []jsontext.Value{body.Detail, body.Message, body.Error} {
			if detail = text(v); detail != "" {
				return scimType, detail
			}
		}
	}
	detail = http.StatusText(a.Status)
	media := a.Header.Get("Content-Type")
	said := strings.TrimSpace(string(a.Body))
	switch {
	case said == "":
		detail += " (without a body)"
	case a.Body.IsValid():
	case strings.HasPrefix(media, "text/plain"):
		detail += " (" + clip(strings.Join(strings.Fields(said), " ")) + ")"
	default:
		detail += " (not an answer of a SCIM service, but " + orElseText(media, "something else") + ")"
	}
	return scimType, detail
}

// text returns the text of a JSON string or number, and "" of anything else.
func text(v jsontext.Value) string {
	var s string
	switch v.Kind() {
	case '"':
		b, err := jsontext.AppendUnquote(nil, v)
		if err != nil && len(b) == 0 {
			return ""
		}
		s = strings.ToValidUTF8(string(b), "\uFFFD")
	case '0':
		s = v.String()
	}
	return strings.TrimSpace(clip(s))
}

// clip cuts s to what is worth repeating.
func clip(s string) string {
	if len(s) > maxDetail {
		s = strings.ToValidUTF8(s[:maxDetail], "") + "…"
	}
	return s
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
	s := "the service answered " + strconv.Itoa(a.Status) + ", but its answer cannot be read: " + err.Error()
	if media := a.Header.Get("Content-Type"); strings.HasPrefix(media, "text/html") {
		s += " (it is a web page: check the base URL)"
	}
	return &Error{Method: method, Path: path, Answer: a, Attempts: a.Attempts, Err: errors.New(s)}
}
