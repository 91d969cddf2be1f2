package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// A SIGKILL keeps what the kernel has in memory, so the crash test would pass on
// a server that never syncs. This one looks at the system calls: between the
// arrival of a PUT and its 200 the log of the database is written and then
// synced.
func TestSync_BeforeTheAnswer(t *testing.T) {
	t.Parallel()
	strace, err := exec.LookPath("strace")
	if err != nil {
		const missing = "strace is not installed: without it nothing shows that writes are synced before they are answered (scripts/need-strace.sh installs it where it may)"
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	dir := t.TempDir()
	trace := filepath.Join(dir, "trace")
	// With -D the server, and not strace, is the child of this process.
	p := startProcess(t, []string{strace, "-D", "-f", "-y", "-s", "32", "-o", trace,
		"-e", "trace=read,write,pwrite64,fsync,fdatasync"}, "--data", filepath.Join(dir, "data"))
	const alone, together = 10, 32
	var ids []string
	for i := range together {
		a, err := p.call(t.Context(), http.MethodPost, p.users(""), crashBody(fmt.Sprintf("sync%d@corp.example", i), "first"+fmt.Sprint(i)))
		if err != nil || a.status != http.StatusCreated {
			t.Fatalf("POST: %v: %v", a, err)
		}
		ids = append(ids, a.text("id"))
	}
	put := func(i int, token string) {
		a, err := p.call(t.Context(), http.MethodPut, p.users(ids[i]), crashBody(fmt.Sprintf("sync%d@corp.example", i), token))
		if err != nil || a.status != http.StatusOK {
			t.Errorf("PUT: %v: %v", a, err)
		}
	}
	for i := range alone {
		put(i, fmt.Sprintf("alone%d", i))
	}
	var wg sync.WaitGroup
	for i := range together {
		wg.Go(func() { put(i, fmt.Sprintf("together%d", i)) })
	}
	wg.Wait()
	p.stop(t) // which waits for strace too: it has the server's stderr

	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	calls := parseTrace(string(text))
	answers, syncs := 0, 0
	for i, c := range calls {
		if c.syncs() {
			syncs++
		}
		// net/http waits with a read of one byte for the next request, or the end
		// of the connection, while it answers the one before.
		if c.name != "read" || !strings.HasPrefix(c.rest, `"PUT /`) && !strings.HasPrefix(c.rest, `"UT /`) {
			continue
		}
		for _, answer := range calls[i+1:] {
			if answer.name != "write" || answer.file != c.file || answer.begin < c.end {
				continue
			}
			if !strings.HasPrefix(answer.rest, `"HTTP/1.1 200 `) {
				t.Errorf("line %d: expected a 200: %s", answer.begin, answer.rest)
			}
			if !syncedBetween(calls, c.end, answer.begin) {
				t.Errorf("the PUT that arrived in line %d was answered in line %d, and the log was not written and synced between them", c.end, answer.begin)
			}
			answers++
			break
		}
	}
	if want := alone + together; answers != want {
		t.Errorf("found %d PUTs with their answers in %d system calls, want %d", answers, len(calls), want)
	}
	t.Logf("%d PUTs and %d POSTs, %d syncs", answers, together, syncs)
	if t.Failed() {
		t.Logf("the end of the trace:\n%s", text[max(0, len(text)-20_000):])
	}
}

// A systemCall is one line of a trace, or two: strace splits a call during which
// another thread makes one.
type systemCall struct {
	begin, end int // lines
	name       string
	file       string // the descriptor with what it is
	rest       string // the arguments after it, and the result
}

var (
	callBegin  = regexp.MustCompile(`^(\d+) +(\w+)\((\d+<[^>]*>)(?:, *)?(.*)$`)
	callResume = regexp.MustCompile(`^(\d+) +<\.\.\. \w+ resumed> ?(.*)$`)
)

const unfinished = "<unfinished ...>"

// parseTrace returns the calls in the order of their beginnings. One that never
// ended is left out.
func parseTrace(text string) []*systemCall {
	var calls []*systemCall
	pending := make(map[string]*systemCall) // by thread
	for i, line := range strings.Split(text, "\n") {
		if m := callBegin.FindStringSubmatch(line); m != nil {
			c := &systemCall{begin: i + 1, end: i + 1, name: m[2], file: m[3], rest: m[4]}
			calls = append(calls, c)
			if rest, ok := strings.CutSuffix(c.rest, unfinished); ok {
				c.rest, c.end = strings.TrimSpace(rest), 0
				pending[m[1]] = c
			}
		} else if m := callResume.FindStringSubmatch(line); m != nil && pending[m[1]] != nil {
			c := pending[m[1]]
			c.rest, c.end = c.rest+m[2], i+1
			delete(pending, m[1])
		}
	}
	ended := calls[:0]
	for _, c := range calls {
		if c.end > 0 {
			ended = append(ended, c)
		}
	}
	return ended
}

func (c *systemCall) ofLog() bool { return strings.HasSuffix(c.file, "-wal>") }

func (c *systemCall) syncs() bool {
	return (c.name == "fdatasync" || c.name == "fsync") && c.ofLog() && strings.HasSuffix(c.rest, "= 0")
}

// syncedBetween reports whether after the line from the log was written, then
// synced, and the sync had ended before the line to.
func syncedBetween(calls []*systemCall, from, to int) bool {
	written := 0 // the line in which the first write ended
	for _, c := range calls {
		switch {
		case c.begin <= from:
		case written == 0 && c.ofLog() && (c.name == "write" || c.name == "pwrite64"):
			written = c.end
		case written > 0 && c.syncs() && c.begin > written && c.end < to:
			return true
		}
	}
	return false
}
