package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

type orgOptions struct {
	connection
	output outputFormat
}

func newOrgCmd(g *globals) *cobra.Command {
	o := new(orgOptions)
	cmd := &cobra.Command{
		Use:   "org",
		Short: "Show the id of the organisation, which Atlassian's Admin APIs ask for",
		Long: `Show the id of the organisation. All directories of a Roster are one organisation,
and Atlassian's Admin APIs are under /admin/user-provisioning/v1/org/ID. It takes an
operator key.`,
		Example: `  roster org`,
		Args:    noArg,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runOrg(cmd.Context(), g, o) },
	}
	o.addServerFlags(cmd.Flags())
	o.output.addFlag(cmd.Flags())
	return cmd
}

func runOrg(ctx context.Context, g *globals, o *orgOptions) error {
	c, err := o.open(g)
	if err != nil {
		return err
	}
	id, err := c.Management().Organization(ctx)
	if err != nil {
		return err
	}
	if o.output == outputTable {
		_, err = fmt.Fprintln(g.stdout, id)
		return err
	}
	return newListing(g.stdout, o.output).one(struct {
		ID string `json:"id"`
	}{id}, [][2]string{{"id", id}})
}
