package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/roster-scim/roster/internal/workflow"
	"github.com/roster-scim/roster/scim"
)

func newConnectionCmd(g *globals) *cobra.Command {
	cmd := newGroup("connection", "Keep, test and choose the directories that commands act on",
		newConnectionAddCmd(g), newConnectionListCmd(g), newConnectionTestCmd(g),
		newConnectionUseCmd(g), newConnectionRemoveCmd(g))
	cmd.Long = `A connection is a name for where commands act: the URL of a service, the id of a
directory, its key and its rule set. A command acts on, in this order:

  1. the connection of --connection NAME
  2. --url, --directory and --key-file, where --url or --key-file is given
  3. the connection that ROSTER_CONNECTION names
  4. the connection in use (roster connection use NAME)
  5. ROSTER_URL, ROSTER_DIRECTORY and ROSTER_KEY

Connections are kept in $XDG_CONFIG_HOME/roster/connections (~/.config when it is
not set), a file for each, which nobody else may read.

With --server these commands are about the connections that a Roster keeps for the
workflows of a directory: those, and not yours, are what its workflows can name.`
	return cmd
}

// A preset is a sort of service.
type preset struct {
	name    string
	url     string // empty: the person gives it
	ruleSet string // empty: the service tells it, or the person gives it
}

var presets = []preset{
	{"atlassian", "https://api.atlassian.com", scim.Atlassian},
	{"roster", "", ""},
}

type connectionAddOptions struct {
	connection
	as     string // the name that it gets
	preset string
	use    bool
	noTest bool
	server bool
}

func newConnectionAddCmd(g *globals) *cobra.Command {
	o := new(connectionAddOptions)
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Keep a connection, after a test; another one of that name is replaced",
		Long: `Keep a connection, after a test of it. The key comes from --key-file (- is standard
input) or ROSTER_KEY, else you are asked for it. The first connection is put in use.

  --preset atlassian   Atlassian's cloud: needs the directory's id and its key, which
                       the organisation's administration showed when the directory
                       was made; the API key of the organisation does not fit
  --preset roster      a Roster: tells its rule set and, where there is one or a
                       default one, its directory
  neither              any SCIM service: --url is its base URL

With --server the connection is kept by the Roster that a command acts on, for the
workflows of its directory. --connection, ROSTER_CONNECTION and ROSTER_URL with
ROSTER_DIRECTORY and ROSTER_KEY say which Roster; the flags say what the connection
is, and its key comes from --key-file or ROSTER_CONNECTION_KEY, else you are asked.
The key is never shown again. The Roster tests the connection.`,
		Example: `  roster connection add cloud --preset atlassian --directory 2fb21891-7bee-4f6b-a3a5-0c51e2a9b1f4
  roster connection add local --preset roster --url http://127.0.0.1:8080 --key-file - < key
  roster connection add other --url https://service.example/scim/v2 --rule-set strict
  roster connection add cloud --server --preset atlassian --directory 2fb21891-7bee-4f6b-a3a5-0c51e2a9b1f4`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.as = args[0]
			if o.server {
				return runServerConnectionAdd(cmd.Context(), g, o)
			}
			if cmd.Flags().Changed("connection") {
				return usagef("--connection is for --server: it says which Roster keeps the connection")
			}
			return runConnectionAdd(cmd.Context(), g, o)
		},
	}
	f := cmd.Flags()
	o.addURLFlags(f)
	f.StringVar(&o.directory, "directory", "", "`id` of the directory (default: the only one, or the server's default)")
	o.addRuleSetFlag(f)
	f.StringVar(&o.preset, "preset", "", "`name` of what the service is: atlassian or roster")
	f.BoolVar(&o.use, "use", false, "put it in use, though another one is")
	f.BoolVar(&o.noTest, "no-test", false, "keep it without asking the service anything")
	f.StringVar(&o.name, "connection", "", "with --server, `name` of the saved connection to the Roster (default: the one in use)")
	addServerFlag(f, &o.server)
	perCall(f, "preset", "use", "no-test")
	return cmd
}

// choosePreset takes what the preset says where no flag says otherwise.
func (o *connectionAddOptions) choosePreset() error {
	if o.preset == "" {
		return nil
	}
	for _, p := range presets {
		if p.name != o.preset {
			continue
		}
		if p.url != "" && !o.flags.Changed("url") {
			o.url = p.url
		}
		if p.ruleSet != "" && !o.flags.Changed("rule-set") {
			o.ruleSet = p.ruleSet
		}
		if p.url != "" && o.directory == "" && !strings.Contains(o.url, "/scim/directory/") {
			return usagef("--preset %s needs --directory: the id is in the directory base URL that the administration shows", p.name)
		}
		return nil
	}
	return usagef("--preset %s: there are atlassian and roster", o.preset)
}

func runConnectionAdd(ctx context.Context, g *globals, o *connectionAddOptions) error {
	if err := checkConnectionName(o.as); err != nil {
		return err
	}
	if err := o.choosePreset(); err != nil {
		return err
	}
	rules, err := o.rules(g)
	if err != nil {
		return err
	}
	files, err := newConnectionFiles(g)
	if err != nil {
		return err
	}
	key, err := g.secret("ROSTER_KEY", o.keyFile)
	if err != nil {
		return err
	}
	if key == "" {
		if key, err = g.askKey("Key of the directory: "); err != nil {
			return err
		}
	}
	c, err := o.client(g, key)
	if err != nil {
		return err
	}
	saved := &savedConnection{Name: o.as, URL: c.BaseURL, Directory: c.Directory, Key: key, RuleSet: rules.Name}
	if !o.noTest {
		r, err := examine(ctx, c, saved)
		if err != nil {
			return err
		}
		if o.preset == "roster" && !r.Roster {
			return &workflow.Diagnosis{What: "the service at " + c.BaseURL + " is no Roster", Next: "roster connection add " + o.as + " without --preset"}
		}
		saved.Directory, saved.RuleSet = r.Directory, r.RuleSet
		r.warn(g.stderr)
	}
	before, err := files.names()
	if err != nil {
		return err
	}
	if err := files.save(saved); err != nil {
		return fmt.Errorf("keep the connection: %w", err)
	}
	said := fmt.Sprintf("Kept connection %s: %s", o.as, printable(saved.URL))
	if saved.Directory != "" {
		said += ", directory " + printable(saved.Directory)
	}
	said += ", key " + maskKey(key)
	if o.use || len(before) == 0 {
		if err := files.use(o.as); err != nil {
			return err
		}
		said += "; it is in use"
	}
	_, err = fmt.Fprintln(g.stderr, said+".")
	return err
}

// askKey asks for a key on the terminal, where it does not show.
func (g *globals) askKey(question string) (string, error) {
	f, ok := g.stdin.(*os.File)
	if !ok || !isatty.IsTerminal(f.Fd()) || g.noInput {
		return "", usagef("no key: give --key-file FILE (- for standard input) or ROSTER_KEY, or run it on a terminal to be asked")
	}
	// The terminal stops to show what is typed before the question, not after it:
	// a key that is pasted at once must not show either.
	state, err := term.MakeRaw(int(f.Fd()))
	if err != nil {
		return "", fmt.Errorf("read the key: %w", err)
	}
	key, err := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{f, g.stderr}, "").ReadPassword(question)
	if err = errors.Join(err, term.Restore(int(f.Fd()), state)); err != nil {
		return "", fmt.Errorf("read the key: %w", err)
	}
	if key = strings.TrimSpace(key); key == "" {
		return "", usagef("no key was typed")
	}
	return key, nil
}

type connectionOptions struct {
	connection
	output outputFormat
	server bool
}

func addServerFlag(f *pflag.FlagSet, server *bool) {
	f.BoolVar(server, "server", false, "the connections that the Roster keeps for its workflows, not yours")
	perCall(f, "server")
}

// addWhichFlags adds --server, and the flags that say which Roster and directory
// are meant by it.
func (o *connectionOptions) addWhichFlags(f *pflag.FlagSet) {
	addServerFlag(f, &o.server)
	o.addDirectoryFlags(f)
}

// checkLocal refuses what is for --server alone.
func (o *connectionOptions) checkLocal() error {
	for _, flag := range []string{"connection", "url", "key-file", "directory", "timeout"} {
		if o.flags.Changed(flag) {
			return usagef("--%s is for --server: it says which Roster is meant", flag)
		}
	}
	return nil
}

func newConnectionListCmd(g *globals) *cobra.Command {
	o := new(connectionOptions)
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the connections, and which one is in use",
		Example: "  roster connection list\n  roster connection list --server",
		Args:    noArg,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.server {
				return runServerConnectionList(cmd.Context(), g, o)
			}
			if err := o.checkLocal(); err != nil {
				return err
			}
			return runConnectionList(g, o)
		},
	}
	o.addWhichFlags(cmd.Flags())
	o.output.addFlag(cmd.Flags())
	return cmd
}

// A shownConnection is a connection as it is printed: with its key masked.
type shownConnection struct {
	Name      string `json:"name"`
	InUse     bool   `json:"inUse"`
	URL       string `json:"url"`
	Directory string `json:"directory"`
	RuleSet   string `json:"ruleSet"`
	Key       string `json:"key"`
}

func runConnectionList(g *globals, o *connectionOptions) error {
	files, err := newConnectionFiles(g)
	if err != nil {
		return err
	}
	names, err := files.names()
	if err != nil {
		return err
	}
	current, err := files.current()
	if err != nil {
		return err
	}
	l := newListing(g.stdout, o.output, "NAME", "IN USE", "URL", "DIRECTORY", "RULE SET", "KEY")
	for _, name := range names {
		s, err := files.load(name)
		if err != nil { // the others are still worth a line
			fmt.Fprintln(g.stderr, "warning:", err)
			continue
		}
		shown := shownConnection{name, name == current, s.URL, s.Directory, s.RuleSet, maskKey(s.Key)}
		if err := l.add(shown, name, yes(shown.InUse), s.URL, s.Directory, s.RuleSet, shown.Key); err != nil {
			return err
		}
	}
	return l.end()
}

// yes words a boolean for a table, in which few are true.
func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

func newConnectionUseCmd(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:               "use NAME",
		Short:             "Put a connection in use: commands act on it unless told otherwise",
		Example:           "  roster connection use cloud",
		Args:              oneArg,
		ValidArgsFunction: completeConnections(g),
		RunE: func(_ *cobra.Command, args []string) error {
			files, err := newConnectionFiles(g)
			if err != nil {
				return err
			}
			s, err := files.load(args[0])
			if err != nil {
				return err
			}
			if err := files.use(s.Name); err != nil {
				return err
			}
			_, err = fmt.Fprintf(g.stderr, "Connection %s is in use: %s.\n", s.Name, printable(s.URL))
			return err
		},
	}
}

func newConnectionRemoveCmd(g *globals) *cobra.Command {
	o := new(connectionOptions)
	cmd := &cobra.Command{
		Use:   "remove NAME",
		Short: "Forget a connection and its key",
		Long: `Forget a connection and its key. The key itself stays good: end it with roster key
revoke, or where it was made. A Roster keeps one that a deployed workflow uses.`,
		Example:           "  roster connection remove cloud\n  roster connection remove cloud --server",
		Args:              oneArg,
		ValidArgsFunction: completeConnections(g),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.server {
				return runServerConnectionRemove(cmd.Context(), g, o, args[0])
			}
			if err := o.checkLocal(); err != nil {
				return err
			}
			return runConnectionRemove(g, args[0])
		},
	}
	o.addWhichFlags(cmd.Flags())
	return cmd
}

func runConnectionRemove(g *globals, name string) error {
	if err := checkConnectionName(name); err != nil {
		return err
	}
	files, err := newConnectionFiles(g)
	if err != nil {
		return err
	}
	current, err := files.current()
	if err != nil {
		return err
	}
	if err := files.remove(name); err != nil {
		return err
	}
	said := "Removed connection " + name
	if name == current {
		if err := files.use(""); err != nil {
			return err
		}
		said += ", which was in use: none is now"
	}
	_, err = fmt.Fprintln(g.stderr, said+".")
	return err
}

// completeConnections completes the names of connections.
func completeConnections(g *globals) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		files, err := newConnectionFiles(g)
		if err != nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names, err := files.names()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
