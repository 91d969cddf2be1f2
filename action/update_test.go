package action

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/scim"
)

// A service answers GET with now and PUT with after, and records its requests.
type service struct {
	now, after string
	status     int    // of the answer to PUT; 0: 200
	ruleSet    string // told when not empty

	mu   sync.Mutex
	seen []string
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	s.seen = append(s.seen, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+r.Header.Get("If-Match")+" "+string(body)))
	s.mu.Unlock()
	if s.ruleSet != "" {
		w.Header().Set("Roster-Rule-Set", s.ruleSet)
	}
	if r.Method == http.MethodGet {
		io.WriteString(w, s.now)
		return
	}
	if s.status != 0 {
		w.WriteHeader(s.status)
	}
	io.WriteString(w, s.after)
}

func (s *service) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

func (s *service) action(t *testing.T, ruleSet string) *UpdateUser {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	rules, err := scim.Rules(ruleSet)
	if err != nil {
		t.Fatal(err)
	}
	return &UpdateUser{Client: &client.Client{BaseURL: server.URL, Directory: "d", Retries: -1}, Rules: rules}
}

func TestUpdateUser_SendsThePutAndSaysWhatChanged(t *testing.T) {
	t.Parallel()
	// The service sets a displayName that nobody asked for: the answers count.
	s := &service{now: current, after: strings.NewReplacer(`"Engineer"`, `"CTO"`, `"displayName":"Ada Lovelace",`, ``).Replace(current)}
	a := s.action(t, scim.Atlassian)
	a.IfMatch = `W/"3"`
	in := whole()
	in["title"] = jsontext.Value(`"CTO"`)
	r, err := a.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(lines(r.Plan.Changes), []string{`~ title: "Engineer" -> "CTO"`}); diff != "" {
		t.Errorf("plan: %s", diff)
	}
	if diff := cmp.Diff(lines(r.Changes), []string{`- displayName: "Ada Lovelace" -> (cleared)!`, `~ title: "Engineer" -> "CTO"`}); diff != "" || r.Foretold {
		t.Errorf("result: %s", diff)
	}
	got := s.requests()
	if len(got) != 2 || got[0] != "GET /scim/directory/d/Users/u1" || !strings.HasPrefix(got[1], `PUT /scim/directory/d/Users/u1 W/"3" {`) {
		t.Errorf("got %q", got)
	}
}

func TestUpdateUser_ProjectionTrustsThePlan(t *testing.T) {
	t.Parallel()
	s := &service{now: current, after: `{"id":"u1","userName":"ada@corp.example"}`}
	in := whole()
	in["title"] = jsontext.Value(`"CTO"`)
	in["attributes"] = jsontext.Value(`"userName , emails.value"`)
	r, err := s.action(t, scim.Atlassian).Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(lines(r.Changes), []string{`~ title: "Engineer" -> "CTO"`}); diff != "" || !r.Foretold {
		t.Errorf("got %s", diff)
	}
	if got := s.requests()[1]; !strings.HasPrefix(got, "PUT /scim/directory/d/Users/u1?attributes=userName%2Cemails.value ") {
		t.Errorf("got %s", got)
	}
}

func TestUpdateUser_NothingIsSentForABadInput(t *testing.T) {
	t.Parallel()
	s := &service{now: current, ruleSet: scim.Atlassian}
	in := whole()
	in["active"] = jsontext.Value(`"yes"`)
	var ie *InputError
	if _, err := s.action(t, scim.Atlassian).Run(t.Context(), in); !errors.As(err, &ie) || len(s.requests()) != 0 {
		t.Errorf("got %v after %q", err, s.requests())
	}
	// What only the directory's own rules refuse is found before the PUT.
	in = whole()
	delete(in, "emails")
	if _, err := s.action(t, scim.Standard).Run(t.Context(), in); !errors.As(err, &ie) || len(s.requests()) != 1 {
		t.Errorf("got %v after %q", err, s.requests())
	}
}

func TestUpdateUser_UnknownRuleSetIsNoFault(t *testing.T) {
	t.Parallel()
	s := &service{now: current, after: current, ruleSet: "from the future"}
	p, err := s.action(t, scim.Atlassian).Plan(t.Context(), whole())
	if err != nil || p.RuleSet != scim.Atlassian {
		t.Errorf("got %+v, %v", p, err)
	}
}

func TestUpdateUser_ErrorsOfTheService(t *testing.T) {
	t.Parallel()
	s := &service{now: current, after: `{"scimType":"uniqueness","detail":"taken"}`, status: 409}
	_, err := s.action(t, scim.Atlassian).Run(t.Context(), whole())
	var se *scim.Error
	if !errors.As(err, &se) || se.Type != scim.Uniqueness {
		t.Errorf("got %v, want uniqueness", err)
	}
	s = &service{now: `<html>`}
	if _, err := s.action(t, scim.Atlassian).Run(t.Context(), whole()); err == nil {
		t.Error("a page passed as a user")
	}
}
