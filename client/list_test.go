package client

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster/scim"
)

// pageOf answers a list request as a service that pages by index does.
func pageOf(total, most int, list func(from, to int) string) step {
	return func(w http.ResponseWriter, r *http.Request) {
		start, _ := strconv.Atoi(r.URL.Query().Get("startIndex"))
		to := min(start-1+most, total)
		from := min(start-1, to)
		answer(200, list(from, to))(w, r)
	}
}

// lists answers /ServiceProviderConfig with config and all else with s.
func lists(config string, s step) step {
	return func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/ServiceProviderConfig") {
			answer(200, config)(w, r)
			return
		}
		s(w, r)
	}
}

func users(from, to int) string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprintf(`{"id":"u%d","userName":"n%d"}`, i, i))
	}
	return "[" + strings.Join(out, ",") + "]"
}

// onlySearchPages answers as a service that follows startIndex in the body of a
// search and in no URL.
func onlySearchPages(total, most int) step {
	return func(w http.ResponseWriter, r *http.Request) {
		from := 0
		if r.Method == http.MethodPost {
			var body struct{ StartIndex int }
			data, _ := io.ReadAll(r.Body)
			if err := json.Unmarshal(data, &body, json.MatchCaseInsensitiveNames(true)); err != nil {
				answer(400, err.Error())(w, r)
				return
			}
			from = min(body.StartIndex-1, total)
		}
		answer(200, fmt.Sprintf(`{"totalResults":%d,"Resources":%s}`, total, users(from, min(from+most, total))))(w, r)
	}
}

// cycle answers with two pages in turn, in which something else stands each time.
func cycle(most int) step {
	var n atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		i := int(n.Add(1)) - 1
		from := i % 2 * most
		page := strings.Replace(users(from, from+most), `{"id"`, fmt.Sprintf(`{"title":"%d","id"`, i), 1)
		answer(200, `{"totalResults":1000000,"Resources":`+page+`}`)(w, r)
	}
}

func TestList_PagesUntilDone(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		step     step
		want     int
		requests int
		fails    bool
	}{
		{"true totals", pageOf(7, 3, func(from, to int) string {
			return fmt.Sprintf(`{"totalResults":7,"startIndex":%d,"itemsPerPage":%d,"Resources":%s}`, from+1, to-from, users(from, to))
		}), 7, 4, false},
		{"itemsPerPage is the limit", pageOf(7, 3, func(from, to int) string {
			return fmt.Sprintf(`{"totalResults":"7","itemsPerPage":10000,"Resources":%s}`, users(from, to))
		}), 7, 4, false},
		{"no totals", pageOf(7, 3, func(from, to int) string {
			return fmt.Sprintf(`{"resources":%s}`, users(from, to))
		}), 7, 4, false},
		{"total of the page alone", pageOf(7, 3, func(from, to int) string {
			return fmt.Sprintf(`{"totalResults":1,"Resources":%s}`, users(from, to))
		}), 7, 3, false},
		{"null at the end", pageOf(3, 3, func(from, to int) string {
			if from == to {
				return `{"totalResults":5,"Resources":null}`
			}
			return fmt.Sprintf(`{"totalResults":5,"Resources":%s}`, users(from, to))
		}), 3, 3, false},
		{"empty", answer(200, `{"totalResults":0,"itemsPerPage":10000,"Resources":null}`), 0, 1, false},
		{"total is the length of each page", pageOf(7, 3, func(from, to int) string {
			return fmt.Sprintf(`{"totalResults":%d,"Resources":%s}`, to-from, users(from, to))
		}), 7, 3, false},
		{"total grows", pageOf(7, 3, func(from, to int) string {
			return fmt.Sprintf(`{"totalResults":%d,"Resources":%s}`, to+1, users(from, to))
		}), 7, 5, false},
		{"total shrinks", pageOf(7, 3, func(from, to int) string {
			return fmt.Sprintf(`{"totalResults":%d,"Resources":%s}`, 9-to, users(from, to))
		}), 7, 4, false},
		{"fewer than asked for", pageOf(7, 2, func(from, to int) string {
			return fmt.Sprintf(`{"totalResults":7,"Resources":%s}`, users(from, to))
		}), 7, 5, false},
		{"one that is in no array", answer(200, `{"totalResults":1,"Resources":{"id":"u0"}}`), 1, 1, false},
		{"startIndex not followed", answer(200, `{"totalResults":9,"Resources":`+users(0, 3)+`}`), 3, 4, true},
		{"startIndex not followed, no totals, no ids", answer(200, `{"Resources":[{"userName":"a"}]}`), 1, 3, true},
		{"startIndex followed in a search alone", onlySearchPages(7, 3), 7, 5, false},
		{"pages that come again, each time otherwise", cycle(3), 6, 5, true},
		{"a total that lies", answer(200, `{"totalResults":9223372036854775807,"Resources":`+users(0, 3)+`}`), 3, 4, true},
		{"a negative total", answer(200, `{"totalResults":-3,"Resources":`+users(0, 3)+`}`), 3, 3, true},
		{"next to nothing, a hundred thousand times", answer(200, `{"Resources":[{}`+strings.Repeat(",{}", 100_000)+`]}`), 0, 1, true},
		{"Resources are a text", answer(200, `{"Resources":"all"}`), 0, 1, true},
		{"Resources are a list of texts", answer(200, `{"Resources":["all"]}`), 0, 1, true},
		{"not JSON", answer(200, `<html>`), 0, 1, true},
		{"refused", answer(400, `{"scimType":"invalidFilter"}`), 0, 1, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, lists(`{}`, tt.step))
			var got int
			var failed error
			for u, err := range s.client().Users().List(t.Context(), &ListOptions{Count: 3}) {
				if err != nil {
					failed = err
					continue
				}
				if u.ID != fmt.Sprintf("u%d", got) && u.ID != "" {
					t.Errorf("got %s as number %d", u.ID, got)
				}
				got++
			}
			if got != tt.want || len(s.requests()) != tt.requests || failed != nil != tt.fails {
				t.Errorf("got %d users in %d requests, error %v; want %d in %d, error %v", got, len(s.requests()), failed, tt.want, tt.requests, tt.fails)
			}
		})
	}
}

func TestList_ByCursor(t *testing.T) {
	t.Parallel()
	const offers = `{"pagination":{"cursor":true,"index":true,"defaultPaginationMethod":"index"}}`
	byCursor := func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		at, _ := strconv.Atoi(q.Get("cursor"))
		switch {
		case !q.Has("cursor"):
			answer(200, `{"totalResults":5,"Resources":`+users(0, 2)+`}`)(w, r)
		case at == 2: // nothing here, and yet it goes on
			answer(200, `{"totalResults":5,"nextCursor":"3","Resources":[]}`)(w, r)
		case at == 3:
			answer(200, `{"totalResults":5,"previousCursor":"0","Resources":`+users(2, 5)+`}`)(w, r)
		default:
			answer(200, `{"totalResults":5,"nextCursor":"2","Resources":`+users(0, 2)+`}`)(w, r)
		}
	}
	ids := func(c *Client, o *ListOptions) (got []string, err error) {
		for u, err := range c.Users().List(t.Context(), o) {
			if err != nil {
				return got, err
			}
			got = append(got, u.ID)
		}
		return got, nil
	}
	want := []string{"u0", "u1", "u2", "u3", "u4"}

	s := serve(t, lists(offers, byCursor))
	c := s.client()
	for range 2 {
		if got, err := ids(c, &ListOptions{Count: 2}); err != nil || !cmp.Equal(got, want) {
			t.Errorf("got %q, %v", got, err)
		}
	}
	sent := []string{
		"/Users?count=2&startIndex=1", "/ServiceProviderConfig",
		"/Users?count=2&cursor=", "/Users?count=2&cursor=2", "/Users?count=2&cursor=3",
		"/Users?count=2&cursor=", "/Users?count=2&cursor=2", "/Users?count=2&cursor=3", // known by now
	}
	for i, line := range s.requests() {
		if want := "GET /scim/directory/d" + sent[i]; line != want {
			t.Errorf("got %s, want %s", line, want)
		}
	}

	// One whose default is the cursor says it in its answer.
	s = serve(t, answer(200, `{"nextCursor":"x","Resources":`+users(0, 2)+`}`), answer(200, `{"Resources":`+users(2, 5)+`}`))
	if got, err := ids(s.client(), nil); err != nil || !cmp.Equal(got, want) {
		t.Errorf("got %q, %v", got, err)
	}

	for name, steps := range map[string][]step{
		"the cursor of itself":    {answer(200, `{"nextCursor":"x","Resources":`+users(0, 2)+`}`), answer(200, `{"nextCursor":"x","Resources":`+users(2, 5)+`}`)},
		"a page again":            {answer(200, `{"nextCursor":"x","Resources":`+users(0, 2)+`}`), answer(200, `{"nextCursor":"y","Resources":`+users(0, 2)+`}`)},
		"empty pages without end": {turning()},
		"expired":                 {answer(200, `{"nextCursor":"x","Resources":`+users(0, 2)+`}`), answer(400, `{"scimType":"expiredCursor"}`)},
	} {
		s := serve(t, steps...)
		if _, err := ids(s.client(), nil); err == nil || len(s.requests()) > maxEmptyPages+3 {
			t.Errorf("%s: got %v after %d requests", name, err, len(s.requests()))
		}
	}
}

// turning answers with empty pages, each with another cursor.
func turning() step {
	var n atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		answer(200, fmt.Sprintf(`{"nextCursor":"c%d","Resources":[]}`, n.Add(1)))(w, r)
	}
}

func TestSearch_IsAPostThatReads(t *testing.T) {
	t.Parallel()
	s := serve(t, drop, answer(200, `{"totalResults":1,"Resources":[{"id":"u0","x":1}]}`))
	c := s.client()
	o := &ListOptions{Filter: "userName eq " + Quote(`a"b`), SortBy: "userName", Descending: true, Count: 3, Attributes: []string{"x"}}
	for r, err := range c.Search(t.Context(), o) {
		if err != nil || r.ID != "u0" || string(r.Body) != `{"id":"u0","x":1}` {
			t.Errorf("got %+v, %v", r, err)
		}
	}
	for range c.Groups().Search(t.Context(), nil) {
		break
	}
	first := `POST /scim/directory/d/.search {"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],"attributes":["x"],` +
		`"filter":"userName eq \"a\\\"b\"","sortBy":"userName","sortOrder":"descending","startIndex":1,"count":3}`
	want := []string{first, first, `POST /scim/directory/d/Groups/.search {"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],"startIndex":1}`}
	if diff := cmp.Diff(s.requests(), want); diff != "" {
		t.Error(diff)
	}
	if s.sentKeys()[0] != "" {
		t.Error("what reads has an Idempotency-Key")
	}
}

func TestList_StopsWhenAsked(t *testing.T) {
	t.Parallel()
	s := serve(t, answer(200, `{"totalResults":9,"Resources":`+users(0, 3)+`}`))
	for range s.client().Users().List(t.Context(), &ListOptions{Filter: `userName eq "a b"`, StartIndex: 4, Attributes: []string{"userName", "emails.value"}}) {
		break
	}
	want := []string{"GET /scim/directory/d/Users?attributes=userName%2Cemails.value&filter=userName+eq+%22a+b%22&startIndex=4"}
	if diff := cmp.Diff(s.requests(), want); diff != "" {
		t.Error(diff)
	}
}

func TestDelete_AfterALostAnswer(t *testing.T) {
	t.Parallel()
	gone := answer(404, `{"detail":"no such user"}`)
	if err := serve(t, drop, gone).client().Users().Delete(t.Context(), "u1", nil); err != nil {
		t.Errorf("got %v, want none: the first attempt was done", err)
	}
	if err := serve(t, gone).client().Users().Delete(t.Context(), "u1", nil); err == nil {
		t.Error("got no error for a user that never was")
	}
	if err := serve(t, answer(429, ""), gone).client().Users().Delete(t.Context(), "u1", nil); err == nil {
		t.Error("got no error though the first attempt was refused")
	}
}

func TestCreate_AfterALostAnswer(t *testing.T) {
	t.Parallel()
	const (
		same   = `{"Resources":[{"id":"u1","userName":"a\"da","title":"CTO","groups":[],"emails":[{"type":"work","primary":true,"value":"ada@corp.example"}]}]}`
		other  = `{"Resources":[{"id":"u1","userName":"a\"da","title":"CEO"}]}`
		nobody = `{"totalResults":0,"Resources":null}`
	)
	taken := answer(409, `{"scimType":"uniqueness","detail":"taken"}`)
	roster := "Roster-Request-Id: r1"
	tests := []struct {
		name   string
		steps  []step
		sent   string // the methods of the requests
		status int    // of the error; 0: none, -1: no answer
	}{
		{"it was made", []step{drop, answer(200, same)}, "POST GET", 0},
		{"it was not", []step{drop, answer(200, nobody), answer(201, ada)}, "POST GET POST", 0},
		{"somebody else has the name", []step{drop, answer(200, other)}, "POST GET", -1},
		{"there is no looking", []step{answer(502, "<html>"), answer(403, "")}, "POST GET", 502},
		{"it was made a moment later", []step{drop, answer(200, nobody), taken, answer(200, same)}, "POST GET POST", 409},
		{"lost twice", []step{drop, answer(200, nobody), drop, answer(200, same)}, "POST GET POST GET", 0},
		{"lost for good", []step{drop, answer(200, nobody), drop, answer(200, nobody), drop, answer(200, nobody)}, "POST GET POST GET POST GET", -1},
		{"a Roster does it once", []step{answer(503, "", roster), answer(201, ada, roster)}, "POST POST", 0},
		{"a Roster that has done it", []step{answer(503, "", roster), drop, taken, answer(200, same)}, "POST POST POST GET", 0},
		{"taken at once", []step{taken}, "POST", 409},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u := &User{UserName: `a"da`, Title: Set("CTO"), NickName: Set(""), PhoneNumbers: Set[[]MultiValue](nil),
				Emails: Set([]MultiValue{Value("ada@corp.example", "work")})}
			s := serve(t, tt.steps...)
			c := s.client()
			c.Retries = 2
			got, err := c.Users().Create(t.Context(), u, nil)
			wantStatus(t, err, tt.status)
			if err == nil && got.ID != "u1" {
				t.Errorf("got %+v", got)
			}
			var methods []string
			for i, line := range s.requests() {
				method, uri, _ := strings.Cut(line, " ")
				if key := s.sentKeys()[i]; method == "POST" && key != s.sentKeys()[0] {
					t.Errorf("the Idempotency-Key changed to %s", key)
				}
				methods = append(methods, method)
				if want := "/scim/directory/d/Users?count=2&filter=userName+eq+%22a%5C%22da%22&startIndex=1"; method == "GET" && uri != want {
					t.Errorf("got %s, want %s", uri, want)
				}
			}
			if got := strings.Join(methods, " "); got != tt.sent {
				t.Errorf("sent %s, want %s", got, tt.sent)
			}
		})
	}
}

// wantStatus fails the test when err has not that status; 0: no error, -1: an
// error without an answer.
func wantStatus(t *testing.T, err error, status int) {
	t.Helper()
	var se *scim.Error
	switch {
	case status == 0 && err != nil:
		t.Errorf("got %v, want no error", err)
	case status < 0 && (err == nil || errors.As(err, &se)):
		t.Errorf("got %v, want an error without an answer", err)
	case status > 0 && (!errors.As(err, &se) || se.Status != status):
		t.Errorf("got %v, want %d", err, status)
	}
}
