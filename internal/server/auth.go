package server

import (
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/scim"
)

// authenticate sets the key of a request: the Bearer token of its Authorization
// header, whose scheme ignores case (RFC 9110 section 11.1). A request on a local
// transport has the key that this was made with.
func (s *Server) authenticate(r *request) error {
	if l := localOf(r.Request); l != nil {
		if !l.key.Live(s.Now()) {
			return scim.Errorf(401, "", "Unauthorized; the key %s has expired or was revoked: deploy the workflow again with another one", l.key.ID)
		}
		r.key = l.key
		return s.limits.allow(r)
	}
	header := r.Header.Get("Authorization")
	scheme, token, _ := strings.Cut(header, " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "bearer") || token == "" {
		what := "is missing"
		if header != "" {
			what = "has no Bearer token"
		}
		return scim.Errorf(401, "", "Unauthorized; the Authorization header %s. Send the directory's key as: Authorization: Bearer rk_…", what)
	}
	if len(token) > 4096 {
		return scim.Errorf(401, "", "Unauthorized; this is no key.")
	}
	key, err := s.dirs.Authenticate(r.Context(), token)
	if err != nil {
		return err
	}
	r.key = key
	return s.limits.allow(r)
}

// allow demands a scope. On /Me, which asks for those of users alone, ScopeMe is
// enough.
func (r *request) allow(scope roster.Scope) error {
	if !r.key.Allows(scope) && !(r.me && r.key.Allows(roster.ScopeMe)) {
		return scim.Errorf(403, "", "Forbidden; the key lacks the scope %s: make one that has it with roster key create", scope)
	}
	return nil
}

// A limiter bounds the requests of each key.
type limiter struct {
	rate  rate.Limit
	burst int

	mu   sync.Mutex
	keys map[string]*rate.Limiter
}

func newLimiter(perSecond float64, burst int) *limiter {
	if burst <= 0 {
		burst = max(1, int(math.Ceil(perSecond)))
	}
	return &limiter{rate: rate.Limit(perSecond), burst: burst, keys: make(map[string]*rate.Limiter)}
}

// allow is nil-safe: a nil limiter allows everything.
func (l *limiter) allow(r *request) error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	k := l.keys[r.key.ID]
	if k == nil {
		k = rate.NewLimiter(l.rate, l.burst)
		l.keys[r.key.ID] = k
	}
	l.mu.Unlock()
	res := k.ReserveN(r.start, 1)
	wait := res.DelayFrom(r.start)
	if wait <= 0 {
		return nil
	}
	res.CancelAt(r.start)
	seconds := int(math.Ceil(wait.Seconds()))
	r.w.Header().Set("Retry-After", strconv.Itoa(max(seconds, 1)))
	return scim.Errorf(429, "", "this key makes more than %v requests a second: wait %v", float64(l.rate), (time.Duration(max(seconds, 1)) * time.Second))
}
