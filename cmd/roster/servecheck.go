package main

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/internal/directory"
	"github.com/roster-scim/roster/internal/mail"
	"github.com/roster-scim/roster/internal/server"
	"github.com/roster-scim/roster/internal/workflow"
	"github.com/roster-scim/roster/scim"
)

// serveInput is what the settings of a server stand for.
type serveInput struct {
	log          *slog.Logger
	proxies      []netip.Prefix
	tls          *tls.Config // nil: none
	bootstrapKey string
	guard        *workflow.Guard // of where workflows may go
	chaos        *server.Chaos   // nil: none
	schemas      jsontext.Value  // nil: each directory has its own
	mail         mail.Sender
}

// check reads the settings, before anything is opened or made, and reports every
// fault at once.
func (o *serveOptions) check(g *globals) (*serveInput, error) {
	in := new(serveInput)
	faults := []error{o.checkNumbers(), o.checkPublicURL(), o.checkListen()}
	fault := func(err error) { faults = append(faults, err) }
	var err error
	in.log, err = newLogger(g.stderr, o.logLevel, o.logFormat)
	fault(err)
	in.proxies, err = parseNetworks(o.trustedProxies)
	fault(err)
	in.tls, err = newTLS(o.tlsCert, o.tlsKey, in.log)
	fault(err)
	if _, err := scim.Rules(o.ruleSet); err != nil {
		fault(usagef("--rule-set: %w", err))
	}
	if o.chaos != "" {
		if in.chaos, err = server.ParseChaos(o.chaos); err != nil {
			fault(usagef("--chaos: %w", err))
		}
	}
	in.bootstrapKey, err = g.secret("ROSTER_BOOTSTRAP_KEY", o.bootstrapKeyFile)
	fault(err)
	if n := len(in.bootstrapKey); n > 0 && n < directory.MinGivenKey {
		fault(usagef("the bootstrap key (ROSTER_BOOTSTRAP_KEY or --bootstrap-key-file) has %d bytes: give %d or more", n, directory.MinGivenKey))
	}
	if in.guard, err = workflow.NewGuard(o.allowAddresses); err != nil {
		fault(usagef("--workflow-allow-address: %w", err))
	}
	in.schemas, err = o.readSchemaDir()
	fault(err)
	in.mail, err = o.mail.open(g, in.log, nil)
	fault(err)
	return in, errors.Join(faults...)
}

// readSchemaDir returns the schemas of all directories; nil: each has its own.
func (o *serveOptions) readSchemaDir() (jsontext.Value, error) {
	if o.schemaDir == "" {
		return nil, nil
	}
	schemas, err := readSchemas(o.schemaDir)
	if err == nil {
		_, err = scim.ParseCustom(schemas)
	}
	var e *scim.Error
	if errors.As(err, &e) {
		err = errors.New(strings.ReplaceAll(e.Detail, "; ", "\n"))
	}
	if err != nil {
		return nil, usagef("--schema-dir %s: %w", o.schemaDir, err)
	}
	return schemas, nil
}

func (o *serveOptions) checkNumbers() error {
	var faults []error
	for _, f := range []struct {
		flag string
		ok   bool
	}{
		{"db-connections", o.connections >= 0},
		{"rate", o.rate >= 0}, // false of NaN too
		{"burst", o.burst >= 0},
		{"max-body", o.maxBody >= 0},
		{"max-bulk", o.maxBulk >= 0},
		{"max-scan", o.maxScan >= 0},
		{"max-header", o.maxHeader >= 0},
		{"header-timeout", o.headerTimeout >= 0},
		{"read-timeout", o.readTimeout >= 0},
		{"write-timeout", o.writeTimeout >= 0},
		{"idle-timeout", o.idleTimeout >= 0},
		{"drain-timeout", o.drainTimeout >= 0},
		{"event-retention", o.eventRetention >= 0},
		{"trash-retention", o.trashRetention >= 0},
	} {
		if !f.ok {
			faults = append(faults, usagef("--%s must not be negative", f.flag))
		}
	}
	return errors.Join(faults...)
}

func (o *serveOptions) checkPublicURL() error {
	if o.publicURL == "" {
		return nil
	}
	u, err := url.Parse(o.publicURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return usagef("--public-url must be a URL such as https://scim.corp.example")
	}
	return nil
}

// checkListen refuses to take keys in the clear over a network.
func (o *serveOptions) checkListen() error {
	if _, _, err := net.SplitHostPort(o.admin); o.admin != "" && err != nil {
		return usagef("--admin-listen must be an address such as 127.0.0.1:9090: %w", err)
	}
	host, _, err := net.SplitHostPort(o.listen)
	if err != nil {
		return usagef("--listen must be an address such as 127.0.0.1:8080: %w", err)
	}
	if o.tlsCert != "" || o.insecureHTTP || isLoopback(host) {
		return nil
	}
	return usagef("--listen %s would take keys over the network in the clear: give --tls-cert and --tls-key, or --insecure-http behind a proxy that has TLS", o.listen)
}

func parseNetworks(list []string) (networks []netip.Prefix, err error) {
	for _, text := range list {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			addr, err2 := netip.ParseAddr(text)
			if err2 != nil {
				return nil, usagef("--trusted-proxy %s: expected a network such as 10.0.0.0/8 or an address", text)
			}
			p = netip.PrefixFrom(addr, addr.BitLen())
		}
		networks = append(networks, p.Masked())
	}
	return networks, nil
}

func newLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, usagef("--log-level %s: there are debug, info, warn and error", level)
	}
	o := &slog.HandlerOptions{Level: l, ReplaceAttr: redact}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return nil, usagef("--log-format %s: there are text and json", format)
}

// redact is the last gate before the log: no attribute of such a name gets
// through, whoever logs it.
func redact(_ []string, a slog.Attr) slog.Attr {
	switch strings.ToLower(a.Key) {
	case "authorization", "password", "secret", "token", "username", "email", "emails", "body", "query":
		return slog.String(a.Key, "(redacted)")
	}
	return a
}
