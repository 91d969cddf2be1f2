package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/mail/sink"
)

// sinkEnv makes of the test binary a mail server, see mailServer.
const sinkEnv = "ROSTER_TEST_SINK"

// runSink is a sink that wants the login user:password.
func runSink() error {
	return sink.Run(sink.Options{User: "user", Password: "password"}, os.Stdin, os.Stdout)
}

// A mailServer is an SMTP server as a process of its own.
type mailServer struct {
	t     *testing.T
	addr  string
	mails chan *sink.Message
}

func startMailServer(t *testing.T) *mailServer {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), sinkEnv+"=1")
	cmd.Stderr = t.Output()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stdout)
	s := &mailServer{t: t, mails: make(chan *sink.Message, 1000)}
	hangs := time.AfterFunc(processPatience, func() { _ = cmd.Process.Kill() })
	defer hangs.Stop()
	if _, err := fmt.Fscanln(lines, &s.addr); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				return
			}
			m := new(sink.Message)
			if err := json.Unmarshal(line, m); err != nil {
				t.Errorf("the mail server said %s", line)
				return
			}
			s.mails <- m
		}
	}()
	t.Cleanup(func() {
		_ = stdin.Close()
		hangs := time.AfterFunc(processPatience, func() { _ = cmd.Process.Kill() })
		defer hangs.Stop()
		<-ended
		if err := cmd.Wait(); err != nil {
			t.Errorf("the mail server: %v", err)
		}
	})
	return s
}

// next returns the next mail, taken apart.
func (s *mailServer) next() (*sink.Message, *sink.Mail) {
	s.t.Helper()
	select {
	case m := <-s.mails:
		parsed, err := m.Parse()
		if err != nil {
			s.t.Fatalf("%v:\n%s", err, m.Data)
		}
		return m, parsed
	case <-time.After(processPatience):
		s.t.Fatal("no mail came")
		return nil, nil
	}
}

// keyFile makes a file of keys.
func keyFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret.key")
	succeed(t, nil, "secret-key", "create", path)
	return path
}

// deploy deploys a workflow, or the next version of it.
func (s *served) deploy(t *testing.T, name, source string) {
	t.Helper()
	body, err := json.Marshal(map[string]string{"source": source})
	if err != nil {
		t.Fatal(err)
	}
	if a, err := s.call(t.Context(), http.MethodPut, "/api/v1/workflows/"+name, string(body)); err != nil || a.status/100 != 2 {
		t.Fatalf("deploy %s: %v, %v", name, a, err)
	}
}

// start starts a run, waits for it as long as query says, and wants that status.
func (s *served) start(t *testing.T, status int, name, query string, inputs map[string]any) *roster.Run {
	t.Helper()
	body, err := json.Marshal(map[string]any{"inputs": inputs})
	if err != nil {
		t.Fatal(err)
	}
	return decodeRun(t, s.must(t, status, http.MethodPost, "/api/v1/workflows/"+name+"/runs"+query, string(body)))
}

func decodeRun(t *testing.T, a *httpAnswer) *roster.Run {
	t.Helper()
	run := new(roster.Run)
	if err := json.Unmarshal(a.body, run); err != nil {
		t.Fatalf("%v: %v", err, a)
	}
	return run
}

// follow returns a run as soon as until holds of it, which must be before it ends.
// The server tells what changes after it was asked, so what came before that is
// seen a second later.
func (s *served) follow(t *testing.T, id string, until func(*roster.Run) bool) *roster.Run {
	t.Helper()
	deadline := time.Now().Add(processPatience)
	for query := ""; ; query = "?wait=1" {
		run := decodeRun(t, s.must(t, http.StatusOK, http.MethodGet, "/api/v1/runs/"+id+query, ""))
		if until(run) {
			return run
		}
		if !run.Finished.IsZero() {
			t.Fatalf("run %s has ended: %s, %+v", id, run.Status, run.Error)
		}
		if time.Now().After(deadline) {
			t.Fatalf("run %s gets no further: %s, %+v: %s", id, run.Status, run.Steps, s.log)
		}
	}
}

// await returns a run that has ended with that status.
func (s *served) await(t *testing.T, id string, status roster.RunStatus) *roster.Run {
	t.Helper()
	run := s.follow(t, id, func(r *roster.Run) bool { return !r.Finished.IsZero() })
	if run.Status != status {
		t.Errorf("run %s: got %s, %+v, want %s", id, run.Status, run.Error, status)
	}
	return run
}
