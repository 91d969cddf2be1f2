package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/roster-scim/roster/internal/apply"
	"github.com/roster-scim/roster/internal/pgtest"
)

// applyRows is how many rows TestApply_Killed has.
const applyRows = 1000

// applyKills is at which lines of progress it kills roster apply: after the first
// tenth, and in the next process after five.
var applyKills = []int{1, 5}

func TestApplyKilled_SQLite(t *testing.T) {
	t.Parallel()
	applyKilled(t, "sqlite:"+filepath.Join(t.TempDir(), "roster.db"))
}

func TestApplyKilled_Postgres(t *testing.T) {
	t.Parallel()
	applyKilled(t, pgtest.DSN(t))
}

// applyKilled applies a file to a service that misbehaves, is killed twice, and
// goes on: everybody is as the file says, and was written once. Then the run is
// undone.
func applyKilled(t *testing.T, db string) {
	t.Helper()
	// Half of the people are there before, from a quiet run.
	p := startProcess(t, nil, "--db", db)
	a := &applier{t: t, p: p, dir: t.TempDir()}
	a.write("first.csv", applyRows/2, "Engineer")
	a.run(exitOK, "apply", "first.csv", "--yes")
	before := a.run(exitOK, "export", "--format", "ndjson")
	p.stop(t)

	a.p = startProcess(t, nil, "--db", db, "--chaos", "status=429:5%,status=503:2%,drop-before=1%,drop-after=1%,retry-after=1s,seed=7")
	a.write("second.csv", applyRows, "CTO")
	for _, lines := range applyKills {
		a.kill(lines, "apply", "second.csv", "--yes")
	}
	out := a.run(exitOK, "apply", "second.csv", "--yes", "-o", "json")
	var done struct {
		Run          string
		Done, Failed int
	}
	if err := json.Unmarshal([]byte(out), &done, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatal(err)
	}
	if done.Done != applyRows || done.Failed != 0 {
		t.Errorf("got %d done, %d failed, want %d and 0", done.Done, done.Failed, applyRows)
	}
	a.everybody("CTO")
	a.run(exitOK, "apply", "second.csv", "--yes") // there is nothing left
	a.everybody("CTO")

	a.kill(applyKills[0], "undo", done.Run, "--yes")
	a.run(exitOK, "undo", done.Run, "--yes")
	if after := a.run(exitOK, "export", "--format", "ndjson"); after != before {
		t.Errorf("after the undo there are %d people, want those %d of before", strings.Count(after, "\n"), strings.Count(before, "\n"))
	}
	for _, e := range a.events() {
		if want := int64(3); e.Version > want {
			t.Errorf("%s %s: got version %d, want at most %d", e.Operation, e.Resource, e.Version, want)
		}
	}
	folders, err := filepath.Glob(filepath.Join(a.dir, "state", "runs", "*", "*"))
	if err != nil || len(folders) == 0 {
		t.Fatalf("no runs: %v", err)
	}
	for _, name := range folders {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: got %v, %v, want mode 0600", name, info.Mode(), err)
		}
	}
}

// applyPatience bounds how long one command may take, with what it has to wait
// for where the service misbehaves.
const applyPatience = 5 * time.Minute

// TestApply_Interrupted ends roster apply with Ctrl-C: it finishes what is under
// way, says how to go on, and goes on.
func TestApply_Interrupted(t *testing.T) {
	t.Parallel()
	a := &applier{t: t, p: startProcess(t, nil, "--data", t.TempDir()), dir: t.TempDir()}
	a.write("people.csv", applyRows, "CTO")
	// So slow that the signal comes long before the end, wherever the test stands still.
	cmd, stderr := a.start(applyKills[0], "apply", "people.csv", "--yes", "--rate", "100")
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	said := ""
	for stderr.Scan() {
		said += stderr.Text() + "\n"
	}
	_ = cmd.Wait() // its end is told by the code
	if got := cmd.ProcessState.ExitCode(); got != exitInterrupted {
		t.Errorf("got exit code %d, want %d: %s", got, exitInterrupted, said)
	}
	_, run, ok := strings.Cut(said, "The rest: roster apply --resume ")
	if !ok {
		t.Fatalf("got %q, want how to go on", said)
	}
	run, _, _ = strings.Cut(run, "\n")
	if got, want := a.run(exitOK, "apply", "--resume", run), "Done: 1,000 of 1,000 people, 0 failed.\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := len(a.events()); got != applyRows {
		t.Errorf("got %d events, want %d", got, applyRows)
	}
}

// An applier runs roster as a person does, with a folder of its own.
type applier struct {
	t   *testing.T
	p   *process
	dir string
}

// write writes a file of rows.
func (a *applier) write(name string, rows int, title string) {
	a.t.Helper()
	var b bytes.Buffer
	fmt.Fprintln(&b, "userName,email,title")
	for i := range rows {
		fmt.Fprintf(&b, "p%d@corp.example,p%d@corp.example,%s\n", i, i, title)
	}
	if err := os.WriteFile(filepath.Join(a.dir, name), b.Bytes(), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func (a *applier) command(args ...string) *exec.Cmd {
	a.t.Helper()
	binary, err := rosterBinary()
	if err != nil {
		a.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(a.t.Context(), applyPatience)
	a.t.Cleanup(cancel)
	// The address of the server is another one each time: runs know it.
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir = a.dir
	cmd.Env = []string{
		"ROSTER_URL=" + a.p.url, "ROSTER_KEY=" + processKey, "ROSTER_DIRECTORY=" + a.p.directory,
		"ROSTER_STATE_DIR=" + filepath.Join(a.dir, "state"), "HOME=" + a.dir,
	}
	return cmd
}

// run runs roster to its end and returns what it printed.
func (a *applier) run(code int, args ...string) string {
	a.t.Helper()
	cmd := a.command(args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run() // its end is told by the code
	if got := cmd.ProcessState.ExitCode(); got != code {
		a.t.Fatalf("roster %s: got exit code %d, want %d: %s", strings.Join(args, " "), got, code, stderr.String())
	}
	return stdout.String()
}

// start runs roster until it has printed some lines of progress.
func (a *applier) start(lines int, args ...string) (*exec.Cmd, *bufio.Scanner) {
	a.t.Helper()
	cmd := a.command(args...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		a.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	in := bufio.NewScanner(stderr)
	for in.Scan() {
		if strings.Contains(in.Text(), " failed, ") {
			lines--
		}
		if lines == 0 {
			break
		}
	}
	return cmd, in
}

// kill runs roster and kills it after some lines of progress.
func (a *applier) kill(lines int, args ...string) {
	a.t.Helper()
	cmd, _ := a.start(lines, args...)
	if err := cmd.Process.Kill(); err != nil {
		a.t.Fatalf("roster %s ended before it could be killed: %v", strings.Join(args, " "), err)
	}
	if err := cmd.Wait(); err == nil {
		a.t.Fatalf("roster %s ended by itself", strings.Join(args, " "))
	}
}

func (a *applier) events() (all []crashEvent) {
	a.t.Helper()
	for after := int64(0); ; {
		page := a.p.events(a.t, fmt.Sprintf("/events?limit=1000&after=%d", after))
		if len(page) == 0 {
			return all
		}
		all = append(all, page...)
		after = page[len(page)-1].Seq
	}
}

// everybody wants each row's person once, with the title, written once by each of
// the runs that changed them.
func (a *applier) everybody(title string) {
	a.t.Helper()
	people := 0
	for line := range strings.Lines(a.run(exitOK, "export", "--format", "ndjson", "--attributes", "userName,title")) {
		var u struct {
			UserName string `json:"userName"`
			Title    string `json:"title"`
		}
		if err := json.Unmarshal([]byte(line), &u); err != nil || u.Title != title {
			a.t.Errorf("%v: got %s, want the title %s", err, line, title)
		}
		people++
	}
	if people != applyRows {
		a.t.Errorf("got %d people, want %d", people, applyRows)
	}
	writes := make(map[string]int)
	for _, e := range a.events() {
		writes[e.Resource]++
	}
	twice := 0
	for id, n := range writes {
		if n == 2 {
			twice++
		} else if n != 1 {
			a.t.Errorf("%s was written %d times", id, n)
		}
	}
	if len(writes) != applyRows || twice != applyRows/2 {
		a.t.Errorf("got %d people written, %d of them twice, want %d and %d", len(writes), twice, applyRows, applyRows/2)
	}
}

func TestRunSummary(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]apply.Counts{
		"Plan: no changes.":  {},
		"Plan: 5 unchanged.": {Unchanged: 5},
		"Plan: 3 to create, 2 to update (1 attribute replaced, 4 cleared), 1,005 unchanged, 1 to deactivate.": {
			Create: 3, Update: 2, Replaced: 1, Cleared: 4, Unchanged: 1005, Deactivate: 1},
		"Plan: 1 to delete, 1 to restore.": {Delete: 1, Restore: 1},
	} {
		if got := runSummary(&c); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
