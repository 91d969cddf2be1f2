package workflow

import (
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/action"
	"github.com/roster-scim/roster/client"
)

// A record is what is kept of one call of a run, an attempt of a step: all that
// the rest of the run, and who looks at it, knows of it. No secret is in it, but
// for what a directory itself holds in source.
type record struct {
	Step    string           `json:"step"`
	Item    *int             `json:"item,omitempty"`
	Kind    string           `json:"kind"`
	Action  string           `json:"action,omitempty"`
	Part    string           `json:"part,omitempty"` // of the step; empty: its effect
	Status  roster.RunStatus `json:"status"`
	Started time.Time        `json:"started"`
	Ended   time.Time        `json:"ended"`
	Input   jsontext.Value   `json:"input,omitempty"`
	Output  jsontext.Value   `json:"output,omitempty"`
	Changes []action.Change  `json:"changes,omitempty"`
	Error   *roster.RunError `json:"error,omitempty"`
	Class   string           `json:"class,omitempty"` // of the error, as Retry.On has it; empty: another attempt mends nothing
	// Again says that there is another attempt, after so many milliseconds.
	Again bool  `json:"again,omitzero"`
	Wait  int64 `json:"wait,omitzero"`
	// Fatal says that the step has failed for good, and what it is in with it.
	Fatal  bool    `json:"fatal,omitzero"`
	Source *source `json:"source,omitempty"` // of partRead
}

// The kinds of steps, as roster.RunStep has them.
const (
	kindAction  = "action"
	kindEmail   = "email"
	kindHTTP    = "http"
	kindIf      = "if"
	kindForEach = "for-each"
	kindStop    = "stop"
)

// The parts of a step that is more than one call.
const (
	partRead  = "read"  // what is to be changed, as it is before
	partBegin = "begin" // of a for-each: how many items there are
	partEnd   = "end"   // of a for-each: what became of them
)

// A source is a resource as it was before a step changed it: what an update is
// planned of, in the same way each time that the run comes by.
type source struct {
	ETag    string         `json:"etag,omitempty"`
	RuleSet string         `json:"ruleSet,omitempty"`
	Rules   string         `json:"rules,omitempty"`
	Body    jsontext.Value `json:"body"`
}

func sourceOf(a *client.Answer) *source {
	return &source{ETag: a.ETag(), RuleSet: a.RuleSet(), Rules: string(a.Rules()), Body: a.Body}
}

// answer returns the answer to a GET that the source was taken from, as far as a
// plan needs it.
func (s *source) answer() *client.Answer {
	a := &client.Answer{Status: 200, Header: make(map[string][]string), Body: s.Body}
	for name, v := range map[string]string{"ETag": s.ETag, "Roster-Rule-Set": s.RuleSet, "Roster-Rules": s.Rules} {
		if v != "" {
			a.Header.Set(name, v)
		}
	}
	return a
}

// options of records: what a service sends may be what it should not.
var recordOptions = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true), json.Deterministic(true))

func readRecord(b []byte) (*record, error) {
	rec := new(record)
	if err := json.Unmarshal(b, rec, recordOptions); err != nil {
		return nil, fmt.Errorf("read the record of a step: %w", err)
	}
	return rec, nil
}

// key names the step, and the item, that a record is of.
func (r *record) key() string { return workName(r.Step, r.Item) }

// workName returns "step", or "step.3" of an item.
func workName(step string, item *int) string {
	if item == nil {
		return step
	}
	return fmt.Sprintf("%s.%d", step, *item)
}

// History returns the steps of a run by the results that are kept of it, in
// the order in which they began. A step whose next attempt is still to come is
// running.
func History(results []StepResult) ([]roster.RunStep, error) {
	var steps []roster.RunStep
	index := make(map[string]int)
	began := make(map[string]time.Time) // of an attempt whose first part was read
	for _, r := range results {
		rec, err := readRecord(r.Output)
		if err != nil {
			return nil, err
		}
		i, known := index[rec.key()]
		if !known {
			i = len(steps)
			index[rec.key()] = i
			steps = append(steps, roster.RunStep{ID: rec.Step, Item: rec.Item, Kind: rec.Kind, Action: rec.Action})
		}
		s := &steps[i]
		s.Status, s.Error = rec.Status, rec.Error
		if rec.Again || rec.Part == partBegin && rec.Error == nil || rec.Part == partRead && rec.Status == roster.RunSucceeded {
			s.Status, s.Error = roster.RunRunning, nil
		}
		if len(rec.Input) > 0 {
			s.Input = rec.Input
		}
		if len(rec.Output) > 0 {
			s.Output = rec.Output
		}
		for _, c := range rec.Changes {
			s.Changes = append(s.Changes, roster.Change{Attribute: c.Attribute, Before: c.Before, After: c.After})
		}
		switch {
		case rec.Kind != kindAction && rec.Kind != kindEmail && rec.Kind != kindHTTP || rec.Status == roster.RunSkipped:
		case rec.Part == partRead && rec.Error == nil:
			began[rec.key()] = rec.Started
		default:
			a := roster.RunAttempt{Started: rec.Started, Finished: rec.Ended, Error: rec.Error}
			if at, ok := began[rec.key()]; ok {
				a.Started = at
				delete(began, rec.key())
			}
			s.Attempts = append(s.Attempts, a)
		}
	}
	return steps, nil
}

// RetryFrom returns the number of the result from which on a run is carried
// out anew: the first of the step that has failed, of a for-each the first of the
// first item that has; the end of what there is when none has.
func RetryFrom(results []StepResult) int {
	end := 0
	var loop string // the for-each that has failed
	records := make([]*record, len(results))
	for i, r := range results {
		rec, err := readRecord(r.Output)
		if err != nil {
			return r.Number
		}
		records[i], end = rec, r.Number+1
		if rec.Fatal && rec.Item == nil {
			if rec.Part != partEnd {
				return firstOf(results[:i+1], records, rec.key())
			}
			loop = rec.Step
			break
		}
	}
	within := false
	for i, rec := range records {
		switch {
		case loop == "" || rec == nil:
			return end
		case rec.Item == nil:
			within = rec.Step == loop && rec.Part == partBegin
		case within && rec.Fatal:
			return firstOf(results[:i+1], records, rec.key())
		}
	}
	return end
}

// firstOf returns the number of the first result of a step.
func firstOf(results []StepResult, records []*record, key string) int {
	for i, r := range results {
		if records[i].key() == key {
			return r.Number
		}
	}
	return 0
}

// A failure is the error of a run that has failed. Its text is the RunError as
// JSON, which is what an Engine keeps of it; result reads it.
type failure struct{ roster.RunError }

func (f *failure) Error() string {
	b, err := json.Marshal(f.RunError, recordOptions)
	if err != nil {
		return f.Message
	}
	return string(b)
}

// result returns what a run has given, and why it has failed; nil: it has not.
func result(e *EngineRun) (outputs jsontext.Value, failed *roster.RunError, err error) {
	if e.Error == "" {
		return e.Output, nil, nil
	}
	failed = new(roster.RunError)
	if json.Unmarshal([]byte(e.Error), failed, recordOptions) != nil {
		failed = &roster.RunError{Message: e.Error} // of the engine itself
	}
	return nil, failed, nil
}
