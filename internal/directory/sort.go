package directory

import (
	"cmp"
	"container/heap"
	"slices"
	"strings"

	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/scim"
)

// A sorter is the best of those that it was given, the worst at the top: a
// bounded heap of keys and ids.
type sorter struct {
	list    []position
	reverse bool
}

func (s *sorter) compare(a, b position) int {
	c := cmp.Or(strings.Compare(a.key, b.key), strings.Compare(a.id, b.id))
	if s.reverse {
		return -c
	}
	return c
}

func (s *sorter) Len() int           { return len(s.list) }
func (s *sorter) Less(i, j int) bool { return s.compare(s.list[i], s.list[j]) > 0 }
func (s *sorter) Swap(i, j int)      { s.list[i], s.list[j] = s.list[j], s.list[i] }
func (s *sorter) Push(p any)         { s.list = append(s.list, p.(position)) }
func (s *sorter) Pop() any {
	last := s.list[len(s.list)-1]
	s.list = s.list[:len(s.list)-1]
	return last
}

// sorted finds a window of a list in an order that no index has, and returns how
// many it looked at that are in the list. It holds keys and ids of no more than
// MaxSorted at once; the documents of the page are read at the end.
func (l *lister) sorted(w *window, at *cursor) (total int64, err error) {
	best := &sorter{reverse: l.order.Descending() != (at != nil && at.back)}
	most := int64(l.directory.service.maxSorted)
	keep := int(min(w.skip+int64(w.want), most))
	ahead := int64(0) // how many come after at
	for _, src := range l.sources {
		err := l.each(src, src.query, func(rec *store.Record, doc *scim.Resource, m *scim.Meta) error {
			total++
			p := position{src.typ, src.Order.Key(doc, m), rec.ID}
			if at != nil && best.compare(p, at.position) <= 0 {
				return nil
			}
			ahead++
			switch {
			case len(best.list) < keep:
				heap.Push(best, p)
			case keep > 0 && best.compare(p, best.list[0]) < 0:
				best.list[0] = p
				heap.Fix(best, 0)
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	if w.skip >= ahead || w.want == 0 {
		return total, nil
	}
	if min(w.skip+int64(w.want), ahead) > most {
		return 0, scim.Errorf(400, scim.TooMany, "in this order a page ends at index %d at the latest: go further with cursor in the place of startIndex", most)
	}
	slices.SortFunc(best.list, best.compare)
	w.more = ahead > w.skip+int64(w.want)
	list := best.list[w.skip:]
	w.skip = 0
	return total, l.fill(w, list)
}

// fill reads the resources at these positions into the window.
func (l *lister) fill(w *window, list []position) error {
	for len(list) > 0 {
		chunk := list[:min(len(list), scanBatch/5)]
		list = list[len(chunk):]
		found := make(map[string]*store.Record, len(chunk))
		for i := range l.selections {
			q := store.Query{Directory: l.directory.ID, Type: l.selections[i].Type.Name}
			for _, p := range chunk {
				if p.typ == i {
					q.IDs = append(q.IDs, p.id)
				}
			}
			if len(q.IDs) == 0 {
				continue
			}
			records, err := l.read(q)
			if err != nil {
				return err
			}
			for _, rec := range records {
				found[rec.ID] = rec
			}
		}
		for _, p := range chunk {
			if !w.add(entry{p, found[p.id]}, l.selections[p.typ].Links) {
				return nil
			}
		}
	}
	return nil
}
