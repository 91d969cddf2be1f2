package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/roster-scim/roster/action"
	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/scim"
)

// The exit codes. They are part of the interface: scripts branch on them.
const (
	exitOK          = 0
	exitError       = 1
	exitAuth        = 4
	exitNotFound    = 5
	exitConflict    = 6
	exitUnavailable = 7
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
	{exitAuth, "the service refused the key: wrong, expired, or it may not do this (401, 403)"},
	{exitNotFound, "no such user, directory or key (404)"},
	{exitConflict, "a conflict: the value is taken (409), or the record changed in between (412)"},
	{exitUnavailable, "no answer, or the service is overloaded, after the retries (429, 502, 503, 504)"},
	{exitUsage, "the command line, the environment or the configuration file is wrong; nothing was sent"},
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
		usage *usageError
		input *action.InputError
		se    *scim.Error
		ce    *client.Error
	)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &usage), errors.As(err, &input):
		return exitUsage
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
