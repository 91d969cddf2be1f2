package workflow

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/internal/mail"
	"github.com/roster-scim/roster/scim"
)

// A Target is what a step asks for when it acts on a connection.
type Target struct {
	Directory  string        // in which the run is
	Connection string        // roster.LocalConnection, or one of the directory
	Key        string        // the id of the key by which the run acts in its directory
	Cause      *roster.Cause // of the changes that it makes
}

// A Runner carries out runs: its Body is that of the Engine. Its fields are set
// before the first run.
type Runner struct {
	// Dial returns a client of a connection that nobody else uses, and the rules of
	// its directory for a service that does not tell them. Required. One without
	// HTTP goes through Guard. Its errors are shown: no key is in them.
	Dial func(ctx context.Context, t Target) (*client.Client, scim.RuleSet, error)
	// Mail sends the mails. Required.
	Mail mail.Sender
	// Suppressed reports whether a directory sends no mail. Nil: each does.
	Suppressed func(ctx context.Context, directory string) (bool, error)
	// Guard is where http steps, and clients without a transport, may go. Required.
	Guard *Guard
	Now   func() time.Time // nil: time.Now
	Log   *slog.Logger     // nil: slog.Default

	once  sync.Once
	web   *http.Client
	mu    sync.Mutex
	files map[[32]byte]*File
}

// maxFiles is how many parsed files a Runner keeps.
const maxFiles = 64

func (r *Runner) init() {
	if r.Now == nil {
		r.Now = time.Now
	}
	if r.Log == nil {
		r.Log = slog.Default()
	}
	r.web = &http.Client{Transport: r.Guard.Transport(), CheckRedirect: sameHost}
	r.files = make(map[[32]byte]*File)
}

// file returns the file of a run, parsed.
func (r *Runner) file(source string) (*File, error) {
	sum := sha256.Sum256([]byte(source))
	r.mu.Lock()
	f := r.files[sum]
	r.mu.Unlock()
	if f != nil {
		return f, nil
	}
	f, err := Parse([]byte(source))
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.files) >= maxFiles {
		clear(r.files)
	}
	r.files[sum] = f
	return f, nil
}

// Body carries out a run, as the Body of an Engine. It returns the outputs of the
// run, a JSON object; the error of a run that has failed is a roster.RunError in
// JSON. Each attempt of a step is one call, and what it decides (whether the step
// is skipped, which way an if goes) is in the call's record, so that the same
// calls follow from the same results.
func (r *Runner) Body(ctx context.Context, x Execution) ([]byte, error) {
	r.once.Do(r.init)
	in, err := DecodeRunInput(x.Input())
	if err != nil {
		return nil, failed("", err)
	}
	file, err := r.file(in.Source)
	if err != nil {
		return nil, failed("", fmt.Errorf("this version does not take the workflow: %w", err))
	}
	p, err := r.newInterpreter(x, in, file)
	if err != nil {
		return nil, failed("", err)
	}
	return p.run(ctx)
}

func failed(step string, err error) *failure {
	return &failure{roster.RunError{Step: step, Message: err.Error()}}
}

// An interpreter carries out one run.
type interpreter struct {
	*Runner
	x      Execution
	in     *RunInput
	file   *File
	redact *redactor
	masked any // the inputs without the secret ones
	secret []any
}

// A frame is where steps are carried out: the run itself, or an item of a
// for-each in it.
type frame struct {
	item    *int           // nil: the run itself
	env     Env            // the roots; env["steps"] is steps
	steps   map[string]any // what each step gave
	own     map[string]any // of an item: what its own steps gave
	failed  *roster.RunError
	since   time.Time // that it has failed
	rescue  string    // of an on-error: tells it from that of another failure of the run
	stopped bool
}

// over reports whether no step of the frame begins any more.
func (f *frame) over() bool { return f.failed != nil || f.stopped }

func (r *Runner) newInterpreter(x Execution, in *RunInput, file *File) (*interpreter, error) {
	p := &interpreter{Runner: r, x: x, in: in, file: file}
	inputs, err := decode(in.Inputs)
	if err != nil {
		return nil, fmt.Errorf("the inputs of the run: %w", err)
	}
	given, _ := inputs.(map[string]any)
	shown := maps.Clone(given)
	for _, i := range file.Inputs {
		if v, ok := given[i.Name]; ok && i.Secret {
			p.secret = append(p.secret, v)
			shown[i.Name] = "***"
		}
	}
	p.masked = shown
	p.redact = newRedactor(p.secret)
	return p, nil
}

// root returns the frame of the run itself.
func (p *interpreter) root() (*frame, error) {
	inputs, err := decode(p.in.Inputs)
	if err != nil {
		return nil, err
	}
	if inputs == nil {
		inputs = map[string]any{}
	}
	var event any
	if p.in.Event != nil {
		data, err := json.Marshal(p.in.Event)
		if err != nil {
			return nil, err
		}
		if event, err = decode(data); err != nil {
			return nil, err
		}
	}
	run := map[string]any{
		"id": p.x.ID(), "workflow": p.file.Name, "directory": p.in.Directory, "trigger": p.in.Trigger, "started": nil,
	}
	if !p.in.Queued.IsZero() {
		run["started"] = p.in.Queued.UTC().Format(time.RFC3339)
	}
	f := &frame{steps: make(map[string]any)}
	blank(f.steps, p.file.Steps)
	blank(f.steps, p.file.OnError)
	f.env = Env{"inputs": inputs, "steps": f.steps, "event": event, "run": run}
	return f, nil
}

// blank puts steps that have not begun into a map: what names one that never does
// finds nothing, and not an error. Those within a for-each are in its frames alone.
func blank(into map[string]any, steps []*Step) {
	for _, s := range steps {
		into[s.ID] = map[string]any{"status": string(roster.RunSkipped), "output": nil, "error": nil, "changes": []any{}, "before": nil}
		if s.If != nil {
			blank(into, s.If.Then)
			blank(into, s.If.Else)
		}
	}
}

// run carries out the steps of the file. What it calls does not depend on
// anything but the input and the records.
func (p *interpreter) run(ctx context.Context) ([]byte, error) {
	f, err := p.root()
	if err != nil {
		return nil, failed("", err)
	}
	if err := p.walk(ctx, []*frame{f}, p.file.Steps); err != nil {
		return nil, err
	}
	if f.failed != nil {
		p.Log.Info("run failed", "run", p.x.ID(), "workflow", p.file.Name, "step", f.failed.Step, "err", f.failed.Message)
		if f.stopped {
			return nil, &failure{*f.failed} // as the file wants it
		}
		// A retry that fails again is told of again: mailboxes would take a mail with
		// the id of the first for the same one.
		rescue := &frame{steps: f.steps, env: maps.Clone(f.env), rescue: "." + strconv.FormatInt(f.since.UnixMicro(), 36)}
		rescue.env["error"] = errorValue(f.failed)
		if err := p.walk(ctx, []*frame{rescue}, p.file.OnError); err != nil {
			return nil, err
		}
		return nil, &failure{*f.failed}
	}
	return p.outputs(f)
}

// outputs returns the outputs of the file as a JSON object. Secrets are not in it.
func (p *interpreter) outputs(f *frame) ([]byte, error) {
	out := make(map[string]any)
	env := p.shown(f.env)
	for _, o := range p.file.Outputs {
		v, present, err := o.Value.Eval(env)
		switch {
		case err != nil && !f.stopped:
			return nil, failed("", fmt.Errorf("output %s: %s", o.Name, p.redact.text(err.Error())))
		case err == nil && present:
			out[o.Name] = v
		}
	}
	data, err := encode(out)
	if err != nil {
		return nil, failed("", fmt.Errorf("outputs: %w", err))
	}
	return p.redact.json(data), nil
}

// shown returns env without the secret inputs: for what people read.
func (p *interpreter) shown(env Env) Env {
	if len(p.secret) == 0 {
		return env
	}
	out := maps.Clone(env)
	out["inputs"] = p.masked
	return out
}

// walk carries out steps in each of the frames, which go side by side: the next
// step begins when the one before has ended in all of them.
func (p *interpreter) walk(ctx context.Context, frames []*frame, steps []*Step) error {
	for _, s := range steps {
		live := frames[:0:0]
		for _, f := range frames {
			if !f.over() {
				live = append(live, f)
			}
		}
		if len(live) == 0 {
			return nil
		}
		var err error
		switch {
		case s.If != nil:
			err = p.branch(ctx, live, s)
		case s.ForEach != nil:
			for _, f := range live { // there is one: for-each is not in another
				if err == nil {
					err = p.loop(ctx, f, s)
				}
			}
		default:
			_, err = p.perform(ctx, live, s)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// branch carries out an if in each of the frames.
func (p *interpreter) branch(ctx context.Context, frames []*frame, s *Step) error {
	done, err := p.perform(ctx, frames, s)
	if err != nil {
		return err
	}
	var yes, no []*frame
	for _, w := range done {
		switch string(w.rec.Output) {
		case branchThen:
			yes = append(yes, w.frame)
		case branchElse:
			no = append(no, w.frame)
		}
	}
	if err := p.walk(ctx, yes, s.If.Then); err != nil {
		return err
	}
	return p.walk(ctx, no, s.If.Else)
}

// The outputs of an if.
const (
	branchThen = `"then"`
	branchElse = `"else"`
)

// perform carries out one step in each of the frames, with its attempts, and puts
// what it gave into them.
func (p *interpreter) perform(ctx context.Context, frames []*frame, s *Step) ([]*work, error) {
	works := make([]*work, len(frames))
	for i, f := range frames {
		works[i] = p.newWork(f, s)
	}
	if err := p.drive(ctx, works); err != nil {
		return nil, err
	}
	for _, w := range works {
		if err := w.settle(); err != nil {
			return nil, err
		}
	}
	return works, nil
}

// drive makes the calls of works, until each has ended. Those that have to wait
// for their next attempt wait for the others first, and then together.
func (p *interpreter) drive(ctx context.Context, works []*work) error {
	for {
		var ready, waiting []*work
		wait := time.Duration(0)
		for _, w := range works {
			switch {
			case w.over:
			case w.wait > 0:
				waiting = append(waiting, w)
				wait = max(wait, w.wait)
			default:
				ready = append(ready, w)
			}
		}
		switch {
		case len(ready) > 0:
			if err := p.call(ctx, ready, len(works) == 1); err != nil {
				return err
			}
		case len(waiting) > 0:
			if err := p.x.Sleep(ctx, wait); err != nil {
				return err
			}
			for _, w := range waiting {
				w.wait = 0
			}
		default:
			return nil
		}
	}
}

// call makes one call of each work, and gives it the record.
func (p *interpreter) call(ctx context.Context, works []*work, lone bool) error {
	var results [][]byte
	if lone {
		b, err := p.x.Do(ctx, works[0].name(), works[0].call)
		if err != nil {
			return err
		}
		results = [][]byte{b}
	} else {
		calls := make([]Call, len(works))
		for i, w := range works {
			calls[i] = Call{Name: w.name(), Do: w.call}
		}
		var err error
		if results, err = p.x.DoAll(ctx, calls); err != nil {
			return err
		}
	}
	for i, w := range works {
		rec, err := readRecord(results[i])
		if err != nil {
			return err
		}
		w.take(rec)
	}
	return nil
}

// view returns what expressions see of a step.
func (r *record) view(before jsontext.Value) (map[string]any, error) {
	output, err := decode(r.Output)
	if err != nil {
		return nil, err
	}
	was, err := decode(before)
	if err != nil {
		return nil, err
	}
	changes := []any{}
	for _, c := range r.Changes {
		data, err := json.Marshal(c, recordOptions)
		if err != nil {
			return nil, err
		}
		v, err := decode(data)
		if err != nil {
			return nil, err
		}
		changes = append(changes, v)
	}
	return map[string]any{
		"status": string(r.Status), "output": output, "error": errorValue(r.Error), "changes": changes, "before": was,
	}, nil
}

// errorValue returns what expressions see of an error: nil when there is none.
func errorValue(e *roster.RunError) any {
	if e == nil {
		return nil
	}
	return map[string]any{
		"step": e.Step, "status": float64(e.Status), "scimType": e.ScimType, "message": e.Message, "temporary": e.Temporary,
	}
}
