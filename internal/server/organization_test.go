package server_test

import (
	"crypto/rand"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/directory"
	"github.com/roster-scim/roster/internal/server"
	"github.com/roster-scim/roster/scim"
)

// org returns what speaks to the Admin APIs of the organisation with an operator
// key.
func (w *world) org(t *testing.T) *dir {
	t.Helper()
	d := &dir{t: t, w: w, key: operatorKey}
	return d.at("/admin/user-provisioning/v1/org/" + d.get("/api/v1/org").want(200).str("id"))
}

// account returns the account that a user is linked to, "" for none.
func (d *dir) account(id string) string {
	d.t.Helper()
	ext, _ := d.get("/Users/" + id).want(200).obj()[atlassianURN].(object)
	account, _ := ext["atlassianAccountId"].(string)
	return account
}

func (d *dir) unlink(org *dir, id string) *reply {
	d.t.Helper()
	return org.do("PATCH", "/scimDirectoryId/"+d.id+"/scimUserId/"+id+"/unlink", nil)
}

// someone is a name that no other test has, nor another run of it: the tests of a
// world share its organisation.
func someone(t *testing.T) string {
	return "ada-" + strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name())+"-"+rand.Text())
}

func TestAdmin_Links(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		org := w.org(t)
		name := someone(t)
		a, b, none := w.directory(t, scim.Atlassian), w.directory(t, scim.Standard, `{"schemas":"atlassian"}`), w.directory(t, scim.Standard)
		ida, idb := a.create(user(name)), b.create(user(name))
		none.create(user(name))
		account := a.account(ida)
		if account == "" || account != b.account(idb) {
			t.Fatalf("accounts %q and %q, want the same one", account, b.account(idb))
		}
		orgID := org.path[strings.LastIndexByte(org.path, '/')+1:]
		link := func(d *dir, id string, account any) object {
			return object{"scimUserId": id, "atlassianAccountId": account, "orgId": orgID, "directoryId": d.id}
		}
		links := func(r *reply, want ...any) {
			t.Helper()
			if diff := cmp.Diff(r.want(200).headerIs("Content-Type", "application/json").obj(), object{"scimLinks": append([]any{}, want...)}); diff != "" {
				t.Errorf("%s (-got +want):\n%s", r.what, diff)
			}
		}
		byAccount := "/user/" + url.PathEscape(account) + "/get-scim-links"
		byEmail := func(email string) *reply { return org.do("POST", "/get-scim-links-for-email", object{"email": email}) }
		email := a.get("/Users/" + ida).obj()["emails"].([]any)[0].(object)["value"].(string)

		links(org.get(byAccount), link(a, ida, account), link(b, idb, account))
		links(org.get("/user/"+strings.ReplaceAll(account, ":", "%3A")+"/get-scim-links"), link(a, ida, account), link(b, idb, account))
		links(byEmail(email), link(a, ida, account), link(b, idb, account))
		links(byEmail(strings.ToUpper(email)), link(a, ida, account), link(b, idb, account))
		links(org.get("/user/nobody/get-scim-links"))
		links(org.get("/user/" + strings.ToUpper(account) + "/get-scim-links")) // ids are exact
		for _, escaped := range []string{"%FF", "a%00b", "%ED%A0%80"} {         // no text
			links(org.get("/user/" + escaped + "/get-scim-links"))
			org.do("DELETE", "/user/"+escaped+"/onlyDeleteUserInDB", nil).refused(404, "")
		}
		links(byEmail("nobody@corp.example"))
		links(byEmail("a\x00b"))
		links(byEmail(strings.Repeat("x", 5000)))

		// An unlinked record has its address still, and no account.
		a.unlink(org, ida).want(204)
		links(org.get(byAccount), link(b, idb, account))
		links(byEmail(email), link(a, ida, nil), link(b, idb, account))
		// A deleted one has nothing.
		b.do("DELETE", "/Users/"+idb, nil).want(204)
		links(org.get(byAccount))
		links(byEmail(email), link(a, ida, nil))
	})
}

func TestAdmin_Unlink(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		org := w.org(t)
		d := w.directory(t, scim.Atlassian)
		name := someone(t)
		id := d.create(user(name, "title", "Engineer"))
		account := d.account(id)
		before := d.get("/Users/" + id).obj()
		path := "/scimDirectoryId/" + d.id + "/scimUserId/" + id + "/unlink"

		org.do("PATCH", path, object{}).want(204)
		r := d.get("/Users/"+id).want(200).headerIs("Etag", `W/"2"`)
		after := r.obj()
		delete(before, atlassianURN)
		before["meta"].(object)["lastModified"] = after["meta"].(object)["lastModified"]
		if diff := cmp.Diff(after, before); diff != "" {
			t.Errorf("more than the account has changed (-got +want):\n%s", diff)
		}
		// Once more, with no body: nothing changes, and no event is made.
		org.do("PATCH", path, nil).want(204)
		d.get("/Users/"+id).headerIs("Etag", `W/"2"`)
		events := d.events()
		if e := events[len(events)-1]; len(events) != 2 || e.Operation != roster.OpPatch || len(e.Changes) != 1 ||
			string(e.Changes[0].Before) != `"`+account+`"` || e.Changes[0].After != nil {
			t.Errorf("events %+v", events)
		}
		found := false
		for _, q := range d.api("GET", "/requests", nil).obj()["requests"].([]any) {
			found = found || q.(object)["resource"] == id && strings.HasSuffix(q.(object)["route"].(string), "/unlink")
		}
		if !found {
			t.Error("the request log of the directory does not have it")
		}

		// It can be listed.
		d.create(user("other-" + name))
		list := d.get("/Users?filter=" + url.QueryEscape("not ("+atlassianURN+":atlassianAccountId pr)")).list()
		if len(list) != 1 || list[0]["id"] != id {
			t.Errorf("unlinked: %v", list)
		}
		// A change of what does not link leaves it so.
		d.put(id, user(name, "title", "CTO", "displayName", "Ada")).want(200)
		d.put(id, user(name, "active", false)).want(200)
		if got := d.account(id); got != "" {
			t.Errorf("linked to %s by a change of its title", got)
		}
		// A call links it.
		ext := object{"atlassianAccountId": account}
		d.api("POST", "/users/"+id+"/link", nil).want(200).has(atlassianURN, ext).headerIs("Etag", `W/"5"`)
		d.api("POST", "/users/"+id+"/link", nil).want(200).headerIs("Etag", `W/"5"`)
	})
}

// A write that changes what links links again.
func TestAdmin_LinkedAgain(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		org := w.org(t)
		d := w.directory(t, scim.Atlassian)
		name := someone(t)
		mail := func(address string) []any { return []any{object{"value": address, "primary": true}} }
		for i, tt := range []struct {
			what          string
			before, after object
			same          bool // the account is the one from before
		}{
			{"userName", user("{}"), with(user("{}"), "userName", "new {}"), true},
			{"the primary address", user("{}"), with(user("{}"), "emails", mail("new-{}@corp.example")), false},
			{"re-activation", user("{}", "active", false), user("{}", "active", true), true},
			{"re-activation, left out", user("{}", "active", false), user("{}"), true},
		} {
			own := strings.NewReplacer("{}", fmt.Sprint(name, i))
			body := func(o object) string { return own.Replace(string(marshal(t, o))) }
			id := d.post(body(tt.before)).want(201).str("id")
			account := d.account(id)
			d.unlink(org, id).want(204)
			d.put(id, body(tt.after)).want(200).headerIs("Etag", `W/"3"`)
			if got := d.account(id); got == "" || (got == account) != tt.same {
				t.Errorf("%s: account %q, before %q", tt.what, got, account)
			}
			events := d.events()
			if e := events[len(events)-1]; len(e.Changes) != 2 {
				t.Errorf("%s: the event has %+v, want the account as well", tt.what, e.Changes)
			}
		}
		// A PATCH does, too.
		id := d.create(user(name))
		d.unlink(org, id).want(204)
		d.do("PATCH", "/Users/"+id, object{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"}, "Operations": []any{
			object{"op": "replace", "path": "userName", "value": "new-" + name},
		}}).want(200)
		if d.account(id) == "" {
			t.Error("not linked by a PATCH of userName")
		}
		// A restored record is as it was.
		d.unlink(org, id).want(204)
		d.do("DELETE", "/Users/"+id, nil).want(204)
		d.api("POST", "/trash/"+id+"/restore", nil).want(200)
		if got := d.account(id); got != "" {
			t.Errorf("linked to %s by a restore", got)
		}
	})
}

// Who has an account keeps it when the address changes; who comes to have the
// address later gets another one.
func TestAdmin_AddressChanges(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		org := w.org(t)
		d := w.directory(t, scim.Atlassian)
		name := someone(t)
		first := d.create(user(name))
		account := d.account(first)
		d.put(first, user("new-"+name)).want(200)
		if got := d.account(first); got != account {
			t.Errorf("account %s, before the change %s", got, account)
		}
		second := d.create(user(name))
		other := d.account(second)
		if other == "" || other == account {
			t.Errorf("account %q, and that of the first is %q", other, account)
		}
		// Unlinked, each gets the one of its address that is free.
		d.unlink(org, first).want(204)
		d.unlink(org, second).want(204)
		d.api("POST", "/users/"+second+"/link", nil).want(200)
		if got := d.account(second); got != account {
			t.Errorf("account %s, want %s", got, account)
		}
		// What is deleted is what has the account, and no more.
		org.do("DELETE", "/user/"+account+"/onlyDeleteUserInDB", nil).want(204)
		d.get("/Users/" + second).want(404)
		d.get("/Users/" + first).want(200)
		// Who comes back to an account that another one has is unlinked.
		d.put(first, user(name)).want(200)
		d.api("POST", "/users/"+first+"/link", nil).want(200).has(atlassianURN, object{"atlassianAccountId": account})
		d.put(first, user("new-"+name)).want(200)
		d.api("POST", "/trash/"+second+"/restore", nil).want(200)
		if got := d.account(second); got != "" {
			t.Errorf("restored with the account %s, which another one has", got)
		}
	})
}

// The users of a directory that comes to Atlassian's schemas are unlinked; those
// of one that leaves them are found no more, and keep what they had.
func TestAdmin_SchemasChange(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		org := w.org(t)
		d := w.directory(t, scim.Standard)
		id := d.create(user(someone(t)))
		schemas := func(name string) {
			t.Helper()
			d.api("PATCH", "", object{"rules": object{"schemas": name}}).want(200)
		}
		schemas(scim.Atlassian)
		if got := d.account(id); got != "" {
			t.Errorf("linked to %s by a change of the schemas", got)
		}
		if list := d.get("/Users?filter=" + url.QueryEscape("not ("+atlassianURN+":atlassianAccountId pr)")).list(); len(list) != 1 {
			t.Errorf("unlinked: %v", list)
		}
		d.api("POST", "/users/"+id+"/link", nil).want(200)
		account := d.account(id)
		found := func() int {
			t.Helper()
			return len(org.get("/user/" + account + "/get-scim-links").want(200).obj()["scimLinks"].([]any))
		}
		for _, name := range []string{scim.Atlassian, scim.Standard, scim.Atlassian} {
			schemas(name)
			want := 0
			if name == scim.Atlassian {
				want = 1
			}
			if got := found(); got != want {
				t.Errorf("%s: %d links, want %d", name, got, want)
			}
		}
		if got := d.account(id); got != account {
			t.Errorf("account %s, before %s", got, account)
		}
	})
}

func TestAdmin_DeleteAccount(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		org := w.org(t)
		name := someone(t)
		a, b := w.directory(t, scim.Atlassian), w.directory(t, scim.Atlassian)
		ida, idb, stays := a.create(user(name)), b.create(user(name)), b.create(user("other-"+name))
		group := a.do("POST", "/Groups", object{"schemas": []string{scim.GroupURN}, "displayName": name, "members": []any{object{"value": ida}}}).want(201).str("id")
		account := a.account(ida)
		path := "/user/" + account + "/onlyDeleteUserInDB"

		org.do("DELETE", path, nil).want(204)
		a.get("/Users/" + ida).want(404)
		b.get("/Users/" + idb).want(404)
		b.get("/Users/" + stays).want(200)
		if got := a.get("/Groups/" + group).want(200).obj()["members"]; got != nil && len(got.([]any)) > 0 {
			t.Errorf("members %v", got)
		}
		for d, id := range map[*dir]string{a: ida, b: idb} {
			found := false
			for _, q := range d.api("GET", "/requests", nil).obj()["requests"].([]any) {
				found = found || q.(object)["resource"] == id && q.(object)["method"] == "DELETE"
			}
			if !found {
				t.Errorf("the request log of %s does not have it", d.id)
			}
		}
		org.do("DELETE", path, nil).refused(404, "", account)
		// It is in the trash, with its account.
		a.api("POST", "/trash/"+ida+"/restore", nil).want(200)
		if got := a.account(ida); got != account {
			t.Errorf("restored with the account %q, want %q", got, account)
		}
		// An unlinked record is not deleted.
		a.unlink(org, ida).want(204)
		org.do("DELETE", path, nil).refused(404, "")
	})
}

func TestAdmin_WhoMay(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		org := w.org(t)
		d := w.directory(t, scim.Atlassian)
		id := d.create(user(someone(t)))
		account := d.account(id)
		operator := func(s roster.Scope) string {
			_, key, err := w.dirs.CreateKey(t.Context(), nil, directory.NewKey{Name: "operator", Scopes: []roster.Scope{s}})
			if err != nil {
				t.Fatal(err)
			}
			return key
		}
		failure := func(r *reply, status int, words string) {
			t.Helper()
			o := r.want(status).headerIs("Content-Type", "application/json").obj()
			if text, _ := o["error"].(string); len(o) != 2 || !strings.Contains(text, words) || o["traceId"] != r.header.Get("Roster-Request-Id") {
				t.Errorf("%s: %s", r.what, r.body)
			}
		}
		unlink := "/scimDirectoryId/" + d.id + "/scimUserId/" + id + "/unlink"
		for _, call := range []struct {
			method, path, allow string
			body                any
			reads               bool
		}{
			{"GET", "/user/" + account + "/get-scim-links", "GET", nil, true},
			{"POST", "/get-scim-links-for-email", "POST", object{"email": "a@corp.example"}, true},
			{"PATCH", unlink, "PATCH", nil, false},
			{"DELETE", "/user/" + account + "/onlyDeleteUserInDB", "DELETE", nil, false},
		} {
			failure(org.as(d.key).do(call.method, call.path, call.body), 401, "operator key")
			failure(org.as("").do(call.method, call.path, call.body), 401, "Authorization header is missing")
			failure(org.as("wrong").do(call.method, call.path, call.body), 401, "not known")
			failure(org.as(operator(roster.ScopeEventsRead)).do(call.method, call.path, call.body), 403, "lacks the scope users:")
			if !call.reads {
				failure(org.as(operator(roster.ScopeUsersRead)).do(call.method, call.path, call.body), 403, "lacks the scope users:write")
			}
			for _, other := range []string{"8c4c5d8e-3b1f-4f0a-9d52-0f7b6a1c2e33", d.id, "x"} {
				org.at("/admin/user-provisioning/v1/org/"+other).do(call.method, call.path, call.body).refused(404, "", "no such organization")
			}
			for _, method := range []string{"PUT", "OPTIONS"} {
				org.do(method, call.path, call.body).refused(405, "").headerIs("Allow", call.allow)
			}
		}
		if d.account(id) != account {
			t.Error("one of those has changed something")
		}
		org.as(operator(roster.ScopeUsersRead)).get("/user/" + account + "/get-scim-links").want(200)
		org.as(operator(roster.ScopeUsersWrite)).do("PATCH", unlink, nil).want(204)
	})
}

func TestAdmin_WrongRequests(t *testing.T) {
	w := onSQLite(t)
	org := w.org(t)
	d := w.directory(t, scim.Atlassian)
	id := d.create(user(someone(t)))
	for _, body := range []any{"", "{", "[]", object{"email": 7}, object{"mail": "x"}, `{"email":"a","email":"b"}`} {
		org.do("POST", "/get-scim-links-for-email", body).refused(400, scim.InvalidSyntax)
	}
	for _, body := range []any{"null", object{}, object{"email": ""}} {
		org.do("POST", "/get-scim-links-for-email", body).refused(400, scim.InvalidValue, "email is required")
	}
	org.do("POST", "/get-scim-links-for-email", "x", "Content-Type", "text/plain").refused(415, "")
	org.do("POST", "/get-scim-links-for-email", strings.Repeat(" ", server.DefaultMaxBody+1)).refused(413, "")
	for _, body := range []any{"{", "[]", object{"id": id}} {
		org.do("PATCH", "/scimDirectoryId/"+d.id+"/scimUserId/"+id+"/unlink", body).refused(400, scim.InvalidSyntax)
	}
	for _, path := range []string{
		"/scimDirectoryId/" + d.id + "/scimUserId/nope/unlink", "/scimDirectoryId/nope/scimUserId/" + id + "/unlink",
		"/scimDirectoryId/" + d.id + "/scimUserId/%00/unlink", "/scimDirectoryId/" + d.id + "/scimUserId/" + id,
	} {
		org.do("PATCH", path, nil).refused(404, "")
	}
	for _, path := range []string{"", "/", "/user", "/user/x", "/user//get-scim-links", "/user/x/get-scim-links/", "/../" + d.id} {
		org.get(path).refused(404, "")
	}
	org.at("/admin").get("").refused(404, "")
	// In a directory that has no accounts there is nothing to unlink, and no link.
	s := w.directory(t, scim.Standard)
	sid := s.create(user(someone(t)))
	s.unlink(org, sid).want(204)
	s.get("/Users/"+sid).headerIs("Etag", `W/"1"`)
	s.api("POST", "/users/"+sid+"/link", nil).refused(409, "", "atlassianAccountId")
	d.api("POST", "/users/nope/link", nil).refused(404, "")
}
