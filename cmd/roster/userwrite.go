package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/roster-scim/roster/action"
	"github.com/roster-scim/roster/client"
)

type userWriteOptions struct {
	connection
	userFlags
	output  outputFormat
	id      string
	ifMatch string
	dryRun  bool
}

func newUserCreateCmd(g *globals) *cobra.Command {
	o := new(userWriteOptions)
	m := action.CreateUserManifest()
	cmd := &cobra.Command{
		Use:   "create",
		Short: m.Summary,
		Long:  m.Description,
		Example: `  roster user create --user-name ada@corp.example --email ada@corp.example \
      --given-name Ada --family-name Lovelace`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	o.addDirectoryFlags(f)
	o.addRuleSetFlag(f)
	o.userFlags.addFlags(f, m)
	o.output.addFlag(f)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		in, err := o.input(g, f)
		if err != nil {
			return err
		}
		return runUserCreate(cmd.Context(), g, o, in)
	}
	return cmd
}

func runUserCreate(ctx context.Context, g *globals, o *userWriteOptions, in action.Input) error {
	rules, err := o.rules()
	if err != nil {
		return err
	}
	t, err := action.UserType(rules)
	if err != nil {
		return err
	}
	if err := action.ValidateCreateUser(t, in); err != nil {
		return err
	}
	c, err := o.openDirectory(ctx, g)
	if err != nil {
		return err
	}
	u, err := (&action.CreateUser{Client: c, Rules: rules}).Run(ctx, in)
	if err != nil {
		return err
	}
	warnIgnored(g.stderr, u.Answer.Ignored())
	return printUser(g, o.output, u)
}

func newUserUpdateCmd(g *globals) *cobra.Command {
	o := new(userWriteOptions)
	m := action.UpdateUserManifest()
	cmd := &cobra.Command{
		Use:   "update ID",
		Short: m.Summary,
		Long: m.Description + `

Prints what changed, a line for each attribute: ~ replaced, - cleared, + added.
With --dry-run nothing is sent, and the lines are those of the plan.`,
		Example: `  roster user update ID --user-name ada@corp.example --email ada@corp.example --title CTO
  roster user update ID --user-name ada@corp.example --emails @emails.json --active false --dry-run`,
		Args: cobra.ExactArgs(1),
	}
	f := cmd.Flags()
	o.addDirectoryFlags(f)
	o.addRuleSetFlag(f)
	o.userFlags.addFlags(f, m)
	o.output.addFlag(f)
	f.BoolVar(&o.dryRun, "dry-run", false, "print the plan, and send nothing")
	f.StringVar(&o.ifMatch, "if-match", "", "`ETag` that the user must still have")
	perCall(f, "dry-run", "if-match")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in, err := o.input(g, f)
		if err != nil {
			return err
		}
		o.id = args[0]
		if err := in.Set("userId", o.id); err != nil {
			return &usageError{err}
		}
		return runUserUpdate(cmd.Context(), g, o, in)
	}
	return cmd
}

func runUserUpdate(ctx context.Context, g *globals, o *userWriteOptions, in action.Input) error {
	rules, err := o.rules()
	if err != nil {
		return err
	}
	// The faults that need no service come before the first request to it.
	t, err := action.UserType(rules)
	if err != nil {
		return err
	}
	if err := action.ValidateUpdateUser(t, in); err != nil {
		return err
	}
	c, err := o.openDirectory(ctx, g)
	if err != nil {
		return err
	}
	a := &action.UpdateUser{Client: c, Rules: rules, IfMatch: o.ifMatch}
	p, err := a.Plan(ctx, in)
	if err != nil {
		return noUser(err)
	}
	warnIgnored(g.stderr, p.Ignored)
	if o.dryRun {
		return printPlan(g, o.output, p)
	}
	r, err := a.Apply(ctx, p)
	if err != nil {
		return changed(noUser(err), o.id)
	}
	return printResult(g, o.output, r)
}

// warnIgnored says which parameters a directory has no attribute for.
func warnIgnored(w io.Writer, ignored []string) {
	if len(ignored) > 0 {
		fmt.Fprintf(w, "warning: ignored by this directory, which has no such attribute: %s\n", printable(strings.Join(ignored, ", ")))
	}
}

func printPlan(g *globals, o outputFormat, p *action.Plan) error {
	if o == outputJSON {
		return printJSON(g.stdout, p)
	}
	warnChanges(g.stderr, p.Changes, "would be")
	printChanges(g.stdout, p.Changes)
	summary := "Plan: no change."
	if len(p.Changes) > 0 {
		summary = "Plan: " + counts(p.Changes, "to replace", "to add", "to clear") + "."
	}
	_, err := fmt.Fprintln(g.stdout, summary)
	return err
}

func printResult(g *globals, o outputFormat, r *action.Result) error {
	warnChanges(g.stderr, r.Changes, "was")
	if o == outputJSON {
		return printUser(g, o, &client.User{Answer: r.Answer})
	}
	printChanges(g.stdout, r.Changes)
	summary := "No change."
	if len(r.Changes) > 0 {
		summary = fmt.Sprintf("Updated %s: %s.", printable(r.Plan.UserName), counts(r.Changes, "replaced", "added", "cleared"))
	}
	_, err := fmt.Fprintln(g.stdout, summary)
	return err
}

func printChanges(w io.Writer, changes []action.Change) {
	for _, c := range changes {
		fmt.Fprintln(w, printable(c.String()))
	}
}

// warnChanges points out a re-activation that nobody asked for. What is cleared
// is told by the lines and the summary.
func warnChanges(w io.Writer, changes []action.Change, verb string) {
	for _, c := range changes {
		if c.Defaulted && c.Warning {
			fmt.Fprintf(w, "warning: --active was not given, and a rule of the directory makes it %s: the user %s re-activated; give --active false to prevent that\n", c.After, verb)
		}
	}
}

// counts words how many changes there are: "2 replaced, 1 added, 3 cleared".
func counts(changes []action.Change, replaced, added, cleared string) string {
	a, r, c := action.Counts(changes)
	var parts []string
	for _, p := range []struct {
		n    int
		word string
	}{{r, replaced}, {a, added}, {c, cleared}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.word))
		}
	}
	return strings.Join(parts, ", ")
}
