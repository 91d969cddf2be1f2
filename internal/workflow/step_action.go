package workflow

import (
	"errors"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/action"
)

// keeper is the action that can keep what is not named.
const keeper = "update-user"

func (p *fileParser) action(n *node, fields map[string]*node, s *scope) *ActionStep {
	a := &ActionStep{Name: p.text(n), Connection: p.connection(fields["connection"])}
	if a.Name == "" {
		return a
	}
	if t := fields["keep"]; t != nil {
		if a.Keep = p.flag(t); a.Name != keeper {
			p.fault(t, "keep is for the action %s alone: remove it", keeper)
		}
	}
	var parameters []Output
	with := fields["with"]
	if with == nil {
		with = &node{kind: mapNode, line: n.line, column: n.column}
	}
	if p.is(with, mapNode, "with") {
		for _, e := range with.entries {
			parameters = append(parameters, Output{e.key.text, p.value(e.value, s)})
		}
	}
	a.With = parameters
	found, err := action.Find(a.Name)
	if err != nil {
		p.fault(n, "%v", err)
		return a
	}
	p.parameters(found.Manifest, a, with)
	return a
}

// parameters checks what an action is given, as the action itself does: literals
// as they are, and in the place of an expression what is known to fit, for its
// value is checked when there is one.
func (p *fileParser) parameters(m *action.Manifest, a *ActionStep, with *node) {
	here := *m
	here.Basic, here.Advanced = slices.Clone(m.Basic), slices.Clone(m.Advanced)
	for _, list := range [][]action.Parameter{here.Basic, here.Advanced} {
		for i := range list {
			if a.Keep && list[i].In == action.InBody {
				list[i].Required = false
			}
		}
	}
	in := make(action.Input)
	for _, o := range a.With {
		parameter := m.Parameter(o.Name)
		switch {
		case !o.Value.dynamic:
			v, err := o.Value.literalJSON()
			if err != nil {
				p.fault(with.get(o.Name), "%v", err)
				continue
			}
			in[o.Name] = v
		case parameter == nil, o.Value.lone && o.Value.kind == nullNode && !parameter.Required:
			in[o.Name] = jsontext.Value("null") // which may be left out, and excludes nothing then
		default:
			in[o.Name] = example(parameter)
			p.fits(parameter, o.Value, with.get(o.Name))
		}
	}
	var wrong *action.InputError
	if !errors.As(here.Validate(in), &wrong) {
		return
	}
	for _, f := range wrong.Faults {
		at := with
		for _, e := range with.entries {
			if e.key.text == f.Parameter {
				at = e.value
				if m.Parameter(f.Parameter) == nil {
					at = e.key
				}
			}
		}
		text := f.Text
		if f.Parameter != "" {
			text = f.Parameter + ": " + text
		}
		p.fault(at, "%s: %s", a.Name, text)
	}
}

// example returns a value that fits a parameter.
func example(p *action.Parameter) jsontext.Value {
	switch p.Type {
	case action.String, action.Names, action.List:
		text := p.Example
		if len(p.Values) > 0 {
			text = p.Values[0]
		}
		v, err := jsontext.AppendQuote(nil, text)
		if err != nil {
			return jsontext.Value(`"x"`)
		}
		return v
	}
	return jsontext.Value(p.Example)
}

// parameterKinds are what a parameter of each type can be.
var parameterKinds = map[action.Type][]kind{
	action.String: {textNode}, action.Boolean: {boolNode}, action.Integer: {numberNode},
	action.Object: {mapNode}, action.Array: {listNode}, action.Names: {textNode, listNode}, action.List: {textNode, listNode},
}

// fits refuses an expression that is known to give what a parameter cannot be.
func (p *fileParser) fits(parameter *action.Parameter, v *Value, n *node) {
	can := parameterKinds[parameter.Type]
	if v.kind != nullNode && can != nil && !slices.Contains(can, v.kind) {
		p.fault(n, "%s must be %s, and this gives %s", parameter.Name, can[0], v.kind)
	}
}
