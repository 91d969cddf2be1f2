package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/roster-scim/roster/internal/store/sqlstore"
)

func newBackupCmd(g *globals) *cobra.Command {
	var data, db string
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write a consistent copy of the embedded database, also while the server runs",
		Long: `Write a consistent copy of the embedded database to a new file, also while the
server runs: it holds every change that was answered before the backup began. It
is run on the machine of the server. For PostgreSQL use pg_dump.`,
		Example: `  roster backup --data /var/lib/roster roster-2026-11-23.db`,
		Args:    oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := sqlstore.Backup(cmd.Context(), databaseDSN(data, db), args[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintln(g.stderr, "wrote", args[0])
			return err
		},
	}
	addDatabaseFlags(cmd.Flags(), &data, &db)
	return cmd
}

func newRestoreCmd(g *globals) *cobra.Command {
	var data, db string
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a backup in the place of the embedded database",
		Long: `Put a backup in the place of the embedded database, while no server runs. The
backup is checked first and not changed; what was there is kept beside it. To
bring back one deleted user, see roster user restore.`,
		Example: `  roster restore --data /var/lib/roster roster-2026-11-23.db`,
		Args:    oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			dsn, err := makeDatabaseDSN(data, db)
			if err != nil {
				return err
			}
			kept, err := sqlstore.Restore(cmd.Context(), dsn, args[0])
			if err != nil {
				return err
			}
			if kept != "" {
				fmt.Fprintln(g.stderr, "kept what was there as", kept)
			}
			_, err = fmt.Fprintln(g.stderr, "restored from", args[0])
			return err
		},
	}
	addDatabaseFlags(cmd.Flags(), &data, &db)
	return cmd
}
