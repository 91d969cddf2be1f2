package sqlstore

import (
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/roster-scim/roster/internal/store"
)

// Lists of ids travel as a JSON array, which both databases take apart.
const (
	sqliteIDs   = `(SELECT value FROM json_each($2))`
	postgresIDs = `jsonb_array_elements_text(CAST(CAST($2 AS TEXT) AS JSONB)) i (id)`
)

// PostgreSQL plans some of these before it has seen how large the tables are. So
// each says how it is to be read: a row that belongs to another is looked up in a
// subquery, and one of a list in a LATERAL one, which OFFSET 0 or a lock keeps
// from being joined in any other way.
var (
	// On PostgreSQL the row comparison fits the primary key alone.
	listMembers = differ(
		listMembersText+`m.member > $3 ORDER BY m.member LIMIT $4`,
		listMembersText+`(m.grp, m.member) > ($2, $3) ORDER BY m.member LIMIT $4`)
	// Of many members the labels of their groups, which are few, are read apart.
	memberships = differ(
		`SELECT member, grp FROM members WHERE directory = $1 AND member IN `+sqliteIDs+` ORDER BY member, grp`,
		`SELECT m.* FROM `+postgresIDs+` CROSS JOIN LATERAL (
			SELECT member, grp FROM members WHERE directory = $1 AND member = i.id OFFSET 0) m ORDER BY m.member, m.grp`)
	groupLabels = differ(
		`SELECT id, label FROM resources WHERE directory = $1 AND type = 'Group' AND id IN `+sqliteIDs,
		`SELECT r.* FROM `+postgresIDs+` CROSS JOIN LATERAL (
			SELECT id, label FROM resources WHERE directory = $1 AND type = 'Group' AND id = i.id OFFSET 0) r`)
	membershipsOne = same(membershipsText + `m.member = $2 ORDER BY m.grp`)
	findResources  = differ(
		`SELECT id, type, label FROM resources WHERE directory = $1 AND type IN ('User', 'Group') AND id IN `+sqliteIDs,
		`SELECT r.* FROM `+postgresIDs+` CROSS JOIN (VALUES ('User'), ('Group')) t (type) CROSS JOIN LATERAL (
			SELECT id, type, label FROM resources WHERE directory = $1 AND type = t.type AND id = i.id FOR KEY SHARE) r`)
	insertMember = same(`INSERT INTO members (directory, grp, member, type) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`)
	deleteMember = same(`DELETE FROM members WHERE directory = $1 AND grp = $2 AND member = $3`)
)

const (
	listMembersText = `SELECT m.member, m.type, (SELECT r.label FROM resources r
		WHERE r.directory = m.directory AND r.type = m.type AND r.id = m.member)
		FROM members m WHERE m.directory = $1 AND m.grp = $2 AND `
	membershipsText = `SELECT m.member, m.grp, (SELECT r.label FROM resources r
		WHERE r.directory = m.directory AND r.type = 'Group' AND r.id = m.grp)
		FROM members m WHERE m.directory = $1 AND `
)

func (r *reader) Members(directory, group, after string, limit int, fn func(store.Member) error) error {
	err := r.query(listMembers, func(row row) error {
		if err := fn(store.Member{ID: row.text(0), Type: row.text(1), Label: row.text(2)}); err != nil {
			return &callerError{err}
		}
		return nil
	}, directory, group, after, int64(limit))
	return passed(err, "list members")
}

func (r *reader) Memberships(directory string, ids []string) (list []store.Membership, err error) {
	switch len(ids) {
	case 0:
	case 1: // the usual case, and the quicker one
		err = r.query(membershipsOne, func(row row) error {
			list = append(list, store.Membership{Member: row.text(0), Group: row.text(1), Label: row.text(2)})
			return nil
		}, directory, ids[0])
	default:
		list, err = r.memberships(directory, ids)
	}
	return list, wrap(err, "list memberships")
}

func (r *reader) memberships(directory string, ids []string) (list []store.Membership, err error) {
	labels := make(map[string]string)
	err = r.query(memberships, func(row row) error {
		m := store.Membership{Member: row.text(0), Group: row.text(1)}
		labels[m.Group] = ""
		list = append(list, m)
		return nil
	}, directory, array(ids))
	if err != nil || len(list) == 0 {
		return list, err
	}
	err = r.query(groupLabels, func(row row) error {
		labels[row.text(0)] = row.text(1)
		return nil
	}, directory, array(slices.Collect(maps.Keys(labels))))
	for i := range list {
		list[i].Label = labels[list[i].Group]
	}
	return list, err
}

func (t *tx) Find(directory string, ids []string) (list []store.Member, err error) {
	err = t.query(findResources, func(row row) error {
		list = append(list, store.Member{ID: row.text(0), Type: row.text(1), Label: row.text(2)})
		return nil
	}, directory, array(ids))
	slices.SortFunc(list, func(a, b store.Member) int { return strings.Compare(a.ID, b.ID) })
	return list, wrap(err, "find resources")
}

func (t *tx) AddMembers(directory, group string, members []store.Member) ([]string, error) {
	commands := make([]command, len(members))
	for i, m := range members {
		commands[i] = command{insertMember, []any{directory, group, m.ID, m.Type}}
	}
	done, err := t.changed(commands)
	var added []string
	for i, m := range members {
		if err == nil && done[i] {
			added = append(added, m.ID)
		}
	}
	return added, wrap(err, "add members")
}

func (t *tx) RemoveMembers(directory, group string, ids []string) ([]string, error) {
	commands := make([]command, len(ids))
	for i, id := range ids {
		commands[i] = command{deleteMember, []any{directory, group, id}}
	}
	done, err := t.changed(commands)
	var removed []string
	for i, id := range ids {
		if err == nil && done[i] {
			removed = append(removed, id)
		}
	}
	return removed, wrap(err, "remove members")
}

// changed runs commands and says of each whether it changed a row.
func (t *tx) changed(commands []command) ([]bool, error) {
	const piece = 500 // sent at once
	done := make([]bool, 0, len(commands))
	for len(done) < len(commands) {
		rest := commands[len(done):]
		counts, err := t.execAll(rest[:min(piece, len(rest))])
		if err != nil {
			return nil, err
		}
		for _, n := range counts {
			done = append(done, n > 0)
		}
	}
	return done, nil
}

// array returns ids as a JSON array in which each stands once.
func array(ids []string) string {
	b, _ := json.Marshal(slices.Compact(slices.Sorted(slices.Values(ids)))) // ids are text: no error
	return string(b)
}
