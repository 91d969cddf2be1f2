package sqlstore

import (
	"errors"
	"fmt"
	"math"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/store"
)

const eventColumns = `seq, id, type, resource, version, operation, key_id, request_id, at, purged, changes, undoes, cause`

var (
	// On PostgreSQL the statement has its lock on the table, by which settled
	// tells which transactions may hold a seq, before nextval is called.
	insertEvent = differ(
		`INSERT INTO events (directory, id, type, resource, version, operation, key_id, request_id, at, purged, changes, undoes, cause, prev_seq, seq)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
		`INSERT INTO events (directory, id, type, resource, version, operation, key_id, request_id, at, purged, changes, undoes, cause, prev_seq, seq)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, nextval('event_seq'))`)
	listEvents = same(`SELECT ` + eventColumns + ` FROM events
		WHERE directory = $1 AND seq > $2 AND seq <= $3 ORDER BY seq LIMIT $4`)
	lastEvents = same(`SELECT ` + eventColumns + ` FROM events
		WHERE directory = $1 AND seq <= $2 ORDER BY seq DESC LIMIT $3`)
	getEvent   = same(`SELECT ` + eventColumns + ` FROM events WHERE directory = $1 AND seq = $2`)
	purgeEvent = same(`UPDATE events SET changes = $1, purged = 1 WHERE directory = $2 AND seq = $3`)

	// The history of a resource is a chain: it has the seq of its last event, and
	// each event that of the one before. An index would cost every write a page
	// somewhere in its middle.
	lastSeqOf = same(`SELECT last_seq FROM resources WHERE directory = $1 AND type = $2 AND id = $3
		UNION ALL SELECT last_seq FROM trash WHERE directory = $1 AND type = $2 AND id = $3`)
	// linkEvent makes up for a prev that was not known when the event was written.
	linkEvent   = differ(linkEventText+`$5`, linkEventText+`(SELECT $5::BIGINT + currval('event_seq'))`)
	history     = chain(eventColumns, `version < $3 LIMIT $4`)
	purgeEvents = chain(`seq, changes`, `purged = 0`)
)

const linkEventText = `UPDATE events SET prev_seq = coalesce((SELECT last_seq FROM resources
	WHERE directory = $1 AND type = $2 AND id = $3), 0) WHERE directory = $4 AND seq = `

// chain returns a statement for columns of the event with the seq $2 and, from
// there on, of those before it. CROSS JOIN and LATERAL ... LIMIT make both
// databases look each up by its seq.
func chain(columns, where string) *statement {
	const first = `WITH RECURSIVE chain AS (SELECT ` + eventColumns + `, prev_seq FROM events WHERE directory = $1 AND seq = $2 UNION ALL `
	rest := `) SELECT ` + columns + ` FROM chain WHERE ` + where
	return differ(
		first+`SELECT e.seq, e.id, e.type, e.resource, e.version, e.operation, e.key_id, e.request_id, e.at, e.purged, e.changes, e.undoes, e.cause, e.prev_seq
			FROM chain CROSS JOIN events e WHERE e.directory = $1 AND e.seq = chain.prev_seq`+rest,
		first+`SELECT e.* FROM chain CROSS JOIN LATERAL (
			SELECT `+eventColumns+`, prev_seq FROM events WHERE directory = $1 AND seq = chain.prev_seq LIMIT 1) e`+rest)
}

// append writes the event of a change; prev is the seq of the one before it. The
// seq that it returns is for the parameter that stands in statements where
// PostgreSQL adds currval: the event must be written before them.
func (t *tx) append(e *roster.Event, prev int64) (seq int64, err error) {
	changes := appendChanges(make([]byte, 0, 1024), e.Changes, true)
	seq, err = t.addEvent(e.Directory, e.ID, e.ResourceType, e.Resource, e.Version, string(e.Operation),
		e.Key, e.Request, micros(e.At), truth(e.Purged), changes, e.Undoes, e.Cause.String(), prev)
	return seq, wrap(err, "append event")
}

func (r *reader) History(directory, typ, id string, before int64, limit int) ([]*roster.Event, error) {
	var last int64
	err := one(r.conn, lastSeqOf, func(row row) { last = row.int(0) }, directory, typ, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, wrap(err, "read history")
	}
	if before == 0 {
		before = math.MaxInt64
	}
	list, err := queryEvents(r.conn, directory, history, directory, last, before, int64(limit))
	return list, wrap(err, "read history")
}

// There is no index from a resource to its answers: they are those of one day,
// and few people are purged.
var purgeAnswers = same(`DELETE FROM answers WHERE directory = $1 AND resource = $2`)

// Purge keeps the names of the attributes that changed.
func (t *tx) Purge(directory, typ, id string) (int64, error) {
	type event struct {
		seq     int64
		changes []byte
	}
	var events []event
	err := t.query(purgeEvents, func(row row) error {
		changes, err := parseChanges(row.bytes(1))
		events = append(events, event{row.int(0), appendChanges(nil, changes, false)})
		return err
	}, directory, t.dropped[[3]string{directory, typ, id}])
	if err != nil {
		return 0, wrap(err, "read events")
	}
	for _, e := range events {
		if err := t.later(purgeEvent, true, e.changes, directory, e.seq); err != nil {
			return 0, wrap(err, "purge event")
		}
	}
	return int64(len(events)), wrap(t.later(purgeAnswers, false, directory, id), "purge answers")
}

// queryEvents runs a query for eventColumns.
func queryEvents(c conn, directory string, s *statement, args ...any) (list []*roster.Event, err error) {
	err = c.query(s, func(row row) error {
		e := &roster.Event{
			Seq: row.int(0), ID: row.text(1), Directory: directory, ResourceType: row.text(2), Resource: row.text(3),
			Version: row.int(4), Operation: roster.Operation(row.text(5)), Key: row.text(6), Request: row.text(7),
			At: row.time(8), Purged: row.int(9) != 0,
		}
		var err error
		e.Changes, err = parseChanges(row.bytes(10))
		e.Undoes = row.int(11)
		e.Cause = roster.ParseCause(row.text(12))
		list = append(list, e)
		return err
	}, args...)
	return list, err
}

// appendChanges appends the JSON array of changes, with or without the values
// before and after, which are JSON already. It is written by hand because it is
// on the way of every write.
func appendChanges(dst []byte, changes []roster.Change, values bool) []byte {
	dst = append(dst, '[')
	for i, c := range changes {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"attribute":`...)
		// Attribute names are ASCII; what could not be quoted would be replaced.
		dst, _ = jsontext.AppendQuote(dst, c.Attribute)
		if values && c.Before != nil {
			dst = append(append(dst, `,"before":`...), c.Before...)
		}
		if values && c.After != nil {
			dst = append(append(dst, `,"after":`...), c.After...)
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

func parseChanges(b []byte) (changes []roster.Change, err error) {
	if len(b) == len("[]") {
		return nil, nil
	}
	if err := json.Unmarshal(b, &changes); err != nil {
		return nil, fmt.Errorf("parse changes: %w", err)
	}
	return changes, nil
}
