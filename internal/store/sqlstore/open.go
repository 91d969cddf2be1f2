package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/store"
)

// Options are what Open can be told; the zero value is what a server wants.
type Options struct {
	// MaxConns is the most connections that are open at once: on PostgreSQL all
	// of them, on SQLite those that read (there is one more that writes).
	// Defaults to four times the number of CPUs on PostgreSQL, that number on
	// SQLite, and at least 4.
	MaxConns int
	// AllowDataLoss accepts a PostgreSQL that does not make a commit durable
	// before it answers (fsync or synchronous_commit off). Defaults to false:
	// Open refuses it.
	AllowDataLoss bool
	// Migrate lets Open create the schema in a PostgreSQL database that has none.
	// Defaults to false: that is for Migrate to do. SQLite always migrates.
	Migrate bool
	// Logger receives what goes wrong beside any call: a checkpoint that failed,
	// a transaction that is tried again. Defaults to discarding it.
	Logger *slog.Logger
}

func (o Options) maxConns(perCPU int) int {
	if o.MaxConns > 0 {
		return o.MaxConns
	}
	return max(4, perCPU*runtime.NumCPU())
}

func (o Options) logger() *slog.Logger {
	if o.Logger != nil {
		return o.Logger
	}
	return slog.New(slog.DiscardHandler)
}

// Stats count what a DB has done since it was opened.
type Stats struct {
	Updates int64 // functions that were committed
	Commits int64 // transactions that committed them; on SQLite many share one
	Retries int64 // functions that were run again
}

// stats are Stats under way.
type stats struct {
	updates, commits, retries atomic.Int64
}

// A DB is a store.Store in a SQL database.
type DB struct {
	engine
	dsn string
}

var _ store.Store = (*DB)(nil)

// An engine is what the two databases do differently.
type engine interface {
	view(ctx context.Context, fn func(conn) error) error
	update(ctx context.Context, fn func(conn) error) error
	// settled returns a seq up to which no event can appear any more, and
	// whether there are events beyond it.
	settled(ctx context.Context) (upTo int64, all bool, err error)
	// drain waits until every transaction has ended that may have written before
	// it was called; when that takes too long it returns false.
	drain(ctx context.Context) (bool, error)
	counters() *stats
	ping(ctx context.Context) error
	close() error
}

// errClosed is the error of a call after Close.
var errClosed = errors.New("database is closed")

// Open opens the database that dsn names, "sqlite:PATH" or "postgres://…", and
// checks that it keeps what it acknowledges and that its schema is the one of
// this program. A SQLite database is created when it is not there, and migrated
// when it is older (after a copy of it was made beside it); a PostgreSQL one is
// migrated by Migrate.
func Open(ctx context.Context, dsn string, opts Options) (*DB, error) {
	var e engine
	var err error
	switch kind, path := split(dsn); kind {
	case kindSQLite:
		e, err = openSQLite(ctx, path, opts)
	case kindPostgres:
		e, err = openPostgres(ctx, dsn, opts)
	default:
		return nil, errDSN(dsn)
	}
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	return &DB{engine: e, dsn: dsn}, nil
}

type kind int

const (
	kindUnknown kind = iota
	kindSQLite
	kindPostgres
)

// split tells which database dsn names, and of SQLite the path.
func split(dsn string) (kind, string) {
	if path, ok := strings.CutPrefix(dsn, "sqlite:"); ok && path != "" {
		return kindSQLite, path
	}
	if strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://") {
		return kindPostgres, ""
	}
	return kindUnknown, ""
}

// errDSN does not repeat the DSN beyond its scheme: it may hold a password.
func errDSN(dsn string) error {
	scheme, _, _ := strings.Cut(dsn, ":")
	return fmt.Errorf("database %q: want sqlite:PATH or postgres://…", scheme+":…")
}

// View implements store.Store.
func (db *DB) View(ctx context.Context, fn func(store.Reader) error) error {
	return db.view(ctx, func(c conn) error { return fn(&reader{c}) })
}

// Update implements store.Store.
func (db *DB) Update(ctx context.Context, fn func(store.Tx) error) error {
	return db.update(ctx, func(c conn) error {
		t := &tx{reader: reader{c}}
		if err := fn(t); err != nil {
			return err
		}
		return t.finish()
	})
}

// Events implements store.Store.
func (db *DB) Events(ctx context.Context, directory string, after int64, limit int) (list []*roster.Event, err error) {
	// What is not settled mostly is within milliseconds. A reader that finds
	// nothing else waits for that, but not long: a transaction may stay open.
	const patience = 32 * time.Millisecond
	for wait := time.Millisecond; ; wait *= 2 {
		upTo, all, err := db.settled(ctx)
		if err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
		if upTo > after {
			err := db.view(ctx, func(c conn) (err error) {
				list, err = queryEvents(c, directory, listEvents, directory, after, upTo, int64(limit))
				return err
			})
			if err != nil {
				return nil, wrap(err, "read events")
			}
		}
		if len(list) > 0 || all || wait > patience {
			return list, nil
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// LastEvents implements store.Store.
func (db *DB) LastEvents(ctx context.Context, directory string, limit int) (list []*roster.Event, err error) {
	upTo, _, err := db.settled(ctx)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	err = db.view(ctx, func(c conn) (err error) {
		list, err = queryEvents(c, directory, lastEvents, directory, upTo, int64(limit))
		return err
	})
	slices.Reverse(list)
	return list, wrap(err, "read events")
}

// Touch implements store.Store.
func (db *DB) Touch(ctx context.Context, used map[string]time.Time) error {
	if len(used) == 0 {
		return nil
	}
	// Sorted, so that two nodes wait for each other instead of deadlocking.
	ids := slices.Sorted(maps.Keys(used))
	err := db.update(ctx, func(c conn) error {
		for _, id := range ids {
			if err := c.later(touchKey, false, micros(used[id]), id); err != nil {
				return err
			}
		}
		return nil
	})
	return wrap(err, "touch keys")
}

// Stats returns what db has done so far.
func (db *DB) Stats() Stats {
	c := db.counters()
	return Stats{Updates: c.updates.Load(), Commits: c.commits.Load(), Retries: c.retries.Load()}
}

// Backup implements store.Store.
func (db *DB) Backup(ctx context.Context, path string) error { return Backup(ctx, db.dsn, path) }

// Ping implements store.Store.
func (db *DB) Ping(ctx context.Context) error { return wrap(db.ping(ctx), "ping database") }

// Close implements store.Store.
func (db *DB) Close() error { return wrap(db.close(), "close database") }
