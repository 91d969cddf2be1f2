package server_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/roster-scim/roster/internal/server"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/scim"
)

// Unlinks, links and PUTs at once: each is one version, and none is lost.
func TestRace_UnlinkAndReplace(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		org := w.org(t)
		d := w.directory(t, scim.Atlassian)
		name := someone(t)
		id := d.create(user(name))
		account := d.account(id)
		unlink := "/scimDirectoryId/" + d.id + "/scimUserId/" + id + "/unlink"
		replies := at64(t, func(i int) (*reply, error) {
			switch i % 4 {
			case 0:
				return org.try(t.Context(), "PATCH", unlink, nil)
			case 1:
				return d.at("/api/v1/directories/"+d.id).try(t.Context(), "POST", "/users/"+id+"/link", nil)
			}
			return d.try(t.Context(), "PUT", "/Users/"+id, user(name, "title", fmt.Sprint("title ", i)))
		})
		if n := count(replies); n[200] != 48 || n[204] != 16 {
			t.Fatalf("statuses %v", n)
		}
		linked, titles := account, 0
		for i, e := range d.events() {
			if e.Version != int64(i+1) {
				t.Fatalf("event %d is of version %d", i, e.Version)
			}
			for _, c := range e.Changes {
				switch {
				case c.Attribute == "title":
					titles++
				case i > 0 && c.Attribute == atlassianURN+":atlassianAccountId":
					if was := strings.Trim(string(c.Before), `"`); was != linked {
						t.Errorf("version %d: the account was %q, the event before left %q", e.Version, was, linked)
					}
					linked = strings.Trim(string(c.After), `"`)
				}
			}
		}
		if titles != 32 || d.account(id) != linked {
			t.Errorf("%d titles, want 32; account %q, the events leave %q", titles, d.account(id), linked)
		}
	})
}

// A record that is unlinked while its account is being deleted stays.
func TestRace_UnlinkAndDeleteAccount(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		org := w.org(t)
		d := w.directory(t, scim.Atlassian)
		for i := range 8 {
			id := d.create(user(fmt.Sprint(someone(t), i)))
			account := d.account(id)
			replies := at64(t, func(k int) (*reply, error) {
				if k%2 == 0 {
					return org.try(t.Context(), "PATCH", "/scimDirectoryId/"+d.id+"/scimUserId/"+id+"/unlink", nil)
				}
				return org.try(t.Context(), "DELETE", "/user/"+account+"/onlyDeleteUserInDB", nil)
			})
			var unlinked, deleted int
			for k, r := range replies {
				switch {
				case r.status != 204 && r.status != 404:
					t.Errorf("%s: %d\n%s", r.what, r.status, r.body)
				case r.status == 204 && k%2 == 0:
					unlinked++
				case r.status == 204:
					deleted++
				}
			}
			switch there := d.get("/Users/" + id).status; {
			case there == 200 && (deleted != 0 || unlinked != 32 || d.account(id) != ""):
				t.Errorf("it is there: %d unlinked, %d deleted", unlinked, deleted)
			case there == 404 && (deleted != 1 || unlinked != 0):
				t.Errorf("it is gone: %d unlinked, %d deleted", unlinked, deleted)
			}
		}
	})
}

func TestAdmin_UpdateMayRunTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s store.Store) store.Store { return twice{s} }, server.Options{})
	org := w.org(t)
	d := w.directory(t, scim.Atlassian)
	id := d.create(user("ada"))
	account := d.account(id)
	d.put(id, user("eve")).want(200)
	second := d.create(user("ada"))
	d.unlink(org, id).want(204)
	d.put(id, user("bob")).want(200)
	d.unlink(org, second).want(204)
	d.api("POST", "/users/"+second+"/link", nil).want(200)
	if got := d.account(second); got != account {
		t.Errorf("account %q, want %q", got, account)
	}
	org.do("DELETE", "/user/"+account+"/onlyDeleteUserInDB", nil).want(204)
	if n := len(d.events()); n != 8 {
		t.Errorf("%d events, want 8", n)
	}
}
