package workflow

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/types"
	"github.com/expr-lang/expr/vm"
)

// The bounds of an expression. The library bounds memory alone, and not time:
// what is left here has no loops, so that an expression takes as long as its
// length and the sizes of its values, with the calls and sums capped too.
const (
	maxExpr      = 1000 // bytes
	maxExprCalls = 30
	maxExprSums  = 16      // uses of +, each of which may copy two texts
	maxText      = 1 << 20 // bytes of each text that a function gives
	maxResult    = 8 << 20 // bytes of a result, about
	exprMemory   = 10_000  // members of the lists and objects that it makes
)

// An Expr is a compiled expression: no loops, no functions but those of
// Functions, bounded in length, so that it ends at once.
type Expr struct {
	Source string

	program *vm.Program
	kind    kind // of its result, where known; else nullNode
	secret  bool // it reads a secret input
}

// An offsetFault is what is wrong with an expression or a template, and at which
// byte of it.
type offsetFault struct {
	at   int
	text string
}

// compile returns the expression that source is. Names are those that s says.
func compile(source string, s *scope) (*Expr, []offsetFault) {
	if strings.TrimSpace(source) == "" {
		return nil, []offsetFault{{0, "the expression is empty: write one, such as inputs.userId"}}
	}
	if len(source) > maxExpr {
		return nil, []offsetFault{{0, fmt.Sprintf("the expression has %d bytes: make it no longer than %d", len(source), maxExpr)}}
	}
	if *s.expressions++; *s.expressions > maxExpressions {
		return nil, []offsetFault{{0, fmt.Sprintf("the file has more than %d expressions: use fewer", maxExpressions)}}
	}
	// The functions must be known to the parser: it takes some of their names for
	// its own.
	config := exprConfig(s)
	tree, err := parser.ParseWithConfig(source, config)
	if err != nil {
		return nil, []offsetFault{wrong(source, err)}
	}
	e := &Expr{Source: source}
	i := inspector{scope: s, source: source, seen: make(map[ast.Node]bool)}
	i.walk(tree.Node)
	if len(i.faults) > 0 {
		return nil, i.faults
	}
	e.secret = i.secret
	program, err := expr.Compile(source, exprOptions(s)...)
	if err != nil {
		return nil, []offsetFault{wrong(source, err)}
	}
	e.program, e.kind = program, kindOf(program.Node())
	if _, path := program.Node().(*ast.MemberNode); path && e.kind == nullNode {
		e.kind = s.inputKind(i.lone)
	}
	return e, nil
}

// wrong returns an error of the library as a fault.
func wrong(source string, err error) offsetFault {
	var fe *file.Error
	if !errors.As(err, &fe) {
		return offsetFault{0, "the expression is wrong: " + err.Error()}
	}
	text := plainWords(strings.TrimPrefix(fe.Message, "compilation failed: "))
	switch {
	case strings.Contains(text, "unexpected token EOF"), strings.Contains(text, "unexpected end of expression"):
		text = "the expression ends too early: something is missing after it"
	case strings.HasPrefix(text, "unexpected token"):
		text += ": remove it, or put an operator before it"
	case strings.HasPrefix(text, "invalid operation"):
		text += ": the two sides must be of one type"
	default:
		text = "the expression is wrong: " + text
	}
	return offsetFault{byteOffset(source, fe.From), text}
}

// goTypes are the words of this package for those of Go in the library's texts.
var goTypes = strings.NewReplacer("[]interface {}", "a list", "map[string]interface {}", "an object", "interface {}", "any value",
	"float64", "a number", "string", "a text", "bool", "true or false", "int", "a number", "<nil>", "nothing")

// plainWords returns a text of the library that names types in words.
func plainWords(text string) string {
	for _, head := range []string{"invalid operation", "cannot use", "cannot fetch"} {
		if strings.HasPrefix(text, head) {
			text = goTypes.Replace(text)
		}
	}
	if strings.HasSuffix(text, " from nothing") {
		text += ": write ?. in the place of . where it may be missing"
	}
	return strings.TrimSpace(text)
}

// byteOffset returns where the n-th character of s begins.
func byteOffset(s string, n int) int {
	at := 0
	for ; n > 0 && at < len(s); n-- {
		_, size := utf8.DecodeRuneInString(s[at:])
		at += size
	}
	return at
}

// kindOf returns the kind of what a node gives, where its type says so.
func kindOf(n ast.Node) kind {
	switch n.(type) {
	case *ast.ArrayNode:
		return listNode
	case *ast.MapNode:
		return mapNode
	}
	switch t := n.Type(); t.Kind().String() {
	case "bool":
		return boolNode
	case "string":
		return textNode
	case "int", "float64":
		return numberNode
	case "slice":
		return listNode
	case "map":
		return mapNode
	}
	return nullNode
}

// exprOptions returns what the library is told: no function but ours, no name but
// those of s, and the types that are known.
func exprOptions(s *scope) []expr.Option {
	names := types.Map{}
	for _, root := range s.roots() {
		names[root] = types.Any
	}
	inputs := types.Map{types.Extra: types.Any}
	for i := range s.inputs {
		// Integers are left out: the library has them as int, JSON as float64.
		switch k := s.inputKind(s.inputs[i].Name); k {
		case textNode:
			inputs[s.inputs[i].Name] = types.String
		case boolNode:
			inputs[s.inputs[i].Name] = types.Bool
		}
	}
	if !s.trigger {
		names["inputs"] = inputs
	}
	options := []expr.Option{expr.Env(names), expr.DisableAllBuiltins(), expr.Optimize(false)}
	for name, f := range functions {
		options = append(options, expr.Function(name, f.run, f.types...))
	}
	return options
}

func exprConfig(s *scope) *conf.Config {
	config := conf.CreateNew()
	for _, option := range exprOptions(s) {
		option(config)
	}
	for name := range config.Disabled {
		delete(config.Builtins, name)
	}
	return config
}

// An inspector looks at every node of an expression before the library does more
// with it. What it does not know it refuses.
type inspector struct {
	scope       *scope
	source      string
	seen        map[ast.Node]bool
	faults      []offsetFault
	calls, sums int
	secret      bool
	lone        string // the input that was looked at last
}

func (i *inspector) fault(n ast.Node, format string, args ...any) {
	i.faults = append(i.faults, offsetFault{byteOffset(i.source, n.Location().From), fmt.Sprintf(format, args...)})
}

// operators are those that are allowed.
var operators = []string{
	"==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "&&", "||", "and", "or", "!", "not", "??",
	"in", "contains", "startsWith", "endsWith",
}

// walk recurses as deep as the expression is nested, which its length bounds.
func (i *inspector) walk(n ast.Node) {
	if n == nil || len(i.faults) > 10 {
		return
	}
	// The parser hangs one node into two places for "a < b < c" and "a ?: b";
	// nested, that doubles the work of each level.
	if i.seen[n] {
		i.fault(n, "chains such as a < b < c, and a ?: b, are not allowed: write a < b && b < c, and default(a, b)")
		return
	}
	i.seen[n] = true
	switch n := n.(type) {
	case *ast.NilNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.StringNode:
	case *ast.IdentifierNode:
		i.root(n)
	case *ast.UnaryNode:
		i.walk(n.Node)
	case *ast.BinaryNode:
		if !slices.Contains(operators, n.Operator) {
			i.fault(n, "the operator %s is not allowed; there are %s", n.Operator, strings.Join(operators, " "))
			return
		}
		if n.Operator == "+" {
			if i.sums++; i.sums == maxExprSums+1 {
				i.fault(n, "the expression adds more than %d times: use several ${{ }}, or join", maxExprSums)
			}
		}
		i.walk(n.Left)
		i.walk(n.Right)
	case *ast.ChainNode:
		i.walk(n.Node)
	case *ast.MemberNode:
		i.member(n)
	case *ast.SliceNode:
		i.walk(n.Node)
		i.walk(n.From)
		i.walk(n.To)
	case *ast.ConditionalNode:
		if !n.Ternary {
			i.fault(n.Cond, "if and else are not allowed in an expression: write a ? b : c")
			return
		}
		i.walk(n.Cond)
		i.walk(n.Exp1)
		i.walk(n.Exp2)
	case *ast.ArrayNode:
		for _, v := range n.Nodes {
			i.walk(v)
		}
	case *ast.MapNode:
		for _, p := range n.Pairs {
			if pair, ok := p.(*ast.PairNode); ok {
				i.walk(pair.Key)
				i.walk(pair.Value)
			}
		}
	case *ast.CallNode:
		i.call(n)
	case *ast.BuiltinNode:
		i.fault(n, "there is no function %s%s", n.Name, suggest(n.Name, functionNames()))
	default:
		i.fault(n, "this is not allowed in an expression: use operators, names and the functions %s", strings.Join(functionNames(), ", "))
	}
}

func (i *inspector) call(n *ast.CallNode) {
	name, ok := n.Callee.(*ast.IdentifierNode)
	switch {
	case !ok:
		i.fault(n, "a value cannot be called: use one of the functions %s", strings.Join(functionNames(), ", "))
		return
	case functions[name.Value] == nil:
		i.fault(n, "there is no function %s%s", name.Value, suggest(name.Value, functionNames()))
		return
	}
	if i.calls++; i.calls == maxExprCalls+1 {
		i.fault(n, "the expression calls functions more than %d times: use several ${{ }}", maxExprCalls)
	}
	for _, a := range n.Arguments {
		i.walk(a)
	}
}

// root checks a name that stands alone.
func (i *inspector) root(n *ast.IdentifierNode) {
	if text := i.scope.root(n.Value); text != "" {
		i.fault(n, "%s", text)
		return
	}
	if n.Value == "inputs" && i.scope.hasSecret() {
		i.secret = true // all of them are read
	}
}

// member checks a path, a.b and a["b"]: its first names by those that the scope
// knows, and what stands in its brackets.
func (i *inspector) member(n *ast.MemberNode) {
	var links []*ast.MemberNode
	var at ast.Node = n
	for more := true; more; {
		switch m := at.(type) {
		case *ast.ChainNode:
			at = m.Node
		case *ast.MemberNode:
			links = append(links, m)
			at = m.Node
		default:
			more = false
		}
	}
	slices.Reverse(links)
	var path []string
	for _, m := range links {
		name, ok := m.Property.(*ast.StringNode)
		if !ok {
			break
		}
		path = append(path, name.Value)
	}
	for _, m := range links[len(path):] {
		if _, ok := m.Property.(*ast.StringNode); !ok {
			i.walk(m.Property)
		}
	}
	root, ok := at.(*ast.IdentifierNode)
	if !ok || len(path) == 0 {
		i.walk(at)
		return
	}
	text := i.scope.root(root.Value)
	if text != "" {
		i.fault(root, "%s", text)
		return
	}
	text, secret := i.scope.path(root.Value, path)
	if text != "" {
		i.fault(links[0], "%s", text)
	}
	i.secret = i.secret || secret
	if len(links) == 1 && root.Value == "inputs" {
		i.lone = path[0]
	}
}

// Eval returns the value of the expression: of the types that JSON decodes to.
// nil is a value that is not there. An error says what is wrong with the values
// that it was given.
func (e *Expr) Eval(env Env) (any, error) {
	machine := vm.VM{MemoryBudget: exprMemory}
	v, err := machine.Run(e.program, map[string]any(env))
	if err == nil {
		v, err = plainValue(v)
	}
	if err != nil {
		text := err.Error()
		var fe *file.Error
		if errors.As(err, &fe) {
			text = plainWords(fe.Message)
		}
		return nil, fmt.Errorf("%s: %s", e.Source, text)
	}
	return v, nil
}

// True is Eval of a condition. What is neither true nor false is an error.
func (e *Expr) True(env Env) (bool, error) {
	v, err := e.Eval(env)
	if err != nil {
		return false, err
	}
	b, ok := v.(bool)
	if !ok {
		return false, fmt.Errorf("%s: a condition must be true or false, and this is %s: compare it with something", e.Source, nameOf(v))
	}
	return b, nil
}
