package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A target is a server that is driven.
type target struct {
	*process
	name  string
	bare  bool // it stores nothing, and its answers are not looked at
	key   string
	path  string          // of the users
	users int             // how many there are
	ids   []byte          // theirs, idLength bytes each
	turns []atomic.Uint32 // how often active of each was changed

	groups  []*group
	cursors []string // of every page of the users, as they stand in a query
}

const idLength = len(bareID)

func (t *target) id(user int) []byte { return t.ids[user*idLength : (user+1)*idLength] }

// A turn is what one server did in one turn.
type turn struct {
	operations int
	elapsed    time.Duration
	p50, p99   time.Duration
	cpu        time.Duration // of the server's process, for all operations
}

func (t turn) rate() float64 { return float64(t.operations) / t.elapsed.Seconds() }

// A limit ends a turn: after a time, or for POST when the users up to the last
// are made.
type limit struct {
	duration   time.Duration
	next, last int
}

// drive gives t one turn of op on so many connections. Any answer but the one
// that op expects is an error.
func (t *target) drive(ctx context.Context, op *operation, connections int, l limit) (turn, error) {
	conns := make([]*conn, connections)
	for i := range conns {
		c, err := dial(ctx, t.addr)
		if err != nil {
			return turn{}, fmt.Errorf("%s: %w", t.name, err)
		}
		defer c.Close()
		conns[i] = c
	}
	before, err := t.cpu()
	if err != nil {
		return turn{}, err
	}
	w := &work{target: t, op: op, limit: l, start: time.Now()}
	w.next.Store(int64(l.next))
	stop := context.AfterFunc(ctx, func() { w.failed.Store(true) })
	defer stop()
	latencies := make([][]time.Duration, connections)
	errs := make([]error, connections)
	var wg sync.WaitGroup
	for i, c := range conns {
		wg.Go(func() {
			if latencies[i], errs[i] = w.run(c); errs[i] != nil {
				w.failed.Store(true)
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(w.start)
	after, err := t.cpu()
	if err != nil {
		return turn{}, err
	}
	if err := ctx.Err(); err != nil {
		return turn{}, err
	}
	for _, err := range errs {
		if err != nil {
			return turn{}, fmt.Errorf("%s: %s: %w", t.name, op.name, err)
		}
	}
	all := slices.Concat(latencies...)
	slices.Sort(all)
	done := turn{operations: len(all), elapsed: elapsed, cpu: after - before}
	if len(all) > 0 {
		done.p50, done.p99 = all[len(all)/2], all[len(all)*99/100]
	}
	return done, nil
}

// work is what the connections of one turn share.
type work struct {
	*target
	op     *operation
	limit  limit
	start  time.Time
	next   atomic.Int64
	failed atomic.Bool
}

// run sends requests on one connection until the turn ends, and returns how long
// each took.
func (w *work) run(c *conn) (latencies []time.Duration, err error) {
	rnd := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	latencies = make([]time.Duration, 0, 64<<10)
	if err := c.SetDeadline(time.Now().Add(w.limit.duration + patience)); err != nil {
		return nil, err
	}
	request := make([]byte, 0, 4<<10)
	sent := w.start
	for !w.failed.Load() {
		user := 0
		switch {
		case w.limit.duration > 0 && sent.Sub(w.start) >= w.limit.duration:
			return latencies, nil
		case w.op == post && w.limit.duration == 0:
			if user = int(w.next.Add(1)) - 1; user >= w.limit.last {
				return latencies, nil
			}
			if len(latencies)%100 == 0 { // users are made for as long as it takes
				if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
					return nil, err
				}
			}
		default:
			user = rnd.IntN(w.users)
		}
		request = w.op.request(request[:0], w.target, rnd, user)
		sent = time.Now()
		status, body, err := c.exchange(request)
		if err != nil {
			return nil, err
		}
		answered := time.Now()
		latencies = append(latencies, answered.Sub(sent))
		sent = answered
		if status != w.op.status {
			return nil, fmt.Errorf("got %d: %.500s", status, body)
		}
		if w.bare {
			continue
		}
		// Reading each answer would be work of the client: the first is enough.
		if len(latencies) == 1 && !w.op.check(w.target, body) {
			return nil, fmt.Errorf("the answer is not what was asked for: %.500s", body)
		}
		if w.op == post {
			if err := w.keepID(user, body); err != nil {
				return nil, err
			}
		}
	}
	return latencies, nil
}

// keepID notes the id of a user that was made.
func (t *target) keepID(user int, body []byte) error {
	id, err := idOf(body)
	copy(t.id(user), id)
	return err
}

// idOf returns the id in an answer.
func idOf(body []byte) (string, error) {
	const name = `"id":"`
	i := bytes.Index(body, []byte(name))
	if i < 0 || len(body) < i+len(name)+idLength || body[i+len(name)+idLength] != '"' {
		return "", fmt.Errorf("no id of %d characters in %.500q", idLength, body)
	}
	return string(body[i+len(name):][:idLength]), nil
}
