package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/internal/workflow"
)

// workflowCommands are those about the workflows that a server has.
func workflowCommands(g *globals) []*cobra.Command {
	return []*cobra.Command{
		newWorkflowRunCmd(g), newWorkflowDeployCmd(g), newWorkflowListCmd(g), newWorkflowShowCmd(g), newWorkflowStartCmd(g),
		newWorkflowEnableCmd(g, true), newWorkflowEnableCmd(g, false), newWorkflowDeleteCmd(g),
	}
}

type deployedOptions struct {
	connection
	output outputFormat
}

func (o *deployedOptions) addFlags(cmd *cobra.Command) {
	o.addDirectoryFlags(cmd.Flags())
	o.output.addFlag(cmd.Flags())
}

func noWorkflow(err error) error { return hint(err, http.StatusNotFound, "roster workflow list") }

func newWorkflowDeployCmd(g *globals) *cobra.Command {
	o := new(deployedOptions)
	disabled := false
	cmd := &cobra.Command{
		Use:   "deploy FILE",
		Short: "Put a workflow on the server, or a new version in the place of the one it has",
		Long: `Put a workflow on the server, under the name that stands in the file, or a new
version in the place of the one it has. Its triggers start runs for what changes
from now on. Runs act in the directory by the key that has deployed the workflow:
they may do what it may, and fail when it has expired or was revoked.`,
		Example: `  roster workflow validate offboard.yaml && roster workflow deploy offboard.yaml
  roster workflow deploy offboard.yaml --disabled`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runWorkflowDeploy(cmd.Context(), g, o, args[0], disabled)
		},
	}
	o.addFlags(cmd)
	cmd.Flags().BoolVar(&disabled, "disabled", false, "its triggers start no runs, until roster workflow enable")
	perCall(cmd.Flags(), "disabled")
	return cmd
}

func runWorkflowDeploy(ctx context.Context, g *globals, o *deployedOptions, path string, disabled bool) error {
	source, f, err := readWorkflow(g, path)
	if err != nil {
		return err
	}
	c, err := o.openDirectory(ctx, g)
	if err != nil {
		return err
	}
	d := client.Deployment{Source: source}
	if disabled {
		d.Enabled = new(bool)
	}
	w, err := c.Management().DeployWorkflow(ctx, c.Directory, f.Name, d)
	if err != nil {
		return err
	}
	fmt.Fprintf(g.stderr, "Deployed workflow %s, version %d.\n", w.Name, w.Version)
	if o.output == outputTable {
		return nil
	}
	return printWorkflow(g, o.output, w)
}

func newWorkflowListCmd(g *globals) *cobra.Command {
	o := new(deployedOptions)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the workflows of the server",
		Long: `List the workflows of the server, with what starts them and when a schedule
starts one next. HELD counts the changes that did not start a
workflow, because its own runs have made them or the chain of runs was too long.`,
		Example: "  roster workflow list",
		Args:    noArg,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.openDirectory(cmd.Context(), g)
			if err != nil {
				return err
			}
			list, err := c.Management().ListWorkflows(cmd.Context(), c.Directory)
			if err != nil {
				return err
			}
			l := newListing(g.stdout, o.output, "NAME", "VERSION", "ENABLED", "TRIGGERS", "NEXT", "HELD", "MODIFIED")
			for _, w := range list.Workflows {
				triggers, next := triggersOf(w)
				if err := l.add(w, w.Name, fmt.Sprint(w.Version), fmt.Sprint(w.Enabled), triggers, next, fmt.Sprint(w.Held), when(w.Modified)); err != nil {
					return err
				}
			}
			if list.Backlog > 0 {
				fmt.Fprintf(g.stderr, "%d changes wait for the triggers.\n", list.Backlog)
			}
			return l.end()
		},
	}
	o.addFlags(cmd)
	return cmd
}

func newWorkflowShowCmd(g *globals) *cobra.Command {
	o := new(deployedOptions)
	source := false
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show a workflow of the server, or its file",
		Example: `  roster workflow show offboard
  roster workflow show offboard --source > offboard.yaml`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.openDirectory(cmd.Context(), g)
			if err != nil {
				return err
			}
			w, err := c.Management().GetWorkflow(cmd.Context(), c.Directory, args[0])
			if err != nil {
				return noWorkflow(err)
			}
			if source {
				_, err := fmt.Fprint(g.stdout, w.Source)
				return err
			}
			return printWorkflow(g, o.output, w)
		},
	}
	o.addFlags(cmd)
	cmd.Flags().BoolVar(&source, "source", false, "print the file as it was deployed, and nothing else")
	perCall(cmd.Flags(), "source")
	return cmd
}

func printWorkflow(g *globals, o outputFormat, w *roster.Workflow) error {
	fields := [][2]string{
		{"name", w.Name}, {"directory", w.Directory}, {"version", fmt.Sprint(w.Version)}, {"enabled", fmt.Sprint(w.Enabled)},
		{"held", fmt.Sprint(w.Held)}, {"key", w.Key}, {"created", when(w.Created)}, {"modified", when(w.Modified)},
	}
	if o == outputTable {
		_, next := triggersOf(w)
		fields = append(append(fields, fileFields(w.Source)...), [2]string{"next run", next})
	}
	return newListing(g.stdout, o).one(w, fields)
}

// triggersOf returns the kinds of a workflow's triggers, and when a schedule of it starts a run next.
func triggersOf(w *roster.Workflow) (kinds, next string) {
	f, err := workflow.Parse([]byte(w.Source))
	if err != nil {
		return "", "" // a newer server can read it
	}
	var list []string
	for _, t := range f.Triggers {
		kind := workflow.TriggerEvent
		if t.Schedule != nil {
			kind = workflow.TriggerSchedule
		}
		if !slices.Contains(list, kind) {
			list = append(list, kind)
		}
	}
	if w.Enabled {
		next = when(f.Next(time.Now()))
	}
	return strings.Join(list, ", "), next
}

// fileFields returns what people ask of the file of a workflow: what its runs are given and what
// starts them; nothing of a file that only a newer server can read.
func fileFields(source string) [][2]string {
	f, err := workflow.Parse([]byte(source))
	if err != nil {
		return nil
	}
	var fields [][2]string
	for _, in := range f.Inputs {
		text := in.Type
		if in.Required {
			text += ", required"
		}
		if len(in.Default) > 0 {
			text += ", default " + compact(in.Default)
		}
		if in.Values != nil {
			text += ", one of " + strings.Join(in.Values, ", ")
		}
		fields = append(fields, [2]string{"input " + in.Name, text})
	}
	for _, t := range f.Triggers {
		if t.Schedule != nil {
			fields = append(fields, [2]string{"schedule", t.Schedule.Cron + ", " + cmp.Or(t.Schedule.TimeZone, "UTC")})
			continue
		}
		text := cmp.Or(t.Event.ResourceType, "any type") + ": " + cmp.Or(strings.Join(t.Event.Operations, ", "), "any change")
		if t.Event.Attributes != nil {
			text += " of " + strings.Join(t.Event.Attributes, ", ")
		}
		fields = append(fields, [2]string{"event", text})
	}
	return fields
}

func newWorkflowEnableCmd(g *globals, enable bool) *cobra.Command {
	o := new(deployedOptions)
	cmd := &cobra.Command{
		Use:     "enable NAME",
		Short:   "Let the triggers of a workflow start runs, for what changes from now on",
		Example: "  roster workflow enable offboard",
		Args:    oneArg,
	}
	done := "Enabled workflow %s.\n"
	if !enable {
		cmd.Use, cmd.Short, cmd.Example = "disable NAME", "Keep the triggers of a workflow from starting runs; people still can", "  roster workflow disable offboard"
		done = "Disabled workflow %s.\n"
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := o.openDirectory(cmd.Context(), g)
		if err != nil {
			return err
		}
		w, err := c.Management().EnableWorkflow(cmd.Context(), c.Directory, args[0], enable)
		if err != nil {
			return noWorkflow(err)
		}
		fmt.Fprintf(g.stderr, done, w.Name)
		return nil
	}
	o.addDirectoryFlags(cmd.Flags())
	return cmd
}

func newWorkflowDeleteCmd(g *globals) *cobra.Command {
	o := new(deployedOptions)
	cmd := &cobra.Command{
		Use:     "delete NAME",
		Short:   "Remove a workflow from the server; its runs go on to their end",
		Example: "  roster workflow delete offboard",
		Args:    oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.openDirectory(cmd.Context(), g)
			if err != nil {
				return err
			}
			if err := c.Management().DeleteWorkflow(cmd.Context(), c.Directory, args[0]); err != nil {
				return noWorkflow(err)
			}
			fmt.Fprintf(g.stderr, "Deleted workflow %s.\n", printable(args[0]))
			return nil
		},
	}
	o.addDirectoryFlags(cmd.Flags())
	return cmd
}

// runInputs are the flags by which a run is given its inputs.
type runInputs struct {
	texts []string
	file  string
}

func (i *runInputs) addFlags(f *pflag.FlagSet) {
	f.StringArrayVar(&i.texts, "input", nil, "`name=value` of an input; @FILE reads the value from a file, - from standard input; may be repeated")
	f.StringVar(&i.file, "input-file", "", "`file` with a JSON object of inputs, - for standard input; --input wins")
	perCall(f, "input", "input-file")
}

// read returns the inputs for a workflow, which says of which types they are.
func (i *runInputs) read(g *globals, f *workflow.File) (map[string]jsontext.Value, error) {
	given := make(map[string]jsontext.Value)
	if i.file != "" {
		text := i.file
		if text != "-" {
			text = "@" + text
		}
		data, err := readText(g, text)
		if err != nil {
			return nil, fmt.Errorf("--input-file: %w", err)
		}
		if err := json.Unmarshal([]byte(data), &given); err != nil {
			return nil, usagef("--input-file must be a JSON object: %w", err)
		}
	}
	for _, text := range i.texts {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return nil, usagef("--input %s: expected name=value", name)
		}
		value, err := readText(g, value)
		if err != nil {
			return nil, fmt.Errorf("--input %s: %w", name, err)
		}
		in := &workflow.Input{Name: name, Type: "string"} // what there is not is refused with the rest
		for k := range f.Inputs {
			if f.Inputs[k].Name == name {
				in = &f.Inputs[k]
			}
		}
		if given[name], err = in.Read(strings.TrimSuffix(value, "\n")); err != nil {
			return nil, usagef("--input %s: %w", name, err)
		}
	}
	return given, nil
}

func newWorkflowStartCmd(g *globals) *cobra.Command {
	o := new(deployedOptions)
	var inputs runInputs
	var key string
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "start NAME",
		Short: "Start a run of a workflow on the server, and print its id",
		Long: `Start a run of a workflow on the server, and print its id. roster run watch shows
how it goes on; roster workflow run starts and watches it in one.`,
		Example: `  roster workflow start offboard --input userId=ID --input recipient=boss@corp.example
  roster workflow start offboard --input-file inputs.json --idempotency-key 2027-01 --wait 30s`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.openDirectory(cmd.Context(), g)
			if err != nil {
				return err
			}
			run, err := startOnServer(cmd.Context(), g, c, args[0], &inputs, client.RunStart{IdempotencyKey: key, Wait: wait})
			if err != nil {
				return err
			}
			if o.output == outputTable {
				_, err := fmt.Fprintln(g.stdout, run.ID)
				return err
			}
			return printRun(g, o.output, run)
		},
	}
	o.addFlags(cmd)
	f := cmd.Flags()
	inputs.addFlags(f)
	f.StringVar(&key, "idempotency-key", "", "`name` of the run: started again with it, it is the same run (default: a new run each time)")
	f.DurationVar(&wait, "wait", 0, "how long to wait for its end, a minute at the most")
	perCall(f, "idempotency-key", "wait")
	return cmd
}

// startOnServer starts a run of a workflow that the server has.
func startOnServer(ctx context.Context, g *globals, c *client.Client, name string, inputs *runInputs, s client.RunStart) (*roster.Run, error) {
	w, err := c.Management().GetWorkflow(ctx, c.Directory, name)
	if err != nil {
		return nil, noWorkflow(err)
	}
	f, err := workflow.Parse([]byte(w.Source))
	if err != nil {
		f = new(workflow.File) // of a newer server: what the types are is for it to say
	}
	if s.Inputs, err = inputs.read(g, f); err != nil {
		return nil, err
	}
	run, err := c.Management().StartRun(ctx, c.Directory, name, s)
	return run, hint(err, http.StatusBadRequest, "roster workflow show %s, which lists its inputs", name)
}

func newWorkflowRunCmd(g *globals) *cobra.Command {
	o := new(deployedOptions)
	var inputs runInputs
	var local localFlags
	cmd := &cobra.Command{
		Use:   "run NAME|FILE",
		Short: "Start a run of a workflow on the server, or of a file here, and follow it to its end",
		Long: `Start a run of a workflow on the server, and follow it to its end: each step is a
line on standard error when it ends, and what the run gave is on standard output.
It ends with 0 when the run has succeeded, and with 9 when it has failed. Ctrl-C
ends the watching, not the run.

What is a file, ends in .yaml or .yml or has a slash in it is a FILE, and is carried
out once by this command itself: its local connection is the one in use, the others
are saved connections of their names, and its mails go by --mail. Ctrl-C cuts the
run off. One that was cut off or has failed is kept, and --continue goes on with it,
by the file with which it began, at the step that is not done.`,
		Example: `  roster workflow run offboard --input userId=ID --input recipient=boss@corp.example
  roster workflow run offboard --input-file inputs.json -o json > run.json
  roster workflow run ./offboard.yaml --input-file inputs.json \
      --mail smtp://mail.corp.example:587 --mail-from roster@corp.example
  roster workflow run --continue RUN`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if local.resume != "" {
				if len(args) > 0 || cmd.Flags().Changed("input") || cmd.Flags().Changed("input-file") {
					return usagef("--continue goes on by the file and the inputs with which the run began: leave FILE and inputs out")
				}
				return runWorkflowFile(cmd.Context(), g, o, &local, "", nil)
			}
			if err := oneArg(cmd, args); err != nil {
				return err
			}
			if isWorkflowFile(args[0]) {
				return runWorkflowFile(cmd.Context(), g, o, &local, args[0], &inputs)
			}
			for _, name := range []string{"mail", "mail-file", "mail-from", "mail-allow-domain", "allow-address", "state-dir"} {
				if cmd.Flags().Changed(name) {
					return usagef("--%s is for a FILE: %s is the name of a workflow on the server, which has its own", name, args[0])
				}
			}
			c, err := o.openDirectory(cmd.Context(), g)
			if err != nil {
				return err
			}
			run, err := startOnServer(cmd.Context(), g, c, args[0], &inputs, client.RunStart{})
			if err != nil {
				return err
			}
			fmt.Fprintf(g.stderr, "Started run %s.\n", run.ID)
			return watchRun(cmd.Context(), g, o.output, c, run.ID)
		},
	}
	o.addFlags(cmd)
	o.addRuleSetFlag(cmd.Flags())
	inputs.addFlags(cmd.Flags())
	local.addFlags(cmd.Flags())
	return cmd
}
