package workflow

import (
	"regexp"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster"
)

// The bounds of what a file may say.
const (
	maxInputs   = 100
	maxTriggers = 20
	maxOutputs  = 100
	maxWords    = 1000 // bytes of a description
	maxValues   = 100  // of an input
)

var (
	fileName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	// word is what expressions and templates can write after a dot.
	word = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)
)

// A fileParser turns a document into a File. What is faulty it leaves out, and
// goes on.
type fileParser struct {
	*document
	file        *File
	all         map[string]bool // ids of the file's steps: whether a for-each has it
	count       int             // of steps
	expressions int
	names       map[string]bool // ids that have been seen
}

// Parse returns the workflow in source, which has been checked as far as that
// goes without running it. An error is Faults, all of them at once.
func Parse(source []byte) (*File, error) {
	d, root := readYAML(source)
	p := &fileParser{document: d, file: new(File), all: make(map[string]bool), names: make(map[string]bool)}
	if root != nil {
		p.parse(root)
	}
	if len(p.faults) > 0 {
		return nil, p.faults.sorted()
	}
	return p.file, nil
}

func (p *fileParser) parse(root *node) {
	f := p.file
	fields := p.object(root, "a workflow", "name", "description", "inputs", "connections", "triggers", "steps", "on-error", "outputs")
	if fields == nil {
		return
	}
	p.required(root, "a workflow", "name", "steps")
	if n := fields["name"]; n != nil {
		if f.Name = p.text(n); f.Name != "" && !fileName.MatchString(f.Name) {
			p.fault(n, "a name has 1 to 63 of a-z, 0-9 and -, and does not begin with -: write it so, as in update-user-and-email")
		}
	}
	if n := fields["description"]; n != nil {
		f.Description = p.words(n)
	}
	p.inputs(fields["inputs"])
	p.connections(fields["connections"])

	p.mark(fields["steps"], false)
	p.mark(fields["on-error"], false)
	p.triggers(fields["triggers"])
	s := &scope{inputs: f.Inputs, all: p.all}
	if n := fields["steps"]; n != nil {
		f.Steps = p.steps(n, s, 1)
	}
	main := *s
	s.onError = true
	if n := fields["on-error"]; n != nil {
		f.OnError = p.steps(n, s, 1)
	}
	if n := fields["outputs"]; n != nil {
		f.Outputs = p.named(n, &main, maxOutputs, "an output")
		p.public(f.Outputs, n)
	}
}

// mark notes the ids of the steps in n, and those in them, so that a text about a
// name that cannot be used can say why.
func (p *fileParser) mark(n *node, inLoop bool) {
	if n == nil {
		return
	}
	for _, step := range n.list {
		if id := step.get("id"); id != nil && id.text != "" {
			p.all[id.text] = inLoop
		}
		p.mark(step.get("then"), inLoop)
		p.mark(step.get("else"), inLoop)
		p.mark(step.get("steps"), true)
	}
}

func (p *fileParser) inputs(n *node) {
	if n == nil || !p.is(n, mapNode, "the inputs") {
		return
	}
	if len(n.entries) > maxInputs {
		p.fault(n, "there are more than %d inputs: take an object as one of them", maxInputs)
		return
	}
	for _, e := range n.entries {
		in := Input{Name: e.key.text, Type: "any"}
		if !word.MatchString(in.Name) {
			p.fault(e.key, "the name of an input has letters, digits and _, and begins with no digit: write it such as userId")
		}
		fields := p.object(e.value, "an input", "type", "description", "required", "secret", "default", "values")
		if fields == nil {
			continue
		}
		p.required(e.value, "an input", "type")
		if t := fields["type"]; t != nil {
			in.Type = p.oneOf(t, "string", "boolean", "integer", "object", "array", "any")
		}
		if t := fields["description"]; t != nil {
			in.Description = p.words(t)
		}
		in.Required = p.flag(fields["required"])
		in.Secret = p.flag(fields["secret"])
		if in.Secret && in.Type != "string" {
			p.fault(fields["secret"], "a secret input is of type string: make it one")
		}
		if t := fields["values"]; t != nil {
			in.Values = p.list(t, maxValues, "values")
			if in.Type != "string" {
				p.fault(t, "values are those of an input of type string: remove them, or make it one")
			}
		}
		if t := fields["default"]; t != nil {
			p.defaultOf(&in, t)
		}
		p.file.Inputs = append(p.file.Inputs, in)
	}
}

func (p *fileParser) defaultOf(in *Input, n *node) {
	if in.Secret {
		p.fault(n, "a secret has no default, which all who see the file would see: leave it out")
		return
	}
	if in.Required {
		p.fault(n, "what is required needs no default: remove one of them")
	}
	in.Default = p.json(n)
	if in.Type == "" {
		return
	}
	if text := in.fault(in.Default); text != "" {
		p.fault(n, "the default must be %s", text)
	}
}

// json returns n as JSON, as it is written: there are no expressions in it.
func (p *fileParser) json(n *node) jsontext.Value {
	switch n.kind {
	case listNode:
		out := jsontext.Value{'['}
		for i, one := range n.list {
			if i > 0 {
				out = append(out, ',')
			}
			out = append(out, p.json(one)...)
		}
		return append(out, ']')
	case mapNode:
		out := jsontext.Value{'{'}
		for i, e := range n.entries {
			if i > 0 {
				out = append(out, ',')
			}
			out = append(append(append(out, e.key.json...), ':'), p.json(e.value)...)
		}
		return append(out, '}')
	}
	return n.json
}

func (p *fileParser) connections(n *node) {
	if n == nil {
		return
	}
	for _, name := range p.list(n, 50, "connections") {
		if name != roster.LocalConnection && !slices.Contains(p.file.Connections, name) {
			p.file.Connections = append(p.file.Connections, name)
		}
	}
}

// triggers parses the triggers, whose expressions know of no inputs: they make
// them.
func (p *fileParser) triggers(n *node) {
	if n == nil || !p.nonEmpty(n, maxTriggers, "triggers") {
		return
	}
	s := &scope{trigger: true}
	for _, one := range n.list {
		fields := p.object(one, "a trigger", "event", "schedule", "inputs")
		if fields == nil {
			continue
		}
		var t Trigger
		switch event, schedule := fields["event"], fields["schedule"]; {
		case event != nil && schedule != nil, event == nil && schedule == nil:
			p.fault(one, "a trigger is either an event or a schedule: give one of them")
		case event != nil:
			t.Event = p.event(event, s)
		default:
			t.Schedule = p.schedule(schedule)
		}
		if in := fields["inputs"]; in != nil {
			t.Inputs = p.triggerInputs(in, s)
		}
		for _, in := range p.file.Inputs {
			if in.Required && in.Secret {
				p.fault(one, "the input %s is required and secret, so that no trigger can give it: use a connection", in.Name)
			} else if in.Required && (fields["inputs"] == nil || fields["inputs"].get(in.Name) == nil) {
				p.fault(one, "the input %s is required: give it under inputs of the trigger", in.Name)
			}
		}
		p.file.Triggers = append(p.file.Triggers, t)
	}
}

func (p *fileParser) event(n *node, s *scope) *EventTrigger {
	fields := p.object(n, "an event", "type", "operations", "attributes", "when", "own")
	if fields == nil {
		return nil
	}
	e := new(EventTrigger)
	if t := fields["type"]; t != nil {
		e.ResourceType = p.text(t)
	}
	if t := fields["operations"]; t != nil {
		known := []string{string(roster.OpCreate), string(roster.OpReplace), string(roster.OpPatch), string(roster.OpDelete), string(roster.OpRestore)}
		e.Operations = p.list(t, len(known), "operations")
		for i, op := range e.Operations {
			if !slices.Contains(known, op) {
				p.fault(item(t, i), "there is no operation %s%s", op, suggest(op, known))
			}
		}
	}
	if t := fields["attributes"]; t != nil {
		e.Attributes = p.list(t, 100, "attributes")
	}
	if t := fields["when"]; t != nil {
		e.When = p.condition(t, s)
	}
	e.Own = p.flag(fields["own"])
	return e
}

func (p *fileParser) schedule(n *node) *Schedule {
	fields := p.object(n, "a schedule", "cron", "timezone")
	if fields == nil {
		return nil
	}
	p.required(n, "a schedule", "cron")
	s := new(Schedule)
	if t := fields["timezone"]; t != nil {
		s.TimeZone = p.text(t)
		if _, err := (&Schedule{Cron: "@daily", TimeZone: s.TimeZone}).parse(); err != nil {
			p.fault(t, "%v", err)
		}
	}
	if t := fields["cron"]; t != nil {
		if s.Cron = p.text(t); s.Cron != "" {
			if _, err := (&Schedule{Cron: s.Cron}).parse(); err != nil {
				p.fault(t, "%v", err)
			}
		}
	}
	return s
}

func (p *fileParser) triggerInputs(n *node, s *scope) []Output {
	out := p.named(n, s, maxInputs, "an input")
	declared := scope{inputs: p.file.Inputs}
	for _, o := range out {
		in := declared.input(o.Name)
		at := n.get(o.Name)
		switch {
		case in == nil:
			p.fault(at, "there is no input %s%s", o.Name, suggest(o.Name, declared.inputNames()))
		case in.Secret:
			p.fault(at, "the input %s is secret, and no trigger can give it: use a connection", o.Name)
		case !o.Value.dynamic:
			if v, err := o.Value.literalJSON(); err == nil {
				if text := in.fault(v); text != "" {
					p.fault(at, "the input %s must be %s", o.Name, text)
				}
			}
		case o.Value.kind != nullNode && inputKinds[in.Type] != nullNode && o.Value.kind != inputKinds[in.Type]:
			p.fault(at, "the input %s is of type %s, and this gives %s", o.Name, in.Type, o.Value.kind)
		}
	}
	return out
}

// named returns the members of an object as named values.
func (p *fileParser) named(n *node, s *scope, most int, what string) []Output {
	if !p.is(n, mapNode, "this") {
		return nil
	}
	if len(n.entries) > most {
		p.fault(n, "there are more than %d here: make it fewer", most)
		return nil
	}
	var out []Output
	for _, e := range n.entries {
		if what != "" && !word.MatchString(e.key.text) {
			p.fault(e.key, "the name of %s has letters, digits and _, and begins with no digit: write it such as userId", what)
		}
		out = append(out, Output{e.key.text, p.value(e.value, s)})
	}
	return out
}

// public refuses values that show a secret input to whoever reads them.
func (p *fileParser) public(values []Output, n *node) {
	for _, o := range values {
		p.notSecret(o.Value, n.get(o.Name))
	}
}

func (p *fileParser) notSecret(v *Value, n *node) {
	if v != nil && v.secret {
		p.fault(n, "a secret input would be shown here: it can go into the parameters of an action, and the headers and the body of an http step, alone")
	}
}
