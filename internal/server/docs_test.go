package server_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster/scim"
)

// Every test that docs/scim.md or docs/admin-apis.md names exists.
func TestDocs_NamedTestsExist(t *testing.T) {
	t.Parallel()
	exists := map[string]bool{}
	declaration := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		data, err := os.ReadFile(path)
		for _, m := range declaration.FindAllSubmatch(data, -1) {
			exists[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var names [][][]byte // in docs/scim.md
	for i, page := range []string{"scim.md", "rfc.md", "admin-apis.md"} {
		data, err := os.ReadFile("../../docs/" + page)
		if err != nil {
			t.Fatal(err)
		}
		named := regexp.MustCompile("`(Test\\w+)`").FindAllSubmatch(data, -1)
		if least := []int{50, 30, 1}[i]; len(named) < least {
			t.Errorf("docs/%s names %d tests: this test does not find them", page, len(named))
		}
		for _, m := range named {
			if !exists[string(m[1])] {
				t.Errorf("docs/%s names %s, which does not exist", page, m[1])
			}
		}
		if i == 0 {
			names = named
		}
	}
	// The other way round: each test of a row of section E is in it.
	files, err := filepath.Glob("section_e*_test.go")
	if err != nil || len(files) != 2 {
		t.Fatalf("the tests of section E: %v, %v", files, err)
	}
	for _, file := range files {
		rows, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range declaration.FindAllSubmatch(rows, -1) {
			if !slices.ContainsFunc(names, func(n [][]byte) bool { return string(n[1]) == string(m[1]) }) {
				t.Errorf("docs/scim.md does not name %s", m[1])
			}
		}
	}
}

// docs/rules.md has every rule with its value in each rule set, and the OpenAPI
// document has them too.
func TestDocs_Rules(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\|.*\\| (\\w+) \\| (\\w+) \\| (\\w+) \\|$").FindAllSubmatch(page, -1) {
		got = append(got, string(bytes.Join(m[1:], []byte(" "))))
	}
	sets := make([][]scim.Rule, len(scim.RuleSetNames))
	for i, name := range scim.RuleSetNames {
		rules, err := scim.Rules(name)
		if err != nil {
			t.Fatal(err)
		}
		sets[i] = rules.List()
	}
	var names []string
	for i, rule := range sets[0] {
		names = append(names, rule.Name)
		want = append(want, fmt.Sprint(rule.Name, " ", rule.Value, " ", sets[1][i].Value, " ", sets[2][i].Value))
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("docs/rules.md (-got +want):\n%s", diff)
	}
	var doc struct {
		Components struct {
			Schemas struct {
				Rules struct{ Properties map[string]any }
			}
		}
	}
	data, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &doc, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(doc.Components.Schemas.Rules.Properties)), names); diff != "" {
		t.Errorf("the rules of openapi.json (-got +want):\n%s", diff)
	}
}
