package workflow

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Env holds the values of the roots that expressions and templates name: inputs,
// steps, event, run, error, and the item of a for-each. They are of the types
// that JSON decodes to: map[string]any, []any, string, float64, bool, nil.
type Env map[string]any

// A Value is what is written in the place of a value: JSON, one ${{ expression }},
// a text with expressions in it, or a list or object of Values.
type Value struct {
	Source string // of a text, as it is written; else empty

	kind    kind // of what it gives, where known; else nullNode
	literal any  // of a scalar without expressions
	parts   []part
	lone    bool // parts is one expression and nothing else
	list    []*Value
	members []Output
	secret  bool // an expression in it reads a secret input
	dynamic bool // there are expressions in it
}

// A part of a text is an expression, or where that is nil the text itself.
type part struct {
	text string
	expr *Expr
}

// Eval returns the value: of the types that JSON decodes to. present is false for
// one ${{ expression }} that gives nothing: it stands for no value at all, and as
// a member or an item it is left out. A null that is written is a value. An error
// says which expression failed, and why.
func (v *Value) Eval(env Env) (out any, present bool, err error) {
	left := maxResult
	return v.eval(env, &left)
}

// Text returns the value as a text, "" when it is not there.
func (v *Value) Text(env Env) (string, error) {
	out, _, err := v.Eval(env)
	if err != nil {
		return "", err
	}
	return textOf(out)
}

func (v *Value) eval(env Env, left *int) (any, bool, error) {
	switch {
	case v.lone:
		out, err := v.parts[0].expr.Eval(env)
		if err == nil {
			_, err = plain(out, left)
		}
		return out, out != nil, err
	case v.parts != nil:
		s, err := v.render(env)
		if err == nil {
			_, err = plain(s, left)
		}
		return s, true, err
	case v.list != nil:
		list := []any{}
		for _, one := range v.list {
			out, present, err := one.eval(env, left)
			if err != nil {
				return nil, false, err
			}
			if present {
				list = append(list, out)
			}
		}
		return list, true, nil
	case v.members != nil:
		object := make(map[string]any)
		for _, m := range v.members {
			out, present, err := m.Value.eval(env, left)
			if err != nil {
				return nil, false, fmt.Errorf("%s: %w", m.Name, err)
			}
			if present {
				object[m.Name] = out
			}
		}
		return object, true, nil
	}
	return v.literal, true, nil
}

func (v *Value) render(env Env) (string, error) {
	var b strings.Builder
	for _, p := range v.parts {
		s := p.text
		if p.expr != nil {
			out, err := p.expr.Eval(env)
			if err != nil {
				return "", err
			}
			if s, err = textOf(out); err != nil {
				return "", fmt.Errorf("%s: %w", p.expr.Source, err)
			}
		}
		if b.WriteString(s); b.Len() > maxText {
			return "", errLong
		}
	}
	return b.String(), nil
}

// value returns n as a Value, whose names are those of s. It recurses as deep as
// the file is nested.
func (p *fileParser) value(n *node, s *scope) *Value {
	v := &Value{kind: n.kind}
	switch n.kind {
	case textNode:
		v.Source = n.text
		p.holes(v, n, s)
	case listNode:
		v.list = []*Value{}
		for _, one := range n.list {
			w := p.value(one, s)
			v.list = append(v.list, w)
			v.secret, v.dynamic = v.secret || w.secret, v.dynamic || w.dynamic
		}
	case mapNode:
		v.members = []Output{}
		for _, e := range n.entries {
			w := p.value(e.value, s)
			v.members = append(v.members, Output{e.key.text, w})
			v.secret, v.dynamic = v.secret || w.secret, v.dynamic || w.dynamic
		}
	default:
		if err := json.Unmarshal(n.json, &v.literal); err != nil { // a number that no float64 has
			p.fault(n, "%s is no number that can be used: make it smaller, or put it in quotes", n.json)
		}
	}
	return v
}

// holes parses a text with expressions. "$${{" stands for "${{".
func (p *fileParser) holes(v *Value, n *node, s *scope) {
	rest, at := n.text, 0
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			v.parts = append(v.parts, part{text: text.String()})
			text.Reset()
		}
	}
	for {
		before, after, found := strings.Cut(rest, "${{")
		if found && strings.HasSuffix(before, "$") {
			text.WriteString(before[:len(before)-1] + "${{")
			rest, at = after, at+len(before)+3
			continue
		}
		text.WriteString(before)
		if !found {
			break
		}
		begin := at + len(before)
		length := hole(after)
		if length < 0 {
			p.faultIn(n, begin, "this ${{ has no }}: close it, or write $${{ for a text")
			return
		}
		flush()
		v.dynamic = true
		source := after[:length]
		lead := len(source) - len(strings.TrimLeft(source, " \t\n"))
		e := p.compile(n, begin+3+lead, strings.TrimSpace(source), s)
		if e != nil {
			v.secret = v.secret || e.secret
			v.parts = append(v.parts, part{expr: e})
		}
		rest, at = after[length+2:], begin+3+length+2
	}
	if !v.dynamic {
		v.literal = text.String()
		return
	}
	lone := len(v.parts) == 1 && v.parts[0].expr != nil && text.Len() == 0
	flush()
	v.lone = lone
	if lone {
		v.kind = v.parts[0].expr.kind
	}
}

// hole returns the length of the expression that s begins with, up to "}}", or
// -1 when there is none. Braces and quotes within it are skipped.
func hole(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '"', '\'', '`':
			for i++; i < len(s) && s[i] != c; i++ {
				if s[i] == '\\' && c != '`' {
					i++
				}
			}
		case '{':
			depth++
		case '}':
			if depth == 0 && strings.HasPrefix(s[i:], "}}") {
				return i
			}
			depth--
		}
	}
	return -1
}

// expression returns n as a bare expression, nil after a fault. A whole ${{ }} is
// taken, too.
func (p *fileParser) expression(n *node, s *scope) *Expr {
	switch n.kind {
	case textNode:
	case boolNode, numberNode:
		return p.compile(n, 0, string(n.json), s)
	default:
		p.fault(n, "must be an expression such as inputs.active == true, not %s", n.kind)
		return nil
	}
	source, at := n.text, 0
	if inner, ok := strings.CutPrefix(strings.TrimSpace(source), "${{"); ok {
		if length := hole(inner); length >= 0 && strings.TrimSpace(inner[length+2:]) == "" {
			at, source = strings.Index(source, "${{")+3, inner[:length]
		}
	}
	lead := len(source) - len(strings.TrimLeft(source, " \t\n"))
	return p.compile(n, at+lead, strings.TrimSpace(source), s)
}

// condition is expression of what must be true or false.
func (p *fileParser) condition(n *node, s *scope) *Expr {
	e := p.expression(n, s)
	if e != nil && e.kind != nullNode && e.kind != boolNode {
		p.fault(n, "a condition must be true or false, and this is %s: compare it with something", e.kind)
	}
	return e
}

// compile compiles an expression that begins at an offset of the text of n.
func (p *fileParser) compile(n *node, at int, source string, s *scope) *Expr {
	s.expressions = &p.expressions
	e, faults := compile(source, s)
	for _, f := range faults {
		p.faultIn(n, at+f.at, "%s", f.text)
	}
	return e
}

// literalJSON returns a Value without expressions as JSON.
func (v *Value) literalJSON() (jsontext.Value, error) {
	out, _, err := v.Eval(nil)
	if err != nil {
		return nil, err
	}
	return json.Marshal(out, json.Deterministic(true))
}
