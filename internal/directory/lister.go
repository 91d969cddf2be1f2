package directory

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/scim"
)

// Bounds of what a list looks through.
const (
	scanBatch    = 500       // resources that are read at once
	batchBytes   = 4 << 20   // and their documents
	maxScanBytes = 512 << 20 // documents of one list
	maxScans     = 2         // lists at once that look through many, so that they never take all connections
)

var (
	errBatchFull = errors.New("the batch is full")
	errEnough    = errors.New("the rest is not asked for")
)

// A lister makes the pages of one list.
type lister struct {
	ctx        context.Context
	directory  *Directory
	reader     store.Reader
	selections []Selection
	sources    []*source   // in the order of the list
	reverse    bool        // the list is in the reverse of the order of its sources
	order      *scim.Order // of a list that must be sorted; nil: its sources are

	seen, bytes int // looked through: resources, links, and bytes of documents
}

// An entry is one resource of a page.
type entry struct {
	position
	*store.Record // nil when it was deleted since it was found
}

// A window is the part of a list that is asked for, and what was found of it.
type window struct {
	skip int64
	want int

	list  []entry
	bytes int
	more  bool // there is another one behind it
}

// add takes the next one of the list; when it returns false, that one is behind
// the window.
func (w *window) add(e entry, links bool) bool {
	if w.skip > 0 {
		w.skip--
		return true
	}
	size := 0
	if e.Record != nil {
		size = len(e.Doc)
		if links {
			size += int(min(e.Members, MaxPageBytes)) * linkBytes
		}
	}
	if len(w.list) == w.want || w.bytes+size > MaxPageBytes && len(w.list) > 0 {
		w.more = true
		return false
	}
	w.bytes += size
	w.list = append(w.list, e)
	return true
}

// page finds the window w, on from at where that is not nil, and returns how many
// there are on all pages.
func (l *lister) page(w *window, at *cursor) (total int64, err error) {
	filtered := slices.ContainsFunc(l.selections, func(s Selection) bool { return s.Filter != nil })
	if err := l.expand(); err != nil {
		return 0, err
	}
	if l.order != nil {
		total, err = l.sorted(w, at)
	} else {
		total, err = l.walk(w, at, filtered && at == nil)
	}
	if err != nil {
		return 0, err
	}
	if at != nil && at.back {
		slices.Reverse(w.list)
	}
	switch {
	case filtered && at != nil:
		return at.total, nil
	case !filtered:
		return l.count()
	}
	return total, nil
}

// count returns how many there are of all types.
func (l *lister) count() (total int64, err error) {
	for i := range l.selections {
		n, err := l.reader.Count(store.Query{Directory: l.directory.ID, Type: l.selections[i].Type.Name})
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// results reads what a page shows.
func (l *lister) results(list []entry) ([]*Result, error) {
	var out []*Result
	linked := make([][]*Result, len(l.selections))
	for _, e := range list {
		if e.Record == nil {
			continue
		}
		res := &Result{Type: l.selections[e.typ].Type, Record: e.Record}
		out = append(out, res)
		linked[e.typ] = append(linked[e.typ], res)
	}
	for i := range l.selections {
		if s := &l.selections[i]; s.Links {
			if err := l.directory.link(l.reader, s.Type, linked[i]...); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// walk finds a window of a list whose sources are in its order. With count it
// also counts.
func (l *lister) walk(w *window, at *cursor, count bool) (total int64, err error) {
	reverse := l.reverse != (at != nil && at.back)
	sources := slices.Clone(l.sources)
	if reverse {
		slices.Reverse(sources)
	}
	for _, src := range sources {
		q := src.query
		q.Reverse = reverse
		if at != nil {
			switch before, here := src.holds(&at.position, reverse); {
			case before:
				continue
			case here:
				q.After = at.id
				q.AfterValue, _ = scim.CutTextKey(at.key)
			}
		}
		var n int64
		switch {
		case src.all && src.ids != nil:
			n, err = l.walkIDs(src, q, w)
		case src.all && src.lacking == nil:
			n, err = l.walkQuery(src, q, w, count)
		default:
			n, err = l.walkThrough(src, q, w, count)
		}
		if err != nil {
			return 0, err
		}
		if total += n; w.more && !count {
			break
		}
	}
	return total, nil
}

// holds reports where src is to a position: it ends before it, or the position is
// in it.
func (s *source) holds(p *position, reverse bool) (before, here bool) {
	place, of := s.typ, p.typ
	if s.query.By != "" || s.lacking != nil { // those with a value, those without
		place, of = 0, 0
		if s.lacking != nil {
			place = 1
		}
		if _, ok := scim.CutTextKey(p.key); !ok {
			of = 1
		}
	}
	if reverse {
		place, of = -place, -of
	}
	return place < of, place == of
}

// place returns where an entry is in the list.
func (l *lister) place(e entry) (position, error) {
	p := e.position
	if o := l.selections[p.typ].Order; o != nil && p.key == "" {
		doc, err := l.selections[p.typ].Type.Decode(e.Doc)
		if err != nil {
			return p, err
		}
		p.key = o.Key(doc, (&Result{Type: doc.Type(), Record: e.Record}).Meta(""))
	}
	return p, nil
}

// entry returns the entry of a resource that is not sorted here.
func (s *source) entry(rec *store.Record) entry { return entry{position{typ: s.typ, id: rec.ID}, rec} }

// walkQuery adds all of a query to the window. With count it returns how many
// that are.
func (l *lister) walkQuery(src *source, q store.Query, w *window, count bool) (int64, error) {
	known := int64(-1)
	if w.want > 0 && !w.more {
		q.Offset, q.Limit = int(w.skip), w.want+1-len(w.list)
		n := 0
		err := l.reader.List(q, func(rec *store.Record) error {
			if n++; n == 1 {
				w.skip = 0
			}
			if !w.add(src.entry(rec), src.Links) {
				return errEnough
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			return 0, err
		}
		// A page that is not full is the last one, and tells how many there are.
		if q.After == "" && n < q.Limit && err == nil && (n > 0 || q.Offset == 0) {
			known = int64(q.Offset + n)
		}
		if n == 0 && w.skip > 0 {
			all, err := l.reader.Count(q)
			if err != nil {
				return 0, err
			}
			known = all
			w.skip = max(0, w.skip-all)
		}
	}
	if known < 0 && count {
		return l.reader.Count(q)
	}
	return max(known, 0), nil
}

// walkIDs adds the resources of a list of ids to the window and returns how many
// these are.
func (l *lister) walkIDs(src *source, q store.Query, w *window) (int64, error) {
	ids := src.from(q)
	skip := min(w.skip, int64(len(ids)))
	w.skip -= skip
	for ids = ids[skip:]; len(ids) > 0 && w.want > 0 && !w.more; {
		q.IDs = ids[:min(len(ids), w.want+1-len(w.list), scanBatch)]
		ids = ids[len(q.IDs):]
		batch, err := l.read(q)
		if err != nil {
			return 0, err
		}
		for _, rec := range batch {
			if !w.add(src.entry(rec), src.Links) {
				break
			}
		}
	}
	return int64(len(src.ids)), nil
}

// from returns the ids of the candidates on from where q begins, in its order.
func (s *source) from(q store.Query) []string {
	ids := slices.Clone(s.ids)
	if q.Reverse {
		slices.Reverse(ids)
	}
	if q.After == "" {
		return ids
	}
	return slices.DeleteFunc(ids, func(id string) bool {
		c := strings.Compare(id, q.After)
		return c == 0 || c > 0 == q.Reverse
	})
}

// walkThrough adds those candidates to the window that the filter holds of. With
// count it returns how many these are.
func (l *lister) walkThrough(src *source, q store.Query, w *window, count bool) (total int64, err error) {
	if src.lacking != nil {
		n, err := l.reader.Lacking(q.Directory, q.Type, src.lacking.Path)
		if err != nil || n == 0 {
			return 0, err
		}
	}
	err = l.each(src, q, func(rec *store.Record, doc *scim.Resource, m *scim.Meta) error {
		if src.lacking != nil {
			if _, has := scim.CutTextKey(src.Order.Key(doc, m)); has {
				return nil
			}
		}
		total++
		if (w.more || !w.add(src.entry(rec), src.Links)) && !count {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return total, err
}

// each calls fn with each candidate of src, on from where q begins and in its
// order, that the filter holds of.
func (l *lister) each(src *source, q store.Query, fn func(*store.Record, *scim.Resource, *scim.Meta) error) error {
	uses := src.UsesLinks()
	ids := src.from(q)
	for {
		var batch []*store.Record
		var err error
		more := false
		if src.ids != nil {
			if len(ids) == 0 {
				return nil
			}
			one := q
			one.IDs = ids[:min(len(ids), scanBatch)]
			ids = ids[len(one.IDs):]
			more = len(ids) > 0
			batch, err = l.read(one)
		} else {
			batch, more, err = l.batch(q)
		}
		if err != nil {
			return err
		}
		results := make([]*Result, len(batch))
		for i, rec := range batch {
			results[i] = &Result{Type: src.Type, Record: rec}
		}
		if uses && !isGroup(src.Type) {
			if err := l.directory.link(l.reader, src.Type, results...); err != nil {
				return err
			}
		}
		for _, res := range results {
			if err := l.ctx.Err(); err != nil {
				return err
			}
			if uses && isGroup(src.Type) { // one by one: a group may have many
				if l.seen += int(res.Members); l.seen > l.directory.service.maxScan {
					return l.tooMany()
				}
				if err := l.directory.link(l.reader, src.Type, res); err != nil {
					return err
				}
			}
			doc, err := src.Type.Decode(res.Doc)
			if err != nil {
				return err
			}
			if uses {
				doc = doc.WithLinks(res.Links)
			}
			m := res.Meta("")
			if src.all || src.Filter.Match(doc, m) {
				if err := fn(res.Record, doc, m); err != nil {
					return err
				}
			}
			res.Links = nil
		}
		if !more {
			return nil
		}
		last := results[len(results)-1]
		q.After = last.ID
		if l.seen += len(batch); l.seen > l.directory.service.maxScan || l.bytes > maxScanBytes {
			return l.tooMany()
		}
	}
}

func (l *lister) tooMany() error {
	how := "add a comparison with eq of userName, externalId, displayName or emails.value"
	if slices.ContainsFunc(l.selections, func(s Selection) bool { return s.Order != nil }) {
		how += ", or sort by userName, externalId or displayName, without a filter"
	}
	return scim.Errorf(400, scim.TooMany, "this list would look through more than %d resources, or very large ones: %s", l.directory.service.maxScan, how)
}

// batch reads the next candidates of a query; more says that there may be others
// behind them.
func (l *lister) batch(q store.Query) (batch []*store.Record, more bool, err error) {
	q.Offset, q.Limit = 0, scanBatch
	bytes := 0
	err = l.reader.List(q, func(rec *store.Record) error {
		batch = append(batch, rec)
		if bytes += len(rec.Doc); bytes > batchBytes {
			return errBatchFull
		}
		return nil
	})
	full := errors.Is(err, errBatchFull)
	if full {
		err = nil
	}
	l.bytes += bytes
	return batch, full || len(batch) == scanBatch, err
}

// read returns the resources with the ids of q that there are, in its order.
func (l *lister) read(q store.Query) (list []*store.Record, err error) {
	q.Limit = len(q.IDs)
	err = l.reader.List(q, func(rec *store.Record) error {
		l.bytes += len(rec.Doc)
		list = append(list, rec)
		return nil
	})
	if q.Reverse {
		slices.Reverse(list)
	}
	return list, err
}

// expand finds the users of the groups that sources name.
func (l *lister) expand() error {
	for _, src := range l.sources {
		if src.group == "" || src.ids != nil {
			continue
		}
		ids, err := l.users(src.group)
		if err != nil {
			return err
		}
		src.ids = ids
	}
	return nil
}

// users returns the ids of the users that are in a group, directly or through
// the groups in it, in order.
func (l *lister) users(group string) ([]string, error) {
	d := l.directory
	ids := []string{}
	groups, seen := []string{group}, map[string]bool{group: true}
	for len(groups) > 0 {
		next := groups[0]
		groups = groups[1:]
		err := d.members(l.reader, next, func(m store.Member) error {
			if l.seen++; l.seen > d.service.maxScan {
				return l.tooMany()
			}
			if m.Type == "User" {
				ids = append(ids, m.ID)
			} else if d.Model.Rules.NestedGroups && !seen[m.ID] {
				seen[m.ID] = true
				groups = append(groups, m.ID)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}
