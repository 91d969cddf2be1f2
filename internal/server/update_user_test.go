package server_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster/scim"
)

// A parameter is one parameter of the page of Update User that
// goes into the body.
type parameter struct {
	page string // as the page calls it
	name string // as SCIM calls it
	// values are two that it can be set to, in the form of an answer.
	values [2]any
	wrong  []any // of a type that it does not have
	// cleared is its value after a PUT that leaves it out, or sends null: nil
	// where it is gone. required says that such a PUT is a 400 instead.
	cleared  any
	required bool
}

// parameters are those of a rule set.
func parameters(ruleSet string) []parameter {
	text := func(page, name string) parameter {
		return parameter{page: page, name: name, values: [2]any{"one", "Two, ü"}, wrong: []any{1, true, object{"value": "x"}, []any{"x"}}}
	}
	list := func(page, name, a, b string) parameter {
		return parameter{page: page, name: name, values: [2]any{
			[]any{object{"value": a, "type": "work", "primary": true}},
			[]any{object{"value": b, "type": "other"}, object{"value": a, "type": "home", "primary": true}},
		}, wrong: []any{"x", 1, true, []any{"x"}, []any{1}, []any{object{"value": 1, "primary": true}}, []any{object{"value": "x", "primary": "maybe"}}}}
	}
	userName := text("User Name", "userName")
	userName.required = true
	active := parameter{page: "Active", name: "active", values: [2]any{false, true}, wrong: []any{1, "maybe", object{}, []any{true}}, cleared: true}
	name := parameter{page: "Name", name: "name", values: [2]any{
		object{
			"formatted": "Ms Ada King", "familyName": "King", "givenName": "Ada", "middleName": "B.",
			"honorificPrefix": "Ms", "honorificSuffix": "III",
		}, object{"givenName": "Ada"},
	}, wrong: []any{"Ada King", 1, true, []any{object{"givenName": "Ada"}}, object{"givenName": 1}, object{"familyName": []any{"x"}}}}
	emails := list("Emails", "emails", "a@corp.example", "b@corp.example")
	emails.required = ruleSet == scim.Atlassian
	out := []parameter{
		userName, active, text("Display Name", "displayName"), emails, name, text("Nick Name", "nickName"),
		list("Phone Numbers", "phoneNumbers", "+1 555 0100", "tel:+1-555-0101"), text("Preferred Language", "preferredLanguage"),
		text("Timezone", "timezone"), text("Title", "title"),
	}
	if ruleSet == scim.Atlassian {
		out = append(out, text("Department", "department"), text("Organization", "organization"))
	}
	return out
}

func TestUpdateUser_BodyParameters(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		ruleSet := d.get("/Users").header.Get("Roster-Rule-Set")
		for _, p := range parameters(ruleSet) {
			t.Run(p.page, func(t *testing.T) {
				d := *d
				d.t = t
				base := user("ada "+p.page, "title", "stays")
				if p.name == "title" {
					base = user("ada "+p.page, "nickName", "stays")
				}
				base["emails"] = []any{object{"value": strings.ReplaceAll(p.page, " ", "-") + "@corp.example", "primary": true}}
				id := d.create(base)
				for _, v := range []any{p.values[0], p.values[1], p.values[0]} {
					d.put(id, with(base, p.name, v)).want(200).has(p.name, v)
					d.get("/Users/"+id).has(p.name, v)
				}
				before := d.get("/Users/" + id)
				if p.required {
					for _, absent := range []any{nil, null} {
						d.put(id, with(base, p.name, absent)).refused(400, scim.InvalidValue, p.name)
					}
				} else {
					for _, absent := range []any{nil, null} {
						d.put(id, with(base, p.name, p.values[0])).want(200)
						want := p.cleared
						if p.name == "active" && ruleSet == scim.Standard {
							want = p.values[0] // kept
						}
						d.put(id, with(base, p.name, absent)).want(200).has(p.name, want)
						d.get("/Users/"+id).has(p.name, want)
					}
					before = d.put(id, with(base, p.name, p.values[0])).want(200)
				}
				for _, v := range p.wrong {
					d.put(id, with(base, p.name, v)).refused(400, scim.InvalidValue, p.name)
				}
				after := d.get("/Users/" + id)
				if diff := cmp.Diff(string(after.body), string(before.body)); diff != "" {
					t.Errorf("a refused PUT changed something:\n%s", diff)
				}
				after.headerIs("Etag", before.header.Get("Etag"))
			})
		}
	})
}

// On the standard rules department and organization have one place, the
// extension.
func TestUpdateUser_DepartmentOrganizationOnStandard(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		d := w.directory(t, scim.Standard)
		for _, name := range []string{"department", "organization"} {
			body := user("ada " + name)
			id := d.create(body)
			d.put(id, with(body, name, "X")).want(200).headerIs("Roster-Ignored", name).has(name, nil)
			d.put(id, with(body, enterpriseURN, object{name: "X"})).want(200).has(enterpriseURN, object{name: "X"}).has("schemas", []any{userURN, enterpriseURN})
			d.put(id, with(body, enterpriseURN, object{name: 1})).refused(400, scim.InvalidValue, name)
			d.put(id, with(body, enterpriseURN, "X")).refused(400, scim.InvalidValue, "enterprise")
			d.put(id, with(body, enterpriseURN, object{name: null})).want(200).has(enterpriseURN, nil).has("schemas", []any{userURN})
			d.put(id, with(body, enterpriseURN, object{name: "Y"})).want(200)
			d.put(id, with(body, enterpriseURN, null)).want(200).has(enterpriseURN, nil)
			d.put(id, with(body, enterpriseURN, object{name: "Y"})).want(200)
			d.put(id, body).want(200).has(enterpriseURN, nil)
		}
	})
}

func TestUpdateUser_UserID(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		ada, bob := d.create(user("ada")), d.create(user("bob"))
		before := string(d.get("/Users/" + bob).body)
		d.put(ada, user("ada", "title", "CTO")).want(200).has("id", ada)
		// The id is that of the path: one in the body is read-only, of any type.
		for _, id := range []any{bob, "nope", "", null, 7, object{}} {
			d.put(ada, user("ada", "title", "CTO", "id", id)).want(200).has("id", ada)
		}
		if diff := cmp.Diff(string(d.get("/Users/"+bob).body), before); diff != "" {
			t.Errorf("the other user changed:\n%s", diff)
		}
		d.put("nope", user("ada")).refused(404, "", "id[nope]")
		d.put(url.PathEscape(ada+" "), user("ada")).refused(404, "")
		d.put(strings.ToUpper(ada), user("ada")).refused(404, "") // caseExact
		d.do("PUT", "/Users/", user("ada")).refused(405, "")
	})
}

func TestUpdateUser_Attributes(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		body := user("ada", "title", "CTO", "name", object{"givenName": "Ada", "familyName": "King"}, "phoneNumbers", []any{object{"value": "+1", "type": "work"}})
		id := d.create(body)
		email := func(keys ...string) []any {
			e := object{}
			for _, k := range keys {
				e[k] = body["emails"].([]any)[0].(object)[k]
			}
			return []any{e}
		}
		for _, tt := range []struct {
			query string
			want  object // besides schemas and id, which are there always
		}{
			{"attributes=userName,emails.value", object{"userName": "ada", "emails": email("value")}}, // the example of the page
			{"attributes=USERNAME", object{"userName": "ada"}},
			{"attributes=userName&attributes=title", object{"userName": "ada", "title": "CTO"}},
			{"attributes=%20userName%20,,title,", object{"userName": "ada", "title": "CTO"}},
			{"attributes=emails", object{"emails": email("value", "type", "primary")}},
			{"attributes=name.givenName,name.familyName", object{"name": object{"givenName": "Ada", "familyName": "King"}}},
			{"attributes=" + userURN + ":title", object{"title": "CTO"}},
			{"attributes=" + userURN + ":emails.type", object{"emails": email("type")}},
			{"attributes=meta.resourceType", object{"meta": object{"resourceType": "User"}}},
			{"attributes=id", object{}},
			{"attributes=nope", object{}},
			{"attributes=nickName", object{}},
			{"attributes=1,true,{}", object{}},
		} {
			for _, r := range []*reply{d.get("/Users/" + id + "?" + tt.query), d.do("PUT", "/Users/"+id+"?"+tt.query, body)} {
				got := r.want(200).obj()
				if got["id"] != id || got["schemas"] == nil {
					t.Errorf("%s: id or schemas is missing: %s", tt.query, r.body)
				}
				delete(got, "id")
				delete(got, "schemas")
				if diff := cmp.Diff(got, tt.want); diff != "" {
					t.Errorf("%s (-got +want):\n%s", tt.query, diff)
				}
			}
			listed := d.get("/Users?" + tt.query).list()[0]
			delete(listed, "id")
			delete(listed, "schemas")
			if diff := cmp.Diff(listed, tt.want); diff != "" {
				t.Errorf("list, %s (-got +want):\n%s", tt.query, diff)
			}
		}
	})
}

func TestUpdateUser_ExcludedAttributes(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		body := user("ada", "title", "CTO", "timezone", "Europe/Vienna", "name", object{"givenName": "Ada", "familyName": "King"})
		id := d.create(body)
		full := d.get("/Users/" + id).obj()
		for query, change := range map[string]func(object){
			"timezone,emails.type,department": func(o object) { // the example of the page
				delete(o, "timezone")
				o["emails"] = []any{object{"value": "ada@corp.example", "primary": true}}
			},
			"TIMEZONE":                       func(o object) { delete(o, "timezone") },
			"name.familyName":                func(o object) { o["name"] = object{"givenName": "Ada"} },
			"name.familyName,name.givenName": func(o object) { delete(o, "name") },
			"emails":                         func(o object) { delete(o, "emails") },
			"meta":                           func(o object) { delete(o, "meta") },
			"id,schemas":                     func(object) {}, // returned always
			"nope":                           func(object) {},
			userURN + ":title":               func(o object) { delete(o, "title") },
		} {
			want := with(full)
			change(want)
			q := "/Users/" + id + "?excludedAttributes=" + url.QueryEscape(query)
			for _, r := range []*reply{d.get(q), d.do("PUT", q, body)} {
				if diff := cmp.Diff(r.want(200).obj(), want); diff != "" {
					t.Errorf("%s %s (-got +want):\n%s", r.what, query, diff)
				}
			}
		}
	})
}

// A projection is about the answer alone.
func TestUpdateUser_ProjectionReplacesAll(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		for i, q := range []string{"attributes=userName", "attributes=nickName", "excludedAttributes=title,nickName,name"} {
			name := fmt.Sprint("ada", i)
			id := d.create(user(name, "title", "CTO", "nickName", "A", "name", object{"givenName": "Ada"}))
			d.do("PUT", "/Users/"+id+"?"+q, user(name, "nickName", "B")).want(200).has("title", nil)
			d.get("/Users/"+id).has("title", nil).has("name", nil).has("nickName", "B")
		}
	})
}

func TestUpdateUser_NamePartsAreOneValue(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		full := object{
			"formatted": "Ms Ada B. King III", "familyName": "King", "givenName": "Ada", "middleName": "B.",
			"honorificPrefix": "Ms", "honorificSuffix": "III",
		}
		id := d.create(user("ada", "name", full))
		d.get("/Users/"+id).has("name", full)
		for part := range full {
			d.put(id, user("ada", "name", full)).want(200)
			only := object{part: full[part]}
			d.put(id, user("ada", "name", only)).want(200).has("name", only)
			d.get("/Users/"+id).has("name", only)
		}
		d.put(id, user("ada", "name", object{"givenName": null, "familyName": "K"})).want(200).has("name", object{"familyName": "K"})
		d.put(id, user("ada", "name", object{})).want(200).has("name", nil)
	})
}

func TestUpdateUser_ListsAreReplacedInOrder(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		id := d.create(user("ada"))
		item := func(v string, primary bool) object {
			o := object{"value": v, "type": "work"}
			if primary {
				o["primary"] = true
			}
			return o
		}
		for _, list := range [][]any{
			{item("c", false), item("a", true), item("b", false)},
			{item("b", false), item("c", false), item("a", true)}, // the same in another order is another value
			{item("a", true)},
			{item("z", true), item("a", false)},
		} {
			r := d.put(id, user("ada", "emails", list, "phoneNumbers", list)).want(200)
			r.has("emails", list).has("phoneNumbers", list)
			d.get("/Users/"+id).has("emails", list).has("phoneNumbers", list)
		}
		versions := d.events()
		if got := versions[len(versions)-1].Version; got != 5 {
			t.Errorf("version %d after four changes, want 5", got)
		}
	})
}

func TestUpdateUser_NothingIsDerived(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		bare := d.post(user("ada@corp.example")).want(201).keys()
		id := d.create(user("bob"))
		got := d.put(id, user("bob", "name", object{"givenName": "Bob", "familyName": "B"})).want(200)
		got.has("displayName", nil).has("name", object{"givenName": "Bob", "familyName": "B"}).has("nickName", nil)
		want := got.keys()
		delete(want, "name")
		if diff := cmp.Diff(bare, want); diff != "" {
			t.Errorf("(-bare +with a name):\n%s", diff)
		}
		got = d.put(id, user("bob", "displayName", "Bob B")).want(200)
		got.has("name", nil).has("displayName", "Bob B")
	})
}

// The names in a full answer are those of the page's example output.
func TestUpdateUser_ExampleOutput(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		d := w.directory(t, scim.Atlassian)
		id := d.create(user("ada"))
		r := d.put(id, user("ada", "active", false, "department", "R&D", "displayName", "Ada", "externalId", "x-1",
			"name", object{"formatted": "f", "familyName": "f", "givenName": "g", "middleName": "m", "honorificPrefix": "p", "honorificSuffix": "s"},
			"nickName", "A", "organization", "Corp", "phoneNumbers", []any{object{"value": "1", "type": "work", "primary": false}},
			"preferredLanguage", "en", "timezone", "Europe/Vienna", "title", "CTO",
			"emails", []any{object{"value": "a@corp.example", "type": "work", "primary": true}})).want(200)
		want := set("active", "department", "displayName", "emails", "externalId", "groups", "id", "meta", "name", "nickName",
			"organization", "phoneNumbers", "preferredLanguage", "schemas", "timezone", "title", enterpriseURN, atlassianURN, "userName")
		if diff := cmp.Diff(r.keys(), want); diff != "" {
			t.Errorf("(-got +want):\n%s", diff)
		}
		o := r.obj()
		for name, want := range map[string]map[string]bool{
			"meta":        set("created", "lastModified", "location", "resourceType"),
			"name":        set("familyName", "formatted", "givenName", "honorificPrefix", "honorificSuffix", "middleName"),
			enterpriseURN: set("department", "organization"), atlassianURN: set("atlassianAccountId"),
		} {
			got := map[string]bool{}
			for k := range o[name].(object) {
				got[k] = true
			}
			if diff := cmp.Diff(got, want); diff != "" {
				t.Errorf("%s (-got +want):\n%s", name, diff)
			}
		}
		r.has("groups", []any{}).has("schemas", []any{atlassianURN, userURN, enterpriseURN})
		// One that has next to nothing: what is unset is left out.
		if diff := cmp.Diff(d.post(user("bob")).keys(), set("active", "emails", "groups", "id", "meta", "schemas", "userName", atlassianURN)); diff != "" {
			t.Errorf("(-got +want):\n%s", diff)
		}
	})
}

func TestUpdateUser_ReadOnlyIsIgnored(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		body := user("ada")
		id := d.create(body)
		before := d.get("/Users/" + id)
		d.put(id, with(body, "id", "x", "groups", []any{object{"value": "g"}}, "schemas", []any{"urn:x"},
			"meta", object{"created": "1999-01-01T00:00:00Z", "version": `W/"99"`, "location": "https://evil.example"},
			atlassianURN, object{"atlassianAccountId": "evil"})).want(200)
		after := d.get("/Users/" + id)
		if diff := cmp.Diff(string(after.body), string(before.body)); diff != "" {
			t.Errorf("(-after +before):\n%s", diff)
		}
	})
}

// A PUT that is refused leaves the user, its version, its events and its names
// as they were.
func TestUpdateUser_RefusedChangesNothing(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		ada := d.create(user("ada", "title", "Engineer"))
		bob := d.create(user("bob"))
		before := d.state()
		fresh := func(more ...any) object { // claims a name and an address that nobody has
			return user("new", append([]any{"emails", []any{object{"value": "new@corp.example", "primary": true}}}, more...)...)
		}
		d.put(ada, fresh("active", 7)).refused(400, scim.InvalidValue)
		d.put(ada, fresh(), "If-Match", `W/"9"`).refused(412, "", `W/"1"`)
		d.put(ada, fresh("userName", "BOB")).refused(409, scim.Uniqueness, bob)
		d.put(ada, `{"userName":"new"`).refused(400, scim.InvalidSyntax)
		d.put(ada, fresh("userName", strings.Repeat("x", 1001))).refused(400, scim.InvalidValue, "userName")
		d.put(ada, fresh("userName", "a\x00b")).refused(400, scim.InvalidValue, "userName")
		d.put(ada, fresh("phoneNumbers", []any{object{"value": "1", "primary": true}, object{"value": "2", "primary": true}})).refused(400, scim.InvalidValue)
		if diff := cmp.Diff(d.state(), before); diff != "" {
			t.Errorf("(-after +before):\n%s", diff)
		}
		// Its own names are held still, and those that it asked for are free.
		d.post(user("eve", "userName", "Ada")).refused(409, scim.Uniqueness, ada)
		eve := d.post(fresh()).want(201).str("id")
		d.put(ada, fresh("emails", []any{object{"value": "ada@corp.example", "primary": true}})).refused(409, scim.Uniqueness, eve)
		d.put(ada, user("ada", "title", "CTO")).want(200).headerIs("Etag", `W/"2"`)
	})
}
