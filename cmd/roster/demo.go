package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/action"
	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/internal/server"
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
conflict that is refused, an undo, the history. Then it serves until Ctrl-C and removes the
folder; --once ends after the story.`,
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
	quiet := *g
	quiet.getenv = func(string) string { return "" } // the demo has a key of its own
	s, err := start(ctx, &quiet, &serveOptions{
		data: folder, listen: "127.0.0.1:0", ruleSet: scim.Atlassian, maxBody: server.DefaultMaxBody, maxBulk: server.DefaultMaxBulk,
		headerTimeout: 10 * time.Second, readTimeout: time.Minute, writeTimeout: time.Minute, idleTimeout: time.Minute,
		maxHeader: 64 << 10, drainTimeout: 10 * time.Second, logLevel: "warn", logFormat: "text",
		runs: runsOptions{role: roleAll, concurrency: 2, rate: workflow.DefaultRunRate, maxDepth: workflow.DefaultMaxDepth},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	story := &demo{
		w: g.stdout, directory: s.directory.ID,
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
`, s.url, s.key, story.ada, story.ada)
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
	ada       string // her id
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.w, format+"\n", args...) }

func (d *demo) tell(ctx context.Context) error {
	for _, act := range []func(context.Context) error{d.seed, d.update, d.conflict, d.undo, d.history} {
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
