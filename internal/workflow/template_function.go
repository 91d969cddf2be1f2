package workflow

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// templateOnly are the functions of templates beside those of expressions, whose
// operators have no place there.
var templateOnly = map[string]func(args ...any) (any, error){
	"index": index,
	"eq":    func(args ...any) (any, error) { return equal(args) },
	"ne": func(args ...any) (any, error) {
		same, err := equal(args)
		return !same, err
	},
	"lt": ordered(func(c int) bool { return c < 0 }),
	"le": ordered(func(c int) bool { return c <= 0 }),
	"gt": ordered(func(c int) bool { return c > 0 }),
	"ge": ordered(func(c int) bool { return c >= 0 }),
}

// templateNames are the functions that a template can call.
func templateNames() []string {
	names := append(functionNames(), "and", "or", "not") // of the language itself
	for name := range templateOnly {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// A budget is what one rendering may cost.
type budget struct{ left int }

var errBudget = errors.New("it takes too many steps: use fewer loops, or shorter lists")

func (b *budget) spend(n int) error {
	if b.left -= n; b.left < 0 {
		return errBudget
	}
	return nil
}

// functions returns those of a template, each of which asks the budget. The last
// argument is the value that the function is about, so that it can be piped.
func (b *budget) functions() map[string]any {
	out := map[string]any{
		writeName: func(v any) (string, error) {
			s, err := textOf(v)
			return s, errors.Join(err, b.spend(1+len(s)/16))
		},
		rangeName: func(cost int, v any) ([]any, error) {
			list, ok := v.([]any)
			if !ok && v != nil {
				return nil, fmt.Errorf("range goes through a list, and this is %s", nameOf(v))
			}
			if len(list) > maxTemplateSteps {
				return nil, errBudget
			}
			return list, b.spend(len(list) * min(cost, maxTemplateSteps))
		},
	}
	for name, f := range functions {
		out[name] = b.bounded(name, func(args ...any) (any, error) {
			args = slices.Clone(args)
			slices.Reverse(args) // none has more than two
			return f.run(args...)
		})
	}
	for name, f := range templateOnly {
		out[name] = b.bounded(name, f)
	}
	return out
}

func (b *budget) bounded(name string, f func(args ...any) (any, error)) func(args ...any) (any, error) {
	return func(args ...any) (any, error) {
		least, most := arity(name)
		if len(args) < least || len(args) > most {
			return nil, fmt.Errorf("%s needs %d arguments, and has %d", name, least, len(args))
		}
		cost := 1
		for _, a := range args {
			cost += weight(a)
		}
		if err := b.spend(cost); err != nil {
			return nil, err
		}
		v, err := f(args...)
		if err != nil {
			return nil, err
		}
		return v, b.spend(4 * weight(v))
	}
}

// arity returns how many arguments a function of a template takes.
func arity(name string) (least, most int) {
	switch {
	case name == "index":
		return 2, 10
	case templateOnly[name] != nil:
		return 2, 2
	}
	n := parameters(functions[name])
	return n, n
}

// weight returns about what it costs to go through a value once.
func weight(v any) int {
	switch v := v.(type) {
	case string:
		return len(v) / 32
	case []any:
		return len(v)
	case map[string]any:
		return len(v)
	}
	return 0
}

// index returns what is under keys and numbers within each other, nil where
// there is nothing.
func index(args ...any) (any, error) {
	at := args[0]
	for _, key := range args[1:] {
		switch v := at.(type) {
		case nil:
			return nil, nil
		case map[string]any:
			name, ok := key.(string)
			if !ok {
				return nil, fmt.Errorf("the index of an object is a text, and this is %s", nameOf(key))
			}
			at = v[name]
		case []any:
			i, ok := number(key)
			if !ok {
				return nil, fmt.Errorf("the index of a list is a number, and this is %s", nameOf(key))
			}
			if at = nil; i >= 0 && i < float64(len(v)) {
				at = v[int(i)]
			}
		default:
			return nil, fmt.Errorf("%s has nothing within it", nameOf(at))
		}
	}
	return at, nil
}

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case int:
		return float64(v), true
	}
	return 0, false
}

// equal compares two single values.
func equal(args []any) (bool, error) {
	for _, a := range args {
		switch a.(type) {
		case []any, map[string]any:
			return false, fmt.Errorf("%s cannot be compared: compare a part of it", nameOf(a))
		}
	}
	x, isNumber := number(args[0])
	if y, ok := number(args[1]); ok && isNumber {
		return x == y, nil
	}
	return args[0] == args[1], nil
}

func ordered(holds func(int) bool) func(args ...any) (any, error) {
	return func(args ...any) (any, error) {
		x, ok := number(args[0])
		y, too := number(args[1])
		if ok && too {
			return holds(cmp.Compare(x, y)), nil
		}
		s, ok := args[0].(string)
		t, too := args[1].(string)
		if ok && too {
			return holds(cmp.Compare(s, t)), nil
		}
		return nil, fmt.Errorf("%s and %s have no order: compare two numbers or two texts", nameOf(args[0]), nameOf(args[1]))
	}
}
