package server

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/action"
	"github.com/roster-scim/roster/internal/directory"
	"github.com/roster-scim/roster/scim"
)

const (
	// MaxWait is how long a request may wait for events, or for a run.
	MaxWait = time.Minute
	// MaxWaiters is how many requests wait at once.
	MaxWaiters = 100
)

// events lists events. With wait it answers at once where there are some, else
// when the first comes, or with none when the time is up, or the server ends.
func (s *Server) events(r *request) error {
	q := r.query()
	after, limit, err := cursor(q, "after")
	if err != nil {
		return err
	}
	last, err := integer(q, "last", 0)
	if err != nil {
		return err
	}
	wait, err := integer(q, "wait", 0)
	if err != nil {
		return err
	}
	if last > 0 && (q.Has("after") || q.Has("wait")) {
		return scim.Errorf(400, scim.InvalidValue, "last is about the end of what there is: give it without after and wait")
	}
	var list []*roster.Event
	switch {
	case last > 0:
		list, err = r.dir.LastEvents(r.Context(), last)
	case wait > 0:
		list, err = s.await(r, after, limit, min(time.Duration(min(wait, 3600))*time.Second, MaxWait))
	default:
		list, err = r.dir.Events(r.Context(), after, limit)
	}
	if err != nil {
		return err
	}
	out := struct {
		Events []*roster.Event `json:"events"`
		Next   int64           `json:"next"`
	}{list, after}
	if n := len(list); n > 0 {
		out.Next = list[n-1].Seq
	}
	return r.reply(http.StatusOK, out)
}

// await waits for events, within the bounds of the server.
func (s *Server) await(r *request, after int64, limit int, wait time.Duration) (list []*roster.Event, err error) {
	err = s.hold(r, wait, func(ctx context.Context) (err error) {
		list, err = r.dir.Await(ctx, after, limit)
		return err
	})
	return list, err
}

// hold calls fn, which may wait as long as its context lasts: until the time is
// up, the client has gone or the server ends. Only so many requests wait at once.
func (s *Server) hold(r *request, wait time.Duration, fn func(context.Context) error) error {
	select {
	case s.waiters <- struct{}{}:
		defer func() { <-s.waiters }()
	default:
		return scim.Errorf(429, "", "%d requests wait already: ask without wait, or again in a moment", MaxWaiters)
	}
	// The timeouts of the server are for requests that do something; after them
	// the connection, and with it the context, would end. Where they cannot be
	// set, there are none.
	end := time.Now().Add(wait + time.Minute)
	c := http.NewResponseController(r.w)
	_ = c.SetReadDeadline(end)
	_ = c.SetWriteDeadline(end)
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	defer context.AfterFunc(s.ending, cancel)()
	return fn(ctx)
}

func (s *Server) history(r *request) error {
	before, limit, err := cursor(r.query(), "before")
	if err != nil {
		return err
	}
	list, err := r.dir.History(r.Context(), r.PathValue("resource"), before, limit)
	if err != nil {
		return err
	}
	return r.reply(http.StatusOK, struct {
		Events []*roster.Event `json:"events"`
	}{list})
}

// cursor reads the parameter name, a number, and limit.
func cursor(q url.Values, name string) (mark int64, limit int, err error) {
	if text := q.Get(name); text != "" {
		if mark, err = strconv.ParseInt(text, 10, 64); err != nil || mark < 0 {
			return 0, 0, scim.Errorf(400, scim.InvalidValue, "%s must be a number: the last one you have", name)
		}
	}
	limit, err = integer(q, "limit", 0)
	return mark, limit, err
}

// undo undoes an event: for who may read events and write resources of that type
// and, as with the trash, may manage the directory to bring one back.
func (s *Server) undo(r *request) error {
	var o directory.UndoOptions
	for name, to := range map[string]*bool{"plan": &o.Plan, "force": &o.Force} {
		switch r.query().Get(name) {
		case "true":
			*to = true
		case "", "false":
		default:
			return scim.Errorf(400, scim.InvalidValue, "%s must be true or false", name)
		}
	}
	seq, err := strconv.ParseInt(r.PathValue("event"), 10, 64)
	if err != nil {
		seq = 0 // there is none
	}
	e, err := r.dir.Event(r.Context(), seq)
	if err != nil {
		return err
	}
	if t := r.dir.Model.Type(e.ResourceType); t != nil {
		err = r.allow(writeScope(t))
	}
	if err == nil && e.Operation == roster.OpDelete {
		err = r.allow(roster.ScopeAdmin)
	}
	if err != nil {
		return err
	}
	r.resource = e.Resource
	c := r.call()
	c.IfMatch = condition(r.Header["If-Match"])
	u, err := r.dir.Undo(r.Context(), c, e, o)
	if err != nil {
		return err
	}
	out := &roster.Undo{
		Event: e.Seq, ResourceType: e.ResourceType, Resource: e.Resource, Version: u.Version, Operation: u.Operation,
		Changes: []roster.Change{}, Missing: u.Missing, Overridden: u.Overridden,
	}
	if u.Operation == roster.OpPatch {
		out.Changes = append(out.Changes, undoChanges(u)...)
	}
	return r.reply(http.StatusOK, out)
}

// undoChanges words what a patch undoes as a plan does; each member is a change.
func undoChanges(u *directory.Undo) (list []roster.Change) {
	for _, c := range action.Changes(u.Before, u.After) {
		list = append(list, roster.Change{Attribute: c.Attribute, Before: c.Before, After: c.After})
	}
	for _, id := range u.Removed {
		list = append(list, roster.Change{Attribute: "members", Before: scim.StringValue(id).AppendJSON(nil)})
	}
	for _, id := range u.Added {
		list = append(list, roster.Change{Attribute: "members", After: scim.StringValue(id).AppendJSON(nil)})
	}
	return list
}

func (s *Server) trash(r *request) error {
	limit, err := integer(r.query(), "limit", 0)
	if err != nil {
		return err
	}
	list, err := r.dir.Trash(r.Context(), r.query().Get("after"), limit)
	if err != nil {
		return err
	}
	type item struct {
		ID        string    `json:"id"`
		Type      string    `json:"type"`
		Name      string    `json:"name,omitempty"`
		DeletedAt time.Time `json:"deletedAt"`
		DeletedBy string    `json:"deletedBy,omitempty"`
	}
	items := make([]item, len(list))
	for i, t := range list {
		items[i] = item{ID: t.ID, Type: t.Type, Name: t.Label, DeletedAt: t.Deleted, DeletedBy: t.Key}
	}
	return r.reply(http.StatusOK, struct {
		Trash []item `json:"trash"`
	}{items})
}

func (s *Server) restore(r *request) error {
	c := r.call()
	c.Links = true
	res, err := r.dir.Restore(r.Context(), c, r.PathValue("resource"))
	if err != nil {
		return err
	}
	defer res.Release()
	return r.shows(res)
}

// shows answers with a resource as it is now.
func (r *request) shows(res *directory.Result) error {
	meta := res.Meta(r.directoryURL())
	body, err := res.Type.Render(nil, res.Doc, meta, nil)
	if err != nil {
		return err
	}
	r.answer(&answer{Status: http.StatusOK, ETag: meta.ETag(), Location: meta.Location, Resource: res.ID, Body: body})
	return nil
}

func (s *Server) purge(r *request) error {
	n, err := r.dir.Purge(r.Context(), r.PathValue("resource"))
	if err != nil {
		return err
	}
	return r.reply(http.StatusOK, struct {
		Events int64 `json:"events"`
	}{n})
}
