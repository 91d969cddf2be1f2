package client

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster/scim"
)

// bulkOf answers /ServiceProviderConfig with the limits, and /Bulk by doing each
// operation with do, which returns an operation of the response.
func bulkOf(maxOperations, maxPayload int, do func(o map[string]any) string) step {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			answer(200, fmt.Sprintf(`{"bulk":{"supported":"true","maxOperations":"%d","maxPayloadSize":%d}}`, maxOperations, maxPayload))(w, r)
			return
		}
		var in struct {
			FailOnErrors int
			Operations   []map[string]any
		}
		data, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(data, &in, json.MatchCaseInsensitiveNames(true)); err != nil || len(in.Operations) > maxOperations || len(data) > maxPayload {
			answer(413, "")(w, r)
			return
		}
		var out []string
		errs := 0
		for _, o := range in.Operations {
			res := do(o)
			if strings.Contains(res, `"response"`) {
				errs++
			}
			out = append(out, res)
			if in.FailOnErrors > 0 && errs >= in.FailOnErrors {
				break
			}
		}
		answer(200, `{"Operations":[`+strings.Join(out, ",")+`]}`)(w, r)
	}
}

// done is what becomes of an operation: a POST makes "id-" and its bulkId, and
// whatever has the word "bad" fails.
func done(o map[string]any) string {
	line, _ := json.Marshal(o)
	bulkID, _ := o["bulkId"].(string)
	location := fmt.Sprintf("https://h%s", o["path"])
	status := "200"
	if o["method"] == "POST" {
		location, status = location+"/id-"+bulkID, "201"
	}
	if strings.Contains(string(line), "bad") {
		return fmt.Sprintf(`{"method":%q,"bulkId":%q,"status":{"code":409},"response":{"scimType":"uniqueness","detail":"taken"}}`, o["method"], bulkID)
	}
	return fmt.Sprintf(`{"method":%q,"bulkId":%q,"location":%q,"version":"W/\"1\"","status":%q}`, o["method"], bulkID, location, status)
}

// served returns a client of a service that answers as do does, and records the
// bodies of its bulk requests.
func served(t *testing.T, do step) (*Client, func() []string) {
	s := serve(t, nil)
	var bodies []string
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		if r.Method == http.MethodPost {
			s.mu.Lock()
			bodies = append(bodies, string(data))
			s.mu.Unlock()
		}
		r.Body = io.NopCloser(strings.NewReader(string(data)))
		do(w, r)
	})
	return s.client(), func() []string {
		s.mu.Lock()
		defer s.mu.Unlock()
		return bodies
	}
}

func TestBulk_SplitsAndResolves(t *testing.T) {
	t.Parallel()
	c, bodies := served(t, bulkOf(2, 100_000, done))
	results, err := c.Bulk(t.Context(), []BulkOperation{
		{Method: "POST", Path: "/Users", BulkID: "ada", Data: &User{UserName: "ada"}},
		{Method: "post", Path: "/Users", BulkID: "bob", Data: &User{UserName: "bad"}},
		{Method: "POST", Path: "/Groups", BulkID: "all", Data: &Group{DisplayName: "all", Members: Set(Members("bulkId:ada"))}},
		{Method: "PATCH", Path: "/Groups/bulkId:all", Data: Patch{Add("members", Members("bulkId:bob"))}},
		{Method: "PATCH", Path: "/Groups/bulkId:all", Version: `W/"1"`, Data: Patch{Replace("displayName", "each")}},
		{Method: "DELETE", Path: "/Users/u9"},
		{Method: "POST", Path: "/Users", Data: &Resource{Body: jsontext.Value(`{"userName":"eve"}`)}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range results {
		got = append(got, fmt.Sprintf("%d %s %v", r.Status, r.ID, r.Err))
	}
	want := []string{
		"201 id-ada <nil>", "409  409 uniqueness: taken", "201 id-all <nil>",
		"409  409: the operation with the bulkId bob has failed", "200 id-all <nil>", "200 u9 <nil>", "201 id-roster-6 <nil>",
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Error(diff)
	}
	if len(bodies()) != 4 || !strings.Contains(bodies()[1], `"members":[{"value":"id-ada"}]`) ||
		!strings.Contains(bodies()[2], `"version":"W/\"1\"","path":"/Groups/id-all"`) {
		t.Errorf("sent %s", strings.Join(bodies(), "\n"))
	}
	if results[4].Version != `W/"1"` || results[4].Location != "https://h/Groups/id-all" {
		t.Errorf("got %+v", results[4])
	}
}

func TestBulk_FailOnErrorsEndsAll(t *testing.T) {
	t.Parallel()
	var ops []BulkOperation
	for _, name := range []string{"bad", "b", "bad", "d", "bad", "f"} {
		ops = append(ops, BulkOperation{Method: "POST", Path: "/Users", Data: &User{UserName: name}})
	}
	c, bodies := served(t, bulkOf(2, 100_000, done))
	results, err := c.Bulk(t.Context(), ops, &BulkOptions{FailOnErrors: 2})
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	for _, r := range results {
		got = append(got, r.Status)
	}
	if diff := cmp.Diff(got, []int{409, 201, 409, 0, 0, 0}); diff != "" || len(bodies()) != 2 {
		t.Errorf("%d requests: %s", len(bodies()), diff)
	}
	if !strings.Contains(bodies()[1], `"failOnErrors":1,`) {
		t.Errorf("sent %s", bodies()[1])
	}
}

func TestBulk_PayloadIsKept(t *testing.T) {
	t.Parallel()
	var ops []BulkOperation
	for i := range 20 {
		ops = append(ops, BulkOperation{Method: "POST", Path: "/Users", Data: &User{UserName: strings.Repeat("a", 50*i)}})
	}
	c, bodies := served(t, bulkOf(1000, 2000, done))
	results, err := c.Bulk(t.Context(), ops, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if r.Status != 201 {
			t.Errorf("operation %d: got %+v", i, r)
		}
	}
	if n := len(bodies()); n < 6 || n > 15 {
		t.Errorf("got %d requests", n)
	}
}

func TestBulk_WhatCannotBeIsNotSent(t *testing.T) {
	t.Parallel()
	post := func(id string, data any) BulkOperation {
		return BulkOperation{Method: "POST", Path: "/Users", BulkID: id, Data: data}
	}
	for name, ops := range map[string][]BulkOperation{
		"too large":            {post("a", &User{UserName: strings.Repeat("a", 5000)})},
		"a bulkId twice":       {post("a", &User{}), post("a", &User{})},
		"of a later request":   {post("a", map[string]string{"x": "bulkId:c"}), post("b", &User{}), post("c", &User{})},
		"of no request":        {post("a", map[string]string{"x": "bulkId:z"})},
		"no data":              {post("a", nil)},
		"another method":       {{Method: "GET", Path: "/Users"}},
		"no path":              {{Method: "DELETE"}},
		"data that is no JSON": {post("a", make(chan int))},
		"an empty patch":       {{Method: "PATCH", Path: "/Users/u1", Data: Patch{}}},
	} {
		c, bodies := served(t, bulkOf(2, 2000, done))
		if _, err := c.Bulk(t.Context(), ops, nil); err == nil || len(bodies()) != 0 {
			t.Errorf("%s: got %v after %q", name, err, bodies())
		}
	}
	s := serve(t, answer(200, `{"bulk":{"supported":false}}`))
	_, err := s.client().Bulk(t.Context(), []BulkOperation{post("a", &User{})}, nil)
	if err == nil || !strings.Contains(err.Error(), "does not offer Bulk") || len(s.requests()) != 1 {
		t.Errorf("got %v after %q", err, s.requests())
	}
	if results, err := s.client().Bulk(t.Context(), nil, nil); err != nil || len(results) != 0 || len(s.requests()) != 1 {
		t.Errorf("of nothing: got %v, %v", results, err)
	}
}

func TestBulk_ARequestThatFails(t *testing.T) {
	t.Parallel()
	ops := []BulkOperation{{Method: "DELETE", Path: "/Users/a"}, {Method: "DELETE", Path: "/Users/b"}}
	config := answer(200, `{"bulk":{"supported":true,"maxOperations":1}}`)
	ok := answer(200, `{"Operations":[{"method":"DELETE","location":"https://h/Users/a","status":"204"}]}`)

	results, err := serve(t, config, ok, answer(500, "")).client().Bulk(t.Context(), ops, nil)
	wantStatus(t, err, 500)
	if len(results) != 2 || results[0].Status != 204 || results[1].Status != 0 {
		t.Errorf("got %+v", results)
	}
	for _, body := range []string{`<html>`, `{"Operations":[{"method":"PUT","status":"200"}]}`, `{"Operations":[{"location":"https://h/Users/z","status":"204"}]}`} {
		if _, err := serve(t, config, answer(200, body)).client().Bulk(t.Context(), ops, nil); err == nil {
			t.Errorf("%s: got no error", body)
		}
	}
	results, err = serve(t, config, answer(200, `{"Operations":[{"method":"DELETE"}]}`)).client().Bulk(t.Context(), ops[:1], nil)
	if err != nil || results[0].Err == nil {
		t.Errorf("a result without a status: got %+v, %v", results, err)
	}
	// It may be done: it is not sent again, but to a Roster.
	s := serve(t, config, drop, ok)
	if _, err := s.client().Bulk(t.Context(), ops[:1], nil); err == nil || len(s.requests()) != 2 {
		t.Errorf("got %v after %q", err, s.requests())
	}
	s = serve(t, answer(200, `{"bulk":{"supported":true}}`, "Roster-Request-Id: r1"), drop, ok)
	if results, err := s.client().Bulk(t.Context(), ops[:1], nil); err != nil || results[0].Status != 204 {
		t.Errorf("got %v, %v", results, err)
	}
}

func TestBulk_ResultsAreErrors(t *testing.T) {
	t.Parallel()
	c, _ := served(t, bulkOf(10, 10_000, done))
	results, err := c.Bulk(t.Context(), []BulkOperation{{Method: "PUT", Path: "/Users/u1", Data: &User{UserName: "bad"}}}, nil)
	var se *scim.Error
	if err != nil || !errors.As(results[0].Err, &se) || se.Type != scim.Uniqueness {
		t.Errorf("got %+v, %v", results, err)
	}
}
