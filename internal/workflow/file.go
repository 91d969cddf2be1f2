package workflow

import (
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// A File is a workflow as it was written, parsed and with its names bound.
type File struct {
	Name        string
	Description string
	Inputs      []Input
	Connections []string // that its steps use, beside roster.LocalConnection
	Triggers    []Trigger
	Steps       []*Step
	OnError     []*Step // carried out when a step has failed; error then says how
	Outputs     []Output
}

// An Input is one value that a run is given.
type Input struct {
	Name        string
	Type        string // "string", "boolean", "integer", "object", "array" or "any"
	Description string
	Required    bool
	Secret      bool
	Default     jsontext.Value // empty: none
	Values      []string       // the only texts that it may have; nil: any
}

// An Output is one value that a run gives.
type Output struct {
	Name  string
	Value *Value
}

// A Trigger starts runs. One of Event and Schedule is set.
type Trigger struct {
	Event    *EventTrigger
	Schedule *Schedule
	Inputs   []Output // of the run, from the roots event and run; nil: the defaults
}

// An EventTrigger starts a run for each event that it selects.
type EventTrigger struct {
	ResourceType string   // "User"; empty: any
	Operations   []string // of roster.Operation; nil: any
	Attributes   []string // at least one of them has changed; nil: any
	When         *Expr    // nil: always
	// Own lets changes made by this workflow's own runs, or by runs that they led
	// to, start it again, up to the depth that the server allows.
	Own bool
}

// A Schedule starts a run at each time of a cron expression.
type Schedule struct {
	Cron     string // five fields, or @hourly, @daily, @weekly, @monthly
	TimeZone string // as "Europe/Berlin"; empty: UTC
}

// Mails reports whether a step of f sends mail.
func (f *File) Mails() bool { return mails(f.Steps) || mails(f.OnError) }

func mails(steps []*Step) bool {
	return slices.ContainsFunc(steps, func(s *Step) bool {
		return s.Email != nil || s.If != nil && (mails(s.If.Then) || mails(s.If.Else)) || s.ForEach != nil && mails(s.ForEach.Steps)
	})
}

// A Step is one line of a workflow: the one of its kinds that is set.
type Step struct {
	ID   string // unique in the file
	Line int    // where it is written, from 1

	Action  *ActionStep
	Email   *EmailStep
	HTTP    *HTTPStep
	If      *IfStep
	ForEach *ForEachStep
	Stop    *StopStep

	When            *Expr         // nil: always
	Timeout         time.Duration // of one attempt; 0: the default of the kind
	Retry           Retry
	ContinueOnError bool
}

// Retry says when a step is tried again.
type Retry struct {
	Attempts int           // in all; 0 and 1: once
	Backoff  time.Duration // before the second attempt; it doubles with each, up to MaxBackoff
	// On are the classes of errors that another attempt may mend: "temporary",
	// "conflict", "timeout" or "any". Nil: temporary and timeout.
	On []string
}

// An ActionStep carries out an action.
type ActionStep struct {
	Name       string // of the registry
	Connection string
	With       []Output // its parameters; one whose value is absent is left out
	// Keep keeps what is not named: for an action that replaces.
	Keep bool
}

// An EmailStep sends a mail.
type EmailStep struct {
	To, Cc, Bcc []*Value // each a text, a text with commas, or a list of texts
	ReplyTo     *Value
	Subject     *Value
	Text        *Template
	HTML        *Template // nil: none
	Attach      []Attachment
}

// An Attachment is a file in a mail.
type Attachment struct {
	Name    string
	Content *Value // a text as it is, anything else as indented JSON
}

// An HTTPStep makes a request.
type HTTPStep struct {
	Method  string
	URL     *Value
	Headers []Output
	Body    *Value // nil: none; a text as it is, anything else as JSON
	// Accept are the statuses that are no failure. Nil: 200 to 299.
	Accept []int
}

// An IfStep carries out one of two lists of steps.
type IfStep struct {
	Cond       *Expr
	Then, Else []*Step
}

// A ForEachStep carries out its steps for each item of a list.
type ForEachStep struct {
	In          *Expr
	As          string  // the root by which an expression names the item
	Concurrency int     // how many items at once, >= 1
	Steps       []*Step // without a for-each and a stop
}

// A StopStep ends the run.
type StopStep struct {
	Failed  bool
	Message *Value // nil: none
}
