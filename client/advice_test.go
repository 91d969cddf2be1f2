package client

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestAdvice_OnAnswers(t *testing.T) {
	t.Parallel()
	const failure = `{"error":"Unauthorized","traceId":"t1"}`
	get := func(c *Client) error { return second(c.Users().Get(t.Context(), "u1", nil)) }
	admin := func(c *Client) error {
		return second(c.Organization("o").ListLinks(t.Context(), "a"))
	}
	tests := []struct {
		name   string
		do     func(*Client) error
		answer step
		want   string
	}{
		{"key of an organization", get, answer(401, failure), "must be that of this directory, not that of an organization"},
		{"key of a directory", admin, answer(401, failure), "take the key of the organization, not that of a directory"},
		{"forbidden", get, answer(403, failure), "belongs to this directory and may do this"},
		{"forbidden to the organization", admin, answer(403, failure), "the right to manage users"},
		{"no directory", get, answer(404, `{"detail":"Directory does not exist"}`), "Directory does not exist. Check the id of the directory"},
		{"no SCIM", get, answer(404, "404 page not found", "Content-Type: text/plain"), "Not Found (404 page not found). Check the base URL"},
		{"a page to log in", get, answer(200, "<html>log in</html>", "Content-Type: text/html"), "it is a web page: check the base URL"},
		{"redirect to a page", get, answer(302, "", "Location: /login"), "302 Found where a result was expected: redirects are not followed, and this one may lead to a page to log in"},
		{"redirect to nowhere", get, answer(301, ""), "where a result was expected: check the base URL"},
	}
	for _, tt := range tests {
		if err := tt.do(serve(t, tt.answer).client()); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q in it", tt.name, err, tt.want)
		}
	}
	// What a Roster says is enough, and so is that there is no such user.
	for _, a := range []step{
		answer(401, `{"detail":"Unauthorized; said"}`, "Roster-Request-Id: r"), answer(404, `{"detail":"no such user; said"}`),
	} {
		if err := get(serve(t, a).client()); err == nil || !strings.HasSuffix(err.Error(), "said") {
			t.Errorf("got %v", err)
		}
	}
}

// closed is an address where nobody listens: the port is none that a test is given.
const closed = "127.0.0.1:1"

func TestAdvice_WithoutAnAnswer(t *testing.T) {
	t.Parallel()
	quiet := func(s *httptest.Server) *httptest.Server {
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		t.Cleanup(s.Close)
		return s
	}
	secure := quiet(httptest.NewUnstartedServer(http.NotFoundHandler()))
	secure.StartTLS()
	release := make(chan struct{})
	hanging := serve(t, func(http.ResponseWriter, *http.Request) { <-release })
	t.Cleanup(func() { close(release) })

	tests := []struct{ name, url, want string }{
		{"untrusted certificate", secure.URL, "the certificate is not trusted"},
		{"no TLS", strings.Replace(serve(t, answer(200, ada)).URL, "http:", "https:", 1), "does not speak TLS there"},
		{"no such host", "http://users.corp.invalid", "check the host in the base URL"},
		{"nothing listens", "http://" + closed, "nothing listens there"},
		{"no answer in time", hanging.URL, "no answer in time"},
	}
	for _, tt := range tests {
		c := &Client{BaseURL: tt.url, Retries: -1, Timeout: time.Minute}
		if tt.url == hanging.URL {
			c.Timeout = 100 * time.Millisecond
		}
		if tt.name == "no such host" {
			// What a resolver says: the test needs no network.
			c.HTTP = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
				return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "users.corp.invalid", IsNotFound: true}}
			})}
		}
		_, err := c.Users().Get(t.Context(), "u1", nil)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q in it", tt.name, err, tt.want)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestRate_RequestsWaitForTheirTurn(t *testing.T) {
	t.Parallel()
	s := serve(t, answer(503, ""), answer(200, ada))
	c := s.client()
	c.Rate, c.Burst = 20, 2
	begun := time.Now()
	for range 4 { // 5 requests with the retry: 2 at once, 3 each 50 ms later
		if _, err := c.Users().Get(t.Context(), "u1", nil); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(begun); took < 140*time.Millisecond || len(s.requests()) != 5 {
		t.Errorf("%d requests took %v, want 150 ms at least", len(s.requests()), took)
	}
}
