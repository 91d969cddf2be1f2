package server_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/scim"
)

// count returns how many replies have each status.
func count(replies []*reply) map[int]int {
	n := map[int]int{}
	for _, r := range replies {
		n[r.status]++
	}
	return n
}

func TestRace_PutsWithoutCondition(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		id := d.create(user("ada"))
		replies := at64(t, func(i int) (*reply, error) {
			return d.try(t.Context(), "PUT", "/Users/"+id, user("ada", "title", fmt.Sprint("title ", i)))
		})
		if n := count(replies); n[200] != 64 {
			t.Fatalf("statuses %v, want 64 times 200", n)
		}
		seen := map[string]string{}
		for _, r := range replies {
			tag := r.header.Get("Etag")
			if seen[tag] != "" {
				t.Errorf("two answers have the version %s", tag)
			}
			seen[tag] = r.str("title")
		}
		last := d.get("/Users/"+id).headerIs("Etag", `W/"65"`)
		if got := last.str("title"); got != seen[`W/"65"`] {
			t.Errorf("title %q, but the answer with the last version says %q", got, seen[`W/"65"`])
		}
		// The events are the versions, one by one, each beginning where the one
		// before ended.
		events := d.events()
		if len(events) != 65 {
			t.Fatalf("%d events, want 65", len(events))
		}
		before := ""
		for i, e := range events {
			if e.Version != int64(i+1) {
				t.Errorf("event %d is of version %d", i, e.Version)
			}
			if i == 0 {
				continue
			}
			if len(e.Changes) != 1 || string(e.Changes[0].Before) != before || string(e.Changes[0].After) != fmt.Sprintf("%q", seen[fmt.Sprintf(`W/"%d"`, e.Version)]) {
				t.Errorf("event of version %d: %s -> %s after %s", e.Version, e.Changes[0].Before, e.Changes[0].After, before)
			}
			before = string(e.Changes[0].After)
		}
	})
}

func TestRace_PutsWithOneCondition(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		id := d.create(user("ada"))
		replies := at64(t, func(i int) (*reply, error) {
			return d.try(t.Context(), "PUT", "/Users/"+id, user("ada", "title", fmt.Sprint("title ", i)), "If-Match", `W/"1"`)
		})
		if n := count(replies); n[200] != 1 || n[412] != 63 {
			t.Errorf("statuses %v, want one 200 and 63 times 412", n)
		}
		d.get("/Users/"+id).headerIs("Etag", `W/"2"`)
	})
}

// mixedCase writes a name in one of 64 ways.
func mixedCase(name string, i int) string {
	b := []byte(strings.ToLower(name))
	for bit := range 6 {
		if i>>bit&1 == 1 {
			b[bit] -= 'a' - 'A'
		}
	}
	return string(b)
}

func TestRace_PostsOfOneUserName(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		replies := at64(t, func(i int) (*reply, error) {
			return d.try(t.Context(), "POST", "/Users", user(mixedCase("lovelace", i), "emails", []any{object{"value": fmt.Sprint(i, "@corp.example"), "primary": true}}))
		})
		oneWins(t, d, replies, "userName")
	})
}

func TestRace_PostsOfOneEmail(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		d := w.directory(t, scim.Atlassian)
		replies := at64(t, func(i int) (*reply, error) {
			return d.try(t.Context(), "POST", "/Users", user(fmt.Sprint("user ", i), "emails", []any{object{"value": mixedCase("lovelace", i) + "@corp.example", "primary": true}}))
		})
		oneWins(t, d, replies, "email")
	})
}

// oneWins checks that one POST made a user and 63 say that it holds the value.
func oneWins(t *testing.T, d *dir, replies []*reply, attribute string) {
	t.Helper()
	if n := count(replies); n[201] != 1 || n[409] != 63 {
		t.Fatalf("statuses %v, want one 201 and 63 times 409", n)
	}
	var holder string
	for _, r := range replies {
		if r.status == 201 {
			holder = r.str("id")
		}
	}
	for _, r := range replies {
		if r.status == 409 {
			r.refused(409, scim.Uniqueness, attribute+"[", "Held by "+holder)
		}
	}
	d.get("/Users").has("totalResults", 1.0)
	if n := len(d.events()); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
}

// Deletes, restores and creates of one name, all at once: whoever wins, there is
// one holder of it, and the versions have no gap.
func TestRace_DeleteAndReplace(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		d := w.directory(t, scim.Atlassian)
		id := d.create(user("ada"))
		replies := at64(t, func(i int) (*reply, error) {
			switch i % 4 {
			case 0:
				return d.try(t.Context(), "DELETE", "/Users/"+id, nil)
			case 1:
				return d.at("/api/v1/directories/"+d.id).try(t.Context(), "POST", "/trash/"+id+"/restore", nil)
			case 2:
				return d.try(t.Context(), "PUT", "/Users/"+id, user("ada", "title", fmt.Sprint(i)))
			}
			return d.try(t.Context(), "POST", "/Users", user("ada"))
		})
		for _, r := range replies {
			switch r.status {
			case 200, 201, 204, 404, 409:
			default:
				t.Errorf("%s: status %d\n%s", r.what, r.status, r.body)
			}
		}
		holders := len(d.get("/Users").list())
		if holders > 1 {
			t.Errorf("%d users hold one name", holders)
		}
		versions := map[string]int64{}
		alive := 0
		for _, e := range d.events() {
			if e.Version != versions[e.Resource]+1 {
				t.Errorf("%s: %s made the version %d after %d", e.Resource, e.Operation, e.Version, versions[e.Resource])
			}
			versions[e.Resource] = e.Version
			switch e.Operation {
			case roster.OpCreate, roster.OpRestore:
				alive++
			case roster.OpDelete:
				alive--
			}
		}
		if alive != holders {
			t.Errorf("the events leave %d users, the list has %d", alive, holders)
		}
	})
}
