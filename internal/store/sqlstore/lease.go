package sqlstore

import (
	"context"
	"strings"
	"time"

	"github.com/roster-scim/roster/internal/store"
)

// clock returns a statement whose NOW is the time of the database in microseconds.
// On PostgreSQL that of the moment, not of the transaction's begin.
func clock(text string) *statement {
	return differ(
		strings.ReplaceAll(text, "NOW", "CAST(unixepoch('subsec') * 1000000 AS INTEGER)"),
		strings.ReplaceAll(text, "NOW", "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)"))
}

var (
	createLease = clock(`INSERT INTO leases (name, holder, until) VALUES ($1, $2, NOW + $3)
		ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
		WHERE leases.until <= NOW OR leases.holder = excluded.holder`)
	renewLease  = clock(`UPDATE leases SET until = NOW + $1 WHERE name = $2 AND holder = $3`)
	deleteLease = same(`DELETE FROM leases WHERE name = $1 AND holder = $2`)
	listLeases  = clock(`SELECT name, holder, until - NOW FROM leases ORDER BY name`)
)

// CreateLease implements store.Store.
func (db *DB) CreateLease(ctx context.Context, name, holder string, d time.Duration) error {
	return db.lease(ctx, "create lease", store.ErrExists, createLease, name, holder, d.Microseconds())
}

// RenewLease implements store.Store.
func (db *DB) RenewLease(ctx context.Context, name, holder string, d time.Duration) error {
	return db.lease(ctx, "renew lease", store.ErrNotFound, renewLease, d.Microseconds(), name, holder)
}

// DeleteLease implements store.Store.
func (db *DB) DeleteLease(ctx context.Context, name, holder string) error {
	return db.lease(ctx, "delete lease", nil, deleteLease, name, holder)
}

// lease runs a statement; none is the error of one that changes nothing.
func (db *DB) lease(ctx context.Context, what string, none error, s *statement, args ...any) error {
	err := db.update(ctx, func(c conn) error {
		n, err := c.exec(s, args...)
		if err == nil && n == 0 {
			err = none
		}
		return err
	})
	return wrap(err, what)
}

// Leases implements store.Store.
func (db *DB) Leases(ctx context.Context) (list []store.Lease, err error) {
	err = db.view(ctx, func(c conn) error {
		list = nil
		return c.query(listLeases, func(r row) error {
			list = append(list, store.Lease{Name: r.text(0), Holder: r.text(1), Left: time.Duration(r.int(2)) * time.Microsecond})
			return nil
		})
	})
	return list, wrap(err, "list leases")
}
