package client

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"golang.org/x/time/rate"
)

// init makes the HTTP client that retries.
func (c *Client) init() {
	plain := http.Client{}
	if c.HTTP != nil {
		plain = *c.HTTP
	} else {
		plain.Transport = http.DefaultTransport.(*http.Transport).Clone()
	}
	plain.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	plain.Timeout = orElse(c.Timeout, defaultTimeout)
	retries := c.Retries
	if retries == 0 {
		retries = defaultRetries
	}
	if c.Rate > 0 {
		c.limit = rate.NewLimiter(rate.Limit(c.Rate), max(c.Burst, 1))
	}
	c.retry = &retryablehttp.Client{
		HTTPClient:     &plain,
		RetryMax:       max(retries, 0),
		RetryWaitMin:   orElse(c.RetryWait, defaultRetryWait),
		RetryWaitMax:   orElse(c.MaxRetryWait, defaultMaxRetryWait),
		RequestLogHook: c.beforeAttempt,
		CheckRetry:     c.checkRetry,
		Backoff:        backoff,
		ErrorHandler:   retryablehttp.PassthroughErrorHandler,
	}
}

func orElse(d, other time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return other
}

// attempts is what is known of the attempts of one request. It travels in the
// request's context: retryablehttp gives its hooks nothing else.
type attempts struct {
	repeatable bool // doing it twice is as doing it once
	keyed      bool // it is so for a service that honours Idempotency-Keys
	count      int
	// unsure is the first attempt that failed and may have been carried out all
	// the same; 0: none.
	unsure int
}

type attemptsKey struct{}

func attemptsOf(ctx context.Context) *attempts { return ctx.Value(attemptsKey{}).(*attempts) }

// mayBeDone reports whether an attempt before the last may have been carried out.
func (a *attempts) mayBeDone() bool { return a.unsure > 0 && a.unsure < a.count }

func (c *Client) beforeAttempt(_ retryablehttp.Logger, req *http.Request, retry int) {
	c.takeTurn(req.Context())
	attemptsOf(req.Context()).count++
	if retry > 0 && c.Logger != nil {
		c.Logger.LogAttrs(req.Context(), slog.LevelWarn, "request is tried again",
			slog.String("method", req.Method), slog.String("path", req.URL.Path), slog.Int("retry", retry))
	}
}

// takeTurn waits as Client.Rate demands, or until ctx ends: then the request
// fails by itself.
func (c *Client) takeTurn(ctx context.Context) {
	if c.limit == nil {
		return
	}
	turn := c.limit.Reserve()
	if !wait(ctx, turn.Delay()) {
		turn.Cancel()
	}
}

// wait waits, and reports whether ctx has not ended before.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// pause waits as before a retry, n of which there were before it, and reports
// whether there may be one.
func (c *Client) pause(ctx context.Context, n int) bool {
	return n < c.retry.RetryMax && wait(ctx, backoff(c.retry.RetryWaitMin, c.retry.RetryWaitMax, n, nil))
}

// checkRetry decides whether a request is tried again (see Client.Retries). It
// is asked after each attempt, and again when the body of the answer was read.
func (c *Client) checkRetry(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, nil
	}
	a := attemptsOf(ctx)
	if resp != nil && resp.Header.Get("Roster-Request-Id") != "" {
		c.isRoster.Store(true)
	}
	again, unsure := false, false
	switch {
	case err != nil:
		again, unsure = judge(err)
	case resp.StatusCode == http.StatusTooManyRequests:
		again = true
	case resp.StatusCode >= 502 && resp.StatusCode <= 504:
		again, unsure = true, true
	}
	if unsure {
		if a.unsure == 0 {
			a.unsure = a.count
		}
		again = again && (a.repeatable || a.keyed && c.isRoster.Load())
	}
	if wait, ok := retryAfter(resp, time.Now()); ok && wait > c.retry.RetryWaitMax {
		again = false // sooner would be refused again
	}
	return again, nil
}

// judge says of a request without a whole answer whether it is worth another
// attempt, and whether the service may have carried it out.
func judge(err error) (again, unsure bool) {
	var (
		cert *tls.CertificateVerificationError
		tlsr tls.RecordHeaderError
		dns  *net.DNSError
		op   *net.OpError
	)
	switch {
	case errors.Is(err, errTooLarge):
		return false, true
	case errors.As(err, &cert), errors.As(err, &tlsr), errors.Is(err, http.ErrSchemeMismatch):
		return false, false
	case errors.As(err, &dns):
		return !dns.IsNotFound, false
	case errors.As(err, &op) && op.Op == "dial":
		return true, false // nothing was sent
	}
	return true, true
}

// backoff returns how long to wait before the next attempt: what the service
// asks for, else twice as long as the last time, less up to a half so that many
// clients do not come back at once.
func backoff(first, most time.Duration, retry int, resp *http.Response) time.Duration {
	// A time that is over, as of a service whose clock is wrong, asks for nothing.
	if wait, _ := retryAfter(resp, time.Now()); wait > 0 {
		return min(wait+rand.N(wait/10+time.Millisecond), most)
	}
	wait := most
	if retry < 32 {
		wait = min(first<<retry, most)
	}
	return wait - rand.N(wait/2+1)
}

// maxRetryAfter bounds what a service can ask for.
const maxRetryAfter = 24 * time.Hour

// retryAfter reads Retry-After in its two forms (RFC 9110 section 10.2.3):
// seconds, or a date, which is compared with the service's own Date where there
// is one, so that a wrong clock here does no harm. Not negative.
func retryAfter(resp *http.Response, now time.Time) (time.Duration, bool) {
	if resp == nil {
		return 0, false
	}
	value := strings.TrimSpace(resp.Header.Get("Retry-After"))
	if value == "" {
		return 0, false
	}
	if seconds, err := strconv.ParseInt(value, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(max(seconds, 0), int64(maxRetryAfter/time.Second))) * time.Second, true
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		now = date
	}
	return min(max(at.Sub(now), 0), maxRetryAfter), true
}
