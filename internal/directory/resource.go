package directory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/scim"
)

// A Call is who asks for a change, and on which condition.
type Call struct {
	Key     string // the id of the API key
	Request string // the id of the request
	// Cause is the run that asks for it; nil: none does.
	Cause *roster.Cause
	// IfMatch is the condition on the version; nil: none.
	IfMatch *Condition
	// Links asks for the links of the result: the groups of a user, the members of
	// a group. MaxLinks leaves them out where a group has more; 0: no bound.
	Links    bool
	MaxLinks int
	// Undoes is the Seq of the event that the change undoes; 0: none.
	Undoes int64
	// Idempotency makes a repeated request the same request; nil: each is new.
	Idempotency *Idempotency
}

// A Condition holds for any version (If-Match: *) or for those that it lists.
type Condition struct {
	Any      bool
	Versions []int64
}

// Holds reports whether a version is one that c was meant for.
func (c *Condition) Holds(version int64) bool {
	if c == nil || c.Any {
		return true
	}
	for _, v := range c.Versions {
		if v == version {
			return true
		}
	}
	return false
}

// Idempotency is the Idempotency-Key of a request.
type Idempotency struct {
	Name string
	Hash [32]byte // of all that makes the request what it is
	// Render makes the answer that a repeated request gets. It runs in the
	// transaction, so it must be quick and have no effect.
	Render func(*Result) ([]byte, error)
}

// A Result is the state that a write left behind, or that a read found.
type Result struct {
	Type *scim.Type
	*store.Record
	// Links are the groups of a user, or the members of a group, where they were
	// asked for.
	Links []scim.Link
	// Ignored are the attributes whose value was not taken, beyond those that
	// the schema does not know.
	Ignored []string
	// Coerced are the tolerances that a PATCH needed when it met the resource.
	Coerced []string
	release func()
	// Answer is what Render made of the first of several requests with one
	// Idempotency-Key; then nothing else is set.
	Answer []byte
}

// Meta returns what the answer adds to the document; base is the URL of the
// directory.
func (r *Result) Meta(base string) *scim.Meta {
	return &scim.Meta{
		ID: r.ID, Version: r.Version, Created: r.Created, Modified: r.Modified,
		Location: base + r.Type.Endpoint + "/" + r.ID, Base: base, Links: r.Links,
	}
}

// Create adds the resource that body describes.
func (d *Directory) Create(ctx context.Context, c Call, body *scim.Resource) (*Result, error) {
	t := body.Type()
	body, links, _, err := body.TakeLinks()
	if err != nil {
		return nil, err
	}
	next, err := scim.Create(body)
	if err != nil {
		return nil, err
	}
	if d.indexes[t].account {
		next = next.Set(accountID, d.service.account(next, ""))
	}
	first, err := d.draft(next)
	if err != nil {
		return nil, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("new id: %w", err)
	}
	return d.write(ctx, c, func(tx store.Tx) (*Result, error) {
		made := first
		linked, err := d.withAccount(tx, next, id.String())
		if err == nil && linked != next {
			made, err = d.draft(linked)
		}
		if err != nil {
			return nil, err
		}
		now := d.service.clock()
		rec := &store.Record{
			Directory: d.ID, Type: t.Name, ID: id.String(), Version: 1, Created: now, Modified: now,
			Doc: made.doc, Label: label(linked),
		}
		m := membership{directory: d, tx: tx, group: rec}
		ignored, err := m.find(links, 400)
		if err != nil {
			return nil, err
		}
		rec.Members = int64(len(m.add))
		if err := tx.Create(rec, made.keys, newEvent(rec, roster.OpCreate, c, made.diff, m.change()...)); err != nil {
			return nil, d.conflict(t, linked, err)
		}
		return &Result{Type: t, Record: rec, Ignored: ignored}, m.write()
	})
}

// A draft is what is stored of a new resource. It is made before the
// transaction, which must be quick.
type draft struct {
	diff []scim.Difference
	keys store.Keys
	doc  []byte
}

func (d *Directory) draft(r *scim.Resource) (draft, error) {
	diff := scim.Diff(nil, r)
	_, keys, err := d.indexes[r.Type()].change(diff)
	return draft{diff, keys, r.Append(nil)}, err
}

// Get returns a resource, which the caller releases, with its links where they are asked for. One that there
// is not, or no more, is a 404.
func (d *Directory) Get(ctx context.Context, t *scim.Type, id string, links bool) (*Result, error) {
	if !isID(id) {
		return nil, notFound(t, id)
	}
	res := &Result{Type: t}
	err := d.service.store.View(ctx, func(r store.Reader) (err error) {
		if res.Record, err = r.Get(d.ID, t.Name, id); err != nil || !links || !res.linked() || res.Members > manyMembers {
			return err
		}
		return d.link(r, t, res)
	})
	if err == nil && links && res.Members > manyMembers {
		err = d.linkMany(ctx, res, holdPatience)
	}
	if errors.Is(err, store.ErrNotFound) {
		return nil, notFound(t, id)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", t.Name, err)
	}
	return res, nil
}

// Replace makes of a resource what a PUT of body makes of it (scim.Replace).
// When nothing changes, the version and lastModified stay, and there is no
// event.
func (d *Directory) Replace(ctx context.Context, c Call, id string, body *scim.Resource) (*Result, error) {
	t := body.Type()
	body, links, sent, err := body.TakeLinks()
	if err != nil {
		return nil, err
	}
	return d.write(ctx, c, func(tx store.Tx) (*Result, error) {
		cur, old, err := d.current(tx, t, id, c)
		if err != nil {
			return nil, err
		}
		next, ignored, err := scim.Replace(old, body)
		if err != nil {
			return nil, err
		}
		m := membership{directory: d, tx: tx, group: cur}
		if isGroup(t) && (sent || !d.Model.Rules.KeepOmittedMembers) {
			missing, err := m.replace(links)
			if err != nil {
				return nil, err
			}
			ignored = append(ignored, missing...)
		}
		return d.advance(c, roster.OpReplace, cur, old, next, &m, ignored)
	})
}

// Patch does the operations of a PATCH, all or none (scim.Patch). When nothing
// changes, the version and lastModified stay, and there is no event. Of the
// members of a group it reads none, but where a filter on them has to be asked.
func (d *Directory) Patch(ctx context.Context, c Call, t *scim.Type, id string, p *scim.Patch) (*Result, error) {
	return d.write(ctx, c, func(tx store.Tx) (*Result, error) {
		cur, old, err := d.current(tx, t, id, c)
		if err != nil {
			return nil, err
		}
		next, notes, err := p.Apply(old)
		if err != nil {
			return nil, err
		}
		m := membership{directory: d, tx: tx, group: cur}
		missing, err := m.patch(p.Members())
		if err != nil {
			return nil, err
		}
		res, err := d.advance(c, roster.OpPatch, cur, old, next, &m, append(notes.Ignored, missing...))
		if err == nil {
			res.Coerced = notes.Coerced
		}
		return res, err
	})
}

// advance stores next in the place of cur, with its keys, its members and its
// event.
func (d *Directory) advance(c Call, op roster.Operation, cur *store.Record, old, next *scim.Resource, m *membership, ignored []string) (*Result, error) {
	t := next.Type()
	next, err := d.relink(m.tx, cur.ID, old, next)
	if err != nil {
		return nil, err
	}
	res := &Result{Type: t, Record: cur, Ignored: ignored}
	if err := m.write(); err != nil {
		return nil, err
	}
	doc := next.Append(make([]byte, 0, len(cur.Doc)+256))
	if bytes.Equal(doc, cur.Doc) && !m.changes() {
		return res, nil
	}
	diff := scim.Diff(old, next)
	drop, add, err := d.indexes[t].change(diff)
	if err != nil {
		return nil, err
	}
	rec := *cur
	rec.Version++
	rec.Modified = later(d.service.clock(), cur.Modified)
	rec.Doc, rec.Label = doc, label(next)
	rec.Members += int64(len(m.added) - len(m.removed))
	if err := m.tx.Replace(&rec, drop, add, newEvent(&rec, op, c, diff, m.change()...)); err != nil {
		return nil, d.conflict(t, next, err)
	}
	res.Record = &rec
	return res, nil
}

// Delete moves a resource to the trash: from then on it is a 404, and its names
// are free.
func (d *Directory) Delete(ctx context.Context, c Call, t *scim.Type, id string) (*Result, error) {
	return d.write(ctx, c, func(tx store.Tx) (*Result, error) {
		cur, old, err := d.current(tx, t, id, c)
		if err != nil {
			return nil, err
		}
		return d.discard(tx, c, t, cur, old)
	})
}

// discard moves a resource that was read for the write to the trash.
func (d *Directory) discard(tx store.Tx, c Call, t *scim.Type, cur *store.Record, old *scim.Resource) (*Result, error) {
	diff := scim.Diff(old, nil)
	drop, _, err := d.indexes[t].change(diff)
	if err != nil {
		return nil, err
	}
	gone := &store.Trashed{Record: *cur, Deleted: later(d.service.clock(), cur.Modified), Key: c.Key}
	gone.Version++
	last := gone.Record
	last.Modified = gone.Deleted
	left, err := d.leave(tx, c, t, gone)
	if err != nil {
		return nil, err
	}
	return &Result{Type: t, Record: &last}, tx.Delete(gone, drop, newEvent(&last, roster.OpDelete, c, diff, left...))
}

// current returns the resource that a write is about, locked, when the
// condition of the write holds.
func (d *Directory) current(tx store.Tx, t *scim.Type, id string, c Call) (*store.Record, *scim.Resource, error) {
	if !isID(id) {
		return nil, nil, notFound(t, id)
	}
	cur, err := tx.Get(d.ID, t.Name, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil, notFound(t, id)
	}
	if err != nil {
		return nil, nil, err
	}
	if !c.IfMatch.Holds(cur.Version) {
		return nil, nil, scim.Errorf(412, "", "Resource [%s]: id[%s] has the version W/\"%d\", which If-Match does not name: read it again and repeat the change on that", strings.ToUpper(t.Name), id, cur.Version)
	}
	r, err := t.Decode(cur.Doc)
	return cur, r, err
}

// attempts is how often a write begins again when another one was faster. Get
// locks what is read, so that it takes more than one is rare.
const attempts = 10

// write runs fn in a transaction, once for all requests of one Idempotency-Key.
func (d *Directory) write(ctx context.Context, c Call, fn func(store.Tx) (*Result, error)) (*Result, error) {
	var res *Result
	run := func(tx store.Tx) (err error) {
		res = nil
		if err := tx.Expect(d.ID, d.Version); err != nil {
			return err
		}
		if c.Idempotency != nil {
			if res, err = d.reserve(tx, c); res != nil || err != nil {
				return err
			}
		}
		if res, err = fn(tx); err != nil || c.Idempotency == nil {
			return err
		}
		if c.shows(res) {
			if err := d.link(tx, res.Type, res); err != nil {
				return err
			}
		}
		answer, err := c.Idempotency.Render(res)
		if err != nil {
			return err
		}
		return tx.Keep(d.ID, c.Key, c.Idempotency.Name, res.ID, answer)
	}
	for range attempts {
		err := d.service.store.Update(ctx, run)
		if err == nil {
			d.service.bell.ring(d.ID)
		}
		switch {
		case err == nil && c.Idempotency == nil && c.shows(res):
			// Not in the transaction: that would keep other writers waiting.
			return res, d.linkMany(ctx, res, 0)
		case err == nil:
			return res, nil
		case errors.Is(err, store.ErrNotFound): // the directory was deleted since it was read
			return nil, NoDirectory(d.ID)
		case !errors.Is(err, store.ErrStale):
			return nil, err
		}
		if err := d.outdated(ctx); err != nil {
			return nil, err
		}
	}
	return nil, scim.Errorf(409, "", "too many writers change this resource at once: try again")
}

// outdated returns an error when the directory has changed since d was read: what
// the request was checked against no longer holds. The next request reads it
// afresh.
func (d *Directory) outdated(ctx context.Context) error {
	var rec *roster.Directory
	err := d.service.store.View(ctx, func(r store.Reader) (err error) {
		rec, err = r.GetDirectory(d.ID)
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return NoDirectory(d.ID)
	case err != nil || rec.Version == d.Version:
		return err
	}
	d.service.reread()
	return scim.Errorf(503, "", "the rules of the directory have just changed: send the request again")
}

// reserve returns the answer of an earlier request with the same key.
func (d *Directory) reserve(tx store.Tx, c Call) (*Result, error) {
	answer, err := tx.Reserve(d.ID, c.Key, c.Idempotency.Name, c.Idempotency.Hash, d.service.clock())
	if answer == nil || err != nil {
		return nil, err
	}
	if answer.Hash != c.Idempotency.Hash {
		return nil, scim.Errorf(422, "", "this Idempotency-Key was used for another request: use a new key for each request, and the same one to repeat it")
	}
	return &Result{Answer: answer.Body}, nil
}

// conflict says who holds what a resource may not have too.
func (d *Directory) conflict(t *scim.Type, next *scim.Resource, err error) error {
	var held *store.ConflictError
	if !errors.As(err, &held) {
		return err
	}
	// Say the value as it was sent, and the attribute as Atlassian calls it.
	name, value := held.Claim.Attribute, held.Claim.Value
	for _, a := range t.Attributes() {
		if a.Path == held.Claim.Attribute {
			value = asSent(a, next, value)
		}
	}
	if name == "emails.value" {
		name = "email"
	}
	return &scim.Error{
		Status: 409, Type: scim.Uniqueness, Err: err,
		Detail: fmt.Sprintf("Resource [%s]: with %s[%s] already exists. Held by %s.", strings.ToUpper(t.Name), name, value, held.Holder),
	}
}

// asSent returns the value of a in r whose key is key.
func asSent(a *scim.Attr, r *scim.Resource, key string) string {
	v := r.Get(a.Top().Path)
	list := v.Items()
	if v.Kind() != scim.List {
		list = []scim.Value{v}
	}
	for _, v := range list {
		if a.Top() != a {
			v = v.Sub(a.Name)
		}
		if a.Key(v.Text()) == key {
			return v.Text()
		}
	}
	return key
}

func notFound(t *scim.Type, id string) *scim.Error {
	return scim.Errorf(404, "", "Resource [%s]: with id[%s] not found.", strings.ToUpper(t.Name), clip(id))
}

// later returns now, or the first moment after t that can be told from it.
func later(now, t time.Time) time.Time {
	if now.After(t) {
		return now
	}
	return t.Add(time.Microsecond)
}

func newEvent(rec *store.Record, op roster.Operation, c Call, diff []scim.Difference, more ...roster.Change) *roster.Event {
	e := &roster.Event{
		ID: uuid.Must(uuid.NewV7()).String(), Directory: rec.Directory, ResourceType: rec.Type, Resource: rec.ID, Version: rec.Version,
		Operation: op, Key: c.Key, Request: c.Request, Cause: c.Cause, At: rec.Modified, Undoes: c.Undoes,
		Changes: make([]roster.Change, len(diff)),
	}
	for i, d := range diff {
		e.Changes[i].Attribute = d.Attr.Path
		if d.Before.Kind() != scim.Absent {
			e.Changes[i].Before = d.Before.AppendJSON(nil)
		}
		if d.After.Kind() != scim.Absent {
			e.Changes[i].After = d.After.AppendJSON(nil)
		}
	}
	e.Changes = append(e.Changes, more...)
	return e
}
