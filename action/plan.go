package action

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/scim"
)

// A Plan is what an action would do to one user.
type Plan struct {
	UserID   string   `json:"userId"`
	UserName string   `json:"userName"` // as it is before
	RuleSet  string   `json:"ruleSet"`  // by which the plan was made
	Changes  []Change `json:"changes"`
	// Keep says that only what was named changes; otherwise what was left out is
	// cleared.
	Keep bool `json:"keep"`
	// Ignored are the parameters that the directory would pass over: it has no
	// such attribute, or another parameter gives the same one.
	Ignored []string `json:"ignored,omitempty"`
	// Body is the request that carries the plan out.
	Body jsontext.Value `json:"body"`

	input    Input
	typ      *scim.Type
	document jsontext.Value // the user as the service showed it
	current  *scim.Resource // what the rules know of it
	next     *scim.Resource // what it is to become
	answer   *client.Answer // that showed it; nil in a plan that asked no service
}

// PlanUpdateUser returns what Update User with in would do to the user that the
// service shows as current, a whole answer to a GET, under the rules of t. It
// asks no service. An *InputError says why the directory would refuse it.
func PlanUpdateUser(t *scim.Type, current jsontext.Value, in Input) (*Plan, error) {
	if err := ValidateUpdateUser(t, in); err != nil {
		return nil, err
	}
	return planUpdate(t, current, in, false, userBody(in))
}

// PlanUpdateUserKeep is as PlanUpdateUser, but changes only what in names: what
// the service shows beside it is sent back. A part of the name or a value of a
// list that is not given stays.
func PlanUpdateUserKeep(t *scim.Type, current jsontext.Value, in Input) (*Plan, error) {
	if err := ValidateUpdateUserKeep(t, in); err != nil {
		return nil, err
	}
	body, err := keepBody(t, current, in)
	if err != nil {
		return nil, fmt.Errorf("the user as the service shows it: %w", err)
	}
	return planUpdate(t, current, in, true, body)
}

func planUpdate(t *scim.Type, current jsontext.Value, in Input, keep bool, body jsontext.Value) (*Plan, error) {
	now, err := readUser(t, current)
	if err != nil {
		return nil, fmt.Errorf("the user as the service shows it: %w", err)
	}
	plain := body
	if keep { // a strict rule set refuses what this side does not know
		if plain, err = known(t, body, in); err != nil {
			return nil, err
		}
	}
	want, notes, err := t.Parse(plain)
	var next *scim.Resource
	var lost []string
	if err == nil {
		next, lost, err = scim.Replace(now, want)
	}
	if err != nil {
		var se *scim.Error
		if errors.As(err, &se) {
			return nil, &InputError{[]Fault{{"", se.Detail}}}
		}
		return nil, err
	}
	p := &Plan{
		UserID:   in.text("userId"),
		UserName: now.Get("userName").Text(),
		RuleSet:  t.Rules.Name,
		Changes:  append(Changes(now, next), changesOfUnknown(t, current, body)...),
		Keep:     keep,
		Body:     body,
		input:    in,
		typ:      t,
		document: current,
		current:  now,
		next:     next,
	}
	for _, name := range slices.Concat(notes.Ignored, lost) {
		if _, given := in[name]; given || !keep { // what was only kept is nobody's mistake
			p.Ignored = append(p.Ignored, name)
		}
	}
	p.mark(p.Changes)
	return p, nil
}

// mark marks what nobody asked for: active that was left out and yet becomes
// true. Where only what was named changes, nothing happens by mistake.
func (p *Plan) mark(changes []Change) {
	for i := range changes {
		c := &changes[i]
		if c.Attribute == "active" && c.Op != Clear && !p.input.has("active") {
			c.Defaulted = true
			c.Warning = string(c.Before) == "false"
		} else if p.Keep {
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

// readUser reads an answer of a service: with what the rules tolerate, as
// services differ, else exactly. What is null is not there.
func readUser(t *scim.Type, doc jsontext.Value) (*scim.Resource, error) {
	clean, err := known(t, doc, nil)
	if err != nil {
		return nil, err
	}
	r, _, err := t.Parse(clean)
	if err != nil {
		r, err = t.Decode(clean)
	}
	return r, err
}
