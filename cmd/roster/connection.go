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
// talks to a service. They are those of a saved connection, or the flags:
//
//  1. --connection NAME
//  2. --url or --key-file, on the command line: then no connection is read
//  3. ROSTER_CONNECTION, or a line of the configuration file
//  4. the connection in use
//  5. ROSTER_URL, ROSTER_DIRECTORY and ROSTER_KEY, or the configuration file
//
// --directory and --rule-set on the command line take the place of those of the
// connection.
type connection struct {
	flags *pflag.FlagSet
	name  string
	saved *savedConnection // the one that is used; nil: none

	url       string
	directory string
	keyFile   string
	ruleSet   string
	foretells bool // ruleSet is what the directory's is taken for
	timeout   time.Duration
}

// addServerFlags adds the flags of every command that talks to a service.
func (c *connection) addServerFlags(f *pflag.FlagSet) {
	f.StringVar(&c.name, "connection", "", "`name` of a saved connection (default: the one in use, see roster connection)")
	c.addURLFlags(f)
}

// addURLFlags adds those that say where by themselves.
func (c *connection) addURLFlags(f *pflag.FlagSet) {
	c.flags = f
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
	c.foretells = true
	f.StringVar(&c.ruleSet, "rule-set", scim.Standard, "`name` of the directory's rule set, where the service does not tell it: "+strings.Join(scim.RuleSetNames, ", "))
}

// rules returns the rule set that was given, or is that of the connection.
func (c *connection) rules(g *globals) (scim.RuleSet, error) {
	if err := c.resolve(g); err != nil {
		return scim.RuleSet{}, err
	}
	r, err := scim.Rules(c.ruleSet)
	if err != nil {
		return r, usagef("--rule-set: %w", err)
	}
	return r, nil
}

// resolve finds the saved connection that is meant, if one is, and takes what it
// says.
func (c *connection) resolve(g *globals) error {
	if c.saved != nil || c.flags.Lookup("connection") == nil {
		return nil
	}
	named := c.flags.Changed("connection")
	for _, flag := range []string{"url", "key-file"} {
		switch {
		case !c.flags.Changed(flag):
		case named:
			return usagef("--connection and --%s exclude each other: the connection has its own", flag)
		default:
			return nil
		}
	}
	if c.name == "" && defaultConfig(g) == "" {
		return nil
	}
	files, err := newConnectionFiles(g)
	if err != nil {
		return err
	}
	name := c.name
	if name == "" {
		if name, err = files.current(); err != nil || name == "" {
			return err
		}
	}
	saved, err := files.load(name)
	if err != nil {
		return err
	}
	if c.name == "" {
		for variable, value := range map[string]string{"ROSTER_URL": saved.URL, "ROSTER_KEY": saved.Key} {
			if other := g.getenv(variable); other != "" && other != value {
				fmt.Fprintf(g.stderr, "note: connection %s is in use, so %s is not read\n", name, variable)
			}
		}
	}
	c.saved, c.url = saved, saved.URL
	if !c.flags.Changed("directory") {
		c.directory = saved.Directory
	}
	// Of another directory the connection knows no rules.
	if c.foretells && !c.flags.Changed("rule-set") && saved.RuleSet != "" && c.directory == saved.Directory {
		c.ruleSet = saved.RuleSet
	}
	return nil
}

// key returns the API key.
func (c *connection) key(g *globals) (string, error) {
	if c.saved != nil {
		return c.saved.Key, nil
	}
	key, err := g.secret("ROSTER_KEY", c.keyFile)
	if err == nil && key == "" {
		why := &hintedError{errors.New("no key: no connection is in use, ROSTER_KEY is not set and there is no --key-file"), "roster connection add NAME"}
		if c.flags.Changed("url") {
			why = &hintedError{errors.New("no key: with --url no connection is read, ROSTER_KEY is not set and there is no --key-file"), "--key-file, ROSTER_KEY, or --connection in the place of --url"}
		}
		err = &usageError{why}
	}
	return key, err
}

// where words where a command acts, for a question.
func (c *connection) where(cl *client.Client) string {
	where := printable(cl.BaseURL)
	if cl.Directory != "" {
		where = "directory " + printable(cl.Directory) + " at " + where
	}
	if c.saved != nil {
		where = "connection " + c.saved.Name + ": " + where
	}
	return where
}

// open returns a client of the service, with the directory that was named, if
// one was.
func (c *connection) open(g *globals) (*client.Client, error) {
	if err := c.resolve(g); err != nil {
		return nil, err
	}
	key, err := c.key(g)
	if err != nil {
		return nil, err
	}
	return c.client(g, key)
}

// client returns a client of the service with a key.
func (c *connection) client(g *globals, key string) (*client.Client, error) {
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
		HTTP:      g.debugHTTP(),
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
	found, err := oneDirectory(list)
	if err != nil {
		return nil, err
	}
	return at(cl, found.ID, cl.Retries), nil
}

// at returns a client like c that acts in a directory.
func at(c *client.Client, directory string, retries int) *client.Client {
	return &client.Client{
		BaseURL: c.BaseURL, Directory: directory, Key: c.Key, HTTP: c.HTTP, UserAgent: c.UserAgent,
		Retries: retries, RetryWait: c.RetryWait, Timeout: c.Timeout,
	}
}

// oneDirectory returns the default directory, or the only one.
func oneDirectory(list []*roster.Directory) (*roster.Directory, error) {
	var names []string
	for _, d := range list {
		if d.Default || len(list) == 1 {
			return d, nil
		}
		names = append(names, d.ID+" ("+printable(d.Name)+")")
	}
	if len(names) == 0 {
		return nil, usagef("the server has no directory: make one with roster directory create NAME")
	}
	return nil, usagef("--directory is needed, there are %d: %s", len(list), strings.Join(names, ", "))
}
