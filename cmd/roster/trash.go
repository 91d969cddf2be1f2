package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/scim"
)

func newTrashCmd(g *globals) *cobra.Command {
	return newGroup("trash", "List, restore and purge deleted users and groups",
		newTrashListCmd(g), newTrashRestoreCmd(g), newTrashPurgeCmd(g))
}

type trashOptions struct {
	connection
	output outputFormat
	id     string
	dryRun bool
	yes    bool
}

// addDryRunFlag adds the flag of those that change something.
func (o *trashOptions) addDryRunFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "print the plan, and change nothing")
	perCall(cmd.Flags(), "dry-run")
}

// printPlan prints what would be done to what is in the trash: "+ restore user ada".
func (o *trashOptions) printPlan(ctx context.Context, g *globals, c *client.Client, sign, verb string) error {
	for it, err := range c.Management().ListTrash(ctx, c.Directory) {
		if err != nil {
			return err
		}
		if it.ID != o.id {
			continue
		}
		line := fmt.Sprintf("%s %s %s %s, deleted %s", sign, verb, strings.ToLower(it.Type), printable(it.Name), when(it.DeletedAt))
		_, err := fmt.Fprintf(g.stdout, "%s\nPlan: 1 to %s.\n", g.paint(g.stdout, line), verb)
		return err
	}
	return &hintedError{scim.Errorf(http.StatusNotFound, "", "%s is not in the trash: it was never there, or is not deleted, or was purged", o.id), "roster trash list"}
}

func newTrashListCmd(g *globals) *cobra.Command {
	o := new(trashOptions)
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List deleted users and groups that can still be restored",
		Example: "  roster trash list -o csv",
		Args:    noArg,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runTrashList(cmd.Context(), g, o) },
	}
	o.addDirectoryFlags(cmd.Flags())
	o.output.addFlag(cmd.Flags())
	return cmd
}

func runTrashList(ctx context.Context, g *globals, o *trashOptions) error {
	c, err := o.openDirectory(ctx, g)
	if err != nil {
		return err
	}
	l := newListing(g.stdout, o.output, "ID", "TYPE", "NAME", "DELETED", "BY KEY")
	for it, err := range c.Management().ListTrash(ctx, c.Directory) {
		if err != nil {
			return err
		}
		if err := l.add(it, it.ID, it.Type, it.Name, when(it.DeletedAt), it.DeletedBy); err != nil {
			return err
		}
	}
	return l.end()
}

func newTrashRestoreCmd(g *globals) *cobra.Command {
	o := new(trashOptions)
	cmd := &cobra.Command{
		Use:   "restore ID",
		Short: "Bring a deleted user or group back, under its old id",
		Long: `Bring a deleted user or group back, under its old id. A user rejoins its groups,
and a group gets its members back, those that there still are.`,
		Example: `  roster trash restore ID`,
		Args:    oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id = args[0]
			return runTrashRestore(cmd.Context(), g, o)
		},
	}
	o.addDirectoryFlags(cmd.Flags())
	o.output.addFlag(cmd.Flags())
	o.addDryRunFlag(cmd)
	return cmd
}

func runTrashRestore(ctx context.Context, g *globals, o *trashOptions) error {
	c, err := o.openDirectory(ctx, g)
	if err != nil {
		return err
	}
	if o.dryRun {
		return o.printPlan(ctx, g, c, "+", "restore")
	}
	a, err := c.Management().Restore(ctx, c.Directory, o.id)
	if err != nil {
		return hint(err, http.StatusNotFound, "roster trash list")
	}
	if o.output == outputTable {
		return printDocument(g.stdout, a.Body)
	}
	return printJSON(g.stdout, a.Body)
}

func newTrashPurgeCmd(g *globals) *cobra.Command {
	o := new(trashOptions)
	cmd := &cobra.Command{
		Use:   "purge ID",
		Short: "Erase what is kept of a deleted user or group, for good",
		Long: `Erase what is kept of a deleted user or group, for good: the record in the trash,
so that it can no longer be restored, and the values in its events. What stays of
these, among the events of the directory, is when, by which key and in which
attributes something changed. Backups that were made before still have it all.

One that is not deleted is refused: delete it first. It asks first; where nobody can
answer, it needs --yes.`,
		Example: `  roster trash purge ID`,
		Args:    oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id = args[0]
			return runTrashPurge(cmd.Context(), g, o)
		},
	}
	f := cmd.Flags()
	o.addDirectoryFlags(f)
	o.addDryRunFlag(cmd)
	f.BoolVar(&o.yes, "yes", false, "do not ask")
	perCall(f, "yes")
	return cmd
}

func runTrashPurge(ctx context.Context, g *globals, o *trashOptions) error {
	c, err := o.openDirectory(ctx, g)
	if err != nil {
		return err
	}
	if o.dryRun {
		return o.printPlan(ctx, g, c, "-", "purge")
	}
	question := fmt.Sprintf("Erase the record of the deleted %s and the values in its history, for good?", printable(o.id))
	if err := confirm(g, o.yes, noWayBack, question); err != nil {
		return err
	}
	n, err := c.Management().Purge(ctx, c.Directory, o.id)
	if err != nil {
		return err
	}
	events := "events"
	if n == 1 {
		events = "event"
	}
	_, err = fmt.Fprintf(g.stderr, "Purged %s: its record, and the values in %d %s of its history.\n", printable(o.id), n, events)
	return err
}
