package directory

import (
	"context"
	"errors"
	"strings"

	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/scim"
)

// DefaultMaxScan is how many resources a list with a filter that no index
// answers looks through at the most.
const DefaultMaxScan = 200_000

// Bounds of one list.
const (
	// MaxPageBytes ends a page early: RFC 7644 section 3.4.2.4 allows less than
	// was asked for, and itemsPerPage says so.
	MaxPageBytes = 16 << 20
	scanBatch    = 500       // resources that a scan reads at once
	maxScanBytes = 512 << 20 // documents that a scan looks through
	maxScans     = 2         // scans at once, so that they never take all connections
)

// errPageFull ends a page that has MaxPageBytes.
var errPageFull = errors.New("the page is full")

// A Query is the part of a list that is asked for.
type Query struct {
	Filter *scim.Filter // nil: all
	Start  int          // the 1-based index of the first; less is 1 (RFC 7644 section 3.4.2.4)
	Count  int          // how many at the most; less than 0 is 0; the directory's cap holds
	Links  bool         // with the links of each
}

// A Page is what List found.
type Page struct {
	Resources []*Result
	Total     int64 // how many there are on all pages
}

// DefaultPage is the size of a page that was asked for without a count.
const DefaultPage = 100

// List returns one page of resources, in the order of their creation. It may be
// shorter than was asked for. A filter that would have to look through more than
// the service's MaxScan resources is a 400 tooMany.
func (d *Directory) List(ctx context.Context, t *scim.Type, query Query) (*Page, error) {
	filter := query.Filter
	if filter != nil && d.Model.Rules.NarrowFilters {
		if err := narrow(t, filter); err != nil {
			return nil, err
		}
	}
	q := store.Query{Directory: d.ID, Type: t.Name, Offset: max(query.Start, 1) - 1}
	q.Limit = min(max(query.Count, 0), d.Model.Rules.MaxPage)
	exact := true
	if id, ok := onlyID(filter); ok {
		return d.listOne(ctx, t, id, q, query.Links)
	}
	if filter != nil {
		q.Term, exact = d.drive(t, filter)
		if q.Term != nil && !isKey(q.Term.Value) {
			return &Page{}, nil // no resource can have it
		}
	}
	page := &Page{}
	bytes := 0
	add := func(rec *store.Record) error {
		if bytes += len(rec.Doc); bytes > MaxPageBytes && bytes > len(rec.Doc) {
			return errPageFull
		}
		page.Resources = append(page.Resources, &Result{Type: t, Record: rec})
		return nil
	}
	if !exact {
		select {
		case d.service.scans <- struct{}{}:
			defer func() { <-d.service.scans }()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	err := d.service.store.View(ctx, func(r store.Reader) (err error) {
		if !exact {
			page.Total, err = d.scan(ctx, r, t, filter, q, add)
		} else {
			page.Total, err = d.walk(r, q, page, add)
		}
		if err != nil || !query.Links {
			return err
		}
		return d.link(r, t, page.Resources...)
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

// walk reads the page that q selects, and counts.
func (d *Directory) walk(r store.Reader, q store.Query, page *Page, add func(*store.Record) error) (int64, error) {
	if q.Limit > 0 {
		err := r.List(q, add)
		if errors.Is(err, errPageFull) {
			return r.Count(q)
		}
		if err != nil {
			return 0, err
		}
	}
	// A page that is not full is the last one, and tells how many there are.
	if n := len(page.Resources); n < q.Limit && (n > 0 || q.Offset == 0) {
		return int64(q.Offset + n), nil
	}
	return r.Count(q)
}

// onlyID returns the id of a filter that is one eq on it.
func onlyID(f *scim.Filter) (id string, ok bool) {
	if f == nil {
		return "", false
	}
	n := f.Root()
	return n.Value.Text(), n.Op == scim.Eq && n.Attr.Path == "id" && n.Value.Kind() == scim.String
}

// listOne lists the resource with an id, which is none or one.
func (d *Directory) listOne(ctx context.Context, t *scim.Type, id string, q store.Query, links bool) (*Page, error) {
	res, err := d.Get(ctx, t, id, links && q.Limit > 0)
	var e *scim.Error
	if errors.As(err, &e) && e.Status == 404 {
		return &Page{}, nil
	}
	if err != nil {
		return nil, err
	}
	page := &Page{Total: 1}
	if q.Limit > 0 && q.Offset == 0 {
		page.Resources = []*Result{res}
	}
	return page, nil
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

// drive returns a term that every resource has that f holds of, nil when the
// index knows none; exact says that f holds of all that have it.
func (d *Directory) drive(t *scim.Type, f *scim.Filter) (term *store.Term, exact bool) {
	x := d.indexes[t]
	unique := false
	var walk func(n *scim.Node)
	walk = func(n *scim.Node) {
		switch n.Op {
		case scim.And:
			walk(f.Left(n))
			walk(f.Right(n))
		case scim.ValuePath:
			walk(f.Left(n))
		case scim.Eq:
			claimed, indexed := x.terms[n.Attr]
			if indexed && n.Value.Kind() == scim.String && (term == nil || claimed && !unique) {
				term, unique = &store.Term{Attribute: n.Attr.Path, Value: n.Key()}, claimed
			}
		}
	}
	walk(f.Root())
	return term, term != nil && f.Root().Op == scim.Eq
}

// scan looks through the resources that q selects for those that f holds of.
func (d *Directory) scan(ctx context.Context, r store.Reader, t *scim.Type, f *scim.Filter, q store.Query, show func(*store.Record) error) (total int64, err error) {
	skip, want := int64(q.Offset), q.Limit
	q.Offset, q.Limit = 0, scanBatch
	seen, bytes := 0, 0
	for {
		n := 0
		err := r.List(q, func(rec *store.Record) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			n++
			bytes += len(rec.Doc)
			q.After = rec.ID
			doc, err := t.Decode(rec.Doc)
			if err != nil {
				return err
			}
			res := &Result{Type: t, Record: rec}
			if !f.Match(doc, res.Meta("")) {
				return nil
			}
			if total++; total <= skip || want == 0 {
				return nil
			}
			want--
			if err := show(rec); !errors.Is(err, errPageFull) {
				return err
			}
			want = 0
			return nil
		})
		if err != nil || n < scanBatch {
			return total, err
		}
		if seen += n; seen > d.service.maxScan || bytes > maxScanBytes {
			return 0, scim.Errorf(400, scim.TooMany, "this filter would look through more than %d resources, or very large ones: add a comparison with eq of userName, externalId, displayName or emails.value", d.service.maxScan)
		}
	}
}
