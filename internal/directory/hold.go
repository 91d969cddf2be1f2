package directory

import (
	"context"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/roster-scim/roster/scim"
)

// Large answers are bounded together: from before their members are read until
// Release, so also while a slow client takes them.
const (
	largeBytes = 256 << 20 // for all at once
	linkMemory = 300       // bytes that a member takes, read and rendered
	listMemory = 8 << 20   // bytes that a list with members is counted as
	// holdPatience is how long a read waits for room; a change is made already,
	// and waits for as long as its client does.
	holdPatience = 10 * time.Second
)

func newRoom() *semaphore.Weighted { return semaphore.NewWeighted(largeBytes) }

// hold waits for room for an answer of that size, however large it is, and no
// longer than patience, if that is not 0; the caller releases it.
func (s *Service) hold(ctx context.Context, bytes int64, patience time.Duration) (release func(), err error) {
	bytes = min(bytes, largeBytes)
	waiting, cancel := ctx, context.CancelFunc(func() {})
	if patience > 0 {
		waiting, cancel = context.WithTimeout(ctx, patience)
	}
	defer cancel()
	if s.room.Acquire(waiting, bytes) == nil {
		return func() { s.room.Release(bytes) }, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return nil, scim.Errorf(503, "", "too many answers with very many members are under way: try again, or leave members out (excludedAttributes=members)")
}

// Release gives back the room that a large answer takes. It is called once the
// answer is sent, and may be called for any.
func (r *Result) Release() {
	if r != nil && r.release != nil {
		r.release()
		r.release = nil
	}
}

// Release is that of a Result, for a page.
func (p *Page) Release() {
	if p != nil && p.release != nil {
		p.release()
		p.release = nil
	}
}
