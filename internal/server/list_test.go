package server_test

import (
	"fmt"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster/scim"
)

func TestList_Filters(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		ada := d.create(user("Ada", "externalId", "X-1", "displayName", "Ada L.", "emails", []any{
			object{"value": "Ada@corp.example", "primary": true}, object{"value": "home@example.org", "type": "home"},
		}))
		bob := d.create(user("bob", "externalId", "x-1", "displayName", "ada l.", "name", object{"givenName": `O'Neil "x" \`}))
		odd := d.create(user(`o"d\d'; DROP TABLE x; --%_`))
		for filter, want := range map[string][]any{
			`userName eq "ada"`:                          {ada},
			`USERNAME EQ "ADA"`:                          {ada},
			`  userName   eq   "ada"  `:                  {ada},
			userURN + `:userName eq "ada"`:               {ada},
			`userName eq "ad"`:                           nil,
			`userName eq "%"`:                            nil,
			`userName eq ""`:                             nil,
			`externalId eq "X-1"`:                        {ada},
			`externalId eq "x-1"`:                        {bob},
			`emails.value eq "HOME@example.ORG"`:         {ada},
			`emails.value eq "ada@corp.example"`:         {ada},
			`displayName eq "ADA L."`:                    {ada, bob},
			`userName eq "\u0061da"`:                     {ada},
			`userName eq "o\"d\\d'; DROP TABLE x; --%_"`: {odd},
		} {
			r := d.get("/Users?filter=" + url.QueryEscape(filter))
			var got []any
			for _, u := range r.list() {
				got = append(got, u["id"])
			}
			if diff := cmp.Diff(got, want); diff != "" {
				t.Errorf("%s (-got +want):\n%s", filter, diff)
			}
			r.has("totalResults", float64(len(want))).has("schemas", []any{scim.ListResponseURN})
		}
		r := d.get("/Users?filter=" + url.QueryEscape(`displayName eq "ada l."`) + "&startIndex=2&count=1&attributes=userName")
		r.has("totalResults", 2.0).has("itemsPerPage", 1.0).has("startIndex", 2.0)
		if got := r.list()[0]; got["userName"] != "bob" || got["emails"] != nil {
			t.Errorf("the second of two: %v", got)
		}
		// What was found is what there is: a new name is found, the old one is not.
		d.put(bob, user("robert")).want(200)
		for name, n := range map[string]float64{"bob": 0, "robert": 1} {
			d.get("/Users?filter="+url.QueryEscape(`userName eq "`+name+`"`)).has("totalResults", n)
		}
		d.get("/Users?filter="+url.QueryEscape(`displayName eq "ada l."`)).has("totalResults", 1.0)
		d.do("DELETE", "/Users/"+ada, nil).want(204)
		d.get("/Users?filter="+url.QueryEscape(`userName eq "ada"`)).has("totalResults", 0.0)
	})
}

func TestList_NarrowFilters(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		d := w.directory(t, scim.Atlassian, `{"narrowFilters":true}`)
		d.create(user("ada", "externalId", "x"))
		d.get("/Users?filter="+url.QueryEscape(`userName eq "ada"`)).has("totalResults", 1.0)
		d.get("/Users?filter="+url.QueryEscape(`externalId eq "x"`)).has("totalResults", 1.0)
		d.get("/Users?filter="+url.QueryEscape(`userName sw "a"`)).refused(400, scim.InvalidFilter, "Resource [USER] invalid filter")
		d.get("/Users?filter="+url.QueryEscape(`emails.value eq "x"`)).refused(400, scim.InvalidFilter, "Resource [USER] invalid filter")
	})
}

func TestList_WrongFilters(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		for _, f := range []string{`userName`, `userName eq`, `userName eq ada`, `userName eq "ada`, `nope eq "x"`, `userName is "x"`, `userName eq 1`, `name eq "x"`, `active gt true`, `(userName eq "x"`, `userName eq "x" and`} {
			d.get("/Users?filter="+url.QueryEscape(f)).refused(400, scim.InvalidFilter, "Resource [USER] invalid filter")
		}
	})
}

// Pages by index cover all users, each once, in the order of their creation.
func TestList_Pages(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		d := w.directory(t, scim.Standard)
		var want, got []any
		for i := range 7 {
			want = append(want, d.create(user(fmt.Sprint("u", 9-i))))
		}
		for start := 1; start <= 7; start += 3 {
			r := d.get(fmt.Sprintf("/Users?startIndex=%d&count=3", start)).has("totalResults", 7.0).has("startIndex", float64(start))
			for _, u := range r.list() {
				got = append(got, u["id"])
			}
		}
		if diff := cmp.Diff(got, want); diff != "" {
			t.Errorf("(-got +want):\n%s", diff)
		}
	})
}
