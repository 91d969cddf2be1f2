package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// The SQLSTATEs that mean something here (PostgreSQL's manual, appendix A).
const (
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	adminShutdown        = "57P01"
	crashShutdown        = "57P02"
	featureNotSupported  = "0A000"
	invalidStatementName = "26000"
	idleInTransaction    = "25P03"
	uniqueViolation      = "23505"
	undefinedTable       = "42P01"
)

const (
	// maxAttempts is how often an Update is run at the most.
	maxAttempts = 20
	// txTimeout bounds one run of it. The caller's context does not: to end a
	// statement half way costs the connection, and leaves open what became of a
	// COMMIT.
	txTimeout = time.Minute
	// idleTimeout is how long a transaction may wait for its process, which is
	// stopped then, while others wait for its locks.
	idleTimeout = 10 * time.Second
)

// postgresEngine is a PostgreSQL database.
type postgresEngine struct {
	pool   *pgxpool.Pool
	logger *slog.Logger
	stats  stats
	order  order
}

var _ engine = (*postgresEngine)(nil)

func openPostgres(ctx context.Context, dsn string, opts Options) (_ *postgresEngine, err error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	if _, ok := config.ConnConfig.RuntimeParams["application_name"]; !ok {
		config.ConnConfig.RuntimeParams["application_name"] = "roster"
	}
	config.MaxConns = int32(opts.maxConns(4))
	// Not as a parameter of the connection, which some proxies refuse.
	config.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, fmt.Sprintf(`SET idle_in_transaction_session_timeout = %d`, idleTimeout.Milliseconds()))
		return err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			pool.Close()
		}
	}()
	s, err := schemaPostgres(ctx, pool)
	if err != nil {
		return nil, err
	}
	if err := s.newer(); err != nil {
		return nil, err
	}
	if s.Current == 0 && opts.Migrate {
		if err := migratePostgres(ctx, dsn, s, opts.logger()); err != nil {
			return nil, err
		}
	} else if len(s.Pending) > 0 {
		return nil, fmt.Errorf("schema version %d is older than this program's, %d: run `roster migrate`", s.Current, s.Latest)
	}
	if !opts.AllowDataLoss {
		if err := durable(ctx, pool); err != nil {
			return nil, err
		}
	}
	return &postgresEngine{pool: pool, logger: opts.logger()}, nil
}

// durable refuses a server whose commits are not on disk when it answers.
func durable(ctx context.Context, pool *pgxpool.Pool) error {
	for _, setting := range []string{"fsync", "synchronous_commit"} {
		var value string
		if err := pool.QueryRow(ctx, `SELECT current_setting($1)`, setting).Scan(&value); err != nil {
			return err
		}
		if value == "off" {
			return fmt.Errorf("the server has %s off and would lose acknowledged changes in a crash: switch it on, or allow data loss", setting)
		}
	}
	return nil
}

func (e *postgresEngine) view(ctx context.Context, fn func(conn) error) error {
	c, err := e.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer c.Release()
	return fn(&postgresConn{session: sessionOf(c.Conn().PgConn()), ctx: ctx})
}

func (e *postgresEngine) update(ctx context.Context, fn func(conn) error) error {
	for attempt := 1; ; attempt++ {
		again, err := e.attempt(ctx, fn)
		if !again || attempt == maxAttempts {
			return err
		}
		e.stats.retries.Add(1)
		e.logger.Debug("transaction is tried again", "attempt", attempt, "error", err)
		// A random wait, so that those who have met do not meet again.
		wait := time.Duration(rand.Int64N(int64(min(time.Millisecond<<attempt, 100*time.Millisecond))))
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return err
		}
	}
}

// attempt runs fn in a transaction once. again says that it failed because of
// others, and that nothing of it was committed.
func (e *postgresEngine) attempt(ctx context.Context, fn func(conn) error) (again bool, err error) {
	c, err := e.pool.Acquire(ctx)
	if err != nil {
		return false, err
	}
	// A connection that is still in a transaction is closed, not kept.
	defer c.Release()
	pg := c.Conn().PgConn()
	// A deadline of the socket, because watching a context costs more.
	if err := pg.Conn().SetDeadline(time.Now().Add(txTimeout)); err != nil {
		return true, err // it is closed
	}
	defer func() { _ = pg.Conn().SetDeadline(time.Time{}) }()
	p := &postgresConn{session: sessionOf(pg), ctx: context.WithoutCancel(ctx), tx: true, n: rand.Int64N(shards)}
	// Also when fn panics, or ends its goroutine.
	defer p.rollback()
	if err = fn(p); err == nil {
		err = p.commit()
	}
	if err == nil {
		e.stats.updates.Add(1)
		e.stats.commits.Add(1)
		return false, nil
	}
	// p.failure, because err may have become another on its way through fn.
	if failure, ok := errors.AsType[*pgconn.PgError](p.failure); ok {
		switch failure.Code {
		case serializationFailure, deadlockDetected:
			return true, err
		case adminShutdown, crashShutdown, featureNotSupported, invalidStatementName, idleInTransaction:
		default:
			return false, err
		}
	}
	// A connection that was lost before COMMIT was sent has lost nothing else.
	// After that nobody knows.
	return p.failure != nil && pg.IsClosed() && !p.committing && !errors.Is(p.failure, os.ErrDeadlineExceeded), err
}

func (e *postgresEngine) counters() *stats { return &e.stats }

func (e *postgresEngine) ping(ctx context.Context) error { return e.pool.Ping(ctx) }

func (e *postgresEngine) close() error {
	e.pool.Close()
	return nil
}
