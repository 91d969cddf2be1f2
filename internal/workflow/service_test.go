package workflow_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/internal/store/sqlstore"
	"github.com/roster-scim/roster/internal/workflow"
	"github.com/roster-scim/roster/internal/workflow/durable"
	"github.com/roster-scim/roster/scim"
)

// A service is a workflow.Service on a real engine whose runs do nothing but tell
// that they were carried out.
type service struct {
	*workflow.Service
	t    *testing.T
	db   *sqlstore.DB
	runs chan *workflow.RunInput // each time that one is carried out
	now  atomic.Int64            // in Unix seconds; 0: the time that it is
}

// patience is how long any machine may need for what a test waits for.
const patience = time.Minute

// newService returns a service on db; change may change its options.
func newService(t *testing.T, db *sqlstore.DB, change func(*workflow.Options)) *service {
	t.Helper()
	s := &service{t: t, db: db, runs: make(chan *workflow.RunInput, 5000)}
	keys, _ := makeKeys(t)
	o := workflow.Options{
		Store: db, RunRate: 5000, Poll: 10 * time.Millisecond, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Now: func() time.Time {
			if at := s.now.Load(); at != 0 {
				return time.Unix(at, 0)
			}
			return time.Now()
		},
	}
	body := func(_ context.Context, x workflow.Execution) ([]byte, error) {
		in, err := workflow.DecodeRunInput(x.Input())
		if err != nil {
			return nil, err
		}
		s.runs <- in
		if strings.Contains(string(in.Inputs), "fail") {
			return nil, errors.New("as it was told")
		}
		return []byte(`{"done":true}`), nil
	}
	engine, err := durable.Open(t.Context(), durable.Options{
		DSN: "sqlite:" + filepath.Join(t.TempDir(), "runs.db"), Seal: keys, Work: true, Log: o.Log,
		Body: func(ctx context.Context, x workflow.Execution) ([]byte, error) { return s.Body(body)(ctx, x) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := engine.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	o.Engine = engine
	if change != nil {
		change(&o)
	}
	s.Service = workflow.NewService(o)
	return s
}

// dispatch dispatches until the test ends, or stop is called.
func (s *service) dispatch() (stop func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.Dispatch(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	s.t.Cleanup(stop)
	return stop
}

// next returns the next run that was carried out.
func (s *service) next() *workflow.RunInput {
	s.t.Helper()
	select {
	case in := <-s.runs:
		return in
	case <-time.After(patience):
		s.t.Fatal("no run was carried out")
		return nil
	}
}

// none demands that no run is waiting to be told of once another event was
// dispatched: that of a workflow by which the test sees where the dispatcher is.
func (s *service) none() {
	s.t.Helper()
	select {
	case in := <-s.runs:
		s.t.Errorf("a run of trigger %s was carried out: %s", in.Trigger, in.Source)
	default:
	}
}

const file = `name: %s
inputs:
  userId: {type: string}
  password: {type: string, secret: true}
%s
steps:
  - id: end
    stop: {}
`

const onUsers = `triggers:
  - event: {type: User}
    inputs: {userId: "${{ event.resource }}"}
`

func (s *service) deploy(directory, name, triggers string) *roster.Workflow {
	s.t.Helper()
	w, _, err := s.Deploy(s.t.Context(), workflow.Deployment{
		Directory: directory, Name: name, Source: fmt.Sprintf(file, name, triggers), Key: &roster.Key{ID: "k1"},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return w
}

// write creates users, each with an event.
func (s *service) write(directory string, cause *roster.Cause, ids ...string) {
	s.t.Helper()
	now := time.Now().UTC().Truncate(time.Microsecond)
	err := s.db.Update(s.t.Context(), func(tx store.Tx) error {
		for _, id := range ids {
			r := &store.Record{Directory: directory, Type: "User", ID: id, Version: 1, Created: now, Modified: now, Doc: []byte(`{}`)}
			e := &roster.Event{
				ID: "event-" + directory + "-" + id, Directory: directory, ResourceType: "User", Resource: id, Version: 1,
				Operation: roster.OpCreate, At: now, Cause: cause,
				Changes: []roster.Change{{Attribute: "title", After: jsontext.Value(`"T"`)}},
			}
			if err := tx.Create(r, store.Keys{}, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

func status(err error) int {
	if e, ok := errors.AsType[*scim.Error](err); ok {
		return e.Status
	}
	return 0
}

func refused(t *testing.T, err error, code int, parts ...string) {
	t.Helper()
	if got := status(err); got != code {
		t.Fatalf("got error %v with status %d, want %d", err, got, code)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("got error %q, want one with %q", err, p)
		}
	}
}

func TestService_Deploy(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqlstore.DB) {
		s := newService(t, db, nil)
		ctx := t.Context()
		key := &roster.Key{ID: "k1"}
		put := func(d workflow.Deployment) (*roster.Workflow, bool, error) {
			d.Directory = "d1"
			if d.Key == nil {
				d.Key = key
			}
			return s.Deploy(ctx, d)
		}
		source := fmt.Sprintf(file, "a", "")
		w, created, err := put(workflow.Deployment{Name: "a", Source: source})
		if err != nil || !created || w.Version != 1 || !w.Enabled || w.Key != "k1" {
			t.Fatalf("got %+v, created %t, error %v", w, created, err)
		}
		if w, created, err = put(workflow.Deployment{Name: "a", Source: source}); err != nil || created || w.Version != 1 {
			t.Errorf("the same again: got %+v, created %t, error %v", w, created, err)
		}
		if w, _, err = put(workflow.Deployment{Name: "a", Source: source, Key: &roster.Key{ID: "k2"}}); err != nil || w.Version != 2 || w.Key != "k2" {
			t.Errorf("by another key: got %+v, error %v", w, err)
		}
		off := false
		if w, _, err = put(workflow.Deployment{Name: "a", Enabled: &off}); err != nil || w.Enabled || w.Version != 3 || w.Source != source {
			t.Errorf("disabled: got %+v, error %v", w, err)
		}
		_, _, err = put(workflow.Deployment{Name: "a", Source: source + "\n", Holds: is(2)})
		refused(t, err, 412, "has version 3")
		_, _, err = put(workflow.Deployment{Name: "none", Source: strings.Replace(source, "name: a", "name: none", 1), Holds: is(0, 1)})
		refused(t, err, 412)
		_, _, err = put(workflow.Deployment{Name: "none", Enabled: &off})
		refused(t, err, 404)
		_, _, err = put(workflow.Deployment{Name: "b", Source: source})
		refused(t, err, 400, "workflow a")
		_, _, err = put(workflow.Deployment{Name: "a", Source: "name: a\nsteps:\n  - id: 1x\n    stop: {}\n    wehn: true\n"})
		refused(t, err, 400, "3:9", "5:5")
		_, _, err = put(workflow.Deployment{Name: "a", Source: strings.Replace(source, "steps:", "connections: [cloud, other]\nsteps:", 1)})
		refused(t, err, 400, "cloud, other")
		_, _, err = s.Deploy(ctx, workflow.Deployment{Directory: "none", Name: "a", Source: source, Key: key})
		refused(t, err, 404)

		if _, err := s.Get(ctx, "d2", "a"); status(err) != 404 {
			t.Errorf("another directory: got error %v", err)
		}
		refused(t, s.Delete(ctx, "d2", "a", nil), 404)
		refused(t, s.Delete(ctx, "d1", "a", is(2)), 412)
		if err := s.Delete(ctx, "d1", "a", is(3)); err != nil {
			t.Error(err)
		}
		if list, _, err := s.List(ctx, "d1"); err != nil || len(list) != 0 {
			t.Errorf("got %v, error %v", list, err)
		}
	})
}

func TestService_Start(t *testing.T) {
	t.Parallel()
	s := newService(t, openStore(t, sqliteDSN(t)), nil)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s.deploy("d1", "a", "")
	start := func(key string, inputs map[string]jsontext.Value) (*roster.Run, error) {
		return s.Start(ctx, workflow.Start{Directory: "d1", Workflow: "a", Inputs: inputs, IdempotencyKey: key})
	}
	in := map[string]jsontext.Value{"userId": jsontext.Value(`"u1"`), "password": jsontext.Value(`"canary"`)}
	first, err := start("k", in)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(first.Inputs), `{"userId":"u1","password":"***"}`; got != want {
		t.Errorf("got inputs %s, want %s", got, want)
	}
	again, err := start("k", in)
	if err != nil || again.ID != first.ID {
		t.Errorf("the same key: got run %+v, error %v, want run %s", again, err, first.ID)
	}
	_, err = start("k", map[string]jsontext.Value{"userId": jsontext.Value(`"u2"`)})
	refused(t, err, 422, first.ID)
	other, err := start("", in)
	if err != nil || other.ID == first.ID {
		t.Errorf("without a key: got run %+v, error %v", other, err)
	}
	_, err = start("", map[string]jsontext.Value{"userId": jsontext.Value(`7`), "usrId": jsontext.Value(`"canary"`)})
	refused(t, err, 400, "userId must be a text", "usrId")
	if strings.Contains(err.Error(), "canary") {
		t.Errorf("the error shows a value: %v", err)
	}

	run, err := s.AwaitRun(ctx, "d1", first.ID)
	if err != nil || run.Status != roster.RunSucceeded || string(run.Outputs) != `{"done":true}` || run.Trigger != "manual" || run.Version != 1 {
		t.Errorf("got run %+v, error %v", run, err)
	}
	for _, id := range []string{first.ID, "none", "", "a/b", strings.Repeat("x", 300), "\x00"} {
		_, err := s.GetRun(ctx, "d2", id)
		refused(t, err, 404)
	}
	_, err = s.CancelRun(ctx, "d2", first.ID)
	refused(t, err, 404)
	_, err = s.CancelRun(ctx, "d1", first.ID)
	refused(t, err, 409, "succeeded")
	_, err = s.RetryRun(ctx, "d1", first.ID)
	refused(t, err, 409, "succeeded")

	if _, err := s.AwaitRun(ctx, "d1", other.ID); err != nil {
		t.Fatal(err)
	}
	bad, err := start("", map[string]jsontext.Value{"userId": jsontext.Value(`"fail"`)})
	if err != nil {
		t.Fatal(err)
	}
	if bad, err = s.AwaitRun(ctx, "d1", bad.ID); err != nil || bad.Status != roster.RunFailed || bad.Error == nil {
		t.Errorf("got run %+v, error %v", bad, err)
	}
	list, _, err := s.ListRuns(ctx, workflow.RunList{Directory: "d1", Workflow: "a"})
	if err != nil || len(list) != 3 || list[0].ID != bad.ID {
		t.Errorf("got %d runs, error %v", len(list), err)
	}
	page, _, err := s.ListRuns(ctx, workflow.RunList{Directory: "d1", Before: list[0].ID, Limit: 1})
	if err != nil || len(page) != 1 || page[0].ID != list[1].ID {
		t.Errorf("got %v, error %v", page, err)
	}
	if list, _, err = s.ListRuns(ctx, workflow.RunList{Directory: "d1", Status: roster.RunFailed}); err != nil || len(list) != 1 {
		t.Errorf("got %d failed runs, error %v", len(list), err)
	}
	if list, _, err = s.ListRuns(ctx, workflow.RunList{Directory: "d2"}); err != nil || len(list) != 0 {
		t.Errorf("another directory: got %d runs, error %v", len(list), err)
	}
	_, _, err = s.ListRuns(ctx, workflow.RunList{Directory: "d2", Before: bad.ID})
	refused(t, err, 400)
	_, _, err = s.ListRuns(ctx, workflow.RunList{Directory: "d1", Status: "done"})
	refused(t, err, 400)
}

// breaking is a store in which the position of the dispatcher cannot be moved
// half of the time: what a process leaves that is killed before it could.
type breaking struct {
	*sqlstore.DB
	n atomic.Int64
}

func (b *breaking) Update(ctx context.Context, fn func(store.Tx) error) error {
	if b.n.Add(1)%2 == 1 {
		return errors.New("killed")
	}
	return b.DB.Update(ctx, fn)
}

func TestDispatch_EachEventOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqlstore.DB) {
		deployed := newService(t, db, nil)
		deployed.write("d1", nil, "before")
		deployed.deploy("d1", "a", onUsers)
		deployed.deploy("d2", "a", onUsers)
		const n = 1000
		want := []string{"d1/only"}
		for i := range n {
			id := fmt.Sprintf("u%04d", i)
			want = append(want, "d2/"+id)
			deployed.write("d2", nil, id)
		}
		deployed.write("d1", nil, "only")
		s := newService(t, db, func(o *workflow.Options) { o.Store = &breaking{DB: db} })
		s.dispatch()
		var got []string
		for range want {
			in := s.next()
			got = append(got, in.Directory+"/"+in.Event.Resource)
			if want := `{"userId":"` + in.Event.Resource + `"}`; string(in.Inputs) != want {
				t.Errorf("got inputs %s, want %s", in.Inputs, want)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("got %d runs %v …, want %d", len(got), got[:min(3, len(got))], len(want))
		}
		// And a second dispatcher, as on another node, starts none again.
		second := newService(t, db, func(o *workflow.Options) { o.Engine = s.Engine })
		second.dispatch()
		s.write("d1", nil, "last")
		if got := s.next().Event.Resource; got != "last" {
			t.Errorf("got a run for %s, want none but that for last", got)
		}
		s.none()
	})
}

func TestDispatch_LoopGuard(t *testing.T) {
	t.Parallel()
	s := newService(t, openStore(t, sqliteDSN(t)), nil)
	s.deploy("d1", "plain", onUsers)
	s.deploy("d1", "own", strings.Replace(onUsers, "type: User", "type: User, own: true", 1))
	s.dispatch()
	cause := func(workflow string, depth int) *roster.Cause {
		return &roster.Cause{Run: "r", Step: "s", Workflow: workflow, Depth: depth}
	}
	s.write("d1", cause("plain", 1), "by-plain")
	s.write("d1", cause("own", 1), "by-own")
	s.write("d1", cause("else", 5), "too-deep")
	s.write("d1", nil, "by-hand")
	var got []string
	for range 5 {
		in := s.next()
		name, _, _ := strings.Cut(strings.TrimPrefix(in.Source, "name: "), "\n")
		got = append(got, fmt.Sprintf("%s %s %d", in.Event.Resource, name, in.Depth()))
	}
	slices.Sort(got)
	want := []string{"by-hand own 1", "by-hand plain 1", "by-own own 2", "by-own plain 2", "by-plain own 2"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	// What was held back is written down after the runs of a batch were started, and
	// before those of the next one.
	s.write("d1", nil, "later")
	for range 2 {
		if got := s.next().Event.Resource; got != "later" {
			t.Errorf("got a run for %s, want none but those for later", got)
		}
	}
	for name, want := range map[string]int64{"plain": 2, "own": 1} {
		w, err := s.Get(t.Context(), "d1", name)
		if err != nil || w.Held != want {
			t.Errorf("workflow %s: got %d held back, error %v, want %d", name, w.Held, err, want)
		}
	}
	s.none()
}

func TestDispatch_FromNowOn(t *testing.T) {
	t.Parallel()
	s := newService(t, openStore(t, sqliteDSN(t)), nil)
	s.deploy("d1", "first", onUsers)
	stop := s.dispatch()
	s.write("d1", nil, "a")
	if got := s.next().Event.Resource; got != "a" {
		t.Errorf("got a run for %s, want a", got)
	}
	stop() // what is written now waits

	s.write("d1", nil, "b")
	s.deploy("d1", "second", onUsers)
	off, on := false, true
	for _, enabled := range []*bool{&off, &on} {
		if _, _, err := s.Deploy(t.Context(), workflow.Deployment{Directory: "d1", Name: "first", Enabled: enabled, Key: &roster.Key{ID: "k1"}}); err != nil {
			t.Fatal(err)
		}
		s.write("d1", nil, fmt.Sprint("enabled-", *enabled))
	}
	if _, backlog, err := s.List(t.Context(), "d1"); err != nil || backlog != 2 {
		t.Errorf("got a backlog of %d, error %v, want 2", backlog, err)
	}
	s.dispatch()
	var got []string
	for range 3 {
		in := s.next()
		name, _, _ := strings.Cut(strings.TrimPrefix(in.Source, "name: "), "\n")
		got = append(got, name+" "+in.Event.Resource)
	}
	slices.Sort(got)
	if want := []string{"first enabled-true", "second enabled-false", "second enabled-true"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDispatch_Schedule(t *testing.T) {
	t.Parallel()
	s := newService(t, openStore(t, sqliteDSN(t)), nil)
	at := time.Date(2026, 5, 1, 10, 1, 0, 0, time.UTC)
	s.now.Store(at.Unix())
	s.deploy("d1", "often", "triggers:\n  - schedule: {cron: \"*/15 * * * *\"}\n    inputs: {userId: \"${{ run.trigger }}\"}\n")
	stop := s.dispatch()
	s.now.Store(at.Add(15 * time.Minute).Unix())
	if in := s.next(); in.Trigger != "schedule" || string(in.Inputs) != `{"userId":"schedule"}` {
		t.Errorf("got %+v", in)
	}
	stop()
	// Nothing dispatched for a while: the last time is caught up, once.
	s.now.Store(at.Add(58 * time.Minute).Unix())
	for range 2 {
		stop := newService(t, s.db, func(o *workflow.Options) { o.Engine, o.Now = s.Engine, s.Now }).dispatch()
		defer stop()
	}
	s.next()
	list, _, err := s.ListRuns(t.Context(), workflow.RunList{Directory: "d1"})
	if err != nil || len(list) != 2 {
		t.Errorf("got %d runs, error %v, want 2", len(list), err)
	}
}

func TestDispatch_InputsThatDoNotFit(t *testing.T) {
	t.Parallel()
	s := newService(t, openStore(t, sqliteDSN(t)), nil)
	s.deploy("d1", "a", strings.Replace(onUsers, "event.resource", "event.version", 1))
	s.dispatch()
	s.write("d1", nil, "u")
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		list, _, err := s.ListRuns(t.Context(), workflow.RunList{Directory: "d1"})
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 {
			continue
		}
		ctx, cancel := context.WithDeadline(t.Context(), deadline)
		defer cancel()
		run, err := s.AwaitRun(ctx, "d1", list[0].ID)
		if err != nil || run.Status != roster.RunFailed || run.Error == nil || !strings.Contains(run.Error.Message, "userId must be a text") {
			t.Errorf("got %+v, error %v", run, err)
		}
		return
	}
	t.Fatal("no run was started")
}

func TestService_Principal(t *testing.T) {
	t.Parallel()
	s := newService(t, openStore(t, sqliteDSN(t)), nil)
	now := time.Now().UTC().Truncate(time.Microsecond)
	err := s.db.Update(t.Context(), func(tx store.Tx) error {
		for i, k := range []*roster.Key{
			{ID: "mine", Directory: "d1"}, {ID: "theirs", Directory: "d2"}, {ID: "operator"},
			{ID: "revoked", Directory: "d1", Revoked: now}, {ID: "expired", Directory: "d1", Expires: now},
		} {
			k.Name, k.Scopes, k.Created, k.Digest = k.ID, []roster.Scope{roster.ScopeUsersRead}, now, [32]byte{byte(i + 1)}
			if err := tx.CreateKey(k); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]int{"mine": 0, "operator": 0, "theirs": 403, "revoked": 403, "expired": 403, "none": 403} {
		k, err := s.Principal(t.Context(), "d1", id)
		if got := status(err); got != want || err == nil && k.ID != id {
			t.Errorf("key %s: got %v, error %v, want status %d", id, k, err, want)
		}
		if want == 403 && !strings.Contains(err.Error(), "deploy it again") {
			t.Errorf("key %s: got error %q", id, err)
		}
	}
}
