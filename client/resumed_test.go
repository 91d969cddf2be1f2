package client_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/roster-scim/roster/client"
)

// What an earlier call may have done is done, where the caller says so and the
// service repeats no answers.
func TestClient_Resumed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name            string
		resumed, roster bool
		twin            string // what a search for the user finds
		created, gone   bool
	}{
		{"resumed", true, false, `{"id":"1","userName":"ada","active":true}`, true, true},
		{"another user of that name", true, false, `{"id":"1","userName":"ada","active":false}`, false, true},
		{"not resumed", false, false, `{"id":"1","userName":"ada","active":true}`, false, false},
		{"on a Roster", true, true, `{"id":"1","userName":"ada","active":true}`, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if tt.roster {
					w.Header().Set("Roster-Request-Id", "r")
				}
				w.Header().Set("Content-Type", "application/scim+json")
				switch r.Method {
				case "GET":
					io.WriteString(w, `{"totalResults":1,"startIndex":1,"itemsPerPage":1,"Resources":[`+tt.twin+`]}`)
				case "POST":
					w.WriteHeader(http.StatusConflict)
				default:
					w.WriteHeader(http.StatusNotFound)
				}
			}))
			defer srv.Close()
			c := &client.Client{BaseURL: srv.URL, Retries: -1, Resumed: tt.resumed}
			_, err := c.Users().Create(t.Context(), &client.User{UserName: "ada", Active: client.Set(true)}, nil)
			if (err == nil) != tt.created {
				t.Errorf("create: %v, want done %v", err, tt.created)
			}
			if err := c.Users().Delete(t.Context(), "1", nil); (err == nil) != tt.gone {
				t.Errorf("delete: %v, want done %v", err, tt.gone)
			}
		})
	}
}
