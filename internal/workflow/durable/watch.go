package durable

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
)

// watchTime is how often a node looks what became of its runs, and whether runs wait.
const watchTime = time.Second

// watch looks after runs until ctx ends. A look that the database lets hang is given
// up, so that the next one has another connection.
func (w *worker) watch(ctx context.Context) {
	looks := time.NewTicker(watchTime)
	defer looks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-looks.C:
		}
		within, cancel := context.WithTimeout(ctx, w.e.opts.Dead)
		if err := w.look(within); err != nil && ctx.Err() == nil {
			w.e.opts.Log.Warn("cannot look after the runs of this node", "error", err)
		}
		if err := w.pace(within); err != nil && ctx.Err() == nil {
			w.e.opts.Log.Warn("cannot see whether runs wait", "error", err)
		}
		cancel()
	}
}

// look ends the executions whose runs were cancelled, deleted, or taken over by
// another node, and begins those runs again that nothing carries out.
func (w *worker) look(ctx context.Context) error {
	s := w.current()
	// First: what begins later is not judged by what was read before it did.
	here := s.executions()
	mine, err := w.owners(ctx, s.node)
	if err != nil {
		return err
	}
	var gone []string
	for _, x := range here {
		if _, ok := mine[x.id]; !ok {
			gone = append(gone, x.id)
		}
	}
	if len(gone) > 0 {
		list, err := w.e.find(ctx, gone, false)
		if err != nil {
			return err
		}
		for _, x := range here {
			switch {
			case slices.ContainsFunc(list, func(s dbos.WorkflowStatus) bool {
				return s.ID == x.id && s.Status == dbos.WorkflowStatusCancelled
			}):
				x.end(errCancelled)
			case slices.Contains(gone, x.id):
				x.end(errLost)
			}
		}
	}
	for _, x := range here {
		delete(mine, x.id)
	}
	return w.collect(ctx, s.node, mine)
}

// owners returns the runs that the database has for some that a node carries out,
// each with the mark of the execution that has it.
func (w *worker) owners(ctx context.Context, node string) (map[string]string, error) {
	rows, err := w.e.db.sql.QueryContext(ctx, w.e.db.text(`SELECT workflow_uuid, COALESCE(owner_xid, '')
		FROM {}workflow_status WHERE queue_name = '`+queue+`' AND status = 'PENDING' AND executor_id = $1`), node)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	owners := map[string]string{}
	for rows.Next() {
		var id, owner string
		if err := rows.Scan(&id, &owner); err != nil {
			return nil, err
		}
		owners[id] = owner
	}
	return owners, rows.Err()
}

// A stray is a run that a node has taken and does not carry out: the database has
// failed between the two, or in the moment in which a result or the end of the run
// was to be kept. DBOS would leave it until the node starts again.
type stray struct {
	owner string
	looks int // since it was seen first
}

// collect takes strays back to the queue when they were seen for as long as a lease
// holds: till then they may be about to begin, or to end. Looks are counted, not the
// time: that goes on while the process stands still. The run counts as begun once
// more, so that one which cannot be kept is given up some day.
func (w *worker) collect(ctx context.Context, node string, owners map[string]string) error {
	strays := make(map[string]stray, len(owners))
	for id, owner := range owners {
		st := stray{owner: owner}
		if old, ok := w.strays[id]; ok && old.owner == owner {
			st.looks = old.looks + 1
		}
		strays[id] = st
	}
	w.strays = strays
	for id, st := range strays {
		if time.Duration(st.looks)*watchTime <= w.e.opts.Dead {
			continue
		}
		// What DBOS does when the node starts, for this one alone. Whoever has it after
		// all finds that it is lost.
		_, err := w.e.db.sql.ExecContext(ctx, w.e.db.text(`UPDATE {}workflow_status
			SET status = 'ENQUEUED', started_at_epoch_ms = NULL, owner_xid = NULL, updated_at = $1
			WHERE workflow_uuid = $2 AND status = 'PENDING' AND executor_id = $3 AND COALESCE(owner_xid, '') = $4`),
			time.Now().UnixMilli(), id, node, st.owner)
		if err != nil {
			return fmt.Errorf("begin run %s again: %w", id, err)
		}
		w.e.opts.Log.Warn("a run that was taken here, and not carried out, begins again", "run", id)
	}
	return nil
}

// pace sets how often nodes look for runs. It is one number for all of them, and
// each finds the same one.
func (w *worker) pace(ctx context.Context) error {
	waiting, err := w.e.db.ids(ctx, `SELECT workflow_uuid FROM {}workflow_status WHERE queue_name = $1 AND status = $2 LIMIT 1`,
		queue, string(dbos.WorkflowStatusEnqueued))
	if err != nil {
		return err
	}
	c := w.e.client(ctx)
	q, err := dbos.RetrieveQueue(c, queue)
	if err != nil {
		return err
	}
	poll := pollIdle
	if len(waiting) > 0 {
		poll = pollBusy
		if rate := w.e.opts.Rate; rate > 0 { // often enough for that
			poll = min(max(poll, time.Second*time.Duration(w.e.opts.Concurrency)/time.Duration(2*rate)), pollIdle)
		}
	}
	if q.GetPollingInterval() == poll {
		return nil
	}
	return q.SetPollingInterval(c, poll)
}
