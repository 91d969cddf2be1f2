package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/roster-scim/roster/scim"
)

// 64 writers add and remove members of one group, 200 times each, one member at
// a time, without a condition. Each owns four users, so that the end is known.
//
// Users ask for: no member is lost when several changes of one group arrive at
// once.
func TestRace_Members(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		const writers, own = 64, 4
		changes := 200
		if testing.Short() {
			changes = 16
		}
		d := w.directory(t, scim.Standard)
		people := d.crowd(writers * own)
		id := d.team("team")
		change := func(op string, path string, value any) (*reply, error) {
			return d.try(t.Context(), "PATCH", "/Groups/"+id+"?excludedAttributes=members",
				object{"schemas": []string{scim.PatchOpURN}, "Operations": []object{edit(op, path, value)}})
		}
		at64(t, func(i int) (last *reply, err error) {
			mine := people[i*own : (i+1)*own]
			for n := range changes {
				// Of each eight changes: every one comes, every one goes.
				who := mine[n%own]
				switch {
				case n/own%2 == 0:
					last, err = change("add", "members", values(who))
				case n%2 == 0:
					last, err = change("remove", `members[value eq "`+who+`"]`, nil)
				default:
					last, err = change("remove", "members", values(who))
				}
				if err == nil && last.status != http.StatusOK {
					err = fmt.Errorf("%d: %s", last.status, last.body)
				}
				if err != nil {
					return nil, err
				}
			}
			// An odd writer ends with all of its own, an even one with none.
			if i%2 == 1 {
				return change("add", "members", values(mine...))
			}
			return last, nil
		})
		var want []string
		for i := range writers {
			if i%2 == 1 {
				want = append(want, people[i*own:(i+1)*own]...)
			}
		}
		r := d.get("/Groups/" + id).members(want...)
		// Every change was one, and has a version.
		if tag, version := r.header.Get("Etag"), fmt.Sprintf(`W/"%d~`, 1+writers*changes+writers/2); !strings.HasPrefix(tag, version) {
			t.Errorf("ETag %s, want the version of %s", tag, version)
		}
		in := 0
		for start := 1; start <= len(people); start += 100 {
			for _, u := range d.get(fmt.Sprintf("/Users?count=100&startIndex=%d", start)).list() {
				groups, _ := u["groups"].([]any)
				in += len(groups)
			}
		}
		if in != len(want) {
			t.Errorf("%d users say that they are in the group, want %d", in, len(want))
		}
	})
}

// Users who are deleted while they are added to a group are no members of it
// afterwards, and the add is answered with 200 or a refusal.
func TestRace_AddAndDeleteUser(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		people := d.crowd(32)
		id := d.team("team", people[0])
		replies := at64(t, func(i int) (*reply, error) {
			who := people[i/2]
			if i%2 == 0 {
				return d.try(t.Context(), "DELETE", "/Users/"+who, nil)
			}
			return d.try(t.Context(), "PATCH", "/Groups/"+id, object{"schemas": []string{scim.PatchOpURN}, "Operations": []object{edit("add", "members", values(who))}})
		})
		n := count(replies)
		if n[204] != 32 || n[200]+n[400]+n[404] != 32 {
			t.Fatalf("statuses %v", n)
		}
		d.get("/Groups/" + id).members()
		// The next change finds nobody who is gone.
		next := d.create(user("next"))
		d.patch("/Groups/"+id, edit("add", "members", values(next))).want(200).members(next)
		versions := map[string]int64{}
		for _, e := range d.events() {
			if e.Version != versions[e.Resource]+1 {
				t.Errorf("%s: %s made the version %d after %d", e.Resource, e.Operation, e.Version, versions[e.Resource])
			}
			versions[e.Resource] = e.Version
		}
	})
}

// Groups that are deleted while users join them leave no trace on the users, and
// two groups that become members of each other at once are a circle, or not, but
// never stop each other.
func TestRace_DeleteGroups(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		d := w.directory(t, scim.Standard)
		who := d.create(user("ada"))
		var groups []string
		for i := range 16 {
			groups = append(groups, d.team(fmt.Sprint("g", i), who))
		}
		replies := at64(t, func(i int) (*reply, error) {
			g, next := groups[i%16], groups[(i+1)%16]
			switch i / 16 {
			case 0:
				return d.try(t.Context(), "DELETE", "/Groups/"+g, nil)
			case 1:
				return d.try(t.Context(), "PUT", "/Groups/"+g, group("other", who))
			}
			return d.try(t.Context(), "PATCH", "/Groups/"+g, object{"schemas": []string{scim.PatchOpURN}, "Operations": []object{edit("add", "members", values(next, who))}})
		})
		for _, r := range replies {
			switch r.status {
			case 200, 204, 400, 404:
			default:
				t.Errorf("%s: status %d\n%s", r.what, r.status, r.body)
			}
		}
		d.get("/Groups").has("totalResults", 0.0)
		d.get("/Users/" + who).inGroups()
	})
}

// crowd makes n users, several at once.
func (d *dir) crowd(n int) []string {
	d.t.Helper()
	ids := make([]string, n)
	var wg sync.WaitGroup
	for from := range 8 {
		wg.Go(func() {
			for i := from; i < n; i += 8 {
				r, err := d.try(d.t.Context(), "POST", "/Users", user(fmt.Sprint("crowd-", i)))
				if err != nil {
					d.t.Error(err)
					return
				}
				r.t = d.t
				ids[i] = r.str("id")
			}
		})
	}
	wg.Wait()
	return ids
}
