package durable

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/internal/workflow"
)

// Nodes on PostgreSQL. Each has a lease under its name, which it renews. A run
// belongs to the node that took it, and one whose node has no lease is taken back
// to the queue by another node: that one takes the lease of the name first, so two
// do not do it, and a node that has lost its lease knows that it was taken for dead.

// A LeaseStore has those methods of a store.Store by which nodes see each other.
type LeaseStore interface {
	CreateLease(ctx context.Context, name, holder string, d time.Duration) error
	RenewLease(ctx context.Context, name, holder string, d time.Duration) error
	DeleteLease(ctx context.Context, name, holder string) error
	Leases(ctx context.Context) ([]store.Lease, error)
}

const leasePrefix = "node/"

// register takes the lease of a name.
func (w *worker) register(ctx context.Context, name string) error {
	err := w.e.opts.Leases.CreateLease(ctx, leasePrefix+name, w.holder, w.e.opts.Dead)
	if errors.Is(err, store.ErrExists) {
		return fmt.Errorf("there is a node %s already, which was alive less than %s ago: give each node a name of its own, or wait when it has just died", name, w.e.opts.Dead)
	}
	return err
}

// unregister gives it back, also when ctx has ended.
func (w *worker) unregister(ctx context.Context, name string) {
	if w.e.db.path != "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	if err := w.e.opts.Leases.DeleteLease(ctx, leasePrefix+name, w.holder); err != nil {
		w.e.opts.Log.Warn("cannot give the lease of this node back: it runs out", "error", err)
	}
}

// beats keeps the lease until ctx ends, whatever else the database lets hang.
func (w *worker) beats(ctx context.Context) {
	t := time.NewTicker(w.e.opts.Beat)
	defer t.Stop()
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			last = w.beat(ctx, last)
		}
	}
}

// beat renews the lease and looks for dead nodes. last is when it was renewed last;
// it returns when that is now.
func (w *worker) beat(ctx context.Context, last time.Time) time.Time {
	s := w.current()
	now := time.Now()
	err := store.ErrNotFound
	// A process that stood still for that long was taken for dead, or will be in the
	// next moment: it need not ask.
	if now.Sub(last) < w.e.opts.Dead {
		err = w.renew(ctx, s.node)
	}
	switch {
	case ctx.Err() != nil:
		return last
	case errors.Is(err, store.ErrNotFound):
		w.again(ctx, s)
		return time.Now()
	case err != nil:
		w.e.opts.Log.Warn("cannot renew the lease of this node", "node", s.node, "error", err)
		return last
	}
	// This must not keep the node from its next beat.
	within, cancel := context.WithTimeout(ctx, w.e.opts.Dead/2)
	defer cancel()
	if err := w.adopt(within); err != nil && ctx.Err() == nil {
		w.e.opts.Log.Warn("cannot look for the runs of dead nodes", "error", err)
	}
	return now
}

func (w *worker) renew(ctx context.Context, name string) error {
	// Not longer: a call that hangs must not keep the node from seeing that its
	// lease has run out.
	ctx, cancel := context.WithTimeout(ctx, w.e.opts.Dead/3)
	defer cancel()
	return w.e.opts.Leases.RenewLease(ctx, leasePrefix+name, w.holder, w.e.opts.Dead)
}

// again ends a session whose lease is lost, and begins another one under a new
// name. What the runs of the old one are about to write is refused by DBOS as soon
// as they were taken over.
func (w *worker) again(ctx context.Context, s *session) {
	w.life.Lock()
	defer w.life.Unlock()
	if w.closing {
		s.cancel(workflow.ErrStopped)
		return
	}
	w.e.opts.Log.Warn("this node stood still for so long that it counts as dead: its runs stop here and go on elsewhere", "node", s.node)
	at, cancel := context.WithCancel(ctx)
	cancel()
	s.stop(at)
	if err := dbos.Shutdown(s.dbos, shutdownTime); err != nil {
		w.e.opts.Log.Warn("the engine of workflows did not end in time", "error", err)
	}
	// Close waits for this, and may not wait for a database that is away.
	ctx, cancel = context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-w.e.ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	name := newName(w.e.opts.Node)
	for pause := w.e.opts.Beat; ; pause = min(2*pause, time.Minute) {
		next, err := w.resume(ctx, s.node, name)
		if err == nil {
			w.mu.Lock()
			w.session = next
			w.mu.Unlock()
			w.e.opts.Log.Info("this node goes on under another name", "node", name)
			return
		}
		w.e.opts.Log.Error("this node cannot go on yet", "error", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// resume begins a session under a new name. What hangs is given up, and tried again.
func (w *worker) resume(ctx context.Context, old, name string) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, w.e.opts.Dead)
	defer cancel()
	if err := w.register(ctx, name); err != nil {
		return nil, err
	}
	// Nobody may have noticed yet, and then this node still has the old lease.
	if err := w.e.opts.Leases.DeleteLease(ctx, leasePrefix+old, w.holder); err != nil {
		return nil, err
	}
	return w.start(ctx, name)
}

// adopt takes the runs of nodes without a lease back to the queue, and forgets the
// leases of those that had none.
func (w *worker) adopt(ctx context.Context) error {
	leases, err := w.e.opts.Leases.Leases(ctx)
	if err != nil {
		return err
	}
	live := map[string]bool{}
	var dead []string
	for _, l := range leases {
		if name, ok := strings.CutPrefix(l.Name, leasePrefix); ok {
			live[name] = l.Left > 0
			if l.Left <= 0 {
				dead = append(dead, name)
			}
		}
	}
	// Those too that have no lease at all: of a node that took runs while it did not
	// know yet that it was taken for dead, and then died.
	names, err := w.e.db.ids(ctx, `SELECT DISTINCT executor_id FROM {}workflow_status WHERE status = $1 AND executor_id IS NOT NULL`,
		string(dbos.WorkflowStatusPending))
	if err != nil {
		return err
	}
	for _, name := range names {
		if !live[name] && !slices.Contains(dead, name) {
			dead = append(dead, name)
		}
	}
	for _, name := range dead {
		if err := w.register(ctx, name); err != nil {
			continue // another node does it, or it has come back in this moment
		}
		if err := w.release(ctx, name); err != nil {
			return err // the lease runs out, and then it is tried again
		}
		w.unregister(ctx, name)
		w.e.opts.Log.Warn("the runs of a dead node go on", "node", name)
	}
	return nil
}

// release takes the runs of a node back to the queue. That is what DBOS does when a
// node of this name starts, in one statement and keeping count of the attempts:
// resuming them one by one would bring back one that was cancelled in this moment,
// and a run that kills its nodes would go on for ever.
func (w *worker) release(ctx context.Context, name string) error {
	d, err := w.e.db.context(ctx, name, 2)
	if err != nil {
		return err
	}
	dbos.ListenQueues(d, noQueue)
	if err := dbos.Launch(d); err != nil {
		return err
	}
	return dbos.Shutdown(d, shutdownTime)
}
