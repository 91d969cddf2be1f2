package action_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster/action"
	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/internal/rostertest"
	"github.com/roster-scim/roster/scim"
)

// A runner runs actions one after the other against one service.
type runner struct {
	*testing.T
	c   *client.Client
	ran map[string]bool
}

// run runs an action whose input is a JSON object, and returns its output.
func (r *runner) run(name, input string) *action.Output {
	r.Helper()
	out, err := r.try(name, input)
	if err != nil {
		r.Fatalf("%s %s: %v", name, input, err)
	}
	return out
}

func (r *runner) try(name, input string) (*action.Output, error) {
	r.Helper()
	a, err := action.Find(name)
	if err != nil {
		r.Fatal(err)
	}
	var in action.Input
	if err := json.Unmarshal([]byte(input), &in); err != nil {
		r.Fatal(err)
	}
	r.ran[name] = true
	return a.Run(r.Context(), r.c, in)
}

// object returns the output of an action as an object, which must be of the kind
// that its manifest shows.
func (r *runner) object(name, input string) map[string]any {
	r.Helper()
	body, err := r.run(name, input).JSON()
	if err != nil {
		r.Fatalf("%s: %v", name, err)
	}
	var got, shown map[string]any
	if err := json.Unmarshal(body, &got); err != nil {
		r.Fatalf("%s: %v in %s", name, err, body)
	}
	a, err := action.Find(name)
	if err != nil {
		r.Fatal(err)
	}
	if err := json.Unmarshal(a.ExampleOutput, &shown); err != nil {
		r.Fatal(err)
	}
	for member := range got {
		if _, ok := shown[member]; !ok && member != "nextCursor" {
			r.Errorf("%s: the example has no %s", name, member)
		}
	}
	return got
}

func (r *runner) refused(name, input string, status int) {
	r.Helper()
	_, err := r.try(name, input)
	var se *scim.Error
	if !errors.As(err, &se) || se.Status != status {
		r.Errorf("%s %s: got %v, want %d", name, input, err, status)
	}
}

// TestActions_OnRoster runs every action against a Roster, under both rule sets.
func TestActions_OnRoster(t *testing.T) {
	t.Parallel()
	for _, ruleSet := range []string{scim.Atlassian, scim.Standard} {
		t.Run(ruleSet, func(t *testing.T) {
			t.Parallel()
			c, _ := rostertest.Serve(t, ruleSet, nil)
			r := &runner{t, c, make(map[string]bool)}
			ada := r.object("create-user", `{"userName":"ada","emails":[{"value":"ada@corp.example","type":"work"}],"title":"Engineer","name":{"givenName":"Ada"}}`)
			bob := r.object("create-user", `{"userName":"bob","emails":[{"value":"bob@corp.example"}],"active":false}`)
			if ada["active"] != true || bob["active"] != false {
				t.Errorf("got %v, %v", ada["active"], bob["active"])
			}
			id := ada["id"].(string)
			user := func(rest string) string { return `{"userId":"` + id + `"` + rest + `}` }
			r.refused("create-user", `{"userName":"ADA","emails":[{"value":"x@corp.example"}]}`, 409)

			if got := r.object("get-user", user(`,"attributes":["title"]`)); got["title"] != "Engineer" || got["userName"] != nil {
				t.Errorf("get: %v", got)
			}
			r.refused("get-user", `{"userId":"no/such one"}`, 404)
			r.run("list-users", `{"filter":"userName eq \"ada\"","count":0}`)
			if got := r.object("list-users", `{"count":1,"startIndex":2,"attributes":"userName"}`); got["totalResults"] != 2.0 || len(got["Resources"].([]any)) != 1 {
				t.Errorf("list: %v", got)
			}
			if got := r.object("list-users", `{"all":true,"count":1,"sortBy":"userName","sortOrder":"descending"}`); ids(got) != bob["id"].(string)+" "+id {
				t.Errorf("list all: %v", ids(got))
			}

			got := r.object("update-user", user(`,"userName":"ada","emails":[{"value":"ada@corp.example"}],"title":"CTO","nickName":null`))
			if got["title"] != "CTO" || got["name"] != nil {
				t.Errorf("update: %v", got)
			}
			got = r.object("patch-user", user(`,"operations":[{"op":"add","path":"nickName","value":"Countess"},{"op":"Remove","path":"title"}]`))
			if got["nickName"] != "Countess" || got["title"] != nil {
				t.Errorf("patch: %v", got)
			}
			r.refused("patch-user", user(`,"ifMatch":"W/\"0\"","operations":[{"op":"remove","path":"nickName"}]`), 412)
			if got := r.object("deactivate-user", user(``)); got["active"] != false || got["nickName"] != "Countess" {
				t.Errorf("deactivate: %v", got)
			}
			if got := r.object("activate-user", user(`,"excludedAttributes":"nickName"`)); got["active"] != true || got["nickName"] != nil {
				t.Errorf("activate: %v", got)
			}

			group := r.object("create-group", `{"displayName":"team","externalId":"x1","members":[{"value":"`+id+`"}]}`)
			in := func(rest string) string { return `{"groupId":"` + group["id"].(string) + `"` + rest + `}` }
			if got := r.object("add-members", in(`,"members":["`+bob["id"].(string)+`"]`)); got["added"] != 1.0 {
				t.Errorf("add: %v", got)
			}
			if got := r.object("get-group", in(``)); len(got["members"].([]any)) != 2 || got["externalId"] != "x1" {
				t.Errorf("get group: %v", got)
			}
			if got := r.object("remove-members", in(`,"members":"`+bob["id"].(string)+`"`)); got["removed"] != 1.0 {
				t.Errorf("remove: %v", got)
			}
			if got := r.object("update-group", in(`,"displayName":"team","members":[]`)); got["members"] != nil && len(got["members"].([]any)) != 0 {
				t.Errorf("update group: %v", got)
			}
			r.refused("update-group", in(`,"displayName":"team","members":[{"value":"nobody"}]`), 400)
			if got := r.object("list-groups", `{"filter":"displayName eq \"team\"","excludedAttributes":"members"}`); ids(got) != group["id"] {
				t.Errorf("list groups: %v", got)
			}
			r.run("delete-group", in(``))
			r.refused("get-group", in(``), 404)

			if got := r.object("list-schemas", `{}`); !strings.Contains(ids(got), scim.UserURN) {
				t.Errorf("schemas: %v", ids(got))
			}
			if got := r.object("get-schema", `{"schema":"`+scim.GroupURN+`"}`); got["id"] != scim.GroupURN {
				t.Errorf("schema: %v", got)
			}
			if got := r.object("list-resource-types", `{}`); !strings.Contains(ids(got), "Group") {
				t.Errorf("resource types: %v", got)
			}
			if got := r.object("get-resource-type", `{"resourceType":"User"}`); got["endpoint"] != "/Users" {
				t.Errorf("resource type: %v", got)
			}
			if got := r.object("get-service-provider-config", `{}`); got["patch"] == nil {
				t.Errorf("config: %v", got)
			}

			// A directory without Atlassian's schema has no accounts.
			links := r.object("get-scim-links-for-email", `{"email":"ada@corp.example"}`)["scimLinks"].([]any)
			of, unlink := `{"accountId":"712020:none"}`, `{"scimDirectoryId":"`+r.c.Directory+`","scimUserId":"`+id+`"}`
			if ruleSet == scim.Atlassian {
				link := links[0].(map[string]any)
				if len(links) != 1 || link["scimUserId"] != id {
					t.Fatalf("links of the address: %v", links)
				}
				of = `{"accountId":"` + link["atlassianAccountId"].(string) + `","orgId":"` + link["orgId"].(string) + `"}`
				if got := r.object("get-scim-links", of)["scimLinks"].([]any); len(got) != 1 {
					t.Errorf("links: %v", got)
				}
				r.run("unlink", unlink)
				if got := r.object("get-scim-links-for-email", `{"email":"ada@corp.example"}`)["scimLinks"].([]any); got[0].(map[string]any)["atlassianAccountId"] != nil {
					t.Errorf("links after unlink: %v", got)
				}
			} else if len(links) != 0 {
				t.Errorf("links of the address: %v", links)
			} else {
				r.run("unlink", unlink) // there is nothing to take
			}
			if got := r.object("get-scim-links", of)["scimLinks"].([]any); len(got) != 0 {
				t.Errorf("links of an account without records: %v", got)
			}
			r.refused("only-delete-user-in-db", of, 404)

			r.run("delete-user", user(``))
			r.refused("delete-user", user(``), 404)
			for _, a := range action.All() {
				if !r.ran[a.Name] {
					t.Errorf("%s was not run", a.Name)
				}
			}
		})
	}
}

// ids returns the ids, or names, of a list.
func ids(list map[string]any) string {
	var out []string
	for _, r := range list["Resources"].([]any) {
		one := r.(map[string]any)
		id, ok := one["id"].(string)
		if !ok {
			id, _ = one["name"].(string)
		}
		out = append(out, id)
	}
	return strings.Join(out, " ")
}

// recorded answers as Atlassian's service does, in shape; the values are made up.
type recorded struct {
	mu   sync.Mutex
	seen []string
}

const (
	recordedUser = `{"schemas":["urn:scim:schemas:extension:atlassian-external:1.0","urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],` +
		`"userName":"ada@corp.example","emails":[{"value":"ada@corp.example","type":"work","primary":true}],` +
		`"meta":{"resourceType":"User","location":"https://api.atlassian.com/scim/directory/d/Users/u1","lastModified":"2024-05-06T07:08:09.49073Z","created":"2024-05-06T07:08:09.49073Z"},` +
		`"groups":[],"urn:scim:schemas:extension:atlassian-external:1.0":{"atlassianAccountId":"712020:0a1b2c3d"},"id":"u1","active":true}`
	recordedGroup = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"id":"g1","displayName":"team-blue",` +
		`"members":[{"type":"User","value":"u1","display":"ada@corp.example","$ref":"https://api.atlassian.com/scim/directory/d/Users/u1"}],` +
		`"meta":{"resourceType":"Group","location":"https://api.atlassian.com/scim/directory/d/Groups/g1","lastModified":"2024-05-06T07:49:09.420654Z","created":"2024-05-06T07:41:35.49073Z"}}`
	recordedLinks = `{"scimLinks":[{"scimUserId":"u1","atlassianAccountId":null,"orgId":"o1","directoryId":"d"}]}`
)

func recordedList(resources string) string {
	return `{"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"totalResults":1,"startIndex":1,"itemsPerPage":1,"Resources":[` + resources + `]}`
}

func (r *recorded) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body) // what came is compared
	path := req.URL.RequestURI()
	r.mu.Lock()
	r.seen = append(r.seen, strings.TrimSpace(req.Method+" "+path+" "+string(body)))
	r.mu.Unlock()
	path = strings.TrimPrefix(req.URL.Path, "/scim/directory/d")
	status, answer := http.StatusOK, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"404","detail":"Resource not found."}`
	switch {
	case req.Method == http.MethodDelete || strings.HasSuffix(path, "/unlink"):
		status, answer = http.StatusNoContent, ""
	case strings.HasPrefix(path, "/admin/"):
		answer = recordedLinks
	case strings.HasPrefix(path, "/api/"):
		status, answer = http.StatusNotFound, `{"code":404,"message":"Not Found"}`
	case path == "/Users" && req.Method == http.MethodGet:
		answer = recordedList(recordedUser)
	case path == "/Groups" && req.Method == http.MethodGet:
		answer = recordedList(recordedGroup)
	case strings.HasPrefix(path, "/Users"):
		answer = recordedUser
	case strings.HasPrefix(path, "/Groups"):
		answer = recordedGroup
	case path == "/Schemas" || path == "/ResourceTypes":
		answer = recordedList(`{"id":"x","name":"User"}`)
	default:
		answer = `{"id":"x","name":"User"}`
	}
	if req.Method == http.MethodPost && status == http.StatusOK && !strings.HasPrefix(path, "/admin/") {
		status = http.StatusCreated
	}
	w.Header().Set("Content-Type", "application/scim+json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, answer) // the test sees what did not arrive
}

// TestActions_OnAtlassiansAnswers runs every action against recorded answers, and
// compares what is sent.
func TestActions_OnAtlassiansAnswers(t *testing.T) {
	t.Parallel()
	const (
		user  = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"ada@corp.example","emails":[{"value":"ada@corp.example","primary":true}]}`
		patch = `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[`
		group = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],`
		org   = "/admin/user-provisioning/v1/org/o1"
	)
	tests := []struct {
		name, input string
		want        string // the last request, below the directory
		body        string // of the output
	}{
		{"create-user", `{"userName":"ada@corp.example","emails":[{"value":"ada@corp.example"}]}`, "POST /Users " + user, recordedUser},
		{"get-user", `{"userId":"u1","excludedAttributes":["groups","meta"]}`, "GET /Users/u1?excludedAttributes=groups%2Cmeta", recordedUser},
		{"list-users", `{"filter":"userName eq \"a b\"","count":0,"startIndex":2}`, "GET /Users?count=0&filter=userName+eq+%22a+b%22&startIndex=2", recordedList(recordedUser)},
		{"list-users", `{}`, "GET /Users", recordedList(recordedUser)},
		{"list-users", `{"all":true,"attributes":"id"}`, "GET /Users?attributes=id&startIndex=1", recordedList(recordedUser)},
		{"update-user", `{"userId":"u1","userName":"ada@corp.example","emails":[{"value":"ada@corp.example"}]}`, "PUT /Users/u1 " + strings.Replace(user, `"value":"ada@corp.example","primary":true`, `"primary":true,"value":"ada@corp.example"`, 1), recordedUser},
		{"patch-user", `{"userId":"u1","operations":[{"op":"replace","path":"title","value":null}]}`, "PATCH /Users/u1 " + patch + `{"op":"replace","path":"title","value":null}]}`, recordedUser},
		{"deactivate-user", `{"userId":"u1"}`, "PATCH /Users/u1 " + patch + `{"op":"replace","path":"active","value":false}]}`, recordedUser},
		{"activate-user", `{"userId":"u1"}`, "PATCH /Users/u1 " + patch + `{"op":"replace","path":"active","value":true}]}`, recordedUser},
		{"delete-user", `{"userId":"u/1"}`, "DELETE /Users/u%2F1", ""},
		{"create-group", `{"displayName":"team-blue"}`, "POST /Groups " + group + `"displayName":"team-blue"}`, recordedGroup},
		{"get-group", `{"groupId":"g1"}`, "GET /Groups/g1", recordedGroup},
		{"list-groups", `{"filter":"displayName eq \"x\""}`, "GET /Groups?filter=displayName+eq+%22x%22", recordedList(recordedGroup)},
		{"update-group", `{"groupId":"g1","displayName":"team-blue","members":[],"externalId":null}`, "PUT /Groups/g1 " + group + `"displayName":"team-blue","externalId":null,"members":[]}`, recordedGroup},
		{"add-members", `{"groupId":"g1","members":["u1","u2"]}`, "PATCH /Groups/g1 " + patch + `{"op":"add","path":"members","value":[{"value":"u2"}]}]}`, `{"added":1,"id":"g1"}`},
		{"remove-members", `{"groupId":"g1","members":["u1"]}`, "PATCH /Groups/g1 " + patch + `{"op":"remove","path":"members[value eq \"u1\"]"}]}`, `{"id":"g1","removed":1}`},
		{"delete-group", `{"groupId":"g1"}`, "DELETE /Groups/g1", ""},
		{"list-schemas", `{}`, "GET /Schemas", recordedList(`{"id":"x","name":"User"}`)},
		{"get-schema", `{"schema":"urn:ietf:params:scim:schemas:core:2.0:User"}`, "GET /Schemas/urn:ietf:params:scim:schemas:core:2.0:User", `{"id":"x","name":"User"}`},
		{"list-resource-types", `{}`, "GET /ResourceTypes", recordedList(`{"id":"x","name":"User"}`)},
		{"get-resource-type", `{"resourceType":"User"}`, "GET /ResourceTypes/User", `{"id":"x","name":"User"}`},
		{"get-service-provider-config", `{}`, "GET /ServiceProviderConfig", `{"id":"x","name":"User"}`},
		{"get-scim-links", `{"orgId":"o1","accountId":"712020:x"}`, "GET " + org + "/user/712020:x/get-scim-links", recordedLinks},
		{"get-scim-links-for-email", `{"orgId":"o1","email":"ada@corp.example"}`, "POST " + org + `/get-scim-links-for-email {"email":"ada@corp.example"}`, recordedLinks},
		{"unlink", `{"orgId":"o1","scimDirectoryId":"d","scimUserId":"u1"}`, "PATCH " + org + "/scimDirectoryId/d/scimUserId/u1/unlink {}", ""},
		{"only-delete-user-in-db", `{"orgId":"o1","accountId":"712020:x"}`, "DELETE " + org + "/user/712020:x/onlyDeleteUserInDB", ""},
	}
	ran := make(map[string]bool)
	for _, tt := range tests {
		ran[tt.name] = true
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			service := new(recorded)
			srv := httptest.NewServer(service)
			t.Cleanup(srv.Close)
			r := &runner{t, &client.Client{BaseURL: srv.URL, Directory: "d", Retries: -1}, make(map[string]bool)}
			body, err := r.run(tt.name, tt.input).JSON()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(body), tt.body); diff != "" {
				t.Errorf("output (-got +want):\n%s", diff)
			}
			got := strings.Replace(service.seen[len(service.seen)-1], "/scim/directory/d", "", 1)
			if diff := cmp.Diff(got, tt.want); diff != "" {
				t.Errorf("request (-got +want):\n%s", diff)
			}
		})
	}
	for _, a := range action.All() {
		if !ran[a.Name] {
			t.Errorf("%s has no test", a.Name)
		}
	}
}

func TestActions_OrganizationMustBeTold(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(new(recorded))
	t.Cleanup(srv.Close)
	r := &runner{t, &client.Client{BaseURL: srv.URL, Retries: -1}, make(map[string]bool)}
	_, err := r.try("get-scim-links", `{"accountId":"712020:x"}`)
	var bad *action.InputError
	if !errors.As(err, &bad) || bad.Faults[0].Parameter != "orgId" {
		t.Errorf("got %v", err)
	}
}

func TestActions_ListOfAllPagesEndsWithTheError(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(srv.Close)
	r := &runner{t, &client.Client{BaseURL: srv.URL, Directory: "d", Retries: -1}, make(map[string]bool)}
	out := r.run("list-groups", `{"all":true}`)
	var se *scim.Error
	if body, err := out.JSON(); !errors.As(err, &se) || se.Status != 404 {
		t.Errorf("got %s, %v", body, err)
	}
}
