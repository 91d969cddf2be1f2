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

// List calls fn with the resources of one page in the order of their creation,
// those that filter selects or all for nil, and returns how many there are on
// all pages. A filter that would have to look through more than the service's
// MaxScan resources is a 400 tooMany.
func (d *Directory) List(ctx context.Context, t *scim.Type, filter *scim.Filter, page Page, fn func(*Result) error) (total int64, err error) {
	if filter != nil && d.Model.Rules.NarrowFilters {
		if err := narrow(t, filter); err != nil {
			return 0, err
		}
	}
	q := store.Query{Directory: d.ID, Type: t.Name, Offset: max(page.Start, 1) - 1}
	q.Limit = min(max(page.Count, 0), d.Model.Rules.MaxPage)
	exact := true
	if id, ok := onlyID(filter); ok {
		return d.listOne(ctx, t, id, q, fn)
	}
	if filter != nil {
		q.Term, exact = d.drive(t, filter)
		if q.Term != nil && (len(q.Term.Value) > MaxKey || strings.ContainsRune(q.Term.Value, 0)) {
			return 0, nil // no resource can have it
		}
	}
	bytes := 0
	show := func(rec *store.Record) error {
		if bytes += len(rec.Doc); bytes > MaxPageBytes && bytes > len(rec.Doc) {
			return errPageFull
		}
		return fn(&Result{Type: t, Record: rec})
	}
	if !exact {
		select {
		case d.service.scans <- struct{}{}:
			defer func() { <-d.service.scans }()
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	err = d.service.store.View(ctx, func(r store.Reader) (err error) {
		if !exact {
			total, err = d.scan(ctx, r, t, filter, q, show)
			return err
		}
		n := 0
		if q.Limit > 0 {
			err := r.List(q, func(rec *store.Record) error {
				err := show(rec)
				if err == nil {
					n++
				}
				return err
			})
			if errors.Is(err, errPageFull) {
				total, err = r.Count(q)
				return err
			}
			if err != nil {
				return err
			}
		}
		// A page that is not full is the last one, and tells how many there are.
		if total = int64(q.Offset + n); n < q.Limit && (n > 0 || q.Offset == 0) {
			return nil
		}
		total, err = r.Count(q)
		return err
	})
	return total, err
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
func (d *Directory) listOne(ctx context.Context, t *scim.Type, id string, q store.Query, fn func(*Result) error) (int64, error) {
	res, err := d.Get(ctx, t, id)
	var e *scim.Error
	if errors.As(err, &e) && e.Status == 404 {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if q.Limit == 0 || q.Offset > 0 {
		return 1, nil
	}
	return 1, fn(res)
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
