package workflow

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/scim"
)

// masked is shown in the place of what is secret.
const masked = `"***"`

// Bind returns the inputs of a run as a JSON object in the order of the file: the
// values that are given, and the defaults of the others. What the file does not
// take is a 400 that tells all of it; it repeats no value, which may be secret.
func (f *File) Bind(given map[string]jsontext.Value) (jsontext.Value, error) {
	var faults []string
	known := make([]string, len(f.Inputs))
	values := make(map[string]jsontext.Value, len(f.Inputs))
	for i, in := range f.Inputs {
		known[i] = in.Name
		v := given[in.Name]
		if len(v) == 0 || v.Kind() == 'n' {
			v = in.Default
		}
		switch {
		case len(v) > 0:
			if text := in.fault(v); text != "" {
				faults = append(faults, "input "+in.Name+" must be "+text)
			}
			values[in.Name] = v
		case in.Required:
			faults = append(faults, "input "+in.Name+" is required")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !slices.Contains(known, name) {
			faults = append(faults, fmt.Sprintf("there is no input %s%s", clipName(name), suggest(name, known)))
		}
	}
	if len(faults) > 0 {
		return nil, scim.Errorf(400, scim.InvalidValue, "%s", strings.Join(faults, "\n"))
	}
	return f.object(func(in *Input) jsontext.Value { return values[in.Name] })
}

// mask returns inputs with the secret ones hidden.
func (f *File) mask(inputs jsontext.Value) (jsontext.Value, error) {
	var values map[string]jsontext.Value
	if err := json.Unmarshal(inputs, &values); err != nil {
		return nil, fmt.Errorf("read the inputs of a run: %w", err)
	}
	return f.object(func(in *Input) jsontext.Value {
		if v := values[in.Name]; len(v) == 0 || !in.Secret {
			return v
		}
		return jsontext.Value(masked)
	})
}

// object returns a JSON object of the inputs that have a value.
func (f *File) object(value func(*Input) jsontext.Value) (jsontext.Value, error) {
	out := jsontext.Value{'{'}
	for i := range f.Inputs {
		v := value(&f.Inputs[i])
		if len(v) == 0 {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		var err error
		if out, err = jsontext.AppendQuote(out, f.Inputs[i].Name); err != nil {
			return nil, err
		}
		out = append(append(out, ':'), v...)
	}
	return append(out, '}'), nil
}

// fault returns what the input must be where v is not, "" where it is.
func (in *Input) fault(v jsontext.Value) string {
	kind := v.Kind()
	switch in.Type {
	case "string":
		var text string
		if kind != '"' || json.Unmarshal(v, &text) != nil {
			return "a text"
		}
		if len(in.Values) > 0 && !slices.Contains(in.Values, text) {
			return "one of " + strings.Join(in.Values, ", ")
		}
	case "boolean":
		if kind != 't' && kind != 'f' {
			return "true or false"
		}
	case "integer":
		if _, err := strconv.ParseInt(string(v), 10, 64); kind != '0' || err != nil {
			return "an integer"
		}
	case "object":
		if kind != '{' {
			return "a JSON object"
		}
	case "array":
		if kind != '[' {
			return "a JSON array"
		}
	}
	return ""
}

// Read returns the value that a person has typed for the input: a text as it is,
// anything else as JSON; of type any, a text that is no JSON.
func (in *Input) Read(text string) (jsontext.Value, error) {
	v := jsontext.Value(strings.TrimSpace(text))
	if in.Type == "string" || in.Type == "any" && !v.IsValid() {
		return jsontext.AppendQuote(nil, text)
	}
	if !v.IsValid() {
		return nil, fmt.Errorf("input %s must be %s", in.Name, in.fault(jsontext.Value(`""`)))
	}
	return v, nil
}

func clipName(name string) string {
	if len(name) > 100 {
		name = name[:100] + "…"
	}
	return strconv.Quote(name)
}
