package apply

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/action"
	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/scim"
)

// step does one step and says what became of it.
func (x *executor) step(ctx context.Context, s *Step) *Result {
	r := &Result{N: s.N, ID: s.ID}
	var a *client.Answer
	var err error
	switch s.Op {
	case Create:
		a, err = x.create(ctx, s, r)
	case Delete:
		err = x.delete(ctx, s)
	case Restore:
		a, err = x.restore(ctx, s, r)
	default:
		a, err = x.replace(ctx, s)
	}
	var ce *client.Error
	if errors.As(err, &ce) {
		r.Attempts = ce.Attempts
		// No answer, one that cannot be read, or an overloaded service: it may have
		// been done, or be done later.
		r.Again = ce.Answer == nil || ce.Answer.Status < 300 || ce.Answer.Status == http.StatusTooManyRequests || ce.Answer.Status >= 500
	}
	if a != nil {
		r.Attempts = max(a.Attempts, r.Attempts)
		if len(a.Body) > 0 {
			r.Sum, _ = sum(a.Body) // of an answer that is no object there is none
		}
	}
	if err != nil {
		r.Status, r.Error = statusOf(err), wordsOf(err)
		return r
	}
	r.Done = true
	if a != nil && len(a.Body) > 0 && len(s.Body) > 0 {
		// What cannot be compared is not told.
		if is, next, err := x.d.outcome(s, a.Body); err == nil {
			for _, c := range action.Changes(next, is) {
				r.Differs = append(r.Differs, c.Attribute)
			}
		}
	}
	return r
}

// get reads a person whole.
func (x *executor) get(ctx context.Context, id string) (*client.Resource, error) {
	return x.d.users().Get(ctx, id, &client.GetOptions{ExcludedAttributes: []string{"groups"}})
}

// standing compares a person with a step: as before it, as after it, or neither.
type standing int

const (
	changed standing = iota
	before
	after
)

func (d *Directory) standing(s *Step, now jsontext.Value) (standing, error) {
	if bytes.Equal(now, s.Before) { // the usual case, and the cheap one
		return before, nil
	}
	is, err := sum(now)
	if err != nil {
		return changed, err
	}
	was, err := sum(s.Before)
	if err != nil {
		return changed, err
	}
	if is == was {
		return before, nil
	}
	if s.Op == Delete || s.Op == Restore {
		return changed, nil
	}
	done, err := d.done(s, now)
	if done {
		return after, err
	}
	return changed, err
}

// done reports whether a person is what the step makes of them.
func (d *Directory) done(s *Step, now jsontext.Value) (bool, error) {
	is, next, err := d.outcome(s, now)
	return err == nil && len(action.Changes(is, next)) == 0, err
}

// outcome returns a person as they are, and as the step makes them.
func (d *Directory) outcome(s *Step, now jsontext.Value) (is, next *scim.Resource, err error) {
	want, _, err := d.Type.Parse(s.Body)
	if err != nil {
		return nil, nil, err
	}
	if is, err = read(d.Type, now); err != nil {
		return nil, nil, err
	}
	if len(s.Before) == 0 || s.Op == Restore {
		next, err = scim.Create(want)
		return is, next, err
	}
	was, err := read(d.Type, s.Before)
	if err == nil {
		next, _, err = scim.Replace(was, want)
	}
	return is, next, err
}

// replace sends a PUT, to a person who is as the plan found them.
func (x *executor) replace(ctx context.Context, s *Step) (*client.Answer, error) {
	match := s.Version
	if match == "" {
		now, err := x.get(ctx, s.ID)
		if err != nil {
			return nil, err
		}
		switch at, err := x.d.standing(s, now.Body); {
		case err != nil:
			return nil, err
		case at == after:
			return now.Answer, nil
		case at != before:
			return nil, &ChangedError{quoted(s.UserName)}
		}
		match = x.d.tag(now.Answer)
	}
	made, err := x.d.users().Replace(ctx, s.ID, &client.Resource{Body: s.Body}, &client.WriteOptions{
		IfMatch: match, IdempotencyKey: x.idempotencyKey(s), ExcludedAttributes: []string{"groups"},
	})
	if statusOf(err) == http.StatusPreconditionFailed {
		// A process that was killed may have done it, longer ago than a service
		// remembers.
		if now, gerr := x.get(ctx, s.ID); gerr == nil {
			if at, serr := x.d.standing(s, now.Body); serr == nil && at == after {
				return now.Answer, nil
			}
		}
		return nil, &ChangedError{quoted(s.UserName)}
	}
	if err != nil {
		return nil, err
	}
	return made.Answer, nil
}

func quoted(name string) string { return fmt.Sprintf("%q", name) }

// create sends a POST. One that was done already, by a process that was killed or
// before an answer was lost, is found by its userName.
func (x *executor) create(ctx context.Context, s *Step, r *Result) (*client.Answer, error) {
	if x.resumed && !x.d.Roster {
		if a, err := x.twin(ctx, s, r); a != nil || err != nil {
			return a, err
		}
	}
	u := new(client.User)
	if err := json.Unmarshal(s.Body, u); err != nil {
		return nil, err
	}
	made, err := x.d.Client.Users().Create(ctx, u, &client.WriteOptions{IdempotencyKey: x.idempotencyKey(s), ExcludedAttributes: []string{"groups"}})
	if statusOf(err) == http.StatusConflict && x.resumed {
		if a, terr := x.twin(ctx, s, r); a != nil && terr == nil {
			return a, nil
		}
	}
	if err != nil {
		return nil, err
	}
	r.ID = made.ID
	return made.Answer, nil
}

// twin looks for a person who is what the step creates; nil: there is none.
func (x *executor) twin(ctx context.Context, s *Step, r *Result) (*client.Answer, error) {
	for u, err := range x.d.users().List(ctx, listOptions("userName eq "+client.Quote(s.UserName))) {
		if err != nil {
			return nil, err
		}
		if same, err := x.d.done(s, u.Body); err != nil || !same {
			return nil, err
		}
		r.ID = u.ID
		return u.Answer, nil
	}
	return nil, nil
}

// delete removes a person who is as the plan found them.
func (x *executor) delete(ctx context.Context, s *Step) error {
	now, err := x.get(ctx, s.ID)
	if statusOf(err) == http.StatusNotFound && x.resumed {
		return nil
	}
	if err != nil {
		return err
	}
	if at, err := x.d.standing(s, now.Body); err != nil || at != before {
		return errors.Join(err, &ChangedError{quoted(s.UserName)})
	}
	err = x.d.users().Delete(ctx, s.ID, &client.DeleteOptions{IfMatch: x.d.tag(now.Answer), IdempotencyKey: x.idempotencyKey(s)})
	if statusOf(err) == http.StatusPreconditionFailed {
		return &ChangedError{quoted(s.UserName)}
	}
	return err
}

// restore brings a deleted person back: on a Roster as they were, elsewhere as a
// new one of the same attributes.
func (x *executor) restore(ctx context.Context, s *Step, r *Result) (*client.Answer, error) {
	if len(s.Body) > 0 {
		return x.create(ctx, s, r)
	}
	a, err := x.d.Client.Management().Restore(ctx, x.d.Client.Directory, s.ID)
	if err != nil {
		if now, gerr := x.get(ctx, s.ID); x.resumed && gerr == nil {
			return now.Answer, nil
		}
		return nil, err
	}
	return a, nil
}
