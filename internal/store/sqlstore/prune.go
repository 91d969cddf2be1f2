package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// pruneBatch is how many rows one transaction erases at the most: few enough
// for the writers that wait behind it on SQLite.
const pruneBatch = "500"

var (
	listIDs         = same(`SELECT id FROM directories WHERE deleted = 0`)
	listDeletedIDs  = same(`SELECT id FROM directories WHERE deleted <> 0`)
	deleteDirectory = same(`DELETE FROM directories WHERE id = $1 AND deleted <> 0`)

	eraseTerms  = erase("terms", "directory, type, attribute, value, id", `directory = $1`)
	eraseClaims = erase("claims", "directory, type, attribute, value", `directory = $1`)
	// eraseDirectory are the tables that belong to a directory; keys and connections
	// again, for a transaction may have added one while the directory was deleted.
	eraseDirectory = []*statement{
		erase("resources", "rowid", `directory = $1`),
		eraseTerms,
		eraseClaims,
		erase("counters", "directory, type, shard", `directory = $1`),
		erase("members", "directory, grp, member", `directory = $1`),
		erase("trash", "rowid", `directory = $1`),
		erase("answers", "rowid", `directory = $1`),
		erase("keys", "rowid", `directory = $1`),
		erase("connections", "rowid", `directory = $1`),
		erase("events", "rowid", `directory = $1`),
		erase("workflows", "rowid", `directory = $1`),
		erase("dispatches", "directory", `directory = $1`),
	}
	eraseAnswers = erase("answers", "rowid", `directory = $1 AND created < $2`)
	eraseTrash   = erase("trash", "rowid", `directory = $1 AND deleted < $2`)
	// Events have no index by time, but nearly their order: so the first few that
	// there are decide whether there are more to erase.
	eraseEvents = differ(
		`DELETE FROM events WHERE rowid IN (SELECT r FROM (
			SELECT rowid AS r, at FROM events WHERE directory = $1 ORDER BY seq LIMIT `+pruneBatch+`) WHERE at < $2)`,
		`DELETE FROM events WHERE ctid = ANY (ARRAY(SELECT r FROM (
			SELECT ctid AS r, at FROM events WHERE directory = $1 ORDER BY seq LIMIT `+pruneBatch+`) first WHERE at < $2))`)
)

// erase returns a statement that erases pruneBatch rows of a table; key is what
// tells its rows apart on SQLite.
func erase(table, key, where string) *statement {
	return differ(
		`DELETE FROM `+table+` WHERE (`+key+`) IN (SELECT `+key+` FROM `+table+` WHERE `+where+` LIMIT `+pruneBatch+`)`,
		`DELETE FROM `+table+` WHERE ctid = ANY (ARRAY(SELECT ctid FROM `+table+` WHERE `+where+` LIMIT `+pruneBatch+`))`)
}

// Prune implements store.Store.
func (db *DB) Prune(ctx context.Context, answers, events, trash time.Time) (total int64, err error) {
	deleted, err := db.directories(ctx, listDeletedIDs)
	if err != nil {
		return 0, err
	}
	if len(deleted) > 0 {
		// A transaction that was open when the directory was deleted may still
		// write to it; the next Prune finds the directory again.
		quiet, err := db.drain(ctx)
		if err != nil {
			return 0, fmt.Errorf("prune: %w", err)
		}
		if !quiet {
			deleted = nil
		}
	}
	run := func(s *statement, args ...any) error {
		n, err := db.erase(ctx, s, args...)
		total += n
		return err
	}
	for _, id := range deleted {
		for _, s := range append(slices.Clone(eraseDirectory), deleteDirectory) {
			if err := run(s, id); err != nil {
				return total, err
			}
		}
	}
	live, err := db.directories(ctx, listIDs)
	if err != nil {
		return total, err
	}
	// Requests that belong to no directory have answers too.
	for _, id := range append(live, "") {
		if err := run(eraseAnswers, id, micros(answers)); err != nil {
			return total, err
		}
		if err := run(eraseEvents, id, micros(events)); err != nil {
			return total, err
		}
		if err := run(eraseTrash, id, micros(trash)); err != nil {
			return total, err
		}
	}
	return total, nil
}

// ClearKeys implements store.Store.
func (db *DB) ClearKeys(ctx context.Context, directory string) error {
	for _, s := range []*statement{eraseTerms, eraseClaims} {
		if _, err := db.erase(ctx, s, directory); err != nil {
			return err
		}
	}
	return nil
}

// erase runs s, each time in a transaction of its own, until it changes nothing.
func (db *DB) erase(ctx context.Context, s *statement, args ...any) (total int64, err error) {
	for {
		var n int64
		err := db.update(ctx, func(c conn) (err error) {
			n, err = c.exec(s, args...)
			return err
		})
		if err != nil {
			return total, wrap(err, "erase rows")
		}
		if n == 0 {
			return total, nil
		}
		total += n
	}
}

func (db *DB) directories(ctx context.Context, s *statement) (ids []string, err error) {
	err = db.view(ctx, func(c conn) error {
		ids = ids[:0]
		return c.query(s, func(r row) error {
			ids = append(ids, r.text(0))
			return nil
		})
	})
	return ids, wrap(err, "list directories")
}
