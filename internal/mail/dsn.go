package mail

import (
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// A password is one that is shown nowhere.
type password string

func (password) String() string       { return "(hidden)" }
func (password) GoString() string     { return "(hidden)" }
func (password) LogValue() slog.Value { return slog.StringValue("(hidden)") }

// HasPassword reports whether there is a password in dsn, as far as it can be
// read.
func HasPassword(dsn string) bool {
	// One that is no URL may have a password too, as with a % that is not encoded.
	_, rest, ok := strings.Cut(dsn, "://")
	return ok && strings.Contains(rest, "@")
}

// startTLS says what STARTTLS is to a sender.
type startTLS int

const (
	startTLSRequired startTLS = iota
	startTLSIfOffered
	startTLSNever
)

// openTransport reads a DSN. Its errors have nothing of the DSN in them but the
// scheme and the host.
func openTransport(dsn string, s *sender) (transport, error) {
	scheme, rest, _ := strings.Cut(dsn, ":")
	switch scheme {
	case "file":
		return openFolder(rest, s)
	case "log":
		if rest != "" {
			return nil, badSetting("--mail log: takes nothing after the colon")
		}
		return &logTransport{s.o}, nil
	case "smtp", "smtps":
		return openSMTP(dsn, s)
	}
	return nil, badSetting("--mail must be smtp://USER:PASSWORD@HOST:587, smtps://USER:PASSWORD@HOST:465, file:FOLDER or log:")
}

func openSMTP(dsn string, s *sender) (*smtpTransport, error) {
	u, err := url.Parse(dsn)
	if err != nil { // which quotes the password
		return nil, badSetting("--mail is no URL such as smtp://USER:PASSWORD@HOST:587: in a user name or password, write characters such as @ : / %% # as %%40 %%3A %%2F %%25 %%23")
	}
	t := &smtpTransport{o: s.o, from: s.from, host: u.Hostname(), port: u.Port(), implicit: u.Scheme == "smtps", slots: make(chan struct{}, maxConnections)}
	if t.host == "" || u.Opaque != "" || u.Path != "" && u.Path != "/" || u.Fragment != "" {
		return nil, badSetting("--mail must be %s://USER:PASSWORD@HOST:PORT with nothing after the port but parameters", u.Scheme)
	}
	if t.port == "" {
		t.port = map[bool]string{false: "587", true: "465"}[t.implicit]
	}
	if n, err := strconv.Atoi(t.port); err != nil || n < 1 || n > 65535 {
		return nil, badSetting("--mail: the port of %s must be a number from 1 to 65535", t.host)
	}
	if u.User != nil {
		t.user = u.User.Username()
		text, ok := u.User.Password()
		if t.password = password(text); t.user == "" || !ok || text == "" {
			return nil, badSetting("--mail needs both a user name and a password for %s, or neither", t.host)
		}
		if strings.ContainsAny(t.user+text, "\x00\r\n") {
			return nil, badSetting("--mail: the user name or the password for %s has a control character", t.host)
		}
	}
	if err := t.parameters(u); err != nil {
		return nil, err
	}
	if t.startTLS == startTLSNever && t.user != "" && !t.insecureAuth && !isLoopbackName(t.host) {
		return nil, badSetting("--mail would send the password for %s over the network in the clear: leave tls=none out, or say insecure-auth=true", t.host)
	}
	return t, nil
}

// parameters reads what stands after the question mark.
func (t *smtpTransport) parameters(u *url.URL) error {
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return badSetting("--mail: the parameters after ? are not readable")
	}
	for name, values := range q {
		value := values[len(values)-1]
		switch {
		case name == "tls" && !t.implicit && value == "required":
		case name == "tls" && !t.implicit && value == "opportunistic":
			t.startTLS = startTLSIfOffered
		case name == "tls" && !t.implicit && value == "none":
			t.startTLS = startTLSNever
		case name == "tls" && t.implicit:
			return badSetting("--mail: smtps:// is TLS from the first byte: it takes no tls=")
		case name == "tls":
			return badSetting("--mail: tls must be required, opportunistic or none")
		case name == "insecure-auth" && value == "true":
			t.insecureAuth = true
		default:
			return badSetting("--mail: no parameter %q: there are tls=required|opportunistic|none and insecure-auth=true", shown(name))
		}
	}
	return nil
}

// String is the DSN without its password.
func (t *smtpTransport) String() string {
	u := url.URL{Scheme: "smtp", Host: t.address()}
	if t.implicit {
		u.Scheme = "smtps"
	}
	if t.user != "" {
		u.User = url.User(t.user)
	}
	return u.String()
}

func (t *smtpTransport) address() string { return net.JoinHostPort(t.host, t.port) }

// isLoopbackName reports whether host is this machine by its very name.
func isLoopbackName(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}
