package action

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/scim"
)

// An Operation is what a plan does to a resource.
type Operation string

// The operations of a Plan.
const (
	CreatePlan Operation = "create"
	UpdatePlan Operation = "update"
	DeletePlan Operation = "delete"
)

// A Plan is what an action would do to one resource.
type Plan struct {
	Action       string    `json:"action"` // "update-user"
	Operation    Operation `json:"operation"`
	ResourceType string    `json:"resourceType"` // "User" or "Group"
	ID           string    `json:"id,omitempty"` // empty: of one that is to be created
	// Name is the userName or displayName, as it is before, or of what is created.
	Name    string   `json:"name,omitempty"`
	RuleSet string   `json:"ruleSet,omitempty"` // by which the plan was made; empty: by none
	Changes []Change `json:"changes"`           // of a delete there are none: all of it goes
	// Keep says that only what was named changes; otherwise what was left out is
	// cleared.
	Keep bool `json:"keep"`
	// Ignored are the parameters that the directory would pass over: it has no
	// such attribute, or another parameter gives the same one.
	Ignored []string `json:"ignored,omitempty"`
	// Doubt says why the plan may not be all, or not be right: it names attributes of
	// which the rule set knows nothing. Then it is sent, also without changes.
	Doubt string `json:"doubt,omitempty"`
	// Body is that of the request which carries the plan out. Empty: there is none.
	Body jsontext.Value `json:"body,omitempty"`

	input    Input
	named    bool // every change was named, so that none happens by mistake
	defaults bool // a left-out active is given by a rule
	typ      *scim.Type
	before   *state             // nil: nothing was read, or there is nothing before
	after    *state             // nil: it is not foretold
	answer   *client.Answer     // that showed what is before; nil: the change does not depend on it
	read     *client.GetOptions // that it was read with; may be nil
	send     sender             // nil: that of the action
}

// PlanUpdateUser returns what Update User with in would do to the user that the
// service shows as current, a whole answer to a GET, under the rules of t. It
// asks no service. An *InputError says why the directory would refuse it.
func PlanUpdateUser(t *scim.Type, current jsontext.Value, in Input) (*Plan, error) {
	if err := ValidateUpdateUser(t, in); err != nil {
		return nil, err
	}
	return planReplace(t, UpdateUserManifest(), current, in, false)
}

// PlanUpdateUserKeep is as PlanUpdateUser, but changes only what in names: what
// the service shows beside it is sent back. A part of the name or a value of a
// list that is not given stays.
func PlanUpdateUserKeep(t *scim.Type, current jsontext.Value, in Input) (*Plan, error) {
	if err := ValidateUpdateUserKeep(t, in); err != nil {
		return nil, err
	}
	return planReplace(t, UpdateUserManifest(), current, in, true)
}

// planReplace returns the plan of a PUT that m describes, on the resource that the
// service shows as current.
func planReplace(t *scim.Type, m *Manifest, current jsontext.Value, in Input, keep bool) (*Plan, error) {
	before, err := readState(t, current)
	body := m.body(t.Schema, in)
	if err == nil && keep {
		body, err = keepBody(t, m, current, in)
	}
	if err != nil {
		return nil, fmt.Errorf("the %s as the service shows it: %w", noun(t.Name), err)
	}
	plain := body
	if keep { // a strict rule set refuses what this side does not know
		if plain, err = known(t, body, in); err != nil {
			return nil, err
		}
	}
	after, ignored, err := before.replace(t, plain)
	if err != nil {
		return nil, inputFault(err)
	}
	after.doc = body // has what becomes of attributes that t does not know
	p := &Plan{
		Operation:    UpdatePlan,
		ResourceType: t.Name,
		ID:           in.text(m.idParameter()),
		Name:         before.name(),
		RuleSet:      t.Rules.Name,
		Changes:      before.changes(after),
		Keep:         keep,
		Body:         body,
		input:        in,
		named:        keep,
		defaults:     true,
		typ:          t,
		before:       before,
		after:        after,
	}
	p.send = p.put
	for _, name := range ignored {
		if _, given := in[name]; given || !keep { // what was only kept is nobody's mistake
			p.Ignored = append(p.Ignored, name)
		}
	}
	p.mark(p.Changes)
	return p, nil
}

// inputFault returns an error of the rules as one of the input.
func inputFault(err error) error {
	var se *scim.Error
	if errors.As(err, &se) {
		return &InputError{[]Fault{{Text: se.Detail}}}
	}
	return err
}

// mark marks what nobody asked for: active that was left out and yet becomes
// true. Where only what was named changes, nothing happens by mistake.
func (p *Plan) mark(changes []Change) {
	for i := range changes {
		c := &changes[i]
		switch {
		case c.Attribute == "active" && c.Op != Clear && p.defaults && !p.input.has("active"):
			c.Defaulted = true
			c.Warning = string(c.Before) == "false"
		case p.named:
			c.Warning = false
		}
	}
}

// Source returns the answer that showed the user of whom the plan was made; nil
// in a plan that asked no service.
func (p *Plan) Source() *client.Answer { return p.answer }

// Warns reports whether the plan has a change that is easily made by mistake, so
// that somebody should agree to it.
func (p *Plan) Warns() bool {
	return slices.ContainsFunc(p.Changes, func(c Change) bool { return c.Warning })
}

// Counts returns how many changes add, replace and clear something.
func Counts(changes []Change) (added, replaced, cleared int) {
	for _, c := range changes {
		switch c.Op {
		case Add:
			added++
		case Replace:
			replaced++
		case Clear:
			cleared++
		}
	}
	return added, replaced, cleared
}
