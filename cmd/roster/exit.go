package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/roster-scim/roster/action"
	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/internal/apply"
	"github.com/roster-scim/roster/internal/mail"
	"github.com/roster-scim/roster/scim"
)

// The exit codes. They are part of the interface: scripts branch on them.
const (
	exitOK          = 0
	exitError       = 1
	exitDifferent   = 2
	exitFailedRows  = 3
	exitAuth        = 4
	exitNotFound    = 5
	exitConflict    = 6
	exitUnavailable = 7
	exitDiffers     = 8
	exitRunFailed   = 9
	exitUsage       = 64
	exitInterrupted = 130
)

// exitMeanings are the exit codes as help exit-codes explains them.
var exitMeanings = []struct {
	code    int
	meaning string
}{
	{exitOK, "done, or nothing had to be done"},
	{exitError, "it failed in a way that no other code names"},
	{exitDifferent, "roster diff: the two are different"},
	{exitFailedRows, "a run came to its end, and some people in it failed; they are listed on standard error"},
	{exitAuth, "the service refused the key: wrong, expired, or it may not do this (401, 403)"},
	{exitNotFound, "no such user, group, event, directory or key (404)"},
	{exitConflict, "a conflict: the value is taken (409), or the record changed in between (412), so that nothing was done"},
	{exitUnavailable, "no answer, or the service is overloaded, after the retries (429, 502, 503, 504)"},
	{exitDiffers, "a change was made, and the record is not what was planned; the differences are on standard error"},
	{exitRunFailed, "the run of a workflow has failed, or was cancelled; what went wrong is on standard error"},
	{exitUsage, "the command line, the environment or the configuration file is wrong, or needs --yes; nothing was changed"},
	{exitInterrupted, "interrupted"},
}

// A usageError is a fault in what the person typed or configured.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// exitCode returns the code that err ends the process with.
func exitCode(err error) int {
	var (
		usage  *usageError
		input  *action.InputError
		failed *failedError
		others *otherwiseError
		faults *apply.Faults
		guard  *apply.GuardError
		se     *scim.Error
		ce     *client.Error
		other  *action.ChangedError
		diff   *differsError
		run    *runError
		unsent *mail.Error
	)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.Is(err, errDifferent):
		return exitDifferent
	case errors.As(err, &failed):
		return exitFailedRows
	case errors.As(err, &run):
		return exitRunFailed
	case errors.As(err, &faults) && faults.Changed:
		return exitConflict
	case errors.As(err, &faults), errors.As(err, &guard):
		return exitUsage
	case errors.As(err, &usage), errors.As(err, &input):
		return exitUsage
	case errors.As(err, &other):
		return exitConflict
	case errors.As(err, &diff), errors.As(err, &others):
		return exitDiffers
	case errors.As(err, &se):
		switch se.Status {
		case http.StatusUnauthorized, http.StatusForbidden:
			return exitAuth
		case http.StatusNotFound:
			return exitNotFound
		case http.StatusConflict, http.StatusPreconditionFailed:
			return exitConflict
		case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return exitUnavailable
		}
	case errors.As(err, &ce) && ce.Answer == nil:
		return exitUnavailable
	case errors.As(err, &unsent):
		switch {
		case unsent.Temporary:
			return exitUnavailable
		case unsent.Stage == mail.StageLogin:
			return exitAuth
		case unsent.Stage == mail.StageSettings, unsent.Stage == mail.StageMessage:
			return exitUsage
		}
	}
	return exitError
}

// newExitCodesTopic is no command but a page of help.
func newExitCodesTopic() *cobra.Command {
	long := "The exit codes of every command:\n"
	for _, e := range exitMeanings {
		long += fmt.Sprintf("\n  %3d  %s", e.code, e.meaning)
	}
	return &cobra.Command{Use: "exit-codes", Short: "The exit codes of every command", Long: long}
}
