package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/roster-scim/roster/internal/store"
	"modernc.org/sqlite"
	sqlitelib "modernc.org/sqlite/lib"
)

// A writer is the one goroutine that writes to a SQLite database. It takes all
// functions that wait, and those that come while it runs them, into one
// transaction and answers them after its COMMIT: one sync of the disk for all
// (group commit).
//
// They run without savepoints, which would cost each a sixth of its time. Only
// when one fails after it has written, the transaction is rolled back and all
// are run again, now with savepoints; when SQLite itself fails, each is run
// again in a transaction of its own.
type writer struct {
	connect func() (*sqliteConn, error)
	conn    *sqliteConn
	stats   *stats
	logger  *slog.Logger
	after   func() // is called between transactions

	mu     sync.RWMutex // guards closed against sends to jobs
	closed bool
	jobs   chan *job
	done   chan struct{} // closed when the goroutine has ended

	// Of the goroutine alone.
	batch      []*job
	savepoints bool  // each function has a savepoint
	saved      bool  // the present function has its savepoint
	wrote      bool  // the present function has written
	failed     bool  // SQLite has failed since the transaction began
	seq        int64 // the last seq given out
	seqLimit   int64 // the last of the block that was taken
	seqTaken   bool  // the block was taken in the present transaction
}

const (
	// maxBatch bounds how many functions share a transaction, and so how long
	// the first of them waits for the last.
	maxBatch = 256
	// seqBlock is how many seqs are taken from the database at once. What is
	// left of them when the process ends is never used.
	seqBlock = 1000
)

// A job is one call of Update.
type job struct {
	ctx   context.Context
	fn    func(conn) error
	state atomic.Int32
	err   error
	panic any
	done  chan struct{}
}

// The states of a job: it is waiting until it either runs or is given up.
const (
	waiting int32 = iota
	running
	givenUp
)

var (
	begin       = differ(`BEGIN IMMEDIATE`, ``)
	commit      = differ(`COMMIT`, ``)
	rollback    = differ(`ROLLBACK`, ``)
	savepoint   = differ(`SAVEPOINT job`, ``)
	release     = differ(`RELEASE job`, ``)
	rollbackJob = differ(`ROLLBACK TO job`, ``)
)

// update hands fn to the writer and waits for its answer.
func (w *writer) update(ctx context.Context, fn func(conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	j := &job{ctx: ctx, fn: fn, done: make(chan struct{})}
	if err := w.send(j); err != nil {
		return err
	}
	select {
	case <-j.done:
	case <-ctx.Done():
		if j.state.CompareAndSwap(waiting, givenUp) {
			return ctx.Err()
		}
		<-j.done
	}
	if j.panic != nil {
		panic(j.panic)
	}
	return j.err
}

func (w *writer) send(j *job) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.closed {
		return errClosed
	}
	select {
	case w.jobs <- j:
		return nil
	case <-j.ctx.Done():
		return j.ctx.Err()
	}
}

// end waits for the jobs that were sent and ends the goroutine. Its connection
// stays open.
func (w *writer) end() {
	w.mu.Lock()
	closed := w.closed
	w.closed = true
	w.mu.Unlock()
	if !closed {
		close(w.jobs)
	}
	<-w.done
}

// run is the goroutine.
func (w *writer) run() {
	ended := false
	defer func() {
		if ended {
			close(w.done)
			return
		}
		// A function has called runtime.Goexit, which nothing can stop: its batch
		// has failed, and another goroutine goes on.
		w.rollback()
		w.answer(errors.New("a function has ended the goroutine that writes"))
		go w.run()
	}()
	for j := range w.jobs {
		if w.take(j); len(w.batch) == 0 {
			continue
		}
		w.process()
		w.answer(nil) // not deferred: a batch that was cut short is not acknowledged
		w.after()
	}
	ended = true
}

// gather adds the jobs that wait to the batch, without those given up.
func (w *writer) gather() {
	for len(w.batch) < maxBatch {
		select {
		case j, ok := <-w.jobs:
			if !ok {
				return
			}
			w.take(j)
		default:
			return
		}
	}
}

// take adds a job to the batch, unless it was given up.
func (w *writer) take(j *job) {
	if !j.state.CompareAndSwap(waiting, running) {
		return
	}
	if err := j.ctx.Err(); err != nil {
		j.err = err
		close(j.done)
		return
	}
	w.batch = append(w.batch, j)
}

// process gives each job of the batch its outcome.
func (w *writer) process() {
	err := w.attempt(func(i int) []*job {
		if i == len(w.batch) {
			w.gather()
		}
		return w.batch
	}, false)
	if err == nil {
		return
	}
	all := func(int) []*job { return w.batch }
	if errors.Is(err, errWrote) {
		w.stats.retries.Add(int64(len(w.batch)))
		if err = w.attempt(all, true); err == nil {
			return
		}
	}
	w.logger.Warn("sqlite transaction failed", "functions", len(w.batch), "error", err)
	if len(w.batch) == 1 {
		w.batch[0].err = err
		return
	}
	for i, j := range w.batch {
		w.stats.retries.Add(1)
		if err := w.attempt(func(int) []*job { return w.batch[i : i+1] }, false); err != nil {
			j.err = err
		}
	}
}

// answer lets the callers of the batch go on. An err takes the place of every
// outcome.
func (w *writer) answer(err error) {
	for _, j := range w.batch {
		if err != nil {
			j.err = err
		}
		close(j.done)
	}
	clear(w.batch)
	w.batch = w.batch[:0]
}

// errWrote says that a function failed after it had written.
var errWrote = errors.New("function failed after it had written")

// attempt runs jobs in one transaction; jobs(i) returns them once i of them have
// run. With an error nothing of it is committed, and their outcome is void.
func (w *writer) attempt(jobs func(int) []*job, savepoints bool) error {
	if err := w.begin(); err != nil {
		return err
	}
	w.savepoints, w.failed = savepoints, false
	succeeded := int64(0)
	for i := 0; i < len(jobs(i)); i++ {
		j := jobs(i)[i]
		w.saved, w.wrote = false, false
		j.err, j.panic = nil, nil
		w.call(j)
		switch {
		case w.failed:
			w.rollback()
			if j.err != nil {
				return j.err
			}
			return errors.New("function has ignored a failure of the database")
		case j.err == nil && j.panic == nil:
			succeeded++
			if w.saved {
				if _, err := w.conn.exec(release); err != nil {
					w.rollback()
					return err
				}
			}
		case !w.wrote:
			// There is nothing to undo.
		case w.saved:
			if err := w.rollbackJob(); err != nil {
				w.rollback()
				return err
			}
		case len(jobs(i+1)) == 1:
			w.rollback()
			return nil
		default:
			w.rollback()
			return errWrote
		}
	}
	if _, err := w.conn.exec(commit); err != nil {
		w.rollback()
		return fmt.Errorf("commit: %w", err)
	}
	w.seqTaken = false
	w.stats.updates.Add(succeeded)
	w.stats.commits.Add(1)
	return nil
}

// call runs the function of j and keeps its panic for the caller of Update.
func (w *writer) call(j *job) {
	defer func() {
		if v := recover(); v != nil {
			j.panic = fmt.Sprintf("%v\n\n%s", v, debug.Stack())
		}
	}()
	j.err = j.fn(w.conn)
}

// begin begins a transaction, on a new connection when the present one cannot.
func (w *writer) begin() error {
	w.savepoints = false
	_, err := w.conn.exec(begin)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("begin: %w", err)
	if e, ok := errors.AsType[*sqlite.Error](err); ok && e.Code()&0xff == sqlitelib.SQLITE_BUSY {
		return err // another process is writing
	}
	c, connectErr := w.connect()
	if connectErr != nil {
		return errors.Join(err, connectErr)
	}
	_ = w.conn.close()
	w.conn = c
	c.writer = w
	if _, again := c.exec(begin); again != nil {
		return errors.Join(err, again)
	}
	return nil
}

// rollback undoes the transaction, if SQLite has not done so already.
func (w *writer) rollback() {
	w.savepoints = false
	_, _ = w.conn.exec(rollback)
	w.dropSeqs()
}

func (w *writer) rollbackJob() error {
	w.savepoints = false
	defer func() { w.savepoints = true }()
	if _, err := w.conn.exec(rollbackJob); err != nil {
		return err
	}
	_, err := w.conn.exec(release)
	w.dropSeqs()
	return err
}

// dropSeqs forgets a block whose taking may have been undone.
func (w *writer) dropSeqs() {
	if w.seqTaken {
		w.seqLimit, w.seqTaken = w.seq, false
	}
}

// beforeWrite sets the savepoint of a function just before it writes.
func (w *writer) beforeWrite() error {
	if !w.savepoints || w.saved {
		return nil
	}
	w.saved = true
	_, err := w.conn.exec(savepoint)
	return err
}

// seqSetting is the setting that keeps the last seq that may be given out.
const seqSetting = "sqlite.seq"

// nextSeq returns a seq that is greater than any before, also than those of
// events that were erased since.
func (w *writer) nextSeq() (int64, error) {
	if w.seq >= w.seqLimit {
		var kept int64
		err := one(w.conn, getSetting, func(r row) { kept, _ = strconv.ParseInt(string(r.bytes(0)), 10, 64) }, seqSetting)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return 0, err
		}
		w.seq = max(w.seq, kept)
		if _, err := w.conn.exec(putSetting, seqSetting, strconv.AppendInt(nil, w.seq+seqBlock, 10)); err != nil {
			return 0, err
		}
		w.seqLimit, w.seqTaken = w.seq+seqBlock, true
	}
	w.seq++
	return w.seq, nil
}
