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
	locked []resource // what this transaction has read for update or written
	counts []count    // what it has added to counters and not written yet
	broken error      // after this error the transaction must not commit
	alone  string     // the directory that LockDirectory keeps others out of
}

var _ store.Tx = (*tx)(nil)

// A resource is a version that cannot change but by this transaction.
type resource struct {
	directory, typ, id string
	version            int64 // 0: there is none
	row                int64 // on SQLite its rowid; 0: not known
}

type count struct {
	directory, typ string
	n              int64
}

var (
	lockResource = differ(
		`SELECT version, created, modified, doc, members, rowid FROM resources WHERE directory = $1 AND type = $2 AND id = $3`,
		`SELECT version, created, modified, doc, members, CAST(0 AS BIGINT) FROM resources
		WHERE directory = $1 AND type = $2 AND id = $3 FOR NO KEY UPDATE`)
	// FOR NO KEY UPDATE: who makes a user a member must not wait for who changes it.
	// The parameters have casts because nothing else tells PostgreSQL their types
	// in a SELECT.
	insertResource = differ(
		`INSERT INTO resources (directory, type, id, version, created, modified, doc, label, members)
		SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9 FROM directories WHERE id = $10 AND deleted = 0 ON CONFLICT DO NOTHING`,
		`INSERT INTO resources (directory, type, id, version, created, modified, doc, label, members)
		SELECT $1, $2, $3, $4::BIGINT, $5::BIGINT, $6::BIGINT, $7::BYTEA, $8, $9::BIGINT FROM directories WHERE id = $10 AND deleted = 0 ON CONFLICT DO NOTHING`)
	updateResource = same(`UPDATE resources SET version = $1, created = $2, modified = $3, doc = $4, label = $5, members = $6
		WHERE directory = $7 AND type = $8 AND id = $9 AND version = $10`)
	// With the rowid SQLite need not search the index a second time.
	updateRow      = differ(`UPDATE resources SET version = $1, created = $2, modified = $3, doc = $4, label = $5, members = $6 WHERE rowid = $7`, ``)
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
		putTrashText(`SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9`),
		putTrashText(`SELECT $1, $2, $3, $4::BIGINT, $5::BIGINT, $6::BIGINT, $7::BYTEA, $8::BIGINT, $9`))
	deleteTrash = same(`DELETE FROM trash WHERE directory = $1 AND type = $2 AND id = $3`)
)

// putTrashText does nothing when the resource is a member or has members. On
// PostgreSQL a DELETE waits for those who have found the resource, and a statement
// sees what was committed before it began: so the members are looked for in one
// that comes after the DELETE.
func putTrashText(values string) string {
	return `INSERT INTO trash (directory, type, id, version, created, modified, doc, deleted, key_id) ` + values + `
		WHERE NOT EXISTS (SELECT 1 FROM members WHERE directory = $1 AND member = $3)
		AND NOT EXISTS (SELECT 1 FROM members WHERE directory = $1 AND grp = $3)
		ON CONFLICT (directory, id, type) DO UPDATE SET
		version = excluded.version, created = excluded.created, modified = excluded.modified, doc = excluded.doc,
		deleted = excluded.deleted, key_id = excluded.key_id`
}

// finish writes what was put off and says whether the transaction may commit.
func (t *tx) finish() error {
	if t.broken != nil {
		return t.broken
	}
	return t.flushCounts()
}

func (t *tx) Get(directory, typ, id string) (*store.Record, error) {
	var rowid int64
	r, err := t.get(lockResource, directory, typ, id, func(row row) { rowid = row.int(5) })
	if err == nil {
		l := t.lock(directory, typ, id)
		l.version, l.row = r.Version, rowid
	}
	return r, err
}

// maxLocked bounds what lock looks through.
const maxLocked = 256

// lock returns what is known of a resource that this transaction has locked, or
// changed, which locks it too.
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

func (t *tx) Create(r *store.Record, keys store.Keys, e *roster.Event) error {
	if err := t.addClaims(r.Directory, r.Type, r.ID, keys.Claims); err != nil {
		return t.breaks(err, "create resource")
	}
	n, err := t.exec(insertResource, r.Directory, r.Type, r.ID, r.Version, micros(r.Created), micros(r.Modified), blob(r.Doc), r.Label, r.Members, r.Directory)
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
	t.lock(r.Directory, r.Type, r.ID).version = r.Version
	t.count(r.Directory, r.Type, 1)
	if err := t.addTerms(r.Directory, r.Type, r.ID, keys.Terms); err != nil {
		return wrap(err, "create resource")
	}
	return t.append(e)
}

func (t *tx) Replace(r *store.Record, drop, add store.Keys, e *roster.Event) error {
	// A version that is locked is sure to be there: the write can wait, and comes
	// after the claims, which may still refuse the change.
	l := t.lock(r.Directory, r.Type, r.ID)
	held := r.Version > 1 && l.version == r.Version-1
	guarded := !held && t.alone == r.Directory // nobody else writes: no need to look now
	args := append(make([]any, 0, 10), r.Version, micros(r.Created), micros(r.Modified), blob(r.Doc), r.Label, r.Members)
	if !held && !guarded {
		n, err := t.exec(updateResource, append(args, r.Directory, r.Type, r.ID, r.Version-1)...)
		if err != nil {
			return wrap(err, "replace resource")
		}
		if n == 0 {
			return store.ErrStale
		}
	}
	if err := t.changeKeys(r.Directory, r.Type, r.ID, drop, add); err != nil {
		return t.breaks(err, "replace resource")
	}
	l.version = r.Version
	var err error
	switch {
	case held && l.row != 0:
		err = t.later(updateRow, true, append(args, l.row)...)
	case held:
		err = t.later(updateResource, true, append(args, r.Directory, r.Type, r.ID, r.Version-1)...)
	case guarded:
		err = t.guard(updateResource, append(args, r.Directory, r.Type, r.ID, r.Version-1)...)
	}
	if err != nil {
		return wrap(err, "replace resource")
	}
	return t.append(e)
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
	args := []any{d.Directory, d.Type, d.ID, d.Version - 1}
	l := t.lock(d.Directory, d.Type, d.ID)
	if d.Version > 1 && l.version == d.Version-1 {
		if err := t.later(deleteResource, true, args...); err != nil {
			return wrap(err, "delete resource")
		}
	} else if n, err := t.exec(deleteResource, args...); err != nil {
		return wrap(err, "delete resource")
	} else if n == 0 {
		return store.ErrStale
	}
	*l = resource{directory: d.Directory, typ: d.Type, id: d.ID}
	t.count(d.Directory, d.Type, -1)
	if err := t.dropKeys(d.Directory, d.Type, d.ID, drop); err != nil {
		return wrap(err, "delete resource")
	}
	n, err := t.exec(putTrash, d.Directory, d.Type, d.ID, d.Version, micros(d.Created), micros(d.Modified),
		blob(d.Doc), micros(d.Deleted), d.Key)
	if err != nil {
		return wrap(err, "delete resource")
	}
	if n == 0 { // it is a member, or has members
		return t.breaks(store.ErrStale, "")
	}
	return t.append(e)
}

func (t *tx) DropTrash(directory, typ, id string) error {
	n, err := t.exec(deleteTrash, directory, typ, id)
	if err == nil && n == 0 {
		return store.ErrNotFound
	}
	return wrap(err, "drop trash")
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
