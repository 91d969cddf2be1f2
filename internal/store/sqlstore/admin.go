package sqlstore

import (
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/store"
)

// Directories, keys, settings and answers.

const directoryColumns = `d.id, d.name, d.rule_set, d.rules, d.is_default, d.created, d.modified, d.version, d.schemas, d.suppress_mail,
	(SELECT CAST(coalesce(sum(c.n), 0) AS BIGINT) FROM counters c WHERE c.directory = d.id AND c.type = 'User')`

var (
	getDirectory    = same(`SELECT ` + directoryColumns + ` FROM directories d WHERE d.id = $1 AND d.deleted = 0`)
	listDirectories = same(`SELECT ` + directoryColumns + ` FROM directories d WHERE d.deleted = 0 ORDER BY d.created, d.id`)
	insertDirectory = same(`INSERT INTO directories (id, name, rule_set, rules, is_default, created, modified, version, schemas, suppress_mail)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING`)
	updateDirectory = same(`UPDATE directories SET name = $1, rule_set = $2, rules = $3, is_default = $4,
		created = $5, modified = $6, version = $7, schemas = $8, suppress_mail = $9 WHERE id = $10 AND version = $11 AND deleted = 0`)
	otherDefault = same(`SELECT id FROM directories WHERE is_default = 1 AND deleted = 0 AND id <> $1`)
	// A deleted directory has no default mark, whatever it had before.
	markDirectory       = same(`UPDATE directories SET deleted = $1 WHERE id = $2 AND deleted = 0`)
	deleteDirectoryKeys = same(`DELETE FROM keys WHERE directory = $1`)
)

func scanDirectory(r row) *roster.Directory {
	d := &roster.Directory{
		ID: r.text(0), Name: r.text(1), RuleSet: r.text(2), Default: r.int(4) != 0,
		Created: r.time(5), Modified: r.time(6), Version: r.int(7), SuppressMail: r.int(9) != 0, Users: r.int(10),
	}
	if rules := r.bytes(3); len(rules) > 0 {
		d.Rules = jsontext.Value(rules)
	}
	if schemas := r.bytes(8); len(schemas) > 0 {
		d.Schemas = jsontext.Value(schemas)
	}
	return d
}

func (r *reader) GetDirectory(id string) (d *roster.Directory, err error) {
	err = one(r.conn, getDirectory, func(row row) { d = scanDirectory(row) }, id)
	return d, wrap(err, "get directory")
}

func (r *reader) ListDirectories() (list []*roster.Directory, err error) {
	err = r.query(listDirectories, func(row row) error {
		list = append(list, scanDirectory(row))
		return nil
	})
	return list, wrap(err, "list directories")
}

// GetDirectory and ListDirectories read counters, so these must be written.
func (t *tx) GetDirectory(id string) (*roster.Directory, error) {
	if err := t.flushCounts(); err != nil {
		return nil, err
	}
	return t.reader.GetDirectory(id)
}

func (t *tx) ListDirectories() ([]*roster.Directory, error) {
	if err := t.flushCounts(); err != nil {
		return nil, err
	}
	return t.reader.ListDirectories()
}

func (t *tx) CreateDirectory(d *roster.Directory) error {
	n, err := t.exec(insertDirectory, d.ID, d.Name, d.RuleSet, blob(d.Rules), truth(d.Default),
		micros(d.Created), micros(d.Modified), d.Version, blob(d.Schemas), truth(d.SuppressMail))
	if err == nil && n == 0 {
		return store.ErrExists
	}
	return wrap(err, "create directory")
}

func (t *tx) ReplaceDirectory(d *roster.Directory) error {
	if d.Default {
		// Asked first, because the index that forbids two would abort the
		// transaction; it still does when two do this at the same time.
		err := one(t.conn, otherDefault, func(row) {}, d.ID)
		if err == nil {
			return store.ErrExists
		}
		if !errors.Is(err, store.ErrNotFound) {
			return wrap(err, "replace directory")
		}
	}
	n, err := t.exec(updateDirectory, d.Name, d.RuleSet, blob(d.Rules), truth(d.Default),
		micros(d.Created), micros(d.Modified), d.Version, blob(d.Schemas), truth(d.SuppressMail), d.ID, d.Version-1)
	if err == nil && n == 0 {
		return store.ErrStale
	}
	return wrap(err, "replace directory")
}

var (
	checkDirectory = same(`SELECT CAST(1 AS BIGINT) FROM directories WHERE id = $1 AND version = $2 AND deleted = 0`)
	// Locks of PostgreSQL's own, by number: one on the row would have every writer
	// write it. The statement that follows has a snapshot of its own, taken after
	// the wait.
	shareDirectory = differ(``, `SELECT CAST(pg_advisory_xact_lock_shared($1) AS TEXT)`)
	aloneDirectory = differ(``, `SELECT CAST(pg_advisory_xact_lock($1) AS TEXT)`)
	clearTerms     = same(`DELETE FROM terms WHERE directory = $1 AND type = $2 AND attribute = $3`)
	clearClaims    = same(`DELETE FROM claims WHERE directory = $1 AND type = $2 AND attribute = $3`)
)

// directoryLock is the number of a directory's lock. Two directories may have
// one: then they wait for each other.
func directoryLock(id string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("roster directory " + id)) // never fails
	return int64(h.Sum64())
}

func (t *tx) Expect(directory string, version int64) error {
	return wrap(t.expect(directory, version), "expect directory")
}

func (t *tx) LockDirectory(id string) (*roster.Directory, error) {
	if err := t.lockDirectory(id); err != nil {
		return nil, wrap(err, "lock directory")
	}
	t.alone = id
	return t.GetDirectory(id)
}

func (t *tx) ClearAttribute(directory, typ, attribute string) error {
	if err := t.later(clearTerms, false, directory, typ, attribute); err != nil {
		return wrap(err, "clear attribute")
	}
	return wrap(t.later(clearClaims, false, directory, typ, attribute), "clear attribute")
}

func (t *tx) DeleteDirectory(id string) error {
	n, err := t.exec(markDirectory, time.Now().UnixMicro(), id)
	if err != nil {
		return wrap(err, "delete directory")
	}
	if n == 0 {
		return store.ErrNotFound
	}
	if err := t.later(deleteDirectoryKeys, false, id); err != nil {
		return wrap(err, "delete directory")
	}
	return wrap(t.later(deleteDirectoryConnections, false, id), "delete directory")
}

const keyColumns = `id, digest, directory, name, prefix, scopes, created, expires, revoked, last_used, user_id`

var (
	getKey    = same(`SELECT ` + keyColumns + ` FROM keys WHERE digest = $1`)
	listKeys  = same(`SELECT ` + keyColumns + ` FROM keys WHERE directory = $1 ORDER BY created, id`)
	insertKey = same(`INSERT INTO keys (` + keyColumns + `)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING`)
	// The last use never goes back: touchKey may have written a later one since k
	// was read.
	updateKey = same(`UPDATE keys SET directory = $1, name = $2, prefix = $3, scopes = $4, created = $5, expires = $6,
		revoked = $7, last_used = CASE WHEN last_used > $8 THEN last_used ELSE $8 END,
		user_id = $9 WHERE id = $10`)
	touchKey = same(`UPDATE keys SET last_used = $1 WHERE id = $2 AND last_used < $1`)
)

func scanKey(r row) *roster.Key {
	k := &roster.Key{
		ID: r.text(0), Directory: r.text(2), Name: r.text(3), Prefix: r.text(4),
		Created: r.time(6), Expires: r.time(7), Revoked: r.time(8), LastUsed: r.time(9), User: r.text(10),
	}
	copy(k.Digest[:], r.bytes(1))
	for s := range strings.FieldsSeq(r.text(5)) {
		k.Scopes = append(k.Scopes, roster.Scope(s))
	}
	return k
}

func scopes(k *roster.Key) string {
	var b []byte
	for i, s := range k.Scopes {
		if i > 0 {
			b = append(b, ' ')
		}
		b = append(b, s...)
	}
	return string(b)
}

func (r *reader) GetKey(digest [32]byte) (k *roster.Key, err error) {
	err = one(r.conn, getKey, func(row row) { k = scanKey(row) }, digest[:])
	return k, wrap(err, "get key")
}

func (r *reader) ListKeys(directory string) (list []*roster.Key, err error) {
	err = r.query(listKeys, func(row row) error {
		list = append(list, scanKey(row))
		return nil
	}, directory)
	return list, wrap(err, "list keys")
}

func (t *tx) CreateKey(k *roster.Key) error {
	n, err := t.exec(insertKey, k.ID, k.Digest[:], k.Directory, k.Name, k.Prefix, scopes(k),
		micros(k.Created), micros(k.Expires), micros(k.Revoked), micros(k.LastUsed), k.User)
	if err == nil && n == 0 {
		return store.ErrExists
	}
	return wrap(err, "create key")
}

// lockKey waits, on PostgreSQL, for a transaction that changes the key.
var lockKey = differ(getKey.sqlite, getKey.postgres+` FOR UPDATE`)

func (t *tx) GetKey(digest [32]byte) (k *roster.Key, err error) {
	err = one(t.conn, lockKey, func(row row) { k = scanKey(row) }, digest[:])
	return k, wrap(err, "get key")
}

func (t *tx) ReplaceKey(k *roster.Key) error {
	n, err := t.exec(updateKey, k.Directory, k.Name, k.Prefix, scopes(k),
		micros(k.Created), micros(k.Expires), micros(k.Revoked), micros(k.LastUsed), k.User, k.ID)
	if err == nil && n == 0 {
		return store.ErrNotFound
	}
	return wrap(err, "replace key")
}

var putSetting = same(`INSERT INTO settings (name, value) VALUES ($1, $2)
	ON CONFLICT (name) DO UPDATE SET value = excluded.value`)

func (t *tx) PutSetting(name string, value []byte) error {
	return wrap(t.later(putSetting, true, name, blob(value)), "put setting")
}

var (
	insertAnswer = same(`INSERT INTO answers (directory, key_id, name, hash, resource, body, created)
		VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`)
	getAnswer  = same(`SELECT hash, body, created FROM answers WHERE directory = $1 AND key_id = $2 AND name = $3`)
	keepAnswer = same(`UPDATE answers SET body = $1, resource = $2 WHERE directory = $3 AND key_id = $4 AND name = $5`)
)

func (t *tx) Reserve(directory, keyID, name string, hash [32]byte, now time.Time) (*store.Answer, error) {
	// On PostgreSQL the insert waits for a transaction that has reserved the same.
	// An answer that is there can only vanish by being pruned; then this is the
	// first again.
	for {
		n, err := t.exec(insertAnswer, directory, keyID, name, hash[:], "", []byte{}, micros(now))
		if err != nil || n == 1 {
			return nil, wrap(err, "reserve answer")
		}
		a := &store.Answer{}
		err = one(t.conn, getAnswer, func(r row) {
			copy(a.Hash[:], r.bytes(0))
			a.Body = r.bytes(1)
			a.Created = r.time(2)
		}, directory, keyID, name)
		if err == nil {
			return a, nil
		}
		if !errors.Is(err, store.ErrNotFound) {
			return nil, fmt.Errorf("get answer: %w", err)
		}
	}
}

func (t *tx) Keep(directory, keyID, name, resource string, body []byte) error {
	return wrap(t.later(keepAnswer, true, blob(body), resource, directory, keyID, name), "keep answer")
}
