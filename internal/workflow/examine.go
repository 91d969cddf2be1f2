package workflow

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/scim"
)

// A Diagnosis says in words what is wrong with a connection. Its texts may have
// what the service sent in them: who prints them on a terminal takes care.
type Diagnosis struct {
	What string
	Next string // what to try, a flag of roster connection or other words; empty: nobody knows
	Err  error  // what it was found by; may be nil
}

func (e *Diagnosis) Error() string { return e.What }
func (e *Diagnosis) Unwrap() error { return e.Err }

// An Examination is what a connection was found to be.
type Examination struct {
	Directory string         `json:"directory"`
	Roster    bool           `json:"roster"`  // it is a Roster
	RuleSet   string         `json:"ruleSet"` // as the service told it, else as it was given
	Users     string         `json:"users"`   // what is known of reading them
	Writes    string         `json:"writes"`  // what is known of writing them
	Scopes    []roster.Scope `json:"scopes,omitzero"`
	Operator  bool           `json:"operator"` // the key is good for every directory of the server
}

// An Examiner finds out what is wrong with a connection.
type Examiner struct {
	RuleSet string // what the directory's is taken for where the service does not tell it
	Key     string // how the key is named in words, a few characters of it; empty: it is not
}

// Examine reads what a client leads to, with the Retries that it has, and writes
// nothing. An error is a *Diagnosis.
func (x Examiner) Examine(ctx context.Context, c *client.Client) (*Examination, error) {
	r := &Examination{Directory: c.Directory, RuleSet: x.RuleSet, Writes: "cannot be told without writing"}
	a, err := c.Do(ctx, &client.Request{Method: http.MethodGet, Path: "/Users", Query: url.Values{"count": {"1"}, "startIndex": {"1"}}})
	if err != nil {
		return nil, x.diagnoseWithKey(ctx, c, err)
	}
	var list struct {
		Total     jsontext.Value `json:"totalResults,case:ignore"`
		Resources jsontext.Value `json:"Resources,case:ignore"`
	}
	if json.Unmarshal(a.Body, &list, jsontext.AllowDuplicateNames(true)) != nil || len(list.Total) == 0 && len(list.Resources) == 0 {
		return nil, noService(c, a)
	}
	r.Users = "can be read"
	if list.Total.Kind() == '0' {
		r.Users += ", there are " + string(list.Total)
	}
	if r.RuleSet = a.RuleSet(); r.RuleSet == "" {
		r.RuleSet = x.RuleSet
		return r, nil
	}
	r.Roster = true
	key, err := c.Management().OwnKey(ctx)
	if err != nil {
		return r, nil // an older one, which does not tell: the rest holds
	}
	r.Scopes, r.Operator = key.Scopes, key.Operator()
	r.Writes = "not allowed: the key has " + scopeList(key)
	if key.Allows(roster.ScopeUsersWrite) {
		r.Writes = "allowed"
	}
	return r, nil
}

func scopeList(k *roster.Key) string {
	names := make([]string, len(k.Scopes))
	for i, s := range k.Scopes {
		names[i] = string(s)
	}
	return strings.Join(names, ",")
}

// diagnoseWithKey is Diagnose for an answer that a Roster can say more about: it
// tells whose the key is.
func (x Examiner) diagnoseWithKey(ctx context.Context, c *client.Client, err error) *Diagnosis {
	d := x.Diagnose(c, err)
	var se *scim.Error
	if !errors.As(err, &se) || se.Status != http.StatusForbidden && se.Status != http.StatusNotFound {
		return d
	}
	key, kerr := c.Management().OwnKey(ctx)
	switch {
	case kerr != nil || key == nil || key.ID == "":
	case !key.Operator() && key.Directory != c.Directory:
		d.What = "wrong directory: the key is of directory " + key.Directory + ", not of " + c.Directory
		d.Next = "--directory " + key.Directory
	case se.Status == http.StatusForbidden:
		d.What = "the key is good, but may not read users: it has " + scopeList(key)
		d.Next = "roster key create NAME --scopes users:write"
	}
	return d
}

// noService is the diagnosis of an answer that no SCIM service gives.
func noService(c *client.Client, a *client.Answer) *Diagnosis {
	what := "what answers at " + c.BaseURL + " is no SCIM service"
	if kind, _, _ := strings.Cut(a.Header.Get("Content-Type"), ";"); kind != "" && !strings.HasSuffix(kind, "json") {
		what += ": it sent " + kind
	}
	return &Diagnosis{What: what, Next: "--url with the base URL for SCIM that the service's administration shows"}
}

// Diagnose says what an error of the first requests means.
func (x Examiner) Diagnose(c *client.Client, err error) *Diagnosis {
	var (
		se *scim.Error
		ce *client.Error
	)
	d := &Diagnosis{Err: err}
	host := c.BaseURL
	if u, perr := url.Parse(c.BaseURL); perr == nil {
		host = u.Host
	}
	if !errors.As(err, &ce) {
		d.What = err.Error()
		return d
	}
	if ce.Answer == nil {
		d.What, d.Next = noAnswer(host, ce.Err)
		return d
	}
	html := len(ce.Answer.Body) > 0 && !ce.Answer.Body.IsValid()
	switch errors.As(err, &se); {
	case se == nil && ce.Answer.Status >= 300 && ce.Answer.Status < 400:
		d.What = host + " sends on to another address, and a key is not sent after it"
		if to, perr := url.Parse(ce.Answer.Header.Get("Location")); perr == nil && to.Host != "" {
			d.What += ": " + to.Scheme + "://" + to.Host
			d.Next = "--url with that address, if it is the service's"
		}
	case se == nil:
		return noService(c, ce.Answer)
	case se.Status == http.StatusBadRequest && strings.Contains(string(ce.Answer.Body), "HTTP request to an HTTPS server"):
		d.What, d.Next = host+" speaks TLS alone", "--url with https:// in the place of http://"
	case se.Status == http.StatusUnauthorized:
		d.What = "wrong key: the service does not know " + cmp.Or(x.Key, "it") + ", or it has ended"
		d.Next = "the key of the directory; the API key of the organisation does not fit"
		if ce.Answer.Header.Get("Roster-Request-Id") != "" {
			d.Next = "roster key create NAME --directory " + cmp.Or(c.Directory, "ID") + ", with an operator key of the server, for a key of the directory"
		}
	case html:
		n := noService(c, ce.Answer)
		n.Err = err
		return n
	case se.Status == http.StatusForbidden:
		d.What = "the key is not for this: it is of another directory, or may not read users"
		d.Next = "the key of directory " + c.Directory
	case se.Status == http.StatusNotFound && c.Directory != "":
		d.What = fmt.Sprintf("wrong directory: there is no %s at %s, or the key is not for it", c.Directory, host)
		d.Next = "the id that stands after directory/ in the directory's base URL, or roster directory list"
	case se.Status == http.StatusNotFound:
		d.What = "what answers at " + c.BaseURL + " has no Users: it is no SCIM base URL"
		d.Next = "--directory, or --url with the base URL for SCIM"
	default:
		d.What = fmt.Sprintf("the service answers %d: %s", se.Status, se.Detail)
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
		refused   *AddressError
	)
	switch {
	case errors.As(err, &refused):
		return refused.Error(), ""
	case errors.Is(err, context.Canceled):
		return "interrupted", ""
	case errors.As(err, &dns) && dns.IsNotFound:
		return "DNS knows no " + dns.Name, "--url: is the name spelt right?"
	case errors.As(err, &dns):
		return "DNS does not answer for " + dns.Name + ": there may be no network", "the network, a VPN or a proxy (HTTPS_PROXY)"
	case errors.As(err, &name):
		return "TLS: the certificate of " + host + " is for another name: " + strings.Join(name.Certificate.DNSNames, ", "), "--url with the name in the certificate"
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
