package workflow

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/store"
)

// runsOf adds to runs those that an event starts, one for each workflow, and
// counts in held those that it would start in a circle.
func (s *Service) runsOf(runs []NewRun, t *task, e *roster.Event, held map[string]int64) ([]NewRun, error) {
	var env Env
	begun := ""
	for _, tr := range t.triggers {
		w := tr.workflow
		if w.Name == begun || e.Seq <= w.Since || !tr.Event.selects(e) {
			continue
		}
		input := s.runInput(&w.Workflow, TriggerEvent)
		input.Cause, input.Event = e.Cause, e
		id := runID(TriggerEvent, w.Directory, w.Name, e.ID)
		if env == nil {
			var err error
			if env, err = eventEnv(e); err != nil {
				return nil, err
			}
		}
		env["run"] = runEnv(id, w, input)
		if ok, err := tr.Event.holds(env); err != nil {
			s.Log.Warn("a trigger's when has no answer to an event: it starts no run", "directory", w.Directory, "workflow", w.Name, "event", e.Seq, "err", err)
			continue
		} else if !ok {
			continue
		}
		if e.Cause != nil && (e.Cause.Workflow == w.Name && !tr.Event.Own || input.Depth() > s.MaxDepth) {
			held[w.Name]++
			continue
		}
		run, err := newRun(id, w, tr.file, tr.Trigger, input, env)
		if err != nil {
			return nil, err
		}
		runs = append(runs, run)
		begun = w.Name
	}
	return runs, nil
}

// newRun returns a run that a trigger starts. Inputs that the workflow does not
// take make a run that fails with what is wrong, where people see it.
func newRun(id string, w *store.Workflow, f *File, tr *Trigger, in *RunInput, env Env) (NewRun, error) {
	given, err := tr.inputs(env)
	if err == nil {
		in.Inputs, err = f.Bind(given)
	}
	if err != nil {
		in.Inputs, in.Fault = jsontext.Value("{}"), err.Error()
	}
	data, err := in.Encode()
	if err != nil {
		return NewRun{}, err
	}
	return NewRun{ID: id, Directory: w.Directory, Workflow: w.Name, Input: data}, nil
}

// selects reports whether an event is of the kind that the trigger names.
func (t *EventTrigger) selects(e *roster.Event) bool {
	if t.ResourceType != "" && t.ResourceType != e.ResourceType ||
		t.Operations != nil && !slices.Contains(t.Operations, string(e.Operation)) {
		return false
	}
	return t.Attributes == nil || slices.ContainsFunc(e.Changes, func(c roster.Change) bool {
		return slices.Contains(t.Attributes, c.Attribute)
	})
}

// holds reports whether the condition of the trigger holds.
func (t *EventTrigger) holds(env Env) (bool, error) {
	if t.When == nil {
		return true, nil
	}
	v, err := t.When.Eval(env)
	if err != nil {
		return false, err
	}
	ok, isBool := v.(bool)
	if !isBool && v != nil {
		return false, errors.New("it is neither true nor false")
	}
	return ok, nil
}

// eventEnv returns the root event, in the form in which the API shows it.
func eventEnv(e *roster.Event) (Env, error) {
	data, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		return nil, err
	}
	return Env{"event": v}, nil
}

// runEnv returns the root run of a trigger.
func runEnv(id string, w *store.Workflow, in *RunInput) map[string]any {
	return map[string]any{"id": id, "workflow": w.Name, "directory": w.Directory, "trigger": in.Trigger}
}

// inputs returns what the trigger gives a run.
func (t *Trigger) inputs(env Env) (map[string]jsontext.Value, error) {
	given := make(map[string]jsontext.Value, len(t.Inputs))
	for _, in := range t.Inputs {
		v, present, err := in.Value.Eval(env)
		if err != nil {
			return nil, fmt.Errorf("input %s: %w", in.Name, err)
		}
		if !present {
			continue
		}
		if given[in.Name], err = json.Marshal(v, json.Deterministic(true)); err != nil {
			return nil, fmt.Errorf("input %s: %w", in.Name, err)
		}
	}
	return given, nil
}
