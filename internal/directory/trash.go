package directory

import (
	"context"
	"errors"
	"strings"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/scim"
)

// Trash returns up to limit deleted resources whose id is greater than after,
// in the order of their ids, each with its Label.
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
	for _, gone := range list {
		if t := d.Model.Type(gone.Type); t != nil && err == nil {
			var r *scim.Resource
			if r, err = t.Decode(gone.Doc); err == nil {
				gone.Label = label(r)
			}
		}
	}
	return list, err
}

// trashed returns a deleted resource of whatever type, or ErrNotFound. Ids are
// unique beyond types.
func (d *Directory) trashed(r store.Reader, id string) (*scim.Type, *store.Trashed, error) {
	for _, t := range d.Model.Types {
		gone, err := r.GetTrash(d.ID, t.Name, id)
		if !errors.Is(err, store.ErrNotFound) {
			return t, gone, err
		}
	}
	return nil, nil, store.ErrNotFound
}

// notInTrash is the 404 of a resource that cannot be restored.
func notInTrash(id string) error {
	return scim.Errorf(404, "", "Resource with id[%s] is not in the trash.", clip(id))
}

// Restore brings a deleted resource back under its own id: a user rejoins its
// groups, a group gets its members, those that there still are. A name that
// somebody else has by now is a 409 that says who; an account that somebody else
// has is not linked again.
func (d *Directory) Restore(ctx context.Context, c Call, id string) (*Result, error) {
	if !isID(id) {
		return nil, notInTrash(id)
	}
	return d.write(ctx, c, func(tx store.Tx) (*Result, error) {
		t, gone, err := d.trashed(tx, id)
		if errors.Is(err, store.ErrNotFound) {
			return nil, notInTrash(id)
		}
		if err != nil {
			return nil, err
		}
		return d.restore(tx, c, t, gone)
	})
}

// restore takes a resource out of the trash.
func (d *Directory) restore(tx store.Tx, c Call, t *scim.Type, gone *store.Trashed) (*Result, error) {
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
	if err := tx.DropTrash(d.ID, t.Name, gone.ID); errors.Is(err, store.ErrNotFound) {
		return nil, notInTrash(gone.ID) // another one restores it just now
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
}

// Purge erases for good what is kept of a deleted resource, whatever its type:
// its place in the trash, and the values in its events, whose number it returns.
// A resource that is still there is a 409.
func (d *Directory) Purge(ctx context.Context, id string) (events int64, err error) {
	absent := scim.Errorf(404, "", "Resource with id[%s] is neither in the trash nor in the directory.", clip(id))
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
