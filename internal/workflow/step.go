package workflow

import (
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/roster-scim/roster"
)

// The bounds of the steps.
const (
	maxSteps       = 200 // of a file, with those within others
	maxDepth       = 8   // of if and for-each within each other
	maxAttempts    = 10
	maxBackoff     = time.Hour
	maxTimeout     = time.Hour
	maxConcurrency = 16
	maxRecipients  = 50 // that are written, in one field
	maxAttachments = 10
	maxHeaders     = 50
)

// kinds are the keys of which a step has one.
var kinds = []string{"action", "email", "http", "if", "for-each", "stop"}

// steps returns the steps in n, and adds to s those that what follows can name.
func (p *fileParser) steps(n *node, s *scope, depth int) []*Step {
	if !p.nonEmpty(n, maxSteps, "the list of steps") {
		return nil
	}
	if depth > maxDepth {
		p.fault(n, "steps are nested more than %d levels deep: make a workflow of its own of some", maxDepth)
		return nil
	}
	var out []*Step
	for _, one := range n.list {
		if p.count++; p.count == maxSteps+1 {
			p.fault(one, "the file has more than %d steps: make a workflow of its own of some", maxSteps)
		}
		if p.count > maxSteps {
			return out
		}
		if step := p.step(one, s, depth); step != nil {
			out = append(out, step)
		}
	}
	return out
}

func (p *fileParser) step(n *node, s *scope, depth int) *Step {
	if !p.is(n, mapNode, "a step") {
		return nil
	}
	var found []string
	for _, k := range kinds {
		if n.get(k) != nil {
			found = append(found, k)
		}
	}
	known := []string{"id", "when", "continue-on-error"}
	if len(found) == 1 {
		known = append(append(known, found[0]), stepKeys[found[0]]...)
	} else {
		known = slices.Concat(known, kinds, []string{"timeout", "retry", "with", "connection", "keep", "then", "else", "as", "concurrency", "steps"})
		p.fault(n, "a step has exactly one of %s: give one of them", strings.Join(kinds, ", "))
	}
	fields := p.object(n, "a step", known...)
	step := &Step{Line: n.line}
	if p.required(n, "a step", "id"); fields["id"] != nil {
		step.ID = p.id(fields["id"], s)
	}
	if t := fields["when"]; t != nil {
		step.When = p.condition(t, s)
	}
	if t := fields["timeout"]; t != nil {
		step.Timeout = p.duration(t, maxTimeout)
	}
	if t := fields["retry"]; t != nil {
		step.Retry = p.retry(t)
	}
	step.ContinueOnError = p.flag(fields["continue-on-error"])
	if len(found) == 1 && fields[found[0]] != nil {
		p.kind(step, found[0], fields, n, s, depth)
	}
	if step.ID != "" {
		s.steps = append(s.steps, step.ID)
	}
	return step
}

// stepKeys are those that a step of a kind can have beside those of every step.
var stepKeys = map[string][]string{
	"action":   {"connection", "with", "keep", "timeout", "retry"},
	"email":    {"timeout", "retry"},
	"http":     {"timeout", "retry"},
	"if":       {"then", "else"},
	"for-each": {"as", "concurrency", "steps"},
}

// kind parses what a step of a kind does.
func (p *fileParser) kind(step *Step, kind string, fields map[string]*node, n *node, s *scope, depth int) {
	t := fields[kind]
	switch kind {
	case "action":
		step.Action = p.action(t, fields, s)
	case "email":
		step.Email = p.email(t, s)
	case "http":
		step.HTTP = p.http(t, s)
	case "if":
		step.If = &IfStep{Cond: p.condition(t, s)}
		p.required(n, "an if", "then")
		then, other := *s, *s
		then.steps, other.steps = slices.Clone(s.steps), slices.Clone(s.steps)
		if t := fields["then"]; t != nil {
			step.If.Then = p.steps(t, &then, depth+1)
		}
		if t := fields["else"]; t != nil {
			step.If.Else = p.steps(t, &other, depth+1)
		}
		s.steps = append(then.steps, other.steps[len(s.steps):]...)
	case "for-each":
		step.ForEach = p.forEach(t, fields, n, s, depth)
	case "stop":
		step.Stop = p.stop(t, s)
	}
}

// id returns the id of a step, "" after a fault.
func (p *fileParser) id(n *node, s *scope) string {
	id := p.text(n)
	switch {
	case id == "":
	case !word.MatchString(id):
		p.fault(n, "an id has letters, digits and _, and begins with no digit: write it such as update_user")
	case p.names[id]:
		p.fault(n, "another step has the id %s: give each its own", id)
	default:
		p.names[id] = true
		return id
	}
	return ""
}

func (p *fileParser) retry(n *node) Retry {
	fields := p.object(n, "retry", "attempts", "backoff", "on")
	if fields == nil {
		return Retry{}
	}
	p.required(n, "retry", "attempts")
	var r Retry
	if t := fields["attempts"]; t != nil {
		r.Attempts = p.integer(t, 1, maxAttempts)
	}
	if t := fields["backoff"]; t != nil {
		r.Backoff = p.duration(t, maxBackoff)
	}
	if t := fields["on"]; t != nil {
		known := []string{"temporary", "conflict", "timeout", "any"}
		r.On = p.list(t, len(known), "on")
		for i, class := range r.On {
			if !slices.Contains(known, class) {
				p.fault(item(t, i), "there is no class of errors %s%s", class, suggest(class, known))
			}
		}
	}
	return r
}

func (p *fileParser) forEach(in *node, fields map[string]*node, n *node, s *scope, depth int) *ForEachStep {
	f := &ForEachStep{In: p.expression(in, s), As: "item", Concurrency: 1}
	if e := f.In; e != nil {
		if e.kind != nullNode && e.kind != listNode {
			p.fault(in, "a for-each goes through a list, and this is %s: give a list", e.kind)
		}
		if e.secret {
			p.fault(in, "a secret input cannot be gone through: its items would be shown")
		}
	}
	if s.item != "" {
		p.fault(n, "a for-each is within another one: make a list of both first, or a workflow of its own")
	}
	p.required(n, "a for-each", "steps")
	inner := *s
	inner.steps = slices.Clone(s.steps)
	if t := fields["as"]; t != nil {
		f.As = p.text(t)
		taken := append(s.roots(), "error")
		switch {
		case f.As == "":
		case !word.MatchString(f.As):
			p.fault(t, "a name has letters, digits and _, and begins with no digit: write it such as user")
		case slices.Contains(taken, f.As), functions[f.As] != nil, slices.Contains([]string{"nil", "true", "false", "not", "and", "or", "in", "let", "if", "else"}, f.As):
			p.fault(t, "the name %s is taken: choose another one", f.As)
		}
	}
	inner.item = f.As
	if t := fields["concurrency"]; t != nil {
		f.Concurrency = p.integer(t, 1, maxConcurrency)
	}
	if t := fields["steps"]; t != nil {
		f.Steps = p.steps(t, &inner, depth+1)
	}
	return f
}

func (p *fileParser) stop(n *node, s *scope) *StopStep {
	fields := p.object(n, "a stop", "failed", "message")
	if s.item != "" {
		p.fault(n, "a stop is within a for-each, whose items do not end the run: put it after it")
	}
	stop := &StopStep{Failed: p.flag(fields["failed"])}
	if t := fields["message"]; t != nil {
		stop.Message = p.textValue(t, s)
		p.notSecret(stop.Message, t)
	}
	return stop
}

// textValue is value of what must be a text.
func (p *fileParser) textValue(n *node, s *scope) *Value {
	if n.kind == listNode || n.kind == mapNode {
		p.fault(n, "this must be a text, not %s", n.kind)
		return nil
	}
	return p.value(n, s)
}

func (p *fileParser) email(n *node, s *scope) *EmailStep {
	fields := p.object(n, "an email", "to", "cc", "bcc", "reply-to", "subject", "text", "html", "attach")
	if fields == nil {
		return nil
	}
	p.required(n, "an email", "to", "subject", "text")
	e := &EmailStep{
		To:  p.recipients(fields["to"], s),
		Cc:  p.recipients(fields["cc"], s),
		Bcc: p.recipients(fields["bcc"], s),
	}
	if t := fields["reply-to"]; t != nil {
		e.ReplyTo = p.textValue(t, s)
		p.notSecret(e.ReplyTo, t)
		p.address(e.ReplyTo, t)
	}
	if t := fields["subject"]; t != nil {
		e.Subject = p.textValue(t, s)
		p.notSecret(e.Subject, t)
		if strings.Contains(strings.TrimRight(t.text, "\n"), "\n") {
			p.fault(t, "a subject is one line: make it one")
		}
	}
	if t := fields["text"]; t != nil {
		e.Text = p.template(t, false, s)
	}
	if t := fields["html"]; t != nil {
		e.HTML = p.template(t, true, s)
	}
	if t := fields["attach"]; t != nil && p.nonEmpty(t, maxAttachments, "attach") {
		for _, one := range t.list {
			e.Attach = append(e.Attach, p.attachment(one, s))
		}
	}
	return e
}

func (p *fileParser) attachment(n *node, s *scope) (a Attachment) {
	fields := p.object(n, "an attachment", "name", "content")
	if fields == nil {
		return a
	}
	p.required(n, "an attachment", "name", "content")
	if t := fields["name"]; t != nil {
		if a.Name = p.text(t); strings.ContainsAny(a.Name, "/\\\n") || strings.Contains(a.Name, "${{") || len(a.Name) > 200 {
			p.fault(t, "the name of an attachment is a plain file name of at most 200 bytes: write it such as result.json")
		}
	}
	if t := fields["content"]; t != nil {
		a.Content = p.value(t, s)
		p.notSecret(a.Content, t)
	}
	return a
}

// recipients returns the addresses in n, a text or a list of texts; n may be nil.
func (p *fileParser) recipients(n *node, s *scope) []*Value {
	switch {
	case n == nil:
		return nil
	case n.kind == textNode:
		n = &node{kind: listNode, line: n.line, column: n.column, list: []*node{n}}
	case !p.nonEmpty(n, maxRecipients, "the recipients"):
		return nil
	}
	var out []*Value
	for _, one := range n.list {
		if !p.is(one, textNode, "a recipient") {
			continue
		}
		v := p.value(one, s)
		p.notSecret(v, one)
		p.address(v, one)
		out = append(out, v)
	}
	return out
}

// address checks what is written as an address, or as some with commas between
// them.
func (p *fileParser) address(v *Value, n *node) {
	if text, ok := v.constant(); ok {
		if _, err := mail.ParseAddressList(text); err != nil {
			p.fault(n, "%q is no e-mail address: write it such as ada@corp.example", text)
		}
	}
}

// headerName is a field name of RFC 9110 section 5.1.
var headerName = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$")

func (p *fileParser) http(n *node, s *scope) *HTTPStep {
	fields := p.object(n, "http", "method", "url", "headers", "body", "accept")
	if fields == nil {
		return nil
	}
	p.required(n, "http", "url")
	h := &HTTPStep{Method: "GET"}
	if t := fields["method"]; t != nil {
		h.Method = p.oneOf(t, "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")
	}
	if t := fields["url"]; t != nil {
		h.URL = p.textValue(t, s)
		p.notSecret(h.URL, t)
		if text, ok := h.URL.constant(); ok {
			if u, err := url.Parse(text); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
				p.fault(t, "%q is no URL that can be asked: write it such as https://hooks.corp.example/users, and a key as a header", text)
			}
		}
	}
	if t := fields["headers"]; t != nil {
		h.Headers = p.named(t, s, maxHeaders, "")
		for _, header := range h.Headers {
			at := t.get(header.Name)
			switch name := strings.ToLower(header.Name); {
			case !headerName.MatchString(header.Name):
				p.fault(at, "%q is no name of a header: write it such as Content-Type", header.Name)
			case slices.Contains([]string{"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer"}, name):
				p.fault(at, "the header %s is set for you: remove it", header.Name)
			case at.kind == listNode, at.kind == mapNode:
				p.fault(at, "a header must be a text, not %s", at.kind)
			case strings.Contains(at.text, "\n"):
				p.fault(at, "a header is one line: make it one")
			}
		}
	}
	if t := fields["body"]; t != nil {
		h.Body = p.value(t, s)
		if h.Method == "GET" || h.Method == "HEAD" {
			p.fault(t, "a %s has no body: remove it, or use POST", h.Method)
		}
	}
	if t := fields["accept"]; t != nil && p.nonEmpty(t, 50, "accept") {
		for _, one := range t.list {
			h.Accept = append(h.Accept, p.integer(one, 200, 599))
		}
	}
	return h
}

// connection returns the name of the connection of an action, which must be
// declared.
func (p *fileParser) connection(n *node) string {
	if n == nil {
		return roster.LocalConnection
	}
	name := p.text(n)
	if name != "" && name != roster.LocalConnection && !slices.Contains(p.file.Connections, name) {
		known := append([]string{roster.LocalConnection}, p.file.Connections...)
		p.fault(n, "the connection %s is not declared%s; or add it to connections", name, suggest(name, known))
	}
	return name
}

// constant returns a text without expressions.
func (v *Value) constant() (string, bool) {
	if v == nil || v.dynamic {
		return "", false
	}
	text, ok := v.literal.(string)
	return text, ok
}
