package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/server"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/scim"
)

func TestRoutes_TrailingSlashAndAliases(t *testing.T) {
	w := onSQLite(t)
	d := w.directory(t, scim.Standard)
	id := d.create(user("ada"))
	want := string(d.get("/Users/" + id).want(200).body)
	for _, path := range []string{d.path + "/Users/" + id + "/", d.path + "/scim/Users/" + id, d.path + "/scim/Users/" + id + "/"} {
		if diff := cmp.Diff(string(d.at(path).get("").want(200).body), want); diff != "" {
			t.Errorf("%s:\n%s", path, diff)
		}
	}
	for _, path := range []string{"/Users/", "/Schemas/", "/ResourceTypes/User/", "/ServiceProviderConfig/"} {
		d.get(path).want(200)
	}
	d.do("POST", "/Users/", user("bob")).want(201)
	d.do("PUT", "/Users/"+id+"/", user("ada", "title", "x")).want(200)
	d.do("DELETE", "/Users/"+id+"/", nil).want(204)
}

func TestRoutes_DefaultDirectory(t *testing.T) {
	w := onSQLite(t)
	list, err := w.dirs.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d := &dir{t: t, w: w, key: operatorKey, path: "/scim/v2"}
	id := d.create(user("of-the-default"))
	loc := publicURL + "/scim/directory/" + list[0].ID + "/Users/" + id
	r := d.get("/Users/" + id).want(200)
	if got := r.obj()["meta"].(object)["location"]; got != loc {
		t.Errorf("location %v, want %s", got, loc)
	}
	d.put(id, user("of-the-default", "title", "x")).want(200).headerIs("Location", loc)
	d.get("/ServiceProviderConfig").want(200)
	d.get("").has("totalResults", 1.0)
	d.at("/scim/v2x").get("/Users").refused(404, "")
	foreign := d.as(w.directory(t, scim.Standard).key).get("/Users").refused(404, "")
	if !strings.Contains(string(foreign.body), "use /scim/directory/{directoryId}/") {
		t.Errorf("got %s", foreign.body)
	}
	d.do("DELETE", "/Users/"+id, nil).want(204)
}

func TestRoutes_Unknown(t *testing.T) {
	w := onSQLite(t)
	d := w.directory(t, scim.Standard)
	id := d.create(user("ada"))
	root := d.at("")
	for _, path := range []string{
		"/", "/nope", "/scim", "/scim/", "/scim/nope/Users", "/scim/directory", "/scim/directory/", "/scim/directory//Users",
		"/api", "/api/v1", "/api/v1/", "/api/v1/nope", "/api/v1//directories", "/api/v1/directories/../keys", "/api/v1/directories/",
		d.path + "/nope", d.path + "/users", d.path + "//Users", d.path + "/Users/" + id + "/name", d.path + "/Users//" + id,
		d.path + "/Schemas/nope", d.path + "/Schemas/a/b", d.path + "/ResourceTypes/nope", d.path + "/ServiceProviderConfig/x",
		d.path + "/scim/scim/Users", "/healthz/", "/metricsx",
	} {
		root.get(path).refused(404, "")
	}
}

func TestRoutes_MethodNotAllowed(t *testing.T) {
	w := onSQLite(t)
	d := w.directory(t, scim.Standard)
	api := "/api/v1/directories/" + d.id
	for _, tt := range []struct{ method, path, allow string }{
		{"DELETE", d.path + "/Users", "GET, POST"},
		{"PUT", d.path + "/Users", "GET, POST"},
		{"PATCH", d.path + "/Users", "GET, POST"},
		{"OPTIONS", d.path + "/Users", "GET, POST"},
		{"POST", d.path + "/Users/x", "GET, PUT, PATCH, DELETE"},
		{"TRACE", d.path + "/Users/x", "GET, PUT, PATCH, DELETE"},
		{"GET", d.path + "/Bulk", "POST"},
		{"GET", d.path + "/.search", "POST"},
		{"GET", d.path + "/Users/.search", "POST"},
		{"POST", d.path, "GET"},
		{"POST", d.path + "/Schemas", "GET"},
		{"PUT", d.path + "/ResourceTypes/User", "GET"},
		{"DELETE", d.path + "/ServiceProviderConfig", "GET"},
		{"PUT", "/api/v1/directories", "GET, POST"},
		{"PUT", api, "GET, PATCH, DELETE"},
		{"PATCH", api + "/schemas", "GET, PUT"},
		{"DELETE", api + "/keys", "GET, POST"},
		{"GET", api + "/keys/x/rotate", "POST"},
		{"POST", api + "/events", "GET"},
		{"GET", api + "/trash/x", "DELETE"},
		{"POST", "/healthz", "GET"},
		{"POST", "/readyz", "GET"},
		{"DELETE", "/metrics", "GET"},
	} {
		d.at("").do(tt.method, tt.path, nil).refused(405, "", tt.allow).headerIs("Allow", tt.allow)
	}
}

func TestHead(t *testing.T) {
	w := onSQLite(t)
	d := w.directory(t, scim.Standard)
	id := d.create(user("ada"))
	for _, path := range []string{d.path + "/Users/" + id, d.path + "/Users", d.path + "/Schemas", "/api/v1/directories/" + d.id, "/healthz", "/readyz"} {
		get, head := d.at("").get(path).want(200), d.at("").do("HEAD", path, nil).want(200)
		if len(head.body) > 0 {
			t.Errorf("%s: a HEAD with a body", path)
		}
		for _, h := range []string{"Content-Type", "Content-Length", "Etag"} {
			head.headerIs(h, get.header.Get(h))
		}
	}
}

func TestDiscovery(t *testing.T) {
	w := onSQLite(t)
	for rs, urns := range map[string][]any{
		scim.Atlassian: {userURN, enterpriseURN, atlassianURN, scim.GroupURN},
		scim.Standard:  {userURN, enterpriseURN, scim.GroupURN},
	} {
		d := w.directory(t, rs)
		base := publicURL + d.path
		spc := d.as(d.newKey(roster.ScopeEventsRead)).get("/ServiceProviderConfig").want(200) // needs a key, and no scope
		o := spc.obj()
		for name, want := range map[string]bool{"patch": true, "bulk": true, "filter": true, "changePassword": false, "sort": true, "etag": true} {
			if got := o[name].(object)["supported"]; got != want {
				t.Errorf("%s: %s.supported is %v", rs, name, got)
			}
		}
		page := map[string]float64{scim.Atlassian: 100, scim.Standard: 1000}[rs]
		spc.has("pagination", object{"cursor": true, "index": true, "defaultPaginationMethod": "index", "defaultPageSize": 100.0, "maxPageSize": page, "cursorTimeout": 3600.0})
		spc.has("filter", object{"supported": true, "maxResults": page})
		spc.has("schemas", []any{scim.ServiceProviderConfigURN})
		spc.has("meta", object{"resourceType": "ServiceProviderConfig", "location": base + "/ServiceProviderConfig"})
		if scheme := o["authenticationSchemes"].([]any)[0].(object); scheme["type"] != "oauthbearertoken" || scheme["primary"] != true {
			t.Errorf("authenticationSchemes: %v", scheme)
		}
		var got []any
		for _, s := range d.get("/Schemas").has("totalResults", float64(len(urns))).list() {
			got = append(got, s["id"])
			one := d.get("/Schemas/" + s["id"].(string)).want(200).obj()
			if diff := cmp.Diff(one, s); diff != "" {
				t.Errorf("%s alone is not what the list has:\n%s", s["id"], diff)
			}
			if diff := cmp.Diff(s["meta"], any(object{"resourceType": "Schema", "location": base + "/Schemas/" + s["id"].(string)})); diff != "" {
				t.Error(diff)
			}
		}
		less := func(a, b any) bool { return a.(string) < b.(string) }
		if diff := cmp.Diff(sorted(got, less), sorted(urns, less)); diff != "" {
			t.Errorf("%s: schemas (-got +want):\n%s", rs, diff)
		}
		for i, rt := range d.get("/ResourceTypes").list() {
			name := []string{"User", "Group"}[i]
			if rt["name"] != name || rt["endpoint"] != "/"+name+"s" {
				t.Errorf("resource type %d: %v", i, rt)
			}
			if diff := cmp.Diff(d.get("/ResourceTypes/"+name).want(200).obj(), rt); diff != "" {
				t.Error(diff)
			}
		}
	}
}

func sorted(list []any, less func(a, b any) bool) []any {
	out := append([]any(nil), list...)
	for i := range out {
		for j := i; j > 0 && less(out[j], out[j-1]); j-- {
			out[j], out[j-1] = out[j-1], out[j]
		}
	}
	return out
}

// The names of attributes that were not taken are the client's: a header holds
// them all the same, and no more than a header.
func TestNotesInHeaders(t *testing.T) {
	w := onSQLite(t)
	d := w.directory(t, scim.Standard)
	id := d.create(user("ada"))
	hostile := map[string]string{
		"shoeSize": "shoeSize", "a,b": "a%2Cb", "a\r\nX-Evil: 1": "a%0D%0AX-Evil:%201", "größe": "gr%C3%B6%C3%9Fe", "50%": "50%25",
		`q"uote`: `q"uote`, "\u0000": "%00", "\u2028": "%E2%80%A8", "": "",
	}
	for name, want := range hostile {
		r := d.put(id, user("ada", name, 1)).want(200).headerIs("Roster-Ignored", want)
		if r.header.Get("X-Evil") != "" {
			t.Error("a header was smuggled in")
		}
	}
	many := user("ada")
	for i := range 500 {
		many[strings.Repeat("ä", 300)+string(rune('a'+i%26))+strings.Repeat("x", i)] = i
	}
	if got := d.put(id, many).want(200).header.Get("Roster-Ignored"); len(got) == 0 || len(got) > 8<<10 {
		t.Errorf("Roster-Ignored has %d bytes", len(got))
	}
	r := d.put(id, user("ada", "active", "False", "name.givenName", "Ada", enterpriseURN+":department", "R&D")).want(200)
	r.has("active", false).has("name", object{"givenName": "Ada"}).has(enterpriseURN, object{"department": "R&D"})
	for _, want := range []string{"active", "name.givenName", enterpriseURN + ":department"} {
		if got := r.header.Get("Roster-Coerced"); !strings.Contains(got, want) {
			t.Errorf("Roster-Coerced %q lacks %s", got, want)
		}
	}
	if got := d.put(id, user("ada")).want(200).header; got.Get("Roster-Ignored") != "" || got.Get("Roster-Coerced") != "" {
		t.Errorf("notes of nothing: %v", got)
	}
	s := w.directory(t, scim.Strict)
	s.put(s.create(user("ada")), user("ada", "active", "False")).refused(400, scim.InvalidValue, "active")
}

func TestForwardedHeaders(t *testing.T) {
	w := onSQLite(t)
	d := w.directory(t, scim.Standard)
	id := d.create(user("ada"))
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	for name, tt := range map[string]struct {
		o           server.Options
		proto, host string
		want        string
	}{
		"trusted":              {server.Options{TrustedProxies: loopback, FollowProxy: true}, "https", "id.example:8443", "https://id.example:8443"},
		"a public URL is set":  {server.Options{TrustedProxies: loopback}, "https", "id.example", publicURL},
		"nobody is trusted":    {server.Options{FollowProxy: true}, "https", "evil.example", publicURL},
		"somebody else is":     {server.Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, FollowProxy: true}, "https", "evil.example", publicURL},
		"a proto that is none": {server.Options{TrustedProxies: loopback, FollowProxy: true}, "javascript", "id.example", publicURL},
		"no host":              {server.Options{TrustedProxies: loopback, FollowProxy: true}, "https", "", publicURL},
		"a host with a path":   {server.Options{TrustedProxies: loopback, FollowProxy: true}, "https", "id.example/x", publicURL},
		"a host with a user":   {server.Options{TrustedProxies: loopback, FollowProxy: true}, "https", "u@id.example", publicURL},
		"a host with a space":  {server.Options{TrustedProxies: loopback, FollowProxy: true}, "https", "id example", publicURL},
		"a host with a query":  {server.Options{TrustedProxies: loopback, FollowProxy: true}, "https", "id.example?x", publicURL},
	} {
		t.Run(name, func(t *testing.T) {
			d := *d.on(w.serveToo(t, tt.o))
			d.t = t
			r := d.get("/Users/"+id, "X-Forwarded-Proto", tt.proto, "X-Forwarded-Host", tt.host, "Forwarded", "host=evil.example", "Host", "evil.example")
			if got, want := r.want(200).obj()["meta"].(object)["location"], tt.want+d.path+"/Users/"+id; got != want {
				t.Errorf("location %v, want %v", got, want)
			}
		})
	}
}

// The client in the log is the last hop that no trusted proxy is.
func TestForwardedFor(t *testing.T) {
	w := onSQLite(t)
	d := w.directory(t, scim.Standard)
	for _, tt := range []struct {
		trusted, header, want string
	}{
		{"127.0.0.0/8", "203.0.113.9", "client=203.0.113.9"},
		{"127.0.0.0/8", "10.9.9.9, 203.0.113.9, 127.0.0.2", "client=203.0.113.9"},
		{"127.0.0.0/8", "evil\x7f, 127.0.0.2", "client=127.0.0.1:"},
		{"127.0.0.0/8", "", "client=127.0.0.1:"},
		{"10.0.0.0/8", "203.0.113.9", "client=127.0.0.1:"},
	} {
		var out lockedBuffer
		log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
		other := w.serveToo(t, server.Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix(tt.trusted)}, Log: log})
		d.on(other).get("/Users", "X-Forwarded-For", strings.ReplaceAll(tt.header, "\x7f", "")).want(200)
		out.wait(t, tt.want)
	}
}

// panicking is a store that panics when it is asked to.
type panicking struct {
	store.Store
	now atomic.Bool
}

func (p *panicking) View(ctx context.Context, fn func(store.Reader) error) error {
	if p.now.Load() {
		panic("canary-of-the-panic")
	}
	return p.Store.View(ctx, fn)
}

func TestPanicIsAnswered(t *testing.T) {
	t.Parallel()
	var p *panicking
	var out lockedBuffer
	w := newWorld(t, func(s store.Store) store.Store {
		p = &panicking{Store: s}
		return p
	}, server.Options{Log: slog.New(slog.NewTextHandler(&out, nil))})
	d := w.directory(t, scim.Standard)
	id := d.create(user("ada"))
	p.now.Store(true)
	for _, r := range []*reply{d.get("/Users/" + id), d.api("GET", "/keys", nil)} {
		r.refused(500, "", r.header.Get("Roster-Request-Id"))
		if bytes.Contains(r.body, []byte("canary")) {
			t.Errorf("the cause was sent: %s", r.body)
		}
		out.wait(t, r.header.Get("Roster-Request-Id"))
	}
	out.wait(t, "canary-of-the-panic")
	p.now.Store(false)
	d.get("/Users/" + id).want(200)
}

// broken is a store whose reads fail.
type broken struct {
	store.Store
	now atomic.Bool
}

func (b *broken) View(ctx context.Context, fn func(store.Reader) error) error {
	if b.now.Load() {
		return errBroken
	}
	return b.Store.View(ctx, fn)
}

func (b *broken) Ping(ctx context.Context) error {
	if b.now.Load() {
		return errBroken
	}
	return b.Store.Ping(ctx)
}

type brokenError struct{}

func (brokenError) Error() string { return "disk of the canary is full" }

var errBroken error = brokenError{}

func TestFailureIsBare(t *testing.T) {
	t.Parallel()
	var b *broken
	var out lockedBuffer
	w := newWorld(t, func(s store.Store) store.Store {
		b = &broken{Store: s}
		return b
	}, server.Options{Log: slog.New(slog.NewTextHandler(&out, nil))})
	d := w.directory(t, scim.Atlassian)
	id := d.create(user("ada"))
	d.at("").get("/readyz").want(200)
	b.now.Store(true)
	r := d.get("/Users/"+id).refused(500, "")
	if bytes.Contains(r.body, []byte("canary")) {
		t.Errorf("the cause was sent: %s", r.body)
	}
	out.wait(t, "disk of the canary is full")
	d.at("").get("/readyz").want(503)
	d.at("").get("/healthz").want(200)
}

func TestReadyz_Draining(t *testing.T) {
	w := onSQLite(t)
	s := server.New(server.Options{Directories: w.dirs, PublicURL: publicURL, Log: slog.New(slog.DiscardHandler), HideMetrics: true})
	main, admin := newListener(s.Handler()), newListener(s.AdminHandler())
	t.Cleanup(main.Close)
	t.Cleanup(admin.Close)
	d := &dir{t: t, w: &world{url: main.URL}, key: operatorKey}
	a := d.on(&world{url: admin.URL})
	for _, at := range []*dir{d, a} {
		at.get("/readyz").want(200)
	}
	a.get("/metrics").want(200)
	d.get("/metrics").refused(404, "")
	s.Drain()
	for _, at := range []*dir{d, a} {
		if got := string(at.get("/readyz").want(503).body); got != "draining\n" {
			t.Errorf("/readyz says %q", got)
		}
		at.get("/healthz").want(200)
	}
	d.get("/scim/v2/Users").want(200) // what is still sent is still answered
	a.get("/scim/v2/Users").want(404)
	if body := string(a.get("/metrics").body); !strings.Contains(body, `roster_http_requests_total{method="GET",route="/readyz",status="503"} 1`) {
		t.Errorf("no 503 is counted:\n%s", body)
	}
}

// Labels are made of routes, never of what a client wrote.
func TestMetrics_Labels(t *testing.T) {
	w := onSQLite(t)
	other := w.serveToo(t, server.Options{Version: "v1.2.3"})
	d := w.directory(t, scim.Standard).on(other)
	id := d.create(user("ada"))
	d.get("/Users/" + id + "?attributes=canary").want(200)
	d.do("CANARY", "/Users", nil).want(405)
	d.get("/canary").want(404)
	d.at("/canary").get("").want(404)
	text := string(d.at("").get("/metrics").want(200).body)
	for _, want := range []string{
		`roster_build_info{version="v1.2.3"} 1`,
		`roster_http_requests_total{method="GET",route="scim /Users/{id}",status="200"} 1`,
		`roster_http_requests_total{method="other",route="scim /Users",status="405"} 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
	for _, not := range []string{"canary", "CANARY", id, d.id} {
		if strings.Contains(text, not) {
			t.Errorf("%s is in the metrics", not)
		}
	}
}

func TestErrorsAreJSON(t *testing.T) {
	w := onSQLite(t)
	d := w.directory(t, scim.Standard)
	for _, path := range []string{"/scim/directory/%ff%fe/Users", "/scim/directory/%22%3Cb%3E/Users", d.path + "/Users/%ff", d.path + "/%0a", "/%00"} {
		r := d.at("").get(path).refused(404, "")
		if !json.Valid(r.body) {
			t.Errorf("%s: %q", path, r.body)
		}
	}
}

// A client that plans a change learns the rules from any answer of the directory.
func TestRulesAreTold(t *testing.T) {
	w := onSQLite(t)
	plain := w.directory(t, scim.Strict).get("/Users").want(200)
	plain.headerIs("Roster-Rule-Set", scim.Strict).headerIs("Roster-Rules", "")
	d := w.directory(t, scim.Atlassian, "{\n  \"maxPage\": 7,\r\n  \"tolerant\": false }")
	for _, r := range []*reply{d.get("/Users"), d.get("/Users/nope"), d.post(object{}), d.get("/Groups")} {
		r.headerIs("Roster-Rule-Set", scim.Atlassian).headerIs("Roster-Rules", `{"maxPage":7,"tolerant":false}`)
	}
	d.as("wrong").get("/Users").want(401).headerIs("Roster-Rule-Set", "").headerIs("Roster-Rules", "")
}
