package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/roster-scim/roster/scim"
)

func newUserUnlinkCmd(g *globals) *cobra.Command {
	o := new(userOptions)
	cmd := &cobra.Command{
		Use:   "unlink ID",
		Short: "Take its Atlassian account from a user, who stays in the directory",
		Long: `Take its Atlassian account from a user, who stays in the directory. The user is
linked again by roster user link, or by a change of userName or of the primary
e-mail address, or by being activated. It takes an operator key.`,
		Example: `  roster user unlink ID
  roster user list --filter 'not (` + scim.AtlassianExternalURN + `:atlassianAccountId pr)'`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id = args[0]
			return runUserUnlink(cmd.Context(), g, o)
		},
	}
	o.addDirectoryFlags(cmd.Flags())
	return cmd
}

func runUserUnlink(ctx context.Context, g *globals, o *userOptions) error {
	c, err := o.openDirectory(ctx, g)
	if err != nil {
		return err
	}
	org, err := c.Management().Organization(ctx)
	if err != nil {
		return err
	}
	if err := c.Organization(org).Unlink(ctx, c.Directory, o.id); err != nil {
		return noUser(err, o.id)
	}
	_, err = fmt.Fprintf(g.stderr, "Unlinked user %s.\n", printable(o.id))
	return err
}

func newUserLinkCmd(g *globals) *cobra.Command {
	o := new(userOptions)
	cmd := &cobra.Command{
		Use:     "link ID",
		Short:   "Give a user that was unlinked an Atlassian account again",
		Example: `  roster user link ID`,
		Args:    oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id = args[0]
			return runUserLink(cmd.Context(), g, o)
		},
	}
	o.addDirectoryFlags(cmd.Flags())
	o.output.addFlag(cmd.Flags())
	return cmd
}

func runUserLink(ctx context.Context, g *globals, o *userOptions) error {
	c, err := o.openDirectory(ctx, g)
	if err != nil {
		return err
	}
	u, err := c.Management().Link(ctx, c.Directory, o.id)
	if err != nil {
		return noUser(err, o.id)
	}
	return printUser(g, o.output, u)
}
