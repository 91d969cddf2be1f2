package sqlstore

import (
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/roster-scim/roster"
)

const eventColumns = `seq, id, type, resource, version, operation, key_id, request_id, at, purged, changes, undoes`

var (
	// On PostgreSQL the statement has its lock on the table, by which settled
	// tells which transactions may hold a seq, before nextval is called.
	insertEvent = differ(
		`INSERT INTO events (directory, id, type, resource, version, operation, key_id, request_id, at, purged, changes, undoes, seq)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
		`INSERT INTO events (directory, id, type, resource, version, operation, key_id, request_id, at, purged, changes, undoes, seq)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, nextval('event_seq'))`)
	listEvents = same(`SELECT ` + eventColumns + ` FROM events
		WHERE directory = $1 AND seq > $2 AND seq <= $3 ORDER BY seq LIMIT $4`)
	lastEvents = same(`SELECT ` + eventColumns + ` FROM events
		WHERE directory = $1 AND seq <= $2 ORDER BY seq DESC LIMIT $3`)
	getEvent       = same(`SELECT ` + eventColumns + ` FROM events WHERE directory = $1 AND seq = $2`)
	resourceEvents = same(`SELECT seq, changes FROM events WHERE directory = $1 AND resource = $2 AND purged = 0`)
	purgeEvent     = same(`UPDATE events SET changes = $1, purged = 1 WHERE directory = $2 AND seq = $3`)
)

func (t *tx) append(e *roster.Event) error {
	changes := appendChanges(make([]byte, 0, 1024), e.Changes, true)
	err := t.addEvent(e.Directory, e.ID, e.ResourceType, e.Resource, e.Version, string(e.Operation),
		e.Key, e.Request, micros(e.At), truth(e.Purged), changes, e.Undoes)
	return wrap(err, "append event")
}

// There is no index from a resource to its answers: they are those of one day,
// and few people are purged.
var purgeAnswers = same(`DELETE FROM answers WHERE directory = $1 AND resource = $2`)

// Purge keeps the names of the attributes that changed.
func (t *tx) Purge(directory, resource string) (int64, error) {
	type event struct {
		seq     int64
		changes []byte
	}
	var events []event
	err := t.query(resourceEvents, func(row row) error {
		changes, err := parseChanges(row.bytes(1))
		events = append(events, event{row.int(0), appendChanges(nil, changes, false)})
		return err
	}, directory, resource)
	if err != nil {
		return 0, wrap(err, "read events")
	}
	for _, e := range events {
		if err := t.later(purgeEvent, true, e.changes, directory, e.seq); err != nil {
			return 0, wrap(err, "purge event")
		}
	}
	return int64(len(events)), wrap(t.later(purgeAnswers, false, directory, resource), "purge answers")
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
