package workflow

import (
	"slices"
	"strconv"
	"time"
)

// fault adds a fault at n.
func (p *fileParser) fault(n *node, format string, args ...any) {
	p.document.fault(n.line, n.column, format, args...)
}

// faultIn adds a fault at a byte offset of the text of n.
func (p *fileParser) faultIn(n *node, offset int, format string, args ...any) {
	line, column := n.line, n.column
	if n.kind == textNode {
		line, column = p.within(n, offset)
	}
	p.document.fault(line, column, format, args...)
}

// object returns the members of n, which must be an object with none but the
// known keys. nil: it is not.
func (p *fileParser) object(n *node, what string, known ...string) map[string]*node {
	if !p.is(n, mapNode, what) {
		return nil
	}
	fields := make(map[string]*node)
	for _, e := range n.entries {
		if !slices.Contains(known, e.key.text) {
			p.fault(e.key, "%s has no %s%s", what, e.key.text, suggest(e.key.text, known))
			continue
		}
		if e.value.kind == nullNode && e.key.text != "default" {
			p.fault(e.key, "%s has no value: give it one, or remove it", e.key.text)
			continue
		}
		fields[e.key.text] = e.value
	}
	return fields
}

// required adds a fault for each of the keys that n has not.
func (p *fileParser) required(n *node, what string, keys ...string) {
	for _, key := range keys {
		if n.get(key) == nil {
			p.fault(n, "%s needs %s: add it", what, key)
		}
	}
}

// is reports whether n is of a kind, after the fault when it is not.
func (p *fileParser) is(n *node, k kind, what string) bool {
	if n.kind != k {
		p.fault(n, "%s must be %s, not %s", what, k, n.kind)
	}
	return n.kind == k
}

// text returns a text that is not empty, "" after a fault.
func (p *fileParser) text(n *node) string {
	if p.is(n, textNode, "this") && n.text == "" {
		p.fault(n, "this is empty: give it a text, or remove it")
	}
	return n.text
}

func (p *fileParser) words(n *node) string {
	text := p.text(n)
	if len(text) > maxWords {
		p.fault(n, "this has %d bytes: make it no longer than %d", len(text), maxWords)
	}
	return text
}

// oneOf returns one of a few texts, "" after a fault.
func (p *fileParser) oneOf(n *node, known ...string) string {
	text := p.text(n)
	if text != "" && !slices.Contains(known, text) {
		p.fault(n, "there is no %s here%s", text, suggest(text, known))
		return ""
	}
	return text
}

// flag returns true or false; n may be nil, which is false.
func (p *fileParser) flag(n *node) bool {
	return n != nil && p.is(n, boolNode, "this") && string(n.json) == "true"
}

// integer returns a number within bounds, the lower one after a fault.
func (p *fileParser) integer(n *node, least, most int) int {
	if !p.is(n, numberNode, "this") {
		return least
	}
	i, err := strconv.Atoi(string(n.json))
	if err != nil || i < least || i > most {
		p.fault(n, "this must be a whole number from %d to %d", least, most)
		return least
	}
	return i
}

// duration returns a span of time within bounds, 0 after a fault.
func (p *fileParser) duration(n *node, most time.Duration) time.Duration {
	if n.kind == numberNode {
		p.fault(n, "a span of time needs a unit: write it such as 30s, 5m or 1h")
		return 0
	}
	text := p.text(n)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		p.fault(n, "%q is no span of time: write it such as 30s, 5m or 1h", text)
		return 0
	case d <= 0 || d > most:
		p.fault(n, "this must be more than 0 and at most %s", short(most))
		return 0
	}
	return d
}

// short words a span of whole minutes or hours.
func short(d time.Duration) string {
	if d%time.Hour == 0 {
		return strconv.Itoa(int(d/time.Hour)) + "h"
	}
	return strconv.Itoa(int(d/time.Minute)) + "m"
}

// nonEmpty reports whether n is a list of 1 to most items, after the fault when
// it is not.
func (p *fileParser) nonEmpty(n *node, most int, what string) bool {
	switch {
	case !p.is(n, listNode, what):
		return false
	case len(n.list) == 0:
		p.fault(n, "%s is an empty list: fill it, or remove it", what)
		return false
	case len(n.list) > most:
		p.fault(n, "%s has %d items: make it no more than %d", what, len(n.list), most)
		return false
	}
	return true
}

// list returns a list of texts, each once. A lone text is a list of it.
func (p *fileParser) list(n *node, most int, what string) []string {
	if n.kind == textNode {
		n.list, n.kind = []*node{{kind: textNode, line: n.line, column: n.column, start: n.start, text: n.text, json: n.json}}, listNode
	}
	if !p.nonEmpty(n, most, what) {
		return nil
	}
	var out []string
	for _, one := range n.list {
		if text := p.text(one); slices.Contains(out, text) {
			p.fault(one, "%s is here twice: remove one of them", text)
		} else {
			out = append(out, text)
		}
	}
	return out
}

// item returns the i-th item of a list, or the list itself.
func item(n *node, i int) *node {
	if i < len(n.list) {
		return n.list[i]
	}
	return n
}
