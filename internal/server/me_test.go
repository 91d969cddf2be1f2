package server_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/scim"
)

// bound returns d spoken to with a key that is bound to a user.
func (d *dir) bound(id string, scopes ...roster.Scope) *dir {
	d.t.Helper()
	return d.as(d.api("POST", "/keys", object{"name": "bound", "scopes": scopes, "user": id}).want(201).has("user", id).str("key"))
}

func patchOp(ops ...any) object {
	return object{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"}, "Operations": ops}
}

// /Me does what /Users/{id} does, under the same Location (RFC 7644 section
// 3.11).
func TestMe_IsTheUser(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		id, other := d.create(user("ada")), d.create(user("bob"))
		location := publicURL + d.path + "/Users/" + id
		me := d.bound(id, roster.ScopeUsersWrite, roster.ScopeGroupsRead)
		same := func(r *reply) {
			t.Helper()
			r.want(200).headerIs("Location", location)
			if diff := cmp.Diff(r.obj(), d.get("/Users/"+id).obj()); diff != "" {
				t.Errorf("%s is not the user (-got +want):\n%s", r.what, diff)
			}
		}
		same(me.get("/Me"))
		same(me.get("/Me/"))
		etag := me.get("/Me").header.Get("Etag")
		me.get("/Me", "If-None-Match", etag).want(304).headerIs("Location", location)
		me.do("HEAD", "/Me", nil).want(200).headerIs("Location", location).headerIs("Etag", etag)
		if got := me.get("/Me?attributes=userName").obj(); got["userName"] != "ada" || got["emails"] != nil {
			t.Errorf("projected: %v", got)
		}
		same(me.do("PUT", "/Me", user("ada", "title", "CTO")))
		me.do("PUT", "/Me", user("ada", "title", "CEO"), "If-Match", etag).refused(412, "")
		same(me.do("PATCH", "/Me", patchOp(object{"op": "replace", "path": "title", "value": "CEO"})))
		first := me.do("PUT", "/Me", user("ada", "title", "x"), "Idempotency-Key", "1").want(200)
		if again := me.do("PUT", "/Me", user("ada", "title", "x"), "Idempotency-Key", "1").headerIs("Idempotency-Replayed", "true"); string(again.body) != string(first.body) {
			t.Errorf("repeated: %s", again.body)
		}
		me.do("PUT", "/Me", user("bob")).refused(409, scim.Uniqueness, other)
		me.do("PUT", "/Me", "{").refused(400, scim.InvalidSyntax)
		for _, method := range []string{"POST", "OPTIONS"} {
			me.do(method, "/Me", user("ada")).refused(405, "").headerIs("Allow", "GET, PUT, PATCH, DELETE")
		}
		for _, path := range []string{"/Me/name", "/Me/" + id, "/me", "/Me/.search"} {
			me.get(path).refused(404, "")
		}
		me.at(d.path+"/scim").get("/Me").want(200).headerIs("Location", location)

		me.do("DELETE", "/Me", nil).want(204).headerIs("Location", location)
		me.get("/Me").refused(404, "", id)
		me.do("PUT", "/Me", user("ada")).refused(404, "", id)
		d.get("/Users/" + id).want(404)
		d.get("/Users/" + other).want(200)
		d.api("POST", "/trash/"+id+"/restore", nil).want(200)
		same(me.get("/Me"))
	})
}

func TestMe_Scopes(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		d := w.directory(t, scim.Standard)
		id := d.create(user("ada"))
		d.do("POST", "/Groups", object{"schemas": []string{scim.GroupURN}, "displayName": "all", "members": []any{object{"value": id}}}).want(201)
		title := patchOp(object{"op": "replace", "path": "title", "value": "CTO"})

		reader := d.bound(id, roster.ScopeUsersRead)
		reader.get("/Me").want(200)
		reader.do("PATCH", "/Me", title).refused(403, "", "users:write")
		reader.do("DELETE", "/Me", nil).refused(403, "", "users:write")
		none := d.bound(id, roster.ScopeEventsRead)
		none.get("/Me").refused(403, "", "users:read")

		// The scope me is for /Me, and for nothing else.
		me := d.bound(id, roster.ScopeMe)
		me.get("/Me").want(200)
		me.do("PATCH", "/Me", title).want(200).has("title", "CTO")
		me.do("PUT", "/Me", user("ada")).want(200)
		if got := me.get("/Me").obj()["groups"]; got != nil {
			t.Errorf("groups %v, which need groups:read", got)
		}
		if got := d.bound(id, roster.ScopeMe, roster.ScopeGroupsRead).get("/Me").obj()["groups"]; got == nil {
			t.Error("no groups with groups:read")
		}
		for _, op := range operations {
			at := me
			if op.api {
				at = me.at("/api/v1/directories/" + d.id)
			}
			r := at.do(op.method, strings.ReplaceAll(op.path, "{id}", id), user("ada"))
			if allowed := r.status != 403; allowed != (op.scope == "" && !op.operator) {
				t.Errorf("%s with the scope me: status %d", r.what, r.status)
			}
		}
		me.do("DELETE", "/Me", nil).want(204)
	})
}

// A key that is bound to nobody has no /Me.
func TestMe_Unbound(t *testing.T) {
	w := onSQLite(t)
	for _, rs := range ruleSets {
		d := w.directory(t, rs)
		for _, key := range []string{d.key, operatorKey} {
			for _, method := range []string{"GET", "PUT", "PATCH", "DELETE", "POST"} {
				d.as(key).do(method, "/Me", user("ada")).refused(501, "", "bound to none").headerIs("Location", "")
			}
		}
		d.as("").get("/Me").want(401)
		// A key of another directory does not get as far.
		other := w.directory(t, rs)
		other.as(d.bound(d.create(user("ada")), roster.ScopeMe).key).get("/Me").refused(404, "")
	}
}

func TestMe_Keys(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		d, other := w.directory(t, scim.Standard), w.directory(t, scim.Standard)
		id, foreign := d.create(user("ada")), other.create(user("ada"))
		gone := d.create(user("eve"))
		d.do("DELETE", "/Users/"+gone, nil).want(204)
		group := d.do("POST", "/Groups", object{"schemas": []string{scim.GroupURN}, "displayName": "all"}).want(201).str("id")
		body := func(user any, scopes ...string) object {
			return object{"name": "k", "scopes": scopes, "user": user}
		}
		for _, nobody := range []string{"nope", foreign, gone, group, "a\x00b", strings.Repeat("x", 300)} {
			d.api("POST", "/keys", body(nobody, "users:read")).refused(400, scim.InvalidValue, "no user of this directory")
		}
		d.api("POST", "/keys", body(7, "users:read")).refused(400, scim.InvalidSyntax)
		d.api("POST", "/keys", body("", "me")).refused(400, scim.InvalidValue, "give user")
		operator := d.at("/api/v1").as(operatorKey)
		operator.do("POST", "/keys", body(id, "admin")).refused(400, scim.InvalidValue, "operator key has no user")
		operator.do("POST", "/keys", body("", "me")).refused(400, scim.InvalidValue)

		made := d.api("POST", "/keys", body(id, "me")).want(201).has("user", id)
		me := d.as(made.str("key"))
		me.get("/Me").want(200).has("id", id)
		// It stays bound when it is rotated, and is told in the list.
		next := d.api("POST", "/keys/"+made.str("id")+"/rotate", object{"overlap": "1h"}).want(201).has("user", id).has("scopes", []any{"me"})
		d.as(next.str("key")).get("/Me").want(200).has("id", id)
		me.get("/Me").want(200)
		bound := 0
		for _, k := range d.api("GET", "/keys", nil).obj()["keys"].([]any) {
			if k.(object)["user"] == id {
				bound++
			}
		}
		if bound != 2 {
			t.Errorf("%d keys are bound to the user, want 2", bound)
		}
		// Keys of a user that is gone are still there, and open nothing.
		d.do("DELETE", "/Users/"+id, nil).want(204)
		me.get("/Me").refused(404, "", id)
		d.api("POST", "/keys/"+next.str("id")+"/rotate", nil).refused(400, scim.InvalidValue)
		d.as(next.str("key")).get("/Me").refused(404, "", id)
	})
}
