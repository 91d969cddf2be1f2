package directory

import (
	"context"
	"strings"

	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/scim"
)

// DefaultMaxScan is how many resources a list with a filter that no index
// answers looks through at the most.
const DefaultMaxScan = 200_000

// scanBatch is how many resources a scan reads at once.
const scanBatch = 500

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
	if filter != nil {
		q.Term, exact = d.drive(t, filter)
		if q.Term != nil && (len(q.Term.Value) > MaxKey || strings.ContainsRune(q.Term.Value, 0)) {
			return 0, nil // no resource can have it
		}
	}
	err = d.service.store.View(ctx, func(r store.Reader) (err error) {
		if !exact {
			total, err = d.scan(ctx, r, t, filter, q, fn)
			return err
		}
		n := 0
		if q.Limit > 0 {
			err := r.List(q, func(rec *store.Record) error {
				n++
				return fn(&Result{Type: t, Record: rec})
			})
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
func (d *Directory) scan(ctx context.Context, r store.Reader, t *scim.Type, f *scim.Filter, q store.Query, fn func(*Result) error) (total int64, err error) {
	skip, want := int64(q.Offset), q.Limit
	q.Offset, q.Limit = 0, scanBatch
	seen := 0
	for {
		n := 0
		err := r.List(q, func(rec *store.Record) error {
			n++
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
			return fn(res)
		})
		if err != nil || n < scanBatch {
			return total, err
		}
		if seen += n; seen > d.service.maxScan {
			return 0, scim.Errorf(400, scim.TooMany, "this filter would look through more than %d resources: add a comparison with eq of userName, externalId, displayName or emails.value", d.service.maxScan)
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
	}
}
