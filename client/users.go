package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Users are the users of the directory.
type Users struct{ c *Client }

// Users returns the users of the directory.
func (c *Client) Users() Users { return Users{c} }

// GetOptions choose what an answer shows. The lists hold attribute names as in
// "userName" or "emails.value"; they exclude each other. Nil is the default: all
// that the service returns by itself.
type GetOptions struct {
	Attributes         []string
	ExcludedAttributes []string
}

// WriteOptions go with a Create or Replace; nil is none of them.
type WriteOptions struct {
	// Attributes and ExcludedAttributes cut the answer, as in GetOptions. They
	// do not narrow what is written.
	Attributes         []string
	ExcludedAttributes []string
	// IfMatch is the ETag (Answer.ETag) that the user must still have: another
	// one is a 412. Empty: any. Create does not use it.
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

// ListOptions select users; nil selects all.
type ListOptions struct {
	Attributes         []string // as in GetOptions; id is always asked for
	ExcludedAttributes []string // as in GetOptions
	// Filter is a SCIM filter (RFC 7644 section 3.4.2.2), such as
	// userName eq "ada@corp.example". Empty: all.
	Filter string
	// StartIndex is the 1-based index of the first user. Less than 1: 1.
	StartIndex int
	// Count is how many users are asked for in one page. Less than 1: the
	// service decides.
	Count int
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

// Create adds a user (POST) and returns it as the service made it. A taken
// userName or e-mail is a *scim.Error with status 409. When an earlier attempt
// was done though its answer was lost, the service may answer 409 for what the
// request itself made: then Create looks for the user, and returns it when it is
// as was asked.
func (s Users) Create(ctx context.Context, u *User, o *WriteOptions) (*User, error) {
	made, err := s.write(ctx, http.MethodPost, "/Users", u, o)
	var e *Error
	if errors.As(err, &e) && e.Answer != nil && e.Answer.Status == http.StatusConflict && e.Answer.mayBeDone {
		if found := s.made(ctx, u); found != nil {
			return found, nil
		}
	}
	return made, err
}

// Get returns the user of that id. No such user is a *scim.Error with status 404.
func (s Users) Get(ctx context.Context, id string, o *GetOptions) (*User, error) {
	if o == nil {
		o = new(GetOptions)
	}
	path, err := userPath(id)
	if err != nil {
		return nil, err
	}
	q, err := projection(o.Attributes, o.ExcludedAttributes)
	if err != nil {
		return nil, err
	}
	a, err := s.c.Do(ctx, &Request{Method: http.MethodGet, Path: path, Query: q})
	if err != nil {
		return nil, err
	}
	return readUser(http.MethodGet, path, a)
}

// Replace makes the user of that id what u says (PUT) and returns it as it is
// then. Attributes that u leaves out are cleared. Errors are *scim.Error: 404 no
// such user, 409 a value is taken, 412 another version than IfMatch, 400
// anything else that the service refuses.
func (s Users) Replace(ctx context.Context, id string, u *User, o *WriteOptions) (*User, error) {
	path, err := userPath(id)
	if err != nil {
		return nil, err
	}
	return s.write(ctx, http.MethodPut, path, u, o)
}

// Delete removes the user of that id. No such user is a *scim.Error with status
// 404, unless an earlier attempt of the same call may have removed it.
func (s Users) Delete(ctx context.Context, id string, o *DeleteOptions) error {
	if o == nil {
		o = new(DeleteOptions)
	}
	path, err := userPath(id)
	if err != nil {
		return err
	}
	_, err = s.c.Do(ctx, &Request{Method: http.MethodDelete, Path: path, IfMatch: o.IfMatch, IdempotencyKey: o.IdempotencyKey})
	var e *Error
	if errors.As(err, &e) && e.Answer != nil && e.Answer.Status == http.StatusNotFound && e.Answer.mayBeDone {
		return nil
	}
	return err
}

// List goes through the users that o selects, page after page, in the order of
// the service. After an error, which comes with a nil user, it ends. What
// changes while it runs may be seen twice or not at all: pages are by index.
func (s Users) List(ctx context.Context, o *ListOptions) iter.Seq2[*User, error] {
	if o == nil {
		o = new(ListOptions)
	}
	return func(yield func(*User, error) bool) {
		start := max(o.StartIndex, 1)
		var before string // the id of the first user of the page before
		for {
			page, err := s.page(ctx, o, start)
			if err != nil {
				yield(nil, err)
				return
			}
			if len(page.users) == 0 {
				return
			}
			if first := page.users[0].ID; first == "" || first != before {
				before = first
			} else {
				yield(nil, fmt.Errorf("list users: the page from %d begins with the user of the page before: the service does not page by startIndex", start))
				return
			}
			for _, u := range page.users {
				if !yield(u, nil) {
					return
				}
			}
			// What was returned counts, not itemsPerPage, which some services
			// fill with the limit; and a total less than what was seen is none.
			start += len(page.users)
			if seen := int64(start - 1); page.total >= int64(len(page.users)) && seen >= page.total {
				return
			}
		}
	}
}

type userPage struct {
	total int64 // -1: not said
	users []*User
}

func (s Users) page(ctx context.Context, o *ListOptions, start int) (*userPage, error) {
	q, err := projection(o.Attributes, o.ExcludedAttributes)
	if err != nil {
		return nil, err
	}
	q.Set("startIndex", strconv.Itoa(start))
	if o.Count > 0 {
		q.Set("count", strconv.Itoa(o.Count))
	}
	if o.Filter != "" {
		q.Set("filter", o.Filter)
	}
	a, err := s.c.Do(ctx, &Request{Method: http.MethodGet, Path: "/Users", Query: q})
	if err != nil {
		return nil, err
	}
	var list struct {
		TotalResults jsontext.Value   `json:"totalResults,case:ignore"`
		Resources    []jsontext.Value `json:"Resources,case:ignore"`
	}
	if err := json.Unmarshal(a.Body, &list, looseJSON); err != nil {
		return nil, unreadable(http.MethodGet, "/Users", a, err)
	}
	page := &userPage{total: -1}
	if n, err := strconv.ParseInt(text(list.TotalResults), 10, 64); err == nil {
		page.total = n
	}
	for _, doc := range list.Resources {
		one := *a
		one.Body = doc
		u, err := readUser(http.MethodGet, "/Users", &one)
		if err != nil {
			return nil, err
		}
		page.users = append(page.users, u)
	}
	return page, nil
}

func (s Users) write(ctx context.Context, method, path string, u *User, o *WriteOptions) (*User, error) {
	if o == nil {
		o = new(WriteOptions)
	}
	body, err := u.body()
	if err != nil {
		return nil, err
	}
	q, err := projection(o.Attributes, o.ExcludedAttributes)
	if err != nil {
		return nil, err
	}
	r := &Request{Method: method, Path: path, Query: q, Body: body, IdempotencyKey: o.IdempotencyKey}
	if method != http.MethodPost {
		r.IfMatch = o.IfMatch
	}
	a, err := s.c.Do(ctx, r)
	if err != nil {
		return nil, err
	}
	return readUser(method, path, a)
}

// made returns the user that has the userName of u and everything else that u
// says, or nil.
func (s Users) made(ctx context.Context, u *User) *User {
	filter := "userName eq " + quote(u.UserName)
	for found, err := range s.List(ctx, &ListOptions{Filter: filter, Count: 2}) {
		if err == nil && covers(found, u) {
			return found
		}
		break
	}
	return nil
}

// covers reports whether found has every attribute that u would send.
func covers(found, u *User) bool {
	body, err := u.body()
	if err != nil {
		return false
	}
	var sent, have map[string]jsontext.Value
	if json.Unmarshal(body, &sent) != nil || json.Unmarshal(found.Answer.Body, &have) != nil {
		return false
	}
	delete(sent, "schemas")
	for name, v := range sent {
		w := have[name].Clone()
		if v.Canonicalize() != nil || len(w) > 0 && w.Canonicalize() != nil {
			return false
		}
		if none(v) && none(w) {
			continue
		}
		if !bytes.Equal(v, w) {
			return false
		}
	}
	return true
}

// none reports whether v is no value: absent, null, empty list, object or text.
func none(v jsontext.Value) bool {
	switch string(v) {
	case "", "null", "[]", "{}", `""`:
		return true
	}
	return false
}

// quote returns s as a value of a filter, which is a JSON string.
func quote(s string) string {
	b, err := jsontext.AppendQuote(nil, strings.ToValidUTF8(s, "\uFFFD"))
	if err != nil {
		return `""`
	}
	return string(b)
}

func userPath(id string) (string, error) {
	s, err := segment("user", id)
	return "/Users/" + s, err
}

// readUser reads a user from an answer; one without a body is an empty user.
func readUser(method, path string, a *Answer) (*User, error) {
	u := new(User)
	if len(bytes.TrimSpace(a.Body)) > 0 {
		if err := json.Unmarshal(a.Body, u, looseJSON); err != nil {
			return nil, unreadable(method, path, a, err)
		}
	}
	u.Answer = a
	return u, nil
}
