package apply

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/scim"
)

// The keys by which a row finds a person, the most trusted first.
const (
	byID = iota
	byExternalID
	byUserName
	byEmail
	nobody
)

var keyNames = [...]string{"id", "externalId", "userName", "e-mail address"}

// A key is a digest of one of a person's keys: maps of them stay small.
type key [16]byte

func keyOf(t *scim.Type, kind int, text string) key {
	switch kind {
	case byUserName:
		text = t.Attr("userName").Key(text)
	case byEmail:
		text = scim.Fold(text)
	}
	h := sha256.Sum256([]byte(string(rune('0'+kind)) + text))
	return key(h[:16])
}

// A found is a person that some row may be about.
type found struct {
	off int64 // in the file of people
	row int32 // whose person it is; -1: none's
}

// A rowMatch is what is known of a row.
type rowMatch struct {
	off   int64 // in the file of rows
	line  int32
	user  int32 // its person; -1: none
	other int32 // another person that it matches by a lesser key; -1: none
	kind  uint8 // by which it found its person
	lower uint8 // by which it found the other
	hasID bool
}

// A matcher finds the person of each row. It holds digests of keys; rows and
// people are on disk.
type matcher struct {
	typ    *scim.Type
	rows   []rowMatch
	users  []found
	keys   map[key]int32 // of the rows; an e-mail address of several is ^ the first
	byID   map[key]int32 // the people that were met, when they are asked for one by one
	people *spill
	faults Faults
	// missing takes an active person whom no row can be about; nil: nobody asks.
	missing  func(doc jsontext.Value) error
	inactive bool // missing takes inactive people too
	count    int  // people met
}

// keysOf returns the keys that a row gives, by kind.
func keysOf(sets []Set) (keys [nobody][]string) {
	for i := range sets {
		s := &sets[i]
		switch s.Path {
		case "id":
			keys[byID] = append(keys[byID], strings.TrimSpace(textOf(s.Value)))
		case "externalId":
			keys[byExternalID] = append(keys[byExternalID], textOf(s.Value))
		case "userName":
			keys[byUserName] = append(keys[byUserName], textOf(s.Value))
		case "emails":
			if s.Type == "" && !s.Primary {
				keys[byEmail] = append(keys[byEmail], valuesOf(s.Value)...)
			} else if s.Sub == "" || s.Sub == "value" {
				keys[byEmail] = append(keys[byEmail], textOf(s.Value))
			}
		}
	}
	for kind := range keys {
		n := 0
		for _, k := range keys[kind] {
			if k != "" {
				keys[kind][n] = k
				n++
			}
		}
		keys[kind] = keys[kind][:n]
	}
	return keys
}

// valuesOf returns the values of a list of e-mail addresses.
func valuesOf(v jsontext.Value) (values []string) {
	var list []jsontext.Value
	if v.Kind() != '[' || json.Unmarshal(v, &list, loose) != nil {
		return nil
	}
	for _, one := range list {
		if o, err := parseObject(one); err == nil {
			values = append(values, o.text("value"))
		}
	}
	return values
}

// add takes the keys of a row, which is at off.
func (m *matcher) add(row *Row, off int64) {
	n := int32(len(m.rows))
	keys := keysOf(row.Sets)
	m.rows = append(m.rows, rowMatch{off: off, line: int32(row.Line), user: -1, other: -1, kind: nobody, lower: nobody, hasID: len(keys[byID]) > 0})
	better := false
	for kind, texts := range keys {
		for _, text := range texts {
			k := keyOf(m.typ, kind, text)
			switch other, taken := m.keys[k]; {
			case !taken:
				m.keys[k] = n
			case other == n:
			case kind != byEmail || !better:
				m.faults.add(row.Line, "it is for the same person as line %d: both have the %s %q", m.rows[max(other, ^other)].line, keyNames[kind], clip(text))
			case other >= 0:
				m.keys[k] = ^other
			}
		}
		better = better || len(texts) > 0
	}
	if !better {
		m.faults.add(row.Line, "nothing tells whom it is about: give id, externalId, userName or an e-mail address")
	}
}

// meet takes a person of the directory.
func (m *matcher) meet(doc jsontext.Value) error {
	o, err := parseObject(doc)
	if err != nil {
		return fmt.Errorf("a person as the directory shows it: %w", err)
	}
	id := o.text("id")
	if id == "" {
		return errors.New("the directory shows a person without an id")
	}
	if m.byID != nil {
		k := keyOf(m.typ, byID, id)
		if _, met := m.byID[k]; met {
			return nil
		}
		m.byID[k] = 0
	}
	m.count++
	u := int32(-1)
	var failed error
	try := func(kind int, text string) {
		if text == "" {
			return
		}
		row, ok := m.keys[keyOf(m.typ, kind, text)]
		if !ok || row < 0 {
			return
		}
		if u < 0 {
			off, err := m.people.append(doc)
			if err != nil {
				failed = err
				return
			}
			u = int32(len(m.users))
			m.users = append(m.users, found{off: off, row: -1})
		}
		m.candidate(row, u, kind, text)
	}
	try(byID, id)
	try(byExternalID, o.text("externalId"))
	try(byUserName, o.text("userName"))
	for _, address := range valuesOf(o.get("emails")) {
		try(byEmail, address)
	}
	if u < 0 && failed == nil && m.missing != nil && (m.inactive || isTrue(o.get("active"))) {
		return m.missing(doc)
	}
	return failed
}

// candidate notes that a row matches a person.
func (m *matcher) candidate(row, u int32, kind int, text string) {
	r := &m.rows[row]
	switch {
	case r.user == u:
		r.kind = min(r.kind, uint8(kind))
	case r.user < 0:
		r.user, r.kind = u, uint8(kind)
	case int(r.kind) == kind:
		m.faults.add(int(r.line), "it matches two people: both have the %s %q", keyNames[kind], clip(text))
	case int(r.kind) > kind:
		r.other, r.lower = r.user, r.kind
		r.user, r.kind = u, uint8(kind)
	case r.other < 0 || int(r.lower) > kind:
		r.other, r.lower = u, uint8(kind)
	}
}

// settle decides who is whose, when everybody was met.
func (m *matcher) settle() error {
	if err := m.people.flush(); err != nil {
		return err
	}
	for n := range m.rows {
		r := &m.rows[n]
		if r.hasID && r.kind != byID {
			m.faults.add(int(r.line), "nobody in the directory has its id; leave the column out, or pass it over with --map id=-, to match by something else")
			continue
		}
		if r.user < 0 {
			continue
		}
		if u := &m.users[r.user]; u.row >= 0 {
			m.faults.add(int(r.line), "it is for the same person as line %d: %s", m.rows[u.row].line, m.name(r.user))
		} else {
			u.row = int32(n)
		}
	}
	for n := range m.rows {
		r := &m.rows[n]
		// A person who has a row of their own may be about to give the key away.
		if r.other < 0 || m.users[r.other].row >= 0 || r.lower == byEmail && !m.typ.Rules.UniqueEmails {
			continue
		}
		m.faults.add(int(r.line), "it matches two people: by its %s %s, by its %s %s", keyNames[r.kind], m.name(r.user), keyNames[r.lower], m.name(r.other))
	}
	if m.missing != nil {
		for _, u := range m.users {
			if u.row >= 0 {
				continue
			}
			doc, err := m.people.at(u.off)
			if err != nil {
				return err
			}
			if o, err := parseObject(doc); err == nil && (m.inactive || isTrue(o.get("active"))) {
				if err := m.missing(doc); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// name returns the name of a person, for a message.
func (m *matcher) name(u int32) string {
	doc, err := m.people.at(m.users[u].off)
	if err == nil {
		if o, err := parseObject(doc); err == nil {
			return fmt.Sprintf("%q (%s)", clip(o.text("userName")), o.text("id"))
		}
	}
	return "a person"
}

// fewRows is up to how many rows are looked for one by one; more are found in
// one list of everybody.
const fewRows = 25

// meetAll reads everybody.
func (m *matcher) meetAll(ctx context.Context, d *Directory, progress func(int)) error {
	for u, err := range d.users().List(ctx, listOptions("")) {
		if err != nil {
			return fmt.Errorf("read the people of the directory: %w", err)
		}
		if err := m.meet(u.Body); err != nil {
			return err
		}
		if progress != nil {
			progress(m.count)
		}
	}
	return nil
}

// meetFew looks for the people of a few rows by their keys; done is false where
// the service has no such filter, and everybody must be read.
func (m *matcher) meetFew(ctx context.Context, d *Directory, rows *spill) (done bool, err error) {
	m.byID = make(map[key]int32)
	attrs := [nobody]string{byExternalID: "externalId", byUserName: "userName", byEmail: "emails.value"}
	for i := range m.rows {
		line, err := rows.at(m.rows[i].off)
		if err != nil {
			return false, err
		}
		var row Row
		if err := json.Unmarshal(line, &row, loose); err != nil {
			return false, err
		}
		for kind, texts := range keysOf(row.Sets) {
			for _, text := range texts {
				if kind == byID {
					u, err := d.users().Get(ctx, text, &client.GetOptions{ExcludedAttributes: []string{"groups"}})
					if statusOf(err) == http.StatusNotFound {
						continue
					}
					if err == nil {
						err = m.meet(u.Body)
					}
					if err != nil {
						return false, fmt.Errorf("read %s: %w", text, err)
					}
					continue
				}
				for u, err := range d.users().List(ctx, listOptions(attrs[kind]+" eq "+client.Quote(text))) {
					if s := statusOf(err); s == http.StatusBadRequest || s == http.StatusNotImplemented || s == http.StatusForbidden {
						return false, nil
					}
					if err != nil {
						return false, fmt.Errorf("look for %q: %w", clip(text), err)
					}
					if err := m.meet(u.Body); err != nil {
						return false, err
					}
				}
			}
		}
	}
	return true, nil
}
