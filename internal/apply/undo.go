package apply

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/action"
	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/scim"
)

// UndoOptions say how a run is taken back.
type UndoOptions struct {
	// Force takes back what somebody has changed since: their change is lost.
	Force       bool
	Concurrency int // requests at once; less than 1: 16
}

// undoer plans how a run is taken back.
type undoer struct {
	d     *Directory
	of    *Run
	o     UndoOptions
	trash bool // deleted people can be restored

	mu     sync.Mutex
	faults Faults
	p      *planner
}

// PlanUndo reads what a run has done, and the people as they are, and writes into
// run what takes it back: who was changed becomes what they were, who was created
// is deleted, who was deleted is restored. A *Faults names those whom somebody has
// changed since. Nothing is sent that changes anything.
func PlanUndo(ctx context.Context, d *Directory, of, run *Run, o UndoOptions) (err error) {
	plan, err := createSpill(run.path(planFile))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, plan.close()) }()
	if o.Concurrency < 1 {
		o.Concurrency = 16
	}
	u := &undoer{d: d, of: of, o: o, faults: Faults{Changed: true}, p: &planner{d: d, run: run, plan: plan}}
	done, err := of.journal()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done.close()) }()
	// People are read in parts, several at once, and planned in the run's order.
	part := make([]*Step, 0, 16*o.Concurrency)
	for s, err := range of.Steps() {
		if err != nil {
			return err
		}
		r, err := done.of(s.N)
		if err != nil {
			return err
		}
		if r != nil && !r.Done && !r.Again {
			continue // refused: nothing was done
		}
		if part = append(part, s); len(part) == cap(part) {
			if err := u.part(ctx, part, done); err != nil {
				return err
			}
			part = part[:0]
		}
	}
	if err := u.part(ctx, part, done); err != nil {
		return err
	}
	if err := u.faults.err(); err != nil {
		return err
	}
	if err := plan.sync(); err != nil {
		return err
	}
	run.Meta.State = Planned
	return run.save()
}

// part plans some steps.
func (u *undoer) part(ctx context.Context, steps []*Step, done *journal) error {
	undos, errs := make([]*Step, len(steps)), make([]error, len(steps))
	slots := make(chan struct{}, u.o.Concurrency)
	var work sync.WaitGroup
	for i, s := range steps {
		slots <- struct{}{}
		work.Go(func() {
			defer func() { <-slots }()
			r, err := done.of(s.N)
			if err != nil {
				errs[i] = err
				return
			}
			undos[i], errs[i] = u.step(ctx, s, r)
		})
	}
	work.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, s := range undos {
		if s == nil {
			continue
		}
		if err := u.p.write(s); err != nil {
			return err
		}
	}
	return nil
}

// step returns what takes a step back; nil: nothing has to be done. r is what
// became of it, nil when nobody knows.
func (u *undoer) step(ctx context.Context, s *Step, r *Result) (*Step, error) {
	id := s.ID
	if r != nil && r.ID != "" {
		id = r.ID
	}
	if id == "" { // it may have been created by a process that was killed
		found, err := u.named(ctx, s)
		if found == "" || err != nil {
			return nil, err
		}
		id = found
	}
	now, err := u.d.users().Get(ctx, id, &client.GetOptions{ExcludedAttributes: []string{"groups"}})
	if statusOf(err) == http.StatusNotFound {
		return u.gone(ctx, s, id, r)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", id, err)
	}
	if s.Op == Delete {
		return nil, nil // it is there: nothing was deleted, or it is back
	}
	same, is := u.as(s, r, now.Body)
	if is == before && len(s.Before) > 0 && s.Op != Restore {
		return nil, nil
	}
	if !same && !u.o.Force {
		u.fault(s, "was changed by somebody else since: see --force")
		return nil, nil
	}
	undo := &Step{Op: Update, ID: id, Before: now.Body}
	shown, err := parseObject(now.Body)
	if err != nil {
		return nil, err
	}
	if s.Op == Create || s.Op == Restore {
		undo.Op, undo.UserName = Delete, shown.text("userName")
		undo.Note = "the run created this person"
		return undo, nil
	}
	return undo, u.back(undo, s.Before)
}

// named returns the id of a person who is what a step creates, "" for none.
func (u *undoer) named(ctx context.Context, s *Step) (string, error) {
	x := &executor{d: u.d}
	r := new(Result)
	if _, err := x.twin(ctx, s, r); err != nil {
		return "", err
	}
	return r.ID, nil
}

// as reports whether a person is as a step left them.
func (u *undoer) as(s *Step, r *Result, now jsontext.Value) (bool, standing) {
	at := changed
	if len(s.Body) > 0 && len(s.Before) > 0 {
		at, _ = u.d.standing(s, now) // what cannot be compared is taken for changed
	}
	if r != nil && r.Sum != "" {
		is, err := sum(now)
		return err == nil && is == r.Sum, at
	}
	if len(s.Before) == 0 {
		done, err := u.d.done(s, now)
		return err == nil && done, at
	}
	return at == after, at
}

// gone plans a person who is not there.
func (u *undoer) gone(ctx context.Context, s *Step, id string, r *Result) (*Step, error) {
	switch s.Op {
	case Create, Restore:
		return nil, nil
	case Delete:
		if r == nil || !r.Done {
			u.fault(s, "is gone, and the run did not finish deleting them: look at the directory")
			return nil, nil
		}
	default:
		u.fault(s, "was deleted since: restore them first")
		return nil, nil
	}
	undo := &Step{Op: Restore, ID: id, UserName: s.UserName, Before: s.Before}
	ok, err := u.canRestore(ctx)
	if err != nil || ok {
		return undo, err
	}
	undo.Note = "comes back under another id; memberships of groups do not come back"
	doc, err := own(s.Before)
	if err != nil {
		return nil, err
	}
	undo.Body, err = doc.body()
	return undo, err
}

// canRestore reports whether the directory has a trash that the key may use.
func (u *undoer) canRestore(ctx context.Context) (bool, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.trash || !u.d.Roster || u.d.Client.Directory == "" {
		return u.trash, nil
	}
	for _, err := range u.d.Client.Management().ListTrash(ctx, u.d.Client.Directory) {
		switch statusOf(err) {
		case 0:
			u.trash = err == nil
			return u.trash, err
		case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
			return false, nil
		}
		return false, err
	}
	return false, nil // an empty trash holds nobody
}

func (u *undoer) fault(s *Step, text string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.faults.add(s.Line, "%q %s", s.UserName, text)
}

// back completes a step that makes a person what they were.
func (u *undoer) back(undo *Step, was jsontext.Value) error {
	doc, err := own(was)
	if err != nil {
		return err
	}
	if u.d.Type.Rules.KeepOmittedExternalID && len(doc.get("externalId")) == 0 {
		doc["externalId"] = jsontext.Value("null") // left out it would stay
	}
	if err := u.d.fill(undo, doc); err != nil {
		u.fault(undo, "cannot become what they were: "+wordsOf(err))
		return nil
	}
	old, err := read(u.d.Type, was)
	if err != nil {
		return err
	}
	want, _, err := u.d.Type.Parse(undo.Body)
	if err != nil {
		return err
	}
	now, err := read(u.d.Type, undo.Before)
	if err != nil {
		return err
	}
	next, _, err := scim.Replace(now, want)
	if err != nil {
		return err
	}
	var lost []string
	for _, c := range action.Changes(old, next) {
		lost = append(lost, c.Attribute)
	}
	if len(lost) > 0 {
		undo.Note = "does not come back as it was: " + strings.Join(lost, ", ")
	}
	return nil
}
