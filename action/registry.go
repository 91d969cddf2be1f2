package action

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/scim"
)

// An Action is one provisioning operation: a manifest, and the function that
// carries it out.
type Action struct {
	*Manifest
	run func(ctx context.Context, c *client.Client, in Input) (*Output, error)
}

// All returns every action: the one table of them, in the order to show them in.
// The caller may change what it gets.
func All() []*Action {
	return []*Action{
		{CreateUserManifest(), createUser},
		{getUserManifest(), get("/Users", "userId")},
		{listUsersManifest(), list("/Users")},
		{UpdateUserManifest(), updateUser},
		{patchUserManifest(), patchUser},
		{deactivateUserManifest(), setActive(false)},
		{activateUserManifest(), setActive(true)},
		{deleteUserManifest(), remove("/Users", "userId")},

		{createGroupManifest(), createGroup},
		{getGroupManifest(), get("/Groups", "groupId")},
		{listGroupsManifest(), list("/Groups")},
		{updateGroupManifest(), updateGroup},
		{addMembersManifest(), addMembers},
		{removeMembersManifest(), removeMembers},
		{deleteGroupManifest(), remove("/Groups", "groupId")},

		{listSchemasManifest(), discoverAll("/Schemas")},
		{getSchemaManifest(), discoverOne("/Schemas", "schema")},
		{listResourceTypesManifest(), discoverAll("/ResourceTypes")},
		{getResourceTypeManifest(), discoverOne("/ResourceTypes", "resourceType")},
		{getConfigManifest(), discoverOne("/ServiceProviderConfig", "")},

		{getLinksManifest(), getLinks},
		{getLinksOfEmailManifest(), getLinksOfEmail},
		{unlinkManifest(), unlink},
		{deleteRecordsManifest(), deleteRecords},
	}
}

// Find returns the action of that name. The error says which ones there are.
func Find(name string) (*Action, error) {
	all := All()
	var names []string
	for _, a := range all {
		if a.Name == name {
			return a, nil
		}
		names = append(names, a.Name)
	}
	if like := Near(name, names); like != "" {
		return nil, fmt.Errorf("no action %q: did you mean %s?", name, like)
	}
	return nil, fmt.Errorf("no action %q: roster action list shows them all", name)
}

// An Output is what an action has given.
type Output struct {
	// Body is the answer as JSON. Empty: there is none, or List has it page by
	// page.
	Body jsontext.Value
	// List goes through the resources of a list, and ends with the first error;
	// nil when the output is no list. Where Body is empty it sends the requests,
	// and can be gone through once.
	List iter.Seq2[jsontext.Value, error]
	// Ignored are the attributes that the directory passed over, having no such.
	Ignored []string
}

// JSON returns the whole output as one document, empty when there is none. A list
// of all pages is put together: it takes as much memory as it has.
func (o *Output) JSON() (jsontext.Value, error) {
	if len(o.Body) > 0 || o.List == nil {
		return o.Body, nil
	}
	resources := []jsontext.Value{}
	for r, err := range o.List {
		if err != nil {
			return nil, err
		}
		resources = append(resources, r)
	}
	return json.Marshal(struct {
		Schemas      []string         `json:"schemas"`
		TotalResults int              `json:"totalResults"`
		StartIndex   int              `json:"startIndex"`
		ItemsPerPage int              `json:"itemsPerPage"`
		Resources    []jsontext.Value `json:"Resources"`
	}{[]string{scim.ListResponseURN}, len(resources), 1, len(resources), resources})
}

// Run carries the action out through c, whose directory it acts on; one with
// Organization needs no directory, but the key of the organisation. It has no
// effect when in does not fit the manifest, which is an *InputError. Other errors
// are those of the client.
//
// Update User reads the user first, and writes only what was not changed in
// between; UpdateUser has its plan.
func (a *Action) Run(ctx context.Context, c *client.Client, in Input) (*Output, error) {
	if err := a.Validate(in); err != nil {
		return nil, err
	}
	// Null is as good as left out, but in a body.
	sent := make(Input, len(in))
	for name, v := range in {
		if v.Kind() != 'n' || a.Parameter(name).In == InBody {
			sent[name] = slices.Clone(v)
		}
	}
	return a.run(ctx, c, sent)
}
