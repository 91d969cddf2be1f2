package main

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// Who follows sees each event once, through a restart of the server, and ends
// well at Ctrl-C.
func TestEventsTail_FollowsThroughARestart(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	// It listens on the same port twice, which nobody else may take in between: where
	// this machine has more addresses than 127.0.0.1, the other tests use none of them.
	env := []string{"ROSTER_LISTEN=127.0.0.1:0"}
	if runtime.GOOS == "linux" {
		env = []string{"ROSTER_LISTEN=127.0.0.2:0"}
	}
	s := serve(t, env, "--data", data, "--rule-set", "standard")
	s.useDefault(t)
	for i := range 3 {
		s.must(t, http.StatusCreated, "POST", s.users(""), userBody(fmt.Sprint("u", i), "x"))
	}
	env = []string{"ROSTER_URL=" + s.url, "ROSTER_KEY=" + processKey}
	tail := launch(t, env, "events", "tail", "--follow", "--limit", "2")
	tail.stdout.await(t, tail.ended, "(u2)")
	s.must(t, http.StatusCreated, "POST", s.users(""), userBody("u3", "x"))
	tail.stdout.await(t, tail.ended, "(u3)")

	// The end of the server does not wait for who waits.
	s.signal(t, syscall.SIGTERM)
	s.wantEnd(t, exitOK)
	tail.log.await(t, tail.ended, "The service is away; this goes on after event 4 when it is back.\n")
	again := serve(t, []string{"ROSTER_LISTEN=" + strings.TrimPrefix(s.url, "http://")}, "--data", data)
	again.useDefault(t)
	for i := range 3 {
		again.must(t, http.StatusCreated, "POST", again.users(""), userBody(fmt.Sprint("u", i+4), "x"))
		tail.stdout.await(t, tail.ended, fmt.Sprintf("(u%d)", i+4))
	}
	tail.signal(t, syscall.SIGINT)
	tail.awaitEnd(t)
	if tail.err != nil {
		t.Errorf("it ended with %v: %s", tail.err, tail.log)
	}
	var got []string
	for line := range strings.Lines(tail.stdout.String()) {
		_, name, _ := strings.Cut(line, "(")
		name, _, _ = strings.Cut(name, ")")
		got = append(got, name)
	}
	if got, want := strings.Join(got, " "), "u1 u2 u3 u4 u5 u6"; got != want {
		t.Errorf("got the events of %s, want of %s", got, want)
	}
	again.finish(t, syscall.SIGTERM, exitOK)
}

// A key that is refused ends it: to wait would not help.
func TestEventsTail_EndsWhenItIsRefused(t *testing.T) {
	t.Parallel()
	s := serve(t, nil, "--data", t.TempDir())
	env := []string{"ROSTER_URL=" + s.url, "ROSTER_KEY=nope"}
	s.useDefault(t)
	for _, args := range [][]string{{"--directory", s.directory}, {"--directory", s.directory, "--after", "0"}} {
		code, stdout, stderr := rosterCommand(t, env, append([]string{"events", "tail", "--follow"}, args...)...)
		if code != exitAuth || stdout != "" || !strings.Contains(stderr, "(401)") {
			t.Errorf("%q: exit code %d, %q, %q, want %d and a 401", args, code, stdout, stderr, exitAuth)
		}
	}
}
