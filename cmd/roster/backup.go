package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/roster-scim/roster/internal/store/sqlstore"
)

func newBackupCmd(g *globals) *cobra.Command {
	var data, db, keyFile string
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write a consistent copy of the embedded database, also while the server runs",
		Long: `Write a consistent copy of the embedded database to a new file, also while the
server runs: it holds every change that was answered before the backup began. It
is run on the machine of the server. For PostgreSQL use pg_dump.

What is secret in it is sealed by the file of keys (roster secret-key), which is not
in the backup: keep a copy of that file too, in another place.`,
		Example: `  roster backup --data /var/lib/roster roster-2026-11-23.db`,
		Args:    oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			dsn := databaseDSN(data, db)
			if err := sqlstore.Backup(cmd.Context(), dsn, args[0]); err != nil {
				return err
			}
			fmt.Fprintln(g.stderr, "wrote", args[0])
			keys := secretKeyFile(keyFile, dsn)
			if _, err := os.Stat(keys); err != nil {
				return nil // nothing was sealed yet
			}
			_, err := fmt.Fprintf(g.stderr, "note: what is secret in it opens with %s alone: keep a copy of that file too, in another place\n", keys)
			return err
		},
	}
	addDatabaseFlags(cmd.Flags(), &data, &db)
	addSecretKeyFlag(cmd.Flags(), &keyFile)
	return cmd
}

func newRestoreCmd(g *globals) *cobra.Command {
	var data, db string
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a backup in the place of the embedded database",
		Long: `Put a backup in the place of the embedded database, while no server runs. The
backup is checked first and not changed; what was there is kept beside it. The
server then needs the file of keys (roster secret-key) that was kept with it. To
bring back one deleted user, see roster trash restore.`,
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
