package sqlstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/roster-scim/roster/internal/store"
	"modernc.org/sqlite"
)

// A sqliteConn is a connection to a SQLite database with its prepared
// statements. One goroutine uses it at a time.
type sqliteConn struct {
	driver.Conn
	ctx        context.Context // of the View that reads
	statements []driver.Stmt   // by statement.index; nil until first used
	values     []driver.Value  // the current row
	args       []driver.NamedValue
	writer     *writer // nil on a connection that reads
}

var _ conn = (*sqliteConn)(nil)

// connectSQLite opens a connection and runs the pragmas, "name = value", on it.
func connectSQLite(path string, pragmas ...string) (*sqliteConn, error) {
	dc, err := new(sqlite.Driver).Open(sqliteURI(path))
	if err != nil {
		return nil, err
	}
	c := &sqliteConn{Conn: dc, statements: make([]driver.Stmt, len(statements))}
	for _, p := range append([]string{"busy_timeout = 10000"}, pragmas...) {
		if _, err := c.pragma(p); err != nil {
			_ = c.Close()
			return nil, fmt.Errorf("set %s: %w", p, err)
		}
	}
	return c, nil
}

// sqliteURI returns the URI of a file, in which nothing of its path is taken for
// a parameter.
func sqliteURI(path string) string {
	path = filepath.ToSlash(path)
	if filepath.VolumeName(path) != "" {
		path = "/" + path
	}
	return "file:" + strings.ReplaceAll((&url.URL{Path: path}).EscapedPath(), "?", "%3F")
}

// pragma runs PRAGMA p and returns the first row of its result.
func (c *sqliteConn) pragma(p string) ([]driver.Value, error) {
	return c.first("PRAGMA " + p)
}

// first runs a query that is not worth keeping and returns its first row, or nil.
func (c *sqliteConn) first(text string) ([]driver.Value, error) {
	rows, err := c.Conn.(driver.QueryerContext).QueryContext(context.Background(), text, nil)
	if err != nil {
		return nil, err
	}
	values := make([]driver.Value, len(rows.Columns()))
	err = rows.Next(values)
	if errors.Is(err, io.EOF) {
		values, err = nil, nil
	}
	return values, errors.Join(err, rows.Close())
}

// prepared returns s with its arguments, both valid until the next call.
func (c *sqliteConn) prepared(s *statement, args []any) (driver.Stmt, []driver.NamedValue, error) {
	p := c.statements[s.index]
	if p == nil {
		var err error
		if p, err = c.Prepare(s.sqlite); err != nil {
			return nil, nil, err
		}
		c.statements[s.index] = p
	}
	c.args = c.args[:0]
	for i, a := range args {
		c.args = append(c.args, driver.NamedValue{Ordinal: i + 1, Value: a})
	}
	return p, c.args, nil
}

func (c *sqliteConn) query(s *statement, fn func(row) error, args ...any) (err error) {
	p, named, err := c.prepared(s, args)
	if err != nil {
		return c.failed(err)
	}
	// A context that can end would cost a goroutine in the driver.
	rows, err := p.(driver.StmtQueryContext).QueryContext(context.Background(), named)
	if err != nil {
		return c.failed(err)
	}
	defer func() {
		if e := rows.Close(); err == nil && e != nil {
			err = c.failed(e)
		}
	}()
	n := len(rows.Columns())
	for len(c.values) < n {
		c.values = append(c.values, nil)
	}
	for i := 0; ; i++ {
		if err := rows.Next(c.values[:n]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return c.failed(err)
		}
		if err := fn(row{sqlite: c.values[:n]}); err != nil {
			return err
		}
		if i%64 == 63 && c.ctx != nil && c.ctx.Err() != nil {
			return c.ctx.Err()
		}
	}
}

func (c *sqliteConn) exec(s *statement, args ...any) (int64, error) {
	if c.writer != nil {
		if err := c.writer.beforeWrite(); err != nil {
			return 0, err
		}
	}
	p, named, err := c.prepared(s, args)
	if err != nil {
		return 0, c.failed(err)
	}
	result, err := p.(driver.StmtExecContext).ExecContext(context.Background(), named)
	if err != nil {
		return 0, c.failed(err)
	}
	n, err := result.RowsAffected()
	if n > 0 && c.writer != nil {
		c.writer.wrote = true
	}
	return n, err
}

func (c *sqliteConn) execAll(commands []command) (counts []int64, err error) {
	for _, cmd := range commands {
		n, err := c.exec(cmd.statement, cmd.args...)
		if err != nil {
			return nil, err
		}
		if counts = append(counts, n); n == 0 {
			break
		}
	}
	return counts, nil
}

func (c *sqliteConn) later(s *statement, must bool, args ...any) error {
	n, err := c.exec(s, args...)
	if err == nil && must && n == 0 {
		return store.ErrStale
	}
	return err
}

func (c *sqliteConn) guard(s *statement, args ...any) error { return c.later(s, true, args...) }

func (c *sqliteConn) expect(directory string, version int64) error {
	err := one(c, checkDirectory, func(row) {}, directory, version)
	if errors.Is(err, store.ErrNotFound) {
		return store.ErrStale
	}
	return err
}

// lockDirectory has nothing to do: there is one writer.
func (c *sqliteConn) lockDirectory(string) error { return nil }

func (c *sqliteConn) shard() int64 { return 0 }

func (c *sqliteConn) addEvent(args ...any) (int64, error) {
	seq, err := c.writer.nextSeq()
	if err != nil {
		return 0, err
	}
	_, err = c.exec(insertEvent, append(args, seq)...)
	return seq, err
}

// failed notes that SQLite itself has failed, after which it may have undone the
// whole transaction.
func (c *sqliteConn) failed(err error) error {
	if c.writer != nil {
		c.writer.failed = true
	}
	return err
}

// close closes the statements and the connection.
func (c *sqliteConn) close() error {
	var errs []error
	for _, s := range c.statements {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(append(errs, c.Conn.Close())...)
}
