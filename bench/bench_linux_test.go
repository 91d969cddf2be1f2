package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
)

// TestMain makes the test binary the bare server when bench starts it as that.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == bareCommand {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		if err := serveBare(ctx, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		return
	}
	os.Exit(m.Run())
}

// TestBench_Quick shows that the bench runs: every operation was answered, and
// none of the answers was a failure. Nothing about speed is asserted. The bench reads
// processor time and memory from /proc, which Linux alone has: hence the file's name.
func TestBench_Quick(t *testing.T) {
	o, err := parse([]string{"-quick", "-dir", t.TempDir()}, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	r, err := measure(t.Context(), o, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	databases := 1
	if o.postgres != "" {
		databases = 2
	}
	measured := 1 // POST
	for _, op := range operations {
		if op.users <= o.users[0] {
			measured++
		}
	}
	if got, want := len(r.rows), databases*measured; got != want {
		t.Errorf("got %d rows, want %d", got, want)
	}
	for _, row := range r.rows {
		for i, turn := range row.turns {
			if turn.operations == 0 || row.bare[i].operations == 0 {
				t.Errorf("%s, %s: nothing was answered", row.database, row.op.name)
			}
		}
		if row.rss <= 0 || row.peak < row.rss {
			t.Errorf("%s, %s: memory: got %d, at its highest %d", row.database, row.op.name, row.rss, row.peak)
		}
	}
	if got := len(r.restarts); got != databases {
		t.Errorf("got %d restarts, want %d", got, databases)
	}
	if got := len(r.drains); got != databases {
		t.Errorf("got %d databases whose events were worked off, want %d", got, databases)
	}
	var out strings.Builder
	if err := r.write(&out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "| 1000 | SQLite | PUT a user |") {
		t.Errorf("the table has no row of PUT:\n%s", out.String())
	}
}

func TestAppendUser_LengthIsFixed(t *testing.T) {
	t.Parallel()
	for _, number := range []int{0, 7, maxUsers} {
		got := string(appendUser([]byte("x"), number, 0xdeadbeef, 0xc0ffee00))
		if len(got) != 1+len(userTemplate) || strings.Contains(got, numberMark) || strings.Contains(got, changeMark) || strings.Contains(got, nameMark) {
			t.Errorf("user %d: %d bytes: %s", number, len(got), got)
		}
		want := fmt.Sprintf(`"userName":"user.%08d@bench.example"`, number)
		if !strings.Contains(got, want) || !strings.Contains(got, `"title":"Principal Engineer deadbeef"`) {
			t.Errorf("user %d: got %s, want in it %s", number, got, want)
		}
	}
}

func TestParseHead(t *testing.T) {
	t.Parallel()
	tests := []struct {
		head           string
		status, length int
		bad            bool
	}{
		{head: "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 12\r\n", status: 200, length: 12},
		{head: "HTTP/1.1 204 No Content\r\nA: b\r\n", status: 204},
		{head: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", bad: true},
		{head: "HTTP/1.1 200 OK\r\nContent-Length: x\r\n", bad: true},
		{head: "SSH-2.0\r\n", bad: true},
	}
	for _, tt := range tests {
		status, length, err := parseHead([]byte(tt.head))
		if (err != nil) != tt.bad || err == nil && (status != tt.status || length != tt.length) {
			t.Errorf("%q: got %d, %d, %v", tt.head, status, length, err)
		}
	}
}
