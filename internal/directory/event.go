package directory

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/scim"
)

// MaxRead is how many events or deleted resources one read returns at the most.
const MaxRead = 1000

// DefaultPoll is how often who waits for events looks for those of other nodes.
const DefaultPoll = time.Second

// Events returns up to limit events with a Seq greater than after, in order.
func (d *Directory) Events(ctx context.Context, after int64, limit int) ([]*roster.Event, error) {
	list, err := inPieces(limit, func(last *roster.Event, n int) ([]*roster.Event, error) {
		if last != nil {
			after = last.Seq
		}
		return d.service.store.Events(ctx, d.ID, after, n)
	}, eventBytes)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	return list, nil
}

// MaxLast is how many events LastEvents returns at the most.
const MaxLast = 100

// LastEvents returns the last events, up to limit, in order.
func (d *Directory) LastEvents(ctx context.Context, limit int) ([]*roster.Event, error) {
	list, err := d.service.store.LastEvents(ctx, d.ID, min(limit, MaxLast))
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	return list, nil
}

// Event returns the event with that Seq, or a 404.
func (d *Directory) Event(ctx context.Context, seq int64) (e *roster.Event, err error) {
	err = d.service.store.View(ctx, func(r store.Reader) (err error) {
		e, err = r.GetEvent(d.ID, seq)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, scim.Errorf(404, "", "there is no event %d in this directory: its number is the seq of an event, and events are kept for a time only", seq)
	}
	return e, err
}

// Await is Events that waits for the first one, until ctx ends; then there are
// none, which is no error. What this process commits wakes it; for what other
// nodes commit it looks again every so often (Options.Poll).
func (d *Directory) Await(ctx context.Context, after int64, limit int) ([]*roster.Event, error) {
	const soon = 5 * time.Millisecond
	poll := d.service.poll
	for again := poll; ; again = min(2*again, poll) {
		rung := d.service.bell.listen(d.ID) // before it looks, so that nothing comes in between
		list, err := d.Events(ctx, after, limit)
		switch {
		case ctx.Err() != nil:
			return nil, nil
		case err != nil || len(list) > 0:
			return list, err
		}
		timer := time.NewTimer(again)
		select {
		case <-rung:
			// Its event may still be held back, behind the transactions of others.
			again = min(soon, poll)
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// anyDirectory is the rope of those who listen for all directories.
const anyDirectory = ""

// Committed returns a channel that is closed when this process has next committed
// a change, in whatever directory.
func (s *Service) Committed() <-chan struct{} { return s.bell.listen(anyDirectory) }

// A bell wakes those who wait for the events of a directory.
type bell struct {
	mu    sync.Mutex
	ropes map[string]chan struct{} // by directory: where somebody has listened since it rang last
}

// listen returns a channel that is closed when the bell rings next.
func (b *bell) listen(directory string) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.ropes[directory]
	if c == nil {
		c = make(chan struct{})
		b.ropes[directory] = c
	}
	return c
}

// ring is called when something was committed.
func (b *bell) ring(directory string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, rope := range []string{directory, anyDirectory} {
		if c := b.ropes[rope]; c != nil {
			close(c)
			delete(b.ropes, rope)
		}
	}
}

// History returns up to limit events of one resource, whatever its type, with a
// version less than before (0: any), the newest first; what is in the trash has
// one too.
func (d *Directory) History(ctx context.Context, id string, before int64, limit int) (list []*roster.Event, err error) {
	absent := scim.Errorf(404, "", "Resource with id[%s] is neither in the directory nor in its trash.", clip(id))
	if !isID(id) {
		return nil, absent
	}
	first := before == 0
	err = d.service.store.View(ctx, func(r store.Reader) (err error) {
		for _, t := range d.Model.Types {
			list, err = inPieces(limit, func(last *roster.Event, n int) ([]*roster.Event, error) {
				if last != nil {
					before = last.Version
				}
				return r.History(d.ID, t.Name, id, before, n)
			}, eventBytes)
			if err != nil || len(list) > 0 {
				return err
			}
		}
		return nil
	})
	if err == nil && len(list) == 0 && first {
		return nil, absent
	}
	return list, err
}

// inPieces reads up to limit things, a few at a time, and stops early when they
// have MaxPageBytes: each may be large. fetch returns up to n that come after
// last, from the first for nil.
func inPieces[T any](limit int, fetch func(last *T, n int) ([]*T, error), size func(*T) int) (list []*T, err error) {
	const piece = 50
	limit = clamp(limit)
	bytes := 0
	for len(list) < limit && bytes < MaxPageBytes {
		var last *T
		if len(list) > 0 {
			last = list[len(list)-1]
		}
		n := min(piece, limit-len(list))
		more, err := fetch(last, n)
		if err != nil {
			return nil, err
		}
		for _, t := range more {
			bytes += size(t)
		}
		if list = append(list, more...); len(more) < n {
			break
		}
	}
	return list, nil
}

func eventBytes(e *roster.Event) (n int) {
	for _, c := range e.Changes {
		n += len(c.Before) + len(c.After)
	}
	return n
}

func clamp(limit int) int {
	if limit <= 0 {
		return 100
	}
	return min(limit, MaxRead)
}
