package server_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster/internal/server"
	"github.com/roster-scim/roster/scim"
)

func TestE17_TwoViews(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		d := w.directory(t, scim.Atlassian)
		for _, name := range []string{"department", "organization"} {
			id := d.create(user("ada "+name, name, "A"))
			put := func(top, ext any) *reply {
				t.Helper()
				body := user("ada "+name, name, top)
				if ext != nil {
					body[enterpriseURN] = object{name: ext}
				}
				return d.put(id, body).want(200)
			}
			is := func(r *reply, want any) *reply {
				t.Helper()
				r.has(name, want)
				if ext, _ := r.obj()[enterpriseURN].(object); ext[name] != want {
					t.Errorf("%s is %v in the extension, want %v", name, ext[name], want)
				}
				return r
			}
			is(d.get("/Users/"+id), "A")
			is(put("B", "A"), "B")      // the top was edited
			is(put("B", "C"), "C")      // the extension was
			is(put(nil, "D"), "D")      // one view alone is the value
			is(put("E", nil), "E")      //
			is(put("F", "F"), "F")      //
			r := is(put("G", "H"), "G") // both, and they disagree
			r.headerIs("Roster-Ignored", enterpriseURN+":"+name)
			is(put(null, "G"), nil) // an edit, too: cleared
			is(put("I", nil), "I")  //
			is(put(nil, nil), nil)  // left out in both: cleared
			is(put("J", "J"), "J")
			// Each view is shown by its own name.
			top := d.get("/Users/" + id + "?attributes=" + name)
			top.has(name, "J").has(enterpriseURN, nil)
			ext := d.get("/Users/" + id + "?attributes=" + enterpriseURN + ":" + name)
			ext.has(name, nil).has(enterpriseURN, object{name: "J"})
			out := d.get("/Users/" + id + "?excludedAttributes=" + name)
			out.has(name, nil).has(enterpriseURN, object{name: "J"})
		}
	})
}

func TestE18_Unknown(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		id := d.create(user("ada"))
		// The extensions as go-atlassian spells them.
		body := user("ada", "shoeSize", 42, "urn:ietf:params:scim:schemas:extension:enterprise:2.1:User", object{"department": "X"},
			"schemas", []string{userURN, "urn:example:nope"})
		for _, r := range []*reply{d.put(id, body).want(200), d.post(with(body, "userName", "bob", "emails", []any{object{"value": "b@corp.example", "primary": true}})).want(201)} {
			r.has("shoeSize", nil).has("department", nil).has(enterpriseURN, nil)
			for _, name := range []string{"shoeSize", "urn:ietf:params:scim:schemas:extension:enterprise:2.1:User"} {
				if got := r.header.Get("Roster-Ignored"); !strings.Contains(got, name) {
					t.Errorf("Roster-Ignored %q lacks %s", got, name)
				}
			}
		}
		s := d.w.directory(t, scim.Strict)
		sid := s.create(user("ada"))
		s.put(sid, body).refused(400, scim.InvalidSyntax)
		s.post(with(body, "userName", "bob")).refused(400, scim.InvalidSyntax)
	})
}

func TestE19_NotFound(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		for _, id := range []string{"nope", "01980c5e-5c1a-7d3e-9a51-6d1f0a9be001", "A b"} {
			want := "Resource [USER]: with id[" + id + "] not found."
			path := "/Users/" + url.PathEscape(id)
			for _, r := range []*reply{d.get(path), d.do("PUT", path, user("ada")), d.do("DELETE", path, nil)} {
				r.refused(404, "").has("detail", want)
			}
		}
		// Of another directory it is the same answer.
		other := d.w.directory(t, scim.Standard).create(user("ada"))
		d.get("/Users/"+other).refused(404, "").has("detail", "Resource [USER]: with id["+other+"] not found.")
		for _, id := range []string{"%00", "a%00b", "%ff", "..%2f..%2fetc", strings.Repeat("x", 5000)} {
			d.get("/Users/"+id).refused(404, "")
			d.do("DELETE", "/Users/"+id, nil).refused(404, "")
		}
	})
}

func TestE20_RateLimit(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		for _, rs := range ruleSets {
			d := w.directory(t, rs)
			limited := d.on(w.serveToo(t, server.Options{Rate: 0.01, Burst: 2}))
			for range 2 {
				limited.get("/Users").want(200)
			}
			r := limited.get("/Users").refused(429, "", "wait")
			if after := r.header.Get("Retry-After"); len(after) < 2 || after == "00" {
				t.Errorf("Retry-After %q, want about 100 seconds", after)
			}
			limited.put("x", user("ada")).want(429)
			limited.as(limited.newKey("users:read")).get("/Users").want(200) // a key of its own, a limit of its own
			for range 5 {
				d.get("/Users").want(200) // off by default
			}
		}
	})
}

// A request that was refused does not count.
func TestE20_RateLimitRecovers(t *testing.T) {
	t.Parallel()
	c := newClock()
	w := newWorld(t, nil, server.Options{Now: c.Now, Rate: 2, Burst: 1})
	d := w.directory(t, scim.Standard)
	for range 3 {
		d.get("/Users").want(200)
		for range 5 {
			d.get("/Users").refused(429, "").headerIs("Retry-After", "1")
		}
		c.pass(time.Second / 2)
	}
}

func TestE21_MediaTypes(t *testing.T) {
	w := onSQLite(t)
	for _, rs := range ruleSets {
		d := w.directory(t, rs)
		id := d.create(user("ada"))
		for _, ct := range []string{
			"", "application/scim+json", "application/json", "application/scim+json; charset=utf-8", "application/json;charset=UTF-8",
			"APPLICATION/JSON", "application/vnd.x+json",
		} {
			d.put(id, user("ada"), "Content-Type", ct).want(200).headerIs("Content-Type", "application/scim+json")
		}
		for _, ct := range []string{"text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json", ";"} {
			d.put(id, user("ada"), "Content-Type", ct).refused(415, "", "application/scim+json")
			d.post(user("bob"), "Content-Type", ct).refused(415, "")
		}
		for _, accept := range []string{"application/json", "application/scim+json;q=0.1, */*", "text/html", ""} {
			d.get("/Users/"+id, "Accept", accept).want(200).headerIs("Content-Type", "application/scim+json")
		}
		d.get("/Users", "Content-Type", "text/plain").want(200) // a GET has no body
	}
}

func TestE22_ScimSegment(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		alias := d.at(d.path + "/scim")
		r := alias.post(user("ada")).want(201)
		id, loc := r.str("id"), publicURL+d.path+"/Users/"+r.str("id")
		r.headerIs("Location", loc)
		for _, base := range []*dir{d, alias} {
			for _, r := range []*reply{base.get("/Users/" + id), base.put(id, user("ada")), base.get("/Users/" + id + "/")} {
				if got := r.want(200).obj()["meta"].(object)["location"]; got != loc {
					t.Errorf("location %v, want the canonical %s", got, loc)
				}
			}
			base.get("/Users?filter="+url.QueryEscape(`userName eq "ada"`)).has("totalResults", 1.0)
			base.get("/ServiceProviderConfig").want(200)
		}
		alias.do("DELETE", "/Users/"+id, nil).want(204)
	})
}

func TestE23_FailureBody(t *testing.T) {
	w := onSQLite(t)
	d := w.directory(t, scim.Atlassian)
	read := d.newKey("users:read")
	for _, r := range []*reply{
		d.as("").get("/Users").want(401), d.as("wrong").get("/Users").want(401),
		d.as(read).post(user("ada")).want(403),
	} {
		o := r.obj()
		trace, _ := o["traceId"].(string)
		text, _ := o["error"].(string)
		if len(o) != 2 || trace != r.header.Get("Roster-Request-Id") || len(trace) != 32 || text == "" {
			t.Errorf("%s: %s", r.what, r.body)
		}
		if want := map[int]string{401: "Unauthorized; ", 403: "Forbidden; "}[r.status]; !strings.HasPrefix(text, want) {
			t.Errorf("error %q does not begin with %q", text, want)
		}
		r.headerIs("Content-Type", "application/json")
	}
	// The management API speaks one form of error, whatever the directory.
	d.as("").api("GET", "/events", nil).refused(401, "")
	d.as(read).api("GET", "/events", nil).refused(403, "")
	s := w.directory(t, scim.Standard)
	s.as("").get("/Users").refused(401, "")
	s.as(s.newKey("users:read")).post(user("ada")).refused(403, "")
}

func TestE24_NoOrForeignKey(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		for _, auth := range []string{"", "Bearer", "Bearer ", "Basic " + d.key, d.key, "Bearer rk_x", "Bearer " + strings.Repeat("x", 5000)} {
			for _, path := range []string{"/Users", "/ServiceProviderConfig", "/Schemas", "/nope", "/Groups"} {
				r := d.as("").get(path, "Authorization", auth).want(401)
				if !strings.HasPrefix(r.header.Get("Www-Authenticate"), "Bearer") {
					t.Errorf("%q: WWW-Authenticate %q", auth, r.header.Get("Www-Authenticate"))
				}
			}
		}
		d.get("/Users", "Authorization", "bEARER  "+d.key).want(200) // in any case
		for auth, want := range map[string]string{"": "header is missing", "Bearer ": "has no Bearer token", d.key: "has no Bearer token", "Bearer rk_x": "the key is not known here"} {
			if r := d.as("").get("/Users", "Authorization", auth).want(401); !strings.Contains(string(r.body), want) {
				t.Errorf("%q: got %s, want %q", auth, r.body, want)
			}
		}

		// A foreign directory and one that there is not: the same but for the id.
		id := d.create(user("ada"))
		stranger := d.w.directory(t, scim.Standard)
		unknown := d.at("/scim/directory/2fb21891-7bee-4f6b-a3a5-0c51e2a9b1f4")
		for _, path := range []string{"/Users", "/Users/" + id, "/ServiceProviderConfig", "/Groups", "/nope"} {
			foreign, none := d.as(stranger.key).get(path).refused(404, ""), unknown.as(stranger.key).get(path).refused(404, "")
			if got, want := strings.ReplaceAll(string(foreign.body), d.id, "ID"), strings.ReplaceAll(string(none.body), unknown.path[len("/scim/directory/"):], "ID"); got != want {
				t.Errorf("%s: %s\nis not %s", path, got, want)
			}
			foreign.header.Del("Roster-Request-Id")
			none.header.Del("Roster-Request-Id")
			foreign.header.Del("Date")
			none.header.Del("Date")
			foreign.header.Del("Content-Length")
			none.header.Del("Content-Length")
			if diff := cmp.Diff(foreign.header, none.header); diff != "" {
				t.Errorf("%s: the headers tell a foreign directory from none:\n%s", path, diff)
			}
		}
		before := d.state()
		d.as(stranger.key).put(id, user("eve")).refused(404, "")
		d.as(stranger.key).do("DELETE", "/Users/"+id, nil).refused(404, "")
		d.as(stranger.key).api("GET", "/events", nil).refused(404, "")
		if d.state() != before {
			t.Error("a foreign key changed something")
		}
	})
}
