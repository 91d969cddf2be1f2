package action

import (
	"errors"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster/scim"
)

// current is a user with every attribute, as a Roster answers.
const current = `{"schemas":["urn:scim:schemas:extension:atlassian-external:1.0","urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
	"id":"u1","externalId":"e1","userName":"ada@corp.example",
	"name":{"familyName":"Lovelace","givenName":"Ada"},"displayName":"Ada Lovelace","nickName":"Countess","title":"Engineer",
	"preferredLanguage":"en","department":"R&D","organization":"AE","timezone":"Europe/London",
	"phoneNumbers":[{"value":"+44 1","type":"work"},{"value":"+44 2","type":"mobile"}],
	"emails":[{"value":"ada@corp.example","type":"work","primary":true}],"active":false,
	"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"organization":"AE","department":"R&D"},
	"urn:scim:schemas:extension:atlassian-external:1.0":{"atlassianAccountId":"a1"},
	"groups":[{"value":"g1","display":"all"}],
	"meta":{"resourceType":"User","created":"2026-01-01T00:00:00Z","lastModified":"2026-01-01T00:00:00Z","location":"https://h/u1"}}`

// whole is the Input that keeps current as it is.
func whole() Input {
	return Input{
		"userId":            jsontext.Value(`"u1"`),
		"userName":          jsontext.Value(`"ada@corp.example"`),
		"active":            jsontext.Value(`false`),
		"department":        jsontext.Value(`"R&D"`),
		"displayName":       jsontext.Value(`"Ada Lovelace"`),
		"emails":            jsontext.Value(`[{"value":"ada@corp.example","type":"work","primary":true}]`),
		"name":              jsontext.Value(`{"familyName":"Lovelace","givenName":"Ada"}`),
		"nickName":          jsontext.Value(`"Countess"`),
		"organization":      jsontext.Value(`"AE"`),
		"phoneNumbers":      jsontext.Value(`[{"value":"+44 1","type":"work"},{"value":"+44 2","type":"mobile"}]`),
		"preferredLanguage": jsontext.Value(`"en"`),
		"timezone":          jsontext.Value(`"Europe/London"`),
		"title":             jsontext.Value(`"Engineer"`),
	}
}

// TestPlanUpdateUser_EachParameter changes one parameter at a time. An input of
// "-" leaves it out; a line that ends with ! is a warning.
func TestPlanUpdateUser_EachParameter(t *testing.T) {
	t.Parallel()
	clear := func(name, before string) string { return "- " + name + ": " + before + " -> (cleared)!" }
	tests := []struct {
		name, input string
		want        []string
	}{
		{"userName", `"ada@corp.example"`, nil},
		{"userName", `"ADA"`, []string{`~ userName: "ada@corp.example" -> "ADA"`}},
		{"active", `false`, nil},
		{"active", `true`, []string{`~ active: false -> true`}},
		{"active", `-`, []string{`~ active: false -> true (defaulted: re-activates)!`}},
		{"active", `null`, []string{`~ active: false -> true (defaulted: re-activates)!`}},
		{"department", `"Sales"`, []string{`~ department: "R&D" -> "Sales"`}},
		{"department", `-`, []string{clear("department", `"R&D"`)}},
		{"department", `null`, []string{clear("department", `"R&D"`)}},
		{"department", `""`, []string{clear("department", `"R&D"`)}},
		{"displayName", `"Ada"`, []string{`~ displayName: "Ada Lovelace" -> "Ada"`}},
		{"displayName", `-`, []string{clear("displayName", `"Ada Lovelace"`)}},
		{"displayName", `null`, []string{clear("displayName", `"Ada Lovelace"`)}},
		{"emails", `[{"value":"a@b.example","type":"work","primary":true}]`, []string{`~ emails[work]: "ada@corp.example" -> "a@b.example"`}},
		{"emails", `[{"value":"ada@corp.example"}]`, []string{clear(`emails["ada@corp.example"].type`, `"work"`)}},
		{"emails", `[{"value":"ada@corp.example","type":"home","primary":true}]`, []string{`~ emails[home].type: "work" -> "home"`}},
		{"emails", `[{"value":"ada@corp.example","type":"work"},{"value":"x@y.example","type":"home","primary":true}]`,
			[]string{clear("emails[work].primary", "true"), `+ emails[home]: "x@y.example"`}},
		{"name", `{"givenName":"Ada"}`, []string{clear("name.familyName", `"Lovelace"`)}},
		{"name", `{"familyName":"King","givenName":"Ada","middleName":"K"}`, []string{`~ name.familyName: "Lovelace" -> "King"`, `+ name.middleName: "K"`}},
		{"name", `-`, []string{clear("name.familyName", `"Lovelace"`), clear("name.givenName", `"Ada"`)}},
		{"name", `null`, []string{clear("name.familyName", `"Lovelace"`), clear("name.givenName", `"Ada"`)}},
		{"name", `{}`, []string{clear("name.familyName", `"Lovelace"`), clear("name.givenName", `"Ada"`)}},
		{"nickName", `"A"`, []string{`~ nickName: "Countess" -> "A"`}},
		{"nickName", `-`, []string{clear("nickName", `"Countess"`)}},
		{"nickName", `null`, []string{clear("nickName", `"Countess"`)}},
		{"organization", `"X"`, []string{`~ organization: "AE" -> "X"`}},
		{"organization", `-`, []string{clear("organization", `"AE"`)}},
		{"organization", `null`, []string{clear("organization", `"AE"`)}},
		{"phoneNumbers", `-`, []string{clear("phoneNumbers", `["+44 1", "+44 2"]`)}},
		{"phoneNumbers", `null`, []string{clear("phoneNumbers", `["+44 1", "+44 2"]`)}},
		{"phoneNumbers", `[]`, []string{clear("phoneNumbers", `["+44 1", "+44 2"]`)}},
		{"phoneNumbers", `[{"value":"+44 1","type":"work"}]`, []string{clear("phoneNumbers[mobile]", `"+44 2"`)}},
		{"phoneNumbers", `[{"value":"+44 2","type":"mobile"},{"value":"+44 1","type":"work"}]`,
			[]string{`~ phoneNumbers: ["+44 1", "+44 2"] -> ["+44 2", "+44 1"]`}},
		{"phoneNumbers", `[{"value":"+44 1","type":"work"},{"value":"+44 3","type":"mobile"},{"value":"+44 4","type":"mobile"}]`,
			[]string{`~ phoneNumbers["+44 3"]: "+44 2" -> "+44 3"`, `+ phoneNumbers["+44 4"]: "+44 4"`}},
		{"preferredLanguage", `"fr"`, []string{`~ preferredLanguage: "en" -> "fr"`}},
		{"preferredLanguage", `-`, []string{clear("preferredLanguage", `"en"`)}},
		{"preferredLanguage", `null`, []string{clear("preferredLanguage", `"en"`)}},
		{"timezone", `"UTC"`, []string{`~ timezone: "Europe/London" -> "UTC"`}},
		{"timezone", `-`, []string{clear("timezone", `"Europe/London"`)}},
		{"timezone", `null`, []string{clear("timezone", `"Europe/London"`)}},
		{"title", `"CTO"`, []string{`~ title: "Engineer" -> "CTO"`}},
		{"title", `-`, []string{clear("title", `"Engineer"`)}},
		{"title", `null`, []string{clear("title", `"Engineer"`)}},
		{"title", `""`, []string{clear("title", `"Engineer"`)}},
		{"attributes", `"userName,emails.value"`, nil},
		{"excludedAttributes", `["groups"]`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name+" "+tt.input, func(t *testing.T) {
			t.Parallel()
			in := whole()
			in[tt.name] = jsontext.Value(tt.input)
			if tt.input == "-" {
				delete(in, tt.name)
			}
			p, err := PlanUpdateUser(testType(t, scim.Atlassian), jsontext.Value(current), in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(lines(p.Changes), tt.want); diff != "" {
				t.Errorf("(-got +want):\n%s", diff)
			}
			if sent := strings.Contains(string(p.Body), `"`+tt.name+`":`); sent != (tt.input != "-") && !strings.HasSuffix(tt.name, "ttributes") {
				t.Errorf("the body: %s", p.Body)
			}
		})
	}
}

// lines returns changes as people see them, with a ! after each warning.
func lines(changes []Change) (out []string) {
	for _, c := range changes {
		s := c.String()
		if c.Warning {
			s += "!"
		}
		out = append(out, s)
	}
	return out
}

func TestPlanUpdateUser_RuleSetsDiffer(t *testing.T) {
	t.Parallel()
	in := Input{"userId": jsontext.Value(`"u1"`), "userName": jsontext.Value(`"ada"`), "department": jsontext.Value(`"Sales"`),
		"nickName": jsontext.Value(`""`)}
	const now = `{"id":"u1","userName":"ada","externalId":"e1","active":false,"nickName":"A",
		"emails":[{"value":"ada@corp.example"}],
		"addresses":[{"locality":"London","type":"home"}],
		"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"R&D","manager":{"value":"m1"}}}`
	p, err := PlanUpdateUser(testType(t, scim.Standard), jsontext.Value(now), in)
	if err != nil {
		t.Fatal(err)
	}
	const urn = scim.EnterpriseUserURN
	want := []string{
		`- externalId: "e1" -> (cleared)!`,
		`- nickName: "A" -> (cleared)!`,
		`- emails: ["ada@corp.example"] -> (cleared)!`,
		`- addresses: [{"locality":"London","type":"home"}] -> (cleared)!`,
		`- ` + urn + `:department: "R&D" -> (cleared)!`,
		`- ` + urn + `:manager.value: "m1" -> (cleared)!`,
	}
	if diff := cmp.Diff(lines(p.Changes), want); diff != "" {
		t.Errorf("standard (-got +want):\n%s", diff)
	}
	if diff := cmp.Diff(p.Ignored, []string{"department"}); diff != "" {
		t.Errorf("standard ignores: %s", diff)
	}

	delete(in, "department")
	p, err = PlanUpdateUser(testType(t, scim.Strict), jsontext.Value(`{"id":"u1","userName":"ada","nickName":"A"}`), in)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(lines(p.Changes), []string{`~ nickName: "A" -> ""`}); diff != "" {
		t.Errorf("strict (-got +want):\n%s", diff)
	}

	in["emails"] = jsontext.Value(`[{"value":"ada@corp.example"}]`)
	p, err = PlanUpdateUser(testType(t, scim.Atlassian), jsontext.Value(`{"id":"u1","userName":"ada","externalId":"e1","primary":"x"}`), in)
	if err != nil {
		t.Fatal(err)
	}
	want = []string{`+ emails["ada@corp.example"]: "ada@corp.example"`, `+ active: true (defaulted)`, `- primary: "x" -> (cleared)!`}
	if diff := cmp.Diff(lines(p.Changes), want); diff != "" {
		t.Errorf("atlassian (-got +want):\n%s", diff)
	}
}

func TestPlanUpdateUser_NoChange(t *testing.T) {
	t.Parallel()
	p, err := PlanUpdateUser(testType(t, scim.Atlassian), jsontext.Value(current), whole())
	if err != nil || len(p.Changes) != 0 {
		t.Errorf("got %v, %v", p, err)
	}
}

func TestPlanUpdateUser_ReadsLooseAnswers(t *testing.T) {
	t.Parallel()
	now := strings.Replace(current, `"primary":true`, `"primary":"True"`, 1)
	p, err := PlanUpdateUser(testType(t, scim.Atlassian), jsontext.Value(now), whole())
	if err != nil || len(p.Changes) != 0 {
		t.Errorf("got %v, %v", p, err)
	}
	if _, err := PlanUpdateUser(testType(t, scim.Atlassian), jsontext.Value(`[]`), whole()); err == nil {
		t.Error("a list passed as a user")
	}
}

func TestCounts(t *testing.T) {
	t.Parallel()
	added, replaced, cleared := Counts([]Change{{Op: Add}, {Op: Clear}, {Op: Replace}, {Op: Clear}})
	if added != 1 || replaced != 1 || cleared != 2 {
		t.Errorf("got %d %d %d", added, replaced, cleared)
	}
}

// faults returns the faults of err as "parameter: text".
func faults(t *testing.T, err error) []string {
	t.Helper()
	var ie *InputError
	if err == nil {
		return nil
	}
	if !errors.As(err, &ie) {
		t.Fatalf("got %v, want an *InputError", err)
	}
	return strings.Split(ie.Error(), "\n")
}
