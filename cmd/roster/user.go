package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/client"
)

func newUserCmd(g *globals) *cobra.Command {
	return newGroup("user", "Create, read, update and delete the users of a directory",
		newUserCreateCmd(g), newUserGetCmd(g), newUserListCmd(g), newUserUpdateCmd(g),
		newUserDeleteCmd(g), newRestoreResourceCmd(g, "user"), newPurgeCmd(g, "user", "roster user delete"), newUserHistoryCmd(g), newUndoCmd(g),
		newUserLinkCmd(g), newUserUnlinkCmd(g))
}

type userOptions struct {
	connection
	output     outputFormat
	id         string
	attributes []string
	excluded   []string
	filter     string
	limit      int
	ifMatch    string
}

// addProjectionFlags adds the flags that cut an answer.
func (o *userOptions) addProjectionFlags(f *pflag.FlagSet) {
	f.StringSliceVar(&o.attributes, "attributes", nil, "`names` of the attributes to show, such as userName,emails.value")
	f.StringSliceVar(&o.excluded, "excluded-attributes", nil, "`names` of the attributes to leave out")
	perCall(f, "attributes", "excluded-attributes")
}

// oneProjection refuses two that exclude each other.
func (o *userOptions) oneProjection() error {
	if len(o.attributes) > 0 && len(o.excluded) > 0 {
		return usagef("--attributes and --excluded-attributes exclude each other: give one of them")
	}
	return nil
}

func newUserGetCmd(g *globals) *cobra.Command {
	o := new(userOptions)
	cmd := &cobra.Command{
		Use:   "get ID",
		Short: "Show one user",
		Example: `  roster user get ID
  roster user get ID --attributes userName,emails.value -o json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id = args[0]
			return runUserGet(cmd.Context(), g, o)
		},
	}
	o.addDirectoryFlags(cmd.Flags())
	o.addProjectionFlags(cmd.Flags())
	o.output.addFlag(cmd.Flags())
	return cmd
}

func runUserGet(ctx context.Context, g *globals, o *userOptions) error {
	if err := o.oneProjection(); err != nil {
		return err
	}
	c, err := o.openDirectory(ctx, g)
	if err != nil {
		return err
	}
	u, err := c.Users().Get(ctx, o.id, &client.GetOptions{Attributes: o.attributes, ExcludedAttributes: o.excluded})
	if err != nil {
		return noUser(err)
	}
	return printUser(g, o.output, u)
}

func noUser(err error) error {
	return hint(err, http.StatusNotFound, `roster user list --filter 'userName eq "NAME"'`)
}

// printUser prints a user as the service sent it.
func printUser(g *globals, o outputFormat, u *client.User) error {
	switch {
	case len(u.Answer.Body) == 0:
		return nil
	case o == outputTable:
		return printDocument(g.stdout, u.Answer.Body)
	case o == outputJSON:
		return printJSON(g.stdout, u.Answer.Body)
	}
	l := newListing(g.stdout, o, userHeads...)
	if err := l.add(u.Answer.Body, userCells(u)...); err != nil {
		return err
	}
	return l.end()
}

func newUserListCmd(g *globals) *cobra.Command {
	o := new(userOptions)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List users, all or those that a filter selects",
		Example: `  roster user list --filter 'userName eq "ada@corp.example"'
  roster user list --limit 20 -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runUserList(cmd.Context(), g, o) },
	}
	f := cmd.Flags()
	o.addDirectoryFlags(f)
	o.addProjectionFlags(f)
	o.output.addFlag(f)
	f.StringVar(&o.filter, "filter", "", "SCIM `filter`, sent as it is")
	f.IntVar(&o.limit, "limit", 0, "how many to show at the most (default: all)")
	perCall(f, "filter", "limit")
	return cmd
}

func runUserList(ctx context.Context, g *globals, o *userOptions) error {
	if o.limit < 0 {
		return usagef("--limit must not be negative")
	}
	if err := o.oneProjection(); err != nil {
		return err
	}
	c, err := o.openDirectory(ctx, g)
	if err != nil {
		return err
	}
	list := &client.ListOptions{Attributes: o.attributes, ExcludedAttributes: o.excluded, Filter: o.filter}
	if o.limit > 0 {
		list.Count = o.limit
	}
	l := newListing(g.stdout, o.output, userHeads...)
	n := 0
	for u, err := range c.Users().List(ctx, list) {
		if err != nil {
			return err
		}
		if err := l.add(u.Answer.Body, userCells(u)...); err != nil {
			return err
		}
		if n++; n == o.limit {
			break
		}
	}
	return l.end()
}

var userHeads = []string{"ID", "USER NAME", "DISPLAY NAME", "E-MAIL", "ACTIVE"}

func userCells(u *client.User) []string {
	active := ""
	if v, ok := u.Active.Get(); ok {
		active = strconv.FormatBool(v)
	}
	return []string{u.ID, u.UserName, u.DisplayName.Value(), mainEmail(u), active}
}

// mainEmail returns the primary e-mail address, else the first one.
func mainEmail(u *client.User) string {
	emails := u.Emails.Value()
	for _, e := range emails {
		if e.Primary.Value() {
			return e.Value.Value()
		}
	}
	if len(emails) > 0 {
		return emails[0].Value.Value()
	}
	return ""
}

func newUserDeleteCmd(g *globals) *cobra.Command {
	o := new(userOptions)
	cmd := &cobra.Command{
		Use:   "delete ID",
		Short: "Delete a user",
		Long: `Delete a user. A Roster keeps deleted users in a trash, from which roster user
restore brings them back; other services may delete for good.`,
		Example: `  roster user delete ID
  roster user delete ID --if-match 'W/"3"'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id = args[0]
			return runUserDelete(cmd.Context(), g, o)
		},
	}
	f := cmd.Flags()
	o.addDirectoryFlags(f)
	f.StringVar(&o.ifMatch, "if-match", "", "`ETag` that the user must still have")
	perCall(f, "if-match")
	return cmd
}

func runUserDelete(ctx context.Context, g *globals, o *userOptions) error {
	c, err := o.openDirectory(ctx, g)
	if err != nil {
		return err
	}
	if err := c.Users().Delete(ctx, o.id, &client.DeleteOptions{IfMatch: o.ifMatch}); err != nil {
		return changed(noUser(err), o.id)
	}
	_, err = fmt.Fprintf(g.stderr, "Deleted user %s.\n", printable(o.id))
	return err
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
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id = args[0]
			return runUserHistory(cmd.Context(), g, o)
		},
	}
	o.addDirectoryFlags(cmd.Flags())
	o.output.addFlag(cmd.Flags())
	return cmd
}

func runUserHistory(ctx context.Context, g *globals, o *userOptions) error {
	c, err := o.openDirectory(ctx, g)
	if err != nil {
		return err
	}
	l := newListing(g.stdout, o.output, "VERSION", "AT", "OPERATION", "KEY", "REQUEST", "ATTRIBUTE", "BEFORE", "AFTER")
	for e, err := range c.Management().History(ctx, c.Directory, o.id, 0) {
		if err != nil {
			return noUser(err)
		}
		switch o.output {
		case outputTable:
			err = printEvent(g.stdout, e)
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
func printEvent(w io.Writer, e *roster.Event) error {
	if _, err := fmt.Fprintln(w, eventHead(e)); err != nil {
		return err
	}
	for _, ch := range e.Changes {
		line := planned(ch).String()
		if e.Purged {
			line = ch.Attribute
		}
		fmt.Fprintln(w, "  "+printable(line))
	}
	return nil
}
