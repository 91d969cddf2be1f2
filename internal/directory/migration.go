package directory

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/scim"
)

// maxDuplicates is how many values that are not unique an error names, and how
// many resources of each.
const maxDuplicates = 20

// A migration is the way of what is stored from one model of a directory to
// another.
type migration struct {
	directory, next *Directory
	plan            *roster.DirectoryPlan
	pairs           []*pair
	tooLong         string
	duplicates      map[string]int // in plan.Duplicates, by type, attribute and key
}

// A pair is a resource type before and after.
type pair struct {
	from, to *scim.Type
	// changes are those of the plan, by index, with the attributes they are of.
	changes []attributeChange
	// reindex are the paths whose terms and claims are made again.
	reindex map[string]bool
	// indexed are the attributes of reindex that are there afterwards.
	indexed []*scim.Attr
	// rewrite says that documents may get another form, or resources another
	// label.
	rewrite bool
	dirty   bool // there is something to write
}

type attributeChange struct {
	plan     int // in plan.Attributes
	from, to *scim.Attr
	required bool // it was not
}

// types compares the resource types and their attributes.
func (m *migration) types(r store.Reader) error {
	for _, to := range m.next.Model.Types {
		from := m.directory.Model.Type(to.Name)
		if from == nil {
			m.plan.Types = append(m.plan.Types, roster.TypeChange{Name: to.Name, Change: roster.PlanAdded})
			continue
		}
		m.pairs = append(m.pairs, m.pair(from, to))
	}
	for _, from := range m.directory.Model.Types {
		if m.next.Model.Type(from.Name) != nil {
			continue
		}
		n, err := r.Count(store.Query{Directory: m.directory.ID, Type: from.Name})
		if err != nil {
			return err
		}
		m.plan.Types = append(m.plan.Types, roster.TypeChange{Name: from.Name, Change: roster.PlanRemoved, Resources: n})
	}
	return nil
}

// pair compares the attributes of a type before and after.
func (m *migration) pair(from, to *scim.Type) *pair {
	p := &pair{from: from, to: to, reindex: make(map[string]bool), rewrite: from.Rules.ObservedShape != to.Rules.ObservedShape}
	before, after := byPath(from), byPath(to)
	note := func(c attributeChange, path, kind string, details []string) {
		c.plan = len(m.plan.Attributes)
		p.changes = append(p.changes, c)
		m.plan.Attributes = append(m.plan.Attributes, roster.AttributeChange{ResourceType: to.Name, Attribute: path, Change: kind, Details: details})
	}
	for _, a := range to.Attributes() {
		old := before[a.Path]
		switch {
		case old == nil:
			p.rewrite = true // what was kept may fit again
			if up := a.Above(); up == nil || before[up.Path] != nil {
				note(attributeChange{to: a, required: a.Required}, a.Path, roster.PlanAdded, nil)
			}
		default:
			if details := old.Differences(a); len(details) > 0 {
				p.rewrite = p.rewrite || shape(old) != shape(a)
				note(attributeChange{from: old, to: a, required: a.Required && !old.Required}, a.Path, roster.PlanChanged, details)
			}
		}
	}
	for _, a := range from.Attributes() {
		if after[a.Path] == nil {
			p.rewrite = true
			if up := a.Above(); up == nil || after[up.Path] != nil {
				note(attributeChange{from: a}, a.Path, roster.PlanRemoved, nil)
			}
		}
	}
	was, is := m.directory.indexes[from], m.next.indexes[to]
	for a := range was.terms {
		if b := after[a.Path]; b == nil || signature(was, a) != signature(is, b) {
			p.reindex[a.Path] = true
		}
	}
	for b := range is.terms {
		a := before[b.Path]
		if a == nil || signature(was, a) != signature(is, b) {
			p.reindex[b.Path] = true
			p.indexed = append(p.indexed, b)
		}
	}
	slices.SortFunc(p.indexed, func(a, b *scim.Attr) int { return strings.Compare(a.Path, b.Path) })
	return p
}

func byPath(t *scim.Type) map[string]*scim.Attr {
	out := make(map[string]*scim.Attr)
	for _, a := range t.Attributes() {
		out[a.Path] = a
	}
	return out
}

// shape is what of an attribute decides whether a value fits.
func shape(a *scim.Attr) string {
	return fmt.Sprint(a.Type, a.MultiValued, a.Returned == scim.ReturnedNever, a.Mutability == scim.WriteOnly)
}

// signature is what of an attribute its keys follow from.
func signature(x *index, a *scim.Attr) string {
	claimed, indexed := x.terms[a]
	s := fmt.Sprint(indexed, claimed, a.CaseExact, shape(a))
	for up := a.Above(); up != nil; up = up.Above() {
		s += shape(up)
	}
	return s
}

// each calls fn with every resource of the type, before and after.
func (p *pair) each(r store.Reader, directory string, fn func(rec *store.Record, old, cur *scim.Resource) error) error {
	q := store.Query{Directory: directory, Type: p.from.Name, Limit: 500}
	for {
		var page []*store.Record
		err := r.List(q, func(rec *store.Record) error {
			page = append(page, rec)
			return nil
		})
		if err != nil {
			return err
		}
		for _, rec := range page {
			old, err := p.from.Decode(rec.Doc)
			if err != nil {
				return fmt.Errorf("%s %s: %w", p.from.Name, rec.ID, err)
			}
			cur, err := p.to.Decode(rec.Doc)
			if err != nil {
				return fmt.Errorf("%s %s: %w", p.from.Name, rec.ID, err)
			}
			if err := fn(rec, old, cur); err != nil {
				return err
			}
		}
		if len(page) < q.Limit {
			return nil
		}
		q.After = page[len(page)-1].ID
	}
}

// look looks through the resources of a type for what the plan says of them.
func (m *migration) look(r store.Reader, p *pair) error {
	demanding := slices.ContainsFunc(p.changes, func(c attributeChange) bool { return c.required })
	if !p.rewrite && !demanding && len(p.reindex) == 0 {
		return nil
	}
	p.dirty = len(p.reindex) > 0
	seen := make([]map[string]string, len(p.indexed)) // the first resource with a value
	for i := range seen {
		seen[i] = make(map[string]string)
	}
	return p.each(r, m.directory.ID, func(rec *store.Record, old, cur *scim.Resource) error {
		m.plan.Resources++
		if string(cur.Append(nil)) != string(rec.Doc) {
			m.plan.Rewritten++
			p.dirty = true
		}
		p.dirty = p.dirty || label(old) != label(cur)
		for _, c := range p.changes {
			a := &m.plan.Attributes[c.plan]
			was, is := c.from != nil && old.Has(c.from), c.to != nil && cur.Has(c.to)
			switch {
			case was && !is:
				a.Hidden++
			case is && !was:
				a.Back++
			}
			if c.required && !is && (c.to.Above() == nil || cur.Has(c.to.Above())) {
				a.Missing++
			}
		}
		for i, a := range p.indexed {
			for _, v := range keysOf(a, cur.Get(a.Top().Path)) {
				if len(v) > MaxKey {
					m.tooLong = fmt.Sprintf("%s of %s %s is longer than %d bytes, so it cannot be indexed", a.Path, p.to.Name, rec.ID, MaxKey)
				}
				if !a.Unique() {
					continue
				}
				first, taken := seen[i][v]
				if taken {
					m.duplicate(a, cur, v, first, rec.ID)
				} else {
					seen[i][v] = rec.ID
				}
			}
		}
		return nil
	})
}

// duplicate notes that the resource other has the key of a that first has.
func (m *migration) duplicate(a *scim.Attr, other *scim.Resource, key, first, id string) {
	typ := other.Type().Name
	name := typ + "\x00" + a.Path + "\x00" + key
	i, known := m.duplicates[name]
	switch {
	case known:
		if d := &m.plan.Duplicates[i]; len(d.IDs) < maxDuplicates {
			d.IDs = append(d.IDs, id)
		}
	case len(m.plan.Duplicates) < maxDuplicates:
		m.duplicates[name] = len(m.plan.Duplicates)
		m.plan.Duplicates = append(m.plan.Duplicates, roster.Duplicate{
			ResourceType: typ, Attribute: a.Path, Value: asSent(a, other, key), IDs: []string{first, id},
		})
	}
}

// apply makes the change: keys of another kind are made again, and documents
// that have another form under the new schemas are written in it.
func (m *migration) apply(c Call, tx store.Tx) error {
	for _, p := range m.pairs {
		if !p.dirty {
			continue
		}
		for path := range p.reindex {
			if err := tx.ClearAttribute(m.directory.ID, p.to.Name, path); err != nil {
				return err
			}
		}
		err := p.each(tx, m.directory.ID, func(rec *store.Record, old, cur *scim.Resource) error {
			return m.move(c, tx, p, rec, old, cur)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// move brings one resource to the new model.
func (m *migration) move(c Call, tx store.Tx, p *pair, rec *store.Record, old, cur *scim.Resource) error {
	_, keys, err := m.next.indexes[p.to].change(scim.Diff(nil, cur))
	if err != nil {
		return err
	}
	other := func(t store.Term) bool { return !p.reindex[t.Attribute] }
	keys.Terms = slices.DeleteFunc(keys.Terms, other)
	keys.Claims = slices.DeleteFunc(keys.Claims, other)
	if name := label(cur); len(keys.Terms) > 0 || name != label(old) {
		if err := tx.AddKeys(m.directory.ID, p.to.Name, rec.ID, name, keys); err != nil {
			return err
		}
	}
	doc := cur.Append(nil)
	if string(doc) == string(rec.Doc) {
		return nil
	}
	next := *rec
	next.Version++
	next.Modified = later(m.directory.service.clock(), rec.Modified)
	next.Doc, next.Label = doc, label(cur)
	e := newEvent(&next, roster.OpReplace, c, nil)
	e.Changes = moved(old, cur)
	return tx.Replace(&next, store.Keys{}, store.Keys{}, e)
}

// moved lists the attributes at the top that show another value under another
// schema.
func moved(old, cur *scim.Resource) []roster.Change {
	before, after := flat(old), flat(cur)
	var list []roster.Change
	for path, v := range before {
		if w := after[path]; string(v) != string(w) {
			list = append(list, roster.Change{Attribute: path, Before: v, After: w})
		}
	}
	for path, w := range after {
		if before[path] == nil {
			list = append(list, roster.Change{Attribute: path, After: w})
		}
	}
	slices.SortFunc(list, func(a, b roster.Change) int { return cmp.Compare(a.Attribute, b.Attribute) })
	return list
}

// flat returns the attributes of a resource by path, those of an extension each
// by itself.
func flat(r *scim.Resource) map[string]jsontext.Value {
	out := make(map[string]jsontext.Value)
	for _, m := range r.Members() {
		if m.Attr.Extension {
			for _, below := range m.Value.Members() {
				out[below.Attr.Path] = below.Value.AppendJSON(nil)
			}
			continue
		}
		out[m.Attr.Path] = m.Value.AppendJSON(nil)
	}
	return out
}

// impose gives every directory the schemas of the server.
func (s *Service) impose(ctx context.Context) error {
	list, err := s.List(ctx)
	if err != nil {
		return err
	}
	want := s.schemas
	for _, rec := range list {
		if string(rec.Schemas) == string(want) {
			continue
		}
		u := roster.DirectoryUpdate{Schemas: want}
		if len(want) == 0 {
			u.Schemas = jsontext.Value("null")
		}
		_, plan, err := s.update(ctx, Call{Key: "schema-dir"}, rec.ID, u)
		if err != nil {
			return fmt.Errorf("directory %s (%s): %w", rec.ID, rec.Name, err)
		}
		s.log.Info("the directory has the schemas of --schema-dir now", "directory", rec.ID, "resources", plan.Resources, "rewritten", plan.Rewritten)
	}
	return nil
}
