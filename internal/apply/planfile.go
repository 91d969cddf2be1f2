package apply

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/client"
)

// PlanMark is the first member of a saved plan; its value is the form's version.
const PlanMark = "rosterPlan"

// planVersion is the form of a saved plan that this package writes and reads.
const planVersion = 1

// A planHead is what stands in a saved plan before its steps.
type planHead struct {
	Version   int    `json:"rosterPlan"`
	Source    string `json:"source"`
	URL       string `json:"url"`
	Directory string `json:"directory,omitzero"`
	Counts    Counts `json:"counts"`
}

// WritePlan writes the plan of a run as one JSON object.
func (r *Run) WritePlan(w io.Writer) error {
	buf := bufio.NewWriter(w)
	head, err := json.Marshal(planHead{planVersion, r.Meta.Source, r.Meta.URL, r.Meta.Directory, r.Meta.Counts})
	if err != nil {
		return err
	}
	fmt.Fprintf(buf, "%s,\n\"steps\":[", head[:len(head)-1])
	before := "\n"
	for s, err := range r.Steps() {
		if err != nil {
			return err
		}
		line, err := json.Marshal(s, loose)
		if err != nil {
			return err
		}
		fmt.Fprintf(buf, "%s%s", before, line)
		before = ",\n"
	}
	fmt.Fprint(buf, "\n]}\n")
	return buf.Flush()
}

// IsPlan reports whether a file that begins like that is a saved plan.
func IsPlan(head []byte) bool {
	dec := jsontext.NewDecoder(bytes.NewReader(head))
	if tok, err := dec.ReadToken(); err != nil || tok.Kind() != '{' {
		return false
	}
	tok, err := dec.ReadToken()
	return err == nil && tok.Kind() == '"' && tok.String() == PlanMark
}

// LoadPlan reads a saved plan into run, and checks that every person in it is as
// the plan found them: a *Faults names those who are not. Nothing is sent.
func LoadPlan(ctx context.Context, d *Directory, in io.Reader, run *Run, concurrency int) (err error) {
	plan, err := createSpill(run.path(planFile))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, plan.close()) }()
	dec := jsontext.NewDecoder(in, loose)
	head, err := readHead(dec)
	if err != nil {
		return fmt.Errorf("the saved plan: %w", err)
	}
	if head.Version != planVersion {
		return oneFault(0, fmt.Sprintf("the saved plan has the form %d, and this roster reads %d: plan again", head.Version, planVersion))
	}
	if head.URL != run.Meta.URL || head.Directory != run.Meta.Directory {
		return oneFault(0, fmt.Sprintf("the plan was made for the directory %s %s, and this one is %s %s", head.URL, head.Directory, run.Meta.URL, run.Meta.Directory))
	}
	run.Meta.Source = head.Source
	run.Meta.Counts = Counts{Unchanged: head.Counts.Unchanged, People: head.Counts.People}
	p := &planner{d: d, run: run, plan: plan}
	c := &checker{d: d, faults: Faults{Changed: true}}
	c.start(ctx, max(concurrency, 1))
	n := 0
	for dec.PeekKind() == '{' {
		s := new(Step)
		if err = json.UnmarshalDecode(dec, s, loose); err != nil {
			break
		}
		if n++; s.N != n {
			err = fmt.Errorf("step %d stands where step %d belongs", s.N, n)
			break
		}
		if err = errors.Join(d.reread(s), p.write(s)); err != nil {
			err = fmt.Errorf("step %d: %w", n, err)
			break
		}
		c.todo <- s
	}
	checked := c.end()
	if err == nil {
		if _, err = dec.ReadToken(); err == nil && n != head.Counts.Steps() {
			err = fmt.Errorf("it has %d steps, and says %d", n, head.Counts.Steps())
		}
	}
	if err != nil {
		return fmt.Errorf("the saved plan: %w", err)
	}
	if checked != nil {
		return checked
	}
	if err := plan.sync(); err != nil {
		return err
	}
	run.Meta.State = Planned
	return run.save()
}

// reread makes what a step of a saved plan shows out of what it would do, in case
// somebody has edited one and not the other.
func (d *Directory) reread(s *Step) error {
	switch s.Op {
	case Create, Update, Deactivate:
		doc, err := parseObject(s.Body)
		if err != nil {
			return fmt.Errorf("what it sends: %w", err)
		}
		if s.Op == Create {
			s.ID, s.Before = "", nil
		}
		if err := d.fill(s, doc); err != nil {
			return errors.New(wordsOf(err))
		}
		return nil
	case Delete, Restore:
		shown, err := parseObject(s.Before)
		if err != nil {
			return fmt.Errorf("the person before it: %w", err)
		}
		s.ID, s.UserName, s.Changes = shown.text("id"), shown.text("userName"), nil
		if len(s.Body) == 0 {
			return nil
		}
		doc, err := own(s.Before)
		if err == nil {
			s.Body, err = doc.body()
		}
		return err
	}
	return fmt.Errorf("there is no operation %q", clip(string(s.Op)))
}

// readHead reads what stands before the steps.
func readHead(dec *jsontext.Decoder) (*planHead, error) {
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	head := object{}
	for {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, err
		}
		if name.Kind() != '"' {
			return nil, errors.New("it has no steps")
		}
		text := name.String()
		if text == "steps" {
			break
		}
		v, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		head[text] = v.Clone()
	}
	if tok, err := dec.ReadToken(); err != nil || tok.Kind() != '[' {
		return nil, errors.New("its steps are no array")
	}
	doc, err := head.json()
	if err != nil {
		return nil, err
	}
	h := new(planHead)
	return h, json.Unmarshal(doc, h)
}

// A checker looks whether people are as the steps of a saved plan found them.
type checker struct {
	d    *Directory
	todo chan *Step
	work sync.WaitGroup

	mu     sync.Mutex
	faults Faults
	err    error
}

func (c *checker) start(ctx context.Context, workers int) {
	c.todo = make(chan *Step)
	for range workers {
		c.work.Go(func() {
			for s := range c.todo {
				if err := c.check(ctx, s); err != nil {
					c.mu.Lock()
					c.err = errors.Join(c.err, err)
					c.mu.Unlock()
				}
			}
		})
	}
}

func (c *checker) end() error {
	close(c.todo)
	c.work.Wait()
	return errors.Join(c.err, c.faults.err())
}

func (c *checker) fault(s *Step, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults.add(s.Line, "%q %s since the plan was made: nothing was sent; plan again", s.UserName, text)
}

func (c *checker) check(ctx context.Context, s *Step) error {
	if ctx.Err() != nil {
		return nil // the first error is enough
	}
	if s.Op == Create {
		for _, err := range c.d.users().List(ctx, listOptions("userName eq "+client.Quote(s.UserName))) {
			if err != nil {
				return err
			}
			c.fault(s, "was created")
			break
		}
		return nil
	}
	now, err := c.d.users().Get(ctx, s.ID, &client.GetOptions{ExcludedAttributes: []string{"groups"}})
	if statusOf(err) == http.StatusNotFound {
		if s.Op != Restore {
			c.fault(s, "was deleted")
		}
		return nil
	}
	if err != nil {
		return err
	}
	at, err := c.d.standing(s, now.Body)
	shown, perr := parseObject(now.Body)
	if err = errors.Join(err, perr); err != nil {
		return err
	}
	if at != before || s.Version != "" && c.d.version(shown) != s.Version {
		c.fault(s, "was changed")
	}
	return nil
}
