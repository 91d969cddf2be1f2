package action

import (
	"context"
	"fmt"

	"github.com/go-json-experiment/json"

	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/scim"
)

// A sender sends the request that carries an action out, and returns the answer, nil
// where there is none to show. Of o it takes what the service knows for such a
// request.
type sender func(ctx context.Context, c *client.Client, in Input, o *client.WriteOptions) (*client.Answer, error)

func createUser(ctx context.Context, c *client.Client, in Input, o *client.WriteOptions) (*client.Answer, error) {
	made, err := (&CreateUser{Client: c}).create(ctx, in, o)
	if err != nil {
		return nil, err
	}
	return made.Answer, nil
}

func createGroup(ctx context.Context, c *client.Client, in Input, o *client.WriteOptions) (*client.Answer, error) {
	var g client.Group
	if err := json.Unmarshal(createGroupManifest().body(scim.GroupURN, in), &g); err != nil {
		return nil, fmt.Errorf("the body of the request: %w", err)
	}
	made, err := c.Groups().Create(ctx, &g, o)
	if err != nil {
		return nil, err
	}
	return made.Answer, nil
}

// patch returns the sender of a PATCH of a user, whose operations are those that an
// input gives.
func patch(of func(Input) (client.Patch, error)) sender {
	return func(ctx context.Context, c *client.Client, in Input, o *client.WriteOptions) (*client.Answer, error) {
		p, err := of(in)
		if err != nil {
			return nil, err
		}
		r, err := c.Resources("/Users").Patch(ctx, in.text("userId"), p, o)
		if err != nil {
			return nil, err
		}
		return r.Answer, nil
	}
}

// remove returns the sender of a DELETE of the resource of the id that a parameter
// has.
func remove(endpoint, id string) sender {
	return func(ctx context.Context, c *client.Client, in Input, o *client.WriteOptions) (*client.Answer, error) {
		return nil, c.Resources(endpoint).Delete(ctx, in.text(id), &client.DeleteOptions{IfMatch: o.IfMatch})
	}
}

func unlink(ctx context.Context, c *client.Client, in Input, _ *client.WriteOptions) (*client.Answer, error) {
	org, err := organization(ctx, c, in)
	if err != nil {
		return nil, err
	}
	return nil, org.Unlink(ctx, in.text("scimDirectoryId"), in.text("scimUserId"))
}

func deleteRecords(ctx context.Context, c *client.Client, in Input, _ *client.WriteOptions) (*client.Answer, error) {
	org, err := organization(ctx, c, in)
	if err != nil {
		return nil, err
	}
	return nil, org.DeleteRecords(ctx, in.text("accountId"))
}
