package action

import (
	"context"

	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/scim"
)

// UpdateUser is a Write of Update User, for who knows that it is that: its fields and
// methods are those of the Write.
type UpdateUser struct {
	Client  *client.Client
	Rules   scim.RuleSet
	Keep    bool
	IfMatch string
	Resumed bool
}

func (a *UpdateUser) write() *Write {
	return &Write{
		Action: &Action{Manifest: UpdateUserManifest(), plan: planPut},
		Client: a.Client, Rules: a.Rules, Keep: a.Keep, IfMatch: a.IfMatch, Resumed: a.Resumed,
	}
}

// Plan is Write.Plan.
func (a *UpdateUser) Plan(ctx context.Context, in Input) (*Plan, error) {
	return a.write().Plan(ctx, in)
}

// PlanOf is Write.PlanOf.
func (a *UpdateUser) PlanOf(now *client.Answer, in Input) (*Plan, error) {
	return a.write().PlanOf(now, in)
}

// Apply is Write.Apply.
func (a *UpdateUser) Apply(ctx context.Context, p *Plan) (*Result, error) {
	return a.write().Apply(ctx, p)
}

// Run is Write.Run.
func (a *UpdateUser) Run(ctx context.Context, in Input) (*Result, error) {
	return a.write().Run(ctx, in)
}
