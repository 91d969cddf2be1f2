package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/hashicorp/go-retryablehttp"
	"golang.org/x/time/rate"
)

// A Client speaks to one service with one key. Its fields are options: they are
// set before the first call and not changed after it. It is safe for concurrent
// use and must not be copied.
type Client struct {
	// BaseURL is where the service is: "https://api.atlassian.com" or
	// "https://users.corp.example". Required. http or https, without query.
	BaseURL string
	// Directory is the id of the directory: its SCIM base is
	// BaseURL/scim/directory/Directory. Empty: BaseURL is itself the SCIM base,
	// as in "https://service.example/scim/v2".
	Directory string
	// Key is the API key, sent as a bearer token. Empty: none is sent.
	Key string
	// HTTP makes the requests. Nil: a client with a pool of its own. A copy of
	// it is used, which follows no redirects: they turn a PUT into a GET.
	HTTP *http.Client
	// UserAgent is sent as User-Agent. Empty: "roster-client".
	UserAgent string
	// Retries is how often a request is tried again, at the most. Zero: 4.
	// Negative: never. What is tried again: 429; 502, 503, 504, and a lost
	// connection or a timeout. Writes carry an Idempotency-Key, the same in
	// every attempt, which a Roster honours for 24 hours. With any other service
	// a request that may have been done already is tried again only when twice
	// is as good as once: GET, PUT, DELETE, and a Patch that says so. Create
	// looks first.
	Retries int
	// Resumed says that the caller may have made the same calls before, and died
	// or lost the answer. Then a Delete of what is not there is done, and so is a
	// Create of a user or group that is there with all that it was to have. A
	// Roster needs this for nothing: it repeats its answer to an Idempotency-Key.
	Resumed bool
	// RetryWait is the wait before the first retry; it doubles with each, less
	// up to a half at random. Zero: 500 ms.
	RetryWait time.Duration
	// MaxRetryWait bounds each wait. A Retry-After within it is kept; one
	// beyond it ends the retries, and the error has it. Zero: 30 s.
	MaxRetryWait time.Duration
	// Timeout bounds one attempt, its answer included. Zero: 30 s. The context
	// bounds all of them.
	Timeout time.Duration
	// Rate bounds the requests a second, retries included; they wait for their
	// turn. Zero: no bound.
	Rate float64
	// Burst is how many requests may be sent at once after a pause, under Rate.
	// Zero: 1.
	Burst int
	// MaxAnswer bounds the body of one answer in bytes. Zero: 16 MiB.
	MaxAnswer int64
	// Logger is told of each retry. Nil: nothing is logged. Neither keys nor
	// query strings nor bodies are ever logged.
	Logger *slog.Logger

	once  sync.Once
	retry *retryablehttp.Client
	limit *rate.Limiter // nil: none

	// isRoster says that a Roster has answered: it does a request with an
	// Idempotency-Key once, however often it is sent.
	isRoster atomic.Bool
	config   atomic.Pointer[ServiceProviderConfig] // nil: not asked for yet
}

// The defaults of Client.
const (
	defaultRetries      = 4
	defaultRetryWait    = 500 * time.Millisecond
	defaultMaxRetryWait = 30 * time.Second
	defaultTimeout      = 30 * time.Second
	defaultMaxAnswer    = 16 << 20
	defaultUserAgent    = "roster-client"
)

// A Request is one call of a service for Client.Do.
type Request struct {
	Method string
	// Path is below the directory's SCIM base and begins with a slash; what is
	// put into it must be escaped: "/Users/" + url.PathEscape(id).
	Path  string
	Query url.Values
	// Body is a JSON value, or empty for none.
	Body jsontext.Value
	// IfMatch is the ETag that the resource must still have. Empty: any.
	IfMatch string
	// IdempotencyKey names the request, so that the service does it once.
	// Empty: one is made for POST, PUT, PATCH and DELETE.
	IdempotencyKey string

	repeatable bool // doing it twice is as doing it once
	reads      bool // a POST that changes nothing
	discard    bool // the body of a success is of no use
}

// An Answer is what a service said to one request.
type Answer struct {
	Status   int
	Header   http.Header
	Body     jsontext.Value // as it was sent; an error's may be no JSON. Empty: none
	Attempts int            // how often the request was sent, from 1

	mayBeDone bool // by an attempt before the last, which failed
}

// ETag returns the version of the resource in the answer, for IfMatch; "" when
// the service has none.
func (a *Answer) ETag() string { return a.Header.Get("ETag") }

// RequestID returns the id that the service gave the request, "" when none.
func (a *Answer) RequestID() string {
	if id := a.Header.Get("Roster-Request-Id"); id != "" {
		return id
	}
	return a.Header.Get("X-Request-Id")
}

// RuleSet returns the name of the rule set that the directory follows, which a
// Roster tells; "" when the service does not.
func (a *Answer) RuleSet() string { return a.Header.Get("Roster-Rule-Set") }

// Rules returns the rules in which the directory of a Roster differs from its
// rule set, a JSON object for scim.RuleSet.With; nil when it does in none.
func (a *Answer) Rules() []byte { return []byte(a.Header.Get("Roster-Rules")) }

// Ignored returns the attributes that a Roster passed over, having no such.
func (a *Answer) Ignored() []string { return words(a.Header, "Roster-Ignored") }

// Coerced returns the attributes that a Roster read in another way than they
// were spelt.
func (a *Answer) Coerced() []string { return words(a.Header, "Roster-Coerced") }

// words splits a header of comma-separated values.
func words(h http.Header, name string) []string {
	var out []string
	for _, line := range h.Values(name) {
		for w := range strings.SplitSeq(line, ",") {
			if w = strings.TrimSpace(w); w != "" {
				out = append(out, w)
			}
		}
	}
	return out
}

// Do sends a request to the directory and returns the answer: for calls that the
// SDK has no name for. An answer other than 2xx is an error, see Error.
func (c *Client) Do(ctx context.Context, r *Request) (*Answer, error) {
	base, err := c.base()
	if err != nil {
		return nil, err
	}
	if c.Directory != "" {
		base += "/scim/directory/" + url.PathEscape(c.Directory)
	}
	if r.IdempotencyKey == "" && r.Method != http.MethodGet && !r.reads {
		keyed := *r
		keyed.IdempotencyKey = rand.Text()
		r = &keyed
	}
	return c.send(ctx, base, scimMedia, r)
}

// The media types that are sent and asked for.
const (
	scimMedia = "application/scim+json"
	jsonMedia = "application/json"
)

// base returns BaseURL, checked and without a slash at its end.
func (c *Client) base() (string, error) {
	u, err := url.Parse(c.BaseURL)
	switch {
	case err != nil:
		return "", fmt.Errorf("base URL: %w", err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return "", fmt.Errorf("base URL %q: expected one such as https://host", c.BaseURL)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("base URL: no user, query or fragment in it")
	}
	return strings.TrimRight(u.String(), "/"), nil
}

// segment returns id escaped for a path. An empty id would reach the list of
// all, and a dot another path.
func segment(what, id string) (string, error) {
	switch id {
	case "":
		return "", fmt.Errorf("no %s id", what)
	case ".", "..":
		return "", fmt.Errorf("%q is no %s id", id, what)
	}
	return url.PathEscape(id), nil
}

// send makes one call, with its retries.
func (c *Client) send(ctx context.Context, base, media string, r *Request) (*Answer, error) {
	c.once.Do(c.init)
	target := base + r.Path
	if len(r.Query) > 0 {
		target += "?" + r.Query.Encode()
	}
	tries := &attempts{
		repeatable: r.repeatable || r.reads || r.Method != http.MethodPost && r.Method != http.MethodPatch,
		keyed:      r.IdempotencyKey != "",
	}
	ctx = context.WithValue(ctx, attemptsKey{}, tries)
	var body any
	if len(r.Body) > 0 {
		body = []byte(r.Body)
	}
	req, err := retryablehttp.NewRequestWithContext(ctx, r.Method, target, body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.Method, r.Path, err)
	}
	req.Header.Set("Accept", scimMedia+", "+jsonMedia)
	req.Header.Set("User-Agent", c.userAgent())
	if body != nil {
		req.Header.Set("Content-Type", media)
	}
	if c.Key != "" {
		req.Header.Set("Authorization", "Bearer "+c.Key)
	}
	if r.IfMatch != "" {
		req.Header.Set("If-Match", r.IfMatch)
	}
	if r.IdempotencyKey != "" {
		// Spelt like this, net/http does not take it as leave to send the request
		// again by itself, which no attempt would be counted for.
		req.Header["idempotency-key"] = []string{r.IdempotencyKey}
	}

	// The body is read inside the loop of retries: a connection that is lost in
	// the middle of an answer is a lost connection.
	var data []byte
	var read bool
	req.SetResponseHandler(func(resp *http.Response) (err error) {
		data, err = c.readAnswer(resp, r.discard)
		read = err == nil
		return err
	})
	resp, err := c.retry.Do(req)
	if resp != nil && err == nil && !read {
		data, err = c.readAnswer(resp, r.discard)
	}
	failure := &Error{Method: r.Method, Path: req.URL.Path, Attempts: tries.count, unsure: tries.unsure > 0}
	if err != nil {
		failure.Err = transportError(ctx, err)
		return nil, failure
	}
	a := &Answer{Status: resp.StatusCode, Header: resp.Header, Body: data, Attempts: tries.count, mayBeDone: tries.mayBeDone()}
	if a.Status >= 200 && a.Status < 300 {
		return a, nil
	}
	failure.Answer = a
	failure.Err = answerError(a, failure.Path)
	return nil, failure
}

var errTooLarge = errors.New("the answer is larger than Client.MaxAnswer")

// readAnswer reads the body of an answer. With discard, that of a success is
// only read so that the connection can be used again, if it is not long.
func (c *Client) readAnswer(resp *http.Response, discard bool) ([]byte, error) {
	defer resp.Body.Close()
	if discard && resp.StatusCode < 300 {
		_, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 256<<10))
		return nil, err
	}
	limit := c.MaxAnswer
	if limit <= 0 {
		limit = defaultMaxAnswer
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = errTooLarge
	}
	return data, err
}

func (c *Client) userAgent() string {
	if c.UserAgent == "" {
		return defaultUserAgent
	}
	return c.UserAgent
}
