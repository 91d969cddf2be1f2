package server_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster/internal/server"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/scim"
)

// A memberCounter is a store that counts the members that are read.
type memberCounter struct {
	store.Store
	n *atomic.Int64
}

type countingReader struct {
	store.Reader
	n *atomic.Int64
}

type countingTx struct {
	store.Tx
	n *atomic.Int64
}

func counted(n *atomic.Int64, fn func(store.Member) error) func(store.Member) error {
	return func(m store.Member) error {
		n.Add(1)
		return fn(m)
	}
}

func (r countingReader) Members(dir, group, after string, limit int, fn func(store.Member) error) error {
	return r.Reader.Members(dir, group, after, limit, counted(r.n, fn))
}

func (t countingTx) Members(dir, group, after string, limit int, fn func(store.Member) error) error {
	return t.Tx.Members(dir, group, after, limit, counted(t.n, fn))
}

func (s memberCounter) View(ctx context.Context, fn func(store.Reader) error) error {
	return s.Store.View(ctx, func(r store.Reader) error { return fn(countingReader{r, s.n}) })
}

func (s memberCounter) Update(ctx context.Context, fn func(store.Tx) error) error {
	return s.Store.Update(ctx, func(tx store.Tx) error { return fn(countingTx{tx, s.n}) })
}

// Users ask for: one more member of a big group costs what one more member of a
// small one does. A PATCH reads none of those who are members already, unless it
// has to show them or to ask a filter.
func TestWish_BigGroups(t *testing.T) {
	t.Parallel()
	var read atomic.Int64
	w := newWorld(t, func(s store.Store) store.Store { return memberCounter{s, &read} }, server.Options{})
	for _, rs := range scim.RuleSetNames {
		d := w.directory(t, rs)
		people := d.crowd(60)
		id := d.team("team", people[:50]...)
		read.Store(0)
		for _, r := range []*reply{
			d.patch("/Groups/"+id+"?excludedAttributes=members", edit("add", "members", values(people[50:]...))),
			d.patch("/Groups/"+id+"?excludedAttributes=members", edit("remove", `members[value eq "`+people[0]+`"]`, nil)),
			d.patch("/Groups/"+id+"?excludedAttributes=members", edit("replace", nil, object{"externalId": "x"})),
			d.get("/Groups/" + id + "?excludedAttributes=members"),
			d.get("/Groups?excludedAttributes=members"),
			d.get("/Groups?excludedAttributes=members&filter=" + url.QueryEscape(`displayName eq "team"`)),
			d.get("/Users/" + people[1]),
		} {
			if n := read.Load(); n != 0 {
				t.Errorf("%s: %s read %d members", rs, r.want(200).what, n)
			}
		}
		d.get("/Groups/" + id).members(people[1:]...)
		if read.Load() < 59 {
			t.Errorf("%d members were counted: the counter does not count", read.Load())
		}
	}
	d := w.directory(t, scim.Standard, `{"answerMembers":10}`)
	people := d.crowd(20)
	id := d.team("team", people[:11]...)
	read.Store(0)
	d.patch("/Groups/"+id, edit("add", "members", values(people[11]))).want(204)
	if n := read.Load(); n != 0 {
		t.Errorf("an answer without members read %d", n)
	}
}

// Users ask for: a group is shown whole, however large, and a change of one
// member takes nobody else away.
func TestWish_WholeGroups(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		d := w.directory(t, scim.Standard)
		people := d.crowd(1100) // more than are read at once, or answered to a PATCH
		id := d.team("team", people...)
		d.get("/Groups/" + id).members(people...)
		d.patch("/Groups/"+id, edit("remove", "members", values(people[7]))).want(204)
		rest := append(append([]string{}, people[:7]...), people[8:]...)
		d.get("/Groups/" + id).members(rest...)
		list := d.get("/Groups").list()
		if n := len(list[0]["members"].([]any)); n != len(rest) {
			t.Errorf("the list shows %d members, want %d", n, len(rest))
		}
		d.do("DELETE", "/Groups/"+id, nil).want(204)
		d.get("/Users/" + people[0]).inGroups()
	})
}

// Users ask for: a PATCH leaves alone what it does not name, and what is
// required cannot be taken away.
func TestWish_NothingIsWiped(t *testing.T) {
	onAllRuleSets(t, func(t *testing.T, d *dir) {
		id := d.create(user("ada", "externalId", "X", "title", "T", "nickName", "N", "name", object{"givenName": "Ada", "familyName": "King"},
			"phoneNumbers", []any{object{"value": "1", "type": "work"}, object{"value": "2", "type": "mobile"}}, enterpriseURN, object{"department": "D", "organization": "O"}))
		team := d.team("team", id)
		before := d.get("/Users/" + id).obj()
		for _, tt := range []struct {
			op     object
			change func(o object)
		}{
			{edit("replace", "name.givenName", "Augusta"), func(o object) { o["name"].(object)["givenName"] = "Augusta" }},
			{edit("replace", nil, object{"title": "TT"}), func(o object) { o["title"] = "TT" }},
			{edit("replace", nil, object{"name": object{"familyName": "L"}}), func(o object) { o["name"].(object)["familyName"] = "L" }},
			{edit("remove", `phoneNumbers[type eq "mobile"]`, nil), func(o object) { o["phoneNumbers"] = o["phoneNumbers"].([]any)[:1] }},
			{edit("remove", "nickName", nil), func(o object) { delete(o, "nickName") }},
			{edit("replace", "active", false), func(o object) { o["active"] = false }},
		} {
			tt.change(before)
			got := d.patch("/Users/"+id, tt.op).want(200).obj()
			delete(got, "meta")
			if diff := cmp.Diff(got, with(before, "meta", nil)); diff != "" {
				t.Errorf("%v (-got +want):\n%s", tt.op, diff)
			}
		}
		for _, ops := range []object{
			edit("remove", "userName", nil), edit("replace", "userName", ""), edit("replace", "userName", null), edit("replace", nil, object{"userName": null}),
		} {
			if r := d.patch("/Users/"+id, ops); r.status != 400 {
				t.Errorf("%v: status %d\n%s", ops, r.status, r.body)
			}
		}
		if r := d.patch("/Groups/"+team, edit("remove", "displayName", nil)); r.status != 400 {
			t.Errorf("a group without a name: status %d", r.status)
		}
		d.get("/Users/"+id).has("userName", "ada")
	})
}

// Users ask for: who left can come back. Who was deactivated is a conflict that
// says which record it is, and is activated there; who was deleted can be made
// again at once, or restored under the same id.
func TestWish_ComingBack(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		id := d.create(user("ada", "externalId", "X"))
		d.patch("/Users/"+id, edit("replace", "active", false)).want(200)
		d.post(user("Ada", "externalId", "X")).refused(409, scim.Uniqueness, "Held by "+id)
		found := d.get("/Users?filter=" + url.QueryEscape(`userName eq "ada"`)).list()
		if len(found) != 1 || found[0]["id"] != id || found[0]["active"] != false {
			t.Fatalf("who is inactive is found as %v", found)
		}
		d.patch("/Users/"+id, edit("replace", "active", true)).want(200).has("active", true)
		d.do("DELETE", "/Users/"+id, nil).want(204)
		again := d.create(user("ada", "externalId", "X"))
		if again == id {
			t.Error("a new record has the id of the old one")
		}
		d.do("DELETE", "/Users/"+again, nil).want(204)
		d.api("POST", "/trash/"+id+"/restore", nil).want(200).has("id", id).has("externalId", "X")
	})
}

// Users ask for: the look-ups of their clients find whom they ask for, nobody
// else, and not everybody; on sub-attributes, in value paths, with "and" and
// "or", with whatever stands between the quotes.
func TestWish_FiltersFind(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		mail := func(list ...any) []any { return list }
		ids := map[string]string{
			"ada": d.create(user("ada", "name", object{"familyName": "King", "givenName": "Ada"}, "emails",
				mail(object{"value": "ada@work.example", "type": "work", "primary": true}, object{"value": "ada@home.example", "type": "home"}))),
			"bob": d.create(user("bob", "name", object{"familyName": `O'Neil "B" \ é`}, "emails",
				mail(object{"value": "bob@home.example", "type": "work", "primary": true}, object{"value": "bob@work.example", "type": "home"}))),
			"cleo": d.create(user("cleo (c) and d", "active", false, enterpriseURN, object{"department": "R&D"})),
		}
		for filter, want := range map[string]string{
			`emails[type eq "work"].value eq "ada@work.example"`:          "ada",
			`emails[type eq "work" and value eq "bob@home.example"]`:      "bob",
			`emails[type eq "home"].value ew "@home.example"`:             "ada",
			`emails.type eq "home" and emails.value sw "bob@home"`:        "bob",
			`emails co "home.example"`:                                    "ada bob",
			`name.familyName eq "king"`:                                   "ada",
			`name.familyName eq "O'Neil \"B\" \\ \u00e9"`:                 "bob",
			`name.familyName co "É"`:                                      "bob",
			`userName eq "cleo (c) and d"`:                                "cleo",
			`(userName eq "ada" or userName eq "bob") and active eq true`: "ada bob",
			`userName eq "ada" or userName eq "bob" and active eq false`:  "ada",
			`not (name pr)`:                        "cleo",
			`active eq false`:                      "cleo",
			enterpriseURN + `:department eq "r&d"`: "cleo",
			`userName sw "a" and not (emails[type eq "work"].value co "home")`:                   "ada",
			`meta.created gt "2020-01-01T00:00:00Z" and userName ne "ada" and userName ne "bob"`: "cleo",
			`userName eq "nobody" or name.familyName eq "nobody"`:                                "",
		} {
			var got []string
			for _, u := range d.get("/Users?filter=" + url.QueryEscape(filter)).list() {
				for name, id := range ids {
					if u["id"] == id {
						got = append(got, name)
					}
				}
			}
			if got := sortedWords(strings.Join(got, " ")); got != want {
				t.Errorf("%s: found %q, want %q", filter, got, want)
			}
		}
	})
}

// Users ask for: pages that neither overlap nor leave out, with a totalResults
// that counts what there is and not what is on the page.
func TestWish_PagesAreWhole(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		d.crowd(25)
		d.create(user("odd"))
		for query, total := range map[string]int{"": 26, "&filter=" + url.QueryEscape(`userName sw "crowd-"`): 25, "&filter=" + url.QueryEscape(`emails.value ew "corp.example" and userName sw "crowd-1"`): 11} {
			for _, size := range []int{1, 7, 100} {
				seen := map[any]bool{}
				for start := 1; start <= total; start += size {
					r := d.get(fmt.Sprintf("/Users?startIndex=%d&count=%d%s", start, size, query))
					page := r.list()
					r.has("totalResults", float64(total)).has("itemsPerPage", float64(len(page))).has("startIndex", float64(start))
					for _, u := range page {
						if seen[u["id"]] {
							t.Errorf("%s: %v is on two pages", r.what, u["userName"])
						}
						seen[u["id"]] = true
					}
				}
				if len(seen) != total {
					t.Errorf("%q in pages of %d: %d users, want %d", query, size, len(seen), total)
				}
			}
			d.get("/Users?count=0"+query).has("totalResults", float64(total)).has("itemsPerPage", 0.0)
		}
	})
}
