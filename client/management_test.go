package client

import (
	"net/http"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster"
)

func TestManagement_Requests(t *testing.T) {
	t.Parallel()
	expires := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	ctx := t.Context()
	tests := []struct {
		want string
		do   func(m Management) error
	}{
		{`GET /api/v1/directories`, func(m Management) error { return second(m.ListDirectories(ctx)) }},
		{`POST /api/v1/directories {"name":"n","ruleSet":"strict","rules":{"maxPage":5}}`, func(m Management) error {
			return second(m.CreateDirectory(ctx, DirectoryCreate{Name: "n", RuleSet: "strict", Rules: jsontext.Value(`{"maxPage":5}`)}))
		}},
		{`POST /api/v1/directories {"name":"n"}`, func(m Management) error { return second(m.CreateDirectory(ctx, DirectoryCreate{Name: "n"})) }},
		{`GET /api/v1/directories/a%2Fb`, func(m Management) error { return second(m.GetDirectory(ctx, "a/b")) }},
		{`PATCH /api/v1/directories/x {"name":"n","rules":{"maxPage":null}}`, func(m Management) error {
			return second(m.UpdateDirectory(ctx, "x", 3, roster.DirectoryUpdate{Name: "n", Rules: map[string]jsontext.Value{"maxPage": jsontext.Value("null")}}))
		}},
		{`PATCH /api/v1/directories/x?plan=true {"schemas":{}}`, func(m Management) error {
			return second(m.PlanDirectory(ctx, "x", 0, roster.DirectoryUpdate{Schemas: jsontext.Value("{}")}))
		}},
		{`GET /api/v1/directories/x/schemas`, func(m Management) error { return second(m.GetSchemas(ctx, "x")) }},
		{`PUT /api/v1/directories/x/schemas {"schemas":[]}`, func(m Management) error { return m.ReplaceSchemas(ctx, "x", jsontext.Value(`{"schemas":[]}`)) }},
		{`DELETE /api/v1/directories/x`, func(m Management) error { return m.DeleteDirectory(ctx, "x") }},
		{`GET /api/v1/key`, func(m Management) error { return second(m.OwnKey(ctx)) }},
		{`GET /api/v1/keys`, func(m Management) error { return second(m.ListKeys(ctx, "")) }},
		{`POST /api/v1/directories/x/keys {"name":"okta","scopes":["users:write"],"expiresAt":"2027-01-01T00:00:00Z"}`, func(m Management) error {
			return second(m.CreateKey(ctx, "x", KeyCreate{Name: "okta", Scopes: []roster.Scope{roster.ScopeUsersWrite}, Expires: expires}))
		}},
		{`POST /api/v1/directories/x/keys {"name":"ada","scopes":["me"],"user":"u1"}`, func(m Management) error {
			return second(m.CreateKey(ctx, "x", KeyCreate{Name: "ada", Scopes: []roster.Scope{roster.ScopeMe}, User: "u1"}))
		}},
		{`POST /api/v1/keys/k1/rotate {"overlap":"24h0m0s"}`, func(m Management) error {
			return second(m.RotateKey(ctx, "", "k1", KeyRotate{Overlap: 24 * time.Hour}))
		}},
		{`DELETE /api/v1/directories/x/keys/k1`, func(m Management) error { return m.RevokeKey(ctx, "x", "k1") }},
		{`GET /api/v1/directories/x/events?after=7&limit=2`, func(m Management) error {
			_, _, err := m.ListEvents(ctx, "x", EventQuery{After: 7, Limit: 2})
			return err
		}},
		{`GET /api/v1/directories/x/events?after=7&wait=20`, func(m Management) error {
			_, _, err := m.ListEvents(ctx, "x", EventQuery{After: 7, Wait: 20 * time.Second})
			return err
		}},
		{`GET /api/v1/directories/x/events?last=10`, func(m Management) error {
			_, _, err := m.ListEvents(ctx, "x", EventQuery{Last: 10})
			return err
		}},
		{`POST /api/v1/directories/x/events/7/undo`, func(m Management) error { return second(m.Undo(ctx, "x", 7, nil)) }},
		{`POST /api/v1/directories/x/events/7/undo?force=true&plan=true`, func(m Management) error {
			return second(m.Undo(ctx, "x", 7, &UndoOptions{Plan: true, Force: true}))
		}},
		{`POST /api/v1/directories/x/trash/u1/restore`, func(m Management) error { return second(m.Restore(ctx, "x", "u1")) }},
		{`DELETE /api/v1/directories/x/trash/u1`, func(m Management) error { return second(m.Purge(ctx, "x", "u1")) }},
		{`GET /api/v1/org`, func(m Management) error { return second(m.Organization(ctx)) }},
		{`POST /api/v1/directories/x/users/u1/link`, func(m Management) error { return second(m.Link(ctx, "x", "u1")) }},
		{`GET /api/v1/connections?directory=x`, func(m Management) error { return second(m.ListConnections(ctx, "x")) }},
		{`POST /api/v1/connections {"name":"c","url":"https://a.example","key":"k"}`, func(m Management) error {
			return second(m.CreateConnection(ctx, "", "c", ConnectionInput{URL: "https://a.example", Key: "k"}))
		}},
		{`GET /api/v1/connections/c`, func(m Management) error { return second(m.GetConnection(ctx, "", "c")) }},
		{`PUT /api/v1/connections/c?directory=x {"url":"https://a.example","directory":"d","ruleSet":"strict"}`, func(m Management) error {
			return second(m.ReplaceConnection(ctx, "x", "c", 3, ConnectionInput{URL: "https://a.example", Directory: "d", RuleSet: "strict"}))
		}},
		{`DELETE /api/v1/connections/a%2Fb?directory=x`, func(m Management) error { return m.DeleteConnection(ctx, "x", "a/b", 0) }},
		{`POST /api/v1/connections/c/test?directory=x`, func(m Management) error { return second(m.TestConnection(ctx, "x", "c")) }},
		{`GET /api/v1/directories/x/requests`, func(m Management) error { return second(m.ListRequests(ctx, "x")) }},
	}
	for _, tt := range tests {
		s := serve(t, answer(200, `{}`))
		if err := tt.do(s.client().Management()); err != nil {
			t.Errorf("%s: %v", tt.want, err)
		}
		if got := s.requests(); len(got) != 1 || got[0] != tt.want {
			t.Errorf("got %q, want %s", got, tt.want)
		}
	}
}

func TestManagement_NewKeyHoldsTheSecret(t *testing.T) {
	t.Parallel()
	s := serve(t, answer(http.StatusCreated, `{"id":"k1","name":"okta","prefix":"rk_abc","scopes":["admin"],"created":"2026-01-01T00:00:00Z","key":"rk_abcdef"}`))
	k, err := s.client().Management().CreateKey(t.Context(), "x", KeyCreate{Name: "okta"})
	if err != nil {
		t.Fatal(err)
	}
	if k.Secret != "rk_abcdef" || k.ID != "k1" || k.Scopes[0] != roster.ScopeAdmin {
		t.Errorf("got %+v", k)
	}
}

func TestManagement_PagesUntilEmpty(t *testing.T) {
	t.Parallel()
	s := serve(t,
		answer(200, `{"events":[{"seq":12,"version":3},{"seq":9,"version":2}]}`),
		answer(200, `{"events":[{"seq":4,"version":1}]}`),
		answer(200, `{"events":[]}`))
	var got []int64
	for e, err := range s.client().Management().History(t.Context(), "x", "u1", 0) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Version)
	}
	if diff := cmp.Diff(got, []int64{3, 2, 1}); diff != "" {
		t.Error(diff)
	}
	want := []string{
		"GET /api/v1/directories/x/resources/u1/history?limit=100",
		"GET /api/v1/directories/x/resources/u1/history?before=2&limit=100",
		"GET /api/v1/directories/x/resources/u1/history?before=1&limit=100",
	}
	if diff := cmp.Diff(s.requests(), want); diff != "" {
		t.Error(diff)
	}

	s = serve(t, answer(200, `{"trash":[{"id":"u1"},{"id":"u2"}]}`), answer(500, `{"detail":"broken"}`))
	var ids []string
	var failed error
	for u, err := range s.client().Management().ListTrash(t.Context(), "x") {
		if err != nil {
			failed = err
			continue
		}
		ids = append(ids, u.ID)
	}
	if len(ids) != 2 || failed == nil {
		t.Errorf("got %q and %v, want two and an error", ids, failed)
	}
}

func TestManagement_UpdateNamesTheVersion(t *testing.T) {
	t.Parallel()
	var got string
	s := serve(t, nil)
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("If-Match")
		answer(200, `{"refused":"why","attributes":[{"attribute":"a","hidden":2}]}`)(w, r)
	})
	plan, err := s.client().Management().PlanDirectory(t.Context(), "x", 3, roster.DirectoryUpdate{Name: "n"})
	if err != nil || plan.Refused != "why" || len(plan.Attributes) != 1 || plan.Attributes[0].Hidden != 2 {
		t.Errorf("got %+v, %v", plan, err)
	}
	if want := `W/"3"`; got != want {
		t.Errorf("got If-Match %s, want %s", got, want)
	}
}

func TestManagement_FollowEvents(t *testing.T) {
	t.Parallel()
	s := serve(t,
		answer(200, `{"events":[{"seq":4},{"seq":9}],"next":9}`),
		answer(200, `{"events":[],"next":9}`),
		answer(200, `{"events":[{"seq":12}],"next":12}`),
		answer(400, `{"detail":"broken"}`))
	var got []int64
	var failed error
	for e, err := range s.client().Management().FollowEvents(t.Context(), "x", 3) {
		if err != nil {
			failed = err
			continue
		}
		got = append(got, e.Seq)
	}
	if diff := cmp.Diff(got, []int64{4, 9, 12}); diff != "" || failed == nil {
		t.Errorf("%v, and the error %v", diff, failed)
	}
	path := "GET /api/v1/directories/x/events?after="
	if diff := cmp.Diff(s.requests(), []string{path + "3&wait=20", path + "9&wait=20", path + "9&wait=20", path + "12&wait=20"}); diff != "" {
		t.Error(diff)
	}
}
