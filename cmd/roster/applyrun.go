package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/roster-scim/roster/action"
	"github.com/roster-scim/roster/internal/apply"
)

// A failedError says that a run is at its end and that some steps failed.
type failedError struct {
	failed  int
	file    string // that holds the rows; empty: there is none
	missing string // that holds those whom no row names; empty: there are none
}

func (e *failedError) Error() string {
	s := people(e.failed) + " failed"
	if e.file != "" {
		s += "; the rows are in " + e.file + ", ready to be applied again when they are mended"
	}
	if e.missing != "" {
		s += "; who is in no row is in " + e.missing + ", which deactivates them when it is applied"
	}
	return s
}

// An otherwiseError says that a run was done, and that the directory made
// something else of it than was planned.
type otherwiseError struct{ n int }

func (e *otherwiseError) Error() string {
	return people(e.n) + " came out otherwise than planned: the change was made"
}

// carryOut does what is left to do of a run and says how it ended.
func (o *applyOptions) carryOut(ctx context.Context, g *globals, d *apply.Directory, run *apply.Run) error {
	at, err := execute(ctx, g, &o.runFlags, d, run)
	if err != nil {
		return err
	}
	if err := printOutcome(g, o.output, run, at); err != nil {
		return err
	}
	switch {
	case at.Failed == 0 && at.Differing == 0:
		return nil
	case at.Failed == 0:
		return &otherwiseError{at.Differing}
	}
	file := o.errorsFile
	if file == "" && run.Meta.Format != "" {
		file = filepath.Join(run.Dir, "failed."+string(run.Meta.Format))
	}
	if file == "" || run.Meta.Format == "" {
		return &failedError{failed: at.Failed}
	}
	failed := &failedError{failed: at.Failed, file: file}
	if err := writeFile(file, run.WriteFailed); err != nil {
		return err
	}
	n := 0
	missing := strings.TrimSuffix(file, filepath.Ext(file)) + "-missing.ndjson"
	if err := writeFile(missing, func(w io.Writer) (err error) {
		n, err = run.WriteMissing(w)
		return err
	}); err != nil {
		return err
	}
	if n == 0 {
		return errors.Join(os.Remove(missing), failed)
	}
	failed.missing = missing
	return failed
}

// writeFile makes a file for nobody else, whole or not at all: what was there before
// stays until then. What is no file, such as a pipe, is written as it is.
func writeFile(name string, write func(io.Writer) error) (err error) {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return &usageError{err}
		}
		return errors.Join(write(f), f.Close())
	}
	if to, err := filepath.EvalSymlinks(name); err == nil {
		name = to
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*") // 0600
	if err != nil {
		return &usageError{err}
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // the error is told already
		}
	}()
	if err := write(f); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// execute carries out a run, with its progress on standard error.
func execute(ctx context.Context, g *globals, o *runFlags, d *apply.Directory, run *apply.Run) (apply.Progress, error) {
	p := &progress{w: g.stderr, bar: g.terminal(), start: time.Now()}
	at, err := apply.Execute(ctx, d, run, apply.ExecuteOptions{Concurrency: o.concurrency, Progress: p.show})
	p.end()
	if err != nil && ctx.Err() != nil {
		fmt.Fprintf(g.stderr, "Stopped: %d of %s done, %d failed. The rest: roster apply --resume %s\n", at.Done, people(at.Total), at.Failed, run.Meta.ID)
	}
	return at, err
}

// printOutcome says what a run has done.
func printOutcome(g *globals, o outputFormat, run *apply.Run, at apply.Progress) error {
	if o == outputJSON || o == outputNDJSON {
		if err := newListing(g.stdout, o).one(struct {
			Run    string       `json:"run"`
			Plan   apply.Counts `json:"plan"`
			Done   int          `json:"done"`
			Failed int          `json:"failed"`
			Differ int          `json:"differ"`
		}{run.Meta.ID, run.Meta.Counts, at.Done, at.Failed, at.Differing}, nil); err != nil {
			return err
		}
	} else if _, err := fmt.Fprintf(g.stdout, "Done: %s of %s, %d failed.\n", thousands(at.Done), people(at.Total), at.Failed); err != nil {
		return err
	}
	var err error
	if at.Failed > 0 {
		err = printSteps(g.stderr, "failed", run.Failed, func(r *apply.Result) string { return r.Error })
	}
	if at.Differing > 0 {
		err = errors.Join(err, printSteps(g.stderr, "otherwise than planned", run.Differing, func(r *apply.Result) string { return strings.Join(r.Differs, ", ") }))
	}
	if at.Done > 0 {
		fmt.Fprintf(g.stderr, "To take it back: roster undo %s\n", run.Meta.ID)
	}
	return err
}

// printSteps lists some steps with what is to be told of each.
func printSteps(w io.Writer, what string, each func(func(*apply.Step, *apply.Result) error) error, text func(*apply.Result) string) error {
	n := 0
	err := each(func(s *apply.Step, r *apply.Result) error {
		if n++; n > maxShownSteps {
			return nil
		}
		line := ""
		if s.Line > 0 {
			line = fmt.Sprintf("line %d: ", s.Line)
		}
		_, err := fmt.Fprintln(w, printable(fmt.Sprintf("%s: %s%s %s: %s", what, line, s.Op, s.UserName, text(r))))
		return err
	})
	if n > maxShownSteps {
		fmt.Fprintf(w, "and %d more\n", n-maxShownSteps)
	}
	return err
}

// maxShownSteps bounds how many steps are listed: all are in the journal.
const maxShownSteps = 20

// people counts people.
func people(n int) string {
	if n == 1 {
		return "1 person"
	}
	return thousands(n) + " people"
}

// thousands writes a number with commas.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// terminal reports whether standard error is one.
func (g *globals) terminal() bool { return g.isTerminal(g.stderr) }

// progress shows how far a run is: a bar on a terminal, else lines.
type progress struct {
	w     io.Writer
	bar   bool
	start time.Time
	shown time.Time
	tenth int // of the whole, that a line was printed for last
}

// How often progress is shown: a bar often, a line at each tenth, and in between
// when a tenth takes long.
const (
	barEvery  = 200 * time.Millisecond
	lineEvery = 30 * time.Second
	fewSteps  = 100 // less than these are not worth a line
)

func (p *progress) show(at apply.Progress) {
	now := time.Now()
	n := at.Done + at.Failed
	tenth := 10 * n / max(at.Total, 1)
	switch {
	case p.bar && now.Sub(p.shown) < barEvery && n < at.Total:
		return
	case !p.bar && at.Total < fewSteps:
		return
	case !p.bar && tenth == p.tenth && now.Sub(p.shown) < lineEvery, !p.bar && n == at.Before:
		return
	}
	p.shown, p.tenth = now, tenth
	text := fmt.Sprintf("%s of %s: %d failed, %d retried", thousands(n), thousands(at.Total), at.Failed, at.Retried)
	if took := now.Sub(p.start).Seconds(); took > 0.1 && n > at.Before {
		rate := float64(n-at.Before) / took
		text += fmt.Sprintf(", %.0f/s, %s left", rate, (time.Duration(float64(at.Total-n)/rate) * time.Second).Round(time.Second))
	}
	if !p.bar {
		fmt.Fprintln(p.w, text)
		return
	}
	const width = 30
	full := width * n / max(at.Total, 1)
	fmt.Fprintf(p.w, "\r[%s%s] %s\x1b[K", strings.Repeat("#", full), strings.Repeat(".", width-full), text)
}

// end takes the bar away.
func (p *progress) end() {
	if p.bar {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

// printRunPlan prints a plan.
func printRunPlan(g *globals, o outputFormat, run *apply.Run) error {
	w := g.stdout
	buf := bufio.NewWriter(w)
	defer buf.Flush()
	if o == outputJSON {
		return run.WritePlan(w)
	}
	var l *listing
	if o != outputTable {
		l = newListing(buf, o, "LINE", "STEP", "USER ID", "USER NAME", "OPERATION", "ATTRIBUTE", "BEFORE", "AFTER")
	}
	for s, err := range run.Steps() {
		if err != nil {
			return err
		}
		switch {
		case o == outputNDJSON:
			err = l.add(s)
		case o == outputCSV:
			for _, c := range s.Changes {
				if err = l.add(nil, fmt.Sprint(s.Line), string(s.Op), s.ID, s.UserName, string(c.Op), c.Attribute, string(c.Before), string(c.After)); err != nil {
					break
				}
			}
		default:
			g.printStep(buf, s)
		}
		if err != nil {
			return err
		}
	}
	if l != nil {
		return l.end()
	}
	_, err := fmt.Fprintln(buf, runSummary(&run.Meta.Counts))
	return err
}

// stepSigns are what the lines of a plan begin with.
var stepSigns = map[apply.Op]string{
	apply.Create: "+", apply.Update: "~", apply.Deactivate: "!", apply.Delete: "-", apply.Restore: "+",
}

func (g *globals) printStep(w io.Writer, s *apply.Step) {
	from := ""
	if s.Line > 0 {
		from = fmt.Sprintf(" (line %d)", s.Line)
	}
	fmt.Fprintln(w, g.paint(g.stdout, fmt.Sprintf("%s %s %s%s", stepSigns[s.Op], s.Op, printable(s.UserName), from)))
	if s.Op != apply.Delete {
		for _, c := range s.Changes {
			fmt.Fprintln(w, g.paint(g.stdout, "    "+printable(c.String())+stepWarning(s, &c)))
		}
	}
	if s.Note != "" {
		fmt.Fprintln(w, "    "+printable(s.Note))
	}
}

// stepWarning points out a change that must not be overlooked.
func stepWarning(s *apply.Step, c *action.Change) string {
	switch {
	case c.Attribute != "active" || s.Op == apply.Create:
		return ""
	case string(c.After) == "false":
		return "  (warning: deactivates)"
	case string(c.Before) == "false":
		return "  (warning: re-activates)"
	}
	return ""
}

// runSummary is the last line of a plan.
func runSummary(c *apply.Counts) string {
	var parts []string
	add := func(n int, what string) {
		if n > 0 {
			parts = append(parts, thousands(n)+" "+what)
		}
	}
	add(c.Create, "to create")
	if c.Update > 0 {
		var of []string
		for _, p := range []struct {
			n    int
			word string
		}{{c.Replaced, "replaced"}, {c.Added, "added"}, {c.Cleared, "cleared"}} {
			switch {
			case p.n > 0 && len(of) == 0 && p.n == 1:
				of = append(of, "1 attribute "+p.word)
			case p.n > 0 && len(of) == 0:
				of = append(of, thousands(p.n)+" attributes "+p.word)
			case p.n > 0:
				of = append(of, thousands(p.n)+" "+p.word)
			}
		}
		add(c.Update, "to update ("+strings.Join(of, ", ")+")")
	}
	add(c.Unchanged, "unchanged")
	add(c.Deactivate, "to deactivate")
	add(c.Delete, "to delete")
	add(c.Restore, "to restore")
	if len(parts) == 0 {
		return "Plan: no changes."
	}
	return "Plan: " + strings.Join(parts, ", ") + "."
}
