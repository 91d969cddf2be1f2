package action

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/scim"
)

func TestCreateUser(t *testing.T) {
	t.Parallel()
	s := &service{after: `{"id":"u9","userName":"ada"}`, status: 201}
	u := s.action(t, scim.Atlassian)
	a := &CreateUser{Client: u.Client, Rules: u.Rules}
	in := Input{"userName": jsontext.Value(`"ada"`), "emails": jsontext.Value(`[{"value":"a"}]`), "excludedAttributes": jsontext.Value(`"groups"`)}
	made, err := a.Run(t.Context(), in)
	if err != nil || made.ID != "u9" {
		t.Fatalf("got %+v, %v", made, err)
	}
	got := s.requests()[0]
	if !strings.HasPrefix(got, "POST /scim/directory/d/Users?excludedAttributes=groups") || !strings.Contains(got, `"primary":true`) {
		t.Errorf("got %s", got)
	}
	in["userId"] = jsontext.Value(`"x"`)
	delete(in, "emails")
	got2 := faults(t, second(a.Run(t.Context(), in)))
	if len(got2) != 2 || len(s.requests()) != 1 {
		t.Errorf("got %q after %d requests, want two faults and no request", got2, len(s.requests()))
	}
}

func second[T any](_ T, err error) error { return err }
