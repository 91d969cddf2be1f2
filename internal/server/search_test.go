package server_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/server"
	"github.com/roster-scim/roster/scim"
)

// query joins names and values to the query of a URL.
func query(pairs ...string) string {
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	return "?" + q.Encode()
}

// ids returns the ids of the resources of a ListResponse.
func (r *reply) ids() (out []string) {
	r.t.Helper()
	for _, o := range r.list() {
		out = append(out, o["id"].(string))
	}
	return out
}

func (r *reply) hasIDs(want ...string) *reply {
	r.t.Helper()
	if diff := cmp.Diff(r.ids(), want); diff != "" {
		r.t.Errorf("%s (-got +want):\n%s", r.what, diff)
	}
	return r
}

// createGroup creates a group and returns its id.
func (d *dir) createGroup(name string, members ...string) string {
	d.t.Helper()
	list := make([]any, len(members))
	for i, id := range members {
		list[i] = object{"value": id}
	}
	return d.do("POST", "/Groups", object{"schemas": []string{scim.GroupURN}, "displayName": name, "members": list}).want(201).str("id")
}

func searchOf(more ...any) object {
	return with(object{"schemas": []string{scim.SearchRequestURN}}, more...)
}

func TestList_Sorted(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		bob := d.create(user("bob", "displayName", "x", "externalId", "2", "name", object{"familyName": "Zuse"}))
		ada := d.create(user("Ada", "displayName", "X", "externalId", "10", "title", "CTO", "active", false))
		eve := d.create(user("eve", "name", object{"familyName": "adams"}))
		for _, tt := range []struct {
			by, order string
			want      []string
		}{
			{"userName", "", []string{ada, bob, eve}},
			{"USERNAME", "Descending", []string{eve, bob, ada}},
			{"displayName", "ascending", []string{bob, ada, eve}},
			{"displayName", "descending", []string{eve, ada, bob}},
			{"externalId", "", []string{ada, bob, eve}},
			{"title", "", []string{ada, bob, eve}},
			{"title", "descending", []string{eve, bob, ada}},
			{"active", "", []string{ada, bob, eve}},
			{"name.familyName", "", []string{eve, bob, ada}},
			{"emails", "", []string{ada, bob, eve}},
			{"emails.value", "descending", []string{eve, bob, ada}},
			{userURN + ":userName", "", []string{ada, bob, eve}},
			{"id", "descending", []string{eve, ada, bob}},
			{"meta.created", "descending", []string{eve, ada, bob}},
			{"", "descending", []string{bob, ada, eve}},
		} {
			d.get("/Users"+query("sortBy", tt.by, "sortOrder", tt.order)).hasIDs(tt.want...).has("totalResults", 3.0).has("startIndex", 1.0)
			d.get("/Users"+query("sortBy", tt.by, "sortOrder", tt.order, "startIndex", "2", "count", "1")).
				hasIDs(tt.want[1]).has("totalResults", 3.0).has("startIndex", 2.0).has("itemsPerPage", 1.0)
			d.do("POST", "/Users/.search", searchOf("sortBy", tt.by, "sortOrder", tt.order, "startIndex", 3)).hasIDs(tt.want[2])
			d.get("/Users"+query("filter", "externalId pr", "sortBy", tt.by, "sortOrder", tt.order)).
				hasIDs(slices.DeleteFunc(slices.Clone(tt.want), func(id string) bool { return id == eve })...).has("totalResults", 2.0)
		}
	})
}

func TestList_WrongOrders(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		for by, typ := range map[string]string{"shoeSize": scim.InvalidValue, "name": scim.InvalidValue, "emails[type eq \"work\"]": scim.InvalidValue, enterpriseURN: scim.InvalidValue} {
			d.get("/Users"+query("sortBy", by)).refused(400, typ, "sortBy")
		}
		d.get("/Users"+query("sortBy", "userName", "sortOrder", "up")).refused(400, scim.InvalidValue, "sortOrder")
		d.get("/Groups"+query("sortBy", "userName")).refused(400, scim.InvalidValue)
	})
	t.Run("password", func(t *testing.T) {
		onSQLite(t).directory(t, scim.Standard).get("/Users"+query("sortBy", "password")).refused(403, scim.Sensitive)
	})
}

// A GET on the base URL lists all types, users first.
func TestRoot_AllTypes(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		d := w.directory(t, scim.Standard)
		zoe := d.createGroup("zoe")
		ada := d.create(user("ada", "displayName", "ada", "title", "x"))
		bob := d.create(user("bob", "displayName", "Zoe"))
		abc := d.createGroup("abc", ada)
		for filter, want := range map[string][]string{
			``:                                 {ada, bob, zoe, abc},
			`displayName eq "ZOE"`:             {bob, zoe},
			`userName pr`:                      {ada, bob},
			`not (userName pr)`:                {zoe, abc},
			`members.value eq "` + ada + `"`:   {abc},
			`groups.value eq "` + abc + `"`:    {ada},
			`meta.resourceType eq "Group"`:     {zoe, abc},
			`id eq "` + bob + `"`:              {bob},
			`title pr or members pr`:           {ada, abc},
			`userName eq "x" or id eq "none"`:  nil,
			`groups pr and displayName sw "a"`: {ada},
		} {
			d.get(query("filter", filter)).hasIDs(want...).has("totalResults", float64(len(want)))
			d.get("/" + query("filter", filter)).hasIDs(want...)
			d.do("POST", "/.search", searchOf("filter", filter)).hasIDs(want...)
			for i := range want {
				d.get(query("filter", filter, "startIndex", fmt.Sprint(i+1), "count", "1")).hasIDs(want[i]).has("totalResults", float64(len(want)))
			}
			var all []string
			next := ""
			for n := 0; n == 0 || next != ""; n++ {
				r := d.do("POST", "/.search", searchOf("filter", filter, "count", 1, "cursor", next)).has("totalResults", float64(len(want)))
				all = append(all, r.ids()...)
				next, _ = r.obj()["nextCursor"].(string)
			}
			if diff := cmp.Diff(all, want); diff != "" {
				t.Errorf("%s by cursor (-got +want):\n%s", filter, diff)
			}
		}
		d.get(query("sortBy", "displayName")).hasIDs(abc, ada, zoe, bob)
		d.get(query("sortBy", "displayName", "sortOrder", "descending", "count", "2")).hasIDs(bob, zoe).has("totalResults", 4.0)
		d.get(query("sortBy", "userName")).hasIDs(ada, bob, zoe, abc)
		for _, f := range []string{`shoe pr`, `userName gt 1`, `members`} {
			d.get(query("filter", f)).refused(400, scim.InvalidFilter)
		}
		d.get(query("sortBy", "shoe")).refused(400, scim.InvalidValue)
		// Each is shown by its own schema; a name that it lacks is passed over.
		r := d.get(query("attributes", "userName,members.value"))
		if u, g := r.list()[0], r.list()[3]; u["userName"] != "ada" || u["displayName"] != nil || g["displayName"] != nil || g["members"] == nil {
			t.Errorf("projected: %v, %v", u, g)
		}
		if r := d.get(query("excludedAttributes", "members,groups")); r.list()[0]["groups"] != nil || r.list()[3]["members"] != nil {
			t.Errorf("projected: %s", r.body)
		}
	})
}

// The types that a key may not read are not in its lists.
func TestRoot_Scopes(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		d := w.directory(t, scim.Standard)
		ada := d.create(user("ada"))
		g := d.createGroup("ada", ada)
		users, groups := d.as(d.newKey(roster.ScopeUsersRead)), d.as(d.newKey(roster.ScopeGroupsRead))
		users.get("").hasIDs(ada).has("totalResults", 1.0)
		groups.get("").hasIDs(g).has("totalResults", 1.0)
		users.do("POST", "/.search", searchOf("filter", `id eq "`+g+`"`)).hasIDs()
		groups.get(query("filter", `userName eq "ada"`)).refused(400, scim.InvalidFilter)
		if r := groups.get(""); strings.Contains(string(r.body), ada) {
			t.Errorf("a member is shown: %s", r.body)
		}
		none := d.as(d.newKey(roster.ScopeEventsRead))
		none.get("").refused(403, "")
		none.do("POST", "/.search", searchOf()).refused(403, "")
		users.do("POST", "/Groups/.search", searchOf()).refused(403, "")
		d.as("").get("").refused(401, "")
		// A cursor is for keys with the same scopes.
		d.create(user("bob"))
		next := users.get(query("cursor", "", "count", "1")).str("nextCursor")
		users.get(query("cursor", next, "count", "1")).want(200)
		d.get(query("cursor", next, "count", "1")).refused(400, scim.InvalidCursor)
	})
}

// Who may not read users learns nothing of them through a filter on members.
func TestList_LinksNeedTheScope(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		d := w.directory(t, scim.Standard)
		ada := d.create(user("ada"))
		g := d.createGroup("g", ada)
		users, groups := d.as(d.newKey(roster.ScopeUsersRead)), d.as(d.newKey(roster.ScopeGroupsRead))
		for _, f := range []string{`members.value eq "` + ada + `"`, `members[value eq "` + ada + `"]`, `members pr`, `displayName eq "g" and not (members.display sw "a")`} {
			groups.get("/Groups"+query("filter", f)).refused(403, "", "users:read")
			groups.do("POST", "/.search", searchOf("filter", f)).refused(403, "", "users:read")
			d.get("/Groups" + query("filter", f)).want(200)
		}
		for _, f := range []string{`groups.value eq "` + g + `"`, `groups pr`} {
			users.get("/Users"+query("filter", f)).refused(403, "", "groups:read")
			d.get("/Users" + query("filter", f)).hasIDs(ada)
		}
		groups.get("/Groups"+query("sortBy", "members")).refused(403, "", "users:read")
		users.get("/Users"+query("sortBy", "groups.display")).refused(403, "", "groups:read")
		d.get("/Groups" + query("sortBy", "members")).hasIDs(g)
		groups.get("/Groups" + query("filter", `displayName eq "g"`)).hasIDs(g)
	})
}

func TestSearch(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		ada, bob := d.create(user("ada", "title", "x")), d.create(user("bob"))
		g := d.createGroup("g", ada)
		d.do("POST", "/Users/.search", searchOf()).hasIDs(ada, bob).has("schemas", []any{scim.ListResponseURN}).has("startIndex", 1.0).headerIs("Content-Type", "application/scim+json")
		d.do("POST", "/Groups/.search", searchOf()).hasIDs(g)
		d.do("POST", "/Users/.search/", object{"FILTER": `title eq "X"`, "unknown": 1}).hasIDs(ada)
		r := d.do("POST", "/Users/.search", searchOf("attributes", []string{"userName", "emails.value"}, "count", 1))
		if u := r.has("totalResults", 2.0).list()[0]; u["userName"] != "ada" || u["title"] != nil || u["meta"] != nil {
			t.Errorf("projected: %v", u)
		}
		d.do("POST", "/Users/.search", searchOf("count", 0)).hasIDs().has("totalResults", 2.0)
	})
}

func TestSearch_Wrong(t *testing.T) {
	w := onSQLite(t)
	small := newWorld(t, nil, server.Options{MaxBody: 100})
	for _, rs := range []string{scim.Atlassian, scim.Standard, scim.Strict} {
		d := w.directory(t, rs)
		for _, body := range []any{"", "{", "[]", `"x"`, `{"filter":1}`, `{"attributes":"userName"}`, strings.Repeat("[", 100_000)} {
			d.do("POST", "/Users/.search", body).refused(400, scim.InvalidSyntax)
		}
		d.do("POST", "/Users/.search", searchOf("count", "1")).refused(400, scim.InvalidValue)
		d.do("POST", "/Users/.search", searchOf("count", "1", "cursor", "")).refused(400, scim.InvalidCount)
		d.do("POST", "/Users/.search", searchOf("attributes", []string{"userName"}, "excludedAttributes", []string{"title"})).refused(400, scim.InvalidValue)
		d.do("POST", "/Users/.search", searchOf("filter", "x")).refused(400, scim.InvalidFilter)
		d.do("POST", "/Users/.search", searchOf(), "Content-Type", "text/plain").refused(415, "")
	}
	d := w.directory(t, scim.Strict)
	d.do("POST", "/.search", object{}).refused(400, scim.InvalidSyntax, scim.SearchRequestURN)
	d.do("POST", "/.search", searchOf("unknown", 1)).refused(400, scim.InvalidSyntax)
	d.do("POST", "/.search", searchOf("Filter", "id pr")).refused(400, scim.InvalidSyntax)
	small.directory(t, scim.Standard).do("POST", "/.search", searchOf("filter", strings.Repeat(" ", 200))).refused(413, "")
}

func TestCursor_Pages(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		var all []string
		for i := range 5 {
			all = append(all, d.create(user(fmt.Sprint("u", i), "title", "x")))
		}
		unreserved := func(cursor string) {
			t.Helper()
			if cursor == "" || url.QueryEscape(cursor) != cursor {
				t.Errorf("%q needs escapes", cursor)
			}
		}
		for _, more := range [][]string{nil, {"filter", `title eq "x"`}, {"sortBy", "userName"}, {"sortBy", "meta.created", "filter", "userName pr"}} {
			page := func(cursor string) *reply {
				t.Helper()
				r := d.get("/Users"+query(append(more, "cursor", cursor, "count", "2")...)).has("totalResults", 5.0)
				if r.keys()["startIndex"] {
					t.Error("a page by cursor has a startIndex")
				}
				return r
			}
			first := page("").hasIDs(all[0], all[1]).has("itemsPerPage", 2.0)
			if first.keys()["previousCursor"] {
				t.Error("there is a page before the first")
			}
			unreserved(first.str("nextCursor"))
			second := page(first.str("nextCursor")).hasIDs(all[2], all[3])
			third := page(second.str("nextCursor")).hasIDs(all[4]).has("itemsPerPage", 1.0)
			if third.keys()["nextCursor"] {
				t.Error("there is a page behind the last")
			}
			unreserved(third.str("previousCursor"))
			back := page(third.str("previousCursor")).hasIDs(all[2], all[3])
			page(back.str("nextCursor")).hasIDs(all[4])
			if r := page(back.str("previousCursor")).hasIDs(all[0], all[1]); r.keys()["previousCursor"] {
				t.Error("there is a page before the first, coming back")
			}
		}
		// startIndex is passed over; attributes may change; /.search goes on.
		next := d.get("/Users?cursor&count=2&startIndex=x").hasIDs(all[0], all[1]).str("nextCursor")
		if r := d.get("/Users" + query("cursor", next, "count", "2", "attributes", "userName")); r.list()[0]["emails"] != nil {
			t.Errorf("projected: %s", r.body)
		}
		d.do("POST", "/Users/.search", searchOf("cursor", next, "count", 2)).hasIDs(all[2], all[3])
		r := d.get("/Users?cursor=&count=0").hasIDs().has("totalResults", 5.0)
		if k := r.keys(); k["nextCursor"] || k["previousCursor"] {
			t.Errorf("a page of none has cursors: %s", r.body)
		}
		if r := d.get("/Users?count=2"); r.keys()["nextCursor"] {
			t.Errorf("a page by index has a cursor: %s", r.body)
		}
		d.get("/Groups"+query("cursor", next, "count", "2")).refused(400, scim.InvalidCursor, "empty one")
		d.get("/Users"+query("cursor", "junk", "count", "2")).refused(400, scim.InvalidCursor)
	})
}

func TestCursor_Count(t *testing.T) {
	w := onSQLite(t)
	for _, rs := range []string{scim.Atlassian, scim.Standard, scim.Strict} {
		d := w.directory(t, rs)
		for i := range 5 {
			d.create(user(fmt.Sprint("u", i)))
		}
		d.get("/Users?cursor=&count=x").refused(400, scim.InvalidCount)
		d.get("/Users?count=x").refused(400, scim.InvalidValue)
		next := d.get("/Users?cursor=&count=2").str("nextCursor")
		if rs == scim.Strict {
			d.get("/Users?cursor=&count=100000").refused(400, scim.InvalidCount, "1000")
			d.get("/Users"+query("cursor", next, "count", "3")).refused(400, scim.InvalidCount, "2")
			continue
		}
		d.get("/Users?cursor=&count=100000").has("itemsPerPage", 5.0)
		d.get("/Users"+query("cursor", next, "count", "3")).has("itemsPerPage", 3.0)
	}
}
