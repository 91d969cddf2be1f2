package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/action"
	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/scim"
)

func newEventsCmd(g *globals) *cobra.Command {
	return newGroup("events", "Show what has changed in a directory, and follow it; roster undo takes it back",
		newEventsListCmd(g), newEventsTailCmd(g))
}

type eventsOptions struct {
	connection
	output   outputFormat
	resource string
	after    int64
	limit    int // 0: all
	follow   bool
}

func (o *eventsOptions) addFlags(cmd *cobra.Command, limit int, limitUsage string) {
	f := cmd.Flags()
	o.addDirectoryFlags(f)
	o.output.addFlag(f)
	f.Lookup("output").Usage = "table, a line for each event, or json, which is ndjson: an object on each line"
	f.Int64Var(&o.after, "after", 0, "only events after the one with this `number`")
	f.IntVar(&o.limit, "limit", limit, limitUsage)
	perCall(f, "after", "limit")
}

func (o *eventsOptions) check() error {
	if o.after < 0 || o.limit < 0 {
		return usagef("--after and --limit must not be negative")
	}
	if o.output == outputCSV {
		return usagef("events are no rows of cells: --output is table, json or ndjson")
	}
	return nil
}

func newEventsListCmd(g *globals) *cobra.Command {
	o := new(eventsOptions)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the events of a directory, from the first on, or of one user or group, from the newest on",
		Example: `  roster events list --limit 20
  roster events list -o ndjson`,
		Args: noArg,
		RunE: func(cmd *cobra.Command, _ []string) error { return runEventsList(cmd.Context(), g, o) },
	}
	o.addFlags(cmd, 0, "`number` to show at the most (default: all)")
	cmd.Flags().StringVar(&o.resource, "resource", "", "`id` of the user or group, which may be in the trash")
	perCall(cmd.Flags(), "resource")
	return cmd
}

func runEventsList(ctx context.Context, g *globals, o *eventsOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	c, err := o.openDirectory(ctx, g)
	if err != nil {
		return err
	}
	n := 0
	show := func(e *roster.Event) (more bool, err error) {
		n++
		return n != o.limit, o.print(g, e)
	}
	if o.resource != "" {
		for e, err := range c.Management().History(ctx, c.Directory, o.resource, 0) {
			if err != nil {
				return err
			}
			if e.Seq <= o.after {
				return nil
			}
			if more, err := show(e); err != nil || !more {
				return err
			}
		}
		return nil
	}
	for after := o.after; ; {
		list, next, err := c.Management().ListEvents(ctx, c.Directory, client.EventQuery{After: after})
		if err != nil || len(list) == 0 {
			return err
		}
		for _, e := range list {
			if more, err := show(e); err != nil || !more {
				return err
			}
		}
		after = next
	}
}

func newEventsTailCmd(g *globals) *cobra.Command {
	o := new(eventsOptions)
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Show the last events of a directory, and with --follow each one that comes",
		Long: `Show the last events of a directory, and with --follow each one that comes, once,
until Ctrl-C. When the server is away, as in a restart, it waits for it and goes on
after the last event that it has shown.`,
		Example: `  roster events tail --follow
  roster events tail --after 42 --follow -o json`,
		Args: noArg,
	}
	o.addFlags(cmd, 10, "`number` of the last ones to show first, 100 at the most; not with --after")
	f := cmd.Flags()
	f.BoolVarP(&o.follow, "follow", "f", false, "wait for more, until Ctrl-C")
	perCall(f, "follow")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return runEventsTail(cmd.Context(), g, o, f.Changed("after"), f.Changed("limit"))
	}
	return cmd
}

func runEventsTail(ctx context.Context, g *globals, o *eventsOptions, after, limit bool) error {
	if err := o.check(); err != nil {
		return err
	}
	if after && limit {
		return usagef("--after and --limit exclude each other: give one of them")
	}
	c, err := o.openDirectory(ctx, g)
	if err != nil {
		return err
	}
	last := o.after
	if !after {
		list, next, err := c.Management().ListEvents(ctx, c.Directory, client.EventQuery{Last: max(o.limit, 1)})
		if err != nil {
			return err
		}
		for i, e := range list {
			if len(list)-i > o.limit { // none was asked for
				continue
			}
			if err := o.print(g, e); err != nil {
				return err
			}
		}
		last = next
	}
	switch {
	case o.follow:
		return o.followEvents(ctx, g, c, last)
	case after:
		o.limit = 0
		return runEventsList(ctx, g, o)
	}
	return nil
}

// The waits of who follows for a service that is away.
const (
	followFirstWait = 250 * time.Millisecond
	followMaxWait   = 15 * time.Second
)

// followEvents prints each event after the last one until ctx ends, which is how
// a person ends it, or the service refuses it.
func (o *eventsOptions) followEvents(ctx context.Context, g *globals, c *client.Client, last int64) error {
	wait := followFirstWait
	for {
		var failed error
		for e, err := range c.Management().FollowEvents(ctx, c.Directory, last) {
			if err != nil {
				failed = err
				break
			}
			if err := o.print(g, e); err != nil {
				return err
			}
			last, wait = e.Seq, followFirstWait
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case exitCode(failed) != exitUnavailable:
			return failed
		case wait == followFirstWait:
			fmt.Fprintf(g.stderr, "The service is away; this goes on after event %d when it is back.\n", last)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
		wait = min(2*wait, followMaxWait)
	}
}

// print prints an event as one line.
func (o *eventsOptions) print(g *globals, e *roster.Event) error {
	if o.output != outputTable {
		data, err := json.Marshal(e)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(g.stdout, "%s\n", data)
		return err
	}
	_, err := fmt.Fprintln(g.stdout, printable(eventLine(e)))
	return err
}

// eventLine words an event: number, time, operation, which resource, which
// attributes.
func eventLine(e *roster.Event) string {
	names := make([]string, len(e.Changes))
	called := ""
	for i, ch := range e.Changes {
		names[i] = ch.Attribute
		if ch.Attribute != "userName" && ch.Attribute != "displayName" || called != "" {
			continue
		}
		if called = plain(ch.After); len(ch.After) == 0 {
			called = plain(ch.Before)
		}
	}
	parts := []string{fmt.Sprint(e.Seq), when(e.At), fmt.Sprintf("%-7s", e.Operation), e.ResourceType + " " + e.Resource}
	if called != "" {
		parts[3] += " (" + called + ")"
	}
	if len(names) > 0 {
		parts = append(parts, strings.Join(names, ", "))
	}
	return strings.Join(append(parts, eventNotes(e)...), "  ")
}

// eventNotes are what is to be said of an event beside what changed.
func eventNotes(e *roster.Event) (notes []string) {
	if e.Cause != nil {
		notes = append(notes, fmt.Sprintf("(by run %s of %s, step %s)", e.Cause.Run, e.Cause.Workflow, e.Cause.Step))
	}
	if e.Undoes > 0 {
		notes = append(notes, fmt.Sprintf("(undoes event %d)", e.Undoes))
	}
	if e.Purged {
		notes = append(notes, "(values purged)")
	}
	return notes
}

// eventHead returns the line of an event in the history of one resource.
func eventHead(e *roster.Event) string {
	parts := []string{fmt.Sprintf("version %d", e.Version), when(e.At), fmt.Sprintf("%-7s", e.Operation), fmt.Sprintf("event %d", e.Seq)}
	if e.Key != "" {
		parts = append(parts, "by key "+e.Key)
	}
	if e.Request != "" {
		parts = append(parts, "request "+e.Request)
	}
	return strings.Join(append(parts, eventNotes(e)...), "  ")
}

// A recorder shows recorded changes as a plan does: lists value by value.
type recorder struct{ model *scim.Model }

func newRecorder() recorder {
	rules, err := scim.Rules(scim.Standard)
	if err != nil {
		panic(err) // there is no such rule set: a mistake in package scim
	}
	m, err := scim.NewModel(rules, nil)
	if err != nil {
		panic(err) // as above
	}
	return recorder{m}
}

func (r recorder) changes(resourceType string, ch roster.Change) []action.Change {
	t := r.model.Type(resourceType)
	if t == nil {
		t = r.model.Type("User") // what other types have in common with it is shown alike
	}
	return action.Recorded(t, ch)
}
