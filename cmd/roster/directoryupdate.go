package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/scim"
)

// longUpdate is how many resources an update looks through before it asks: it
// keeps the writers of the directory waiting meanwhile.
const longUpdate = 10_000

type directoryUpdateOptions struct {
	connection
	output    outputFormat
	id        string
	name      string
	rules     []string
	unset     []string
	isDefault bool
	suppress  bool
	schemas   string
	dryRun    bool
	yes       bool
}

func newDirectoryUpdateCmd(g *globals) *cobra.Command {
	o := new(directoryUpdateOptions)
	cmd := &cobra.Command{
		Use:   "update ID",
		Short: "Change the name, the rules or the schemas of a directory",
		Long: `Change a directory, all or nothing. First the plan is printed: which settings,
resource types and attributes change, and how many users or other resources that
touches. Values that the new schemas have no place for are kept, and come back
with a schema that has. What cannot be, such as a rule that makes e-mail addresses
unique where two users have the same, is refused and says whose they are.

It asks before it gives resources another form, or looks through very many; where
nobody can answer, it needs --yes.`,
		Example: `  roster directory update ID --rule uniqueEmails=true --rule maxPage=50
  roster directory update ID --unset-rule maxPage
  roster directory update ID --schemas badge.json --dry-run`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id = args[0]
			u, err := o.update(cmd.Flags().Changed)
			if err != nil {
				return err
			}
			return runDirectoryUpdate(cmd.Context(), g, o, u)
		},
	}
	f := cmd.Flags()
	o.addServerFlags(f)
	o.output.addFlag(f)
	f.StringVar(&o.name, "name", "", "another `text` as its name")
	f.StringVar(&o.ruleSet, "rule-set", "", "another rule set by `name`: "+strings.Join(scim.RuleSetNames, ", "))
	addRuleFlag(f, &o.rules)
	f.StringArrayVar(&o.unset, "unset-rule", nil, "a rule to be as the rule set has it, by `name`; may be repeated")
	f.BoolVar(&o.isDefault, "default", false, "serve it under /scim/v2 too; --default=false ends that")
	f.BoolVar(&o.suppress, "suppress-mail", false, "let no workflow of the directory send mail; --suppress-mail=false ends that")
	f.StringVar(&o.schemas, "schemas", "", "`file` with the schemas and resource types that it is to have beside the built-in ones, or a folder of such files")
	f.BoolVar(&o.dryRun, "dry-run", false, "print the plan, and change nothing")
	f.BoolVar(&o.yes, "yes", false, "do not ask")
	perCall(f, "name", "rule-set", "rule", "unset-rule", "default", "suppress-mail", "schemas", "dry-run", "yes")
	return cmd
}

// update returns what the flags ask for; given reports whether one was given.
func (o *directoryUpdateOptions) update(given func(flag string) bool) (u roster.DirectoryUpdate, err error) {
	u.Name = o.name
	if given("rule-set") {
		u.RuleSet = o.ruleSet
	}
	if given("default") {
		u.Default = &o.isDefault
	}
	if given("suppress-mail") {
		u.SuppressMail = &o.suppress
	}
	if u.Rules, err = parseRules(o.rules); err != nil {
		return u, err
	}
	for _, name := range o.unset {
		u.Rules[name] = jsontext.Value("null")
	}
	if o.schemas != "" {
		if u.Schemas, err = readSchemas(o.schemas); err != nil {
			return u, usagef("--schemas: %w", err)
		}
	}
	return u, nil
}

func addRuleFlag(f *pflag.FlagSet, rules *[]string) {
	f.StringArrayVar(rules, "rule", nil, "a rule that differs from the rule set, as `name=value`; may be repeated")
}

// parseRules reads the values of --rule. A value that is no JSON is a text.
func parseRules(list []string) (map[string]jsontext.Value, error) {
	rules := make(map[string]jsontext.Value)
	for _, r := range list {
		name, text, ok := strings.Cut(r, "=")
		if !ok {
			return nil, usagef("--rule %s: expected name=value", r)
		}
		value := jsontext.Value(text)
		if !value.IsValid() || value.Kind() == 'n' {
			var err error
			if value, err = json.Marshal(text); err != nil {
				return nil, usagef("--rule %s: %w", name, err)
			}
		}
		rules[name] = value
	}
	return rules, nil
}

func runDirectoryUpdate(ctx context.Context, g *globals, o *directoryUpdateOptions, u roster.DirectoryUpdate) error {
	if o.dryRun && o.output == outputCSV {
		return usagef("the plan of a directory is no table of rows: there are -o table, json and ndjson")
	}
	c, err := o.open(g)
	if err != nil {
		return err
	}
	m := c.Management()
	d, err := m.GetDirectory(ctx, o.id)
	if err != nil {
		return noDirectory(err)
	}
	plan, err := m.PlanDirectory(ctx, d.ID, d.Version, u)
	if err != nil {
		return err
	}
	switch {
	case o.output == outputTable:
		printDirectoryPlan(g.stdout, plan)
	case o.dryRun:
		if err := newListing(g.stdout, o.output).one(plan, nil); err != nil {
			return err
		}
	}
	if plan.Refused != "" {
		return scim.Errorf(409, "", "%s", plan.Refused)
	}
	if o.dryRun || o.output == outputTable && plan.Empty() {
		return nil
	}
	if plan.Rewritten > 0 || plan.Resources >= longUpdate {
		question := fmt.Sprintf("Update directory %s (%s), look through %d resources and rewrite %d? Its writers wait meanwhile.",
			d.ID, printable(d.Name), plan.Resources, plan.Rewritten)
		if err := confirm(g, o.yes, "writers of the directory would wait while this works", question); err != nil {
			return err
		}
	}
	if d, err = m.UpdateDirectory(ctx, d.ID, d.Version, u); err != nil {
		return err
	}
	if o.output != outputTable {
		return printDirectory(g, o.output, d)
	}
	_, err = fmt.Fprintf(g.stderr, "Updated directory %s.\n", d.ID)
	return err
}

// printDirectoryPlan prints a plan as lines that begin with +, - or ~.
func printDirectoryPlan(w io.Writer, p *roster.DirectoryPlan) {
	if p.Empty() && p.Refused == "" {
		fmt.Fprintln(w, "No change.")
		return
	}
	line := func(format string, args ...any) { fmt.Fprintln(w, printable(fmt.Sprintf(format, args...))) }
	mark := map[string]string{roster.PlanAdded: "+", roster.PlanRemoved: "-", roster.PlanChanged: "~"}
	for _, s := range p.Settings {
		line("~ %s: %s -> %s", s.Name, compact(s.From), compact(s.To))
	}
	for _, t := range p.Types {
		if t.Resources > 0 {
			line("%s resource type %s, of which there are %d", mark[t.Change], t.Name, t.Resources)
		} else {
			line("%s resource type %s", mark[t.Change], t.Name)
		}
	}
	for _, a := range p.Attributes {
		text := a.ResourceType + " " + a.Attribute
		if len(a.Details) > 0 {
			text += ": " + strings.Join(a.Details, ", ")
		}
		for _, n := range []struct {
			count int64
			what  string
		}{{a.Hidden, "have a value that is kept and no longer shown"}, {a.Back, "have a kept value that comes back"}, {a.Missing, "lack a value that is required now"}} {
			if n.count > 0 {
				text += fmt.Sprintf("; %d %s", n.count, n.what)
			}
		}
		line("%s %s", mark[a.Change], text)
	}
	for _, d := range p.Duplicates {
		line("! %s", d)
	}
	if p.Resources > 0 {
		line("Resources to look through: %d, to rewrite: %d.", p.Resources, p.Rewritten)
	}
}
