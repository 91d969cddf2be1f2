package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/roster-scim/roster/action"
)

// actionFlags are the flags of an action, all from its manifest.
type actionFlags struct {
	manifest *action.Manifest
	argument string // the parameter that is an argument of the command; empty: none is
	values   map[string]*flagTexts
	clear    []string
	file     string

	basic, advanced *pflag.FlagSet // for the help
}

// flagTexts is the value of a flag that takes any text, once or often. Booleans
// are texts too: a flag of type bool would take "--active false" for true and an
// argument.
type flagTexts struct {
	texts []string
	word  string // what stands for a text in the help
	reads bool   // @FILE and - are what they hold
}

func (v *flagTexts) String() string     { return strings.Join(v.texts, ",") }
func (v *flagTexts) Set(s string) error { v.texts = append(v.texts, s); return nil }
func (v *flagTexts) Type() string       { return v.word }

// addFlags adds to cmd the flags of each parameter of m, but for the first one of
// the path when that is an argument. None of them is a setting: they say what one
// call does.
func (a *actionFlags) addFlags(cmd *cobra.Command, m *action.Manifest, argument bool) {
	a.manifest, a.values = m, make(map[string]*flagTexts)
	a.basic, a.advanced = pflag.NewFlagSet("", pflag.ContinueOnError), pflag.NewFlagSet("", pflag.ContinueOnError)
	for _, p := range m.Basic {
		if argument && a.argument == "" && p.In == action.InPath {
			a.argument = p.Name
			continue
		}
		a.addParameter(a.basic, &p)
	}
	for _, p := range m.Advanced {
		a.addParameter(a.advanced, &p)
	}
	a.basic.SortFlags, a.advanced.SortFlags = false, false
	f := cmd.Flags()
	f.AddFlagSet(a.basic)
	f.AddFlagSet(a.advanced)
	f.StringVar(&a.file, "input", "", "`file` of a JSON object of parameters by name, - for standard input; flags take their place")
	perCall(f, "input")
	if names := nullable(m); len(names) > 0 {
		f.StringSliceVar(&a.clear, "clear", nil, "`names` of parameters to send as null, such as "+names[len(names)-1])
		perCall(f, "clear")
	}
	for _, p := range m.Parameters() {
		words := p.Values
		if p.Type == action.Boolean {
			words = []string{"true", "false"}
		}
		if len(words) > 0 {
			completions := cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
			if err := cmd.RegisterFlagCompletionFunc(p.Flag, completions); err != nil {
				panic(err) // no such flag: a mistake in this package
			}
		}
	}
	cmd.SetUsageFunc(a.usage)
}

// nullable returns the parameters that can be sent as null.
func nullable(m *action.Manifest) (names []string) {
	for _, p := range m.Parameters() {
		if p.In == action.InBody && !p.Required {
			names = append(names, p.Name)
		}
	}
	return names
}

// addParameter adds the flags of one parameter.
func (a *actionFlags) addParameter(f *pflag.FlagSet, p *action.Parameter) {
	add := func(flag, word, usage string, reads bool) {
		v := &flagTexts{word: word, reads: reads}
		a.values[flag] = v
		f.Var(v, flag, strings.ReplaceAll(usage, "`", "'"))
		perCall(f, flag)
	}
	usage := firstSentence(p.Description)
	switch {
	case p.Required:
		usage += " (required)"
	case p.Default != "":
		usage += " (default: " + p.Default + ")"
	}
	word, reads := "text", true
	switch p.Type {
	case action.Boolean:
		word = "true|false"
	case action.Integer:
		word = "number"
	case action.Object, action.Array:
		word = "JSON"
	case action.Names:
		word = "names"
	case action.List:
		word = "texts"
	default:
		reads = false
	}
	add(p.Flag, word, usage, reads)
	if p.In == action.InAction {
		f.Lookup(p.Flag).NoOptDefVal = "true"
	}
	if s := p.Short; s != nil {
		add(s.Flag, s.Word, firstSentence(s.Description)+"; short for --"+p.Flag, false)
	}
	for _, part := range p.Parts {
		if part.Flag != "" {
			add(part.Flag, "text", firstSentence(part.Description)+"; a part of --"+p.Flag, false)
		}
	}
}

func firstSentence(s string) string {
	if i := strings.Index(s, ". "); i >= 0 {
		return s[:i]
	}
	return strings.TrimSuffix(s, ".")
}

// usage prints how a command is used, with its flags in the groups of the
// manifest.
func (a *actionFlags) usage(cmd *cobra.Command) error {
	w := cmd.OutOrStderr()
	fmt.Fprintf(w, "Usage:\n  %s\n", cmd.UseLine())
	if cmd.HasExample() {
		fmt.Fprintf(w, "\nExamples:\n%s\n", cmd.Example)
	}
	others := pflag.NewFlagSet("", pflag.ContinueOnError)
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if a.values[f.Name] == nil {
			others.AddFlag(f)
		}
	})
	for _, group := range []struct {
		title string
		flags *pflag.FlagSet
	}{{"Basic Parameters", a.basic}, {"Advanced Parameters", a.advanced}, {"Flags", others}, {"Global Flags", cmd.InheritedFlags()}} {
		if group.flags.HasAvailableFlags() {
			fmt.Fprintf(w, "\n%s:\n%s\n", group.title, strings.TrimRight(group.flags.FlagUsages(), "\n"))
		}
	}
	return nil
}

// input returns what the command line gives: the file, and in its place the flags
// and the argument. Whether it fits is for the action to say, but for what only a
// command line can get wrong.
func (a *actionFlags) input(g *globals, args []string) (action.Input, error) {
	in := make(action.Input)
	stdin := 0
	read := func(text string) (string, error) {
		if text == "-" {
			if stdin++; stdin > 1 {
				return "", fmt.Errorf("standard input (-) is read once: give the others as @FILE")
			}
		}
		return readText(g, text)
	}
	if a.file != "" {
		from := a.file
		if from != "-" {
			from = "@" + from
		}
		text, err := read(from)
		if err == nil {
			err = json.Unmarshal([]byte(text), &in)
		}
		if err == nil && in == nil {
			err = fmt.Errorf("null is no JSON object")
		}
		if err != nil {
			return nil, usagef("--input %s: %w", a.file, err)
		}
	}
	flags := make(map[string][]string)
	for _, flag := range slices.Sorted(maps.Keys(a.values)) {
		v := a.values[flag]
		texts := slices.Clone(v.texts)
		for i := range texts {
			var err error
			if v.reads {
				if texts[i], err = read(texts[i]); err != nil {
					return nil, usagef("--%s: %w", flag, err)
				}
			}
		}
		flags[flag] = texts
	}
	given, err := a.manifest.Input(flags, a.clear)
	if err != nil {
		return nil, err
	}
	maps.Copy(in, given)
	if a.argument != "" {
		if err := in.Set(a.argument, args[0]); err != nil {
			return nil, &usageError{err}
		}
	}
	return in, nil
}

// maxText bounds what is read from a file or standard input, in bytes: what a
// directory takes in one request by default.
const maxText = 1 << 20

// readText returns what a flag gives: its text, the content of @FILE, or
// standard input for "-".
func readText(g *globals, text string) (string, error) {
	var in io.Reader
	switch path, ok := strings.CutPrefix(text, "@"); {
	case ok:
		f, err := os.Open(path)
		if err != nil {
			return "", err
		}
		defer f.Close()
		in = f
	case text == "-":
		in = g.input()
	default:
		return text, nil
	}
	data, err := io.ReadAll(io.LimitReader(in, maxText+1))
	if err == nil && len(data) > maxText {
		err = fmt.Errorf("more than %d bytes", maxText)
	}
	return string(data), err
}
