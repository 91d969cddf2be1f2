package server_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/scim"
)

// kinds are the groups in the body of a user, as "name: type", sorted.
func (r *reply) kinds() (list []string) {
	r.t.Helper()
	groups, _ := r.obj()["groups"].([]any)
	for _, g := range groups {
		o := g.(object)
		list = append(list, fmt.Sprint(o["display"], ": ", o["type"]))
	}
	slices.Sort(list)
	return list
}

// inGroups checks the groups in the body of a user.
func (r *reply) inGroups(want ...string) *reply {
	r.t.Helper()
	if diff := cmp.Diff(r.kinds(), want); diff != "" {
		r.t.Errorf("%s: groups (-got +want):\n%s", r.what, diff)
	}
	return r
}

// Every answer with a user has its groups, each with value, display, type and
// $ref.
func TestUserGroups_OnEveryAnswer(t *testing.T) {
	onAllRuleSets(t, func(t *testing.T, d *dir) {
		made := d.post(user("ada")).want(201).inGroups()
		id := made.str("id")
		engines, motors := d.team("Engines", id), d.team("Motors", id)
		want := []string{"Engines: direct", "Motors: direct"}
		r := d.get("/Users/" + id).want(200).inGroups(want...)
		for _, g := range r.obj()["groups"].([]any) {
			o := g.(object)
			if v := o["value"]; v != engines && v != motors || o["$ref"] != publicURL+d.path+"/Groups/"+v.(string) {
				t.Errorf("a group is %v", o)
			}
		}
		d.put(id, user("ada", "title", "1")).want(200).inGroups(want...)
		d.patch("/Users/"+id, edit("replace", "title", "2")).want(200).inGroups(want...)
		d.patch("/Users/"+id, edit("replace", "title", "2")).want(200).inGroups(want...) // nothing
		if list := d.get("/Users").list(); len(list[0]["groups"].([]any)) != 2 {
			t.Errorf("the list has the groups %v", list[0]["groups"])
		}
		for query, n := range map[string]int{"?excludedAttributes=groups": 0, "?attributes=userName": 0, "?attributes=groups.display": 2} {
			if got := len(d.get("/Users/" + id + query).kinds()); got != n {
				t.Errorf("%s: %d groups, want %d", query, got, n)
			}
		}
		// A client cannot write them: what it sends is not taken.
		d.put(id, user("ada", "groups", []any{object{"value": motors}})).want(200).inGroups(want...)
		d.do("DELETE", "/Groups/"+motors, nil).want(204)
		d.get("/Users/" + id).inGroups(want[:1]...)
		d.patch("/Groups/"+engines, edit("remove", "members", nil)).want(200)
		d.get("/Users/" + id).inGroups()
	})
}

// Users ask for: groups in groups. A user is in those that its groups are in,
// indirectly, however long the way, and be it a circle.
// By the rule relativeReferences a $ref is resolved against the directory's URL.
func TestGroups_RelativeReferences(t *testing.T) {
	w := onSQLite(t)
	d := w.directory(t, scim.Standard, `{"relativeReferences":true}`)
	id := d.create(user("ada"))
	inner := d.team("inner", id)
	outer := d.team("outer", inner)
	for _, tt := range []struct{ path, attribute, want string }{
		{"/Groups/" + inner, "members", "Users/" + id},
		{"/Groups/" + outer, "members", "Groups/" + inner},
		{"/Users/" + id + "?attributes=groups.$ref", "groups", "Groups/" + inner},
	} {
		list := d.get(tt.path).want(200).obj()[tt.attribute].([]any)
		if !slices.ContainsFunc(list, func(v any) bool { return v.(object)["$ref"] == tt.want }) {
			t.Errorf("%s: %s are %v, want a $ref of %s", tt.path, tt.attribute, list, tt.want)
		}
		d.get("/" + tt.want).want(200)
	}
	if got := d.get("/Users/" + id).obj()["meta"].(object)["location"]; got != publicURL+d.path+"/Users/"+id {
		t.Errorf("the location is %v", got)
	}
	// What was read can be sent back.
	d.do("PUT", "/Groups/"+inner, d.get("/Groups/"+inner).obj()).want(200).members(id)
}

func TestGroups_Nested(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		for _, rs := range []string{scim.Standard, scim.Strict} {
			d := w.directory(t, rs)
			id := d.create(user("ada"))
			inner := d.team("inner", id)
			middle := d.team("middle", inner)
			outer := d.team("outer", middle)
			m := d.get("/Groups/" + outer).members(middle).obj()["members"].([]any)[0].(object)
			if m["type"] != "Group" || m["display"] != "middle" || m["$ref"] != publicURL+d.path+"/Groups/"+middle {
				t.Errorf("a group in a group is %v", m)
			}
			want := []string{"inner: direct", "middle: indirect", "outer: indirect"}
			d.get("/Users/" + id).inGroups(want...)
			if list := d.get("/Users").list(); len(list[0]["groups"].([]any)) != 3 {
				t.Errorf("the list has the groups %v", list[0]["groups"])
			}
			// A circle, and a group that is its own member.
			d.patch("/Groups/"+inner, edit("add", "members", values(outer, inner))).want(200).members(id, outer, inner)
			d.get("/Users/" + id).want(200).inGroups(want...)
			d.patch("/Groups/"+outer, edit("add", "members", values(id))).want(200)
			d.get("/Users/"+id).inGroups("inner: direct", "middle: indirect", "outer: direct")
			// A group that is deleted leaves those it is in, and the way through it ends.
			tag := d.get("/Groups/" + outer).header.Get("Etag")
			d.do("DELETE", "/Groups/"+middle, nil).want(204)
			if r := d.get("/Groups/" + outer).members(id); r.header.Get("Etag") == tag {
				t.Error("a member was deleted, but the ETag is the same")
			}
			d.patch("/Groups/"+outer, edit("remove", "members", nil)).want(200)
			d.get("/Users/" + id).inGroups("inner: direct")
			d.patch("/Groups/"+inner, edit("remove", `members[type eq "Group"]`, nil)).want(200).members(id)
			// One that is in itself and in a circle can be deleted.
			d.patch("/Groups/"+inner, edit("add", "members", values(inner, outer))).want(200)
			d.patch("/Groups/"+outer, edit("add", "members", values(inner))).want(200)
			d.do("DELETE", "/Groups/"+inner, nil).want(204)
			d.get("/Groups/" + outer).members()
			d.get("/Users/" + id).inGroups()
		}
		d := w.directory(t, scim.Atlassian)
		inner := d.team("inner")
		d.do("POST", "/Groups", group("outer", inner)).refused(400, scim.InvalidValue, "nestedGroups")
		outer := d.team("outer")
		d.patch("/Groups/"+outer, edit("add", "members", values(inner))).refused(400, scim.InvalidValue, "nestedGroups")
		d.do("PUT", "/Groups/"+outer, group("outer", inner)).refused(400, scim.InvalidValue, "nestedGroups")
	})
}

// The ETag of a GET covers what it shows of groups and members; If-Match
// compares the version alone, which memberships of a user do not touch.
func TestETag_CoversLinks(t *testing.T) {
	onAllRuleSets(t, func(t *testing.T, d *dir) {
		id := d.create(user("ada", "displayName", "Ada"))
		first := d.get("/Users/" + id).header.Get("Etag")
		team := d.team("Engines", id)
		seen := map[string]bool{first: true}
		fresh := func(path string) string {
			t.Helper()
			tag := d.get(path).want(200).header.Get("Etag")
			if seen[tag] {
				t.Errorf("%s has the ETag %s again", path, tag)
			}
			seen[tag] = true
			d.get(path, "If-None-Match", tag).want(304)
			for old := range seen {
				if old != tag {
					d.get(path, "If-None-Match", old).want(200)
				}
			}
			return tag
		}
		fresh("/Users/" + id)
		other := d.team("Motors", id)
		tag := fresh("/Users/" + id)
		// Both are of version 1.
		d.put(id, user("ada", "displayName", "Ada", "title", "1"), "If-Match", first).want(200)
		d.put(id, user("ada", "displayName", "Ada", "title", "2"), "If-Match", tag).refused(412, "")
		fresh("/Users/" + id)
		d.patch("/Groups/"+other, edit("remove", "members", nil)).want(200)
		tag = fresh("/Users/" + id)
		d.put(id, user("ada", "displayName", "Ada", "title", "1"), "If-Match", tag).want(200)

		// A group shows the names of its members.
		seen = map[string]bool{}
		tag = fresh("/Groups/" + team)
		body := user("ada", "displayName", "Augusta", "title", "1")
		if d.get("/Users/"+id).header.Get("Roster-Rule-Set") == scim.Atlassian {
			body["userName"] = "augusta"
		}
		d.put(id, body).want(200)
		r := d.get("/Groups/"+team, "If-None-Match", tag).want(200)
		if got := r.obj()["members"].([]any)[0].(object)["display"]; got != "Augusta" && got != "augusta" {
			t.Errorf("the member is shown as %v after its rename", got)
		}
		fresh("/Groups/" + team)
		d.do("PUT", "/Groups/"+team, with(group("Engines", id), "externalId", "x"), "If-Match", tag).want(200) // the version is the same
	})
}

// version returns the version of a group, from its history.
func (d *dir) version(id string) (v int64) {
	d.t.Helper()
	for _, e := range d.events() {
		if e.Resource == id {
			v = max(v, e.Version)
		}
	}
	return v
}

// A membership change is a change of the group: it has a version and an event,
// which says who came and who left, and never lists who stayed. What changes
// nothing has neither.
func TestGroups_VersionsAndEvents(t *testing.T) {
	onAllRuleSets(t, func(t *testing.T, d *dir) {
		p := d.people(4)
		id := d.team("team", p[:2]...)
		path := "/Groups/" + id
		member := func(id string) string { return `[{"value":"` + id + `"}]` }
		for i, step := range []struct {
			send          func() *reply
			before, after string // of the members in the event
		}{
			{func() *reply { return d.patch(path, edit("add", "members", values(p[0], p[2]))) }, "", member(p[2])},
			{func() *reply { return d.patch(path, edit("remove", `members[value eq "`+p[0]+`"]`, nil)) }, member(p[0]), ""},
			{func() *reply { return d.patch(path, edit("replace", "members", values(p[1], p[3]))) }, member(p[2]), member(p[3])},
			{func() *reply { return d.do("PUT", path, group("team", p[3], p[0])) }, member(p[1]), member(p[0])},
			{func() *reply { return d.patch(path, edit("remove", `members[value eq "`+p[0]+`"]`, nil)) }, member(p[0]), ""},
			{func() *reply { return d.do("DELETE", "/Users/"+p[3], nil) }, member(p[3]), ""},
			{func() *reply { return d.api("POST", "/trash/"+p[3]+"/restore", nil) }, "", member(p[3])},
		} {
			send := step.send()
			if send.status != 200 && send.status != 204 {
				t.Fatalf("%s: status %d\n%s", send.what, send.status, send.body)
			}
			if got, want := d.version(id), int64(i+2); got != want {
				t.Fatalf("%s: version %d, want %d", send.what, got, want)
			}
			var last *roster.Event
			for _, e := range d.events() {
				if e.Resource == id {
					last = e
				}
			}
			want := []roster.Change{{Attribute: "members"}}
			if step.before != "" {
				want[0].Before = []byte(step.before)
			}
			if step.after != "" {
				want[0].After = []byte(step.after)
			}
			if diff := cmp.Diff(last.Changes, want); diff != "" {
				t.Errorf("%s: the event (-got +want):\n%s", send.what, diff)
			}
			if last.Request != send.header.Get("Roster-Request-Id") || last.Key == "" {
				t.Errorf("%s: the event does not say who: %+v", send.what, last)
			}
		}
		d.get(path).members(p[3])
		before := d.get(path)
		version := d.version(id)
		for _, r := range []*reply{
			d.patch(path, edit("add", "members", values(p[3]))),
			d.patch(path, edit("remove", `members[value eq "`+p[0]+`"]`, nil)),
			d.patch(path, edit("replace", "members", values(p[3]))),
			d.patch(path, edit("add", "members", values(p[0])), edit("remove", `members[value eq "`+p[0]+`"]`, nil)),
			d.patch(path, edit("replace", "displayName", "team")),
			d.do("PUT", path, group("team", p[3])),
		} {
			if diff := cmp.Diff(r.want(200).obj(), before.obj()); diff != "" {
				t.Errorf("%s changed something (-got +want):\n%s", r.what, diff)
			}
		}
		if got := d.version(id); got != version {
			t.Errorf("what changes nothing made version %d of %d", got, version)
		}
	})
}

// A user that is deleted is in no group any more; restored, it is in those that
// there still are. A group comes back with the members that there still are.
func TestGroups_Restore(t *testing.T) {
	onAllRuleSets(t, func(t *testing.T, d *dir) {
		p := d.people(3)
		stays, goes := d.team("stays", p...), d.team("goes", p...)
		d.do("DELETE", "/Users/"+p[0], nil).want(204)
		d.get("/Groups/" + stays).members(p[1:]...)
		d.get("/Groups/" + goes).members(p[1:]...)
		d.do("DELETE", "/Groups/"+goes, nil).want(204)
		d.api("POST", "/trash/"+p[0]+"/restore", nil).want(200).inGroups("stays: direct")
		d.get("/Groups/" + stays).members(p...)

		d.do("DELETE", "/Users/"+p[1], nil).want(204)
		d.api("POST", "/trash/"+goes+"/restore", nil).want(200).has("displayName", "goes").members(p[2])
		d.get("/Users/"+p[2]).inGroups("goes: direct", "stays: direct")
		// Nobody has to be read to see who was in it.
		d.api("POST", "/trash/"+goes+"/restore", nil).refused(404, "")
		d.api("DELETE", "/trash/"+goes, nil).refused(409, "", goes) // it is not deleted
		d.do("DELETE", "/Groups/"+goes, nil).want(204)
		d.api("DELETE", "/trash/"+goes, nil).want(200)
		d.api("POST", "/trash/"+goes+"/restore", nil).refused(404, "")
	})
}

// The groups of a user are shown to keys that may read groups, the members of a
// group to keys that may read users.
func TestGroups_Scopes(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		d := w.directory(t, scim.Standard)
		id := d.create(user("ada"))
		team := d.team("Engines", id)
		users := d.as(d.newKey(roster.ScopeUsersWrite))
		users.get("/Users/"+id).want(200).has("groups", nil).headerIs("Etag", `W/"1"`)
		users.get("/Users?attributes=userName,groups").want(200)
		users.patch("/Users/"+id, edit("replace", "title", "1")).want(200).has("groups", nil)
		users.get("/Groups/"+team).refused(403, "")
		users.get("/Groups").refused(403, "")
		users.patch("/Groups/"+team, edit("add", "members", values(id))).refused(403, "")
		groups := d.as(d.newKey(roster.ScopeGroupsWrite))
		groups.get("/Groups/"+team).want(200).has("members", nil).has("displayName", "Engines")
		groups.patch("/Groups/"+team, edit("remove", "members", nil)).want(200).has("members", nil)
		groups.get("/Users/"+id).refused(403, "")
		// A filter that is answered by a refusal or another is an answer too.
		groups.patch("/Groups/"+team, edit("remove", `members[display sw "a"]`, nil)).refused(403, "")
		groups.patch("/Groups/"+team, edit("replace", `members[display sw "a"]`, object{"value": team})).refused(403, "")
		groups.patch("/Groups/"+team, edit("remove", `members[value eq "`+id+`"]`, nil)).want(200)
		reads := d.as(d.newKey(roster.ScopeGroupsRead))
		reads.get("/Groups/" + team).want(200)
		reads.patch("/Groups/"+team, edit("remove", "members", nil)).refused(403, "")
		reads.do("DELETE", "/Groups/"+team, nil).refused(403, "")
		both := d.as(d.newKey(roster.ScopeGroupsWrite, roster.ScopeUsersRead))
		both.patch("/Groups/"+team, edit("add", "members", values(id))).want(200).members(id)
		both.patch("/Groups/"+team, edit("remove", `members[display sw "a"]`, nil)).want(200).members()
	})
}

// A PATCH that is repeated with its Idempotency-Key is done once.
func TestGroups_PatchIdempotency(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		p := d.people(2)
		id := d.team("team")
		send := func(key, member string) *reply {
			return d.do("PATCH", "/Groups/"+id, object{"schemas": []string{scim.PatchOpURN}, "Operations": []object{edit("add", "members", values(member))}}, "Idempotency-Key", key)
		}
		first := send("one", p[0]).want(200).members(p[0])
		d.patch("/Groups/"+id, edit("replace", "members", values(p[1]))).want(200)
		again := send("one", p[0]).want(200).headerIs("Idempotency-Replayed", "true").headerIs("Etag", first.header.Get("Etag"))
		if diff := cmp.Diff(again.obj(), first.obj()); diff != "" {
			t.Errorf("(-again +first):\n%s", diff)
		}
		d.get("/Groups/" + id).members(p[1])
		send("one", p[1]).refused(422, "")
		send("two", p[0]).want(200).members(p...)
	})
}
