package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/roster-scim/roster"
)

// An EventQuery selects events of a directory; the zero value is its first ones.
type EventQuery struct {
	After int64 // only those with a greater Seq
	Limit int   // how many at the most. Less than 1: the service decides
	// Wait is how long the service waits for the first event when there is none
	// yet, in whole seconds, up to a minute. It must be less than Client.Timeout.
	Wait time.Duration
	// Last selects the last events, as many as this, instead of all else. Less
	// than 1: it does not.
	Last int
}

// ListEvents returns events of a directory in their order, and the Seq to go on
// from.
func (m Management) ListEvents(ctx context.Context, directory string, q EventQuery) (events []*roster.Event, next int64, err error) {
	path, err := directoryPath(directory, "/events")
	if err != nil {
		return nil, 0, err
	}
	values := window("after", strconv.FormatInt(q.After, 10), q.Limit)
	if seconds := int(q.Wait / time.Second); seconds > 0 {
		values.Set("wait", strconv.Itoa(seconds))
	}
	if q.Last > 0 {
		values = url.Values{"last": {strconv.Itoa(q.Last)}}
	}
	page, err := call[struct {
		Events []*roster.Event `json:"events"`
		Next   int64           `json:"next"`
	}](ctx, m, http.MethodGet, path, values, nil)
	return page.Events, page.Next, err
}

// FollowEvents goes through the events of a directory with a Seq greater than
// after, and then waits for more, until ctx ends. After an error, which comes
// with a nil event, it ends; to go on, follow from the last event that there was.
func (m Management) FollowEvents(ctx context.Context, directory string, after int64) iter.Seq2[*roster.Event, error] {
	// Well within the time that one answer may take.
	wait := min(orElse(m.c.Timeout, defaultTimeout)*2/3, time.Minute).Truncate(time.Second)
	return func(yield func(*roster.Event, error) bool) {
		for after := after; ; {
			list, next, err := m.ListEvents(ctx, directory, EventQuery{After: after, Wait: wait})
			if err != nil {
				yield(nil, err)
				return
			}
			for _, e := range list {
				if !yield(e, nil) {
					return
				}
			}
			after = next
			if len(list) > 0 || wait > 0 {
				continue
			}
			select { // the time is too short to wait there
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	}
}

// History goes through the events of one user or group whose version is less than
// before (0: any), the newest first; it reaches those in the trash too. After an
// error, which comes with a nil event, it ends.
func (m Management) History(ctx context.Context, directory, id string, before int64) iter.Seq2[*roster.Event, error] {
	return pages(strconv.FormatInt(before, 10), func(before string) ([]*roster.Event, error) {
		path, err := resourcePath(directory, "/resources/", id, "/history")
		if err != nil {
			return nil, err
		}
		page, err := call[struct {
			Events []*roster.Event `json:"events"`
		}](ctx, m, http.MethodGet, path, window("before", before, pageSize), nil)
		return page.Events, err
	}, func(e *roster.Event) string { return strconv.FormatInt(e.Version, 10) })
}

// UndoOptions go with an Undo; nil is none of them.
type UndoOptions struct {
	Plan  bool // say what it would do, and change nothing
	Force bool // also where later events changed the same: what they changed is lost
	// IfVersion is the version that the resource must still have, such as that of
	// a plan: another one is a 412. 0: any.
	IfVersion int64
}

// Undo undoes the event with that Seq. A *scim.Error with status 409 says why it
// cannot be undone; when later events changed the same, it names them.
func (m Management) Undo(ctx context.Context, directory string, seq int64, o *UndoOptions) (*roster.Undo, error) {
	if o == nil {
		o = new(UndoOptions)
	}
	path, err := directoryPath(directory, "/events/"+strconv.FormatInt(seq, 10)+"/undo")
	if err != nil {
		return nil, err
	}
	q := url.Values{}
	if o.Plan {
		q.Set("plan", "true")
	}
	if o.Force {
		q.Set("force", "true")
	}
	r := &Request{Method: http.MethodPost, Path: path, Query: q}
	if o.IfVersion > 0 {
		r.IfMatch = `W/"` + strconv.FormatInt(o.IfVersion, 10) + `"`
	}
	a, err := m.request(ctx, r)
	if err != nil {
		return nil, err
	}
	u := new(roster.Undo)
	if err := json.Unmarshal(a.Body, u); err != nil {
		return nil, unreadable(r.Method, path, a, err)
	}
	return u, nil
}

// A Trashed is a deleted user or group that can still be restored.
type Trashed struct {
	ID        string    `json:"id"`
	Type      string    `json:"type"` // "User", "Group" or a type of the directory's own
	Name      string    `json:"name"` // what it was called; "" for a type that is no more
	DeletedAt time.Time `json:"deletedAt"`
	DeletedBy string    `json:"deletedBy"` // the id of the key
}

// ListTrash goes through the deleted users and groups of a directory in the order
// of their ids. After an error, which comes with a nil item, it ends.
func (m Management) ListTrash(ctx context.Context, directory string) iter.Seq2[*Trashed, error] {
	return pages("", func(after string) ([]*Trashed, error) {
		path, err := directoryPath(directory, "/trash")
		if err != nil {
			return nil, err
		}
		page, err := call[struct {
			Trash []*Trashed `json:"trash"`
		}](ctx, m, http.MethodGet, path, window("after", after, pageSize), nil)
		return page.Trash, err
	}, func(t *Trashed) string { return t.ID })
}

// Restore brings a deleted user or group back as it was, under its old id: it is
// the body of the answer. A *scim.Error with status 409 names the value that
// somebody else has by now.
func (m Management) Restore(ctx context.Context, directory, id string) (*Answer, error) {
	path, err := resourcePath(directory, "/trash/", id, "/restore")
	if err != nil {
		return nil, err
	}
	return m.request(ctx, &Request{Method: http.MethodPost, Path: path})
}

// Purge erases a deleted user or group for good: its record, and the values in
// its events, which History does not find any more. It returns how many events
// lost theirs.
func (m Management) Purge(ctx context.Context, directory, id string) (events int64, err error) {
	path, err := resourcePath(directory, "/trash/", id, "")
	if err != nil {
		return 0, err
	}
	done, err := call[struct {
		Events int64 `json:"events"`
	}](ctx, m, http.MethodDelete, path, nil, nil)
	return done.Events, err
}

func resourcePath(directory, between, id, below string) (string, error) {
	s, err := segment("resource", id)
	if err != nil {
		return "", err
	}
	return directoryPath(directory, between+s+below)
}
