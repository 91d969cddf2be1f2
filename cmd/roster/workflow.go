package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/roster-scim/roster/internal/workflow"
)

func newWorkflowCmd(g *globals) *cobra.Command {
	commands := []*cobra.Command{newWorkflowValidateCmd(g), newWorkflowLibraryCmd(g), newWorkflowNewCmd(g)}
	return newGroup("workflow", "Check, write and run workflows: files of actions, mails, requests and conditions",
		append(commands, workflowCommands(g)...)...)
}

func newWorkflowValidateCmd(g *globals) *cobra.Command {
	var output outputFormat
	cmd := &cobra.Command{
		Use:   "validate FILE…",
		Short: "Check workflow files, and show every fault with its line and column",
		Long: `Check workflow files as far as that goes without running them: the form of the
file, the parameters of its actions, the names in its expressions and templates,
its schedules. Nothing is sent. Every fault is shown, as FILE:LINE:COLUMN: what is
wrong and what to do; then the exit code is 64.`,
		Example: `  roster workflow validate offboard.yaml
  roster workflow new offboard | roster workflow validate -
  roster workflow validate workflows/*.yaml -o json`,
		Args: cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error { return runWorkflowValidate(g, args, output) },
	}
	output.addFlag(cmd.Flags())
	return cmd
}

// A placedFault is a fault with its file, as validate shows it.
type placedFault struct {
	File string `json:"file"`
	workflow.Fault
}

func runWorkflowValidate(g *globals, paths []string, output outputFormat) error {
	if len(paths) == 0 {
		return usagef("name a workflow file, or - for standard input")
	}
	var list *listing
	if output != outputTable {
		list = newListing(g.stdout, output, "FILE", "LINE", "COLUMN", "TEXT")
	}
	faulty, n := 0, 0
	var unread error
	for _, path := range paths {
		_, f, err := readWorkflow(g, path)
		var faults workflow.Faults
		switch {
		case errors.As(err, &faults):
			faulty++
			n += len(faults)
		case err != nil:
			unread = errors.Join(unread, err)
		case list == nil:
			fmt.Fprintf(g.stdout, "%s: workflow %s is valid\n", printable(path), f.Name)
		}
		for _, one := range faults {
			if list == nil {
				fmt.Fprintln(g.stdout, placed(path, one))
				continue
			}
			if err := list.add(placedFault{path, one}, path, strconv.Itoa(one.Line), strconv.Itoa(one.Column), one.Text); err != nil {
				return err
			}
		}
	}
	if list != nil {
		if err := list.end(); err != nil {
			return err
		}
	}
	if n > 0 {
		err := fmt.Errorf("%s in %s", count(n, "fault"), count(faulty, "file"))
		return &hintedError{&usageError{errors.Join(unread, err)}, "docs/workflows.md, or a file that works: roster workflow library"}
	}
	return unread
}

// count words a number of things.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// placed returns a fault as a line that editors can read.
func placed(path string, f workflow.Fault) string {
	return printable(fmt.Sprintf("%s:%s", path, f))
}

// readWorkflow reads a workflow file, - for standard input. Its faults are an error
// with their places.
func readWorkflow(g *globals, path string) (source string, f *workflow.File, err error) {
	text := path
	if path != "-" {
		text = "@" + path
	}
	if source, err = readText(g, text); err != nil {
		return "", nil, usagef("%w", err)
	}
	if f, err = workflow.Parse([]byte(source)); err != nil {
		return "", nil, fileFaults(path, err)
	}
	return source, f, nil
}

// fileFaults returns the faults of a workflow file as a usage error with a line for
// each; another error is returned as it is.
func fileFaults(path string, err error) error {
	var faults workflow.Faults
	if !errors.As(err, &faults) {
		return err
	}
	return &hintedError{&usageError{&faultLines{path, faults}}, "roster workflow validate " + path}
}

// faultLines are the faults of a file, as they are reported.
type faultLines struct {
	path   string
	faults workflow.Faults
}

func (e *faultLines) Error() string {
	lines := make([]string, len(e.faults))
	for i, f := range e.faults {
		lines[i] = placed(e.path, f)
	}
	return strings.Join(lines, "\n")
}

func (e *faultLines) Unwrap() error { return e.faults }

func newWorkflowLibraryCmd(g *globals) *cobra.Command {
	var output outputFormat
	cmd := &cobra.Command{
		Use:     "library",
		Short:   "List the workflows that come with Roster",
		Example: "  roster workflow library\n  roster workflow new update-user-and-email > update.yaml",
		Args:    noArg,
		RunE: func(*cobra.Command, []string) error {
			l := newListing(g.stdout, output, "NAME", "DESCRIPTION")
			for _, f := range workflow.Library() {
				if err := l.add(shownWorkflow(f), f.Name, f.Description); err != nil {
					return err
				}
			}
			return l.end()
		},
	}
	output.addFlag(cmd.Flags())
	return cmd
}

// A libraryEntry is what library shows of a workflow in JSON.
type libraryEntry struct {
	Name        string         `json:"name"`
	Description string         `json:"description"`
	Inputs      []libraryInput `json:"inputs"`
}

type libraryInput struct {
	Name        string `json:"name"`
	Type        string `json:"type"`
	Required    bool   `json:"required"`
	Description string `json:"description"`
}

func shownWorkflow(f *workflow.LibraryFile) libraryEntry {
	e := libraryEntry{Name: f.Name, Description: f.Description}
	for _, in := range f.Inputs {
		e.Inputs = append(e.Inputs, libraryInput{in.Name, in.Type, in.Required, in.Description})
	}
	return e
}

func newWorkflowNewCmd(g *globals) *cobra.Command {
	name := ""
	cmd := &cobra.Command{
		Use:   "new FROM",
		Short: "Print a workflow of the library, to begin one of your own with",
		Example: `  roster workflow new update-user-and-email > update.yaml
  roster workflow new offboard --name offboard-berlin > offboard-berlin.yaml`,
		Args: oneArg,
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			var names []string
			if len(args) == 0 {
				for _, f := range workflow.Library() {
					names = append(names, f.Name+"\t"+f.Description)
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := workflow.FromLibrary(args[0])
			if err != nil {
				return &hintedError{&usageError{err}, "roster workflow library"}
			}
			source := f.Source
			if name != "" {
				if source, err = f.Rename(name); err != nil {
					return &usageError{err}
				}
			}
			_, err = fmt.Fprint(g.stdout, source)
			return err
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "`name` of the new workflow (default that of FROM)")
	perCall(cmd.Flags(), "name")
	return cmd
}
