package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/client"
)

func newKeyCmd(g *globals) *cobra.Command {
	return newGroup("key", "Make, list, rotate and revoke API keys",
		newKeyCreateCmd(g), newKeyListCmd(g), newKeyRotateCmd(g), newKeyRevokeCmd(g))
}

type keyOptions struct {
	connection
	output   outputFormat
	operator bool
	quiet    bool
	name, id string
	scopes   []string
	user     string
	expires  string
	overlap  time.Duration
}

// addTargetFlags adds the flags that say whose keys are meant.
func (o *keyOptions) addTargetFlags(f *pflag.FlagSet) {
	o.addDirectoryFlags(f)
	f.BoolVar(&o.operator, "operator", false, "keys of the operators, which belong to no directory")
	perCall(f, "operator")
}

// addSecretFlags adds the flags of those that make a key.
func (o *keyOptions) addSecretFlags(f *pflag.FlagSet) {
	o.output.addFlag(f)
	f.BoolVarP(&o.quiet, "quiet", "q", false, "print the key alone")
	f.StringVar(&o.expires, "expires", "", "`when` the key ends: a date, a time, or 90d, 12h from now (default: never)")
	perCall(f, "quiet", "expires")
}

// target returns a client and the directory whose keys are meant, "" for the
// operators.
func (o *keyOptions) target(ctx context.Context, g *globals) (client.Management, string, error) {
	if o.operator {
		c, err := o.open(g)
		if err != nil {
			return client.Management{}, "", err
		}
		return c.Management(), "", nil
	}
	c, err := o.openDirectory(ctx, g)
	if err != nil {
		return client.Management{}, "", err
	}
	if c.Directory == "" {
		return client.Management{}, "", usagef("--url must be that of a Roster")
	}
	return c.Management(), c.Directory, nil
}

func newKeyCreateCmd(g *globals) *cobra.Command {
	o := new(keyOptions)
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a key; it is shown this once",
		Example: `  roster key create okta --directory ID --scopes users:write,groups:write --expires 365d
  roster key create ada --directory ID --scopes me --user USERID
  ROSTER_KEY=$(roster key create ci --scopes users:read -q)`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name = args[0]
			return runKeyCreate(cmd.Context(), g, o)
		},
	}
	f := cmd.Flags()
	o.addTargetFlags(f)
	o.addSecretFlags(f)
	f.StringSliceVar(&o.scopes, "scopes", nil, "`names` of what the key may do: "+scopeNames()+"; or me, with --user (required)")
	f.StringVar(&o.user, "user", "", "`id` of the user that /Me is for this key (default: none)")
	perCall(f, "scopes", "user")
	return cmd
}

func scopeNames() string {
	names := make([]string, len(roster.Scopes))
	for i, s := range roster.Scopes {
		names[i] = string(s)
	}
	return strings.Join(names, ", ")
}

func runKeyCreate(ctx context.Context, g *globals, o *keyOptions) error {
	if len(o.scopes) == 0 {
		return usagef("--scopes is required: %s", scopeNames())
	}
	expires, err := parseExpires(o.expires, time.Now())
	if err != nil {
		return err
	}
	m, directory, err := o.target(ctx, g)
	if err != nil {
		return err
	}
	create := client.KeyCreate{Name: o.name, Expires: expires, User: o.user}
	for _, s := range o.scopes {
		create.Scopes = append(create.Scopes, roster.Scope(strings.TrimSpace(s)))
	}
	k, err := m.CreateKey(ctx, directory, create)
	if err != nil {
		return err
	}
	return printNewKey(g, o, k)
}

// printNewKey prints a key that was made, with its secret.
func printNewKey(g *globals, o *keyOptions, k *client.NewKey) error {
	var err error
	if o.quiet {
		_, err = fmt.Fprintln(g.stdout, k.Secret)
	} else {
		err = newListing(g.stdout, o.output).one(k, [][2]string{
			{"id", k.ID}, {"name", k.Name}, {"directory", k.Directory}, {"user", k.User},
			{"scopes", scopeList(&k.Key)}, {"expires", orNever(k.Expires)}, {"key", k.Secret},
		})
	}
	fmt.Fprintln(g.stderr, "The key is shown this once: keep it now.")
	return err
}

func newKeyListCmd(g *globals) *cobra.Command {
	o := new(keyOptions)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List keys, revoked ones too; never the keys themselves",
		Example: `  roster key list
  roster key list --operator -o json`,
		Args: noArg,
		RunE: func(cmd *cobra.Command, _ []string) error { return runKeyList(cmd.Context(), g, o) },
	}
	o.addTargetFlags(cmd.Flags())
	o.output.addFlag(cmd.Flags())
	return cmd
}

func runKeyList(ctx context.Context, g *globals, o *keyOptions) error {
	m, directory, err := o.target(ctx, g)
	if err != nil {
		return err
	}
	list, err := m.ListKeys(ctx, directory)
	if err != nil {
		return err
	}
	l := newListing(g.stdout, o.output, "ID", "NAME", "PREFIX", "SCOPES", "STATE", "EXPIRES", "LAST USED")
	for _, k := range list {
		if err := l.add(k, k.ID, k.Name, k.Prefix, scopeList(k), keyState(k, time.Now()), orNever(k.Expires), when(k.LastUsed)); err != nil {
			return err
		}
	}
	return l.end()
}

func scopeList(k *roster.Key) string {
	names := make([]string, len(k.Scopes))
	for i, s := range k.Scopes {
		names[i] = string(s)
	}
	return strings.Join(names, ",")
}

func orNever(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return when(t)
}

func keyState(k *roster.Key, now time.Time) string {
	switch {
	case !k.Revoked.IsZero() && !now.Before(k.Revoked):
		return "revoked"
	case !k.Revoked.IsZero():
		return "until " + when(k.Revoked)
	case !k.Live(now):
		return "expired"
	}
	return "live"
}

func newKeyRotateCmd(g *globals) *cobra.Command {
	o := new(keyOptions)
	cmd := &cobra.Command{
		Use:     "rotate ID",
		Short:   "Replace a key; the old one stays good for the overlap",
		Example: "  roster key rotate ID --overlap 24h -q",
		Args:    oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id = args[0]
			return runKeyRotate(cmd.Context(), g, o)
		},
	}
	f := cmd.Flags()
	o.addTargetFlags(f)
	o.addSecretFlags(f)
	f.DurationVar(&o.overlap, "overlap", 24*time.Hour, "how long the old key stays good; 0: it ends at once")
	perCall(f, "overlap")
	return cmd
}

func runKeyRotate(ctx context.Context, g *globals, o *keyOptions) error {
	if o.overlap < 0 {
		return usagef("--overlap must not be negative")
	}
	expires, err := parseExpires(o.expires, time.Now())
	if err != nil {
		return err
	}
	m, directory, err := o.target(ctx, g)
	if err != nil {
		return err
	}
	k, err := m.RotateKey(ctx, directory, o.id, client.KeyRotate{Overlap: o.overlap, Expires: expires})
	if err != nil {
		return noKey(err)
	}
	if err := printNewKey(g, o, k); err != nil {
		return err
	}
	if o.overlap > 0 {
		fmt.Fprintf(g.stderr, "The old key stays good for %s.\n", o.overlap)
	} else {
		fmt.Fprintln(g.stderr, "The old key has ended.")
	}
	return nil
}

func newKeyRevokeCmd(g *globals) *cobra.Command {
	o := new(keyOptions)
	cmd := &cobra.Command{
		Use:   "revoke ID",
		Short: "End a key",
		Example: `  roster key revoke ID
  roster key revoke ID --operator`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id = args[0]
			return runKeyRevoke(cmd.Context(), g, o)
		},
	}
	o.addTargetFlags(cmd.Flags())
	return cmd
}

func runKeyRevoke(ctx context.Context, g *globals, o *keyOptions) error {
	m, directory, err := o.target(ctx, g)
	if err != nil {
		return err
	}
	if err := m.RevokeKey(ctx, directory, o.id); err != nil {
		return noKey(err)
	}
	_, err = fmt.Fprintf(g.stderr, "Revoked key %s.\n", o.id)
	return err
}

func noKey(err error) error { return hint(err, http.StatusNotFound, "roster key list") }

// parseExpires reads when a key ends: a date (its end, in UTC), a time, or a
// duration from now in which d is a day. Empty: never, the zero time.
func parseExpires(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		if day, derr := time.Parse(time.DateOnly, s); derr == nil {
			at, err = day.AddDate(0, 0, 1), nil
		}
	}
	if err != nil {
		days, ok := strings.CutSuffix(s, "d")
		if n, derr := strconv.Atoi(days); ok && derr == nil {
			at, err = now.AddDate(0, 0, n), nil
		} else if d, derr := time.ParseDuration(s); derr == nil {
			at, err = now.Add(d), nil
		}
	}
	switch {
	case err != nil:
		return time.Time{}, usagef("--expires %q: expected a date such as 2027-01-31, a time such as 2027-01-31T12:00:00Z, or 90d or 12h from now", s)
	case !at.After(now):
		return time.Time{}, usagef("--expires %q is past", s)
	}
	return at.UTC(), nil
}
