package durable

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	"github.com/google/uuid"
	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/internal/workflow"
)

const (
	application = "roster"
	// version is the same in every release, so that none leaves the runs of the one
	// before it behind. It changes when a Body asks for other calls than before when
	// it is given the same run, which it must not: then runs of both would need both
	// bodies.
	version = "wf-1"
	queue   = "runs"
	// noQueue is listened to by what shall take no runs: an empty list means all.
	noQueue = "none"
	runName = "run" // of the one function that all runs are
)

const (
	defaultConcurrency = 8
	defaultAttempts    = 10
	defaultBeat        = 5 * time.Second
	defaultDead        = 30 * time.Second
)

// Options say where an engine keeps its runs, and what it does with them.
type Options struct {
	// DSN is "sqlite:PATH", a file of the engine's own, or "postgres://…", where it
	// has the schema roster_runs.
	DSN string
	// Seal seals what is kept: a secret.Keyring.
	Seal Sealer
	// Work says whether runs are carried out here. Otherwise they are queued and
	// read alone, for a process that leaves the work to others.
	Work bool
	// Body carries out a run; needed with Work.
	Body workflow.Body
	// Concurrency is how many runs are carried out here at once. Defaults to 8. On
	// PostgreSQL the value of the node that started last holds for each of them.
	Concurrency int
	// Attempts is how often a run is begun in all when its node dies each time. Then
	// it has failed: it may be what kills them. Runs that were under way on the same
	// nodes are counted too. Defaults to 10.
	Attempts int
	// Rate is how many runs begin in a second at the most, on all nodes together.
	// Zero: any number.
	Rate int
	// Node names this process among those that share a PostgreSQL database. Two
	// that live must not have one name. Defaults to a new one at each start. A
	// SQLite file has one process, and needs no names.
	Node string
	// Leases are where nodes see each other; needed with Work on PostgreSQL.
	Leases LeaseStore
	// Beat is how often a node renews its lease, Dead for how long a lease holds:
	// after that without a sign of life others take over its runs. They default to 5
	// and 30 seconds, and are the same on all nodes.
	Beat, Dead time.Duration
	// Migrate lets Open make the tables in a PostgreSQL database that has none.
	// Otherwise that is for Migrate to do. SQLite always migrates.
	Migrate bool
	// Log receives what happens beside any call. Defaults to discarding it.
	Log *slog.Logger
}

// An Engine is a workflow.Engine.
type Engine struct {
	opts   Options
	db     *database
	dbos   dbos.Context // never launched: by it runs are queued, read and ended
	worker *worker      // nil without Work
	ended  chan struct{}
	stop   context.CancelFunc // of what goes on beside the calls
	beside sync.WaitGroup
	once   sync.Once
}

var _ workflow.Engine = (*Engine)(nil)

// Open opens the engine's database, and begins to carry out runs with Work. A
// database whose runs the keyring does not open, a SQLite file that another process
// has open, and a node's name that another one has are errors.
func Open(ctx context.Context, opts Options) (_ *Engine, err error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Concurrency == 0 {
		opts.Concurrency = defaultConcurrency
	}
	if opts.Attempts == 0 {
		opts.Attempts = defaultAttempts
	}
	if opts.Beat == 0 {
		opts.Beat = defaultBeat
	}
	if opts.Dead == 0 {
		opts.Dead = defaultDead
	}
	clearEnvironment()
	e := &Engine{opts: opts, ended: make(chan struct{})}
	defer func() {
		if err != nil {
			err = fmt.Errorf("open the engine of workflows: %w", err)
		}
	}()
	if e.db, err = openDatabase(ctx, opts); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			e.db.close()
		}
	}()
	if e.dbos, err = e.db.context(context.WithoutCancel(ctx), "", callConns); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = dbos.Shutdown(e.dbos, shutdownTime)
		}
	}()
	if err := e.checkKey(ctx); err != nil {
		return nil, err
	}
	beside, stop := context.WithCancel(context.WithoutCancel(ctx))
	e.stop = stop
	if !opts.Work {
		return e, nil
	}
	if e.worker, err = startWorker(ctx, e); err != nil {
		stop()
		return nil, err
	}
	e.beside.Go(func() { e.worker.watch(beside) })
	if e.db.path == "" {
		e.beside.Go(func() { e.worker.beats(beside) })
	}
	return e, nil
}

// clearEnvironment takes the variables away that would override what Open says,
// or have DBOS report to its maker.
func clearEnvironment() {
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "DBOS__") {
			_ = os.Unsetenv(name) // fails for no name that is set
		}
	}
}

// Close implements workflow.Engine. Only its first call does something.
func (e *Engine) Close(ctx context.Context) error {
	e.once.Do(func() {
		close(e.ended)
		if e.worker != nil {
			e.worker.stop(ctx) // while its lease is renewed
		}
		e.stop()
		e.beside.Wait()
		if e.worker != nil {
			e.worker.close(context.WithoutCancel(ctx))
		}
		// The connections are closed below; the rest of it never began.
		_ = dbos.Shutdown(e.dbos, shutdownTime)
		e.db.close()
	})
	return nil
}

// client returns what asks the database for as long as ctx lasts. It carries none
// of the values of ctx: in that of a run DBOS would keep the call as a step of it.
func (e *Engine) client(ctx context.Context) dbos.Context {
	return dbos.From(e.dbos, bare{ctx})
}

// bare is a context without its values.
type bare struct{ context.Context }

func (bare) Value(any) any { return nil }

var errClosed = errors.New("the engine of workflows is closed")

// startBatch is how many runs are queued in one transaction.
const startBatch = 500

// Start implements workflow.Engine.
func (e *Engine) Start(ctx context.Context, runs ...workflow.NewRun) (int, error) {
	for _, r := range runs {
		if err := checkRun(r); err != nil {
			return 0, err
		}
	}
	// In the order of their ids, so that two who start the same runs wait for each
	// other instead of deadlocking.
	sorted := sortRuns(runs)
	started := 0
	for len(sorted) > 0 {
		n := min(len(sorted), startBatch)
		created, err := e.startSome(ctx, sorted[:n])
		started += created
		if err != nil {
			return started, fmt.Errorf("start runs: %w", err)
		}
		sorted = sorted[n:]
	}
	return started, nil
}

func (e *Engine) startSome(ctx context.Context, runs []workflow.NewRun) (created int, err error) {
	tx, err := e.db.sql.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	c := e.client(ctx)
	for _, r := range runs {
		input := e.seal(r.Input, placeInput, r.ID)
		_, err := dbos.Enqueue[[]byte](c, queue, runName, input,
			dbos.WithEnqueueTransaction(tx),
			dbos.WithEnqueueWorkflowID(r.ID),
			dbos.WithEnqueueWorkflowIDReusePolicy(dbos.WorkflowIDReusePolicyReject),
			dbos.WithEnqueueApplicationVersion(version),
			// By these two a run is found.
			dbos.WithEnqueueAuthenticatedUser(r.Directory),
			dbos.WithEnqueueAssumedRole(r.Workflow))
		switch {
		case errors.Is(err, dbos.ErrWorkflowIDInUse):
			// No statement failed: the one that inserts has found the id there.
		case err != nil:
			return 0, err
		default:
			created++
		}
	}
	if err := tx.Commit(); err != nil {
		return 0, err
	}
	return created, nil
}

// Cancel implements workflow.Engine.
func (e *Engine) Cancel(ctx context.Context, id string) error {
	s, err := e.status(ctx, id)
	if err != nil {
		return fmt.Errorf("cancel run: %w", err)
	}
	if ended(s.Status) {
		return fmt.Errorf("cancel run: it has ended: %w", workflow.ErrState)
	}
	// Before it is cancelled: what begins after that is carried out for a Retry.
	var here []*execution
	if e.worker != nil {
		here = e.worker.current().executions()
	}
	if err := dbos.CancelWorkflow(e.client(ctx), id); err != nil {
		return fmt.Errorf("cancel run: %w", notFound(err))
	}
	// DBOS passes over a run that has ended in between, without an error.
	if s, err := e.status(ctx, id); err == nil && ended(s.Status) && statusOf(s.Status) != roster.RunCancelled {
		return fmt.Errorf("cancel run: it has just ended: %w", workflow.ErrState)
	}
	for _, x := range here {
		if x.id == id {
			x.end(errCancelled)
		}
	}
	return nil
}

// maxTries is how often Retry tries what fails though nobody has changed the run.
const maxTries = 5

// Retry implements workflow.Engine.
func (e *Engine) Retry(ctx context.Context, id string, step int) error {
	if step < 0 {
		return fmt.Errorf("retry run: there is no step %d", step)
	}
	var seen time.Time
	for tries := 1; ; tries++ {
		s, err := e.status(ctx, id)
		switch {
		case err != nil:
			return fmt.Errorf("retry run: %w", err)
		case !ended(s.Status):
			return fmt.Errorf("retry run: it has not ended: %w", workflow.ErrState)
		case s.Status == dbos.WorkflowStatusSuccess:
			return fmt.Errorf("retry run: it has succeeded: %w", workflow.ErrState)
		case tries > 1 && !s.UpdatedAt.Equal(seen):
			return fmt.Errorf("retry run: others have queued and ended it again: %w", workflow.ErrState)
		}
		seen = s.UpdatedAt
		// Not a resume: that does nothing to a run that has failed.
		_, err = dbos.RewindWorkflow[[]byte](e.client(ctx), id, dbos.WithRewindStartStep(uint(step)), dbos.WithRewindQueue(queue))
		if err == nil {
			return nil
		}
		// DBOS has no error of its own for a run that somebody else has queued, and
		// perhaps cancelled again, in between: so it is looked at again, also because
		// two changes may be of one millisecond.
		if tries == maxTries {
			return fmt.Errorf("retry run: %w", notFound(err))
		}
	}
}

// notFound translates DBOS's error of a run that is not there.
func notFound(err error) error {
	if errors.Is(err, dbos.ErrNonExistentWorkflow) {
		return store.ErrNotFound
	}
	return err
}

// newName returns a name that no other node has.
func newName(base string) string {
	if base == "" {
		base = "node"
	}
	return base + "-" + uuid.NewString()[24:]
}
