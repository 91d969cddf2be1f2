package workflow

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/action"
	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/scim"
)

// Update User, the action whose plan is kept before it is carried out.
const updateUser = "update-user"

// readsFirst reports whether an action reads what it changes in a call of its
// own: then what it was is known, whatever happens to the second call, and a 404
// to a delete is of a delete that was done.
func readsFirst(name string) bool {
	a, err := action.Find(name)
	return err == nil && a.Writes && !a.Organization && (a.Parameter("userId") != nil || a.Method == http.MethodDelete)
}

// act is the effect of an action.
func (w *work) act(ctx context.Context, rec *record) error {
	a, err := action.Find(w.step.Action.Name)
	if err != nil {
		return err
	}
	in, err := w.parameters(rec)
	if err != nil {
		return err
	}
	cause := &roster.Cause{Run: w.x.ID(), Step: w.step.ID, Workflow: w.file.Name, Depth: w.in.Depth()}
	c, rules, err := w.Dial(ctx, Target{Directory: w.in.Directory, Connection: w.step.Action.Connection, Key: w.in.Key, Cause: cause})
	if err != nil {
		return fmt.Errorf("connection %s: %w", w.step.Action.Connection, err)
	}
	if c.Key != "" {
		w.key = newRedactor(nil, c.Key)
	}
	w.stamp(c, cause)
	switch {
	case a.Name == updateUser:
		return w.update(ctx, &action.UpdateUser{Client: c, Rules: rules, Keep: w.step.Action.Keep, Resumed: true}, in, rec)
	case w.part == partRead:
		return w.read(ctx, a, c, in, rec)
	case a.Name == "create-user":
		made, err := (&action.CreateUser{Client: c, Rules: rules}).Run(ctx, in)
		if err != nil {
			return err
		}
		rec.Output = made.Answer.Body
	default:
		out, err := a.Run(ctx, c, in)
		if err != nil {
			return err
		}
		if rec.Output, err = out.JSON(); err != nil {
			return err
		}
	}
	return w.compare(rules, in, rec)
}

// parameters returns those of the action, and notes them.
func (w *work) parameters(rec *record) (action.Input, error) {
	in := make(action.Input)
	noted := make(map[string]jsontext.Value)
	for _, o := range w.step.Action.With {
		v, present, err := o.Value.Eval(w.frame.env)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.Name, err)
		}
		if !present {
			continue
		}
		data, err := encode(v)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.Name, err)
		}
		in[o.Name], noted[o.Name] = data, data
	}
	var err error
	rec.Input, err = encode(noted)
	return in, err
}

// update plans an update of a user, and in another call carries it out. A plan
// follows from the input and from the user as it was read, so that it is the same
// in every attempt; the write holds for that user alone (If-Match).
func (w *work) update(ctx context.Context, u *action.UpdateUser, in action.Input, rec *record) error {
	if w.part == partRead {
		p, err := u.Plan(ctx, in)
		if err == nil {
			rec.Source = sourceOf(p.Source())
		}
		return err
	}
	p, err := u.PlanOf(w.source.answer(), in)
	if err != nil {
		return err
	}
	r, err := u.Apply(ctx, p)
	if err != nil {
		return err
	}
	rec.Output, rec.Changes = r.Answer.Body, r.Changes
	return nil
}

// read reads what an action is about to change. Of a group its members are left
// out: there may be very many.
func (w *work) read(ctx context.Context, a *action.Action, c *client.Client, in action.Input, rec *record) error {
	if err := a.Validate(in); err != nil {
		return err
	}
	endpoint, id, o := "/Users", "userId", new(client.GetOptions)
	if a.Parameter(id) == nil {
		endpoint, id, o = "/Groups", "groupId", &client.GetOptions{ExcludedAttributes: []string{"members"}}
	}
	text, err := jsontext.AppendUnquote(nil, in[id])
	if err != nil {
		return err
	}
	was, err := c.Resources(endpoint).Get(ctx, string(text), o)
	if err != nil {
		return err
	}
	rec.Source = sourceOf(was.Answer)
	return nil
}

// compare notes what an action has changed in a user, where the answer shows the
// whole of it.
func (w *work) compare(rules scim.RuleSet, in action.Input, rec *record) error {
	if w.source == nil || len(rec.Output) == 0 || len(in["attributes"])+len(in["excludedAttributes"]) > 0 {
		return nil
	}
	if told, err := scim.Rules(w.source.RuleSet); err == nil {
		if told, err = told.With([]byte(w.source.Rules)); err == nil {
			rules = told
		}
	}
	t, err := action.UserType(rules)
	if err != nil {
		return err
	}
	// What cannot be read is not compared: the action itself was carried out.
	rec.Changes, _ = action.ChangesOfUser(t, w.source.Body, rec.Output)
	return nil
}

// stamp makes the requests of c those of this step: through the guard where c has
// no transport, with the cause, and each write with an Idempotency-Key that is
// the same whenever the step is carried out.
func (w *work) stamp(c *client.Client, cause *roster.Cause) {
	web := http.Client{Transport: w.web.Transport}
	if c.HTTP != nil {
		web = *c.HTTP
	}
	next := web.Transport
	if next == nil {
		next = w.web.Transport
	}
	web.Transport = &stamped{next: next, key: boundedKey(w.id(), maxKey), cause: cause.String()}
	c.HTTP, c.Resumed = &web, true
}

// maxKey is the length of the longest Idempotency-Key, less what stamped adds.
const maxKey = 255 - 33

// boundedKey returns id, or where it is longer than most a name that stands for
// it.
func boundedKey(id string, most int) string {
	if len(id) <= most {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return id[:most-33] + "-" + hex.EncodeToString(sum[:16])
}

// stamped is the transport of one attempt of a step.
type stamped struct {
	next  http.RoundTripper
	key   string
	cause string

	mu    sync.Mutex
	first string // which write has the key itself
}

// keyHeader is spelt as package client does: net/http takes the canonical form as
// leave to send a request again by itself.
const keyHeader = "idempotency-key"

// RoundTrip implements http.RoundTripper. Of several writes the first has the key
// of the step; the others have one that names the write too. A request without a
// key writes nothing.
func (s *stamped) RoundTrip(req *http.Request) (*http.Response, error) {
	out := req.Clone(req.Context())
	out.Header.Set(roster.CauseHeader, s.cause)
	if _, writes := map[string][]string(out.Header)[keyHeader]; writes {
		var body []byte
		if req.Body != nil {
			var err error
			body, err = io.ReadAll(req.Body)
			if err = errors.Join(err, req.Body.Close()); err != nil {
				return nil, err
			}
			out.Body = io.NopCloser(bytes.NewReader(body))
		}
		out.Header[keyHeader] = []string{s.keyOf(req, body)}
	}
	return s.next.RoundTrip(out)
}

func (s *stamped) keyOf(req *http.Request, body []byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s %s\n%s", req.Method, req.URL.RequestURI(), body)
	name := hex.EncodeToString(h.Sum(nil)[:16])
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first == "" {
		s.first = name
	}
	if s.first == name {
		return s.key
	}
	return strings.Join([]string{s.key, name}, ".")
}
