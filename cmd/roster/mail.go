package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/roster-scim/roster/internal/mail"
)

// mailOptions are the settings by which mail is sent.
type mailOptions struct {
	flags     *pflag.FlagSet // nil: the settings are given by the program
	dsn, file string
	from      string
	domains   []string
}

func (o *mailOptions) addFlags(f *pflag.FlagSet) {
	o.flags = f
	f.StringVar(&o.dsn, "mail", "", "`DSN` of the mail server: smtp://HOST:587, smtps://HOST:465, file:FOLDER or log:; with USER:PASSWORD@ by --mail-file or ROSTER_MAIL (default: no mail)")
	f.StringVar(&o.file, "mail-file", "", "`file` that holds the DSN of the mail server (or ROSTER_MAIL)")
	f.StringVar(&o.from, "mail-from", "", "`address` that all mails come from, as \"Roster <roster@corp.example>\"")
	f.StringSliceVar(&o.domains, "mail-allow-domain", nil, "`domain` that mails may go to, as corp.example; may be repeated (default: any)")
}

// open opens the sender that the settings name.
func (o *mailOptions) open(g *globals, log *slog.Logger, trace func(mail.Step)) (mail.Sender, error) {
	dsn := strings.TrimSpace(o.dsn)
	typed := o.flags != nil && o.flags.Changed("mail")
	switch {
	case typed && o.flags.Changed("mail-file"):
		return nil, usagef("--mail and --mail-file exclude each other: give one of them")
	case typed && mail.HasPassword(dsn):
		return nil, usagef("--mail has a password, which every user of this machine can read on a command line: give it as ROSTER_MAIL, or in a file with --mail-file")
	case o.file != "" && !typed:
		var err error
		if dsn, err = g.secret("ROSTER_MAIL", o.file); err != nil {
			return nil, err
		}
	}
	s, err := mail.Open(dsn, mail.Options{From: o.from, AllowDomains: o.domains, Trace: trace, Log: log})
	if err != nil {
		return nil, &usageError{err}
	}
	return s, nil
}

func newMailCmd(g *globals) *cobra.Command {
	return newGroup("mail", "Try the mail server that workflows send by", newMailTestCmd(g))
}

type mailTestOptions struct {
	mail   mailOptions
	output outputFormat
	to     []string
}

func newMailTestCmd(g *globals) *cobra.Command {
	o := new(mailTestOptions)
	cmd := &cobra.Command{
		Use:   "test",
		Short: "Send a mail, and say step by step how far it gets",
		Long: `Send a short mail with the settings of roster serve, and say step by step how far
it gets: the address that was found, the connection, its encryption, the login, and
what the server said when it took the mail. When it fails, the reason is said, and
what to do.`,
		Example: `  roster mail test --to ada@corp.example
  ROSTER_MAIL=smtp://roster:PASSWORD@mail.corp.example:587 roster mail test \
      --mail-from roster@corp.example --to ada@corp.example`,
		Args: noArg,
		RunE: func(cmd *cobra.Command, _ []string) error { return runMailTest(cmd.Context(), g, o) },
	}
	f := cmd.Flags()
	o.mail.addFlags(f)
	o.output.addFlag(f)
	f.StringArrayVar(&o.to, "to", nil, "`address` that the mail goes to; may be repeated")
	perCall(f, "to")
	return cmd
}

// A mailTest is what came of it.
type mailTest struct {
	Server    string      `json:"server"`
	ID        string      `json:"messageId"`
	Steps     []mail.Step `json:"steps"`
	Sent      bool        `json:"sent"`
	Error     string      `json:"error,omitzero"`
	Stage     mail.Stage  `json:"stage,omitzero"` // at which it failed
	Code      int         `json:"code,omitzero"`  // of the server's reply
	Temporary bool        `json:"temporary,omitzero"`
}

func runMailTest(ctx context.Context, g *globals, o *mailTestOptions) error {
	if len(o.to) == 0 {
		return usagef("a recipient is needed: --to ADDRESS")
	}
	t := newTable(g.stdout)
	r := &mailTest{ID: uuid.NewString(), Steps: []mail.Step{}}
	log := slog.New(slog.NewTextHandler(g.stderr, &slog.HandlerOptions{ReplaceAttr: redact}))
	s, err := o.mail.open(g, log, func(step mail.Step) { r.Steps = append(r.Steps, step) })
	if err != nil {
		return err
	}
	r.Server = fmt.Sprint(s)
	err = s.Send(ctx, &mail.Message{
		ID: r.ID, To: o.to, Subject: "Roster can send mail",
		Text: "This mail was sent by roster mail test. Workflows of this Roster can send mail the same way.\n",
	})
	err = errors.Join(err, s.Close())
	r.Sent = err == nil
	e, failed := errors.AsType[*mail.Error](err)
	if failed {
		r.Error, r.Stage, r.Code, r.Temporary = e.Error(), e.Stage, e.Code, e.Temporary
	}
	if o.output != outputTable {
		fields := [][2]string{{"server", r.Server}, {"messageId", r.ID}, {"sent", fmt.Sprint(r.Sent)}, {"error", r.Error}}
		return errors.Join(newListing(g.stdout, o.output).one(r, fields), err)
	}
	t.row("server", r.Server)
	for _, step := range r.Steps {
		t.row(step.Name, step.Text)
	}
	if failed {
		t.row("failed", string(e.Stage))
	}
	return errors.Join(t.flush(), err)
}
