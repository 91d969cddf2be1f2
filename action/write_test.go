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
	etag       string // of every answer
	again      string // the answer to every GET but the first; empty: now

	mu   sync.Mutex
	seen []string
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	first := len(s.seen) == 0
	s.seen = append(s.seen, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+r.Header.Get("If-Match")+" "+string(body)))
	s.mu.Unlock()
	if s.ruleSet != "" {
		w.Header().Set("Roster-Rule-Set", s.ruleSet)
	}
	if s.etag != "" {
		w.Header().Set("ETag", s.etag)
	}
	if r.Method == http.MethodGet {
		if first || s.again == "" {
			io.WriteString(w, s.now)
		} else {
			io.WriteString(w, s.again)
		}
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

func (s *service) action(t *testing.T, ruleSet string) *Write {
	t.Helper()
	return s.write(t, "update-user", ruleSet)
}

// write returns a Write of an action on the service.
func (s *service) write(t *testing.T, name, ruleSet string) *Write {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	a, err := Find(name)
	if err != nil {
		t.Fatal(err)
	}
	w := &Write{Action: a, Client: &client.Client{BaseURL: server.URL, Directory: "d", Retries: -1}}
	if ruleSet != "" {
		if w.Rules, err = scim.Rules(ruleSet); err != nil {
			t.Fatal(err)
		}
	}
	return w
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
	if diff := cmp.Diff(lines(r.Differs), []string{`- displayName: "Ada Lovelace" -> (cleared)!`}); diff != "" {
		t.Errorf("differs from the plan: %s", diff)
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
	if got := s.requests()[2]; !strings.HasPrefix(got, "PUT /scim/directory/d/Users/u1?attributes=userName%2Cemails.value ") {
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
	in := whole()
	in["title"] = jsontext.Value(`"CTO"`)
	_, err := s.action(t, scim.Atlassian).Run(t.Context(), in)
	var se *scim.Error
	if !errors.As(err, &se) || se.Type != scim.Uniqueness {
		t.Errorf("got %v, want uniqueness", err)
	}
	s = &service{now: `<html>`}
	if _, err := s.action(t, scim.Atlassian).Run(t.Context(), whole()); err == nil {
		t.Error("a page passed as a user")
	}
}

// TestUpdateUser_NothingChangedSinceThePlan: by the version where the service has
// one, else by reading again.
func TestUpdateUser_NothingChangedSinceThePlan(t *testing.T) {
	t.Parallel()
	after := strings.Replace(current, `"Engineer"`, `"CTO"`, 1)
	versioned := func(doc string) string { return strings.Replace(doc, `"meta":{`, `"meta":{"version":"v1",`, 1) }
	tests := []struct {
		name    string
		service *service
		want    []string // how the requests begin
		changed string   // what a *ChangedError says
	}{
		{"a Roster", &service{now: current, after: after, ruleSet: scim.Atlassian, etag: `W/"3"`},
			[]string{"GET /", `PUT /scim/directory/d/Users/u1 W/"3" {`}, ""},
		{"a version in meta", &service{now: versioned(current), after: versioned(after), etag: "v1"},
			[]string{"GET /", `PUT /scim/directory/d/Users/u1 v1 {`}, ""},
		{"a digest of the body", &service{now: current, after: after, etag: `W/"1f-abc"`},
			[]string{"GET /", "GET /", `PUT /scim/directory/d/Users/u1  {`}, ""},
		{"no ETag", &service{now: current, after: after},
			[]string{"GET /", "GET /", `PUT /scim/directory/d/Users/u1  {`}, ""},
		{"no ETag, and changed", &service{now: current, after: after, again: strings.Replace(current, `"Countess"`, `"A"`, 1)},
			[]string{"GET /", "GET /"}, `~ nickName: "Countess" -> "A"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in := whole()
			in["title"] = jsontext.Value(`"CTO"`)
			_, err := tt.service.action(t, scim.Atlassian).Run(t.Context(), in)
			var ce *ChangedError
			if errors.As(err, &ce) {
				err = nil
			}
			if err != nil || (ce != nil) != (tt.changed != "") {
				t.Fatalf("got %v, %v", err, ce)
			}
			if ce != nil && ce.Changes[0].String() != tt.changed {
				t.Errorf("got %v, want %s", ce.Changes, tt.changed)
			}
			got := tt.service.requests()
			if len(got) != len(tt.want) {
				t.Fatalf("got %q, want %q", got, tt.want)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], tt.want[i]) {
					t.Errorf("got %q, want %q", got[i], tt.want[i])
				}
			}
		})
	}
}

func TestUpdateUser_WritesNothingWhenNothingChanges(t *testing.T) {
	t.Parallel()
	s := &service{now: current}
	r, err := s.action(t, scim.Atlassian).Run(t.Context(), whole())
	if err != nil || len(r.Changes) != 0 || string(r.Answer.Body) != current || len(s.requests()) != 1 {
		t.Errorf("got %+v, %v after %q", r, err, s.requests())
	}
}

func TestUpdateUser_KeepSendsTheWholeUser(t *testing.T) {
	t.Parallel()
	s := &service{now: current, after: strings.Replace(current, `"Engineer"`, `"CTO"`, 1)}
	a := s.action(t, scim.Atlassian)
	a.Keep = true
	r, err := a.Run(t.Context(), Input{"userId": jsontext.Value(`"u1"`), "title": jsontext.Value(`"CTO"`)})
	if err != nil || len(r.Differs) != 0 {
		t.Fatalf("got %+v, %v", r, err)
	}
	if diff := cmp.Diff(lines(r.Plan.Changes), []string{`~ title: "Engineer" -> "CTO"`}); diff != "" || r.Plan.Warns() {
		t.Errorf("plan: %s", diff)
	}
	sent := s.requests()[2]
	for _, part := range []string{`"externalId":"e1"`, `"active":false`, `"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"organization":"AE","department":"R&D"}`} {
		if !strings.Contains(sent, part) {
			t.Errorf("%s is not in %s", part, sent)
		}
	}
	for _, part := range []string{`"groups"`, `"meta"`, `"id"`, "atlassian-external"} {
		if strings.Contains(sent, part) {
			t.Errorf("%s is in %s", part, sent)
		}
	}
}
