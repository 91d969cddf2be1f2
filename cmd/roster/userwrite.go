package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/roster-scim/roster/action"
	"github.com/roster-scim/roster/client"
)

type userWriteOptions struct {
	connection
	actionFlags
	output  outputFormat
	id      string
	ifMatch string
	dryRun  bool
	keep    bool
	yes     bool
}

func newUserCreateCmd(g *globals, name string) *cobra.Command {
	o := new(userWriteOptions)
	m := action.CreateUserManifest()
	cmd := &cobra.Command{
		Use:   name,
		Short: short(m),
		Long:  m.Summary + "\n\n" + m.Description,
		Example: `  roster user create --user-name ada@corp.example --email ada@corp.example \
      --given-name Ada --family-name Lovelace`,
		Args: noArg,
	}
	f := cmd.Flags()
	o.addDirectoryFlags(f)
	o.addRuleSetFlag(f)
	o.addFlags(cmd, m, false)
	o.output.addFlag(f)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in, err := o.input(g, args)
		if err != nil {
			return err
		}
		return runUserCreate(cmd.Context(), g, o, in)
	}
	return cmd
}

func runUserCreate(ctx context.Context, g *globals, o *userWriteOptions, in action.Input) error {
	rules, err := o.rules(g)
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

// newUserUpdateCmd returns the command of Update User, which takes the id as an
// argument or as a flag.
func newUserUpdateCmd(g *globals, name string, argument bool) *cobra.Command {
	o := new(userWriteOptions)
	m := action.UpdateUserManifest()
	cmd := &cobra.Command{
		Use:   name,
		Short: short(m),
		Long: m.Summary + "\n\n" + m.Description + `

With --keep only what you name changes: the user is read, and sent back whole.

Prints what changed, a line for each attribute: ~ replaced, - cleared, + added.
With --dry-run nothing is sent, and the lines are those of the plan. Without --keep
an update that clears something, or re-activates the user by default, shows its plan
and asks; where nobody can answer, it needs --yes. A user that somebody else has
changed since the plan was made is left alone.`,
		Example: `  roster user update ID --title CTO --keep
  roster user update ID --user-name ada@corp.example --email ada@corp.example --title CTO --dry-run
  roster user update ID --user-name ada@corp.example --emails @emails.json --active false --yes`,
		Args: noArg,
	}
	f := cmd.Flags()
	o.addDirectoryFlags(f)
	o.addRuleSetFlag(f)
	o.addFlags(cmd, m, argument)
	if argument {
		cmd.Use, cmd.Args = name+" ID", oneArg
	}
	o.output.addFlag(f)
	f.BoolVar(&o.dryRun, "dry-run", false, "print the plan, and send nothing")
	f.BoolVar(&o.keep, "keep", false, "change only what is named, and keep the rest")
	f.BoolVar(&o.yes, "yes", false, "do not ask")
	f.StringVar(&o.ifMatch, "if-match", "", "`ETag` that the user must still have")
	perCall(f, "dry-run", "keep", "yes", "if-match")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in, err := o.input(g, args)
		if err != nil {
			return err
		}
		o.id = plain(in["userId"])
		return runUserUpdate(cmd.Context(), g, o, in)
	}
	return cmd
}

func runUserUpdate(ctx context.Context, g *globals, o *userWriteOptions, in action.Input) error {
	rules, err := o.rules(g)
	if err != nil {
		return err
	}
	// The faults that need no service come before the first request to it.
	t, err := action.UserType(rules)
	if err != nil {
		return err
	}
	validate := action.ValidateUpdateUser
	if o.keep {
		validate = action.ValidateUpdateUserKeep
	}
	if err := validate(t, in); err != nil {
		return err
	}
	c, err := o.openDirectory(ctx, g)
	if err != nil {
		return err
	}
	a := &action.UpdateUser{Client: c, Rules: rules, Keep: o.keep, IfMatch: o.ifMatch}
	p, err := a.Plan(ctx, in)
	if err != nil {
		return noUser(err)
	}
	warnIgnored(g.stderr, p.Ignored)
	if o.dryRun {
		return printPlan(g, o.output, p)
	}
	if p.Warns() && !o.yes {
		printPlanLines(g.stderr, g.stderr, p)
		question := fmt.Sprintf("Update %s (%s)?", printable(p.UserName), o.where(c))
		if err := confirm(g, false, "this clears or re-activates what you did not name", question); err != nil {
			var nobody *usageError
			if errors.As(err, &nobody) {
				return &hintedError{err, "the same with --keep, which changes only what you name"}
			}
			return err
		}
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
	switch o {
	case outputJSON, outputNDJSON:
		return newListing(g.stdout, o).one(p, nil)
	case outputCSV:
		l := newListing(g.stdout, o, "USER ID", "OPERATION", "ATTRIBUTE", "BEFORE", "AFTER", "WARNING")
		for _, c := range p.Changes {
			if err := l.add(c, p.UserID, string(c.Op), c.Attribute, string(c.Before), string(c.After), yes(c.Warning)); err != nil {
				return err
			}
		}
		return l.end()
	}
	return printPlanLines(g.stdout, g.stderr, p)
}

// printPlanLines prints a plan for people.
func printPlanLines(w, warnings io.Writer, p *action.Plan) error {
	printChanges(w, p.Changes)
	summary := "Plan: no changes."
	if len(p.Changes) > 0 {
		summary = "Plan: 1 to update (" + counts(p.Changes, true) + ")."
	}
	_, err := fmt.Fprintln(w, summary)
	warnCleared(warnings, p.Changes)
	warnChanges(warnings, p.Changes, "would be")
	return err
}

func printResult(g *globals, o outputFormat, r *action.Result) error {
	warnChanges(g.stderr, r.Changes, "was")
	if r.Foretold && len(r.Changes) > 0 {
		fmt.Fprintln(g.stderr, "note: the answer does not show the whole user, so these are the changes of the plan")
	}
	if o != outputTable {
		if err := printUser(g, o, &client.User{Answer: r.Answer}); err != nil {
			return err
		}
	} else {
		printChanges(g.stdout, r.Changes)
		summary := "No change."
		if len(r.Changes) > 0 {
			summary = fmt.Sprintf("Updated %s: %s.", printable(r.Plan.UserName), counts(r.Changes, false))
		}
		if _, err := fmt.Fprintln(g.stdout, summary); err != nil {
			return err
		}
	}
	if len(r.Differs) > 0 {
		return &differsError{r.Plan.UserID, r.Differs}
	}
	return nil
}

// A differsError says that a write was done, and has led to something else than
// was planned.
type differsError struct {
	id      string
	changes []action.Change // from the plan to what is
}

func (e *differsError) Error() string {
	return "the user was updated, but is not what was planned; from the plan to what is:"
}

func printChanges(w io.Writer, changes []action.Change) {
	for _, c := range changes {
		fmt.Fprintln(w, printable(c.String()))
	}
}

// warnCleared counts what is easily cleared by mistake.
func warnCleared(w io.Writer, changes []action.Change) {
	n := 0
	for _, c := range changes {
		if c.Warning && c.Op == action.Clear {
			n++
		}
	}
	if n > 0 {
		fmt.Fprintf(w, "warning: what is not named is cleared, here %d of the values (-): --keep keeps them\n", n)
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

// counts words how many changes there are: "2 replaced, 1 added, 3 cleared", or
// with what of, "2 attributes replaced, 1 added, 3 cleared".
func counts(changes []action.Change, of bool) string {
	a, r, c := action.Counts(changes)
	var parts []string
	for _, p := range []struct {
		n    int
		word string
	}{{r, "replaced"}, {a, "added"}, {c, "cleared"}} {
		word := p.word
		switch {
		case p.n == 0:
			continue
		case of && p.n == 1:
			word = "attribute " + word
		case of:
			word = "attributes " + word
		}
		of = false
		parts = append(parts, fmt.Sprintf("%d %s", p.n, word))
	}
	return strings.Join(parts, ", ")
}
