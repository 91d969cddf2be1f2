package client

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster/scim"
)

// What Atlassian's service answers, in shape and order of names; the values are
// made up.
const (
	atlassianUser = `{"schemas":["urn:scim:schemas:extension:atlassian-external:1.0","urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
		"userName":"ada@corp.example","emails":[{"value":"ada@corp.example","type":"work","primary":true}],
		"meta":{"resourceType":"User","location":"https://api.atlassian.com/scim/directory/d/Users/7f1c2d9e-51a3-4b0e-9a53-0c5d7a1e2b34","lastModified":"2024-05-06T07:08:09.101112Z","created":"2024-05-06T07:08:09.101112Z"},
		"groups":[],"urn:scim:schemas:extension:atlassian-external:1.0":{"atlassianAccountId":"712020:0a1b2c3d"},
		"id":"7f1c2d9e-51a3-4b0e-9a53-0c5d7a1e2b34","active":true}`
	atlassianUserWithoutActive = `{"schemas":["urn:scim:schemas:extension:atlassian-external:1.0","urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
		"userName":"bob","emails":[{"value":"bob@corp.example","type":"work","primary":true}],
		"meta":{"resourceType":"User","location":"https://api.atlassian.com/scim/directory/d/Users/b1","lastModified":"2024-05-06T07:08:13.49073Z","created":"2024-05-06T07:08:09Z"},
		"groups":[{"value":"g1","display":"team-blue","type":"Group","$ref":"https://api.atlassian.com/scim/directory/d/Groups/g1"}],
		"urn:scim:schemas:extension:atlassian-external:1.0":{},"id":"b1"}`
	atlassianGroup = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"id":"g1","displayName":"team-blue",
		"members":[{"type":"User","value":"b1","display":"bob","$ref":"https://api.atlassian.com/scim/directory/d/Users/b1"},
			{"type":"User","value":"a1","display":"ada@corp.example","$ref":"https://api.atlassian.com/scim/directory/d/Users/a1"}],
		"meta":{"resourceType":"Group","location":"https://api.atlassian.com/scim/directory/d/Groups/g1","lastModified":"2024-05-06T07:49:09.420654Z","created":"2024-05-06T07:41:35.49073Z"}}`
	atlassianNobody  = `{"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"totalResults":0,"startIndex":1,"itemsPerPage":10000,"Resources":[]}`
	atlassianFailure = `{"error":"Unauthorized","traceId":"5f8e3c1a9b7d4e60"}`
)

func TestAtlassian_CreateAndReplace(t *testing.T) {
	t.Parallel()
	s := serve(t, answer(201, atlassianUser))
	u, err := s.client().Users().Create(t.Context(), &User{UserName: "ada@corp.example", Emails: Set([]MultiValue{Value("ada@corp.example", "work")})}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if u.External.AtlassianAccountID != "712020:0a1b2c3d" || u.Groups == nil || !u.Name.IsZero() || !u.Active.Value() ||
		u.Meta.Created != time.Date(2024, 5, 6, 7, 8, 9, 101112000, time.UTC) || u.Answer.ETag() != "" {
		t.Errorf("got %+v", u)
	}
	if _, err := s.client().Users().Replace(t.Context(), u.ID, u, nil); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`POST /scim/directory/d/Users {"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"ada@corp.example","emails":[{"value":"ada@corp.example","type":"work","primary":true}]}`,
		`PUT /scim/directory/d/Users/7f1c2d9e-51a3-4b0e-9a53-0c5d7a1e2b34 {"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"ada@corp.example","active":true,"emails":[{"value":"ada@corp.example","type":"work","primary":true}]}`,
	}
	if diff := cmp.Diff(s.requests(), want); diff != "" {
		t.Error(diff)
	}

	u, err = serve(t, answer(200, atlassianUserWithoutActive)).client().Users().Get(t.Context(), "b1", nil)
	if err != nil || !u.Active.IsZero() || u.External.AtlassianAccountID != "" || u.Groups[0].Display != "team-blue" || u.Meta.LastModified.Nanosecond() != 490730000 {
		t.Errorf("got %+v, %v", u, err)
	}
}

func TestAtlassian_Lists(t *testing.T) {
	t.Parallel()
	s := serve(t, answer(200, atlassianNobody))
	for u, err := range s.client().Users().List(t.Context(), nil) {
		t.Errorf("got %v, %v", u, err)
	}
	if len(s.requests()) != 1 {
		t.Errorf("sent %q", s.requests())
	}
	n := 0
	for g, err := range serve(t, answer(200, `{"totalResults":1,"startIndex":1,"itemsPerPage":1,"Resources":[`+atlassianGroup+`]}`)).client().Groups().List(t.Context(), nil) {
		if err != nil || len(g.Members.Value()) != 2 || g.Members.Value()[0].Display.Value() != "bob" {
			t.Errorf("got %+v, %v", g, err)
		}
		n++
	}
	if n != 1 {
		t.Errorf("got %d groups", n)
	}
}

func TestAtlassian_Groups(t *testing.T) {
	t.Parallel()
	s := serve(t, answer(200, atlassianGroup))
	if done, err := s.client().Groups().AddMembers(t.Context(), "g1", []string{"a1", "b1"}, nil); err != nil || done != 2 {
		t.Errorf("got %d, %v", done, err)
	}
	g, err := s.client().Groups().Patch(t.Context(), "g1", Patch{Remove(`members[value eq "c1"]`)}, nil)
	if err != nil || g.DisplayName != "team-blue" || g.Meta.ResourceType != "Group" {
		t.Errorf("got %+v, %v", g, err)
	}
}

func TestAtlassian_Errors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		status  int
		body    string
		want    scim.Error
		request string
	}{
		{409, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"409","scimType":"uniqueness","detail":"Resource [USER]: with email[ada@corp.example] already exists."}`,
			scim.Error{Status: 409, Type: "uniqueness", Detail: "Resource [USER]: with email[ada@corp.example] already exists."}, ""},
		{400, `{"schemas":["urn:ietf:params:scim:b:messages:2.0:Error"],"status":"400","scimType":"invalidFilter","detail":"Resource [USER] invalid filter"}`,
			scim.Error{Status: 400, Type: "invalidFilter", Detail: "Resource [USER] invalid filter"}, ""},
		{400, `{"message":"the users referenced do not exist","localizedMessage":"x","responseStatus":"BAD_REQUEST","scimErrorType":null,"cause":null,"stackTrace":[{"line":1}],"suppressed":[]}`,
			scim.Error{Status: 400, Detail: "the users referenced do not exist"}, ""},
		{401, atlassianFailure,
			scim.Error{Status: 401, Detail: "Unauthorized. Check the key: it must be that of this directory, not that of an organization, and may have expired"}, "5f8e3c1a9b7d4e60"},
		{403, `{"error":"You are not authorized to call the API","traceId":"1a9b7d4e605f8e3c"}`,
			scim.Error{Status: 403, Detail: "You are not authorized to call the API. Check that the key belongs to this directory and may do this; at Atlassian, that the plan has user provisioning"}, "1a9b7d4e605f8e3c"},
		{409, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"409","scimType":"uniqueness","detail":"Resource [GROUP]: with displayName already exists."}`,
			scim.Error{Status: 409, Type: "uniqueness", Detail: "Resource [GROUP]: with displayName already exists."}, ""},
		{500, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"500","detail":"Internal server error. You can retry calls"}`,
			scim.Error{Status: 500, Detail: "Internal server error. You can retry calls"}, ""},
		{404, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"404","detail":"Directory does not exist"}`,
			scim.Error{Status: 404, Detail: "Directory does not exist. Check the id of the directory: it is the last part of its base URL"}, ""},
		{404, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"404","detail":"Resource [USER]: with id[u1] not found."}`,
			scim.Error{Status: 404, Detail: "Resource [USER]: with id[u1] not found."}, ""},
		{503, `<html><body><h1>503 Service Temporarily Unavailable</h1></body></html>`,
			scim.Error{Status: 503, Detail: "Service Unavailable (not an answer of a SCIM service, but application/scim+json)"}, ""},
	}
	for _, tt := range tests {
		c := serve(t, answer(tt.status, tt.body)).client()
		c.Retries = -1
		_, err := c.Users().Replace(t.Context(), "u1", &User{UserName: "ada"}, nil)
		var got *scim.Error
		var e *Error
		if !errors.As(err, &got) || !errors.As(err, &e) {
			t.Errorf("%s: got %v", tt.body, err)
			continue
		}
		if diff := cmp.Diff(*got, tt.want); diff != "" || e.RequestID() != tt.request {
			t.Errorf("request %q (-got +want):\n%s", e.RequestID(), diff)
		}
	}
}

// TestAtlassian_OlderShapes reads the shapes that samples of older answers
// have: null where nothing is, and booleans as texts.
func TestAtlassian_OlderShapes(t *testing.T) {
	t.Parallel()
	old := strings.NewReplacer(`"active":true`, `"active":null,"externalId":null,"name":null`, `"primary":true`, `"primary":"true"`).Replace(atlassianUser)
	u, err := serve(t, answer(200, old)).client().Users().Get(t.Context(), "u", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := u.Active.Get(); ok || u.Active.IsZero() || !u.Emails.Value()[0].Primary.Value() {
		t.Errorf("got active %v, emails %v", u.Active, u.Emails)
	}
	// What was read goes back as it was.
	body, err := u.body()
	if want := `"active":null`; err != nil || !strings.Contains(string(body), want) {
		t.Errorf("got %s, %v, want %s", body, err, want)
	}
}

// TestAtlassian_OverloadIsRetried goes on after the 503 that says so.
func TestAtlassian_OverloadIsRetried(t *testing.T) {
	t.Parallel()
	s := serve(t, answer(503, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"503","detail":"You can retry calls"}`), answer(200, atlassianUser))
	u, err := s.client().Users().Replace(t.Context(), "u", &User{UserName: "ada@corp.example"}, nil)
	if err != nil || u.Answer.Attempts != 2 {
		t.Errorf("got %+v, %v, want the second answer", u, err)
	}
}

// TestAtlassian_GroupAnswers takes members in another order than they were sent,
// a group without members, and a refusal to delete.
func TestAtlassian_GroupAnswers(t *testing.T) {
	t.Parallel()
	s := serve(t, answer(201, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"id":"g1","displayName":"team-blue","meta":{"resourceType":"Group"}}`),
		answer(200, atlassianGroup), answer(204, ""), answer(400, `{"status":"400","detail":"invalid request"}`))
	groups := s.client().Groups()
	g, err := groups.Create(t.Context(), &Group{DisplayName: "team-blue"}, nil)
	if err != nil || g.ID != "g1" || !g.Members.IsZero() {
		t.Errorf("got %+v, %v", g, err)
	}
	members := Set([]Member{{Value: "a1"}, {Value: "b1"}})
	if g, err = groups.Replace(t.Context(), "g1", &Group{DisplayName: "team-blue", Members: members}, nil); err != nil || g.Members.Value()[0].Value != "b1" {
		t.Errorf("got %+v, %v", g, err)
	}
	if err := groups.Delete(t.Context(), "g1", nil); err != nil {
		t.Error(err)
	}
	var refused *scim.Error
	if err := groups.Delete(t.Context(), "g1", nil); !errors.As(err, &refused) || refused.Detail != "invalid request" {
		t.Errorf("got %v", err)
	}
}
