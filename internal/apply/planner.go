package apply

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/action"
	"github.com/roster-scim/roster/scim"
)

// A Limit bounds how many people, or attributes, a plan may touch. The zero value
// is no limit.
type Limit struct {
	Set     bool
	Percent bool // of the people in the directory, rounded up
	N       float64
}

// ParseLimit reads "20" or "5%".
func ParseLimit(s string) (Limit, error) {
	text, percent := strings.CutSuffix(strings.TrimSpace(s), "%")
	n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || n < 0 || math.IsInf(n, 0) || percent && n > 100 || !percent && n != math.Trunc(n) {
		return Limit{}, fmt.Errorf("%q is no limit: write one as 20, or as 5%%", s)
	}
	return Limit{Set: true, Percent: percent, N: n}, nil
}

func (l Limit) String() string {
	switch {
	case !l.Set:
		return ""
	case l.Percent:
		return strconv.FormatFloat(l.N, 'g', -1, 64) + "%"
	}
	return strconv.FormatFloat(l.N, 'g', -1, 64)
}

// of returns how many l allows of a directory of that many people.
func (l Limit) of(people int) int {
	if l.Percent {
		return int(math.Ceil(float64(people) * l.N / 100))
	}
	return int(l.N)
}

// PlanOptions say what rows mean.
type PlanOptions struct {
	// Replace makes a person what the row says, as a PUT does: what the row does
	// not name is cleared. Otherwise it stays.
	Replace bool
	// NoCreate makes a row that nobody matches a fault.
	NoCreate bool
	// DeactivateMissing deactivates the active people whom no row names.
	DeactivateMissing bool
	// MaxDeactivate bounds the people who are deactivated, by a row or by no row.
	MaxDeactivate Limit
	// MaxClear bounds the attributes that are cleared.
	MaxClear Limit
	// Compare makes no plan that could be carried out: people whom no row names
	// are steps of their own, Extra, and one who is yet to be created need not be
	// valid.
	Compare bool
	// IgnoreExtra leaves those out of a comparison.
	IgnoreExtra bool
	// Everybody is called with how many people were read; nil: nobody asks.
	Everybody func(n int)
}

// A planner turns rows into steps.
type planner struct {
	d      *Directory
	o      PlanOptions
	run    *Run
	plan   *spill
	rows   *spill
	match  *matcher
	n      int
	faults *Faults
	// renames are the steps that give somebody another userName, by the folded name
	// that they give up.
	renames map[string]rename
}

// Plan reads a file and the directory, and writes into run what is to be done. A
// *Faults says everything that stops it. Nothing is sent that changes anything.
func Plan(ctx context.Context, d *Directory, in *Reader, run *Run, o PlanOptions) (err error) {
	p := &planner{d: d, o: o, run: run, renames: make(map[string]rename)}
	p.match = &matcher{typ: d.Type, keys: make(map[key]int32)}
	p.faults = &p.match.faults
	var missing *spill
	for name, s := range map[string]**spill{planFile: &p.plan, rowsFile: &p.rows, peopleFile: &p.match.people, missingFile: &missing} {
		if *s, err = createSpill(run.path(name)); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, (*s).close()) }()
	}
	run.Meta.Format, run.Meta.Header = in.Format, in.Header
	if in.Comma != 0 {
		run.Meta.Comma = string(in.Comma)
	}
	if err := p.read(in); err != nil {
		return err
	}
	if p.everybody() {
		p.match.inactive = o.Compare
		p.match.missing = func(doc jsontext.Value) error {
			_, err := missing.append(doc)
			return err
		}
	}
	if err := p.meet(ctx); err != nil {
		return err
	}
	if err := errors.Join(p.match.settle(), p.faults.err()); err != nil {
		return err
	}
	for i := range p.match.rows {
		if err := p.row(ctx, &p.match.rows[i]); err != nil {
			return err
		}
	}
	if err := missing.flush(); err != nil {
		return err
	}
	for doc, err := range each[jsontext.Value](run.path(missingFile)) {
		if err == nil {
			err = p.missing(*doc)
		}
		if err != nil {
			return err
		}
	}
	if !o.Compare {
		p.circles()
	}
	if err := errors.Join(p.faults.err(), p.guard()); err != nil {
		return err
	}
	return p.finish()
}

// finish makes the plan safe and tells that it is whole.
func (p *planner) finish() error {
	if err := errors.Join(p.plan.sync(), p.rows.sync()); err != nil {
		return err
	}
	for _, name := range []string{peopleFile, missingFile} {
		if err := os.Remove(p.run.path(name)); err != nil {
			return err
		}
	}
	p.run.Meta.State = Planned
	return p.run.save()
}

// read takes the rows in. Each fault is kept, and the next row read.
func (p *planner) read(in *Reader) error {
	for {
		row, err := in.Next()
		var fault *Fault
		switch {
		case errors.Is(err, io.EOF):
			if len(p.match.rows) == 0 && p.o.DeactivateMissing {
				p.faults.add(0, "the file has no row: with --deactivate-missing that would deactivate everybody")
			}
			return errors.Join(p.rows.flush(), p.faults.err())
		case errors.As(err, &fault):
			p.faults.put(fault)
			continue
		case err != nil:
			return err
		}
		off, err := p.rows.append(row)
		if err != nil {
			return err
		}
		p.match.add(row, off)
	}
}

// everybody reports whether it matters who is named by no row.
func (p *planner) everybody() bool {
	return p.o.DeactivateMissing || p.o.Compare && !p.o.IgnoreExtra
}

// meet finds the people that the rows are about.
func (p *planner) meet(ctx context.Context) error {
	if len(p.match.rows) == 0 && !p.o.Compare {
		return nil
	}
	if len(p.match.rows) <= fewRows && !p.everybody() && !p.o.MaxDeactivate.Percent {
		if done, err := p.match.meetFew(ctx, p.d, p.rows); done || err != nil {
			return err
		}
	}
	err := p.match.meetAll(ctx, p.d, p.o.Everybody)
	p.run.Meta.Counts.People = p.match.count
	return err
}

// row plans one row.
func (p *planner) row(ctx context.Context, m *rowMatch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	line, err := p.rows.at(m.off)
	if err != nil {
		return err
	}
	var row Row
	if err := json.Unmarshal(line, &row, loose); err != nil {
		return err
	}
	s := &Step{Line: row.Line, Op: Create}
	if m.user >= 0 {
		s.Op = Update
		if s.Before, err = p.match.people.at(p.match.users[m.user].off); err != nil {
			return err
		}
	} else if p.o.NoCreate {
		p.faults.add(row.Line, "nobody in the directory matches it, and --no-create forbids to create somebody")
		return nil
	}
	doc := object{}
	if s.Op == Update && !p.o.Replace {
		if doc, err = own(s.Before); err != nil {
			return err
		}
	}
	if err := merge(p.d.Type, doc, row.Sets); err != nil {
		p.faults.add(row.Line, "%s", err)
		return nil
	}
	if err := p.d.fill(s, doc); err != nil && (!p.o.Compare || s.Op != Create) {
		who := ""
		if s.Op == Create { // perhaps somebody else was meant
			who = "nobody in the directory matches it, so that it is a new person: "
		}
		p.faults.add(row.Line, "%s%s", who, wordsOf(err))
		return nil
	}
	p.renamed(s)
	return p.write(s)
}

// wordsOf returns what an error says to a person.
func wordsOf(err error) string {
	var se *scim.Error
	if errors.As(err, &se) {
		return se.Detail
	}
	return err.Error()
}

// fill completes a step that makes a person doc: who it is, what is sent, and
// what changes.
func (d *Directory) fill(s *Step, doc object) error {
	if s.Op == Create && len(doc.get("active")) == 0 && d.Type.Attr("active") != nil {
		doc.set("active", jsontext.Value("true")) // so it is planned, and some services leave it out
	}
	var err error
	if s.Body, err = doc.body(); err != nil {
		return err
	}
	want, _, err := d.Type.Parse(s.Body)
	if err != nil {
		return err
	}
	var now, next *scim.Resource
	if s.Op == Create {
		s.UserName = want.Get("userName").Text()
		if s.UserName == "" {
			return errors.New("nobody in the directory matches it, and to create somebody it needs a userName")
		}
		next, err = scim.Create(want)
	} else {
		if now, err = read(d.Type, s.Before); err != nil {
			return fmt.Errorf("the person as the directory shows it: %w", err)
		}
		shown, perr := parseObject(s.Before)
		if perr != nil {
			return perr
		}
		s.ID, s.UserName, s.Version = shown.text("id"), shown.text("userName"), d.version(shown)
		next, _, err = scim.Replace(now, want)
	}
	if err != nil {
		return err
	}
	s.Changes = action.Changes(now, next)
	return nil
}

// missing plans a person whom no row names.
func (p *planner) missing(before jsontext.Value) error {
	if p.o.Compare {
		shown, err := parseObject(before)
		if err != nil {
			return err
		}
		return p.write(&Step{Op: Extra, ID: shown.text("id"), UserName: shown.text("userName"), Before: before})
	}
	doc, err := own(before)
	if err != nil {
		return err
	}
	doc.set("active", jsontext.Value("false"))
	s := &Step{Op: Deactivate, Before: before, Note: "no row names this person"}
	if err := p.d.fill(s, doc); err != nil {
		p.faults.add(0, "deactivate %q: %s", clip(s.UserName), wordsOf(err))
		return nil
	}
	return p.write(s)
}

// activity says what the changes do to active: -1 it becomes false, 1 true.
func activity(changes []action.Change) int {
	for _, c := range changes {
		if c.Attribute != "active" {
			continue
		}
		switch {
		case c.After.Kind() == 'f' || len(c.After) == 0:
			return -1
		case c.Before.Kind() == 'f':
			return 1
		}
	}
	return 0
}

// write puts a step into the plan, unless it changes nothing.
func (p *planner) write(s *Step) error {
	c := &p.run.Meta.Counts
	if (s.Op == Update || s.Op == Deactivate) && len(s.Changes) == 0 {
		c.Unchanged++
		return nil
	}
	p.n++
	s.N = p.n
	switch s.Op {
	case Create:
		c.Create++
	case Extra:
		c.Extra++
	case Delete:
		c.Delete++
	case Restore:
		c.Restore++
	case Deactivate:
		c.Deactivate++
		c.Deactivated++
	case Update:
		c.Update++
		added, replaced, cleared := action.Counts(s.Changes)
		c.Added, c.Replaced, c.Cleared = c.Added+added, c.Replaced+replaced, c.Cleared+cleared
		switch activity(s.Changes) {
		case -1:
			c.Deactivated++
		case 1:
			c.Reactivated++
		}
	}
	_, err := p.plan.append(s)
	return err
}

// A GuardError says that a plan touches more than it may. Nothing was sent.
type GuardError struct {
	What  string // "deactivates 7 people"
	Limit string
	Flag  string
}

func (e *GuardError) Error() string {
	return fmt.Sprintf("the plan %s, and the limit is %s: look at it with --dry-run, and allow it with %s", e.What, e.Limit, e.Flag)
}

func (p *planner) guard() error {
	c := &p.run.Meta.Counts
	if l := p.o.MaxDeactivate; l.Set && c.Deactivated > l.of(c.People) {
		limit := l.String()
		if l.Percent {
			limit = fmt.Sprintf("%s of %d people, which is %d", limit, c.People, l.of(c.People))
		}
		return &GuardError{fmt.Sprintf("deactivates %d", c.Deactivated), limit, fmt.Sprintf("--max-deactivate %d", c.Deactivated)}
	}
	if l := p.o.MaxClear; l.Set && c.Cleared > l.of(c.Create+c.Update+c.Unchanged) {
		return &GuardError{fmt.Sprintf("clears attributes, in all %d", c.Cleared), l.String(), fmt.Sprintf("--max-clear %d", c.Cleared)}
	}
	return nil
}
