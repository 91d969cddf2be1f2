package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/roster-scim/roster/client"
)

// triggered is the workflow that the events start: it reads the user that was
// created, and asks whether the user is active.
const triggered = `name: bench
triggers:
  - event: {type: User, operations: [create]}
    inputs: {userId: "${{ event.resource }}"}
inputs:
  userId: {type: string, required: true}
steps:
  - {id: read, action: get-user, with: {userId: "${{ inputs.userId }}"}}
  - {id: check, if: steps.read.output.active, then: [{id: end, stop: {message: active}}]}
`

// A drain is what so many events that start runs did to one Roster.
type drain struct {
	database string
	events   int
	create   turn          // of the users, whose creation the events are
	took     time.Duration // from the last event to the end of the last run
	during   []turn        // PUT while runs were carried out
	after    []turn        // PUT when all had ended
	peak     int64         // memory at its highest
}

// measureEvents starts a Roster for each database, makes users whose creation
// starts a run each, and puts users until the last run has ended, and then for
// so many turns again.
func (b *bench) measureEvents(ctx context.Context) error {
	if err := b.drain(ctx, "SQLite", ""); err != nil {
		return err
	}
	if b.postgres == "" {
		return nil
	}
	dsn, drop, err := createDatabase(ctx, b.postgres, "events")
	if err != nil {
		return err
	}
	err = b.drain(ctx, "PostgreSQL", dsn)
	if e := drop(); err == nil {
		err = e
	}
	return err
}

func (b *bench) drain(ctx context.Context, name, db string) (err error) {
	dir := filepath.Join(b.dir, name+"-events")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	defer func() {
		if e := os.RemoveAll(dir); err == nil {
			err = e
		}
	}()
	var flags []string
	if db != "" { // nothing makes the file of keys there by itself
		keys := filepath.Join(dir, "secret.key")
		if out, err := exec.CommandContext(ctx, b.binary, "secret-key", "create", keys).CombinedOutput(); err != nil {
			return fmt.Errorf("make %s: %w: %s", keys, err, out)
		}
		flags = []string{"--secret-key-file", keys}
	}
	p, err := startRoster(ctx, b.binary, dir, db, flags...)
	if err != nil {
		return err
	}
	defer p.stop()
	t, err := newRoster(ctx, p, name, b.events)
	if err != nil {
		return err
	}
	m := (&client.Client{BaseURL: "http://" + p.addr, Key: benchKey}).Management()
	if _, err := m.DeployWorkflow(ctx, "", "bench", client.Deployment{Source: triggered}); err != nil {
		return fmt.Errorf("deploy: %w", err)
	}
	d := drain{database: name, events: b.events}
	if d.create, err = t.drive(ctx, post, b.connections, limit{last: b.events}); err != nil {
		return err
	}
	begin := time.Now()
	put := operations[0]
	for {
		u, err := t.drive(ctx, put, b.connections, limit{duration: b.duration})
		if err != nil {
			return fmt.Errorf("%w\n%s", err, p.said())
		}
		ended, err := p.metric(ctx, `roster_runs_ended_total{status="succeeded"}`)
		if err != nil {
			return err
		}
		d.during = append(d.during, u)
		if int(ended) >= b.events {
			d.took = time.Since(begin)
			break
		}
		if time.Since(begin) > drainPatience {
			return fmt.Errorf("%s: after %v only %.0f of %d runs have ended: %s", name, drainPatience, ended, b.events, p.said())
		}
	}
	for range min(len(d.during), b.rounds) {
		u, err := t.drive(ctx, put, b.connections, limit{duration: b.duration})
		if err != nil {
			return err
		}
		d.after = append(d.after, u)
	}
	if _, d.peak, err = p.memory(); err != nil {
		return err
	}
	b.say("%s: %d events: their runs ended in %v", name, d.events, d.took.Round(time.Second))
	b.report.drains = append(b.report.drains, d)
	return nil
}

// drainPatience is how long the runs of the events may take.
const drainPatience = 10 * time.Minute

// metric returns the value of a metric, by its name with its labels; 0 when it is
// not there.
func (p *process) metric(ctx context.Context, name string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.addr+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, fmt.Errorf("metrics: %w", err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, lines.Err()
}

// writeDrains says how events that start runs were worked off.
func (r *report) writeDrains(b *bytes.Buffer) {
	if len(r.drains) == 0 {
		return
	}
	b.WriteString("\nEvents that each start a run of a workflow (two steps), and what PUT does meanwhile:\n\n")
	b.WriteString("| database | events | events/s | runs end after s | runs/s | PUT/s meanwhile | PUT/s after | ratio | p99 ms meanwhile | p99 ms after | peak RSS MB | budget | |\n")
	b.WriteString("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- |\n")
	p99 := func(t turn) time.Duration { return t.p99 }
	for _, d := range r.drains {
		during, after := median(d.during, turn.rate), median(d.after, turn.rate)
		verdict := "met"
		if during < drainRatio*after {
			verdict = "**not met**"
		}
		fmt.Fprintf(b, "| %s | %d | %.0f | %.1f | %.0f | %.0f | %.0f | %.2f | %s | %s | %d | >= %.2f | %s |\n",
			d.database, d.events, d.create.rate(), d.took.Seconds(), float64(d.events)/(d.took+d.create.elapsed).Seconds(),
			during, after, during/after, millis(median(d.during, p99)), millis(median(d.after, p99)), d.peak>>20, drainRatio, verdict)
	}
}

// drainRatio is what must be left of the rate of PUT while runs are carried out.
const drainRatio = 0.60
