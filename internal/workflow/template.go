package workflow

import (
	"errors"
	"fmt"
	"html/template"
	"regexp"
	"slices"
	"strconv"
	"strings"
	texttemplate "text/template"
	"text/template/parse"
)

// The bounds of a template. A loop costs its items times what is in it, before
// it begins, so that one which writes nothing ends as well.
const (
	maxTemplate      = 64 << 10 // bytes
	maxTemplateSteps = 1_000_000
	maxTemplateDepth = 20 // of blocks within each other
	maxRanges        = 4  // of those that are a range: html/template looks at each twice
)

// A Template is the body of a mail: a template of text/template or html/template
// over the roots of an Env, with functions of ours, without templates within it,
// and with loops over lists alone.
type Template struct {
	Source string
	HTML   bool

	tree   *parse.Tree
	inputs []string // that it sees: all but the secret ones
}

// The names that a checked template has for what is put into it.
const (
	writeName = "_text"
	rangeName = "_list"
)

// Render returns the text. It ends within a bound of steps and of maxText bytes;
// what is larger is an error. So is a name that is not there.
func (t *Template) Render(env Env) (string, error) {
	data := make(map[string]any, len(env))
	for root, v := range env {
		data[root] = v
	}
	given, _ := env["inputs"].(map[string]any)
	inputs := make(map[string]any, len(t.inputs))
	for _, name := range t.inputs {
		inputs[name] = given[name] // one that was not given is nil, and no fault
	}
	data["inputs"] = inputs
	w, b := &cappedWriter{left: maxText}, &budget{left: maxTemplateSteps}
	err := t.execute(w, b, data)
	var exec texttemplate.ExecError
	switch {
	case w.left < 0:
		return "", fmt.Errorf("the %s of the mail: %w", t.name(), errLong)
	case errors.As(err, &exec):
		return "", fmt.Errorf("the %s of the mail, %s", t.name(), execWords(exec.Err.Error()))
	case err != nil:
		return "", fmt.Errorf("the %s of the mail: %w", t.name(), err)
	}
	return w.String(), nil
}

var execError = regexp.MustCompile(`(?s)^template: \w+:(\d+):(\d+): executing "\w+" at <(.*?)>: (?:error calling \w+: )?(.*)$`)

// execWords returns an error of an execution without what only this package knows.
func execWords(text string) string {
	m := execError.FindStringSubmatch(text)
	if m == nil {
		return text
	}
	at, what := " at "+m[3], m[4]
	if strings.HasPrefix(m[3], writeName) || strings.HasPrefix(m[3], rangeName) {
		at = ""
	}
	if strings.HasPrefix(what, "map has no entry for key ") {
		what = "there is no " + strings.TrimPrefix(what, "map has no entry for key ") + `: use index OBJECT "name" where it may be missing`
	}
	return fmt.Sprintf("line %s, column %s%s: %s", m[1], m[2], at, what)
}

func (t *Template) name() string {
	if t.HTML {
		return "html"
	}
	return "text"
}

// execute makes the template anew: html/template changes the tree, and the
// functions are those of one budget.
func (t *Template) execute(w *cappedWriter, b *budget, data map[string]any) error {
	if !t.HTML {
		made, err := texttemplate.New(t.name()).Option("missingkey=error").Funcs(b.functions()).AddParseTree(t.name(), t.tree)
		if err != nil {
			return err
		}
		return made.Execute(w, data)
	}
	made, err := template.New(t.name()).Option("missingkey=error").Funcs(b.functions()).AddParseTree(t.name(), t.tree.Copy())
	if err != nil {
		return err
	}
	return made.Execute(w, data)
}

// template returns n as a template, nil after a fault.
func (p *fileParser) template(n *node, html bool, s *scope) *Template {
	source := p.text(n)
	switch {
	case source == "":
		return nil
	case len(source) > maxTemplate:
		p.fault(n, "the template has %d bytes: make it no longer than %d", len(source), maxTemplate)
		return nil
	case strings.Contains(source, "${{"):
		p.faultIn(n, strings.Index(source, "${{"), "the body of a mail is a template: write {{ .inputs.userId }}, without the $")
		return nil
	}
	t := &Template{Source: source, HTML: html}
	for _, in := range s.inputs {
		if !in.Secret {
			t.inputs = append(t.inputs, in.Name)
		}
	}
	for _, f := range t.compile(s) {
		p.faultIn(n, f.at, "%s", f.text)
	}
	return t
}

// compile parses and checks the template.
func (t *Template) compile(s *scope) []offsetFault {
	tree := parse.New(t.name())
	tree.Mode = parse.SkipFuncCheck // so that ours can be suggested
	set := make(map[string]*parse.Tree)
	if _, err := tree.Parse(t.Source, "", "", set); err != nil {
		return []offsetFault{t.wrong(err)}
	}
	c := &templateChecker{scope: s, tree: tree}
	for name, other := range set {
		if name != t.name() {
			c.fault(other.Root, "templates within a template are not allowed: write its text where it is used")
		}
	}
	if tree.Root == nil {
		return c.faults
	}
	c.list(tree.Root, true, 0, 0)
	if len(c.faults) > 0 {
		return c.faults
	}
	t.tree = tree
	if t.HTML {
		// What is written where decides how it is escaped, which shows with the first
		// use only.
		var unsafe *template.Error
		if err := t.execute(&cappedWriter{}, new(budget), nil); errors.As(err, &unsafe) {
			return []offsetFault{{t.lineStart(unsafe.Line), "this cannot be made safe: " + unsafe.Description}}
		}
	}
	return nil
}

var parseError = regexp.MustCompile(`(?s)^template: [^:]*:(\d+):(?:\d+:)? (.*)$`)

// wrong returns an error of the parser as a fault.
func (t *Template) wrong(err error) offsetFault {
	m := parseError.FindStringSubmatch(err.Error())
	if m == nil {
		return offsetFault{0, "the template is wrong: " + err.Error()}
	}
	line, _ := strconv.Atoi(m[1]) // the expression has digits alone
	return offsetFault{t.lineStart(line), "the template is wrong: " + m[2]}
}

// lineStart returns where a line of the source begins, its indentation passed.
func (t *Template) lineStart(line int) int {
	at := 0
	for ; line > 1; line-- {
		next := strings.IndexByte(t.Source[at:], '\n')
		if next < 0 {
			break
		}
		at += next + 1
	}
	rest := t.Source[at:]
	return at + len(rest) - len(strings.TrimLeft(rest, " \t"))
}

// A templateChecker looks at every node of a template, and puts calls where the
// budget is to be asked. What it does not know it refuses.
type templateChecker struct {
	scope  *scope
	tree   *parse.Tree
	faults []offsetFault
}

func (c *templateChecker) fault(n parse.Node, format string, args ...any) {
	c.faults = append(c.faults, offsetFault{int(n.Position()), fmt.Sprintf(format, args...)})
}

// list checks nodes and returns what it costs to execute them once, without what
// loops in them cost beyond that. root says that the dot is the Env.
func (c *templateChecker) list(list *parse.ListNode, root bool, depth, ranges int) (cost int) {
	if list == nil || len(c.faults) > 10 {
		return 0
	}
	for _, n := range list.Nodes {
		cost++
		switch n := n.(type) {
		case *parse.TextNode:
			cost += len(n.Text) / 64
		case *parse.CommentNode, *parse.BreakNode, *parse.ContinueNode:
		case *parse.ActionNode:
			cost += c.pipe(n.Pipe, root)
			if len(n.Pipe.Decl) == 0 {
				c.call(n.Pipe, writeName)
			}
		case *parse.IfNode:
			cost += c.branch(&n.BranchNode, root, root, depth+1, ranges)
		case *parse.WithNode:
			cost += c.branch(&n.BranchNode, root, false, depth+1, ranges)
		case *parse.RangeNode:
			cost += c.loop(&n.BranchNode, root, depth+1, ranges+1)
		default:
			c.fault(n, "define, block and template are not allowed: write the text where it is used")
		}
	}
	return cost
}

func (c *templateChecker) branch(n *parse.BranchNode, root, inner bool, depth, ranges int) int {
	if !c.shallow(n, depth, ranges) {
		return 0
	}
	cost := c.pipe(n.Pipe, root)
	return cost + c.list(n.List, inner, depth, ranges) + c.list(n.ElseList, root, depth, ranges)
}

func (c *templateChecker) loop(n *parse.BranchNode, root bool, depth, ranges int) int {
	if !c.shallow(n, depth, ranges) {
		return 0
	}
	cost := c.pipe(n.Pipe, root)
	body := 1 + c.list(n.List, false, depth, ranges)
	c.call(n.Pipe, rangeName, &parse.NumberNode{NodeType: parse.NodeNumber, Pos: n.Pos, IsInt: true, Int64: int64(body), Text: strconv.Itoa(body)})
	return cost + c.list(n.ElseList, root, depth, ranges)
}

// shallow reports whether n is not nested too deep, after the fault when it is.
func (c *templateChecker) shallow(n *parse.BranchNode, depth, ranges int) bool {
	switch {
	case depth > maxTemplateDepth:
		c.fault(n, "the template is nested more than %d levels deep: make it flatter", maxTemplateDepth)
	case ranges > maxRanges:
		c.fault(n, "more than %d loops are within each other: make it fewer", maxRanges)
	default:
		return true
	}
	return false
}

// call adds the call of a function to the end of a pipe.
func (c *templateChecker) call(pipe *parse.PipeNode, name string, args ...parse.Node) {
	f := parse.NewIdentifier(name).SetTree(c.tree).SetPos(pipe.Pos)
	pipe.Cmds = append(pipe.Cmds, &parse.CommandNode{NodeType: parse.NodeCommand, Pos: pipe.Pos, Args: append([]parse.Node{f}, args...)})
}

func (c *templateChecker) pipe(pipe *parse.PipeNode, root bool) (cost int) {
	for _, cmd := range pipe.Cmds {
		switch first := cmd.Args[0].(type) {
		case *parse.IdentifierNode:
		case *parse.FieldNode, *parse.VariableNode, *parse.ChainNode:
			if len(cmd.Args) > 1 {
				c.fault(first, "a value cannot be called: use one of the functions %s", strings.Join(templateNames(), ", "))
			}
		}
		for _, arg := range cmd.Args {
			cost += 1 + c.argument(arg, root)
		}
	}
	return cost
}

func (c *templateChecker) argument(n parse.Node, root bool) int {
	switch n := n.(type) {
	case *parse.IdentifierNode:
		switch {
		case slices.Contains(templateNames(), n.Ident):
		case slices.Contains(c.scope.roots(), n.Ident):
			c.fault(n, "there is no function %s: write .%s", n.Ident, n.Ident)
		default:
			c.fault(n, "there is no function %s%s", n.Ident, suggest(n.Ident, templateNames()))
		}
	case *parse.FieldNode:
		if root {
			c.path(n, n.Ident)
		}
		return len(n.Ident)
	case *parse.VariableNode:
		if n.Ident[0] == "$" && len(n.Ident) > 1 {
			c.path(n, n.Ident[1:])
		}
		return len(n.Ident)
	case *parse.ChainNode:
		return len(n.Field) + c.argument(n.Node, root)
	case *parse.PipeNode:
		return c.pipe(n, root)
	case *parse.StringNode, *parse.NumberNode, *parse.BoolNode, *parse.DotNode, *parse.NilNode:
	default:
		c.fault(n, "this is not allowed in a template: use names, and the functions %s", strings.Join(templateNames(), ", "))
	}
	return 0
}

// path checks the names after the root dot.
func (c *templateChecker) path(n parse.Node, names []string) {
	text := c.scope.root(names[0])
	secret := false
	if text == "" && len(names) > 1 {
		text, secret = c.scope.path(names[0], names[1:])
	}
	switch {
	case text != "":
		c.fault(n, "%s", text)
	case secret:
		c.fault(n, "a secret input would be shown in the mail: it can go into the parameters of an action, and the headers and the body of an http step, alone")
	}
}
