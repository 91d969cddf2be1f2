package apply

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/action"
)

// Retention is how long the folder of a run is kept.
const Retention = 90 * 24 * time.Hour

// leftover is how long that is kept which a process that was killed has left, and
// nobody needs.
const leftover = 24 * time.Hour

// An Op is what a step does to a person.
type Op string

// The operations of a Step.
const (
	Create     Op = "create"
	Update     Op = "update"
	Deactivate Op = "deactivate" // active is all that changes, to false
	Delete     Op = "delete"     // to undo a create
	Restore    Op = "restore"    // to undo a delete
	Extra      Op = "extra"      // nothing: of a comparison, whom no row names
)

// A Step is what a plan does to one person.
type Step struct {
	N        int    `json:"n"` // from 1, in the order of the plan
	Line     int    `json:"line,omitzero"`
	Op       Op     `json:"op"`
	ID       string `json:"id,omitzero"` // empty: of one that is yet to be created
	UserName string `json:"userName"`
	// Version is what the person must still have (If-Match). Empty: the service
	// has none, and the person is compared with Before.
	Version string `json:"version,omitzero"`
	// Before is the person whole, as the service showed it; of a create empty.
	Before jsontext.Value `json:"before,omitzero"`
	// Body is what is sent; of a delete and a restore on a Roster empty.
	Body    jsontext.Value  `json:"body,omitzero"`
	Changes []action.Change `json:"changes,omitempty"`
	// Note says what the step cannot bring back, or what is to be known of it.
	Note string `json:"note,omitzero"`
}

// A Result is what became of a step.
type Result struct {
	N        int    `json:"n"`
	Done     bool   `json:"done"`
	ID       string `json:"id,omitzero"`  // of who was created
	Sum      string `json:"sum,omitzero"` // of what the service showed after it
	Status   int    `json:"status,omitzero"`
	Error    string `json:"error,omitzero"`
	Again    bool   `json:"again,omitzero"` // it is worth another attempt, and may have been done
	Attempts int    `json:"attempts,omitzero"`
	// Differs are the attributes that the service made something else of than was
	// planned.
	Differs []string `json:"differs,omitempty"`
}

// Meta says what a run is.
type Meta struct {
	ID        string    `json:"id"`
	Created   time.Time `json:"created"`
	Source    string    `json:"source"` // the name of the file, or "undo of …"
	Key       string    `json:"key"`    // a digest of the file and of how it is applied: the same again goes on
	URL       string    `json:"url"`
	Directory string    `json:"directory,omitzero"`
	Format    Format    `json:"format,omitzero"`
	Header    []string  `json:"header,omitempty"`
	Comma     string    `json:"comma,omitzero"`
	Undoes    string    `json:"undoes,omitzero"`
	State     State     `json:"state"`
	Counts    Counts    `json:"counts"`
}

// A State says how far a run is.
type State string

// The states of a run.
const (
	Planning State = "planning" // its plan is not whole
	Planned  State = "planned"
	Running  State = "running" // requests may have been sent
	Done     State = "done"    // every step has been tried
)

// Counts are how many people a plan is about.
type Counts struct {
	Create     int `json:"create"`
	Update     int `json:"update"`
	Deactivate int `json:"deactivate"`
	Delete     int `json:"delete,omitzero"`
	Restore    int `json:"restore,omitzero"`
	Extra      int `json:"extra,omitzero"`
	Unchanged  int `json:"unchanged"`
	Replaced   int `json:"replaced"` // attributes
	Added      int `json:"added"`
	Cleared    int `json:"cleared"`
	// Deactivated are the people whose active becomes false, by whatever step;
	// Reactivated those whose becomes true.
	Deactivated int `json:"deactivated"`
	Reactivated int `json:"reactivated"`
	People      int `json:"people,omitzero"` // in the directory, where all were read
}

// Steps returns how many steps the plan has.
func (c *Counts) Steps() int { return c.Create + c.Update + c.Deactivate + c.Delete + c.Restore }

// A Store is the folder that holds the folders of runs.
type Store struct {
	Dir string
}

// A Run is one run in its folder. One process has it at a time.
type Run struct {
	Meta Meta
	Dir  string
	lock *os.File
}

// The files of a run.
const (
	metaFile = "run.json"
	planFile = "plan.ndjson"
	rowsFile = "rows.ndjson"
	doneFile = "done.ndjson"
	// While a plan is made:
	peopleFile  = "people.ndjson"
	missingFile = "missing.ndjson"
)

// idTime is how an id begins: when the run was created.
const idTime = "20060102-150405-"

// Create makes the folder of a run.
func (s *Store) Create(m Meta) (*Run, error) {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, err
	}
	m.Created = time.Now().UTC().Truncate(time.Millisecond)
	m.ID = m.Created.Format(idTime) + strings.ToLower(rand.Text()[:6])
	m.State = Planning
	r := &Run{Meta: m, Dir: filepath.Join(s.Dir, m.ID)}
	if err := os.Mkdir(r.Dir, 0o700); err != nil {
		return nil, err
	}
	if err := r.take(); err != nil {
		return nil, err
	}
	return r, r.save()
}

// tempPrefix is how the names of files begin that a process needs while it runs.
const tempPrefix = ".temp-"

// CreateTemp makes a file beside the runs, which Prune removes a day later if nobody
// does before.
func (s *Store) CreateTemp() (*os.File, error) {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, err
	}
	return os.CreateTemp(s.Dir, tempPrefix)
}

// take locks the run.
func (r *Run) take() error {
	f, err := os.OpenFile(filepath.Join(r.Dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	ok, err := lockFile(f)
	if err == nil && !ok {
		err = fmt.Errorf("run %s is being carried out by another process", r.Meta.ID)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	r.lock = f
	return nil
}

// Close lets go of the run.
func (r *Run) Close() error { return r.lock.Close() }

// Remove lets go of the run and removes its folder.
func (r *Run) Remove() error {
	return errors.Join(r.lock.Close(), os.RemoveAll(r.Dir))
}

// save writes what the run is, all or nothing.
func (r *Run) save() error {
	// The names of files and columns may be no UTF-8.
	data, err := json.Marshal(&r.Meta, jsontext.Multiline(true), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return err
	}
	return writeWhole(filepath.Join(r.Dir, metaFile), data)
}

// writeWhole gives a file another content, which is on disk when it returns.
func writeWhole(path string, data []byte) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	_ = dir.Sync() // not every file system has it
	return dir.Close()
}

func (r *Run) path(name string) string { return filepath.Join(r.Dir, name) }

// Open returns the run of that id, and takes it.
func (s *Store) Open(id string) (*Run, error) {
	m, err := s.meta(id)
	if err != nil {
		return nil, err
	}
	r := &Run{Meta: *m, Dir: filepath.Join(s.Dir, id)}
	return r, r.take()
}

// ErrNoRun is the error for a run that is not there.
var ErrNoRun = errors.New("no such run")

func (s *Store) meta(id string) (*Meta, error) {
	if id == "" || id != filepath.Base(id) || strings.HasPrefix(id, ".") {
		return nil, fmt.Errorf("%w: %q is no id of one", ErrNoRun, id)
	}
	data, err := os.ReadFile(filepath.Join(s.Dir, id, metaFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s in %s", ErrNoRun, id, s.Dir)
	}
	if err != nil {
		return nil, err
	}
	m := new(Meta)
	if err := json.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("run %s: %s is damaged: %w", id, metaFile, err)
	}
	if m.ID != id || !strings.HasPrefix(id, m.Created.Format(idTime)) {
		return nil, fmt.Errorf("run %s: %s is damaged: it is of the run %s of %s", id, metaFile, m.ID, m.Created)
	}
	return m, nil
}

// List returns the runs, the newest last.
func (s *Store) List() ([]*Meta, error) {
	entries, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []*Meta
	for _, e := range entries {
		// What is no folder of a run, or one that is being made, is passed over.
		if m, err := s.meta(e.Name()); err == nil {
			list = append(list, m)
		}
	}
	slices.SortFunc(list, func(a, b *Meta) int { return a.Created.Compare(b.Created) })
	return list, nil
}

// Unfinished returns the newest run of that key that was begun and has steps to
// do, taken; nil: there is none.
func (s *Store) Unfinished(key string) (*Run, error) {
	list, err := s.List()
	if err != nil {
		return nil, err
	}
	for i := len(list) - 1; i >= 0; i-- {
		if m := list[i]; m.Key == key && m.State == Running {
			return s.Open(m.ID)
		}
	}
	return nil, nil
}

// Prune removes runs that are older than Retention, and plans and temporary files
// that a killed process left a day ago, before it sent anything. What is in use
// stays.
func (s *Store) Prune(now time.Time) error {
	entries, err := os.ReadDir(s.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), tempPrefix) {
			continue
		}
		// One that has gone meanwhile is its owner's affair.
		if info, err := e.Info(); err == nil && now.Sub(info.ModTime()) > leftover {
			if err := os.Remove(filepath.Join(s.Dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	list, err := s.List()
	if err != nil {
		return err
	}
	for _, m := range list {
		age := now.Sub(m.Created)
		sent := m.State == Running || m.State == Done
		if age < Retention && (sent || age < leftover) {
			continue
		}
		if r, err := s.Open(m.ID); err == nil {
			if err := r.Remove(); err != nil {
				return err
			}
		}
	}
	return nil
}

// Steps goes through the plan. One that is not whole, or not as it was written,
// ends with an error.
func (r *Run) Steps() iter.Seq2[*Step, error] {
	return func(yield func(*Step, error) bool) {
		n := 0
		for s, err := range each[Step](r.path(planFile)) {
			if n++; err == nil && s.N != n {
				err = fmt.Errorf("step %d stands where step %d belongs", s.N, n)
			}
			if err != nil {
				yield(nil, r.damaged(err))
				return
			}
			if !yield(s, nil) {
				return
			}
		}
		if want := r.Meta.Counts.Steps() + r.Meta.Counts.Extra; n != want {
			yield(nil, r.damaged(fmt.Errorf("it has %d steps of %d", n, want)))
		}
	}
}

func (r *Run) damaged(err error) error {
	return fmt.Errorf("the plan of run %s is damaged, so nothing more is sent: %w; move the folder %s away and apply the file again, which changes only what is left", r.Meta.ID, err, r.Dir)
}
