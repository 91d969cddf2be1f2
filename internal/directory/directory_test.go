package directory_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/directory"
	"github.com/roster-scim/roster/internal/pgtest"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/internal/store/sqlstore"
	"github.com/roster-scim/roster/scim"
)

// onEach runs a test on a new database of each sort.
func onEach(t *testing.T, fn func(t *testing.T, s store.Store)) {
	t.Helper()
	t.Parallel()
	open := func(t *testing.T, dsn string) store.Store {
		s, err := sqlstore.Open(t.Context(), dsn, sqlstore.Options{Migrate: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		fn(t, open(t, "sqlite:"+filepath.Join(t.TempDir(), "test.db")))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		fn(t, open(t, pgtest.DSN(t)))
	})
}

func open(t *testing.T, s store.Store, now func() time.Time) *directory.Service {
	t.Helper()
	svc, err := directory.Open(t.Context(), directory.Options{Store: s, Now: now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return svc
}

func newDirectory(t *testing.T, svc *directory.Service, ruleSet string) *directory.Directory {
	t.Helper()
	rec, err := svc.Create(t.Context(), t.Name(), ruleSet, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	return get(t, svc, rec.ID)
}

func get(t *testing.T, svc *directory.Service, id string) *directory.Directory {
	t.Helper()
	d, err := svc.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func parse(t *testing.T, d *directory.Directory, body string) *scim.Resource {
	t.Helper()
	r, _, err := d.Model.Type("User").Parse([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func create(t *testing.T, d *directory.Directory, body string) *directory.Result {
	t.Helper()
	res, err := d.Create(t.Context(), directory.Call{}, parse(t, d, body))
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// find returns the ids of the users that a filter selects.
func find(t *testing.T, d *directory.Directory, filter string) (ids []string) {
	t.Helper()
	typ := d.Model.Type("User")
	f, err := typ.ParseFilter(filter)
	if err != nil {
		t.Fatal(err)
	}
	page, err := d.List(t.Context(), directory.Query{Select: []directory.Selection{{Type: typ, Filter: f}}, Count: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range page.Resources {
		ids = append(ids, r.ID)
	}
	return ids
}

// A store that was folded by another version is folded again when it is opened:
// users are found, and their names are held, as before.
func TestOpen_FoldsAgain(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		svc := open(t, s, nil)
		d := newDirectory(t, svc, scim.Atlassian)
		ada := create(t, d, `{"userName":"Ada","externalId":"x","emails":[{"value":"a@corp.example","primary":true},{"value":"b@corp.example"}]}`)
		for range 3 { // more than one
			create(t, newDirectory(t, svc, scim.Standard), `{"userName":"ada"}`)
		}
		if err := s.ClearKeys(t.Context(), d.ID); err != nil {
			t.Fatal(err)
		}
		if got := find(t, d, `userName eq "ada"`); got != nil {
			t.Fatalf("found %v without keys", got)
		}
		open(t, s, nil) // of this version: nothing is done
		if got := find(t, d, `userName eq "ada"`); got != nil {
			t.Fatalf("found %v: the keys were made again without need", got)
		}
		err := s.Update(t.Context(), func(tx store.Tx) error { return tx.PutSetting("index", []byte("another version")) })
		if err != nil {
			t.Fatal(err)
		}
		d = get(t, open(t, s, nil), d.ID)
		for _, filter := range []string{`userName eq "ADA"`, `externalId eq "x"`, `emails.value eq "B@corp.example"`} {
			if diff := cmp.Diff(find(t, d, filter), []string{ada.ID}); diff != "" {
				t.Errorf("%s (-got +want):\n%s", filter, diff)
			}
		}
		for _, body := range []string{
			`{"userName":"ADA","emails":[{"value":"c@corp.example","primary":true}]}`,
			`{"userName":"bob","emails":[{"value":"B@corp.example","primary":true}]}`,
		} {
			_, err := d.Create(t.Context(), directory.Call{}, parse(t, d, body))
			if e, ok := err.(*scim.Error); !ok || e.Status != 409 {
				t.Errorf("Create(%s) = %v, want a 409", body, err)
			}
		}
	})
}

// lastModified tells two versions apart, though the clock does not.
func TestLastModified_Moves(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		now := time.Date(2026, 1, 5, 9, 0, 0, 123456789, time.UTC)
		d := newDirectory(t, open(t, s, func() time.Time { return now }), scim.Standard)
		res := create(t, d, `{"userName":"ada"}`)
		want := now.Truncate(time.Microsecond)
		if !res.Created.Equal(want) || !res.Modified.Equal(want) {
			t.Errorf("created %v, modified %v, want %v", res.Created, res.Modified, want)
		}
		for i, title := range []string{"a", "b", "c"} {
			if i == 2 {
				now = now.Add(-time.Hour) // a clock that goes back
			}
			want = want.Add(time.Microsecond)
			next, err := d.Replace(t.Context(), directory.Call{}, res.ID, parse(t, d, `{"userName":"ada","title":"`+title+`"}`))
			if err != nil {
				t.Fatal(err)
			}
			if !next.Modified.Equal(want) || !next.Created.Equal(res.Created) {
				t.Errorf("version %d: modified %v, want %v", next.Version, next.Modified, want)
			}
		}
	})
}

// However many nodes start at once, there is one default directory and one key.
func TestBootstrap_FirstStart(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		const given = "a-key-of-sixteen-bytes"
		firsts := make([]directory.First, 4)
		var wg sync.WaitGroup
		for i := range firsts {
			svc := open(t, s, nil)
			wg.Go(func() {
				var err error
				if firsts[i], err = svc.Bootstrap(t.Context(), scim.Atlassian, given); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		svc := open(t, s, nil)
		list, err := svc.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(list) != 1 || !list[0].Default || list[0].RuleSet != scim.Atlassian {
			t.Errorf("directories: %+v", list)
		}
		for _, f := range firsts {
			if diff := cmp.Diff(f, directory.First{Directory: list[0].ID}); diff != "" {
				t.Errorf("(-got +want):\n%s", diff)
			}
		}
		keys, err := svc.ListKeys(t.Context(), "")
		if err != nil || len(keys) != 1 {
			t.Errorf("keys: %v, %v", keys, err)
		}
		if _, err := svc.Authenticate(t.Context(), given); err != nil {
			t.Error(err)
		}
	})
}

func TestBootstrap_MakesAKey(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		svc := open(t, s, nil)
		first, err := svc.Bootstrap(t.Context(), scim.Standard, "")
		if err != nil {
			t.Fatal(err)
		}
		k, err := svc.Authenticate(t.Context(), first.Key)
		if err != nil {
			t.Fatal(err)
		}
		if !k.Operator() || !k.Allows(roster.ScopeAdmin) || len(k.Scopes) != len(roster.Scopes) {
			t.Errorf("the first key: %+v", k)
		}
		again, err := svc.Bootstrap(t.Context(), scim.Standard, "")
		if err != nil || again.Key != "" || again.Directory != first.Directory {
			t.Errorf("Bootstrap again = %+v, %v", again, err)
		}
		// Whoever has revoked the last one gets another one at the next start.
		if err := svc.RevokeKey(t.Context(), "", k.ID); err != nil {
			t.Fatal(err)
		}
		if again, err = svc.Bootstrap(t.Context(), scim.Standard, ""); err != nil || again.Key == "" {
			t.Errorf("Bootstrap without a live key = %+v, %v", again, err)
		}
	})
}

// A caller that has gone is not written for.
func TestReplace_Cancelled(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		d := newDirectory(t, open(t, s, nil), scim.Standard)
		res := create(t, d, `{"userName":"ada"}`)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := d.Replace(ctx, directory.Call{}, res.ID, parse(t, d, `{"userName":"ada","title":"x"}`)); err == nil {
			t.Error("a cancelled Replace succeeded")
		}
		got, err := d.Get(t.Context(), d.Model.Type("User"), res.ID, false)
		if err != nil || got.Version != 1 {
			t.Errorf("version %d, %v", got.Version, err)
		}
	})
}
