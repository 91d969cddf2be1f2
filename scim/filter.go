package scim

import (
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of a filter. A recursion that a client can drive has a bound.
const (
	MaxFilter      = 8 << 10 // bytes
	MaxFilterDepth = 32      // parentheses, brackets and not
	MaxFilterNodes = 200     // comparisons, and, or, not and value paths
)

// An Op is an operator of a filter (RFC 7644 section 3.4.2.2).
type Op uint8

// The operators. Not has its operand on the left; ValuePath holds of a resource
// one of whose values of Attr the filter on the left holds of.
const (
	And Op = iota + 1
	Or
	Not
	ValuePath
	Eq
	Ne
	Co
	Sw
	Ew
	Gt
	Ge
	Lt
	Le
	Pr
)

var opNames = [...]string{And: "and", Or: "or", Not: "not", ValuePath: "[]", Eq: "eq", Ne: "ne", Co: "co", Sw: "sw", Ew: "ew", Gt: "gt", Ge: "ge", Lt: "lt", Le: "le", Pr: "pr"}

func (o Op) String() string { return opNames[o] }

// A Filter is a filter (RFC 7644 section 3.4.2.2, with its errata) bound to a
// Type. It is immutable, and safe for concurrent use.
type Filter struct {
	typ     *Type
	nodes   []Node // the root is the last
	coerced []string
}

// A Node is one operator of a Filter.
type Node struct {
	Op          Op
	Attr        *Attr // of a comparison and a value path
	Value       Value // of a comparison; Null for null
	key         string
	at          time.Time // of a dateTime
	left, right int32
	inner       bool // of a value path: Attr is called by its own name
}

// Root returns the operator that decides.
func (f *Filter) Root() *Node { return &f.nodes[len(f.nodes)-1] }

// Left returns the first operand of and, or, not and a value path.
func (f *Filter) Left(n *Node) *Node { return &f.nodes[n.left] }

// Right returns the second operand of and and or.
func (f *Filter) Right(n *Node) *Node { return &f.nodes[n.right] }

// Coerced returns what was taken though it is against the RFC, as in Notes: the
// boolean attributes that are compared with a text, "True".
func (f *Filter) Coerced() []string { return f.coerced }

// Key returns what a comparison compares with: of text the text, folded where the
// attribute ignores case.
func (n *Node) Key() string { return n.key }

// Uses reports whether f looks at a, an attribute at the top, or at what is below
// it.
func (f *Filter) Uses(a *Attr) bool {
	for i := range f.nodes {
		if n := &f.nodes[i]; n.Attr != nil && n.Attr.Top() == a {
			return true
		}
	}
	return false
}

// String returns the filter in its canonical form, which parses to itself.
func (f *Filter) String() string { return string(f.append(nil, f.Root(), 0)) }

func (f *Filter) append(dst []byte, n *Node, outer Op) []byte {
	switch n.Op {
	case And, Or:
		paren := n.Op == Or && outer == And
		if paren {
			dst = append(dst, '(')
		}
		dst = f.append(dst, f.Left(n), n.Op)
		dst = append(append(append(dst, ' '), n.Op.String()...), ' ')
		right := f.Right(n)
		if right.Op == n.Op { // as it was written: the left one binds first
			dst = append(f.append(append(dst, '('), right, 0), ')')
		} else {
			dst = f.append(dst, right, n.Op)
		}
		if paren {
			dst = append(dst, ')')
		}
		return dst
	case Not:
		return append(f.append(append(dst, "not ("...), f.Left(n), 0), ')')
	case ValuePath:
		dst = append(append(dst, n.Attr.Path...), '[')
		return append(f.append(dst, f.Left(n), 0), ']')
	}
	name := n.Attr.Path
	switch {
	case n.inner && n.Attr.Type != TypeComplex && n.Attr.MultiValued:
		name = "value"
	case n.inner:
		name = n.Attr.Name
	}
	dst = append(append(append(dst, name...), ' '), n.Op.String()...)
	if n.Op != Pr {
		dst = n.Value.AppendJSON(append(dst, ' '))
	}
	return dst
}

// ParseFilter reads a filter and binds it to t. It returns an *Error: 400
// invalidFilter, which says the column and what was expected there, or 403
// sensitive for an attribute that is never returned.
func (t *Type) ParseFilter(s string) (*Filter, error) { return t.parseFilter(s, nil) }

// ParseFilters binds a filter to each of types, for a list of all of them. Of an
// attribute that one of them does not have, though another has, no resource of
// that one has a value (RFC 7644 section 3.4.2.1). Errors are as of ParseFilter.
func ParseFilters(types []*Type, s string) ([]*Filter, error) {
	list := make([]*Filter, len(types))
	for i, t := range types {
		var err error
		if list[i], err = t.parseFilter(s, types); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (t *Type) parseFilter(s string, others []*Type) (*Filter, error) {
	if len(s) > MaxFilter {
		return nil, t.badFilter("longer than %d bytes", MaxFilter)
	}
	p := filterParser{typ: t, others: others, s: s, nodes: make([]Node, 0, 3)}
	if _, err := p.or(); err != nil {
		return nil, err
	}
	if p.space(); p.i < len(s) {
		return nil, p.expected("and, or, or the end")
	}
	return p.filter(), nil
}

func (t *Type) badFilter(format string, args ...any) *Error {
	e := Errorf(400, InvalidFilter, format, args...)
	e.Detail = "Resource [" + strings.ToUpper(t.Name) + "] invalid filter: " + e.Detail
	return e
}

// A filterParser is a recursive descent over the text, without tokens: each
// method reads what it is named after and leaves its node last in nodes.
type filterParser struct {
	typ    *Type
	others []*Type // whose attributes are known too
	s      string
	i      int
	depth  int
	scope  *Attr // inside the brackets of a value path
	nodes  []Node

	coerced []string
}

func (p *filterParser) filter() *Filter {
	return &Filter{typ: p.typ, nodes: p.nodes, coerced: p.coerced}
}

func (p *filterParser) expected(what string) *Error {
	return p.typ.badFilter("at column %d, expected %s", p.i+1, what)
}

func (p *filterParser) space() {
	for p.i < len(p.s) && p.s[p.i] == ' ' {
		p.i++
	}
}

// word reads up to the next blank, bracket or parenthesis.
func (p *filterParser) word() string {
	start := p.i
	for p.i < len(p.s) {
		switch p.s[p.i] {
		case ' ', '(', ')', '[', ']', '"':
			return p.s[start:p.i]
		}
		p.i++
	}
	return p.s[start:]
}

// keyword passes over a word, which ignores case, if it stands next.
func (p *filterParser) keyword(word string) bool {
	p.space()
	end := p.i + len(word)
	if end > len(p.s) || !strings.EqualFold(p.s[p.i:end], word) {
		return false
	}
	if end < len(p.s) && p.s[end] != ' ' && p.s[end] != '(' {
		return false
	}
	p.i = end
	return true
}

func (p *filterParser) char(c byte, what string) error {
	p.space()
	if p.i >= len(p.s) || p.s[p.i] != c {
		return p.expected(what)
	}
	p.i++
	return nil
}

func (p *filterParser) add(n Node) (int32, error) {
	if len(p.nodes) >= MaxFilterNodes {
		return 0, p.typ.badFilter("more than %d comparisons and operators", MaxFilterNodes)
	}
	p.nodes = append(p.nodes, n)
	return int32(len(p.nodes) - 1), nil
}

func (p *filterParser) or() (int32, error) {
	left, err := p.and()
	for err == nil && p.keyword("or") {
		var right int32
		if right, err = p.and(); err == nil {
			left, err = p.add(Node{Op: Or, left: left, right: right})
		}
	}
	return left, err
}

func (p *filterParser) and() (int32, error) {
	left, err := p.operand()
	for err == nil && p.keyword("and") {
		var right int32
		if right, err = p.operand(); err == nil {
			left, err = p.add(Node{Op: And, left: left, right: right})
		}
	}
	return left, err
}

// operand reads a comparison, a value path, a parenthesis, or not before one.
func (p *filterParser) operand() (int32, error) {
	not := p.keyword("not")
	if p.space(); p.i < len(p.s) && p.s[p.i] == '(' {
		n, err := p.nested(')')
		if err == nil && not {
			n, err = p.add(Node{Op: Not, left: n})
		}
		return n, err
	}
	if not {
		return 0, p.expected("( after not")
	}
	return p.comparison()
}

// nested reads a filter between brackets, of which the opening one stands next.
func (p *filterParser) nested(end byte) (int32, error) {
	if p.depth++; p.depth > MaxFilterDepth {
		return 0, p.typ.badFilter("more than %d levels of brackets", MaxFilterDepth)
	}
	p.i++
	n, err := p.or()
	if err == nil {
		err = p.char(end, "and, or, or "+string(end))
	}
	p.depth--
	return n, err
}

func (p *filterParser) comparison() (int32, error) {
	at := p.i
	path := p.word()
	if path == "" {
		return 0, p.expected("an attribute")
	}
	a := p.attr(path)
	if a == nil {
		p.i = at
		return 0, p.typ.badFilter("at column %d, there is no attribute %s", at+1, clip(path))
	}
	if a.never() {
		return 0, Errorf(403, Sensitive, "%s cannot be searched for", a.Path)
	}
	if a.Path == "meta.location" {
		return 0, p.typ.badFilter("meta.location cannot be searched for: compare id")
	}
	if p.i < len(p.s) && p.s[p.i] == '[' {
		return p.valuePath(a)
	}
	return p.operation(a)
}

// attr finds what a path names here: in a value path a sub-attribute, or value
// for the values of a list of simple ones.
func (p *filterParser) attr(path string) *Attr {
	if p.scope == nil {
		a := p.typ.Attr(path)
		for i := 0; a == nil && i < len(p.others); i++ {
			a = p.others[i].Attr(path)
		}
		return a
	}
	if p.scope.Type != TypeComplex {
		if strings.EqualFold(path, "value") {
			return p.scope
		}
		return nil
	}
	return p.scope.Sub(path)
}

// valuePath reads attr[filter], and attr[filter].sub op value, which Entra ID
// sends and means as attr[filter and sub op value].
func (p *filterParser) valuePath(a *Attr) (int32, error) {
	if p.scope != nil || a.Extension || a.Type != TypeComplex && !a.MultiValued {
		return 0, p.typ.badFilter("at column %d, %s has no values to choose from", p.i+1, a.Path)
	}
	p.scope = a
	defer func() { p.scope = nil }()
	n, err := p.nested(']')
	if err != nil {
		return 0, err
	}
	if p.i < len(p.s) && p.s[p.i] == '.' {
		p.i++
		right, err := p.comparison()
		if err != nil {
			return 0, err
		}
		if n, err = p.add(Node{Op: And, left: n, right: right}); err != nil {
			return 0, err
		}
	}
	return p.add(Node{Op: ValuePath, Attr: a, left: n})
}

func (p *filterParser) operation(a *Attr) (int32, error) {
	p.space()
	at := p.i
	word := p.word()
	op := opNamed(word)
	if op == 0 {
		p.i = at
		return 0, p.expected("an operator (eq, ne, co, sw, ew, gt, ge, lt, le, pr)")
	}
	n := Node{Op: op, Attr: a, inner: p.scope != nil}
	if op == Pr {
		return p.add(n)
	}
	if a.Type == TypeComplex {
		// A complex attribute stands for its value, where it has one (RFC 7644
		// section 3.4.2.2, the examples of figure 2).
		if n.Attr = a.Sub("value"); n.Attr == nil || a.Extension {
			return 0, p.typ.badFilter("%s is complex: name one of its sub-attributes", a.Path)
		}
	}
	if err := p.value(&n); err != nil {
		return 0, err
	}
	return p.add(n)
}

func opNamed(word string) Op {
	if len(word) != 2 {
		return 0
	}
	for op := Eq; op <= Pr; op++ {
		if w := opNames[op]; w[0] == word[0]|0x20 && w[1] == word[1]|0x20 {
			return op
		}
	}
	return 0
}

// value reads the literal of a comparison and checks that it, and the operator,
// fit the type of the attribute.
func (p *filterParser) value(n *Node) error {
	p.space()
	at := p.i
	if p.i < len(p.s) && p.s[p.i] == '"' {
		text, err := p.text()
		if err != nil {
			return err
		}
		n.Value = StringValue(text)
	} else {
		switch word := p.word(); {
		case foldName(word) == "true" || foldName(word) == "false": // "True" is seen
			n.Value = BoolValue(foldName(word) == "true")
		case foldName(word) == "null":
			n.Value = Value{kind: Null}
		case isNumber(word):
			n.Value = Value{kind: Number, text: word}
		default:
			p.i = at
			return p.expected(`a value: "text", a number, true, false or null`)
		}
	}
	return p.fit(n, at)
}

// text reads a JSON string.
func (p *filterParser) text() (string, error) {
	start := p.i
	escaped := false
	for p.i++; p.i < len(p.s); p.i++ {
		switch p.s[p.i] {
		case '\\':
			escaped = true
			p.i++
		case '"':
			p.i++
			literal := p.s[start:p.i]
			if escaped || !plainText(literal) {
				b, err := jsontext.AppendUnquote(nil, literal)
				if err != nil {
					p.i = start
					return "", p.expected("a JSON string")
				}
				return string(b), nil
			}
			return literal[1 : len(literal)-1], nil
		}
	}
	p.i = start
	return "", p.expected(`a " at the end of the text`)
}

// plainText reports whether s is ASCII without control characters.
func plainText(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func isNumber(s string) bool {
	return s != "" && jsontext.Value(s).Kind() == '0' && jsontext.Value(s).IsValid()
}

func (p *filterParser) fit(n *Node, at int) error {
	a, kind := n.Attr, n.Value.kind
	bad := func(what string) error {
		return p.typ.badFilter("at column %d, %s is %s: %s", at+1, a.Path, a.Type, what)
	}
	if kind == Null {
		if n.Op != Eq && n.Op != Ne {
			return bad("null goes with eq and ne")
		}
		return nil
	}
	want, ops := String, "eq ne co sw ew gt ge lt le"
	switch a.Type {
	case TypeBoolean:
		want, ops = Bool, "eq ne"
		if kind == String && p.typ.Rules.Tolerant && (foldName(n.Value.text) == "true" || foldName(n.Value.text) == "false") {
			n.Value, kind = BoolValue(foldName(n.Value.text) == "true"), Bool
			note(&p.coerced, a.Path+" (a string)")
		}
	case TypeInteger, TypeDecimal:
		want, ops = Number, "eq ne gt ge lt le"
	case TypeDateTime:
		ops = "eq ne gt ge lt le"
	case TypeBinary:
		ops = "eq ne"
	}
	if kind != want {
		return bad("another kind of value cannot be compared with it")
	}
	if !strings.Contains(ops, n.Op.String()) {
		return bad("its operators are " + ops + " pr")
	}
	switch want {
	case String:
		if a.Type == TypeDateTime {
			var ok bool
			if n.at, ok = parseDateTime(n.Value.text); !ok {
				return bad("expected a date and time such as 2008-01-23T04:56:22Z")
			}
		}
		n.key = a.Key(n.Value.text)
	case Number:
		n.key = numberKey(n.Value.text)
	default:
		n.key = n.Value.text
	}
	return nil
}
