package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A served is a process whose streams can be read while it runs.
type served struct {
	*process
	stdout, log *transcript
}

// serve starts roster serve with these flags, on a free port unless they say
// otherwise, and waits until it is ready. Its first operator key is processKey
// unless env has another.
func serve(t *testing.T, env []string, flags ...string) *served {
	t.Helper()
	s := launch(t, append([]string{"ROSTER_LISTEN=127.0.0.1:0", "ROSTER_BOOTSTRAP_KEY=" + processKey}, env...),
		append([]string{"serve"}, flags...)...)
	s.stdout.await(t, s.ended, "\n")
	s.url = strings.TrimSuffix(strings.TrimPrefix(s.stdout.String(), "listening on "), "\n")
	return s
}

// launch starts roster with these arguments, and with no settings but env.
func launch(t *testing.T, env []string, args ...string) *served {
	t.Helper()
	cmd := command(t, context.Background(), env, args...)
	s := &served{
		process: &process{cmd: cmd, ended: make(chan struct{}), client: &http.Client{Transport: &http.Transport{}, Timeout: processPatience}},
		stdout:  newTranscript(), log: newTranscript(),
	}
	cmd.Stdout = s.stdout
	cmd.Stderr = io.MultiWriter(s.log, &s.stderr)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	go func() {
		s.err = cmd.Wait()
		close(s.ended)
	}()
	return s
}

// rosterCommand runs a command of the binary to its end.
func rosterCommand(t *testing.T, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), processPatience)
	defer cancel()
	cmd := command(t, ctx, env, args...)
	var out, msg bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &msg
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("roster %q: %v: %s", args, err, msg.String())
	}
	return cmd.ProcessState.ExitCode(), out.String(), msg.String()
}

// succeed is rosterCommand for one that must.
func succeed(t *testing.T, env []string, args ...string) (stdout, stderr string) {
	t.Helper()
	code, stdout, stderr := rosterCommand(t, env, args...)
	if code != exitOK {
		t.Fatalf("roster %q: exit code %d: %s%s", args, code, stdout, stderr)
	}
	return stdout, stderr
}

// refuse is rosterCommand for one that must fail with that code, and on stderr
// in one line that contains want, beside the log and what to try.
func refuse(t *testing.T, env []string, code int, want string, args ...string) {
	t.Helper()
	got, stdout, stderr := rosterCommand(t, env, args...)
	var lines []string
	for line := range strings.Lines(stderr) {
		if !strings.HasPrefix(line, "  try: ") && !strings.HasPrefix(line, "time=") {
			lines = append(lines, line)
		}
	}
	if got != code || stdout != "" || len(lines) != 1 || !strings.HasPrefix(lines[0], "roster: ") || !strings.Contains(lines[0], want) {
		t.Errorf("roster %q:\ngot  exit code %d, %q, %q\nwant exit code %d and one line with %q", args, got, stdout, stderr, code, want)
	}
}

func command(t *testing.T, ctx context.Context, env []string, args ...string) *exec.Cmd {
	t.Helper()
	binary, err := rosterBinary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, binary, args...)
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "ROSTER_") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	cmd.Env = append(append(cmd.Env, "XDG_CONFIG_HOME="+t.TempDir()), env...) // of two the last counts
	return cmd
}

// finish sends a signal and wants that end, with one line on stdout.
func (s *served) finish(t *testing.T, sig syscall.Signal, code int) {
	t.Helper()
	s.signal(t, sig)
	s.wantEnd(t, code)
}

func (s *served) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	s.client.CloseIdleConnections()
}

// awaitEnd waits until the process has ended.
func (s *served) awaitEnd(t *testing.T) {
	t.Helper()
	select {
	case <-s.ended:
	case <-time.After(processPatience):
		t.Fatalf("roster did not end: %s", s.log)
	}
}

func (s *served) wantEnd(t *testing.T, code int) {
	t.Helper()
	s.awaitEnd(t)
	if got := s.cmd.ProcessState.ExitCode(); got != code {
		t.Errorf("got exit code %d, want %d: %s", got, code, s.log)
	}
	if got, want := s.stdout.String(), "listening on "+s.url+"\n"; got != want {
		t.Errorf("stdout: got %q, want %q", got, want)
	}
}

// status returns the status of a GET with that key, and no error.
func (s *served) status(t *testing.T, key, path string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// must makes a request that must be answered with that status.
func (s *served) must(t *testing.T, status int, method, path, body string) *httpAnswer {
	t.Helper()
	a, err := s.call(t.Context(), method, path, body)
	if err != nil || a.status != status {
		t.Fatalf("%s %s: got %v, %v, want %d", method, path, a, err, status)
	}
	return a
}

// useDefault makes the default directory the one that users, events and list
// are about.
func (s *served) useDefault(t *testing.T) { s.directory = s.defaultDirectory(t) }

// A transcript is what a process has written, for those who wait for it.
type transcript struct {
	mu   sync.Mutex
	text []byte
	more chan struct{}
}

func newTranscript() *transcript { return &transcript{more: make(chan struct{})} }

func (w *transcript) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, b...)
	close(w.more)
	w.more = make(chan struct{})
	return len(b), nil
}

func (w *transcript) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.text)
}

// await waits until the process has written that, and fails when it ends without.
func (w *transcript) await(t *testing.T, ended <-chan struct{}, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), processPatience)
	defer cancel()
	for over := false; ; {
		w.mu.Lock()
		text, more := string(w.text), w.more
		w.mu.Unlock()
		if strings.Contains(text, want) {
			return
		}
		if over || ctx.Err() != nil {
			t.Fatalf("the process did not write %q, but %q", want, text)
		}
		select {
		case <-more:
		case <-ended:
			over = true // once more, for what it wrote last
		case <-ctx.Done():
		}
	}
}

// userBody returns a user with a title.
func userBody(userName, title string) string {
	return fmt.Sprintf(`{"userName":%[1]q,"title":%[2]q,"emails":[{"value":"%[1]s@corp.example","primary":true}]}`, userName, title)
}
