package workflow

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/action"
)

// maxRecord bounds what a step gives, in bytes.
const maxRecord = 4 << 20

// A work is one step in one frame, from its first attempt to what it gave.
type work struct {
	*interpreter
	step   *Step
	frame  *frame
	kind   string
	effect func(ctx context.Context, rec *record) error // one attempt: fills in what it gave

	key     *redactor // of the connection's key, should a service repeat it; nil: there is none
	part    string    // that the next call is
	source  *source   // that partRead has given
	attempt int       // the number of the next call's, from 1
	wait    time.Duration
	rec     *record // of the last call
	over    bool
}

func (p *interpreter) newWork(f *frame, s *Step) *work {
	w := &work{interpreter: p, step: s, frame: f, attempt: 1}
	switch {
	case s.Action != nil:
		w.kind, w.effect = kindAction, w.act
		if readsFirst(s.Action.Name) {
			w.part = partRead
		}
	case s.Email != nil:
		w.kind, w.effect = kindEmail, w.mail
	case s.HTTP != nil:
		w.kind, w.effect = kindHTTP, w.request
	case s.If != nil:
		w.kind, w.effect = kindIf, w.decide
	case s.Stop != nil:
		w.kind, w.effect = kindStop, w.stop
	case s.ForEach != nil:
		w.kind = kindForEach
	}
	return w
}

// id names the step in this run, and the item: "run.step.item". In an on-error it
// names the failure as well.
func (w *work) id() string {
	return w.x.ID() + "." + workName(w.step.ID, w.frame.item) + w.frame.rescue
}

// name is that of the next call.
func (w *work) name() string {
	name := workName(w.step.ID, w.frame.item)
	if w.part != "" {
		name += ":" + w.part
	}
	if w.attempt > 1 {
		name += fmt.Sprintf("~%d", w.attempt)
	}
	return name
}

// call carries out one attempt and returns its record. The error is that of ctx,
// when the node or the run is to end, and what was begun has failed of it.
func (w *work) call(ctx context.Context) ([]byte, error) {
	rec := &record{Step: w.step.ID, Item: w.frame.item, Kind: w.kind, Part: w.part, Status: roster.RunSucceeded, Started: w.now()}
	if w.step.Action != nil {
		rec.Action = w.step.Action.Name
	}
	// A part after the first belongs to a step whose condition held.
	if w.step.When != nil && w.part != partEnd && w.source == nil {
		if holds, err := w.step.When.True(w.frame.env); err != nil {
			w.fail(rec, fmt.Errorf("when: %w", err))
			return w.encode(rec)
		} else if !holds {
			rec.Status, rec.Ended = roster.RunSkipped, rec.Started
			return w.encode(rec)
		}
	}
	within, cancel := context.WithTimeout(ctx, w.step.timeout())
	defer cancel()
	err := w.try(within, rec)
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err == nil && len(rec.Output) > maxRecord {
		rec.Output = nil
		err = fmt.Errorf("what the step gave is larger than %d MiB: ask for less of it, with attributes or a filter", maxRecord>>20)
	}
	if err != nil {
		w.fail(rec, err)
	}
	return w.encode(rec)
}

// try is effect; a panic in it is its error.
func (w *work) try(ctx context.Context, rec *record) (err error) {
	defer func() {
		if v := recover(); v != nil {
			w.Log.Error("panic", "run", w.x.ID(), "step", w.step.ID, "panic", w.redact.text(fmt.Sprint(v)), "stack", string(debug.Stack()))
			err = fmt.Errorf("the step failed within Roster: the server's log has it under the run %s", w.x.ID())
		}
	}()
	return w.effect(ctx, rec)
}

// fail makes rec that of a failed attempt.
func (w *work) fail(rec *record, err error) {
	var after time.Duration
	rec.Status, rec.Source = roster.RunFailed, nil
	rec.Error, rec.Class, after = failureOf(err)
	if w.step.ForEach == nil {
		var wait time.Duration
		wait, rec.Again = w.step.Retry.again(w.attempt, rec.Class, after)
		rec.Wait = wait.Milliseconds()
	}
	rec.Fatal = !rec.Again && !w.step.ContinueOnError
}

func (w *work) now() time.Time { return w.Now().UTC().Truncate(time.Microsecond) }

// encode returns rec as it is kept, without secrets.
func (w *work) encode(rec *record) ([]byte, error) {
	if rec.Ended.IsZero() {
		rec.Ended = w.now()
	}
	rec.hide(w.redact)
	if w.key != nil {
		rec.hide(w.key)
		if rec.Source != nil {
			rec.Source.Body = w.key.json(rec.Source.Body)
		}
	}
	if rec.Error != nil { // after the secrets: half of one is not found any more
		rec.Error.Message = shortened(rec.Error.Message)
	}
	return json.Marshal(rec, recordOptions)
}

// maxMessage bounds the text of an error, which may repeat what a step was given or
// a service said, in bytes.
const maxMessage = 4000

func shortened(s string) string {
	if len(s) <= maxMessage {
		return s
	}
	return strings.ToValidUTF8(s[:maxMessage], "") + "…"
}

// hide takes the secrets of r out of a record.
func (rec *record) hide(r *redactor) {
	rec.Input, rec.Output = r.json(rec.Input), r.json(rec.Output)
	rec.Changes = slices.Clone(rec.Changes)
	for i, c := range rec.Changes {
		rec.Changes[i] = action.Change{
			Op: c.Op, Attribute: r.text(c.Attribute), Before: r.json(c.Before), After: r.json(c.After), Defaulted: c.Defaulted, Warning: c.Warning,
		}
	}
	if rec.Error != nil {
		rec.Error.Message = r.text(rec.Error.Message)
	}
}

// take goes on by the record of a call.
func (w *work) take(rec *record) {
	w.rec = rec
	switch {
	case rec.Again:
		w.attempt++
		w.wait = time.Duration(rec.Wait) * time.Millisecond
		// Somebody else has changed what was read: the next attempt is for what it is
		// by then.
		if w.source != nil && rec.Class == classConflict {
			w.part, w.source = partRead, nil
		}
	case rec.Part == partRead && rec.Status == roster.RunSucceeded:
		w.part, w.source = "", rec.Source
	default:
		w.over = true
	}
}

// settle puts what the step gave into its frame.
func (w *work) settle() error {
	var before jsontext.Value
	if w.source != nil {
		before = w.redact.json(w.source.Body)
	}
	v, err := w.rec.view(before)
	if err != nil {
		return fmt.Errorf("read what step %s gave: %w", w.step.ID, err)
	}
	w.frame.steps[w.step.ID] = v
	if w.frame.own != nil {
		w.frame.own[w.step.ID] = v
	}
	if w.rec.Fatal {
		e := *w.rec.Error
		e.Step = w.step.ID
		w.frame.failed, w.frame.since = &e, w.rec.Ended
	}
	if w.step.Stop != nil && w.rec.Status != roster.RunSkipped {
		w.frame.stopped = true
	}
	return nil
}

// decide is the effect of an if.
func (w *work) decide(_ context.Context, rec *record) error {
	holds, err := w.step.If.Cond.True(w.frame.env)
	if err != nil {
		return fmt.Errorf("if: %w", err)
	}
	rec.Output = jsontext.Value(branchElse)
	if holds {
		rec.Output = jsontext.Value(branchThen)
	}
	return nil
}

// stop is the effect of a stop.
func (w *work) stop(_ context.Context, rec *record) error {
	message := ""
	if v := w.step.Stop.Message; v != nil {
		var err error
		if message, err = v.Text(w.shown(w.frame.env)); err != nil {
			return fmt.Errorf("message: %w", err)
		}
	}
	if w.step.Stop.Failed {
		if message == "" {
			message = "the workflow has stopped as failed"
		}
		return fmt.Errorf("%s", message)
	}
	rec.Output = quote(message)
	return nil
}
