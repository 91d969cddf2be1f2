package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/client"
)

func newRunCmd(g *globals) *cobra.Command {
	return newGroup("run", "Show the runs of a server's workflows, follow, cancel and retry them",
		newRunListCmd(g), newRunShowCmd(g), newRunWatchCmd(g), newRunCancelCmd(g), newRunRetryCmd(g))
}

type runOptions struct {
	connection
	output   outputFormat
	workflow string
	status   string
	limit    int
}

// addRunFlags adds the flags of the commands about runs.
func (o *runOptions) addRunFlags(cmd *cobra.Command) {
	o.addDirectoryFlags(cmd.Flags())
	o.output.addFlag(cmd.Flags())
}

func noRun(err error) error { return hint(err, http.StatusNotFound, "roster run list") }

func newRunListCmd(g *globals) *cobra.Command {
	o := new(runOptions)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List runs, the newest first",
		Example: `  roster run list
  roster run list --workflow offboard --status failed`,
		Args: noArg,
		RunE: func(cmd *cobra.Command, _ []string) error { return runRunList(cmd.Context(), g, o) },
	}
	o.addRunFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.workflow, "workflow", "", "`name` of the workflow (default: any)")
	f.StringVar(&o.status, "status", "", "`name` of a status: queued, running, succeeded, failed or cancelled (default: any)")
	f.IntVar(&o.limit, "limit", 50, "`number` of runs to list at the most")
	perCall(f, "workflow", "status", "limit")
	return cmd
}

func runRunList(ctx context.Context, g *globals, o *runOptions) error {
	if o.limit < 1 {
		return usagef("--limit must be 1 or more")
	}
	c, err := o.openDirectory(ctx, g)
	if err != nil {
		return err
	}
	l := newListing(g.stdout, o.output, "ID", "WORKFLOW", "STATUS", "TRIGGER", "CREATED", "TOOK")
	q := client.RunQuery{Workflow: o.workflow, Status: roster.RunStatus(o.status)}
	for left := o.limit; left > 0; {
		q.Limit = left
		runs, next, err := c.Management().ListRuns(ctx, c.Directory, q)
		if err != nil {
			return err
		}
		for _, r := range runs {
			if err := l.add(r, r.ID, r.Workflow, string(r.Status), r.Trigger, when(r.Created), took(r)); err != nil {
				return err
			}
		}
		left -= len(runs)
		if q.Cursor = next; next == "" {
			break
		}
	}
	return l.end()
}

// took returns how long a run took, or has taken so far; "" for one that waits.
func took(r *roster.Run) string {
	switch {
	case r.Started.IsZero():
		return ""
	case r.Finished.IsZero():
		return "so far " + time.Since(r.Started).Round(time.Second).String()
	}
	return r.Finished.Sub(r.Started).Round(time.Millisecond).String()
}

func newRunShowCmd(g *globals) *cobra.Command {
	o := new(runOptions)
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show a run with its steps, their attempts, inputs, outputs and errors",
		Example: `  roster run show ID
  roster run show ID -o json`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.openDirectory(cmd.Context(), g)
			if err != nil {
				return err
			}
			run, err := c.Management().GetRun(cmd.Context(), c.Directory, args[0])
			if err != nil {
				return noRun(err)
			}
			return printRun(g, o.output, run)
		},
	}
	o.addRunFlags(cmd)
	return cmd
}

func newRunWatchCmd(g *globals) *cobra.Command {
	o := new(runOptions)
	cmd := &cobra.Command{
		Use:   "watch ID",
		Short: "Follow a run to its end: each step as it ends, then what the run gave",
		Long: `Follow a run to its end. Each step is a line on standard error when it ends, and
what the run gave is on standard output. It ends with 0 when the run has
succeeded, and with 9 when it has failed or was cancelled. Ctrl-C ends the
watching, not the run.`,
		Example: `  roster run watch ID
  roster run watch ID -o json > run.json`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.openDirectory(cmd.Context(), g)
			if err != nil {
				return err
			}
			return watchRun(cmd.Context(), g, o.output, c, args[0])
		},
	}
	o.addRunFlags(cmd)
	return cmd
}

// watchRun prints a run as it goes on, and in the end what it gave.
func watchRun(ctx context.Context, g *globals, o outputFormat, c *client.Client, id string) error {
	p := newStepPrinter(g.stderr)
	var last *roster.Run
	for run, err := range c.Management().FollowRun(ctx, c.Directory, id) {
		if err != nil {
			return noRun(err)
		}
		p.print(run.Steps)
		last = run
	}
	return endOfRun(g, o, last, retryHint(last))
}

func newRunCancelCmd(g *globals) *cobra.Command {
	o := new(runOptions)
	cmd := &cobra.Command{
		Use:   "cancel ID",
		Short: "End a run: no step begins any more",
		Long: `End a run: no step begins any more, and one that is under way is cut off. What the
steps before it did stays done.`,
		Example: "  roster run cancel ID",
		Args:    oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeRun(cmd.Context(), g, o, args[0], client.Management.CancelRun, "Cancelled run %s.\n")
		},
	}
	o.addRunFlags(cmd)
	return cmd
}

func newRunRetryCmd(g *globals) *cobra.Command {
	o := new(runOptions)
	cmd := &cobra.Command{
		Use:   "retry ID",
		Short: "Have a run go on that has failed or was cancelled, from the step that failed",
		Long: `Have a run go on that has failed or was cancelled, from the step that failed; what
the steps before it did is not done again. The run goes by the file with which it
began, also when another version is deployed since.`,
		Example: "  roster run retry ID && roster run watch ID",
		Args:    oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeRun(cmd.Context(), g, o, args[0], client.Management.RetryRun, "Run %s goes on.\n")
		},
	}
	o.addRunFlags(cmd)
	return cmd
}

func changeRun(ctx context.Context, g *globals, o *runOptions, id string,
	change func(m client.Management, ctx context.Context, directory, id string) (*roster.Run, error), done string,
) error {
	c, err := o.openDirectory(ctx, g)
	if err != nil {
		return err
	}
	run, err := change(c.Management(), ctx, c.Directory, id)
	if err != nil {
		return noRun(err)
	}
	fmt.Fprintf(g.stderr, done, run.ID)
	if o.output == outputTable {
		return nil
	}
	return printRun(g, o.output, run)
}

// printRun prints a run whole.
func printRun(g *globals, o outputFormat, r *roster.Run) error {
	fields := [][2]string{
		{"id", r.ID}, {"workflow", r.Workflow}, {"status", string(r.Status)}, {"trigger", r.Trigger}, {"cause", causeText(r.Cause)},
		{"created", when(r.Created)}, {"started", when(r.Started)}, {"finished", when(r.Finished)}, {"took", took(r)},
		{"inputs", compactOrNone(r.Inputs)}, {"outputs", compactOrNone(r.Outputs)}, {"error", runErrorText(r.Error)},
	}
	if r.Version > 0 {
		fields = append(fields[:2], append([][2]string{{"version", fmt.Sprint(r.Version)}}, fields[2:]...)...)
	}
	if err := newListing(g.stdout, o, nil...).one(r, fields); err != nil || o != outputTable || len(r.Steps) == 0 {
		return err
	}
	fmt.Fprintln(g.stdout)
	t := newTable(g.stdout, "STEP", "KIND", "STATUS", "ATTEMPTS", "STARTED", "TOOK", "ERROR")
	for i := range r.Steps {
		s := &r.Steps[i]
		kind := s.Kind
		if s.Action != "" {
			kind = s.Action
		}
		started, long := "", ""
		if n := len(s.Attempts); n > 0 {
			started, long = when(s.Attempts[0].Started), stepTook(s)
		}
		t.row(stepName(s), kind, string(s.Status), fmt.Sprint(len(s.Attempts)), started, long, runErrorText(s.Error))
	}
	return t.flush()
}

// stepName returns the id of a step, with the number of its item from 0.
func stepName(s *roster.RunStep) string {
	if s.Item == nil {
		return s.ID
	}
	return fmt.Sprintf("%s[%d]", s.ID, *s.Item)
}

func stepTook(s *roster.RunStep) string {
	first, last := s.Attempts[0], s.Attempts[len(s.Attempts)-1]
	return last.Finished.Sub(first.Started).Round(time.Millisecond).String()
}

func compactOrNone(v []byte) string {
	if len(v) == 0 || string(v) == "{}" {
		return ""
	}
	return compact(v)
}

func causeText(c *roster.Cause) string {
	if c == nil {
		return ""
	}
	return fmt.Sprintf("step %s of run %s of %s", c.Step, c.Run, c.Workflow)
}

func runErrorText(e *roster.RunError) string {
	if e == nil {
		return ""
	}
	text := e.Message
	if e.Step != "" {
		text = "step " + e.Step + ": " + text
	}
	if e.Status > 0 {
		text += fmt.Sprintf(" (%s)", strings.TrimSpace(fmt.Sprint(e.Status)+" "+e.ScimType))
	}
	return text
}
