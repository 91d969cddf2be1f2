package workflow

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// The bounds of a file, before anything is known of what it says.
const (
	maxSource  = 256 << 10
	maxLevels  = 40   // of lists and objects within each other
	maxMembers = 1000 // of one object
	// maxTokens bounds the words and signs of YAML: the library takes time in the
	// square of some of them.
	maxTokens = 20_000
	// maxBlank bounds the blank lines in a row, of whose bytes it takes time in the
	// square too.
	maxBlank = 100
	maxFault = 500 // bytes of the text of a fault, which may repeat what is written
)

// A kind is that of a node.
type kind int

const (
	nullNode kind = iota
	boolNode
	numberNode
	textNode
	listNode
	mapNode
)

func (k kind) String() string {
	return [...]string{"nothing", "true or false", "a number", "a text", "a list", "an object"}[k]
}

// A node is one value of a YAML document, with nothing left of YAML's own
// devices: no anchors, tags or merges.
type node struct {
	kind         kind
	line, column int
	text         string         // of a text, as it is meant
	json         jsontext.Value // of a scalar
	start        int            // of a text: where it begins in the source, or just before
	list         []*node
	entries      []entry
}

// An entry is one member of an object. The same key may be there twice only
// where a fault says so.
type entry struct {
	key   *node
	value *node
}

// get returns the value of a key, nil when there is none.
func (n *node) get(key string) *node {
	for _, e := range n.entries {
		if e.key.text == key {
			return e.value
		}
	}
	return nil
}

// A document is a parsed YAML document with its source.
type document struct {
	source string
	lines  []int // where each begins in source
	faults Faults
}

// readYAML returns the one document in source, nil when it cannot be read, and
// keeps the faults in d. It takes the part of YAML that says one thing in one
// way: no anchors, aliases, tags, merge keys, directives or complex keys.
func readYAML(source []byte) (d *document, root *node) {
	d = &document{source: strings.ReplaceAll(strings.TrimPrefix(string(source), "\ufeff"), "\r\n", "\n")}
	d.lines = []int{0}
	for i := range len(d.source) {
		if d.source[i] == '\n' {
			d.lines = append(d.lines, i+1)
		}
	}
	if len(source) > maxSource {
		d.fault(1, 1, "the file has %d bytes: make it no larger than %d", len(source), maxSource)
		return d, nil
	}
	if !d.plain() {
		return d, nil
	}
	file, err := d.parse()
	var syntax yaml.Error
	switch {
	case errors.As(err, &syntax) && syntax.GetToken() != nil:
		at := syntax.GetToken().Position
		cure := ""
		if strings.Contains(d.line(at.Line), "${{") {
			cure = "; within { } and [ ], a text with ${{ }} must be in quotes"
		}
		what := syntax.GetMessage()
		if line := d.line(at.Line); strings.Contains(line[:len(line)-len(strings.TrimLeft(line, " \t"))], "\t") {
			what = "the line begins with a tab: indent with spaces"
		}
		d.fault(at.Line, at.Column, "this is no YAML: %s%s", what, cure)
		return d, nil
	case err != nil:
		d.fault(1, 1, "this is no YAML: %v", err)
		return d, nil
	case file == nil:
		return d, nil
	}
	for _, one := range file.Docs {
		if one.Body == nil {
			continue
		}
		if root != nil {
			d.fault(root.line, root.column, "the file has more than one document: put each workflow in a file of its own")
			return d, nil
		}
		root = d.node(one.Body)
	}
	if root == nil {
		d.fault(1, 1, "the file is empty: a workflow needs a name and steps")
	}
	return d, root
}

// plain reports whether the source is text alone and bounded in its blank lines,
// after the fault where it is not.
func (d *document) plain() bool {
	for i, r := range d.source {
		if r == utf8.RuneError && strings.HasPrefix(d.source[i:], "\ufffd") {
			continue // written so
		}
		if r == utf8.RuneError || unicode.IsControl(r) && r != '\n' && r != '\t' {
			line, column := d.position(i)
			d.fault(line, column, "a byte here is no text: save the file as UTF-8 without control characters")
			return false
		}
	}
	blank := 0
	for i := range d.lines {
		if strings.TrimSpace(d.line(i+1)) != "" {
			blank = 0
		} else if blank++; blank > maxBlank {
			d.fault(i+1, 1, "there are more than %d blank lines in a row: leave some out", maxBlank)
			return false
		}
	}
	return true
}

// parse returns the syntax tree, nil when the tokens alone have faults. The
// library recurses into what is nested and keeps a path of each value, so that
// the tokens are looked through first.
func (d *document) parse() (file *ast.File, err error) {
	defer func() {
		// The library is not ours: what makes it panic is a faulty file, not the end
		// of the process.
		if r := recover(); r != nil {
			file, err = nil, fmt.Errorf("it cannot be read: write it in a simpler form")
		}
	}()
	tokens := lexer.Tokenize(d.source)
	if !d.allowed(tokens) {
		return nil, nil
	}
	return parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
}

// refusedTokens are the tokens that a file may not have.
var refusedTokens = map[token.Type]string{
	token.AnchorType:     "anchors (&) are not allowed: write the value where it is used",
	token.AliasType:      "aliases (*) are not allowed: write the value itself, or put the text in quotes",
	token.TagType:        "tags (!) are not allowed: leave it out, or put the text in quotes",
	token.MergeKeyType:   "merge keys (<<) are not allowed: write the members themselves",
	token.DirectiveType:  "directives (%) are not allowed: leave it out",
	token.MappingKeyType: "complex keys (?) are not allowed: write key: value",
}

// allowed reports whether tokens can be parsed, after the faults of those that
// cannot.
func (d *document) allowed(tokens token.Tokens) bool {
	if len(tokens) > maxTokens {
		at := tokens[maxTokens].Position
		d.fault(at.Line, at.Column, "the file has more than %d words and signs of YAML: make it smaller", maxTokens)
		return false
	}
	before, flow := len(d.faults), 0
	var columns []int // of the block collections that are open
	for i, t := range tokens {
		if t.Type == token.DocumentHeaderType && i > 0 && tokens[i-1].Type != token.CommentType {
			d.fault(t.Position.Line, t.Position.Column, "the file has more than one document: put each workflow in a file of its own")
			return false
		}
		if text, no := refusedTokens[t.Type]; no {
			d.fault(t.Position.Line, t.Position.Column, "%s", text)
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.SequenceEntryType, token.MappingValueType:
			if flow > 0 {
				continue
			}
			at := t.Position.Column
			if t.Type == token.MappingValueType && t.Prev != nil && t.Prev.Position.Line == t.Position.Line {
				at = t.Prev.Position.Column // the key's
			}
			for len(columns) > 0 && columns[len(columns)-1] >= at {
				columns = columns[:len(columns)-1]
			}
			columns = append(columns, at)
		}
		if flow+len(columns) > maxLevels {
			d.fault(t.Position.Line, t.Position.Column, "this is nested more than %d levels deep: make it flatter", maxLevels)
			return false
		}
		if len(d.faults)-before >= maxFaults {
			break
		}
	}
	return len(d.faults) == before
}

// node returns n as a node. It recurses as deep as the file is nested.
func (d *document) node(n ast.Node) *node {
	at := n.GetToken().Position
	out := &node{line: at.Line, column: at.Column, start: d.offset(at.Line, at.Column)}
	switch n := n.(type) {
	case *ast.NullNode:
		out.json = jsontext.Value("null")
	case *ast.BoolNode:
		out.kind, out.json = boolNode, jsontext.Value("false")
		if n.Value {
			out.json = jsontext.Value("true")
		}
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		out.kind, out.json = numberNode, jsontext.Value(n.GetToken().Value)
		if !out.json.IsValid() {
			d.fault(out.line, out.column, "%q is no number as JSON writes them: write it so, or put it in quotes when it is a text", n.GetToken().Value)
			out.json = jsontext.Value("0")
		}
	case *ast.StringNode:
		d.text(out, n.Value)
	case *ast.LiteralNode:
		d.text(out, n.Value.Value)
		if header := d.source[out.start:]; strings.Contains(header, "\n") {
			out.start += strings.IndexByte(header, '\n')
		}
	case *ast.MappingNode:
		out.kind = mapNode
		for _, m := range n.Values {
			d.entry(out, m)
		}
		if len(out.entries) > 0 && !n.IsFlowStyle {
			out.line, out.column = out.entries[0].key.line, out.entries[0].key.column
		}
	case *ast.MappingValueNode:
		out.kind = mapNode
		d.entry(out, n)
		out.line, out.column = out.entries[0].key.line, out.entries[0].key.column
	case *ast.SequenceNode:
		out.kind = listNode
		for _, v := range n.Values {
			out.list = append(out.list, d.node(v))
		}
	default:
		d.fault(out.line, out.column, "this form of YAML is not allowed: write a text, a number, a list or an object")
		out.json = jsontext.Value("null")
	}
	return out
}

func (d *document) text(out *node, text string) {
	out.kind, out.text = textNode, text
	out.json, _ = jsontext.AppendQuote(nil, text) // plain has seen that it is UTF-8
}

// entry adds a member to an object.
func (d *document) entry(out *node, m *ast.MappingValueNode) {
	key := d.node(m.Key)
	if key.kind != textNode {
		if key.kind == listNode || key.kind == mapNode {
			d.fault(key.line, key.column, "a key must be a text")
		}
		d.text(key, m.Key.GetToken().Value) // as "on" and 7 are
	}
	if first := out.get(key.text); first != nil {
		d.fault(key.line, key.column, "%s is here twice: remove one of them", key.text)
		return
	}
	if len(out.entries) == maxMembers {
		d.fault(key.line, key.column, "this object has more than %d members: make it smaller", maxMembers)
		return
	}
	value := d.node(m.Value)
	if value.kind == nullNode { // what is not there has no place of its own
		value.line, value.column = key.line, key.column
	}
	out.entries = append(out.entries, entry{key, value})
}

func (d *document) fault(line, column int, format string, args ...any) {
	if len(d.faults) < 10*maxFaults { // more than will be told, so that the first of the file are among them
		text := fmt.Sprintf(format, args...)
		if len(text) > maxFault {
			text = strings.ToValidUTF8(text[:maxFault], "") + "…"
		}
		d.faults = append(d.faults, Fault{max(line, 1), max(column, 1), text})
	}
}

// line returns the text of a line.
func (d *document) line(n int) string {
	text, _, _ := strings.Cut(d.source[d.offset(n, 1):], "\n")
	return text
}

// offset returns where a line and column begin in the source.
func (d *document) offset(line, column int) int {
	if line < 1 || line > len(d.lines) {
		return len(d.source)
	}
	at := d.lines[line-1]
	for ; column > 1 && at < len(d.source) && d.source[at] != '\n'; column-- {
		_, size := utf8.DecodeRuneInString(d.source[at:])
		at += size
	}
	return at
}

// position returns the line and column of an offset of the source.
func (d *document) position(offset int) (line, column int) {
	line, found := slices.BinarySearch(d.lines, offset)
	if found {
		line++
	}
	return line, utf8.RuneCountInString(d.source[d.lines[line-1]:offset]) + 1
}

// within returns the line and column of the character at a byte offset of a
// text. Its characters are found again in the source in their order, past the
// indentation, line ends and escapes that YAML has taken away; where that fails,
// it is where the text begins.
func (d *document) within(n *node, offset int) (line, column int) {
	if len(d.faults) > maxFaults { // it takes a pass over the text
		return n.line, n.column
	}
	at := n.start
	for i, r := range n.text {
		past := i >= offset
		if past || !unicode.IsSpace(r) {
			next := strings.IndexRune(d.source[at:], r)
			if next < 0 || next > 1000 {
				return n.line, n.column
			}
			at += next
		}
		if past {
			return d.position(at)
		}
		if !unicode.IsSpace(r) {
			at += utf8.RuneLen(r)
		}
	}
	return d.position(at)
}
