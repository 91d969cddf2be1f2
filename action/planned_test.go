package action

import (
	"errors"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster/scim"
)

// currentGroup is a group with every attribute, and one of its own schema.
const currentGroup = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"id":"g1","externalId":"x1","displayName":"team",
	"members":[{"value":"u1","display":"ada","type":"User","$ref":"https://h/u1"},{"value":"u2","type":"User"},{"value":"g2","type":"Group"}],
	"urn:example:Badge":{"number":"7"},"meta":{"resourceType":"Group"}}`

func list1(doc string) string {
	return `{"schemas":["` + scim.ListResponseURN + `"],"totalResults":1,"Resources":[` + doc + `]}`
}

// TestWrite_Plan plans every action that writes. No request but a GET is sent.
func TestWrite_Plan(t *testing.T) {
	t.Parallel()
	const none = `{"totalResults":0}`
	badge := `- urn:example:Badge: {"number":"7"} -> (cleared)!`
	tests := []struct {
		name, action, input string
		ruleSet             string // empty: atlassian
		now                 string
		keep                bool
		want                []string
		body                string // a part of it
	}{
		{"a new user", "create-user", `{"userName":"ada","emails":[{"value":"a@b.example"}]}`, "", none, false,
			[]string{`+ userName: "ada"`, `+ emails["a@b.example"]: "a@b.example"`, `+ active: true`}, `"primary":true`},
		{"a new group", "create-group", `{"displayName":"team","members":[{"value":"u1"},{"value":"u1"}]}`, "", none, false,
			[]string{`+ displayName: "team"`, `+ members: "u1"`}, `"displayName":"team"`},
		{"a group of a taken name", "create-group", `{"displayName":"team"}`, "", list1(currentGroup), false,
			[]string{`409 uniqueness: displayName "team" is taken. Held by g1`}, ""},

		{"deactivate", "deactivate-user", `{"userId":"u1"}`, "", strings.Replace(current, `"active":false`, `"active":true`, 1), false,
			[]string{`~ active: true -> false`}, `"path":"active"`},
		{"deactivate again", "deactivate-user", `{"userId":"u1"}`, "", current, false, nil, ""},
		{"activate", "activate-user", `{"userId":"u1"}`, "", current, false, []string{`~ active: false -> true`}, ""},
		{"patch", "patch-user", `{"userId":"u1","operations":[{"op":"remove","path":"emails[type eq \"work\"].primary"},{"op":"replace","value":{"title":"CTO"}}]}`, scim.Standard, current, false,
			[]string{`~ title: "Engineer" -> "CTO"`, `- emails[work].primary: true -> (cleared)`}, `"Operations"`},
		{"patch of what is not known", "patch-user", `{"userId":"u1","operations":[{"op":"add","path":"title","value":"CTO"},{"op":"add","path":"urn:example:Badge:number","value":"8"}]}`, scim.Standard, current, false,
			[]string{`~ title: "Engineer" -> "CTO"`, `? the rule set standard does not know urn:example:Badge:number`}, ""},
		{"patch that would be refused", "patch-user", `{"userId":"u1","operations":[{"op":"remove","path":"userName"}]}`, scim.Standard, current, false,
			[]string{`? userName is required: it cannot be removed, give it another value`}, ""},
		{"delete a user", "delete-user", `{"userId":"u1"}`, "", current, false, nil, ""},
		{"delete a group", "delete-group", `{"groupId":"g1"}`, "", currentGroup, false, nil, ""},

		{"a group's members are kept", "update-group", `{"groupId":"g1","displayName":"team"}`, "", currentGroup, false,
			[]string{badge}, `"displayName":"team"}`},
		{"a group's members are emptied", "update-group", `{"groupId":"g1","displayName":"Team","externalId":"x2"}`, scim.Standard, currentGroup, false,
			[]string{`~ externalId: "x1" -> "x2"`, `~ displayName: "team" -> "Team"`, `- members: "u1" -> (cleared)!`, `- members: "u2" -> (cleared)!`, `- members: "g2" -> (cleared)!`, badge}, ""},
		{"a group's members are replaced", "update-group", `{"groupId":"g1","displayName":"team","externalId":"x1","members":[{"value":"u3"},{"value":"u1"}]}`, scim.Standard, currentGroup, false,
			[]string{`- members: "u2" -> (cleared)!`, `- members: "g2" -> (cleared)!`, `+ members: "u3"`, badge}, ""},
		{"a group is kept", "update-group", `{"groupId":"g1","members":[{"value":"u3"}]}`, scim.Standard, currentGroup, true,
			[]string{`+ members: "u3"`}, `"members":[{"value":"u1"},{"value":"u2"},{"value":"g2","type":"Group"},{"value":"u3"}],"urn:example:Badge":{"number":"7"}}`},
		{"a group's members need not be sent", "update-group", `{"groupId":"g1","externalId":"x2"}`, "", currentGroup, true,
			[]string{`~ externalId: "x1" -> "x2"`}, `"displayName":"team","urn:example:Badge"`},
		{"a group is not renamed", "update-group", `{"groupId":"g1","displayName":"blue"}`, "", currentGroup, false,
			[]string{`displayName: this directory never changes the name of a group: it is "team"`}, ""},
		{"members are added", "add-members", `{"groupId":"g1","members":"u1,u3,u3"}`, "", currentGroup, false, []string{`+ members: "u3"`}, ""},
		{"members are removed", "remove-members", `{"groupId":"g1","members":["u1","u9"]}`, "", currentGroup, false, []string{`- members: "u1" -> (cleared)`}, ""},

		{"unlink", "unlink", `{"orgId":"o","scimDirectoryId":"d","scimUserId":"u1"}`, "", "", false,
			[]string{`- atlassianAccountId: "?" -> (cleared)`, `? the key of an organisation does not show which account is linked`}, ""},
		{"delete records", "only-delete-user-in-db", `{"orgId":"o","accountId":"a"}`, "", `{"scimLinks":[{"scimUserId":"u1","directoryId":"d1"}]}`, false,
			[]string{`- user: "u1 in directory d1" -> (cleared)`}, ""},
	}
	planned := map[string]bool{"update-user": true} // by TestPlanUpdateUser
	for _, tt := range tests {
		planned[tt.action] = true
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := &service{now: tt.now}
			w := s.write(t, tt.action, scim.Atlassian)
			if tt.ruleSet != "" {
				s.ruleSet = tt.ruleSet
			}
			w.Keep = tt.keep
			var in Input
			if err := json.Unmarshal([]byte(tt.input), &in); err != nil {
				t.Fatal(err)
			}
			p, err := w.Plan(t.Context(), in)
			var got []string
			var se *scim.Error
			switch {
			case errors.As(err, &se):
				got = []string{"409 " + se.Type + ": " + se.Detail}
			case err != nil:
				got = faults(t, err)
				for i := range got {
					got[i] = strings.TrimPrefix(got[i], ": ")
				}
			default:
				got = lines(p.Changes)
				if p.Doubt != "" {
					got = append(got, "? "+p.Doubt)
				}
				if !strings.Contains(string(p.Body), tt.body) {
					t.Errorf("%s is not in %s", tt.body, p.Body)
				}
			}
			if diff := cmp.Diff(got, tt.want); diff != "" {
				t.Errorf("(-got +want):\n%s", diff)
			}
			for _, r := range s.requests() {
				if !strings.HasPrefix(r, "GET ") {
					t.Errorf("sent %s", r)
				}
			}
		})
	}
	for _, a := range All() {
		if a.Writes != (a.plan != nil) || a.Writes && !planned[a.Name] {
			t.Errorf("%s has no plan, or no test of it", a.Name)
		}
	}
}

func TestWrite_Create(t *testing.T) {
	t.Parallel()
	s := &service{now: `{"totalResults":0}`, after: `{"id":"u9","userName":"ada","title":"Dr","emails":[{"value":"a","primary":true}],"active":true}`, status: 201}
	w := s.write(t, "create-user", scim.Atlassian)
	var in Input
	if err := json.Unmarshal([]byte(`{"userName":"ada","emails":[{"value":"a"}]}`), &in); err != nil {
		t.Fatal(err)
	}
	r, err := w.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(lines(r.Differs), []string{`+ title: "Dr"`}); diff != "" || r.Foretold {
		t.Errorf("differs: %s", diff)
	}
	if got := s.requests(); len(got) != 2 || !strings.HasPrefix(got[1], "POST /scim/directory/d/Users ") {
		t.Errorf("got %q", got)
	}
	delete(in, "emails")
	if err := in.Set("userId", "x"); err != nil {
		t.Fatal(err)
	}
	_, err = w.Run(t.Context(), in)
	if got := faults(t, err); len(got) != 2 || len(s.requests()) != 2 {
		t.Errorf("got %q after %q, want two faults and no request", got, s.requests())
	}
}

// TestWrite_Requests: what is written is bound to the version that the plan saw, but
// for members, which come and go one by one.
func TestWrite_Requests(t *testing.T) {
	t.Parallel()
	tests := []struct {
		action, input string
		now, after    string
		want          []string // how the requests begin
	}{
		{"deactivate-user", `{"userId":"u1"}`, strings.Replace(current, `"active":false`, `"active":true`, 1), current,
			[]string{"GET /", `PATCH /scim/directory/d/Users/u1 W/"3" {`}},
		{"deactivate-user", `{"userId":"u1"}`, current, "", []string{"GET /"}},
		{"delete-user", `{"userId":"u1"}`, current, "", []string{"GET /", `DELETE /scim/directory/d/Users/u1 W/"3"`}},
		{"delete-group", `{"groupId":"g1","ifMatch":"W/\"2\""}`, currentGroup, "", []string{"GET /scim/directory/d/Groups/g1?excludedAttributes=members", `DELETE /scim/directory/d/Groups/g1 W/"2"`}},
		{"update-group", `{"groupId":"g1","displayName":"team","members":[]}`, currentGroup, "", []string{"GET /", `PUT /scim/directory/d/Groups/g1 W/"3" {`}},
		{"remove-members", `{"groupId":"g1","members":["u1","u9"]}`, currentGroup, "", []string{"GET /scim/directory/d/Groups/g1?attributes=displayName%2Cmembers.value", `PATCH /scim/directory/d/Groups/g1`}},
		{"remove-members", `{"groupId":"g1","members":["u9"]}`, currentGroup, "", []string{"GET /"}},
	}
	for _, tt := range tests {
		t.Run(tt.action, func(t *testing.T) {
			t.Parallel()
			s := &service{now: tt.now, after: tt.after, etag: `W/"3"`, ruleSet: scim.Atlassian}
			var in Input
			if err := json.Unmarshal([]byte(tt.input), &in); err != nil {
				t.Fatal(err)
			}
			if _, err := s.write(t, tt.action, "").Run(t.Context(), in); err != nil {
				t.Fatal(err)
			}
			got := s.requests()
			if len(got) != len(tt.want) {
				t.Fatalf("got %q, want %q", got, tt.want)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], tt.want[i]) {
					t.Errorf("got %q, want %q", got[i], tt.want[i])
				}
			}
		})
	}
}

// TestWrite_MembersThatAreNotShown: a service that leaves members out of a narrow
// answer is asked for a whole one, and where it shows none, all that was named is
// sent.
func TestWrite_MembersThatAreNotShown(t *testing.T) {
	t.Parallel()
	s := &service{now: `{"id":"g1","displayName":"team"}`, again: currentGroup}
	in := Input{"groupId": []byte(`"g1"`), "members": []byte(`["u1","u9"]`)}
	p, err := s.write(t, "remove-members", "").Plan(t.Context(), in)
	if err != nil || len(p.Changes) != 1 || len(s.requests()) != 2 {
		t.Errorf("got %+v, %v after %q", p, err, s.requests())
	}
	s = &service{now: `{"id":"g1","displayName":"team"}`}
	if p, err := s.write(t, "remove-members", "").Plan(t.Context(), in); err != nil || len(p.Changes) != 2 {
		t.Errorf("got %+v, %v after %q", p, err, s.requests())
	}
	s = &service{now: `{"id":"g1","displayName":"team"}`, ruleSet: scim.Standard} // has none, as it leaves out what is empty
	if p, err := s.write(t, "remove-members", "").Plan(t.Context(), in); err != nil || len(p.Changes) != 0 || len(s.requests()) != 1 {
		t.Errorf("got %+v, %v after %q", p, err, s.requests())
	}
}

// TestWrite_RulesThatAreNotTold: without any it is the rule set standard.
func TestWrite_RulesThatAreNotTold(t *testing.T) {
	t.Parallel()
	for ruleSet, want := range map[string]string{"": scim.Standard, scim.Atlassian: scim.Atlassian} {
		s := &service{now: current, after: current}
		in := whole()
		delete(in, "active")
		p, err := s.write(t, "update-user", ruleSet).Plan(t.Context(), in)
		if err != nil || p.RuleSet != want || (len(p.Changes) == 1) != (want == scim.Atlassian) {
			t.Errorf("%q: got %+v, %v", ruleSet, p, err)
		}
	}
}
