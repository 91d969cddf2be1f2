package action

import (
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster/client"
)

// TestAll_CoversTheAPI compares the requests of the actions with the operations of
// Atlassian's User Provisioning API; the schemas and resource types that it has a
// path for each are one action each.
func TestAll_CoversTheAPI(t *testing.T) {
	t.Parallel()
	requests := make(map[string][]string)
	for _, a := range All() {
		r := a.Method + " " + a.Path
		requests[r] = append(requests[r], a.Name)
	}
	const org = "/admin/user-provisioning/v1/org/{orgId}"
	want := map[string][]string{
		"GET /Users":             {"list-users"},
		"POST /Users":            {"create-user"},
		"GET /Users/{userId}":    {"get-user"},
		"PUT /Users/{userId}":    {"update-user"},
		"PATCH /Users/{userId}":  {"patch-user", "deactivate-user", "activate-user"},
		"DELETE /Users/{userId}": {"delete-user"},

		"GET /Groups":              {"list-groups"},
		"POST /Groups":             {"create-group"},
		"GET /Groups/{groupId}":    {"get-group"},
		"PUT /Groups/{groupId}":    {"update-group"},
		"PATCH /Groups/{groupId}":  {"add-members", "remove-members"},
		"DELETE /Groups/{groupId}": {"delete-group"},

		"GET /Schemas":                      {"list-schemas"},
		"GET /Schemas/{schema}":             {"get-schema"},
		"GET /ResourceTypes":                {"list-resource-types"},
		"GET /ResourceTypes/{resourceType}": {"get-resource-type"},
		"GET /ServiceProviderConfig":        {"get-service-provider-config"},

		"GET " + org + "/user/{accountId}/get-scim-links":                                    {"get-scim-links"},
		"POST " + org + "/get-scim-links-for-email":                                          {"get-scim-links-for-email"},
		"PATCH " + org + "/scimDirectoryId/{scimDirectoryId}/scimUserId/{scimUserId}/unlink": {"unlink"},
		"DELETE " + org + "/user/{accountId}/onlyDeleteUserInDB":                             {"only-delete-user-in-db"},
	}
	if diff := cmp.Diff(requests, want); diff != "" {
		t.Errorf("(-got +want):\n%s", diff)
	}
}

var placeholder = regexp.MustCompile(`\{(\w+)\}`)

func TestAll_ManifestsAreWhole(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, a := range All() {
		if seen[a.Name] || a.Name != strings.ToLower(a.Name) || a.Title == "" || a.Summary == "" || a.Description == "" {
			t.Errorf("%s: the name is taken, or something is not said", a.Name)
		}
		seen[a.Name] = true
		if !strings.HasPrefix(a.Documentation, apiDocs) || a.Organization != strings.HasPrefix(a.Path, "/admin/") {
			t.Errorf("%s: %s, %s", a.Name, a.Documentation, a.Path)
		}
		if reads := a.Method == "GET" || a.Name == "get-scim-links-for-email"; a.Writes == reads {
			t.Errorf("%s: writes is %v", a.Name, a.Writes)
		}
		if len(a.ExampleOutput) > 0 && !a.ExampleOutput.IsValid() {
			t.Errorf("%s: the example output is no JSON", a.Name)
		}
		var inPath []string
		names, flags, in := make(map[string]bool), map[string]bool{"input": true, "clear": true, "output": true, "limit": true,
			"url": true, "key-file": true, "timeout": true, "directory": true, "connection": true, "config": true, "no-input": true}, Input{}
		flag := func(name string) {
			if name == "" || flags[name] {
				t.Errorf("%s: flag %q is empty or there twice", a.Name, name)
			}
			flags[name] = true
		}
		for _, p := range a.Parameters() {
			if names[p.Name] || p.Title == "" || p.Description == "" || p.Example == "" || strings.Contains(p.Description, "  ") {
				t.Errorf("%s: %s is there twice or not explained", a.Name, p.Name)
			}
			names[p.Name] = true
			if p.In == InPath {
				inPath = append(inPath, p.Name)
			}
			flag(p.Flag)
			if p.Short != nil {
				flag(p.Short.Flag)
			}
			for _, part := range p.Parts {
				if part.Flag != "" {
					flag(part.Flag)
				}
			}
			for _, other := range p.ExclusiveWith {
				if q := a.Parameter(other); q == nil || !slices.Contains(q.ExclusiveWith, p.Name) {
					t.Errorf("%s: %s does not exclude %s in turn", a.Name, other, p.Name)
				}
			}
			in[p.Name] = p.value([]string{p.Example})
		}
		var inTarget []string
		for _, m := range placeholder.FindAllStringSubmatch(a.Path, -1) {
			inTarget = append(inTarget, m[1])
		}
		slices.Sort(inPath)
		if slices.Sort(inTarget); !slices.Equal(inPath, inTarget) {
			t.Errorf("%s: the path has %q, the parameters %q", a.Name, inTarget, inPath)
		}
		delete(in, "excludedAttributes")
		if err := a.Validate(in); err != nil {
			t.Errorf("%s: the examples: %v", a.Name, err)
		}
		if m, err := Find(a.Name); err != nil || m.Title != a.Title {
			t.Errorf("%s: found %v, %v", a.Name, m, err)
		}
	}
}

func TestFind_SuggestsTheNearest(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"update-usr":               `no action "update-usr": did you mean update-user?`,
		"UpdateUser":               `no action "UpdateUser": did you mean update-user?`,
		"frobnicate":               `no action "frobnicate": roster action list shows them all`,
		"":                         `no action "": roster action list shows them all`,
		strings.Repeat("x", 1<<16): "",
	} {
		if a, err := Find(name); a != nil || err == nil || want != "" && err.Error() != want {
			t.Errorf("%.20s: got %v, %v", name, a, err)
		}
	}
}

func TestManifestValidate(t *testing.T) {
	t.Parallel()
	tests := []struct{ action, input, want string }{
		{"get-user", `{}`, "userId: is required and not blank: give it with --user-id"},
		{"get-user", `{"userId":"u","usrId":"x"}`, "usrId: no such parameter: did you mean userId?"},
		{"get-user", `{"userId":"u","colour":"x"}`, "colour: no such parameter; there are userId, attributes, excludedAttributes"},
		{"get-user", `{"userId":".."}`, "userId: is no id"},
		{"get-user", `{"userId":7}`, "userId: must be a string such as"},
		{"get-user", `{"userId":"u","attributes":["a"],"excludedAttributes":"b"}`, "attributes and excludedAttributes exclude each other: give one of them"},
		{"get-user", `{"userId":"u","attributes":["a"],"excludedAttributes":null}`, ""},
		{"list-users", `{"count":1.5}`, "count: must be an integer such as 100, not a number"},
		{"list-users", `{"count":"5"}`, "count: must be an integer such as 100, not a string"},
		{"list-users", `{"count":99999999999}`, "count: must be an integer such as 100, not a number"},
		{"list-users", `{"count":0,"all":false,"filter":""}`, ""},
		{"list-users", `{"all":"yes"}`, "all: must be true or false such as true, not a string"},
		{"list-users", `{"sortOrder":"up"}`, "sortOrder: must be one of ascending, descending"},
		{"update-user", `{"userId":"u","userName":"a"}`, ""},
		{"update-user", `{"userId":"u","userName":"a","active":null,"title":"","emails":[]}`, ""},
		{"update-user", `{"userId":"u","userName":"a","emails":[{"value":7}]}`, "emails: [0] value must be a string, not a number"},
		{"update-user", `{"userId":"u","userName":"a","emails":[{"VALUE":"x","primary":"True"},"y"]}`, "emails: [1] must be an object such as those of"},
		{"update-user", `{"userId":"u","userName":"a","phoneNumbers":[{"primary":"maybe"}]}`, "phoneNumbers: [0] primary must be true or false, not a string"},
		{"update-user", `{"userId":"u","userName":"a","name":{"givenName":["Ada"]}}`, "name: givenName must be a string, not an array"},
		{"update-user", `{"userId":"u","userName":"a","name":"Ada"}`, "name: must be a JSON object such as"},
		{"create-group", `{"displayName":"g","members":[{"value":"u"}]}`, ""},
		{"create-group", `{"displayName":"g","members":["u"]}`, "members: [0] must be an object such as those of"},
		{"add-members", `{"groupId":"g","members":[]}`, "members: needs at least one, such as"},
		{"add-members", `{"groupId":"g","members":"u1,u2"}`, ""},
		{"add-members", `{"groupId":"g","members":[7]}`, "members: must be a list of texts"},
		{"patch-user", `{"userId":"u","operations":{}}`, "operations: must be a JSON array such as"},
		{"patch-user", `{"userId":"u","operations":[{"op":7}]}`, "operations: [0] op must be a string, not a number"},
		{"patch-user", `{"userId":"u","operations":[{"op":"add","path":"x","value":[1,null]}]}`, ""},
	}
	for _, tt := range tests {
		a, err := Find(tt.action)
		if err != nil {
			t.Fatal(err)
		}
		var in Input
		if err := json.Unmarshal([]byte(tt.input), &in); err != nil {
			t.Fatal(err)
		}
		if tt.want == "" {
			if err := a.Validate(in); err != nil {
				t.Errorf("%s %s: got %v", tt.action, tt.input, err)
			}
			continue
		}
		if got := faults(t, a.Validate(in)); len(got) != 1 || !strings.HasPrefix(got[0], tt.want) {
			t.Errorf("%s %s: got %q, want %q", tt.action, tt.input, got, tt.want)
		}
	}
}

func TestManifestValidate_HoldsForAnyJSON(t *testing.T) {
	t.Parallel()
	for _, a := range All() {
		for _, p := range a.Parameters() {
			for _, v := range []string{"", "null", "{", `"\ud800"`, "[[[[]]]]", `{"a":{"a":[]}}`, `[{"a":1,"a":2}]`, "1e999", "-0", `[null,""]`} {
				var bad *InputError
				if err := a.Validate(Input{p.Name: jsontext.Value(v)}); err != nil && !errors.As(err, &bad) {
					t.Errorf("%s %s %s: got %v", a.Name, p.Name, v, err)
				}
			}
		}
	}
}

func TestRun_RefusesWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	for _, a := range All() {
		_, err := a.Run(t.Context(), new(client.Client), Input{"colour": jsontext.Value(`1`)})
		if got := faults(t, err); !strings.HasPrefix(got[0], "colour: no such parameter") {
			t.Errorf("%s: got %q", a.Name, got)
		}
	}
}

func TestPatchUser_RefusesOperationsThatAreNone(t *testing.T) {
	t.Parallel()
	a, err := Find("patch-user")
	if err != nil {
		t.Fatal(err)
	}
	for operations, want := range map[string]string{
		`[{"op":"set","path":"title","value":1}]`:             "operations: [0] op must be add, replace or remove",
		`[{"op":"Add","path":"x","value":1},{"op":"remove"}]`: "operations: [1] a remove needs a path",
		`[{"op":"replace","path":"title"}]`:                   "operations: [0] needs a value",
		`[{"op":"add","value":7}]`:                            "operations: [0] without a path the value must be an object of attributes",
	} {
		_, err := a.Run(t.Context(), new(client.Client), Input{"userId": jsontext.Value(`"u"`), "operations": jsontext.Value(operations)})
		if got := faults(t, err); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: got %q, want %q", operations, got, want)
		}
	}
}

func TestOutput_JSONOfAllPages(t *testing.T) {
	t.Parallel()
	o := &Output{List: func(yield func(jsontext.Value, error) bool) {
		_ = yield(jsontext.Value(`{"id":"a"}`), nil) && yield(jsontext.Value(`{"id":"b"}`), nil)
	}}
	got, err := o.JSON()
	const want = `{"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"totalResults":2,"startIndex":1,"itemsPerPage":2,"Resources":[{"id":"a"},{"id":"b"}]}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
	o.List = func(yield func(jsontext.Value, error) bool) { yield(nil, errors.New("lost")) }
	if got, err := o.JSON(); err == nil || got != nil {
		t.Errorf("got %s, %v", got, err)
	}
	if got, err := new(Output).JSON(); err != nil || got != nil {
		t.Errorf("got %s, %v", got, err)
	}
}

// TestAll_IsACopy holds so that nobody changes an action for others.
func TestAll_IsACopy(t *testing.T) {
	t.Parallel()
	All()[0].Basic[0].Name = "changed"
	if got := All()[0].Basic[0].Name; got != "userName" {
		t.Errorf("got %s", got)
	}
	names := make(map[string]bool)
	for _, a := range All() {
		names[a.Name] = true
	}
	if got := len(slices.Collect(maps.Keys(names))); got != 24 {
		t.Errorf("got %d actions", got)
	}
}
