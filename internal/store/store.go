// Package store is the contract of persistence: what the rules of package
// directory may ask of a database, and what they are promised.
//
// A resource is kept as the canonical JSON document that package scim wrote,
// with its version beside it. Two indexes go with it: terms, by which it is
// found, and claims, by which it is unique. The store compares neither text nor
// values by itself: what it is given is folded already.
//
// The one implementation is package sqlstore; package storetest is this
// contract as tests.
package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/roster-scim/roster"
)

// The errors of a Store, to be asked for with errors.Is. Anything else is a
// failure of the database.
var (
	ErrNotFound = errors.New("not found")
	ErrExists   = errors.New("exists already")
	ErrStale    = errors.New("changed in between")
)

// A Record is one resource as it is stored.
type Record struct {
	Directory string
	Type      string // the resource type's name: "User"
	ID        string
	Version   int64     // from 1, up by exactly one with each change
	Created   time.Time // UTC, microseconds
	Modified  time.Time // UTC, microseconds
	// Doc is the canonical JSON object of the attributes that have a value. It
	// has no id, no meta and nothing that is computed when it is read.
	Doc []byte
	// Label is what the resource is called where others show it. It is written
	// with the rest, and read as part of a Member or a Membership alone.
	Label string
	// Members is how many members a group has.
	Members int64
	// Joined says that it is a direct member of a group. Get alone fills it: who
	// shows the groups of one resource need not ask for them when there are none.
	Joined bool
}

// A Member is a member of a group.
type Member struct {
	ID    string
	Type  string // the name of its resource type
	Label string // of its Record
}

// A Membership says of which group a resource is a direct member.
type Membership struct {
	Member string // the id of the resource
	Group  string // the id of the group
	Label  string // of the group's Record
}

// A Term is one value of one attribute, folded where the attribute ignores
// case; Value is at most 1,000 bytes and has no U+0000.
type Term struct {
	Attribute string
	Value     string
}

// Keys are the terms and claims of a resource, or what a change adds to or
// takes from them. They are sets: no term stands twice in one.
type Keys struct {
	Terms  []Term
	Claims []Term
}

// A ConflictError says who holds a claim. It is an ErrExists.
type ConflictError struct {
	Claim  Term
	Holder string // the id of the resource that has it
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s is held by %s", e.Claim.Attribute, e.Holder)
}

// Is makes errors.Is(err, ErrExists) true.
func (e *ConflictError) Is(target error) bool { return target == ErrExists }

// A Query selects resources of one type in one directory: all, or those that one
// of Term, By, Member and IDs selects. Their order is that of their ids, byte by
// byte.
type Query struct {
	Directory, Type string
	Term            *Term    // only those that have this term
	By              string   // only those with a term of this attribute, in the order of its value, then of their ids
	Member          string   // only groups with this direct member
	IDs             []string // only those with these ids, at most 1,000; without After, Reverse and Offset
	Reverse         bool     // in the reverse order
	After           string   // only those that come after this id in the order; empty: from the first
	AfterValue      string   // with By and After: of the one with this value
	Offset          int      // how many to pass over, >= 0
	Limit           int      // how many at the most, >= 1
}

// A Trashed is a deleted resource that can still be restored.
type Trashed struct {
	Record
	Deleted time.Time // UTC, microseconds
	Key     string    // the id of the key that deleted it
}

// A Connection is a roster.Connection with its key.
type Connection struct {
	roster.Connection
	Sealed []byte // its key, sealed: opaque to the store
}

// A Workflow is a deployed workflow, with what its triggers go by.
type Workflow struct {
	roster.Workflow
	Since  int64     // its triggers see events with a greater Seq alone
	Active time.Time // UTC, microseconds: its schedules start runs at later times alone
}

// A Dispatch says how far the events of a directory were given to the triggers of
// its workflows.
type Dispatch struct {
	Directory string
	Seq       int64 // of the last event that was
	Changed   int64 // goes up with each change of the directory's workflows
}

// An Answer is what was answered to a request that carried an Idempotency-Key.
type Answer struct {
	Hash    [32]byte  // of the request: method, target and body
	Body    []byte    // opaque to the store
	Created time.Time // UTC
}

// A Lease is what one process has for itself until it runs out: a name, say.
type Lease struct {
	Name   string
	Holder string
	Left   time.Duration // by the clock of the database; zero or less: it has run out
}

// A Reader reads. Each call sees what was committed when it began (inside
// Update also what the function has done so far). What it returns belongs to
// the caller.
type Reader interface {
	// Get returns a resource, or ErrNotFound. Inside Update it also locks the
	// resource until the transaction ends.
	Get(directory, typ, id string) (*Record, error)
	// List calls fn for each resource of q, in order, until fn returns an
	// error, which List then returns. fn must not use the Reader.
	List(q Query, fn func(*Record) error) error
	// Count returns how many resources q, which is without IDs, selects, whatever
	// its After, Offset and Limit. Of all of a type it reads a counter.
	Count(q Query) (int64, error)
	// Lacking returns how many resources of a type have no term of an attribute,
	// of which none has more than one.
	Lacking(directory, typ, attribute string) (int64, error)

	// Members calls fn for up to limit members of a group whose id is greater
	// than after, in the order of their ids, until fn returns an error, which
	// Members then returns. fn must not use the Reader.
	Members(directory, group, after string, limit int, fn func(Member) error) error
	// Memberships returns the groups that the resources with these ids are direct
	// members of, in the order of the members' ids and then the groups'.
	Memberships(directory string, ids []string) ([]Membership, error)

	// GetDirectory returns a directory, or ErrNotFound.
	GetDirectory(id string) (*roster.Directory, error)
	// ListDirectories returns the directories in the order of their creation.
	ListDirectories() ([]*roster.Directory, error)

	// GetKey returns the key with that digest, live or not, or ErrNotFound.
	// Inside Update it also locks the key until the transaction ends.
	GetKey(digest [32]byte) (*roster.Key, error)
	// ListKeys returns the keys of a directory, or of the operators for "", in
	// the order of their creation, revoked ones too.
	ListKeys(directory string) ([]*roster.Key, error)

	// GetTrash returns a deleted resource, or ErrNotFound.
	GetTrash(directory, typ, id string) (*Trashed, error)
	// ListTrash returns up to limit deleted resources of a directory, of every
	// type, whose id is greater than after, in the order of their ids.
	ListTrash(directory, after string, limit int) ([]*Trashed, error)

	// GetEvent returns the event with that Seq, or ErrNotFound. It may be one that
	// Events still holds back.
	GetEvent(directory string, seq int64) (*roster.Event, error)
	// History returns up to limit events of a resource, or of a deleted one that
	// is in the trash, whose version is less than before (0: from the newest on),
	// the newest first. It reads all events that are newer, too. Where Prune has
	// erased an event, the history ends.
	History(directory, typ, id string, before int64, limit int) ([]*roster.Event, error)

	// GetConnection returns a connection that a directory owns, or ErrNotFound.
	GetConnection(directory, name string) (*Connection, error)
	// ListConnections returns the connections that a directory owns, in the order
	// of their names.
	ListConnections(directory string) ([]*Connection, error)

	// GetWorkflow returns a deployed workflow, or ErrNotFound.
	GetWorkflow(directory, name string) (*Workflow, error)
	// ListWorkflows returns the workflows of a directory in the order of their
	// names.
	ListWorkflows(directory string) ([]*Workflow, error)
	// ListDispatches returns those of all directories in which a workflow was ever
	// created.
	ListDispatches() ([]Dispatch, error)
	// CountEvents returns how many events of a directory have a greater Seq than
	// after, or limit when there are more. It counts those that Events still holds
	// back.
	CountEvents(directory string, after int64, limit int) (int64, error)

	// GetSetting returns what PutSetting kept, or ErrNotFound.
	GetSetting(name string) ([]byte, error)
}

// A Tx changes. What its methods are given belongs to the store from then on.
// The store gives each event its Seq, which the caller does not learn; the
// values of its changes must be valid JSON.
type Tx interface {
	Reader

	// Create adds r with its keys and the event of it, which continues the history
	// of a resource that DropTrash has removed in this transaction. It returns
	// ErrExists when the id is taken, a *ConflictError when a claim is, and
	// ErrNotFound when there is no such directory; then the function must return
	// an error, which undoes all of it.
	Create(r *Record, keys Keys, e *roster.Event) error
	// Replace stores r in the place of the version r.Version-1 with the event of
	// it, takes the keys in drop and then adds those in add. ErrStale says that
	// this is not the stored version (or that there is none); a *ConflictError is
	// as in Create.
	Replace(r *Record, drop, add Keys, e *roster.Event) error
	// AddKeys gives a resource its label, and keys that it lacks, after
	// ClearKeys or ClearAttribute; a *ConflictError is as in Create.
	AddKeys(directory, typ, id, label string, keys Keys) error
	// Delete moves the version t.Version-1 of a resource to the trash as t with
	// the event of it, and takes the keys in drop, which are all it has. ErrStale
	// is as in Replace, and says that it has members or memberships left; then the
	// function must return an error.
	Delete(t *Trashed, drop Keys, e *roster.Event) error
	// DropTrash removes a deleted resource for good, or returns ErrNotFound.
	DropTrash(directory, typ, id string) error
	// Find returns which of the resources with these ids there are, of the types
	// User and Group, in the order of their ids, and keeps them from being
	// deleted until the transaction ends.
	Find(directory string, ids []string) ([]Member, error)
	// AddMembers makes resources that Find has found members of a group that Get
	// has locked, and returns the ids of those that were not.
	AddMembers(directory, group string, members []Member) (added []string, err error)
	// RemoveMembers removes members from a group that Get has locked, and returns
	// the ids of those that were members.
	RemoveMembers(directory, group string, ids []string) (removed []string, err error)
	// Purge erases what is kept of a deleted resource that DropTrash has removed
	// in this transaction: the values (before and after) of all events in its
	// history that are not purged yet, which it marks as purged and whose number
	// it returns, and the answers that were kept about it.
	Purge(directory, typ, id string) (int64, error)

	// Expect makes the transaction fail with ErrStale, at this call or a later
	// one, unless the directory has this version; and keeps LockDirectory waiting
	// until the transaction ends. What writes resources by the rules of a
	// directory calls it first, so that no write by old rules comes after new ones.
	Expect(directory string, version int64) error
	// LockDirectory returns a directory, or ErrNotFound, when every transaction
	// that has called Expect for it has ended, and keeps others from passing
	// Expect until this one ends.
	LockDirectory(id string) (*roster.Directory, error)
	// ClearAttribute takes the terms and claims of one attribute of every resource
	// of a type, in a directory that is locked. The caller adds others with
	// AddKeys, where a claim that is taken is then ErrStale, at the call or later:
	// it must have looked.
	ClearAttribute(directory, typ, attribute string) error

	// CreateDirectory adds d; ErrExists when the id is taken (also by a deleted
	// directory that Prune has not erased yet), or the default is and d.Default
	// is set.
	CreateDirectory(d *roster.Directory) error
	// ReplaceDirectory stores d in the place of the version d.Version-1, or
	// returns ErrStale; ErrExists when another directory is the default and
	// d.Default is set.
	ReplaceDirectory(d *roster.Directory) error
	// DeleteDirectory makes a directory, its keys and its connections vanish at
	// once, or returns ErrNotFound. Prune then erases what it held.
	DeleteDirectory(id string) error

	// CreateKey adds k; ErrExists when the id or the digest is taken.
	CreateKey(k *roster.Key) error
	// ReplaceKey stores k, whose id and digest stay as they are, or returns
	// ErrNotFound.
	ReplaceKey(k *roster.Key) error

	// CreateConnection adds c; ErrExists when its name is taken in the directory,
	// ErrNotFound when there is no such directory.
	CreateConnection(c *Connection) error
	// ReplaceConnection stores c, but for Created, in the place of the version
	// c.Version-1, or returns ErrStale.
	ReplaceConnection(c *Connection) error
	// ResealConnection stores c.Sealed, and nothing else, in the version c.Version,
	// or returns ErrStale.
	ResealConnection(c *Connection) error
	// DeleteConnection removes that version of a connection, or returns ErrStale.
	DeleteConnection(directory, name string, version int64) error

	// CreateWorkflow adds w; ErrExists when its name is taken in the directory,
	// ErrNotFound when there is no such directory. The Dispatch of the directory
	// begins at w.Since with its first workflow, and is changed by each.
	CreateWorkflow(w *Workflow) error
	// ReplaceWorkflow stores w, but for Created and Held, in the place of the
	// version w.Version-1, or returns ErrStale.
	ReplaceWorkflow(w *Workflow) error
	// DeleteWorkflow removes that version of a workflow, or returns ErrStale.
	DeleteWorkflow(directory, name string, version int64) error
	// MoveDispatch writes down that the events of a directory up to seq were
	// dispatched, unless later ones were, and adds to Held of its workflows, by
	// name; one that is gone is passed over.
	MoveDispatch(directory string, seq int64, held map[string]int64) error

	// Reserve begins a request that carries the Idempotency-Key name, of the
	// API key keyID. The first to reserve gets nil and, with Keep, leaves its
	// answer; any other waits until that one's transaction has ended and gets
	// the answer (or, when that one was undone, is itself the first).
	Reserve(directory, keyID, name string, hash [32]byte, now time.Time) (*Answer, error)
	// Keep stores the answer of a request that was reserved in this Tx, and the
	// id of the resource that it is about.
	Keep(directory, keyID, name, resource string, body []byte) error

	// PutSetting keeps a value under a name; an earlier one is replaced.
	PutSetting(name string, value []byte) error
}

// A Store is a transactional database of directories.
type Store interface {
	// View calls fn with a Reader on one connection. It is no transaction: two
	// reads may see two moments.
	View(ctx context.Context, fn func(Reader) error) error
	// Update calls fn in a transaction (READ COMMITTED or stronger) and commits
	// when fn returns nil: then, and only then, what it did is durable. fn may
	// be called more than once, so it must have no effect outside the Tx and
	// must assign its results afresh; it must be quick, and must not wait for
	// anything but the Tx. An error of fn undoes the transaction and is
	// returned as it is; a panic undoes it and goes on in the caller. When ctx
	// ends before fn is called, Update returns its error and nothing is done.
	Update(ctx context.Context, fn func(Tx) error) error
	// Events returns up to limit events of a directory with a Seq greater than
	// after, in order and without gaps: an event with a lower Seq than one that
	// was returned is never seen later.
	Events(ctx context.Context, directory string, after int64, limit int) ([]*roster.Event, error)
	// LastEvents returns the last up to limit of the events that Events would
	// return, in order.
	LastEvents(ctx context.Context, directory string, limit int) ([]*roster.Event, error)
	// ClearKeys takes the terms and claims of every resource of a directory, in
	// small batches. It is for a store that nothing else uses yet: the caller
	// adds the keys again, folded in another way.
	ClearKeys(ctx context.Context, directory string) error
	// Touch records when keys were last used. It is no part of a Tx, and may be
	// lost in a crash.
	Touch(ctx context.Context, used map[string]time.Time) error
	// CreateLease gives a lease to holder, for d by the clock of the database: one
	// that nobody has, that has run out, or that is its own. ErrExists: another has
	// it.
	CreateLease(ctx context.Context, name, holder string, d time.Duration) error
	// RenewLease makes a lease last for d from now, also one that has run out;
	// ErrNotFound: holder has it no longer.
	RenewLease(ctx context.Context, name, holder string, d time.Duration) error
	// DeleteLease gives a lease back, if holder has it.
	DeleteLease(ctx context.Context, name, holder string) error
	// Leases returns all leases in the order of their names.
	Leases(ctx context.Context) ([]Lease, error)
	// Prune erases, in small batches until there is no more or ctx ends, what
	// deleted directories held, idempotent answers made before answers, events
	// before events and trash before trash. It returns how many rows went.
	Prune(ctx context.Context, answers, events, trash time.Time) (int64, error)
	// Backup writes a consistent copy of an embedded database to a new file
	// while the store is in use; other databases have tools of their own and
	// return an error that names them.
	Backup(ctx context.Context, path string) error
	// Ping says whether the database answers.
	Ping(ctx context.Context) error
	// Close waits for what is under way and closes the database.
	Close() error
}
