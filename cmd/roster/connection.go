package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/scim"
)

// A connection is where a command acts: the settings of every command that
// talks to a service.
type connection struct {
	url       string
	directory string
	keyFile   string
	ruleSet   string
	timeout   time.Duration
}

// addServerFlags adds the flags of every command that talks to a service.
func (c *connection) addServerFlags(f *pflag.FlagSet) {
	f.StringVar(&c.url, "url", "http://127.0.0.1:8080", "`URL` of the service; of any SCIM service its base URL")
	f.StringVar(&c.keyFile, "key-file", "", "`file` that holds the API key, - for standard input (or ROSTER_KEY)")
	f.DurationVar(&c.timeout, "timeout", 30*time.Second, "how long the service may take to answer one request")
}

// addDirectoryFlags adds the flags of those that act in one directory.
func (c *connection) addDirectoryFlags(f *pflag.FlagSet) {
	c.addServerFlags(f)
	f.StringVar(&c.directory, "directory", "", "`id` of the directory (default: the only one, or the server's default)")
}

// addRuleSetFlag adds the flag of those that foretell what a directory does.
func (c *connection) addRuleSetFlag(f *pflag.FlagSet) {
	f.StringVar(&c.ruleSet, "rule-set", scim.Standard, "`name` of the directory's rule set, where the service does not tell it: "+strings.Join(scim.RuleSetNames, ", "))
}

// rules returns the rule set that was given.
func (c *connection) rules() (scim.RuleSet, error) {
	r, err := scim.Rules(c.ruleSet)
	if err != nil {
		return r, usagef("--rule-set: %w", err)
	}
	return r, nil
}

// open returns a client of the service, with the directory that was named, if
// one was.
func (c *connection) open(g *globals) (*client.Client, error) {
	key, err := g.secret("ROSTER_KEY", c.keyFile)
	if err != nil {
		return nil, err
	}
	if key == "" {
		return nil, &usageError{errors.New("no key: set ROSTER_KEY, or give --key-file FILE (- for standard input)")}
	}
	u, err := url.Parse(c.url)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.User != nil {
		return nil, usagef("--url must be a URL such as https://users.corp.example")
	}
	if u.Scheme == "http" && !isLoopback(u.Hostname()) {
		fmt.Fprintf(g.stderr, "warning: the key goes to %s in the clear: use https\n", u.Host)
	}
	base, directory := strings.TrimRight(c.url, "/"), c.directory
	// The "directory base URL" that an administrator copies from a console.
	if before, after, ok := strings.Cut(base, "/scim/directory/"); ok && directory == "" {
		id, _, _ := strings.Cut(after, "/")
		if base = before; id != "" {
			if directory, err = url.PathUnescape(id); err != nil {
				return nil, usagef("--url: %w", err)
			}
		}
	}
	return &client.Client{
		BaseURL:   base,
		Directory: directory,
		Key:       key,
		UserAgent: "roster/" + buildVersion(),
		Retries:   3,
		RetryWait: 250 * time.Millisecond,
		Timeout:   c.timeout,
	}, nil
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// openDirectory returns a client of one directory: the one that was named, else
// the only one that the key reaches, or the default one of the server. A URL
// with a path is the SCIM base of some other service, and needs none.
func (c *connection) openDirectory(ctx context.Context, g *globals) (*client.Client, error) {
	cl, err := c.open(g)
	if err != nil || cl.Directory != "" {
		return cl, err
	}
	if u, err := url.Parse(cl.BaseURL); err == nil && u.Path != "" {
		return cl, nil
	}
	list, err := cl.Management().ListDirectories(ctx)
	var se *scim.Error
	if errors.As(err, &se) && se.Status == http.StatusNotFound {
		return nil, usagef("--directory is needed: %s does not list its directories", cl.BaseURL)
	}
	if err != nil {
		return nil, err
	}
	found := choose(list)
	if found == nil {
		var names []string
		for _, d := range list {
			names = append(names, d.ID+" ("+printable(d.Name)+")")
		}
		if len(names) == 0 {
			return nil, usagef("the server has no directory: make one with roster directory create NAME")
		}
		return nil, usagef("--directory is needed, there are %d: %s", len(list), strings.Join(names, ", "))
	}
	return &client.Client{
		BaseURL: cl.BaseURL, Directory: found.ID, Key: cl.Key, UserAgent: cl.UserAgent,
		Retries: cl.Retries, RetryWait: cl.RetryWait, Timeout: cl.Timeout,
	}, nil
}

func choose(list []*roster.Directory) *roster.Directory {
	for _, d := range list {
		if d.Default || len(list) == 1 {
			return d
		}
	}
	return nil
}
