package client

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// An Endpoint is where the resources of one type are, such as /Users. There is
// one of User, one of Group, and one of Resource for every other type.
type Endpoint[T any] struct {
	c    *Client
	path string // "/Users"
	noun string // "user", for messages
}

// A document is what an Endpoint reads and writes: a *User, *Group or *Resource.
type document interface {
	// body returns what is sent.
	body() (jsontext.Value, error)
	// read takes what a service sent.
	read(jsontext.Value) error
	// answered keeps what the service said. The document has the id, also when
	// the service sent none.
	answered(id string, a *Answer)
	// twin returns a filter that selects what is the same to the service; "":
	// there is none.
	twin() string
}

func documentOf[T any](v *T) document { return any(v).(document) }

// GetOptions choose what an answer shows. The lists hold attribute names as in
// "userName" or "emails.value"; they exclude each other. Nil is the default: all
// that the service returns by itself.
type GetOptions struct {
	Attributes         []string
	ExcludedAttributes []string
}

// WriteOptions go with a Create, Replace or Patch; nil is none of them.
type WriteOptions struct {
	// Attributes and ExcludedAttributes cut the answer, as in GetOptions. They
	// do not narrow what is written.
	Attributes         []string
	ExcludedAttributes []string
	// IfMatch is the ETag (Answer.ETag) that the resource must still have:
	// another one is a 412. Empty: any. Create does not use it.
	IfMatch string
	// IdempotencyKey names the request, for a caller that may repeat it itself.
	// Empty: one is made. At most 255 characters of ASCII.
	IdempotencyKey string
}

// DeleteOptions go with a Delete; nil is none of them.
type DeleteOptions struct {
	IfMatch        string // as in WriteOptions
	IdempotencyKey string // as in WriteOptions
}

func projection(attributes, excluded []string) (url.Values, error) {
	if len(attributes) > 0 && len(excluded) > 0 {
		return nil, errors.New("attributes and excluded attributes exclude each other: give one of them")
	}
	q := url.Values{}
	if len(attributes) > 0 {
		q.Set("attributes", strings.Join(attributes, ","))
	}
	if len(excluded) > 0 {
		q.Set("excludedAttributes", strings.Join(excluded, ","))
	}
	return q, nil
}

// Create adds a resource (POST) and returns it as the service made it. A taken
// name is a *scim.Error with status 409.
//
// When an answer is lost, the resource may have been made. A Roster is sent the
// request again, and does it once. With any other service Create looks first: it
// returns a user of that userName, or a group of that displayName, which has all
// that was asked for; only if there is none of that name, it sends the request
// again. A Resource has no such name: there the error says that it may be done.
func (e Endpoint[T]) Create(ctx context.Context, v *T, o *WriteOptions) (*T, error) {
	if o == nil {
		o = new(WriteOptions)
	}
	body, err := documentOf(v).body()
	if err != nil {
		return nil, err
	}
	q, err := projection(o.Attributes, o.ExcludedAttributes)
	if err != nil {
		return nil, err
	}
	r := &Request{Method: http.MethodPost, Path: e.path, Query: q, Body: body, IdempotencyKey: cmp.Or(o.IdempotencyKey, rand.Text())}
	for sent, n := 0, 0; ; n++ {
		a, err := e.c.Do(ctx, r)
		if err == nil {
			return e.written(ctx, r, createdID(a), a)
		}
		var failed *Error
		if !errors.As(err, &failed) {
			return nil, err
		}
		sent += failed.Attempts
		failed.Attempts = sent
		unsure := failed.unsure || failed.resumed(e.c, http.StatusConflict)
		if !unsure || ctx.Err() != nil {
			return nil, err
		}
		found, same, lerr := e.made(ctx, v)
		if lerr == nil && same {
			return found, nil
		}
		final := failed.Answer != nil && failed.Answer.Status < 500
		if lerr != nil || found != nil || final || !e.c.pause(ctx, n) {
			return nil, err
		}
	}
}

// made looks for a resource of the name that v has; same says that it has all
// else that v has.
func (e Endpoint[T]) made(ctx context.Context, v *T) (found *T, same bool, err error) {
	filter := documentOf(v).twin()
	if filter == "" {
		return nil, false, errors.New("no name to look for")
	}
	for found, err := range e.List(ctx, &ListOptions{Filter: filter, Count: 2}) {
		if err != nil {
			return nil, false, err
		}
		return found, covers(found, v), nil
	}
	return nil, false, nil
}

// createdID returns the id in the Location of an answer, "" when there is none.
func createdID(a *Answer) string {
	u, err := url.Parse(a.Header.Get("Location"))
	if err != nil {
		return ""
	}
	path := u.EscapedPath()
	id, err := url.PathUnescape(path[strings.LastIndexByte(path, '/')+1:])
	if err != nil {
		return ""
	}
	return id
}

// Get returns the resource of that id. No such one is a *scim.Error with status
// 404.
func (e Endpoint[T]) Get(ctx context.Context, id string, o *GetOptions) (*T, error) {
	if o == nil {
		o = new(GetOptions)
	}
	path, err := e.one(id)
	if err != nil {
		return nil, err
	}
	q, err := projection(o.Attributes, o.ExcludedAttributes)
	if err != nil {
		return nil, err
	}
	a, err := e.c.Do(ctx, &Request{Method: http.MethodGet, Path: path, Query: q})
	if err != nil {
		return nil, err
	}
	return e.read(http.MethodGet, path, id, a)
}

// Replace makes the resource of that id what v says (PUT) and returns it as it
// is then. Attributes that v leaves out are cleared. Errors are *scim.Error: 404
// no such one, 409 a value is taken, 412 another version than IfMatch, 400
// anything else that the service refuses. A 412 after a lost answer is none when
// the resource is as v says.
func (e Endpoint[T]) Replace(ctx context.Context, id string, v *T, o *WriteOptions) (*T, error) {
	body, err := documentOf(v).body()
	if err != nil {
		return nil, err
	}
	made, err := e.change(ctx, &Request{Method: http.MethodPut, Body: body}, id, o)
	var failed *Error
	if errors.As(err, &failed) && failed.Answer != nil && failed.Answer.Status == http.StatusPreconditionFailed && failed.Answer.mayBeDone {
		if now, gerr := e.Get(ctx, id, nil); gerr == nil && covers(now, v) {
			return now, nil
		}
	}
	return made, err
}

// Patch carries out p on the resource of that id (PATCH), all of it or nothing,
// and returns it as it is then. Errors are *scim.Error, as those of Replace. See
// Patch for when it is tried again after an answer was lost.
func (e Endpoint[T]) Patch(ctx context.Context, id string, p Patch, o *WriteOptions) (*T, error) {
	body, err := p.JSON()
	if err != nil {
		return nil, err
	}
	return e.change(ctx, &Request{Method: http.MethodPatch, Body: body, repeatable: p.repeatable()}, id, o)
}

// Delete removes the resource of that id. No such one is a *scim.Error with
// status 404, unless an earlier attempt of the same call may have removed it.
func (e Endpoint[T]) Delete(ctx context.Context, id string, o *DeleteOptions) error {
	if o == nil {
		o = new(DeleteOptions)
	}
	path, err := e.one(id)
	if err != nil {
		return err
	}
	_, err = e.c.Do(ctx, &Request{Method: http.MethodDelete, Path: path, IfMatch: o.IfMatch, IdempotencyKey: o.IdempotencyKey})
	var failed *Error
	if errors.As(err, &failed) && failed.resumed(e.c, http.StatusNotFound) {
		return nil
	}
	return goneAfterAll(err)
}

// goneAfterAll returns err, but nil for a 404 when an earlier attempt may have
// removed what was to be removed.
func goneAfterAll(err error) error {
	var failed *Error
	if errors.As(err, &failed) && failed.Answer != nil && failed.Answer.Status == http.StatusNotFound && failed.Answer.mayBeDone {
		return nil
	}
	return err
}

// resumed reports whether a service that repeats no answers refused with that
// status what an earlier call may have done (Client.Resumed).
func (e *Error) resumed(c *Client, status int) bool {
	return c.Resumed && !c.isRoster.Load() && e.Answer != nil && e.Answer.Status == status
}

// change sends a PUT or PATCH and reads its answer.
func (e Endpoint[T]) change(ctx context.Context, r *Request, id string, o *WriteOptions) (_ *T, err error) {
	if o == nil {
		o = new(WriteOptions)
	}
	if r.Path, err = e.one(id); err != nil {
		return nil, err
	}
	if r.Query, err = projection(o.Attributes, o.ExcludedAttributes); err != nil {
		return nil, err
	}
	r.IfMatch, r.IdempotencyKey = o.IfMatch, o.IdempotencyKey
	a, err := e.c.Do(ctx, r)
	if err != nil {
		return nil, err
	}
	return e.written(ctx, r, id, a)
}

// written reads the answer to a write. One without a body is read again with a
// GET, cut in the same way. When that fails, the resource has its id alone: the
// write itself was done.
func (e Endpoint[T]) written(ctx context.Context, r *Request, id string, a *Answer) (*T, error) {
	if len(bytes.TrimSpace(a.Body)) > 0 {
		return e.read(r.Method, r.Path, id, a)
	}
	v := new(T)
	documentOf(v).answered(id, a)
	path, err := e.one(id)
	if err != nil {
		return v, nil
	}
	now, err := e.c.Do(ctx, &Request{Method: http.MethodGet, Path: path, Query: r.Query})
	if err != nil || len(bytes.TrimSpace(now.Body)) == 0 {
		return v, nil
	}
	// The ETag must be that of the body, or a write with it could undo what
	// somebody else did in between.
	one := *a
	one.Body, one.Header = now.Body, a.Header.Clone()
	one.Header.Del("ETag")
	if tag := now.ETag(); tag != "" {
		one.Header.Set("ETag", tag)
	}
	return e.read(r.Method, r.Path, id, &one)
}

// read reads a resource from an answer that has one.
func (e Endpoint[T]) read(method, path, id string, a *Answer) (*T, error) {
	v := new(T)
	if err := documentOf(v).read(a.Body); err != nil {
		return nil, unreadable(method, path, a, err)
	}
	documentOf(v).answered(id, a)
	return v, nil
}

// one returns the path of the resource of that id.
func (e Endpoint[T]) one(id string) (string, error) {
	s, err := segment(e.noun, id)
	if err != nil {
		return "", err
	}
	return e.path + "/" + s, nil
}

// covers reports whether found, which was read, has every attribute that want
// would send.
func covers[T any](found, want *T) bool {
	sent, err := documentOf(want).body()
	if err != nil {
		return false
	}
	shown, err := documentOf(found).body()
	if err != nil {
		return false
	}
	var w, f map[string]any
	if json.Unmarshal(sent, &w) != nil || json.Unmarshal(shown, &f) != nil {
		return false
	}
	delete(w, "schemas")
	return coversValue(f, w)
}

// coversValue reports whether found has all that want has. A service adds to
// objects, and keeps lists in an order of its own.
func coversValue(found, want any) bool {
	if none(want) {
		return none(found)
	}
	switch want := want.(type) {
	case map[string]any:
		have, ok := found.(map[string]any)
		for name, v := range want {
			ok = ok && coversValue(have[name], v)
		}
		return ok
	case []any:
		have, ok := found.([]any)
		ok = ok && len(have) == len(want)
		for _, v := range want {
			ok = ok && slices.ContainsFunc(have, func(h any) bool { return coversValue(h, v) })
		}
		return ok
	}
	return found == want
}

// none reports whether v is no value: absent, null, empty list, object or text.
func none(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

// Quote returns s as a value for a filter, with its quotes: a JSON string, as RFC
// 7644 section 3.4.2.2 has it.
func Quote(s string) string {
	b, err := jsontext.AppendQuote(nil, strings.ToValidUTF8(s, "\uFFFD"))
	if err != nil {
		return `""`
	}
	return string(b)
}
