package action

import (
	"testing"

	"github.com/go-json-experiment/json"
	"pgregory.net/rapid"

	"github.com/roster-scim/roster/scim"
)

// TestChanges_EmptyExactlyWhenEqual holds for any two users: no difference is
// passed over, and nothing is told that is none.
func TestChanges_EmptyExactlyWhenEqual(t *testing.T) {
	t.Parallel()
	typ := testType(t, scim.Atlassian)
	word := rapid.SampledFrom([]string{"a", "b", "c"})
	item := rapid.Custom(func(t *rapid.T) map[string]any {
		it := map[string]any{"value": word.Draw(t, "value")}
		if rapid.Bool().Draw(t, "typed") {
			it["type"] = word.Draw(t, "type")
		}
		return it
	})
	user := rapid.Custom(func(t *rapid.T) map[string]any {
		u := map[string]any{"userName": "x", "active": rapid.Bool().Draw(t, "active")}
		if rapid.Bool().Draw(t, "titled") {
			u["title"] = word.Draw(t, "title")
		}
		u["emails"] = rapid.SliceOfN(item, 0, 3).Draw(t, "emails")
		u["name"] = rapid.MapOfN(rapid.SampledFrom([]string{"givenName", "familyName"}), word, 0, 2).Draw(t, "name")
		return u
	})
	rapid.Check(t, func(rt *rapid.T) {
		read := func(name string) *scim.Resource {
			doc, err := json.Marshal(user.Draw(rt, name))
			if err != nil {
				rt.Fatal(err)
			}
			r, _, err := typ.Parse(doc)
			if err != nil {
				rt.Fatal(err)
			}
			return r
		}
		before, after := read("before"), read("after")
		changes, differ := Changes(before, after), len(scim.Diff(before, after)) > 0
		if differ != (len(changes) > 0) {
			rt.Fatalf("differ: %v, but the changes are %v", differ, changes)
		}
		for _, c := range changes {
			if (c.Op == Add) != (len(c.Before) == 0) || (c.Op == Clear) != (len(c.After) == 0) {
				rt.Fatalf("%+v does not fit its operation", c)
			}
		}
	})
}

// TestChanges_MasksWhatNoAnswerShows: a service may show a secret all the same.
func TestChanges_MasksWhatNoAnswerShows(t *testing.T) {
	t.Parallel()
	a := &scim.Attr{Attribute: &scim.Attribute{Name: "pin", Returned: scim.ReturnedNever}, Path: "pin"}
	if got := changeOfPart(a)("door.pin", scim.StringValue("1234"), scim.StringValue("5678")).String(); got != `~ door.pin: "***" -> "***"` {
		t.Errorf("got %s", got)
	}
}
