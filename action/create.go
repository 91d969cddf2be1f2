package action

import (
	"context"
	"fmt"

	"github.com/go-json-experiment/json"

	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/scim"
)

// CreateUser is the action Create User on one directory. Its fields are set
// before the first call; it is safe for concurrent use.
type CreateUser struct {
	// Client reaches the directory. Required.
	Client *client.Client
	// Rules are those of the directory, by which an Input is checked before it
	// is sent. The zero value: the rule set standard.
	Rules scim.RuleSet
}

// Run adds the user that in describes and returns it. An *InputError says why
// nothing was sent; errors of the service are as in client.Users.Create.
func (a *CreateUser) Run(ctx context.Context, in Input) (*client.User, error) {
	t, err := UserType(a.Rules)
	if err != nil {
		return nil, err
	}
	if err := ValidateCreateUser(t, in); err != nil {
		return nil, err
	}
	o, err := writeOptions(in)
	if err != nil {
		return nil, err
	}
	made, err := a.create(ctx, in, o)
	if err != nil {
		return nil, fmt.Errorf("create the user: %w", err)
	}
	return made, nil
}

// create is Run of an input that was checked.
func (a *CreateUser) create(ctx context.Context, in Input, o *client.WriteOptions) (*client.User, error) {
	var u client.User
	if err := json.Unmarshal(userBody(in), &u); err != nil {
		return nil, fmt.Errorf("the body of the request: %w", err)
	}
	return a.Client.Users().Create(ctx, &u, o)
}
