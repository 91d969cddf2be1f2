package main

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/mail/sink"
	"github.com/roster-scim/roster/internal/pgtest"
)

const (
	inputCanary = "input_canary_93c1_of_a_run"
	mailCanary  = "mail_canary_5e07_of_a_server"
)

const canaryFile = `name: canary
inputs:
  userId: {type: string, required: true}
  url: {type: string, required: true}
  token: {type: string, secret: true}
connections: [self]
steps:
  - id: call
    http:
      method: POST
      url: ${{ inputs.url }}
      headers: {Authorization: "Bearer ${{ inputs.token }}"}
      body: {token: "${{ inputs.token }}", list: ["x${{ inputs.token }}x"]}
    retry: {attempts: 2, backoff: 1ms}
  - id: far
    action: get-user
    connection: self
    with: {userId: "${{ inputs.userId }}"}
    retry: {attempts: 2, backoff: 1ms, on: [any]}
    continue-on-error: true
  - id: tell
    email:
      to: boss@corp.example
      subject: "Called: ${{ steps.call.output }}"
      text: "{{ json .steps }}"
      html: "<p>{{ json .steps }}</p>"
      attach: [{name: steps.json, content: "${{ steps }}"}]
on-error:
  - id: tell_failure
    email:
      to: boss@corp.example
      subject: "Failed: ${{ error.message }}"
      text: "{{ json .error }}{{ json .steps }}"
outputs:
  call: ${{ steps.call.output }}
  far: ${{ steps.far }}
`

func TestWorkflow_SecretsAreNowhere_SQLite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	secretsAreNowhere(t, "sqlite:"+filepath.Join(dir, "roster.db"), func() {
		t.Helper()
		names, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(names) < 2 {
			t.Fatalf("got the files %q, %v", names, err)
		}
		for _, name := range names {
			content, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			wantNoCanary(t, name, name+string(content))
		}
	})
}

func TestWorkflow_SecretsAreNowhere_Postgres(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	secretsAreNowhere(t, dsn, func() {
		t.Helper()
		dump := postgresDump(t, dsn)
		if !strings.Contains(dump, "tell_failure") { // the names of steps are in the clear
			t.Error("the dump lacks the runs")
		}
		wantNoCanary(t, "the database", dump)
	})
}

// secretsAreNowhere has runs with a secret input, a connection and a login at a mail
// server succeed, fail, be retried and cancelled, while those who are given a secret
// repeat it in whatever they answer; and looks at all that is left.
func secretsAreNowhere(t *testing.T, dsn string, database func()) {
	t.Helper()
	gate := newGate(t)
	var broken, refuses atomic.Bool
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Repeated", r.Header.Get("Authorization"))
		w.Header().Set("Content-Type", "application/json")
		if broken.Load() || r.URL.Path != "/call" {
			w.WriteHeader(http.StatusInternalServerError)
		}
		fmt.Fprintf(w, `{"status":"500","detail":"not with %[1]s","repeated":%[1]q,"body":%[2]s}`, r.Header.Get("Authorization"), cmp.Or(string(body), "null"))
		_ = gate.come(asked)
	}))
	t.Cleanup(site.Close) // when nobody waits at the gate any more
	mails, err := sink.Start(sink.Options{User: "user", Password: mailCanary, Refuse: func(stage sink.Stage, _ string) error {
		if stage == sink.Sender && refuses.Load() {
			return &sink.Reply{Code: 550, Text: "not with the password " + mailCanary}
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := mails.Close(); err != nil {
			t.Error(err)
		}
	}()
	s := serve(t, []string{"ROSTER_MAIL=smtp://user:" + mailCanary + "@" + mails.Addr() + "?tls=none"}, "--db", dsn, "--secret-key-file", keyFile(t),
		"--mail-from", "roster@corp.example", "--log-level", "debug", "--workflow-allow-address", "127.0.0.1")
	s.useDefault(t)
	id := s.must(t, http.StatusCreated, http.MethodPost, s.users(""), userBody("ada", "Engineer")).text("id")
	s.must(t, http.StatusCreated, http.MethodPost, "/api/v1/connections", fmt.Sprintf(`{"name":"self","url":%q,"key":%q}`, site.URL+"/scim", connectionCanary))
	s.deploy(t, "canary", canaryFile)
	inputs := map[string]any{"userId": id, "url": site.URL + "/call", "token": inputCanary}

	ok := s.start(t, http.StatusOK, "canary", "?wait=60", inputs)
	if far := ok.Steps[1]; ok.Status != roster.RunSucceeded || far.Status != roster.RunFailed || len(far.Attempts) != 2 || !strings.Contains(far.Error.Message, "not with") {
		t.Errorf("got %s, %+v, %+v", ok.Status, ok.Error, far)
	}
	broken.Store(true)
	failed := s.start(t, http.StatusOK, "canary", "?wait=60", inputs)
	if failed.Status != roster.RunFailed || len(failed.Steps) != 2 {
		t.Errorf("got %s, %+v", failed.Status, failed.Steps)
	}
	broken.Store(false)
	s.must(t, http.StatusAccepted, http.MethodPost, "/api/v1/runs/"+failed.ID+"/retry", "")
	s.await(t, failed.ID, roster.RunSucceeded)
	gate.stop(asked)
	cancelled := s.start(t, http.StatusAccepted, "canary", "", inputs)
	gate.await(t)
	s.must(t, http.StatusOK, http.MethodPost, "/api/v1/runs/"+cancelled.ID+"/cancel", "")
	gate.pass <- nil
	s.await(t, cancelled.ID, roster.RunCancelled)
	refuses.Store(true)
	unsent := s.start(t, http.StatusOK, "canary", "?wait=60", inputs)
	if unsent.Status != roster.RunFailed || unsent.Error == nil || !strings.Contains(unsent.Error.Message, "not with the password") {
		t.Errorf("got %s, %+v", unsent.Status, unsent.Error)
	}
	refuses.Store(false)
	database()

	paths := []string{
		"/api/v1/runs", "/api/v1/workflows", "/api/v1/workflows/canary", "/api/v1/connections", "/metrics",
		"/api/v1/directories/" + s.directory + "/events", "/api/v1/directories/" + s.directory + "/requests",
	}
	for _, run := range []*roster.Run{ok, failed, cancelled, unsent} {
		paths = append(paths, "/api/v1/runs/"+run.ID)
	}
	for _, path := range paths {
		wantNoCanary(t, path, string(s.must(t, http.StatusOK, http.MethodGet, path, "").body))
	}
	body := fmt.Sprintf(`{"inputs":{"userId":7,"token":[%q],"tokn":1}}`, inputCanary)
	wantNoCanary(t, "a refusal", string(s.must(t, http.StatusBadRequest, http.MethodPost, "/api/v1/workflows/canary/runs", body).body))

	secret := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(secret, []byte(inputCanary+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"ROSTER_URL=" + s.url, "ROSTER_KEY=" + processKey, "ROSTER_DEBUG=api"}
	for _, args := range [][]string{
		{"workflow", "run", "canary", "--input", "userId=" + id, "--input", "url=" + site.URL + "/call", "--input", "token=@" + secret},
		{"workflow", "run", "canary", "--input", "userId=" + id, "--input", "url=" + site.URL + "/call", "--input", "token=@" + secret, "-o", "json"},
		{"run", "list", "-o", "json"}, {"run", "show", unsent.ID}, {"run", "show", failed.ID, "-o", "json"}, {"run", "watch", ok.ID},
	} {
		stdout, stderr := succeed(t, env, args...)
		wantNoCanary(t, strings.Join(args[:2], " "), stdout+stderr)
	}
	for n := len(mails.Received()); n > 0; n-- {
		m := <-mails.Received()
		parsed, err := m.Parse()
		if err != nil {
			t.Fatal(err)
		}
		all := fmt.Sprint(parsed.Header, parsed.Text, parsed.HTML)
		for _, a := range parsed.Attachments {
			all += a.Name + string(a.Content)
		}
		if !strings.Contains(all, "***") {
			t.Errorf("the mail has nothing hidden: %s", all)
		}
		wantNoCanary(t, "a mail", all+string(m.Data))
	}
	s.finish(t, syscall.SIGTERM, exitOK)
	database()
	wantNoCanary(t, "the log", s.log.String())
}
