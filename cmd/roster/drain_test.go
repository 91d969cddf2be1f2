package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestServe_DrainsAtSIGTERM(t *testing.T) { t.Parallel(); drain(t, syscall.SIGTERM) }

func TestServe_DrainsAtSIGINT(t *testing.T) { t.Parallel(); drain(t, syscall.SIGINT) }

// drain ends a server in the middle of a request. What it has accepted it
// finishes, and nothing else comes in.
func drain(t *testing.T, sig syscall.Signal) {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data")
	// The idle connection is one whose header has not come yet: only the drain may end it.
	s := serve(t, nil, "--data", data, "--admin-listen", "127.0.0.1:0", "--header-timeout", "10m", "--read-timeout", "10m", "--drain-timeout", "10m")
	s.useDefault(t)
	id := s.must(t, http.StatusCreated, "POST", s.users(""), userBody("ada", "Engineer")).text("id")
	slow := s.begin(t, id, userBody("ada", "CTO"))
	idle := s.dial(t)
	// The server takes connections in their order: with this one it has that.
	if got := s.dial(t).ask(t, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"); got != http.StatusOK {
		t.Fatalf("/readyz before the end: %d", got)
	}

	s.signal(t, sig)
	// The server drains, and then closes what it listens on.
	address := strings.TrimPrefix(s.url, "http://")
	deadline := time.Now().Add(processPatience)
	for {
		c, err := net.Dial("tcp", address)
		if errors.Is(err, syscall.ECONNREFUSED) {
			break
		}
		if err == nil {
			_ = c.Close()
		}
		if time.Now().After(deadline) {
			t.Fatalf("connections are still taken: %v", err)
		}
	}
	if got := idle.ask(t, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"); got != http.StatusServiceUnavailable {
		t.Errorf("/readyz while it drains: %d", got)
	}
	s.log.await(t, s.ended, `msg="metrics and health"`)
	// A load balancer that asks the admin address hears it too.
	_, admin, _ := strings.Cut(s.log.String(), "address=")
	admin, _, _ = strings.Cut(admin, "\n")
	resp, err := http.Get("http://" + admin + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("/readyz on the admin address while it drains: %d", resp.StatusCode)
	}

	if got := slow.finish(t); got != http.StatusOK {
		t.Errorf("the request that was in flight: %d", got)
	}
	s.wantEnd(t, exitOK)
	if want := "ending: no new connections are taken"; !strings.Contains(s.log.String(), want) {
		t.Errorf("the log does not say %q: %s", want, s.log)
	}

	s = serve(t, nil, "--data", data)
	s.useDefault(t)
	if got := s.must(t, http.StatusOK, "GET", s.users(id), ""); got.text("title") != "CTO" || got.version() != 2 {
		t.Errorf("what was answered is not kept: %v", got)
	}
	s.finish(t, sig, exitOK)
}

func TestServe_CutsOffWhatOutlastsTheDrain(t *testing.T) {
	t.Parallel()
	s := serve(t, nil, "--data", t.TempDir(), "--drain-timeout", "50ms")
	s.useDefault(t)
	id := s.must(t, http.StatusCreated, "POST", s.users(""), userBody("ada", "Engineer")).text("id")
	slow := s.begin(t, id, userBody("ada", "CTO"))
	s.finish(t, syscall.SIGTERM, exitError)
	if want := "\nroster: requests were cut off after 50ms: see --drain-timeout\n"; !strings.HasSuffix(s.log.String(), want) {
		t.Errorf("stderr does not end with %q: %s", want, s.log)
	}
	if rest, _ := io.ReadAll(slow.r); len(rest) > 0 {
		t.Errorf("what was cut off got an answer: %s", rest)
	}
}

// A connection on which nothing was asked is no request that is cut off.
func TestServe_EndsWithAnOpenConnection(t *testing.T) {
	t.Parallel()
	s := serve(t, nil, "--data", t.TempDir(), "--drain-timeout", "50ms")
	silent := s.dial(t)
	if got := s.dial(t).ask(t, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"); got != http.StatusOK {
		t.Fatalf("/readyz before the end: %d", got)
	}
	s.finish(t, syscall.SIGTERM, exitOK)
	if rest, _ := io.ReadAll(silent.r); len(rest) > 0 {
		t.Errorf("nobody asked, and it said %s", rest)
	}
}

// Who signals twice does not want to wait.
func TestServe_SecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	s := serve(t, nil, "--data", t.TempDir(), "--drain-timeout", "1h")
	s.useDefault(t)
	id := s.must(t, http.StatusCreated, "POST", s.users(""), userBody("ada", "Engineer")).text("id")
	s.begin(t, id, userBody("ada", "CTO"))
	s.signal(t, syscall.SIGINT)
	s.log.await(t, s.ended, "ending: ")
	s.signal(t, syscall.SIGINT)
	s.awaitEnd(t)
	if got := s.cmd.ProcessState.Sys().(syscall.WaitStatus); !got.Signaled() || got.Signal() != syscall.SIGINT {
		t.Errorf("it ended with %v", s.err)
	}
}

// A wire is a connection to a server, of which a test says every byte.
type wire struct {
	net.Conn
	r    *bufio.Reader
	rest string // of a request, not sent yet
}

func (s *served) dial(t *testing.T) *wire {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(processPatience)) // a failure is seen when it is used
	return &wire{Conn: c, r: bufio.NewReader(c)}
}

// begin sends a PUT of a user up to the middle of its body, and waits until the
// server reads that.
func (s *served) begin(t *testing.T, id, body string) *wire {
	t.Helper()
	w := s.dial(t)
	_, err := fmt.Fprintf(w, "PUT %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: application/scim+json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", s.users(id), processKey, len(body))
	if err != nil {
		t.Fatal(err)
	}
	// It says so when a handler asks for the body.
	if got := w.answer(t); got != http.StatusContinue {
		t.Fatalf("the server does not wait for the body: %d", got)
	}
	half := len(body) / 2
	if _, err := io.WriteString(w, body[:half]); err != nil {
		t.Fatal(err)
	}
	w.rest = body[half:]
	return w
}

// finish sends the rest of a request and returns the status of the answer.
func (w *wire) finish(t *testing.T) int {
	t.Helper()
	return w.ask(t, w.rest)
}

func (w *wire) ask(t *testing.T, text string) int {
	t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	return w.answer(t)
}

func (w *wire) answer(t *testing.T) int {
	t.Helper()
	resp, err := http.ReadResponse(w.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode
}
