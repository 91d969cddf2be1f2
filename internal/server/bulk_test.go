package server_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/server"
	"github.com/roster-scim/roster/scim"
)

// op is an operation of a bulk request; more are names and values by turns.
func op(method, path string, more ...any) object {
	return with(object{"method": method, "path": path}, more...)
}

// bulk sends a bulk request and returns the results.
func (d *dir) bulk(operations []object, header ...string) []object {
	d.t.Helper()
	return d.bulkOf(object{"schemas": []string{scim.BulkRequestURN}, "Operations": operations}, header...)
}

func (d *dir) bulkOf(body any, header ...string) (results []object) {
	d.t.Helper()
	r := d.do("POST", "/Bulk", body, header...).want(200).has("schemas", []any{scim.BulkResponseURN})
	for _, o := range r.obj()["Operations"].([]any) {
		results = append(results, o.(object))
	}
	return results
}

// outcomes are those of the results, in order.
func outcomes(results []object) string {
	var out []string
	for _, o := range results {
		out = append(out, fmt.Sprint(o["status"]))
	}
	return strings.Join(out, " ")
}

// idIn is the id at the end of the location of a result.
func idIn(o object) string {
	loc, _ := o["location"].(string)
	return loc[strings.LastIndexByte(loc, '/')+1:]
}

func group(name string, members ...string) object {
	list := []any{}
	for _, m := range members {
		list = append(list, object{"value": m})
	}
	return object{"schemas": []string{scim.GroupURN}, "displayName": name, "members": list}
}

// memberIDs are the ids of the members of a group, joined.
func (d *dir) memberIDs(id string) string {
	d.t.Helper()
	var out []string
	list, _ := d.get("/Groups/" + id).want(200).obj()["members"].([]any)
	for _, m := range list {
		out = append(out, m.(object)["value"].(string))
	}
	return strings.Join(out, " ")
}

func TestBulk_EveryMethod(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		ada, bob := d.create(user("ada")), d.create(user("bob"))
		got := d.bulk([]object{
			op("POST", "/Users", "bulkId", "new", "data", user("carol")),
			op("PUT", "/Users/"+ada, "data", user("ada", "title", "CTO"), "version", `W/"1"`),
			op("PATCH", "/Users/"+bob, "data", object{"schemas": []string{scim.PatchOpURN}, "Operations": []object{{"op": "replace", "path": "active", "value": false}}}),
			op("DELETE", "/Users/"+bob, "version", `W/"2"`),
			op("PATCH", "/Users/bulkId:new", "data", object{"schemas": []string{scim.PatchOpURN}, "Operations": []object{{"op": "add", "path": "title", "value": "CEO"}}}),
		})
		base := publicURL + d.path + "/Users/"
		carol := idIn(got[0])
		want := []object{
			{"method": "POST", "bulkId": "new", "location": base + carol, "version": `W/"1"`, "status": "201"},
			{"method": "PUT", "location": base + ada, "version": `W/"2"`, "status": "200"},
			{"method": "PATCH", "location": base + bob, "version": `W/"2"`, "status": "200"},
			{"method": "DELETE", "location": base + bob, "status": "204"},
			{"method": "PATCH", "location": base + carol, "version": `W/"2"`, "status": "200"},
		}
		if diff := cmp.Diff(got, want); diff != "" {
			t.Errorf("(-got +want):\n%s", diff)
		}
		d.get("/Users/"+ada).want(200).has("title", "CTO")
		d.get("/Users/"+carol).want(200).has("title", "CEO")
		d.get("/Users/"+bob).refused(404, "")
	})
}

// What is wrong with one operation is told of that one; the others are done.
func TestBulk_OneFails(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		ada := d.create(user("ada"))
		got := d.bulk([]object{
			op("POST", "/Users", "bulkId", "1", "data", user("ADA")),
			op("PUT", "/Users/"+ada, "data", user("ada"), "version", `W/"7"`),
			op("DELETE", "/Users/nope"),
			op("POST", "/Users", "data", user("no-bulk-id")),
			op("GET", "/Users/"+ada),
			op("PUT", "/Users/"+ada),
			op("POST", "/Users/"+ada, "bulkId", "2", "data", user("x")),
			op("DELETE", "/Users"),
			op("DELETE", "Users/"+ada),
			op("POST", "/Bulk", "bulkId", "3", "data", object{}),
			op("POST", "/Users/.search", "bulkId", "4", "data", object{}),
			op("POST", "/Users", "bulkId", "5", "data", "text"),
			op("DELETE", "/Users/%zz"),
			op("DELETE", "/Users/a/b"),
			op("DELETE", "/Users?filter=x"),
			op("POST", "/Groups", "bulkId", "6", "data", group("of failed", "bulkId:1")),
			op("POST", "/Groups", "bulkId", "7", "data", group("of nobody", "bulkId:nobody")),
			op("DELETE", "/Users/bulkId:1"),
			op("POST", "/Users", "bulkId", "8", "data", user("carol")),
		})
		if got, want := outcomes(got), "409 412 404 400 400 400 400 400 400 404 400 400 404 400 404 409 400 409 201"; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		for i, o := range got[:18] {
			if e, ok := o["response"].(object); !ok || e["status"] != o["status"] || e["detail"] == "" || !cmp.Equal(e["schemas"], []any{scim.ErrorURN}) {
				t.Errorf("%d: response %v", i, o["response"])
			}
		}
		if e := got[0]["response"].(object); e["scimType"] != scim.Uniqueness {
			t.Errorf("scimType of a conflict: %v", e)
		}
		d.get("/Users/"+ada).want(200).headerIs("Etag", `W/"1"`)
		d.get("/Users?count=0").has("totalResults", 2.0)
	})
}

// References are resolved whatever the order, and in circles.
func TestBulk_References(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		d := w.directory(t, scim.Standard)
		got := d.bulk([]object{
			op("PATCH", "/Groups/bulkId:outer", "data", object{"schemas": []string{scim.PatchOpURN}, "Operations": []object{{"op": "add", "path": "members", "value": []object{{"value": "bulkId:ada"}}}}}),
			op("POST", "/Groups", "bulkId", "outer", "data", group("outer", "bulkId:inner")),
			op("POST", "/Groups", "bulkId", "inner", "data", group("inner", "bulkId:bob")),
			op("POST", "/Users", "bulkId", "ada", "data", user("ada", enterpriseURN, object{"manager": object{"value": "bulkId:bob"}})),
			op("POST", "/Users", "bulkId", "bob", "data", user("bob", "title", "bulkId, but no reference: bulkId:ada")),
		})
		if got, want := outcomes(got), "200 201 201 201 201"; got != want {
			t.Fatalf("got %s, want %s: %v", got, want, got)
		}
		outer, inner, ada, bob := idIn(got[1]), idIn(got[2]), idIn(got[3]), idIn(got[4])
		if got, want := sortedWords(d.memberIDs(outer)), sortedWords(inner+" "+ada); got != want {
			t.Errorf("outer: got %s, want %s", got, want)
		}
		if got := d.memberIDs(inner); got != bob {
			t.Errorf("inner: got %s, want %s", got, bob)
		}
		u := d.get("/Users/" + ada).want(200).obj()
		if m := u[enterpriseURN].(object)["manager"].(object); m["value"] != bob {
			t.Errorf("manager: got %v, want %s", m, bob)
		}
	})
}

func sortedWords(s string) string {
	words := strings.Fields(s)
	for i := range words {
		for j := range i {
			if words[i] < words[j] {
				words[i], words[j] = words[j], words[i]
			}
		}
	}
	return strings.Join(words, " ")
}

func TestBulk_Circles(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		d := w.directory(t, scim.Standard)
		got := d.bulk([]object{
			op("POST", "/Groups", "bulkId", "waits", "data", group("waits", "bulkId:a")), // for a circle, but in none
			op("POST", "/Groups", "bulkId", "a", "data", group("a", "bulkId:b", "bulkId:u")),
			op("POST", "/Groups", "bulkId", "b", "data", group("b", "bulkId:c")),
			op("POST", "/Groups", "bulkId", "c", "data", group("c", "bulkId:a")),
			op("POST", "/Groups", "bulkId", "self", "data", group("self", "bulkId:self")),
			op("POST", "/Users", "bulkId", "u", "data", user("ada", enterpriseURN, object{"manager": object{"value": "bulkId:v"}, "department": "R&D"})),
			op("POST", "/Users", "bulkId", "v", "data", user("bob", enterpriseURN, object{"manager": object{"value": "bulkId:u"}})),
		})
		if got, want := outcomes(got), "201 201 201 201 201 201 201"; got != want {
			t.Fatalf("got %s, want %s: %v", got, want, got)
		}
		id := func(i int) string { return idIn(got[i]) }
		for i, want := range map[int]string{0: id(1), 1: sortedWords(id(2) + " " + id(5)), 2: id(3), 3: id(1), 4: id(4)} {
			if got := sortedWords(d.memberIDs(id(i))); got != want {
				t.Errorf("%d: got members %s, want %s", i, got, want)
			}
		}
		for i, manager := range map[int]string{5: id(6), 6: id(5)} {
			r := d.get("/Users/" + id(i)).want(200)
			if m := r.obj()[enterpriseURN].(object)["manager"].(object); m["value"] != manager {
				t.Errorf("%d: manager %v, want %s", i, m, manager)
			}
			if version := got[i]["version"].(string); !strings.HasPrefix(r.header.Get("Etag"), strings.TrimSuffix(version, `"`)) {
				t.Errorf("%d: version %s in the response, ETag %s", i, version, r.header.Get("Etag"))
			}
		}
		// A circle that cannot be closed says so, and where what was created is.
		got = d.bulk([]object{
			op("POST", "/Groups", "bulkId", "x", "data", group("x", "bulkId:y")),
			op("POST", "/Groups", "bulkId", "y", "data", with(group("y", "bulkId:x"), "displayName", nil)),
		})
		if got, want := outcomes(got), "409 400"; got != want {
			t.Fatalf("got %s, want %s: %v", got, want, got)
		}
		if detail := got[0]["response"].(object)["detail"].(string); !strings.Contains(detail, "bulkId:y") || !strings.Contains(detail, "/Groups/") {
			t.Errorf("detail: %s", detail)
		}
	})
}

func TestBulk_FailOnErrors(t *testing.T) {
	w := onSQLite(t)
	d := w.directory(t, scim.Standard)
	body := func(n int) object {
		return object{"schemas": []string{scim.BulkRequestURN}, "failOnErrors": n, "Operations": []object{
			op("DELETE", "/Users/nope"),
			op("POST", "/Users", "bulkId", "1", "data", user("u"+strconv.Itoa(n))),
			op("DELETE", "/Users/nope"),
			op("POST", "/Users", "bulkId", "2", "data", user("v"+strconv.Itoa(n))),
		}}
	}
	for n, want := range map[int]string{1: "404", 2: "404 201 404", 3: "404 201 404 201"} {
		if got := outcomes(d.bulkOf(body(n))); got != want {
			t.Errorf("failOnErrors %d: got %s, want %s", n, got, want)
		}
	}
	for _, n := range []int{0, -1} {
		d.do("POST", "/Bulk", body(n)).refused(400, scim.InvalidValue, "failOnErrors")
	}
	d.get("/Users?count=0").has("totalResults", 3.0)
}

func TestBulk_Refused(t *testing.T) {
	w := onSQLite(t)
	d := w.directory(t, scim.Standard)
	strict := w.directory(t, scim.Strict)
	many := make([]object, scim.MaxBulkOperations+1)
	for i := range many {
		many[i] = op("DELETE", "/Users/nope")
	}
	send := func(d *dir, body any) *reply { return d.do("POST", "/Bulk", body) }
	send(d, object{"Operations": many}).refused(413, "", "1001 operations")
	if got := d.bulk(many[1:]); len(got) != scim.MaxBulkOperations {
		t.Errorf("%d results", len(got))
	}
	send(d, object{"Operations": []object{op("POST", "/Users", "bulkId", "x"), op("POST", "/Users", "bulkId", "x")}}).refused(400, scim.InvalidValue, "twice")
	send(d, object{"Operations": []object{op("POST", "/Users", "bulkId", strings.Repeat("x", 201))}}).refused(400, scim.InvalidValue)
	for _, body := range []string{``, `[]`, `{"Operations":{}}`, `{"Operations":[1]}`, `{"Operations":[{"method":7}]}`, `{"Operations":[]`, `{"Operations":[{"data":{"a":1,"a":2}}]}`, `{"failOnErrors":"1"}`} {
		send(d, body).refused(400, scim.InvalidSyntax)
	}
	send(d, object{}).want(200)                         // nothing to do
	send(d, `{"operations":[],"shoeSize":7}`).want(200) // as clients spell it
	send(strict, object{"Operations": []object{}}).refused(400, scim.InvalidSyntax, "schemas")
	send(strict, object{"schemas": []string{scim.BulkRequestURN}, "shoeSize": 7}).refused(400, scim.InvalidSyntax)
	d.do("POST", "/Bulk", object{}, "Content-Type", "text/plain").refused(415, "")

	small := w.serveToo(t, server.Options{MaxBulk: 1000})
	d.on(small).do("POST", "/Bulk", `{"Operations":[`+strings.Repeat(" ", 1000)+`]}`).refused(413, "", "1000 bytes")
	d.on(small).get("/ServiceProviderConfig").has("bulk", object{"supported": true, "maxOperations": 1000.0, "maxPayloadSize": 1000.0})
}

// A key does in bulk what it may do alone.
func TestBulk_Scopes(t *testing.T) {
	onRuleSets(t, func(t *testing.T, d *dir) {
		reads := d.as(d.newKey(roster.ScopeUsersRead, roster.ScopeGroupsWrite))
		got := reads.bulk([]object{
			op("POST", "/Users", "bulkId", "1", "data", user("ada")),
			op("POST", "/Groups", "bulkId", "2", "data", group("team")),
		})
		if got, want := outcomes(got), "403 201"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		d.as("").do("POST", "/Bulk", object{}).want(401)
	})
}

// A job that is sent again with its Idempotency-Key repeats nothing, and does
// what was not done.
func TestBulk_Idempotency(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		d := w.directory(t, scim.Standard)
		jobs := []object{
			op("POST", "/Groups", "bulkId", "a", "data", group("a", "bulkId:b")),
			op("POST", "/Groups", "bulkId", "b", "data", group("b", "bulkId:a", "bulkId:u")),
			op("POST", "/Users", "bulkId", "u", "data", user("ada", "password", "correct horse")),
		}
		first := d.bulk(jobs, "Idempotency-Key", "job-1")
		again := d.bulk(jobs, "Idempotency-Key", "job-1")
		if diff := cmp.Diff(again, first); diff != "" {
			t.Errorf("(-again +first):\n%s", diff)
		}
		if got := outcomes(first); got != "201 201 201" {
			t.Errorf("got %s", got)
		}
		d.get("/Groups?count=0").has("totalResults", 2.0)
		more := append(jobs, op("POST", "/Users", "bulkId", "v", "data", user("bob")))
		if got := outcomes(d.bulk(more, "Idempotency-Key", "job-1")); got != "201 201 201 201" {
			t.Errorf("what was cut short: got %s", got)
		}
		jobs[2] = op("POST", "/Users", "bulkId", "u", "data", user("eve"))
		if got := outcomes(d.bulk(jobs[2:], "Idempotency-Key", "job-2")); got != "201" {
			t.Errorf("another key: got %s", got)
		}
		if got := outcomes(d.bulk([]object{op("POST", "/Users", "bulkId", "u", "data", user("mallory"))}, "Idempotency-Key", "job-2")); got != "422" {
			t.Errorf("another body: got %s", got)
		}
	})
}

// Chains and circles as long as a request can be cost no more than their length.
func TestBulk_LongChains(t *testing.T) {
	w := onSQLite(t)
	d := w.directory(t, scim.Standard)
	const n = 300
	var chain, circle []object
	for i := range n {
		id := func(k int) string { return "g" + strconv.Itoa(k%n) }
		next := []string{"bulkId:" + id(i+1)}
		circle = append(circle, op("POST", "/Groups", "bulkId", id(i), "data", group(id(i), next...)))
		if i == n-1 {
			next = nil
		}
		chain = append(chain, op("POST", "/Groups", "bulkId", id(i), "data", group(id(i), next...)))
	}
	for _, jobs := range [][]object{chain, circle} {
		for i, o := range d.bulk(jobs) {
			if o["status"] != "201" {
				t.Fatalf("%d: %v", i, o)
			}
		}
	}
	d.get("/Groups?count=0").has("totalResults", 2.0*n)
}

// What was ignored or coerced in any of the operations is told of the request.
func TestBulk_Notes(t *testing.T) {
	w := onSQLite(t)
	d := w.directory(t, scim.Standard)
	r := d.do("POST", "/Bulk", object{"Operations": []object{
		op("POST", "/Users", "bulkId", "1", "data", user("ada", "shoeSize", 7)),
		op("POST", "/Users", "bulkId", "2", "data", user("bob", "active", "True")),
	}}).want(200)
	r.headerIs("Roster-Ignored", "shoeSize").headerIs("Roster-Coerced", "active (a string)")
}
