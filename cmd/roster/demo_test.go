package main

import (
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

func TestDemo_Once(t *testing.T) {
	t.Parallel()
	tmp := t.TempDir()
	// What is set for a server of one's own is not for the demo.
	stdout, stderr := succeed(t, []string{"TMPDIR=" + tmp, "ROSTER_BOOTSTRAP_KEY=demo-demo-demo-demo", "ROSTER_LISTEN=0.0.0.0:1", "ROSTER_RULE_SET=strict"}, "demo", "--once")
	if stderr != "" {
		t.Errorf("stderr: %s", stderr)
	}
	rest := stdout
	for _, want := range []string{ // in this order
		`(?m)^1\. A directory with three people, at http://127\.0\.0\.1:\d+$`,
		`(?m)^   [0-9a-f-]{36}  grace@corp\.example +Rear Admiral$`,
		`(?m)^   The plan, before anything is sent:$`,
		`(?m)^     ~ title: "Engineer" -> "CTO"$`,
		`(?m)^     - timezone: "Europe/London" -> \(cleared\)$`,
		`(?m)^   Done: \d+ added, \d+ replaced, \d+ cleared\. It is on disk, as version W/"2"\.$`,
		`(?m)^   409 uniqueness: .*GRACE@corp\.example.* Held by `,
		`(?m)^4\. Undo the update, which is event \d+\.`,
		`(?m)^     ~ title: "CTO" -> "Engineer"$`,
		`(?m)^     \+ timezone: "Europe/London"$`,
		`(?m)^   Done, as version 3: Ada is Engineer in Europe/London again\.$`,
		`(?m)^5\. Ada's history`,
		`(?m)^   version 3, patch at `,
		`(?m)^   version 2, replace at `,
		`(?m)^     ~ title: "Engineer" -> "CTO"$`,
		`(?m)^   version 1, create at `,
		`(?m)^     \+ userName: "ada@corp\.example"$`,
		`(?m)^6\. The workflow update-user-and-email, `,
		`(?m)^   step update +succeeded$`,
		`(?m)^   step tell +succeeded$`,
		`(?m)^   \| From:    "Roster" <roster@corp\.example>$`,
		`(?m)^   \| To:      <grace@corp\.example>$`,
		`(?m)^   \| Subject: Updated: ada@corp\.example$`,
		`(?m)^   \| Ada Lovelace \(ada@corp\.example\) was updated\.$`,
		`(?m)^   \|   title: Engineer -> CTO$`,
		`(?m)^   \| What was cleared:$`,
		`(?m)^   \|   timezone: it was Europe/London$`,
		`(?m)^   It has the same as HTML \(\d{4,} bytes\)\.$`,
		`(?m)^   Attached: result\.json \(application/json, \d{3,} bytes\)\.$`,
	} {
		at := regexp.MustCompile(want).FindStringIndex(rest)
		if at == nil {
			t.Fatalf("no %s in the story, or not in its place:\n%s", want, stdout)
		}
		rest = rest[at[1]:]
	}
	for line := range strings.Lines(stdout) {
		if strings.HasPrefix(line, "   |") && len(line) > 80 {
			t.Errorf("a line of the mail is too long for a terminal: %s", line)
		}
	}
	if strings.Contains(stdout, "Ctrl-C") || strings.Contains(stdout, "rk_") {
		t.Errorf("it tells of a server that has ended:\n%s", stdout)
	}
	if got := folderOf(t, tmp); len(got) > 0 {
		t.Errorf("it left behind %v", got)
	}
}

func TestDemo_ServesUntilASignal(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		tmp := t.TempDir()
		d := launch(t, []string{"TMPDIR=" + tmp}, "demo")
		d.stdout.await(t, d.ended, "  roster run show ")
		m := regexp.MustCompile(`export ROSTER_URL=(\S+) ROSTER_KEY=(rk_\S+)\n`).FindStringSubmatch(d.stdout.String())
		if m == nil {
			t.Fatalf("it does not say how to reach it: %s", d.stdout)
		}
		if stdout, _ := succeed(t, []string{"ROSTER_URL=" + m[1], "ROSTER_KEY=" + m[2]}, "user", "list"); !strings.Contains(stdout, " grace@corp.example ") {
			t.Errorf("what it tells to try does not work: %s", stdout)
		}
		run := regexp.MustCompile(`(?m)^  roster (run) (show) (\S+)$`).FindStringSubmatch(d.stdout.String())
		if run == nil {
			t.Fatalf("it does not say how to see the run: %s", d.stdout)
		}
		if stdout, _ := succeed(t, []string{"ROSTER_URL=" + m[1], "ROSTER_KEY=" + m[2]}, run[1:]...); !strings.Contains(stdout, "succeeded") {
			t.Errorf("the run that it tells of has not succeeded: %s", stdout)
		}
		d.signal(t, sig)
		d.awaitEnd(t)
		if d.err != nil || d.log.String() != "" {
			t.Errorf("%v: it ended with %v: %s", sig, d.err, d.log)
		}
		if got := folderOf(t, tmp); len(got) > 0 {
			t.Errorf("%v: it left behind %v", sig, got)
		}
	}
}

// A signal in the middle of the story is one too.
func TestDemo_SignalDuringTheStory(t *testing.T) {
	t.Parallel()
	tmp := t.TempDir()
	d := launch(t, []string{"TMPDIR=" + tmp}, "demo")
	d.stdout.await(t, d.ended, "1. A directory")
	d.signal(t, syscall.SIGINT)
	d.awaitEnd(t)
	if d.err != nil {
		t.Errorf("it ended with %v: %s", d.err, d.log)
	}
	if entries, err := os.ReadDir(tmp); err != nil || len(entries) > 0 {
		t.Errorf("it left behind %v, %v", entries, err)
	}
}
