package action

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

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
	// Keep changes only what an Input names: the user is read, and sent back whole.
	// Otherwise what it leaves out is cleared.
	Keep bool
	// IfMatch is the ETag that the user must still have. Empty: that of the plan.
	IfMatch string
	// Resumed says that the plan may have been carried out before, by an Apply
	// whose answer was lost: a user who is as it was to become counts as updated,
	// where a service does not do a request with an Idempotency-Key once by itself.
	Resumed bool
}

// A Result is what an action did.
type Result struct {
	Plan    *Plan
	Changes []Change
	// Differs is what the user has become against the plan: from what was planned
	// to what the answer shows.
	Differs []Change
	// Foretold says that the answer was cut by a projection, or had no body, so
	// that Changes are those of the plan and Differs is not known; otherwise they
	// are what the answers before and after differ in.
	Foretold bool
	Answer   *client.Answer // to the last request
}

// A ChangedError says that a user changed after its plan was made, and that
// nothing was sent.
type ChangedError struct {
	UserID  string
	Changes []Change // from what the plan was made of to what the user is now
}

func (e *ChangedError) Error() string {
	return "user " + e.UserID + " was changed by somebody else since the plan was made: nothing was sent"
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
	validate := ValidateUpdateUser
	if a.Keep {
		validate = ValidateUpdateUserKeep
	}
	if err := validate(t, in); err != nil {
		return nil, err
	}
	now, err := a.Client.Users().Get(ctx, in.text("userId"), nil)
	if err != nil {
		return nil, fmt.Errorf("read the user: %w", err)
	}
	return a.PlanOf(now.Answer, in)
}

// PlanOf is Plan of the user whom now shows: an answer to a GET of the whole
// user, such as Plan.Source of an earlier plan. Of that, its body and its headers
// ETag, Roster-Rule-Set and Roster-Rules count. It asks no service.
func (a *UpdateUser) PlanOf(now *client.Answer, in Input) (*Plan, error) {
	t, err := UserType(a.Rules)
	if err != nil {
		return nil, err
	}
	// Where it told none, or one of a newer server, the given rules stand in.
	if told, err := scim.Rules(now.RuleSet()); err == nil {
		if told, err = told.With(now.Rules()); err == nil && told != t.Rules {
			if t, err = UserType(told); err != nil {
				return nil, err
			}
		}
	}
	plan := PlanUpdateUser
	if a.Keep {
		plan = PlanUpdateUserKeep
	}
	p, err := plan(t, now.Body, in)
	if err != nil {
		return nil, err
	}
	p.answer = now
	return p, nil
}

// Apply carries out a plan that Plan made, and returns what changed; when nothing
// would, nothing is written. The user must still be as it was for the plan: a
// service with ETags is told so (If-Match), of another one it is read again just
// before, which leaves a moment in between. Then the error is a *scim.Error with
// status 412, or a *ChangedError. Other errors are as in client.Users.Replace.
func (a *UpdateUser) Apply(ctx context.Context, p *Plan) (*Result, error) {
	o, err := writeOptions(p.input)
	if err != nil {
		return nil, err
	}
	cut := len(o.Attributes) > 0 || len(o.ExcludedAttributes) > 0
	if len(p.Changes) == 0 && a.IfMatch == "" {
		return a.show(ctx, p, o, cut)
	}
	r := &client.Request{Method: http.MethodPut, Path: "/Users/" + url.PathEscape(p.UserID), Query: url.Values{}, Body: p.Body}
	for name, list := range map[string][]string{"attributes": o.Attributes, "excludedAttributes": o.ExcludedAttributes} {
		if len(list) > 0 {
			r.Query.Set(name, strings.Join(list, ","))
		}
	}
	r.IfMatch = a.IfMatch
	if r.IfMatch == "" {
		r.IfMatch = version(p.answer)
	}
	var answer *client.Answer
	if r.IfMatch == "" || a.Resumed && p.answer.RuleSet() == "" {
		if answer, err = a.standing(ctx, p); err != nil {
			return nil, err
		}
	}
	if answer == nil {
		answer, err = a.Client.Do(ctx, r)
	}
	if refused := (*scim.Error)(nil); a.Resumed && errors.As(err, &refused) && refused.Status == http.StatusPreconditionFailed {
		if is, serr := a.standing(ctx, p); serr == nil && is != nil {
			answer, err = is, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("update the user: %w", err)
	}
	done := &Result{Plan: p, Changes: p.Changes, Foretold: true, Answer: answer}
	if !cut && len(answer.Body) > 0 {
		is, err := readUser(p.typ, answer.Body)
		if err != nil {
			return nil, fmt.Errorf("the user was updated, but its answer cannot be read: %w", err)
		}
		done.Foretold = false
		done.Changes = append(Changes(p.current, is), changesOfUnknown(p.typ, p.document, answer.Body)...)
		p.mark(done.Changes)
		done.Differs = Changes(p.next, is)
	}
	return done, nil
}

// show is Apply of a plan without a change.
func (a *UpdateUser) show(ctx context.Context, p *Plan, o *client.WriteOptions, cut bool) (*Result, error) {
	r := &Result{Plan: p, Answer: p.answer}
	if cut {
		u, err := a.Client.Users().Get(ctx, p.UserID, &client.GetOptions{Attributes: o.Attributes, ExcludedAttributes: o.ExcludedAttributes})
		if err != nil {
			return nil, fmt.Errorf("read the user: %w", err)
		}
		r.Answer = u.Answer
	}
	return r, nil
}

// version returns the ETag of an answer for If-Match, or "" where it is no version
// of the user: many web servers put a digest of the body there, and compare it
// with nothing.
func version(a *client.Answer) string {
	tag := a.ETag()
	if tag == "" || a.RuleSet() != "" { // a Roster has versions
		return tag
	}
	doc, err := parseObject(a.Body)
	if err != nil {
		return ""
	}
	meta, err := parseObject(doc.get("meta"))
	if err != nil || meta.text("version") != tag {
		return ""
	}
	return tag
}

// standing reads the user again. It returns what it has read when Resumed is set
// and the user is as planned, nil when it is as it was, and else a *ChangedError.
func (a *UpdateUser) standing(ctx context.Context, p *Plan) (*client.Answer, error) {
	now, err := a.Client.Users().Get(ctx, p.UserID, nil)
	if err != nil {
		return nil, fmt.Errorf("read the user again: %w", err)
	}
	is, err := readUser(p.typ, now.Answer.Body)
	if err != nil {
		return nil, fmt.Errorf("the user as the service shows it: %w", err)
	}
	if a.Resumed && len(Changes(p.next, is))+len(changesOfUnknown(p.typ, p.Body, now.Answer.Body)) == 0 {
		return now.Answer, nil
	}
	changes := append(Changes(p.current, is), changesOfUnknown(p.typ, p.document, now.Answer.Body)...)
	if len(changes) > 0 {
		return nil, &ChangedError{p.UserID, changes}
	}
	return nil, nil
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
