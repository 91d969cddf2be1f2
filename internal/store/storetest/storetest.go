// Package storetest is the contract of package store as tests. An implementation
// calls Run with a function that opens a fresh, empty store.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/store"
)

// A test is one clause of the contract, on a store of its own.
type test struct {
	name string
	fn   func(t *testing.T, s store.Store)
	// once keeps the test from being run on a store that runs every function
	// twice; the reason stands beside it.
	once bool
}

// Run runs the contract against the stores that open returns. Run closes them;
// open must return an empty one each time.
func Run(t *testing.T, open func(testing.TB) store.Store) {
	for _, mode := range []struct {
		name string
		wrap func(store.Store) store.Store
	}{
		{"Once", func(s store.Store) store.Store { return s }},
		{"Twice", func(s store.Store) store.Store { return twice{s} }},
	} {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			for _, tt := range tests() {
				if mode.name == "Twice" && tt.once {
					continue
				}
				t.Run(tt.name, func(t *testing.T) {
					t.Parallel()
					s := open(t)
					t.Cleanup(func() {
						if err := s.Close(); err != nil {
							t.Errorf("Close: %v", err)
						}
					})
					tt.fn(t, mode.wrap(s))
				})
			}
		})
	}
}

func tests() []test {
	return []test{
		{name: "RoundTrip", fn: testRoundTrip},
		{name: "DocIsBytes", fn: testDocIsBytes},
		{name: "Isolation", fn: testIsolation},
		{name: "NotFound", fn: testNotFound},
		{name: "CreateExists", fn: testCreateExists},
		{name: "CreateWithoutDirectory", fn: testCreateWithoutDirectory},
		{name: "ReplaceStale", fn: testReplaceStale},
		{name: "ReplaceWithoutGet", fn: testReplaceWithoutGet},
		{name: "Conflict", fn: testConflict},
		{name: "ConflictIgnored", fn: testConflictIgnored},
		{name: "ClaimsFreed", fn: testClaimsFreed},
		{name: "ClaimsMove", fn: testClaimsMove},
		{name: "KeysAddAndDrop", fn: testKeysAddAndDrop},
		{name: "ClearKeys", fn: testClearKeys},
		{name: "Expect", fn: testExpect},
		{name: "LockDirectory", fn: testLockDirectory},
		{name: "ClearAttribute", fn: testClearAttribute},
		{name: "Rollback", fn: testRollback},
		{name: "ReadsOwnWrites", fn: testReadsOwnWrites},
		{name: "List", fn: testList},
		{name: "ListReverse", fn: testListReverse},
		{name: "ListBy", fn: testListBy},
		{name: "ListIDs", fn: testListIDs},
		{name: "ListStops", fn: testListStops},
		{name: "Counters", fn: testCounters},
		{name: "Members", fn: testMembers},
		{name: "MembersMany", fn: testMembersMany},
		{name: "Memberships", fn: testMemberships},
		{name: "Find", fn: testFind},
		{name: "QueryMember", fn: testQueryMember},
		{name: "MemberCount", fn: testMemberCount},
		{name: "DeleteMember", fn: testDeleteMember},
		{name: "DeleteDirectoryMembers", fn: testDeleteDirectoryMembers},
		{name: "Trash", fn: testTrash},
		{name: "TrashPages", fn: testTrashPages},
		{name: "Events", fn: testEvents},
		{name: "History", fn: testHistory},
		{name: "HistoryPruned", fn: testHistoryPruned},
		{name: "Purge", fn: testPurge},
		{name: "Reserve", fn: testReserve},
		{name: "ReserveUndone", fn: testReserveUndone},
		{name: "Directories", fn: testDirectories},
		{name: "DefaultDirectory", fn: testDefaultDirectory},
		{name: "DeleteDirectory", fn: testDeleteDirectory},
		{name: "Keys", fn: testKeys},
		{name: "Touch", fn: testTouch},
		{name: "Connections", fn: testConnections},
		{name: "ConnectionsConcurrent", fn: testConnectionsConcurrent},
		{name: "Settings", fn: testSettings},
		{name: "Workflows", fn: testWorkflows},
		{name: "Dispatches", fn: testDispatches},
		{name: "CountEvents", fn: testCountEvents},
		{name: "Leases", fn: testLeases},
		{name: "LeasesConcurrent", fn: testLeasesConcurrent},
		{name: "PruneByAge", fn: testPruneByAge},
		{name: "ContextEnded", fn: testContextEnded},
		{name: "Panic", fn: testPanic},
		{name: "Closed", fn: testClosed},
		{name: "OneWinner", fn: testOneWinner},
		{name: "ReadModifyWrite", fn: testReadModifyWrite},
		{name: "ClaimOnce", fn: testClaimOnce},
		{name: "ClaimsInAnyOrder", fn: testClaimsInAnyOrder},
		{name: "Neighbours", fn: testNeighbours},
		{name: "CountersConcurrent", fn: testCountersConcurrent},
		{name: "ReserveConcurrent", fn: testReserveConcurrent},
		{name: "MembersConcurrent", fn: testMembersConcurrent},
		{name: "DeleteMemberConcurrent", fn: testDeleteMemberConcurrent},
		{name: "EventsInOrder", fn: testEventsInOrder},
		// The function waits for others, which the run that is undone would do too.
		{name: "EventsWhileOpen", fn: testEventsWhileOpen, once: true},
		{name: "Model", fn: testModel},
	}
}

// twice is a store that runs every function twice, the first time in a
// transaction that is undone: what a store may do at any time.
type twice struct{ store.Store }

var errAgain = errors.New("run it again")

func (s twice) Update(ctx context.Context, fn func(store.Tx) error) error {
	err := s.Store.Update(ctx, func(tx store.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return errAgain
	})
	if !errors.Is(err, errAgain) {
		return err
	}
	return s.Store.Update(ctx, fn)
}

// epoch is when everything in these tests begins.
var epoch = time.Date(2026, 11, 23, 12, 0, 0, 123456000, time.UTC)

const dir = "0192d3c0-0000-7000-8000-000000000001"

// update runs fn and fails the test when it fails.
func update(t testing.TB, s store.Store, fn func(store.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), fn); err != nil {
		t.Fatalf("Update: %v", err)
	}
}

// view runs fn and fails the test when it fails.
func view(t testing.TB, s store.Store, fn func(store.Reader) error) {
	t.Helper()
	if err := s.View(t.Context(), fn); err != nil {
		t.Fatalf("View: %v", err)
	}
}

// refuse runs fn and fails the test unless it fails with want.
func refuse(t testing.TB, s store.Store, want error, fn func(store.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), fn); !errors.Is(err, want) {
		t.Fatalf("Update: got error %v, want %v", err, want)
	}
}

// equal compares; nil and empty slices are the same.
func equal[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func directory(id string) *roster.Directory {
	return &roster.Directory{ID: id, Name: "Directory " + id, RuleSet: "atlassian", Created: epoch, Modified: epoch, Version: 1}
}

// begin creates the directories of a test.
func begin(t testing.TB, s store.Store, ids ...string) {
	t.Helper()
	update(t, s, func(tx store.Tx) error {
		for _, id := range ids {
			if err := tx.CreateDirectory(directory(id)); err != nil {
				return err
			}
		}
		return nil
	})
}

// user returns the version of a user.
func user(directory, id string, version int64) *store.Record {
	return &store.Record{
		Directory: directory, Type: "User", ID: id, Version: version,
		Created: epoch, Modified: epoch.Add(time.Duration(version) * time.Microsecond),
		Doc: fmt.Appendf(nil, `{"userName":%q,"n":%d}`, id, version),
	}
}

// trashed returns the version of a user that its deletion makes.
func trashed(directory, id string, version int64) *store.Trashed {
	r := user(directory, id, version)
	return &store.Trashed{Record: *r, Deleted: r.Modified, Key: "key-1"}
}

func event(directory, resource string, version int64) *roster.Event {
	return &roster.Event{
		ID: fmt.Sprintf("%s/%d", resource, version), Directory: directory, ResourceType: "User", Resource: resource,
		Version: version, Operation: roster.OpReplace, Key: "key-1", Request: "req-1",
		At: epoch.Add(time.Duration(version) * time.Microsecond),
		Changes: []roster.Change{
			{Attribute: "title", Before: []byte(`"a \"quoted\" one"`), After: []byte(`{"n":[1,2]}`)},
			{Attribute: "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", After: []byte(`"é\u2028"`)},
		},
	}
}

// create, replace and remove are the changes with an event of them.
func create(tx store.Tx, r *store.Record, keys store.Keys) error {
	return tx.Create(r, keys, eventOf(r))
}

func replace(tx store.Tx, r *store.Record, drop, add store.Keys) error {
	return tx.Replace(r, drop, add, eventOf(r))
}

func remove(tx store.Tx, d *store.Trashed, drop store.Keys) error {
	return tx.Delete(d, drop, eventOf(&d.Record))
}

func eventOf(r *store.Record) *roster.Event {
	e := event(r.Directory, r.ID, r.Version)
	e.ResourceType = r.Type
	return e
}

// name is a claim, and term a term, of one value.
func name(value string) store.Keys {
	t := []store.Term{{Attribute: "userName", Value: value}}
	return store.Keys{Terms: t, Claims: t}
}

// get returns a user, or nil.
func get(t testing.TB, s store.Store, directory, id string) (r *store.Record) {
	t.Helper()
	err := s.View(t.Context(), func(rd store.Reader) (err error) {
		r, err = rd.Get(directory, "User", id)
		return err
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("Get: %v", err)
	}
	return r
}

// list returns the ids that q selects.
func list(t testing.TB, s store.Store, q store.Query) (ids []string) {
	t.Helper()
	view(t, s, func(r store.Reader) error {
		ids = nil
		return r.List(q, func(r *store.Record) error {
			ids = append(ids, r.ID)
			return nil
		})
	})
	return ids
}

func total(t testing.TB, s store.Store, q store.Query) (n int64) {
	t.Helper()
	view(t, s, func(r store.Reader) (err error) {
		n, err = r.Count(q)
		return err
	})
	return n
}
