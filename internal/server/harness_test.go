package server_test

import (
	"context"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/directory"
	"github.com/roster-scim/roster/internal/secret"
	"github.com/roster-scim/roster/internal/server"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/internal/store/sqlstore"
	"github.com/roster-scim/roster/internal/workflow"
	"github.com/roster-scim/roster/scim"
)

// operatorKey opens every world.
const operatorKey = "operator-key-of-the-tests"

// publicURL is what the locations of a world begin with, which is not where it
// listens.
const publicURL = "https://scim.corp.example"

const (
	userURN       = scim.UserURN
	enterpriseURN = scim.EnterpriseUserURN
	atlassianURN  = scim.AtlassianExternalURN
)

// ruleSets are those that most behaviour is tested on.
var ruleSets = []string{scim.Atlassian, scim.Standard}

// A world is a server on a database. Tests share the one of each database, and
// each has directories of its own in it.
type world struct {
	store store.Store
	dirs  *directory.Service
	url   string
	close func()
	// fence is a directory whose events tell that older ones are there; nil
	// where events are there at once.
	fence *directory.Directory
}

// settle waits until the events of all that was done are there: on PostgreSQL
// they are held back while transactions of other tests are open.
func (w *world) settle(t *testing.T) {
	t.Helper()
	if w.fence == nil {
		return
	}
	body, _, err := w.fence.Model.Type("User").Parse([]byte(`{"userName":"` + uuid.NewString() + `"}`))
	if err != nil {
		t.Fatal(err)
	}
	res, err := w.fence.Create(t.Context(), directory.Call{}, body)
	if err != nil {
		t.Fatal(err)
	}
	made, err := w.fence.History(t.Context(), res.ID, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		list, err := w.store.Events(ctx, w.fence.ID, made[0].Seq-1, 1)
		if err != nil {
			t.Fatalf("a transaction is open, and does not end: %v", err)
		}
		if len(list) > 0 {
			return
		}
	}
}

// openWorld opens the database, wrapped by wrap where that is not nil, and
// serves it as o says.
func openWorld(dsn string, wrap func(store.Store) store.Store, o server.Options) (*world, error) {
	ctx := context.Background()
	db, err := sqlstore.Open(ctx, dsn, sqlstore.Options{Migrate: true})
	if err != nil {
		return nil, err
	}
	w := &world{store: db}
	if wrap != nil {
		w.store = wrap(db)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.PublicURL == "" {
		o.PublicURL = publicURL
	}
	if w.dirs, err = directory.Open(ctx, directory.Options{Store: w.store, Log: o.Log, Now: o.Now}); err != nil {
		return nil, err
	}
	if _, err := w.dirs.Bootstrap(ctx, scim.Standard, operatorKey); err != nil {
		return nil, err
	}
	o.Directories = w.dirs
	if o.Connections, err = newConnections(w.store); err != nil {
		return nil, err
	}
	srv := newListener(server.New(o).Handler())
	w.url = srv.URL
	w.close = func() {
		srv.Close()
		if err := db.Close(); err != nil {
			log.Printf("close database: %v", err)
		}
	}
	return w, nil
}

// connectionInUse is a connection that a workflow uses, in every directory.
const connectionInUse = "in-use"

// newConnections returns connections that may lead to this machine.
func newConnections(s store.Store) (*workflow.Connections, error) {
	dir, err := os.MkdirTemp("", "roster-test-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	keys, err := secret.Make(filepath.Join(dir, "secret.key"))
	if err != nil {
		return nil, err
	}
	guard, err := workflow.NewGuard([]string{"127.0.0.1"})
	if err != nil {
		return nil, err
	}
	used := func(_ store.Reader, _, name string) (string, error) {
		return map[string]string{connectionInUse: "offboard"}[name], nil
	}
	return workflow.NewConnections(workflow.ConnectionOptions{Store: s, Keys: keys, Guard: guard, Used: used}), nil
}

func newListener(h http.Handler) *httptest.Server {
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.Start()
	return srv
}

// newWorld returns a world on a database of its own.
func newWorld(t *testing.T, wrap func(store.Store) store.Store, o server.Options) *world {
	t.Helper()
	w, err := openWorld("sqlite:"+filepath.Join(t.TempDir(), "test.db"), wrap, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	return w
}

// serveToo returns another server on the same directories.
func (w *world) serveToo(t *testing.T, o server.Options) *world {
	t.Helper()
	o.Directories = w.dirs
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.PublicURL == "" {
		o.PublicURL = publicURL
	}
	srv := newListener(server.New(o).Handler())
	t.Cleanup(srv.Close)
	return &world{store: w.store, dirs: w.dirs, url: srv.URL, fence: w.fence}
}

// worlds are the shared ones.
var worlds struct {
	sqlite func() (*world, error)
	mu     sync.Mutex
	open   []*world
}

func share(open func() (*world, error)) func() (*world, error) {
	return sync.OnceValues(func() (*world, error) {
		w, err := open()
		if err == nil {
			worlds.mu.Lock()
			defer worlds.mu.Unlock()
			worlds.open = append(worlds.open, w)
		}
		return w, err
	})
}

func TestMain(m *testing.M) {
	tmp, err := os.MkdirTemp("", "roster-server-test-")
	if err != nil {
		log.Fatal(err)
	}
	worlds.sqlite = share(func() (*world, error) {
		return openWorld("sqlite:"+filepath.Join(tmp, "test.db"), nil, server.Options{})
	})
	code := m.Run()
	for _, w := range worlds.open {
		w.close()
	}
	if err := os.RemoveAll(tmp); err != nil {
		log.Print(err)
	}
	os.Exit(code)
}

// onSQLite runs in the shared world on SQLite, for what is of HTTP alone.
func onSQLite(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	w, err := worlds.sqlite()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// onEach runs a test on each database.
func onEach(t *testing.T, fn func(t *testing.T, w *world)) {
	t.Helper()
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) { fn(t, onSQLite(t)) })
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		fn(t, onPostgres(t))
	})
}

// onRuleSets runs a test in a directory of each rule set on each database.
func onRuleSets(t *testing.T, fn func(t *testing.T, d *dir)) {
	t.Helper()
	onEach(t, func(t *testing.T, w *world) {
		for _, rs := range ruleSets {
			t.Run(rs, func(t *testing.T) { fn(t, w.directory(t, rs)) })
		}
	})
}

// A dir is a directory of one test, spoken to with a key that may do all in it.
type dir struct {
	t    *testing.T
	w    *world
	id   string
	key  string
	path string // of its base URL
}

// directory makes a directory for a test, with overrides of its rules.
func (w *world) directory(t *testing.T, ruleSet string, rules ...string) *dir {
	t.Helper()
	d, err := w.dirs.Create(t.Context(), t.Name(), ruleSet, []byte(strings.Join(rules, "")), false)
	if err != nil {
		t.Fatal(err)
	}
	out := &dir{t: t, w: w, id: d.ID, path: "/scim/directory/" + d.ID}
	out.key = out.newKey(roster.Scopes...)
	return out
}

func (d *dir) newKey(scopes ...roster.Scope) string {
	d.t.Helper()
	_, secret, err := d.w.dirs.CreateKey(d.t.Context(), nil, directory.NewKey{Directory: d.id, Name: d.t.Name(), Scopes: scopes})
	if err != nil {
		d.t.Fatal(err)
	}
	return secret
}

// as returns d spoken to with another key; "" is none.
func (d *dir) as(key string) *dir {
	other := *d
	other.key = key
	return &other
}

// on returns d as another server of the same directories serves it.
func (d *dir) on(w *world) *dir {
	other := *d
	other.w = w
	return &other
}

// at returns d under another path.
func (d *dir) at(path string) *dir {
	other := *d
	other.path = path
	return &other
}

func (d *dir) api(method, path string, body any, header ...string) *reply {
	d.t.Helper()
	if strings.HasPrefix(path, "/events") {
		d.w.settle(d.t)
	}
	return d.at("/api/v1/directories/"+d.id).do(method, path, body, header...)
}
