package sqlstore

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/store"
)

// A tx is a store.Tx on a conn that is in a transaction.
type tx struct {
	reader
	locked []resource // what this transaction has locked
	counts []count    // what it has added to counters and not written yet
	broken error      // after this error the transaction must not commit
	alone  string     // the directory that LockDirectory keeps others out of
	// dropped is the last seq of what DropTrash has removed, by directory, type
	// and id.
	dropped map[[3]string]int64
}

var _ store.Tx = (*tx)(nil)

// A resource is a version that cannot change but by this transaction.
type resource struct {
	directory, typ, id string
	version            int64 // 0: not known
	last               int64 // the seq of its last event
	row                int64 // on SQLite its rowid
}

type count struct {
	directory, typ string
	n              int64
}

var (
	// FOR NO KEY UPDATE: who makes a user a member must not wait for who changes it.
	lockResource = differ(
		`SELECT version, created, modified, doc, members, `+joined+`, last_seq, rowid FROM resources r
		WHERE directory = $1 AND type = $2 AND id = $3`,
		`SELECT version, created, modified, doc, members, `+joined+`, last_seq, CAST(0 AS BIGINT) FROM resources r
		WHERE directory = $1 AND type = $2 AND id = $3 FOR NO KEY UPDATE`)
	// The parameters have casts because nothing else tells PostgreSQL their types
	// in a SELECT.
	insertResource = differ(
		`INSERT INTO resources (directory, type, id, version, created, modified, doc, label, members, last_seq)
		SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10 FROM directories WHERE id = $11 AND deleted = 0 ON CONFLICT DO NOTHING`,
		`INSERT INTO resources (directory, type, id, version, created, modified, doc, label, members, last_seq)
		SELECT $1, $2, $3, $4::BIGINT, $5::BIGINT, $6::BIGINT, $7::BYTEA, $8, $9::BIGINT, $10::BIGINT + currval('event_seq')
		FROM directories WHERE id = $11 AND deleted = 0 ON CONFLICT DO NOTHING`)
	// With the rowid SQLite need not search the index a second time.
	updateRow = differ(`UPDATE resources SET version = $1, created = $2, modified = $3, doc = $4, label = $5, members = $6, last_seq = $7
		WHERE rowid = $8`, ``)
	updateResource = differ(
		`UPDATE resources SET version = $1, created = $2, modified = $3, doc = $4, label = $5, members = $6, last_seq = $7
		WHERE directory = $8 AND type = $9 AND id = $10 AND version = $11`,
		`UPDATE resources SET version = $1, created = $2, modified = $3, doc = $4, label = $5, members = $6,
		last_seq = $7::BIGINT + currval('event_seq') WHERE directory = $8 AND type = $9 AND id = $10 AND version = $11`)
	updateLabel    = same(`UPDATE resources SET label = $1 WHERE directory = $2 AND type = $3 AND id = $4`)
	deleteResource = same(`DELETE FROM resources WHERE directory = $1 AND type = $2 AND id = $3 AND version = $4`)

	insertTerm = same(`INSERT INTO terms (directory, type, attribute, value, id)
		VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`)
	deleteTerm = same(`DELETE FROM terms
		WHERE directory = $1 AND type = $2 AND attribute = $3 AND value = $4 AND id = $5`)
	insertClaim = same(`INSERT INTO claims (directory, type, attribute, value, id)
		VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`)
	deleteClaim = same(`DELETE FROM claims
		WHERE directory = $1 AND type = $2 AND attribute = $3 AND value = $4 AND id = $5`)
	getClaim = same(`SELECT id FROM claims WHERE directory = $1 AND type = $2 AND attribute = $3 AND value = $4`)

	addCount = same(`INSERT INTO counters (directory, type, shard, n) VALUES ($1, $2, $3, $4)
		ON CONFLICT (directory, type, shard) DO UPDATE SET n = counters.n + excluded.n`)

	putTrash = differ(
		putTrashText(`SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10`),
		putTrashText(`SELECT $1, $2, $3, $4::BIGINT, $5::BIGINT, $6::BIGINT, $7::BYTEA, $8::BIGINT, $9, $10::BIGINT + currval('event_seq')`))
	lockTrash   = differ(lockTrashText, lockTrashText+` FOR UPDATE`)
	deleteTrash = same(`DELETE FROM trash WHERE directory = $1 AND type = $2 AND id = $3`)
)

const lockTrashText = `SELECT last_seq FROM trash WHERE directory = $1 AND type = $2 AND id = $3`

// putTrashText does nothing when the resource is a member or has members. On
// PostgreSQL a DELETE waits for those who have found the resource, and a statement
// sees what was committed before it began: so the members are looked for in one
// that comes after the DELETE.
func putTrashText(values string) string {
	return `INSERT INTO trash (directory, type, id, version, created, modified, doc, deleted, key_id, last_seq) ` + values + `
		WHERE NOT EXISTS (SELECT 1 FROM members WHERE directory = $1 AND member = $3)
		AND NOT EXISTS (SELECT 1 FROM members WHERE directory = $1 AND grp = $3)
		ON CONFLICT (directory, id, type) DO UPDATE SET
		version = excluded.version, created = excluded.created, modified = excluded.modified, doc = excluded.doc,
		deleted = excluded.deleted, key_id = excluded.key_id, last_seq = excluded.last_seq`
}

// finish writes what was put off and says whether the transaction may commit.
func (t *tx) finish() error {
	if t.broken != nil {
		return t.broken
	}
	return t.flushCounts()
}

func (t *tx) Get(directory, typ, id string) (*store.Record, error) {
	var last, rowid int64
	r, err := t.get(lockResource, directory, typ, id, func(row row) { last, rowid = row.int(6), row.int(7) })
	if err == nil {
		l := t.lock(directory, typ, id)
		l.version, l.last, l.row = r.Version, last, rowid
	}
	return r, err
}

// hold returns a resource that is locked at a version, or ErrStale.
func (t *tx) hold(directory, typ, id string, version int64) (*resource, error) {
	if t.lock(directory, typ, id).version == 0 {
		switch _, err := t.Get(directory, typ, id); {
		case errors.Is(err, store.ErrNotFound):
			return nil, store.ErrStale
		case err != nil:
			return nil, err
		}
	}
	l := t.lock(directory, typ, id)
	if l.version != version {
		return nil, store.ErrStale
	}
	return l, nil
}

// maxLocked bounds what lock looks through.
const maxLocked = 256

// lock returns what is known of a resource, for what becomes known of it.
func (t *tx) lock(directory, typ, id string) *resource {
	for i := range t.locked {
		if l := &t.locked[i]; l.id == id && l.typ == typ && l.directory == directory {
			return l
		}
	}
	if len(t.locked) == maxLocked { // to forget costs a later write a look, no more
		t.locked = t.locked[:0]
	}
	t.locked = append(t.locked, resource{directory: directory, typ: typ, id: id})
	return &t.locked[len(t.locked)-1]
}

// forget makes the next change read it again: on PostgreSQL nobody knows yet what
// its last seq is.
func (l *resource) forget() { l.version, l.last, l.row = 0, 0, 0 }

func (t *tx) Create(r *store.Record, keys store.Keys, e *roster.Event) error {
	if err := t.addClaims(r.Directory, r.Type, r.ID, keys.Claims); err != nil {
		return t.breaks(err, "create resource")
	}
	key := [3]string{r.Directory, r.Type, r.ID}
	seq, err := t.append(e, t.dropped[key])
	if err != nil {
		return err
	}
	n, err := t.exec(insertResource, r.Directory, r.Type, r.ID, r.Version, micros(r.Created), micros(r.Modified), blob(r.Doc), r.Label, r.Members, seq, r.Directory)
	if err != nil {
		return wrap(err, "create resource")
	}
	if n == 0 {
		if _, err := t.Get(r.Directory, r.Type, r.ID); err == nil {
			return t.breaks(store.ErrExists, "")
		} else {
			return t.breaks(err, "create resource") // ErrNotFound: so it is the directory that is missing
		}
	}
	delete(t.dropped, key)
	t.count(r.Directory, r.Type, 1)
	return wrap(t.addTerms(r.Directory, r.Type, r.ID, keys.Terms), "create resource")
}

func (t *tx) Replace(r *store.Record, drop, add store.Keys, e *roster.Event) error {
	args := append(make([]any, 0, 11), r.Version, micros(r.Created), micros(r.Modified), blob(r.Doc), r.Label, r.Members)
	if t.alone == r.Directory { // nobody else writes: no need to look before
		if err := t.changeKeys(r.Directory, r.Type, r.ID, drop, add); err != nil {
			return t.breaks(err, "replace resource")
		}
		seq, err := t.append(e, 0)
		if err != nil {
			return err
		}
		if err := t.later(linkEvent, true, r.Directory, r.Type, r.ID, r.Directory, seq); err != nil {
			return wrap(err, "replace resource")
		}
		t.lock(r.Directory, r.Type, r.ID).forget()
		return t.breaks(t.guard(updateResource, append(args, seq, r.Directory, r.Type, r.ID, r.Version-1)...), "replace resource")
	}
	l, err := t.hold(r.Directory, r.Type, r.ID, r.Version-1)
	if err != nil {
		return wrap(err, "replace resource")
	}
	// The version is sure to be there: the write can wait, and comes after the
	// claims, which may still refuse the change.
	if err := t.changeKeys(r.Directory, r.Type, r.ID, drop, add); err != nil {
		return t.breaks(err, "replace resource")
	}
	seq, err := t.append(e, l.last)
	if err != nil {
		return err
	}
	if l.row != 0 {
		err = t.later(updateRow, true, append(args, seq, l.row)...)
	} else {
		err = t.later(updateResource, true, append(args, seq, r.Directory, r.Type, r.ID, r.Version-1)...)
	}
	l.forget()
	return wrap(err, "replace resource")
}

func (t *tx) AddKeys(directory, typ, id, label string, keys store.Keys) error {
	if t.alone == directory {
		for _, c := range keys.Claims {
			if err := t.guard(insertClaim, directory, typ, c.Attribute, c.Value, id); err != nil {
				return t.breaks(err, "add keys")
			}
		}
		keys.Claims = nil
	}
	if err := t.changeKeys(directory, typ, id, store.Keys{}, keys); err != nil {
		return t.breaks(err, "add keys")
	}
	return wrap(t.later(updateLabel, false, label, directory, typ, id), "add keys")
}

func (t *tx) Delete(d *store.Trashed, drop store.Keys, e *roster.Event) error {
	l, err := t.hold(d.Directory, d.Type, d.ID, d.Version-1)
	if err != nil {
		return wrap(err, "delete resource")
	}
	if err := t.later(deleteResource, true, d.Directory, d.Type, d.ID, d.Version-1); err != nil {
		return wrap(err, "delete resource")
	}
	t.count(d.Directory, d.Type, -1)
	if err := t.dropKeys(d.Directory, d.Type, d.ID, drop); err != nil {
		return wrap(err, "delete resource")
	}
	seq, err := t.append(e, l.last)
	if err != nil {
		return err
	}
	l.forget()
	n, err := t.exec(putTrash, d.Directory, d.Type, d.ID, d.Version, micros(d.Created), micros(d.Modified),
		blob(d.Doc), micros(d.Deleted), d.Key, seq)
	if err == nil && n == 0 { // it is a member, or has members
		err = store.ErrStale
	}
	return t.breaks(err, "delete resource")
}

func (t *tx) DropTrash(directory, typ, id string) error {
	var last int64
	if err := one(t.conn, lockTrash, func(row row) { last = row.int(0) }, directory, typ, id); err != nil {
		return wrap(err, "drop trash")
	}
	if t.dropped == nil {
		t.dropped = make(map[[3]string]int64)
	}
	t.dropped[[3]string{directory, typ, id}] = last
	return wrap(t.later(deleteTrash, true, directory, typ, id), "drop trash")
}

// breaks keeps the transaction from committing after err, which is returned:
// part of the change may be written.
func (t *tx) breaks(err error, doing string) error {
	if _, ok := errors.AsType[*store.ConflictError](err); !ok {
		err = wrap(err, doing)
	}
	if err != nil && t.broken == nil {
		t.broken = err
	}
	return err
}

// changeKeys adds first: the first claim that is taken then refuses the change
// before anything is written.
func (t *tx) changeKeys(directory, typ, id string, drop, add store.Keys) error {
	if err := t.addClaims(directory, typ, id, add.Claims); err != nil {
		return err
	}
	if err := t.dropKeys(directory, typ, id, store.Keys{
		Terms:  without(drop.Terms, add.Terms),
		Claims: without(drop.Claims, add.Claims),
	}); err != nil {
		return err
	}
	return t.addTerms(directory, typ, id, add.Terms)
}

// without returns the terms of a that are not in b.
func without(a, b []store.Term) []store.Term {
	if len(a) == 0 || len(b) == 0 {
		return a
	}
	return slices.DeleteFunc(slices.Clone(a), func(t store.Term) bool { return slices.Contains(b, t) })
}

func (t *tx) addTerms(directory, typ, id string, terms []store.Term) error {
	for _, term := range terms {
		if err := t.later(insertTerm, false, directory, typ, term.Attribute, term.Value, id); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) dropKeys(directory, typ, id string, keys store.Keys) error {
	for _, term := range keys.Terms {
		if err := t.later(deleteTerm, false, directory, typ, term.Attribute, term.Value, id); err != nil {
			return err
		}
	}
	for _, claim := range sorted(keys.Claims) {
		if err := t.later(deleteClaim, false, directory, typ, claim.Attribute, claim.Value, id); err != nil {
			return err
		}
	}
	return nil
}

// addClaims claims all or returns a *store.ConflictError. On PostgreSQL an
// insert waits for another transaction that has inserted the same claim; that
// one may then have been undone, or have given the claim back, before the holder
// is read: so it tries again.
func (t *tx) addClaims(directory, typ, id string, claims []store.Term) error {
	const attempts = 100
	pending := sorted(claims)
	for range attempts {
		if len(pending) == 0 {
			return nil
		}
		commands := make([]command, len(pending))
		for i, c := range pending {
			commands[i] = command{insertClaim, []any{directory, typ, c.Attribute, c.Value, id}}
		}
		counts, err := t.execAll(commands)
		if err != nil {
			return err
		}
		var again []store.Term
		for i, c := range pending {
			if i >= len(counts) {
				again = append(again, c)
				continue
			}
			if counts[i] == 1 {
				continue
			}
			var holder string
			err := one(t.conn, getClaim, func(r row) { holder = r.text(0) }, directory, typ, c.Attribute, c.Value)
			switch {
			case errors.Is(err, store.ErrNotFound):
				again = append(again, c)
			case err != nil:
				return err
			case holder != id:
				return &store.ConflictError{Claim: c, Holder: holder}
			}
		}
		pending = again
	}
	return fmt.Errorf("claim %s: changed hands %d times", pending[0].Attribute, attempts)
}

// sorted returns the terms in one order for all: transactions that take the same
// claims then wait for each other instead of deadlocking.
func sorted(terms []store.Term) []store.Term {
	if len(terms) < 2 {
		return terms
	}
	terms = slices.Clone(terms)
	slices.SortFunc(terms, func(a, b store.Term) int {
		return cmp.Or(cmp.Compare(a.Attribute, b.Attribute), cmp.Compare(a.Value, b.Value))
	})
	return terms
}

// count notes that there are n more resources of a type. It is written last, for
// on PostgreSQL the counter's row stays locked until the commit.
func (t *tx) count(directory, typ string, n int64) {
	for i := range t.counts {
		if c := &t.counts[i]; c.directory == directory && c.typ == typ {
			c.n += n
			return
		}
	}
	t.counts = append(t.counts, count{directory, typ, n})
}

func (t *tx) flushCounts() error {
	slices.SortFunc(t.counts, func(a, b count) int {
		return cmp.Or(cmp.Compare(a.directory, b.directory), cmp.Compare(a.typ, b.typ))
	})
	for _, c := range t.counts {
		if c.n != 0 {
			if err := t.later(addCount, true, c.directory, c.typ, t.shard(), c.n); err != nil {
				return wrap(err, "count resources")
			}
		}
	}
	t.counts = t.counts[:0]
	return nil
}

func (t *tx) Count(q store.Query) (int64, error) {
	if err := t.flushCounts(); err != nil {
		return 0, err
	}
	return t.reader.Count(q)
}
