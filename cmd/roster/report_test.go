package main

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"syscall"
	"testing"

	"github.com/spf13/cobra"

	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/scim"
)

func TestReport(t *testing.T) {
	t.Parallel()
	refused := func(status int, detail string, header http.Header) error {
		return &client.Error{Answer: &client.Answer{Status: status, Header: header}, Err: &scim.Error{Status: status, Detail: detail}}
	}
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"each line says whose it is", errors.New("one\ntwo"), "roster: one\nroster: two\n"},
		{"a full disk, told by all who met it", errors.Join(&os.PathError{Op: "write", Path: "a", Err: syscall.ENOSPC}, &os.PathError{Op: "write", Path: "a", Err: syscall.ENOSPC}),
			"roster: write a: no space left on device\n  try: the same again, when there is room: a run goes on where it was\n"},
		{"a file that steers the terminal", usagef("column \x1b[2J\x07"), "roster: column \ufffd[2J\ufffd\n  try: roster --help\n"},
		{"a service that does", refused(400, "no\x1b]0;\r", nil), "roster: no\ufffd]0;\ufffd (400)\n"},
		{"an answer that does", errors.New("invalid character '\x1b'"), "roster: invalid character '\ufffd'\n"},
		{"a key that a Roster refuses", refused(401, "no", http.Header{"Roster-Request-Id": {"r1"}}),
			"roster: no (401)\n  request: r1\n  try: ROSTER_KEY, or --key-file, with a key of this directory; roster key create makes one\n"},
		{"a key that another service refuses", refused(401, "no", nil), "roster: no (401)\n  try: ROSTER_KEY, or --key-file, with a key of this directory\n"},
	} {
		var out bytes.Buffer
		report(&globals{stderr: &out}, &cobra.Command{Use: "roster"}, tt.err)
		if got := out.String(); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}
