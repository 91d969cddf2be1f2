// Package directory holds every rule about the users and groups of a directory:
// what a create, a replace or a delete makes of a resource, who may hold which
// name, which version follows which, what is written down of it; and the keys
// that open a directory.
//
// A write goes one way: the rules of package scim make the next resource of the
// current one, the difference between the two makes the event, the search terms
// and the claims, and all of it is one transaction of the store.
//
// It knows neither HTTP nor SQL. Its errors are *scim.Error.
package directory

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"golang.org/x/sync/semaphore"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/scim"
)

// CacheFor is how long a node trusts what it has read of keys and directories:
// a key that another node revoked is refused after this time at the latest.
const CacheFor = 4 * time.Second

// A Service is the directories of one store.
type Service struct {
	store store.Store
	now   func() time.Time
	log   *slog.Logger
	org   string
	// schemas are those of every directory; nil: each has its own.
	schemas jsontext.Value

	cursorSecret []byte

	maxScan   int
	maxSorted int
	scans     chan struct{} // one for each scan under way
	room      *semaphore.Weighted
	poll      time.Duration
	bell      bell

	mu          sync.RWMutex
	directories map[string]cached[*Directory]
	keys        map[[32]byte]cached[*roster.Key]
	generation  uint64 // goes up when something in the cache has become wrong

	usedMu sync.Mutex
	used   map[string]time.Time // key ids since the last flush
}

type cached[T any] struct {
	value T
	until time.Time
}

// Options of a Service.
type Options struct {
	Store store.Store
	Now   func() time.Time // nil: time.Now
	Log   *slog.Logger     // nil: slog.Default
	// MaxScan bounds the lists whose filter no index answers. 0: DefaultMaxScan.
	MaxScan int
	// Schemas are those of every directory, a document as of scim.ParseCustom;
	// then the directories cannot be given others. Open makes the stored ones the
	// same, or fails. Nil: each directory has its own.
	Schemas jsontext.Value
	// Poll is how often who waits for events looks for those that other nodes
	// have written. 0: DefaultPoll.
	Poll time.Duration
}

// Open returns the Service of a store. A store that was folded by another
// version of Unicode is folded again first.
func Open(ctx context.Context, o Options) (*Service, error) {
	s := &Service{
		store: o.Store, now: o.Now, log: o.Log,
		directories: make(map[string]cached[*Directory]),
		keys:        make(map[[32]byte]cached[*roster.Key]),
		used:        make(map[string]time.Time),
		scans:       make(chan struct{}, maxScans),
		room:        newRoom(),
		maxSorted:   MaxSorted,
		bell:        bell{ropes: make(map[string]chan struct{})},
		poll:        cmp.Or(o.Poll, DefaultPoll),
	}
	if s.maxScan = o.MaxScan; s.maxScan == 0 {
		s.maxScan = DefaultMaxScan
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	var err error
	if s.org, err = s.setting(ctx, "org", uuid.NewString); err != nil {
		return nil, fmt.Errorf("organisation: %w", err)
	}
	secret, err := s.setting(ctx, "cursor", newCursorSecret)
	if err != nil {
		return nil, fmt.Errorf("secret of cursors: %w", err)
	}
	s.cursorSecret = []byte(secret)
	if err := s.refold(ctx); err != nil {
		return nil, fmt.Errorf("fold the search terms: %w", err)
	}
	if o.Schemas != nil {
		if s.schemas, err = customOf(o.Schemas); err != nil {
			return nil, err
		}
		if s.schemas == nil {
			s.schemas = jsontext.Value{} // none, and none else
		}
		if err := s.impose(ctx); err != nil {
			return nil, fmt.Errorf("schemas: %w", err)
		}
	}
	return s, nil
}

// setting returns the value of a setting, which is made on the first start.
func (s *Service) setting(ctx context.Context, name string, make func() string) (value string, err error) {
	err = s.store.Update(ctx, func(tx store.Tx) error {
		v, err := tx.GetSetting(name)
		if errors.Is(err, store.ErrNotFound) {
			value = make()
			return tx.PutSetting(name, []byte(value))
		}
		value = string(v)
		return err
	})
	return value, err
}

// clock returns the time as it is stored.
func (s *Service) clock() time.Time { return s.now().UTC().Truncate(time.Microsecond) }

// A Directory is one directory with the model that it serves. It is a snapshot:
// ask the Service for it at each request.
type Directory struct {
	*roster.Directory
	Model *scim.Model

	service *Service
	indexes map[*scim.Type]*index
}

// Get returns a directory, at most CacheFor old. An id that there is not is a
// 404.
func (s *Service) Get(ctx context.Context, id string) (*Directory, error) {
	now := s.now()
	s.mu.RLock()
	c, ok := s.directories[id]
	generation := s.generation
	s.mu.RUnlock()
	if ok && now.Before(c.until) {
		return c.value, nil
	}
	if !isID(id) {
		return nil, NoDirectory(id)
	}
	var rec *roster.Directory
	err := s.store.View(ctx, func(r store.Reader) (err error) {
		rec, err = r.GetDirectory(id)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, NoDirectory(id)
	}
	if err != nil {
		return nil, fmt.Errorf("read directory: %w", err)
	}
	d, err := s.bind(rec, c.value)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	if s.generation == generation {
		s.directories[id] = cached[*Directory]{d, now.Add(CacheFor)}
	}
	s.mu.Unlock()
	return d, nil
}

// bind compiles the model of a directory, unless old has it already.
func (s *Service) bind(rec *roster.Directory, old *Directory) (*Directory, error) {
	if old != nil && old.Version == rec.Version {
		return &Directory{Directory: rec, Model: old.Model, service: s, indexes: old.indexes}, nil
	}
	model, err := modelOf(rec)
	if err != nil {
		return nil, fmt.Errorf("directory %s: %w", rec.ID, err)
	}
	d := &Directory{Directory: rec, Model: model, service: s, indexes: make(map[*scim.Type]*index)}
	for _, t := range model.Types {
		d.indexes[t] = newIndex(t)
	}
	return d, nil
}

func modelOf(rec *roster.Directory) (*scim.Model, error) {
	rules, err := scim.Rules(rec.RuleSet)
	if err != nil {
		return nil, err
	}
	if rules, err = rules.With(rec.Rules); err != nil {
		return nil, err
	}
	custom, err := scim.ParseCustom(rec.Schemas)
	if err != nil {
		return nil, err
	}
	return scim.NewModel(rules, custom)
}

// NoDirectory is the 404 of an unknown directory, which is also that of one
// that the caller's key does not open: the two must not be told apart. The id is
// empty where the default directory was meant.
func NoDirectory(id string) *scim.Error {
	if id == "" {
		return scim.Errorf(404, "", "no directory is named, and the default one, if there is one, is not that of the key: use /scim/directory/{directoryId}/")
	}
	return scim.Errorf(404, "", "Directory [%s] not found: check the id in the URL, and that the key is of this directory", clip(id))
}

// List returns the directories in the order of their creation.
func (s *Service) List(ctx context.Context) (list []*roster.Directory, err error) {
	err = s.store.View(ctx, func(r store.Reader) (err error) {
		list, err = r.ListDirectories()
		return err
	})
	return list, err
}

// Default returns the default directory, or a 404.
func (s *Service) Default(ctx context.Context) (*Directory, error) {
	s.mu.RLock()
	c, ok := s.directories[""]
	s.mu.RUnlock()
	if ok && s.now().Before(c.until) {
		return c.value, nil
	}
	list, err := s.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, rec := range list {
		if rec.Default {
			d, err := s.Get(ctx, rec.ID)
			if err == nil {
				s.mu.Lock()
				s.directories[""] = cached[*Directory]{d, s.now().Add(CacheFor)}
				s.mu.Unlock()
			}
			return d, err
		}
	}
	return nil, scim.Errorf(404, "", "There is no default directory: use /scim/directory/{directoryId}")
}

// Create makes a directory. The name is for people, 1 to 200 characters; rules
// is a JSON object of what differs from the rule set, or empty.
func (s *Service) Create(ctx context.Context, name, ruleSet string, rules []byte, isDefault bool) (*roster.Directory, error) {
	name = strings.TrimSpace(name)
	if !isName(name) {
		return nil, badName()
	}
	if ruleSet == "" {
		ruleSet = scim.Atlassian
	}
	now := s.clock()
	d := &roster.Directory{
		ID: uuid.NewString(), Name: name, RuleSet: ruleSet, Rules: rules, Schemas: s.schemas,
		Default: isDefault, Created: now, Modified: now, Version: 1,
	}
	if _, err := modelOf(d); err != nil {
		return nil, scim.Errorf(400, scim.InvalidValue, "%v", err)
	}
	if len(d.Rules) > 0 {
		if err := jsonCompact(&d.Rules); err != nil {
			return nil, err
		}
	}
	err := s.store.Update(ctx, func(tx store.Tx) error { return tx.CreateDirectory(d) })
	if errors.Is(err, store.ErrExists) {
		return nil, scim.Errorf(409, scim.Uniqueness, "there is a default directory already")
	}
	return d, err
}

// Delete removes a directory with all that is in it. It answers 404 from then
// on; its rows go in the background.
func (s *Service) Delete(ctx context.Context, id string) error {
	err := s.store.Update(ctx, func(tx store.Tx) error { return tx.DeleteDirectory(id) })
	s.reread()
	if errors.Is(err, store.ErrNotFound) {
		return NoDirectory(id)
	}
	return err
}

// refold makes the terms and claims of every resource again where another
// version of Unicode folded them, or another version of Roster chose them.
func (s *Service) refold(ctx context.Context) error {
	const name = "index"
	want := scim.FoldVersion + "/" + indexVersion
	have, err := s.setting(ctx, name, func() string { return want })
	if err != nil || have == want {
		return err
	}
	s.log.Info("folding the search terms again", "from", have, "to", want)
	list, err := s.List(ctx)
	if err != nil {
		return err
	}
	for _, rec := range list {
		d, err := s.bind(rec, nil)
		if err != nil {
			return err
		}
		if err := s.store.ClearKeys(ctx, d.ID); err != nil {
			return err
		}
		for _, t := range d.Model.Types {
			if err := d.addKeys(ctx, t); err != nil {
				return err
			}
		}
	}
	return s.store.Update(ctx, func(tx store.Tx) error { return tx.PutSetting(name, []byte(want)) })
}

// addKeys adds the keys of every resource of a type, a page at a time.
func (d *Directory) addKeys(ctx context.Context, t *scim.Type) error {
	q := store.Query{Directory: d.ID, Type: t.Name, Limit: 500}
	for {
		var page []*store.Record
		err := d.service.store.View(ctx, func(r store.Reader) error {
			page = nil
			return r.List(q, func(rec *store.Record) error {
				page = append(page, rec)
				return nil
			})
		})
		if err != nil || len(page) == 0 {
			return err
		}
		if err := d.addKeysOf(ctx, t, page); errors.Is(err, store.ErrExists) {
			// Names that differed fold to one now. The server must start all the
			// same: the first keeps the claim, and the log names the other.
			for _, rec := range page {
				if err := d.addKeysOf(ctx, t, []*store.Record{rec}); err != nil {
					return err
				}
			}
		} else if err != nil {
			return err
		}
		q.After = page[len(page)-1].ID
	}
}

// addKeysOf adds the keys of some resources in one transaction. Of one alone it
// leaves out the claims that another one has.
func (d *Directory) addKeysOf(ctx context.Context, t *scim.Type, page []*store.Record) error {
	var taken []store.Term
	for {
		err := d.service.store.Update(ctx, func(tx store.Tx) error {
			for _, rec := range page {
				r, err := t.Decode(rec.Doc)
				if err != nil {
					return err
				}
				_, add, err := d.indexes[t].change(scim.Diff(nil, r))
				if err != nil {
					return fmt.Errorf("%s %s: %w", t.Name, rec.ID, err)
				}
				add.Claims = slices.DeleteFunc(add.Claims, func(c store.Term) bool { return slices.Contains(taken, c) })
				if err := tx.AddKeys(d.ID, t.Name, rec.ID, label(r), add); err != nil {
					return fmt.Errorf("%s %s: %w", t.Name, rec.ID, err)
				}
			}
			return nil
		})
		var held *store.ConflictError
		if len(page) != 1 || !errors.As(err, &held) {
			return err
		}
		d.service.log.Error("two resources have the same unique value now: give one of them another",
			"directory", d.ID, "attribute", held.Claim.Attribute, "holder", held.Holder, "other", page[0].ID)
		taken = append(taken, held.Claim)
	}
}

// Org returns the id of the organisation that the directories belong to: one
// for each store, made on the first start.
func (s *Service) Org() string { return s.org }

// Ready reports whether the store answers.
func (s *Service) Ready(ctx context.Context) error { return s.store.Ping(ctx) }

// isID reports whether s can be an id: one was made here, so it is UTF-8 without
// U+0000 (PostgreSQL takes no other text) and no longer than a key may be.
func isID(s string) bool {
	return s != "" && len(s) <= 200 && !strings.ContainsRune(s, 0) && utf8.ValidString(s)
}

// isName reports whether s is a name for people: 1 to 200 characters on one line.
func isName(s string) bool {
	return s != "" && utf8.RuneCountInString(s) <= 200 && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) // marks of direction change how others read
	})
}

func clip(s string) string {
	if len(s) <= 100 {
		return s
	}
	return strings.ToValidUTF8(s[:100], "") + "…"
}

// AnswersKept is how long the answer to an Idempotency-Key is kept.
const AnswersKept = 24 * time.Hour

// A First is what Bootstrap found or made.
type First struct {
	Directory string // the id of the default directory; empty when there is none
	Key       string // the operator key that was made now; empty: none was
}

// Bootstrap makes what a server needs that starts for the first time: a default
// directory with that rule set where there is no directory, and an operator key
// where no live one is. given is the operator key to have; then none is made,
// and one that is not there yet is added.
func (s *Service) Bootstrap(ctx context.Context, ruleSet, given string) (First, error) {
	var first First
	list, err := s.List(ctx)
	if err != nil {
		return first, err
	}
	if len(list) == 0 {
		d, err := s.Create(ctx, "default", ruleSet, nil, true)
		var e *scim.Error
		if errors.As(err, &e) && e.Status == 409 { // another node was faster
			if list, err = s.List(ctx); err != nil {
				return first, err
			}
		} else if err != nil {
			return first, fmt.Errorf("default directory: %w", err)
		} else {
			first.Directory = d.ID
		}
	}
	for _, d := range list {
		if d.Default {
			first.Directory = d.ID
		}
	}
	keys, err := s.ListKeys(ctx, "")
	if err != nil {
		return first, err
	}
	name := "first start"
	if given == "" {
		now := s.now()
		if slices.ContainsFunc(keys, func(k *roster.Key) bool { return k.Live(now) && k.Allows(roster.ScopeAdmin) }) {
			return first, nil
		}
	} else {
		digest := sha256.Sum256([]byte(given))
		if i := slices.IndexFunc(keys, func(k *roster.Key) bool { return k.Digest == digest }); i >= 0 {
			if !keys[i].Live(s.now()) {
				s.log.Warn("the bootstrap key was revoked: it stays so", "key", keys[i].ID)
			}
			return first, nil
		}
		name = "bootstrap"
	}
	_, secret, err := s.CreateKey(ctx, nil, NewKey{Name: name, Scopes: roster.Scopes, Given: given})
	var e *scim.Error
	if errors.As(err, &e) && e.Status == 409 {
		return first, nil // another node was faster
	}
	if err != nil {
		return first, fmt.Errorf("first key: %w", err)
	}
	if given == "" {
		first.Key = secret
	}
	return first, nil
}
