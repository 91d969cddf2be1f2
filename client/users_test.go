package client

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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

func users(from, to int) string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprintf(`{"id":"u%d","userName":"n%d"}`, i, i))
	}
	return "[" + strings.Join(out, ",") + "]"
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
		}), 7, 3, false},
		{"itemsPerPage is the limit", pageOf(7, 3, func(from, to int) string {
			return fmt.Sprintf(`{"totalResults":"7","itemsPerPage":10000,"Resources":%s}`, users(from, to))
		}), 7, 3, false},
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
		}), 3, 2, false},
		{"empty", answer(200, `{"totalResults":0,"itemsPerPage":10000,"Resources":null}`), 0, 1, false},
		{"startIndex not followed", answer(200, `{"totalResults":9,"Resources":`+users(0, 3)+`}`), 3, 2, true},
		{"not JSON", answer(200, `<html>`), 0, 1, true},
		{"refused", answer(400, `{"scimType":"invalidFilter"}`), 0, 1, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, tt.step)
			var got int
			var failed error
			for u, err := range s.client().Users().List(t.Context(), &ListOptions{Count: 3}) {
				if err != nil {
					failed = err
					continue
				}
				if u.ID != fmt.Sprintf("u%d", got) {
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
	taken := answer(409, `{"scimType":"uniqueness","detail":"taken"}`)
	u := &User{UserName: `a"da`, Title: Set("CTO"), NickName: Set(""), PhoneNumbers: Set[[]MultiValue](nil),
		Emails: Set([]MultiValue{Value("ada@corp.example", "work")})}
	same := `{"Resources":[{"id":"u1","userName":"a\"da","title":"CTO","groups":[],"emails":[{"type":"work","primary":true,"value":"ada@corp.example"}]}]}`
	other := `{"Resources":[{"id":"u1","userName":"a\"da","title":"CEO"}]}`

	s := serve(t, drop, taken, answer(200, same))
	got, err := s.client().Users().Create(t.Context(), u, nil)
	if err != nil || got.ID != "u1" {
		t.Errorf("got %v, want the user that the first attempt made", err)
	}
	if want := "GET /scim/directory/d/Users?count=2&filter=userName+eq+%22a%5C%22da%22&startIndex=1"; s.requests()[2] != want {
		t.Errorf("got %s, want %s", s.requests()[2], want)
	}
	if _, err = serve(t, drop, taken, answer(200, other)).client().Users().Create(t.Context(), u, nil); err == nil {
		t.Error("another user of that name passed as the one that was made")
	}
	s = serve(t, taken)
	if _, err = s.client().Users().Create(t.Context(), u, nil); err == nil || len(s.requests()) != 1 {
		t.Errorf("got %v after %q, want 409 at once", err, s.requests())
	}
}
