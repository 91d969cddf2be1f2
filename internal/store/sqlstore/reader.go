package sqlstore

import (
	"errors"
	"fmt"
	"strings"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/store"
)

// A reader is a store.Reader on a conn.
type reader struct {
	conn
}

var _ store.Reader = (*reader)(nil)

var (
	getResource = same(`SELECT version, created, modified, doc, members, ` + joined + ` FROM resources r
		WHERE directory = $1 AND type = $2 AND id = $3`)
	listResources = listing(`SELECT id, version, created, modified, doc, members FROM resources
		WHERE directory = $1 AND type = $2 AND id > $3 ORDER BY id ASC LIMIT $4 OFFSET $5`)
	// CROSS JOIN keeps SQLite from reading resources first.
	listTerm = listing(`SELECT t.id, r.version, r.created, r.modified, r.doc, r.members FROM terms t CROSS JOIN resources r
		WHERE t.directory = $1 AND t.type = $2 AND t.attribute = $3 AND t.value = $4 AND t.id > $5
		AND r.directory = t.directory AND r.type = t.type AND r.id = t.id
		ORDER BY t.id ASC LIMIT $6 OFFSET $7`)
	listBy = listing(`SELECT t.id, r.version, r.created, r.modified, r.doc, r.members FROM terms t CROSS JOIN resources r
		WHERE t.directory = $1 AND t.type = $2 AND t.attribute = $3 AND (t.value, t.id) > ($4, $5)
		AND r.directory = t.directory AND r.type = t.type AND r.id = t.id
		ORDER BY t.value ASC, t.id ASC LIMIT $6 OFFSET $7`)
	listMember = listing(`SELECT m.grp, r.version, r.created, r.modified, r.doc, r.members FROM members m CROSS JOIN resources r
		WHERE m.directory = $1 AND r.type = $2 AND m.member = $3 AND m.grp > $4
		AND r.directory = m.directory AND r.id = m.grp
		ORDER BY m.grp ASC LIMIT $5 OFFSET $6`)
	listResourceIDs = differ(resourcesOf+`IN (SELECT value FROM json_each($3)) ORDER BY id LIMIT $4`,
		resourcesOf+`= ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(CAST($3 AS TEXT) AS JSONB)))) ORDER BY id LIMIT $4`)
	countResources = same(`SELECT CAST(coalesce(sum(n), 0) AS BIGINT) FROM counters WHERE directory = $1 AND type = $2`)
	countTerm      = same(`SELECT count(*) FROM terms
		WHERE directory = $1 AND type = $2 AND attribute = $3 AND value = $4`)
	countBy = same(`SELECT count(*) FROM terms WHERE directory = $1 AND type = $2 AND attribute = $3`)
	// One statement, so that both numbers are of one moment.
	countLacking = same(`SELECT CAST(coalesce(sum(c.n), 0) AS BIGINT) -
		(SELECT count(*) FROM terms t WHERE t.directory = $1 AND t.type = $2 AND t.attribute = $3)
		FROM counters c WHERE c.directory = $1 AND c.type = $2`)
	countMember = same(`SELECT count(*) FROM members WHERE directory = $1 AND member = $2`)
)

const resourcesOf = `SELECT id, version, created, modified, doc, members FROM resources
	WHERE directory = $1 AND type = $2 AND id `

// listing returns a statement that reads on in an order, and the one that reads
// in its reverse.
func listing(text string) [2]*statement {
	return [2]*statement{same(text), same(strings.NewReplacer(" > ", " < ", " ASC", " DESC").Replace(text))}
}

// last comes after every id and value, which have at most 1,000 bytes.
var last = strings.Repeat("\U0010FFFF", 251)

// joined is 1 where a resource r is a member of a group, else 0.
const joined = `CASE WHEN EXISTS (SELECT 1 FROM members m WHERE m.directory = r.directory AND m.member = r.id)
	THEN CAST(1 AS BIGINT) ELSE CAST(0 AS BIGINT) END`

// errStop ends a query after the row that was wanted.
var errStop = errors.New("stop")

// one runs a query for at most one row; without one it returns ErrNotFound.
func one(c conn, s *statement, fn func(row), args ...any) error {
	err := c.query(s, func(r row) error { fn(r); return errStop }, args...)
	switch {
	case err == nil:
		return store.ErrNotFound
	case errors.Is(err, errStop):
		return nil
	}
	return err
}

func (r *reader) Get(directory, typ, id string) (*store.Record, error) {
	return r.get(getResource, directory, typ, id, func(row) {})
}

// get runs a query for a resource; also is called with the row as well.
func (r *reader) get(s *statement, directory, typ, id string, also func(row)) (*store.Record, error) {
	rec := &store.Record{Directory: directory, Type: typ, ID: id}
	err := one(r.conn, s, func(row row) {
		rec.Version = row.int(0)
		rec.Created = row.time(1)
		rec.Modified = row.time(2)
		rec.Doc = row.bytes(3)
		rec.Members = row.int(4)
		rec.Joined = row.int(5) != 0
		also(row)
	}, directory, typ, id)
	if err != nil {
		return nil, wrap(err, "get resource")
	}
	return rec, nil
}

func (r *reader) List(q store.Query, fn func(*store.Record) error) error {
	scan := func(row row) error {
		err := fn(&store.Record{
			Directory: q.Directory, Type: q.Type, ID: row.text(0), Version: row.int(1),
			Created: row.time(2), Modified: row.time(3), Doc: row.bytes(4), Members: row.int(5),
		})
		if err != nil {
			return &callerError{err}
		}
		return nil
	}
	way, after, value := 0, q.After, q.AfterValue
	if q.Reverse {
		if way = 1; after == "" {
			after, value = last, last
		}
	}
	limit, offset := int64(q.Limit), int64(q.Offset)
	var err error
	switch {
	case q.IDs != nil:
		err = r.query(listResourceIDs, scan, q.Directory, q.Type, array(q.IDs), limit)
	case q.Member != "":
		err = r.query(listMember[way], scan, q.Directory, q.Type, q.Member, after, limit, offset)
	case q.By != "":
		err = r.query(listBy[way], scan, q.Directory, q.Type, q.By, value, after, limit, offset)
	case q.Term != nil:
		err = r.query(listTerm[way], scan, q.Directory, q.Type, q.Term.Attribute, q.Term.Value, after, limit, offset)
	default:
		err = r.query(listResources[way], scan, q.Directory, q.Type, after, limit, offset)
	}
	return passed(err, "list resources")
}

// passed returns the error of a caller's function as it is.
func passed(err error, doing string) error {
	if caller, ok := errors.AsType[*callerError](err); ok {
		return caller.err
	}
	return wrap(err, doing)
}

// A callerError is an error of a caller's function on its way through the
// database's code.
type callerError struct{ err error }

func (e *callerError) Error() string { return e.err.Error() }

func (r *reader) Count(q store.Query) (n int64, err error) {
	scan := func(row row) { n = row.int(0) }
	switch {
	case q.Member != "":
		err = one(r.conn, countMember, scan, q.Directory, q.Member)
	case q.By != "":
		err = one(r.conn, countBy, scan, q.Directory, q.Type, q.By)
	case q.Term != nil:
		err = one(r.conn, countTerm, scan, q.Directory, q.Type, q.Term.Attribute, q.Term.Value)
	default:
		err = one(r.conn, countResources, scan, q.Directory, q.Type)
	}
	return n, wrap(err, "count resources")
}

func (r *reader) Lacking(directory, typ, attribute string) (n int64, err error) {
	err = one(r.conn, countLacking, func(row row) { n = row.int(0) }, directory, typ, attribute)
	return n, wrap(err, "count resources")
}

const trashColumns = `type, id, version, created, modified, doc, deleted, key_id`

var (
	getTrash = same(`SELECT ` + trashColumns + ` FROM trash
		WHERE directory = $1 AND id = $2 AND type = $3`)
	listTrash = same(`SELECT ` + trashColumns + ` FROM trash
		WHERE directory = $1 AND id > $2 ORDER BY id, type LIMIT $3`)
)

func scanTrashed(directory string, row row) *store.Trashed {
	return &store.Trashed{
		Record: store.Record{
			Directory: directory, Type: row.text(0), ID: row.text(1), Version: row.int(2),
			Created: row.time(3), Modified: row.time(4), Doc: row.bytes(5),
		},
		Deleted: row.time(6),
		Key:     row.text(7),
	}
}

func (r *reader) GetTrash(directory, typ, id string) (t *store.Trashed, err error) {
	err = one(r.conn, getTrash, func(row row) { t = scanTrashed(directory, row) }, directory, id, typ)
	return t, wrap(err, "get trash")
}

func (r *reader) ListTrash(directory, after string, limit int) (list []*store.Trashed, err error) {
	err = r.query(listTrash, func(row row) error {
		list = append(list, scanTrashed(directory, row))
		return nil
	}, directory, after, int64(limit))
	return list, wrap(err, "list trash")
}

var getSetting = same(`SELECT value FROM settings WHERE name = $1`)

func (r *reader) GetSetting(name string) (value []byte, err error) {
	err = one(r.conn, getSetting, func(row row) { value = row.bytes(0) }, name)
	return value, wrap(err, "get setting")
}

func (r *reader) GetEvent(directory string, seq int64) (*roster.Event, error) {
	list, err := queryEvents(r.conn, directory, getEvent, directory, seq)
	if err == nil && len(list) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return nil, wrap(err, "get event")
	}
	return list[0], nil
}

// wrap says what failed; what the contract promises is passed on as it is.
func wrap(err error, doing string) error {
	switch {
	case err == nil:
		return nil
	case err == store.ErrNotFound, err == store.ErrExists, err == store.ErrStale: //nolint:errorlint // our own, unwrapped
		return err
	}
	return fmt.Errorf("%s: %w", doing, err)
}
