package client

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
)

// equalJSON fails the test when two documents are not the same JSON.
func equalJSON(t *testing.T, got, want string) {
	t.Helper()
	g, w := jsontext.Value(got), jsontext.Value(want)
	if err := g.Canonicalize(); err != nil {
		t.Fatalf("%v in %s", err, got)
	}
	if err := w.Canonicalize(); err != nil {
		t.Fatalf("%v in %s", err, want)
	}
	if diff := cmp.Diff(g.String(), w.String()); diff != "" {
		t.Errorf("(-got +want):\n%s", diff)
	}
}

// sent returns the body that a Replace of u sends.
func sent(t *testing.T, u *User) string {
	t.Helper()
	var body []byte
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { answer(200, ada)(w, r) })
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		answer(200, ada)(w, r)
	})
	if _, err := s.client().Users().Replace(t.Context(), "u1", u, nil); err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestUser_FourStatesAreDistinct(t *testing.T) {
	t.Parallel()
	u := &User{
		UserName:    "ada",
		DisplayName: Set(""),
		NickName:    Null[string](),
		Active:      Set(false),
		Emails:      Set([]MultiValue{}),
		Name:        Set(Name{}),
	}
	equalJSON(t, sent(t, u), `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],
		"userName":"ada","displayName":"","nickName":null,"active":false,"emails":[],"name":{}}`)

	var back User
	if err := json.Unmarshal([]byte(`{"displayName":"","nickName":null,"active":false,"emails":[]}`), &back); err != nil {
		t.Fatal(err)
	}
	if v, ok := back.DisplayName.Get(); !ok || v != "" {
		t.Error("an empty text is no value")
	}
	if !back.NickName.IsNull() || back.NickName.IsZero() {
		t.Error("null is not null")
	}
	if v, ok := back.Active.Get(); !ok || v {
		t.Error("false is no value")
	}
	if v, ok := back.Emails.Get(); !ok || len(v) != 0 {
		t.Error("an empty list is no value")
	}
	if !back.Title.IsZero() || back.Title.IsNull() {
		t.Error("absent is not absent")
	}
}

func TestUser_ReadModifyWriteLosesNothing(t *testing.T) {
	t.Parallel()
	const doc = `{"schemas":["urn:scim:schemas:extension:atlassian-external:1.0","urn:ietf:params:scim:schemas:core:2.0:User"],
		"id":"u1","userName":"ada","externalId":null,"title":"CTO","x-new":{"a":[1.50,12345678901234567890]},
		"name":{"givenName":"Ada","honorificPrefix":"","birthName":"Byron"},
		"emails":[{"value":"a@corp.example","primary":false,"verified":true},{"value":"b@corp.example","primary":true,"type":"work"}],
		"addresses":[{"locality":"London"}],"groups":[{"value":"g1","display":"all"}],
		"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"R&D","manager":{"value":"m1"}},
		"urn:example:custom:User":{"badge":7},
		"urn:scim:schemas:extension:atlassian-external:1.0":{"atlassianAccountId":"a1"},
		"meta":{"resourceType":"User","created":"2021-02-16T15:05:41.185473Z","lastModified":"2021-02-16T15:05:41","version":"W/\"3\""}}`
	var u User
	if err := json.Unmarshal([]byte(doc), &u); err != nil {
		t.Fatal(err)
	}
	if u.Meta.Created != time.Date(2021, 2, 16, 15, 5, 41, 185473000, time.UTC) || u.Meta.LastModified.Second() != 41 {
		t.Errorf("got meta %+v", u.Meta)
	}
	if u.External.AtlassianAccountID != "a1" || u.Groups[0].Display != "all" {
		t.Errorf("got %+v, %+v", u.External, u.Groups)
	}
	equalJSON(t, sent(t, &u), `{
		"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User","urn:example:custom:User"],
		"userName":"ada","externalId":null,"title":"CTO","x-new":{"a":[1.50,12345678901234567890]},
		"name":{"givenName":"Ada","honorificPrefix":"","birthName":"Byron"},
		"emails":[{"value":"a@corp.example","primary":false,"verified":true},{"value":"b@corp.example","primary":true,"type":"work"}],
		"addresses":[{"locality":"London"}],
		"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"R&D","manager":{"value":"m1"}},
		"urn:example:custom:User":{"badge":7}}`)
}

func TestUser_LoneEmailIsMarkedPrimary(t *testing.T) {
	t.Parallel()
	one := []MultiValue{Value("a@corp.example", "")}
	u := &User{UserName: "ada", Emails: Set(one)}
	if got, want := sent(t, u), `"emails":[{"value":"a@corp.example","primary":true}]`; !strings.Contains(got, want) {
		t.Errorf("got %s, want %s in it", got, want)
	}
	if !one[0].Primary.IsZero() {
		t.Error("the caller's value was changed")
	}
	one[0].Primary = Set(false)
	if got := sent(t, u); !strings.Contains(got, `"primary":false`) {
		t.Errorf("a lone e-mail that says it is not primary was overruled: %s", got)
	}
	two := &User{UserName: "ada", Emails: Set([]MultiValue{Value("a@corp.example", "work"), Value("b@corp.example", "home")})}
	if got := sent(t, two); strings.Contains(got, "primary") {
		t.Errorf("one of two was marked: %s", got)
	}
}

func TestUser_ReadsLooseTypes(t *testing.T) {
	t.Parallel()
	var u User
	err := json.Unmarshal([]byte(`{"externalId":123,"active":"True","emails":[{"primary":"false"}],"meta":{"created":"yesterday"}}`), &u)
	if err != nil {
		t.Fatal(err)
	}
	var loose User
	if err := loose.read([]byte(`{"id":7,"userName":8,"schemas":null,"groups":null,"groups":[{"value":9}],"meta":null,"name":null}`)); err != nil {
		t.Fatal(err)
	}
	if loose.ID != "7" || loose.UserName != "8" || loose.Groups[0].Value != "9" || !loose.Name.IsNull() {
		t.Errorf("got %+v", loose)
	}
	if u.ExternalID.Value() != "123" || !u.Active.Value() || u.Emails.Value()[0].Primary.Value() || !u.Meta.Created.IsZero() {
		t.Errorf("got %+v", u)
	}
	if err := json.Unmarshal([]byte(`{"active":"maybe"}`), &u); err == nil || !strings.Contains(err.Error(), "/active") {
		t.Errorf("got %v, want an error that names /active", err)
	}
}

func TestUser_AnswerThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`<html>`, `[1]`, `{"emails":7}`} {
		_, err := serve(t, answer(200, body)).client().Users().Replace(t.Context(), "u1", &User{UserName: "ada"}, nil)
		if err == nil || !strings.Contains(err.Error(), "the service answered 200, but") {
			t.Errorf("%s: got %v", body, err)
		}
	}
	u, err := serve(t, answer(204, "", `ETag: W/"2"`)).client().Users().Replace(t.Context(), "u1", &User{UserName: "ada"}, nil)
	if err != nil || u.Answer.ETag() != `W/"2"` {
		t.Errorf("an empty success: got %v", err)
	}
}

func TestUsers_OptionsAndHeaders(t *testing.T) {
	t.Parallel()
	var h http.Header
	s := serve(t, nil)
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h = r.Header
		s.mu.Lock()
		s.seen = append(s.seen, r.Method+" "+r.URL.RequestURI())
		s.mu.Unlock()
		answer(200, ada, "Roster-Rule-Set: atlassian", "Roster-Ignored: a, b", "Roster-Request-Id: r1")(w, r)
	})
	c := s.client()
	u, err := c.Users().Replace(t.Context(), "u1", &User{UserName: "ada"}, &WriteOptions{ExcludedAttributes: []string{"groups", "name.formatted"}, IfMatch: `W/"1"`})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"Authorization": "Bearer k", "If-Match": `W/"1"`, "Content-Type": "application/scim+json", "User-Agent": "roster-client"} {
		if got := h.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if u.Answer.RuleSet() != "atlassian" || u.Answer.RequestID() != "r1" || !cmp.Equal(u.Answer.Ignored(), []string{"a", "b"}) {
		t.Errorf("got headers %v", u.Answer.Header)
	}
	if got, want := s.requests()[0], "PUT /scim/directory/d/Users/u1?excludedAttributes=groups%2Cname.formatted"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, err := c.Users().Get(t.Context(), "u1", &GetOptions{Attributes: []string{"a"}, ExcludedAttributes: []string{"b"}}); err == nil || len(s.requests()) != 1 {
		t.Errorf("both projections: got %v after %q", err, s.requests())
	}
}
