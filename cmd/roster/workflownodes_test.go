package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/mail/sink"
	"github.com/roster-scim/roster/internal/pgtest"
)

// What each new user starts: a change, and a mail.
const welcomeFile = `name: welcome
inputs:
  userId: {type: string, required: true}
triggers:
  - event: {type: User, operations: [create]}
    inputs: {userId: "${{ event.resource }}"}
steps:
  - id: update
    action: update-user
    keep: true
    with: {userId: "${{ inputs.userId }}", title: Welcome}
  - id: tell
    email: {to: boss@corp.example, subject: "${{ inputs.userId }}", text: Welcome}
`

// 500 runs on three servers, of which one is killed and one stands still until it is
// taken for dead, and then goes on: each run ends, and has taken effect once.
func TestWorkflowNodes(t *testing.T) {
	t.Parallel()
	const people = 500
	dsn := pgtest.DSN(t)
	keys := keyFile(t)
	mails, err := sink.Start(sink.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := mails.Close(); err != nil {
			t.Error(err)
		}
	}()
	node := func(name string) *served {
		s := serve(t, []string{"ROSTER_MAIL=smtp://" + mails.Addr() + "?tls=none"}, "--db", dsn, "--secret-key-file", keys,
			"--mail-from", "roster@corp.example",
			"--node", name, "--node-timeout", "6s", "--run-rate", "1000")
		s.useDefault(t)
		return s
	}
	// The first one dispatches: it is the one to be killed.
	killed := node("killed")
	killed.log.await(t, killed.ended, "this node dispatches")
	stopped, third := node("stopped"), node("third")
	third.deploy(t, "welcome", welcomeFile)

	var all sync.WaitGroup
	for part := range 10 {
		all.Go(func() {
			for i := part; i < people && !t.Failed(); i += 10 {
				a, err := third.call(t.Context(), http.MethodPost, third.users(""), userBody(fmt.Sprintf("user%d", i), "Engineer"))
				if err != nil || a.status != http.StatusCreated {
					t.Errorf("user %d: %v, %v", i, a, err)
				}
			}
		})
	}
	// When some have ended the runs are in full swing.
	taken := make(map[string]int) // mails, by Message-ID
	count := func() {
		t.Helper()
		select {
		case m := <-mails.Received():
			parsed, err := m.Parse()
			if err != nil {
				t.Fatal(err)
			}
			taken[parsed.Header.Get("Message-ID")]++
		case <-time.After(processPatience):
			t.Fatalf("no more than %d mails came", len(taken))
		}
	}
	for len(taken) < people/10 {
		count()
	}
	stopped.signal(t, syscall.SIGSTOP)
	killed.kill()
	all.Wait()
	for _, name := range []string{"killed", "stopped"} {
		third.log.await(t, third.ended, `msg="the runs of a dead node go on" node=`+name)
	}
	stopped.signal(t, syscall.SIGCONT)
	stopped.log.await(t, stopped.ended, "this node goes on under another name")
	for len(taken) < people {
		count()
	}

	runs := make(map[string]bool)
	for cursor := ""; ; {
		var page struct {
			Runs []*roster.Run `json:"runs"`
			Next string        `json:"next"`
		}
		third.read(t, "/api/v1/runs?limit=100&cursor="+cursor, &page)
		for _, r := range page.Runs {
			if r.Finished.IsZero() {
				r = third.follow(t, r.ID, func(r *roster.Run) bool { return !r.Finished.IsZero() })
			}
			if r.Status != roster.RunSucceeded {
				t.Errorf("run %s: got %s, %+v", r.ID, r.Status, r.Error)
			}
			runs[r.ID] = true
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if len(runs) != people {
		t.Errorf("got %d runs, want %d", len(runs), people)
	}
	for id := range taken {
		if len(id) < 34 || !runs[id[1:33]] || id[33:] != ".tell@corp.example>" {
			t.Errorf("a mail has the Message-ID %q, which is of no run", id)
		}
	}
	for len(mails.Received()) > 0 {
		count()
	}
	more := -people
	for _, n := range taken {
		more += n
	}
	// What was under way on the two nodes, no more: or on more, when a machine is so busy
	// that another one is taken for dead too.
	dead := 0
	for _, s := range []*served{killed, stopped, third} {
		dead += strings.Count(s.log.String(), `msg="the runs of a dead node go on"`)
	}
	if len(taken) != people || more > dead*8 {
		t.Errorf("got %d different mails, and %d more, want %d and at most %d", len(taken), more, people, dead*8)
	}

	// What the database has of it: each user was made, and changed once, by one run.
	c := connectPostgres(t, dsn)
	defer func() { _ = c.Close(t.Context()) }()
	var users, welcome, writes, once, by, done int
	err = c.QueryRow(t.Context(), `SELECT
		(SELECT count(*) FROM resources WHERE type = 'User'),
		(SELECT count(*) FROM resources WHERE type = 'User' AND version = 2),
		(SELECT count(*) FROM events WHERE operation = 'replace'),
		(SELECT count(DISTINCT resource) FROM events WHERE operation = 'replace'),
		(SELECT count(DISTINCT cause) FROM events WHERE operation = 'replace'),
		(SELECT count(*) FROM roster_runs.workflow_status WHERE status = 'SUCCESS')`).Scan(&users, &welcome, &writes, &once, &by, &done)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := []int{users, welcome, writes, once, by, done}, people; got[0] != want || got[1] != want || got[2] != want || got[3] != want || got[4] != want || got[5] != want {
		t.Errorf("users, users of version 2, changes, users changed, runs that changed one, runs that succeeded: got %d, want %d of each", got, want)
	}
	t.Logf("%d mails were sent twice", more)
	stopped.finish(t, syscall.SIGTERM, exitOK)
	third.finish(t, syscall.SIGTERM, exitOK)
}
