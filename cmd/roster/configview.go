package main

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func newConfigCmd(g *globals) *cobra.Command {
	return newGroup("config", "Show the settings, and where they come from", newConfigViewCmd(g))
}

type configViewOptions struct {
	output outputFormat
	all    bool
}

func newConfigViewCmd(g *globals) *cobra.Command {
	o := new(configViewOptions)
	cmd := &cobra.Command{
		Use:   "view",
		Short: "Show which settings hold, and where each comes from; keys are masked",
		Long: `Show which settings hold, and where each comes from: an environment variable, a line of
the configuration file or the connection in use. With --defaults those are shown too
that nobody has set; what a command takes by default is in its help. Keys and passwords
are masked. A flag on the command line wins over all of them.`,
		Example: `  roster config view
  roster config view --defaults -o json`,
		Args: noArg,
		RunE: func(cmd *cobra.Command, _ []string) error { return runConfigView(g, cmd, o) },
	}
	f := cmd.Flags()
	o.output.addFlag(f)
	f.BoolVar(&o.all, "defaults", false, "show what nobody has set, too")
	perCall(f, "defaults")
	return cmd
}

// A shownSetting is a setting as it holds.
type shownSetting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	From  string `json:"from"`
}

func runConfigView(g *globals, cmd *cobra.Command, o *configViewOptions) error {
	file, err := readConfig(g, cmd)
	if err != nil {
		return err
	}
	flags := settingFlags(cmd.Root())
	var list []shownSetting
	for _, name := range settings(cmd.Root()) {
		s := shownSetting{Name: name, Value: g.getenv(envName(name)), From: envName(name)}
		if in, ok := file[name]; s.Value == "" && ok {
			s.Value, s.From = in.value, strings.TrimSuffix(in.from, ": "+name)
		}
		if s.Value == "" {
			if s.Value, s.From = flags[name].DefValue, "default"; !o.all {
				continue
			}
		}
		s.Value = maskURL(s.Value)
		list = append(list, s)
	}
	for _, name := range []string{"key", "bootstrap-key"} {
		if key := g.getenv(envName(name)); key != "" {
			list = append(list, shownSetting{name, maskKey(key), envName(name)})
		}
	}
	if list, err = appendConnection(g, list); err != nil {
		return err
	}
	l := newListing(g.stdout, o.output, "NAME", "VALUE", "FROM")
	for _, s := range list {
		if err := l.add(s, s.Name, s.Value, s.From); err != nil {
			return err
		}
	}
	return l.end()
}

// appendConnection appends what the connection in use says, which commands take in
// the place of ROSTER_URL, ROSTER_DIRECTORY and ROSTER_KEY.
func appendConnection(g *globals, list []shownSetting) ([]shownSetting, error) {
	if defaultConfig(g) == "" {
		return list, nil
	}
	files, err := newConnectionFiles(g)
	if err != nil {
		return nil, err
	}
	name := g.getenv(envName("connection"))
	if name == "" {
		if name, err = files.current(); err != nil || name == "" {
			return list, err
		}
	}
	c, err := files.load(name)
	if err != nil {
		return nil, err
	}
	from := "connection " + name
	for _, s := range []shownSetting{{"url", maskURL(c.URL), from}, {"directory", c.Directory, from}, {"rule-set", c.RuleSet, from}, {"key", maskKey(c.Key), from}} {
		if s.Value != "" {
			list = append(list, s)
		}
	}
	return list, nil
}

// settingFlags returns a flag of each setting of cmd and the commands below it.
func settingFlags(cmd *cobra.Command) map[string]*pflag.Flag {
	flags := make(map[string]*pflag.Flag)
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if flags[f.Name] == nil && isSetting(f) {
				flags[f.Name] = f
			}
		})
		for _, c := range cmd.Commands() {
			walk(c)
		}
	}
	walk(cmd)
	return flags
}

// maskURL returns a value without the password of a URL, if it is one.
func maskURL(value string) string {
	u, err := url.Parse(value)
	if err != nil || u.User == nil {
		return value
	}
	if _, secret := u.User.Password(); !secret {
		return value
	}
	return strings.ReplaceAll(fmt.Sprint(u.Redacted()), "xxxxx", "…")
}
