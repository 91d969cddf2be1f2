package sqlstore

import (
	"errors"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/store"
)

const connectionColumns = `name, url, target, rule_set, sealed, created, modified, version`

var (
	getConnection   = same(`SELECT ` + connectionColumns + ` FROM connections WHERE directory = $1 AND name = $2`)
	listConnections = same(`SELECT ` + connectionColumns + ` FROM connections WHERE directory = $1 ORDER BY name`)
	// The parameters have casts because nothing else tells PostgreSQL their types
	// in a SELECT.
	insertConnection = differ(
		insertConnectionText+`SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9 FROM directories WHERE id = $10 AND deleted = 0 ON CONFLICT DO NOTHING`,
		insertConnectionText+`SELECT $1, $2, $3, $4, $5, $6::BYTEA, $7::BIGINT, $8::BIGINT, $9::BIGINT
			FROM directories WHERE id = $10 AND deleted = 0 ON CONFLICT DO NOTHING`)
	updateConnection = same(`UPDATE connections SET url = $1, target = $2, rule_set = $3, sealed = $4, modified = $5, version = $6
		WHERE directory = $7 AND name = $8 AND version = $9`)
	resealConnection           = same(`UPDATE connections SET sealed = $1 WHERE directory = $2 AND name = $3 AND version = $4`)
	deleteConnection           = same(`DELETE FROM connections WHERE directory = $1 AND name = $2 AND version = $3`)
	deleteDirectoryConnections = same(`DELETE FROM connections WHERE directory = $1`)
)

const insertConnectionText = `INSERT INTO connections (directory, ` + connectionColumns + `) `

func scanConnection(owner string, r row) *store.Connection {
	return &store.Connection{
		Connection: roster.Connection{
			Owner: owner, Name: r.text(0), URL: r.text(1), Directory: r.text(2), RuleSet: r.text(3),
			Created: r.time(5), Modified: r.time(6), Version: r.int(7),
		},
		Sealed: r.bytes(4),
	}
}

func (r *reader) GetConnection(directory, name string) (c *store.Connection, err error) {
	err = one(r.conn, getConnection, func(row row) { c = scanConnection(directory, row) }, directory, name)
	return c, wrap(err, "get connection")
}

func (r *reader) ListConnections(directory string) (list []*store.Connection, err error) {
	err = r.query(listConnections, func(row row) error {
		list = append(list, scanConnection(directory, row))
		return nil
	}, directory)
	return list, wrap(err, "list connections")
}

func (t *tx) CreateConnection(c *store.Connection) error {
	n, err := t.exec(insertConnection, c.Owner, c.Name, c.URL, c.Directory, c.RuleSet, blob(c.Sealed),
		micros(c.Created), micros(c.Modified), c.Version, c.Owner)
	if err != nil || n == 1 {
		return wrap(err, "create connection")
	}
	switch _, err := t.GetConnection(c.Owner, c.Name); {
	case err == nil:
		return store.ErrExists
	case errors.Is(err, store.ErrNotFound): // so it is the directory that is missing
		return store.ErrNotFound
	default:
		return err
	}
}

func (t *tx) ReplaceConnection(c *store.Connection) error {
	return t.stale("replace connection", updateConnection, c.URL, c.Directory, c.RuleSet, blob(c.Sealed),
		micros(c.Modified), c.Version, c.Owner, c.Name, c.Version-1)
}

func (t *tx) ResealConnection(c *store.Connection) error {
	return t.stale("reseal connection", resealConnection, blob(c.Sealed), c.Owner, c.Name, c.Version)
}

func (t *tx) DeleteConnection(directory, name string, version int64) error {
	return t.stale("delete connection", deleteConnection, directory, name, version)
}

// stale runs s and returns ErrStale when it changes nothing.
func (t *tx) stale(doing string, s *statement, args ...any) error {
	n, err := t.exec(s, args...)
	if err == nil && n == 0 {
		return store.ErrStale
	}
	return wrap(err, doing)
}
