package main

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/mail/sink"
	"github.com/roster-scim/roster/internal/pgtest"
)

// A run is killed with its server in every position of its steps. Whoever waits is
// made to wait by a lock in the database, by the mail server or by the service that
// is asked last: nothing in the server knows of it.

func TestWorkflowKill_SQLite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	killEverywhere(t, &sqliteHolder{t, dir}, "sqlite:"+filepath.Join(dir, "roster.db"))
}

func TestWorkflowKill_Postgres(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	killEverywhere(t, &postgresHolder{t, dsn}, dsn)
}

// A holder keeps a server from writing to its database.
type holder interface {
	// users holds what is written to a user, records what is written of the steps of
	// runs, until release.
	users(id string) (release func())
	records() (release func())
	// dead takes away from a killed server what it had of the database.
	dead()
}

type sqliteHolder struct {
	t   *testing.T
	dir string
}

func (h *sqliteHolder) users(string) func() { return h.lock("roster.db") }
func (h *sqliteHolder) records() func()     { return h.lock("runs.db") }
func (h *sqliteHolder) dead()               {} // it went with the process

func (h *sqliteHolder) lock(name string) func() {
	h.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(h.dir, name)+"?_txlock=immediate&_pragma=busy_timeout(60000)")
	if err != nil {
		h.t.Fatal(err)
	}
	tx, err := db.BeginTx(context.Background(), nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return func() {
		_ = tx.Rollback()
		if err := db.Close(); err != nil {
			h.t.Error(err)
		}
	}
}

type postgresHolder struct {
	t   *testing.T
	dsn string
}

func (h *postgresHolder) users(id string) func() {
	return h.lock(`SELECT FROM resources WHERE id = '` + id + `' FOR UPDATE`)
}

func (h *postgresHolder) records() func() {
	return h.lock(`LOCK TABLE roster_runs.operation_outputs IN EXCLUSIVE MODE`)
}

func (h *postgresHolder) lock(statement string) func() {
	h.t.Helper()
	c := connectPostgres(h.t, h.dsn)
	tx, err := c.Begin(context.Background())
	if err == nil {
		_, err = tx.Exec(context.Background(), statement)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return func() { _ = c.Close(context.Background()) }
}

// dead ends what PostgreSQL still does for the killed server, which would go on once
// it need not wait any more, and its leases, so that nobody waits for their end.
func (h *postgresHolder) dead() {
	h.t.Helper()
	c := connectPostgres(h.t, h.dsn)
	defer func() { _ = c.Close(context.Background()) }()
	for _, statement := range []string{
		`SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'roster%'`,
		`UPDATE leases SET until = 0`,
	} {
		if _, err := c.Exec(h.t.Context(), statement); err != nil {
			h.t.Fatal(err)
		}
	}
}

// A gate is where somebody waits until the test has come, or has ended: then the
// servers that the test has started can close.
type gate struct {
	over    <-chan struct{}
	mu      sync.Mutex
	at      string // where the next one waits; empty: nowhere
	reached chan struct{}
	pass    chan error
}

func newGate(t *testing.T) *gate {
	return &gate{over: t.Context().Done(), reached: make(chan struct{}), pass: make(chan error)}
}

// stop has the next one wait who comes by there.
func (g *gate) stop(at string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.at = at
}

// come waits, where it was told to, for what it returns.
func (g *gate) come(at string) error {
	g.mu.Lock()
	waits := g.at == at
	if waits {
		g.at = ""
	}
	g.mu.Unlock()
	if !waits {
		return nil
	}
	select {
	case g.reached <- struct{}{}:
	case <-g.over:
		return nil
	}
	select {
	case err := <-g.pass:
		return err
	case <-g.over:
		return nil
	}
}

// await returns when somebody waits.
func (g *gate) await(t *testing.T) {
	t.Helper()
	select {
	case <-g.reached:
	case <-time.After(processPatience):
		t.Fatal("nobody came")
	}
}

// asked is where who asks the service waits.
const asked = "asked"

const killedFile = `name: killed
inputs:
  userId: {type: string, required: true}
  title: {type: string, required: true}
  url: {type: string, required: true}
steps:
  - id: update
    action: update-user
    keep: true
    with: {userId: "${{ inputs.userId }}", title: "${{ inputs.title }}"}
  - id: tell
    email:
      to: boss@corp.example
      subject: ${{ inputs.title }}
      text: "{{ .steps.update.output.title }}"
  - id: ask
    http: {url: "${{ inputs.url }}"}
`

// A killing is a server whose runs are killed.
type killing struct {
	*served
	t     *testing.T
	hold  holder
	begin func() *served
	gate  *gate
	mail  *sink.Sink
	site  *httptest.Server

	mu    sync.Mutex
	asked map[string]int // by path

	// Of the run of the moment.
	user, title string
	run         *roster.Run
	foreign     bool     // somebody else has changed the user since
	release     []func() // when the server is dead
	mails       []*sink.Message
}

// A position is where a run is when its server is killed.
type position struct {
	name string
	// arm prepares it, reach returns when the run is there.
	arm, reach func(k *killing)
	kills      int // 0: one
	mails      int // that are sent in all
	asked      int // how often the service is asked in all
}

var killPositions = []position{
	{name: "queued", arm: func(*killing) {}, reach: func(*killing) {}, mails: 1, asked: 1},
	{
		name: "during the PUT", mails: 1, asked: 1,
		arm:   func(k *killing) { k.later(k.hold.users(k.user)) },
		reach: func(k *killing) { k.follow(k.t, k.run.ID, begun("update", roster.RunRunning)) },
	},
	{
		name: "after the PUT, of which nothing is kept", mails: 1, asked: 1,
		arm: func(k *killing) { k.later(k.hold.users(k.user)) },
		reach: func(k *killing) {
			k.follow(k.t, k.run.ID, begun("update", roster.RunRunning))
			k.later(k.hold.records())
			k.free(0)
			k.awaitTitle()
			k.change()
		},
	},
	{
		name: "before the mail", mails: 1, asked: 1,
		arm:   func(k *killing) { k.gate.stop(string(sink.Sender)) },
		reach: func(k *killing) { k.gate.await(k.t); k.change(); k.answer(&sink.Reply{Code: 451, Text: "not now"}) },
	},
	{
		name: "during the mail, which is not taken", mails: 1, asked: 1,
		arm:   func(k *killing) { k.gate.stop(string(sink.Content)) },
		reach: func(k *killing) { k.gate.await(k.t); k.change(); k.answer(&sink.Reply{Code: 451, Text: "not now"}) },
	},
	{
		name: "during the mail, which is taken", mails: 2, asked: 1,
		arm:   func(k *killing) { k.gate.stop(string(sink.Content)) },
		reach: func(k *killing) { k.gate.await(k.t); k.change(); k.answer(nil) },
	},
	{
		name: "after the mail, of which nothing is kept, twice", kills: 2, mails: 3, asked: 1,
		arm: func(k *killing) { k.gate.stop(string(sink.Recipient)) },
		reach: func(k *killing) {
			k.gate.await(k.t)
			k.change()
			k.later(k.hold.records())
			k.gate.pass <- nil
			k.mails = append(k.mails, k.received())
		},
	},
	{
		name: "after the mail", mails: 1, asked: 2,
		arm:   func(k *killing) { k.gate.stop(asked) },
		reach: func(k *killing) { k.gate.await(k.t); k.change(); k.answer(nil) },
	},
}

// begun says that a step has got as far as that.
func begun(id string, status roster.RunStatus) func(*roster.Run) bool {
	return func(r *roster.Run) bool {
		i := slices.IndexFunc(r.Steps, func(s roster.RunStep) bool { return s.ID == id })
		return i >= 0 && r.Steps[i].Status == status
	}
}

func killEverywhere(t *testing.T, h holder, dsn string) {
	t.Helper()
	k := &killing{t: t, hold: h, gate: newGate(t), asked: make(map[string]int)}
	var err error
	k.mail, err = sink.Start(sink.Options{Refuse: func(stage sink.Stage, _ string) error { return k.gate.come(string(stage)) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.mail.Close() })
	k.site = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		k.mu.Lock()
		k.asked[r.URL.Path]++
		k.mu.Unlock()
		_ = k.gate.come(asked)
	}))
	t.Cleanup(k.site.Close)
	keys := keyFile(t)
	k.begin = func() *served {
		s := serve(t, []string{"ROSTER_MAIL=smtp://" + k.mail.Addr() + "?tls=none"}, "--db", dsn, "--secret-key-file", keys,
			"--mail-from", "roster@corp.example",
			"--workflow-allow-address", "127.0.0.1", "--node-timeout", "12s")
		s.useDefault(t)
		return s
	}
	k.served = k.begin()
	k.deploy(t, "killed", killedFile)
	for i, p := range killPositions {
		k.kill(p, fmt.Sprintf("Run %d", i))
		if t.Failed() {
			t.Fatalf("in the position: %s\n%s", p.name, k.log)
		}
	}
}

// kill has a run go to a position, kills the server, and looks at what the next one
// makes of it.
func (k *killing) kill(p position, title string) {
	t := k.t
	k.title, k.foreign, k.mails = title, false, nil
	k.user = k.must(t, http.StatusCreated, http.MethodPost, k.users(""), userBody(strings.ReplaceAll(title, " ", ""), "Engineer")).text("id")
	p.arm(k)
	path := "/" + k.user
	k.run = k.start(t, http.StatusAccepted, "killed", "", map[string]any{"userId": k.user, "title": title, "url": k.site.URL + path})
	for i := range max(1, p.kills) {
		if i > 0 {
			p.arm(k)
			k.served = k.begin()
		}
		p.reach(k)
		k.process.kill()
		k.hold.dead()
		for len(k.release) > 0 {
			k.free(0)
		}
	}
	k.served = k.begin()
	k.await(t, k.run.ID, roster.RunSucceeded)

	wrote := make(map[string]int) // by who
	for _, e := range k.events(t, "/users/"+k.user+"/history") {
		who := "others"
		if e.Cause != nil {
			who = e.Cause.Run
		}
		wrote[who]++
	}
	wantTitle, others := title, 1 // its creation
	if k.foreign {
		wantTitle, others = "Foreign", 2
	}
	if wrote[k.run.ID] != 1 || wrote["others"] != others || len(wrote) != 2 {
		t.Errorf("who wrote how often: got %v, want the run %s once and others %d times", wrote, k.run.ID, others)
	}
	if got := k.must(t, http.StatusOK, http.MethodGet, k.users(k.user), "").text("title"); got != wantTitle {
		t.Errorf("title: got %q, want %q", got, wantTitle)
	}
	for len(k.mails) < p.mails && !t.Failed() {
		k.mails = append(k.mails, k.received())
	}
	if n := len(k.mail.Received()); n > 0 { // the run has ended: no more come
		t.Errorf("got %d mails more than %d", n, p.mails)
	}
	ids := make(map[string]bool)
	for _, m := range k.mails {
		parsed, err := m.Parse()
		if err != nil {
			t.Fatal(err)
		}
		if got, want := parsed.Header.Get("Subject")+": "+parsed.Text, title+": "+title; strings.TrimSpace(got) != want {
			t.Errorf("mail: got %q, want %q", got, want)
		}
		ids[parsed.Header.Get("Message-ID")] = true
	}
	if want := "<" + k.run.ID + ".tell@corp.example>"; len(ids) != 1 || !ids[want] {
		t.Errorf("Message-ID: got %q, want %q alone", slices.Collect(maps.Keys(ids)), want)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if got := k.asked[path]; got != p.asked {
		t.Errorf("the service was asked %d times, want %d", got, p.asked)
	}
}

// later has something released when the server is dead.
func (k *killing) later(release func()) { k.release = append(k.release, release) }

// free releases what was held at that place.
func (k *killing) free(i int) {
	k.release[i]()
	k.release = slices.Delete(k.release, i, i+1)
}

// answer lets who waits at the gate go on when the server is dead.
func (k *killing) answer(err error) { k.later(func() { k.gate.pass <- err }) }

// awaitTitle returns when the run's update of the user has taken effect.
func (k *killing) awaitTitle() {
	k.t.Helper()
	for after := int64(0); !k.t.Failed(); {
		page := k.events(k.t, fmt.Sprintf("/events?wait=30&limit=1000&after=%d", after))
		if len(page) == 0 {
			k.t.Fatalf("the run has not changed %s", k.user)
		}
		for _, e := range page {
			if after = e.Seq; e.Resource == k.user && e.token() == k.title {
				return
			}
		}
	}
}

// change is what somebody else does to the user.
func (k *killing) change() {
	k.t.Helper()
	if k.foreign {
		return // before the kill before this one
	}
	k.foreign = true
	k.must(k.t, http.StatusOK, http.MethodPatch, k.users(k.user), `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"title","value":"Foreign"}]}`)
}

// received returns the next mail.
func (k *killing) received() *sink.Message {
	k.t.Helper()
	select {
	case m := <-k.mail.Received():
		return m
	case <-time.After(processPatience):
		k.t.Fatal("no mail came")
		return nil
	}
}
