package workflow

// Env holds the values of the roots that expressions and templates name: inputs,
// steps, event, run, error, and the item of a for-each. They are of the types
// that JSON decodes to: map[string]any, []any, string, float64, bool, nil.
type Env map[string]any

// An Expr is a compiled expression: no loops, no functions but those of the list
// in the documentation, bounded in length, so that it ends at once.
type Expr struct{ Source string }

// A Value is what is written in the place of a value: JSON, a text with
// expressions in it, or a list or object of Values.
type Value struct{ Source any }

// A Template is the body of a mail.
type Template struct {
	Source string
	HTML   bool
}
