package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"sync"

	"modernc.org/sqlite"
)

// sqliteEngine is a SQLite database that this process alone has open.
type sqliteEngine struct {
	path       string
	lock       *os.File
	writer     *writer
	readers    readers
	checkpoint *checkpointer
	stats      stats
}

var _ engine = (*sqliteEngine)(nil)

func openSQLite(ctx context.Context, path string, opts Options) (_ *sqliteEngine, err error) {
	// Where there is fdatasync, a commit waits for the data alone and not for the
	// file's times; what is durable is the same. Elsewhere there is fsync.
	if _, err := sqlite.Fdatasync(true); err != nil && !errors.Is(err, sqlite.ErrFdatasyncUnavailable) {
		return nil, err
	}
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, err
	}
	e := &sqliteEngine{path: path, lock: lock}
	defer func() {
		if err != nil {
			_ = lock.Close()
		}
	}()
	if err := migrateSQLite(ctx, path, folder(kindSQLite), opts.logger()); err != nil {
		return nil, err
	}
	connect := func() (*sqliteConn, error) { return connectWriter(path) }
	c, err := connect()
	if err != nil {
		return nil, err
	}
	e.writer = &writer{
		connect: connect, conn: c, stats: &e.stats, logger: opts.logger(),
		jobs: make(chan *job, maxBatch), done: make(chan struct{}),
	}
	c.writer = e.writer
	if e.checkpoint, err = newCheckpointer(path, opts.logger()); err != nil {
		_ = c.close()
		return nil, err
	}
	e.writer.after = func() { e.checkpoint.afterCommit(e.writer.conn) }
	e.readers = readers{path: path, slots: make(chan struct{}, opts.maxConns(1))}
	go e.writer.run()
	go e.checkpoint.run()
	return e, nil
}

// connectWriter opens the connection that writes and makes certain that its
// commits are durable.
func connectWriter(path string) (*sqliteConn, error) {
	c, err := connectSQLite(path,
		"journal_mode = WAL",
		"synchronous = FULL",
		"foreign_keys = ON",
		"wal_autocheckpoint = 0", // see checkpointer
		"journal_size_limit = 67108864",
		"temp_store = MEMORY",
		// Not more: when an index page is split, which nearly every batch does,
		// SQLite 3.54 looks through all of the cache at the commit.
		"cache_size = -8192",
	)
	if err != nil {
		return nil, err
	}
	for pragma, want := range map[string]any{"journal_mode": "wal", "synchronous": int64(2)} {
		got, err := c.pragma(pragma)
		if err == nil && (len(got) != 1 || got[0] != want) {
			err = fmt.Errorf("%s is %v, not %v: commits would not be durable", pragma, got, want)
		}
		if err != nil {
			_ = c.close()
			return nil, err
		}
	}
	return c, nil
}

func (e *sqliteEngine) view(ctx context.Context, fn func(conn) error) error {
	c, err := e.readers.take(ctx)
	if err != nil {
		return err
	}
	c.ctx = ctx
	defer func() {
		c.ctx = nil
		e.readers.give(c)
	}()
	return fn(c)
}

func (e *sqliteEngine) update(ctx context.Context, fn func(conn) error) error {
	return e.writer.update(ctx, fn)
}

// settled: there is one writer, so what is committed has its final order.
func (e *sqliteEngine) settled(context.Context) (int64, bool, error) { return math.MaxInt64, true, nil }

// drain: a function that has not begun finds what is committed.
func (e *sqliteEngine) drain(context.Context) (bool, error) { return true, nil }

func (e *sqliteEngine) counters() *stats { return &e.stats }

func (e *sqliteEngine) ping(ctx context.Context) error {
	return e.view(ctx, func(c conn) error {
		_, err := c.(*sqliteConn).first("SELECT value FROM settings LIMIT 1")
		return err
	})
}

// close ends the writer first, which calls the checkpointer, and closes its
// connection last: the last one to close moves the log into the database.
func (e *sqliteEngine) close() error {
	if e.readers.close() {
		<-e.writer.done
		return nil
	}
	e.writer.end()
	e.checkpoint.close()
	return errors.Join(e.readers.drain(), e.writer.conn.close(), e.lock.Close())
}

// readers is a pool of connections that read. The one that was used last is
// taken first, for what it has cached.
type readers struct {
	path  string
	slots chan struct{} // as many as there may be connections in use

	mu     sync.Mutex
	idle   []*sqliteConn
	closed bool
}

func (r *readers) take(ctx context.Context) (*sqliteConn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	r.mu.Lock()
	closed := r.closed
	var c *sqliteConn
	if n := len(r.idle); n > 0 && !closed {
		c = r.idle[n-1]
		r.idle = r.idle[:n-1]
	}
	r.mu.Unlock()
	var err error
	switch {
	case closed:
		err = errClosed
	case c == nil:
		c, err = connectSQLite(r.path, "query_only = ON", "temp_store = MEMORY", "cache_size = -8192")
	}
	if err != nil {
		<-r.slots
		return nil, err
	}
	return c, nil
}

func (r *readers) give(c *sqliteConn) {
	r.mu.Lock()
	r.idle = append(r.idle, c)
	r.mu.Unlock()
	<-r.slots
}

// close lets no more connections be taken and reports whether that was so
// already.
func (r *readers) close() (already bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	already, r.closed = r.closed, true
	return already
}

// drain waits for the connections in use and closes all.
func (r *readers) drain() error {
	for range cap(r.slots) {
		r.slots <- struct{}{}
	}
	var errs []error
	for _, c := range r.idle {
		errs = append(errs, c.close())
	}
	for range cap(r.slots) {
		<-r.slots // who comes now finds it closed
	}
	return errors.Join(errs...)
}

// exists reports whether there is a file with something in it.
func exists(path string) (bool, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && info.Size() > 0, err
}
