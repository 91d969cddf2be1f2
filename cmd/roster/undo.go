package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/action"
	"github.com/roster-scim/roster/client"
)

// undoEvent undoes what one event of a Roster changed, of a user or a group.
type undoEvent struct {
	*connection
	output             outputFormat
	event              int64
	dryRun, force, yes bool
}

func runUndoEvent(ctx context.Context, g *globals, o *undoEvent) error {
	c, err := o.openDirectory(ctx, g)
	if err != nil {
		return err
	}
	m := c.Management()
	plan, err := m.Undo(ctx, c.Directory, o.event, &client.UndoOptions{Plan: true, Force: o.force})
	if err != nil {
		return hint(err, http.StatusNotFound, "roster events list")
	}
	warnUndo(g, plan)
	switch {
	case (o.dryRun || plan.Operation == "") && o.output != outputTable:
		return printJSON(g.stdout, plan)
	case o.output == outputTable:
		for _, line := range undoLines(plan) {
			fmt.Fprintln(g.stdout, g.paint(g.stdout, printable(line)))
		}
	}
	if o.dryRun || plan.Operation == "" {
		return nil
	}
	if err := confirm(g, o.yes, "this is only a plan so far", fmt.Sprintf("Undo event %d?", o.event)); err != nil {
		return err
	}
	// What was shown is what is done: nothing else may have changed meanwhile.
	done, err := m.Undo(ctx, c.Directory, o.event, &client.UndoOptions{Force: o.force, IfVersion: plan.Version})
	if err != nil {
		return hint(err, http.StatusPreconditionFailed, "roster undo %d, for a plan of what it is now", o.event)
	}
	if o.output != outputTable {
		return printJSON(g.stdout, done)
	}
	_, err = fmt.Fprintf(g.stderr, "Undone: event %d. %s %s has version %d now.\n", done.Event, printable(done.ResourceType), printable(done.Resource), done.Version)
	return err
}

// warnUndo tells what an undo cannot bring back, and what it overrides.
func warnUndo(g *globals, u *roster.Undo) {
	if len(u.Missing) > 0 {
		fmt.Fprintf(g.stderr, "warning: these members are no more, and are not added again: %s\n", printable(strings.Join(u.Missing, ", ")))
	}
	if len(u.Overridden) > 0 {
		numbers := make([]string, len(u.Overridden))
		for i, seq := range u.Overridden {
			numbers[i] = strconv.FormatInt(seq, 10)
		}
		fmt.Fprintf(g.stderr, "warning: what later events changed of the same is lost: %s\n", strings.Join(numbers, ", "))
	}
}

// undoLines words what an undo does as a plan: a line for each change, and what
// it comes to.
func undoLines(u *roster.Undo) []string {
	what := u.ResourceType + " " + u.Resource
	switch u.Operation {
	case roster.OpDelete:
		return []string{"Plan: " + what + " goes to the trash."}
	case roster.OpRestore:
		return []string{"Plan: " + what + " comes back from the trash."}
	case roster.OpPatch:
	default:
		return []string{"Plan: no changes: it is so already."}
	}
	var lines []string
	var changes []action.Change
	records := newRecorder()
	for _, ch := range u.Changes {
		changes = append(changes, records.changes(u.ResourceType, ch)...)
	}
	for _, c := range changes {
		lines = append(lines, c.String())
	}
	return append(lines, "Plan: 1 to update ("+counts(changes, true)+").")
}
