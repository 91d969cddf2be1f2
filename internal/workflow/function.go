package workflow

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
)

// A function is one that expressions and templates can call.
type function struct {
	types []any // of the function, for what can be told before anything runs
	run   func(args ...any) (any, error)
}

// functions are all that there are. None loops over more than its arguments
// have, and none gives a text of more than maxText.
var functions = map[string]*function{
	"advice":  {[]any{new(func(any) string)}, advise},
	"len":     {[]any{new(func(any) int)}, countOf},
	"lower":   {[]any{new(func(string) string)}, ofText("lower", strings.ToLower)},
	"upper":   {[]any{new(func(string) string)}, ofText("upper", strings.ToUpper)},
	"trim":    {[]any{new(func(string) string)}, ofText("trim", strings.TrimSpace)},
	"split":   {[]any{new(func(string, string) []any)}, split},
	"join":    {[]any{new(func([]any, string) string)}, join},
	"first":   {[]any{new(func([]any) any)}, first},
	"keys":    {[]any{new(func(any) []any)}, keysOf},
	"has":     {[]any{new(func(any, string) bool)}, has},
	"default": {[]any{new(func(any, any) any)}, defaultOf},
	"json":    {[]any{new(func(any) string)}, toJSON},
	"text":    {[]any{new(func(any) string)}, toText},
	"words":   {[]any{new(func(any) string)}, toWords},
}

// parameters returns how many arguments a function takes.
func parameters(f *function) int { return reflect.TypeOf(f.types[0]).Elem().NumIn() }

func functionNames() []string { return slices.Sorted(maps.Keys(functions)) }

// argument returns the i-th argument as a T.
func argument[T any](name, want string, args []any, i int) (v T, err error) {
	if i >= len(args) {
		return v, fmt.Errorf("%s needs %d arguments", name, i+1)
	}
	v, ok := args[i].(T)
	if !ok {
		return v, fmt.Errorf("%s needs %s, and this is %s: give another value with default(x, y) where there may be none", name, want, nameOf(args[i]))
	}
	return v, nil
}

func ofText(name string, f func(string) string) func(args ...any) (any, error) {
	return func(args ...any) (any, error) {
		s, err := argument[string](name, "a text", args, 0)
		if err != nil {
			return nil, err
		}
		return capped(f(s))
	}
}

// capped returns a text, or an error when it is too long.
func capped(s string) (any, error) {
	if len(s) > maxText {
		return nil, errLong
	}
	return s, nil
}

var errLong = fmt.Errorf("the text would have more than %d bytes: make it of less", maxText)

func countOf(args ...any) (any, error) {
	switch v := args[0].(type) {
	case nil:
		return 0, nil
	case string:
		return utf8.RuneCountInString(v), nil
	case []any:
		return len(v), nil
	case map[string]any:
		return len(v), nil
	}
	return nil, fmt.Errorf("len needs a text, a list or an object, and this is %s", nameOf(args[0]))
}

func split(args ...any) (any, error) {
	s, err := argument[string]("split", "a text", args, 0)
	if err != nil {
		return nil, err
	}
	sep, err := argument[string]("split", "a text", args, 1)
	if err != nil {
		return nil, err
	}
	if strings.Count(s, sep) >= exprMemory {
		return nil, fmt.Errorf("split would give more than %d texts", exprMemory)
	}
	list := []any{}
	for _, one := range strings.Split(s, sep) {
		list = append(list, one)
	}
	return list, nil
}

func join(args ...any) (any, error) {
	list, err := argument[[]any]("join", "a list", args, 0)
	if err != nil {
		return nil, err
	}
	sep, err := argument[string]("join", "a text between the items", args, 1)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	for i, one := range list {
		if i > 0 {
			b.WriteString(sep)
		}
		s, err := textOf(one)
		if err != nil {
			return nil, err
		}
		if b.WriteString(s); b.Len() > maxText {
			break
		}
	}
	return capped(b.String())
}

func first(args ...any) (any, error) {
	list, err := argument[[]any]("first", "a list", args, 0)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return list[0], nil
}

func keysOf(args ...any) (any, error) {
	object, err := argument[map[string]any]("keys", "an object", args, 0)
	if err != nil {
		return nil, err
	}
	list := []any{}
	for _, key := range slices.Sorted(maps.Keys(object)) {
		list = append(list, key)
	}
	return list, nil
}

// has reports whether an object has a member that is more than null. What is not
// there has none.
func has(args ...any) (any, error) {
	name, err := argument[string]("has", "the name of a member", args, 1)
	if err != nil || args[0] == nil {
		return false, err
	}
	object, err := argument[map[string]any]("has", "an object", args, 0)
	if err != nil {
		return nil, err
	}
	return object[name] != nil, nil
}

func defaultOf(args ...any) (any, error) {
	if args[0] == nil || args[0] == "" {
		return args[1], nil
	}
	return args[0], nil
}

func toJSON(args ...any) (any, error) { return jsonOf(args[0]) }

func toText(args ...any) (any, error) { return textOf(args[0]) }

// jsonOf returns a value as JSON, of at most maxText bytes.
func jsonOf(v any) (string, error) {
	w := &cappedWriter{left: maxText}
	switch err := json.MarshalWrite(w, v, json.Deterministic(true)); {
	case w.left < 0:
		return "", errLong
	case err != nil:
		return "", err
	}
	return w.String(), nil
}

// A cappedWriter takes so many bytes, and then errors.
type cappedWriter struct {
	strings.Builder
	left int
}

func (w *cappedWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, errLong
	}
	return w.Builder.Write(p)
}

// textOf returns a value as it stands in a text: a text as it is, nothing for
// nil, anything else as JSON.
func textOf(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case int:
		return strconv.Itoa(v), nil
	}
	return jsonOf(v)
}

func toWords(args ...any) (any, error) {
	w := &cappedWriter{left: maxText}
	if err := writeWords(w, args[0]); err != nil {
		return nil, err
	}
	return w.String(), nil
}

// writeWords writes a value as people write it: a list with commas between its
// items, an object as its members, and the rest as it stands in a text.
func writeWords(w io.Writer, v any) error {
	between := func(i int, name string) error {
		if i > 0 {
			name = ", " + name
		}
		_, err := io.WriteString(w, name)
		return err
	}
	switch v := v.(type) {
	case []any:
		for i, one := range v {
			if err := errors.Join(between(i, ""), writeWords(w, one)); err != nil {
				return err
			}
		}
		return nil
	case map[string]any:
		for i, name := range slices.Sorted(maps.Keys(v)) {
			if err := errors.Join(between(i, name+": "), writeWords(w, v[name])); err != nil {
				return err
			}
		}
		return nil
	}
	s, err := textOf(v)
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, s)
	return err
}

// nameOf words what a value is.
func nameOf(v any) string {
	switch v.(type) {
	case nil:
		return "nothing"
	case bool:
		return "true or false"
	case string:
		return "a text"
	case float64, int:
		return "a number"
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	}
	return fmt.Sprintf("a %T", v)
}

// plainValue returns a result as JSON would be decoded, or an error when it is
// too large. What comes from outside is never written to.
func plainValue(v any) (any, error) {
	left := maxResult
	return plain(v, &left)
}

func plain(v any, left *int) (any, error) {
	if *left -= 8; *left < 0 {
		return nil, fmt.Errorf("the value is larger than %d bytes: take less of it", maxResult)
	}
	switch v := v.(type) {
	case nil, bool:
		return v, nil
	case string:
		*left -= len(v)
		return v, nil
	case int:
		return float64(v), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("this is no number: does it divide by zero?")
		}
		return v, nil
	case []any:
		out := make([]any, len(v))
		for i := range v {
			var err error
			if out[i], err = plain(v[i], left); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, one := range v {
			*left -= len(name)
			w, err := plain(one, left)
			if err != nil {
				return nil, err
			}
			out[name] = w
		}
		return out, nil
	}
	return nil, fmt.Errorf("%T is no value of JSON", v)
}
