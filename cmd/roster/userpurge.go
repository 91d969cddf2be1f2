package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"
)

func newUserPurgeCmd(g *globals) *cobra.Command {
	o := new(userOptions)
	var yes bool
	cmd := &cobra.Command{
		Use:   "purge ID",
		Short: "Erase what is kept of a deleted user, for good",
		Long: `Erase what is kept of a deleted user, for good: the record in the trash, so that
roster user restore can no longer bring the user back, and the values in the
user's events. What stays of these, among the events of the directory, is when, by
which key and in which attributes something changed. Backups that were made before
still have it all.

A user that is not deleted is refused: delete it first. It asks first; where
nobody can answer, it needs --yes.`,
		Example: `  roster user delete ID
  roster user purge ID`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id = args[0]
			return runUserPurge(cmd.Context(), g, o, yes)
		},
	}
	f := cmd.Flags()
	o.addDirectoryFlags(f)
	f.BoolVar(&yes, "yes", false, "do not ask")
	perCall(f, "yes")
	return cmd
}

func runUserPurge(ctx context.Context, g *globals, o *userOptions, yes bool) error {
	c, err := o.openDirectory(ctx, g)
	if err != nil {
		return err
	}
	question := fmt.Sprintf("Erase the record of the deleted user %s and the values in its history, for good?", printable(o.id))
	if err := confirm(g, yes, noWayBack, question); err != nil {
		return err
	}
	n, err := c.Management().Purge(ctx, c.Directory, o.id)
	if err != nil {
		return hint(err, http.StatusConflict, "roster user delete %s", printable(o.id))
	}
	events := "events"
	if n == 1 {
		events = "event"
	}
	_, err = fmt.Fprintf(g.stderr, "Purged user %s: its record, and the values in %d %s of its history.\n", printable(o.id), n, events)
	return err
}
