package directory

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/scim"
)

// MaxRead is how many events or deleted resources one read returns at the most.
const MaxRead = 1000

// Trash returns up to limit deleted resources whose id is greater than after,
// in the order of their ids.
func (d *Directory) Trash(ctx context.Context, after string, limit int) (list []*store.Trashed, err error) {
	if after != "" && !isID(after) {
		return nil, scim.Errorf(400, scim.InvalidValue, "after must be an id: the last one you have")
	}
	err = d.service.store.View(ctx, func(r store.Reader) (err error) {
		list, err = inPieces(limit, func(last *store.Trashed, n int) ([]*store.Trashed, error) {
			if last != nil {
				after = last.ID
			}
			return r.ListTrash(d.ID, after, n)
		}, func(t *store.Trashed) int { return len(t.Doc) })
		return err
	})
	return list, err
}

// Restore brings a deleted resource back under its own id. A name that somebody
// else has by now is a 409 that says who; an account that somebody else has is
// not linked again.
func (d *Directory) Restore(ctx context.Context, c Call, t *scim.Type, id string) (*Result, error) {
	absent := scim.Errorf(404, "", "Resource [%s]: with id[%s] is not in the trash.", strings.ToUpper(t.Name), clip(id))
	if !isID(id) {
		return nil, absent
	}
	return d.write(ctx, c, func(tx store.Tx) (*Result, error) {
		gone, err := tx.GetTrash(d.ID, t.Name, id)
		if errors.Is(err, store.ErrNotFound) {
			return nil, absent
		}
		if err != nil {
			return nil, err
		}
		r, err := t.Decode(gone.Doc)
		if err != nil {
			return nil, err
		}
		r, links, _, err := r.TakeLinks()
		if err != nil {
			return nil, err
		}
		if r, err = d.keepAccount(tx, r); err != nil {
			return nil, err
		}
		diff := scim.Diff(nil, r)
		_, keys, err := d.indexes[t].change(diff)
		if err != nil {
			return nil, err
		}
		rec := gone.Record
		rec.Version++
		rec.Modified = later(d.service.clock(), gone.Deleted)
		rec.Doc, rec.Label = r.Append(nil), label(r)
		if err := tx.DropTrash(d.ID, t.Name, id); errors.Is(err, store.ErrNotFound) {
			return nil, absent // another one restores it just now
		} else if err != nil {
			return nil, err
		}
		m := membership{directory: d, tx: tx, group: &rec}
		if isGroup(t) {
			if err := m.findLeft(links); err != nil {
				return nil, err
			}
			rec.Members = int64(len(m.add))
		}
		if err := tx.Create(&rec, keys, newEvent(&rec, roster.OpRestore, c, diff, m.change()...)); err != nil {
			return nil, d.conflict(t, r, err)
		}
		if err := m.write(); err != nil || isGroup(t) {
			return &Result{Type: t, Record: &rec}, err
		}
		rec.Joined = len(links) > 0
		return &Result{Type: t, Record: &rec}, d.rejoin(tx, c, &rec, links)
	})
}

// Purge erases for good what is kept of a deleted resource, whatever its type:
// its place in the trash, and the values in its events, whose number it returns.
// A resource that is still there is a 409.
func (d *Directory) Purge(ctx context.Context, id string) (events int64, err error) {
	absent := notFound(d.Model.Type("User"), id)
	if !isID(id) {
		return 0, absent
	}
	err = d.service.store.Update(ctx, func(tx store.Tx) error {
		// First the trash: that waits for one who restores it just now, so that
		// the resource is seen to be there again.
		for _, t := range d.Model.Types {
			switch err := tx.DropTrash(d.ID, t.Name, id); {
			case err == nil:
				events, err = tx.Purge(d.ID, t.Name, id)
				return err
			case !errors.Is(err, store.ErrNotFound):
				return err
			}
		}
		for _, t := range d.Model.Types {
			switch _, err := tx.Get(d.ID, t.Name, id); {
			case err == nil:
				return scim.Errorf(409, "", "Resource [%s]: with id[%s] is not deleted: delete it first", strings.ToUpper(t.Name), id)
			case !errors.Is(err, store.ErrNotFound):
				return err
			}
		}
		return absent
	})
	return events, err
}

// Events returns up to limit events with a Seq greater than after, in order.
func (d *Directory) Events(ctx context.Context, after int64, limit int) ([]*roster.Event, error) {
	list, err := inPieces(limit, func(last *roster.Event, n int) ([]*roster.Event, error) {
		if last != nil {
			after = last.Seq
		}
		return d.service.store.Events(ctx, d.ID, after, n)
	}, eventBytes)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	return list, nil
}

// History returns up to limit events of one resource with a version less than
// before (0: any), the newest first; what is in the trash has one too.
func (d *Directory) History(ctx context.Context, t *scim.Type, id string, before int64, limit int) (list []*roster.Event, err error) {
	if !isID(id) {
		return nil, notFound(t, id)
	}
	first := before == 0
	err = d.service.store.View(ctx, func(r store.Reader) (err error) {
		list, err = inPieces(limit, func(last *roster.Event, n int) ([]*roster.Event, error) {
			if last != nil {
				before = last.Version
			}
			return r.History(d.ID, t.Name, id, before, n)
		}, eventBytes)
		return err
	})
	if err == nil && len(list) == 0 && first {
		return nil, notFound(t, id)
	}
	return list, err
}

// inPieces reads up to limit things, a few at a time, and stops early when they
// have MaxPageBytes: each may be large. fetch returns up to n that come after
// last, from the first for nil.
func inPieces[T any](limit int, fetch func(last *T, n int) ([]*T, error), size func(*T) int) (list []*T, err error) {
	const piece = 50
	limit = clamp(limit)
	bytes := 0
	for len(list) < limit && bytes < MaxPageBytes {
		var last *T
		if len(list) > 0 {
			last = list[len(list)-1]
		}
		n := min(piece, limit-len(list))
		more, err := fetch(last, n)
		if err != nil {
			return nil, err
		}
		for _, t := range more {
			bytes += size(t)
		}
		if list = append(list, more...); len(more) < n {
			break
		}
	}
	return list, nil
}

func eventBytes(e *roster.Event) (n int) {
	for _, c := range e.Changes {
		n += len(c.Before) + len(c.After)
	}
	return n
}

func clamp(limit int) int {
	if limit <= 0 {
		return 100
	}
	return min(limit, MaxRead)
}
