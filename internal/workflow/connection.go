package workflow

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/internal/secret"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/scim"
)

// The bounds of connections.
const (
	MaxConnections   = 100 // that one directory owns
	maxConnectionURL = 2000
	maxConnectionKey = 8 << 10 // bytes
)

// Connections are those that a server keeps for the workflows of its
// directories. The key of one is sealed for the place where it is kept, and is
// given to nobody but a step that acts on the connection.
type Connections struct {
	o         ConnectionOptions
	transport http.RoundTripper // of Test
}

// ConnectionOptions are the dependencies of Connections.
type ConnectionOptions struct {
	Store store.Store
	// Keys seal. Nil: the server has no file of keys, and each call is a 501 that
	// says so.
	Keys *secret.Keyring
	// Guard says where a connection may lead. Required, unless Keys is nil.
	Guard *Guard
	// Used returns the name of a deployed workflow of a directory that uses a
	// connection of it, "" for none. Nil: none does.
	Used func(r store.Reader, directory, name string) (workflow string, err error)
	Now  func() time.Time // nil: time.Now
}

// NewConnections returns Connections.
func NewConnections(o ConnectionOptions) *Connections {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Used == nil {
		o.Used = func(store.Reader, string, string) (string, error) { return "", nil }
	}
	c := &Connections{o: o}
	if o.Guard != nil {
		c.transport = o.Guard.Transport()
	}
	return c
}

// A ConnectionInput is what a connection is to be.
type ConnectionInput struct {
	URL       string `json:"url"`       // of the service; of any SCIM service its base URL
	Directory string `json:"directory"` // the id of the directory there; empty: URL is the base URL
	RuleSet   string `json:"ruleSet"`   // empty: standard
	Key       string `json:"key"`       // empty: of one that is replaced the key it has
}

// NoKeys is the error of what needs a file of keys on a server that has none.
func NoKeys() *scim.Error {
	return scim.Errorf(501, "", "this server has no file of keys for what is secret, so it keeps no connections and runs no workflows: roster secret-key create FILE makes one; start every server of the database with --secret-key-file FILE (or ROSTER_SECRET_KEY_FILE)")
}

// SealedConnection is the context in which the key of a connection is sealed:
// moved to another name or directory it does not open.
func SealedConnection(owner, name string) []byte {
	return secret.Context("connection", owner, name)
}

// List returns the connections of a directory in the order of their names.
func (c *Connections) List(ctx context.Context, owner string) ([]*roster.Connection, error) {
	if c.o.Keys == nil {
		return nil, NoKeys()
	}
	var list []*roster.Connection
	err := c.o.Store.View(ctx, func(r store.Reader) error {
		all, err := r.ListConnections(owner)
		list = make([]*roster.Connection, len(all))
		for i, s := range all {
			list[i] = &s.Connection
		}
		return err
	})
	return list, err
}

// Get returns a connection of a directory, or a 404.
func (c *Connections) Get(ctx context.Context, owner, name string) (*roster.Connection, error) {
	s, err := c.get(ctx, owner, name)
	if err != nil {
		return nil, err
	}
	return &s.Connection, nil
}

// Open is Get with the key.
func (c *Connections) Open(ctx context.Context, owner, name string) (*roster.Connection, string, error) {
	s, err := c.get(ctx, owner, name)
	if err != nil {
		return nil, "", err
	}
	key, err := c.o.Keys.Open(s.Sealed, SealedConnection(owner, name))
	if err != nil {
		return nil, "", fmt.Errorf("key of connection %s of directory %s: %w", name, owner, err)
	}
	return &s.Connection, string(key), nil
}

func (c *Connections) get(ctx context.Context, owner, name string) (s *store.Connection, err error) {
	if c.o.Keys == nil {
		return nil, NoKeys()
	}
	if !connectionName.MatchString(name) {
		return nil, noConnection(name)
	}
	err = c.o.Store.View(ctx, func(r store.Reader) (err error) {
		s, err = r.GetConnection(owner, name)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, noConnection(name)
	}
	return s, err
}

// testTimeout bounds a test, in which up to three requests are made.
const testTimeout = 20 * time.Second

// Test says what a connection leads to. An error is a *Diagnosis, which does not
// show the key, or one of Open.
func (c *Connections) Test(ctx context.Context, owner, name string) (*Examination, error) {
	conn, key, err := c.Open(ctx, owner, name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	r, err := Examiner{RuleSet: conn.RuleSet}.Examine(ctx, &client.Client{
		BaseURL: conn.URL, Directory: conn.Directory, Key: key, Retries: -1, Timeout: testTimeout,
		HTTP: &http.Client{Transport: c.transport},
	})
	if d, ok := errors.AsType[*Diagnosis](err); ok {
		// A service may send back what it was sent. Its error stays here.
		return nil, &Diagnosis{What: strings.ReplaceAll(d.What, key, "***"), Next: strings.ReplaceAll(d.Next, key, "***")}
	}
	return r, err
}

// Create adds a connection to a directory that there is.
func (c *Connections) Create(ctx context.Context, owner, name string, in ConnectionInput) (*roster.Connection, error) {
	if c.o.Keys == nil {
		return nil, NoKeys()
	}
	if err := checkConnectionName(name); err != nil {
		return nil, err
	}
	if in.Key == "" {
		return nil, scim.Errorf(400, scim.InvalidValue, "key is required: the API key of the service that the connection leads to")
	}
	if err := c.check(&in); err != nil {
		return nil, err
	}
	now := c.now()
	s := &store.Connection{Connection: roster.Connection{Owner: owner, Name: name, Created: now, Modified: now, Version: 1}}
	c.fill(s, in)
	err := c.update(ctx, owner, func(tx store.Tx) error {
		list, err := tx.ListConnections(owner)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(list, func(other *store.Connection) bool { return other.Name == name }) {
			return store.ErrExists
		}
		if len(list) >= MaxConnections {
			return scim.Errorf(409, "", "the directory has %d connections, which is the most: delete one that is not used", MaxConnections)
		}
		return tx.CreateConnection(s)
	})
	if errors.Is(err, store.ErrExists) {
		return nil, scim.Errorf(409, scim.Uniqueness, "there is a connection %s: PUT replaces it", name)
	}
	if err != nil {
		return nil, err
	}
	return &s.Connection, nil
}

// Replace changes a connection of a version that holds (nil: any); without a key it keeps
// the one it has. A key never follows to another service: to change the URL, or
// the directory there, takes the key.
func (c *Connections) Replace(ctx context.Context, owner, name string, holds func(version int64) bool, in ConnectionInput) (*roster.Connection, error) {
	if c.o.Keys == nil {
		return nil, NoKeys()
	}
	if err := c.check(&in); err != nil {
		return nil, err
	}
	var s *store.Connection
	err := c.update(ctx, owner, func(tx store.Tx) error {
		cur, err := found(tx, owner, name, holds)
		if err != nil {
			return err
		}
		if in.Key == "" && (in.URL != cur.URL || in.Directory != cur.Directory) {
			return scim.Errorf(400, scim.InvalidValue, "key is required where url or directory changes: the key that is kept is for %s alone", cur.URL)
		}
		s = &store.Connection{Connection: cur.Connection, Sealed: cur.Sealed}
		s.Version, s.Modified = cur.Version+1, later(c.now(), cur.Modified)
		c.fill(s, in)
		return tx.ReplaceConnection(s)
	})
	if err != nil {
		return nil, err
	}
	return &s.Connection, nil
}

// Delete removes a connection of a version that holds (nil: any). One that a deployed
// workflow uses is a 409.
func (c *Connections) Delete(ctx context.Context, owner, name string, holds func(version int64) bool) error {
	if c.o.Keys == nil {
		return NoKeys()
	}
	return c.update(ctx, owner, func(tx store.Tx) error {
		cur, err := found(tx, owner, name, holds)
		if err != nil {
			return err
		}
		user, err := c.o.Used(tx, owner, name)
		if err != nil {
			return err
		}
		if user != "" {
			return scim.Errorf(409, "", "the workflow %s uses the connection %s: delete or deploy the workflow anew first", user, name)
		}
		return tx.DeleteConnection(owner, name, cur.Version)
	})
}

// update runs fn with the directory locked: of two that count, or look whether a
// workflow uses a connection, one waits for the other.
func (c *Connections) update(ctx context.Context, owner string, fn func(store.Tx) error) error {
	missing := false
	err := c.o.Store.Update(ctx, func(tx store.Tx) error {
		_, err := tx.LockDirectory(owner)
		if missing = errors.Is(err, store.ErrNotFound); err != nil {
			return err
		}
		return fn(tx)
	})
	if missing {
		return scim.Errorf(404, "", "the directory %s was deleted", owner)
	}
	return err
}

// found returns a connection of a version that holds: none is a 404, one of
// another version a 412.
func found(r store.Reader, owner, name string, holds func(int64) bool) (*store.Connection, error) {
	if !connectionName.MatchString(name) {
		return nil, noConnection(name)
	}
	cur, err := r.GetConnection(owner, name)
	if errors.Is(err, store.ErrNotFound) {
		return nil, noConnection(name)
	}
	if err == nil && holds != nil && !holds(cur.Version) {
		err = scim.Errorf(412, "", "the connection %s has the version W/\"%d\", which If-Match does not name: read it again and repeat the change on that", name, cur.Version)
	}
	return cur, err
}

// fill puts what was checked into s, and seals the key if there is one.
func (c *Connections) fill(s *store.Connection, in ConnectionInput) {
	s.URL, s.Connection.Directory, s.RuleSet = in.URL, in.Directory, in.RuleSet
	if in.Key != "" {
		s.Sealed = c.o.Keys.Seal([]byte(in.Key), SealedConnection(s.Owner, s.Name))
	}
}

func (c *Connections) now() time.Time { return c.o.Now().UTC().Truncate(time.Microsecond) }

// later returns now, or the next microsecond after before.
func later(now, before time.Time) time.Time {
	if now.After(before) {
		return now
	}
	return before.Add(time.Microsecond)
}

var connectionName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

func checkConnectionName(name string) error {
	if name == roster.LocalConnection {
		return scim.Errorf(400, scim.InvalidValue, "name must not be %s: every workflow has a connection of that name, which is its own directory", name)
	}
	if !connectionName.MatchString(name) {
		return scim.Errorf(400, scim.InvalidValue, "name must be 1 to 63 of a-z, 0-9 and hyphens, with no hyphen first or last")
	}
	return nil
}

func noConnection(name string) *scim.Error {
	if !connectionName.MatchString(name) {
		return scim.Errorf(404, "", "there is no such connection in this directory: GET /api/v1/connections lists those that there are")
	}
	return scim.Errorf(404, "", "there is no connection %s in this directory: GET /api/v1/connections lists those that there are", name)
}

// check completes and checks what a connection is to be. Its errors do not repeat
// the URL: a key may have been put there.
func (c *Connections) check(in *ConnectionInput) error {
	in.URL = strings.TrimRight(in.URL, "/")
	if err := c.checkURL(in.URL); err != nil {
		return err
	}
	if len(in.Directory) > 200 || !utf8.ValidString(in.Directory) || strings.ContainsFunc(in.Directory, unicode.IsControl) {
		return scim.Errorf(400, scim.InvalidValue, "directory must be the id of one, at most 200 bytes without control characters")
	}
	if in.RuleSet == "" {
		in.RuleSet = scim.Standard
	}
	if _, err := scim.Rules(in.RuleSet); err != nil {
		return scim.Errorf(400, scim.InvalidValue, "ruleSet must be one of %s", strings.Join(scim.RuleSetNames, ", "))
	}
	if len(in.Key) > maxConnectionKey || strings.ContainsFunc(in.Key, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return scim.Errorf(400, scim.InvalidValue, "key must be at most %d characters that a header can carry, without spaces", maxConnectionKey)
	}
	return nil
}

func (c *Connections) checkURL(text string) error {
	if text == "" {
		return scim.Errorf(400, scim.InvalidValue, "url is required: that of the service, as https://api.atlassian.com")
	}
	u, err := url.Parse(text)
	switch {
	case err != nil, len(text) > maxConnectionURL, u.Hostname() == "", u.Scheme != "https" && u.Scheme != "http":
		return scim.Errorf(400, scim.InvalidValue, "url must be one such as https://api.atlassian.com, at most %d bytes", maxConnectionURL)
	case u.User != nil:
		return scim.Errorf(400, scim.InvalidValue, "url must have no user name and no password in it: the key goes into key")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return scim.Errorf(400, scim.InvalidValue, "url must have no query and no fragment")
	case u.Scheme == "http" && !loopback(u.Hostname()) && !c.o.Guard.lists(u):
		return scim.Errorf(400, scim.InvalidValue, "url must begin with https://: the key would cross the network in the clear")
	}
	return nil
}

// loopback reports whether a host is this machine.
func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}
