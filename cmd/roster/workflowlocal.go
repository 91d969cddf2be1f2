package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/internal/mail"
	"github.com/roster-scim/roster/internal/secret"
	"github.com/roster-scim/roster/internal/workflow"
	"github.com/roster-scim/roster/internal/workflow/durable"
	"github.com/roster-scim/roster/scim"
)

// isWorkflowFile reports whether the argument of roster workflow run is a file, to
// be carried out here, and not the name of a workflow that a server has.
func isWorkflowFile(arg string) bool {
	if strings.ContainsAny(arg, "/"+string(filepath.Separator)) {
		return true
	}
	if ext := filepath.Ext(arg); ext == ".yaml" || ext == ".yml" {
		return true
	}
	info, err := os.Stat(arg)
	return err == nil && info.Mode().IsRegular()
}

// localFlags are the settings of a run in this process alone.
type localFlags struct {
	mail     mailOptions
	allow    []string
	stateDir string
	resume   string // the id of the run that goes on; "": a new one
}

func (o *localFlags) addFlags(f *pflag.FlagSet) {
	o.mail.addFlags(f)
	addStateDirFlag(f, &o.stateDir)
	f.StringSliceVar(&o.allow, "allow-address", nil, "`address` that http steps of FILE may reach though it is not public, as 10.0.0.0/8, 10.1.2.3:8080 or hr.corp.example:443; may be repeated")
	f.StringVar(&o.resume, "continue", "", "`id` of a run of a file that failed or was cut off here: it goes on with the step that is not done; without FILE")
	perCall(f, "allow-address", "continue")
}

// A localRun carries out one run in this process.
type localRun struct {
	g      *globals
	o      *deployedOptions
	local  *localFlags
	id     string
	dir    string // of its database and key
	where  string // the directory in which it acts
	engine *durable.Engine
	ready  chan struct{} // closed when the run may go on
	// service reads and retries runs; it has no store, which only deployed workflows
	// need.
	service *workflow.Service

	mu      sync.Mutex
	dialled map[string]*dialled // by the name of the connection
}

type dialled struct {
	client *client.Client
	rules  scim.RuleSet
}

// connect returns a connection by its name in the file, which is opened once.
func (r *localRun) connect(ctx context.Context, name string) (*dialled, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if d := r.dialled[name]; d != nil {
		return d, nil
	}
	c := &r.o.connection
	if name != roster.LocalConnection {
		files, err := newConnectionFiles(r.g)
		if err != nil {
			return nil, err
		}
		saved, err := files.load(name)
		if err != nil {
			return nil, err
		}
		c = &connection{saved: saved, url: saved.URL, directory: saved.Directory, ruleSet: cmp.Or(saved.RuleSet, scim.Standard), timeout: c.timeout}
	}
	rules, err := c.rules(r.g)
	if err != nil {
		return nil, err
	}
	cl, err := c.openDirectory(ctx, r.g)
	if err != nil {
		return nil, err
	}
	if cl.HTTP == nil {
		// Its own transport: the guard is for addresses that a file names, and this
		// one was named by the person.
		cl.HTTP = &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	}
	r.dialled[name] = &dialled{cl, rules}
	return r.dialled[name], nil
}

// dial is the Dial of a workflow.Runner.
func (r *localRun) dial(ctx context.Context, t workflow.Target) (*client.Client, scim.RuleSet, error) {
	d, err := r.connect(ctx, t.Connection)
	if hinted, ok := errors.AsType[*hintedError](err); ok {
		err = fmt.Errorf("%w: %s", err, hinted.hint) // which the error of a step has no other place for
	}
	if err != nil {
		return nil, scim.RuleSet{}, err
	}
	return at(d.client, d.client.Directory, d.client.Retries), d.rules, nil
}

// again is the command by which the run goes on.
func (r *localRun) again() string {
	text := "roster workflow run --continue " + r.id
	if r.local.stateDir != "" {
		text += " --state-dir " + r.local.stateDir
	}
	return text
}

// runWorkflowFile carries out a workflow file here, or goes on with a run of one,
// and follows the run to its end. What it keeps stays until it has succeeded.
func runWorkflowFile(ctx context.Context, g *globals, o *deployedOptions, local *localFlags, path string, inputs *runInputs) error {
	r := &localRun{g: g, o: o, local: local, id: local.resume, ready: make(chan struct{}), dialled: make(map[string]*dialled)}
	guard, err := workflow.NewGuard(local.allow)
	if err != nil {
		return usagef("--allow-address: %w", err)
	}
	state, err := stateDir(g, local.stateDir)
	if err != nil {
		return err
	}
	var in *workflow.RunInput
	var file *workflow.File
	if r.id == "" {
		r.id = time.Now().UTC().Format("20060102-150405-") + strings.ToLower(rand.Text())
		if in, file, err = newRunInput(g, path, inputs); err != nil {
			return err
		}
	}
	r.dir = filepath.Join(state, "workflows", r.id)
	here, err := r.connect(ctx, roster.LocalConnection)
	if err != nil {
		return err
	}
	if file != nil {
		for _, name := range file.Connections {
			if _, err := r.connect(ctx, name); err != nil {
				return err
			}
		}
	}
	r.where = cmp.Or(here.client.Directory, here.client.BaseURL)
	sender, err := local.mail.open(g, slog.New(slog.NewTextHandler(g.stderr, &slog.HandlerOptions{ReplaceAttr: redact})), nil)
	if err != nil {
		return err
	}
	defer sender.Close()
	if file != nil && mail.IsOff(sender) && file.Mails() {
		return usagef("%s sends mail: give --mail and --mail-from, or ROSTER_MAIL and ROSTER_MAIL_FROM", path)
	}
	if err := r.open(ctx, &workflow.Runner{
		Dial: r.dial, Mail: sender, Guard: guard, Log: slog.New(slog.DiscardHandler),
	}); err != nil {
		return err
	}
	if in != nil {
		err = r.start(ctx, in, file.Name)
	} else {
		err = r.goOn(ctx)
	}
	var run *roster.Run
	if err == nil {
		run, err = r.follow(ctx)
	}
	// What is under way is cut short: it has ended, or somebody has no time to wait.
	now, cancel := context.WithCancel(context.WithoutCancel(ctx))
	cancel()
	if err := errors.Join(err, r.engine.Close(now)); err != nil {
		return err
	}
	if err := endOfRun(g, o.output, run, r.again()); err != nil {
		return err
	}
	return os.RemoveAll(r.dir)
}

// newRunInput reads a file and its inputs, with all their faults.
func newRunInput(g *globals, path string, inputs *runInputs) (*workflow.RunInput, *workflow.File, error) {
	source, f, err := readWorkflow(g, path)
	if err != nil {
		return nil, nil, err
	}
	given, err := inputs.read(g, f)
	if err != nil {
		return nil, nil, err
	}
	bound, err := f.Bind(given)
	if err != nil {
		return nil, nil, &usageError{err}
	}
	return &workflow.RunInput{Queued: time.Now().UTC(), Source: source, Trigger: workflow.TriggerManual, Inputs: bound}, f, nil
}

// open opens the engine of the run, which waits until the run is ready.
func (r *localRun) open(ctx context.Context, runner *workflow.Runner) error {
	if r.local.resume == "" {
		if err := os.MkdirAll(r.dir, 0o700); err != nil {
			return err
		}
	} else if _, err := os.Stat(filepath.Join(r.dir, "runs.db")); err != nil || !connectionName.MatchString(r.id) {
		return usagef("there is no run %s that could go on: %s has those that failed or were cut off here", r.id, filepath.Dir(r.dir))
	}
	keys, err := secret.Make(filepath.Join(r.dir, "secret.key"))
	if err != nil {
		return err
	}
	// Not by the context of the command: what ends that ends the run by Close.
	r.engine, err = durable.Open(context.WithoutCancel(ctx), durable.Options{
		DSN: "sqlite:" + filepath.Join(r.dir, "runs.db"), Seal: keys, Work: true,
		Body: func(ctx context.Context, x workflow.Execution) ([]byte, error) {
			select {
			case <-r.ready:
				return runner.Body(ctx, x)
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		},
	})
	if err == nil {
		r.service = workflow.NewService(workflow.Options{Engine: r.engine})
	}
	return err
}

// start begins a new run.
func (r *localRun) start(ctx context.Context, in *workflow.RunInput, name string) error {
	in.Directory = r.where
	data, err := in.Encode()
	if err != nil {
		return err
	}
	if _, err := r.engine.Start(ctx, workflow.NewRun{ID: r.id, Directory: r.where, Workflow: name, Input: data}); err != nil {
		return err
	}
	fmt.Fprintf(r.g.stderr, "Started run %s here.\n", r.id)
	close(r.ready)
	return nil
}

// goOn goes on with a run that was cut off, or from the step that failed.
func (r *localRun) goOn(ctx context.Context) error {
	run, err := r.service.GetRun(ctx, r.where, r.id)
	if se, ok := errors.AsType[*scim.Error](err); ok && se.Status == http.StatusNotFound {
		return usagef("run %s was not begun in %s: name the connection with which it was", r.id, r.where)
	}
	if err != nil {
		return err
	}
	if workflow.Final(run.Status) && run.Status != roster.RunSucceeded {
		if _, err := r.service.RetryRun(ctx, r.where, r.id); err != nil {
			return err
		}
	}
	fmt.Fprintf(r.g.stderr, "Run %s goes on.\n", r.id)
	close(r.ready)
	return nil
}

// follow prints the steps of the run as they end, and returns it when it has ended.
func (r *localRun) follow(ctx context.Context) (*roster.Run, error) {
	p := newStepPrinter(r.g.stderr)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		run, err := r.service.GetRun(context.WithoutCancel(ctx), r.where, r.id)
		if err != nil {
			return nil, err
		}
		p.print(run.Steps)
		if workflow.Final(run.Status) {
			return run, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, &hintedError{ctx.Err(), r.again()}
		}
	}
}
