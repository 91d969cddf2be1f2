package main

import (
	"context"
	"net/http"
	"sync"
)

// An inFlight counts the requests that a handler has begun and not ended.
//
// http.Server.Shutdown alone would finish them too, but it drops unread what
// comes meanwhile on other open connections: a load balancer that asks /readyz
// there would never see its 503.
type inFlight struct {
	mu   sync.Mutex
	n    int
	none chan struct{} // closed when there are none, for who waits; nil: nobody does
}

func (f *inFlight) count(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.n++
		f.mu.Unlock()
		defer f.ended()
		h.ServeHTTP(w, r)
	})
}

func (f *inFlight) ended() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n--; f.n == 0 && f.none != nil {
		close(f.none)
		f.none = nil
	}
}

// any reports whether one is in flight.
func (f *inFlight) any() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n > 0
}

// wait waits until none is in flight, or ctx ends.
func (f *inFlight) wait(ctx context.Context) {
	f.mu.Lock()
	if f.n == 0 {
		f.mu.Unlock()
		return
	}
	if f.none == nil {
		f.none = make(chan struct{})
	}
	none := f.none
	f.mu.Unlock()
	select {
	case <-none:
	case <-ctx.Done():
	}
}
