package workflow

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A Guard keeps the requests of workflows away from the networks that the server
// stands in: from every address that is not public, unless it is listed. It looks
// at the address that a connection is about to be made to, so that no name, and no
// change of what a name stands for, leads around it.
type Guard struct {
	networks []allowedNetwork
	hosts    map[string]bool // host:port in lower case

	// lookup stands for the DNS in tests; nil: there is none but the real one.
	lookup func(ctx context.Context, host string) ([]netip.Addr, error)
}

type allowedNetwork struct {
	prefix netip.Prefix
	port   uint16 // 0: any
}

// NewGuard returns a Guard that lets through, beside what is public, what allow
// lists: networks ("10.0.0.0/8"), addresses ("10.1.2.3", "[::1]"), addresses with
// a port ("127.0.0.1:8080"), and hosts with a port ("hr.corp.example:443"),
// whatever address these have.
func NewGuard(allow []string) (*Guard, error) {
	g := &Guard{hosts: make(map[string]bool)}
	for _, text := range allow {
		if err := g.allow(strings.TrimSpace(text)); err != nil {
			return nil, err
		}
	}
	return g, nil
}

func (g *Guard) allow(text string) error {
	if p, err := netip.ParsePrefix(text); err == nil {
		g.networks = append(g.networks, allowedNetwork{prefix: p.Masked()})
		return nil
	}
	if a, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		g.networks = append(g.networks, allowedNetwork{prefix: netip.PrefixFrom(a, a.BitLen())})
		return nil
	}
	if ap, err := netip.ParseAddrPort(text); err == nil {
		g.networks = append(g.networks, allowedNetwork{netip.PrefixFrom(ap.Addr(), ap.Addr().BitLen()), ap.Port()})
		return nil
	}
	host, port, err := net.SplitHostPort(text)
	if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || n == 0 || host == "" || strings.ContainsAny(host, "/*[]@ ") {
		return fmt.Errorf("%q is no address that can be allowed: expected a network (10.0.0.0/8), an address with or without a port (10.1.2.3:8080), or a host with its port (hr.corp.example:443)", text)
	}
	g.hosts[strings.ToLower(text)] = true
	return nil
}

// refused are the networks that are not public though netip does not say so, or
// that lead to others: the addresses of special purpose (RFC 6890 and its
// registries), and those that carry an IPv4 address in them.
var refused = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),        // this network
	netip.MustParsePrefix("100.64.0.0/10"),    // behind a carrier's NAT; some clouds' metadata
	netip.MustParsePrefix("168.63.129.16/32"), // Azure's own services, metadata among them
	netip.MustParsePrefix("192.0.0.0/24"),     // protocol assignments; Oracle's metadata
	netip.MustParsePrefix("192.0.2.0/24"),     // documentation, as the next two
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"), // relays of 6to4
	netip.MustParsePrefix("198.18.0.0/15"),  // benchmarks
	netip.MustParsePrefix("240.0.0.0/4"),    // reserved, and broadcast
	netip.MustParsePrefix("::/96"),          // IPv4-compatible
	netip.MustParsePrefix("64:ff9b::/96"),   // NAT64
	netip.MustParsePrefix("64:ff9b:1::/48"), // NAT64 of one's own
	netip.MustParsePrefix("100::/64"),       // discard
	netip.MustParsePrefix("2001::/23"),      // protocol assignments, Teredo among them
	netip.MustParsePrefix("2001:db8::/32"),  // documentation
	netip.MustParsePrefix("2002::/16"),      // 6to4
	netip.MustParsePrefix("3fff::/20"),      // documentation
	netip.MustParsePrefix("5f00::/16"),      // segment routing
	netip.MustParsePrefix("fec0::/10"),      // site-local, as it was
}

// public reports whether an address is one of the internet at large.
func public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() {
		return false
	}
	for _, p := range refused {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// An AddressError says that a connection was not made because of where it leads.
type AddressError struct {
	Address string // of the connection, as host:port or address:port
}

func (e *AddressError) Error() string {
	return "the address " + e.Address + " is not public, and requests of workflows go to no other: the operator can allow it with --workflow-allow-address"
}

// check returns an *AddressError unless a connection to ap may be made.
func (g *Guard) check(ap netip.AddrPort) error {
	a := ap.Addr().Unmap().WithZone("")
	if public(ap.Addr()) {
		return nil
	}
	for _, n := range g.networks {
		if (n.port == 0 || n.port == ap.Port()) && (n.prefix.Contains(a) || n.prefix.Contains(ap.Addr().WithZone(""))) {
			return nil
		}
	}
	return &AddressError{netip.AddrPortFrom(a, ap.Port()).String()}
}

// lists reports whether a URL names an address, or a host with its port, that was
// listed.
func (g *Guard) lists(u *url.URL) bool {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	if g.hosts[strings.ToLower(net.JoinHostPort(u.Hostname(), port))] {
		return true
	}
	ap, err := netip.ParseAddrPort(net.JoinHostPort(u.Hostname(), port))
	return err == nil && !public(ap.Addr()) && g.check(ap) == nil
}

// dial makes a connection to address, a host and a port, if that may be.
func (g *Guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	if !g.hosts[strings.ToLower(address)] {
		// The last word before the connection is made, for each address that is
		// tried: what the name stands for a moment later does not matter.
		d.ControlContext = func(_ context.Context, _, at string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(at)
			if err != nil {
				return &AddressError{at}
			}
			return g.check(ap)
		}
	}
	host, port, err := net.SplitHostPort(address)
	if g.lookup == nil || err != nil {
		return d.DialContext(ctx, network, address)
	}
	addrs, err := g.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	err = fmt.Errorf("%s has no address", host)
	for _, a := range addrs {
		var c net.Conn
		if c, err = d.DialContext(ctx, network, net.JoinHostPort(a.String(), port)); err == nil {
			return c, nil
		}
	}
	return nil, err
}

// Transport returns a transport whose connections the guard allows. It verifies
// TLS, and uses no proxy: that would connect in its place.
func (g *Guard) Transport() *http.Transport {
	return &http.Transport{
		DialContext:            g.dial,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           100,
		MaxIdleConnsPerHost:    10,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    10 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// maxRedirects is how many redirects a request of a workflow follows.
const maxRedirects = 3

// errRedirect is the error of a redirect that is not followed.
var errRedirect = errors.New("the service redirects to another place: requests of workflows follow up to 3 redirects, to the same host by the same scheme; write the URL that it redirects to")

// sameHost follows redirects that stay at the same host. What a header or the
// body holds goes nowhere else.
func sameHost(req *http.Request, via []*http.Request) error {
	first := via[0].URL
	if len(via) > maxRedirects || req.URL.Scheme != first.Scheme || !strings.EqualFold(req.URL.Host, first.Host) || req.URL.User != nil {
		return errRedirect
	}
	return nil
}
