package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/pflag"

	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/internal/workflow"
	"github.com/roster-scim/roster/scim"
)

// The connections that a Roster keeps for its workflows: roster connection with
// --server.

// keeper returns the Roster that is to keep the connection, and the id of the
// directory there. Flags on the command line are about the connection, but for
// --connection; what the environment and the configuration say is about the Roster.
func (o *connectionAddOptions) keeper(ctx context.Context, g *globals) (client.Management, string, error) {
	at := new(connectionOptions)
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	at.addDirectoryFlags(f)
	at.name, at.timeout = o.name, o.timeout
	for flag, v := range map[string]struct{ here, there *string }{
		"url": {&o.url, &at.url}, "directory": {&o.connection.directory, &at.directory}, "key-file": {&o.keyFile, &at.keyFile},
	} {
		if o.flags.Changed(flag) { // so the environment was not read for it
			*v.there = cmp.Or(g.getenv(envName(flag)), *v.there)
		} else {
			*v.there = *v.here
		}
	}
	return at.roster(ctx, g)
}

// roster returns the Roster that is meant, and the id of the directory there.
func (o *connectionOptions) roster(ctx context.Context, g *globals) (client.Management, string, error) {
	c, err := o.openDirectory(ctx, g)
	if err != nil {
		return client.Management{}, "", err
	}
	if c.Directory == "" {
		return client.Management{}, "", usagef("--server: %s is no Roster", printable(c.BaseURL))
	}
	return c.Management(), c.Directory, nil
}

func runServerConnectionAdd(ctx context.Context, g *globals, o *connectionAddOptions) error {
	if o.use {
		return usagef("--use and --server exclude each other: it is your own connection that is in use")
	}
	m, directory, err := o.keeper(ctx, g)
	if err != nil {
		return err
	}
	for flag, value := range map[string]*string{"url": &o.url, "directory": &o.connection.directory, "key-file": &o.keyFile} {
		if !o.flags.Changed(flag) {
			*value = ""
		}
	}
	if !o.flags.Changed("rule-set") {
		o.ruleSet = scim.Standard
	}
	if err := o.choosePreset(); err != nil {
		return err
	}
	if o.url == "" {
		return usagef("--url is needed: that of the service to which the connection leads")
	}
	key, err := g.secret("ROSTER_CONNECTION_KEY", o.keyFile)
	if err != nil {
		return err
	}
	if key == "" {
		if key, err = g.askKey("Key of the connection: "); err != nil {
			return err
		}
	}
	to, err := o.client(g, key) // which takes a directory's base URL apart
	if err != nil {
		return err
	}
	in := client.ConnectionInput{URL: to.BaseURL, Directory: to.Directory, RuleSet: o.ruleSet, Key: key}
	kept, err := m.CreateConnection(ctx, directory, o.as, in)
	var se *scim.Error
	if errors.As(err, &se) && se.Status == http.StatusConflict && se.Type == scim.Uniqueness {
		kept, err = m.ReplaceConnection(ctx, directory, o.as, 0, in)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(g.stderr, "The Roster keeps connection %s for directory %s: %s\n", printable(kept.Name), printable(kept.Owner), printable(kept.URL))
	if o.noTest {
		return nil
	}
	_, err = testOnServer(ctx, m, directory, o.as)
	return err
}

// testOnServer returns what the Roster found, or a *workflow.Diagnosis.
func testOnServer(ctx context.Context, m client.Management, directory, name string) (*client.ConnectionTest, error) {
	r, err := m.TestConnection(ctx, directory, name)
	if err == nil && !r.Works {
		err = &workflow.Diagnosis{What: "connection " + name + " of the Roster: " + r.Fault, Next: r.Next}
	}
	return r, err
}

func runServerConnectionList(ctx context.Context, g *globals, o *connectionOptions) error {
	m, directory, err := o.roster(ctx, g)
	if err != nil {
		return err
	}
	list, err := m.ListConnections(ctx, directory)
	if err != nil {
		return err
	}
	l := newListing(g.stdout, o.output, "NAME", "URL", "DIRECTORY", "RULE SET", "MODIFIED")
	for _, c := range list {
		if err := l.add(c, c.Name, c.URL, c.Directory, c.RuleSet, when(c.Modified)); err != nil {
			return err
		}
	}
	return l.end()
}

func runServerConnectionTest(ctx context.Context, g *globals, o *connectionOptions, name string) error {
	m, directory, err := o.roster(ctx, g)
	if err != nil {
		return err
	}
	r, err := testOnServer(ctx, m, directory, name)
	if err != nil {
		return err
	}
	return newListing(g.stdout, o.output).one(r, [][2]string{
		{"connection", name}, {"directory", r.Directory},
		{"service", map[bool]string{true: "Roster", false: "SCIM"}[r.Roster]}, {"ruleSet", r.RuleSet},
		{"users", r.Users}, {"writes", r.Writes},
	})
}

func runServerConnectionRemove(ctx context.Context, g *globals, o *connectionOptions, name string) error {
	m, directory, err := o.roster(ctx, g)
	if err != nil {
		return err
	}
	if err := m.DeleteConnection(ctx, directory, name, 0); err != nil {
		return hint(err, http.StatusNotFound, "roster connection list --server")
	}
	_, err = fmt.Fprintf(g.stderr, "Removed connection %s of directory %s.\n", printable(name), printable(directory))
	return err
}
