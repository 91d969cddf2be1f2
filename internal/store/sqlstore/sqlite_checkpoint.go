package sqlstore

import (
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
// writer, between two transactions, moves what has come since and begins the log
// anew, if no reader is in the way.
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
	logPages = 8000
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
		p.restart(c)
		return
	}
	if p.commits++; p.commits < measureEvery || p.busy.Load() {
		return
	}
	p.commits = 0
	// NOOP measures only: whether it was kept from something, the pages in the
	// log, the pages of them that were moved.
	log, err := c.pragma("wal_checkpoint(NOOP)")
	if err != nil {
		p.logger.Warn("measuring the log failed", "error", err)
		return
	}
	if pages, _ := log[1].(int64); pages >= p.pages {
		p.busy.Store(true)
		p.wake <- struct{}{}
	}
}

// restart moves what is left and begins the log anew. Readers that are under way
// are waited for, but no longer than a busy disk makes a commit wait.
func (p *checkpointer) restart(c *sqliteConn) {
	for _, pragma := range []string{"busy_timeout = 20", "wal_checkpoint(RESTART)", "busy_timeout = 10000"} {
		if _, err := c.pragma(pragma); err != nil {
			p.logger.Warn("checkpoint failed", "pragma", pragma, "error", err)
		}
	}
}

// close ends the goroutine; afterCommit must not be called any more.
func (p *checkpointer) close() {
	close(p.wake)
	p.wait.Wait()
	_ = p.conn.close()
}
