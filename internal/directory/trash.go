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
		list, err = r.ListTrash(d.ID, after, clamp(limit))
		return err
	})
	return list, err
}

// Restore brings a deleted resource back under its own id. A name that somebody
// else has by now is a 409 that says who.
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
		diff := scim.Diff(nil, r)
		_, keys, err := d.indexes[t].change(diff)
		if err != nil {
			return nil, err
		}
		rec := gone.Record
		rec.Version++
		rec.Modified = later(d.service.clock(), gone.Deleted)
		if err := tx.DropTrash(d.ID, t.Name, id); err != nil {
			return nil, err
		}
		if err := tx.Create(&rec, keys); err != nil {
			return nil, d.conflict(t, r, err)
		}
		return &Result{Type: t, Record: &rec}, tx.Append(newEvent(&rec, roster.OpRestore, c, diff))
	})
}

// Purge erases for good what is kept of a deleted resource: its place in the
// trash, and the values in its events, whose number it returns. A resource that
// is still there is a 409.
func (d *Directory) Purge(ctx context.Context, t *scim.Type, id string) (events int64, err error) {
	if !isID(id) {
		return 0, notFound(t, id)
	}
	err = d.service.store.Update(ctx, func(tx store.Tx) error {
		switch _, err := tx.Get(d.ID, t.Name, id); {
		case err == nil:
			return scim.Errorf(409, "", "Resource [%s]: with id[%s] is not deleted: delete it first", strings.ToUpper(t.Name), id)
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
		dropped := tx.DropTrash(d.ID, t.Name, id)
		if dropped != nil && !errors.Is(dropped, store.ErrNotFound) {
			return dropped
		}
		n, err := tx.Purge(d.ID, id)
		if events = n; err != nil {
			return err
		}
		if dropped != nil && n == 0 {
			return notFound(t, id)
		}
		return nil
	})
	return events, err
}

// Events returns up to limit events with a Seq greater than after, in order.
func (d *Directory) Events(ctx context.Context, after int64, limit int) ([]*roster.Event, error) {
	list, err := d.service.store.Events(ctx, d.ID, after, clamp(limit))
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	return list, nil
}

// History returns up to limit events of one resource with a version greater
// than after, in the order of the versions; deleted resources have one too.
func (d *Directory) History(ctx context.Context, t *scim.Type, id string, after int64, limit int) (list []*roster.Event, err error) {
	if !isID(id) {
		return nil, notFound(t, id)
	}
	err = d.service.store.View(ctx, func(r store.Reader) (err error) {
		list, err = r.History(d.ID, id, after, clamp(limit))
		return err
	})
	if err == nil && len(list) == 0 && after == 0 {
		return nil, notFound(t, id)
	}
	return list, err
}

func clamp(limit int) int {
	if limit <= 0 {
		return 100
	}
	return min(limit, MaxRead)
}
