package server_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/server"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/internal/workflow"
	"github.com/roster-scim/roster/scim"
)

// loadOpenAPI reads and validates the document, examples too. Its objects are
// closed, so that an answer with a member that it does not name is found.
func loadOpenAPI(t *testing.T) *openapi3.T {
	t.Helper()
	data, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(data)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	no := false
	for _, s := range doc.Components.Schemas {
		if s.Value.Type.Is("object") && s.Value.AdditionalProperties.Has == nil {
			s.Value.AdditionalProperties.Has = &no
		}
	}
	return doc
}

func TestOpenAPI_HasEveryRoute(t *testing.T) {
	t.Parallel()
	var documented []string
	for path, item := range loadOpenAPI(t).Paths.Map() {
		for method := range item.Operations() {
			documented = append(documented, method+" "+path)
		}
	}
	w, err := worlds.sqlite()
	if err != nil {
		t.Fatal(err)
	}
	routes := append(server.New(server.Options{Directories: w.dirs}).Patterns(), "GET /healthz", "GET /readyz", "GET /metrics")
	slices.Sort(documented)
	slices.Sort(routes)
	if diff := cmp.Diff(documented, routes); diff != "" {
		t.Errorf("(-documented +served):\n%s", diff)
	}
}

// A checker holds answers to the document and remembers which were seen.
type checker struct {
	doc    *openapi3.T
	router routers.Router
	mu     sync.Mutex
	seen   map[string]bool // "operation status"
}

func newChecker(t *testing.T) *checker {
	t.Helper()
	c := &checker{doc: loadOpenAPI(t), seen: map[string]bool{}}
	var err error
	if c.router, err = legacy.NewRouter(c.doc); err != nil {
		t.Fatal(err)
	}
	return c
}

// check sends a request and holds it, where it succeeds, and its answer to the
// document.
func (c *checker) check(t *testing.T, d *dir, method, path string, body any, header ...string) *reply {
	t.Helper()
	r := d.do(method, path, body, header...)
	var text []byte
	switch b := body.(type) {
	case nil:
	case string:
		text = []byte(b)
	default:
		text = marshal(t, b)
	}
	req := httptest.NewRequest(method, d.path+path, bytes.NewReader(text))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+d.key)
	route, params, err := c.router.FindRoute(req)
	if err != nil {
		t.Fatalf("%s: %v", r.what, err)
	}
	in := &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route, Options: &openapi3filter.Options{
		IncludeResponseStatus: true, MultiError: true,
		AuthenticationFunc: func(context.Context, *openapi3filter.AuthenticationInput) error { return nil },
	}}
	if text == nil {
		req.Body = http.NoBody
		req.Header.Del("Content-Type")
	}
	if r.status < 300 {
		if err := openapi3filter.ValidateRequest(t.Context(), in); err != nil {
			t.Errorf("%s was answered %d, but the document forbids it: %v", r.what, r.status, err)
		}
	}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: r.status, Header: r.header, Options: in.Options}
	out.SetBodyBytes(r.body)
	if err := openapi3filter.ValidateResponse(t.Context(), out); err != nil {
		t.Errorf("%s: the answer %d is not as documented: %v\n%s", r.what, r.status, err, r.body)
	}
	if r.status == 204 && len(r.body) > 0 {
		t.Errorf("%s: a 204 with a body", r.what)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[route.Operation.OperationID+" "+strconv.Itoa(r.status)] = true
	return r
}

// Every operation is asked for every status that the document says it answers.
func TestOpenAPI_RealAnswers(t *testing.T) {
	w := onSQLite(t).withWorkflows(t)
	c := newChecker(t)
	var b *broken
	bw := newWorld(t, func(s store.Store) store.Store {
		b = &broken{Store: s}
		return b
	}, server.Options{})
	slow := w.serveToo(t, server.Options{Rate: 0.001, Burst: 1})

	op := &dir{t: t, w: w, key: operatorKey}
	d := w.directory(t, scim.Atlassian)
	api := "/api/v1/directories/" + d.id
	mine := d.at("")
	reader := mine.as(d.newKey(roster.ScopeUsersRead))
	status := func(want int, r *reply) *reply {
		t.Helper()
		return r.want(want)
	}
	keyBody := object{"name": "k", "scopes": []string{"users:read"}, "expiresAt": "2099-01-05T09:00:00Z"}

	// What succeeds.
	for _, path := range []string{"/api/v1/openapi.json", "/healthz", "/readyz", "/metrics"} {
		status(200, c.check(t, op.as(""), "GET", path, nil))
	}
	made := status(201, c.check(t, op, "POST", "/api/v1/directories", object{"name": "x", "ruleSet": "standard", "rules": object{"maxPage": 5, "tolerant": true}}))
	status(201, c.check(t, op, "POST", "/api/v1/directories", object{"name": "y"}))
	status(200, c.check(t, op, "GET", "/api/v1/directories", nil))
	status(200, c.check(t, mine, "GET", "/api/v1/directories", nil))
	status(200, c.check(t, mine, "GET", api, nil))
	there := "/api/v1/directories/" + made.str("id")
	status(200, c.check(t, op, "PATCH", there, object{"name": "z", "default": false, "rules": object{"maxPage": nil, "uniqueEmails": true}, "schemas": nil}, "If-Match", `W/"1"`))
	status(412, c.check(t, op, "PATCH", there, object{"name": "x"}, "If-Match", `W/"1"`))
	status(412, c.check(t, op, "PUT", there+"/schemas", object{}, "If-Match", `W/"1"`))
	status(200, c.check(t, op, "PUT", there+"/schemas", string(testResources(t))))
	status(200, c.check(t, op, "GET", there+"/schemas", nil))
	status(409, c.check(t, op, "PATCH", there, object{"default": true}))
	op.at("/scim/directory/"+made.str("id")).do("POST", "/TestResources", object{
		"identifier": "x", "urn:ietf:params:scim:schemas:extension:test:2.0:TestResource": object{"extRequired": "x"},
	}).want(201)
	status(200, c.check(t, op, "PATCH", there+"?plan=true", object{"schemas": object{}, "ruleSet": "strict"}))
	status(200, c.check(t, op, "PUT", there+"/schemas?plan=true", object{}))
	status(409, c.check(t, op, "PUT", there+"/schemas", object{}))
	status(204, c.check(t, op, "DELETE", there, nil))
	for keys, at := range map[string]*dir{"/api/v1/keys": op, api + "/keys": mine} {
		k := status(201, c.check(t, at, "POST", keys, keyBody))
		status(200, c.check(t, at, "GET", keys, nil))
		next := status(201, c.check(t, at, "POST", keys+"/"+k.str("id")+"/rotate", object{"overlap": "1h"}))
		last := status(201, c.check(t, at, "POST", keys+"/"+next.str("id")+"/rotate", nil))
		status(204, c.check(t, at, "DELETE", keys+"/"+last.str("id"), nil))
		status(409, c.check(t, at, "POST", keys+"/"+last.str("id")+"/rotate", nil))
		status(200, c.check(t, at, "GET", keys, nil)) // with revoked ones
	}
	id := d.create(user("ada", "title", "Engineer", "shoeSize", 42))
	d.put(id, user("ada", "title", "CTO", "active", "True")).want(200)
	list := d.api("GET", "/users/"+id+"/history", nil).want(200).obj()["events"].([]any)
	undo := fmt.Sprintf("%s/events/%.0f/undo", api, list[0].(object)["seq"])
	status(200, c.check(t, mine, "POST", undo+"?plan=true&force=false", nil))
	status(412, c.check(t, mine, "POST", undo, nil, "If-Match", `W/"1"`))
	status(200, c.check(t, mine, "POST", undo, nil))
	status(200, c.check(t, mine, "POST", undo, nil)) // again, which is nothing
	status(409, c.check(t, mine, "DELETE", api+"/trash/"+id, nil))
	d.do("DELETE", "/Users/"+id, nil).want(204)
	holder := d.create(user("ada"))
	status(200, c.check(t, mine, "GET", api+"/trash?limit=5&after=0", nil))
	status(409, c.check(t, mine, "POST", api+"/trash/"+id+"/restore", nil))
	d.do("DELETE", "/Users/"+holder, nil).want(204)
	status(409, c.check(t, mine, "POST", undo, nil)) // it is deleted
	status(200, c.check(t, mine, "POST", api+"/trash/"+id+"/restore", nil))
	status(200, c.check(t, mine, "DELETE", api+"/trash/"+holder, nil))
	status(200, c.check(t, mine, "GET", api+"/events?after=0&limit=100", nil))
	status(200, c.check(t, mine, "GET", api+"/events?after=0&limit=100&wait=60", nil))
	status(200, c.check(t, mine, "GET", api+"/events?last=2", nil))
	status(200, c.check(t, mine, "GET", api+"/resources/"+id+"/history", nil))
	status(200, c.check(t, mine, "GET", api+"/users/"+id+"/history?before=9&limit=2", nil))
	status(404, c.check(t, mine, "GET", api+"/users/"+holder+"/history", nil)) // purged
	status(200, c.check(t, mine, "GET", api+"/requests", nil))
	org := status(200, c.check(t, op, "GET", "/api/v1/org", nil)).str("id")
	op.do("PATCH", "/admin/user-provisioning/v1/org/"+org+"/scimDirectoryId/"+d.id+"/scimUserId/"+id+"/unlink", nil).want(204)
	status(200, c.check(t, mine, "POST", api+"/users/"+id+"/link", nil))
	standard := w.directory(t, scim.Standard)
	status(409, c.check(t, standard.at(""), "POST", "/api/v1/directories/"+standard.id+"/users/"+standard.create(user("ada"))+"/link", nil))
	status(201, c.check(t, mine, "POST", api+"/keys", object{"name": "k", "scopes": []string{"me"}, "user": id}))
	status(200, c.check(t, mine, "GET", api+"/keys", nil)) // with one that is bound
	status(200, c.check(t, op, "GET", "/api/v1/key", nil))
	if got := status(200, c.check(t, mine, "GET", "/api/v1/key", nil)).str("directory"); got != d.id {
		t.Errorf("own key: got directory %q, want %q", got, d.id)
	}

	// Connections.
	in := "?directory=" + d.id
	there = "https://service.example"
	conn := object{"name": "cloud", "url": there, "directory": "x", "ruleSet": "atlassian", "key": "k"}
	status(201, c.check(t, op, "POST", "/api/v1/connections"+in, conn))
	status(409, c.check(t, mine, "POST", "/api/v1/connections", conn))
	status(200, c.check(t, mine, "GET", "/api/v1/connections", nil))
	status(200, c.check(t, mine, "GET", "/api/v1/connections/cloud", nil))
	status(200, c.check(t, mine, "PUT", "/api/v1/connections/cloud", object{"url": there, "directory": "x"}, "If-Match", `W/"1"`))
	status(412, c.check(t, mine, "PUT", "/api/v1/connections/cloud", object{"url": there}, "If-Match", `W/"1"`))
	status(412, c.check(t, mine, "DELETE", "/api/v1/connections/cloud", nil, "If-Match", `W/"1"`))
	status(204, c.check(t, mine, "DELETE", "/api/v1/connections/cloud", nil))
	conn["name"], conn["url"], conn["directory"], conn["key"] = connectionInUse, w.url, d.id, d.key
	status(201, c.check(t, mine, "POST", "/api/v1/connections", conn))
	status(409, c.check(t, mine, "DELETE", "/api/v1/connections/"+connectionInUse, nil))
	if r := status(200, c.check(t, mine, "POST", "/api/v1/connections/"+connectionInUse+"/test", nil)); r.obj()["works"] != true {
		t.Errorf("a connection to this server: %s", r.body)
	}
	conn["name"], conn["key"] = "wrong", "rk_wrong"
	status(201, c.check(t, mine, "POST", "/api/v1/connections", conn))
	if r := status(200, c.check(t, mine, "POST", "/api/v1/connections/wrong/test", nil)); r.str("fault") != "wrong key: the service does not know it, or it has ended" {
		t.Errorf("a connection with a wrong key: %s", r.body)
	}
	keyless := mine.on(w.serveToo(t, server.Options{}))
	for method, path := range map[string][]string{"GET": {"", "/x"}, "POST": {"", "/x/test"}, "PUT": {"/x"}, "DELETE": {"/x"}} {
		for _, p := range path {
			var body any
			if method == "PUT" || method == "POST" && p == "" {
				body = object{"url": there}
			}
			status(501, c.check(t, keyless, method, "/api/v1/connections"+p, body))
		}
	}

	// Workflows.
	workflows := "/api/v1/workflows"
	source := object{"source": "name: greet\ninputs:\n  fail: {type: boolean}\n  secret: {type: string, secret: true}\nsteps:\n  - {id: end, stop: {}}\n"}
	status(201, c.check(t, op, "PUT", workflows+"/greet"+in, source))
	status(200, c.check(t, mine, "PUT", workflows+"/greet", source, "If-Match", `W/"1"`))
	status(412, c.check(t, mine, "PUT", workflows+"/greet", source, "If-Match", `W/"7"`))
	status(200, c.check(t, mine, "GET", workflows, nil))
	status(200, c.check(t, mine, "GET", workflows+"/greet", nil))
	status(200, c.check(t, mine, "PATCH", workflows+"/greet", object{"enabled": false}))
	status(412, c.check(t, mine, "PATCH", workflows+"/greet", object{"enabled": true}, "If-Match", `W/"1"`))
	runs := workflows + "/greet/runs"
	run := status(202, c.check(t, mine, "POST", runs, nil, "Idempotency-Key", "k")).str("id")
	status(422, c.check(t, mine, "POST", runs, object{"inputs": object{"fail": true}}, "Idempotency-Key", "k"))
	status(200, c.check(t, mine, "POST", runs+"?wait=60", object{"inputs": object{"secret": "canary"}}))
	failed := status(200, c.check(t, mine, "POST", runs+"?wait=60", object{"inputs": object{"fail": true}})).str("id")
	status(200, c.check(t, mine, "GET", "/api/v1/runs"+in+"&workflow=greet&limit=2", nil))
	status(200, c.check(t, mine, "GET", "/api/v1/runs/"+failed, nil))
	status(202, c.check(t, mine, "POST", "/api/v1/runs/"+failed+"/retry", nil))
	for mine.do("GET", "/api/v1/runs/"+run+"?wait=60", nil).str("status") != "succeeded" { //nolint:revive // it waits there
	}
	status(409, c.check(t, mine, "POST", "/api/v1/runs/"+run+"/retry", nil))
	status(409, c.check(t, mine, "POST", "/api/v1/runs/"+run+"/cancel", nil))
	idle := mine.on(w.withRuns(t, nil))
	waiting := status(202, c.check(t, idle, "POST", runs, nil)).str("id")
	status(200, c.check(t, idle, "POST", "/api/v1/runs/"+waiting+"/cancel", nil))
	source["source"] = "name: full\nsteps:\n  - {id: end, stop: {}}\n"
	for i := range workflow.MaxWorkflows - 1 {
		name := fmt.Sprintf("w%d", i)
		mine.do("PUT", workflows+"/"+name, object{"source": "name: " + name + "\nsteps:\n  - {id: end, stop: {}}\n"}).want(201)
	}
	status(409, c.check(t, mine, "PUT", workflows+"/full", source))
	status(412, c.check(t, mine, "DELETE", workflows+"/greet", nil, "If-Match", `W/"1"`))
	status(204, c.check(t, mine, "DELETE", workflows+"/greet", nil))
	for method, paths := range map[string][]string{
		"GET": {workflows, workflows + "/x", "/api/v1/runs", "/api/v1/runs/x"}, "PUT": {workflows + "/x"}, "PATCH": {workflows + "/x"},
		"DELETE": {workflows + "/x"}, "POST": {workflows + "/x/runs", "/api/v1/runs/x/cancel", "/api/v1/runs/x/retry"},
	} {
		for _, p := range paths {
			status(501, c.check(t, keyless, method, p, nil))
		}
	}

	s := server.New(server.Options{Directories: w.dirs, Log: slog.New(slog.DiscardHandler)})
	s.Drain()
	srv := newListener(s.Handler())
	t.Cleanup(srv.Close)
	status(503, c.check(t, op.on(&world{url: srv.URL}), "GET", "/readyz", nil))

	// What each operation refuses.
	all := d.api("GET", "/events?last=1", nil).want(200).obj()["events"].([]any)
	lastSeq := fmt.Sprintf("%.0f", all[0].(object)["seq"])
	for path, item := range c.doc.Paths.Map() {
		for method, o := range item.Operations() {
			if o.Security != nil && len(*o.Security) == 0 {
				continue // open to all
			}
			real := strings.NewReplacer("{directory}", d.id, "{key}", "nope", "{user}", "nope", "{resource}", "nope", "{event}", lastSeq, "{connection}", "nope", "{name}", "nope", "{run}", "nope").Replace(path)
			at := mine
			switch {
			case slices.ContainsFunc(item.Parameters, func(p *openapi3.ParameterRef) bool { return p.Value.In == "query" && p.Value.Name == "directory" }):
				real += "?directory=" + d.id
			case o.OperationID == "deleteDirectory":
				at, real = op, "/api/v1/directories/nope" // this one is still needed
			case !strings.Contains(path, "{directory}"):
				at = op
			}
			for status := range o.Responses.Map() {
				switch status {
				case "400":
					if o.RequestBody != nil {
						c.check(t, at, method, real, `{"name":7,"overlap":7}`).want(400)
					} else {
						sign := "?"
						if strings.Contains(real, "?") {
							sign = "&"
						}
						c.check(t, at, method, real+sign+"limit=x&plan=x&wait=x", nil).want(400)
					}
				case "401":
					c.check(t, at.as("wrong"), method, real, nil).want(401)
				case "403":
					c.check(t, reader, method, real, nil)
					_, key, err := w.dirs.CreateKey(t.Context(), nil, newKeyOf(roster.ScopeUsersRead))
					if err != nil {
						t.Fatal(err)
					}
					c.check(t, at.as(key), method, real, nil).want(403)
				case "404":
					c.check(t, at, method, strings.Replace(real, d.id, "nope", 1), bodyFor(o)).want(404)
				case "413":
					c.check(t, at, method, real, strings.Repeat(" ", server.DefaultMaxBody+1)).want(413)
				case "415":
					c.check(t, at, method, real, "x", "Content-Type", "text/plain").want(415)
				case "429":
					limited := at.on(slow).as(freshKey(t, w, at))
					c.check(t, limited, method, real, nil)
					c.check(t, limited, method, real, nil).want(429)
				case "500":
					b.now.Store(true)
					c.check(t, (&dir{t: t, w: bw, key: "never seen"}), method, real, nil).want(500)
					b.now.Store(false)
				}
			}
		}
	}
	checkBodyTimeout(t, c, w, d, "POST", api+"/keys")
	for path, item := range c.doc.Paths.Map() {
		for method, o := range item.Operations() {
			for status := range o.Responses.Map() {
				// One of them stands for all bodies that do not arrive.
				if !c.seen[o.OperationID+" "+status] && status != "408" {
					t.Errorf("%s %s is documented to answer %s, which was not seen", method, path, status)
				}
			}
		}
	}
	if !c.seen["createDirectoryKey 408"] {
		t.Error("a 408 was not seen")
	}
}

func bodyFor(o *openapi3.Operation) any {
	if o.RequestBody == nil {
		return nil
	}
	if strings.HasPrefix(o.OperationID, "rotate") {
		return object{}
	}
	return object{"name": "k", "scopes": []string{"users:read"}}
}

// checkBodyTimeout sends half a body to a server that does not wait long.
func checkBodyTimeout(t *testing.T, c *checker, w *world, d *dir, method, path string) {
	t.Helper()
	srv := httptest.NewUnstartedServer(server.New(server.Options{Directories: w.dirs, Log: slog.New(slog.DiscardHandler)}).Handler())
	srv.Config.ReadHeaderTimeout, srv.Config.ReadTimeout = time.Minute, time.Second
	srv.Start()
	defer srv.Close()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", method, path, d.key)
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(answer, []byte("HTTP/1.1 408 ")) || !bytes.Contains(answer, []byte(`"status":"408"`)) {
		t.Errorf("half a body: %s", answer)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen["createDirectoryKey 408"] = true
}
