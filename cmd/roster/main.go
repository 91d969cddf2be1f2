// Command roster is the one binary of Roster: the server, and the tools that
// change users in any directory that speaks SCIM.
//
// This package is the only reader of flags, environment and configuration
// files. Every command is an options struct and a run function in a file of its
// own; root.go lists them, config.go fills their flags, exit.go names the exit
// codes and report.go words the errors.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/mattn/go-isatty"
)

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		signal.Stop(signals) // a second one ends the process at once
		cancel()
	}()
	code := run(ctx, os.Args[1:], &globals{
		stdin:  os.Stdin,
		stdout: os.Stdout,
		stderr: os.Stderr,
		getenv: os.Getenv,
	})
	os.Exit(code)
}

// globals are what the process gives to every command, so that a test can give
// something else.
type globals struct {
	stdin  io.Reader
	stdout io.Writer // data, and nothing else
	stderr io.Writer // messages, prompts and errors
	getenv func(string) string

	noInput bool // never ask, as by --no-input
	color   colorMode
}

// asks reports whether standard input is a terminal, where somebody can answer.
func (g *globals) asks() bool {
	f, ok := g.stdin.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// input returns standard input to be read to its end. Whoever sits before a terminal
// is told that something is waited for.
func (g *globals) input() io.Reader {
	if g.asks() {
		fmt.Fprintln(g.stderr, "Reading standard input, to its end (Ctrl-D).")
	}
	return g.stdin
}

// run is the whole program: it executes args and returns the exit code, having
// said on stderr what went wrong.
func run(ctx context.Context, args []string, g *globals) int {
	g.color = "auto"
	root := newRoot(g)
	root.SetArgs(args)
	root.SetIn(g.stdin)
	root.SetOut(g.stdout)
	root.SetErr(g.stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	if !started(cmd) {
		err = &usageError{err}
	}
	report(g, cmd, err)
	return exitCode(err)
}
