package main

import (
	"context"
	"fmt"
	"io"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/internal/workflow"
)

func newConnectionTestCmd(g *globals) *cobra.Command {
	o := new(connectionOptions)
	cmd := &cobra.Command{
		Use:   "test [NAME]",
		Short: "Say whether a connection works, what is wrong with it, and what its key may do",
		Long: `Say whether a connection works, and what is wrong when it does not: no network, no
such host, a certificate that is not trusted, another address, no SCIM service, a
wrong key or a wrong directory. It reads, and writes nothing; so whether writes are
allowed is known of a Roster alone, which tells the scopes of a key.

Without NAME it tests what a command would act on. With --server the Roster that a
command acts on tests its own connection NAME, from where it stands.`,
		Example: `  roster connection test
  roster connection test cloud -o json
  roster connection test cloud --server`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: completeConnections(g),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.server || len(args) > 1 {
				if err := oneArg(cmd, args); err != nil {
					return err
				}
				return runServerConnectionTest(cmd.Context(), g, o, args[0])
			}
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
	o.addWhichFlags(f)
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
	RuleSet    string         `json:"ruleSet"`
	Users      string         `json:"users"`
	Writes     string         `json:"writes"`
	Scopes     []roster.Scope `json:"scopes,omitzero"`

	operator bool
}

func (r *examination) warn(w io.Writer) {
	if r.operator {
		fmt.Fprintf(w, "warning: this is an operator key, good for every directory of the server: make one for this directory alone\n  try: roster key create NAME --directory %s --scopes users:write,groups:write,events:read\n", printable(r.Directory))
	}
}

// examine reads what a connection leads to. An error is a *workflow.Diagnosis, or
// says that the directory is not clear.
func examine(ctx context.Context, c *client.Client, s *savedConnection) (*examination, error) {
	// One attempt: who tests wants to know now.
	once := at(c, c.Directory, -1)
	x := workflow.Examiner{RuleSet: s.RuleSet, Key: maskKey(s.Key)}
	if u, err := url.Parse(c.BaseURL); err == nil && u.Path == "" && once.Directory == "" {
		list, err := once.Management().ListDirectories(ctx)
		if err != nil {
			return nil, x.Diagnose(once, err)
		}
		found, err := oneDirectory(list)
		if err != nil {
			return nil, err
		}
		once = at(c, found.ID, -1)
	}
	r, err := x.Examine(ctx, once)
	if err != nil {
		return nil, err
	}
	return &examination{
		Connection: s.Name, URL: c.BaseURL, Directory: r.Directory, Key: x.Key, Roster: r.Roster, RuleSet: r.RuleSet,
		Users: r.Users, Writes: r.Writes, Scopes: r.Scopes, operator: r.Operator,
	}, nil
}
