package server_test

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/directory"
	"github.com/roster-scim/roster/scim"
)

// testResources is the document of the type TestResource, which the vectors
// want.
func testResources(t *testing.T) jsontext.Value {
	t.Helper()
	data, err := os.ReadFile("testdata/testresource.json")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// withTestResources gives a directory the type TestResource.
func (d *dir) withTestResources() *dir {
	d.t.Helper()
	if _, _, err := d.w.dirs.Update(d.t.Context(), directory.Call{}, d.id, roster.DirectoryUpdate{Schemas: testResources(d.t)}); err != nil {
		d.t.Fatal(err)
	}
	return d
}

func TestUpdateDirectory_SuppressMail(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		d := w.directory(t, scim.Standard)
		if r := d.api("PATCH", "?plan=true", object{"suppressMail": true}).want(200); !strings.Contains(string(r.body), `"suppressMail"`) {
			t.Errorf("not in the plan: %s", r.body)
		}
		for _, on := range []bool{true, false} {
			d.api("PATCH", "", object{"suppressMail": on}).want(200)
			d.api("PATCH", "", object{"name": "stays as it is"}).want(200)
			if r := d.api("GET", "", nil).want(200); (r.obj()["suppressMail"] == true) != on {
				t.Errorf("after %v: %s", on, r.body)
			}
		}
	})
}

func TestUpdateDirectory(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		d := w.directory(t, scim.Standard)
		a := d.create(object{"userName": "a", "emails": []object{{"value": "same@corp.example"}}})
		b := d.create(object{"userName": "b", "emails": []object{{"value": "SAME@corp.example"}}})
		r := d.api("GET", "", nil).want(200)
		if got := r.header.Get("ETag"); got != `W/"1"` {
			t.Errorf("ETag %s, want W/\"1\"", got)
		}
		unique := object{"rules": object{"uniqueEmails": true, "maxPage": 7}}
		plan := d.api("PATCH", "?plan=true", unique).want(200)
		if !strings.Contains(plan.str("refused"), a) || !strings.Contains(plan.str("refused"), b) {
			t.Errorf("the plan does not name %s and %s: %s", a, b, plan.body)
		}
		if r := d.api("PATCH", "", unique).want(409); !strings.Contains(r.str("detail"), b) {
			t.Errorf("the answer does not name %s: %s", b, r.body)
		}
		d.do("DELETE", "/Users/"+b, nil).want(204)
		d.api("PATCH", "", unique, "If-Match", `W/"2"`).want(412)
		r = d.api("PATCH", "", unique, "If-Match", `W/"1"`).want(200)
		if r.header.Get("ETag") != `W/"2"` || !strings.Contains(string(r.body), `"rules":{"maxPage":7,"uniqueEmails":true}`) {
			t.Errorf("ETag %s: %s", r.header.Get("ETag"), r.body)
		}
		d.do("POST", "/Users", object{"userName": "c", "emails": []object{{"value": "Same@corp.example"}}}).want(409)
		d.api("PATCH", "", object{"rules": object{"uniqueEmails": nil, "maxPage": nil}, "name": "Renamed"}).want(200)
		r = d.api("GET", "", nil).want(200)
		if strings.Contains(string(r.body), `"rules"`) || r.str("name") != "Renamed" {
			t.Errorf("got %s", r.body)
		}
		d.do("POST", "/Users", object{"userName": "c", "emails": []object{{"value": "Same@corp.example"}}}).want(201)

		d.api("PATCH", "?plan=perhaps", object{}).want(400)
		d.api("PATCH", "", object{"rules": object{"shoes": true}}).want(400)
		d.api("PATCH", "", object{"shoes": true}).want(400)
		d.api("PATCH", "", object{"default": true}).want(403)
		d.as(d.newKey(roster.ScopeUsersWrite)).api("PATCH", "", object{"name": "x"}).want(403)
		d.as(operatorKey).at("/api/v1/directories/none").do("PATCH", "", object{"name": "x"}).want(404)
	})
}

func TestSchemas(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		d := w.directory(t, scim.Standard)
		empty := `{"schemas":[],"resourceTypes":[]}`
		if r := d.api("GET", "/schemas", nil).want(200); string(r.body) != empty {
			t.Errorf("got %s, want %s", r.body, empty)
		}
		if r := d.api("PUT", "/schemas?plan=true", string(testResources(t))).want(200); !strings.Contains(string(r.body), `{"name":"TestResource","change":"added","resources":0}`) {
			t.Errorf("the plan: %s", r.body)
		}
		d.do("GET", "/TestResources", nil).want(404)
		put := d.api("PUT", "/schemas", string(testResources(t))).want(200)
		if r := d.api("GET", "/schemas", nil).want(200); string(r.body) != string(put.body) || r.header.Get("ETag") != put.header.Get("ETag") {
			t.Errorf("GET answers %s, PUT %s", r.body, put.body)
		}
		d.do("GET", "/TestResources", nil).want(200)

		// Create, read, replace, list, delete.
		const core, ext = "urn:ietf:params:scim:schemas:test:2.0:TestResource", "urn:ietf:params:scim:schemas:extension:test:2.0:TestResource"
		body := func(more ...any) object {
			o := object{"schemas": []string{core, ext}, "identifier": "one", ext: object{"extRequired": "x"}}
			for i := 0; i < len(more); i += 2 {
				o[more[i].(string)] = more[i+1]
			}
			return o
		}
		d.do("POST", "/TestResources", object{"schemas": []string{core}, "identifier": "one"}).want(400)
		made := d.do("POST", "/TestResources", body("writeOnlyAttr", "canary", "requestOnlyAttr", "r", "immutableAttr", "i", "binaryAttr", "AAEC", "decimalAttr", 1.5)).want(201)
		id := made.str("id")
		if want := publicURL + "/scim/directory/" + d.id + "/TestResources/" + id; made.header.Get("Location") != want {
			t.Errorf("Location %s, want %s", made.header.Get("Location"), want)
		}
		if s := string(made.body); strings.Contains(s, "canary") || strings.Contains(s, "requestOnlyAttr") || !strings.Contains(s, `"resourceType":"TestResource"`) || !strings.Contains(s, `"schemas":["`+core+`","`+ext+`"]`) {
			t.Errorf("got %s", s)
		}
		d.do("POST", "/TestResources", body()).want(409)
		d.do("PUT", "/TestResources/"+id, body("immutableAttr", "j")).want(400)
		d.do("PUT", "/TestResources/"+id, body("uniqueString", "U")).want(200)
		if r := d.do("GET", `/TestResources?filter=uniqueString+eq+%22u%22`, nil).want(200); r.obj()["totalResults"] != 1.0 {
			t.Errorf("got %s", r.body)
		}
		d.api("PUT", "/schemas", empty).want(409)
		d.do("DELETE", "/TestResources/"+id, nil).want(204)
		d.api("PUT", "/schemas", empty).want(200)
		d.do("GET", "/TestResources", nil).want(404)

		for _, bad := range []string{`[]`, `{"shoes":1}`, `{"schemas":[{"id":"x"}]}`, `{"resourceTypes":[{"name":"X","endpoint":"/Users","schema":"urn:x:y"}]}`} {
			if r := d.api("PUT", "/schemas", bad).want(400); r.str("detail") == "" {
				t.Errorf("%s: no detail", bad)
			}
		}
		d.as(d.newKey(roster.ScopeUsersWrite)).api("GET", "/schemas", nil).want(403)
	})
}

// Discovery has the members of RFC 7643 sections 6 and 7, and no other.
func TestSchemas_AreDiscovered(t *testing.T) {
	w := onSQLite(t)
	d := w.directory(t, scim.Standard).withTestResources()
	rt := d.do("GET", "/ResourceTypes/TestResource", nil).want(200)
	base := publicURL + "/scim/directory/" + d.id
	want := `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],"id":"TestResource","name":"TestResource","endpoint":"/TestResources",` +
		`"description":"For tests of the attributes.","schema":"urn:ietf:params:scim:schemas:test:2.0:TestResource",` +
		`"schemaExtensions":[{"schema":"urn:ietf:params:scim:schemas:extension:test:2.0:TestResource","required":true}],` +
		`"meta":{"resourceType":"ResourceType","location":"` + base + `/ResourceTypes/TestResource"}}`
	if string(rt.body) != want {
		t.Errorf("got %s, want %s", rt.body, want)
	}
	known := []string{"name", "type", "subAttributes", "multiValued", "description", "required", "canonicalValues", "caseExact", "mutability", "returned", "uniqueness", "referenceTypes"}
	s := d.do("GET", "/Schemas/urn:ietf:params:scim:schemas:test:2.0:TestResource", nil).want(200)
	attributes, _ := s.obj()["attributes"].([]any)
	if len(attributes) != 18 {
		t.Errorf("%d attributes: %s", len(attributes), s.body)
	}
	for _, a := range attributes {
		for name := range a.(object) {
			if !strings.Contains(" "+strings.Join(known, " ")+" ", " "+name+" ") {
				t.Errorf("%s is no member of an attribute", name)
			}
		}
	}
	if r := d.do("GET", "/Schemas", nil).want(200); r.obj()["totalResults"] != 5.0 {
		t.Errorf("got %s", r.body)
	}
	if r := d.do("GET", "/ResourceTypes", nil).want(200); r.obj()["totalResults"] != 3.0 {
		t.Errorf("got %s", r.body)
	}
}

// What a schema has no place for any more is kept through PUT and PATCH, and
// comes back.
func TestSchemas_ChangeUnderData(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		d := w.directory(t, scim.Standard)
		badge := func(attributes string) string {
			return `{"schemas":[{"id":"urn:example:schemas:Work","name":"Work","attributes":[{"name":"site"}` + attributes + `]}],
				"resourceTypes":[{"name":"User","schemaExtensions":[{"schema":"urn:example:schemas:Work","required":false}]}]}`
		}
		d.api("PUT", "/schemas", badge(`,{"name":"desk"}`)).want(200)
		id := d.create(object{"userName": "a", "urn:example:schemas:Work": object{"site": "Delft", "desk": "4.12"}})
		d.api("PUT", "/schemas", badge("")).want(200)
		d.put(id, object{"userName": "a", "title": "CTO", "urn:example:schemas:Work": object{"site": "Leiden", "desk": "ignored"}}).want(200)
		d.do("PATCH", "/Users/"+id, object{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"}, "Operations": []object{{"op": "replace", "path": "title", "value": "CEO"}}}).want(200)
		if r := d.do("GET", "/Users/"+id, nil).want(http.StatusOK); strings.Contains(string(r.body), "desk") || strings.Contains(string(r.body), "~") {
			t.Errorf("the value is shown: %s", r.body)
		}
		if r := d.do("GET", `/Users?filter=title+eq+%22CEO%22`, nil).want(200); strings.Contains(string(r.body), "4.12") || r.obj()["totalResults"] != 1.0 {
			t.Errorf("the value is listed: %s", r.body)
		}
		d.api("PUT", "/schemas", badge(`,{"name":"desk"}`)).want(200)
		if r := d.do("GET", "/Users/"+id, nil).want(200); !strings.Contains(string(r.body), `"urn:example:schemas:Work":{"site":"Leiden","desk":"4.12"}`) {
			t.Errorf("the value is not back: %s", r.body)
		}
	})
}
