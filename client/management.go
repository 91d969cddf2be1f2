package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster"
)

// Management is the API by which a Roster itself is managed, under
// BaseURL/api/v1. It needs an operator's key, or a directory's key with the
// scope admin for that directory alone. Its POSTs carry no Idempotency-Key,
// since a server could repeat the answer only if it kept the new secret; so they
// are not tried again when they may have been carried out.
type Management struct{ c *Client }

// Management returns the API by which a Roster is managed. Client.Directory is
// not used by it: each call names its directory.
func (c *Client) Management() Management { return Management{c} }

// Organization returns the id of the organisation that the directories of the
// Roster belong to, for Client.Organization. It needs an operator key.
func (m Management) Organization(ctx context.Context) (string, error) {
	org, err := call[struct {
		ID string `json:"id"`
	}](ctx, m, http.MethodGet, "/org", nil, nil)
	return org.ID, err
}

// A DirectoryCreate says what a new directory is to be.
type DirectoryCreate struct {
	Name    string         `json:"name"`
	RuleSet string         `json:"ruleSet,omitzero"` // "atlassian", "standard" or "strict"; empty: the server's default
	Rules   jsontext.Value `json:"rules,omitzero"`   // a JSON object of rules that differ from the rule set (scim.RuleSet); empty: none
}

// CreateDirectory makes a directory.
func (m Management) CreateDirectory(ctx context.Context, d DirectoryCreate) (*roster.Directory, error) {
	return call[*roster.Directory](ctx, m, http.MethodPost, "/directories", nil, d)
}

// GetDirectory returns the directory of that id; none is a *scim.Error with
// status 404.
func (m Management) GetDirectory(ctx context.Context, id string) (*roster.Directory, error) {
	path, err := directoryPath(id, "")
	if err != nil {
		return nil, err
	}
	return call[*roster.Directory](ctx, m, http.MethodGet, path, nil, nil)
}

// ListDirectories returns the directories that the key reaches, in the order of
// their creation.
func (m Management) ListDirectories(ctx context.Context) ([]*roster.Directory, error) {
	list, err := call[struct {
		Directories []*roster.Directory `json:"directories"`
	}](ctx, m, http.MethodGet, "/directories", nil, nil)
	return list.Directories, err
}

// UpdateDirectory changes a directory, all or nothing, and returns it. version is
// the one that it must still have, 0: any. A *scim.Error with status 409 says what
// stands in the way.
func (m Management) UpdateDirectory(ctx context.Context, id string, version int64, u roster.DirectoryUpdate) (*roster.Directory, error) {
	return change[*roster.Directory](ctx, m, id, version, nil, u)
}

// PlanDirectory returns what UpdateDirectory would do, and changes nothing.
func (m Management) PlanDirectory(ctx context.Context, id string, version int64, u roster.DirectoryUpdate) (*roster.DirectoryPlan, error) {
	return change[*roster.DirectoryPlan](ctx, m, id, version, url.Values{"plan": {"true"}}, u)
}

func change[T any](ctx context.Context, m Management, id string, version int64, q url.Values, u roster.DirectoryUpdate) (out T, err error) {
	path, err := directoryPath(id, "")
	if err != nil {
		return out, err
	}
	body, err := json.Marshal(u)
	if err != nil {
		return out, err
	}
	r := &Request{Method: http.MethodPatch, Path: path, Query: q, Body: body}
	if version > 0 {
		r.IfMatch = `W/"` + strconv.FormatInt(version, 10) + `"`
	}
	a, err := m.request(ctx, r)
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(a.Body, &out); err != nil {
		return out, unreadable(r.Method, path, a, err)
	}
	return out, nil
}

// GetSchemas returns the schemas and resource types that a directory has beside
// the built-in ones: a document as of scim.ParseCustom.
func (m Management) GetSchemas(ctx context.Context, directory string) (jsontext.Value, error) {
	path, err := directoryPath(directory, "/schemas")
	if err != nil {
		return nil, err
	}
	return call[jsontext.Value](ctx, m, http.MethodGet, path, nil, nil)
}

// ReplaceSchemas gives a directory other schemas and resource types. Its plan is
// that of PlanDirectory with the same Schemas.
func (m Management) ReplaceSchemas(ctx context.Context, directory string, doc jsontext.Value) error {
	path, err := directoryPath(directory, "/schemas")
	if err != nil {
		return err
	}
	_, err = m.send(ctx, http.MethodPut, path, nil, doc)
	return err
}

// DeleteDirectory removes a directory with its users, keys and history. There
// is no way back.
func (m Management) DeleteDirectory(ctx context.Context, id string) error {
	path, err := directoryPath(id, "")
	if err != nil {
		return err
	}
	_, err = m.send(ctx, http.MethodDelete, path, nil, nil)
	return err
}

// OwnKey returns the key that the client uses, without its secret: what it may
// do, and where.
func (m Management) OwnKey(ctx context.Context) (*roster.Key, error) {
	return call[*roster.Key](ctx, m, http.MethodGet, "/key", nil, nil)
}

// A KeyCreate says what a new key is to be.
type KeyCreate struct {
	Name    string         `json:"name"`
	Scopes  []roster.Scope `json:"scopes"`
	Expires time.Time      `json:"expiresAt,omitzero"` // zero: never
	User    string         `json:"user,omitzero"`      // the id of the user of the directory that /Me is; empty: none
}

// A NewKey is a key with its secret, which no later call shows again.
type NewKey struct {
	roster.Key
	Secret string `json:"key"` // "rk_…"
}

// CreateKey makes a key of a directory, or of the operators for "".
func (m Management) CreateKey(ctx context.Context, directory string, k KeyCreate) (*NewKey, error) {
	path, err := keysPath(directory)
	if err != nil {
		return nil, err
	}
	return call[*NewKey](ctx, m, http.MethodPost, path, nil, k)
}

// ListKeys returns the keys of a directory, or of the operators for "", revoked
// ones too.
func (m Management) ListKeys(ctx context.Context, directory string) ([]*roster.Key, error) {
	path, err := keysPath(directory)
	if err != nil {
		return nil, err
	}
	list, err := call[struct {
		Keys []*roster.Key `json:"keys"`
	}](ctx, m, http.MethodGet, path, nil, nil)
	return list.Keys, err
}

// A KeyRotate says how a key is replaced.
type KeyRotate struct {
	Overlap time.Duration // how long the old key stays good; 0: it ends at once
	Expires time.Time     // of the new key; zero: never
}

// RotateKey makes a key with the name and scopes of an old one, which ends after
// the overlap.
func (m Management) RotateKey(ctx context.Context, directory, id string, r KeyRotate) (*NewKey, error) {
	path, err := keyPath(directory, id)
	if err != nil {
		return nil, err
	}
	return call[*NewKey](ctx, m, http.MethodPost, path+"/rotate", nil, struct {
		Overlap string    `json:"overlap"`
		Expires time.Time `json:"expiresAt,omitzero"`
	}{r.Overlap.String(), r.Expires})
}

// RevokeKey ends a key.
func (m Management) RevokeKey(ctx context.Context, directory, id string) error {
	path, err := keyPath(directory, id)
	if err != nil {
		return err
	}
	_, err = m.send(ctx, http.MethodDelete, path, nil, nil)
	return err
}

// pageSize is how much pages asks for at once.
const pageSize = 100

// pages goes through what fetch returns of the things from a mark on, page by
// page, until a page is empty or leads nowhere.
func pages[T any](from string, fetch func(from string) ([]*T, error), mark func(*T) string) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		for from := from; ; {
			page, err := fetch(from)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, t := range page {
				if !yield(t, nil) {
					return
				}
			}
			if len(page) == 0 || mark(page[len(page)-1]) == from {
				return
			}
			from = mark(page[len(page)-1])
		}
	}
}

// Link gives a user that was unlinked an account again. One that is linked stays
// as it is.
func (m Management) Link(ctx context.Context, directory, userID string) (*User, error) {
	path, err := resourcePath(directory, "/users/", userID, "/link")
	if err != nil {
		return nil, err
	}
	a, err := m.send(ctx, http.MethodPost, path, nil, nil)
	if err != nil {
		return nil, err
	}
	return readUser(http.MethodPost, path, a)
}

// ListRequests returns the last requests to a directory, each a JSON object as
// the server wrote it; they hold no personal data.
func (m Management) ListRequests(ctx context.Context, directory string) ([]jsontext.Value, error) {
	path, err := directoryPath(directory, "/requests")
	if err != nil {
		return nil, err
	}
	list, err := call[struct {
		Requests []jsontext.Value `json:"requests"`
	}](ctx, m, http.MethodGet, path, nil, nil)
	return list.Requests, err
}

// call sends body as JSON, unless it is nil, and reads the answer as a T.
func call[T any](ctx context.Context, m Management, method, path string, q url.Values, body any) (out T, err error) {
	var data jsontext.Value
	if body != nil {
		if data, err = json.Marshal(body); err != nil {
			return out, err
		}
	}
	a, err := m.send(ctx, method, path, q, data)
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(a.Body, &out); err != nil {
		return out, unreadable(method, path, a, err)
	}
	return out, nil
}

func (m Management) send(ctx context.Context, method, path string, q url.Values, body jsontext.Value) (*Answer, error) {
	return m.request(ctx, &Request{Method: method, Path: path, Query: q, Body: body})
}

func (m Management) request(ctx context.Context, r *Request) (*Answer, error) {
	base, err := m.c.base()
	if err != nil {
		return nil, err
	}
	return m.c.send(ctx, base+"/api/v1", jsonMedia, r)
}

// window returns the query for up to limit things from a mark on, which is the
// parameter name.
func window(name, mark string, limit int) url.Values {
	q := url.Values{}
	if mark != "" && mark != "0" {
		q.Set(name, mark)
	}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	return q
}

func directoryPath(id, below string) (string, error) {
	s, err := segment("directory", id)
	return "/directories/" + s + below, err
}

// keysPath returns the path of the keys of a directory, or of the operators for
// "".
func keysPath(directory string) (string, error) {
	if directory == "" {
		return "/keys", nil
	}
	return directoryPath(directory, "/keys")
}

// keyPath returns the path of one of those keys.
func keyPath(directory, id string) (string, error) {
	s, err := segment("key", id)
	if err != nil {
		return "", err
	}
	path, err := keysPath(directory)
	return path + "/" + s, err
}
