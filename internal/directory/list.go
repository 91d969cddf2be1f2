package directory

import (
	"context"
	"slices"
	"strings"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/scim"
)

// DefaultMaxScan is how many resources a list looks through at the most where no
// index answers its filter, or its order.
const DefaultMaxScan = 200_000

// Bounds of one list.
const (
	// MaxPageBytes ends a page early: RFC 7644 section 3.4.2.4 allows less than
	// was asked for, and itemsPerPage says so.
	MaxPageBytes = 16 << 20
	// MaxSorted is the last index of a list in an order that no index has; a
	// cursor leads further.
	MaxSorted = 20_000

	linkBytes = 150 // of an answer, for each link that it shows
)

// DefaultPage is the size of a page that was asked for without a count.
const DefaultPage = 100

// A Selection is one resource type of a list: which of its resources the list
// has, and in which order.
type Selection struct {
	Type   *scim.Type
	Filter *scim.Filter // nil: all
	Order  *scim.Order  // nil: by id, which is the order of creation
	Links  bool         // with the links of each
}

// UsesLinks reports whether the filter or the order looks at the links.
func (s *Selection) UsesLinks() bool {
	a := s.Type.Linked()
	return a != nil && (s.Filter != nil && s.Filter.Uses(a) || s.Order != nil && s.Order.Attr().Top() == a)
}

// A Query is the part of a list that is asked for.
type Query struct {
	// Select is what the list has: one type after the other, or all in one order
	// when each has an Order, which must be the same.
	Select []Selection
	Start  int // the 1-based index of the first; less is 1 (RFC 7644 section 3.4.2.4)
	Count  int // how many at the most; less than 0 is 0; the directory's cap holds
	// Cursor asks for a page by cursor (RFC 9865), whatever Start is: the first
	// one when it is empty, else one that a Page has named. nil: by index.
	Cursor *string
	// Scopes are those of the key: a cursor is good for a key with these alone.
	Scopes []roster.Scope
}

// A Page is what List found.
type Page struct {
	Resources []*Result
	Total     int64 // how many there are on all pages
	release   func()
	// Previous and Next are the cursors of the pages before and after, of a page
	// by cursor; empty: there is none.
	Previous, Next string
}

// List returns one page of a list, which the caller releases. It may be shorter than was asked for. A list
// that would have to look through more than the service's MaxScan resources is a
// 400 tooMany.
//
// By cursor, a resource that is there all the time is on exactly one page,
// whatever is created and deleted meanwhile; what moves in the order may be on
// two, or on none.
func (d *Directory) List(ctx context.Context, q Query) (_ *Page, err error) {
	rules := d.Model.Rules
	for _, s := range q.Select {
		if s.Filter != nil && rules.NarrowFilters {
			if err := narrow(s.Type, s.Filter); err != nil {
				return nil, err
			}
		}
	}
	w := window{skip: int64(max(q.Start, 1) - 1), want: min(max(q.Count, 0), rules.MaxPage)}
	var at *cursor
	var binding []byte
	if q.Cursor != nil {
		w.skip = 0
		if q.Count > rules.MaxPage && !rules.Tolerant {
			return nil, scim.Errorf(400, scim.InvalidCount, "count must be between 0 and %d", rules.MaxPage)
		}
		binding = d.binding(&q)
		if *q.Cursor != "" {
			var err error
			if at, err = d.service.open(*q.Cursor, binding); err != nil {
				return nil, err
			}
			if q.Count != at.count && !rules.Tolerant {
				return nil, scim.Errorf(400, scim.InvalidCount, "count must be that of the first page, %d", at.count)
			}
		}
	}
	l := d.newLister(ctx, q.Select)
	if l.wide() {
		end, err := d.service.scan(ctx)
		if err != nil {
			return nil, err
		}
		defer end()
	}
	page := &Page{}
	if slices.ContainsFunc(q.Select, func(s Selection) bool { return s.Links && isGroup(s.Type) }) {
		if page.release, err = d.service.hold(ctx, listMemory, holdPatience); err != nil {
			return nil, err
		}
		defer func() {
			if err != nil {
				page.Release()
			}
		}()
	}
	err = d.service.store.View(ctx, func(r store.Reader) (err error) {
		l.reader = r
		if page.Total, err = l.page(&w, at); err != nil {
			return err
		}
		if at != nil && at.back && w.want > 0 && len(w.list) == 0 { // what was there is gone: it is the first page
			at = nil
			if page.Total, err = l.page(&w, at); err != nil {
				return err
			}
		}
		page.Resources, err = l.results(w.list)
		return err
	})
	if err != nil {
		return nil, err
	}
	if q.Cursor != nil && len(w.list) > 0 {
		err = l.turn(page, &w, at, cursor{issued: d.service.now(), total: page.Total, count: max(q.Count, 0)}, binding)
	}
	return page, err
}

// scan waits until another scan may begin; the caller calls end after it.
func (s *Service) scan(ctx context.Context) (end func(), err error) {
	select {
	case s.scans <- struct{}{}:
		return func() { <-s.scans }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// turn names the pages beside the one that w is, which is that of at, by cursors
// like c.
func (l *lister) turn(page *Page, w *window, at *cursor, c cursor, binding []byte) (err error) {
	to := func(e entry, back bool) (string, error) {
		c.back = back
		c.position, err = l.place(e)
		return l.directory.service.seal(&c, binding), err
	}
	back := at != nil && at.back
	if back && w.more || !back && at != nil {
		if page.Previous, err = to(w.list[0], true); err != nil {
			return err
		}
	}
	if back || w.more {
		page.Next, err = to(w.list[len(w.list)-1], false)
	}
	return err
}

// narrow allows what Atlassian's service allows alone.
func narrow(t *scim.Type, f *scim.Filter) error {
	allowed := "userName or externalId"
	if t.Schema == scim.GroupURN {
		allowed = "displayName"
	}
	n := f.Root()
	if n.Op == scim.Eq && strings.Contains(" "+allowed+" ", " "+n.Attr.Path+" ") {
		return nil
	}
	return scim.Errorf(400, scim.InvalidFilter, "Resource [%s] invalid filter: this directory allows one eq, on %s", strings.ToUpper(t.Name), allowed)
}

// A source is where a list takes the resources of one type from: its candidates,
// of which the filter decides where it is not said that it holds of all.
type source struct {
	*Selection
	typ   int         // its place in Query.Select
	query store.Query // the candidates; with ids, how they are read
	ids   []string    // the ids of the candidates, in order; nil: query decides
	group string      // ids are those of the users of this group; empty: no
	// lacking restricts the candidates to those without a value of the
	// attribute that the list is sorted by.
	lacking *scim.Attr
	all     bool // the filter holds of every candidate
	single  bool // there is one candidate at the most
}

// source returns where the resources of s come from: by the best comparison with
// eq that must hold of every one of them.
func (d *Directory) source(typ int, s *Selection) *source {
	src := &source{Selection: s, typ: typ, query: store.Query{Directory: d.ID, Type: s.Type.Name}}
	if s.Filter == nil {
		src.all = true
		return src
	}
	const (
		unranked = iota
		term
		link
		claim
		id
	)
	best := unranked
	var by *scim.Node
	x, linked := d.indexes[s.Type], s.Type.Linked()
	var walk func(n *scim.Node)
	walk = func(n *scim.Node) {
		rank := unranked
		switch n.Op {
		case scim.And:
			walk(s.Filter.Left(n))
			walk(s.Filter.Right(n))
		case scim.ValuePath:
			walk(s.Filter.Left(n))
		case scim.Eq:
			claimed, indexed := x.terms[n.Attr]
			switch {
			case n.Value.Kind() != scim.String:
			case n.Attr.Path == "id":
				rank = id
			case linked != nil && n.Attr == linked.Sub("value"):
				rank = link
			case claimed:
				rank = claim
			case indexed:
				rank = term
			}
		}
		if rank > best {
			best, by = rank, n
		}
	}
	root := s.Filter.Root()
	walk(root)
	if root.Op == scim.ValuePath {
		root = s.Filter.Left(root)
	}
	src.single = best >= claim
	src.all = by == root && best < id
	switch {
	case best == unranked:
	case best == id, best == link:
		value := by.Value.Text()
		switch {
		case !isID(value):
			src.ids = []string{}
		case best == id:
			src.ids = []string{value}
		case isGroup(s.Type):
			src.query.Member = value
		default:
			src.group = value
		}
	case !isKey(by.Key()): // no resource can have it
		src.ids = []string{}
	default:
		src.query.Term = &store.Term{Attribute: by.Attr.Path, Value: by.Key()}
	}
	return src
}

// newLister returns the lister of what selections select.
func (d *Directory) newLister(ctx context.Context, selections []Selection) *lister {
	l := &lister{ctx: ctx, directory: d, selections: selections}
	one := &selections[0]
	order := one.Order
	switch {
	case order == nil:
	case len(selections) == 1 && order.Attr().Path == "id":
		l.reverse = order.Descending()
	case len(selections) == 1 && one.Filter == nil && d.indexes[one.Type].orders(order.Attr()):
		l.reverse = order.Descending()
		by := d.source(0, one)
		by.query.By = order.Attr().Path
		rest := d.source(0, one)
		rest.lacking = order.Attr()
		l.sources = []*source{by, rest}
		return l
	default:
		l.order = order
	}
	for i := range selections {
		l.sources = append(l.sources, d.source(i, &selections[i]))
	}
	return l
}

// orders reports whether the terms of a are in the order of its values.
func (x *index) orders(a *scim.Attr) bool {
	_, indexed := x.terms[a]
	return indexed && a.Top() == a && !a.MultiValued && (a.Type == scim.TypeString || a.Type == scim.TypeReference)
}

// wide reports whether l may look through many resources.
func (l *lister) wide() bool {
	return slices.ContainsFunc(l.sources, func(s *source) bool {
		switch {
		case s.single:
			return false
		case s.lacking != nil:
			return !s.lacking.Required
		}
		return l.order != nil || !s.all || s.group != ""
	})
}
