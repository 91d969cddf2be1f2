package directory_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/directory"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/scim"
)

func statusOf(err error) int {
	var e *scim.Error
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}

// A key that was revoked stays so, also when somebody rotates it just then.
func TestRevokeKey_WinsOverRotation(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		svc := open(t, s, nil)
		d := newDirectory(t, svc, scim.Standard)
		for range 20 {
			k, secret, err := svc.CreateKey(t.Context(), nil, directory.NewKey{Directory: d.ID, Name: "k", Scopes: []roster.Scope{roster.ScopeUsersRead}})
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			wg.Go(func() {
				if _, _, err := svc.RotateKey(t.Context(), nil, d.ID, k.ID, 24*time.Hour, k.Expires); err != nil && statusOf(err) != 409 {
					t.Error(err)
				}
			})
			wg.Go(func() {
				if err := svc.RevokeKey(t.Context(), d.ID, k.ID); err != nil {
					t.Error(err)
				}
			})
			wg.Wait()
			if _, err := svc.Authenticate(t.Context(), secret); statusOf(err) != 401 {
				t.Fatalf("a revoked key: %v, want 401", err)
			}
		}
	})
}

// Of several rotations without overlap one wins.
func TestRotateKey_OneWins(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		svc := open(t, s, nil)
		d := newDirectory(t, svc, scim.Standard)
		for range 10 {
			k, _, err := svc.CreateKey(t.Context(), nil, directory.NewKey{Directory: d.ID, Name: "k", Scopes: []roster.Scope{roster.ScopeUsersRead}})
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			won := make(chan struct{}, 3)
			for range cap(won) {
				wg.Go(func() {
					switch _, _, err := svc.RotateKey(t.Context(), nil, d.ID, k.ID, 0, k.Expires); {
					case err == nil:
						won <- struct{}{}
					case statusOf(err) != 409:
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if len(won) != 1 {
				t.Fatalf("%d rotations of one key succeeded, want 1", len(won))
			}
		}
	})
}

// A purge and restores of one user at once: who is there in the end has kept the
// history, and nobody is told that the directory is gone.
func TestPurge_AgainstRestore(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		d := newDirectory(t, open(t, s, nil), scim.Standard)
		typ := d.Model.Type("User")
		for i := range 20 {
			id := create(t, d, fmt.Sprintf(`{"userName":"u%d"}`, i)).ID
			if _, err := d.Delete(t.Context(), directory.Call{}, typ, id); err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() {
					if _, err := d.Restore(t.Context(), directory.Call{}, id); err != nil && (statusOf(err) != 404 || !strings.Contains(err.Error(), "not in the trash")) {
						t.Error(err)
					}
				})
			}
			wg.Go(func() {
				if _, err := d.Purge(t.Context(), id); err != nil && statusOf(err) != 409 && statusOf(err) != 404 {
					t.Error(err)
				}
			})
			wg.Wait()
			_, err := d.Get(t.Context(), typ, id, false)
			events, herr := d.History(t.Context(), id, 0, 10)
			if err == nil != (herr == nil) {
				t.Fatalf("the user: %v; its history: %v", err, herr)
			}
			for _, e := range events {
				if e.Purged {
					t.Fatalf("a user is there, and its history is purged: %+v", e)
				}
			}
		}
	})
}

// A page of large users ends early and says so; all of them can be read.
func TestList_PageIsBoundedInBytes(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		d := newDirectory(t, open(t, s, nil), scim.Standard)
		typ := d.Model.Type("User")
		text := strings.Repeat("x", scim.MaxText)
		var parts []string
		for _, name := range []string{"title", "nickName", "userType", "profileUrl", "locale", "timezone", "preferredLanguage"} {
			parts = append(parts, fmt.Sprintf("%q:%q", name, text))
		}
		const users = 40 // 18 MB
		for i := range users {
			create(t, d, fmt.Sprintf(`{"userName":"u%d",%s}`, i, strings.Join(parts, ",")))
		}
		f, err := typ.ParseFilter(`title sw "x"`)
		if err != nil {
			t.Fatal(err)
		}
		for _, filter := range []*scim.Filter{nil, f} {
			n := 0
			for pages := 0; n < users; pages++ {
				page, err := d.List(t.Context(), directory.Query{Select: []directory.Selection{{Type: typ, Filter: filter}}, Start: n + 1, Count: 100})
				if err != nil {
					t.Fatal(err)
				}
				got := len(page.Resources)
				if page.Total != users || got == 0 || pages == 0 && got == users {
					t.Fatalf("page %d from %d: %d of %d", pages, n+1, got, page.Total)
				}
				n += got
			}
			if n != users {
				t.Errorf("the pages have %d users, want %d", n, users)
			}
		}
		events, err := d.Events(t.Context(), 0, 1000)
		if err != nil || len(events) == 0 {
			t.Fatalf("events: %d, %v", len(events), err)
		}
	})
}

// A key in the overlap of its rotation makes no key that outlives it.
func TestCreateKey_InTheOverlap(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		svc := open(t, s, nil)
		d := newDirectory(t, svc, scim.Standard)
		admin := directory.NewKey{Directory: d.ID, Name: "k", Scopes: []roster.Scope{roster.ScopeAdmin}}
		k, secret, err := svc.CreateKey(t.Context(), nil, admin)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := svc.RotateKey(t.Context(), nil, d.ID, k.ID, time.Hour, k.Expires); err != nil {
			t.Fatal(err)
		}
		by, err := svc.Authenticate(t.Context(), secret)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := svc.CreateKey(t.Context(), by, admin); statusOf(err) != 403 {
			t.Errorf("a key without end: %v, want 403", err)
		}
	})
}
