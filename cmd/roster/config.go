package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// perCallMark annotates a flag that says what one call does and so is no
// setting: neither environment nor file may give it.
const perCallMark = "roster per call"

// perCall marks flags as part of one call. All other flags are settings: they
// can be given as ROSTER_<NAME> or in the configuration file. A flag that
// changes data, or that agrees to a loss of it, must be marked: a forgotten
// variable must not deactivate people.
func perCall(flags *pflag.FlagSet, names ...string) {
	for _, name := range names {
		if err := flags.SetAnnotation(name, perCallMark, nil); err != nil {
			panic(err) // no such flag: a mistake in this package
		}
	}
}

func isSetting(f *pflag.Flag) bool {
	_, marked := f.Annotations[perCallMark]
	return !marked && f.Name != "help" && f.Name != "config"
}

// envName returns the environment variable of a flag.
func envName(flag string) string {
	return "ROSTER_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// configure fills the settings of cmd that the command line left open: from the
// environment, else from the configuration file. It reports every fault at once.
func configure(g *globals, cmd *cobra.Command) error {
	file, err := readConfig(g, cmd)
	if err != nil {
		return err
	}
	var faults []error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Changed || !isSetting(f) {
			return
		}
		// A key in ROSTER_KEY wins over a key file that only a file names.
		if secret, ok := strings.CutSuffix(f.Name, "-file"); ok && g.getenv(envName(secret)) != "" {
			return
		}
		from, value := envName(f.Name), g.getenv(envName(f.Name))
		if value == "" {
			s, ok := file[f.Name]
			if !ok {
				return
			}
			from, value = s.from, s.value
		}
		if err := cmd.Flags().Set(f.Name, value); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", from, err))
		}
		f.Changed = false // which is kept for what stands on the command line
	})
	return errors.Join(faults...)
}

// A setting is one line of the configuration file.
type setting struct {
	from  string // "config.yaml:3: listen"
	value string
}

// readConfig reads the configuration file that cmd names, or the one of the
// person, which may be missing.
func readConfig(g *globals, cmd *cobra.Command) (map[string]setting, error) {
	path := g.getenv(envName("config"))
	if f := cmd.Flags().Lookup("config"); f != nil && f.Changed {
		path = f.Value.String()
	}
	named := path != ""
	if !named {
		path = defaultConfig(g)
	}
	if path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !named {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return parseConfig(path, data, settings(cmd.Root()))
}

func defaultConfig(g *globals) string {
	dir := g.getenv("XDG_CONFIG_HOME")
	if dir == "" {
		home := g.getenv("HOME")
		if home == "" {
			return ""
		}
		dir = filepath.Join(home, ".config")
	}
	return filepath.Join(dir, "roster", "config.yaml")
}

// settings returns the names of all settings of cmd and the commands below it,
// sorted: one file serves every command.
func settings(cmd *cobra.Command) []string {
	names := make(map[string]bool)
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Name() == "completion" || cmd.Name() == "help" {
			return // cobra's own
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if isSetting(f) {
				names[f.Name] = true
			}
		})
		for _, c := range cmd.Commands() {
			walk(c)
		}
	}
	walk(cmd)
	return slices.Sorted(maps.Keys(names))
}

// parseConfig reads a flat YAML mapping from names of flags to values. It works
// on the syntax tree, because only that knows the line of a mistake.
func parseConfig(path string, data []byte, known []string) (map[string]setting, error) {
	tree, err := parser.ParseBytes(data, 0)
	if err != nil {
		// Its text shows the source, which in a configuration can be secret.
		var syntax yaml.Error
		if errors.As(err, &syntax) {
			return nil, fmt.Errorf("%s:%d: %s", path, syntax.GetToken().Position.Line, syntax.GetMessage())
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	out := make(map[string]setting)
	var faults []error
	for i, doc := range tree.Docs {
		if doc.Body == nil {
			continue
		}
		if i > 0 {
			return nil, fmt.Errorf("%s: one document only", path)
		}
		var entries []*ast.MappingValueNode
		switch body := doc.Body.(type) {
		case *ast.MappingNode:
			entries = body.Values
		case *ast.MappingValueNode:
			entries = []*ast.MappingValueNode{body}
		case *ast.CommentGroupNode:
		default:
			return nil, fmt.Errorf("%s: expected lines of the form \"name: value\"", path)
		}
		for _, e := range entries {
			token := e.Key.GetToken()
			name, at := token.Value, fmt.Sprintf("%s:%d", path, token.Position.Line)
			value, err := scalar(e.Value)
			switch {
			case !slices.Contains(known, name):
				faults = append(faults, fmt.Errorf("%s: no setting %q; there are: %s", at, name, strings.Join(known, ", ")))
			case err != nil:
				faults = append(faults, fmt.Errorf("%s: %s: %w", at, name, err))
			default:
				out[name] = setting{from: at + ": " + name, value: value}
			}
		}
	}
	return out, errors.Join(faults...)
}

// scalar returns the text that a YAML value stands for: of a list its items
// with commas between them, as a flag takes them.
func scalar(n ast.Node) (string, error) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, nil
	case *ast.SequenceNode:
		items := make([]string, len(n.Values))
		for i, v := range n.Values {
			s, err := scalar(v)
			if err != nil {
				return "", err
			}
			items[i] = s
		}
		return strings.Join(items, ","), nil
	}
	return "", errors.New("expected a text, a number, true, false or a list of them")
}

// maxSecret bounds what is read as a key, in bytes.
const maxSecret = 64 << 10

// secret returns the secret in a file ("-" is standard input), without the
// white space around it; without a file, the one in the environment variable;
// "" when there is neither.
func (g *globals) secret(variable, file string) (string, error) {
	var in io.Reader
	switch file {
	case "":
		return strings.TrimSpace(g.getenv(variable)), nil
	case "-":
		in = g.input()
	default:
		f, err := os.Open(file)
		if err != nil {
			return "", &usageError{err}
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxSecret))
	if err != nil {
		return "", fmt.Errorf("read the key: %w", err)
	}
	key := strings.TrimSpace(string(data))
	if key == "" {
		return "", usagef("%s holds no key", file)
	}
	return key, nil
}
