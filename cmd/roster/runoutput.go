package main

import (
	"fmt"
	"io"

	"github.com/roster-scim/roster"
)

// A stepPrinter prints the steps of a run that goes on, each when it has ended and
// each attempt that has failed.
type stepPrinter struct {
	w        io.Writer
	ended    map[string]bool
	attempts map[string]int
}

func newStepPrinter(w io.Writer) *stepPrinter {
	return &stepPrinter{w: w, ended: make(map[string]bool), attempts: make(map[string]int)}
}

// print prints what is new in the steps.
func (p *stepPrinter) print(steps []roster.RunStep) {
	for i := range steps {
		s := &steps[i]
		name := stepName(s)
		if p.ended[name] {
			continue
		}
		final := s.Status != roster.RunQueued && s.Status != roster.RunRunning
		for n := p.attempts[name]; n < len(s.Attempts); n++ {
			if e := s.Attempts[n].Error; e != nil && !(final && n == len(s.Attempts)-1) {
				fmt.Fprintf(p.w, "%s: attempt %d failed: %s\n", printable(name), n+1, printable(runErrorText(e)))
			}
		}
		p.attempts[name] = len(s.Attempts)
		if !final {
			continue
		}
		p.ended[name] = true
		line := name + ": " + string(s.Status)
		if len(s.Attempts) > 0 {
			line += " in " + stepTook(s)
		}
		if s.Error != nil {
			line += ": " + runErrorText(s.Error)
		}
		fmt.Fprintln(p.w, printable(line))
	}
}

// A runError is the end of a run that has not succeeded.
type runError struct {
	run  *roster.Run
	next string // the command that goes on
}

func (e *runError) Error() string {
	if text := runErrorText(e.run.Error); text != "" {
		return fmt.Sprintf("run %s has %s: %s", e.run.ID, past(e.run.Status), text)
	}
	return fmt.Sprintf("run %s has %s", e.run.ID, past(e.run.Status))
}

func past(s roster.RunStatus) string {
	if s == roster.RunCancelled {
		return "been cancelled"
	}
	return string(s)
}

// retryHint says how a run that has not succeeded goes on: after an error that
// another attempt does not mend by itself only when its cause is mended.
func retryHint(r *roster.Run) string {
	if r.Error != nil && !r.Error.Temporary {
		return "roster run show " + r.ID + ", and when the cause is mended roster run retry " + r.ID
	}
	return "roster run retry " + r.ID
}

// endOfRun prints what a run gave, and is the error of one that has not succeeded.
func endOfRun(g *globals, o outputFormat, r *roster.Run, next string) error {
	switch {
	case o != outputTable:
		if err := printRun(g, o, r); err != nil {
			return err
		}
	case compactOrNone(r.Outputs) != "":
		if err := printJSON(g.stdout, r.Outputs); err != nil {
			return err
		}
	}
	if r.Status != roster.RunSucceeded {
		return &runError{r, next}
	}
	fmt.Fprintf(g.stderr, "Run %s has succeeded in %s.\n", r.ID, took(r))
	return nil
}
