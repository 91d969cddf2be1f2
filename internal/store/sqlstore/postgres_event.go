package sqlstore

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// On PostgreSQL transactions commit in another order than they took the seq of
// their events in: one that has taken 5 may still be open when that with 6 has
// committed. A reader that went by what it can see would pass over 5 for good.
//
// So events are held back up to which there may be gaps still to be filled: read
// the last seq that was given out, then which transactions hold the lock on the
// table that an INSERT takes before it takes its seq. When all of these have
// ended, everything up to that seq is committed or will never be.
//
// The locks are asked, and not the oldest running transaction (pg_snapshot_xmin):
// that would hold events back for as long as anyone in the whole cluster has a
// long transaction open. Nor can an order be read from xids stored in the rows: a
// snapshot knows nothing of the running transactions that are younger than the
// last one that has ended.
type order struct {
	mu      sync.Mutex // held from reading to drawing conclusions, which must be in the same order
	settled int64
	fences  []fence
}

// A fence is a seq up to which all is settled when these transactions have ended.
type fence struct {
	seq  int64
	open []string
}

const (
	// maxFences bounds the memory of a reader that polls while a transaction
	// stays open.
	maxFences = 256
	// drainPatience is how long drain waits for other transactions.
	drainPatience = 5 * time.Second
)

const (
	lastSeq = `SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM event_seq`
	// writersOf returns the transactions that have written to some tables, or are
	// about to.
	writersOf = `SELECT virtualtransaction FROM pg_locks
		WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND granted
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
		AND relation = ANY ($1::TEXT[]::REGCLASS[]::OID[])`
)

func (e *postgresEngine) settled(ctx context.Context) (upTo int64, all bool, err error) {
	o := &e.order
	o.mu.Lock()
	defer o.mu.Unlock()
	var last int64
	var open []string
	batch := &pgx.Batch{}
	batch.Queue(lastSeq).QueryRow(func(r pgx.Row) error { return r.Scan(&last) })
	batch.Queue(writersOf, []string{"events"}).Query(func(rows pgx.Rows) (err error) {
		open, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err := e.pool.SendBatch(ctx, batch).Close(); err != nil {
		return 0, false, err
	}
	o.read(last, open)
	return o.settled, o.settled >= last, nil
}

// read draws the conclusions from the last seq given out and the transactions
// that were open after it was read.
func (o *order) read(last int64, open []string) {
	if n := len(o.fences); last > o.settled && (n == 0 || o.fences[n-1].seq < last) {
		if n == maxFences {
			o.fences = o.fences[:n-1]
		}
		o.fences = append(o.fences, fence{last, open})
	}
	left := o.fences[:0]
	for _, f := range o.fences {
		f.open = slices.DeleteFunc(f.open, func(t string) bool { return !slices.Contains(open, t) })
		if len(f.open) == 0 {
			o.settled = max(o.settled, f.seq)
		} else {
			left = append(left, f)
		}
	}
	clear(o.fences[len(left):])
	o.fences = left
}

func (e *postgresEngine) drain(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, drainPatience)
	defer cancel()
	var before []string
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		rows, err := e.pool.Query(ctx, writersOf, []string{"resources", "terms", "claims", "trash", "answers", "keys", "events"})
		if err != nil {
			return false, err
		}
		open, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return false, err
		}
		if before == nil {
			before = open
		}
		before = slices.DeleteFunc(before, func(t string) bool { return !slices.Contains(open, t) })
		if len(before) == 0 {
			return true, nil
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return false, nil
		}
	}
}
