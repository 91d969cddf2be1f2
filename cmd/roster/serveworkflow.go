package main

import (
	"context"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/internal/mail"
	"github.com/roster-scim/roster/internal/workflow"
	"github.com/roster-scim/roster/internal/workflow/durable"
	"github.com/roster-scim/roster/scim"
)

// The roles of a server: what it does of answering requests and carrying out runs.
const (
	roleAll    = "all"
	roleAPI    = "api"
	roleWorker = "worker"
)

// runsOptions are the settings of a server that are about workflows.
type runsOptions struct {
	role, node  string
	concurrency int
	rate        float64
	retention   time.Duration
	maxDepth    int
	nodeTimeout time.Duration
}

func (o *runsOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.role, "role", roleAll, "`name` of what this server does: api (answers requests), worker (carries out runs, and answers for its health alone) or all; other than all on PostgreSQL only")
	f.StringVar(&o.node, "node", "", "`name` of this server among those of one PostgreSQL database, for its runs; no two have one (default: a new one at each start)")
	f.DurationVar(&o.nodeTimeout, "node-timeout", 30*time.Second, "how long a server gives no sign of life before the others of its PostgreSQL database go on with its runs; the same on each")
	f.IntVar(&o.concurrency, "run-concurrency", 0, "`number` of runs that are carried out here at once (default 8, with the embedded database 2)")
	f.Float64Var(&o.rate, "run-rate", workflow.DefaultRunRate, "`number` of runs a second that events and schedules start at the most")
	f.DurationVar(&o.retention, "run-retention", 30*24*time.Hour, "how long runs are kept when they have ended; 0: for ever")
	f.IntVar(&o.maxDepth, "max-run-depth", workflow.DefaultMaxDepth, "`number` of runs in a chain in which each was started by a change of the one before")
}

// check returns what is wrong with the settings.
func (o *runsOptions) check(dsn string) error {
	switch {
	case !slices.Contains([]string{roleAll, roleAPI, roleWorker}, o.role):
		return usagef("--role %s: there are all, api and worker", o.role)
	case o.role != roleAll && embedded(dsn) != "":
		return usagef("--role %s needs PostgreSQL: an embedded database has one server, which does all", o.role)
	case o.concurrency < 0 || o.maxDepth < 1 || !(o.rate >= 1): // NaN too
		return usagef("--run-concurrency, --run-rate and --max-run-depth must be 1 or more")
	case o.nodeTimeout < time.Second:
		return usagef("--node-timeout must be 1s or more")
	case o.retention < 0 || o.retention > 0 && o.retention < 24*time.Hour:
		// A run that is kept is what keeps a schedule from starting it again.
		return usagef("--run-retention must be 24h or more, or 0")
	}
	return nil
}

// A workflows is what carries out the workflows of a server.
type workflows struct {
	service *workflow.Service
	engine  *durable.Engine
	ready   chan struct{} // closed when the server is there for local connections
	stop    context.CancelFunc
	ended   chan struct{} // closed when nothing is dispatched any more
}

// openWorkflows opens the engine, whose runs begin when the server is ready.
func (s *running) openWorkflows(ctx context.Context, in *serveInput, connections *workflow.Connections, dsn string) (*workflows, error) {
	o := &s.o.runs
	w := &workflows{ready: make(chan struct{})}
	runner := &workflow.Runner{
		Dial: func(ctx context.Context, t workflow.Target) (*client.Client, scim.RuleSet, error) {
			return s.dial(ctx, connections, t)
		},
		Mail: in.mail, Guard: in.guard, Suppressed: s.suppressed, Log: s.log,
	}
	concurrency := o.concurrency
	if concurrency == 0 {
		concurrency = 8
		if embedded(dsn) != "" {
			// A run syncs some six times to the disk that every write of the
			// directory waits for: more at once leave a PUT a third of its rate.
			concurrency = 2
		}
	}
	options := durable.Options{
		DSN: dsn, Seal: s.keys, Work: o.role != roleAPI, Concurrency: concurrency, Node: o.node, Migrate: true, Log: s.log,
		Dead: o.nodeTimeout, Beat: o.nodeTimeout / 6,
		Body: func(ctx context.Context, x workflow.Execution) ([]byte, error) {
			select {
			case <-w.ready:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			return w.service.Body(runner.Body)(ctx, x)
		},
	}
	service := workflow.Options{
		Store: s.store, Committed: s.dirs.Committed, MaxDepth: o.maxDepth, RunRate: o.rate,
		NoMail: options.Work && mail.IsOff(in.mail), RunRetention: o.retention, EventRetention: s.o.eventRetention, Log: s.log,
	}
	if path := embedded(dsn); path != "" {
		// A file of its own: a run never holds the lock that a write waits for.
		options.DSN = "sqlite:" + filepath.Join(filepath.Dir(path), "runs.db")
	} else {
		options.Leases, service.Leases, service.LeaseTime = s.store, s.store, o.nodeTimeout
	}
	var err error
	if w.engine, err = durable.Open(ctx, options); err != nil {
		return nil, err
	}
	service.Engine = w.engine
	w.service = workflow.NewService(service)
	return w, nil
}

// begin carries out runs, and unless the server only answers requests starts those
// that events and schedules ask for.
func (w *workflows) begin(ctx context.Context, role string) {
	close(w.ready)
	ctx, w.stop = context.WithCancel(ctx)
	w.ended = make(chan struct{})
	go func() {
		defer close(w.ended)
		if role != roleAPI {
			w.service.Dispatch(ctx)
		}
	}()
}

// end finishes the runs that are under way until ctx ends; the others go on when
// the server starts again, or on another one.
func (w *workflows) end(ctx context.Context) error {
	w.stop()
	<-w.ended
	return w.engine.Close(ctx)
}

// Close ends the engine of a server that did not start.
func (w *workflows) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return w.engine.Close(ctx)
}

// dial returns a client for a step of a run: of the directory itself, within the
// process and by the key that deployed the workflow, or of a connection.
func (s *running) dial(ctx context.Context, connections *workflow.Connections, t workflow.Target) (*client.Client, scim.RuleSet, error) {
	if t.Connection != roster.LocalConnection {
		c, key, err := connections.Open(ctx, t.Directory, t.Connection)
		if err != nil {
			return nil, scim.RuleSet{}, err
		}
		rules, err := scim.Rules(c.RuleSet)
		return &client.Client{BaseURL: c.URL, Directory: c.Directory, Key: key}, rules, err
	}
	key, err := s.workflows.service.Principal(ctx, t.Directory, t.Key)
	if err != nil {
		return nil, scim.RuleSet{}, err
	}
	d, err := s.dirs.Get(ctx, t.Directory)
	if err != nil {
		return nil, scim.RuleSet{}, err
	}
	return &client.Client{
		BaseURL: "http://localhost", Directory: t.Directory,
		HTTP: &http.Client{Transport: s.server.Local(t.Directory, key, t.Cause)},
	}, d.Model.Rules, nil
}

// suppressed reports whether a directory sends no mail.
func (s *running) suppressed(ctx context.Context, id string) (bool, error) {
	list, err := s.dirs.List(ctx)
	for _, d := range list {
		if d.ID == id {
			return d.SuppressMail, nil
		}
	}
	return true, err
}

// registerRuns shows what became of runs.
func registerRuns(registry *prometheus.Registry, service *workflow.Service) {
	started := prometheus.NewDesc("roster_runs_started_total", "Runs that events and schedules have started here.", []string{"trigger"}, nil)
	ended := prometheus.NewDesc("roster_runs_ended_total", "Runs that have ended here, by status.", []string{"status"}, nil)
	held := prometheus.NewDesc("roster_workflow_held_total", "Changes that did not start a run, lest it goes round in a circle.", nil, nil)
	backlog := prometheus.NewDesc("roster_workflow_backlog", "Changes that wait for the triggers, as the server that dispatches has counted them last; 0 on the others.", nil, nil)
	registry.MustRegister(prometheus.CollectorFunc(func(out chan<- prometheus.Metric) {
		st := service.Stats()
		counter := func(d *prometheus.Desc, n int64, labels ...string) {
			out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
		}
		counter(started, st.Events, workflow.TriggerEvent)
		counter(started, st.Schedules, workflow.TriggerSchedule)
		counter(ended, st.Succeeded, string(roster.RunSucceeded))
		counter(ended, st.Failed, string(roster.RunFailed))
		counter(held, st.Held)
		out <- prometheus.MustNewConstMetric(backlog, prometheus.GaugeValue, float64(st.Backlog))
	}))
}

// handler returns what the main address answers: a worker answers for its health
// alone.
func (s *running) handler() http.Handler {
	if s.o.runs.role == roleWorker {
		return s.server.AdminHandler()
	}
	return s.server.Handler()
}
