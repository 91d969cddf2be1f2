package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster/scim"
)

// A step answers one request of a script.
type step func(w http.ResponseWriter, r *http.Request)

// script serves one step for each request, the last one for all that follow,
// and records what was asked.
type script struct {
	*httptest.Server
	mu   sync.Mutex
	seen []string // "PUT /path?query body"
	keys []string // the Idempotency-Key of each
}

func serve(t *testing.T, steps ...step) *script {
	t.Helper()
	s := new(script)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		s.mu.Lock()
		n := min(len(s.seen), len(steps)-1)
		line := r.Method + " " + r.URL.RequestURI()
		if len(body) > 0 {
			line += " " + string(body)
		}
		s.seen = append(s.seen, line)
		s.keys = append(s.keys, r.Header.Get("Idempotency-Key"))
		s.mu.Unlock()
		steps[n](w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// client returns a client of s that waits next to nothing between retries.
func (s *script) client() *Client {
	return &Client{BaseURL: s.URL + "/", Directory: "d", Key: "k", RetryWait: time.Millisecond, MaxRetryWait: 2 * time.Second}
}

// requests returns what was asked so far.
func (s *script) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// sentKeys returns the Idempotency-Key of each request so far.
func (s *script) sentKeys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.keys)
}

// answer returns a step that answers with a status, a body, and headers as
// "Name: value".
func answer(status int, body string, headers ...string) step {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/scim+json")
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// drop closes the connection without an answer.
func drop(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		conn.Close()
	}
}

// halve announces more than it sends.
func halve(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "1000")
	io.WriteString(w, `{"id":`)
	panic(http.ErrAbortHandler)
}

const ada = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"u1","userName":"ada@corp.example"}`

func TestError_EveryForm(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		answer  step
		want    scim.Error
		request string
	}{
		{"status as a string",
			answer(409, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"409","scimType":"uniqueness","detail":"taken"}`, "Roster-Request-Id: r1"),
			scim.Error{Status: 409, Type: "uniqueness", Detail: "taken"}, "r1"},
		{"status as a number", answer(400, `{"status":400,"scimType":"invalidValue","detail":"no primary"}`),
			scim.Error{Status: 400, Type: "invalidValue", Detail: "no primary"}, ""},
		{"fields missing", answer(404, `{}`), scim.Error{Status: 404, Detail: "Not Found"}, ""},
		{"members of the wrong type", answer(400, `{"detail":{"a":1},"scimType":[],"message":"bad"}`),
			scim.Error{Status: 400, Detail: "bad"}, ""},
		{"Atlassian's failure", answer(401, `{"error":"Unauthorized","traceId":"abc"}`),
			scim.Error{Status: 401, Detail: "Unauthorized. Check the key: it must be that of this directory, not that of an organization, and may have expired"}, "abc"},
		{"HTML", answer(502, "<html>Bad gateway</html>", "Content-Type: text/html"),
			scim.Error{Status: 502, Detail: "Bad Gateway (not an answer of a SCIM service, but text/html)"}, ""},
		{"plain text", answer(400, "Client sent an HTTP request\nto an HTTPS server.\n", "Content-Type: text/plain; charset=utf-8"),
			scim.Error{Status: 400, Detail: "Bad Request (Client sent an HTTP request to an HTTPS server.)"}, ""},
		{"empty", answer(500, ""), scim.Error{Status: 500, Detail: "Internal Server Error (without a body)"}, ""},
		{"a name twice", answer(400, `{"detail":"one","detail":"two"}`), scim.Error{Status: 400, Detail: "two"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := serve(t, tt.answer).client()
			c.Retries = -1
			_, err := c.Users().Get(t.Context(), "u1", nil)
			var got *scim.Error
			if !errors.As(err, &got) {
				t.Fatalf("got %v, want a *scim.Error", err)
			}
			if diff := cmp.Diff(*got, tt.want); diff != "" {
				t.Errorf("(-got +want):\n%s", diff)
			}
			var e *Error
			if !errors.As(err, &e) || e.RequestID() != tt.request {
				t.Errorf("got request id %q, want %q", e.RequestID(), tt.request)
			}
		})
	}
}

func TestRetry_PerMethodAndFault(t *testing.T) {
	t.Parallel()
	get := func(c *Client) error { _, err := c.Users().Get(t.Context(), "u1", nil); return err }
	put := func(c *Client) error {
		_, err := c.Users().Replace(t.Context(), "u1", &User{UserName: "ada"}, nil)
		return err
	}
	post := func(c *Client) error {
		_, err := c.Users().Create(t.Context(), &User{UserName: "ada"}, nil)
		return err
	}
	raw := func(c *Client) error {
		_, err := c.Resources("/Users").Create(t.Context(), &Resource{Body: jsontext.Value(`{}`)}, nil)
		return err
	}
	patch := func(o Operation) func(*Client) error {
		return func(c *Client) error { _, err := c.Users().Patch(t.Context(), "u1", Patch{o}, nil); return err }
	}
	manage := func(c *Client) error {
		_, err := c.Management().CreateDirectory(t.Context(), DirectoryCreate{Name: "n"})
		return err
	}
	tests := []struct {
		name     string
		do       func(*Client) error
		steps    []step
		requests int
		status   int // of the error; 0: none; -1: no answer
	}{
		{"get after 503", get, []step{answer(503, ""), answer(200, ada)}, 2, 0},
		{"get after a dropped connection", get, []step{drop, answer(200, ada)}, 2, 0},
		{"get after half an answer", get, []step{halve, answer(200, ada)}, 2, 0},
		{"put after half an answer and a 504", put, []step{halve, answer(504, ""), answer(200, ada)}, 3, 0},
		{"post after 429", post, []step{answer(429, ""), answer(201, ada)}, 2, 0},
		{"raw post is not repeated after 502", raw, []step{answer(502, "<html>"), answer(201, ada)}, 1, 502},
		{"raw post to a Roster is, with its key", raw, []step{answer(503, "", "Roster-Request-Id: r1"), answer(201, ada)}, 2, 0},
		{"patch that can be repeated", patch(Replace("title", "CTO")), []step{drop, answer(200, ada)}, 2, 0},
		{"patch that cannot", patch(Replace(`emails[type eq "work"].type`, "home")), []step{drop, answer(200, ada)}, 1, -1},
		{"management post after 429", manage, []step{answer(429, ""), answer(201, `{"id":"d"}`)}, 2, 0},
		{"management post is not repeated after 502", manage, []step{answer(502, ""), answer(201, `{"id":"d"}`)}, 1, 502},
		{"management post is not repeated after a drop", manage, []step{drop, answer(201, `{"id":"d"}`)}, 1, -1},
		{"500 is final", get, []step{answer(500, ""), answer(200, ada)}, 1, 500},
		{"400 is final", put, []step{answer(400, "{}"), answer(200, ada)}, 1, 400},
		{"retries end", put, []step{answer(503, `{"detail":"later"}`)}, 3, 503},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, tt.steps...)
			c := s.client()
			c.Retries = 2
			err := tt.do(c)
			wantStatus(t, err, tt.status)
			if len(s.requests()) != tt.requests {
				t.Errorf("got %d requests, want %d: %q", len(s.requests()), tt.requests, s.requests())
			}
			for _, key := range s.sentKeys() {
				if key != s.sentKeys()[0] {
					t.Errorf("the Idempotency-Key changed between attempts: %q", s.sentKeys())
				}
			}
		})
	}
}

func TestIdempotencyKey_OnWritesOnly(t *testing.T) {
	t.Parallel()
	s := serve(t, answer(200, ada))
	c := s.client()
	u := &User{UserName: "ada"}
	for _, err := range []error{
		second(c.Users().Get(t.Context(), "u1", nil)),
		second(c.Users().Create(t.Context(), u, nil)),
		second(c.Users().Replace(t.Context(), "u1", u, &WriteOptions{IdempotencyKey: "mine"})),
		c.Users().Delete(t.Context(), "u1", nil),
		second(c.Management().CreateKey(t.Context(), "d", KeyCreate{})),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	if s.sentKeys()[0] != "" || s.sentKeys()[1] == "" || s.sentKeys()[2] != "mine" || s.sentKeys()[3] == "" || s.sentKeys()[3] == s.sentKeys()[1] || s.sentKeys()[4] != "" {
		t.Errorf("got keys %q", s.sentKeys())
	}
}

func second[T any](_ T, err error) error { return err }

func TestRetryAfter_BothForms(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := []struct {
		value, date string
		want        time.Duration
		ok          bool
	}{
		{"7", "", 7 * time.Second, true},
		{" 0 ", "", 0, true},
		{"-3", "", 0, true},
		{"99999999999", "", maxRetryAfter, true},
		{"99999999999999999999999", "", maxRetryAfter, true},
		{"-99999999999999999999999", "", 0, true},
		{now.Add(9 * time.Second).Format(http.TimeFormat), "", 9 * time.Second, true},
		{now.Add(9 * time.Second).Format(http.TimeFormat), now.Add(5 * time.Second).Format(http.TimeFormat), 4 * time.Second, true},
		{now.Add(-time.Hour).Format(http.TimeFormat), "", 0, true},
		{"soon", "", 0, false},
		{"", "", 0, false},
	}
	for _, tt := range tests {
		resp := &http.Response{Header: http.Header{"Retry-After": {tt.value}, "Date": {tt.date}}}
		got, ok := retryAfter(resp, now)
		if got != tt.want || ok != tt.ok {
			t.Errorf("%q at %q: got %v %v, want %v %v", tt.value, tt.date, got, ok, tt.want, tt.ok)
		}
	}
}

func TestRetryAfter_IsKept(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"1", "date"} {
		t.Run(value, func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				header := value
				if value == "date" {
					header = time.Now().Add(2 * time.Second).UTC().Format(http.TimeFormat)
				}
				answer(429, "", "Retry-After: "+header)(w, r)
			}, answer(200, ada))
			c := s.client()
			c.MaxRetryWait = 5 * time.Second
			begun := time.Now()
			if _, err := c.Users().Get(t.Context(), "u1", nil); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begun); took < 900*time.Millisecond {
				t.Errorf("tried again after %v", took)
			}
		})
	}
}

// TestRetryAfter_ThatIsOver waits as if nothing were asked: a service whose clock is
// wrong is not hurried.
func TestRetryAfter_ThatIsOver(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"0", "-5", time.Now().UTC().Add(-time.Hour).Format(http.TimeFormat)} {
		resp := &http.Response{Header: http.Header{"Retry-After": {value}}}
		if got, least := backoff(time.Second, time.Minute, 3, resp), 4*time.Second; got < least || got > 2*least {
			t.Errorf("%s: got a wait of %v, want %v to %v", value, got, least, 2*least)
		}
	}
}

func TestRetryAfter_BeyondTheBoundEndsRetries(t *testing.T) {
	t.Parallel()
	s := serve(t, answer(429, `{"detail":"slow down"}`, "Retry-After: 3600"))
	_, err := s.client().Users().Get(t.Context(), "u1", nil)
	var e *Error
	if !errors.As(err, &e) || e.RetryAfter() != time.Hour || len(s.requests()) != 1 {
		t.Errorf("got %v, %v after %d requests, want 1h0m0s after 1", err, e.RetryAfter(), len(s.requests()))
	}
}

func TestRetry_RefusedConnectionAndContext(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	c := &Client{BaseURL: "http://" + closed, Retries: 2, RetryWait: time.Millisecond, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	_, err := c.Management().CreateDirectory(t.Context(), DirectoryCreate{Name: "n"})
	var e *Error
	if !errors.As(err, &e) || e.Attempts != 3 || e.Answer != nil {
		t.Errorf("got %v, want three attempts and no answer", err)
	}
	if got := strings.Count(log.String(), "request is tried again"); got != 2 {
		t.Errorf("got %d lines of log, want 2:\n%s", got, log.String())
	}

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	c = &Client{BaseURL: "http://" + closed, RetryWait: time.Hour, MaxRetryWait: time.Hour}
	if _, err = c.Users().Get(ctx, "u1", &GetOptions{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the context's error", err)
	}
}

func TestRedirect_IsNotFollowed(t *testing.T) {
	t.Parallel()
	s := serve(t, answer(301, "", "Location: https://other.example/Users/u1?secret=1"))
	_, err := s.client().Users().Replace(t.Context(), "u1", &User{UserName: "ada"}, nil)
	if err == nil || !strings.Contains(err.Error(), "the service is at https://other.example, use that") || len(s.requests()) != 1 {
		t.Errorf("got %v after %q", err, s.requests())
	}
}

func TestAnswer_IsBounded(t *testing.T) {
	t.Parallel()
	s := serve(t, answer(200, `{"userName":"`+strings.Repeat("a", 2000)+`"}`))
	c := s.client()
	c.MaxAnswer = 1000
	if _, err := c.Users().Get(t.Context(), "u1", nil); !errors.Is(err, errTooLarge) || len(s.requests()) != 1 {
		t.Errorf("got %v after %d requests", err, len(s.requests()))
	}
}

func TestTimeout_OfOneAttempt(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := serve(t, func(http.ResponseWriter, *http.Request) { <-release }, answer(200, ada))
	defer close(release)
	c := s.client()
	c.Timeout = time.Second // which the second attempt has too, on a busy machine
	if _, err := c.Users().Get(t.Context(), "u1", nil); err != nil {
		t.Error(err)
	}
}

func TestBaseURL_AndIDs(t *testing.T) {
	t.Parallel()
	s := serve(t, answer(200, ada))
	for _, bad := range []string{"", "host", "ftp://host", "http://", "http://u:p@host", "http://host?x=1"} {
		c := &Client{BaseURL: bad}
		if _, err := c.Users().Get(t.Context(), "u1", nil); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
	c := &Client{BaseURL: s.URL + "/scim/v2"}
	for id, path := range map[string]string{"a/b": "/scim/v2/Users/a%2Fb", "ä?": "/scim/v2/Users/%C3%A4%3F"} {
		if _, err := c.Users().Get(t.Context(), id, nil); err != nil {
			t.Error(err)
		}
		if got, want := s.requests()[len(s.requests())-1], "GET "+path; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	n := len(s.requests())
	for _, id := range []string{"", ".", ".."} {
		if err := c.Users().Delete(t.Context(), id, nil); err == nil {
			t.Errorf("id %q: no error", id)
		}
		if err := c.Management().RevokeKey(t.Context(), "", id); err == nil {
			t.Errorf("key %q: no error", id)
		}
	}
	if len(s.requests()) != n {
		t.Errorf("sent %q", s.requests()[n:])
	}
}
