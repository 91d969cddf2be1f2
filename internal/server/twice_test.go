package server_test

import (
	"context"
	"errors"
	"testing"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/server"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/scim"
)

// twice is a store that runs every Update two times: first one that is undone,
// as when a commit fails and all of its functions are run again.
type twice struct{ store.Store }

var errAgain = errors.New("run it again")

func (s twice) Update(ctx context.Context, fn func(store.Tx) error) error {
	err := s.Store.Update(ctx, func(tx store.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return errAgain
	})
	if err != nil && !errors.Is(err, errAgain) {
		return err
	}
	return s.Store.Update(ctx, fn)
}

func TestUpdateMayRunTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s store.Store) store.Store { return twice{s} }, server.Options{})
	for _, rs := range ruleSets {
		d := w.directory(t, rs)
		made := d.post(user("ada"), "Idempotency-Key", "1").want(201).headerIs("Etag", `W/"1"`)
		id := made.str("id")
		d.post(user("ada"), "Idempotency-Key", "1").want(201).has("id", id).headerIs("Idempotency-Replayed", "true")
		d.post(user("ADA")).refused(409, scim.Uniqueness, id)
		d.put(id, user("ada", "title", "CTO"), "If-Match", `W/"1"`).want(200).headerIs("Etag", `W/"2"`)
		d.put(id, user("ada", "title", "CTO")).want(200).headerIs("Etag", `W/"2"`)
		d.put(id, user("ada"), "Idempotency-Key", "2").want(200).headerIs("Etag", `W/"3"`)
		d.do("DELETE", "/Users/"+id, nil).want(204)
		d.api("POST", "/trash/"+id+"/restore", nil).want(200).headerIs("Etag", `W/"5"`)
		d.do("DELETE", "/Users/"+id, nil).want(204)
		if n := len(d.events()); n != 6 {
			t.Errorf("%s: %d events, want 6", rs, n)
		}
		d.api("DELETE", "/trash/"+id, nil).want(200).has("events", 6.0)
		key := d.api("POST", "/keys", object{"name": "k", "scopes": []roster.Scope{roster.ScopeUsersRead}}).want(201)
		d.as(key.str("key")).get("/Users").want(200).has("totalResults", 0.0)
		d.as(d.api("POST", "/keys/"+key.str("id")+"/rotate", nil).want(201).str("key")).get("/Users").want(200)
		d.at("/api/v1/directories/"+d.id).as(operatorKey).do("DELETE", "", nil).want(204)
	}
}
