package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/roster-scim/roster/internal/apply"
)

type undoRunOptions struct {
	applyOptions
	run   string
	force bool
	list  bool
}

func newUndoCmd(g *globals) *cobra.Command {
	o := new(undoRunOptions)
	cmd := &cobra.Command{
		Use:   "undo RUN|EVENT",
		Short: "Take back what roster apply has done, or what one event of a Roster changed",
		Long: `Take back what roster apply has done, or what one event of a Roster changed. Either is
shown as a plan first, and asked about; where nobody can answer, it needs --yes.

A RUN is that of roster apply, from the folder of runs (roster undo --list), on any
SCIM directory: everybody whom the run has changed becomes what they were, whoever it
created is deleted, whoever it deleted is restored. Whom somebody else has changed
since is refused, unless --force: their change is then lost. An undo of a run is a run
too, and can be undone. Runs are kept for 90 days.

An EVENT is a number, as roster events tail and roster user history show it, of any
change that anybody made in a Roster, of a user or a group. An update is taken back
attribute by attribute, and member by member; what came later and changed others
stays. What was created or restored goes to the trash; what was deleted comes back. It
is refused when later events changed the same: undo those first, or --force it, and
what they changed is lost. An undo has an event of its own, and to undo that one is to
do it again.`,
		Example: `  roster undo --list
  roster undo 20260131-120000-abcdef --dry-run
  roster events tail
  roster undo 42 --dry-run`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 || (len(args) == 1) == o.list {
				return usagef("give one RUN or EVENT, or --list")
			}
			if o.list {
				return runUndoList(g, o)
			}
			if n, err := strconv.ParseInt(args[0], 10, 64); err == nil && n > 0 {
				return runUndoEvent(cmd.Context(), g, &undoEvent{&o.connection, o.output, n, o.dryRun, o.force, o.yes})
			}
			o.run = args[0]
			return runUndoRun(cmd.Context(), g, o)
		},
	}
	f := cmd.Flags()
	o.addDirectoryFlags(f)
	o.addRuleSetFlag(f)
	o.runFlags.addFlags(f)
	f.BoolVar(&o.force, "force", false, "take back what was changed since, too: those changes are lost")
	cmd.ValidArgsFunction = oneOf(completeRuns(g, &o.stateDir))
	f.BoolVar(&o.list, "list", false, "list the runs that are kept")
	perCall(f, "force", "list")
	return cmd
}

func runUndoList(g *globals, o *undoRunOptions) error {
	store, err := runStore(g, o.stateDir)
	if err != nil {
		return err
	}
	list, err := store.List()
	if err != nil {
		return err
	}
	l := newListing(g.stdout, o.output, "RUN", "BEGUN", "SOURCE", "STATE", "PLAN", "DIRECTORY", "UNDOES")
	for _, m := range list {
		plan := strings.TrimSuffix(strings.TrimPrefix(runSummary(&m.Counts), "Plan: "), ".")
		if err := l.add(m, m.ID, when(m.Created), m.Source, string(m.State), plan, strings.TrimSpace(m.Directory+" "+m.URL), m.Undoes); err != nil {
			return err
		}
	}
	return l.end()
}

func runUndoRun(ctx context.Context, g *globals, o *undoRunOptions) (err error) {
	store, err := runStore(g, o.stateDir)
	if err != nil {
		return err
	}
	if err := store.Prune(time.Now()); err != nil {
		return err
	}
	of, err := openRun(store, o.run, "roster undo --list, or roster events tail for the number of an event")
	if err != nil {
		return err
	}
	defer of.Close()
	if of.Meta.State == apply.Planning {
		return usagef("run %s has no whole plan, and has changed nothing", of.Meta.ID)
	}
	d, err := o.runFlags.directory(ctx, g, &o.connection)
	if err != nil {
		return err
	}
	if err := sameDirectory(d, &of.Meta); err != nil {
		return err
	}
	key := fmt.Sprintf("undo %s %v", of.Meta.ID, o.force)
	if !o.dryRun {
		run, err := store.Unfinished(key)
		if err != nil {
			return err
		}
		if run != nil {
			defer run.Close()
			fmt.Fprintf(g.stderr, "Going on with run %s, which was begun on %s.\n", run.Meta.ID, when(run.Meta.Created))
			return o.carryOut(ctx, g, d, run)
		}
	}
	run, err := store.Create(apply.Meta{Source: "undo of " + of.Meta.ID, Key: key, URL: d.Client.BaseURL, Directory: d.Client.Directory, Undoes: of.Meta.ID})
	if err != nil {
		return err
	}
	kept := false
	defer func() {
		if !kept {
			err = errors.Join(err, run.Remove())
		}
	}()
	if err := apply.PlanUndo(ctx, d, of, run, apply.UndoOptions{Force: o.force, Concurrency: o.concurrency}); err != nil {
		return err
	}
	kept, err = o.showAndAsk(g, d, run)
	if err != nil || !kept {
		return err
	}
	defer run.Close()
	return o.carryOut(ctx, g, d, run)
}
