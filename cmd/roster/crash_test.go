package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/pgtest"
)

// The crash test: what was acknowledged is there after a SIGKILL, and nothing is
// half done.
const (
	crashKills   = 20
	crashWriters = 64
	crashPeople  = 50 // whom all writers change
	// A server is killed after this many acknowledged writes, and up to as many
	// more.
	crashWrites = 100
)

func TestCrash_SQLite(t *testing.T) {
	t.Parallel()
	crash(t, "sqlite:"+filepath.Join(t.TempDir(), "roster.db"), func() {})
}

func TestCrash_Postgres(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	crash(t, dsn, func() { waitForBackends(t, dsn) })
}

// crash kills the server of a database again and again while writers are at
// work, and looks each time at what the next one finds. settle waits until the
// database has ended what the killed server began.
func crash(t *testing.T, db string, settle func()) {
	t.Helper()
	l := &ledger{entries: make(map[string]*entry), sent: make(map[string]bool)}
	l.forget()
	p := startProcess(t, nil, "--db", db)
	l.createPeople(t, p)
	for round := range crashKills {
		l.writeAndKill(t, p, round)
		settle()
		p = startProcess(t, nil, "--db", db)
		l.verify(t, p)
		if t.Failed() {
			t.Fatalf("after kill %d of %d", round+1, crashKills)
		}
	}
	// All of it once more, from the first event.
	l.forget()
	l.verify(t, p)
	p.stop(t)
	t.Logf("%d kills, %d acknowledged writes, %d whose answer was lost, of which %d were done",
		crashKills, l.acked, len(l.sent)-l.acked, l.found-l.acked)
}

// A ledger is what the clients know of their writes.
type ledger struct {
	mu      sync.Mutex
	entries map[string]*entry // by the id of the user
	sent    map[string]bool   // the token of every write that was sent
	acked   int               // how many of them were answered

	fence string // the id of the directory that settle writes to

	// What verify has read of the database.
	seq     int64
	stories map[string]*story // by the id of the user
	done    map[string]string // the users that the tokens were found in
	found   int               // events
}

func (l *ledger) forget() {
	l.seq, l.stories, l.done, l.found = 0, make(map[string]*story), make(map[string]string), 0
}

// An entry is what was acknowledged of one user.
type entry struct {
	userName string
	tokens   map[int64]string // by version
	deleted  bool
}

// crashBody returns a user that shows a token in several attributes, in an index
// and in a claim, so that half a write is seen.
func crashBody(userName, token string) string {
	return fmt.Sprintf(`{"userName":%q,"title":%[2]q,"displayName":%[2]q,"department":%[2]q,`+
		`"emails":[{"value":%[1]q,"primary":true},{"value":"%[2]s@crash.example"}]}`, userName, token)
}

func (l *ledger) send(token string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent[token] = true
}

// acknowledge notes that the write of a token made a version of a user.
func (l *ledger) acknowledge(id, userName string, version int64, token string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[id]
	if e == nil {
		e = &entry{userName: userName, tokens: make(map[int64]string)}
		l.entries[id] = e
	}
	e.tokens[version] = token
	l.acked++
}

func (l *ledger) acknowledgeDelete(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries[id].deleted = true
	l.acked++
}

// createPeople makes the users that all writers change.
func (l *ledger) createPeople(t *testing.T, p *process) {
	t.Helper()
	for i := range crashPeople {
		w := &crashWriter{ledger: l, process: p, name: fmt.Sprintf("person%d", i)}
		if err := w.post(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// writeAndKill lets the writers write and kills the server in the middle.
func (l *ledger) writeAndKill(t *testing.T, p *process, round int) {
	t.Helper()
	people := slices.Sorted(maps.Keys(l.entries))
	people = slices.DeleteFunc(people, func(id string) bool { return !strings.HasPrefix(l.entries[id].userName, "person") })
	after := int64(crashWrites + rand.IntN(crashWrites))
	var acked atomic.Int64
	var killed atomic.Bool
	var wg sync.WaitGroup
	for i := range crashWriters {
		w := &crashWriter{ledger: l, process: p, name: fmt.Sprintf("round%d-writer%d", round, i)}
		wg.Go(func() {
			for !killed.Load() {
				if err := w.write(t.Context(), people); err != nil {
					if !killed.Load() {
						t.Errorf("before the kill: %v", err)
						killed.Store(true)
						p.kill()
					}
					return
				}
				if acked.Add(1) == after {
					killed.Store(true)
					p.kill()
				}
			}
		})
	}
	wg.Wait()
	<-p.ended
}

// A crashWriter is one client. Its writes have tokens that nobody else has.
type crashWriter struct {
	*ledger
	*process
	name string
	n    int
	own  []string // users that it has made and not deleted
}

// write makes one write: mostly a PUT of one of the people.
func (w *crashWriter) write(ctx context.Context, people []string) error {
	switch dice := rand.IntN(10); {
	case dice < 2:
		return w.post(ctx)
	case dice < 3 && len(w.own) > 0:
		id := w.own[len(w.own)-1]
		w.own = w.own[:len(w.own)-1]
		return w.delete(ctx, id)
	}
	return w.put(ctx, people[rand.IntN(len(people))])
}

func (w *crashWriter) token() string {
	w.n++
	token := w.name + "-" + strconv.Itoa(w.n)
	w.send(token)
	return token
}

func (w *crashWriter) post(ctx context.Context) error {
	token := w.token()
	userName := token + "@corp.example"
	a, err := w.call(ctx, http.MethodPost, w.users(""), crashBody(userName, token))
	if err != nil || a.status != http.StatusCreated {
		return fmt.Errorf("POST: %v, %v", a, err)
	}
	id := a.text("id")
	w.own = append(w.own, id)
	w.acknowledge(id, userName, a.version(), token)
	return nil
}

func (w *crashWriter) put(ctx context.Context, id string) error {
	token := w.token()
	w.mu.Lock()
	userName := w.entries[id].userName
	w.mu.Unlock()
	a, err := w.call(ctx, http.MethodPut, w.users(id), crashBody(userName, token))
	if err != nil || a.status != http.StatusOK || a.text("title") != token {
		return fmt.Errorf("PUT: %v, %v", a, err)
	}
	w.acknowledge(id, userName, a.version(), token)
	return nil
}

func (w *crashWriter) delete(ctx context.Context, id string) error {
	w.token() // it counts as sent
	a, err := w.call(ctx, http.MethodDelete, w.users(id), "")
	if err != nil || a.status != http.StatusNoContent {
		return fmt.Errorf("DELETE: %v, %v", a, err)
	}
	w.acknowledgeDelete(id)
	return nil
}

// A story is what the events say of one user.
type story struct {
	events   []crashEvent // the first is of version 1
	verified int          // how many of them verifyUser has looked at
	document map[string]any
}

// A crashEvent is an event with its JSON.
type crashEvent struct {
	roster.Event
	json string
}

func (s *story) live() bool { return s.events[len(s.events)-1].Operation != roster.OpDelete }

// token returns the title that an event's change made, which is the token of the
// write; "" for a delete.
func (e *crashEvent) token() string {
	for _, c := range e.Changes {
		if c.Attribute == "title" && c.After != nil {
			s, _ := jsontext.AppendUnquote(nil, c.After) // what is no string is no token
			return string(s)
		}
	}
	return ""
}

// verify reads the events since the last time, and compares the database with
// them, and them with what was sent and what was acknowledged.
func (l *ledger) verify(t *testing.T, p *process) {
	t.Helper()
	p.settle(t, &l.fence)
	l.readEvents(t, p)
	for id, e := range l.entries {
		s := l.stories[id]
		if s == nil {
			t.Errorf("user %s was acknowledged and is lost", id)
			continue
		}
		for version, token := range e.tokens {
			if version > int64(len(s.events)) {
				t.Errorf("user %s: version %d was acknowledged and is lost: there are %d", id, version, len(s.events))
			} else if got := s.events[version-1].token(); got != token {
				t.Errorf("user %s: version %d was acknowledged with %q and has %q", id, version, token, got)
			}
		}
		if e.deleted && s.live() {
			t.Errorf("user %s: the delete was acknowledged and is lost", id)
		}
	}
	l.verifyList(t, p)
	l.verifyUsers(t, p)
}

// readEvents reads the events since the last time.
func (l *ledger) readEvents(t *testing.T, p *process) {
	t.Helper()
	for {
		events := p.events(t, "/events?limit=1000&after="+strconv.FormatInt(l.seq, 10))
		for _, e := range events {
			if e.Seq <= l.seq {
				t.Fatalf("event %d comes after event %d", e.Seq, l.seq)
			}
			l.seq = e.Seq
			l.readEvent(t, e)
		}
		if len(events) == 0 {
			return
		}
	}
}

func (l *ledger) readEvent(t *testing.T, e crashEvent) {
	t.Helper()
	s := l.stories[e.Resource]
	if s == nil {
		s = &story{document: make(map[string]any)}
		l.stories[e.Resource] = s
	}
	if n := len(s.events); n > 0 && !s.live() {
		t.Errorf("user %s: there are events after the delete", e.Resource)
	} else if e.Version != int64(n+1) {
		t.Errorf("user %s: event %d has the version %d", e.Resource, n+1, e.Version)
	}
	s.events = append(s.events, e)
	l.found++
	if e.Operation == roster.OpDelete {
		return
	}
	token := e.token()
	if (e.Operation == roster.OpCreate) != (e.Version == 1) {
		t.Errorf("user %s: version %d is a %s", e.Resource, e.Version, e.Operation)
	}
	if !l.sent[token] {
		t.Errorf("user %s: version %d has %q, which nobody sent", e.Resource, e.Version, token)
	}
	if holder := l.done[token]; holder != "" {
		t.Errorf("the write %s was done to %s and to %s", token, holder, e.Resource)
	}
	l.done[token] = e.Resource
}

// verifyList compares the list of users, and its total, with the events.
func (l *ledger) verifyList(t *testing.T, p *process) {
	t.Helper()
	want := 0
	for _, s := range l.stories {
		if s.live() {
			want++
		}
	}
	seen := 0
	for {
		list := p.list(t, "?attributes=userName&count=100&startIndex="+strconv.Itoa(seen+1))
		if list.Total != want {
			t.Errorf("totalResults: got %d, the events say %d", list.Total, want)
		}
		for _, r := range list.Resources {
			if s := l.stories[r.ID]; s == nil || !s.live() {
				t.Errorf("user %s is on the list, and not in the events", r.ID)
			}
		}
		seen += len(list.Resources)
		if len(list.Resources) == 0 {
			break
		}
	}
	if seen != want {
		t.Errorf("%d users are on the list, the events say %d", seen, want)
	}
}

// verifyUsers compares the users with new events, one by one, with these, and
// with what the search finds.
func (l *ledger) verifyUsers(t *testing.T, p *process) {
	t.Helper()
	ids := make(chan string)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for id := range ids {
				l.stories[id].verify(t, p, id)
			}
		})
	}
	for id, s := range l.stories {
		if s.verified < len(s.events) {
			ids <- id
		}
	}
	close(ids)
	wg.Wait()
}

func (s *story) verify(t *testing.T, p *process, id string) {
	t.Helper()
	fresh := s.events[s.verified:]
	var history []crashEvent
	for before := int64(0); before == 0 || before > int64(s.verified)+1; {
		page := p.events(t, "/users/"+id+"/history?limit=1000&before="+strconv.FormatInt(before, 10))
		if len(page) == 0 {
			break
		}
		history = append(history, page...)
		before = page[len(page)-1].Version
	}
	slices.Reverse(history) // the newest came first
	history = history[max(0, len(history)-len(fresh)):]
	if !slices.EqualFunc(fresh, history, func(a, b crashEvent) bool { return a.json == b.json }) {
		t.Errorf("user %s: its history is not its events:\ngot  %v\nwant %v", id, history, fresh)
	}
	for _, e := range fresh {
		s.replay(t, e)
	}
	s.verified = len(s.events)

	find := func(token string) (ids []string) {
		for _, r := range p.list(t, "?attributes=userName&filter=emails.value%20eq%20%22"+token+"@crash.example%22").Resources {
			ids = append(ids, r.ID)
		}
		return ids
	}
	last := s.events[len(s.events)-1]
	a, err := p.call(t.Context(), http.MethodGet, p.users(id), "")
	switch {
	case err != nil:
		t.Error(err)
	case !s.live():
		if a.status != http.StatusNotFound {
			t.Errorf("user %s was deleted: %v", id, a)
		}
	case a.status != http.StatusOK || a.version() != last.Version:
		t.Errorf("user %s: want version %d: %v", id, last.Version, a)
	default:
		if diff := cmp.Diff(s.document, a.document(t)); diff != "" {
			t.Errorf("user %s is not what its events make:\n%s", id, diff)
		}
		if got := find(last.token()); !slices.Equal(got, []string{id}) {
			t.Errorf("user %s: a search for its e-mail finds %q", id, got)
		}
	}
	if n := len(s.events); n > 1 {
		if got := find(s.events[n-2].token()); len(got) > 0 {
			t.Errorf("user %s: a search for an e-mail that it no longer has finds %q", id, got)
		}
	}
}

// replay makes the changes of an event to the document.
func (s *story) replay(t *testing.T, e crashEvent) {
	t.Helper()
	for _, c := range e.Changes {
		in, name := s.document, c.Attribute
		if i := strings.LastIndexByte(name, ':'); i >= 0 { // in an extension
			if in[name[:i]] == nil {
				in[name[:i]] = make(map[string]any)
			}
			in, name = in[name[:i]].(map[string]any), name[i+1:]
		}
		if got, want := decoded(t, c.Before), in[name]; !cmp.Equal(got, want) {
			t.Errorf("user %s, version %d: %s was %v before, and not %v", e.Resource, e.Version, c.Attribute, want, got)
		}
		delete(in, name)
		if c.After != nil {
			in[name] = decoded(t, c.After)
		}
	}
}

func decoded(t *testing.T, v jsontext.Value) (out any) {
	t.Helper()
	if v == nil {
		return nil
	}
	if err := json.Unmarshal(v, &out); err != nil {
		t.Error(err)
	}
	return out
}

// waitForBackends waits until PostgreSQL has ended what a killed server left
// behind: a COMMIT that was sent is carried out without its client.
func waitForBackends(t *testing.T, dsn string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), processPatience)
	defer cancel()
	c, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.WithoutCancel(ctx))
	for {
		var n int
		err := c.QueryRow(ctx, `SELECT count(*) FROM pg_sleep(0.005), pg_stat_activity
			WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()`).Scan(&n)
		if err != nil {
			t.Fatalf("wait for the backends of the killed server: %v", err)
		}
		if n == 0 {
			return
		}
	}
}
