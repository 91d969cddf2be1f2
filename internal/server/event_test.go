package server_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster/internal/server"
	"github.com/roster-scim/roster/scim"
)

// change is one attribute in an event.
func change(attribute string, before, after any) object {
	o := object{"attribute": attribute}
	if before != nil {
		o["before"] = before
	}
	if after != nil {
		o["after"] = after
	}
	return o
}

func TestEvents_BeforeAndAfter(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		d := w.directory(t, scim.Standard)
		emails := user("ada")["emails"]
		id := d.create(user("ada", "title", "Engineer", "nickName", "A"))
		put := d.put(id, user("ada", "title", "CTO", enterpriseURN, object{"department": "R&D"})).want(200)
		d.put(id, user("ada", "title", "CTO", enterpriseURN, object{"department": "R&D"})).want(200) // nothing, so no event
		d.do("DELETE", "/Users/"+id, nil).want(204)
		d.api("POST", "/trash/"+id+"/restore", nil).want(200)

		department := enterpriseURN + ":department"
		want := [][]any{
			{change("userName", nil, "ada"), change("nickName", nil, "A"), change("title", nil, "Engineer"), change("active", nil, true), change("emails", nil, emails)},
			{change("nickName", "A", nil), change("title", "Engineer", "CTO"), change(department, nil, "R&D")},
			{change("userName", "ada", nil), change("title", "CTO", nil), change("active", true, nil), change("emails", emails, nil), change(department, "R&D", nil)},
			{change("userName", nil, "ada"), change("title", nil, "CTO"), change("active", nil, true), change("emails", nil, emails), change(department, nil, "R&D")},
		}
		ops := []string{"create", "replace", "delete", "restore"}
		for _, path := range []string{"/events", "/users/" + id + "/history"} {
			list := d.api("GET", path, nil).want(200).obj()["events"].([]any)
			if len(list) != 4 {
				t.Fatalf("%s: %d events, want 4", path, len(list))
			}
			if path != "/events" {
				slices.Reverse(list) // the newest first
			}
			ids := map[any]bool{}
			for i, e := range list {
				e := e.(object)
				if e["operation"] != ops[i] || e["version"] != float64(i+1) || e["resource"] != id || e["directory"] != d.id || e["resourceType"] != "User" {
					t.Errorf("%s: event %d is %v", path, i, e)
				}
				ids[e["id"]] = true
				if diff := cmp.Diff(e["changes"], any(want[i])); diff != "" {
					t.Errorf("%s: changes of %s (-got +want):\n%s", path, ops[i], diff)
				}
			}
			if e := list[1].(object); e["request"] != put.header.Get("Roster-Request-Id") || e["at"] != put.obj()["meta"].(object)["lastModified"] || e["key"] == nil {
				t.Errorf("%s: the event of the PUT does not say which: %v", path, e)
			}
			if len(ids) != 4 || ids[""] {
				t.Errorf("%s: the ids of the events are %v", path, ids)
			}
		}
	})
}

func TestEvents_Pages(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		d := w.directory(t, scim.Standard)
		var want []any
		id := d.create(user("ada"))
		for i := range 5 {
			d.put(id, user("ada", "title", fmt.Sprint(i))).want(200)
		}
		want = d.api("GET", "/events", nil).obj()["events"].([]any)
		var got []any
		after := "0"
		for {
			o := d.api("GET", "/events?limit=2&after="+after, nil).want(200).obj()
			page := o["events"].([]any)
			if len(page) == 0 {
				if fmt.Sprintf("%.0f", o["next"]) != after {
					t.Errorf("next is %v at the end, want %s", o["next"], after)
				}
				break
			}
			got = append(got, page...)
			after = fmt.Sprintf("%.0f", o["next"])
		}
		if diff := cmp.Diff(got, want); diff != "" || len(got) != 6 {
			t.Errorf("%d events by pages (-got +want):\n%s", len(got), diff)
		}
		history := d.api("GET", "/users/"+id+"/history?before=4&limit=1", nil).want(200).obj()["events"].([]any)
		if len(history) != 1 || history[0].(object)["version"] != 3.0 {
			t.Errorf("history before version 4: %v", history)
		}
		if n := len(d.api("GET", "/users/"+id+"/history?before=1", nil).want(200).obj()["events"].([]any)); n != 0 {
			t.Errorf("%d events before the first", n)
		}
		for _, q := range []string{"x", "-1", "1.5"} {
			d.api("GET", "/events?after="+q, nil).refused(400, scim.InvalidValue, "after")
			d.api("GET", "/users/"+id+"/history?before="+q, nil).refused(400, scim.InvalidValue, "before")
		}
		for _, path := range []string{"/events", "/users/" + id + "/history"} {
			d.api("GET", path+"?limit=x", nil).refused(400, scim.InvalidValue)
		}
		for _, q := range []string{"?limit=0", "?limit=-1", "?limit=99999999999999999999", "?after="} {
			if n := len(d.api("GET", "/events"+q, nil).want(200).obj()["events"].([]any)); n != 6 {
				t.Errorf("%s: %d events, want 6", q, n)
			}
		}
		d.api("GET", "/users/nope/history", nil).refused(404, "")
		d.api("GET", "/users/%ff/history", nil).refused(404, "")
		// Of another directory there are none.
		if n := len(w.directory(t, scim.Standard).api("GET", "/events", nil).obj()["events"].([]any)); n != 0 {
			t.Errorf("a new directory has %d events", n)
		}
	})
}

func TestTrash_Restore(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		id := d.create(user("ada", "title", "CTO", "externalId", "x-1"))
		before := d.get("/Users/" + id).obj()
		d.do("DELETE", "/Users/"+id, nil).want(204)
		d.api("POST", "/trash/nope/restore", nil).refused(404, "")
		d.api("POST", "/trash/%ff/restore", nil).refused(404, "")

		// Somebody else has the name by now.
		holder := d.create(user("ADA", "emails", []any{object{"value": "else@corp.example", "primary": true}}))
		taken := d.state()
		d.api("POST", "/trash/"+id+"/restore", nil).refused(409, scim.Uniqueness, "userName[ada]", "Held by "+holder)
		if diff := cmp.Diff(d.state(), taken); diff != "" {
			t.Errorf("a refused restore changed something:\n%s", diff)
		}
		d.do("DELETE", "/Users/"+holder, nil).want(204)

		r := d.api("POST", "/trash/"+id+"/restore", nil).want(200)
		r.headerIs("Etag", `W/"3"`).headerIs("Location", publicURL+d.path+"/Users/"+id).headerIs("Content-Type", "application/scim+json")
		after := d.get("/Users/" + id).want(200).obj()
		delete(before, "meta")
		delete(after, "meta")
		if diff := cmp.Diff(after, before); diff != "" {
			t.Errorf("(-restored +before):\n%s", diff)
		}
		d.api("POST", "/trash/"+id+"/restore", nil).refused(404, "") // it is not there any more
		d.post(user("ada")).refused(409, scim.Uniqueness, id)        // its names are held again
		d.put(id, user("ada", "title", "CEO"), "If-Match", `W/"3"`).want(200).headerIs("Etag", `W/"4"`)
	})
}

func TestTrash_Pages(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		d := w.directory(t, scim.Standard)
		var want []any
		for i := range 5 {
			id := d.create(user(fmt.Sprint("u", i)))
			d.do("DELETE", "/Users/"+id, nil).want(204)
			want = append(want, id)
		}
		var got []any
		after := ""
		for {
			page := d.api("GET", "/trash?limit=2&after="+after, nil).want(200).obj()["trash"].([]any)
			if len(page) == 0 {
				break
			}
			for _, it := range page {
				got = append(got, it.(object)["id"])
			}
			after = got[len(got)-1].(string)
		}
		if diff := cmp.Diff(got, want); diff != "" {
			t.Errorf("(-got +want):\n%s", diff)
		}
		d.api("GET", "/trash?limit=x", nil).refused(400, scim.InvalidValue)
		for _, after := range []string{"%ff", "%00", strings.Repeat("x", 201)} {
			d.api("GET", "/trash?after="+after, nil).refused(400, scim.InvalidValue, "after")
		}
	})
}

func TestTrash_Purge(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		d := w.directory(t, scim.Standard)
		id, other := d.create(user("canary-name", "title", "canary-title")), d.create(user("bob", "title", "stays"))
		d.put(id, user("canary-name", "title", "canary-title-2")).want(200)
		d.api("DELETE", "/trash/"+id, nil).refused(409, "", id) // it is not deleted
		d.do("DELETE", "/Users/"+id, nil).want(204)
		d.api("DELETE", "/trash/"+id, nil).want(200).has("events", 3.0)

		d.api("POST", "/trash/"+id+"/restore", nil).refused(404, "")
		if n := len(d.api("GET", "/trash", nil).obj()["trash"].([]any)); n != 0 {
			t.Errorf("%d in the trash", n)
		}
		d.api("GET", "/users/"+id+"/history", nil).refused(404, "")
		for _, path := range []string{"/events", "/trash", "/requests"} {
			if r := d.api("GET", path, nil).want(200); bytes.Contains(r.body, []byte("canary")) {
				t.Errorf("%s still has values: %s", path, r.body)
			}
		}
		for _, e := range d.api("GET", "/events", nil).obj()["events"].([]any) {
			if e := e.(object); (e["purged"] == true) != (e["resource"] == id) || e["operation"] == nil || e["version"] == nil {
				t.Errorf("event after the purge: %v", e)
			}
		}
		if r := d.api("GET", "/users/"+other+"/history", nil); !bytes.Contains(r.body, []byte("stays")) {
			t.Error("the events of another user were purged")
		}
		for _, id := range []string{"nope", "%ff", "%00"} {
			d.api("DELETE", "/trash/"+id, nil).refused(404, "")
		}
	})
}

// The request log tells what was ignored and coerced, and nothing that a person
// is known by.
func TestRequestLog(t *testing.T) {
	w := onSQLite(t)
	d := w.directory(t, scim.Standard)
	id := d.create(user("canary-name"))
	d.put(id, user("canary-name", "shoeSize", "canary-size", "active", "True")).want(200)
	d.get("/Users?filter=userName%20eq%20%22canary-query%22&attributes=canary-attribute").want(200)
	d.get("/Users/canary-id").want(404)
	d.put(id, user("canary-name", "userName", 7)).want(400)
	d.as("canary-key").get("/Users").want(401)
	d.as(w.directory(t, scim.Standard).key).get("/Users").want(404) // of a stranger: not in this log
	d.api("POST", "/trash/canary-trash/restore", nil).want(404)
	r := d.api("GET", "/requests", nil).want(200)
	if bytes.Contains(r.body, []byte("canary")) {
		t.Errorf("the log holds personal data or a query: %s", r.body)
	}
	list := r.obj()["requests"].([]any)
	if len(list) != 7 {
		t.Fatalf("%d requests, want 7: %s", len(list), r.body)
	}
	put := list[5].(object) // the newest first
	for name, want := range map[string]any{
		"method": "PUT", "route": "scim /Users/{id}", "status": 200.0, "resource": id,
		"ignored": []any{"shoeSize"}, "coerced": []any{"active (a string)"},
	} {
		if diff := cmp.Diff(put[name], want); diff != "" {
			t.Errorf("%s (-got +want):\n%s", name, diff)
		}
	}
	for i, status := range []float64{404, 401, 400, 404, 200, 200, 201} {
		if got := list[i].(object)["status"]; got != status {
			t.Errorf("request %d has the status %v, want %v", i, got, status)
		}
	}
	if got := list[2].(object)["scimType"]; got != "invalidValue" {
		t.Errorf("a userName that is a number has the scimType %v", got)
	}
	if k := list[1].(object)["key"]; k != nil {
		t.Errorf("a request without a valid key is said to have the key %v", k)
	}
	// Whoever has no key cannot push out what others did.
	quiet := d.as("")
	for range 1000 {
		quiet.get("/Users").want(401)
	}
	list = d.api("GET", "/requests", nil).obj()["requests"].([]any)
	if last := list[0].(object); len(list) != 9 || last["status"] != 401.0 || last["repeated"] != 999.0 {
		t.Errorf("%d requests are remembered, the last is %v", len(list), last)
	}
	// It is a ring of the last 1,000.
	for range 1000 {
		d.get("/Users?count=0").want(200)
	}
	if list = d.api("GET", "/requests", nil).obj()["requests"].([]any); len(list) != 1000 || list[999].(object)["status"] != 200.0 {
		t.Errorf("%d requests are remembered, want 1000", len(list))
	}
}

// A password is checked and forgotten: a canary in a POST and a PUT is in no
// answer, event, log line, nor in the files of the database.
func TestCanaryPassword(t *testing.T) {
	t.Parallel()
	const canary = "cAnArY-pa55word-0123"
	var out lockedBuffer
	folder := t.TempDir()
	w, err := openWorld("sqlite:"+filepath.Join(folder, "test.db"), nil, server.Options{Log: debugLog(&out)})
	if err != nil {
		t.Fatal(err)
	}
	var told []byte // all that was answered
	tell := func(r *reply) *reply {
		told = append(told, fmt.Sprint(r.header)...)
		told = append(told, r.body...)
		return r
	}
	for _, rs := range scim.RuleSetNames {
		d := w.directory(t, rs)
		body := user("ada", "password", canary)
		if rs == scim.Strict {
			delete(body, "schemas")
		}
		r := tell(d.post(body, "Idempotency-Key", "1")).want(201)
		id := r.str("id")
		tell(d.put(id, with(body, "title", "CTO"), "Idempotency-Key", "2")).want(200)
		tell(d.do("PUT", "/Users/"+id+"?attributes=password,userName", body)).want(200)
		tell(d.get("/Users/" + id + "?attributes=password")).want(200)
		tell(d.get("/Users"))
		if rs != scim.Atlassian { // there the attribute is unknown, and ignored
			tell(d.put(id, with(body, "password", []string{canary}))).refused(400, scim.InvalidValue, "password")
			tell(d.put(id, with(body, "password", object{"value": canary}))).want(400)
			tell(d.get("/Users?filter=password%20eq%20%22"+canary+"%22")).refused(403, scim.Sensitive)
		}
		tell(d.put(id, with(body, "active", 7))).want(400)
		tell(d.put(id, `{"userName":"ada","password":"`+canary+`" x}`)).want(400)
		tell(d.put(id, `{"password":"`+canary+`","password":"`+canary+`"}`)).want(400)
		tell(d.put(id, `{"password":"`+canary+"\xff"+`"}`)).want(400)
		tell(d.post(with(body, "userName", "ADA"))).want(409)
		for _, path := range []string{"/events", "/users/" + id + "/history", "/requests"} {
			tell(d.api("GET", path, nil)).want(200)
		}
		tell(d.do("DELETE", "/Users/"+id, nil)).want(204)
		tell(d.api("GET", "/events", nil)).want(200)
		tell(d.api("GET", "/trash", nil)).want(200)
	}
	w.close() // writes all there is to the files
	if bytes.Contains(told, []byte(canary)) {
		t.Error("the password is in an answer")
	}
	if strings.Contains(out.String(), canary) {
		t.Error("the password is in the log")
	}
	files, err := os.ReadDir(folder)
	if err != nil || len(files) == 0 {
		t.Fatalf("the folder of the database: %v, %v", files, err)
	}
	found := false
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(folder, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, []byte(canary)) {
			t.Errorf("the password is in %s", f.Name())
		}
		found = found || bytes.Contains(data, []byte("ada@corp.example"))
	}
	if !found {
		t.Error("the files do not hold the user either: this test looks at the wrong ones")
	}
}

// Nothing that a person is known by goes to the log of the server.
func TestLog_NoPersonalData(t *testing.T) {
	w := onSQLite(t)
	var out lockedBuffer
	d := w.directory(t, scim.Standard)
	d = d.on(w.serveToo(t, server.Options{Log: debugLog(&out)}))
	id := d.create(user("canary-name", "canary-attribute", "x"))
	d.post(user("CANARY-name")).want(409)
	d.get("/Users?filter=userName%20eq%20%22canary-query%22").want(200)
	d.get("/Users/canary-id").want(404)
	d.as("canary-key").get("/Users").want(401)
	d.do("DELETE", "/Users/"+id, nil).want(204)
	r := d.get("/Users").want(200)
	out.wait(t, r.header.Get("Roster-Request-Id"))
	if log := out.String(); strings.Contains(strings.ToLower(log), "canary") || strings.Contains(log, d.key) {
		t.Errorf("the log:\n%s", log)
	}
}
