package roster

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// A Workflow is a file of steps that a server carries out in one directory.
type Workflow struct {
	Directory string `json:"directory"`
	Name      string `json:"name"` // unique in the directory
	// Source is the file, YAML.
	Source string `json:"source"`
	// Enabled says whether its triggers start runs.
	Enabled bool `json:"enabled"`
	// Key is the id of the key that deployed it: its runs may do in the directory
	// what that key may, as long as the key is live.
	Key      string    `json:"key"`
	Created  time.Time `json:"created"`  // UTC, microseconds
	Modified time.Time `json:"modified"` // UTC, microseconds
	Version  int64     `json:"version"`  // from 1, up by one with each change
	// Held counts the changes that its triggers select and that did not start it,
	// because they were made by its own runs or too deep in a chain of runs.
	Held int64 `json:"held,omitzero"`
}

// A RunStatus is how far a run, or a step of one, has come.
type RunStatus string

// The states. The last four are final.
const (
	RunQueued    RunStatus = "queued"
	RunRunning   RunStatus = "running"
	RunSucceeded RunStatus = "succeeded"
	RunFailed    RunStatus = "failed"
	RunCancelled RunStatus = "cancelled"
	RunSkipped   RunStatus = "skipped" // of a step alone: its condition did not hold
)

// A Run is one execution of a workflow.
type Run struct {
	ID        string    `json:"id"`
	Directory string    `json:"directory"`
	Workflow  string    `json:"workflow"`
	Version   int64     `json:"version"` // of the workflow; 0: of a file that is not deployed
	Status    RunStatus `json:"status"`
	// Trigger is what started it: "manual", "event" or "schedule".
	Trigger  string    `json:"trigger"`
	Cause    *Cause    `json:"cause,omitempty"` // the run that led to it; nil: none did
	Created  time.Time `json:"created"`         // UTC
	Started  time.Time `json:"started,omitzero"`
	Finished time.Time `json:"finished,omitzero"`
	// Inputs are a JSON object; a secret one is "***".
	Inputs jsontext.Value `json:"inputs,omitempty"`
	// Outputs are those that the workflow names, a JSON object.
	Outputs jsontext.Value `json:"outputs,omitempty"`
	Error   *RunError      `json:"error,omitempty"`
	Steps   []RunStep      `json:"steps,omitempty"` // in the order in which they began; a list of runs is without
}

// A RunStep is what became of one step of a run.
type RunStep struct {
	ID string `json:"id"`
	// Item counts the items of a for-each from 0; nil: the step is in none.
	Item     *int           `json:"item,omitempty"`
	Kind     string         `json:"kind"` // "action", "email", "http", "if", "for-each" or "stop"
	Action   string         `json:"action,omitempty"`
	Status   RunStatus      `json:"status"`
	Attempts []RunAttempt   `json:"attempts,omitempty"`
	Input    jsontext.Value `json:"input,omitempty"` // a JSON object; what is secret is "***"
	Output   jsontext.Value `json:"output,omitempty"`
	Changes  []Change       `json:"changes,omitempty"` // that an action made in a user, part by part
	Error    *RunError      `json:"error,omitempty"`
}

// A RunAttempt is one try of a step.
type RunAttempt struct {
	Started  time.Time `json:"started"` // UTC
	Finished time.Time `json:"finished"`
	Error    *RunError `json:"error,omitempty"`
}

// A RunError is why a run, a step or an attempt failed.
type RunError struct {
	Step      string `json:"step,omitempty"` // the id of the step that failed; of a run alone
	Status    int    `json:"status,omitzero"`
	ScimType  string `json:"scimType,omitempty"`
	Message   string `json:"message"`
	Temporary bool   `json:"temporary"` // another attempt may succeed
}
