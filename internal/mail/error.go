package mail

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// A Stage is the part of the way at which a mail failed.
type Stage string

// The stages, in their order.
const (
	StageSettings   Stage = "settings"   // of the sender
	StageMessage    Stage = "message"    // it cannot be a mail, or may not be sent
	StageConnect    Stage = "connect"    // no connection, or no greeting on it
	StageTLS        Stage = "tls"        // no encryption, or not with whom it should be
	StageLogin      Stage = "login"      // user name and password
	StageSender     Stage = "sender"     // the server does not take mail from this address
	StageRecipients Stage = "recipients" // or not for these
	StageContent    Stage = "content"    // or not this mail
	StageWrite      Stage = "write"      // into a folder
)

// An Error says why a mail was not sent. Its text is one line and has no
// password in it.
type Error struct {
	Temporary bool      // another attempt may succeed
	Stage     Stage     // how far it got
	Code      int       // of the server's reply; 0: there was none
	Refused   []Refusal // the recipients that the server refused; none of the others got the mail
	What      string    // what happened
	Next      string    // what to do about it; empty: nothing is known
	Err       error     // what it was found by; may be nil
}

// A Refusal is a recipient that a server does not take mail for.
type Refusal struct {
	Address string
	Code    int
	Text    string // of the server
}

func (e *Error) Error() string {
	if e.Next == "" {
		return e.What
	}
	return e.What + "; " + e.Next
}

func (e *Error) Unwrap() error { return e.Err }

// badSetting is a fault in what a sender is opened with.
func badSetting(format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Stage: StageSettings, What: err.Error(), Err: errors.Unwrap(err)}
}

// interrupted is the error of a caller that did not wait.
func interrupted(when string, cause error) *Error {
	return &Error{Temporary: true, Stage: StageConnect, What: "the mail was given up " + when + ": " + cause.Error(), Err: cause}
}

// maxReply bounds what is shown of a server's reply, in runes.
const maxReply = 300

// shown returns what a server or a person wrote for an error: on one line,
// without what steers a terminal, and not endless.
func shown(s string) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n++; n > maxReply {
			b.WriteString("…")
			break
		}
		switch {
		case r == '\n':
			r = ' '
		case !unicode.IsPrint(r):
			r = unicode.ReplacementChar
		}
		b.WriteRune(r)
	}
	return b.String()
}
