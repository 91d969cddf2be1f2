package client

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
)

func TestGroup_ReadModifyWriteLosesNothing(t *testing.T) {
	t.Parallel()
	s := serve(t, answer(200, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"id":"g1","displayName":"all","externalId":null,
		"members":[{"value":"u1","type":"User","$ref":"https://h/Users/u1","x":1}],"urn:example:Group":{"cost":7},"meta":{"resourceType":"Group"}}`))
	c := s.client()
	g, err := c.Groups().Get(t.Context(), "g1", nil)
	if err != nil || g.DisplayName != "all" || g.Members.Value()[0].Value != "u1" || !g.ExternalID.IsNull() {
		t.Fatalf("got %+v, %v", g, err)
	}
	if _, err := c.Groups().Replace(t.Context(), g.ID, g, nil); err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(s.requests()[1], "/Groups/g1 ")
	equalJSON(t, body, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group","urn:example:Group"],"displayName":"all","externalId":null,
		"members":[{"value":"u1","type":"User","$ref":"https://h/Users/u1","x":1}],"urn:example:Group":{"cost":7}}`)
}

func TestGroup_CreateAfterALostAnswer(t *testing.T) {
	t.Parallel()
	s := serve(t, drop, answer(200, `{"Resources":[{"id":"g1","displayName":"all","members":[{"type":"User","value":"u2"},{"type":"User","value":"u1"}]}]}`))
	g, err := s.client().Groups().Create(t.Context(), &Group{DisplayName: "all", Members: Set(Members("u1", "u2"))}, nil)
	if err != nil || g.ID != "g1" {
		t.Errorf("got %v, %v: want the group that the first attempt made", g, err)
	}
	s = serve(t, drop, answer(200, `{"Resources":[{"id":"g1","displayName":"all","members":[{"value":"u2"},{"value":"u3"}]}]}`))
	if _, err := s.client().Groups().Create(t.Context(), &Group{DisplayName: "all", Members: Set(Members("u1", "u2"))}, nil); err == nil {
		t.Error("a group with other members passed as the one that was made")
	}
}

func TestMembers_InPieces(t *testing.T) {
	t.Parallel()
	s := serve(t, drop, answer(200, ada, "Roster-Request-Id: r1"))
	done, err := s.client().Groups().AddMembers(t.Context(), "g1", []string{"a", "b", "c"}, &MemberOptions{Piece: 2})
	if err != nil || done != 3 {
		t.Errorf("got %d, %v", done, err)
	}
	add := `PATCH /scim/directory/d/Groups/g1%s {"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"add","path":"members","value":[%s]}]}`
	two := fmt.Sprintf(add, "", `{"value":"a"},{"value":"b"}`)
	if diff := cmp.Diff(s.requests(), []string{two, two, fmt.Sprintf(add, "?excludedAttributes=members", `{"value":"c"}`)}); diff != "" {
		t.Error(diff)
	}

	s = serve(t, answer(413, ""), answer(200, `{}`), answer(404, `{"detail":"no such user"}`))
	done, err = s.client().Groups().RemoveMembers(t.Context(), "g1", []string{"a", `b"`, "c"}, nil)
	wantStatus(t, err, 404)
	if done != 1 || len(s.requests()) != 3 {
		t.Errorf("got %d after %q, want the first alone done", done, s.requests())
	}
	if want := `{"op":"remove","path":"members[value eq \"b\\\"\"]"}`; !strings.Contains(s.requests()[2], want) {
		t.Errorf("got %s, want %s in it", s.requests()[2], want)
	}

	s = serve(t, answer(200, strings.Repeat(" ", 5000)))
	c := s.client()
	c.MaxAnswer = 1000
	if done, err := c.Groups().AddMembers(t.Context(), "g1", []string{"a"}, nil); err != nil || done != 1 {
		t.Errorf("a group too large to show: got %d, %v", done, err)
	}

	s = serve(t, answer(413, ""))
	if done, err := s.client().Groups().AddMembers(t.Context(), "g1", []string{"a", "b", "c"}, nil); err == nil || done != 0 || len(s.requests()) != 2 {
		t.Errorf("got %d, %v after %q", done, err, s.requests())
	}
	if _, err := s.client().Groups().AddMembers(t.Context(), "g1", []string{"a", ""}, nil); err == nil || len(s.requests()) != 2 {
		t.Errorf("a member without an id: got %v", err)
	}
	if _, err := s.client().Groups().AddMembers(t.Context(), "", []string{"a"}, nil); err == nil || len(s.requests()) != 2 {
		t.Errorf("a group without an id: got %v", err)
	}
}

func TestPatch_EachStateIsDistinct(t *testing.T) {
	t.Parallel()
	s := serve(t, answer(200, ada))
	p := Patch{
		Replace("active", false), Replace("title", ""), Replace("nickName", Null[string]()), Replace("displayName", Set("Ada")),
		Replace("emails", []MultiValue(nil)), Add("", map[string]any{"locale": "en"}), Remove("timezone"),
		{Op: OpRemove, Path: "phoneNumbers", Value: Field[string]{}}, {Op: OpRemove, Path: "members", Value: Members("u1")},
		Add("name", jsontext.Value(`{"givenName":"Ada"}`)),
	}
	if _, err := s.client().Users().Patch(t.Context(), "u1", p, &WriteOptions{IfMatch: `W/"1"`}); err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(s.requests()[0], "/Users/u1 ")
	equalJSON(t, body, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[
		{"op":"replace","path":"active","value":false},{"op":"replace","path":"title","value":""},
		{"op":"replace","path":"nickName","value":null},{"op":"replace","path":"displayName","value":"Ada"},
		{"op":"replace","path":"emails","value":[]},{"op":"add","value":{"locale":"en"}},{"op":"remove","path":"timezone"},
		{"op":"remove","path":"phoneNumbers"},{"op":"remove","path":"members","value":[{"value":"u1"}]},
		{"op":"add","path":"name","value":{"givenName":"Ada"}}]}`)
}

func TestPatch_WhatNoServiceTakesIsNotSent(t *testing.T) {
	t.Parallel()
	s := serve(t, answer(200, ada))
	for name, p := range map[string]Patch{
		"no operation":            {},
		"no op":                   {{Path: "title", Value: "x"}},
		"another op":              {{Op: "move", Path: "title", Value: "x"}},
		"remove of all":           {Remove("")},
		"no value":                {Replace("title", nil)},
		"an absent field":         {Add("title", Field[string]{})},
		"no path and no object":   {Add("", "x")},
		"a value that is no JSON": {Add("title", make(chan int))},
	} {
		if _, err := s.client().Users().Patch(t.Context(), "u1", p, nil); err == nil || len(s.requests()) != 0 {
			t.Errorf("%s: got %v after %q", name, err, s.requests())
		}
	}
}

func TestWrite_AnswersWithoutABodyAreReadAgain(t *testing.T) {
	t.Parallel()
	u := &User{UserName: "ada@corp.example"}
	tests := []struct {
		name  string
		first step
		do    func(Users) (*User, error)
	}{
		{"201 to POST", answer(201, "", "Location: https://other.example/scim/Users/u%2F1", `ETag: W/"1"`),
			func(us Users) (*User, error) { return us.Create(t.Context(), u, nil) }},
		{"204 to PATCH", answer(204, ""), func(us Users) (*User, error) { return us.Patch(t.Context(), "u/1", Patch{Remove("title")}, nil) }},
		{"200 to PUT", answer(200, " \n", `ETag: W/"1"`), func(us Users) (*User, error) { return us.Replace(t.Context(), "u/1", u, nil) }},
	}
	for _, tt := range tests {
		s := serve(t, tt.first, answer(200, ada, `ETag: W/"2"`))
		got, err := tt.do(s.client().Users())
		if err != nil || got.UserName != "ada@corp.example" || got.Answer.ETag() != `W/"2"` || s.requests()[1] != "GET /scim/directory/d/Users/u%2F1" {
			t.Errorf("%s: got %+v, %v after %q", tt.name, got, err, s.requests())
		}
		// It is done, whether it can be read or not.
		got, err = tt.do(serve(t, tt.first, answer(403, "")).client().Users())
		if err != nil || got.ID != "u/1" || len(got.Answer.Body) > 2 {
			t.Errorf("%s, not readable: got %+v, %v", tt.name, got, err)
		}
	}
	got, err := serve(t, answer(201, "")).client().Users().Create(t.Context(), u, nil)
	if err != nil || got.ID != "" {
		t.Errorf("without a Location: got %+v, %v", got, err)
	}
	if _, err := serve(t, answer(200, "")).client().Users().Get(t.Context(), "u1", nil); err == nil {
		t.Error("an empty answer to a GET passed as a user")
	}
}

func TestReplace_AfterALostAnswerWithIfMatch(t *testing.T) {
	t.Parallel()
	u := &User{UserName: "ada@corp.example"}
	o := &WriteOptions{IfMatch: `W/"1"`}
	if got, err := serve(t, drop, answer(412, ""), answer(200, ada)).client().Users().Replace(t.Context(), "u1", u, o); err != nil || got.ID != "u1" {
		t.Errorf("got %v, %v: the first attempt was done", got, err)
	}
	_, err := serve(t, drop, answer(412, ""), answer(200, `{"userName":"bob"}`)).client().Users().Replace(t.Context(), "u1", u, o)
	wantStatus(t, err, http.StatusPreconditionFailed)
	_, err = serve(t, answer(412, ""), answer(200, ada)).client().Users().Replace(t.Context(), "u1", u, o)
	wantStatus(t, err, http.StatusPreconditionFailed)
}

func TestResources_OfAnyType(t *testing.T) {
	t.Parallel()
	s := serve(t, answer(200, `{"id":7,"serial":"x"}`))
	devices := s.client().Resources("Devices/")
	d, err := devices.Get(t.Context(), "7", nil)
	if err != nil || d.ID != "7" || string(d.Body) != `{"id":7,"serial":"x"}` {
		t.Errorf("got %+v, %v", d, err)
	}
	if _, err := devices.Replace(t.Context(), d.ID, &Resource{Body: jsontext.Value(`{"serial":"y"}`)}, nil); err != nil {
		t.Error(err)
	}
	if got, want := s.requests()[1], `PUT /scim/directory/d/Devices/7 {"serial":"y"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, err := devices.Create(t.Context(), &Resource{}, nil); err == nil || len(s.requests()) != 2 {
		t.Errorf("a resource without a body: got %v", err)
	}
}
