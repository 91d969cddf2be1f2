package action

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/scim"
)

// A Plan is what an action would do to one user.
type Plan struct {
	UserID   string   `json:"userId"`
	UserName string   `json:"userName"` // as it is before
	RuleSet  string   `json:"ruleSet"`  // by which the plan was made
	Changes  []Change `json:"changes"`
	// Ignored are the parameters that the directory would pass over: it has no
	// such attribute, or another parameter gives the same one.
	Ignored []string `json:"ignored,omitempty"`
	// Body is the request that carries the plan out.
	Body jsontext.Value `json:"body"`

	input   Input
	typ     *scim.Type
	current *scim.Resource
}

// PlanUpdateUser returns what Update User with in would do to the user that the
// service shows as current, a whole answer to a GET, under the rules of t. It
// asks no service. An *InputError says why the directory would refuse it.
func PlanUpdateUser(t *scim.Type, current jsontext.Value, in Input) (*Plan, error) {
	if err := ValidateUpdateUser(t, in); err != nil {
		return nil, err
	}
	now, err := readUser(t, current)
	if err != nil {
		return nil, fmt.Errorf("the user as the service shows it: %w", err)
	}
	body := userBody(in)
	want, notes, err := t.Parse(body)
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
		Changes:  Changes(now, next),
		Ignored:  slices.Concat(notes.Ignored, lost),
		Body:     body,
		input:    in,
		typ:      t,
		current:  now,
	}
	markDefaulted(p.Changes, in)
	return p, nil
}

// markDefaulted marks what nobody asked for: active that was left out and yet
// becomes true.
func markDefaulted(changes []Change, in Input) {
	for i := range changes {
		if c := &changes[i]; c.Attribute == "active" && c.Op != Clear && !in.has("active") {
			c.Defaulted = true
			c.Warning = string(c.Before) == "false"
		}
	}
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
// services differ, or as it is where they tolerate nothing.
func readUser(t *scim.Type, doc jsontext.Value) (*scim.Resource, error) {
	r, _, err := t.Parse(doc)
	if err != nil {
		r, err = t.Decode(doc)
	}
	return r, err
}
