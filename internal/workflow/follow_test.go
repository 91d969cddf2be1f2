package workflow_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/workflow"
	"github.com/roster-scim/roster/internal/workflow/durable"
)

// ending is an engine that ends a context when it has been asked so often.
type ending struct {
	workflow.Engine
	asked, at atomic.Int64
	end       context.CancelFunc
}

func (e *ending) ask() {
	if e.asked.Add(1) == e.at.Load() {
		e.end()
	}
}

func (e *ending) Get(ctx context.Context, directory, id string) (*workflow.EngineRun, error) {
	e.ask()
	return e.Engine.Get(ctx, directory, id)
}

func (e *ending) Steps(ctx context.Context, id string) ([]workflow.StepResult, error) {
	e.ask()
	return e.Engine.Steps(ctx, id)
}

// Wherever the time of who waits for a run is up, in the middle of a look too, it is
// told as it is.
func TestService_WaitEnds(t *testing.T) {
	t.Parallel()
	keys, _ := makeKeys(t)
	// Without Work the run stays queued.
	engine, err := durable.Open(t.Context(), durable.Options{DSN: "sqlite:" + filepath.Join(t.TempDir(), "queued.db"), Seal: keys})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	e := &ending{Engine: engine}
	s := newService(t, openStore(t, sqliteDSN(t)), func(o *workflow.Options) { o.Engine = e })
	s.deploy("d1", "a", "")
	run, err := s.Start(t.Context(), workflow.Start{Directory: "d1", Workflow: "a"})
	if err != nil {
		t.Fatal(err)
	}
	for what, wait := range map[string]func(context.Context, string, string) (*roster.Run, error){"await": s.AwaitRun, "follow": s.FollowRun} {
		for at := range int64(6) {
			t.Run(fmt.Sprint(what, " ", at), func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				if e.end = cancel; at == 0 || at > 1 && what == "await" {
					cancel() // before the first question; Wait asks the engine itself
				}
				e.asked.Store(0)
				e.at.Store(at)
				got, err := wait(ctx, "d1", run.ID)
				if err != nil || got.ID != run.ID || got.Status != roster.RunQueued {
					t.Errorf("got %+v, %v; want the run, which is queued", got, err)
				}
			})
		}
	}
}
