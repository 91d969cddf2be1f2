package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/scim"
)

// A diagnosis says in words what is wrong with a connection. Err, which may be
// nil, is what it was found by.
type diagnosis struct {
	what string
	next string
	err  error
}

func (e *diagnosis) Error() string { return e.what }
func (e *diagnosis) Unwrap() error { return e.err }

func newConnectionTestCmd(g *globals) *cobra.Command {
	o := new(connectionOptions)
	cmd := &cobra.Command{
		Use:   "test [NAME]",
		Short: "Say whether a connection works, what is wrong with it, and what its key may do",
		Long: `Say whether a connection works, and what is wrong when it does not: no network, no
such host, a certificate that is not trusted, another address, no SCIM service, a
wrong key or a wrong directory. It reads, and writes nothing; so whether writes are
allowed is known of a Roster alone, which tells the scopes of a key.

Without NAME it tests what a command would act on.`,
		Example: `  roster connection test
  roster connection test cloud -o json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeConnections(g),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				if cmd.Flags().Changed("connection") || cmd.Flags().Changed("url") || cmd.Flags().Changed("key-file") {
					return usagef("NAME, --connection, --url and --key-file exclude each other: give one of them")
				}
				o.name = args[0]
			}
			return runConnectionTest(cmd.Context(), g, o)
		},
	}
	f := cmd.Flags()
	o.addDirectoryFlags(f)
	o.addRuleSetFlag(f)
	o.output.addFlag(f)
	return cmd
}

func runConnectionTest(ctx context.Context, g *globals, o *connectionOptions) error {
	rules, err := o.rules(g)
	if err != nil {
		return err
	}
	c, err := o.open(g)
	if err != nil {
		return err
	}
	saved := &savedConnection{URL: c.BaseURL, Directory: c.Directory, RuleSet: rules.Name, Key: c.Key}
	if o.saved != nil {
		saved.Name = o.saved.Name
	}
	r, err := examine(ctx, c, saved)
	if err != nil {
		return err
	}
	r.warn(g.stderr)
	l := newListing(g.stdout, o.output)
	return l.one(r, [][2]string{
		{"connection", r.Connection}, {"url", r.URL}, {"directory", r.Directory}, {"key", r.Key},
		{"service", map[bool]string{true: "Roster", false: "SCIM"}[r.Roster]}, {"ruleSet", r.RuleSet},
		{"users", r.Users}, {"writes", r.Writes},
	})
}

// An examination is what a connection was found to be.
type examination struct {
	Connection string         `json:"connection"` // its name; "" for one that is not kept
	URL        string         `json:"url"`
	Directory  string         `json:"directory"`
	Key        string         `json:"key"` // masked
	Roster     bool           `json:"roster"`
	RuleSet    string         `json:"ruleSet"` // as the service told it, else as it was given
	Users      string         `json:"users"`   // what is known of reading them
	Writes     string         `json:"writes"`  // what is known of writing them
	Scopes     []roster.Scope `json:"scopes,omitzero"`

	operator bool
}

func (r *examination) warn(w io.Writer) {
	if r.operator {
		fmt.Fprintf(w, "warning: this is an operator key, good for every directory of the server: make one for this directory alone\n  try: roster key create NAME --directory %s --scopes users:write,groups:write,events:read\n", printable(r.Directory))
	}
}

// examine reads what a connection leads to. An error is a *diagnosis.
func examine(ctx context.Context, c *client.Client, s *savedConnection) (*examination, error) {
	// One attempt: who tests wants to know now.
	once := at(c, c.Directory, -1)
	r := &examination{Connection: s.Name, URL: c.BaseURL, Key: maskKey(s.Key), RuleSet: s.RuleSet, Writes: "cannot be told without writing"}
	u, err := url.Parse(c.BaseURL)
	if err == nil && u.Path == "" && once.Directory == "" {
		list, err := once.Management().ListDirectories(ctx)
		if err != nil {
			return nil, diagnose(once, err)
		}
		found, err := oneDirectory(list)
		if err != nil {
			return nil, err
		}
		once = at(c, found.ID, -1)
	}
	r.Directory = once.Directory
	a, err := once.Do(ctx, &client.Request{Method: http.MethodGet, Path: "/Users", Query: url.Values{"count": {"1"}, "startIndex": {"1"}}})
	if err != nil {
		return nil, diagnoseWithKey(ctx, once, err)
	}
	var list struct {
		Total     jsontext.Value `json:"totalResults,case:ignore"`
		Resources jsontext.Value `json:"Resources,case:ignore"`
	}
	if json.Unmarshal(a.Body, &list, jsontext.AllowDuplicateNames(true)) != nil || len(list.Total) == 0 && len(list.Resources) == 0 {
		return nil, noService(once, a)
	}
	r.Users = "can be read"
	if len(list.Total) > 0 {
		r.Users += ", there are " + plain(list.Total)
	}
	if r.RuleSet = a.RuleSet(); r.RuleSet == "" {
		r.RuleSet = s.RuleSet
		return r, nil
	}
	r.Roster = true
	key, err := once.Management().OwnKey(ctx)
	if err != nil {
		return r, nil // an older one, which does not tell: the rest holds
	}
	r.Scopes, r.operator = key.Scopes, key.Operator()
	r.Writes = "not allowed: the key has " + scopeList(key)
	if key.Allows(roster.ScopeUsersWrite) {
		r.Writes = "allowed"
	}
	return r, nil
}

// diagnoseWithKey is diagnose for an answer that a Roster can say more about: it
// tells whose the key is.
func diagnoseWithKey(ctx context.Context, c *client.Client, err error) *diagnosis {
	d := diagnose(c, err)
	var se *scim.Error
	if !errors.As(err, &se) || se.Status != http.StatusForbidden && se.Status != http.StatusNotFound {
		return d
	}
	key, kerr := c.Management().OwnKey(ctx)
	switch {
	case kerr != nil || key == nil || key.ID == "":
	case !key.Operator() && key.Directory != c.Directory:
		d.what = "wrong directory: the key is of directory " + printable(key.Directory) + ", not of " + printable(c.Directory)
		d.next = "--directory " + printable(key.Directory)
	case se.Status == http.StatusForbidden:
		d.what = "the key is good, but may not read users: it has " + scopeList(key)
		d.next = "roster key create NAME --scopes users:write"
	}
	return d
}

// noService is the diagnosis of an answer that no SCIM service gives.
func noService(c *client.Client, a *client.Answer) *diagnosis {
	what := "what answers at " + c.BaseURL + " is no SCIM service"
	if kind, _, _ := strings.Cut(a.Header.Get("Content-Type"), ";"); kind != "" && !strings.HasSuffix(kind, "json") {
		what += ": it sent " + printable(kind)
	}
	return &diagnosis{what: what, next: "--url with the base URL for SCIM that the service's administration shows"}
}

// diagnose says what an error of the first requests means.
func diagnose(c *client.Client, err error) *diagnosis {
	var (
		se *scim.Error
		ce *client.Error
	)
	d := &diagnosis{err: err}
	host := c.BaseURL
	if u, perr := url.Parse(c.BaseURL); perr == nil {
		host = u.Host
	}
	if !errors.As(err, &ce) {
		d.what = err.Error()
		return d
	}
	if ce.Answer == nil {
		d.what, d.next = noAnswer(host, ce.Err)
		return d
	}
	html := len(ce.Answer.Body) > 0 && !ce.Answer.Body.IsValid()
	switch errors.As(err, &se); {
	case se == nil && ce.Answer.Status >= 300 && ce.Answer.Status < 400:
		d.what = host + " sends on to another address, and a key is not sent after it"
		if to, perr := url.Parse(ce.Answer.Header.Get("Location")); perr == nil && to.Host != "" {
			d.what += ": " + printable(to.Scheme+"://"+to.Host)
			d.next = "--url with that address, if it is the service's"
		}
	case se == nil:
		return noService(c, ce.Answer)
	case se.Status == http.StatusBadRequest && strings.Contains(string(ce.Answer.Body), "HTTP request to an HTTPS server"):
		d.what, d.next = host+" speaks TLS alone", "--url with https:// in the place of http://"
	case se.Status == http.StatusUnauthorized:
		d.what = "wrong key: the service does not know " + maskKey(c.Key) + ", or it has ended"
		d.next = "the key of the directory; the API key of the organisation does not fit"
	case html:
		n := noService(c, ce.Answer)
		n.err = err
		return n
	case se.Status == http.StatusForbidden:
		d.what = "the key is not for this: it is of another directory, or may not read users"
		d.next = "the key of directory " + printable(c.Directory)
	case se.Status == http.StatusNotFound && c.Directory != "":
		d.what = fmt.Sprintf("wrong directory: there is no %s at %s, or the key is not for it", printable(c.Directory), host)
		d.next = "the id that stands after directory/ in the directory's base URL, or roster directory list"
	case se.Status == http.StatusNotFound:
		d.what = "what answers at " + c.BaseURL + " has no Users: it is no SCIM base URL"
		d.next = "--directory, or --url with the base URL for SCIM"
	default:
		d.what = fmt.Sprintf("the service answers %d: %s", se.Status, printable(se.Detail))
	}
	return d
}

// noAnswer says why nothing came back.
func noAnswer(host string, err error) (what, next string) {
	var (
		dns       *net.DNSError
		untrusted *tls.CertificateVerificationError
		record    tls.RecordHeaderError
		unknown   x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		op        *net.OpError
	)
	switch {
	case errors.Is(err, context.Canceled):
		return "interrupted", ""
	case errors.As(err, &dns) && dns.IsNotFound:
		return "DNS knows no " + dns.Name, "--url: is the name spelt right?"
	case errors.As(err, &dns):
		return "DNS does not answer for " + dns.Name + ": there may be no network", "the network, a VPN or a proxy (HTTPS_PROXY)"
	case errors.As(err, &name):
		return "TLS: the certificate of " + host + " is for another name: " + strings.Join(slices.Concat(name.Certificate.DNSNames), ", "), "--url with the name in the certificate"
	case errors.As(err, &unknown):
		return "TLS: the certificate of " + host + " is signed by a CA that is not trusted here", "SSL_CERT_FILE, with the certificate of that CA"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "TLS: the certificate of " + host + " has expired, or the clock of this machine is wrong", ""
	case errors.As(err, &untrusted):
		return "TLS: " + untrusted.Error(), "SSL_CERT_FILE, with the certificate of the CA that has signed the service's"
	case errors.As(err, &record), err != nil && strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return host + " does not speak TLS", "--url with http:// in the place of https://, if it is on this machine"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "no answer from " + host + " in time", "the network, a VPN or a proxy (HTTPS_PROXY); or a longer --timeout"
	case errors.As(err, &op) && op.Op == "dial":
		return "no connection to " + host + ": " + op.Err.Error(), "roster serve, or --url with the address of the service"
	}
	return "no answer from " + host + ": " + err.Error(), ""
}
