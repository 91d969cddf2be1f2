package main

import (
	"fmt"
	"io"
	"net/http"
	"time"
)

// debugHTTP returns a client that tells each request on stderr, when
// ROSTER_DEBUG=api asks for it, else nil. It tells neither keys nor bodies; the
// query is told as it is.
func (g *globals) debugHTTP() *http.Client {
	if g.getenv("ROSTER_DEBUG") != "api" {
		return nil
	}
	return &http.Client{Transport: &tracer{g.stderr, http.DefaultTransport.(*http.Transport).Clone()}}
}

type tracer struct {
	w    io.Writer
	next http.RoundTripper
}

func (t *tracer) RoundTrip(r *http.Request) (*http.Response, error) {
	start := time.Now()
	resp, err := t.next.RoundTrip(r)
	said := ""
	if err != nil {
		said = err.Error()
	} else {
		said = resp.Status
		if id := resp.Header.Get("Roster-Request-Id"); id != "" {
			said += ", request " + id
		}
	}
	fmt.Fprintf(t.w, "debug: %s %s: %s, %s\n", r.Method, printable(r.URL.String()), printable(said), time.Since(start).Round(time.Millisecond))
	return resp, err
}
