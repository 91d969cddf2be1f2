package main

import (
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/go-json-experiment/json"
)

// What a server is told wrongly it says in one line, before it makes anything.
func TestServe_Refuses(t *testing.T) {
	t.Parallel()
	const inTheClear = " would take keys over the network in the clear: give --tls-cert and --tls-key, or --insecure-http behind a proxy that has TLS"
	data := filepath.Join(t.TempDir(), "data")
	for _, tt := range []struct {
		flags string
		want  string
	}{
		{"--listen 0.0.0.0:0", "--listen 0.0.0.0:0" + inTheClear},
		{"--listen :0", "--listen :0" + inTheClear},
		{"--listen [::]:0", "--listen [::]:0" + inTheClear},
		{"--listen 10.1.2.3:80", "--listen 10.1.2.3:80" + inTheClear},
		{"--listen roster.example:80", "--listen roster.example:80" + inTheClear},
		{"--listen 8080", "--listen must be an address such as 127.0.0.1:8080: "},
		{"--admin-listen 9090", "--admin-listen must be an address such as 127.0.0.1:9090: "},
		{"--public-url scim.corp.example", "--public-url must be a URL such as https://scim.corp.example"},
		{"--public-url ftp://scim.corp.example", "--public-url must be a URL"},
		{"--public-url https://scim.corp.example/?a=b", "--public-url must be a URL"},
		{"--public-url https://ada:secret@scim.corp.example", "--public-url must be a URL"},
		{"--trusted-proxy proxy.corp.example", "--trusted-proxy proxy.corp.example: expected a network such as 10.0.0.0/8 or an address"},
		{"--trusted-proxy 10.0.0.0/40", "--trusted-proxy 10.0.0.0/40: expected"},
		{"--rule-set lax", `--rule-set: no rule set "lax": there are atlassian, standard, strict`},
		{"--log-level loud", "--log-level loud: there are debug, info, warn and error"},
		{"--log-format xml", "--log-format xml: there are text and json"},
		{"--max-body -1", "--max-body must not be negative"},
		{"--rate NaN", "--rate must not be negative"},
		{"--drain-timeout -1s", "--drain-timeout must not be negative"},
		{"--max-body many", `invalid argument "many" for "--max-body"`},
		{"--data", "flag needs an argument: --data"},
		{"now", `takes no argument but flags, and here is "now"`},
	} {
		args := []string{"serve", "--data", data, "--listen", "127.0.0.1:0"}
		refuse(t, nil, exitUsage, tt.want, append(args, strings.Fields(tt.flags)...)...)
	}
	if got := folderOf(t, filepath.Dir(data)); len(got) > 0 {
		t.Errorf("something was made: %v", got)
	}

	code, _, stderr := rosterCommand(t, nil, "serve", "--data", data, "--listen", ":0", "--rule-set", "lax", "--trusted-proxy", "x")
	if got := strings.Count(stderr, "roster: --"); code != exitUsage || got != 3 {
		t.Errorf("three faults, and %d are told: %d, %s", got, code, stderr)
	}
	refuse(t, nil, exitError, "--listen: listen tcp: address 99999: invalid port", "serve", "--data", data, "--listen", "127.0.0.1:99999")
	for _, dsn := range []string{"mysql://ada:canary@db/roster", "postgres://ada:canary@127.0.0.1:1/roster?sslmode=disable", "postgres://ada:canary@127.0.0.1:port/roster"} {
		code, _, stderr := rosterCommand(t, nil, "serve", "--listen", "127.0.0.1:0", "--db", dsn)
		if code != exitError || !strings.HasPrefix(stderr, "roster: ") || strings.Contains(stderr, "canary") {
			t.Errorf("%s: %d, %s", dsn, code, stderr)
		}
	}
}

func TestServe_ListensBeyondThisMachine(t *testing.T) {
	t.Parallel()
	s := serve(t, nil, "--data", t.TempDir(), "--listen", "0.0.0.0:0", "--insecure-http", "--log-level", "warn")
	_, port, err := net.SplitHostPort(strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	shown := s.url
	s.url = "http://127.0.0.1:" + port
	if got := s.status(t, "", "/readyz"); got != http.StatusOK {
		t.Errorf("/readyz: %d", got)
	}
	s.url = shown
	s.finish(t, syscall.SIGTERM, exitOK)
	if want := "locations begin with an address that no client can use: give --public-url"; !strings.Contains(s.log.String(), want) {
		t.Errorf("the log does not warn that %q: %s", want, s.log)
	}
}

// Where a machine has no IPv6 loopback, the server says so.
func TestServe_ListensOnIPv6(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		refuse(t, nil, exitError, "--listen: listen tcp [::1]:0: ", "serve", "--data", t.TempDir(), "--listen", "[::1]:0")
		return
	}
	_ = ln.Close()
	s := serve(t, nil, "--data", t.TempDir(), "--listen", "[::1]:0")
	if got := s.status(t, "", "/readyz"); !strings.HasPrefix(s.url, "http://[::1]:") || got != http.StatusOK {
		t.Errorf("%s/readyz: %d", s.url, got)
	}
	succeed(t, []string{"ROSTER_URL=" + s.url, "ROSTER_KEY=" + processKey}, "user", "list")
	s.finish(t, syscall.SIGTERM, exitOK)
}

// One server at a time has a data folder.
func TestServe_SecondOnTheSameDatabase(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s := serve(t, nil, "--data", data)
	lock := filepath.Join(data, "roster.db.lock")
	want := "in use by another roster process, which has locked " + lock + ": stop that one first"
	refuse(t, nil, exitError, want, "serve", "--listen", "127.0.0.1:0", "--data", data)
	refuse(t, nil, exitError, want, "serve", "--listen", "127.0.0.1:0", "--db", "sqlite:"+filepath.Join(data, "roster.db"))
	refuse(t, nil, exitError, want, "migrate", "--data", data)
	s.finish(t, syscall.SIGTERM, exitOK)
	serve(t, nil, "--data", data).finish(t, syscall.SIGTERM, exitOK)
}

func TestServe_AdminListen(t *testing.T) {
	t.Parallel()
	s := serve(t, nil, "--data", t.TempDir(), "--admin-listen", "127.0.0.1:0")
	s.log.await(t, s.ended, `msg="metrics and health"`)
	_, admin, _ := strings.Cut(s.log.String(), "address=")
	admin, _, _ = strings.Cut(admin, "\n")
	for _, tt := range []struct {
		path        string
		main, admin int
	}{
		{"/metrics", 404, 200},
		{"/healthz", 200, 200},
		{"/readyz", 200, 200},
		{"/api/v1/directories", 200, 404},
		{"/scim/v2/Users", 200, 404},
	} {
		if got := s.status(t, processKey, tt.path); got != tt.main {
			t.Errorf("%s on the main address: got %d, want %d", tt.path, got, tt.main)
		}
		resp, err := http.Get("http://" + admin + tt.path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != tt.admin {
			t.Errorf("%s on the admin address: got %d, want %d", tt.path, resp.StatusCode, tt.admin)
		}
	}
	s.finish(t, syscall.SIGTERM, exitOK)
}

// Every location begins with the public URL.
func TestServe_PublicURL(t *testing.T) {
	t.Parallel()
	s := serve(t, nil, "--data", t.TempDir(), "--public-url", "https://scim.corp.example/roster/", "--trusted-proxy", "127.0.0.0/8")
	s.useDefault(t)
	const public = "https://scim.corp.example/roster"
	a := s.must(t, http.StatusCreated, "POST", s.users(""), `{"userName":"ada","emails":[{"value":"ada@corp.example","primary":true}],
		"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":{"value":"26118915-6090-4610-87e4-49d8ca9f808d"}}}`)
	id := a.text("id")
	for _, got := range []string{a.header.Get("Location"), location(t, a), location(t, s.must(t, 200, "GET", s.users(id), ""))} {
		if want := public + s.users(id); got != want {
			t.Errorf("location: got %s, want %s", got, want)
		}
	}
	made := s.must(t, http.StatusCreated, "POST", "/api/v1/directories", `{"name":"second"}`)
	if got, want := made.header.Get("Location"), public+"/api/v1/directories/"+made.text("id"); got != want {
		t.Errorf("location of a directory: got %s, want %s", got, want)
	}
	address := strings.TrimPrefix(s.url, "http://")
	base := "/scim/directory/" + s.directory
	for _, path := range []string{s.users(""), s.users(id), base + "/Schemas", base + "/ResourceTypes", base + "/ServiceProviderConfig", "/scim/v2/Users"} {
		a := s.forwarded(t, path, "https", "evil.example")
		if text := string(a.body); a.status != http.StatusOK || strings.Contains(text, address) || strings.Contains(text, "evil.example") || !strings.Contains(text, public+base) {
			t.Errorf("%s: %v", path, a)
		}
	}
	s.finish(t, syscall.SIGTERM, exitOK)
}

// Where no public URL is set, a proxy that is trusted tells it, and nobody else.
func TestServe_TrustedProxy(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, proto, host string
		flags             []string
		want              string // empty: the address
	}{
		{"trusted", "https", "scim.corp.example", []string{"--trusted-proxy", "127.0.0.0/8"}, "https://scim.corp.example"},
		{"one address of several networks", "https", "scim.corp.example:8443", []string{"--trusted-proxy", "10.0.0.0/8,127.0.0.1"}, "https://scim.corp.example:8443"},
		{"another network", "https", "scim.corp.example", []string{"--trusted-proxy", "10.0.0.0/8"}, ""},
		{"none", "https", "scim.corp.example", nil, ""},
		{"no host", "https", "", []string{"--trusted-proxy", "127.0.0.1"}, ""},
		{"no scheme that there is", "gopher", "scim.corp.example", []string{"--trusted-proxy", "127.0.0.1"}, ""},
		{"no host that there can be", "https", "scim.corp.example/a?b", []string{"--trusted-proxy", "127.0.0.1"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, nil, append([]string{"--data", t.TempDir(), "--log-level", "debug"}, tt.flags...)...)
			s.useDefault(t)
			want := tt.want
			if want == "" {
				want = s.url
			}
			got := location(t, s.forwarded(t, "/scim/directory/"+s.directory+"/ServiceProviderConfig", tt.proto, tt.host))
			if want += "/scim/directory/" + s.directory + "/ServiceProviderConfig"; got != want {
				t.Errorf("location: got %s, want %s", got, want)
			}
			s.finish(t, syscall.SIGTERM, exitOK)
			trusted := tt.flags != nil && tt.flags[1] != "10.0.0.0/8"
			if got := strings.Contains(s.log.String(), "client=192.0.2.7\n"); got != trusted {
				t.Errorf("X-Forwarded-For is believed: %t: %s", got, s.log)
			}
		})
	}
}

// forwarded is a GET as a proxy passes it on for 192.0.2.7, who has said to be
// somebody else.
func (s *served) forwarded(t *testing.T, path, proto, host string) *httpAnswer {
	t.Helper()
	s.client.Transport = &forwarding{http.Header{
		"X-Forwarded-For": {"203.0.113.9, 192.0.2.7"}, "X-Forwarded-Proto": {proto}, "X-Forwarded-Host": {host},
	}}
	defer func() { s.client.Transport = new(http.Transport) }()
	return s.must(t, http.StatusOK, "GET", path, "")
}

type forwarding struct{ header http.Header }

func (f *forwarding) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for name, values := range f.header {
		r.Header[name] = values
	}
	return http.DefaultTransport.RoundTrip(r)
}

// location returns the meta.location in an answer.
func location(t *testing.T, a *httpAnswer) string {
	t.Helper()
	var doc struct {
		Meta struct {
			Location string `json:"location"`
		} `json:"meta"`
	}
	if err := json.Unmarshal(a.body, &doc); err != nil {
		t.Fatalf("%v: %v", a, err)
	}
	return doc.Meta.Location
}
