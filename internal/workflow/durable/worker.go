package durable

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	"github.com/google/uuid"
	"github.com/roster-scim/roster/internal/workflow"
)

// How often a node looks for runs that wait. It takes no more than Concurrency of
// them at a time, so this bounds how many short ones it ends in a second; and a look
// costs about as much as a call that does nothing. So it is seldom while none wait.
const (
	pollBusy = 10 * time.Millisecond
	pollIdle = 200 * time.Millisecond
)

// stopTime is how long bodies may take to return once their context has ended.
const stopTime = 5 * time.Second

// A worker carries out runs: in one session after the other, when it is taken for
// dead in between.
type worker struct {
	e      *Engine
	holder string // of its leases: this process

	life    sync.Mutex // held while a session takes the place of another
	closing bool

	mu      sync.Mutex
	session *session

	strays map[string]stray // by the run; of watch alone
}

// A session is a worker under one name.
type session struct {
	w    *worker
	node string
	dbos dbos.Context

	mu      sync.Mutex
	stopped error // why no execution begins any more; nil: they do
	running map[*execution]bool
	idle    chan struct{} // closed when stopped and nothing runs
}

func startWorker(ctx context.Context, e *Engine) (*worker, error) {
	switch {
	case e.opts.Body == nil:
		return nil, errors.New("a node that works needs a Body")
	case e.db.path == "" && e.opts.Leases == nil:
		return nil, errors.New("a node that works on PostgreSQL needs Leases")
	}
	w := &worker{e: e, holder: uuid.NewString()}
	name := node
	if e.db.path == "" {
		if name = e.opts.Node; name == "" {
			name = newName("")
		}
		if err := w.register(ctx, name); err != nil {
			return nil, err
		}
	}
	var err error
	if w.session, err = w.start(ctx, name); err != nil {
		w.unregister(ctx, name)
		return nil, err
	}
	return w, nil
}

// start begins a session, which outlives ctx. The runs that the node had under this
// name before go on.
func (w *worker) start(ctx context.Context, name string) (*session, error) {
	e := w.e
	// While it begins it ends with ctx, as DBOS waits for a database without end. By
	// this cause DBOS does not cancel runs that may have begun already.
	life, end := context.WithCancelCause(context.WithoutCancel(ctx))
	began := context.AfterFunc(ctx, func() { end(context.DeadlineExceeded) })
	defer began()
	d, err := e.db.context(life, name, e.opts.Concurrency+restConns)
	if err != nil {
		return nil, err
	}
	s := &session{w: w, node: name, dbos: d, running: map[*execution]bool{}, idle: make(chan struct{})}
	dbos.RegisterWorkflow(d, s.carryOut, dbos.WithWorkflowName(runName), dbos.WithMaxRecoveryAttempts(e.opts.Attempts-1))
	options := []dbos.QueueOption{
		dbos.WithWorkerConcurrency(e.opts.Concurrency),
		dbos.WithQueueBasePollingInterval(pollIdle),
		dbos.WithQueueOnConflict(dbos.QueueConflictAlwaysUpdate),
	}
	if e.opts.Rate > 0 {
		options = append(options, dbos.WithRateLimiter(&dbos.RateLimiter{Limit: e.opts.Rate, Period: time.Second}))
	}
	if _, err := dbos.RegisterQueue(d, queue, options...); err != nil {
		_ = dbos.Shutdown(d, shutdownTime)
		return nil, fmt.Errorf("register the queue: %w", err)
	}
	if err := dbos.Launch(d); err != nil {
		return nil, err
	}
	if !began() {
		_ = dbos.Shutdown(d, shutdownTime)
		return nil, context.Cause(ctx)
	}
	return s, nil
}

// begin adds an execution; false when it must not go on. One of the same run that is
// still there has lost it: to a Retry that came before its end.
func (s *session) begin(x *execution) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped != nil {
		return false
	}
	for other := range s.running {
		if other.id == x.id {
			other.end(errLost)
		}
	}
	s.running[x] = true
	return true
}

// end removes an execution; a second time it does nothing.
func (s *session) end(x *execution) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.running[x] {
		return
	}
	delete(s.running, x)
	if s.stopped != nil && len(s.running) == 0 {
		close(s.idle)
	}
}

// refuse lets no execution begin any more.
func (s *session) refuse(cause error) {
	dbos.ListenQueues(s.dbos, noQueue)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped == nil && len(s.running) == 0 {
		close(s.idle)
	}
	s.stopped = cause
}

// cancel ends the contexts of all executions.
func (s *session) cancel(cause error) {
	for _, x := range s.executions() {
		x.end(cause)
	}
}

// executions returns those under way.
func (s *session) executions() []*execution {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.running))
}

// stop ends a session: what runs may go on until ctx ends, and is then told to stop.
func (s *session) stop(ctx context.Context) {
	s.refuse(workflow.ErrStopped)
	select {
	case <-s.idle:
	case <-ctx.Done():
	}
	s.cancel(workflow.ErrStopped)
	select {
	case <-s.idle:
	case <-time.After(stopTime):
		var ids []string
		for _, x := range s.executions() {
			ids = append(ids, x.id)
		}
		s.w.e.opts.Log.Warn("runs do not stop: they are begun again elsewhere while they go on", "runs", ids)
	}
}

// current returns the session of the moment.
func (w *worker) current() *session {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.session
}

// stop lets no run begin any more; what runs may go on until ctx ends.
func (w *worker) stop(ctx context.Context) {
	w.life.Lock()
	w.closing = true
	w.life.Unlock()
	w.current().stop(ctx)
}

// close ends a worker that is stopped, and hands over what it has not ended.
func (w *worker) close(ctx context.Context) {
	s, e := w.current(), w.e
	mark, cancel := context.WithTimeout(ctx, shutdownTime)
	defer cancel()
	// A run that is handed over in order has killed no node.
	_, err := e.db.sql.ExecContext(mark, e.db.text(`UPDATE {}workflow_status SET recovery_attempts = 0 WHERE executor_id = $1 AND status = $2`),
		s.node, string(dbos.WorkflowStatusPending))
	if err != nil {
		e.opts.Log.Warn("cannot mark the runs that stop here", "error", err)
	}
	if err := dbos.Shutdown(s.dbos, shutdownTime); err != nil {
		e.opts.Log.Warn("the engine of workflows did not end in time", "error", err)
	}
	if e.db.path == "" {
		ctx, cancel := context.WithTimeout(ctx, shutdownTime)
		defer cancel()
		if err := w.release(ctx, s.node); err != nil {
			e.opts.Log.Warn("cannot hand runs over: other nodes take them when this one counts as dead", "error", err)
			return
		}
		w.unregister(ctx, s.node)
	}
}

// firstError is the first error that is set.
type firstError struct {
	mu  sync.Mutex
	err error
}

func (f *firstError) set(err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
	return err
}

func (f *firstError) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}
