package action

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster/scim"
)

func TestValidateUpdateUser_EachParameter(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, input, want string }{
		{"userId", `""`, "userId: is required and not blank: give it"},
		{"userId", `-`, "userId: is required and not blank: give it"},
		{"userId", `7`, "userId: must be a string such as"},
		{"userName", `-`, "userName: is required and not blank: give it with --user-name"},
		{"userName", `null`, "userName: is required and not blank: give it with --user-name"},
		{"userName", `" "`, "userName: is required and not blank: give it with --user-name"},
		{"userName", `["x"]`, "userName: must be a string such as ada@corp.example, not an array"},
		{"active", `"true"`, "active: must be true or false such as true, not a string"},
		{"active", `1`, "active: must be true or false such as true, not a number"},
		{"active", `maybe`, "active: must be true or false"},
		{"attributes", `7`, "attributes: must be texts with commas between them, not a number"},
		{"attributes", `[7]`, "attributes: must be a list of texts"},
		{"excludedAttributes", `{}`, "excludedAttributes: must be texts with commas between them, not an object"},
		{"department", `{}`, "department: must be a string such as Research, not an object"},
		{"displayName", `false`, "displayName: must be a string such as Ada Lovelace, not a boolean"},
		{"emails", `-`, "emails: this directory demands at least one: give --email ADDRESS, or more with --emails"},
		{"emails", `null`, "emails: this directory demands at least one: give --email ADDRESS, or more with --emails"},
		{"emails", `[]`, "emails: this directory demands at least one: give --email ADDRESS, or more with --emails"},
		{"emails", `"ada@corp.example"`, "emails: must be a JSON array such as"},
		{"emails", `["ada@corp.example"]`, "emails: emails must be an object, not a string"},
		{"emails", `[{"value":7}]`, "emails: emails.value must be a string, not a number"},
		{"emails", `[{"value":"a","primary":"maybe"}]`, "emails: emails.primary must be true or false"},
		{"emails", `[{"value":"a"},{"value":"b"}]`, "emails: no e-mail is primary"},
		{"emails", `[{"value":"a","primary":false}]`, "emails: no e-mail is primary"},
		{"emails", `[{"value":"a","primary":true},{"value":"b","primary":true}]`, "emails: emails has 2 primary values"},
		{"emails", `[{"type":"work"}]`, "emails: emails[0] has no value"},
		{"emails", `[{"value":"a","value":"b"}]`, "emails: is not valid JSON"},
		{"name", `"Ada"`, "name: must be a JSON object such as"},
		{"name", `{"givenName":7}`, "name: name.givenName must be a string, not a number"},
		{"nickName", `7`, "nickName: must be a string such as Countess, not a number"},
		{"organization", `[]`, "organization: must be a string such as"},
		{"phoneNumbers", `{}`, "phoneNumbers: must be a JSON array such as"},
		{"phoneNumbers", `[{"value":true}]`, "phoneNumbers: phoneNumbers.value must be a string, not a boolean"},
		{"phoneNumbers", `[{"value":"1","primary":true},{"value":"2","primary":true}]`, "phoneNumbers: phoneNumbers has 2 primary values"},
		{"preferredLanguage", `7`, "preferredLanguage: must be a string such as en-GB, not a number"},
		{"timezone", `{}`, "timezone: must be a string such as Europe/London, not an object"},
		{"title", `[]`, "title: must be a string such as Chief Analyst, not an array"},
		{"title", `"a\u0000b"`, "title: title holds U+0000"},
		{"externalId", `"x"`, "externalId: no such parameter; there are userId, userName, active,"},
	}
	for _, tt := range tests {
		t.Run(tt.name+" "+tt.input, func(t *testing.T) {
			t.Parallel()
			in := whole()
			in[tt.name] = jsontext.Value(tt.input)
			if tt.input == "-" {
				delete(in, tt.name)
			}
			got := faults(t, ValidateUpdateUser(testType(t, scim.Atlassian), in))
			if len(got) != 1 || !strings.HasPrefix(got[0], tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestValidateUpdateUser_EveryFaultAtOnce(t *testing.T) {
	t.Parallel()
	in := Input{"userId": jsontext.Value(`"u1"`), "active": jsontext.Value(`7`), "attributes": jsontext.Value(`"a"`),
		"excludedAttributes": jsontext.Value(`"b"`), "title": jsontext.Value(`{}`), "colour": jsontext.Value(`1`)}
	want := []string{
		"colour: no such parameter",
		"userName: is required",
		"active: must be true or false",
		"attributes and excludedAttributes exclude each other: give one of them",
		"emails: this directory demands at least one",
		"title: must be a string",
	}
	got := faults(t, ValidateUpdateUser(testType(t, scim.Atlassian), in))
	if len(got) != len(want) {
		t.Fatalf("got %d faults, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("got %q, want %q", got[i], want[i])
		}
	}
}

func TestValidateUpdateUser_EmailsByRuleSet(t *testing.T) {
	t.Parallel()
	in := whole()
	delete(in, "emails")
	if err := ValidateUpdateUser(testType(t, scim.Standard), in); err != nil {
		t.Errorf("standard needs no e-mail, got %v", err)
	}
	in["emails"] = jsontext.Value(`[{"value":"a"},{"value":"b"}]`)
	if err := ValidateUpdateUser(testType(t, scim.Standard), in); err != nil {
		t.Errorf("standard needs no primary, got %v", err)
	}
}

func TestUserBody(t *testing.T) {
	t.Parallel()
	in := Input{
		"title": jsontext.Value(`null`), "userName": jsontext.Value(`"ada"`), "userId": jsontext.Value(`"u1"`), "active": jsontext.Value(`false`),
		"nickName": jsontext.Value(`""`), "attributes": jsontext.Value(`"userName"`), "phoneNumbers": jsontext.Value(`[]`),
		"emails": jsontext.Value(`[{"value":"a","type":"work"}]`),
	}
	want := `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"ada","active":false,"emails":[{"primary":true,"type":"work","value":"a"}],"nickName":"","phoneNumbers":[],"title":null}`
	if diff := cmp.Diff(string(userBody(in)), want); diff != "" {
		t.Errorf("(-got +want):\n%s", diff)
	}
	for _, as := range []string{`[{"value":"a","Primary":false}]`, `[{"value":"a"},{"value":"b"}]`, `[7]`, `7`, `[]`} {
		if got := markLone(jsontext.Value(as)); string(got) != as {
			t.Errorf("%s became %s", as, got)
		}
	}
}
