package workflow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/roster-scim/roster/internal/store"
)

// The bounds of the dispatcher.
const (
	eventBatch = 50     // events that it holds at once: each may be as large as a body
	startBatch = 100    // runs that it queues at once
	maxBacklog = 10_000 // events that are counted of those that wait, in each directory
	// purgeBatch is how many runs are erased at once: few enough for those who wait
	// behind it on SQLite.
	purgeBatch = 100
	// CatchUp is how long after its time a schedule's run is still started: the
	// last one that was missed, when nothing dispatched at its time.
	CatchUp = time.Hour
	// retentionDoubt is how near to their end the oldest events are when some may
	// have gone before they were dispatched.
	retentionDoubt = time.Hour
)

// A task is what the dispatcher knows of a directory.
type task struct {
	changed   int64     // of the store.Dispatch
	seq       int64     // the events up to it were dispatched
	since     int64     // the events up to it start nothing; -1: none does
	ticked    time.Time // the schedules up to it have started their runs
	triggers  []trigger
	schedules []schedule
}

// A trigger is one that events start runs by.
type trigger struct {
	workflow *store.Workflow
	file     *File
	*Trigger
}

// A schedule is one that has times.
type schedule struct {
	workflow *store.Workflow
	file     *File
	*Trigger
	times *timetable
}

// Dispatch starts the runs that events and schedules ask for until ctx ends, and
// erases runs that are past their time, whenever this process leads. The id of a
// run is a hash of its workflow and of the event or the time: so that one which
// is started again, because a process has died before it could write down how far
// it was, is the same run.
func (s *Service) Dispatch(ctx context.Context) {
	retry := time.NewTimer(0)
	defer retry.Stop()
	var purged time.Time
	led := false
	defer s.lead.end(context.WithoutCancel(ctx))
	for ctx.Err() == nil {
		var committed <-chan struct{}
		if s.Committed != nil {
			committed = s.Committed() // before it looks, so that nothing comes in between
		}
		leads, err := s.lead.check(ctx)
		wait := s.Poll
		switch {
		case err != nil:
		case !leads:
			clear(s.tasks)
			committed, wait = nil, s.lead.beat()
		default:
			if !led {
				s.Log.Info("this node dispatches events and schedules")
			}
			var more bool
			if more, err = s.pass(ctx); more {
				wait = 0
			}
			if len(s.tasks) == 0 {
				committed = nil // nothing here waits for events
			}
			if now := s.Now(); err == nil && now.Sub(purged) >= time.Minute {
				purged = now
				err = s.purge(ctx, now)
			}
		}
		led = leads && err == nil
		if err != nil && ctx.Err() == nil {
			s.Log.Warn("events and schedules wait", "err", err)
			clear(s.tasks) // read them anew
			wait = s.Poll
			committed = nil
		}
		if wait == 0 {
			continue
		}
		retry.Reset(wait)
		select {
		case <-retry.C:
		case <-committed:
			// Writes come in swarms: those of a moment are one batch.
			retry.Reset(min(wait, 20*time.Millisecond))
			select {
			case <-retry.C:
			case <-ctx.Done():
			}
		case <-s.wake:
		case <-ctx.Done():
		}
	}
}

// pass dispatches one batch of each directory, and what is due, and reports
// whether there may be more.
func (s *Service) pass(ctx context.Context) (more bool, err error) {
	if err := s.refresh(ctx); err != nil {
		return false, err
	}
	for directory, t := range s.tasks {
		if err := s.tick(ctx, directory, t); err != nil {
			return false, err
		}
		full, err := s.dispatch(ctx, directory, t)
		if err != nil {
			return false, err
		}
		more = more || full
	}
	if !more {
		s.stats.backlog.Store(0)
		return false, nil
	}
	if now := s.Now(); now.Sub(s.counted) >= time.Second {
		s.counted = now
		return true, s.countBacklog(ctx)
	}
	return true, nil
}

// refresh reads the workflows of the directories in which something has changed.
func (s *Service) refresh(ctx context.Context) error {
	var list []store.Dispatch
	err := s.Store.View(ctx, func(r store.Reader) (err error) {
		list, err = r.ListDispatches()
		return err
	})
	if err != nil {
		return fmt.Errorf("list dispatches: %w", err)
	}
	here := make(map[string]bool, len(list))
	for _, p := range list {
		here[p.Directory] = true
		old := s.tasks[p.Directory]
		if old != nil && old.changed == p.Changed {
			continue
		}
		t, err := s.newTask(ctx, p, old)
		if err != nil {
			return err
		}
		s.tasks[p.Directory] = t
		if old == nil && t.since >= 0 {
			if err := s.doubt(ctx, p.Directory, t.seq); err != nil {
				return err
			}
		}
	}
	for directory := range s.tasks {
		if !here[directory] {
			delete(s.tasks, directory)
		}
	}
	return nil
}

// newTask reads the triggers of a directory; old is what was known of it.
func (s *Service) newTask(ctx context.Context, p store.Dispatch, old *task) (*task, error) {
	var list []*store.Workflow
	err := s.Store.View(ctx, func(r store.Reader) (err error) {
		list, err = r.ListWorkflows(p.Directory)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list workflows: %w", err)
	}
	t := &task{changed: p.Changed, seq: p.Seq, ticked: s.Now().Add(-CatchUp)}
	if old != nil {
		t.ticked = old.ticked
	}
	for _, w := range list {
		if !w.Enabled {
			continue
		}
		f, err := Parse([]byte(w.Source))
		if err != nil {
			s.Log.Warn("a workflow is not one that this version takes: deploy it again", "directory", p.Directory, "workflow", w.Name, "err", err)
			continue
		}
		events, schedules := f.triggers()
		for _, tr := range events {
			t.triggers = append(t.triggers, trigger{w, f, tr})
		}
		for _, tr := range schedules {
			times, err := tr.Schedule.parse()
			if err != nil { // the check of the file has let it pass
				return nil, fmt.Errorf("schedule of %s: %w", w.Name, err)
			}
			t.schedules = append(t.schedules, schedule{w, f, tr, times})
		}
	}
	t.since = -1
	for _, tr := range t.triggers {
		if t.since < 0 || tr.workflow.Since < t.since {
			t.since = tr.workflow.Since
		}
	}
	t.seq = max(t.seq, t.since)
	return t, nil
}

// eventsFrom returns the Seq after which events may start one of the workflows, -1
// when no event does. Their triggers are not looked at: it is for a count.
func eventsFrom(list []*store.Workflow, seq int64) int64 {
	from := int64(-1)
	for _, w := range list {
		if !w.Enabled {
			continue
		}
		f, err := Parse([]byte(w.Source))
		if err != nil {
			continue
		}
		if events, _ := f.triggers(); len(events) > 0 && (from < 0 || w.Since < from) {
			from = w.Since
		}
	}
	return from
}

// doubt says in the log when events may have been erased before they were
// dispatched: the one that was dispatched last is gone, and the oldest that there
// is was soon to go.
func (s *Service) doubt(ctx context.Context, directory string, seq int64) error {
	if s.EventRetention <= 0 || seq == 0 {
		return nil
	}
	err := s.Store.View(ctx, func(r store.Reader) error {
		_, err := r.GetEvent(directory, seq)
		return err
	})
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	next, err := s.Store.Events(ctx, directory, seq, 1)
	if err != nil || len(next) == 0 {
		return err
	}
	if s.Now().Sub(next[0].At) > s.EventRetention-retentionDoubt {
		s.Log.Warn("events were erased before they were dispatched; this goes on with the oldest that there is", "directory", directory, "after", seq, "oldest", next[0].Seq)
	}
	return nil
}

// dispatch starts the runs of the next events of a directory, and reports whether
// there may be more of them. First the runs are queued, then it is written down:
// whatever happens in between, no event is lost, and none starts two runs.
func (s *Service) dispatch(ctx context.Context, directory string, t *task) (more bool, err error) {
	if t.since < 0 {
		return false, nil
	}
	events, err := s.Store.Events(ctx, directory, t.seq, eventBatch)
	if err != nil {
		return false, fmt.Errorf("read events: %w", err)
	}
	if len(events) == 0 {
		return false, nil
	}
	held := make(map[string]int64)
	var runs []NewRun
	for _, e := range events {
		if runs, err = s.runsOf(runs, t, e, held); err != nil {
			return false, err
		}
	}
	for chunk := range slices.Chunk(runs, min(startBatch, s.limit.Burst())) {
		if err := s.start(ctx, chunk); err != nil {
			return false, err
		}
	}
	last := events[len(events)-1].Seq
	if err := s.Store.Update(ctx, func(tx store.Tx) error { return tx.MoveDispatch(directory, last, held) }); err != nil {
		return false, fmt.Errorf("move dispatch: %w", err)
	}
	t.seq = last
	s.stats.events.Add(int64(len(runs)))
	for name, n := range held {
		s.stats.held.Add(n)
		s.Log.Info("changes did not start a workflow, since its own runs or too long a chain of runs have made them", "directory", directory, "workflow", name, "changes", n)
	}
	return len(events) == eventBatch, nil
}

// start queues runs, no more in a second than it may.
func (s *Service) start(ctx context.Context, runs []NewRun) error {
	if err := s.limit.WaitN(ctx, len(runs)); err != nil {
		return err
	}
	if leads, err := s.lead.check(ctx); err != nil || !leads { // the wait may have been long
		return cmp.Or(err, errors.New("another node dispatches"))
	}
	if _, err := s.Engine.Start(ctx, runs...); err != nil {
		return fmt.Errorf("start runs: %w", err)
	}
	return nil
}

// tick starts the runs of the schedules of a directory whose time has come. Of
// several times of one schedule that have passed it is the last.
func (s *Service) tick(ctx context.Context, directory string, t *task) error {
	now := s.Now()
	var runs []NewRun
	for _, sc := range t.schedules {
		after := t.ticked
		if sc.workflow.Active.After(after) {
			after = sc.workflow.Active
		}
		var due time.Time
		for next := sc.times.next(after); !next.IsZero() && !next.After(now); next = sc.times.next(next) {
			due = next
		}
		if due.IsZero() {
			continue
		}
		w := sc.workflow
		id := runID(TriggerSchedule, w.Directory, w.Name, strconv.FormatInt(due.Unix(), 10))
		input := s.runInput(&w.Workflow, TriggerSchedule)
		run, err := newRun(id, w, sc.file, sc.Trigger, input, Env{"run": runEnv(id, w, input)})
		if err != nil {
			return err
		}
		runs = append(runs, run)
	}
	for chunk := range slices.Chunk(runs, min(startBatch, s.limit.Burst())) {
		if err := s.start(ctx, chunk); err != nil {
			return err
		}
	}
	t.ticked = now
	s.stats.schedules.Add(int64(len(runs)))
	return nil
}

// countBacklog counts the events that wait.
func (s *Service) countBacklog(ctx context.Context) error {
	total := int64(0)
	err := s.Store.View(ctx, func(r store.Reader) error {
		total = 0
		for directory, t := range s.tasks {
			if t.since < 0 {
				continue
			}
			n, err := r.CountEvents(directory, t.seq, maxBacklog)
			if err != nil {
				return err
			}
			total += n
		}
		return nil
	})
	s.stats.backlog.Store(total)
	return err
}

// purge erases the runs that ended too long ago, a few at a time.
func (s *Service) purge(ctx context.Context, now time.Time) error {
	if s.RunRetention <= 0 {
		return nil
	}
	for {
		n, err := s.Engine.Purge(ctx, now.Add(-s.RunRetention), purgeBatch)
		if err != nil {
			return fmt.Errorf("erase runs: %w", err)
		}
		if n < purgeBatch {
			return nil
		}
	}
}
