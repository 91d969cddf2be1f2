package durable

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/workflow"
)

// A line leads to a PostgreSQL server.
type line struct {
	dsn  string
	flow sync.RWMutex // held for writing: nothing passes, and nothing is closed

	mu   sync.Mutex
	ends []net.Conn
}

// newLine returns a line to the server of dsn.
func newLine(t *testing.T, dsn string) *line {
	t.Helper()
	config, err := pgconn.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	in, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close() })
	l := &line{dsn: (&url.URL{
		Scheme: "postgres", User: url.UserPassword(config.User, config.Password), Host: in.Addr().String(), Path: config.Database,
		RawQuery: "sslmode=disable",
	}).String()}
	go func() {
		for {
			a, err := in.Accept()
			if err != nil {
				return
			}
			network, address := pgconn.NetworkAddress(config.Host, config.Port)
			b, err := net.Dial(network, address)
			if err != nil {
				_ = a.Close()
				continue
			}
			l.mu.Lock()
			l.ends = append(l.ends, a, b)
			l.mu.Unlock()
			go l.pass(a, b)
			go l.pass(b, a)
		}
	}()
	return l
}

func (l *line) pass(to, from net.Conn) {
	defer to.Close()
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		l.flow.RLock()
		if n > 0 {
			_, err = to.Write(b[:n])
		}
		l.flow.RUnlock()
		if err != nil {
			return
		}
	}
}

// cut ends all connections.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.ends {
		_ = c.Close()
	}
	l.ends = nil
}

// countedLeases tells of each renewal.
type countedLeases struct {
	LeaseStore
	renewed chan struct{}
}

func (l countedLeases) RenewLease(ctx context.Context, name, holder string, d time.Duration) error {
	err := l.LeaseStore.RenewLease(ctx, name, holder, d)
	if err == nil {
		select {
		case l.renewed <- struct{}{}:
		default:
		}
	}
	return err
}

// A node whose database hangs keeps its lease, and can be stopped.
func TestNode_DatabaseHangs(t *testing.T) {
	t.Parallel()
	o := onPostgres(t)
	l := newLine(t, o.dsn)
	o.dsn = l.dsn
	begun := make(chan string, 1)
	opts := o.options(func(ctx context.Context, x workflow.Execution) ([]byte, error) {
		return x.Do(ctx, "hang", hangs(begun, ""))
	})
	renewed := make(chan struct{})
	opts.Leases = countedLeases{o.leases, renewed}
	opts.Dead = 3 * time.Second
	e := o.open(opts)
	start(t, e, "r1")
	next(t, begun)
	l.flow.Lock()
	defer l.flow.Unlock()
	for range 4 { // in longer than a lease holds
		next(t, renewed)
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		closeNow(t, e)
	}()
	next(t, closed)
}

// Connections that are cut in whatever moment: no run fails of it, and none is lost.
func TestNode_ConnectionsAreCut(t *testing.T) {
	t.Parallel()
	o := onPostgres(t)
	opts := o.options(nil)
	opts.Work = false
	api := o.open(opts)
	l := newLine(t, o.dsn)
	o.dsn = l.dsn
	begun := make(begun, 10_000)
	opts = o.options(begun.several)
	opts.Dead, opts.Attempts = time.Second, 1000
	o.open(opts)
	ids := startMany(t, api, 40)
	for i := range 30 {
		begun.wait(t, 1)
		for range i % 8 { // some milliseconds
			if _, err := api.Get(t.Context(), dir, ids[0]); err != nil {
				t.Fatal(err)
			}
		}
		l.cut()
	}
	succeed(t, api, ids)
}

// A node that stops and starts in whatever moment: no run fails of it, and none is
// lost.
func TestEngine_StopsAndStarts(t *testing.T) {
	onBoth(t, func(t *testing.T, o opener) {
		begun := make(begun, 10_000)
		var ids []string
		for i := range 12 {
			e := o.node(begun.several)
			if i == 0 {
				ids = startMany(t, e, 60)
			}
			begun.wait(t, i)
			closeNow(t, e)
		}
		succeed(t, o.node(begun.several), ids)
	})
}

// begun is told of each step.
type begun chan string

func (b begun) step(name string) workflow.Call {
	return workflow.Call{Name: name, Do: func(context.Context) ([]byte, error) {
		b <- name
		return []byte(name), nil
	}}
}

// several is a Body of several steps.
func (b begun) several(ctx context.Context, x workflow.Execution) ([]byte, error) {
	if _, err := x.Do(ctx, "one", b.step("one").Do); err != nil {
		return nil, err
	}
	if err := x.Sleep(ctx, time.Millisecond); err != nil {
		return nil, err
	}
	if _, err := x.DoAll(ctx, []workflow.Call{b.step("two"), b.step("three")}); err != nil {
		return nil, err
	}
	return x.Do(ctx, "four", b.step("four").Do)
}

// wait returns when n more steps have begun.
func (b begun) wait(t *testing.T, n int) {
	t.Helper()
	for range n {
		next(t, b)
	}
}

func startMany(t *testing.T, e *Engine, n int) (ids []string) {
	t.Helper()
	for i := range n {
		ids = append(ids, fmt.Sprintf("r%02d", i))
	}
	start(t, e, ids...)
	return ids
}

// succeed demands that runs of several succeed.
func succeed(t *testing.T, e *Engine, ids []string) {
	t.Helper()
	for _, id := range ids {
		if r := wait(t, e, id); r.Status != roster.RunSucceeded || string(r.Output) != "four" {
			t.Errorf("%s: got %s %s %s", id, r.Status, r.Output, r.Error)
		}
		equal(t, id, steps(t, e, id), []string{"0 one one", "2 two two", "3 three three", "4 four four"})
	}
}
