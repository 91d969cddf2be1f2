// Package server is Roster over HTTP: the SCIM routes of Atlassian's User
// Provisioning API, Roster's own management API under /api/v1, health and
// metrics.
//
// A SCIM request goes one way: route, key, directory, scope, rate, body, then
// the one handler of its route, which returns an answer or an error. Rules about
// resources are in package directory; errors.go writes every error there is.
package server

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/directory"
	"github.com/roster-scim/roster/internal/workflow"
	"github.com/roster-scim/roster/scim"
)

// DefaultMaxBody is the largest body of a request, in bytes.
const DefaultMaxBody = 1 << 20

// Options of a Server.
type Options struct {
	Directories *directory.Service
	// PublicURL is what locations begin with: scheme, host and perhaps a path,
	// without a slash at the end.
	PublicURL string
	// TrustedProxies may say with X-Forwarded-Proto and -Host what PublicURL
	// is, where FollowProxy is set, and with X-Forwarded-For who the client is.
	// Headers of anybody else are ignored.
	TrustedProxies []netip.Prefix
	FollowProxy    bool
	// MaxBody is the largest body of a request in bytes. 0: DefaultMaxBody.
	MaxBody int64
	// MaxBulk is that of a bulk request. 0: DefaultMaxBulk.
	MaxBulk int64
	// Rate is how many requests a second each key may make, Burst how many at
	// once. Rate 0: no limit. Burst 0: Rate, at least 1.
	Rate  float64
	Burst int
	// Chaos makes SCIM requests go wrong on purpose. nil: none does.
	Chaos *Chaos
	// Connections are those of the directories' workflows. nil: there is no file of
	// keys, and requests for them say so.
	Connections *workflow.Connections
	// Workflows are those of the directories. nil: this server runs none.
	Workflows *workflow.Service
	// Metrics is the registry that /metrics shows. nil: a new one.
	Metrics *prometheus.Registry
	// HideMetrics leaves /metrics out of Handler: AdminHandler alone has it.
	HideMetrics bool
	Version     string
	Log         *slog.Logger     // nil: slog.Default
	Now         func() time.Time // nil: time.Now
}

// A Server answers HTTP requests.
type Server struct {
	Options
	dirs     *directory.Service
	api      *http.ServeMux
	patterns []string // of api
	admin    *http.ServeMux
	metrics  *metrics
	log      *slog.Logger
	requests *requestLog
	limits   *limiter
	waiters  chan struct{}   // one for each request that waits
	ending   context.Context // done when the server drains
	drain    context.CancelFunc
}

// New returns a Server.
func New(o Options) *Server {
	s := &Server{Options: o, dirs: o.Directories, log: o.Log, requests: newRequestLog(), waiters: make(chan struct{}, MaxWaiters)}
	s.ending, s.drain = context.WithCancel(context.Background())
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.MaxBody == 0 {
		s.MaxBody = DefaultMaxBody
	}
	if s.MaxBulk == 0 {
		s.MaxBulk = DefaultMaxBulk
	}
	if s.Connections == nil {
		s.Connections = workflow.NewConnections(workflow.ConnectionOptions{})
	}
	if o.Rate > 0 {
		s.limits = newLimiter(o.Rate, o.Burst)
	}
	s.metrics = newMetrics(o.Metrics, o.Version)
	s.api, s.patterns = s.routes()
	s.admin = s.adminRoutes()
	return s
}

// Drain makes /readyz say 503, so that a load balancer sends no more, and who
// waits is answered.
func (s *Server) Drain() { s.drain() }

// Handler returns what listens on the main address.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

// AdminHandler returns what listens on the admin address: health and metrics.
func (s *Server) AdminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { plain(w, 200, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		status, text := s.readiness(r.Context())
		plain(w, status, text)
	})
	mux.Handle("GET /metrics", s.metrics.handler())
	return mux
}

// A request is what is known of one request, and what will be told of it.
type request struct {
	*http.Request
	w     http.ResponseWriter
	id    string
	start time.Time
	route string // a pattern, never a path: it goes into logs and metrics

	base string // what locations begin with
	scim bool   // a SCIM route, no other
	// admin says that it is an Admin API of the organisation.
	admin bool
	me    bool // /Me: a user is read or written as its own
	dir   *directory.Directory
	key   *roster.Key
	cause *roster.Cause // the run that sends it, or that it says sends it; nil: none

	status   int
	scimType string // of the error that it was refused with
	resource string // the id of the resource, once it is known to be one
	ignored  []string
	coerced  []string
}

func (s *Server) serve(w http.ResponseWriter, hr *http.Request) {
	r := &request{Request: hr, w: w, id: newID(), start: s.Now(), route: "other"}
	w.Header()["Roster-Request-Id"] = []string{r.id}
	defer s.done(r)
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				panic(p)
			}
			s.log.Error("panic", "request", r.id, "route", r.route, "panic", p, "stack", string(debug.Stack()))
			if r.status == 0 {
				s.fail(r, errors.New("panic"))
			}
		}
	}()
	r.base = s.baseOf(hr)
	if l := localOf(hr); l != nil {
		r.cause = l.cause
	} else if claim := hr.Header.Get(roster.CauseHeader); claim != "" {
		r.cause = roster.ParseCause(claim)
	}
	if err := s.dispatch(r); err != nil {
		s.fail(r, err)
	}
}

// dispatch finds the part of the server that a path belongs to.
func (s *Server) dispatch(r *request) error {
	path := r.URL.EscapedPath()
	if rest, ok := strings.CutPrefix(path, "/scim/"); ok {
		r.scim = true
		if s.Chaos != nil {
			return s.Chaos.serve(r, func() error { return s.scim(r, rest) })
		}
		return s.scim(r, rest)
	}
	if strings.HasPrefix(path, "/api/v1/") {
		return s.route(r, s.api)
	}
	if strings.HasPrefix(path, "/admin/user-provisioning/") {
		r.admin = true
		return s.route(r, s.admin)
	}
	known := path == "/healthz" || path == "/readyz" || path == "/metrics" && !s.HideMetrics
	if !known {
		return scim.Errorf(404, "", "Nothing is here: SCIM is under /scim/directory/{directoryId}/, the management API under /api/v1/")
	}
	r.route = path
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return notAllowed(r, "GET")
	}
	text := "ok"
	r.status = 200
	switch path {
	case "/metrics":
		s.metrics.handler().ServeHTTP(r.w, r.Request)
		return nil
	case "/readyz":
		r.status, text = s.readiness(r.Context())
	}
	plain(r.w, r.status, text)
	return nil
}

// done tells the metrics and the request log of a request that was answered.
func (s *Server) done(r *request) {
	took := s.Now().Sub(r.start)
	s.metrics.observe(r, took)
	if r.dir != nil {
		s.requests.add(r, took)
	}
	if s.log.Enabled(context.Background(), slog.LevelDebug) {
		s.log.Debug("request", "request", r.id, "method", r.Method, "route", r.route, "status", r.status,
			"ms", took.Milliseconds(), "client", s.clientOf(r.Request))
	}
}

// readiness says whether a load balancer may send requests here.
func (s *Server) readiness(ctx context.Context) (status int, text string) {
	if s.ending.Err() != nil {
		return 503, "draining"
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := s.dirs.Ready(ctx); err != nil {
		s.log.Error("not ready", "err", err)
		return 503, "the database does not answer"
	}
	return 200, "ok"
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n"))
}

// baseOf returns what the locations in an answer begin with.
func (s *Server) baseOf(r *http.Request) string {
	if !s.FollowProxy || !s.trusts(r.RemoteAddr) {
		return s.PublicURL
	}
	proto, host := r.Header.Get("X-Forwarded-Proto"), r.Header.Get("X-Forwarded-Host")
	if proto != "https" && proto != "http" || host == "" {
		return s.PublicURL
	}
	u := url.URL{Scheme: proto, Host: host}
	if p, err := url.Parse(u.String()); err != nil || p.Host != host {
		return s.PublicURL
	}
	return u.String()
}

// clientOf returns the address of the client, for the log.
func (s *Server) clientOf(r *http.Request) string {
	if s.trusts(r.RemoteAddr) {
		hops := strings.Split(r.Header.Get("X-Forwarded-For"), ",")
		// The last hop that is not one of ours is the client; what stands
		// before it anybody can have written.
		for i := len(hops) - 1; i >= 0; i-- {
			addr, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
			if err != nil {
				break
			}
			if !s.trusts(addr.String()) {
				return addr.String()
			}
		}
	}
	return r.RemoteAddr
}

func (s *Server) trusts(remote string) bool {
	if len(s.TrustedProxies) == 0 {
		return false
	}
	addr, err := netip.ParseAddr(remote)
	if ap, err2 := netip.ParseAddrPort(remote); err2 == nil {
		addr, err = ap.Addr(), nil
	}
	if err != nil {
		return false
	}
	for _, p := range s.TrustedProxies {
		if p.Contains(addr.Unmap()) {
			return true
		}
	}
	return false
}

// newID returns an id of 32 hexadecimal digits. It names a request, it guards
// nothing.
func newID() string {
	var b [16]byte
	for i := 0; i < 16; i += 8 {
		n := rand.Uint64()
		for j := range 8 {
			b[i+j] = byte(n >> (8 * j))
		}
	}
	return hex.EncodeToString(b[:])
}

// call returns what the rules know of a request.
func (r *request) call() directory.Call {
	return directory.Call{Key: r.key.ID, Request: r.id, Cause: r.cause}
}

// send writes an answer.
func (r *request) send(status int, contentType []string, body []byte) {
	h := r.w.Header()
	r.status = status
	if body != nil {
		h["Content-Type"] = contentType
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	r.w.WriteHeader(status)
	if body != nil {
		_, _ = r.w.Write(body) // a client that has gone is its own affair
	}
}

var (
	scimJSON  = []string{"application/scim+json"}
	plainJSON = []string{"application/json"}
)
