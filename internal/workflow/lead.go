package workflow

import (
	"context"
	"errors"
	"time"

	"github.com/roster-scim/roster/internal/store"
)

// Leases are those methods of a store.Store by which processes agree on one of
// them.
type Leases interface {
	// CreateLease takes a lease that nobody has, or is store.ErrExists.
	CreateLease(ctx context.Context, name, holder string, d time.Duration) error
	// RenewLease keeps one for as long again, or is store.ErrNotFound.
	RenewLease(ctx context.Context, name, holder string, d time.Duration) error
	// DeleteLease gives one back.
	DeleteLease(ctx context.Context, name, holder string) error
}

const leaseName = "dispatch"

// A lead is whether this process is the one that dispatches. That two are, for a
// moment, does no harm: they start the same runs.
type lead struct {
	leases  Leases // nil: nobody else is there
	holder  string
	period  time.Duration // that the lease holds without being renewed
	held    bool
	renewed time.Time
}

// beat is how often the lease is renewed, or asked for.
func (l *lead) beat() time.Duration { return l.period / 4 }

// check takes or keeps the lease, and reports whether this process has it.
func (l *lead) check(ctx context.Context) (bool, error) {
	if l.leases == nil {
		return true, nil
	}
	now := time.Now()
	if l.held && now.Sub(l.renewed) < l.beat() {
		return true, nil
	}
	err := store.ErrNotFound
	if l.held {
		err = l.leases.RenewLease(ctx, leaseName, l.holder, l.period)
	}
	if errors.Is(err, store.ErrNotFound) {
		err = l.leases.CreateLease(ctx, leaseName, l.holder, l.period)
	}
	l.held, l.renewed = err == nil, now
	if errors.Is(err, store.ErrExists) {
		err = nil
	}
	return l.held, err
}

// end gives the lease back, so that another process need not wait for its end.
func (l *lead) end(ctx context.Context) {
	if l.leases == nil || !l.held {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, l.beat())
	defer cancel()
	_ = l.leases.DeleteLease(ctx, leaseName, l.holder) // it runs out by itself
	l.held = false
}
