package action

import (
	"errors"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/scim"
)

// A plan that was kept as the answer it was made of is carried out once, on a
// service that knows nothing of Idempotency-Keys.
func TestUpdateUser_ResumedPlan(t *testing.T) {
	t.Parallel()
	asPlanned := strings.Replace(current, `"Engineer"`, `"CTO"`, 1)
	for _, tt := range []struct {
		name, now string // now: as the user is when the plan is carried out
		puts      int
		changed   bool // a *ChangedError
	}{
		{"not done yet", current, 1, false},
		{"done already", asPlanned, 0, false},
		{"changed by somebody else", strings.Replace(current, `"Engineer"`, `"Poet"`, 1), 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := &service{now: tt.now, after: asPlanned}
			a := s.action(t, scim.Atlassian)
			a.Resumed = true
			in := whole()
			in["title"] = jsontext.Value(`"CTO"`)
			p, err := a.PlanOf(&client.Answer{Status: 200, Body: jsontext.Value(current)}, in)
			if err != nil {
				t.Fatal(err)
			}
			r, err := a.Apply(t.Context(), p)
			var changed *ChangedError
			if errors.As(err, &changed) != tt.changed || !tt.changed && err != nil {
				t.Fatalf("got %v", err)
			}
			puts := 0
			for _, line := range s.requests() {
				if strings.HasPrefix(line, "PUT ") {
					puts++
				}
			}
			if puts != tt.puts {
				t.Errorf("%d PUTs, want %d: %q", puts, tt.puts, s.requests())
			}
			if err == nil && (len(r.Changes) != 1 || r.Changes[0].String() != `~ title: "Engineer" -> "CTO"`) {
				t.Errorf("changes: %v", r.Changes)
			}
		})
	}
}
