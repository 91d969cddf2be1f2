package action

import (
	"context"
	"fmt"
	"iter"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/scim"
)

// An Action is one provisioning operation: a manifest, and the functions that
// carry it out. One that writes has a plan: see Write.
type Action struct {
	*Manifest
	run  func(ctx context.Context, c *client.Client, in Input) (*Output, error) // of one that reads
	send sender                                                                 // of one that writes; nil: only its plan knows what to send
	plan planner                                                                // of one that writes
}

// All returns every action: the one table of them, in the order to show them in.
// The caller may change what it gets.
func All() []*Action {
	reads := func(m *Manifest, run func(context.Context, *client.Client, Input) (*Output, error)) *Action {
		return &Action{Manifest: m, run: run}
	}
	writes := func(m *Manifest, send sender, plan planner) *Action {
		return &Action{Manifest: m, send: send, plan: plan}
	}
	return []*Action{
		writes(CreateUserManifest(), createUser, planCreate),
		reads(getUserManifest(), get("/Users", "userId")),
		reads(listUsersManifest(), list("/Users")),
		writes(UpdateUserManifest(), nil, planPut),
		writes(patchUserManifest(), patch(operations), planPatch(operations)),
		writes(deactivateUserManifest(), patch(activePatch(false)), planPatch(activePatch(false))),
		writes(activateUserManifest(), patch(activePatch(true)), planPatch(activePatch(true))),
		writes(deleteUserManifest(), remove("/Users", "userId"), planDelete),

		writes(createGroupManifest(), createGroup, planCreate),
		reads(getGroupManifest(), get("/Groups", "groupId")),
		reads(listGroupsManifest(), list("/Groups")),
		writes(updateGroupManifest(), nil, planPut),
		writes(addMembersManifest(), nil, planMembers(true)),
		writes(removeMembersManifest(), nil, planMembers(false)),
		writes(deleteGroupManifest(), remove("/Groups", "groupId"), planDelete),

		reads(listSchemasManifest(), discoverAll("/Schemas")),
		reads(getSchemaManifest(), discoverOne("/Schemas", "schema")),
		reads(listResourceTypesManifest(), discoverAll("/ResourceTypes")),
		reads(getResourceTypeManifest(), discoverOne("/ResourceTypes", "resourceType")),
		reads(getConfigManifest(), discoverOne("/ServiceProviderConfig", "")),

		reads(getLinksManifest(), getLinks),
		reads(getLinksOfEmailManifest(), getLinksOfEmail),
		writes(unlinkManifest(), unlink, planUnlink),
		writes(deleteRecordsManifest(), deleteRecords, planDeleteRecords),
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
// What a PUT clears, and which members change, is known by a plan alone: there Run is
// that of a Write. Any other change is sent without one, and without a read before it,
// so that a caller who repeats it with the same Idempotency-Key gets the same answer.
func (a *Action) Run(ctx context.Context, c *client.Client, in Input) (*Output, error) {
	w := &Write{Action: a, Client: c}
	r := &Result{Plan: &Plan{Action: a.Name}}
	var err error
	switch {
	case a.run != nil:
		if err := a.Validate(in); err != nil {
			return nil, err
		}
		return a.run(ctx, c, a.sent(in))
	case a.send == nil:
		r, err = w.Run(ctx, in)
	default:
		if err := w.Validate(in); err != nil {
			return nil, err
		}
		in = a.sent(in)
		var o *client.WriteOptions
		if o, err = writeOptions(in); err != nil {
			return nil, err
		}
		o.IfMatch = in.text("ifMatch")
		r.Answer, err = a.send(ctx, c, in, o)
	}
	if err != nil {
		return nil, err
	}
	return r.Output()
}

// Output returns what the action gives: the answer, of a change of members how many
// there were, of others nothing.
func (r *Result) Output() (*Output, error) {
	switch r.Plan.Action {
	case "add-members", "remove-members":
		word := map[string]string{"add-members": "added", "remove-members": "removed"}[r.Plan.Action]
		body, err := json.Marshal(map[string]any{"id": r.Plan.ID, word: len(r.Plan.Changes)}, json.Deterministic(true))
		return &Output{Body: body}, err
	}
	if r.Answer == nil {
		return new(Output), nil
	}
	return &Output{Body: r.Answer.Body, Ignored: r.Answer.Ignored()}, nil
}
