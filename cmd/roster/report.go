package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/roster-scim/roster/action"
	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/internal/apply"
	"github.com/roster-scim/roster/internal/mail"
	"github.com/roster-scim/roster/internal/workflow"
	"github.com/roster-scim/roster/scim"
)

// A hintedError is an error with the command that may help.
type hintedError struct {
	err  error
	hint string
}

func (e *hintedError) Error() string { return e.err.Error() }
func (e *hintedError) Unwrap() error { return e.err }

// hint adds to err, unless it is nil, what to try when the service answered with
// that status.
func hint(err error, status int, format string, args ...any) error {
	var se *scim.Error
	if !errors.As(err, &se) || se.Status != status {
		return err
	}
	return &hintedError{err, fmt.Sprintf(format, args...)}
}

// report says on standard error why cmd failed: what, the ids to look for in a log, and what
// to try next.
func report(g *globals, cmd *cobra.Command, err error) {
	w := g.stderr
	var (
		usage  *usageError
		input  *action.InputError
		se     *scim.Error
		ce     *client.Error
		he     *hintedError
		found  *workflow.Diagnosis
		other  *action.ChangedError
		diff   *differsError
		rows   *apply.Faults
		run    *runError
		unsent *mail.Error
	)
	sent := errors.As(err, &ce)
	name := cmd.CommandPath()
	next := ""
	switch {
	case errors.Is(err, errDifferent): // that is what was asked
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(w, "roster: interrupted")
	case errors.As(err, &found):
		complain(w, found.What)
		next = printable(found.Next)
		if errors.As(err, &se) && se.Detail != "" {
			fmt.Fprintf(w, "  answer: %s (%d)\n", printable(se.Detail), se.Status)
		}
	case errors.As(err, &other):
		complain(w, other.Error())
		printChanges(g, w, other.Changes)
		next = "the same again, which makes a new plan"
	case errors.As(err, &diff):
		complain(w, diff.Error())
		printChanges(g, w, diff.changes)
		next = diff.next()
	case errors.As(err, &input):
		for _, f := range input.Faults {
			complain(w, f.String())
		}
		next = name + " --help"
	case errors.As(err, &rows):
		complain(w, rows.Error())
		fmt.Fprintln(w, "  nothing was changed")
	case errors.As(err, &run):
		fmt.Fprintln(w, "roster:", printable(run.Error()))
		next = run.next
	case errors.As(err, &usage):
		complain(w, err.Error())
		next = name + " --help"
	case errors.As(err, &se):
		what := se.Detail
		if what == "" {
			what = http.StatusText(se.Status)
		}
		code := fmt.Sprint(se.Status)
		if se.Type != "" {
			code += " " + se.Type
		}
		complain(w, what+" ("+code+")")
		next = nextForStatus(se, ce)
	case errors.As(err, &unsent):
		complain(w, unsent.What)
		next = unsent.Next
	case sent && ce.Answer == nil:
		complain(w, "no answer: "+ce.Err.Error())
		next = "roster serve, or --url with the address of the service"
		var untrusted *tls.CertificateVerificationError
		if errors.As(err, &untrusted) {
			next = "SSL_CERT_FILE, with the certificate of the CA that has signed the service's"
		}
	default:
		complain(w, err.Error())
		if errors.Is(err, syscall.ENOSPC) {
			next = "the same again, when there is room: a run goes on where it was"
		}
	}
	if sent {
		if id := ce.RequestID(); id != "" {
			fmt.Fprintf(w, "  request: %s\n", printable(id))
		}
		if ce.Attempts > 1 {
			fmt.Fprintf(w, "  attempts: %d\n", ce.Attempts)
		}
		if wait := ce.RetryAfter(); wait > 0 {
			fmt.Fprintf(w, "  the service asks to wait %s\n", wait.Round(time.Second))
		}
	}
	if errors.As(err, &he) {
		next = he.hint
	}
	if found == nil && se != nil && se.Status == http.StatusNotFound && strings.HasPrefix(se.Detail, "Directory [") {
		next = "roster directory list" // whatever was looked for in it
	}
	if next != "" {
		fmt.Fprintf(w, "  try: %s\n", next)
	}
}

// complain prints what went wrong, in lines of its own, and once what is said twice
// in a row. Some of it was written by services and in files.
func complain(w io.Writer, text string) {
	said := ""
	for line := range strings.Lines(text) {
		if line = printable(strings.TrimSpace(line)); line != said {
			fmt.Fprintln(w, "roster:", line)
		}
		said = line
	}
}

// conflicts are how a Roster words a 409, and what to try then; $1 is what was found.
var conflicts = []struct {
	text *regexp.Regexp
	next string
}{
	{regexp.MustCompile(`^displayName .*Held by ([0-9A-Za-z_-]+)\.?$`), "roster group get $1"},
	{regexp.MustCompile(`Held by ([0-9A-Za-z_-]+)\.?$`), "roster user get $1"},
	{regexp.MustCompile(` ([0-9A-Za-z_-]+) is deleted: restore it first\.?$`), "roster trash restore $1"},
	{regexp.MustCompile(`\[USER\]: with id\[([0-9A-Za-z_-]+)\] is not deleted`), "roster user delete $1"},
	{regexp.MustCompile(`\[GROUP\]: with id\[([0-9A-Za-z_-]+)\] is not deleted`), "roster group delete $1"},
	{regexp.MustCompile(` in event ([0-9]+): undo that first`), "roster undo $1"},
}

// nextForStatus returns what to try after an answer, "" where nothing helps. from is
// nil where there was none.
func nextForStatus(e *scim.Error, from *client.Error) string {
	switch e.Status {
	case http.StatusUnauthorized:
		next := "ROSTER_KEY, or --key-file, with a key of this directory"
		if from == nil || from.Answer == nil || from.Answer.Header.Get("Roster-Request-Id") == "" {
			return next
		}
		return next + "; roster key create makes one"
	case http.StatusConflict:
		for _, c := range conflicts {
			if m := c.text.FindStringSubmatch(e.Detail); m != nil {
				return strings.ReplaceAll(c.next, "$1", m[1])
			}
		}
	}
	return ""
}
