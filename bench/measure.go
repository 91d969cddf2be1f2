package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// A row is one operation on one Roster, with what the bare server did between
// its turns.
type row struct {
	users       int
	database    string
	op          *operation
	budget      budget
	turns, bare []turn // turn by turn
	rss, peak   int64  // of the server after the last turn, and at its highest so far
}

// A restart is how long a Roster with its users took from its start to the first
// answer, and what memory it had then.
type restart struct {
	users    int
	database string
	took     time.Duration
	rss      int64
}

// A bench is one run.
type bench struct {
	*options
	progress io.Writer
	dir      string
	binary   string
	bare     *target
	report   *report
}

// measure runs everything that the options ask for.
func measure(ctx context.Context, o *options, progress io.Writer) (_ *report, err error) {
	dir, err := os.MkdirTemp(o.dir, "roster-bench-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if e := os.RemoveAll(dir); err == nil {
			err = e
		}
	}()
	b := &bench{options: o, progress: progress, dir: dir, report: &report{options: o}}
	b.say("building roster")
	if b.binary, err = buildRoster(ctx, dir); err != nil {
		return nil, err
	}
	if b.report.sync, err = probeDisk(dir); err != nil {
		return nil, err
	}
	if b.bare, err = newBareTarget(ctx, dir); err != nil {
		return nil, err
	}
	defer b.bare.stop()
	for _, users := range o.users {
		if err := b.measureUsers(ctx, users); err != nil {
			return nil, fmt.Errorf("%d users: %w", users, err)
		}
	}
	if o.events > 0 && o.only.MatchString("events") {
		if err := b.measureEvents(ctx); err != nil {
			return nil, fmt.Errorf("events: %w", err)
		}
	}
	return b.report, nil
}

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.progress, "bench: "+format+"\n", args...)
}

// A subject is one Roster with the budgets that it has.
type subject struct {
	*target
	budget func(*operation) budget
	dir    string
	db     string
}

// measureUsers measures directories with so many users, on each database.
func (b *bench) measureUsers(ctx context.Context, users int) (err error) {
	var subjects []*subject
	add := func(name, db string, budget func(*operation) budget) error {
		s := &subject{budget: budget, db: db, dir: filepath.Join(b.dir, name+"-"+strconv.Itoa(users))}
		if err := os.Mkdir(s.dir, 0o700); err != nil {
			return err
		}
		p, err := startRoster(ctx, b.binary, s.dir, db)
		if err != nil {
			return err
		}
		if s.target, err = newRoster(ctx, p, name, users); err != nil {
			p.stop()
			return err
		}
		subjects = append(subjects, s)
		return nil
	}
	defer func() {
		for _, s := range subjects {
			s.stop()
			if e := os.RemoveAll(s.dir); err == nil {
				err = e
			}
		}
	}()
	if err := add("SQLite", "", func(op *operation) budget { return op.sqlite }); err != nil {
		return err
	}
	if b.postgres != "" {
		dsn, drop, err := createDatabase(ctx, b.postgres, strconv.Itoa(users))
		if err != nil {
			return err
		}
		// Before the deferred stop above: WITH (FORCE) ends the connections.
		defer func() {
			if e := drop(); err == nil {
				err = e
			}
		}()
		if err := add("PostgreSQL", dsn, func(op *operation) budget { return op.postgres }); err != nil {
			return err
		}
	}
	if err := b.createUsers(ctx, subjects, users); err != nil {
		return err
	}
	for _, s := range subjects {
		if err := s.createGroups(ctx); err != nil {
			return err
		}
		if err := s.readCursors(ctx); err != nil {
			return err
		}
	}
	for _, op := range operations {
		if b.only.MatchString(op.name) && op.users <= users {
			if err := b.measureOperation(ctx, subjects, op); err != nil {
				return err
			}
		}
	}
	for _, s := range subjects {
		if err := b.restart(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// createUsers makes the users, which is the row of POST. Each turn makes a part
// of them.
func (b *bench) createUsers(ctx context.Context, subjects []*subject, users int) error {
	const enough = 2000 // users in a turn, so that it says something
	parts := min(b.rounds, max(1, users/enough))
	return b.byTurns(ctx, subjects, post, parts, func(i int) limit {
		return limit{next: users * i / parts, last: users * (i + 1) / parts}
	})
}

func (b *bench) measureOperation(ctx context.Context, subjects []*subject, op *operation) error {
	// The first requests find cold caches; they are not measured.
	warm := limit{duration: b.duration / 4}
	for _, s := range subjects {
		if _, err := s.drive(ctx, op, b.connections, warm); err != nil {
			return err
		}
	}
	return b.byTurns(ctx, subjects, op, b.rounds, func(int) limit { return limit{duration: b.duration} })
}

// byTurns drives the bare server and the subjects by turns and adds a row for
// each subject.
func (b *bench) byTurns(ctx context.Context, subjects []*subject, op *operation, rounds int, limits func(round int) limit) error {
	rows := make([]*row, len(subjects))
	for i, s := range subjects {
		rows[i] = &row{users: s.users, database: s.name, op: op, budget: s.budget(op)}
	}
	for round := range rounds {
		bare, err := b.bare.drive(ctx, op, b.connections, limit{duration: b.duration})
		if err != nil {
			return err
		}
		for i, s := range subjects {
			t, err := s.drive(ctx, op, b.connections, limits(round))
			if err != nil {
				return fmt.Errorf("%w\n%s", err, s.said())
			}
			rows[i].turns, rows[i].bare = append(rows[i].turns, t), append(rows[i].bare, bare)
		}
	}
	for i, s := range subjects {
		var err error
		if rows[i].rss, rows[i].peak, err = s.memory(); err != nil {
			return err
		}
		b.say("%d users, %s: %s: %.0f/s", s.users, s.name, op.name, rows[i].rate())
	}
	b.report.rows = append(b.report.rows, rows...)
	return nil
}

// restart ends a Roster and starts it again on what it has stored.
func (b *bench) restart(ctx context.Context, s *subject) error {
	s.stop()
	begin := time.Now()
	p, err := startRoster(ctx, b.binary, s.dir, s.db)
	if err != nil {
		return err
	}
	s.process = p
	c, err := dial(ctx, p.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	status, body, err := c.exchange(appendHead(append(appendPath(nil, "GET", s.target, "/"), s.id(0)...), s.target))
	if err != nil {
		return fmt.Errorf("first answer after a restart: %w", err)
	}
	if status != 200 {
		return fmt.Errorf("first answer after a restart: %d: %.500s", status, body)
	}
	r := restart{users: s.users, database: s.name, took: time.Since(begin)}
	if r.rss, _, err = p.memory(); err != nil {
		return err
	}
	b.report.restarts = append(b.report.restarts, r)
	return nil
}
