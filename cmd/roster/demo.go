package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/action"
	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/internal/mail/sink"
	"github.com/roster-scim/roster/internal/workflow"
	"github.com/roster-scim/roster/scim"
)

func newDemoCmd(g *globals) *cobra.Command {
	var once bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show the main job on an embedded database in a temporary folder",
		Long: `Show the main job on an embedded database in a temporary folder and on a free
port of this machine: sample people, an update with what it replaces and clears, a
conflict that is refused, an undo, the history, and a workflow that updates and
mails what it has changed, to a mail server that shows it. Then it serves until
Ctrl-C and removes the folder; --once ends after the story.`,
		Example: `  roster demo
  roster demo --once`,
		Args: noArg,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDemo(cmd.Context(), g, once) },
	}
	cmd.Flags().BoolVar(&once, "once", false, "end after the story")
	perCall(cmd.Flags(), "once")
	return cmd
}

func runDemo(ctx context.Context, g *globals, once bool) (err error) {
	folder, err := os.MkdirTemp("", "roster-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	mails, err := sink.Start(sink.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, mails.Close()) }()
	quiet := *g
	quiet.getenv = func(string) string { return "" } // the demo has a key of its own
	o := new(serveOptions)
	o.addFlags(pflag.NewFlagSet("demo", pflag.ContinueOnError))
	o.data, o.listen, o.logLevel = folder, "127.0.0.1:0", "warn"
	o.mail.dsn, o.mail.from = "smtp://"+mails.Addr()+"?tls=none", "Roster <roster@corp.example>"
	s, err := start(ctx, &quiet, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	story := &demo{
		w: g.stdout, directory: s.directory.ID, mails: mails,
		c: &client.Client{BaseURL: s.url, Directory: s.directory.ID, Key: s.key},
	}
	if err := story.tell(ctx); err != nil {
		if !once && ctx.Err() != nil {
			return nil // Ctrl-C is how it ends
		}
		return err
	}
	if once {
		return nil
	}
	story.say(`
It serves until Ctrl-C. Try it from another terminal:

  export ROSTER_URL=%s ROSTER_KEY=%s
  roster user list
  roster user update %s --title CEO --keep
  roster user history %s
  roster run show %s
`, s.url, s.key, story.ada, story.ada, story.run)
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.failed:
		return err
	}
}

// A demo tells the story of one update through the same client that everybody
// has.
type demo struct {
	w         io.Writer
	c         *client.Client
	directory string
	mails     *sink.Sink
	ada       string // her id
	run       string // the id of the workflow's
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.w, format+"\n", args...) }

func (d *demo) tell(ctx context.Context) error {
	for _, act := range []func(context.Context) error{d.seed, d.update, d.conflict, d.undo, d.history, d.workflow} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	return nil
}

// seed makes three people.
func (d *demo) seed(ctx context.Context) error {
	d.say("1. A directory with three people, at %s", d.c.BaseURL)
	for _, p := range []struct{ given, family, mail, title, department string }{
		{"Ada", "Lovelace", "ada@corp.example", "Engineer", "Research"},
		{"Grace", "Hopper", "grace@corp.example", "Rear Admiral", "Compilers"},
		{"Alan", "Turing", "alan@corp.example", "Mathematician", "Research"},
	} {
		u, err := d.c.Users().Create(ctx, &client.User{
			UserName:     p.mail,
			Name:         client.Set(client.Name{GivenName: client.Set(p.given), FamilyName: client.Set(p.family)}),
			DisplayName:  client.Set(p.given + " " + p.family),
			Emails:       client.Set([]client.MultiValue{client.Primary(client.Value(p.mail, "work"))}),
			PhoneNumbers: client.Set([]client.MultiValue{client.Value("+1-555-0100", "work")}),
			Title:        client.Set(p.title),
			Department:   client.Set(p.department),
			Timezone:     client.Set("Europe/London"),
		}, nil)
		if err != nil {
			return err
		}
		if d.ada == "" {
			d.ada = u.ID
		}
		d.say("   %s  %-20s %s", u.ID, p.mail, p.title)
	}
	return nil
}

// update is the main job: what is named is replaced, what is left out cleared.
func (d *demo) update(ctx context.Context) error {
	d.say("\n2. Update Ada: PUT with a user name, a title, a name and two e-mail addresses. What is left out is cleared.")
	in := action.Input{}
	err := errors.Join(
		in.Set("userId", d.ada),
		in.Set("userName", "ada@corp.example"),
		in.Set("title", "CTO"),
		in.Set("displayName", "Ada Lovelace"),
		in.Set("name", map[string]string{"givenName": "Ada", "familyName": "King"}),
		in.Set("emails", []map[string]any{
			{"value": "ada.king@corp.example", "type": "work", "primary": true},
			{"value": "ada@home.example", "type": "home"},
		}),
	)
	if err != nil {
		return err
	}
	update := &action.UpdateUser{Client: d.c}
	plan, err := update.Plan(ctx, in)
	if err != nil {
		return err
	}
	d.say("   The plan, before anything is sent:")
	for _, c := range plan.Changes {
		d.say("     %s", c)
	}
	done, err := update.Apply(ctx, plan)
	if err != nil {
		return err
	}
	added, replaced, cleared := action.Counts(done.Changes)
	d.say("   Done: %d added, %d replaced, %d cleared. It is on disk, as version %s.", added, replaced, cleared, done.Answer.ETag())
	return nil
}

// conflict tries to give somebody else a name that is taken.
func (d *demo) conflict(ctx context.Context) error {
	d.say("\n3. Give a new person Grace's user name, spelt in capitals. It is refused, and nothing changes:")
	_, err := d.c.Users().Create(ctx, &client.User{
		UserName: "GRACE@corp.example",
		Emails:   client.Set([]client.MultiValue{client.Primary(client.Value("other@corp.example", "work"))}),
	}, nil)
	var e *scim.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("the conflict was not refused: %w", err)
	}
	d.say("   %d %s: %s", e.Status, e.Type, e.Detail)
	return nil
}

// undo takes the update back, and shows that it is as if it had not been.
func (d *demo) undo(ctx context.Context) error {
	var update *roster.Event
	for e, err := range d.c.Management().History(ctx, d.directory, d.ada, 0) {
		if err != nil {
			return err
		}
		update = e
		break // the newest
	}
	d.say("\n4. Undo the update, which is event %d. What came later and changed others would stay.", update.Seq)
	plan, err := d.c.Management().Undo(ctx, d.directory, update.Seq, &client.UndoOptions{Plan: true})
	if err != nil {
		return err
	}
	for _, line := range undoLines(plan) {
		d.say("     %s", line)
	}
	done, err := d.c.Management().Undo(ctx, d.directory, update.Seq, &client.UndoOptions{IfVersion: plan.Version})
	if err != nil {
		return err
	}
	ada, err := d.c.Users().Get(ctx, d.ada, nil)
	if err != nil {
		return err
	}
	if ada.Title.Value() != "Engineer" || ada.Timezone.Value() != "Europe/London" {
		return fmt.Errorf("the undo did not bring everything back: %s", ada.Answer.Body)
	}
	d.say("   Done, as version %d: Ada is %s in %s again.", done.Version, ada.Title.Value(), ada.Timezone.Value())
	return nil
}

// history shows what is known of each change.
func (d *demo) history(ctx context.Context) error {
	d.say("\n5. Ada's history, the newest change first, with the values before and after:")
	for e, err := range d.c.Management().History(ctx, d.directory, d.ada, 0) {
		if err != nil {
			return err
		}
		d.say("   version %d, %s at %s", e.Version, e.Operation, e.At.Format(time.RFC3339Nano))
		for _, c := range e.Changes {
			switch {
			case len(c.Before) == 0:
				d.say("     + %s: %s", c.Attribute, c.After)
			case len(c.After) == 0:
				d.say("     - %s: %s", c.Attribute, c.Before)
			default:
				d.say("     ~ %s: %s -> %s", c.Attribute, c.Before, c.After)
			}
		}
	}
	return nil
}

// workflow updates once more, by a workflow that mails what it has changed.
func (d *demo) workflow(ctx context.Context) error {
	f, err := workflow.FromLibrary("update-user-and-email")
	if err != nil {
		return err
	}
	d.say("\n6. The workflow %s, of the library, updates Ada and mails what it has changed:", f.Name)
	in := action.Input{}
	err = errors.Join(
		in.Set("userId", d.ada),
		in.Set("userName", "ada@corp.example"),
		in.Set("title", "CTO"),
		in.Set("displayName", "Ada Lovelace"),
		in.Set("name", map[string]string{"givenName": "Ada", "familyName": "Lovelace"}),
		in.Set("emails", []map[string]any{{"value": "ada@corp.example", "type": "work", "primary": true}}),
		in.Set("recipient", "grace@corp.example"),
	)
	if err != nil {
		return err
	}
	m := d.c.Management()
	if _, err := m.DeployWorkflow(ctx, d.directory, f.Name, client.Deployment{Source: f.Source}); err != nil {
		return err
	}
	run, err := m.StartRun(ctx, d.directory, f.Name, client.RunStart{Inputs: in, Wait: 20 * time.Second})
	if err != nil {
		return err
	}
	d.run = run.ID
	if run.Status != roster.RunSucceeded {
		return fmt.Errorf("the run is %s: %s", run.Status, runErrorText(run.Error))
	}
	for i := range run.Steps {
		d.say("   step %-8s %s", run.Steps[i].ID, run.Steps[i].Status)
	}
	select {
	case got := <-d.mails.Received():
		return d.show(got)
	default:
		return errors.New("the mail was sent, and did not come")
	}
}

// show prints a mail as people read it.
func (d *demo) show(got *sink.Message) error {
	mail, err := got.Parse()
	if err != nil {
		return err
	}
	d.say("\n   The mail that has come:\n")
	for _, name := range []string{"From", "To", "Subject"} {
		value, err := mail.Get(name)
		if err != nil {
			return err
		}
		d.say("   | %-8s %s", name+":", value)
	}
	d.say("   |")
	for line := range strings.Lines(strings.TrimSpace(mail.Text)) {
		for _, part := range wrap(strings.TrimRight(line, "\n"), 75) {
			d.say("%s", strings.TrimRight("   | "+part, " "))
		}
	}
	d.say("\n   It has the same as HTML (%d bytes).", len(mail.HTML))
	for _, a := range mail.Attachments {
		d.say("   Attached: %s (%s, %d bytes).", a.Name, a.Type, len(a.Content))
	}
	return nil
}

// wrap cuts a line at its spaces into parts of at most width characters; the later
// ones stand further in. A word that is longer stays whole.
func wrap(line string, width int) []string {
	indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
	parts := []string{}
	part := indent
	for i, word := range strings.Fields(line) {
		switch {
		case i == 0:
			part += word
		case utf8.RuneCountInString(part)+1+utf8.RuneCountInString(word) > width:
			parts = append(parts, part)
			part = indent + "  " + word
		default:
			part += " " + word
		}
	}
	return append(parts, part)
}
