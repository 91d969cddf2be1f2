package main

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/roster-scim/roster/action"
	"github.com/roster-scim/roster/scim"
)

// newRoot returns the whole tree of commands.
func newRoot(g *globals) *cobra.Command {
	root := newGroup("roster", "A user directory that speaks SCIM, and the tools that change users in any of them",
		newServeCmd(g),
		newDemoCmd(g),
		newDirectoryCmd(g),
		newKeyCmd(g),
		newUserCmd(g),
		newGroupCmd(g),
		newActionCmd(g),
		newWorkflowCmd(g),
		newRunCmd(g),
		newEventsCmd(g),
		newTrashCmd(g),
		newApplyCmd(g),
		newUndoCmd(g),
		newExportCmd(g),
		newDiffCmd(g),
		newOrgCmd(g),
		newConnectionCmd(g),
		newConfigCmd(g),
		newMailCmd(g),
		newMigrateCmd(g),
		newSecretKeyCmd(g),
		newBackupCmd(g),
		newRestoreCmd(g),
		newVersionCmd(g),
		newExitCodesTopic(),
	)
	root.Long = `Roster is a user-provisioning directory that you run yourself, and the tools that
update users in any directory that speaks SCIM 2.0.

Every flag that is a setting can also be given as an environment variable
(--listen is ROSTER_LISTEN) or in a YAML file of flag names (--config). The flag
wins over the variable, the variable over the file. Keys are never flags: they
come from a connection (roster connection), from ROSTER_KEY or from --key-file.
ROSTER_DEBUG=api tells each request on standard error, without keys and bodies.`
	root.Example = `  roster demo --once
  roster serve --data ./data
  roster connection add local --preset roster
  roster user update ID --title CTO --keep --dry-run`
	root.SetFlagErrorFunc(noFlag)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := configure(g, cmd); err != nil {
			return err
		}
		markStarted(cmd)
		return nil
	}
	root.PersistentFlags().BoolVar(&g.noInput, "no-input", false, "never ask: what would be asked about is refused")
	root.PersistentFlags().Var(&g.color, "color", "auto, always or never: whether plans and differences are coloured; auto is on a terminal, unless NO_COLOR is set")
	root.PersistentFlags().String("config", "", "`file` of settings (default $XDG_CONFIG_HOME/roster/config.yaml)")
	complete(g, root)
	return root
}

// complete adds what the shell completes after the flags that take one of a few
// words.
func complete(g *globals, cmd *cobra.Command) {
	for flag, words := range map[string]cobra.CompletionFunc{
		"connection": func(cmd *cobra.Command, _ []string, part string) ([]string, cobra.ShellCompDirective) {
			return completeConnections(g)(cmd, nil, part)
		},
		"color": cobra.FixedCompletions(colorModes, cobra.ShellCompDirectiveNoFileComp),
		"directory": func(cmd *cobra.Command, _ []string, part string) ([]string, cobra.ShellCompDirective) {
			return completeDirectories(g, cmd, part)
		},
		"output":   cobra.FixedCompletions(outputFormats, cobra.ShellCompDirectiveNoFileComp),
		"rule-set": cobra.FixedCompletions(scim.RuleSetNames, cobra.ShellCompDirectiveNoFileComp),
	} {
		if f := cmd.LocalNonPersistentFlags().Lookup(flag); f != nil || !cmd.HasParent() && cmd.PersistentFlags().Lookup(flag) != nil {
			if err := cmd.RegisterFlagCompletionFunc(flag, words); err != nil {
				panic(err) // two for one flag: a mistake in this package
			}
		}
	}
	for _, c := range cmd.Commands() {
		complete(g, c)
	}
}

// newGroup returns a command that only holds others.
func newGroup(use, short string, commands ...*cobra.Command) *cobra.Command {
	group := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			text := fmt.Sprintf("no command %q in %q", args[0], cmd.CommandPath())
			var names []string
			for _, c := range cmd.Commands() {
				names = append(names, c.Name())
			}
			if near := action.Near(args[0], names); near != "" {
				text += fmt.Sprintf(": did you mean %q?", near)
			}
			return usagef("%s", text)
		},
	}
	group.AddCommand(commands...)
	return group
}

// oneArg refuses any number of arguments but one, by the name that it has in the
// line of use.
func oneArg(cmd *cobra.Command, args []string) error {
	if len(args) == 1 {
		return nil
	}
	_, name, _ := strings.Cut(cmd.Use, " ")
	return usagef("one %s is needed, there are %d: %s %s", name, len(args), cmd.CommandPath(), name)
}

// noFlag adds to the error of a flag that cmd does not have which one may be meant.
func noFlag(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return err
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	if near := action.Near(unknown.GetSpecifiedName(), names); near != "" {
		return fmt.Errorf("%w: did you mean --%s?", err, near)
	}
	return err
}

// noArg refuses arguments.
func noArg(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no argument but flags, and here is %q", cmd.CommandPath(), args[0])
	}
	return nil
}

// startedMark is the annotation of the command whose run function was reached.
const startedMark = "roster started"

func markStarted(cmd *cobra.Command) {
	if cmd.Annotations == nil {
		cmd.Annotations = make(map[string]string)
	}
	cmd.Annotations[startedMark] = "yes"
}

// started reports whether cmd got past its flags, arguments and settings: an
// error before that is a usage error.
func started(cmd *cobra.Command) bool { return cmd.Annotations[startedMark] != "" }

func newVersionCmd(g *globals) *cobra.Command {
	var output outputFormat
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of this binary",
		Example: `  roster version
  roster version -o json`,
		Args: noArg,
		RunE: func(*cobra.Command, []string) error {
			if output == outputTable {
				_, err := fmt.Fprintln(g.stdout, "roster", buildVersion())
				return err
			}
			v := struct {
				Version  string `json:"version"`
				Go       string `json:"go"`
				Platform string `json:"platform"`
			}{buildVersion(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			return newListing(g.stdout, output).one(v, [][2]string{{"version", v.Version}, {"go", v.Go}, {"platform", v.Platform}})
		},
	}
	output.addFlag(cmd.Flags())
	return cmd
}

// buildVersion returns the version that the Go tool stamped into the binary:
// a tag, a pseudo-version, or "(devel)".
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
