package server_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/roster-scim/roster/scim"
)

// A shape is the members that an object must have, and those that it may; a
// member that is an object, or a list of objects, has a shape itself.
type shape struct {
	must, may string // names
	below     map[string]*shape
}

// What RFC 7643 sections 5 to 7 have, and RFC 9865 section 4 adds.
var (
	metaShape      = &shape{must: "resourceType location", may: "created lastModified version"}
	supportedShape = &shape{must: "supported"}
	attributeShape = func() *shape {
		s := &shape{
			must:  "name type multiValued description required caseExact mutability returned uniqueness",
			may:   "subAttributes canonicalValues referenceTypes",
			below: map[string]*shape{},
		}
		s.below["subAttributes"] = s
		return s
	}()
	schemaShape = &shape{
		must: "schemas id name description attributes meta", below: map[string]*shape{"attributes": attributeShape, "meta": metaShape},
	}
	resourceTypeShape = &shape{
		must: "schemas id name description endpoint schema meta", may: "schemaExtensions",
		below: map[string]*shape{"schemaExtensions": {must: "schema required"}, "meta": metaShape},
	}
	configShape = &shape{
		must: "schemas patch bulk filter changePassword sort etag authenticationSchemes meta", may: "documentationUri pagination",
		below: map[string]*shape{
			"patch": supportedShape, "sort": supportedShape, "etag": supportedShape, "changePassword": supportedShape,
			"bulk":                  {must: "supported maxOperations maxPayloadSize"},
			"filter":                {must: "supported maxResults"},
			"pagination":            {must: "cursor index", may: "defaultPaginationMethod defaultPageSize maxPageSize cursorTimeout"},
			"authenticationSchemes": {must: "type name description", may: "specUri documentationUri primary"},
			"meta":                  metaShape,
		},
	}
)

// check reports what v, found at a path, has beyond its shape, or lacks. No value
// is empty.
func (s *shape) check(t *testing.T, at string, v any) {
	t.Helper()
	switch v := v.(type) {
	case string:
		if v == "" {
			t.Errorf("%s is empty", at)
		}
	case []any:
		if len(v) == 0 {
			t.Errorf("%s is empty", at)
		}
		for _, item := range v {
			s.check(t, at, item)
		}
	case object:
		must, may := []string{}, []string{}
		var below map[string]*shape
		if s != nil {
			must, may, below = strings.Fields(s.must), strings.Fields(s.may), s.below
		}
		for _, name := range must {
			if v[name] == nil {
				t.Errorf("%s has no %s", at, name)
			}
		}
		for name, value := range v {
			if !slices.Contains(must, name) && !slices.Contains(may, name) {
				t.Errorf("%s has the member %s", at, name)
			}
			below[name].check(t, at+"."+name, value)
		}
	}
}

func TestDiscovery_Members(t *testing.T) {
	w := onSQLite(t)
	for _, rs := range scim.RuleSetNames {
		d := w.directory(t, rs)
		config := d.get("/ServiceProviderConfig").want(200)
		config.has("schemas", []any{scim.ServiceProviderConfigURN})
		configShape.check(t, rs+": ServiceProviderConfig", config.obj())
		for _, kind := range []struct {
			path, urn string
			shape     *shape
		}{{"/Schemas", scim.SchemaURN, schemaShape}, {"/ResourceTypes", scim.ResourceTypeURN, resourceTypeShape}} {
			list := d.get(kind.path).want(200)
			all := list.list()
			if len(all) == 0 {
				t.Fatalf("%s: %s is empty", rs, kind.path)
			}
			(&shape{must: "schemas totalResults startIndex itemsPerPage Resources", below: map[string]*shape{"Resources": kind.shape}}).
				check(t, rs+": "+kind.path, list.obj())
			for _, one := range all {
				if urns := one["schemas"].([]any); len(urns) != 1 || urns[0] != kind.urn {
					t.Errorf("%s: %v has the schemas %v", rs, one["id"], urns)
				}
				location := one["meta"].(object)["location"].(string)
				d.get(strings.TrimPrefix(location, publicURL+d.path)).want(200).has("id", one["id"])
			}
		}
		// Each schema that a resource type names is there.
		for _, rt := range d.get("/ResourceTypes").list() {
			d.get("/Schemas/" + rt["schema"].(string)).want(200)
			extensions, _ := rt["schemaExtensions"].([]any)
			for _, e := range extensions {
				d.get("/Schemas/" + e.(object)["schema"].(string)).want(200)
			}
		}
	}
}

// Discovery is read, whole; its lists, and what is in them, with a filter not at
// all (RFC 7644 section 4).
func TestDiscovery_ReadOnly(t *testing.T) {
	w := onSQLite(t)
	for _, rs := range ruleSets {
		d := w.directory(t, rs)
		for _, path := range []string{
			"/ServiceProviderConfig", "/Schemas", "/Schemas/" + userURN, "/Schemas/nope", "/ResourceTypes", "/ResourceTypes/User", "/Schemas/.search",
		} {
			for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
				d.do(method, path, object{"schemas": []any{}}).refused(405, "").headerIs("Allow", "GET")
			}
			if path != "/ServiceProviderConfig" {
				d.get(path + "?filter=" + url.QueryEscape(`name eq "User"`)).want(403)
				d.get(path + "?filter=").want(403)
			}
		}
		for _, path := range []string{"/ServiceProviderConfig", "/Schemas", "/ResourceTypes", "/Schemas/" + userURN, "/ResourceTypes/Group"} {
			whole := d.get(path).want(200).body
			for _, q := range []string{"attributes=id", "excludedAttributes=name,attributes", "count=0&startIndex=9", "sortBy=id&sortOrder=descending", "cursor=x"} {
				if r := d.get(path + "?" + q).want(200); string(r.body) != string(whole) {
					t.Errorf("%s is not whole: %s", r.what, r.body)
				}
			}
		}
		whole := d.get("/ServiceProviderConfig").want(200).body
		if r := d.get("/ServiceProviderConfig?filter=invalid&sortBy=id&startIndex=999").want(200); string(r.body) != string(whole) {
			t.Errorf("%s is not whole: %s", r.what, r.body)
		}
		d.get("/ServiceProviderConfig/x").refused(404, "")
		d.get("/Schemas/"+userURN+"/x").refused(404, "")
	}
}
