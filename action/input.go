package action

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// An Input is what is given to an action: the JSON value of each parameter by
// its name. What is not in it is left out; null, "", [] and false are values
// that are sent.
type Input map[string]jsontext.Value

// Set gives a parameter the value that v is in JSON. A text that is not UTF-8 is
// an error.
func (in Input) Set(name string, v any) error {
	data, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	in[name] = data
	return nil
}

// text returns the text of a parameter that is a string, else "".
func (in Input) text(name string) string {
	var s string
	if v := in[name]; v.Kind() == '"' && json.Unmarshal(v, &s) != nil {
		return ""
	}
	return s
}

// integer returns the number of a parameter that is an integer, else 0.
func (in Input) integer(name string) int {
	n, err := strconv.Atoi(string(in[name]))
	if err != nil {
		return 0
	}
	return n
}

// names returns the list of a parameter of type Names or List; nil when it is left out,
// null or empty.
func (in Input) names(name string) ([]string, error) {
	var list []string
	switch v := in[name]; v.Kind() {
	case '"':
		list = strings.Split(in.text(name), ",")
	case '[':
		if err := json.Unmarshal(v, &list); err != nil {
			return nil, fmt.Errorf("must be a list of texts")
		}
	case 'n', jsontext.KindInvalid:
	default:
		return nil, fmt.Errorf("must be texts with commas between them, not %s", kindName(v.Kind()))
	}
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	return slices.DeleteFunc(list, func(s string) bool { return s == "" }), nil
}

// has reports whether a parameter has a value that is more than null.
func (in Input) has(name string) bool {
	v, ok := in[name]
	return ok && v.Kind() != 'n'
}

func kindName(k jsontext.Kind) string {
	switch k {
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '{':
		return "an object"
	case '[':
		return "an array"
	}
	return "something that is no JSON"
}

// An InputError says everything that is wrong with an Input. Nothing was changed.
type InputError struct {
	Faults []Fault
}

// A Fault is one thing that is wrong.
type Fault struct {
	Parameter string // its name; "" when it is about several
	Text      string // what is wrong, and the cure
	Flags     string // the flags that are it on a command line, to stand after Text; empty: none
}

func (f Fault) String() string {
	if f.Parameter == "" {
		return f.Text + f.Flags
	}
	return f.Parameter + ": " + f.Text + f.Flags
}

func (e *InputError) Error() string {
	lines := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}
