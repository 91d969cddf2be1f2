package workflow_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/internal/directory"
	"github.com/roster-scim/roster/internal/mail"
	"github.com/roster-scim/roster/internal/mail/sink"
	"github.com/roster-scim/roster/internal/server"
	"github.com/roster-scim/roster/internal/store/sqlstore"
	"github.com/roster-scim/roster/internal/workflow"
	"github.com/roster-scim/roster/scim"
)

// A world is a Roster in this process, an SMTP server, and a Runner between them.
type world struct {
	*workflow.Runner
	t         *testing.T
	dirs      *directory.Service
	server    *server.Server
	directory string
	key       *roster.Key
	sink      *sink.Sink
	log       *lockedBuffer
	// wrap is put around the transport of every client; nil: nothing.
	wrap func(http.RoundTripper) http.RoundTripper
}

type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db, err := sqlstore.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "test.db"), sqlstore.Options{Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	w := &world{t: t, log: new(lockedBuffer)}
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if w.dirs, err = directory.Open(t.Context(), directory.Options{Store: db, Log: log}); err != nil {
		t.Fatal(err)
	}
	d, err := w.dirs.Create(t.Context(), "test", scim.Standard, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	w.directory = d.ID
	if w.key, _, err = w.dirs.CreateKey(t.Context(), nil, directory.NewKey{Directory: d.ID, Name: "deployer", Scopes: roster.Scopes}); err != nil {
		t.Fatal(err)
	}
	w.server = server.New(server.Options{Directories: w.dirs, PublicURL: "https://scim.corp.example", Log: log})
	if w.sink, err = sink.Start(sink.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.sink.Close() })
	sender, err := mail.Open("smtp://"+w.sink.Addr()+"?tls=none", mail.Options{From: "Roster <roster@corp.example>"})
	if err != nil {
		t.Fatal(err)
	}
	guard, err := workflow.NewGuard(nil)
	if err != nil {
		t.Fatal(err)
	}
	w.Runner = &workflow.Runner{Dial: w.dial, Mail: sender, Guard: guard, Log: log}
	return w
}

func (w *world) dial(_ context.Context, target workflow.Target) (*client.Client, scim.RuleSet, error) {
	rt := w.server.Local(target.Directory, w.key, target.Cause)
	if w.wrap != nil {
		rt = w.wrap(rt)
	}
	return &client.Client{
		BaseURL: "http://local", Directory: target.Directory, Retries: -1, HTTP: &http.Client{Transport: rt},
	}, scim.RuleSet{}, nil
}

// client returns a client that is none of a run.
func (w *world) client() *client.Client {
	return &client.Client{BaseURL: "http://local", Directory: w.directory, HTTP: &http.Client{Transport: w.server.Local(w.directory, w.key, nil)}}
}

// user makes a user and returns the id.
func (w *world) user(name, title string) string {
	w.t.Helper()
	u, err := w.client().Users().Create(w.t.Context(), &client.User{
		UserName: name, Title: client.Set(title), Active: client.Set(true), NickName: client.Set("Nick"),
		Emails: client.Set([]client.MultiValue{client.Primary(client.Value(name+"@corp.example", "work"))}),
	}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return u.ID
}

// history returns the operations on a resource, the newest first.
func (w *world) history(id string) (ops []string) {
	w.t.Helper()
	for e, err := range w.client().Management().History(w.t.Context(), w.directory, id, 0) {
		if err != nil {
			w.t.Fatal(err)
		}
		ops = append(ops, string(e.Operation))
	}
	return ops
}

// input returns that of a run of a file.
func (w *world) input(file string, inputs map[string]any) *workflow.RunInput {
	w.t.Helper()
	data, err := json.Marshal(inputs, json.Deterministic(true))
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := workflow.Parse([]byte(file)); err != nil {
		w.t.Fatalf("the file has faults:\n%v", err)
	}
	return &workflow.RunInput{
		Directory: w.directory, Source: file, Key: w.key.ID, Trigger: "manual", Inputs: data,
		Queued: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
}

// mails returns those that have arrived by now. Send returns after the server has
// taken a mail, so that nothing is still to come.
func (w *world) mails() (list []*sink.Mail) {
	w.t.Helper()
	for {
		select {
		case m := <-w.sink.Received():
			parsed, err := m.Parse()
			if err != nil {
				w.t.Fatal(err)
			}
			list = append(list, parsed)
		default:
			return list
		}
	}
}

// steps returns the steps of a run as lines: "update action succeeded 1".
func (x *tape) lines() (lines []string) {
	x.t.Helper()
	steps, err := workflow.History(x.steps())
	if err != nil {
		x.t.Fatal(err)
	}
	for _, s := range steps {
		name := s.ID
		if s.Item != nil {
			name += fmt.Sprintf("[%d]", *s.Item)
		}
		line := fmt.Sprintf("%s %s %s", name, s.Kind, s.Status)
		if len(s.Attempts) > 1 {
			line += fmt.Sprintf(" after %d attempts", len(s.Attempts))
		}
		if s.Error != nil {
			line += ": " + s.Error.Message
		}
		lines = append(lines, line)
	}
	return lines
}

const updateAndEmail = `
name: update-user-and-email
inputs:
  userId: {type: string, required: true}
  title: {type: string, required: true}
  to: {type: string, required: true}
steps:
  - id: update
    action: update-user
    keep: true
    with: {userId: "${{ inputs.userId }}", title: "${{ inputs.title }}"}
    retry: {attempts: 3, backoff: 1s, on: [temporary, timeout, conflict]}
  - id: tell
    email:
      to: ${{ inputs.to }}
      subject: "${{ steps.update.output.userName }} was updated"
      text: |
        {{ range .steps.update.changes }}{{ .attribute }}: {{ .before }} -> {{ .after }}
        {{ end }}
      html: "<ul>{{ range .steps.update.changes }}<li>{{ .attribute }}</li>{{ end }}</ul>"
      attach:
        - {name: result.json, content: "${{ steps.update.output }}"}
outputs:
  title: ${{ steps.update.output.title }}
`

func TestBody_UpdatesAndTells(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.user("ada", "Engineer")
	x := newTape(t, "run-1", w.input(updateAndEmail, map[string]any{"userId": id, "title": "CTO", "to": "boss@corp.example"}))
	out, err := x.play(w.Body)
	if err != nil || string(out) != `{"title":"CTO"}` {
		t.Fatalf("got %s, %v\n%s", out, err, strings.Join(x.lines(), "\n"))
	}
	if diff := cmp.Diff([]string{"update action succeeded", "tell email succeeded"}, x.lines()); diff != "" {
		t.Errorf("history:\n%s", diff)
	}
	steps, err := workflow.History(x.steps())
	if err != nil {
		t.Fatal(err)
	}
	want := []roster.Change{{Attribute: "title", Before: jsontext.Value(`"Engineer"`), After: jsontext.Value(`"CTO"`)}}
	if diff := cmp.Diff(want, steps[0].Changes); diff != "" || steps[0].Action != "update-user" || len(steps[0].Attempts) != 1 {
		t.Errorf("the update: %+v\n%s", steps[0], diff)
	}
	mails := w.mails()
	if len(mails) != 1 {
		t.Fatalf("%d mails", len(mails))
	}
	m := mails[0]
	if got := m.Header.Get("Message-Id"); got != "<run-1.tell@corp.example>" {
		t.Errorf("Message-ID %s", got)
	}
	if !strings.Contains(m.Text, "title: Engineer -> CTO") || m.HTML == "" || len(m.Attachments) != 1 || !strings.Contains(string(m.Attachments[0].Content), `"title": "CTO"`) {
		t.Errorf("the mail: %+v", m)
	}
	for e, err := range w.client().Management().History(t.Context(), w.directory, id, 0) {
		if err != nil {
			t.Fatal(err)
		}
		want := &roster.Cause{Run: "run-1", Step: "update", Workflow: "update-user-and-email", Depth: 1}
		if diff := cmp.Diff(want, e.Cause); diff != "" || e.Key != w.key.ID {
			t.Errorf("the event is by %s, of:\n%s", e.Key, diff)
		}
		break
	}
}

// Wherever the node dies, the run ends as if it had not, and the user was written
// once. A mail that the server has taken, and we have not noted, comes again with
// the same Message-ID.
func TestBody_CutAnywhere(t *testing.T) {
	t.Parallel()
	for at := range 3 {
		for _, how := range []cutAt{cutBefore, cutAfter} {
			t.Run(fmt.Sprint(at, how), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				id := w.user("ada", "Engineer")
				x := newTape(t, "run-1", w.input(updateAndEmail, map[string]any{"userId": id, "title": "CTO", "to": "boss@corp.example"}))
				x.at, x.how = at, how
				out, err := x.play(w.Body)
				if err != nil || string(out) != `{"title":"CTO"}` {
					t.Fatalf("got %s, %v\n%s", out, err, strings.Join(x.lines(), "\n"))
				}
				if diff := cmp.Diff([]string{"replace", "create"}, w.history(id)); diff != "" {
					t.Errorf("events:\n%s", diff)
				}
				mails, want := w.mails(), 1
				if at == 2 && how == cutAfter {
					want = 2
				}
				if len(mails) != want {
					t.Errorf("%d mails, want %d", len(mails), want)
				}
				for _, m := range mails {
					if got := m.Header.Get("Message-Id"); got != "<run-1.tell@corp.example>" || !strings.Contains(m.Text, "Engineer -> CTO") {
						t.Errorf("a mail with the Message-ID %s: %s", got, m.Text)
					}
				}
				steps, err := workflow.History(x.steps())
				if err != nil || len(steps[0].Changes) != 1 {
					t.Errorf("changes: %v, %v", steps, err)
				}
			})
		}
	}
}

// A change of somebody else between what an update has read and its write is
// never overwritten.
func TestBody_SomebodyElseWritesBetween(t *testing.T) {
	t.Parallel()
	for _, retries := range []bool{false, true} {
		t.Run(fmt.Sprint("retries ", retries), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			id := w.user("ada", "Engineer")
			file := updateAndEmail
			if !retries {
				file = strings.Replace(file, ", conflict]", "]", 1)
			}
			x := newTape(t, "run-1", w.input(file, map[string]any{"userId": id, "title": "CTO", "to": "boss@corp.example"}))
			meddled := false
			x.before = func(name string) {
				if name != "update" || meddled {
					return
				}
				meddled = true
				if _, err := w.client().Users().Patch(t.Context(), id, client.Patch{client.Replace("nickName", "Countess")}, nil); err != nil {
					t.Error(err)
				}
			}
			_, err := x.play(w.Body)
			if (err == nil) != retries {
				t.Fatalf("got %v\n%s", err, strings.Join(x.lines(), "\n"))
			}
			u, err := w.client().Users().Get(t.Context(), id, nil)
			if err != nil {
				t.Fatal(err)
			}
			if nick, _ := u.NickName.Get(); nick != "Countess" {
				t.Errorf("the change of somebody else is lost: nickName %q", nick)
			}
			if title, _ := u.Title.Get(); (title == "CTO") != retries {
				t.Errorf("title %q", title)
			}
		})
	}
}

// An answer that is lost after the server has done the write is a temporary error,
// and the next attempt does it no second time.
func TestBody_LostAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.user("ada", "Engineer")
	lost := false
	w.wrap = func(rt http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			resp, err := rt.RoundTrip(r)
			if r.Method == "PUT" && !lost && err == nil {
				lost = true
				_ = resp.Body.Close()
				return nil, io.ErrUnexpectedEOF
			}
			return resp, err
		})
	}
	x := newTape(t, "run-1", w.input(updateAndEmail, map[string]any{"userId": id, "title": "CTO", "to": "boss@corp.example"}))
	if _, err := x.play(w.Body); err != nil {
		t.Fatal(err, x.lines())
	}
	if diff := cmp.Diff([]string{"update action succeeded after 2 attempts", "tell email succeeded"}, x.lines()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"replace", "create"}, w.history(id)); diff != "" {
		t.Errorf("events:\n%s", diff)
	}
	if diff := cmp.Diff([]time.Duration{time.Second}, x.sleeps); diff != "" {
		t.Errorf("waits:\n%s", diff)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

const rescued = `
name: rescued
inputs: {userId: {type: string, required: true}}
steps:
  - id: first
    action: get-user
    with: {userId: "${{ inputs.userId }}"}
    continue-on-error: true
  - id: check
    if: steps.first.status == "failed"
    then:
      - id: gone
        action: get-user
        with: {userId: "${{ inputs.userId }}"}
    else:
      - {id: never, stop: {}}
  - {id: unreached, stop: {}}
on-error:
  - id: tell
    email:
      to: boss@corp.example
      subject: "${{ error.step }} failed"
      text: "{{ .error.message }} {{ .steps.unreached.status }}"
`

func TestBody_OnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := newTape(t, "run-1", w.input(rescued, map[string]any{"userId": "nobody"}))
	_, err := x.play(w.Body)
	var failed roster.RunError
	if err == nil || json.Unmarshal([]byte(err.Error()), &failed) != nil || failed.Step != "gone" || failed.Status != 404 || failed.Temporary {
		t.Fatalf("got %v", err)
	}
	lines := x.lines()
	for i := range lines {
		lines[i], _, _ = strings.Cut(lines[i], ":")
	}
	want := []string{"first action failed", "check if succeeded", "gone action failed", "tell email succeeded"}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("history:\n%s", diff)
	}
	mails := w.mails()
	if len(mails) != 1 || !strings.Contains(mails[0].Text, "with id[nobody] not found") || !strings.Contains(mails[0].Text, "skipped") {
		t.Errorf("mails: %+v", mails)
	}
	if got := workflow.RetryFrom(x.steps()); got != 2 {
		t.Errorf("a retry begins at %d, want 2", got)
	}
}

// When a retry fails again its mail is another one, while that of a run that is
// cut off and goes on is the same.
func TestBody_OnErrorOfARetry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := newTape(t, "run-1", w.input(rescued, map[string]any{"userId": "nobody"}))
	ids := make(map[string]bool)
	play := func(from int) {
		x.forget(from)
		if _, err := x.play(w.Body); err == nil {
			t.Fatal("it has not failed")
		}
		for _, m := range w.mails() {
			ids[m.Header.Get("Message-ID")] = true
		}
	}
	play(0)
	play(len(x.steps()) - 1) // cut off before the mail was noted
	if len(ids) != 1 {
		t.Errorf("the mail of one failure has the ids %v", ids)
	}
	play(workflow.RetryFrom(x.steps()))
	if len(ids) != 2 {
		t.Errorf("the mails of two failures have the ids %v", ids)
	}
}

// A run has no flags: what is wrong with its input is told without them.
func TestBody_InputErrorsNameNoFlags(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := newTape(t, "run-1", w.input(rescued, map[string]any{"userId": ""}))
	_, err := x.play(w.Body)
	if err == nil || !strings.Contains(err.Error(), "userId") || strings.Contains(err.Error(), "--") {
		t.Errorf("got %v", err)
	}
}

const each = `
name: each
inputs: {ids: {type: array, required: true}}
steps:
  - id: all
    for-each: inputs.ids
    as: person
    concurrency: 4
    continue-on-error: true
    steps:
      - id: known
        if: person != "skip"
        then:
          - id: off
            action: deactivate-user
            with: {userId: "${{ person }}"}
      - id: after
        when: person == "skip"
        action: list-users
        with: {count: 1}
outputs:
  all: ${{ steps.all.output }}
`

func TestBody_ForEach(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := []any{w.user("a", "x"), "nobody", "skip", w.user("d", "x"), w.user("e", "x")}
	in := w.input(each, map[string]any{"ids": ids})
	whole := newTape(t, "run-1", in)
	out, err := whole.play(w.Body)
	if err != nil {
		t.Fatal(err, whole.lines())
	}
	var got struct {
		All []struct {
			Item   string
			Status string
			Steps  map[string]struct{ Status string }
		}
	}
	if err := json.Unmarshal(out, &got, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatal(err)
	}
	var statuses []string
	for _, o := range got.All {
		statuses = append(statuses, o.Status+" "+o.Steps["off"].Status+" "+o.Steps["after"].Status)
	}
	want := []string{"succeeded succeeded skipped", "failed failed ", "succeeded  succeeded", "succeeded succeeded skipped", "succeeded succeeded skipped"}
	if diff := cmp.Diff(want, statuses); diff != "" {
		t.Errorf("results:\n%s\n%s", diff, out)
	}
	if whole.most > 4 {
		t.Errorf("%d calls at once", whole.most)
	}
	// Cut at every call, it ends the same.
	for at := range len(whole.kept) {
		for _, how := range []cutAt{cutBefore, cutAfter} {
			w := newWorld(t)
			ids := []any{w.user("a", "x"), "nobody", "skip", w.user("d", "x"), w.user("e", "x")}
			x := newTape(t, "run-1", w.input(each, map[string]any{"ids": ids}))
			x.at, x.how = at, how
			if _, err := x.play(w.Body); err != nil {
				t.Fatal(at, how, err)
			}
			for _, i := range []int{0, 3, 4} {
				if diff := cmp.Diff([]string{"patch", "create"}, w.history(ids[i].(string))); diff != "" {
					t.Errorf("cut at %d %d: user %d:\n%s", at, how, i, diff)
				}
			}
			if diff := cmp.Diff(len(whole.kept), len(x.kept)); diff != "" {
				t.Errorf("cut at %d %d: %s", at, how, diff)
			}
		}
	}
}
