package roster

import (
	"strconv"
	"strings"
)

// CauseHeader is the header in which a run's requests to a service name their
// Cause.
const CauseHeader = "Roster-Cause"

// The bounds of a Cause that is read: what is beyond them is none.
const (
	maxCauseName  = 200
	maxCauseDepth = 1000
)

// A Cause says which run made a change.
type Cause struct {
	Run      string `json:"run"`
	Step     string `json:"step"`
	Workflow string `json:"workflow"`
	// Depth counts the runs that led to it, itself included: 1 for a run that
	// nothing but a person, a schedule or a change of somebody else started.
	Depth int `json:"depth"`
}

// String returns c as CauseHeader has it: "run=R;step=S;workflow=W;depth=1". That
// of nil is empty.
func (c *Cause) String() string {
	if c == nil {
		return ""
	}
	return "run=" + c.Run + ";step=" + c.Step + ";workflow=" + c.Workflow + ";depth=" + strconv.Itoa(c.Depth)
}

// ParseCause reads what Cause.String has written. It returns nil for anything
// else, and where a name has more than 200 characters, or one that is no visible
// ASCII, or Depth is not from 1 to 1000: who sends it only claims it, and a claim
// that cannot be read is none.
func ParseCause(s string) *Cause {
	var c Cause
	var depth string
	rest := s
	for _, part := range []struct {
		name string
		to   *string
	}{{"run=", &c.Run}, {"step=", &c.Step}, {"workflow=", &c.Workflow}, {"depth=", &depth}} {
		var value string
		value, rest, _ = strings.Cut(rest, ";")
		value, ok := strings.CutPrefix(value, part.name)
		if !ok || value == "" || len(value) > maxCauseName || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return nil
		}
		*part.to = value
	}
	n, err := strconv.Atoi(depth)
	if c.Depth = n; err != nil || n < 1 || n > maxCauseDepth || c.String() != s {
		return nil
	}
	return &c
}
