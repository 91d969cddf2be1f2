package server_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/directory"
	"github.com/roster-scim/roster/internal/server"
	"github.com/roster-scim/roster/scim"
)

// A clock is moved by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// operations is one request of each sort, and the scope that it needs.
var operations = []struct {
	scope        roster.Scope // "": any key of the directory
	method, path string       // under the directory; {id} is a user's
	api          bool         // of the management API
	operator     bool         // needs an operator key, with admin
}{
	{scope: roster.ScopeUsersRead, method: "GET", path: "/Users"},
	{scope: roster.ScopeUsersRead, method: "GET", path: "/Users/{id}"},
	{scope: roster.ScopeUsersWrite, method: "POST", path: "/Users"},
	{scope: roster.ScopeUsersWrite, method: "PUT", path: "/Users/{id}"},
	{scope: roster.ScopeUsersWrite, method: "DELETE", path: "/Users/nope"},
	{method: "GET", path: "/Schemas"},
	{method: "GET", path: "/ResourceTypes"},
	{method: "GET", path: "/ServiceProviderConfig"},
	{method: "GET", path: "", api: true},
	{scope: roster.ScopeEventsRead, method: "GET", path: "/events", api: true},
	{scope: roster.ScopeEventsRead, method: "GET", path: "/users/{id}/history", api: true},
	{scope: roster.ScopeAdmin, method: "GET", path: "/trash", api: true},
	{scope: roster.ScopeAdmin, method: "POST", path: "/trash/nope/restore", api: true},
	{scope: roster.ScopeAdmin, method: "DELETE", path: "/trash/nope", api: true},
	{scope: roster.ScopeAdmin, method: "GET", path: "/requests", api: true},
	{scope: roster.ScopeAdmin, method: "POST", path: "/users/nope/link", api: true},
	{scope: roster.ScopeAdmin, method: "GET", path: "/keys", api: true},
	{scope: roster.ScopeAdmin, method: "POST", path: "/keys", api: true},
	{scope: roster.ScopeAdmin, method: "POST", path: "/keys/nope/rotate", api: true},
	{scope: roster.ScopeAdmin, method: "DELETE", path: "/keys/nope", api: true},
	{scope: roster.ScopeAdmin, method: "DELETE", path: "", api: true, operator: true},
}

func TestScopes(t *testing.T) {
	w := onSQLite(t)
	d := w.directory(t, scim.Standard)
	id := d.create(user("ada"))
	operatorWith := func(s roster.Scope) string {
		_, secret, err := w.dirs.CreateKey(t.Context(), nil, directory.NewKey{Name: "operator", Scopes: []roster.Scope{s}})
		if err != nil {
			t.Fatal(err)
		}
		return secret
	}
	allows := func(have, need roster.Scope) bool {
		return need == "" || have == need || have == roster.ScopeAdmin || have == roster.ScopeUsersWrite && need == roster.ScopeUsersRead
	}
	for _, scope := range roster.Scopes {
		for operator, key := range map[bool]string{false: d.newKey(scope), true: operatorWith(scope)} {
			for _, op := range operations {
				if op.operator && operator && scope == roster.ScopeAdmin {
					continue // it would delete the directory
				}
				want := allows(scope, op.scope) && !op.operator
				at := d.as(key)
				if op.api {
					at = at.at("/api/v1/directories/" + d.id)
				}
				var body any
				if op.method == "POST" || op.method == "PUT" {
					body = user("ada")
				}
				r := at.do(op.method, strings.ReplaceAll(op.path, "{id}", id), body)
				if got := r.status != http.StatusForbidden; got != want {
					t.Errorf("%s (operator %v), %s: status %d, want allowed %v", scope, operator, r.what, r.status, want)
				}
				if r.status == http.StatusForbidden {
					r.refused(403, "", "Forbidden; ")
				}
			}
		}
	}
	// What belongs to no directory is for operators.
	for _, key := range []string{d.key, operatorWith(roster.ScopeUsersWrite)} {
		at := d.at("/api/v1").as(key)
		for _, r := range []*reply{
			at.do("POST", "/directories", object{"name": "x"}), at.get("/org"), at.get("/keys"), at.do("POST", "/keys", object{}),
			at.do("POST", "/keys/x/rotate", nil), at.do("DELETE", "/keys/x", nil), at.do("DELETE", "/directories/"+d.id, nil),
		} {
			r.refused(403, "", "Forbidden; ")
		}
	}
	d.at("/api/v1").as(operatorWith(roster.ScopeUsersRead)).get("/directories").refused(403, "")
	got := d.at("/api/v1").get("/directories").want(200).obj()["directories"].([]any)
	if len(got) != 1 || got[0].(object)["id"] != d.id {
		t.Errorf("a directory's key sees %v", got)
	}
	if all := d.at("/api/v1").as(operatorKey).get("/directories").want(200).obj()["directories"].([]any); len(all) < 2 {
		t.Errorf("an operator key sees %d directories", len(all))
	}
}

func TestKey_MintsNoMoreThanItself(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		d := w.directory(t, scim.Standard)
		admin := d.as(d.newKey(roster.ScopeAdmin))
		soon := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
		create := func(d *dir, more ...any) *reply {
			return d.api("POST", "/keys", with(object{"name": "k", "scopes": []string{"users:read"}}, more...))
		}
		create(admin, "scopes", []string{"users:write", "events:read"}).want(201)
		brief := d.as(create(admin, "scopes", []string{"admin"}, "expiresAt", soon).want(201).str("key"))
		create(brief).refused(403, "", "lives longer")
		create(brief, "expiresAt", soon.Add(time.Second)).refused(403, "", "lives longer")
		create(brief, "expiresAt", soon).want(201)

		// Of another directory it sees none.
		other := w.directory(t, scim.Standard)
		create(admin.at(other.path), "name", "x").want(201) // api takes d.id, so this is d
		r := admin.at("/api/v1/directories/"+other.id).do("POST", "/keys", object{"name": "k", "scopes": []string{"users:read"}})
		r.refused(404, "")
		id := other.api("GET", "/keys", nil).obj()["keys"].([]any)[0].(object)["id"].(string)
		admin.api("DELETE", "/keys/"+id, nil).refused(404, "")
		admin.api("POST", "/keys/"+id+"/rotate", nil).refused(404, "")
		other.get("/Users").want(200)
		// An operator key is no key of a directory.
		for _, k := range d.at("/api/v1").as(operatorKey).get("/keys").want(200).obj()["keys"].([]any) {
			d.api("DELETE", "/keys/"+k.(object)["id"].(string), nil).refused(404, "")
		}
	})
}

func TestKey_WrongBodies(t *testing.T) {
	w := onSQLite(t)
	d := w.directory(t, scim.Standard)
	n := len(d.api("GET", "/keys", nil).obj()["keys"].([]any))
	for _, body := range []any{
		"", "{", "[]", "null", `{"name":"k","name":"k"}`, object{}, object{"name": "k"}, object{"name": "k", "scopes": []string{}},
		object{"name": "k", "scopes": []string{"root"}}, object{"name": "", "scopes": []string{"admin"}}, object{"name": " ", "scopes": []string{"admin"}},
		object{"name": "a\nb", "scopes": []string{"admin"}}, object{"name": "a\x00b", "scopes": []string{"admin"}},
		object{"name": strings.Repeat("x", 201), "scopes": []string{"admin"}}, object{"name": 7, "scopes": []string{"admin"}},
		object{"name": "k", "scopes": "admin"}, object{"name": "k", "scopes": []string{"admin"}, "expiresAt": "2001-01-01T00:00:00Z"},
		object{"name": "k", "scopes": []string{"admin"}, "expiresAt": "tomorrow"}, object{"name": "k", "scopes": []string{"admin"}, "given": "x"},
	} {
		r := d.api("POST", "/keys", body)
		if r.want(400); r.obj()["detail"] == "" {
			t.Errorf("%v: %s", body, r.body)
		}
	}
	if got := len(d.api("GET", "/keys", nil).obj()["keys"].([]any)); got != n {
		t.Errorf("%d keys, want %d", got, n)
	}
}

// A key is shown once and kept as a digest.
func TestKey_IsNotKept(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		d := w.directory(t, scim.Standard)
		made := d.api("POST", "/keys", object{"name": " Okta ", "scopes": []string{"users:read", "users:read"}}).want(201)
		secret := made.str("key")
		if !strings.HasPrefix(secret, "rk_") || len(secret) != 46 {
			t.Errorf("key %q", secret)
		}
		made.has("name", "Okta").has("scopes", []any{"users:read"}).has("directory", d.id).has("prefix", secret[:9])
		list := d.api("GET", "/keys", nil).want(200)
		if strings.Contains(string(list.body), secret) {
			t.Error("the key is in the list of keys")
		}
		d.as(secret).get("/Users").want(200)
		if err := w.dirs.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, k := range d.api("GET", "/keys", nil).obj()["keys"].([]any) {
			if k := k.(object); k["id"] == made.str("id") && k["lastUsed"] == nil {
				t.Errorf("no lastUsed: %v", k)
			}
		}
	})
}

func TestKey_Expiry(t *testing.T) {
	t.Parallel()
	c := newClock()
	w := newWorld(t, nil, server.Options{Now: c.Now})
	d := w.directory(t, scim.Standard)
	key := d.as(d.api("POST", "/keys", object{"name": "k", "scopes": []string{"users:read"}, "expiresAt": c.Now().Add(time.Hour)}).want(201).str("key"))
	for range 2 {
		key.get("/Users").want(200)
		c.pass(time.Hour - time.Second)
		key.get("/Users").want(200)
		c.pass(time.Second)
		key.get("/Users").refused(401, "", "expired")
		c.pass(-time.Hour)
	}
}

func TestKey_Rotate(t *testing.T) {
	t.Parallel()
	c := newClock()
	w := newWorld(t, nil, server.Options{Now: c.Now})
	d := w.directory(t, scim.Standard)
	made := d.api("POST", "/keys", object{"name": "Okta", "scopes": []string{"users:read"}, "expiresAt": c.Now().Add(48 * time.Hour)}).want(201)
	old := d.as(made.str("key"))
	rotate := "/keys/" + made.str("id") + "/rotate"
	for _, wrong := range []any{object{"overlap": "soon"}, object{"overlap": "-1s"}, object{"overlap": "2161h"}, object{"overlap": 7}, object{"x": 1}, "{"} {
		d.api("POST", rotate, wrong).want(400)
	}
	next := d.api("POST", rotate, object{"overlap": "24h"}).want(201)
	next.has("name", "Okta").has("scopes", []any{"users:read"}).has("expiresAt", made.obj()["expiresAt"])
	young := d.as(next.str("key"))
	old.get("/Users").want(200)
	young.get("/Users").want(200)
	c.pass(24*time.Hour - time.Second)
	old.get("/Users").want(200)
	c.pass(time.Second)
	old.get("/Users").refused(401, "")
	young.get("/Users").want(200)
	d.api("POST", rotate, nil).refused(409, "") // it has ended
	// Without a body the old one ends at once.
	last := d.as(d.api("POST", "/keys/"+next.str("id")+"/rotate", nil).want(201).str("key"))
	young.get("/Users").refused(401, "")
	last.get("/Users").want(200)
	d.api("POST", "/keys/nope/rotate", nil).refused(404, "")
}

func TestKey_Revoke(t *testing.T) {
	t.Parallel()
	c := newClock()
	w := newWorld(t, nil, server.Options{Now: c.Now})
	// A second node on the same database, which has seen the key.
	dirs, err := directory.Open(t.Context(), directory.Options{Store: w.store, Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	d := w.directory(t, scim.Standard)
	node := d.on((&world{dirs: dirs}).serveToo(t, server.Options{Now: c.Now}))
	made := d.api("POST", "/keys", object{"name": "k", "scopes": []string{"users:read"}}).want(201)
	key, keyThere := d.as(made.str("key")), node.as(made.str("key"))
	key.get("/Users").want(200)
	keyThere.get("/Users").want(200)
	d.api("DELETE", "/keys/"+made.str("id"), nil).want(204)
	key.get("/Users").refused(401, "", "revoked")
	c.pass(5 * time.Second)
	keyThere.get("/Users").refused(401, "", "revoked")
	d.api("DELETE", "/keys/"+made.str("id"), nil).want(204) // once more is no error
	if i := slices.IndexFunc(d.api("GET", "/keys", nil).obj()["keys"].([]any), func(k any) bool {
		return k.(object)["id"] == made.str("id") && k.(object)["revokedAt"] != nil
	}); i < 0 {
		t.Error("the list does not say that the key was revoked")
	}
	d.api("DELETE", "/keys/nope", nil).refused(404, "")
	// A key in its overlap can be ended at once.
	made = d.api("POST", "/keys", object{"name": "k", "scopes": []string{"users:read"}}).want(201)
	d.api("POST", "/keys/"+made.str("id")+"/rotate", object{"overlap": "1h"}).want(201)
	d.as(made.str("key")).get("/Users").want(200)
	d.api("DELETE", "/keys/"+made.str("id"), nil).want(204)
	d.as(made.str("key")).get("/Users").refused(401, "")
}

func TestDirectories(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		api := &dir{t: t, w: w, key: operatorKey, path: "/api/v1/directories"}
		made := api.do("POST", "", object{"name": " Okta ", "ruleSet": "standard", "rules": object{"maxPage": 7}}).want(201)
		id := made.str("id")
		made.headerIs("Location", publicURL+"/api/v1/directories/"+id).has("name", "Okta").has("ruleSet", "standard").has("default", false)
		api.do("POST", "", object{"name": "x", "rules": null}).want(201).has("ruleSet", "atlassian")
		for _, body := range []any{
			object{}, object{"name": ""}, object{"name": "x", "ruleSet": "lax"}, object{"name": "x", "rules": object{"nope": true}},
			object{"name": "x", "rules": []any{}}, object{"name": "x", "rules": object{"maxPage": 0}}, object{"name": "x", "rules": object{"tolerant": 1}},
			object{"name": "x\ny"}, object{"name": strings.Repeat("x", 201)}, object{"name": "x", "default": true}, "", "[]",
		} {
			api.do("POST", "", body).want(400)
		}
		d := &dir{t: t, w: w, id: id, path: "/scim/directory/" + id}
		d.key = d.newKey(roster.Scopes...)
		user := d.create(user("ada"))
		api.get("/"+id).want(200).has("users", 1.0).has("rules", object{"maxPage": 7.0})
		d.do("DELETE", "/Users/"+user, nil).want(204)
		api.get("/"+id).want(200).has("users", 0.0)
		api.do("DELETE", "/"+id, nil).want(204)
		d.get("/Users").want(401) // its keys are gone too
		d.as(operatorKey).get("/Users").refused(404, "")
		api.get("/"+id).refused(404, "")
		api.do("DELETE", "/"+id, nil).refused(404, "")
	})
}

// A node that has not yet heard that a directory is gone makes nothing in it.
func TestDirectories_DeletedElsewhere(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		d := w.directory(t, scim.Standard)
		dirs, err := directory.Open(t.Context(), directory.Options{Store: w.store})
		if err != nil {
			t.Fatal(err)
		}
		node := d.on((&world{dirs: dirs}).serveToo(t, server.Options{})).as(operatorKey)
		node.get("/Users").want(200)
		d.at("/api/v1/directories/"+d.id).as(operatorKey).do("DELETE", "", nil).want(204)
		node.post(user("bob")).refused(404, "", d.id)
		node.post(user("bob"), "Idempotency-Key", "k").refused(404, "", d.id)
	})
}

func TestKey_FirstKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, server.Options{})
	d := &dir{t: t, w: w, key: operatorKey, path: "/scim/v2"}
	d.get("/Users").want(200)
	// The same again is fine, another one is added, and a short one refused.
	for range 2 {
		if _, err := w.dirs.Bootstrap(t.Context(), scim.Atlassian, "another-operator-key"); err != nil {
			t.Fatal(err)
		}
	}
	d.as("another-operator-key").get("/Users").want(200)
	if _, err := w.dirs.Bootstrap(t.Context(), scim.Atlassian, "short"); err == nil {
		t.Error("a key of 5 bytes was taken")
	}
	first, err := w.dirs.Bootstrap(t.Context(), scim.Atlassian, "")
	if err != nil || first.Key != "" || first.Directory == "" {
		t.Errorf("Bootstrap = %+v, %v: want the directory that is there, and no key", first, err)
	}
	keys := d.at("/api/v1").get("/keys").want(200).obj()["keys"].([]any)
	var prefixes []any
	for _, k := range keys {
		prefixes = append(prefixes, k.(object)["prefix"])
	}
	if diff := cmp.Diff(prefixes, []any{"", ""}); diff != "" { // nothing of a given key is shown
		t.Errorf("prefixes (-got +want):\n%s", diff)
	}
}
