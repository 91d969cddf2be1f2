package workflow

import (
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster"
)

// A RunInput is what a run is started with. It holds the file itself, so that the
// run goes on as it began when another version is deployed meanwhile.
type RunInput struct {
	Directory string         `json:"directory"`        // in which it runs
	Queued    time.Time      `json:"queued,omitzero"`  // UTC
	Version   int64          `json:"version,omitzero"` // of the workflow; 0: the file is not deployed
	Source    string         `json:"source"`           // the file
	Key       string         `json:"key,omitzero"`     // the id of the key by which the run acts in its directory
	Trigger   string         `json:"trigger"`          // as of roster.Run
	Cause     *roster.Cause  `json:"cause,omitempty"`  // of the event that started it; nil: none
	Event     *roster.Event  `json:"event,omitempty"`  // that started it; nil: none did
	Inputs    jsontext.Value `json:"inputs"`           // a JSON object with every input that has a value
	// Fault says what is wrong with the inputs that a trigger has made; with one the
	// run fails before its first step. Empty: nothing.
	Fault string `json:"fault,omitzero"`
	// Request is the SHA-256 of what a request with an Idempotency-Key has asked
	// for; empty: of none.
	Request []byte `json:"request,omitempty"`
}

// Encode returns in as NewRun.Input has it.
func (in *RunInput) Encode() ([]byte, error) { return json.Marshal(in) }

// DecodeRunInput is the reverse of Encode.
func DecodeRunInput(b []byte) (*RunInput, error) {
	in := new(RunInput)
	if err := json.Unmarshal(b, in); err != nil {
		return nil, fmt.Errorf("read the input of a run: %w", err)
	}
	return in, nil
}

// Depth returns which run of a chain this is, from 1: each was started by a
// change that the one before has made.
func (in *RunInput) Depth() int {
	if in.Cause == nil {
		return 1
	}
	return in.Cause.Depth + 1
}
