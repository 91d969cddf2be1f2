package sqlstore

import (
	"database/sql/driver"
	"log/slog"
	"sync"
	"sync/atomic"
)

// A checkpointer moves the write-ahead log into the database beside the writer,
// which would otherwise stall for 50 to 100 ms every few seconds under load.
//
// It works in two steps, for a checkpoint that runs while others write never
// reaches the end of the log, and only a log that was moved to its end begins
// anew. First the goroutine moves the bulk, on its own connection. Then the
// writer, between two transactions, moves what has come since; its next
// transaction begins the log anew, unless a reader still reads from it. Only
// when that has failed several times does the writer wait for the readers: a log
// that begins anew that way costs the writer all that it has cached.
type checkpointer struct {
	conn   *sqliteConn
	logger *slog.Logger
	pages  int64 // how long the log may get before it is moved
	wake   chan struct{}
	bulk   atomic.Bool // the bulk was moved; the writer is to do the rest
	busy   atomic.Bool // the bulk is being moved
	wait   sync.WaitGroup

	commits int // since the log was measured; of the writer alone
}

const (
	// logPages is how long the log may get, in pages of 4 KiB.
	logPages = 10_000
	// farTooLong times that, and readers are waited for.
	farTooLong = 4
	// measureEvery is after how many transactions the log is measured.
	measureEvery = 16
)

func newCheckpointer(path string, logger *slog.Logger) (*checkpointer, error) {
	c, err := connectSQLite(path, "synchronous = FULL", "wal_autocheckpoint = 0")
	if err != nil {
		return nil, err
	}
	p := &checkpointer{conn: c, logger: logger, pages: logPages, wake: make(chan struct{}, 1)}
	p.wait.Add(1)
	return p, nil
}

func (p *checkpointer) run() {
	defer p.wait.Done()
	for range p.wake {
		_, err := p.conn.pragma("wal_checkpoint(PASSIVE)")
		if err != nil {
			p.logger.Warn("checkpoint failed", "error", err)
		}
		p.bulk.Store(err == nil)
		p.busy.Store(false)
	}
}

// afterCommit is called by the writer, with its connection, between two
// transactions.
func (p *checkpointer) afterCommit(c *sqliteConn) {
	if p.bulk.CompareAndSwap(true, false) {
		p.finish(c)
		return
	}
	if p.commits++; p.commits < measureEvery || p.busy.Load() {
		return
	}
	p.commits = 0
	log, err := c.pragma("wal_checkpoint(NOOP)") // measures only
	if err != nil {
		p.logger.Warn("measuring the log failed", "error", err)
		return
	}
	if pagesOf(log) >= p.pages {
		p.busy.Store(true)
		p.wake <- struct{}{}
	}
}

// finish moves what is left, so that the log can begin anew. When the log has
// grown far too long, it waits for the readers in the way, but no longer than a
// busy disk makes a commit wait.
func (p *checkpointer) finish(c *sqliteConn) {
	log, err := c.pragma("wal_checkpoint(PASSIVE)")
	if err == nil && pagesOf(log) > farTooLong*p.pages {
		for _, pragma := range []string{"busy_timeout = 20", "wal_checkpoint(RESTART)", "busy_timeout = 10000"} {
			if _, e := c.pragma(pragma); e != nil {
				err = e
			}
		}
	}
	if err != nil {
		p.logger.Warn("checkpoint failed", "error", err)
	}
}

// pagesOf returns the length of the log from the answer to a checkpoint: whether
// it was kept from something, the pages in the log, the pages of them that were
// moved.
func pagesOf(answer []driver.Value) int64 {
	if len(answer) < 2 {
		return 0
	}
	pages, _ := answer[1].(int64)
	return pages
}

// close ends the goroutine; afterCommit must not be called any more.
func (p *checkpointer) close() {
	close(p.wake)
	p.wait.Wait()
	_ = p.conn.close()
}
