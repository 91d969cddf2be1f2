package sqlstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/roster-scim/roster/internal/store"
)

// shards is over how many rows a counter is spread.
const shards = 16

// A postgresConn is a connection, in a transaction if tx is set. Writes that
// need no answer are queued and sent together with the next statement that
// needs one: BEGIN travels with the first, and COMMIT with the last. So a
// transaction that reads a row, replaces it and appends an event takes two round
// trips.
type postgresConn struct {
	ctx  context.Context
	conn *pgx.Conn
	tx   bool
	n    int64 // the shard of counters

	queue      pgx.Batch
	must       []bool // of each statement in queue, whether it must change a row
	begun      bool   // BEGIN was sent, or is in queue
	sent       bool   // BEGIN was sent, and neither COMMIT nor ROLLBACK has succeeded
	committing bool   // COMMIT was sent
	failure    error  // the first failure of the database
}

var _ conn = (*postgresConn)(nil)

func (p *postgresConn) enqueue(text string, must bool, args ...any) {
	p.queue.Queue(text, args...)
	p.must = append(p.must, must)
}

// begin sees to it that BEGIN goes before what comes now. The isolation is named
// because a server can have another default, under which no read after a wait
// would see what it has waited for.
func (p *postgresConn) begin() {
	if p.tx && !p.begun {
		p.begun = true
		p.enqueue(`BEGIN ISOLATION LEVEL READ COMMITTED`, false)
	}
}

// send sends the queue, whose last own statements the caller reads the results
// of, and reads those of the others.
func (p *postgresConn) send(own int) (pgx.BatchResults, error) {
	batch, must := p.queue, p.must[:len(p.must)-own]
	p.queue, p.must = pgx.Batch{}, p.must[:0]
	p.sent = p.begun
	results := p.conn.SendBatch(p.ctx, &batch)
	for _, must := range must {
		tag, err := results.Exec()
		if err == nil && must && tag.RowsAffected() == 0 {
			err = store.ErrStale
		}
		if err != nil {
			_ = results.Close()
			return nil, p.failed(err)
		}
	}
	return results, nil
}

// failed keeps the first failure, after which the transaction cannot commit.
func (p *postgresConn) failed(err error) error {
	if err == nil {
		return nil
	}
	if p.failure == nil {
		p.failure = err
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == uniqueViolation {
		return store.ErrExists
	}
	return err
}

func (p *postgresConn) query(s *statement, fn func(row) error, args ...any) error {
	p.begin()
	if len(p.queue.QueuedQueries) == 0 {
		rows, err := p.conn.Query(p.ctx, s.postgres, args...)
		if err != nil {
			return p.failed(err)
		}
		return p.scan(rows, fn)
	}
	p.enqueue(s.postgres, false, args...)
	results, err := p.send(1)
	if err != nil {
		return err
	}
	rows, err := results.Query()
	if err != nil {
		_ = results.Close()
		return p.failed(err)
	}
	err = p.scan(rows, fn)
	return errors.Join(err, p.failed(results.Close()))
}

func (p *postgresConn) scan(rows pgx.Rows, fn func(row) error) error {
	for rows.Next() {
		if err := fn(row{postgres: rows.RawValues()}); err != nil {
			rows.Close()
			return err
		}
	}
	return p.failed(rows.Err())
}

func (p *postgresConn) exec(s *statement, args ...any) (int64, error) {
	counts, err := p.execAll([]command{{s, args}})
	if err != nil {
		return 0, err
	}
	return counts[0], nil
}

func (p *postgresConn) execAll(commands []command) ([]int64, error) {
	p.begin()
	for _, c := range commands {
		p.enqueue(c.postgres, false, c.args...)
	}
	results, err := p.send(len(commands))
	if err != nil {
		return nil, err
	}
	counts := make([]int64, len(commands))
	for i := range counts {
		tag, err := results.Exec()
		if err != nil {
			_ = results.Close()
			return nil, p.failed(err)
		}
		counts[i] = tag.RowsAffected()
	}
	return counts, p.failed(results.Close())
}

func (p *postgresConn) later(s *statement, must bool, args ...any) error {
	p.begin()
	p.enqueue(s.postgres, must, args...)
	return nil
}

func (p *postgresConn) shard() int64 { return p.n }

func (p *postgresConn) addEvent(args ...any) error { return p.later(insertEvent, true, args...) }

// commit sends what is queued, and COMMIT.
func (p *postgresConn) commit() error {
	if p.failure != nil {
		return fmt.Errorf("function has ignored a failure of the database: %w", p.failure)
	}
	if !p.begun {
		return nil
	}
	p.committing = true
	p.enqueue(`COMMIT`, false)
	results, err := p.send(1)
	if err != nil {
		return err
	}
	tag, err := results.Exec()
	err = errors.Join(err, results.Close())
	if err != nil {
		return p.failed(fmt.Errorf("commit: %w", err))
	}
	p.sent = false
	if tag.String() != "COMMIT" {
		return p.failed(fmt.Errorf("commit: the server has answered %s", tag))
	}
	return nil
}

// rollback ends the transaction, if one is open, so that the connection can be
// used again.
func (p *postgresConn) rollback() {
	if p.sent && !p.conn.IsClosed() {
		_, _ = p.conn.Exec(p.ctx, `ROLLBACK`)
	}
}
