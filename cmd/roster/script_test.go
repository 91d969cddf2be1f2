package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/roster-scim/roster/internal/mail/sink"
)

// TestScripts runs testdata/script: roster as people type it, against a server
// of its own for each script. Beside the commands of testscript there are
//
//	server [FLAG…]           starts roster serve, and sets ROSTER_URL and ROSTER_KEY
//	code N PROGRAM [ARG…]    runs a program that must end with the exit code N
//	until TEXT PROGRAM [ARG…] runs a program again and again until its stdout matches a regular expression
//	set VAR MEMBER           sets VAR to a member of the JSON object on stdout
//	line VAR                 sets VAR to the one line on stdout
//	sink VAR [USER PASSWORD] starts a mail server, with a login or without, and sets VAR to its address
//	received TEXT…           the next mail that the sink took has these texts in it
//	site VAR KIND            starts something that is no Roster, and sets VAR to its URL, see sites
//	asked                    waits for the first request of the site of kind late that was started last
func TestScripts(t *testing.T) {
	t.Parallel()
	binary, err := rosterBinary()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home")) // connections and runs are of one script
			env.Values["sink"] = new(*sink.Sink)
			env.Values["asked"] = new(chan struct{})
			env.Setenv("PATH", filepath.Dir(binary)+string(os.PathListSeparator)+env.Getenv("PATH"))
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"server":   scriptServer,
			"code":     scriptCode,
			"until":    scriptUntil,
			"set":      scriptSet,
			"line":     scriptLine,
			"site":     scriptSite,
			"asked":    scriptAsked,
			"sink":     scriptSink,
			"received": scriptReceived,
		},
	})
}

// scriptKey is the operator key of the scripts' servers.
const scriptKey = "script-script-script"

func scriptServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("server cannot be negated")
	}
	path, err := rosterBinary()
	ts.Check(err)
	cmd := exec.Command(path, append([]string{"serve", "--data", ts.MkAbs("data"), "--listen", "127.0.0.1:0"}, args...)...)
	cmd.Env = []string{"ROSTER_BOOTSTRAP_KEY=" + scriptKey, "HOME=" + ts.Getenv("HOME"), "PATH=" + ts.Getenv("PATH")}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	hangs := time.AfterFunc(processPatience, func() { _ = cmd.Process.Kill() })
	defer hangs.Stop()
	line, _ := bufio.NewReader(stdout).ReadString('\n') // an end without it is said below
	ts.Defer(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // when it has ended already there is nothing to do
		hangs := time.AfterFunc(processPatience, func() { _ = cmd.Process.Kill() })
		defer hangs.Stop()
		if err := cmd.Wait(); err != nil {
			ts.Logf("roster serve ended with %v: %s", err, stderr.String())
		}
	})
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if !ok {
		_ = cmd.Process.Kill()
		ts.Fatalf("roster serve did not start: %q", line)
	}
	ts.Setenv("ROSTER_URL", url)
	ts.Setenv("ROSTER_KEY", scriptKey)
}

// sites are services that a connection may lead to by mistake, or that are only
// nearly a SCIM service.
var sites = map[string]func(asked func()) *httptest.Server{
	"page": func(func()) *httptest.Server {
		return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, "<html><title>Sign in</title>")
		}))
	},
	"redirect": func(func()) *httptest.Server {
		return httptest.NewServer(http.RedirectHandler("https://users.corp.example/elsewhere", http.StatusFound))
	},
	"json": func(func()) *httptest.Server {
		return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"ok":true}`)
		}))
	},
	"tls": func(func()) *httptest.Server {
		s := httptest.NewUnstartedServer(http.NotFoundHandler())
		s.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of clients that do not trust it
		s.StartTLS()
		return s
	},
	// A user that somebody else changes all the time, without versions.
	"restless": func(func()) *httptest.Server {
		var reads atomic.Int64
		return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, `{"id":"u1","userName":"ada","title":"T%d"}`, reads.Add(1))
		}))
	},
	// The first request has no answer, the others do.
	"late": func(asked func()) *httptest.Server {
		var seen atomic.Bool
		return httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if !seen.Swap(true) {
				asked()
				<-r.Context().Done()
			}
		}))
	},
	// A service that answers a PUT and keeps what it had.
	"stubborn": func(func()) *httptest.Server {
		return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/scim+json")
			fmt.Fprint(w, `{"id":"u1","userName":"ada","title":"Engineer","urn:example:Badge":{"number":"7"}}`)
		}))
	},
}

func scriptSite(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 || sites[args[1]] == nil {
		ts.Fatalf("usage: site VAR KIND")
	}
	asked := make(chan struct{})
	s := sites[args[1]](func() { close(asked) })
	ts.Defer(s.Close)
	*(ts.Value("asked").(*chan struct{})) = asked
	ts.Setenv(args[0], s.URL)
}

func scriptAsked(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: asked")
	}
	select {
	case <-*(ts.Value("asked").(*chan struct{})):
	case <-time.After(processPatience):
		ts.Fatalf("nobody asked")
	}
}

func scriptSink(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 && len(args) != 3 {
		ts.Fatalf("usage: sink VAR [USER PASSWORD]")
	}
	var o sink.Options
	if len(args) == 3 {
		o.User, o.Password = args[1], args[2]
	}
	s, err := sink.Start(o)
	ts.Check(err)
	ts.Defer(func() { ts.Check(s.Close()) })
	ts.Setenv(args[0], s.Addr())
	*(ts.Value("sink").(**sink.Sink)) = s
}

func scriptReceived(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: received TEXT…")
	}
	select {
	case m := <-(*ts.Value("sink").(**sink.Sink)).Received():
		parsed, err := m.Parse()
		ts.Check(err)
		all := string(m.Data) + parsed.Text + parsed.HTML
		for _, want := range args {
			if !strings.Contains(all, want) {
				ts.Fatalf("no %q in the mail:\n%s", want, m.Data)
			}
		}
	case <-time.After(processPatience):
		ts.Fatalf("no mail came")
	}
}

func scriptCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N PROGRAM [ARG…]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	switch err := ts.Exec(args[1], args[2:]...); {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	default:
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("got exit code %d, want %d", got, want)
	}
}

func scriptUntil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until TEXT PROGRAM [ARG…]")
	}
	want, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	for deadline := time.Now().Add(processPatience); ; {
		ts.Check(ts.Exec(args[1], args[2:]...))
		if want.MatchString(ts.ReadFile("stdout")) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("no match for %q in stdout", args[0])
		}
	}
}

func scriptSet(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: set VAR MEMBER")
	}
	var doc map[string]jsontext.Value
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &doc))
	v, ok := doc[args[1]]
	if !ok {
		ts.Fatalf("no member %s on stdout", args[1])
	}
	ts.Setenv(args[0], plain(v))
}

func scriptLine(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: line VAR")
	}
	text := strings.TrimSuffix(ts.ReadFile("stdout"), "\n")
	if text == "" || strings.Contains(text, "\n") {
		ts.Fatalf("stdout is not one line: %q", text)
	}
	ts.Setenv(args[0], text)
}
