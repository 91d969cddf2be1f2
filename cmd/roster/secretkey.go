package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/roster-scim/roster/internal/secret"
	"github.com/roster-scim/roster/internal/store/sqlstore"
	"github.com/roster-scim/roster/internal/workflow"
)

func addSecretKeyFlag(f flagSet, file *string) {
	f.StringVar(file, "secret-key-file", "", "`file` of the keys that seal what is secret in the database (default: secret.key beside an embedded one)")
}

// embedded returns the path of an embedded database, "" for another one.
func embedded(dsn string) string {
	if path, ok := strings.CutPrefix(dsn, "sqlite:"); ok {
		return path
	}
	return ""
}

// secretKeyFile returns the path of the file of keys: the one that was named, or
// the default one of an embedded database; "" for none.
func secretKeyFile(file, dsn string) string {
	if path := embedded(dsn); file == "" && path != "" {
		return filepath.Join(filepath.Dir(path), "secret.key")
	}
	return file
}

// openKeys opens the file of keys of a server's database, and makes it for an
// embedded one that has none. It returns nil where there is none.
func (o *serveOptions) openKeys(ctx context.Context, in *serveInput, db *sqlstore.DB, dsn string) (*secret.Keyring, error) {
	path := secretKeyFile(o.secretKeyFile, dsn)
	_, err := os.Stat(path)
	missing := path != "" && errors.Is(err, fs.ErrNotExist)
	keys, err := workflow.OpenKeys(ctx, db, path, embedded(dsn) != "")
	switch {
	case err != nil:
		return nil, err
	case keys == nil:
		in.log.Info("no --secret-key-file: this server keeps no connections and runs no workflows")
	case missing:
		in.log.Info("made a file of keys for what is secret in the database: keep a copy of it with your backups", "file", path)
	}
	return keys, nil
}

func newSecretKeyCmd(g *globals) *cobra.Command {
	cmd := newGroup("secret-key", "Make, list, rotate and remove the keys that seal what is secret in the database",
		newSecretKeyCreateCmd(g), newSecretKeyListCmd(g), newSecretKeyRotateCmd(g), newSecretKeyRemoveCmd(g), newSecretKeyResetCmd(g))
	cmd.Long = `The keys of connections, secret inputs and what the runs of workflows keep are
sealed in the database, by the keys of a file. Its first key seals, all of them
open. An embedded database has the file secret.key beside it, made by the first
start of the server; for PostgreSQL make one and give it to every server with
--secret-key-file. Without the file what is sealed is lost: it is part of a backup.

These commands are run on the machine of the server, and with an embedded database
while no server runs.`
	return cmd
}

type secretKeyOptions struct {
	data, db, file string
	output         outputFormat
	prepare        bool
	yes            bool
}

func (o *secretKeyOptions) addFlags(f *pflag.FlagSet) {
	addDatabaseFlags(f, &o.data, &o.db)
	addSecretKeyFlag(f, &o.file)
}

// open opens the database, which must be there, and names the file of keys.
func (o *secretKeyOptions) open(ctx context.Context) (*sqlstore.DB, error) {
	dsn := databaseDSN(o.data, o.db)
	if o.file = secretKeyFile(o.file, dsn); o.file == "" {
		return nil, usagef("--secret-key-file is needed: the file that the servers of this database have")
	}
	if path := embedded(dsn); path != "" {
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("open database: %w", err)
		}
	}
	return sqlstore.Open(ctx, dsn, sqlstore.Options{})
}

// with opens the database and the file of keys that belongs to it for fn.
func (o *secretKeyOptions) with(ctx context.Context, fn func(*sqlstore.DB, *secret.Keyring) error) error {
	db, err := o.open(ctx)
	if err != nil {
		return err
	}
	keys, err := workflow.OpenKeys(ctx, db, o.file, false)
	if err == nil {
		err = fn(db, keys)
	}
	return errors.Join(err, db.Close())
}

func newSecretKeyCreateCmd(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "create FILE",
		Short:   "Make a file with one new key",
		Example: `  roster secret-key create /etc/roster/secret.key`,
		Args:    oneArg,
		RunE: func(_ *cobra.Command, args []string) error {
			if _, err := os.Lstat(args[0]); !errors.Is(err, fs.ErrNotExist) {
				return errors.Join(err, fmt.Errorf("%s: %w: roster secret-key rotate adds a key to a file", args[0], fs.ErrExist))
			}
			keys, err := secret.Make(args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(g.stderr, "Made %s with key %s.\n", args[0], keys.IDs()[0])
			return err
		},
	}
}

func newSecretKeyListCmd(g *globals) *cobra.Command {
	o := new(secretKeyOptions)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the ids of the keys, and how many records each has sealed",
		Long: `List the ids of the keys, and how many records each has sealed. What the runs of
workflows keep is not counted.`,
		Example: `  roster secret-key list --data /var/lib/roster`,
		Args:    noArg,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.with(cmd.Context(), func(db *sqlstore.DB, keys *secret.Keyring) error {
				return printKeyUse(cmd.Context(), g, o, db, keys)
			})
		},
	}
	o.addFlags(cmd.Flags())
	o.output.addFlag(cmd.Flags())
	return cmd
}

func printKeyUse(ctx context.Context, g *globals, o *secretKeyOptions, db *sqlstore.DB, keys *secret.Keyring) error {
	use, err := workflow.CountKeys(ctx, db, keys)
	if err != nil {
		return err
	}
	l := newListing(g.stdout, o.output, "ID", "SEALS", "MISSING", "CONNECTIONS", "SETTINGS")
	for _, u := range use {
		if err := l.add(u, u.ID, yes(u.Seals), yes(u.Missing), strconv.Itoa(u.Connections), strconv.Itoa(u.Settings)); err != nil {
			return err
		}
	}
	return l.end()
}

func newSecretKeyRotateCmd(g *globals) *cobra.Command {
	o := new(secretKeyOptions)
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Put a new key in front, and seal connections and settings anew",
		Long: `Put a new key in front of those in the file, and seal the connections and settings
of the database anew. What the runs of workflows have kept stays under the old key
until they are purged. A rotation that was cut off goes on when it is called again.

Where several servers share a database, each must have the new key before anything
is sealed under it: rotate --prepare adds the key to the file and does no more; copy
the file to every server, and then call rotate. Servers read it again by themselves
within a minute.`,
		Example: `  roster secret-key rotate --data /var/lib/roster
  roster secret-key rotate --db postgres://roster@db.example/roster --secret-key-file secret.key --prepare`,
		Args: noArg,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.with(cmd.Context(), func(db *sqlstore.DB, keys *secret.Keyring) error {
				return rotateSecretKey(cmd.Context(), g, o, db, keys)
			})
		},
	}
	f := cmd.Flags()
	o.addFlags(f)
	f.BoolVar(&o.prepare, "prepare", false, "add the key to the file, and seal nothing anew yet")
	perCall(f, "prepare")
	return cmd
}

func rotateSecretKey(ctx context.Context, g *globals, o *secretKeyOptions, db *sqlstore.DB, keys *secret.Keyring) error {
	use, err := workflow.CountKeys(ctx, db, keys)
	if err != nil {
		return err
	}
	underWay := slices.ContainsFunc(use, func(u *workflow.KeyUse) bool { return !u.Seals && u.Connections+u.Settings > 0 })
	switch {
	case underWay && o.prepare:
		return fmt.Errorf("a rotation to key %s is under way: copy %s to every server, then roster secret-key rotate without --prepare", use[0].ID, o.file)
	case underWay:
		fmt.Fprintf(g.stderr, "Going on with the rotation to key %s.\n", use[0].ID)
	default:
		if keys, err = secret.Add(o.file); err != nil {
			return err
		}
		fmt.Fprintf(g.stderr, "Added key %s in front of %s.\n", keys.IDs()[0], o.file)
	}
	if o.prepare {
		_, err := fmt.Fprintln(g.stderr, "Nothing is sealed under it yet: copy the file to every server, then roster secret-key rotate without --prepare.")
		return err
	}
	n, err := workflow.Reseal(ctx, db, keys)
	if err != nil {
		return fmt.Errorf("%w: %d records were sealed anew; roster secret-key rotate goes on", err, n)
	}
	_, err = fmt.Fprintf(g.stderr, "Sealed %d records anew. What the runs of workflows have kept stays under the older keys until they are purged; keep the file with your backups.\n", n)
	return err
}

func newSecretKeyRemoveCmd(g *globals) *cobra.Command {
	o := new(secretKeyOptions)
	cmd := &cobra.Command{
		Use:   "remove ID",
		Short: "Remove a key that no connection and no setting is sealed under",
		Long: `Remove a key from the file. The one that seals, and one that a connection or a
setting needs, is refused. What the runs of workflows have kept under it can not be
read any more: remove a key when the runs from before the rotation were purged. It
asks first; where nobody can answer, it needs --yes.`,
		Example: `  roster secret-key remove 3f1c9a0b7d2e4586 --data /var/lib/roster`,
		Args:    oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.with(cmd.Context(), func(db *sqlstore.DB, keys *secret.Keyring) error {
				return removeSecretKey(cmd.Context(), g, o, db, keys, args[0])
			})
		},
	}
	f := cmd.Flags()
	o.addFlags(f)
	f.BoolVar(&o.yes, "yes", false, "do not ask")
	perCall(f, "yes")
	return cmd
}

func removeSecretKey(ctx context.Context, g *globals, o *secretKeyOptions, db *sqlstore.DB, keys *secret.Keyring, id string) error {
	use, err := workflow.CountKeys(ctx, db, keys)
	if err != nil {
		return err
	}
	for _, u := range use {
		if n := u.Connections + u.Settings; u.ID == id && !u.Seals && n > 0 {
			return fmt.Errorf("%d records are sealed under key %s: roster secret-key rotate seals them anew", n, id)
		}
	}
	if slices.Contains(keys.IDs()[1:], id) {
		const why = "runs of workflows that were kept under this key can not be read without it"
		if err := confirm(g, o.yes, why, "R"+why[1:]+": remove it?"); err != nil {
			return err
		}
	}
	if _, err := secret.Remove(o.file, id); err != nil {
		return err
	}
	_, err = fmt.Fprintf(g.stderr, "Removed key %s from %s.\n", id, o.file)
	return err
}

func newSecretKeyResetCmd(g *globals) *cobra.Command {
	o := new(secretKeyOptions)
	cmd := &cobra.Command{
		Use:   "reset",
		Short: "Give up what is sealed when the file of keys is lost",
		Long: `Take another file of keys for a database whose own is lost, so that the server
starts again: every connection whose key the file does not open is deleted. A file
that is not there is made. It asks first; where nobody can answer, it needs --yes.`,
		Example: `  roster secret-key reset --data /var/lib/roster`,
		Args:    noArg,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runSecretKeyReset(cmd.Context(), g, o) },
	}
	f := cmd.Flags()
	o.addFlags(f)
	f.BoolVar(&o.yes, "yes", false, "do not ask")
	perCall(f, "yes")
	return cmd
}

func runSecretKeyReset(ctx context.Context, g *globals, o *secretKeyOptions) (err error) {
	db, err := o.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	const why = "connections whose keys the file does not open are deleted"
	if err := confirm(g, o.yes, why, "C"+why[1:]+": go on?"); err != nil {
		return err
	}
	keys, err := secret.Make(o.file)
	if err != nil {
		return err
	}
	n, err := workflow.ForgetSealed(ctx, db, keys)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(g.stderr, "%s is the file of keys of this database now. Connections deleted: %d.\n", o.file, n)
	return err
}
