package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/go-json-experiment/json"

	"github.com/roster-scim/roster"
)

// Connections of a directory are where its workflows act beside the directory
// itself. In each of these calls directory is the id of the one that owns them;
// empty: that of the key, for an operator key the default one.

// A ConnectionInput says what a connection is to be.
type ConnectionInput struct {
	URL       string `json:"url"`                // of the service; of any SCIM service its base URL
	Directory string `json:"directory,omitzero"` // the id of the directory there; empty: URL is the base URL
	RuleSet   string `json:"ruleSet,omitzero"`   // empty: "standard"
	// Key is the API key, which no call returns. Empty, in ReplaceConnection: the
	// one that is kept, as long as URL and Directory stay.
	Key string `json:"key,omitzero"`
}

// A ConnectionTest is what a server found when it tried a connection.
type ConnectionTest struct {
	Works     bool           `json:"works"`
	Fault     string         `json:"fault"` // what is wrong, in words; empty: nothing
	Next      string         `json:"next"`  // what to try; empty: nothing is known
	Directory string         `json:"directory"`
	Roster    bool           `json:"roster"` // it is a Roster
	RuleSet   string         `json:"ruleSet"`
	Users     string         `json:"users"`  // what is known of reading them
	Writes    string         `json:"writes"` // what is known of writing them
	Scopes    []roster.Scope `json:"scopes"` // of the key; nil: the service does not tell them
	Operator  bool           `json:"operator"`
}

// ListConnections returns the connections of a directory in the order of their
// names.
func (m Management) ListConnections(ctx context.Context, directory string) ([]*roster.Connection, error) {
	list, err := call[struct {
		Connections []*roster.Connection `json:"connections"`
	}](ctx, m, http.MethodGet, "/connections", owner(directory), nil)
	return list.Connections, err
}

// CreateConnection adds a connection. A name that is taken is a *scim.Error with
// status 409.
func (m Management) CreateConnection(ctx context.Context, directory, name string, c ConnectionInput) (*roster.Connection, error) {
	return call[*roster.Connection](ctx, m, http.MethodPost, "/connections", owner(directory), struct {
		Name string `json:"name"`
		ConnectionInput
	}{name, c})
}

// GetConnection returns a connection; none is a *scim.Error with status 404.
func (m Management) GetConnection(ctx context.Context, directory, name string) (*roster.Connection, error) {
	path, err := connectionPath(name)
	if err != nil {
		return nil, err
	}
	return call[*roster.Connection](ctx, m, http.MethodGet, path, owner(directory), nil)
}

// ReplaceConnection changes a connection. version is the one that it must still
// have, 0: any.
func (m Management) ReplaceConnection(ctx context.Context, directory, name string, version int64, c ConnectionInput) (*roster.Connection, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	a, path, err := m.ofConnection(ctx, http.MethodPut, directory, name, version, body)
	if err != nil {
		return nil, err
	}
	var out *roster.Connection
	if err := json.Unmarshal(a.Body, &out); err != nil {
		return nil, unreadable(http.MethodPut, path, a, err)
	}
	return out, nil
}

// DeleteConnection removes a connection with its key. version is as in
// ReplaceConnection. One that a deployed workflow uses is a *scim.Error with
// status 409.
func (m Management) DeleteConnection(ctx context.Context, directory, name string, version int64) error {
	_, _, err := m.ofConnection(ctx, http.MethodDelete, directory, name, version, nil)
	return err
}

// TestConnection lets the server try a connection. That it does not work is no
// error.
func (m Management) TestConnection(ctx context.Context, directory, name string) (*ConnectionTest, error) {
	path, err := connectionPath(name)
	if err != nil {
		return nil, err
	}
	return call[*ConnectionTest](ctx, m, http.MethodPost, path+"/test", owner(directory), nil)
}

func (m Management) ofConnection(ctx context.Context, method, directory, name string, version int64, body []byte) (*Answer, string, error) {
	path, err := connectionPath(name)
	if err != nil {
		return nil, "", err
	}
	r := &Request{Method: method, Path: path, Query: owner(directory), Body: body}
	if version > 0 {
		r.IfMatch = `W/"` + strconv.FormatInt(version, 10) + `"`
	}
	a, err := m.request(ctx, r)
	return a, path, err
}

func connectionPath(name string) (string, error) {
	s, err := segment("connection", name)
	return "/connections/" + s, err
}

// owner returns the query that names a directory.
func owner(directory string) url.Values {
	if directory == "" {
		return nil
	}
	return url.Values{"directory": {directory}}
}
