package apply

import (
	"errors"
	"os"

	"github.com/go-json-experiment/json"
)

// A journal finds the last result of each step of a run. It holds where they are;
// they are on disk.
type journal struct {
	file *spill  // nil: there are no results
	at   []int64 // by N: one more than where its line begins; 0: it has none
}

// journal reads what a run has done. A step without a result was not tried, or was
// under way when the process was killed, or its line was damaged: then the service
// is asked what became of it.
func (r *Run) journal() (*journal, error) {
	j := &journal{at: make([]int64, r.Meta.Counts.Steps()+1)}
	f, err := os.Open(r.path(doneFile))
	if errors.Is(err, os.ErrNotExist) {
		return j, nil
	}
	if err != nil {
		return nil, err
	}
	j.file = &spill{f: f}
	for line, err := range sealedLines(r.path(doneFile)) {
		var one Result
		if err == nil {
			err = json.Unmarshal(line.data, &one, loose)
		}
		if errors.Is(err, errDamaged) {
			continue
		}
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		j.file.off = line.end
		if one.N > 0 && one.N < len(j.at) {
			j.at[one.N] = line.off + 1
		}
	}
	return j, nil
}

// of returns the last result of step n, nil when there is none.
func (j *journal) of(n int) (*Result, error) {
	if n >= len(j.at) || j.at[n] == 0 {
		return nil, nil
	}
	line, err := j.file.at(j.at[n] - 1)
	if err != nil {
		return nil, err
	}
	r := new(Result)
	return r, json.Unmarshal(line, r, loose)
}

func (j *journal) close() error {
	if j.file == nil {
		return nil
	}
	return j.file.f.Close()
}
