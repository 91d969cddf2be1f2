package sqlstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/roster-scim/roster/internal/store"
)

// shards is over how many rows a counter is spread.
const shards = 16

// A postgresConn is a connection, in a transaction if tx is set. Writes that
// need no answer are queued and sent together with the next statement that
// needs one: BEGIN travels with the first, and COMMIT with the last. So a
// transaction that reads a row, replaces it and appends an event takes two round
// trips.
//
// It speaks to pgconn, the protocol below pgx's types: the values are of three
// types only, whose binary forms take no more than a copy.
type postgresConn struct {
	*session
	ctx context.Context
	tx  bool
	n   int64 // the shard of counters

	begun      bool  // BEGIN was sent, or is in queue
	open       bool  // BEGIN was sent, and COMMIT has not succeeded
	committing bool  // COMMIT was sent
	guarded    bool  // a guard is in queue
	failure    error // the first failure of the database
}

var _ conn = (*postgresConn)(nil)

// A session is what is kept of a connection from one use to the next.
type session struct {
	conn     *pgconn.PgConn
	prepared []*pgconn.StatementDescription // by statement.index; nil until first used
	queue    []pending
	params   [][]byte // the arguments of queue
	arena    []byte   // their bytes
}

// A pending is a statement that waits to be sent.
type pending struct {
	*statement
	must   bool // it must change a row
	params [][]byte
}

// sessionKey is where pgconn keeps the session of a connection.
const sessionKey = "roster"

func sessionOf(c *pgconn.PgConn) *session {
	if s, ok := c.CustomData()[sessionKey].(*session); ok {
		return s
	}
	s := &session{conn: c, prepared: make([]*pgconn.StatementDescription, len(statements))}
	c.CustomData()[sessionKey] = s
	s.clear()
	return s
}

// clear empties the queue. What has grown beyond the usual is not kept.
func (s *session) clear() {
	const usual = 16 << 10
	if s.arena == nil || cap(s.arena) > usual {
		s.arena = make([]byte, 0, usual) // not nil, as its parts would then be NULL
	}
	s.queue, s.params, s.arena = s.queue[:0], s.params[:0], s.arena[:0]
}

func (s *session) enqueue(st *statement, must bool, args []any) {
	from := len(s.params)
	for _, a := range args {
		at := len(s.arena)
		switch a := a.(type) {
		case string:
			s.arena = append(s.arena, a...)
		case []byte:
			s.arena = append(s.arena, a...)
		case int64:
			s.arena = binary.BigEndian.AppendUint64(s.arena, uint64(a))
		default:
			panic(fmt.Sprintf("argument of type %T", a))
		}
		// Growing moves neither what is there to what was taken of it before.
		s.params = append(s.params, s.arena[at:len(s.arena):len(s.arena)])
	}
	s.queue = append(s.queue, pending{st, must, s.params[from:len(s.params):len(s.params)]})
}

// describe returns st prepared, which the first time takes a round trip.
func (s *session) describe(ctx context.Context, st *statement) (*pgconn.StatementDescription, error) {
	if d := s.prepared[st.index]; d != nil {
		return d, nil
	}
	d, err := s.conn.Prepare(ctx, "roster_"+strconv.Itoa(st.index), st.postgres, nil)
	if err != nil {
		return nil, err
	}
	for _, oid := range d.ParamOIDs {
		switch oid {
		case pgtype.TextOID, pgtype.Int8OID, pgtype.ByteaOID:
		default:
			return nil, fmt.Errorf("parameter of type %d: %s", oid, st.postgres)
		}
	}
	for _, f := range d.Fields {
		switch f.DataTypeOID {
		case pgtype.TextOID, pgtype.Int8OID, pgtype.ByteaOID:
		default:
			return nil, fmt.Errorf("column of type %d: %s", f.DataTypeOID, st.postgres)
		}
	}
	s.prepared[st.index] = d
	return d, nil
}

// The isolation is named because a server can have another default, under which
// no read after a wait would see what it has waited for.
var (
	beginTx    = differ(``, `BEGIN ISOLATION LEVEL READ COMMITTED`)
	commitTx   = differ(``, `COMMIT`)
	rollbackTx = differ(``, `ROLLBACK`)
)

// add queues a statement, after BEGIN if it is the first.
func (p *postgresConn) add(s *statement, must bool, args []any) {
	if p.tx && !p.begun {
		p.begun = true
		p.enqueue(beginTx, false, nil)
	}
	p.enqueue(s, must, args)
}

// binaryFormat asks for all values, and announces all, in their binary form.
var binaryFormat = []int16{1}

// send sends the queue and reads its results; read is called with those of the
// last own statements.
func (p *postgresConn) send(own int, read func(*pgconn.ResultReader) error) error {
	defer p.clear()
	p.guarded = false
	for _, q := range p.queue {
		if _, err := p.describe(p.ctx, q.statement); err != nil {
			return p.failed(err)
		}
	}
	p.open = p.begun
	pipeline := p.conn.StartPipeline(p.ctx)
	for _, q := range p.queue {
		pipeline.SendQueryStatement(p.prepared[q.index], q.params, binaryFormat, binaryFormat)
	}
	err := pipeline.Sync()
	for i := 0; err == nil && i < len(p.queue); i++ {
		err = p.result(pipeline, func(r *pgconn.ResultReader) error {
			if i >= len(p.queue)-own {
				return read(r)
			}
			tag, err := r.Close()
			if err == nil && p.queue[i].must && tag.RowsAffected() == 0 {
				err = store.ErrStale
			}
			return err
		})
	}
	if e := pipeline.Close(); err == nil {
		err = e
	}
	return p.failed(err)
}

// result reads the next result of a pipeline.
func (p *postgresConn) result(pipeline *pgconn.Pipeline, read func(*pgconn.ResultReader) error) error {
	result, err := pipeline.GetResults()
	if err != nil {
		return err
	}
	r, ok := result.(*pgconn.ResultReader)
	if !ok {
		return fmt.Errorf("the server has answered a statement with %T", result)
	}
	return read(r)
}

// failed keeps the first failure, after which the transaction cannot commit.
func (p *postgresConn) failed(err error) error {
	if err == nil {
		return nil
	}
	if p.failure == nil {
		p.failure = err
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch e.Code {
		case uniqueViolation:
			return store.ErrExists
		case featureNotSupported, invalidStatementName:
			// A migration has changed what a prepared statement returns, or a proxy
			// has forgotten the statement: the next connection prepares it again.
			_ = p.conn.Close(p.ctx)
		}
	}
	return err
}

func (p *postgresConn) query(s *statement, fn func(row) error, args ...any) error {
	p.add(s, false, args)
	var stop error // of fn, which is no failure
	err := p.send(1, func(r *pgconn.ResultReader) error {
		for stop == nil && r.NextRow() {
			stop = fn(row{postgres: r.Values()})
		}
		_, err := r.Close()
		return err
	})
	if err != nil {
		return err
	}
	return stop
}

func (p *postgresConn) exec(s *statement, args ...any) (n int64, err error) {
	p.add(s, false, args)
	err = p.send(1, func(r *pgconn.ResultReader) error {
		tag, err := r.Close()
		n = tag.RowsAffected()
		return err
	})
	return n, err
}

func (p *postgresConn) execAll(commands []command) ([]int64, error) {
	counts := make([]int64, 0, len(commands))
	for _, c := range commands {
		p.add(c.statement, false, c.args)
	}
	err := p.send(len(commands), func(r *pgconn.ResultReader) error {
		tag, err := r.Close()
		counts = append(counts, tag.RowsAffected())
		return err
	})
	return counts, err
}

func (p *postgresConn) later(s *statement, must bool, args ...any) error {
	p.add(s, must, args)
	return nil
}

// expect travels with what follows. A SELECT that finds nothing is told as a
// write that changes nothing is.
func (p *postgresConn) expect(directory string, version int64) error {
	if err := p.later(shareDirectory, false, directoryLock(directory)); err != nil {
		return err
	}
	return p.guard(checkDirectory, directory, version)
}

// guard is answered before COMMIT is sent.
func (p *postgresConn) guard(s *statement, args ...any) error {
	p.guarded = true
	return p.later(s, true, args...)
}

func (p *postgresConn) lockDirectory(id string) error {
	return p.later(aloneDirectory, false, directoryLock(id))
}

func (p *postgresConn) shard() int64 { return p.n }

func (p *postgresConn) addEvent(args ...any) (int64, error) {
	return 0, p.later(insertEvent, true, args...)
}

// commit sends what is queued, and COMMIT.
func (p *postgresConn) commit() error {
	if p.failure != nil {
		return fmt.Errorf("function has ignored a failure of the database: %w", p.failure)
	}
	if !p.begun {
		return nil
	}
	if p.guarded {
		if err := p.send(0, nil); err != nil {
			return err
		}
	}
	p.enqueue(commitTx, false, nil)
	p.committing = true
	return p.send(1, func(r *pgconn.ResultReader) error {
		tag, err := r.Close()
		if err != nil {
			return fmt.Errorf("commit: %w", err)
		}
		p.open = false
		if tag.String() != "COMMIT" {
			return fmt.Errorf("commit: the server has answered %s", tag)
		}
		return nil
	})
}

// rollback forgets what is queued and ends the transaction, if one is open, so
// that the connection can be used again.
func (p *postgresConn) rollback() {
	p.clear()
	if p.open && !p.conn.IsClosed() && !p.conn.IsBusy() {
		p.enqueue(rollbackTx, false, nil)
		_ = p.send(0, nil)
	}
}
