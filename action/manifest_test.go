package action

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster/scim"
)

var update = flag.Bool("update", false, "rewrite the pages in docs/actions")

func TestUpdateUserManifest_ParametersAreThoseOfThePage(t *testing.T) {
	t.Parallel()
	m := UpdateUserManifest()
	titles := func(parameters []Parameter) (out []string) {
		for _, p := range parameters {
			out = append(out, p.Title)
		}
		return out
	}
	if diff := cmp.Diff(titles(m.Basic), []string{"User ID", "User Name"}); diff != "" {
		t.Error(diff)
	}
	want := []string{"Active", "Attributes", "Department", "Display Name", "Emails", "Excluded Attributes", "Name", "Nick Name",
		"Organization", "Phone Numbers", "Preferred Language", "Timezone", "Title"}
	if diff := cmp.Diff(titles(m.Advanced), want); diff != "" {
		t.Error(diff)
	}
}

// TestUpdateUserManifest_FitsTheSchema keeps the manifest and Atlassian's schema
// in step: every writable attribute of the schema that the page has is a
// parameter of the right type, and every example is valid.
func TestUpdateUserManifest_FitsTheSchema(t *testing.T) {
	t.Parallel()
	typ := testType(t, scim.Atlassian)
	in := Input{}
	for _, p := range UpdateUserManifest().Parameters() {
		if p.In == InBody && typ.Attr(p.Name) == nil {
			t.Errorf("%s is no attribute", p.Name)
		}
		if p.Description == "" || p.Example == "" {
			t.Errorf("%s is not explained", p.Name)
		}
		switch p.Type {
		case String, Names:
			if err := in.Set(p.Name, p.Example); err != nil {
				t.Error(err)
			}
		default:
			in[p.Name] = []byte(p.Example)
		}
	}
	delete(in, "excludedAttributes")
	if err := ValidateUpdateUser(typ, in); err != nil {
		t.Errorf("the examples: %v", err)
	}
}

func TestUpdateUserManifest_ExampleOutputHasTheKeysOfThePage(t *testing.T) {
	t.Parallel()
	var doc map[string]any
	if err := json.Unmarshal(UpdateUserManifest().ExampleOutput, &doc); err != nil {
		t.Fatal(err)
	}
	keys := make(map[string]bool)
	var walk func(prefix string, v any)
	walk = func(prefix string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, w := range v {
				keys[prefix+name] = true
				walk(prefix+name+"/", w)
			}
		case []any:
			for _, w := range v {
				walk(prefix, w)
			}
		}
	}
	walk("", doc)
	const enterprise, external = scim.EnterpriseUserURN, scim.AtlassianExternalURN
	want := []string{
		"active", "department", "displayName", "emails", "emails/primary", "emails/type", "emails/value", "externalId",
		"groups", "groups/$ref", "groups/display", "groups/type", "groups/value", "id",
		"meta", "meta/created", "meta/lastModified", "meta/location", "meta/resourceType",
		"name", "name/familyName", "name/formatted", "name/givenName", "name/honorificPrefix", "name/honorificSuffix", "name/middleName",
		"nickName", "organization", "phoneNumbers", "phoneNumbers/primary", "phoneNumbers/type", "phoneNumbers/value",
		"preferredLanguage", "schemas", "timezone", "title",
		enterprise, enterprise + "/department", enterprise + "/organization", external, external + "/atlassianAccountId", "userName",
	}
	slices.Sort(want)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(keys)), want); diff != "" {
		t.Errorf("(-got +want):\n%s", diff)
	}
}

func TestPages_AreInStep(t *testing.T) {
	t.Parallel()
	dir := filepath.Join("..", "docs", "actions")
	want := map[string]string{"README.md": string(AppendIndex(nil))}
	for _, a := range All() {
		want[a.Name+".md"] = string(a.AppendPage(nil))
	}
	for name, page := range want {
		path := filepath.Join(dir, name)
		if *update {
			if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(got), page); diff != "" {
			t.Errorf("%s is out of step: run go test ./action -update\n%s", path, diff)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if _, ok := want[f.Name()]; !ok {
			t.Errorf("%s is of no action: remove it", f.Name())
		}
	}
}

func testType(t *testing.T, ruleSet string) *scim.Type {
	t.Helper()
	rules, err := scim.Rules(ruleSet)
	if err != nil {
		t.Fatal(err)
	}
	typ, err := UserType(rules)
	if err != nil {
		t.Fatal(err)
	}
	return typ
}
