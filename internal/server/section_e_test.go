package server_test

import (
	"fmt"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster/scim"
)

// What was decided where the facts on Atlassian's service leave room, a test for
// each decision that is about users, named by its number.

func TestE01_BothProjections(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		id := d.create(user("ada"))
		before := d.state()
		const q = "?attributes=userName&excludedAttributes=emails"
		for _, r := range []*reply{
			d.get("/Users/" + id + q), d.get("/Users" + q),
			d.do("PUT", "/Users/"+id+q, user("ada", "title", "CTO")), d.do("POST", "/Users"+q, user("bob")),
		} {
			r.refused(400, scim.InvalidValue, "attributes", "excludedAttributes")
		}
		if diff := cmp.Diff(d.state(), before); diff != "" {
			t.Errorf("a refused request changed something:\n%s", diff)
		}
		d.get("/Users/" + id + "?attributes=userName&excludedAttributes=").want(200) // a blank one is none
	})
}

func TestE02_Count(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		for _, rs := range ruleSets {
			t.Run(rs, func(t *testing.T) {
				d := w.directory(t, rs, `{"maxPage":3}`)
				for i := range 5 {
					d.create(user(fmt.Sprint("u", i)))
				}
				for _, tt := range []struct {
					query string
					n     int
				}{
					{"", 3}, {"?count=2", 2}, {"?count=100", 3}, {"?count=99999999999999999999", 3},
					{"?count=0", 0}, {"?count=-1", 0}, {"?count=-99999999999999999999", 0},
					{"?startIndex=5", 1}, {"?startIndex=6", 0}, {"?startIndex=99999999999999999999", 0},
				} {
					r := d.get("/Users" + tt.query)
					if n := len(r.list()); n != tt.n {
						t.Errorf("%q: %d resources, want %d", tt.query, n, tt.n)
					}
					r.has("itemsPerPage", float64(tt.n)).has("totalResults", 5.0)
				}
				d.get("/Users?count=x").refused(400, scim.InvalidValue, "count")
			})
		}
		for rs, limit := range map[string]float64{scim.Atlassian: 100, scim.Standard: 1000, scim.Strict: 1000} {
			got := w.directory(t, rs).get("/ServiceProviderConfig").want(200).obj()["filter"].(object)["maxResults"]
			if got != limit {
				t.Errorf("%s: maxResults %v, want %v", rs, got, limit)
			}
		}
	})
}

func TestE03_StartIndex(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		for i := range 3 {
			d.create(user(fmt.Sprint("u", i)))
		}
		all := d.get("/Users").list()
		for _, start := range []string{"0", "-7", "1", ""} {
			r := d.get("/Users?startIndex="+start+"&count=50").has("startIndex", 1.0)
			if diff := cmp.Diff(r.list(), all); diff != "" {
				t.Errorf("startIndex=%s (-got +want):\n%s", start, diff)
			}
		}
		if diff := cmp.Diff(d.get("/Users?startIndex=2").has("startIndex", 2.0).list(), all[1:]); diff != "" {
			t.Errorf("startIndex=2 (-got +want):\n%s", diff)
		}
		d.get("/Users?startIndex=two").refused(400, scim.InvalidValue, "startIndex")
	})
}

func TestE04_UserName(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		id := d.create(user("Ada.Lovelace"))
		d.get("/Users/"+id).has("userName", "Ada.Lovelace")
		body := user("ADA.LOVELACE", "emails", []any{object{"value": "other@corp.example", "primary": true}})
		d.post(body).refused(409, scim.Uniqueness, "Resource [USER]", "userName[ADA.LOVELACE]", "Held by "+id)
		// Beyond ASCII too: the Kelvin sign is a k, ſ is an s.
		greek := d.create(user("ΟΔΥΣΣΕΎΣ", "emails", []any{object{"value": "o@corp.example", "primary": true}}))
		d.post(with(body, "userName", "οδυσσεύς")).refused(409, scim.Uniqueness, greek)
		// One's own name in other letters is no conflict.
		d.put(id, user("ada.LOVELACE", "emails", body["emails"])).want(200).has("userName", "ada.LOVELACE")
		if n := len(d.get("/Users?filter=" + url.QueryEscape(`userName eq "ADA.lovelace"`)).list()); n != 1 {
			t.Errorf("the filter found %d users, want 1", n)
		}
	})
}

func TestE05_ExternalID(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		for _, rs := range ruleSets {
			d := w.directory(t, rs)
			d.create(user("ada", "externalId", "x-1"))
			d.create(user("bob", "externalId", "x-1")) // controlled by the client
			d.create(user("eve", "externalId", "X-1"))
			for id, n := range map[string]int{"x-1": 2, "X-1": 1, "x-2": 0} { // case matters
				if got := len(d.get("/Users?filter=" + url.QueryEscape(`externalId eq "`+id+`"`)).list()); got != n {
					t.Errorf("%s: externalId eq %q found %d, want %d", rs, id, got, n)
				}
			}
			unique := w.directory(t, rs, `{"uniqueExternalId":true}`)
			ada := unique.create(user("ada", "externalId", "x-1"))
			bob := unique.create(user("bob", "externalId", "X-1"))
			unique.post(user("eve", "externalId", "x-1")).refused(409, scim.Uniqueness, "externalId[x-1]", ada)
			unique.put(bob, user("bob", "externalId", "x-1")).refused(409, scim.Uniqueness, "externalId[x-1]", ada)
		}
	})
}

func TestE06_Emails(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		mail := func(values ...string) []any {
			var list []any
			for i, v := range values {
				list = append(list, object{"value": v, "primary": i == 0})
			}
			return list
		}
		d := w.directory(t, scim.Atlassian)
		ada := d.create(user("ada", "emails", mail("Ada@corp.example", "a2@corp.example")))
		d.create(user("dup", "emails", mail("dup@corp.example", "DUP@corp.example"))) // one within one user
		want := []string{"Resource [USER]: with email[", "] already exists. Held by " + ada + "."}
		d.post(user("bob", "emails", mail("ADA@CORP.example"))).refused(409, scim.Uniqueness, append(want, "ADA@CORP.example")...)
		d.post(user("bob", "emails", mail("b@corp.example", "A2@corp.example"))).refused(409, scim.Uniqueness, want...)
		bob := d.create(user("bob"))
		d.put(bob, user("bob", "emails", mail("a2@corp.example"))).refused(409, scim.Uniqueness, want...)
		// The name in the text is of this directory alone: another one is no conflict.
		w.directory(t, scim.Atlassian).create(user("ada", "emails", mail("ada@corp.example")))
		// The old address is free as soon as it was replaced.
		d.put(ada, user("ada", "emails", mail("new@corp.example"))).want(200)
		d.put(bob, user("bob", "emails", mail("ada@corp.example"))).want(200)

		s := w.directory(t, scim.Standard)
		s.create(user("ada", "emails", mail("ada@corp.example")))
		s.create(user("bob", "emails", mail("ada@corp.example")))
	})
}

func TestE07_Primary(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		id := d.create(user("ada"))
		before := d.state()
		atlassian := d.get("/Users").header.Get("Roster-Rule-Set") == scim.Atlassian
		for name, tt := range map[string]struct {
			emails any
			strict bool // refused by atlassian alone
			words  string
		}{
			"none":          {nil, true, "emails"},
			"null":          {null, true, "emails"},
			"empty":         {[]any{}, true, "emails"},
			"lone unmarked": {[]any{object{"value": "a@corp.example"}}, true, "primary"},
			"none marked":   {[]any{object{"value": "a@corp.example"}, object{"value": "b@corp.example", "primary": false}}, true, "primary"},
			"without value": {[]any{object{"type": "work", "primary": true}}, true, "value"},
			"two marked":    {[]any{object{"value": "a@corp.example", "primary": true}, object{"value": "b@corp.example", "primary": true}}, false, "primary"},
		} {
			put, post := d.put(id, user("ada", "emails", tt.emails)), d.post(user("new "+name, "emails", tt.emails))
			if tt.strict && !atlassian {
				put.want(200)
				post.want(201)
				continue
			}
			put.refused(400, scim.InvalidValue, tt.words)
			post.refused(400, scim.InvalidValue, tt.words)
		}
		if atlassian && d.state() != before {
			t.Error("a refused request changed something")
		}
	})
}

func TestE08_OmittedActive(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		id := d.post(user("ada")).want(201).has("active", true).str("id")
		d.post(user("nul", "active", null)).want(201).has("active", true)
		d.put(id, user("ada", "active", false)).want(200).has("active", false)
		kept := d.get("/Users").header.Get("Roster-Rule-Set") == scim.Standard
		for _, absent := range []any{nil, null} {
			d.put(id, user("ada", "active", false)).want(200)
			d.put(id, user("ada", "active", absent, "title", "CTO")).want(200).has("active", !kept)
			d.get("/Users/"+id).has("active", !kept)
		}
	})
}

func TestE09_OmittedExternalID(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		id := d.create(user("ada", "externalId", "x-1"))
		r := d.put(id, user("ada")).want(200)
		if r.header.Get("Roster-Rule-Set") == scim.Atlassian {
			r.has("externalId", "x-1")
			d.get("/Users/"+id).has("externalId", "x-1")
		} else {
			r.has("externalId", nil)
			d.get("/Users/"+id).has("externalId", nil)
		}
		d.put(id, user("ada", "externalId", "x-2")).want(200).has("externalId", "x-2")
		d.put(id, user("ada", "externalId", null)).want(200).has("externalId", nil)
	})
}

func TestE10_EmptyStrings(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		for _, rs := range ruleSets {
			d := w.directory(t, rs)
			id := d.create(user("ada", "id", "", "externalId", "x-1", "title", "CTO"))
			// As go-atlassian sends it.
			r := d.put(id, user("ada", "id", "", "externalId", "", "title", "", "name", object{"givenName": ""})).want(200)
			r.has("title", nil).has("name", nil).has("id", id)
			if rs == scim.Atlassian {
				r.has("externalId", "x-1")
			} else {
				r.has("externalId", nil)
			}
		}
		d := w.directory(t, scim.Strict)
		id := d.post(user("ada", "title", "")).want(201).has("title", "").str("id")
		d.put(id, user("ada", "title", "", "nickName", "")).want(200).has("nickName", "")
		for _, rs := range scim.RuleSetNames {
			d := w.directory(t, rs)
			id := d.create(user("ada"))
			for _, blank := range []string{"", " ", "\t\n"} {
				d.put(id, user("ada", "userName", blank)).refused(400, scim.InvalidValue, "userName")
				d.post(user("bob", "userName", blank)).refused(400, scim.InvalidValue, "userName")
			}
		}
	})
}

func TestE11_NoChange(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		body := user("ada", "name", object{"givenName": "Ada", "familyName": "Lovelace"}, "phoneNumbers", []any{object{"value": "+1", "type": "work"}})
		id := d.create(body)
		before, events := d.get("/Users/"+id), len(d.events())
		for range 2 {
			r := d.put(id, body).want(200)
			if diff := cmp.Diff(string(r.body), string(before.body)); diff != "" {
				t.Errorf("a PUT of the same (-got +want):\n%s", diff)
			}
			r.headerIs("Etag", before.header.Get("Etag"))
		}
		// What a GET gave is the same, too.
		d.put(id, before.body).want(200).headerIs("Etag", before.header.Get("Etag"))
		if n := len(d.events()); n != events {
			t.Errorf("%d events, want %d", n, events)
		}
	})
}

func TestE12_Delete(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		id := d.create(user("ada", "externalId", "x-1"))
		r := d.do("DELETE", "/Users/"+id, nil).want(204)
		if len(r.body) > 0 || r.header.Get("Content-Type") != "" {
			t.Errorf("a 204 with %q of type %q", r.body, r.header.Get("Content-Type"))
		}
		d.get("/Users/"+id).refused(404, "", id)
		d.put(id, user("ada")).refused(404, "", id)
		if n := len(d.get("/Users").list()); n != 0 {
			t.Errorf("%d users are listed", n)
		}
		if again := d.create(user("ada", "externalId", "x-1")); again == id {
			t.Error("the new record has the id of the old one")
		}
		trash := d.api("GET", "/trash", nil).want(200).obj()["trash"].([]any)
		if len(trash) != 1 || trash[0].(object)["id"] != id || trash[0].(object)["name"] != "ada" {
			t.Errorf("trash: %v", trash)
		}
	})
}

func TestE13_SecondDelete(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		id := d.create(user("ada"))
		d.do("DELETE", "/Users/"+id, nil).want(204)
		before := d.state()
		d.do("DELETE", "/Users/"+id, nil).refused(404, "", id)
		if d.state() != before {
			t.Error("the second DELETE changed something")
		}
	})
}
