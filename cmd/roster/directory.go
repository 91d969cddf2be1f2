package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/scim"
)

func newDirectoryCmd(g *globals) *cobra.Command {
	return newGroup("directory", "Make, list, change and remove the directories of a Roster",
		newDirectoryCreateCmd(g), newDirectoryListCmd(g), newDirectoryShowCmd(g), newDirectoryUpdateCmd(g), newDirectoryDeleteCmd(g),
		newDirectoryRequestsCmd(g))
}

type directoryCreateOptions struct {
	connection
	output outputFormat
	name   string
	rules  []string
	quiet  bool
}

func newDirectoryCreateCmd(g *globals) *cobra.Command {
	o := new(directoryCreateOptions)
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a directory",
		Long: `Make a directory. Its rule set says how strictly it reads SCIM: atlassian, as
Atlassian's service does; standard, for Entra ID, Okta and the others; strict, to
the letter of the RFC. A rule of its own differs from the set: docs/rules.md has them
all, and each server in its /api/v1/openapi.json.`,
		Example: `  roster directory create people --rule-set standard
  roster directory create sandbox --rule maxPage=50 --rule missingMember=ignore`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name = args[0]
			return runDirectoryCreate(cmd.Context(), g, o)
		},
	}
	f := cmd.Flags()
	o.addServerFlags(f)
	o.output.addFlag(f)
	f.StringVar(&o.ruleSet, "rule-set", scim.Atlassian, "`name` of the rule set: "+strings.Join(scim.RuleSetNames, ", "))
	addRuleFlag(f, &o.rules)
	f.BoolVarP(&o.quiet, "quiet", "q", false, "print the id alone")
	perCall(f, "rule-set", "rule", "quiet")
	return cmd
}

func runDirectoryCreate(ctx context.Context, g *globals, o *directoryCreateOptions) error {
	create := client.DirectoryCreate{Name: o.name, RuleSet: o.ruleSet}
	if len(o.rules) > 0 {
		rules, err := parseRules(o.rules)
		if err != nil {
			return err
		}
		if create.Rules, err = json.Marshal(rules); err != nil {
			return err
		}
	}
	c, err := o.open(g)
	if err != nil {
		return err
	}
	d, err := c.Management().CreateDirectory(ctx, create)
	if err != nil {
		return err
	}
	if o.quiet {
		_, err := fmt.Fprintln(g.stdout, d.ID)
		return err
	}
	if err := printDirectory(g, o.output, d); err != nil {
		return err
	}
	fmt.Fprintf(g.stderr, "SCIM base URL: %s/scim/directory/%s\n  try: roster key create NAME --directory %s --scopes users:write,groups:write\n",
		strings.TrimSuffix(c.BaseURL, "/"), d.ID, d.ID)
	return nil
}

type directoryOptions struct {
	connection
	output outputFormat
	id     string
	yes    bool
}

func newDirectoryListCmd(g *globals) *cobra.Command {
	o := new(directoryOptions)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the directories that the key reaches",
		Example: `  roster directory list
  roster directory list -o ndjson`,
		Args: noArg,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDirectoryList(cmd.Context(), g, o) },
	}
	o.addServerFlags(cmd.Flags())
	o.output.addFlag(cmd.Flags())
	return cmd
}

func runDirectoryList(ctx context.Context, g *globals, o *directoryOptions) error {
	c, err := o.open(g)
	if err != nil {
		return err
	}
	list, err := c.Management().ListDirectories(ctx)
	if err != nil {
		return err
	}
	return printDirectories(g, o.output, list)
}

func newDirectoryShowCmd(g *globals) *cobra.Command {
	o := new(directoryOptions)
	cmd := &cobra.Command{
		Use:     "show ID",
		Short:   "Show one directory",
		Example: `  roster directory show ID -o json`,
		Args:    oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id = args[0]
			return runDirectoryShow(cmd.Context(), g, o)
		},
	}
	o.addServerFlags(cmd.Flags())
	o.output.addFlag(cmd.Flags())
	return cmd
}

func runDirectoryShow(ctx context.Context, g *globals, o *directoryOptions) error {
	c, err := o.open(g)
	if err != nil {
		return err
	}
	d, err := c.Management().GetDirectory(ctx, o.id)
	if err != nil {
		return noDirectory(err)
	}
	return printDirectory(g, o.output, d)
}

func newDirectoryDeleteCmd(g *globals) *cobra.Command {
	o := new(directoryOptions)
	cmd := &cobra.Command{
		Use:   "delete ID",
		Short: "Remove a directory with everything in it, for good",
		Long: `Remove a directory with its users, groups, keys and history. There is no way
back. It asks first; where nobody can answer, it needs --yes.`,
		Example: `  roster directory delete ID`,
		Args:    oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id = args[0]
			return runDirectoryDelete(cmd.Context(), g, o)
		},
	}
	o.addServerFlags(cmd.Flags())
	cmd.Flags().BoolVar(&o.yes, "yes", false, "do not ask")
	perCall(cmd.Flags(), "yes")
	return cmd
}

func runDirectoryDelete(ctx context.Context, g *globals, o *directoryOptions) error {
	c, err := o.open(g)
	if err != nil {
		return err
	}
	d, err := c.Management().GetDirectory(ctx, o.id)
	if err != nil {
		return noDirectory(err)
	}
	question := fmt.Sprintf("Remove directory %s (%s) with its %d users, for good?", d.ID, printable(d.Name), d.Users)
	if err := confirm(g, o.yes, noWayBack, question); err != nil {
		return err
	}
	if err := c.Management().DeleteDirectory(ctx, o.id); err != nil {
		return noDirectory(err)
	}
	_, err = fmt.Fprintf(g.stderr, "Removed directory %s.\n", d.ID)
	return err
}

func noDirectory(err error) error {
	return hint(err, http.StatusNotFound, "roster directory list")
}

var directoryHeads = []string{"ID", "NAME", "RULE SET", "RULES", "USERS", "DEFAULT", "CREATED"}

func directoryCells(d *roster.Directory) []string {
	rules := ""
	if len(d.Rules) > 0 {
		rules = compact(d.Rules)
	}
	return []string{d.ID, d.Name, d.RuleSet, rules, strconv.FormatInt(d.Users, 10), yes(d.Default), when(d.Created)}
}

// printDirectory prints one directory: as JSON alone, not in a list.
func printDirectory(g *globals, o outputFormat, d *roster.Directory) error {
	if o == outputJSON {
		return printJSON(g.stdout, d)
	}
	return printDirectories(g, o, []*roster.Directory{d})
}

func printDirectories(g *globals, o outputFormat, list []*roster.Directory) error {
	l := newListing(g.stdout, o, directoryHeads...)
	for _, d := range list {
		if err := l.add(d, directoryCells(d)...); err != nil {
			return err
		}
	}
	return l.end()
}

// noWayBack is why most questions are asked.
const noWayBack = "this cannot be undone"

// confirm asks a question on the terminal, unless yes says that the answer is
// given. Without a terminal nobody could answer: that is a usage error, which says
// why it was asked.
func confirm(g *globals, yes bool, why, question string) error {
	if yes {
		return nil
	}
	if !g.asks() || g.noInput {
		return usagef("%s, and nobody is there to ask: give --yes", why)
	}
	fmt.Fprint(g.stderr, question+" Type yes: ")
	line, err := bufio.NewReader(g.stdin).ReadString('\n')
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if strings.TrimSpace(line) != "yes" {
		return fmt.Errorf("not confirmed: nothing was done")
	}
	return nil
}
