package action

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/roster-scim/roster/scim"
)

// TestPlanUpdateUserKeep_EachParameter gives one parameter at a time.
func TestPlanUpdateUserKeep_EachParameter(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, input string
		want        []string
	}{
		{"userName", `"ADA"`, []string{`~ userName: "ada@corp.example" -> "ADA"`}},
		{"active", `true`, []string{`~ active: false -> true`}},
		{"department", `"Sales"`, []string{`~ department: "R&D" -> "Sales"`}},
		{"department", `null`, []string{`- department: "R&D" -> (cleared)`}},
		{"title", `null`, []string{`- title: "Engineer" -> (cleared)`}},
		{"title", `""`, []string{`- title: "Engineer" -> (cleared)`}},
		{"name", `{"GivenName":"A."}`, []string{`~ name.givenName: "Ada" -> "A."`}},
		{"name", `{"familyName":null,"middleName":"K"}`, []string{`- name.familyName: "Lovelace" -> (cleared)`, `+ name.middleName: "K"`}},
		{"name", `null`, []string{`- name.familyName: "Lovelace" -> (cleared)`, `- name.givenName: "Ada" -> (cleared)`}},
		{"emails", `[{"value":"a@b.example","type":"work","primary":true}]`, []string{`~ emails[work]: "ada@corp.example" -> "a@b.example"`}},
		{"emails", `[{"value":"ADA@corp.example","type":"home"}]`, []string{`- emails[work]: "ada@corp.example" -> (cleared)`, `+ emails[home]: "ADA@corp.example"`}},
		{"emails", `[{"value":"h@b.example","type":"home"}]`, []string{`+ emails[home]: "h@b.example"`}},
		{"emails", `[{"value":"h@b.example","type":"home","primary":true}]`, []string{`- emails[work].primary: true -> (cleared)`, `+ emails[home]: "h@b.example"`}},
		{"phoneNumbers", `[{"value":"+44 3","type":"mobile"}]`, []string{`~ phoneNumbers[mobile]: "+44 2" -> "+44 3"`}},
		{"phoneNumbers", `[]`, []string{`- phoneNumbers: ["+44 1", "+44 2"] -> (cleared)`}},
		{"attributes", `"userName"`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name+" "+tt.input, func(t *testing.T) {
			t.Parallel()
			in := Input{"userId": jsontext.Value(`"u1"`), tt.name: jsontext.Value(tt.input)}
			p, err := PlanUpdateUserKeep(testType(t, scim.Atlassian), jsontext.Value(current), in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(lines(p.Changes), tt.want); diff != "" {
				t.Errorf("(-got +want):\n%s\n%s", diff, p.Body)
			}
		})
	}
}

func TestPlanUpdateUserKeep_WhatTheRulesDoNotKnow(t *testing.T) {
	t.Parallel()
	const now = `{"id":"u1","USERNAME":"ada","externalId":"e1","emails":[{"value":"old","primary":"True"},{"value":"h","type":"home"}],
		"shoeSize":42,"nickName":null,"urn:example:Badge":{"number":"7"},
		"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"costCenter":"c","manager":{"value":"m1"}}}`
	in := Input{"userId": jsontext.Value(`"u1"`), "emails": jsontext.Value(`[{"value":"new","type":"work","primary":true}]`)}
	p, err := PlanUpdateUserKeep(testType(t, scim.Standard), jsontext.Value(now), in)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(lines(p.Changes), []string{`- emails["old"]: "old" -> (cleared)`, `+ emails[work]: "new"`}); diff != "" || p.Ignored != nil {
		t.Errorf("%s\nignored: %v", diff, p.Ignored)
	}
	const want = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:example:Badge","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],` +
		`"USERNAME":"ada","externalId":"e1","emails":[{"value":"new","primary":true,"type":"work"},{"value":"h","type":"home"}],` +
		`"shoeSize":42,"nickName":null,"urn:example:Badge":{"number":"7"},` +
		`"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"costCenter":"c","manager":{"value":"m1"}}}`
	if diff := cmp.Diff(string(p.Body), want); diff != "" {
		t.Errorf("body (-got +want):\n%s", diff)
	}
	// Left out of a PUT, they are cleared: the plan says so.
	in["userName"] = jsontext.Value(`"ada"`)
	if p, err = PlanUpdateUser(testType(t, scim.Standard), jsontext.Value(now), in); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(lines(p.Changes), "\n")
	for _, line := range []string{`- shoeSize: 42 -> (cleared)!`, `- urn:example:Badge: {"number":"7"} -> (cleared)!`} {
		if !strings.Contains(got, line) {
			t.Errorf("no %s in\n%s", line, got)
		}
	}
}

// A strict rule set refuses what no schema knows; a directory's own schemas are
// known to the directory alone.
func TestPlanUpdateUserKeep_StrictWithSchemasOfItsOwn(t *testing.T) {
	t.Parallel()
	const now = `{"schemas":["` + scim.UserURN + `","urn:example:Badge"],"id":"u1","userName":"ada","urn:example:Badge":{"number":"7"},
		"groups":[{"value":"g1","display":"all"}],"meta":{"resourceType":"User","location":"https://h/u1"}}`
	in := Input{"userId": jsontext.Value(`"u1"`), "nickName": jsontext.Value(`""`)}
	p, err := PlanUpdateUserKeep(testType(t, scim.Strict), jsontext.Value(now), in)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(lines(p.Changes), []string{`+ nickName: ""`}); diff != "" || !strings.Contains(string(p.Body), `"urn:example:Badge":{"number":"7"}`) {
		t.Errorf("%s\n%s", diff, p.Body)
	}

	// What is given and not known is ignored or refused, as in a PUT.
	in["department"] = jsontext.Value(`"R&D"`)
	if got := faults(t, second(PlanUpdateUserKeep(testType(t, scim.Strict), jsontext.Value(now), in))); len(got) != 1 || !strings.HasPrefix(got[0], "department: ") {
		t.Errorf("got %q", got)
	}
	p, err = PlanUpdateUserKeep(testType(t, scim.Standard), jsontext.Value(now), in)
	if err != nil || len(p.Ignored) != 1 || p.Ignored[0] != "department" {
		t.Errorf("got %+v, %v", p, err)
	}
}

func TestPlanUpdateUserKeep_Refused(t *testing.T) {
	t.Parallel()
	typ := testType(t, scim.Atlassian)
	for name, value := range map[string]string{"userName": `" "`, "emails": `[]`, "active": `7`} {
		in := Input{"userId": jsontext.Value(`"u1"`), name: jsontext.Value(value)}
		if got := faults(t, second(PlanUpdateUserKeep(typ, jsontext.Value(current), in))); len(got) != 1 || !strings.HasPrefix(got[0], name+": ") {
			t.Errorf("%s %s: got %q", name, value, got)
		}
	}
	if got := faults(t, ValidateUpdateUserKeep(typ, Input{})); len(got) != 1 || !strings.HasPrefix(got[0], "userId: ") {
		t.Errorf("got %q", got)
	}
	for _, doc := range []string{`[]`, ``, `{"userName":`} {
		if _, err := PlanUpdateUserKeep(typ, jsontext.Value(doc), Input{"userId": jsontext.Value(`"u1"`)}); err == nil {
			t.Errorf("%q passed as a user", doc)
		}
	}
}

// TestPlanUpdateUserKeep_ChangesWhatIsNamed holds for any user and any texts.
func TestPlanUpdateUserKeep_ChangesWhatIsNamed(t *testing.T) {
	t.Parallel()
	typ := testType(t, scim.Standard)
	names := []string{"title", "nickName", "displayName", "timezone"}
	text := rapid.StringMatching(`[a-z "\\]{0,4}`)
	rapid.Check(t, func(rt *rapid.T) {
		doc := map[string]any{"userName": "ada", "externalId": "e", "active": false, "x": 1,
			"emails": []any{map[string]any{"value": "v", "type": "work"}}}
		for _, name := range names {
			if s := text.Draw(rt, name); s != "" {
				doc[name] = s
			}
		}
		now, err := json.Marshal(doc)
		if err != nil {
			rt.Fatal(err)
		}
		in := Input{"userId": jsontext.Value(`"u1"`)}
		for _, name := range rapid.SliceOfDistinct(rapid.SampledFrom(names), rapid.ID[string]).Draw(rt, "named") {
			if err := in.Set(name, text.Draw(rt, "to")); err != nil {
				rt.Fatal(err)
			}
		}
		p, err := PlanUpdateUserKeep(typ, now, in)
		if err != nil {
			rt.Fatal(err)
		}
		for _, c := range p.Changes {
			if _, named := in[c.Attribute]; !named {
				rt.Fatalf("%v, which nobody named", c)
			}
		}
		want, after := map[string]any{}, map[string]any{}
		for name, v := range doc {
			want[name] = v
		}
		for name := range in {
			if name != "userId" {
				want[name] = in.text(name)
			}
		}
		want["schemas"] = []any{scim.UserURN}
		if err := json.Unmarshal(p.Body, &after); err != nil {
			rt.Fatal(err)
		}
		want["x"] = 1.0
		want["emails"] = after["emails"]
		if diff := cmp.Diff(after, want); diff != "" {
			rt.Fatal(diff)
		}
	})
}
