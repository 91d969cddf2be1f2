package server_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/roster-scim/roster/scim"
)

// onAllRuleSets runs a test in a directory of each rule set on each database.
func onAllRuleSets(t *testing.T, fn func(t *testing.T, d *dir)) {
	t.Helper()
	onEach(t, func(t *testing.T, w *world) {
		for _, rs := range scim.RuleSetNames {
			t.Run(rs, func(t *testing.T) { fn(t, w.directory(t, rs)) })
		}
	})
}

// values are ids as a client sends members.
func values(ids ...string) []any {
	list := []any{}
	for _, id := range ids {
		list = append(list, object{"value": id})
	}
	return list
}

// team makes a group and returns its id.
func (d *dir) team(name string, ids ...string) string {
	d.t.Helper()
	return d.do("POST", "/Groups", group(name, ids...)).want(201).str("id")
}

// edit is one operation of a PATCH; nil leaves the path or the value out.
func edit(op string, path, value any) object {
	return with(object{"op": op}, "path", path, "value", value)
}

func (d *dir) patch(path string, ops ...object) *reply {
	d.t.Helper()
	return d.do("PATCH", path, object{"schemas": []string{scim.PatchOpURN}, "Operations": ops})
}

// values are those of a list in the body, sorted.
func (r *reply) values(attribute string) (ids []string) {
	r.t.Helper()
	list, _ := r.obj()[attribute].([]any)
	for _, m := range list {
		ids = append(ids, m.(object)["value"].(string))
	}
	slices.Sort(ids)
	return ids
}

// members checks that these, and no other, are the members in the body.
func (r *reply) members(want ...string) *reply {
	r.t.Helper()
	slices.Sort(want)
	if diff := cmp.Diff(r.values("members"), want); diff != "" {
		r.t.Errorf("%s: members (-got +want):\n%s", r.what, diff)
	}
	return r
}

// people makes n users.
func (d *dir) people(n int) (ids []string) {
	d.t.Helper()
	for i := range n {
		ids = append(ids, d.create(user(fmt.Sprint("user-", i, "-", uuid.NewString()), "displayName", fmt.Sprint("User ", i))))
	}
	return ids
}

func TestGroups_Lifecycle(t *testing.T) {
	onAllRuleSets(t, func(t *testing.T, d *dir) {
		p := d.people(3)
		made := d.do("POST", "/Groups", with(group("Engines", p[:2]...), "externalId", "E-1")).want(201)
		id := made.str("id")
		made.headerIs("Location", publicURL+d.path+"/Groups/"+id).members(p[:2]...).has("externalId", "E-1")
		m := made.obj()["members"].([]any)[0].(object)
		if want := publicURL + d.path + "/Users/" + m["value"].(string); m["$ref"] != want || m["type"] != "User" || m["display"] == "" {
			t.Errorf("a member is %v, want display, type and the $ref %s", m, want)
		}
		got := d.get("/Groups/" + id).want(200).members(p[:2]...)
		if diff := cmp.Diff(got.obj(), made.obj()); diff != "" {
			t.Errorf("GET and POST differ (-get +post):\n%s", diff)
		}
		list := d.get("/Groups?filter=" + url.QueryEscape(`displayName eq "ENGINES"`)).list()
		if len(list) != 1 || cmp.Diff(list[0], got.obj()) != "" {
			t.Errorf("the list has %v", list)
		}
		put := d.do("PUT", "/Groups/"+id, with(group("Engines", p[1:]...), "externalId", "E-1")).want(200).members(p[1:]...)
		if put.header.Get("Etag") == made.header.Get("Etag") {
			t.Error("another member, but the same ETag")
		}
		d.patch("/Groups/"+id, edit("add", "members", values(p[0]))).want(200).members(p...)
		d.do("DELETE", "/Groups/"+id, nil).want(204)
		d.get("/Groups/"+id).refused(404, "", id)
		d.do("DELETE", "/Groups/"+id, nil).refused(404, "")
		d.patch("/Groups/"+id, edit("add", "members", values(p[0]))).refused(404, "")
		d.do("PUT", "/Groups/"+id, group("Engines")).refused(404, "")
		for _, id := range p {
			if n := len(d.get("/Users/" + id).want(200).values("groups")); n != 0 {
				t.Errorf("a deleted group is still a group of its member: %d", n)
			}
		}
		d.team("engines") // the name is free
	})
}

// Each way in which a client may say who is a member, with the members p[0] and
// p[1] before it.
//
// Users ask for: a remove with a filter, or with a value, takes away whom it
// names, and nobody else.
func TestGroups_PatchMembers(t *testing.T) {
	onAllRuleSets(t, func(t *testing.T, d *dir) {
		p := d.people(4)
		strict := t.Name()[len(t.Name())-len(scim.Strict):] == scim.Strict
		eq := func(id string) string { return `members[value eq "` + id + `"]` }
		for name, tt := range map[string]struct {
			ops       []object
			want      []string
			tolerated bool // strict refuses it
		}{
			"add":                        {ops: []object{edit("add", "members", values(p[2], p[3]))}, want: p},
			"add one object":             {ops: []object{edit("add", "members", object{"value": p[2]})}, want: p[:3]},
			"add without a path":         {ops: []object{edit("add", nil, object{"members": values(p[2])})}, want: p[:3]},
			"add who is there":           {ops: []object{edit("add", "members", values(p[0], p[0]))}, want: p[:2]},
			"add with a type":            {ops: []object{edit("add", "members", []any{object{"value": p[2], "type": "User", "$ref": "x", "display": "y"}})}, want: p[:3]},
			"replace":                    {ops: []object{edit("replace", "members", values(p[1], p[2]))}, want: p[1:3]},
			"replace without a path":     {ops: []object{edit("replace", nil, object{"members": values(p[3])})}, want: p[3:]},
			"replace by nobody":          {ops: []object{edit("replace", "members", []any{})}},
			"replace by null":            {ops: []object{edit("replace", "members", null)}},
			"nobody, without a path":     {ops: []object{edit("replace", nil, object{"members": []any{}})}},
			"remove all":                 {ops: []object{edit("remove", "members", nil)}},
			"remove by filter":           {ops: []object{edit("remove", eq(p[0]), nil)}, want: p[1:2]},
			"remove two by filter":       {ops: []object{edit("remove", `members[value eq "`+p[0]+`" or value eq "`+p[1]+`"]`, nil)}},
			"remove who is not there":    {ops: []object{edit("remove", eq(p[3]), nil)}, want: p[:2]},
			"remove who does not exist":  {ops: []object{edit("remove", eq("nobody"), nil)}, want: p[:2]},
			"remove by value":            {ops: []object{edit("remove", "members", values(p[1]))}, want: p[:1], tolerated: true},
			"remove by one value":        {ops: []object{edit("remove", "members", object{"value": p[1]})}, want: p[:1], tolerated: true},
			"remove by an empty list":    {ops: []object{edit("remove", "members", []any{})}, want: p[:2], tolerated: true},
			"remove by text":             {ops: []object{edit("remove", "members", []string{p[0]})}, want: p[1:2], tolerated: true},
			"add by text":                {ops: []object{edit("add", "members", []string{p[2]})}, want: p[:3], tolerated: true},
			"add, then remove":           {ops: []object{edit("add", "members", values(p[2])), edit("remove", eq(p[2]), nil)}, want: p[:2]},
			"remove, then add":           {ops: []object{edit("remove", eq(p[0]), nil), edit("add", "members", values(p[0]))}, want: p[:2]},
			"remove all, then add":       {ops: []object{edit("remove", "members", nil), edit("add", "members", values(p[1], p[2]))}, want: p[1:3]},
			"one at a time":              {ops: []object{edit("add", "members", values(p[2])), edit("add", "members", values(p[3])), edit("remove", eq(p[0]), nil)}, want: p[1:]},
			"remove by type":             {ops: []object{edit("remove", `members[type eq "User"]`, nil)}},
			"remove by name":             {ops: []object{edit("remove", `members[value ne "`+p[0]+`"]`, nil)}, want: p[:1]},
			"replace one by another":     {ops: []object{edit("replace", eq(p[0]), object{"value": p[3]})}, want: []string{p[1], p[3]}},
			"capital letters in the URN": {ops: []object{edit("add", scim.GroupURN+":Members", values(p[2]))}, want: p[:3]},
		} {
			id := d.team(name, p[:2]...)
			r := d.patch("/Groups/"+id, tt.ops...)
			if tt.tolerated && strict {
				r.want(400)
				tt.want = p[:2]
			} else if r.want(200); (r.header.Get("Roster-Coerced") != "") != tt.tolerated {
				t.Errorf("%s: Roster-Coerced %q", name, r.header.Get("Roster-Coerced"))
			} else {
				r.members(tt.want...)
			}
			d.get("/Groups/" + id).members(tt.want...)
		}
	})
}

// Who is not there cannot become a member; the rule missingMember says what
// becomes of the request, which otherwise changes nothing.
func TestGroups_MissingMembers(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		for _, tt := range []struct {
			rules      string
			patch, put int
		}{
			{scim.Atlassian, 404, 400},
			{scim.Standard, 400, 400},
			{scim.Strict, 400, 400},
		} {
			d := w.directory(t, tt.rules)
			p := d.people(2)
			gone := d.people(1)[0]
			d.do("DELETE", "/Users/"+gone, nil).want(204)
			id := d.team("team", p[0])
			tag := d.get("/Groups/" + id).header.Get("Etag")
			typ := map[int]string{404: "", 400: scim.InvalidValue}
			for _, missing := range []string{"nobody", uuid.NewString(), gone, strings.Repeat("x", 5000)} {
				d.patch("/Groups/"+id, edit("add", "members", values(p[1], missing))).refused(tt.patch, typ[tt.patch])
				d.patch("/Groups/"+id, edit("replace", "members", values(p[1], missing))).refused(400, scim.InvalidValue)
				d.do("PUT", "/Groups/"+id, group("team", missing, p[1])).refused(tt.put, typ[tt.put])
				d.do("POST", "/Groups", group("other", missing)).refused(400, scim.InvalidValue)
			}
			d.get("/Groups/"+id).members(p[0]).headerIs("Etag", tag)
			d.get("/Groups").has("totalResults", 1.0)
		}
		d := w.directory(t, scim.Standard, `{"missingMember":"ignore"}`)
		p := d.people(2)
		id := d.do("POST", "/Groups", group("team", p[0], "nobody")).want(201).members(p[0]).
			headerIs("Roster-Ignored", `members[value eq "nobody"]`).str("id")
		d.patch("/Groups/"+id, edit("add", "members", values("nobody", p[1]))).want(200).members(p...).
			headerIs("Roster-Ignored", `members[value eq "nobody"]`)
		d.do("PUT", "/Groups/"+id, group("team", "nobody")).want(200).members()
	})
}

// Of users of another directory nobody can be a member.
func TestGroups_MembersOfAnotherDirectory(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		d, other := w.directory(t, scim.Standard), w.directory(t, scim.Standard)
		stranger, team := other.people(1)[0], other.team("theirs")
		id := d.team("ours")
		for _, foreign := range []string{stranger, team} {
			d.patch("/Groups/"+id, edit("add", "members", values(foreign))).refused(400, scim.InvalidValue)
			d.patch("/Groups/"+id, edit("remove", `members[value eq "`+foreign+`"]`, nil)).want(200)
		}
		other.patch("/Groups/"+id, edit("add", "members", values(stranger))).refused(404, "")
	})
}

// The name of a group is unique, without regard to case, where the rules say so.
func TestGroups_Names(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		for _, rs := range scim.RuleSetNames {
			d := w.directory(t, rs)
			first := d.team("Engines")
			r := d.do("POST", "/Groups", group("ENGINES"))
			if rs == scim.Atlassian {
				r.refused(409, scim.Uniqueness, "Resource [GROUP]: with displayName[ENGINES] already exists", first)
				// A group keeps its name there; the same one is no rename.
				d.patch("/Groups/"+first, edit("replace", "displayName", "Motors")).refused(400, scim.Mutability)
				d.do("PUT", "/Groups/"+first, group("Motors")).refused(400, scim.Mutability)
				d.patch("/Groups/"+first, edit("replace", "displayName", "Engines")).want(200)
				continue
			}
			r.want(201)
			d.patch("/Groups/"+first, edit("replace", "displayName", "Motors")).want(200).has("displayName", "Motors")
			d.do("PUT", "/Groups/"+first, group("Wheels")).want(200).has("displayName", "Wheels")
		}
		d := w.directory(t, scim.Standard, `{"uniqueGroupNames":true}`)
		first, second := d.team("Engines"), d.team("Motors")
		d.patch("/Groups/"+second, edit("replace", "displayName", "engines")).refused(409, scim.Uniqueness, first)
		d.do("DELETE", "/Groups/"+first, nil).want(204)
		d.patch("/Groups/"+second, edit("replace", "displayName", "engines")).want(200)
		d.team("Motors")
		for _, rs := range scim.RuleSetNames {
			d := w.directory(t, rs)
			d.do("POST", "/Groups", object{"schemas": []string{scim.GroupURN}}).refused(400, scim.InvalidValue, "displayName")
		}
	})
}

// A PUT without members empties the group, or under the atlassian rules keeps
// them; null and [] empty it everywhere.
//
// Users ask for: a client that does not send the members does not lose them by
// accident, and the rules say when it does.
func TestGroups_PutWithoutMembers(t *testing.T) {
	onAllRuleSets(t, func(t *testing.T, d *dir) {
		p := d.people(2)
		id := d.team("team", p...)
		r := d.do("PUT", "/Groups/"+id, with(group("team"), "members", nil)).want(200)
		if d.get("/Groups/"+id).header.Get("Roster-Rule-Set") == scim.Atlassian {
			r.members(p...)
		} else {
			r.members()
		}
		for _, none := range []any{null, []any{}} {
			d.do("PUT", "/Groups/"+id, group("team", p...)).want(200).members(p...)
			d.do("PUT", "/Groups/"+id, with(group("team"), "members", none)).want(200).members()
		}
	})
}

// A PATCH answers 200 with the group, or 204 with the ETag where it has more
// members than the rule answerMembers says.
func TestGroups_AnswerOfPatch(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		d := w.directory(t, scim.Standard, `{"answerMembers":2}`)
		p := d.people(3)
		id := d.team("team", p[0])
		d.patch("/Groups/"+id, edit("add", "members", values(p[1]))).want(200).members(p[:2]...)
		r := d.patch("/Groups/"+id, edit("add", "members", values(p[2]))).want(204).headerIs("Location", publicURL+d.path+"/Groups/"+id)
		if len(r.body) > 0 || r.header.Get("Etag") == "" {
			t.Errorf("204 with the ETag %q and the body %q", r.header.Get("Etag"), r.body)
		}
		// The tag of a 204 does for If-Match.
		d.do("PUT", "/Groups/"+id, with(group("team", p...), "externalId", "x"), "If-Match", r.header.Get("Etag")).want(200).members(p...)
		// Without members there is nothing to be large.
		d.patch("/Groups/"+id+"?excludedAttributes=members", edit("replace", "externalId", "y")).want(200).has("members", nil).has("externalId", "y")
		d.patch("/Groups/"+id+"?attributes=displayName", edit("replace", "externalId", "z")).want(200).has("members", nil).has("displayName", "team")
		d.patch("/Groups/"+id, edit("remove", `members[value eq "`+p[0]+`"]`, nil)).want(200).members(p[1:]...)
	})
}

func TestGroups_ExcludedMembers(t *testing.T) {
	onAllRuleSets(t, func(t *testing.T, d *dir) {
		p := d.people(2)
		id := d.team("team", p...)
		for _, path := range []string{"/Groups/" + id, "/Groups"} {
			for query, shown := range map[string]bool{"?excludedAttributes=members": false, "?attributes=displayName": false, "?attributes=members.value": true, "": true} {
				r := d.get(path + query).want(200)
				o := r.obj()
				if path == "/Groups" {
					o = r.list()[0]
				}
				if (o["members"] != nil) != shown {
					t.Errorf("%s: members are %v", r.what, o["members"])
				}
			}
		}
	})
}
