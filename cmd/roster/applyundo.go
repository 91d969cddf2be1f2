package main

import (
	"context"
	"errors"
	"fmt"
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

func newUndoRunCmd(g *globals) *cobra.Command {
	o := new(undoRunOptions)
	cmd := &cobra.Command{
		Use:   "undo RUN",
		Short: "Take back what roster apply has done",
		Long: `Take back what roster apply has done, on any SCIM directory: everybody whom the run
has changed becomes what they were, whoever it created is deleted, whoever it deleted
is restored. The plan is shown first, with what cannot come back.

Whom somebody else has changed since is refused, unless --force: their change is then
lost. An undo is a run too, and can be undone. Runs are kept for 90 days.`,
		Example: `  roster undo --list
  roster undo 20260131-120000-abcdef --dry-run`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == o.list {
				return usagef("give one RUN, or --list")
			}
			if o.list {
				return runUndoList(g, o)
			}
			o.run = args[0]
			return runUndoRun(cmd.Context(), g, o)
		},
	}
	f := cmd.Flags()
	o.addDirectoryFlags(f)
	o.addRuleSetFlag(f)
	o.runFlags.addFlags(f)
	f.BoolVar(&o.force, "force", false, "take back what somebody else has changed since, too")
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
	of, err := openRun(store, o.run)
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
