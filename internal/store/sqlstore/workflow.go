package sqlstore

import (
	"errors"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/store"
)

const workflowColumns = `name, source, enabled, key_id, created, modified, version, since, active, held`

var (
	getWorkflow    = same(`SELECT ` + workflowColumns + ` FROM workflows WHERE directory = $1 AND name = $2`)
	listWorkflows  = same(`SELECT ` + workflowColumns + ` FROM workflows WHERE directory = $1 ORDER BY name`)
	insertWorkflow = differ(
		insertWorkflowText+`SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11 FROM directories WHERE id = $12 AND deleted = 0 ON CONFLICT DO NOTHING`,
		insertWorkflowText+`SELECT $1, $2, $3::BYTEA, $4::BIGINT, $5, $6::BIGINT, $7::BIGINT, $8::BIGINT, $9::BIGINT, $10::BIGINT, $11::BIGINT
			FROM directories WHERE id = $12 AND deleted = 0 ON CONFLICT DO NOTHING`)
	// What was held back is counted by MoveDispatch alone.
	updateWorkflow = same(`UPDATE workflows SET source = $1, enabled = $2, key_id = $3, modified = $4, version = $5, since = $6, active = $7
		WHERE directory = $8 AND name = $9 AND version = $10`)
	deleteWorkflow = same(`DELETE FROM workflows WHERE directory = $1 AND name = $2 AND version = $3`)
	holdWorkflow   = same(`UPDATE workflows SET held = held + $1 WHERE directory = $2 AND name = $3`)

	noteWorkflow = same(`INSERT INTO dispatches (directory, seq, changed) VALUES ($1, $2, 1)
		ON CONFLICT (directory) DO UPDATE SET changed = dispatches.changed + 1`)
	moveDispatch   = same(`UPDATE dispatches SET seq = $1 WHERE directory = $2 AND seq < $1`)
	listDispatches = same(`SELECT p.directory, p.seq, p.changed FROM dispatches p, directories d
		WHERE d.id = p.directory AND d.deleted = 0 ORDER BY p.directory`)
	countEvents = same(`SELECT count(*) FROM (SELECT 1 FROM events WHERE directory = $1 AND seq > $2 LIMIT $3) e`)
)

const insertWorkflowText = `INSERT INTO workflows (directory, ` + workflowColumns + `) `

func scanWorkflow(directory string, r row) *store.Workflow {
	return &store.Workflow{
		Workflow: roster.Workflow{
			Directory: directory, Name: r.text(0), Source: string(r.bytes(1)), Enabled: r.int(2) != 0, Key: r.text(3),
			Created: r.time(4), Modified: r.time(5), Version: r.int(6), Held: r.int(9),
		},
		Since: r.int(7), Active: r.time(8),
	}
}

func (r *reader) GetWorkflow(directory, name string) (w *store.Workflow, err error) {
	err = one(r.conn, getWorkflow, func(row row) { w = scanWorkflow(directory, row) }, directory, name)
	return w, wrap(err, "get workflow")
}

func (r *reader) ListWorkflows(directory string) (list []*store.Workflow, err error) {
	err = r.query(listWorkflows, func(row row) error {
		list = append(list, scanWorkflow(directory, row))
		return nil
	}, directory)
	return list, wrap(err, "list workflows")
}

func (r *reader) ListDispatches() (list []store.Dispatch, err error) {
	err = r.query(listDispatches, func(row row) error {
		list = append(list, store.Dispatch{Directory: row.text(0), Seq: row.int(1), Changed: row.int(2)})
		return nil
	})
	return list, wrap(err, "list dispatches")
}

func (r *reader) CountEvents(directory string, after int64, limit int) (n int64, err error) {
	err = one(r.conn, countEvents, func(row row) { n = row.int(0) }, directory, after, int64(limit))
	return n, wrap(err, "count events")
}

func (t *tx) CreateWorkflow(w *store.Workflow) error {
	n, err := t.exec(insertWorkflow, w.Directory, w.Name, []byte(w.Source), truth(w.Enabled), w.Key,
		micros(w.Created), micros(w.Modified), w.Version, w.Since, micros(w.Active), w.Held, w.Directory)
	if err != nil {
		return wrap(err, "create workflow")
	}
	if n == 0 {
		switch _, err := t.GetWorkflow(w.Directory, w.Name); {
		case err == nil:
			return store.ErrExists
		case errors.Is(err, store.ErrNotFound): // so it is the directory that is missing
			return store.ErrNotFound
		default:
			return err
		}
	}
	return t.note(w.Directory, w.Since)
}

func (t *tx) ReplaceWorkflow(w *store.Workflow) error {
	n, err := t.exec(updateWorkflow, []byte(w.Source), truth(w.Enabled), w.Key, micros(w.Modified), w.Version,
		w.Since, micros(w.Active), w.Directory, w.Name, w.Version-1)
	if err == nil && n == 0 {
		return store.ErrStale
	}
	if err != nil {
		return wrap(err, "replace workflow")
	}
	return t.note(w.Directory, w.Since)
}

func (t *tx) DeleteWorkflow(directory, name string, version int64) error {
	n, err := t.exec(deleteWorkflow, directory, name, version)
	if err == nil && n == 0 {
		return store.ErrStale
	}
	if err != nil {
		return wrap(err, "delete workflow")
	}
	return t.note(directory, 0)
}

// note makes the dispatcher look at the workflows of a directory again; seq is
// where it begins, the first time.
func (t *tx) note(directory string, seq int64) error {
	return wrap(t.later(noteWorkflow, true, directory, seq), "note workflow")
}

func (t *tx) MoveDispatch(directory string, seq int64, held map[string]int64) error {
	if err := t.later(moveDispatch, false, seq, directory); err != nil {
		return wrap(err, "move dispatch")
	}
	for name, n := range held {
		if err := t.later(holdWorkflow, false, n, directory, name); err != nil {
			return wrap(err, "move dispatch")
		}
	}
	return nil
}
