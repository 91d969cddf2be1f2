package workflow_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/internal/mail"
	"github.com/roster-scim/roster/internal/mail/sink"
	"github.com/roster-scim/roster/internal/workflow"
	"github.com/roster-scim/roster/scim"
)

// reach lets http steps reach this machine.
func (w *world) reach() {
	w.t.Helper()
	g, err := workflow.NewGuard([]string{"127.0.0.1"})
	if err != nil {
		w.t.Fatal(err)
	}
	w.Guard = g
}

// serve returns the URL of a service.
func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

// hang answers a request when nobody waits for it any more. The body is read
// first: till then a server does not see that a client goes.
func hang(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

const hook = `
name: hook
inputs:
  url: {type: string, required: true}
  token: {type: string, secret: true, required: true}
steps:
  - id: post
    http:
      method: POST
      url: ${{ inputs.url }}
      headers: {Authorization: "Bearer ${{ inputs.token }}", X-Other: "${{ inputs.token }}"}
      body: {user: ada, token: "${{ inputs.token }}"}
    retry: {attempts: 3, backoff: 1s}
    timeout: 5m
outputs:
  status: ${{ steps.post.output.status }}
  body: ${{ steps.post.output.body }}
on-error:
  - id: tell
    email: {to: boss@corp.example, subject: "${{ error.message }}", text: "{{ json .steps.post }} {{ .error.message }}"}
`

// secrets are the forms in which a service may repeat the secret of hook.
func secretForms(s string) []string {
	return []string{s, url.QueryEscape(s), url.PathEscape(s), base64.StdEncoding.EncodeToString([]byte(s)), strings.ReplaceAll(s, "/", `\/`)}
}

func TestHTTP_SendsAndReads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.reach()
	var got http.Header
	var body string
	url := serve(t, func(rw http.ResponseWriter, r *http.Request) {
		got = r.Header.Clone()
		b, _ := io.ReadAll(r.Body)
		body = string(b)
		rw.Header().Set("Content-Type", "application/json")
		rw.Header().Set("Set-Cookie", "a=b")
		_, _ = io.WriteString(rw, `{"ok":true,"n":1.5}`)
	})
	x := newTape(t, "run-1", w.input(hook, map[string]any{"url": url, "token": "canary/pass word"}))
	out, err := x.play(w.Body)
	if err != nil || string(out) != `{"body":{"n":1.5,"ok":true},"status":200}` {
		t.Fatalf("got %s, %v, %v", out, err, x.lines())
	}
	if got.Get("Idempotency-Key") != "run-1.post" || got.Get("Authorization") != "Bearer canary/pass word" || body != `{"token":"canary/pass word","user":"ada"}` {
		t.Errorf("sent %v %s", got, body)
	}
	for _, r := range x.steps() {
		if strings.Contains(string(r.Output), "canary") || strings.Contains(string(r.Output), "a=b") {
			t.Errorf("the record has what it must not: %s", r.Output)
		}
	}
}

// Whatever a service repeats of a secret, it is in no record, output, mail, error
// or log.
func TestHTTP_SecretsStayOut(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 400} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.reach()
			forms := secretForms("canary/pass word")
			url := serve(t, func(rw http.ResponseWriter, r *http.Request) {
				rw.Header().Set("Content-Type", "application/json")
				rw.Header().Set("X-Echo", r.Header.Get("X-Other"))
				rw.WriteHeader(status)
				_, _ = fmt.Fprintf(rw, `{"canary/pass word":"%s"}`, strings.Join(forms, " "))
			})
			x := newTape(t, "run-1", w.input(hook, map[string]any{"url": url, "token": "canary/pass word"}))
			out, err := x.play(w.Body)
			all := []string{string(out), fmt.Sprint(err), w.log.String(), strings.Join(x.lines(), "\n")}
			for _, r := range x.steps() {
				all = append(all, string(r.Output))
			}
			for {
				var m *sink.Message
				select {
				case m = <-w.sink.Received():
				default:
				}
				if m == nil {
					break
				}
				parsed, err := m.Parse()
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, string(m.Data), parsed.Text, fmt.Sprint(parsed.Header))
			}
			if status == 400 && len(all) < 6 {
				t.Errorf("nothing was sent: %d", len(all))
			}
			for _, text := range all {
				for _, form := range append(forms, "canary") {
					if strings.Contains(text, form) {
						t.Errorf("%q is in %s", form, text)
					}
				}
			}
		})
	}
}

func TestHTTP_Attempts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		answers []int
		after   string // Retry-After
		sleeps  []time.Duration
		want    string
	}{
		{"temporary", []int{503, 429, 200}, "", []time.Duration{time.Second, 2 * time.Second}, "post http succeeded after 3 attempts"},
		{"as long as the service asks", []int{429, 200}, "7", []time.Duration{7 * time.Second}, "post http succeeded after 2 attempts"},
		{"permanent", []int{400, 200}, "", nil, "post http failed"},
		{"conflict is not retried unasked", []int{409, 200}, "", nil, "post http failed"},
		{"too often", []int{500, 500, 500, 200}, "", []time.Duration{time.Second, 2 * time.Second}, "post http failed after 3 attempts"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.reach()
			var n atomic.Int32
			url := serve(t, func(rw http.ResponseWriter, r *http.Request) {
				if tt.after != "" {
					rw.Header().Set("Retry-After", tt.after)
				}
				rw.WriteHeader(tt.answers[n.Add(1)-1])
			})
			x := newTape(t, "run-1", w.input(hook, map[string]any{"url": url, "token": "canary"}))
			_, err := x.play(w.Body)
			if (err == nil) != strings.Contains(tt.want, "succeeded") {
				t.Errorf("got %v", err)
			}
			line, _, _ := strings.Cut(x.lines()[0], ":")
			if diff := cmp.Diff(tt.want, line); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.sleeps, x.sleeps); diff != "" {
				t.Errorf("waits:\n%s", diff)
			}
		})
	}
}

func TestHTTP_Refused(t *testing.T) {
	t.Parallel()
	w := newWorld(t) // with a guard that lets nothing through
	asked := false
	url := serve(t, func(http.ResponseWriter, *http.Request) { asked = true })
	for _, target := range []string{url, "http://localhost:" + url[strings.LastIndexByte(url, ':')+1:], "http://u:p@corp.example/", "file:///etc/passwd", "http://"} {
		x := newTape(t, "run-1", w.input(hook, map[string]any{"url": target, "token": "canary"}))
		if _, err := x.play(w.Body); err == nil || len(x.sleeps) != 0 {
			t.Errorf("%s: got %v after %d attempts more", target, err, len(x.sleeps))
		}
	}
	if asked {
		t.Error("the service was asked")
	}
}

// What an error repeats of what the step was given has a bound.
func TestHTTP_ErrorsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := newTape(t, "run-1", w.input(hook, map[string]any{"url": "http://127.0.0.1/" + strings.Repeat("x", 100_000), "token": "canary"}))
	_, err := x.play(w.Body)
	if err == nil || len(err.Error()) > 5000 {
		t.Errorf("got an error of %d bytes", len(fmt.Sprint(err)))
	}
	steps, err := workflow.History(x.steps())
	if err != nil {
		t.Fatal(err)
	}
	if got := steps[0].Error; got == nil || len(got.Message) > 5000 {
		t.Errorf("got %+v", got)
	}
}

func TestHTTP_LargeAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.reach()
	url := serve(t, func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, strings.Repeat("x", 1<<20+1)) })
	x := newTape(t, "run-1", w.input(hook, map[string]any{"url": url, "token": "canary"}))
	if _, err := x.play(w.Body); err == nil || !strings.Contains(err.Error(), "larger than 1 MiB") {
		t.Errorf("got %v", err)
	}
}

func TestHTTP_Timeout(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.reach()
	url := serve(t, hang)
	file := strings.Replace(strings.Replace(hook, "timeout: 5m", "timeout: 1s", 1), "attempts: 3", "attempts: 2", 1)
	x := newTape(t, "run-1", w.input(file, map[string]any{"url": url, "token": "canary"}))
	if _, err := x.play(w.Body); err == nil || len(x.sleeps) != 1 {
		t.Errorf("got %v after %d attempts more", err, len(x.sleeps))
	}
}

// A run that is cancelled leaves no record of what it was in.
func TestBody_Cancelled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.reach()
	ctx, cancel := context.WithCancel(t.Context())
	url := serve(t, func(rw http.ResponseWriter, r *http.Request) {
		cancel()
		hang(rw, r)
	})
	x := newTape(t, "run-1", w.input(hook, map[string]any{"url": url, "token": "canary"}))
	if _, err := w.Body(ctx, x); err == nil || len(x.kept) != 0 {
		t.Errorf("got %v, kept %d", err, len(x.kept))
	}
}

const letter = `
name: letter
inputs: {to: {type: any, required: true}}
steps:
  - id: tell
    email: {to: "${{ inputs.to }}", subject: hello, text: hello}
    retry: {attempts: 3, backoff: 1s}
`

func TestEmail(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		to     any
		codes  []int // of the server's answers to the content; 0: it takes it
		off    bool
		want   string
		mailed int
	}{
		{"one", "ada@corp.example", nil, false, "tell email succeeded", 1},
		{"with a name and a comma", `"Lovelace, Ada" <ada@corp.example>, bob@corp.example`, nil, false, "tell email succeeded", 1},
		{"a list", []any{"ada@corp.example", "bob@corp.example"}, nil, false, "tell email succeeded", 1},
		{"none", "", nil, false, "tell email failed", 0},
		{"no address", "ada", nil, false, "tell email failed", 0},
		{"a number", 7, nil, false, "tell email failed", 0},
		{"greylisted", "ada@corp.example", []int{451, 0}, false, "tell email succeeded after 2 attempts", 1},
		{"refused", "ada@corp.example", []int{550, 0}, false, "tell email failed", 0},
		{"suppressed", "ada@corp.example", nil, true, "tell email skipped", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			var n atomic.Int32
			s, err := sink.Start(sink.Options{Refuse: func(stage sink.Stage, _ string) error {
				if stage != sink.Content {
					return nil
				}
				if i := int(n.Add(1)) - 1; i < len(tt.codes) && tt.codes[i] > 0 {
					return &sink.Reply{Code: tt.codes[i], Text: "no"}
				}
				return nil
			}})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			w.sink = s
			if w.Mail, err = mail.Open("smtp://"+s.Addr()+"?tls=none", mail.Options{From: "roster@corp.example"}); err != nil {
				t.Fatal(err)
			}
			w.Suppressed = func(_ context.Context, directory string) (bool, error) {
				return tt.off && directory == w.directory, nil
			}
			x := newTape(t, "run-1", w.input(letter, map[string]any{"to": tt.to}))
			if _, err := x.play(w.Body); (err == nil) == strings.Contains(tt.want, "failed") {
				t.Errorf("got %v", err)
			}
			line, _, _ := strings.Cut(x.lines()[0], ":")
			if diff := cmp.Diff(tt.want, line); diff != "" {
				t.Errorf("%s\n%v", diff, x.lines())
			}
			if got := len(w.mails()); got != tt.mailed {
				t.Errorf("%d mails, want %d", got, tt.mailed)
			}
		})
	}
}

const many = `
name: many
inputs: {list: {type: array, required: true}}
steps:
  - id: all
    for-each: inputs.list
    concurrency: 16
    steps:
      - id: ask
        action: get-service-provider-config
outputs:
  n: ${{ len(steps.all.output) }}
`

// Many items need no more memory than what is kept of them.
func TestBody_ManyItems(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	list := make([]any, 1000)
	for i := range list {
		list[i] = i
	}
	x := newTape(t, "run-1", w.input(many, map[string]any{"list": list}))
	out, err := x.play(w.Body)
	if err != nil || string(out) != `{"n":1000}` {
		t.Fatalf("got %s, %v", out, err)
	}
	if x.most > 16 || len(x.kept) != 1002 {
		t.Errorf("%d calls at once, %d in all", x.most, len(x.kept))
	}
	list = make([]any, workflow.MaxItems+1)
	x = newTape(t, "run-2", w.input(many, map[string]any{"list": list}))
	if _, err := x.play(w.Body); err == nil || !strings.Contains(err.Error(), "10001 items") || len(x.kept) != 1 {
		t.Errorf("got %v, kept %d", err, len(x.kept))
	}
}

const stops = `
name: stops
inputs: {bad: {type: boolean, required: true}}
steps:
  - id: check
    if: inputs.bad
    then:
      - {id: end, stop: {failed: true, message: "bad: ${{ inputs.bad }}"}}
    else:
      - {id: fine, stop: {message: fine}}
  - {id: unreached, action: get-user, with: {userId: nobody}}
outputs: {x: "${{ steps.unreached.output }}"}
`

func TestBody_Stop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for bad, want := range map[bool]string{true: `{"step":"end","message":"bad: true","temporary":false}`, false: ""} {
		x := newTape(t, "run-1", w.input(stops, map[string]any{"bad": bad}))
		_, err := x.play(w.Body)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != want || len(x.kept) != 2 {
			t.Errorf("bad %v: got %s after %v", bad, got, x.lines())
		}
	}
}

// Every user write, cut at every call, is done once, and tells what it changed.
func TestBody_WritesOnce(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		action, with string
		ops          []string
		changes      int
	}{
		{"deactivate-user", `userId: "${{ inputs.id }}"`, []string{"patch", "create"}, 1},
		{"patch-user", `userId: "${{ inputs.id }}", operations: [{op: replace, path: title, value: CTO}]`, []string{"patch", "create"}, 1},
		{"delete-user", `userId: "${{ inputs.id }}"`, []string{"delete", "create"}, 0},
	} {
		t.Run(tt.action, func(t *testing.T) {
			t.Parallel()
			file := fmt.Sprintf("name: one\ninputs: {id: {type: string, required: true}}\nsteps:\n  - {id: it, action: %s, with: {%s}}\n", tt.action, tt.with)
			for at := range 2 {
				for _, how := range []cutAt{cutBefore, cutAfter} {
					w := newWorld(t)
					id := w.user("ada", "Engineer")
					x := newTape(t, "run-1", w.input(file, map[string]any{"id": id}))
					x.at, x.how = at, how
					if _, err := x.play(w.Body); err != nil {
						t.Fatal(err, x.lines())
					}
					if diff := cmp.Diff(tt.ops, w.history(id)); diff != "" {
						t.Errorf("cut at %d %d:\n%s", at, how, diff)
					}
					steps, err := workflow.History(x.steps())
					if err != nil || len(steps) != 1 || len(steps[0].Changes) != tt.changes {
						t.Errorf("cut at %d %d: %+v, %v", at, how, steps, err)
					}
				}
			}
		})
	}
	t.Run("create-user", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		file := "name: one\nsteps:\n  - {id: it, action: create-user, with: {userName: ada, emails: [{value: ada@corp.example, primary: true}]}}\noutputs: {id: '${{ steps.it.output.id }}'}\n"
		x := newTape(t, "run-1", w.input(file, nil))
		x.how, x.at = cutAfter, 0
		out, err := x.play(w.Body)
		if err != nil {
			t.Fatal(err, x.lines())
		}
		n := 0
		for range w.client().Users().List(t.Context(), nil) {
			n++
		}
		if n != 1 || !strings.Contains(string(out), `"id":"`) {
			t.Errorf("%d users, %s", n, out)
		}
	})
}

// A service that repeats the key of a connection tells it to nobody.
func TestAction_KeyStaysOut(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 400} {
		w := newWorld(t)
		w.reach()
		url := serve(t, func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", "application/scim+json")
			rw.WriteHeader(status)
			_, _ = fmt.Fprintf(rw, `{"id":"1","userName":"ada","detail":%q}`, r.Header.Get("Authorization"))
		})
		w.Dial = func(context.Context, workflow.Target) (*client.Client, scim.RuleSet, error) {
			return &client.Client{BaseURL: url, Key: "canary-key", Retries: -1}, scim.RuleSet{}, nil
		}
		file := "name: one\nsteps:\n  - {id: it, action: get-user, with: {userId: '1'}}\noutputs: {user: '${{ steps.it.output }}'}\n"
		x := newTape(t, "run-1", w.input(file, nil))
		out, err := x.play(w.Body)
		if (err == nil) != (status == 200) {
			t.Fatalf("got %v", err)
		}
		if all := fmt.Sprint(string(out), err, string(x.steps()[0].Output), w.log); strings.Contains(all, "canary") || !strings.Contains(all, "Bearer ***") {
			t.Errorf("got %s", all)
		}
	}
}

// A run that is tried again goes on with what has failed, and does nothing before
// it again: of a for-each too.
func TestRetryFrom(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.reach()
	var asked []string
	broken := true
	url := serve(t, func(rw http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		if broken && r.URL.Path == "/b" {
			rw.WriteHeader(http.StatusBadRequest)
		}
	})
	file := `
name: retried
inputs: {url: {type: string, required: true}}
steps:
  - {id: first, http: {url: "${{ inputs.url }}/first"}}
  - id: each
    for-each: '["a", "b", "c"]'
    steps: [{id: ask, http: {url: "${{ inputs.url }}/${{ item }}"}}]
  - {id: last, http: {url: "${{ inputs.url }}/last"}}
`
	x := newTape(t, "run-1", w.input(file, map[string]any{"url": url}))
	if _, err := x.play(w.Body); err == nil {
		t.Fatal("the run has not failed")
	}
	if diff := cmp.Diff([]string{"/first", "/a", "/b", "/c"}, asked); diff != "" {
		t.Fatal(diff)
	}
	asked, broken = nil, false
	x.forget(workflow.RetryFrom(x.steps()))
	if _, err := x.play(w.Body); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"/b", "/c", "/last"}, asked); diff != "" {
		t.Error(diff)
	}
}
