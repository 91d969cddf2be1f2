package action

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/client"
)

// Input returns what people have typed as an Input: the texts by the flag that
// each was given to, in their order, where of a single value the last one counts.
// The parameters that clear names are null. Whether the values fit is for
// Validate to say; an *InputError is about the flags themselves.
//
// Texts become JSON by the type of the parameter: a string is taken as it is, a
// list is split at commas and line ends unless it is a JSON array, all else is
// JSON already.
func (m *Manifest) Input(flags map[string][]string, clear []string) (Input, error) {
	in, known := make(Input), make(map[string]bool)
	var faults []Fault
	set := func(p *Parameter, v any) {
		if _, twice := in[p.Name]; twice {
			faults = append(faults, Fault{Text: p.Name + " is given by two flags: give one of them"})
		}
		if err := in.Set(p.Name, v); err != nil {
			faults = append(faults, Fault{Parameter: p.Name, Text: err.Error()})
		}
	}
	for _, p := range m.Parameters() {
		known[p.Flag] = true
		if texts := flags[p.Flag]; len(texts) > 0 {
			in[p.Name] = p.value(texts)
		}
		if s := p.Short; s != nil {
			known[s.Flag] = true
			if texts := flags[s.Flag]; len(texts) > 0 {
				objects := []client.MultiValue{}
				for i, text := range split(texts) {
					objects = append(objects, s.object(text, i == 0))
				}
				set(&p, objects)
			}
		}
		parts := make(map[string]string)
		for _, part := range p.Parts {
			known[part.Flag] = true
			if texts := flags[part.Flag]; part.Flag != "" && len(texts) > 0 {
				parts[part.Name] = texts[len(texts)-1]
			}
		}
		if len(parts) > 0 {
			set(&p, parts)
		}
	}
	for _, name := range clear {
		p := m.Parameter(name)
		if p == nil || p.In != InBody {
			faults = append(faults, Fault{Text: "--clear " + name + ": no such parameter; there are " + strings.Join(m.bodyNames(), ", ")})
			continue
		}
		set(p, nil)
	}
	for _, flag := range slices.Sorted(maps.Keys(flags)) {
		if !known[flag] {
			faults = append(faults, Fault{Text: fmt.Sprintf("--%s is no flag of %s", flag, m.Name)})
		}
	}
	if len(faults) > 0 {
		return nil, &InputError{faults}
	}
	return in, nil
}

// value returns the JSON that the texts of a flag stand for; it may be invalid,
// where the person was to write JSON.
func (p *Parameter) value(texts []string) jsontext.Value {
	last := strings.TrimSpace(texts[len(texts)-1])
	var v any
	switch p.Type {
	case String:
		v = texts[len(texts)-1]
	case Names, List:
		if strings.HasPrefix(last, "[") {
			return jsontext.Value(last)
		}
		v = split(texts)
	default:
		return jsontext.Value(last)
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil // not UTF-8
	}
	return data
}

// split returns what commas and line ends part in the texts, without what is
// blank.
func split(texts []string) []string {
	out := []string{}
	for _, text := range texts {
		for _, s := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == '\n' || r == '\r' }) {
			if s = strings.TrimSpace(s); s != "" {
				out = append(out, s)
			}
		}
	}
	return out
}

// bodyNames returns the names of the parameters in the body.
func (m *Manifest) bodyNames() (names []string) {
	for _, p := range m.Parameters() {
		if p.In == InBody {
			names = append(names, p.Name)
		}
	}
	return names
}
