package server_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/server"
	"github.com/roster-scim/roster/scim"
)

// group makes a group and returns its id.
func (d *dir) group(name string, members ...string) string {
	d.t.Helper()
	return d.do("POST", "/Groups", groupBody(name, members...)).want(201).str("id")
}

func groupBody(name string, members ...string) object {
	list := []object{}
	for _, id := range members {
		list = append(list, object{"value": id})
	}
	return object{"displayName": name, "members": list}
}

// members returns the ids of the members of a group.
func (d *dir) members(id string) (ids []string) {
	d.t.Helper()
	list, _ := d.get("/Groups/" + id).want(200).obj()["members"].([]any)
	for _, m := range list {
		ids = append(ids, m.(object)["value"].(string))
	}
	return ids
}

// groupsOf returns the names of the groups of a user.
func (d *dir) groupsOf(id string) (names []string) {
	d.t.Helper()
	list, _ := d.get("/Users/" + id).want(200).obj()["groups"].([]any)
	for _, g := range list {
		names = append(names, g.(object)["display"].(string))
	}
	return names
}

// seqs returns the seqs of the events of a resource, by version from 1.
func (d *dir) seqs(id string) (seqs []string) {
	d.t.Helper()
	for _, e := range d.api("GET", "/resources/"+id+"/history", nil).want(200).obj()["events"].([]any) {
		seqs = append(seqs, fmt.Sprintf("%.0f", e.(object)["seq"]))
	}
	slices.Reverse(seqs)
	return seqs
}

// Users and groups are listed in the trash with type and name; a restored user
// rejoins its groups, a restored group gets back its members that still exist.
func TestTrash_UsersAndGroups(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		ada, bob, eve := d.create(user("ada")), d.create(user("bob")), d.create(user("eve"))
		staff, board := d.group("Staff", ada, bob, eve), d.group("Board", ada)
		d.do("DELETE", "/Users/"+ada, nil).want(204)
		d.do("DELETE", "/Groups/"+staff, nil).want(204)
		d.do("DELETE", "/Users/"+eve, nil).want(204)
		var got []string
		for _, it := range d.api("GET", "/trash", nil).want(200).obj()["trash"].([]any) {
			it := it.(object)
			got = append(got, fmt.Sprint(it["id"], it["type"], it["name"]))
		}
		if diff := cmp.Diff(got, []string{ada + "Userada", eve + "Usereve", staff + "GroupStaff"}); diff != "" {
			t.Errorf("the trash (-got +want):\n%s", diff)
		}
		d.api("DELETE", "/trash/"+board, nil).refused(409, "", "GROUP", board)

		d.api("POST", "/trash/"+ada+"/restore", nil).want(200)
		if diff := cmp.Diff(d.groupsOf(ada), []string{"Board"}); diff != "" {
			t.Errorf("groups of the restored user (-got +want):\n%s", diff)
		}
		r := d.api("POST", "/trash/"+staff+"/restore", nil).want(200)
		r.headerIs("Location", publicURL+d.path+"/Groups/"+staff)
		if o := r.obj(); o["displayName"] != "Staff" || len(o["members"].([]any)) != 1 {
			t.Errorf("the restored group: %s", r.body)
		}
		// Ada had left before the group was deleted, and Eve is deleted.
		if diff := cmp.Diff(d.members(staff), []string{bob}); diff != "" {
			t.Errorf("members of the restored group (-got +want):\n%s", diff)
		}
		ops := []any{}
		for _, e := range d.api("GET", "/resources/"+staff+"/history", nil).want(200).obj()["events"].([]any) {
			ops = append(ops, e.(object)["operation"])
		}
		if diff := cmp.Diff(ops, []any{"restore", "delete", "patch", "create"}); diff != "" {
			t.Errorf("history of the group (-got +want):\n%s", diff)
		}
		d.do("DELETE", "/Groups/"+staff, nil).want(204)
		d.api("DELETE", "/trash/"+staff, nil).want(200).has("events", 5.0)
		d.api("GET", "/resources/"+staff+"/history", nil).refused(404, "")
		if r := d.api("GET", "/events", nil).want(200); bytes.Contains(r.body, []byte("Staff")) {
			t.Errorf("a purged group still has its name: %s", r.body)
		}
	})
}

func TestUndo(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		d := w.directory(t, scim.Standard)
		id := d.create(user("ada", "title", "Engineer", "nickName", "A"))
		d.put(id, user("ada", "title", "CTO", "name", object{"givenName": "Ada"})).want(200)
		before := d.get("/Users/" + id).obj()
		two := d.seqs(id)[1]
		plan := d.api("POST", "/events/"+two+"/undo?plan=true", nil).want(200).obj()
		want := object{
			"event": plan["event"], "resourceType": "User", "resource": id, "version": 2.0, "operation": "patch",
			"changes": []any{change("name.givenName", "Ada", nil), change("nickName", nil, "A"), change("title", "CTO", "Engineer")},
		}
		if diff := cmp.Diff(plan, want); diff != "" {
			t.Errorf("the plan (-got +want):\n%s", diff)
		}
		if diff := cmp.Diff(d.get("/Users/"+id).obj(), before); diff != "" {
			t.Errorf("the plan changed something:\n%s", diff)
		}
		d.api("POST", "/events/"+two+"/undo", nil, "If-Match", `W/"1"`).refused(412, "")
		done := d.api("POST", "/events/"+two+"/undo", nil, "If-Match", `W/"2"`).want(200)
		want["version"] = 3.0
		if diff := cmp.Diff(done.obj(), want); diff != "" {
			t.Errorf("done (-got +want):\n%s", diff)
		}
		list := d.api("GET", "/resources/"+id+"/history?limit=1", nil).obj()["events"].([]any)
		if e := list[0].(object); len(list) != 1 || fmt.Sprintf("%.0f", e["undoes"]) != two || e["operation"] != "patch" || e["request"] != done.header.Get("Roster-Request-Id") {
			t.Errorf("the event of the undo: %v", list)
		}
		d.api("POST", "/events/"+two+"/undo", nil).want(200).has("operation", nil)

		d.put(id, user("ada", "title", "CEO")).want(200)
		d.api("POST", "/events/"+d.seqs(id)[2]+"/undo", nil).refused(409, "", "title", d.seqs(id)[3])
		forced := d.api("POST", "/events/"+d.seqs(id)[2]+"/undo?force=true", nil).want(200)
		if got := forced.obj()["overridden"]; len(got.([]any)) != 1 {
			t.Errorf("overridden: %v", got)
		}
		for _, path := range []string{"/events/nope/undo", "/events/0/undo", "/events/-1/undo", "/events/9223372036854775807/undo", "/events/99999999999999999999/undo"} {
			d.api("POST", path, nil).refused(404, "")
		}
		for _, q := range []string{"?plan=1", "?force=yes"} {
			d.api("POST", "/events/"+two+"/undo"+q, nil).refused(400, scim.InvalidValue)
		}

		// A group's event is for who may write groups.
		staff := d.group("Staff", id)
		writer := d.as(d.newKey(roster.ScopeEventsRead, roster.ScopeUsersWrite))
		writer.api("POST", "/events/"+d.seqs(staff)[0]+"/undo?plan=true", nil).refused(403, "", "groups:write")
		d.do("DELETE", "/Users/"+id, nil).want(204)
		seqs := d.seqs(id)
		writer.api("POST", "/events/"+seqs[len(seqs)-1]+"/undo", nil).refused(403, "", "admin")
		d.as(d.newKey(roster.ScopeUsersWrite)).api("POST", "/events/"+two+"/undo", nil).refused(403, "", "events:read")
		d.api("POST", "/events/"+seqs[len(seqs)-1]+"/undo", nil).want(200).has("operation", "restore")
		if diff := cmp.Diff(d.members(staff), []string{id}); diff != "" {
			t.Errorf("members after the delete was undone (-got +want):\n%s", diff)
		}
	})
}

// A request that waits is answered when the first event comes, and has it once.
func TestEvents_Wait(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		d := w.directory(t, scim.Standard)
		answers := make(chan *reply)
		wait := func(after string) {
			r, err := d.at("/api/v1/directories/"+d.id).try(t.Context(), "GET", "/events?wait=60&after="+after, nil)
			if err != nil {
				t.Error(err)
				r = &reply{}
			}
			r.t = t
			answers <- r
		}
		after := "0"
		for i := range 3 {
			for range 4 {
				go wait(after)
			}
			id := d.create(user(fmt.Sprint("u", i)))
			next := ""
			for range 4 {
				o := (<-answers).want(200).obj()
				list := o["events"].([]any)
				if len(list) != 1 || list[0].(object)["resource"] != id {
					t.Fatalf("after %s: %v, want the event of %s", after, list, id)
				}
				next = fmt.Sprintf("%.0f", o["next"])
			}
			after = next
		}
		// One that has come already is there at once, and no time is no wait.
		if n := len(d.api("GET", "/events?wait=60&after=0", nil).want(200).obj()["events"].([]any)); n != 3 {
			t.Errorf("%d events, want 3", n)
		}
		o := d.api("GET", "/events?wait=1&after="+after, nil).want(200).obj()
		if len(o["events"].([]any)) != 0 || fmt.Sprintf("%.0f", o["next"]) != after {
			t.Errorf("when the time is up: %v", o)
		}
		for _, q := range []string{"?wait=x", "?last=x", "?last=1&after=0", "?last=1&wait=1"} {
			d.api("GET", "/events"+q, nil).refused(400, scim.InvalidValue)
		}
		for q, n := range map[string]int{"?last=2": 2, "?last=99999999999999999999": 3, "?wait=-1": 3, "?last=0": 3} {
			if got := d.api("GET", "/events"+q, nil).want(200).obj(); len(got["events"].([]any)) != n || fmt.Sprintf("%.0f", got["next"]) != after {
				t.Errorf("%s: %v, want %d events", q, got, n)
			}
		}
	})
}

// No more than MaxWaiters wait; who goes makes room; the end of the server
// answers all.
func TestEvents_WaitersAreBounded(t *testing.T) {
	w := onSQLite(t)
	d := w.directory(t, scim.Standard)
	s := server.New(server.Options{Directories: w.dirs, PublicURL: publicURL, Log: slog.New(slog.DiscardHandler)})
	srv := newListener(s.Handler())
	t.Cleanup(srv.Close)
	at := d.on(&world{url: srv.URL}).at("/api/v1/directories/" + d.id)
	type end struct {
		status        int
		retry         string
		leaving, gone bool
	}
	ends := make(chan end)
	ctx, leave := context.WithCancel(t.Context())
	const leaving = 3
	for i := range server.MaxWaiters + 1 {
		go func() {
			e, of := end{leaving: i < leaving}, t.Context()
			if e.leaving {
				of = ctx
			}
			r, err := at.try(of, "GET", "/events?wait=60", nil)
			if e.gone = err != nil; !e.gone {
				e.status, e.retry = r.status, r.header.Get("Retry-After")
			}
			ends <- e
		}()
	}
	// One of them is refused, and the others stay.
	refused := <-ends
	if refused.status != 429 || refused.retry == "" {
		t.Fatalf("got %+v, want a 429 with Retry-After", refused)
	}
	left := leaving
	if refused.leaving {
		left--
	}
	leave()
	for range left {
		if e := <-ends; !e.gone {
			t.Errorf("got %+v, want the end of a client that has gone", e)
		}
	}
	// The place of who has gone is free once the server has seen that.
	soon, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for status := 429; status == 429; {
		r, err := at.try(soon, "GET", "/events?wait=1", nil)
		if err != nil {
			t.Fatalf("no place became free: %v", err)
		}
		status = r.status
	}
	s.Drain()
	for range server.MaxWaiters - left {
		if e := <-ends; e.status != 200 {
			t.Errorf("at the end of the server: %+v, want a 200", e)
		}
	}
	if r := at.get("/events?wait=60").want(200); strings.Contains(string(r.body), `"seq"`) {
		t.Errorf("who comes after that: %s", r.body)
	}
}

// A wait outlives the timeouts of the server, which are for those who do
// something.
func TestEvents_WaitOutlivesTimeouts(t *testing.T) {
	w := onSQLite(t)
	d := w.directory(t, scim.Standard)
	s := server.New(server.Options{Directories: w.dirs, PublicURL: publicURL, Log: slog.New(slog.DiscardHandler)})
	srv := httptest.NewUnstartedServer(s.Handler())
	// Long enough for a busy machine to read the request.
	srv.Config.ReadTimeout, srv.Config.WriteTimeout = 5*time.Second, 5*time.Second
	srv.Start()
	t.Cleanup(srv.Close)
	at := d.on(&world{url: srv.URL}).at("/api/v1/directories/" + d.id)
	if o := at.get("/events?wait=6").want(200).obj(); len(o["events"].([]any)) != 0 {
		t.Errorf("events: %v", o)
	}
}
