package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/roster-scim/roster/internal/store/sqlstore"
	"github.com/roster-scim/roster/internal/workflow/durable"
)

func newMigrateCmd(g *globals) *cobra.Command {
	var data, db string
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the schema of a database up to date",
		Long: `Bring the schema of a database up to date. It only goes forward, each step in a
transaction. PostgreSQL wants it before a newer server starts; the servers of one
minor version back keep running on the new schema. The tables for the runs of
workflows, which have the schema roster_runs, are among it. SQLite does it at the start of
the server, after a copy of the file.`,
		Example: `  roster migrate --db postgres://roster@db.example/roster --dry-run
  roster migrate --db postgres://roster@db.example/roster`,
		Args: noArg,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dryRun {
				s, err := sqlstore.ReadSchema(cmd.Context(), databaseDSN(data, db))
				if err != nil {
					return err
				}
				fmt.Fprintf(g.stdout, "schema version %d of %d\n", s.Current, s.Latest)
				for _, name := range s.Pending {
					fmt.Fprintln(g.stdout, "would apply", name)
				}
				return nil
			}
			dsn, err := makeDatabaseDSN(data, db)
			if err != nil {
				return err
			}
			before, err := sqlstore.Migrate(cmd.Context(), dsn, nil)
			if err != nil {
				return err
			}
			if !strings.HasPrefix(dsn, "sqlite:") { // whose file of runs the server migrates
				if err := durable.Migrate(cmd.Context(), dsn, nil); err != nil {
					return err
				}
			}
			for _, name := range before.Pending {
				fmt.Fprintln(g.stdout, "applied", name)
			}
			fmt.Fprintf(g.stdout, "schema version %d\n", before.Latest)
			return nil
		},
	}
	addDatabaseFlags(cmd.Flags(), &data, &db)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would be applied, and apply nothing")
	perCall(cmd.Flags(), "dry-run")
	return cmd
}
