package server_test

import (
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster/scim"
)

// runVectors returns the cases that failed in a directory, and why; those that
// need a feature that the server says it has not are in skipped.
func runVectors(t *testing.T, d *dir) (failed map[string][]string, skipped []string, passed int) {
	t.Helper()
	v := &vectorRun{d: d, base: d.path}
	has := v.discover(t.Context())
	failed = map[string][]string{}
	for _, c := range readVectors(t) {
		if slices.ContainsFunc(c.Needs, func(n string) bool {
			name, absent := strings.CutPrefix(n, "!")
			return has[name] == absent
		}) {
			skipped = append(skipped, c.ID)
			continue
		}
		if bad := (&vectorRun{d: d, base: d.path}).run(t.Context(), &c); len(bad) > 0 {
			failed[c.ID] = bad
		} else {
			passed++
		}
	}
	return failed, skipped, passed
}

func TestVectors_Standard(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		failed, skipped, passed := runVectors(t, w.directory(t, scim.Standard).withTestResources())
		for id, why := range failed {
			t.Errorf("%s: %s", id, strings.Join(why, "; "))
		}
		// All but those for a server that lacks something.
		if diff := cmp.Diff(skipped, []string{"etag-off", "bulk-off"}); diff != "" {
			t.Errorf("skipped (-got +want):\n%s", diff)
		}
		t.Logf("%d passed", passed)
	})
}

// The deviations of the atlassian rules are those that docs/scim.md lists.
func TestVectors_Atlassian(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		failed, _, passed := runVectors(t, w.directory(t, scim.Atlassian).withTestResources())
		got := map[string]bool{}
		for id, why := range failed {
			got[id] = true
			t.Logf("%s: %s", id, strings.Join(why, "; "))
		}
		if diff := cmp.Diff(got, deviations(t)); diff != "" {
			t.Errorf("the deviations are not those of docs/scim.md (-got +listed):\n%s", diff)
		}
		t.Logf("%d passed, %d deviate: %v", passed, len(got), slices.Sorted(maps.Keys(got)))
	})
}

var deviation = regexp.MustCompile("(?m)^\\| `([a-z0-9-]+)` \\| `([a-zA-Z]+)` \\|")

// deviations reads the table of docs/scim.md. Each row names a rule that exists.
func deviations(t *testing.T) map[string]bool {
	t.Helper()
	data, err := os.ReadFile("../../docs/scim.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(data), "\n## Where the atlassian rules deviate\n")
	if !ok {
		t.Fatal("docs/scim.md has no section on deviations")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	out := map[string]bool{}
	for _, m := range deviation.FindAllStringSubmatch(section, -1) {
		out[m[1]] = true
		if !ruleExists(m[2]) {
			t.Errorf("docs/scim.md: %s is said to come from %s, which is no rule", m[1], m[2])
		}
	}
	return out
}

// ruleExists reports whether a rule set has a rule of that name.
func ruleExists(name string) bool {
	for f := range reflect.TypeFor[scim.RuleSet]().Fields() {
		if f.Tag.Get("json") == name {
			return true
		}
	}
	return false
}
