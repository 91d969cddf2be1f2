package action

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/scim"
)

// A Write carries out an action that writes, by a plan: what it would do is known
// before it is done. Its fields are set before the first call; it is safe for
// concurrent use.
type Write struct {
	// Action is one that writes. Required.
	Action *Action
	// Client reaches the directory. Required, but for Validate.
	Client *client.Client
	// Rules are those of the directory, for a service that does not tell them: a
	// Roster does (Roster-Rule-Set), and then its word counts. The zero value: what
	// the manifest allows is sent, and a plan is by the rule set standard.
	Rules scim.RuleSet
	// Keep changes only what an Input names, where the action is a PUT: the resource
	// is read, and sent back whole. Otherwise what the Input leaves out is cleared.
	Keep bool
	// IfMatch is the ETag that the resource must still have. Empty: that of the
	// Input, else that of the plan.
	IfMatch string
	// Resumed says that the plan may have been carried out before, by an Apply
	// whose answer was lost: what is as it was to become counts as updated, where a
	// service does not do a request with an Idempotency-Key once by itself.
	Resumed bool
}

// A Result is what a Write did.
type Result struct {
	Plan    *Plan
	Changes []Change
	// Differs is what the resource has become against the plan: from what was
	// planned to what the answer shows.
	Differs []Change
	// Foretold says that the answer does not show the whole resource, so that
	// Changes are those of the plan and Differs is not known; otherwise they are what
	// the answers before and after differ in.
	Foretold bool
	Answer   *client.Answer // to the last request; nil where there is none to show
}

// A ChangedError says that a resource changed after its plan was made, and that
// nothing was sent.
type ChangedError struct {
	ResourceType string // "User" or "Group"
	ID           string
	Changes      []Change // from what the plan was made of to what the resource is now
}

func (e *ChangedError) Error() string {
	return noun(e.ResourceType) + " " + e.ID + " was changed by somebody else since the plan was made: nothing was sent"
}

// KeepsUnnamed reports whether what is left out can be kept, by Write.Keep: of a PUT.
func (m *Manifest) KeepsUnnamed() bool { return m.Method == http.MethodPut }

// Validate returns nil when in can be sent, as far as can be told without asking
// the service: by the manifest, and by Rules. Otherwise it is an *InputError with
// every fault.
func (w *Write) Validate(in Input) error { return w.validate(w.Rules, in) }

// validate checks in by the manifest and by rules, unless those are zero.
func (w *Write) validate(rules scim.RuleSet, in Input) error {
	v := validator{in: in, keep: w.Keep}
	if w.Action.KeepsUnnamed() && !w.Keep {
		v.cure = keepCure(noun(w.Action.resource()))
	}
	if rules.Name != "" && w.Action.resource() == "User" && w.Action.takes("userName") {
		t, err := UserType(rules)
		if err != nil {
			return err
		}
		v.typ = t
	}
	return validate(w.Action.Manifest, v)
}

// rules returns the rules by which the directory reads what is sent: those that an
// answer tells, else those that were given.
func (w *Write) rules(a *client.Answer) (scim.RuleSet, error) {
	// A rule set of a newer server is none that could be planned by.
	if told, err := scim.Rules(a.RuleSet()); err == nil {
		if told, err = told.With(a.Rules()); err == nil {
			return told, nil
		}
	}
	if w.Rules.Name != "" {
		return w.Rules, nil
	}
	return scim.Rules(scim.Standard)
}

// Plan reads the resource and returns what Run would do; nothing is changed. Before
// the first request it checks in, as Validate does, and after it again, under the
// rules that the service told: the error is then an *InputError. Errors of the
// service are as in client.Endpoint.Get.
func (w *Write) Plan(ctx context.Context, in Input) (*Plan, error) {
	if w.Action.plan == nil {
		return nil, fmt.Errorf("%s changes nothing: there is nothing to plan", w.Action.Name)
	}
	if err := w.Validate(in); err != nil {
		return nil, err
	}
	in = w.Action.sent(in)
	p, err := w.Action.plan(ctx, w, in)
	if err != nil {
		return nil, err
	}
	p.Action, p.input = w.Action.Name, in
	return p, nil
}

// PlanOf is Plan of a PUT of the resource that now shows: an answer to a GET of the
// whole of it, such as Plan.Source of an earlier plan. Of that, its body and its
// headers ETag, Roster-Rule-Set and Roster-Rules count. It asks no service.
func (w *Write) PlanOf(now *client.Answer, in Input) (*Plan, error) {
	if !w.Action.KeepsUnnamed() {
		return nil, fmt.Errorf("%s does not follow from what is there alone", w.Action.Name)
	}
	if err := w.Validate(in); err != nil {
		return nil, err
	}
	in = w.Action.sent(in)
	p, err := w.planOf(now, in)
	if err != nil {
		return nil, err
	}
	p.Action, p.input = w.Action.Name, in
	return p, nil
}

// Apply carries out a plan that Plan made, and returns what changed; when nothing
// would, nothing is written. The resource must still be as it was for the plan: a
// service with ETags is told so (If-Match), of another one it is read again just
// before, which leaves a moment in between. Then the error is a *scim.Error with
// status 412, or a *ChangedError. Members are added and removed whatever else
// changes in their group. Other errors are as in client.Endpoint.Replace.
func (w *Write) Apply(ctx context.Context, p *Plan) (*Result, error) {
	o, err := writeOptions(p.input)
	if err != nil {
		return nil, err
	}
	cut := len(o.Attributes) > 0 || len(o.ExcludedAttributes) > 0
	o.IfMatch = cmp.Or(w.IfMatch, p.input.text("ifMatch"))
	if p.before != nil && len(p.Changes) == 0 && p.Operation == UpdatePlan && p.Doubt == "" && o.IfMatch == "" {
		return w.show(ctx, p, o, cut)
	}
	answer, err := w.send(ctx, p, o)
	if err != nil {
		return nil, err
	}
	done := &Result{Plan: p, Changes: p.Changes, Foretold: true, Answer: answer}
	if p.after == nil || cut || answer == nil || len(answer.Body) == 0 {
		return done, nil
	}
	is, err := readState(p.typ, answer.Body)
	if err != nil {
		return nil, fmt.Errorf("%s: it was done, but the answer cannot be read: %w", w.Action.words(), err)
	}
	if !is.shows(p.after) {
		return done, nil
	}
	done.Foretold = false
	done.Changes = p.before.changes(is)
	p.mark(done.Changes)
	if p.Doubt == "" {
		foretold := *p.after
		foretold.doc = nil // what becomes of unknown attributes is not foretold
		done.Differs = foretold.changes(is)
	}
	return done, nil
}

// send sends the request of a plan, unless a Resumed one was carried out before.
func (w *Write) send(ctx context.Context, p *Plan, o *client.WriteOptions) (*client.Answer, error) {
	if p.answer != nil && o.IfMatch == "" {
		o.IfMatch = version(p.answer)
		if o.IfMatch == "" || w.Resumed && p.answer.RuleSet() == "" {
			if done, err := w.standing(ctx, p); err != nil || done != nil {
				return done, err
			}
		}
	}
	send := p.send
	if send == nil {
		send = w.Action.send
	}
	answer, err := send(ctx, w.Client, p.input, o)
	if refused := (*scim.Error)(nil); w.Resumed && p.answer != nil && errors.As(err, &refused) && refused.Status == http.StatusPreconditionFailed {
		if done, serr := w.standing(ctx, p); serr == nil && done != nil {
			return done, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", w.Action.words(), err)
	}
	return answer, nil
}

// show is Apply of a plan without a change.
func (w *Write) show(ctx context.Context, p *Plan, o *client.WriteOptions, cut bool) (*Result, error) {
	r := &Result{Plan: p, Answer: p.answer}
	if cut {
		now, err := w.Client.Resources(w.Action.endpoint()).Get(ctx, p.ID, &client.GetOptions{Attributes: o.Attributes, ExcludedAttributes: o.ExcludedAttributes})
		if err != nil {
			return nil, fmt.Errorf("read the %s: %w", noun(p.ResourceType), err)
		}
		r.Answer = now.Answer
	}
	return r, nil
}

// version returns the ETag of an answer for If-Match, or "" where it is no version
// of the resource: many web servers put a digest of the body there, and compare it
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

// standing reads the resource again. It returns what it has read when Resumed is set
// and the resource is as planned, nil when it is as it was, and else a *ChangedError.
func (w *Write) standing(ctx context.Context, p *Plan) (*client.Answer, error) {
	now, err := w.Client.Resources(w.Action.endpoint()).Get(ctx, p.ID, p.read)
	if err != nil {
		return nil, fmt.Errorf("read the %s again: %w", noun(p.ResourceType), err)
	}
	is, err := readState(p.typ, now.Answer.Body)
	if err != nil {
		return nil, fmt.Errorf("the %s as the service shows it: %w", noun(p.ResourceType), err)
	}
	if w.Resumed && p.after != nil && p.Doubt == "" && len(p.after.changes(is)) == 0 {
		return now.Answer, nil
	}
	if changes := p.before.changes(is); len(changes) > 0 {
		return nil, &ChangedError{p.ResourceType, p.ID, changes}
	}
	return nil, nil
}

// Run is Plan and Apply in one.
func (w *Write) Run(ctx context.Context, in Input) (*Result, error) {
	p, err := w.Plan(ctx, in)
	if err != nil {
		return nil, err
	}
	return w.Apply(ctx, p)
}

// sent returns in without what is as good as left out: null, but in a body.
func (m *Manifest) sent(in Input) Input {
	out := make(Input, len(in))
	for name, v := range in {
		if v.Kind() != 'n' || m.Parameter(name).In == InBody {
			out[name] = slices.Clone(v)
		}
	}
	return out
}

// writeOptions returns the projection that in asks for.
func writeOptions(in Input) (*client.WriteOptions, error) {
	attributes, err := in.names("attributes")
	excluded, other := in.names("excludedAttributes")
	return &client.WriteOptions{Attributes: attributes, ExcludedAttributes: excluded}, errors.Join(err, other)
}

// UserType returns the user type of a directory with those rules; the zero
// RuleSet is the rule set standard.
func UserType(rules scim.RuleSet) (*scim.Type, error) { return typeOf("User", rules) }

// typeOf is UserType of a resource type.
func typeOf(name string, rules scim.RuleSet) (*scim.Type, error) {
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
	return m.Type(name), nil
}
