package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/action"
	"github.com/roster-scim/roster/client"
)

func newUserCmd(g *globals) *cobra.Command {
	commands := append(friendlyCommands(g, "user"),
		newUserHistoryCmd(g), newUserLinkCmd(g), newUserUnlinkCmd(g))
	return newGroup("user", "Create, read, update and delete the users of a directory", commands...)
}

type userOptions struct {
	connection
	output outputFormat
	id     string
}

// noUser adds to a 404 how an id is found: by the userName, where that was given as
// the id.
func noUser(err error, id string) error {
	name := "NAME"
	if strings.Contains(id, "@") && !strings.ContainsAny(id, `"'\`) {
		name = id
	}
	return hint(err, http.StatusNotFound, `roster user list --filter 'userName eq "%s"'`, name)
}

// printUser prints a user as the service sent it.
func printUser(g *globals, o outputFormat, u *client.User) error {
	if len(u.Answer.Body) == 0 {
		return nil
	}
	return printResource(g, o, action.UpdateUserManifest().Columns, u.Answer.Body)
}

// changed adds to a 412 what to do about it.
func changed(err error, id string) error {
	return hint(err, http.StatusPreconditionFailed, "roster user get %s, to see what it is now", id)
}

func newUserHistoryCmd(g *globals) *cobra.Command {
	o := new(userOptions)
	cmd := &cobra.Command{
		Use:   "history ID",
		Short: "Show every change of a user, before and after, the newest first",
		Long: `Show every change of a user, with the values before and after, the newest first.
A user in the trash has a history too. Of one that was purged, or whose place in
the trash was erased since, only the events of the directory still tell.`,
		Example: `  roster user history ID
  roster user history ID -o csv > changes.csv`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id = args[0]
			return runUserHistory(cmd.Context(), g, o)
		},
	}
	o.addDirectoryFlags(cmd.Flags())
	o.output.addFlag(cmd.Flags())
	cmd.ValidArgsFunction = oneOf(completeIDs(g, &o.connection, "/Users"))
	return cmd
}

func runUserHistory(ctx context.Context, g *globals, o *userOptions) error {
	c, err := o.openDirectory(ctx, g)
	if err != nil {
		return err
	}
	records := newRecorder()
	l := newListing(g.stdout, o.output, "VERSION", "AT", "OPERATION", "KEY", "REQUEST", "ATTRIBUTE", "BEFORE", "AFTER")
	for e, err := range c.Management().History(ctx, c.Directory, o.id, 0) {
		if err != nil {
			return noUser(err, o.id)
		}
		switch o.output {
		case outputTable:
			err = printEvent(g, records, e)
		case outputCSV: // a row for each change
			for _, ch := range e.Changes {
				err = errors.Join(err, l.add(nil, strconv.FormatInt(e.Version, 10), e.At.Format(time.RFC3339Nano), string(e.Operation),
					e.Key, e.Request, ch.Attribute, string(ch.Before), string(ch.After)))
			}
		default:
			err = l.add(e)
		}
		if err != nil {
			return err
		}
	}
	if o.output == outputTable {
		return nil
	}
	return l.end()
}

// printEvent prints an event and its changes for people.
func printEvent(g *globals, records recorder, e *roster.Event) error {
	w := g.stdout
	if _, err := fmt.Fprintln(w, eventHead(e)); err != nil {
		return err
	}
	for _, ch := range e.Changes {
		if e.Purged {
			fmt.Fprintln(w, "  "+printable(ch.Attribute))
			continue
		}
		for _, c := range records.changes(e.ResourceType, ch) {
			fmt.Fprintln(w, g.paint(w, "  "+printable(c.String())))
		}
	}
	return nil
}
