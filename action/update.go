package action

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"

	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/scim"
)

// UpdateUser is the action Update User on one directory. Its fields are set
// before the first call; it is safe for concurrent use.
type UpdateUser struct {
	// Client reaches the directory. Required.
	Client *client.Client
	// Rules are those of the directory, for a service that does not tell them: a
	// Roster does (Roster-Rule-Set), and then its word counts. The zero value:
	// the rule set standard.
	Rules scim.RuleSet
	// IfMatch is the ETag that the user must still have. Empty: any.
	IfMatch string
}

// A Result is what an action did.
type Result struct {
	Plan    *Plan
	Changes []Change
	// Foretold says that the answer was cut by a projection, so that Changes
	// are those of the plan; otherwise they are what the answers before and
	// after differ in.
	Foretold bool
	Answer   *client.Answer // to the request that changed the user
}

// Plan reads the user and returns what Run would do. Before the first request
// it checks in as far as Rules allow, and after it again, under the rules that
// the service told: the error is then an *InputError. Errors of the service are
// as in client.Users.Get.
func (a *UpdateUser) Plan(ctx context.Context, in Input) (*Plan, error) {
	t, err := UserType(a.Rules)
	if err != nil {
		return nil, err
	}
	if err := ValidateUpdateUser(t, in); err != nil {
		return nil, err
	}
	now, err := a.Client.Users().Get(ctx, in.text("userId"), nil)
	if err != nil {
		return nil, fmt.Errorf("read the user: %w", err)
	}
	// Where it told none, or one of a newer server, the given rules stand in.
	if told, err := scim.Rules(now.Answer.RuleSet()); err == nil {
		if told, err = told.With(now.Answer.Rules()); err == nil && told != t.Rules {
			if t, err = UserType(told); err != nil {
				return nil, err
			}
		}
	}
	return PlanUpdateUser(t, now.Answer.Body, in)
}

// Apply carries a plan out and returns what changed. Errors of the service are as
// in client.Users.Replace.
func (a *UpdateUser) Apply(ctx context.Context, p *Plan) (*Result, error) {
	var u client.User
	if err := json.Unmarshal(p.Body, &u); err != nil {
		return nil, fmt.Errorf("the body of the request: %w", err)
	}
	o, err := writeOptions(p.input)
	if err != nil {
		return nil, err
	}
	o.IfMatch = a.IfMatch
	made, err := a.Client.Users().Replace(ctx, p.UserID, &u, o)
	if err != nil {
		return nil, fmt.Errorf("update the user: %w", err)
	}
	r := &Result{Plan: p, Changes: p.Changes, Foretold: true, Answer: made.Answer}
	if len(o.Attributes) == 0 && len(o.ExcludedAttributes) == 0 && len(made.Answer.Body) > 0 {
		next, err := readUser(p.typ, made.Answer.Body)
		if err != nil {
			return nil, fmt.Errorf("the user was updated, but its answer cannot be read: %w", err)
		}
		r.Changes, r.Foretold = Changes(p.current, next), false
		markDefaulted(r.Changes, p.input)
	}
	return r, nil
}

// Run is Plan and Apply in one.
func (a *UpdateUser) Run(ctx context.Context, in Input) (*Result, error) {
	p, err := a.Plan(ctx, in)
	if err != nil {
		return nil, err
	}
	return a.Apply(ctx, p)
}

// writeOptions returns the projection that in asks for.
func writeOptions(in Input) (*client.WriteOptions, error) {
	attributes, err := in.names("attributes")
	excluded, other := in.names("excludedAttributes")
	return &client.WriteOptions{Attributes: attributes, ExcludedAttributes: excluded}, errors.Join(err, other)
}

// UserType returns the user type of a directory with those rules; the zero
// RuleSet is the rule set standard.
func UserType(rules scim.RuleSet) (*scim.Type, error) {
	if rules.Name == "" {
		var err error
		if rules, err = scim.Rules(scim.Standard); err != nil {
			return nil, err
		}
	}
	m, err := scim.NewModel(rules, nil)
	if err != nil {
		return nil, err
	}
	return m.Type("User"), nil
}
