package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/roster-scim/roster/action"
	"github.com/roster-scim/roster/client"
)

// userFlags are the flags of an action that writes a user: those of its
// manifest, and short forms for what people type most.
type userFlags struct {
	manifest *action.Manifest
	values   map[string]*string // by the name of the parameter
	email    string
	phone    string
	parts    map[string]*string // of the name, by the name of the part
	clear    []string
}

// nameParts are the parts of a name and their flags.
var nameParts = []struct{ name, flag, what string }{
	{"formatted", "formatted-name", "whole name as it is shown"},
	{"familyName", "family-name", "family name"},
	{"givenName", "given-name", "given name"},
	{"middleName", "middle-name", "middle names"},
	{"honorificPrefix", "honorific-prefix", "title before the name, such as Dr."},
	{"honorificSuffix", "honorific-suffix", "suffix after the name, such as III"},
}

// addFlags adds a flag for each parameter of m that is no part of the path. None
// of them is a setting: they say what one call does.
func (u *userFlags) addFlags(f *pflag.FlagSet, m *action.Manifest) {
	u.manifest, u.values, u.parts = m, make(map[string]*string), make(map[string]*string)
	for _, p := range m.Parameters() {
		if p.In == action.InPath {
			continue
		}
		// Booleans are texts too: a flag of type bool would take "--active false"
		// for true and an argument.
		word := map[action.Type]string{action.Boolean: "true|false", action.Object: "JSON", action.Array: "JSON", action.Names: "names"}[p.Type]
		if word == "" {
			word = "text"
		}
		usage := strings.ReplaceAll(firstSentence(p.Description), "`", "'")
		if p.Required {
			usage += " (required)"
		}
		u.values[p.Name] = textFlag(f, p.Flag, word, usage)
	}
	f.StringVar(&u.email, "email", "", "the one e-mail `address`, of type work and primary: short for --emails")
	f.StringVar(&u.phone, "phone", "", "the one phone `number`, of type work: short for --phone-numbers")
	for _, p := range nameParts {
		u.parts[p.name] = textFlag(f, p.flag, "text", p.what+"; a part of --name")
	}
	f.StringSliceVar(&u.clear, "clear", nil, "`names` of parameters to send as null, such as nickName,title")
	perCall(f, "email", "phone", "clear")
}

// A textValue is the value of a flag that takes any text; word says in the help
// what is expected.
type textValue struct {
	text string
	word string
}

func (v *textValue) String() string     { return v.text }
func (v *textValue) Set(s string) error { v.text = s; return nil }
func (v *textValue) Type() string       { return v.word }

// textFlag adds such a flag, as a part of one call.
func textFlag(f *pflag.FlagSet, name, word, usage string) *string {
	v := &textValue{word: word}
	f.Var(v, name, usage)
	perCall(f, name)
	return &v.text
}

func firstSentence(s string) string {
	if i := strings.Index(s, ". "); i >= 0 {
		return s[:i]
	}
	return strings.TrimSuffix(s, ".")
}

// input returns what the flags give. Whether it fits is for the action to say,
// but for what only a command line can get wrong.
func (u *userFlags) input(g *globals, f *pflag.FlagSet) (action.Input, error) {
	in := make(action.Input)
	var faults []error
	add := func(name string, v any) {
		if _, twice := in[name]; twice {
			faults = append(faults, fmt.Errorf("%s is given by two flags: give one of them", name))
		}
		if err := in.Set(name, v); err != nil {
			faults = append(faults, err)
		}
	}
	for _, p := range u.manifest.Parameters() {
		if p.In == action.InPath || !f.Changed(p.Flag) {
			continue
		}
		text := *u.values[p.Name]
		switch p.Type {
		case action.Boolean, action.Object, action.Array:
			v, err := readJSON(g, text)
			if err != nil {
				faults = append(faults, fmt.Errorf("--%s: %w", p.Flag, err))
				continue
			}
			in[p.Name] = v // valid or not, for the action to judge
		default:
			add(p.Name, text)
		}
	}
	if f.Changed("email") {
		add("emails", []client.MultiValue{client.Primary(client.Value(u.email, "work"))})
	}
	if f.Changed("phone") {
		add("phoneNumbers", []client.MultiValue{client.Value(u.phone, "work")})
	}
	parts := make(map[string]string)
	for _, p := range nameParts {
		if f.Changed(p.flag) {
			parts[p.name] = *u.parts[p.name]
		}
	}
	if len(parts) > 0 {
		add("name", parts)
	}
	for _, name := range u.clear {
		if p := u.manifest.Parameter(name); p == nil || p.In != action.InBody {
			faults = append(faults, fmt.Errorf("--clear %s: no such parameter; there are %s", name, strings.Join(u.bodyNames(), ", ")))
			continue
		}
		add(name, nil)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, &usageError{err}
	}
	return in, nil
}

func (u *userFlags) bodyNames() (names []string) {
	for _, p := range u.manifest.Parameters() {
		if p.In == action.InBody {
			names = append(names, p.Name)
		}
	}
	return names
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
		in = g.stdin
	default:
		return text, nil
	}
	data, err := io.ReadAll(io.LimitReader(in, maxText+1))
	if err == nil && len(data) > maxText {
		err = fmt.Errorf("more than %d bytes", maxText)
	}
	return string(data), err
}
