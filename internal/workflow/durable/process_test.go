//go:build unix

package durable

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/secret"
	"github.com/roster-scim/roster/internal/store/sqlstore"
	"github.com/roster-scim/roster/internal/workflow"
)

// Nodes in processes of their own, which signals kill and stop. A child tells what
// happens on its standard output, a line each, and ends when its input does.

const childEnv = "ROSTER_TEST_ENGINE_NODE"

// A childConfig is what a child is told.
type childConfig struct {
	DSN, Keys, Node string
	Body            string // one of bodies
	Effects         string // a file, or with Body "table" the DSN of a table
	Concurrency     int
	Attempts        int
	Dead            time.Duration
	Start           []string // the runs that it starts
	Wait            []string // those whose end it tells
}

func TestMain(m *testing.M) {
	if text := os.Getenv(childEnv); text != "" {
		var c childConfig
		if err := json.Unmarshal([]byte(text), &c); err != nil {
			panic(err)
		}
		if err := c.run(context.Background()); err != nil {
			fmt.Println("failed:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// run is a child.
func (c childConfig) run(ctx context.Context) error {
	keys, err := secret.Load(c.Keys)
	if err != nil {
		return err
	}
	body, err := c.body(ctx)
	if err != nil {
		return err
	}
	opts := Options{
		DSN: c.DSN, Seal: keys, Work: true, Body: body, Node: c.Node, Concurrency: c.Concurrency, Attempts: c.Attempts,
		Beat: c.Dead / 20, Dead: c.Dead, Log: slog.New(slog.NewTextHandler(os.Stdout, nil)),
	}
	if !strings.HasPrefix(c.DSN, "sqlite:") {
		db, err := sqlstore.Open(ctx, c.DSN, sqlstore.Options{MaxConns: 4})
		if err != nil {
			return err
		}
		defer db.Close()
		opts.Leases = db
	}
	e, err := Open(ctx, opts)
	if err != nil {
		return err
	}
	fmt.Println("open")
	var runs []workflow.NewRun
	for _, id := range c.Start {
		runs = append(runs, workflow.NewRun{ID: id, Directory: dir, Workflow: flow})
	}
	if _, err := e.Start(ctx, runs...); err != nil {
		return err
	}
	for _, id := range c.Wait {
		go func() {
			r, err := e.Wait(ctx, dir, id)
			if err != nil {
				fmt.Println("failed:", err)
				return
			}
			fmt.Println("ended", id, r.Status, string(r.Output), r.Error)
		}()
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	return e.Close(ended)
}

// positions are where a run halts, in the order in which it gets there.
var positions = []string{
	"before-one", "in-one", "effect-one", "after-one", "before-two", "in-two", "effect-two", "after-two",
}

func (c childConfig) body(ctx context.Context) (workflow.Body, error) {
	switch c.Body {
	case "halts", "goes":
		// A run has the name of the position at which it halts.
		at := func(x workflow.Execution, position string) {
			if c.Body == "halts" && x.ID() == position {
				fmt.Println("at", position)
				select {} // to be killed
			}
		}
		return func(ctx context.Context, x workflow.Execution) ([]byte, error) {
			var output []byte
			for _, step := range []string{"one", "two"} {
				at(x, "before-"+step)
				b, err := x.Do(ctx, step, func(context.Context) ([]byte, error) {
					at(x, "in-"+step)
					if err := appendLine(c.Effects, x.ID()+" "+step); err != nil {
						return nil, err
					}
					at(x, "effect-"+step)
					return []byte(step + " by " + c.Body), nil
				})
				if err != nil {
					return nil, err
				}
				at(x, "after-"+step)
				output = append(append(output, b...), ',')
			}
			return output, nil
		}, nil
	case "poison":
		return func(ctx context.Context, x workflow.Execution) ([]byte, error) {
			if x.ID() == "poison" {
				fmt.Println("drunk")
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
			return x.Do(ctx, "one", gives("fine"))
		}, nil
	case "table": // tells when a run begins, and when it ends
		pool, err := pgxpool.New(ctx, c.Effects)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context, x workflow.Execution) ([]byte, error) {
			fmt.Println("does", x.ID())
			for _, step := range []string{"one", "two"} {
				if _, err := x.Do(ctx, step, func(ctx context.Context) ([]byte, error) {
					_, err := pool.Exec(ctx, `INSERT INTO effects (run, step) VALUES ($1, $2) ON CONFLICT DO NOTHING`, x.ID(), step)
					return nil, err
				}); err != nil {
					return nil, err
				}
			}
			fmt.Println("did", x.ID())
			return nil, nil
		}, nil
	}
	return nil, fmt.Errorf("no body %q", c.Body)
}

// appendLine writes a line in one piece.
func appendLine(path, line string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(line + "\n")
	return err
}

// A child is a process.
type child struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines chan string
	once  sync.Once
}

func startChild(t *testing.T, c childConfig) *child {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	cmd.Stderr = t.Output()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ch := &child{t: t, cmd: cmd, stdin: stdin, lines: make(chan string, 10000)}
	go func() {
		defer close(ch.lines)
		scanner := bufio.NewScanner(stdout)
		for scanner.Scan() {
			ch.lines <- scanner.Text()
		}
	}()
	t.Cleanup(func() { ch.kill() })
	return ch
}

// kill kills the child, and returns when it is dead.
func (c *child) kill() {
	c.once.Do(func() {
		_ = c.cmd.Process.Kill()
		for range c.lines {
		}
		_ = c.cmd.Wait()
	})
}

// end lets the child close its engine.
func (c *child) end() {
	_ = c.stdin.Close()
	hangs := time.AfterFunc(2*patience, func() { _ = c.cmd.Process.Kill() })
	defer hangs.Stop()
	c.once.Do(func() {
		for l := range c.lines {
			c.t.Log(l)
		}
		if err := c.cmd.Wait(); err != nil {
			c.t.Errorf("the child: %v", err)
		}
	})
}

// line returns the next line that begins with a word, or "" when the child has ended.
func (c *child) line(words ...string) string {
	c.t.Helper()
	limit := time.After(2 * patience)
	for {
		select {
		case l, ok := <-c.lines:
			if !ok {
				return ""
			}
			for _, w := range words {
				if strings.Contains(l, w) {
					return l
				}
			}
			c.t.Log(l)
			if strings.HasPrefix(l, "failed:") {
				c.t.Fatal(l)
			}
		case <-limit:
			c.t.Fatalf("the child said nothing of %q", words)
		}
	}
}

// child returns the settings of a child on the opener's database, which has its
// tables already.
func (o opener) child(body string) childConfig {
	o.t.Helper()
	path := filepath.Join(o.t.TempDir(), "keys")
	keys, err := secret.Make(path)
	if err != nil {
		o.t.Fatal(err)
	}
	if o.leases != nil {
		opts := o.options(nil)
		opts.Seal, opts.Work = keys, false
		e, err := Open(o.t.Context(), opts)
		if err != nil {
			o.t.Fatal(err)
		}
		closeNow(o.t, e)
	}
	// Dead is long enough for a node that lives on a busy machine: see expire.
	return childConfig{DSN: o.dsn, Keys: path, Body: body, Effects: filepath.Join(o.t.TempDir(), "effects"), Dead: 15 * time.Second}
}

// expire lets the leases of nodes that are dead or stand still run out now, of which
// the names begin with these.
func (o opener) expire(names ...string) {
	o.t.Helper()
	if o.leases == nil {
		return
	}
	c, err := pgx.Connect(o.t.Context(), o.dsn)
	if err != nil {
		o.t.Fatal(err)
	}
	defer func() { _ = c.Close(context.Background()) }()
	for _, name := range names {
		if _, err := c.Exec(o.t.Context(), `UPDATE leases SET until = 0 WHERE starts_with(name, $1)`, leasePrefix+name); err != nil {
			o.t.Fatal(err)
		}
	}
}

// A node that is killed in whatever position of a run: the run goes on after what
// was kept, and nothing is done twice but the call that was under way.
func TestProcess_Killed(t *testing.T) {
	onBoth(t, func(t *testing.T, o opener) {
		c := o.child("halts")
		c.Start, c.Concurrency = positions, len(positions)
		first := startChild(t, c)
		for range positions {
			if first.line("at ") == "" {
				t.Fatal("the child ended")
			}
		}
		first.kill()
		o.expire("")
		c.Body, c.Start, c.Wait = "goes", nil, positions
		second := startChild(t, c)
		got := map[string]string{}
		for range positions {
			id, rest, _ := strings.Cut(strings.TrimPrefix(second.line("ended "), "ended "), " ")
			got[id] = rest
		}
		second.end()
		// Which of the two processes made what is kept.
		want := map[string]string{}
		effects := map[string]int{}
		for i, p := range positions {
			one, two := "goes", "goes"
			if i >= 3 {
				one = "halts"
			}
			if i >= 7 {
				two = "halts"
			}
			want[p] = fmt.Sprintf("succeeded one by %s,two by %s, ", one, two)
			effects[p+" one"], effects[p+" two"] = 1, 1
		}
		effects["effect-one one"], effects["effect-two two"] = 2, 2 // made, and not kept
		equal(t, "runs", got, want)
		equal(t, "effects", countLines(t, c.Effects), effects)
	})
}

func countLines(t *testing.T, path string) map[string]int {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := map[string]int{}
	for l := range strings.Lines(string(b)) {
		n[strings.TrimSpace(l)]++
	}
	return n
}

// A file that this process tries to open again stays closed to others.
func TestProcess_FileStaysLocked(t *testing.T) {
	t.Parallel()
	o := opener{t: t, keys: keyring(t), dsn: "sqlite:" + filepath.Join(t.TempDir(), "runs.db")}
	o.node(nothing)
	refused(t, o.options(nothing), "in use by another process")
	if l := startChild(t, o.child("goes")).line("in use by another process", "open"); !strings.Contains(l, "in use") {
		t.Errorf("another process: got %q", l)
	}
}

// A run that kills its node each time is given up, and the others go on.
func TestProcess_Poison(t *testing.T) {
	onBoth(t, func(t *testing.T, o opener) {
		c := o.child("poison")
		c.Attempts, c.Start = 3, []string{"poison"}
		for range c.Attempts {
			n := startChild(t, c)
			if n.line("drunk") == "" {
				t.Fatal("the node ended before the run began")
			}
			n.line("nothing") // it ends
			n.kill()
			o.expire("")
			c.Start = nil
		}
		c.Start, c.Wait = []string{"good"}, []string{"poison", "good"}
		n := startChild(t, c)
		for range c.Wait {
			switch l := n.line("ended ", "drunk"); {
			case strings.HasPrefix(l, "ended good succeeded fine"):
			case strings.HasPrefix(l, "ended poison failed") && strings.Contains(l, "begun 3 times"):
			default:
				t.Errorf("got %q", l)
			}
		}
		n.end()
	})
}

// Three nodes share 500 runs. One is killed, one stands still until it is taken for
// dead, and then goes on.
func TestProcess_Nodes(t *testing.T) {
	t.Parallel()
	o := onPostgres(t)
	pool, err := pgxpool.New(t.Context(), o.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.Exec(t.Context(), `CREATE TABLE effects (run text, step text, PRIMARY KEY (run, step))`); err != nil {
		t.Fatal(err)
	}
	c := o.child("table")
	c.Effects = o.dsn
	var ids []string
	for i := range 500 {
		ids = append(ids, fmt.Sprintf("r%03d", i))
	}
	node := func(name string) *child {
		c.Node = name
		n := startChild(t, c)
		n.line("open")
		return n
	}
	stopped, killed, third := node("stopped"), node("killed"), node("third")
	keys, err := secret.Load(c.Keys)
	if err != nil {
		t.Fatal(err)
	}
	opts := o.options(nil)
	opts.Seal, opts.Work = keys, false
	api := o.open(opts)
	// No run gets further until each node has some.
	held, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := held.Exec(t.Context(), `LOCK TABLE effects IN SHARE MODE`); err != nil {
		t.Fatal(err)
	}
	start(t, api, ids...)
	for _, n := range []*child{stopped, killed, third} {
		n.line("does ")
	}
	if err := held.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, n := range []*child{stopped, killed} {
		n.line("did ")
	}
	signal := func(s syscall.Signal) {
		if err := stopped.cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	signal(syscall.SIGSTOP)
	killed.kill()
	o.expire("stopped", "killed")
	// In whatever order; a node may be found twice.
	for left := []string{"stopped", "killed"}; len(left) > 0; {
		l := third.line("the runs of a dead node go on")
		if l == "" {
			t.Fatal("the third node ended")
		}
		left = slices.DeleteFunc(left, func(name string) bool { return strings.Contains(l, "node="+name) })
	}
	signal(syscall.SIGCONT)
	stopped.line("this node goes on under another name")
	for _, id := range ids {
		if r := wait(t, api, id); r.Status != roster.RunSucceeded {
			t.Errorf("run %s: got %s %s", id, r.Status, r.Error)
		}
		equal(t, "steps of "+id, steps(t, api, id), []string{"0 one ", "1 two "})
	}
	var effects int
	if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM effects`).Scan(&effects); err != nil {
		t.Fatal(err)
	}
	equal(t, "effects", effects, 2*len(ids))
	stopped.end()
	third.end()
}
