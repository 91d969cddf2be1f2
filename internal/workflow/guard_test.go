package workflow

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

func TestGuard_Addresses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		address string
		allow   string // with commas
		want    bool
	}{
		{"93.184.215.14:443", "", true},
		{"[2606:2800:21f:cb07:6820:80da:af6b:8b2c]:443", "", true},
		{"127.0.0.1:80", "", false},
		{"127.8.9.1:80", "", false},
		{"[::1]:80", "", false},
		{"[::ffff:127.0.0.1]:80", "", false},
		{"[::ffff:10.0.0.1]:80", "", false},
		{"[::127.0.0.1]:80", "", false},
		{"0.0.0.0:80", "", false},
		{"0.1.2.3:80", "", false},
		{"[::]:80", "", false},
		{"10.0.0.1:80", "", false},
		{"172.16.0.1:80", "", false},
		{"172.31.255.255:80", "", false},
		{"172.32.0.1:80", "", true},
		{"192.168.1.1:80", "", false},
		{"[fc00::1]:80", "", false},
		{"[fd00:ec2::254]:80", "", false},
		{"169.254.169.254:80", "", false},
		{"[fe80::1]:80", "", false},
		{"[fe80::1%eth0]:80", "", false},
		{"[fec0::1]:80", "", false},
		{"100.64.0.1:80", "", false},
		{"100.100.100.200:80", "", false},
		{"168.63.129.16:80", "", false},
		{"192.0.0.192:80", "", false},
		{"198.18.0.1:80", "", false},
		{"224.0.0.1:80", "", false},
		{"[ff02::1]:80", "", false},
		{"240.0.0.1:80", "", false},
		{"255.255.255.255:80", "", false},
		{"[64:ff9b::7f00:1]:80", "", false},
		{"[2002:7f00:1::]:80", "", false},
		{"[2001:0:7f00:1::]:80", "", false},
		{"10.0.0.1:80", "10.0.0.0/8", true},
		{"[::ffff:10.0.0.1]:80", "10.0.0.0/8", true},
		{"11.0.0.1:80", "10.0.0.0/8", true},
		{"192.168.1.1:80", "10.0.0.0/8", false},
		{"10.1.2.3:80", "10.1.2.3", true},
		{"10.1.2.4:80", "10.1.2.3", false},
		{"10.1.2.3:80", "10.1.2.3:8080", false},
		{"10.1.2.3:8080", "192.168.0.1,10.1.2.3:8080", true},
		{"[::1]:80", "[::1]:80", true},
		{"[::1]:80", "[::1]", true},
		{"[fd00::7]:80", "fd00::/8", true},
	} {
		var allow []string
		if tt.allow != "" {
			allow = strings.Split(tt.allow, ",")
		}
		g, err := NewGuard(allow)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.check(netip.MustParseAddrPort(tt.address)); (err == nil) != tt.want {
			t.Errorf("%s with %q allowed: got %v, want allowed %v", tt.address, tt.allow, err, tt.want)
		}
	}
}

func TestNewGuard_Errors(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "*", "corp.example", "corp.example:", "corp.example:0", "corp.example:99999", "http://corp.example:80", "10.0.0.0/33", "*.corp.example:443"} {
		if _, err := NewGuard([]string{text}); err == nil {
			t.Errorf("%q was allowed", text)
		}
	}
}

// resolver answers each question about a name with the next of its addresses,
// and stays at the last.
type resolver struct{ addrs map[string][]string }

func (r *resolver) lookup(_ context.Context, host string) ([]netip.Addr, error) {
	list := r.addrs[host]
	if len(list) == 0 {
		return nil, errors.New("no such host")
	}
	if len(list) > 1 {
		r.addrs[host] = list[1:]
	}
	return []netip.Addr{netip.MustParseAddr(list[0])}, nil
}

// guarded returns a server and a client that reaches it only as its guard allows.
// Names are resolved by r.
func guarded(t *testing.T, h http.HandlerFunc, r *resolver, allow func(port string) []string) (c *http.Client, port string) {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	g, err := NewGuard(allow(u.Port()))
	if err != nil {
		t.Fatal(err)
	}
	g.lookup = r.lookup
	tr := g.Transport()
	tr.DisableKeepAlives = true
	return &http.Client{Transport: tr, CheckRedirect: sameHost}, u.Port()
}

func TestGuard_LooksAtTheAddressAndNotTheName(t *testing.T) {
	t.Parallel()
	r := &resolver{map[string][]string{
		"inner.example":   {"127.0.0.1"},
		"listed.example":  {"127.0.0.1"},
		"rebind.example":  {"192.0.2.1", "127.0.0.1"},
		"mapped.example":  {"::ffff:127.0.0.1"},
		"127.0.0.1":       {"127.0.0.1"},
		"2130706433":      {"127.0.0.1"},
		"metadata.google": {"169.254.169.254"},
	}}
	c, port := guarded(t, func(w http.ResponseWriter, _ *http.Request) {}, r, func(port string) []string { return []string{"listed.example:" + port} })
	for host, want := range map[string]bool{
		"inner.example": false, "listed.example": true, "LISTED.example": true, "rebind.example": false,
		"mapped.example": false, "127.0.0.1": false, "2130706433": false, "metadata.google": false,
	} {
		if host == "LISTED.example" {
			r.addrs[host] = []string{"127.0.0.1"}
		}
		for range 2 { // the second time a name may stand for something else
			resp, err := c.Get("http://" + host + ":" + port + "/")
			if err == nil {
				resp.Body.Close()
			}
			var refused *AddressError
			if want && err != nil || !want && !errors.As(err, &refused) {
				t.Errorf("%s: got %v, want allowed %v", host, err, want)
			}
		}
	}
}

func TestGuard_Redirects(t *testing.T) {
	t.Parallel()
	r := &resolver{map[string][]string{"a.example": {"127.0.0.1"}, "b.example": {"127.0.0.1"}}}
	var seen []string
	c, port := guarded(t, func(w http.ResponseWriter, req *http.Request) {
		seen = append(seen, req.Host+req.URL.Path+" "+req.Header.Get("Authorization"))
		switch req.URL.Path {
		case "/same":
			http.Redirect(w, req, "/end", http.StatusFound)
		case "/other":
			http.Redirect(w, req, "http://b.example:"+strings.Split(req.Host, ":")[1]+"/end", http.StatusFound)
		case "/scheme":
			http.Redirect(w, req, "https://"+req.Host+"/end", http.StatusFound)
		case "/user":
			http.Redirect(w, req, "http://u:p@"+req.Host+"/end", http.StatusFound)
		case "/loop":
			http.Redirect(w, req, "/loop", http.StatusFound)
		}
	}, r, func(port string) []string { return []string{"127.0.0.1:" + port} })
	for path, n := range map[string]int{"/same": 2, "/other": 1, "/scheme": 1, "/user": 1, "/loop": maxRedirects + 1} {
		seen = nil
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://a.example:"+port+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer canary")
		resp, err := c.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		if want := path != "/same"; errors.Is(err, errRedirect) != want || len(seen) != n {
			t.Errorf("%s: got %v after %q, want %d requests and refused %v", path, err, seen, n, want)
		}
	}
}
