package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/roster-scim/roster/internal/directory"
	"github.com/roster-scim/roster/internal/mail"
	"github.com/roster-scim/roster/internal/secret"
	"github.com/roster-scim/roster/internal/server"
	"github.com/roster-scim/roster/internal/store/sqlstore"
	"github.com/roster-scim/roster/internal/workflow"
	"github.com/roster-scim/roster/scim"
)

// serveOptions are the settings of a server. Their defaults are those of the
// flags in addFlags.
type serveOptions struct {
	data, db         string
	connections      int
	allowDataLoss    bool
	listen, admin    string
	publicURL        string
	tlsCert, tlsKey  string
	insecureHTTP     bool
	trustedProxies   []string
	ruleSet          string
	bootstrapKeyFile string
	secretKeyFile    string
	allowAddresses   []string
	schemaDir        string
	mail             mailOptions
	runs             runsOptions
	rate             float64
	burst            int
	maxBody          int64
	maxBulk          int64
	chaos            string
	maxScan          int
	headerTimeout    time.Duration
	readTimeout      time.Duration
	writeTimeout     time.Duration
	idleTimeout      time.Duration
	maxHeader        int
	drainTimeout     time.Duration
	eventRetention   time.Duration
	trashRetention   time.Duration
	logLevel         string
	logFormat        string
}

func newServeCmd(g *globals) *cobra.Command {
	o := new(serveOptions)
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the directory server",
		Long: `Run the directory server: SCIM under /scim/directory/{id}, the management API
under /api/v1, Atlassian's Admin APIs under /admin, /healthz, /readyz and /metrics.

The first start makes a default directory and an operator key and prints both
once. With ROSTER_BOOTSTRAP_KEY (or --bootstrap-key-file) that key is the one you
give, 16 bytes or more, and nothing secret is printed; a changed one is added.

Standard output has one line, "listening on http://…", once the server is ready.
SIGTERM and Ctrl-C let it finish what it has accepted, and end it.`,
		Example: `  roster serve --data ./data
  roster serve --db postgres://roster@db.example/roster --listen 0.0.0.0:8443 \
      --tls-cert cert.pem --tls-key key.pem --public-url https://scim.corp.example`,
		Args: noArg,
		RunE: func(cmd *cobra.Command, _ []string) error { return runServe(cmd.Context(), g, o) },
	}
	o.addFlags(cmd.Flags())
	return cmd
}

// addFlags adds the flags of the settings, and sets these to their defaults.
func (o *serveOptions) addFlags(f *pflag.FlagSet) {
	addDatabaseFlags(f, &o.data, &o.db)
	f.IntVar(&o.connections, "db-connections", 0, "`number` of connections to PostgreSQL (default 4 for each processor)")
	f.BoolVar(&o.allowDataLoss, "allow-data-loss", false, "serve on a PostgreSQL that may lose what it has confirmed (fsync or synchronous_commit off)")
	perCall(f, "allow-data-loss")
	f.StringVar(&o.listen, "listen", "127.0.0.1:8080", "`address` to listen on; port 0 takes a free one")
	f.StringVar(&o.admin, "admin-listen", "", "`address` for /metrics and health alone; then the main one has no /metrics")
	f.StringVar(&o.publicURL, "public-url", "", "`URL` that clients use, of which every location is built (default: the address listened on)")
	f.StringVar(&o.tlsCert, "tls-cert", "", "certificate `file` (PEM), read again when it is renewed")
	f.StringVar(&o.tlsKey, "tls-key", "", "key `file` of the certificate (PEM)")
	f.BoolVar(&o.insecureHTTP, "insecure-http", false, "listen beyond this machine without TLS, as behind a proxy that has it")
	f.StringSliceVar(&o.trustedProxies, "trusted-proxy", nil, "`network` whose X-Forwarded headers are believed, as 10.0.0.0/8; may be repeated")
	f.StringVar(&o.ruleSet, "rule-set", "atlassian", "`name` of the rule set of the default directory that a first start makes: atlassian, standard or strict")
	f.StringVar(&o.bootstrapKeyFile, "bootstrap-key-file", "", "`file` that holds the first operator key (or ROSTER_BOOTSTRAP_KEY)")
	f.StringVar(&o.schemaDir, "schema-dir", "", "`folder` of *.json files with schemas and resource types, which every directory then has")
	o.mail.addFlags(f)
	o.runs.addFlags(f)
	addSecretKeyFlag(f, &o.secretKeyFile)
	f.StringSliceVar(&o.allowAddresses, "workflow-allow-address", nil, "`address` that workflows may reach though it is not public, as 10.0.0.0/8, 10.1.2.3:8080 or hr.corp.example:443; may be repeated")
	f.Float64Var(&o.rate, "rate", 0, "`number` of requests a second that each key may make; 0: any")
	f.IntVar(&o.burst, "burst", 0, "`number` of requests that each key may make at once (default: those of one second)")
	f.StringVar(&o.chaos, "chaos", "", "for tests of clients: make SCIM requests go wrong by `chance`, as in status=429:5%,retry-after=2s,latency=200ms+-50ms,drop-before=1%,drop-after=1%,seed=7")
	perCall(f, "chaos") // a forgotten variable must not break a service
	f.Int64Var(&o.maxBulk, "max-bulk", server.DefaultMaxBulk, "largest body of a bulk request in `bytes`")
	f.Int64Var(&o.maxBody, "max-body", server.DefaultMaxBody, "largest body of a request in `bytes`")
	f.IntVar(&o.maxScan, "max-scan", directory.DefaultMaxScan, "`resources` that a list looks through at the most where no index answers its filter or its order")
	f.IntVar(&o.maxHeader, "max-header", 64<<10, "largest header of a request in `bytes`")
	f.DurationVar(&o.headerTimeout, "header-timeout", 10*time.Second, "how long the header of a request may take")
	f.DurationVar(&o.readTimeout, "read-timeout", time.Minute, "how long a whole request may take to arrive")
	f.DurationVar(&o.writeTimeout, "write-timeout", 2*time.Minute, "how long a request may take to be answered")
	f.DurationVar(&o.idleTimeout, "idle-timeout", 2*time.Minute, "how long an idle connection is kept")
	f.DurationVar(&o.drainTimeout, "drain-timeout", 30*time.Second, "how long a server that was told to end waits for the requests it has accepted")
	f.DurationVar(&o.eventRetention, "event-retention", 90*24*time.Hour, "how long events are kept; 0: for ever")
	f.DurationVar(&o.trashRetention, "trash-retention", 90*24*time.Hour, "how long deleted users, groups and others can be restored; 0: for ever")
	f.StringVar(&o.logLevel, "log-level", "info", "`name` of the least level to log: debug (every request), info, warn or error")
	f.StringVar(&o.logFormat, "log-format", "text", "`name` of the form of the log: text or json")
}

// flagSet is what addDatabaseFlags needs of a pflag.FlagSet.
type flagSet interface {
	StringVar(p *string, name, value, usage string)
}

func addDatabaseFlags(f flagSet, data, db *string) {
	f.StringVar(data, "data", "roster-data", "`folder` of the embedded database; made when it is missing")
	f.StringVar(db, "db", "", "`URL` of the database: sqlite:PATH or postgres://… (default: sqlite:roster.db in the data folder)")
}

// databaseDSN returns the database that --data and --db name.
func databaseDSN(data, db string) string {
	if db != "" {
		return db
	}
	return "sqlite:" + filepath.Join(data, "roster.db")
}

// makeDatabaseDSN is databaseDSN for a command that may make the database: it
// makes the data folder of an embedded one.
func makeDatabaseDSN(data, db string) (string, error) {
	if db == "" {
		if err := os.MkdirAll(data, 0o700); err != nil {
			return "", fmt.Errorf("data folder: %w", err)
		}
	}
	return databaseDSN(data, db), nil
}

// seldomCollect lets the collector of garbage run less often, unless the environment
// says how often. What lives is a few megabytes: by default it would run a hundred
// times a second under load.
func seldomCollect(g *globals) {
	if g.getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	if g.getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(512 << 20) // beyond it the collector runs more often again
	}
}

func runServe(ctx context.Context, g *globals, o *serveOptions) error {
	seldomCollect(g)
	s, err := start(ctx, g, o)
	if err != nil {
		return err
	}
	s.banner(g.stderr)
	if _, err := fmt.Fprintln(g.stdout, "listening on "+s.url); err != nil {
		return errors.Join(err, s.stop())
	}
	select {
	case <-ctx.Done():
		s.log.Info("ending: no new connections are taken, requests that are here are finished")
	case err = <-s.failed:
	}
	return errors.Join(err, s.stop())
}

// A running is a server that listens.
type running struct {
	o         *serveOptions
	url       string // what clients call it: the public URL, or the address
	log       *slog.Logger
	dirs      *directory.Service
	store     *sqlstore.DB
	keys      *secret.Keyring // nil: there is no file of keys
	server    *server.Server
	workflows *workflows   // nil: there is no file of keys
	mail      mail.Sender  // of the workflows
	listener  net.Listener // of the main address
	http      []*http.Server
	requests  inFlight   // on the main address
	failed    chan error // of a listener
	cancel    context.CancelFunc
	work      sync.WaitGroup
	directory *directory.Directory // the default one; nil: there is none any more
	key       string               // the operator key that was made now; empty: none was
}

// start opens the database, listens, and makes what a first start makes: that
// last, because a key that was made and not shown is lost.
func start(ctx context.Context, g *globals, o *serveOptions) (_ *running, err error) {
	in, err := o.check(g)
	if err != nil {
		return nil, err
	}
	if err := o.runs.check(databaseDSN(o.data, o.db)); err != nil {
		return nil, err
	}
	dsn, err := makeDatabaseDSN(o.data, o.db)
	if err != nil {
		return nil, err
	}
	db, err := sqlstore.Open(ctx, dsn, sqlstore.Options{
		MaxConns: o.connections, AllowDataLoss: o.allowDataLoss, Migrate: true, Logger: in.log,
	})
	if err != nil {
		return nil, err
	}
	s := &running{o: o, log: in.log, store: db, mail: in.mail, failed: make(chan error, 2)}
	opened := []io.Closer{db, in.mail}
	defer func() {
		if err != nil {
			for _, c := range slices.Backward(opened) {
				_ = c.Close()
			}
		}
	}()
	if s.keys, err = o.openKeys(ctx, in, db, dsn); err != nil {
		return nil, err
	}
	if s.dirs, err = directory.Open(ctx, directory.Options{Store: db, Log: in.log, MaxScan: o.maxScan, Schemas: in.schemas}); err != nil {
		return nil, fmt.Errorf("%v", err) // not as an answer of a service
	}
	ln, err := net.Listen("tcp", o.listen)
	if err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	opened = append(opened, ln)
	var admin net.Listener
	if o.admin != "" {
		if admin, err = net.Listen("tcp", o.admin); err != nil {
			return nil, fmt.Errorf("--admin-listen: %w", err)
		}
		opened = append(opened, admin)
	}
	first, err := s.dirs.Bootstrap(ctx, o.ruleSet, in.bootstrapKey)
	if err != nil {
		return nil, err
	}
	s.key = first.Key
	if first.Directory != "" {
		if s.directory, err = s.dirs.Get(ctx, first.Directory); err != nil {
			return nil, err
		}
	}

	scheme := "http://"
	if in.tls != nil {
		scheme = "https://"
	}
	s.url = scheme + ln.Addr().String()
	public := strings.TrimSuffix(o.publicURL, "/")
	if public == "" {
		public = s.url
		if addr, ok := ln.Addr().(*net.TCPAddr); ok && addr.IP.IsUnspecified() && len(in.proxies) == 0 {
			s.log.Warn("locations begin with an address that no client can use: give --public-url", "url", public)
		}
	}
	registry := prometheus.NewRegistry()
	registerStats(registry, db)
	connections := workflow.NewConnections(workflow.ConnectionOptions{Store: db, Keys: s.keys, Guard: in.guard, Used: workflow.UsesConnection})
	var service *workflow.Service
	if s.keys != nil {
		if s.workflows, err = s.openWorkflows(ctx, in, connections, dsn); err != nil {
			return nil, err
		}
		opened = append(opened, s.workflows)
		service = s.workflows.service
		registerRuns(registry, service)
	}
	s.server = server.New(server.Options{
		Connections: connections, Workflows: service,
		Directories: s.dirs, PublicURL: public, TrustedProxies: in.proxies, FollowProxy: o.publicURL == "",
		MaxBody: o.maxBody, MaxBulk: o.maxBulk, Rate: o.rate, Burst: o.burst, Chaos: in.chaos,
		Metrics: registry, HideMetrics: o.admin != "", Version: buildVersion(), Log: in.log,
	})
	s.listener = ln
	s.listen(ln, s.requests.count(s.handler()), in.tls)
	if admin != nil {
		s.listen(admin, s.server.AdminHandler(), nil)
		s.log.Info("metrics and health", "address", admin.Addr().String())
	}
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	s.work.Go(func() { s.housekeep(work) })
	if s.workflows != nil {
		s.workflows.begin(work, o.runs.role)
	}
	return s, nil
}

func (s *running) listen(ln net.Listener, h http.Handler, t *tls.Config) {
	srv := &http.Server{
		Handler: h, TLSConfig: t,
		ReadHeaderTimeout: s.o.headerTimeout, ReadTimeout: s.o.readTimeout,
		WriteTimeout: s.o.writeTimeout, IdleTimeout: s.o.idleTimeout, MaxHeaderBytes: s.o.maxHeader,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	s.http = append(s.http, srv)
	s.work.Go(func() {
		var err error
		if t != nil {
			err = srv.ServeTLS(ln, "", "")
		} else {
			err = srv.Serve(ln)
		}
		if !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			s.failed <- fmt.Errorf("serve: %w", err)
		}
	})
}

// stop finishes what was accepted, within the drain timeout, and closes the
// database.
func (s *running) stop() error {
	s.server.Drain()
	// No new connections, and after its next answer each open one ends.
	s.http[0].SetKeepAlivesEnabled(false)
	_ = s.listener.Close() // what is left of it ends with the process
	ctx, cancel := context.WithTimeout(context.Background(), s.o.drainTimeout)
	defer cancel()
	s.requests.wait(ctx)
	var errs []error
	for _, srv := range s.http {
		if srv.Shutdown(ctx) == nil {
			continue
		}
		// It waits also for a connection that was opened just now and on which
		// nothing came; to end that one, or a scrape of the metrics, is no fault.
		if srv == s.http[0] && s.requests.any() {
			errs = append(errs, fmt.Errorf("requests were cut off after %v: see --drain-timeout", s.o.drainTimeout))
		}
		_ = srv.Close()
	}
	if s.workflows != nil {
		errs = append(errs, s.workflows.end(ctx))
	}
	s.cancel()
	s.work.Wait()
	// The drain may have used up its time; this takes a moment and has its own.
	ctx, cancel = context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.dirs.Flush(ctx); err != nil {
		s.log.Warn("the last use of keys was not written down", "err", err)
	}
	return errors.Join(append(errs, s.mail.Close(), s.store.Close())...)
}

// housekeep writes down when keys were used, takes up the new key of a rotation
// and erases what is past its time.
func (s *running) housekeep(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		now := time.Now()
		before := func(d time.Duration) time.Time {
			if d <= 0 {
				return time.Time{}
			}
			return now.Add(-d)
		}
		if err := s.dirs.Flush(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("the last use of keys was not written down", "err", err)
		}
		if s.keys != nil {
			if err := s.keys.Reload(); err != nil {
				s.log.Warn("the file of keys was not read again", "err", err)
			}
		}
		n, err := s.store.Prune(ctx, before(directory.AnswersKept), before(s.o.eventRetention), before(s.o.trashRetention))
		if err != nil && ctx.Err() == nil {
			s.log.Warn("what is past its time was not erased", "err", err)
		} else if n > 0 {
			s.log.Info("erased what is past its time", "rows", n)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// banner says on a first start what was made, with what to try. A later one that
// had to make a key may find another default directory, or none.
func (s *running) banner(w io.Writer) {
	if s.o.chaos != "" {
		fmt.Fprintf(w, "\n  CHAOS is on: %s. SCIM requests go wrong on purpose.\n", s.o.chaos)
	}
	if s.key == "" {
		return
	}
	if s.directory == nil {
		fmt.Fprintf(w, `
  Operator key        %s

The key is shown this once. There is no default directory: roster directory create
makes one.

`, s.key)
		return
	}
	base := s.url + "/scim/directory/" + s.directory.ID
	fmt.Fprintf(w, `
  Default directory   %s  (rule set %s)
  SCIM base URL       %s
  Organisation        %s
  Operator key        %s

The key is shown this once. Try it:

  curl -H "Authorization: Bearer %s" %s/Users

  echo %s | roster connection add local --preset roster --url %s --key-file -
  roster user create --user-name ada@corp.example --email ada@corp.example --title Engineer --department Research
  roster user update ID --title CTO --keep

`, s.directory.ID, s.directory.RuleSet, base, s.dirs.Org(), s.key, s.key, base, s.key, s.url)
	if s.directory.RuleSet == scim.Atlassian {
		fmt.Fprint(w, `Entra ID, Okta and other SCIM clients want a directory with the standard rules:
roster directory create "Okta" --rule-set standard

`)
	}
}

// registerStats shows what the database has done.
func registerStats(registry *prometheus.Registry, db *sqlstore.DB) {
	for _, c := range []struct {
		name, help string
		value      func(sqlstore.Stats) int64
	}{
		{"roster_store_updates_total", "Changes that were committed.", func(s sqlstore.Stats) int64 { return s.Updates }},
		{"roster_store_commits_total", "Transactions that committed them; on SQLite many changes share one.", func(s sqlstore.Stats) int64 { return s.Commits }},
		{"roster_store_retries_total", "Changes that were run again after a conflict.", func(s sqlstore.Stats) int64 { return s.Retries }},
	} {
		registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: c.name, Help: c.help},
			func() float64 { return float64(c.value(db.Stats())) }))
	}
}
