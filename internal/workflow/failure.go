package workflow

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/action"
	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/internal/mail"
	"github.com/roster-scim/roster/scim"
)

// The classes of errors, as Retry.On names them.
const (
	classTemporary = "temporary"
	classConflict  = "conflict"
	classTimeout   = "timeout"
	classAny       = "any"
)

// A statusError is an answer that an http step does not accept.
type statusError struct {
	status int
	text   string
	after  time.Duration // as the service asks to wait
}

func (e *statusError) Error() string { return e.text }

// failureOf returns what is told of an error, its class ("" where another attempt
// mends nothing), and how long a service asks to wait.
func failureOf(err error) (told *roster.RunError, class string, after time.Duration) {
	told = &roster.RunError{Message: err.Error()}
	var (
		se      *scim.Error
		ce      *client.Error
		me      *mail.Error
		status  *statusError
		changed *action.ChangedError
		input   *action.InputError
	)
	if errors.As(err, &ce) {
		after = ce.RetryAfter()
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		class = classTimeout
	case errors.As(err, &changed):
		class = classConflict
	case errors.As(err, &input):
		told.Message = inputFaults(input)
	case errors.As(err, &me):
		told.Status = me.Code
		if me.Temporary {
			class = classTemporary
		}
	case errors.As(err, &se):
		told.Status, told.ScimType = se.Status, se.Type
		class = classOf(se.Status)
		if ce != nil && se.Detail != "" { // the request and the status are told beside it
			told.Message = strings.Replace(told.Message, ce.Error(), se.Detail, 1)
		}
	case errors.As(err, &status):
		told.Status, after = status.status, status.after
		class = classOf(status.status)
	case lost(err):
		class = classTemporary
	}
	told.Temporary = class == classTemporary || class == classTimeout
	return told, class, after
}

// inputFaults returns what is wrong with the parameters of an action, without the
// flags of a command line, which a run has not.
func inputFaults(e *action.InputError) string {
	lines := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		f.Flags = ""
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

func classOf(status int) string {
	switch {
	case status == http.StatusConflict, status == http.StatusPreconditionFailed:
		return classConflict
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, status == 425,
		status >= 500 && status != http.StatusNotImplemented:
		return classTemporary
	}
	return ""
}

// lost reports whether err is that of a connection which may be there the next
// time.
func lost(err error) bool {
	var (
		refused *AddressError
		cert    *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		unknown x509.UnknownAuthorityError
		dns     *net.DNSError
		ce      *client.Error
		ne      net.Error
	)
	switch {
	case errors.As(err, &refused), errors.As(err, &cert), errors.As(err, &record), errors.As(err, &unknown), errors.Is(err, errRedirect):
		return false
	case errors.As(err, &dns):
		return !dns.IsNotFound
	case errors.As(err, &ce):
		return ce.Answer == nil && ce.Attempts > 0
	}
	return errors.As(err, &ne)
}

// The bounds of attempts.
const (
	defaultTimeout = 30 * time.Second
	defaultBackoff = 2 * time.Second
	maxAfter       = 24 * time.Hour // that a service can ask for
)

// timeout returns how long an attempt of the step may take.
func (s *Step) timeout() time.Duration {
	if s.Timeout <= 0 {
		return defaultTimeout
	}
	return s.Timeout
}

// again reports whether there is an attempt after the one of that number, from 1,
// which failed with an error of that class; and how long to wait for it. There is
// no chance in the wait: a run waits as long each time that it is carried out.
func (r *Retry) again(attempt int, class string, after time.Duration) (time.Duration, bool) {
	on := r.On
	if on == nil {
		on = []string{classTemporary, classTimeout}
	}
	if attempt >= r.Attempts || !slices.Contains(on, classAny) && !slices.Contains(on, class) {
		return 0, false
	}
	wait := r.Backoff
	if wait <= 0 {
		wait = defaultBackoff
	}
	for range min(attempt-1, 20) {
		wait = min(2*wait, maxBackoff)
	}
	return max(min(wait, maxBackoff), min(after, maxAfter)), true
}
