package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/roster-scim/roster/action"
	"github.com/roster-scim/roster/client"
)

// writeOptions are those of an action that writes.
type writeOptions struct {
	connection
	actionFlags
	action  *action.Action
	output  outputFormat
	ifMatch string
	dryRun  bool
	keep    bool
	yes     bool
}

// writeHelp is what the help of a command says beside its manifest, by the method of
// its request.
var writeHelp = map[string]string{
	http.MethodPut: `With --keep only what you name changes: it is read, and sent back whole.

Prints what changed, a line for each attribute: ~ replaced, - cleared, + added.
With --dry-run nothing is sent, and the lines are those of the plan. Without --keep
an update that clears something, or re-activates the user by default, shows its plan
and asks; where nobody can answer, it needs --yes. What somebody else has changed
since the plan was made is left alone.`,
	http.MethodDelete: `It asks first; where nobody can answer, it needs --yes. With --dry-run nothing is sent.`,
	http.MethodPost:   `With --dry-run nothing is sent: it looks whether the name is taken, and prints the plan.`,
	http.MethodPatch:  `With --dry-run nothing is sent, and the plan is printed.`,
}

// writeExamples are shown in the help of a friendly command beside that of its
// manifest.
var writeExamples = map[string]string{
	"create-user": `
  roster user create --user-name ada@corp.example --email ada@corp.example \
      --given-name Ada --family-name Lovelace --dry-run`,
	"update-user": `
  roster user update ID --title CTO --keep
  roster user update ID --user-name ada@corp.example --email ada@corp.example --title CTO --dry-run
  roster user update ID --user-name ada@corp.example --emails @emails.json --active false --yes`,
	"update-group": `
  roster group update ID --member USER --keep --dry-run
  roster group update ID --display-name engineering --members @members.json --yes`,
	"delete-user":  "\n  roster user delete ID --dry-run",
	"delete-group": "\n  roster group delete ID --yes",
}

// newWriteCommand returns the command of an action that writes. A friendly one takes
// the id as an argument.
func newWriteCommand(g *globals, a *action.Action, name string, friendly bool) *cobra.Command {
	o := &writeOptions{action: a}
	cmd := &cobra.Command{
		Use:     name,
		Short:   short(a.Manifest),
		Long:    a.Summary + "\n\n" + a.Description + "\n\n" + writeHelp[a.Method],
		Example: "  " + a.Examples()[0] + writeExamples[a.Name],
		Args:    noArg,
	}
	f := cmd.Flags()
	if a.Organization {
		o.addServerFlags(f)
	} else {
		o.addDirectoryFlags(f)
		o.addRuleSetFlag(f)
	}
	o.addFlags(cmd, a.Manifest, friendly)
	if o.argument != "" {
		cmd.Use, cmd.Args = name+" ID", oneArg
	}
	o.completeParameters(g, cmd, &o.connection)
	o.output.addFlag(f)
	f.BoolVar(&o.dryRun, "dry-run", false, "print the plan, and send nothing")
	perCall(f, "dry-run")
	if a.KeepsUnnamed() {
		f.BoolVar(&o.keep, "keep", false, "change only what is named, and keep the rest")
		perCall(f, "keep")
	}
	if o.asks() {
		f.BoolVar(&o.yes, "yes", false, "do not ask")
		perCall(f, "yes")
	}
	if a.Parameter("ifMatch") == nil && a.KeepsUnnamed() {
		f.StringVar(&o.ifMatch, "if-match", "", "`ETag` that it must still have")
		perCall(f, "if-match")
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in, err := o.input(g, args)
		if err != nil {
			return err
		}
		return runWrite(cmd.Context(), g, o, in)
	}
	return cmd
}

// asks reports whether the command may ask.
func (o *writeOptions) asks() bool {
	return o.action.Method == http.MethodDelete || o.action.KeepsUnnamed()
}

func runWrite(ctx context.Context, g *globals, o *writeOptions, in action.Input) error {
	w := &action.Write{Action: o.action, Keep: o.keep, IfMatch: o.ifMatch}
	var err error
	if o.foretells {
		if w.Rules, err = o.rules(g); err != nil {
			return err
		}
	}
	// The faults that need no service come before the first request to it.
	if err := w.Validate(in); err != nil {
		return err
	}
	if o.action.Organization {
		w.Client, err = o.open(g)
	} else {
		w.Client, err = o.openDirectory(ctx, g)
	}
	if err != nil {
		return err
	}
	p, err := w.Plan(ctx, in)
	if err != nil {
		return actionHint(err, o.action.Manifest, in)
	}
	warnIgnored(g.stderr, p.Ignored)
	if p.Doubt != "" && o.dryRun {
		fmt.Fprintf(g.stderr, "note: the plan may not be all: %s\n", printable(p.Doubt))
	}
	if o.dryRun {
		return printPlan(g, o.output, p)
	}
	if err := o.ask(g, w.Client, p); err != nil {
		return err
	}
	r, err := w.Apply(ctx, p)
	if err != nil {
		return actionHint(err, o.action.Manifest, in)
	}
	return o.print(g, r, in)
}

// ask shows a plan that is easily a mistake, and asks.
func (o *writeOptions) ask(g *globals, c *client.Client, p *action.Plan) error {
	if o.yes || p.Operation != action.DeletePlan && !p.Warns() {
		return nil
	}
	printPlanLines(g, g.stderr, g.stderr, p)
	if p.Operation == action.DeletePlan {
		why := "this deletes " + planned(p)
		if o.action.Organization {
			why = noWayBack
		}
		return confirm(g, false, why, fmt.Sprintf("Delete %s (%s)?", planned(p), o.where(c)))
	}
	err := confirm(g, false, "this clears or re-activates what you did not name", fmt.Sprintf("Update %s (%s)?", printable(p.Name), o.where(c)))
	var nobody *usageError
	if errors.As(err, &nobody) {
		return &hintedError{err, "the same with --keep, which changes only what you name"}
	}
	return err
}

// planned names what a plan is about: "user ada@corp.example".
func planned(p *action.Plan) string {
	name := p.Name
	if name == "" {
		name = p.ID
	}
	return strings.ToLower(p.ResourceType) + " " + printable(name)
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
		l := newListing(g.stdout, o, "ID", "OPERATION", "ATTRIBUTE", "BEFORE", "AFTER", "WARNING")
		if p.Operation == action.DeletePlan {
			if err := l.add(p, p.ID, string(p.Operation), "", "", "", ""); err != nil {
				return err
			}
		}
		for _, c := range p.Changes {
			if err := l.add(c, p.ID, string(c.Op), c.Attribute, string(c.Before), string(c.After), yes(c.Warning)); err != nil {
				return err
			}
		}
		return l.end()
	}
	return printPlanLines(g, g.stdout, g.stderr, p)
}

// printPlanLines prints a plan for people.
func printPlanLines(g *globals, w, warnings io.Writer, p *action.Plan) error {
	if p.Operation == action.DeletePlan {
		fmt.Fprintln(w, g.paint(w, fmt.Sprintf("- %s %s", p.Operation, planned(p))))
	}
	printChanges(g, w, p.Changes)
	summary := "Plan: no changes."
	switch {
	case p.Operation == action.DeletePlan:
		summary = "Plan: 1 to delete."
	case len(p.Changes) > 0:
		summary = fmt.Sprintf("Plan: 1 to %s (%s).", p.Operation, counts(p.Changes, true))
	}
	_, err := fmt.Fprintln(w, summary)
	warnCleared(warnings, p.Changes)
	warnChanges(warnings, p.Changes, "would be")
	return err
}

// print prints what was done: of a PUT the changes, else what the service answered.
func (o *writeOptions) print(g *globals, r *action.Result, in action.Input) error {
	out, err := r.Output()
	if err != nil {
		return err
	}
	warnChanges(g.stderr, r.Changes, "was")
	if o.action.KeepsUnnamed() && r.Foretold && len(r.Changes) > 0 {
		fmt.Fprintf(g.stderr, "note: the answer does not show the whole %s, so these are the changes of the plan\n", strings.ToLower(r.Plan.ResourceType))
	}
	switch {
	case !o.action.KeepsUnnamed() || o.output != outputTable:
		warnIgnored(g.stderr, out.Ignored)
		err = printOutput(g, o.output, o.action.Manifest, out, in)
	default:
		printChanges(g, g.stdout, r.Changes)
		summary := "No change."
		if len(r.Changes) > 0 {
			summary = fmt.Sprintf("Updated %s: %s.", printable(r.Plan.Name), counts(r.Changes, false))
		}
		_, err = fmt.Fprintln(g.stdout, summary)
	}
	if err == nil && len(r.Differs) > 0 {
		return &differsError{r.Plan, r.Differs}
	}
	return err
}

// A differsError says that a write was done, and has led to something else than
// was planned.
type differsError struct {
	plan    *action.Plan
	changes []action.Change // from the plan to what is
}

func (e *differsError) Error() string {
	return fmt.Sprintf("the %s was %sd, but is not what was planned; from the plan to what is:", strings.ToLower(e.plan.ResourceType), e.plan.Operation)
}

// next is the command that shows what is.
func (e *differsError) next() string {
	noun := strings.ToLower(e.plan.ResourceType)
	if e.plan.ID == "" {
		return "roster " + noun + " list"
	}
	return "roster " + noun + " get " + printable(e.plan.ID)
}

func printChanges(g *globals, w io.Writer, changes []action.Change) {
	for _, c := range changes {
		fmt.Fprintln(w, g.paint(w, printable(c.String())))
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
	noun := "member"
	for _, c := range changes {
		if c.Attribute != "members" {
			noun = "attribute"
		}
	}
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
			word = noun + " " + word
		case of:
			word = noun + "s " + word
		}
		of = false
		parts = append(parts, fmt.Sprintf("%d %s", p.n, word))
	}
	return strings.Join(parts, ", ")
}
