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
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/roster-scim/roster/internal/directory"
	"github.com/roster-scim/roster/internal/server"
	"github.com/roster-scim/roster/internal/store/sqlstore"
)

// serveOptions are the settings of a server. Their defaults are those of the
// flags in newServeCmd.
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
	rate             float64
	burst            int
	maxBody          int64
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
under /api/v1, /healthz, /readyz and /metrics.

The first start makes a default directory and an operator key and prints both
once. With ROSTER_BOOTSTRAP_KEY (or --bootstrap-key-file) that key is the one you
give, 16 bytes or more, and nothing secret is printed; a changed one is added.

Standard output has one line, "listening on http://…", once the server is ready.
SIGTERM and Ctrl-C let it finish what it has accepted, and end it.`,
		Example: `  roster serve --data ./data
  roster serve --db postgres://roster@db.example/roster --listen 0.0.0.0:8443 \
      --tls-cert cert.pem --tls-key key.pem --public-url https://scim.corp.example`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runServe(cmd.Context(), g, o) },
	}
	f := cmd.Flags()
	addDatabaseFlags(f, &o.data, &o.db)
	f.IntVar(&o.connections, "db-connections", 0, "connections to PostgreSQL (default 4 for each processor)")
	f.BoolVar(&o.allowDataLoss, "allow-data-loss", false, "serve on a PostgreSQL that may lose what it has confirmed (fsync or synchronous_commit off)")
	perCall(f, "allow-data-loss")
	f.StringVar(&o.listen, "listen", "127.0.0.1:8080", "`address` to listen on; port 0 takes a free one")
	f.StringVar(&o.admin, "admin-listen", "", "`address` for /metrics and health alone; then the main one has no /metrics")
	f.StringVar(&o.publicURL, "public-url", "", "`URL` that clients use, of which every location is built (default: the address listened on)")
	f.StringVar(&o.tlsCert, "tls-cert", "", "certificate `file` (PEM), read again when it is renewed")
	f.StringVar(&o.tlsKey, "tls-key", "", "key `file` of the certificate (PEM)")
	f.BoolVar(&o.insecureHTTP, "insecure-http", false, "listen beyond this machine without TLS, as behind a proxy that has it")
	f.StringSliceVar(&o.trustedProxies, "trusted-proxy", nil, "`network` whose X-Forwarded headers are believed, as 10.0.0.0/8; may be repeated")
	f.StringVar(&o.ruleSet, "rule-set", "atlassian", "rule set of the default directory that a first start makes: atlassian, standard or strict")
	f.StringVar(&o.bootstrapKeyFile, "bootstrap-key-file", "", "`file` that holds the first operator key (or ROSTER_BOOTSTRAP_KEY)")
	f.Float64Var(&o.rate, "rate", 0, "requests a second that each key may make; 0: any number")
	f.IntVar(&o.burst, "burst", 0, "requests that each key may make at once (default: those of one second)")
	f.Int64Var(&o.maxBody, "max-body", server.DefaultMaxBody, "largest body of a request in `bytes`")
	f.IntVar(&o.maxHeader, "max-header", 64<<10, "largest header of a request in `bytes`")
	f.DurationVar(&o.headerTimeout, "header-timeout", 10*time.Second, "how long the header of a request may take")
	f.DurationVar(&o.readTimeout, "read-timeout", time.Minute, "how long a whole request may take to arrive")
	f.DurationVar(&o.writeTimeout, "write-timeout", 2*time.Minute, "how long a request may take to be answered")
	f.DurationVar(&o.idleTimeout, "idle-timeout", 2*time.Minute, "how long an idle connection is kept")
	f.DurationVar(&o.drainTimeout, "drain-timeout", 30*time.Second, "how long a server that was told to end waits for the requests it has accepted")
	f.DurationVar(&o.eventRetention, "event-retention", 90*24*time.Hour, "how long events are kept; 0: for ever")
	f.DurationVar(&o.trashRetention, "trash-retention", 90*24*time.Hour, "how long deleted users can be restored; 0: for ever")
	f.StringVar(&o.logLevel, "log-level", "info", "debug (every request), info, warn or error")
	f.StringVar(&o.logFormat, "log-format", "text", "text or json")
	return cmd
}

// flagSet is what addDatabaseFlags needs of a pflag.FlagSet.
type flagSet interface {
	StringVar(p *string, name, value, usage string)
}

func addDatabaseFlags(f flagSet, data, db *string) {
	f.StringVar(data, "data", "roster-data", "`folder` of the embedded database; made when it is missing")
	f.StringVar(db, "db", "", "database: sqlite:PATH or postgres://… (default: sqlite:roster.db in the data folder)")
}

// databaseDSN returns the database that --data and --db name; it makes the data
// folder of an embedded one.
func databaseDSN(data, db string) (string, error) {
	if db != "" {
		return db, nil
	}
	if err := os.MkdirAll(data, 0o700); err != nil {
		return "", fmt.Errorf("data folder: %w", err)
	}
	return "sqlite:" + filepath.Join(data, "roster.db"), nil
}

func runServe(ctx context.Context, g *globals, o *serveOptions) error {
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
		s.log.Info("ending: no new requests are taken, those that are here are finished")
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
	server    *server.Server
	http      []*http.Server
	failed    chan error // of a listener
	cancel    context.CancelFunc
	work      sync.WaitGroup
	directory string // the default directory
	key       string // the operator key that was made now; empty: none was
}

// start opens the database, makes what a first start makes, and listens.
func start(ctx context.Context, g *globals, o *serveOptions) (_ *running, err error) {
	log, err := newLogger(g.stderr, o.logLevel, o.logFormat)
	if err != nil {
		return nil, err
	}
	proxies, err := parseNetworks(o.trustedProxies)
	if err != nil {
		return nil, err
	}
	tlsConfig, err := newTLS(o.tlsCert, o.tlsKey, log)
	if err != nil {
		return nil, err
	}
	if err := checkListen(o, tlsConfig != nil); err != nil {
		return nil, err
	}
	bootstrap, err := g.secret("ROSTER_BOOTSTRAP_KEY", o.bootstrapKeyFile)
	if err != nil {
		return nil, err
	}
	dsn, err := databaseDSN(o.data, o.db)
	if err != nil {
		return nil, err
	}
	db, err := sqlstore.Open(ctx, dsn, sqlstore.Options{
		MaxConns: o.connections, AllowDataLoss: o.allowDataLoss, Migrate: true, Logger: log,
	})
	if err != nil {
		return nil, err
	}
	s := &running{o: o, log: log, store: db, failed: make(chan error, 2)}
	defer func() {
		if err != nil {
			_ = db.Close()
		}
	}()
	if s.dirs, err = directory.Open(ctx, directory.Options{Store: db, Log: log}); err != nil {
		return nil, err
	}
	first, err := s.dirs.Bootstrap(ctx, o.ruleSet, bootstrap)
	if err != nil {
		return nil, err
	}
	s.directory, s.key = first.Directory, first.Key

	ln, err := net.Listen("tcp", o.listen)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	scheme := "http://"
	if tlsConfig != nil {
		scheme = "https://"
	}
	s.url = scheme + ln.Addr().String()
	public := strings.TrimSuffix(o.publicURL, "/")
	if public == "" {
		public = s.url
	}
	registry := prometheus.NewRegistry()
	registerStats(registry, db)
	s.server = server.New(server.Options{
		Directories: s.dirs, PublicURL: public, TrustedProxies: proxies, FollowProxy: o.publicURL == "",
		MaxBody: o.maxBody, Rate: o.rate, Burst: o.burst,
		Metrics: registry, HideMetrics: o.admin != "", Version: buildVersion(), Log: log,
	})
	s.listen(ln, s.server.Handler(), tlsConfig)
	if o.admin != "" {
		ln, err := net.Listen("tcp", o.admin)
		if err != nil {
			_ = s.http[0].Close()
			return nil, fmt.Errorf("listen: %w", err)
		}
		s.listen(ln, s.server.AdminHandler(), nil)
		log.Info("metrics and health", "address", ln.Addr().String())
	}
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	s.work.Go(func() { s.housekeep(work) })
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
		if !errors.Is(err, http.ErrServerClosed) {
			s.failed <- fmt.Errorf("serve: %w", err)
		}
	})
}

// stop finishes what was accepted, within the drain timeout, and closes the
// database.
func (s *running) stop() error {
	s.server.Drain()
	ctx, cancel := context.WithTimeout(context.Background(), s.o.drainTimeout)
	defer cancel()
	var errs []error
	for _, srv := range s.http {
		if err := srv.Shutdown(ctx); err != nil {
			errs = append(errs, fmt.Errorf("requests were cut off after %v: %w", s.o.drainTimeout, err), srv.Close())
		}
	}
	s.cancel()
	s.work.Wait()
	if err := s.dirs.Flush(ctx); err != nil {
		s.log.Warn("the last use of keys was not written down", "err", err)
	}
	return errors.Join(append(errs, s.store.Close())...)
}

// housekeep writes down when keys were used and erases what is past its time.
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

// banner says on a first start what was made, with what to try.
func (s *running) banner(w io.Writer) {
	if s.key == "" {
		return
	}
	base := s.url + "/scim/directory/" + s.directory
	fmt.Fprintf(w, `
  Default directory   %s  (rule set %s)
  SCIM base URL       %s
  Operator key        %s

The key is shown this once. Try it:

  curl -H "Authorization: Bearer %s" %s/Users

  export ROSTER_KEY=%s
  roster user create --url %s --user-name ada@corp.example --email ada@corp.example --title Engineer
  roster user update --url %s ID --user-name ada@corp.example --email ada@corp.example --title CTO

Entra ID, Okta and other identity providers want a directory with the standard
rules: roster directory create "Okta" --rule-set standard

`, s.directory, s.o.ruleSet, base, s.key, s.key, base, s.key, s.url, s.url)
}

// checkListen refuses to send keys in the clear over a network.
func checkListen(o *serveOptions, hasTLS bool) error {
	if o.publicURL != "" {
		u, err := url.Parse(o.publicURL)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
			return usagef("--public-url must be a URL such as https://scim.corp.example")
		}
	}
	host, _, err := net.SplitHostPort(o.listen)
	if err != nil {
		return usagef("--listen must be an address such as 127.0.0.1:8080: %w", err)
	}
	if hasTLS || o.insecureHTTP || host == "localhost" {
		return nil
	}
	if addr, err := netip.ParseAddr(host); err == nil && addr.IsLoopback() {
		return nil
	}
	return usagef("--listen %s would take keys over the network in the clear: give --tls-cert and --tls-key, or --insecure-http behind a proxy that has TLS", o.listen)
}

func parseNetworks(list []string) (networks []netip.Prefix, err error) {
	for _, text := range list {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			addr, err2 := netip.ParseAddr(text)
			if err2 != nil {
				return nil, usagef("--trusted-proxy %s: expected a network such as 10.0.0.0/8 or an address", text)
			}
			p = netip.PrefixFrom(addr, addr.BitLen())
		}
		networks = append(networks, p.Masked())
	}
	return networks, nil
}

func newLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, usagef("--log-level %s: there are debug, info, warn and error", level)
	}
	o := &slog.HandlerOptions{Level: l, ReplaceAttr: redact}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return nil, usagef("--log-format %s: there are text and json", format)
}

// redact is the last gate before the log: no attribute of such a name gets
// through, whoever logs it.
func redact(_ []string, a slog.Attr) slog.Attr {
	switch strings.ToLower(a.Key) {
	case "authorization", "password", "secret", "token", "username", "email", "emails", "body", "query":
		return slog.String(a.Key, "(redacted)")
	}
	return a
}

// newTLS returns the configuration that serves a certificate and its key, or
// nil for none. The files are read again when they change; a pair that cannot
// be read is logged, and the old one stays.
func newTLS(certFile, keyFile string, log *slog.Logger) (*tls.Config, error) {
	if certFile == "" && keyFile == "" {
		return nil, nil
	}
	if certFile == "" || keyFile == "" {
		return nil, usagef("--tls-cert and --tls-key go together")
	}
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log}
	if err := c.load(); err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	return &tls.Config{GetCertificate: c.get, MinVersion: tls.VersionTLS12}, nil
}

type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	pair    *tls.Certificate
	written time.Time // when the certificate's file was written
	checked time.Time
}

func (c *certificate) load() error {
	info, err := os.Stat(c.certFile)
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return err
	}
	c.pair, c.written = &pair, info.ModTime()
	return nil
}

// get looks at the file once a second at the most.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.checked) >= time.Second {
		c.checked = now
		if info, err := os.Stat(c.certFile); err != nil || !info.ModTime().Equal(c.written) {
			if err := c.load(); err != nil {
				c.log.Error("the renewed certificate cannot be read; the old one is still served", "err", err)
			} else {
				c.log.Info("serving the renewed certificate")
			}
		}
	}
	return c.pair, nil
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
