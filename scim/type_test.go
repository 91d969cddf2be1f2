package scim_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster/scim"
)

func TestType_AttrFindsWhatClientsCallAnAttribute(t *testing.T) {
	t.Parallel()
	typ := typeOf(t, scim.Standard, "User")
	for path, want := range map[string]string{
		"userName":                     "userName",
		"USERNAME":                     "userName",
		"Emails.VALUE":                 "emails.value",
		"name.givenName":               "name.givenName",
		scim.UserURN + ":userName":     "userName",
		scim.UserURN + ":emails.value": "emails.value",
		strings.ToUpper(scim.EnterpriseUserURN) + ":Manager.displayname": scim.EnterpriseUserURN + ":manager.displayName",
		scim.EnterpriseUserURN:                 scim.EnterpriseUserURN,
		scim.EnterpriseUserURN + ":department": scim.EnterpriseUserURN + ":department",
		"meta.version":                         "meta.version",
		"groups.$ref":                          "groups.$ref",
		// None of these is an attribute.
		"":                                   "",
		".":                                  "",
		":":                                  "",
		"name.":                              "",
		".givenName":                         "",
		"name.givenName.x":                   "",
		"userName.value":                     "",
		"department":                         "",
		scim.UserURN:                         "",
		scim.UserURN + ":":                   "",
		scim.UserURN + "x:userName":          "",
		scim.EnterpriseUserURN + ".":         "",
		scim.EnterpriseUserURN + ":userName": "",
		"urn:x:userName":                     "",
		" userName":                          "",
		"uſerName":                           "", // folds to userName, but names are ASCII
	} {
		got := ""
		if a := typ.Attr(path); a != nil {
			got = a.Path
		}
		if got != want {
			t.Errorf("Attr(%q): got %q, want %q", path, got, want)
		}
	}
}

func TestType_AttributesAreFoundByTheirPath(t *testing.T) {
	t.Parallel()
	for _, rules := range scim.RuleSetNames {
		for _, name := range []string{"User", "Group", "Gadget"} {
			typ := typeOf(t, rules, name)
			for _, a := range typ.Attributes() {
				for _, path := range []string{a.Path, strings.ToUpper(a.Path), strings.ToLower(a.Path)} {
					if got := typ.Attr(path); got != a {
						t.Errorf("%s %s: Attr(%q) is another attribute", rules, name, path)
					}
				}
				if top := a.Top(); !strings.HasPrefix(a.Path, top.Path) {
					t.Errorf("%s %s: %s: at the top is %s", rules, name, a.Path, top.Path)
				}
			}
		}
	}
}

// The characteristics of RFC 7643 that the rest depends on, with the errata.
func TestModel_BuiltInSchemasHaveTheCharacteristicsOfTheRFC(t *testing.T) {
	t.Parallel()
	type row struct{ Type, Mutability, Returned, Uniqueness string }
	for _, tt := range []struct {
		rules, typ, path string
		want             row
	}{
		{scim.Standard, "User", "userName", row{"string", "readWrite", "default", "server"}},
		{scim.Standard, "User", "password", row{"string", "writeOnly", "never", "none"}},
		{scim.Standard, "User", "x509Certificates.value", row{"binary", "readWrite", "default", "none"}}, // errata 5606, 8435
		{scim.Standard, "User", "groups", row{"complex", "readOnly", "default", "none"}},
		{scim.Standard, "User", "emails.value", row{"string", "readWrite", "default", "none"}},
		{scim.Standard, "User", "id", row{"string", "readOnly", "always", "server"}},
		{scim.Standard, "User", "schemas", row{"reference", "readOnly", "always", ""}},
		{scim.Standard, "Group", "displayName", row{"string", "readWrite", "default", "none"}},
		{scim.Standard, "Group", "members.value", row{"string", "immutable", "default", "none"}},
		{scim.Atlassian, "User", "emails.value", row{"string", "readWrite", "default", "server"}},
		{scim.Atlassian, "User", "externalId", row{"string", "readWrite", "default", "none"}},
		{`atlassian{"uniqueExternalId":true,"uniqueEmails":false}`, "User", "externalId", row{"string", "readWrite", "default", "server"}},
		{`atlassian{"uniqueExternalId":true,"uniqueEmails":false}`, "User", "emails.value", row{"string", "readWrite", "default", "none"}},
		{scim.Atlassian, "Group", "displayName", row{"string", "immutable", "default", "server"}},
	} {
		a := typeOf(t, tt.rules, tt.typ).Attr(tt.path)
		if a == nil {
			t.Errorf("%s %s: no %s", tt.rules, tt.typ, tt.path)
			continue
		}
		got := row{a.Type, a.Mutability, a.Returned, a.Uniqueness}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s %s %s (-want +got):\n%s", tt.rules, tt.typ, tt.path, diff)
		}
	}
	for _, path := range []string{"id", "externalId", "schemas", "meta.location", "profileUrl", "groups.$ref", "x509Certificates.value"} { // erratum 8472
		if !typeOf(t, scim.Standard, "User").Attr(path).CaseExact {
			t.Errorf("%s ignores case", path)
		}
	}
}

func TestCompile_RefusesSchemasThatCannotBeServed(t *testing.T) {
	t.Parallel()
	attribute := func(name string) *scim.Attribute {
		return &scim.Attribute{Name: name, Type: scim.TypeString, Mutability: scim.ReadWrite, Returned: scim.ReturnedDefault}
	}
	rules, err := scim.Rules(scim.Standard)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		rt     scim.ResourceType
		schema scim.Schema
		want   string
	}{
		{"unknown schema", scim.ResourceType{Schema: "urn:x"}, scim.Schema{ID: "urn:y"}, "no schema urn:x"},
		{"unknown extension", scim.ResourceType{Schema: "urn:x", Extensions: []scim.SchemaExtension{{Schema: "urn:z"}}}, scim.Schema{ID: "urn:x"}, "no schema urn:z"},
		{"twice", scim.ResourceType{Schema: "urn:x"}, scim.Schema{ID: "urn:x", Attributes: []*scim.Attribute{attribute("a"), attribute("A")}}, "A is defined twice"},
		{"a common attribute", scim.ResourceType{Schema: "urn:x"}, scim.Schema{ID: "urn:x", Attributes: []*scim.Attribute{attribute("Meta")}}, "eta is defined twice"},
		{"itself", scim.ResourceType{Schema: "urn:x", Extensions: []scim.SchemaExtension{{Schema: "urn:x"}, {Schema: "urn:x"}}}, scim.Schema{ID: "urn:x"}, "urn:x is defined twice"},
		{"quotes in a name", scim.ResourceType{Schema: "urn:x"}, scim.Schema{ID: "urn:x", Attributes: []*scim.Attribute{attribute(`a"b`)}}, "not a name"},
		{"a dot in a name", scim.ResourceType{Schema: "urn:x"}, scim.Schema{ID: "urn:x", Attributes: []*scim.Attribute{attribute(`a.b`)}}, "not a name"},
		{"no name", scim.ResourceType{Schema: "urn:x"}, scim.Schema{ID: "urn:x", Attributes: []*scim.Attribute{attribute(``)}}, "not a name"},
		{"a digit first", scim.ResourceType{Schema: "urn:x"}, scim.Schema{ID: "urn:x", Attributes: []*scim.Attribute{attribute(`1a`)}}, "not a name"},
		{"no URN", scim.ResourceType{Schema: "x"}, scim.Schema{ID: "x"}, "not a URN"},
		{"quotes in a URN", scim.ResourceType{Schema: `urn:"`}, scim.Schema{ID: `urn:"`}, "not a URN"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := scim.Compile(tt.rt, []*scim.Schema{&tt.schema}, rules)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestRuleSet_WithNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	rules, err := scim.Rules(scim.Standard)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := scim.Rules("lax"); err == nil || !strings.Contains(err.Error(), "atlassian, standard, strict") {
		t.Errorf("got %v, want an error that lists the rule sets", err)
	}
	for overrides, want := range map[string]string{
		"": "", " ": "", "{}": "", `{"tolerant":false,"maxPage":1}`: "",
		`{"tolerent":true}`: `no rule "tolerent": there are schemas, `, `{"tolerant":"yes"}`: `tolerant is "yes": it takes true or false`, `{"maxPage":0}`: "maxPage is 0", `{"maxPage":10001}`: "maxPage",
		`{"schemas":"other"}`: "schemas is", `[]`: "rules", `{`: "rules", `{"Name":"x"}`: "Name", `{"tolerant":true,"tolerant":true}`: "tolerant",
	} {
		got, err := rules.With([]byte(overrides))
		switch {
		case want == "" && (err != nil || got.Name != scim.Standard):
			t.Errorf("%s: got %v, %v", overrides, got, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: got %v, want an error with %q", overrides, err, want)
		}
	}
	if got, err := rules.With([]byte(`{"maxPage":7}`)); err != nil || got.MaxPage != 7 || rules.MaxPage != 1000 {
		t.Errorf("got %v, %v, want a changed copy", got, err)
	}
}

func TestResource_SetAndGetByPath(t *testing.T) {
	t.Parallel()
	typ := typeOf(t, scim.Standard, "User")
	r := created(t, typ, `{"userName":"ada","emails":[{"value":"a"}]}`)
	before := text(r)
	const manager = scim.EnterpriseUserURN + ":manager.displayName"
	for _, tt := range []struct {
		path  string
		value scim.Value
		want  string
	}{
		{"title", scim.StringValue("CTO"), `{"userName":"ada","title":"CTO","active":true,"emails":[{"value":"a"}]}`},
		{"TITLE", scim.Value{}, before},
		{"active", scim.BoolValue(false), `{"userName":"ada","active":false,"emails":[{"value":"a"}]}`},
		{"active", scim.Value{}, `{"userName":"ada","emails":[{"value":"a"}]}`},
		{"name.givenName", scim.StringValue("Ada"), `{"userName":"ada","name":{"givenName":"Ada"},"active":true,"emails":[{"value":"a"}]}`},
		{manager, scim.StringValue("John"), `{"userName":"ada","active":true,"emails":[{"value":"a"}],"` + scim.EnterpriseUserURN + `":{"manager":{"displayName":"John"}}}`},
		{"emails.value", scim.StringValue("b"), before}, // which of them?
		{"shoeSize", scim.StringValue("42"), before},
	} {
		next := r.Set(tt.path, tt.value)
		if got := text(next); got != tt.want {
			t.Errorf("Set %s: got %s, want %s", tt.path, got, tt.want)
		}
		if text(r) != before {
			t.Fatalf("Set %s changed its receiver: %s", tt.path, text(r))
		}
		if tt.want == before {
			continue
		}
		if got := next.Get(strings.ToUpper(tt.path)); !got.Equal(tt.value) {
			t.Errorf("Get %s: got %v, want %v", tt.path, got, tt.value)
		}
		if back := next.Set(tt.path, scim.Value{}); tt.path != "active" && text(back) != before {
			t.Errorf("Set %s to nothing: got %s, want %s", tt.path, text(back), before)
		}
	}
	if got := r.Get("emails.value"); got.Kind() != scim.Absent {
		t.Errorf("a sub-attribute of a list has one value: %v", got)
	}
	if got := r.Get("emails").Items()[0].Sub("VALUE").Text(); got != "a" {
		t.Errorf("Sub ignores case: got %q", got)
	}
}

func TestDecode_ErrorIsOursAndPrivate(t *testing.T) {
	t.Parallel()
	typ := typeOf(t, scim.Atlassian, "User")
	for _, doc := range []string{``, `{`, `[]`, `{"userName":"a"}{}`, `{"~":7}`, `{"~":[["a"]]}`, `{"~":[[7,1]]}`} {
		_, err := typ.Decode([]byte(doc))
		var e *scim.Error
		if !errors.As(err, &e) || e.Status != 500 || e.Err == nil || strings.Contains(string(e.AppendJSON(nil)), "userName") {
			t.Errorf("%s: got %v, want a 500 with a private cause", doc, err)
		}
		if _, err := typ.Render(nil, []byte(doc), &tableMeta, mustProject(t, typ, "title")); status(err) != 500 {
			t.Errorf("render %s: got %v, want a 500", doc, err)
		}
	}
	// What is stored is kept, the rules of today notwithstanding.
	doc := []byte(`{"externalId":"","userName":"","emails":[{"value":"","primary":true},{"value":"","primary":true}],"` + scim.AtlassianExternalURN + `":{"atlassianAccountId":"602bdf"}}`)
	if diff := cmp.Diff(string(doc), text(decoded(t, typ, doc))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func mustProject(tb testing.TB, typ *scim.Type, attributes ...string) *scim.Projection {
	tb.Helper()
	p, err := typ.NewProjection(attributes, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func TestProjection_Shows(t *testing.T) {
	t.Parallel()
	typ := typeOf(t, scim.Standard, "Gadget")
	var unasked *scim.Projection
	for _, tt := range []struct {
		p    *scim.Projection
		path string
		want bool
	}{
		{unasked, "label", true}, {unasked, "notes", false}, {unasked, "secret", false}, {unasked, "id", true},
		{mustProject(t, typ, "notes"), "notes", true}, {mustProject(t, typ, "notes"), "label", false}, {mustProject(t, typ, "notes"), "id", true},
		{mustProject(t, typ, "secret"), "secret", false}, {mustProject(t, typ, "parts.count"), "parts", true}, {mustProject(t, typ, "parts.count"), "parts.value", false},
	} {
		if got := tt.p.Shows(typ.Attr(tt.path)); got != tt.want {
			t.Errorf("%v shows %s: got %v, want %v", tt.p, tt.path, got, tt.want)
		}
	}
}

func TestAppendList(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		list      scim.ListResponse
		resources string
		want      string
	}{
		{scim.ListResponse{Total: 12, Start: 3}, ``, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"totalResults":12,"startIndex":3,"itemsPerPage":0,"Resources":[]}`},
		{scim.ListResponse{Total: 12, Start: 3, N: 2}, `{"id":"1"},{"id":"2"}`, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"totalResults":12,"startIndex":3,"itemsPerPage":2,"Resources":[{"id":"1"},{"id":"2"}]}`},
		{scim.ListResponse{Total: 2, N: 1, Previous: "a", Next: "b"}, `{"id":"1"}`, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"totalResults":2,"itemsPerPage":1,"previousCursor":"a","nextCursor":"b","Resources":[{"id":"1"}]}`},
	} {
		got := scim.AppendList([]byte("x"), tt.list, []byte(tt.resources))
		if diff := cmp.Diff("x"+tt.want, string(got)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if !jsontext.Value(got[1:]).IsValid() {
			t.Errorf("not JSON: %s", got)
		}
	}
}

func TestError_KeepsItsCausePrivate(t *testing.T) {
	t.Parallel()
	cause := fmt.Errorf("open: %w", os.ErrNotExist)
	err := fmt.Errorf("get: %w", &scim.Error{Status: 409, Type: scim.Uniqueness, Detail: "taken", Err: cause})
	var e *scim.Error
	if !errors.As(err, &e) || !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("%v: the chain is broken", err)
	}
	if got, want := e.Error(), "409 uniqueness: taken: open: file does not exist"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := string(e.AppendJSON(nil)); strings.Contains(got, "open") {
		t.Errorf("the cause is in the answer: %s", got)
	}
}
