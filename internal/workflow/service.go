package workflow

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/scim"
)

// The defaults of Options.
const (
	DefaultMaxDepth  = 5
	DefaultPoll      = time.Second
	DefaultRunRate   = 200
	DefaultLeaseTime = 30 * time.Second
)

// MaxWorkflows is how many workflows a directory has at the most.
const MaxWorkflows = 200

// Options of a Service.
type Options struct {
	Store  store.Store
	Engine Engine
	// Committed returns a channel that is closed when this process has next
	// committed a change. nil: what it commits is found like that of other nodes.
	Committed func() <-chan struct{}
	// Leases are where the processes that share a database agree on the one that
	// dispatches. nil: this one is alone.
	Leases Leases
	// LeaseTime is how long the one that dispatches gives no sign of life before
	// another process does. 0: DefaultLeaseTime.
	LeaseTime time.Duration
	// MaxDepth is how many runs a chain has at the most, in which each was started
	// by a change that the one before has made. 0: DefaultMaxDepth.
	MaxDepth int
	// RunRate is how many runs a second triggers start at the most. 0:
	// DefaultRunRate.
	RunRate float64
	// NoMail says that where runs are carried out no mail server is set: a workflow
	// that sends mail is not deployed.
	NoMail bool
	// RunRetention is how long runs that have ended are kept. 0: for ever.
	RunRetention time.Duration
	// EventRetention is how long events are kept. 0: for ever.
	EventRetention time.Duration
	// Poll is how often the dispatcher looks for what other nodes have written. 0:
	// DefaultPoll.
	Poll time.Duration
	Now  func() time.Time // nil: time.Now
	Log  *slog.Logger     // nil: slog.Default
}

// A Service is the workflows that are deployed in the directories of a store, and
// their runs. Its errors are *scim.Error.
type Service struct {
	Options
	limit *rate.Limiter
	wake  chan struct{} // has one when a workflow was changed here

	// Of the dispatcher.
	lead    lead
	tasks   map[string]*task // by directory
	counted time.Time        // when the backlog was counted last

	stats struct {
		events, schedules, held, backlog, succeeded, failed atomic.Int64
	}
}

// NewService returns the Service of a store and an engine.
func NewService(o Options) *Service {
	o.MaxDepth = cmp.Or(o.MaxDepth, DefaultMaxDepth)
	o.Poll = cmp.Or(o.Poll, DefaultPoll)
	o.RunRate = cmp.Or(o.RunRate, DefaultRunRate)
	o.LeaseTime = cmp.Or(o.LeaseTime, DefaultLeaseTime)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Service{
		Options: o, limit: rate.NewLimiter(rate.Limit(o.RunRate), max(1, int(o.RunRate))),
		wake: make(chan struct{}, 1), tasks: make(map[string]*task), lead: lead{leases: o.Leases, holder: newRunID(), period: o.LeaseTime},
	}
}

// Stats are what this process has done since it started.
type Stats struct {
	Events    int64 // runs that events have started
	Schedules int64 // runs that schedules have started
	Held      int64 // events that did not start a run, lest it goes round in a circle
	Succeeded int64 // runs that have ended here and succeeded
	Failed    int64 // runs that have ended here and failed
	Backlog   int64 // events that wait to be dispatched, 10,000 in each directory at the most; as it was last counted
}

// Stats returns them.
func (s *Service) Stats() Stats {
	return Stats{
		Events: s.stats.events.Load(), Schedules: s.stats.schedules.Load(), Held: s.stats.held.Load(),
		Succeeded: s.stats.succeeded.Load(), Failed: s.stats.failed.Load(), Backlog: s.stats.backlog.Load(),
	}
}

func (s *Service) now() time.Time { return s.Now().UTC().Truncate(time.Microsecond) }

// A Deployment is a workflow to be deployed.
type Deployment struct {
	Directory, Name string
	Source          string      // the file; empty: it stays as it is
	Enabled         *bool       // nil: it stays as it is; of a new one: true
	Key             *roster.Key // that deploys it
	// Holds says whether a version is one that this was meant for. nil: any is, or
	// none.
	Holds func(version int64) bool
}

// Deploy creates a workflow or replaces the one of that name, and reports which.
// A file with faults is a 400 that tells all of them, and so is one that names
// connections that there are not. What changes nothing makes no version.
func (s *Service) Deploy(ctx context.Context, d Deployment) (w *roster.Workflow, created bool, err error) {
	var f *File
	if d.Source != "" {
		if f, err = s.check(ctx, d); err != nil {
			return nil, false, err
		}
	}
	// Its triggers see what is written from now on. What is not settled yet comes
	// later than this, or was written at the same time.
	since, err := s.lastEvent(ctx, d.Directory)
	if err != nil {
		return nil, false, err
	}
	now := s.now()
	err = s.Store.Update(ctx, func(tx store.Tx) error {
		old, err := tx.GetWorkflow(d.Directory, d.Name)
		switch {
		case errors.Is(err, store.ErrNotFound):
			old = nil
		case err != nil:
			return err
		}
		if err := holds(d.Holds, old, d.Name); err != nil {
			return err
		}
		next, err := s.next(d, f, old, since, now)
		if err != nil {
			return err
		}
		w, created = &next.Workflow, old == nil
		switch {
		case old == nil:
			if list, err := tx.ListWorkflows(d.Directory); err != nil {
				return err
			} else if len(list) >= MaxWorkflows {
				return scim.Errorf(409, "", "the directory has %d workflows, and that is the most: delete one", len(list))
			}
			return tx.CreateWorkflow(next)
		case next.Version == old.Version:
			return nil
		}
		return tx.ReplaceWorkflow(next)
	})
	switch {
	case errors.Is(err, store.ErrExists), errors.Is(err, store.ErrStale):
		return nil, false, scim.Errorf(412, "", "somebody else has just deployed workflow %s: read it, and deploy again", d.Name)
	case errors.Is(err, store.ErrNotFound):
		return nil, false, scim.Errorf(404, "", "Directory with id[%s] was not found.", d.Directory)
	case err != nil:
		return nil, false, err
	}
	s.rouse()
	return w, created, nil
}

// next returns what d makes of the workflow old, nil for none; f is the file of d,
// nil when the old one stays.
func (s *Service) next(d Deployment, f *File, old *store.Workflow, since int64, now time.Time) (*store.Workflow, error) {
	if old == nil {
		if f == nil {
			return nil, noWorkflow(d.Name)
		}
		return &store.Workflow{
			Workflow: roster.Workflow{
				Directory: d.Directory, Name: d.Name, Source: d.Source, Enabled: d.Enabled == nil || *d.Enabled,
				Key: d.Key.ID, Created: now, Modified: now, Version: 1,
			},
			Since: since, Active: now,
		}, nil
	}
	next := *old
	if d.Enabled != nil {
		next.Enabled = *d.Enabled
	}
	if f != nil {
		// Also when the file is the same: who deploys it again because the key has
		// ended gives it another.
		next.Source, next.Key = d.Source, d.Key.ID
	}
	if next == *old {
		return &next, nil
	}
	next.Version++
	next.Modified = now
	if !now.After(old.Modified) {
		next.Modified = old.Modified.Add(time.Microsecond)
	}
	if next.Enabled && (!old.Enabled || f != nil && !samePurpose(old.Source, f)) {
		next.Since, next.Active = since, now
	}
	return &next, nil
}

// samePurpose reports whether the old file had a trigger of each kind that the
// new one has: then what its triggers have not seen yet is for the new one.
func samePurpose(old string, f *File) bool {
	before, err := Parse([]byte(old))
	if err != nil {
		return false
	}
	events, schedules := before.triggers()
	newEvents, newSchedules := f.triggers()
	return (len(events) > 0 || len(newEvents) == 0) && (len(schedules) > 0 || len(newSchedules) == 0)
}

// triggers returns the triggers of f by their kinds.
func (f *File) triggers() (events, schedules []*Trigger) {
	for i := range f.Triggers {
		if t := &f.Triggers[i]; t.Event != nil {
			events = append(events, t)
		} else {
			schedules = append(schedules, t)
		}
	}
	return events, schedules
}

// check parses the file of a deployment and demands what it needs of the server.
func (s *Service) check(ctx context.Context, d Deployment) (*File, error) {
	f, err := Parse([]byte(d.Source))
	if err != nil {
		return nil, scim.Errorf(400, scim.InvalidSyntax, "the workflow has faults:\n%v", err)
	}
	if f.Name != d.Name {
		return nil, scim.Errorf(400, scim.InvalidValue, "the file is of workflow %s, and %s was to be deployed: give them one name", f.Name, d.Name)
	}
	if s.NoMail && f.Mails() {
		return nil, scim.Errorf(400, scim.InvalidValue, "the workflow sends mail, and this server has no mail server: start it with --mail and --mail-from (--mail log: is for a trial)")
	}
	var missing []string
	err = s.Store.View(ctx, func(r store.Reader) error {
		there, err := r.ListConnections(d.Directory)
		missing = slices.DeleteFunc(slices.Clone(f.Connections), func(name string) bool {
			return slices.ContainsFunc(there, func(c *store.Connection) bool { return c.Name == name })
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 {
		return nil, scim.Errorf(400, scim.InvalidValue, "the directory has no connection %s: roster connection add NAME --server makes one", strings.Join(missing, ", "))
	}
	return f, nil
}

// lastEvent returns the Seq of the last event of a directory, 0 when it has none.
func (s *Service) lastEvent(ctx context.Context, directory string) (int64, error) {
	last, err := s.Store.LastEvents(ctx, directory, 1)
	if err != nil || len(last) == 0 {
		return 0, err
	}
	return last[0].Seq, nil
}

// holds demands the version that a change was meant for.
func holds(h func(version int64) bool, w *store.Workflow, name string) error {
	switch {
	case h == nil || w != nil && h(w.Version):
		return nil
	case w == nil:
		return scim.Errorf(412, "", "there is no workflow %s any more: send it without If-Match", name)
	}
	return scim.Errorf(412, "", "workflow %s has version %d: read it, and decide again", name, w.Version)
}

// Get returns a workflow, or a 404.
func (s *Service) Get(ctx context.Context, directory, name string) (*roster.Workflow, error) {
	var w *store.Workflow
	err := s.Store.View(ctx, func(r store.Reader) (err error) {
		w, err = r.GetWorkflow(directory, name)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, noWorkflow(name)
	}
	if err != nil {
		return nil, err
	}
	return &w.Workflow, nil
}

// List returns the workflows of a directory in the order of their names, and how
// many events wait for its triggers, 10,000 at the most.
func (s *Service) List(ctx context.Context, directory string) (workflows []*roster.Workflow, backlog int64, err error) {
	err = s.Store.View(ctx, func(r store.Reader) error {
		list, err := r.ListWorkflows(directory)
		if err != nil {
			return err
		}
		workflows, backlog = make([]*roster.Workflow, len(list)), 0
		for i, w := range list {
			workflows[i] = &w.Workflow
		}
		all, err := r.ListDispatches()
		if err != nil {
			return err
		}
		for _, p := range all {
			if after, triggers := p.Seq, eventsFrom(list, p.Seq); p.Directory == directory && triggers >= 0 {
				backlog, err = r.CountEvents(directory, max(after, triggers), maxBacklog)
			}
		}
		return err
	})
	return workflows, backlog, err
}

// Delete removes a workflow whose version h holds, any for nil. Its runs go on to
// their end.
func (s *Service) Delete(ctx context.Context, directory, name string, h func(version int64) bool) error {
	err := s.Store.Update(ctx, func(tx store.Tx) error {
		w, err := tx.GetWorkflow(directory, name)
		if err != nil {
			return err
		}
		if err := holds(h, w, name); err != nil {
			return err
		}
		return tx.DeleteWorkflow(directory, name, w.Version)
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return noWorkflow(name)
	case errors.Is(err, store.ErrStale):
		return scim.Errorf(412, "", "somebody else has just changed workflow %s: read it, and decide again", name)
	}
	s.rouse()
	return err
}

// UsesConnection returns the name of a workflow of a directory that uses a
// connection, "" when none does.
func UsesConnection(r store.Reader, directory, connection string) (string, error) {
	list, err := r.ListWorkflows(directory)
	if err != nil {
		return "", err
	}
	for _, w := range list {
		if f, err := Parse([]byte(w.Source)); err == nil && slices.Contains(f.Connections, connection) {
			return w.Name, nil
		}
	}
	return "", nil
}

// Principal returns the key by which the runs of a directory act in it, or a 403
// when it is not live any more.
func (s *Service) Principal(ctx context.Context, directory, id string) (*roster.Key, error) {
	var key *roster.Key
	err := s.Store.View(ctx, func(r store.Reader) error {
		key = nil
		for _, owner := range []string{directory, ""} {
			list, err := r.ListKeys(owner)
			if err != nil {
				return err
			}
			for _, k := range list {
				if k.ID == id {
					key = k
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if key == nil || !key.Live(s.Now()) {
		return nil, scim.Errorf(403, "", "Forbidden; the key that deployed the workflow has expired or was revoked: deploy it again with another one")
	}
	return key, nil
}

// rouse makes the dispatcher look at the workflows again.
func (s *Service) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func noWorkflow(name string) *scim.Error {
	if len(name) > 100 {
		name = name[:100] + "…"
	}
	return scim.Errorf(404, "", "there is no workflow %s: roster workflow list shows those that there are", strconv.Quote(name))
}

// runID returns the id of the one run that stands for parts: the same again for
// the same.
func runID(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// newRunID returns the id of a run that stands for nothing else.
func newRunID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
