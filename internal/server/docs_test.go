package server_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
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
