package workflow

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster"
)

// The bounds of a for-each.
const (
	// MaxItems is how many items it goes through at the most.
	MaxItems = 10_000
	// maxKept bounds what its output holds of the outputs of its steps, in bytes of
	// JSON. What is beyond it is in the history of the run alone.
	maxKept = 4 << 20
)

// loop carries out a for-each: so many items at once as its concurrency says, and
// the next ones when these have ended. An item that fails ends itself alone; when
// all have ended, the for-each has failed if one has.
func (p *interpreter) loop(ctx context.Context, f *frame, s *Step) error {
	begin := p.newWork(f, s)
	begin.part = partBegin
	var items []any
	begin.effect = func(_ context.Context, rec *record) (err error) {
		if items, err = s.items(f.env); err == nil {
			rec.Output, err = json.Marshal(map[string]int{"items": len(items)})
		}
		return err
	}
	if err := p.drive(ctx, []*work{begin}); err != nil {
		return err
	}
	if begin.rec.Status != roster.RunSucceeded {
		return begin.settle()
	}
	// The same as when the record was made: it follows from what is in the frame.
	items, err := s.items(f.env)
	if err != nil {
		return failed(s.ID, err)
	}
	l := &loopResults{list: []any{}, left: maxKept}
	index := 0
	for chunk := range slices.Chunk(items, max(s.ForEach.Concurrency, 1)) {
		frames := make([]*frame, len(chunk))
		for i, item := range chunk {
			n := index
			frames[i] = &frame{item: &n, rescue: f.rescue, steps: maps.Clone(f.steps), own: make(map[string]any), env: maps.Clone(f.env)}
			blank(frames[i].steps, s.ForEach.Steps)
			frames[i].env["steps"], frames[i].env[s.ForEach.As] = frames[i].steps, item
			index++
		}
		if err := p.walk(ctx, frames, s.ForEach.Steps); err != nil {
			return err
		}
		for i, one := range frames {
			if err := l.add(chunk[i], one); err != nil {
				return failed(s.ID, err)
			}
		}
	}
	end := p.newWork(f, s)
	end.part = partEnd
	end.effect = func(_ context.Context, rec *record) (err error) {
		rec.Output, err = json.Marshal(struct {
			Items  int `json:"items"`
			Failed int `json:"failed"`
		}{len(items), l.failed})
		if err == nil && l.failed > 0 {
			err = fmt.Errorf("%d of %d items have failed; the first: %s", l.failed, len(items), l.first)
		}
		return err
	}
	if err := p.drive(ctx, []*work{end}); err != nil {
		return err
	}
	if err := end.settle(); err != nil {
		return err
	}
	f.steps[s.ID].(map[string]any)["output"] = l.list
	return nil
}

// items returns the list of a for-each.
func (s *Step) items(env Env) ([]any, error) {
	v, err := s.ForEach.In.Eval(env)
	if err != nil {
		return nil, fmt.Errorf("in: %w", err)
	}
	list, ok := v.([]any)
	switch {
	case v == nil:
		return nil, nil
	case !ok:
		return nil, fmt.Errorf("in: %s gives no list", s.ForEach.In.Source)
	case len(list) > MaxItems:
		return nil, fmt.Errorf("in: %s gives %d items, and %d are the most: take fewer, in several runs", s.ForEach.In.Source, len(list), MaxItems)
	}
	return list, nil
}

// loopResults are the output of a for-each while it is made.
type loopResults struct {
	list   []any
	left   int // bytes that the outputs of steps may still have
	failed int
	first  string // error of an item
}

func (l *loopResults) add(item any, f *frame) error {
	result := map[string]any{"item": item, "status": string(roster.RunSucceeded), "error": errorValue(f.failed)}
	if f.failed != nil {
		if l.failed++; l.failed == 1 {
			l.first = fmt.Sprintf("item %d, step %s: %s", *f.item, f.failed.Step, f.failed.Message)
		}
		result["status"] = string(roster.RunFailed)
	}
	var data jsontext.Value
	if l.left > 0 {
		var err error
		if data, err = encode(f.own); err != nil {
			return err
		}
	}
	if l.left -= len(data); l.left > 0 {
		result["steps"] = f.own
	} else {
		short := make(map[string]any, len(f.own))
		for id, v := range f.own {
			step := v.(map[string]any)
			short[id] = map[string]any{"status": step["status"], "error": step["error"], "output": nil, "changes": nil, "before": nil}
		}
		result["steps"] = short
	}
	l.list = append(l.list, result)
	return nil
}
