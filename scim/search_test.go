package scim_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster/scim"
)

// What the strict rules take of a search, the others take as the same; what they
// refuse is a 400.
func FuzzParseSearch(f *testing.F) {
	for _, s := range seeds(f, "search") {
		f.Add(s)
	}
	strict, standard := typeOf(f, scim.Strict, "User").Rules, typeOf(f, scim.Standard, "User").Rules
	f.Fuzz(func(t *testing.T, data string) {
		want, err := scim.ParseSearch([]byte(data), strict)
		got, tolerant := scim.ParseSearch([]byte(data), standard)
		for _, err := range []error{err, tolerant} {
			var e *scim.Error
			if err != nil && (!errors.As(err, &e) || e.Status != 400) {
				t.Errorf("%q: %v", data, err)
			}
		}
		if err != nil {
			return
		}
		if diff := cmp.Diff(got, want); tolerant != nil || diff != "" {
			t.Errorf("%q: %v (-standard +strict):\n%s", data, tolerant, diff)
		}
	})
}
