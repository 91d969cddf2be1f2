package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/roster-scim/roster/action"
	"github.com/roster-scim/roster/client"
)

func newActionCmd(g *globals) *cobra.Command {
	return newGroup("action", "List, show and run the provisioning actions",
		newActionListCmd(g), newActionShowCmd(g), newActionRunGroup(g))
}

func newActionListCmd(g *globals) *cobra.Command {
	var output outputFormat
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List all actions; as JSON, their whole manifests",
		Example: `  roster action list
  roster action list -o json`,
		Args: noArg,
		RunE: func(*cobra.Command, []string) error {
			l := newListing(g.stdout, output, "NAME", "REQUEST", "WRITES", "SUMMARY")
			for _, a := range action.All() {
				if err := l.add(a.Manifest, a.Name, a.Method+" "+a.Path, yes(a.Writes), a.Summary); err != nil {
					return err
				}
			}
			return l.end()
		},
	}
	output.addFlag(cmd.Flags())
	return cmd
}

func newActionShowCmd(g *globals) *cobra.Command {
	var output outputFormat
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show one action: its parameters, an example of its output, its request",
		Example: `  roster action show update-user
  roster action show list-groups -o json`,
		Args: oneArg,
		RunE: func(_ *cobra.Command, args []string) error {
			a, err := action.Find(args[0])
			if err != nil {
				return &usageError{err}
			}
			return showAction(g, output, a.Manifest)
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			var names []string
			for _, a := range action.All() {
				names = append(names, a.Name+"\t"+a.Summary)
			}
			if len(args) > 0 {
				names = nil
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
	output.addFlag(cmd.Flags())
	return cmd
}

// showAction prints a manifest. As CSV it is a row for each parameter.
func showAction(g *globals, o outputFormat, m *action.Manifest) error {
	switch o {
	case outputJSON, outputNDJSON:
		return newListing(g.stdout, o).one(m, nil)
	case outputCSV:
		l := newListing(g.stdout, o, "NAME", "TITLE", "FLAG", "TYPE", "REQUIRED", "DESCRIPTION")
		for _, p := range m.Parameters() {
			if err := l.add(p, p.Name, p.Title, p.Flag, string(p.Type), yes(p.Required), p.Description); err != nil {
				return err
			}
		}
		return l.end()
	}
	fmt.Fprintf(g.stdout, "%s\n\n%s\n\n%s\n", m.Title, m.Summary, m.Description)
	for _, group := range []struct {
		title      string
		parameters []action.Parameter
	}{{"Basic Parameters", m.Basic}, {"Advanced Parameters", m.Advanced}} {
		if len(group.parameters) == 0 {
			continue
		}
		fmt.Fprintf(g.stdout, "\n%s\n\n", group.title)
		t := newTable(g.stdout)
		for _, p := range group.parameters {
			t.row("  "+p.Title, "--"+p.Flag, string(p.Type), strings.ReplaceAll(p.Text(), "`", "'"))
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	if len(m.ExampleOutput) > 0 {
		fmt.Fprintf(g.stdout, "\nExample Output\n\n%s\n", m.ExampleOutput)
	}
	_, err := fmt.Fprintf(g.stdout, "\nCommand\n\n  %s\n\nHTTP\n\n  %s %s\n  %s\n", strings.Join(m.Examples(), "\n  "), m.Method, m.Target(), m.Documentation)
	return err
}

func newActionRunGroup(g *globals) *cobra.Command {
	run := newGroup("run", "Run an action")
	for _, a := range action.All() {
		cmd := actionCommand(g, a, a.Name, false)
		examples := a.Examples()
		cmd.Example = "  " + examples[len(examples)-1]
		run.AddCommand(cmd)
	}
	return run
}

// actionCommand returns the command of an action. A friendly one takes the id as an
// argument, and lists all pages unless one is asked for.
func actionCommand(g *globals, a *action.Action, name string, friendly bool) *cobra.Command {
	if a.Writes {
		return newWriteCommand(g, a, name, friendly)
	}
	return newReadCommand(g, a, name, friendly)
}

// friendlyCommands returns the commands of the actions whose friendlier command is
// below noun.
func friendlyCommands(g *globals, noun string) (commands []*cobra.Command) {
	for _, a := range action.All() {
		if verb, ok := strings.CutPrefix(a.Command, noun+" "); ok {
			commands = append(commands, actionCommand(g, a, verb, true))
		}
	}
	return commands
}

func newGroupCmd(g *globals) *cobra.Command {
	return newGroup("group", "Create, read, update and delete the groups of a directory", friendlyCommands(g, "group")...)
}

type actionOptions struct {
	connection
	actionFlags
	action   *action.Action
	output   outputFormat
	limit    int
	friendly bool
}

// newReadCommand returns the command of an action that reads.
func newReadCommand(g *globals, a *action.Action, name string, friendly bool) *cobra.Command {
	o := &actionOptions{action: a, friendly: friendly}
	cmd := &cobra.Command{
		Use:     name,
		Short:   short(a.Manifest),
		Long:    a.Summary + "\n\n" + a.Description,
		Example: "  " + a.Examples()[0],
		Args:    noArg,
	}
	f := cmd.Flags()
	if a.Organization {
		o.addServerFlags(f)
	} else {
		o.addDirectoryFlags(f)
	}
	o.addFlags(cmd, a.Manifest, friendly)
	if o.argument != "" {
		cmd.Use, cmd.Args = name+" ID", oneArg
	}
	o.completeParameters(g, cmd, &o.connection)
	if a.Parameter("all") != nil {
		cmd.Args = o.allArg
	}
	if o.lists() {
		f.IntVar(&o.limit, "limit", 0, "`number` to show at the most (default: all)")
		f.Lookup("all").Usage = "Whether to go on through all pages (default: true, unless --count or --start-index asks for one)"
		perCall(f, "limit")
	}
	o.output.addFlag(f)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in, err := o.input(g, args)
		if err != nil {
			return err
		}
		return runAction(cmd.Context(), g, o, in)
	}
	return cmd
}

// allArg takes the word of "--all false": a flag that may stand alone leaves it among
// the arguments, of which there are none else.
func (o *actionOptions) allArg(cmd *cobra.Command, args []string) error {
	all := o.values["all"]
	if n := len(all.texts); n > 0 && all.texts[n-1] == "true" && len(args) == 1 && (args[0] == "true" || args[0] == "false") {
		all.texts[n-1] = args[0]
		return nil
	}
	return noArg(cmd, args)
}

// short is the summary of an action as the lists of commands have it: without a period.
func short(m *action.Manifest) string { return strings.TrimSuffix(m.Summary, ".") }

// lists reports whether the command is a friendly one that lists resources.
func (o *actionOptions) lists() bool { return o.friendly && o.action.Parameter("all") != nil }

func runAction(ctx context.Context, g *globals, o *actionOptions, in action.Input) error {
	if o.limit < 0 {
		return usagef("--limit must not be negative")
	}
	if o.lists() && in["count"] == nil && in["startIndex"] == nil && in["all"] == nil {
		in["all"] = jsontext.Value("true")
		if o.limit > 0 {
			if err := in.Set("count", o.limit); err != nil {
				return err
			}
		}
	}
	if err := o.action.Validate(in); err != nil {
		return err
	}
	var c *client.Client
	var err error
	if o.action.Organization {
		c, err = o.open(g)
	} else {
		c, err = o.openDirectory(ctx, g)
	}
	if err != nil {
		return err
	}
	out, err := o.action.Run(ctx, c, in)
	if err != nil {
		return actionHint(err, o.action.Manifest, in)
	}
	warnIgnored(g.stderr, out.Ignored)
	return o.print(g, out, in)
}

// actionHint adds to an error what to try next.
func actionHint(err error, m *action.Manifest, in action.Input) error {
	userID, groupID := in["userId"], in["groupId"]
	switch {
	case m.Organization:
		err = hint(err, http.StatusUnauthorized, "the key of the organisation, which is not that of a directory (on a Roster an operator key)")
		return hint(err, http.StatusForbidden, "the key of the organisation, which is not that of a directory (on a Roster an operator key)")
	case userID != nil:
		return changed(noUser(err, plain(userID)), plain(userID))
	case groupID != nil:
		err = hint(err, http.StatusNotFound, `roster group list, and roster user list for its members`)
		return hint(err, http.StatusPreconditionFailed, "roster group get %s, to see what it is now", plain(groupID))
	}
	return err
}

// done words what an action without an output has done.
var done = map[string][2]string{ // the text, and the parameter that is named in it
	"delete-user":            {"Deleted user %s.", "userId"},
	"delete-group":           {"Deleted group %s.", "groupId"},
	"unlink":                 {"Unlinked user %s.", "scimUserId"},
	"only-delete-user-in-db": {"Deleted the records of account %s.", "accountId"},
}

// print prints what an action gave. A list is printed one by one; only the JSON
// of action run is the output as its manifest shows it.
func (o *actionOptions) print(g *globals, out *action.Output, in action.Input) error {
	if out.List != nil && (o.friendly || o.output != outputJSON) {
		return o.printList(g, out)
	}
	return printOutput(g, o.output, o.action.Manifest, out, in)
}

// printOutput prints an output whole, or says what was done where there is none.
func printOutput(g *globals, o outputFormat, m *action.Manifest, out *action.Output, in action.Input) error {
	if out.List != nil || len(out.Body) > 0 {
		body, err := out.JSON()
		if err != nil {
			return err
		}
		return printResource(g, o, m.Columns, body)
	}
	text, ok := done[m.Name]
	if !ok {
		return errors.New(m.Name + " has given nothing")
	}
	_, err := fmt.Fprintf(g.stderr, text[0]+"\n", printable(plain(in[text[1]])))
	return err
}

func (o *actionOptions) printList(g *globals, out *action.Output) error {
	l := newListing(g.stdout, o.output, heads(o.action.Columns)...)
	n := 0
	for doc, err := range out.List {
		if err == nil {
			err = l.add(doc, cells(o.action.Columns, doc)...)
		}
		if err != nil {
			return err
		}
		if n++; n == o.limit {
			break
		}
	}
	return l.end()
}

// printResource prints a JSON object: for people as lines, as CSV with the
// columns, or else its members, as the heads.
func printResource(g *globals, o outputFormat, columns []action.Column, doc jsontext.Value) error {
	switch {
	case o == outputTable:
		return printDocument(g.stdout, doc)
	case o != outputCSV:
		return newListing(g.stdout, o).one(doc, nil)
	case columns == nil:
		var fields [][2]string
		if err := eachMember(doc, func(name string, v jsontext.Value) error {
			fields = append(fields, [2]string{name, plain(v)})
			return nil
		}); err != nil {
			return err
		}
		return newListing(g.stdout, o).one(doc, fields)
	}
	l := newListing(g.stdout, o, heads(columns)...)
	if err := l.add(doc, cells(columns, doc)...); err != nil {
		return err
	}
	return l.end()
}

func heads(columns []action.Column) []string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Title
	}
	return names
}

// cells returns what a resource has in each column.
func cells(columns []action.Column, doc jsontext.Value) []string {
	out := make([]string, len(columns))
	for i, c := range columns {
		if v := valueAt(doc, c.Path); len(v) > 0 && v.Kind() != 'n' {
			out[i] = plain(v)
		}
	}
	return out
}

// valueAt returns the value at a path of attributes, empty when there is none. Of an
// array it goes into the primary value, else the first one.
func valueAt(doc jsontext.Value, path string) (found jsontext.Value) {
	switch doc.Kind() {
	case '[':
		return valueAt(mainValue(doc), path)
	case '{':
	default:
		return nil
	}
	name, rest, _ := strings.Cut(path, ".")
	err := eachMember(doc, func(member string, v jsontext.Value) error {
		if strings.EqualFold(member, name) {
			found = v
		}
		return nil
	})
	if err != nil || rest == "" {
		return found
	}
	return valueAt(found, rest)
}

// mainValue returns the primary value of an array, else the first one.
func mainValue(list jsontext.Value) (first jsontext.Value) {
	dec := jsontext.NewDecoder(strings.NewReader(string(list)))
	if _, err := dec.ReadToken(); err != nil {
		return nil
	}
	for dec.PeekKind() != ']' {
		v, err := dec.ReadValue()
		if err != nil {
			return first
		}
		v = v.Clone()
		if v.Kind() == '{' && strings.EqualFold(plain(valueAt(v, "primary")), "true") {
			return v
		}
		if first == nil {
			first = v
		}
	}
	return first
}
