package action

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/scim"
)

// A planner makes the plan of an action. What it asks the service changes nothing.
type planner func(ctx context.Context, w *Write, in Input) (*Plan, error)

// activePatch returns the operations of Activate User or Deactivate User.
func activePatch(active bool) func(Input) (client.Patch, error) {
	return func(Input) (client.Patch, error) { return client.Patch{client.Replace("active", active)}, nil }
}

// endpoint returns where the resource of the action is: "/Users".
func (m *Manifest) endpoint() string {
	name, _, _ := strings.Cut(strings.TrimPrefix(m.Path, "/"), "/")
	return "/" + name
}

// resource returns the type of the resource that the action is about.
func (m *Manifest) resource() string { return strings.TrimSuffix(m.endpoint()[1:], "s") }

// idParameter returns the name of the parameter that has the id of the resource.
func (m *Manifest) idParameter() string {
	for _, p := range m.Basic {
		if p.In == InPath {
			return p.Name
		}
	}
	return ""
}

// takes reports whether the action has a parameter of that name.
func (m *Manifest) takes(name string) bool { return m.Parameter(name) != nil }

// words returns what the action does, for an error: "update user".
func (m *Manifest) words() string { return strings.ToLower(m.Title) }

// read reads the resource that in names, and returns its type by the rules that the
// service told. o may be nil.
func (w *Write) read(ctx context.Context, in Input, o *client.GetOptions) (*client.Answer, *scim.Type, error) {
	now, err := w.Client.Resources(w.Action.endpoint()).Get(ctx, in.text(w.Action.idParameter()), o)
	if err != nil {
		return nil, nil, fmt.Errorf("read the %s: %w", noun(w.Action.resource()), err)
	}
	rules, err := w.rules(now.Answer)
	if err != nil {
		return nil, nil, err
	}
	t, err := typeOf(w.Action.resource(), rules)
	return now.Answer, t, err
}

// planPut plans a PUT.
func planPut(ctx context.Context, w *Write, in Input) (*Plan, error) {
	now, _, err := w.read(ctx, in, nil)
	if err != nil {
		return nil, err
	}
	return w.planOf(now, in)
}

// planOf plans a PUT of what an answer shows.
func (w *Write) planOf(now *client.Answer, in Input) (*Plan, error) {
	rules, err := w.rules(now)
	if err != nil {
		return nil, err
	}
	if err := w.validate(rules, in); err != nil {
		return nil, err
	}
	t, err := typeOf(w.Action.resource(), rules)
	if err != nil {
		return nil, err
	}
	p, err := planReplace(t, w.Action.Manifest, now.Body, in, w.Keep)
	if err != nil {
		return nil, err
	}
	p.answer = now
	return p, nil
}

// put carries out the plan of a PUT.
func (p *Plan) put(ctx context.Context, c *client.Client, _ Input, o *client.WriteOptions) (*client.Answer, error) {
	r := &client.Request{
		Method: http.MethodPut, Path: "/" + p.ResourceType + "s/" + url.PathEscape(p.ID),
		Query: url.Values{}, Body: p.Body, IfMatch: o.IfMatch,
	}
	for name, list := range map[string][]string{"attributes": o.Attributes, "excludedAttributes": o.ExcludedAttributes} {
		if len(list) > 0 {
			r.Query.Set(name, strings.Join(list, ","))
		}
	}
	return c.Do(ctx, r)
}

// planCreate plans a POST: it looks for one of the same name.
func planCreate(ctx context.Context, w *Write, in Input) (*Plan, error) {
	key := "displayName"
	if w.Action.resource() == "User" {
		key = "userName"
	}
	var rules scim.RuleSet
	page, err := w.Client.Do(ctx, &client.Request{
		Method: http.MethodGet, Path: w.Action.endpoint(),
		Query: url.Values{"filter": {key + " eq " + client.Quote(in.text(key))}, "count": {"1"}},
	})
	if err != nil {
		return nil, fmt.Errorf("look for one of the same name: %w", err)
	}
	if rules, err = w.rules(page); err != nil {
		return nil, err
	}
	if err := w.validate(rules, in); err != nil {
		return nil, err
	}
	t, err := typeOf(w.Action.resource(), rules)
	if err != nil {
		return nil, err
	}
	for doc, err := range within(page.Body, "Resources") {
		if err != nil {
			return nil, err
		}
		if taken, err := parseObject(doc); err == nil && (key == "userName" || rules.UniqueGroupNames) {
			return nil, scim.Errorf(409, scim.Uniqueness, "%s %q is taken. Held by %s", key, in.text(key), taken.text("id"))
		}
	}
	body := w.Action.body(t.Schema, in)
	after, ignored, err := created(t, body)
	if err != nil {
		return nil, inputFault(err)
	}
	return &Plan{
		Operation: CreatePlan, ResourceType: t.Name, Name: in.text(key), RuleSet: rules.Name,
		Changes: (*state)(nil).changes(after), Ignored: ignored, Body: body,
		named: true, typ: t, after: after,
	}, nil
}

// created returns what a POST of body makes, and the attributes in it that are
// passed over.
func created(t *scim.Type, body jsontext.Value) (*state, []string, error) {
	r, notes, err := t.Parse(body)
	if err != nil {
		return nil, nil, err
	}
	s, err := stateOf(r, nil)
	if err != nil {
		return nil, nil, err
	}
	s.known, err = scim.Create(s.known)
	return s, notes.Ignored, err
}

// planPatch returns the planner of a PATCH of a user, whose operations are those that
// an input gives.
func planPatch(of func(in Input) (client.Patch, error)) planner {
	return func(ctx context.Context, w *Write, in Input) (*Plan, error) {
		patch, err := of(in)
		if err != nil {
			return nil, err
		}
		now, t, err := w.read(ctx, in, nil)
		if err != nil {
			return nil, err
		}
		before, err := readState(t, now.Body)
		if err != nil {
			return nil, fmt.Errorf("the user as the service shows it: %w", err)
		}
		p := &Plan{
			Operation: UpdatePlan, ResourceType: t.Name, ID: in.text("userId"), Name: before.name(), RuleSet: t.Rules.Name,
			Keep: true, named: true, typ: t, before: before, after: before, answer: now,
		}
		if p.Body, err = patch.JSON(); err != nil {
			return nil, err
		}
		p.foretell(t)
		return p, nil
	}
}

// foretell sets what the body of a PATCH makes of the user. The directory may have
// schemas of its own, so what the rules would refuse is only a doubt.
func (p *Plan) foretell(t *scim.Type) {
	patch, notes, err := t.ParsePatch(p.Body)
	var next *scim.Resource
	ignored := notes.Ignored
	if err == nil {
		next, notes, err = patch.Apply(p.before.known)
		ignored = append(ignored, notes.Ignored...)
	}
	var se *scim.Error
	switch {
	case errors.As(err, &se):
		p.Doubt = se.Detail
	case err != nil:
		p.Doubt = err.Error()
	default:
		p.after = &state{typ: t, known: next}
		p.Changes = p.before.changes(p.after)
		p.mark(p.Changes)
		if len(ignored) > 0 {
			p.Doubt = "the rule set " + t.Rules.Name + " does not know " + strings.Join(ignored, ", ")
		}
	}
}

// planDelete plans a DELETE. The members of a group are not read for it.
func planDelete(ctx context.Context, w *Write, in Input) (*Plan, error) {
	o := new(client.GetOptions)
	if w.Action.resource() == "Group" {
		o.ExcludedAttributes = []string{"members"}
	}
	now, t, err := w.read(ctx, in, o)
	if err != nil {
		return nil, err
	}
	before, err := readState(t, now.Body)
	if err != nil {
		return nil, fmt.Errorf("the %s as the service shows it: %w", noun(t.Name), err)
	}
	return &Plan{
		Operation: DeletePlan, ResourceType: t.Name, ID: in.text(w.Action.idParameter()), Name: before.name(), RuleSet: t.Rules.Name,
		named: true, typ: t, before: before, answer: now, read: o,
	}, nil
}

// planMembers returns the planner of Add Members To Group, or of Remove Members From
// Group: only those are sent for whom something changes.
func planMembers(add bool) planner {
	return func(ctx context.Context, w *Write, in Input) (*Plan, error) {
		asked, err := in.names("members")
		if err != nil {
			return nil, err
		}
		t, before, err := w.readMembers(ctx, in)
		if err != nil {
			return nil, err
		}
		was := make(map[string]bool, len(before.members))
		for _, id := range before.members {
			was[id] = true
		}
		p := &Plan{
			Operation: UpdatePlan, ResourceType: t.Name, ID: in.text("groupId"), Name: before.name(), RuleSet: t.Rules.Name,
			Keep: true, named: true, typ: t, before: before,
		}
		var ids []string
		slices.Sort(asked)
		for _, id := range slices.Compact(asked) { // one that is named twice is one
			if before.listed && was[id] == add {
				continue
			}
			ids = append(ids, id)
			if add {
				p.Changes = append(p.Changes, Change{Op: Add, Attribute: "members", After: quoteJSON(id)})
			} else {
				p.Changes = append(p.Changes, Change{Op: Clear, Attribute: "members", Before: quoteJSON(id)})
			}
		}
		p.send = func(ctx context.Context, c *client.Client, _ Input, _ *client.WriteOptions) (*client.Answer, error) {
			change, word := c.Groups().RemoveMembers, "removed"
			if add {
				change, word = c.Groups().AddMembers, "added"
			}
			done, err := change(ctx, p.ID, ids, nil)
			if err != nil && done > 0 {
				err = fmt.Errorf("%d of %d members were %s: %w", done, len(ids), word, err)
			}
			return nil, err
		}
		return p, nil
	}
}

// readMembers reads the group that in names with the ids of its members. A service
// that leaves them out of a narrow answer is asked for a whole one; when it shows none
// in that either, they are not known, but of a Roster, which leaves out what is empty.
func (w *Write) readMembers(ctx context.Context, in Input) (*scim.Type, *state, error) {
	o := &client.GetOptions{Attributes: []string{"displayName", "members.value"}}
	for {
		now, t, err := w.read(ctx, in, o)
		if err != nil {
			return nil, nil, err
		}
		s, err := readState(t, now.Body)
		if err != nil {
			return nil, nil, fmt.Errorf("the group as the service shows it: %w", err)
		}
		if s.listed = s.listed || now.RuleSet() != ""; s.listed || o == nil {
			return t, s, nil
		}
		o = nil
	}
}

// planUnlink plans Unlink User. The key of an organisation does not show users.
func planUnlink(_ context.Context, _ *Write, in Input) (*Plan, error) {
	return &Plan{
		Operation: UpdatePlan, ResourceType: "User", ID: in.text("scimUserId"), named: true,
		Changes: []Change{{Op: Clear, Attribute: "atlassianAccountId", Before: quoteJSON("?")}},
		Doubt:   "the key of an organisation does not show which account is linked",
	}, nil
}

// planDeleteRecords plans Only Delete User In DB.
func planDeleteRecords(ctx context.Context, w *Write, in Input) (*Plan, error) {
	org, err := organization(ctx, w.Client, in)
	if err != nil {
		return nil, err
	}
	links, err := org.ListLinks(ctx, in.text("accountId"))
	if err != nil {
		return nil, err
	}
	p := &Plan{Operation: DeletePlan, ResourceType: "Account", ID: in.text("accountId"), named: true}
	for _, l := range links {
		p.Changes = append(p.Changes, Change{Op: Clear, Attribute: "user", Before: quoteJSON(l.UserID + " in directory " + l.Directory)})
	}
	return p, nil
}
