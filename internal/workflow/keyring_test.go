package workflow_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster/internal/secret"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/internal/store/sqlstore"
	"github.com/roster-scim/roster/internal/workflow"
)

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("got no error, want one with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("got %v, want %q in it", err, part)
		}
	}
}

func TestOpenKeys_TheFileThatWasUsedIsNeeded(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := openStore(t, sqliteDSN(t))
	if keys, err := workflow.OpenKeys(ctx, db, "", false); keys != nil || err != nil {
		t.Fatalf("got %v, %v without a file; want none", keys, err)
	}
	path := filepath.Join(t.TempDir(), "secret.key")
	_, err := workflow.OpenKeys(ctx, db, path, false)
	wantError(t, err, path, "roster secret-key create "+path)
	made, err := workflow.OpenKeys(ctx, db, path, true)
	if err != nil {
		t.Fatal(err)
	}
	sealMany(t, db, made, 1)
	again, err := workflow.OpenKeys(ctx, db, path, true)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(made.IDs(), again.IDs()); diff != "" {
		t.Error(diff)
	}

	_, err = workflow.OpenKeys(ctx, db, "", true)
	wantError(t, err, "give --secret-key-file", made.IDs()[0], "roster secret-key reset")
	other := filepath.Join(t.TempDir(), "secret.key")
	_, err = workflow.OpenKeys(ctx, db, other, true)
	wantError(t, err, other, made.IDs()[0], "kept with the backup")
	if _, err := os.Stat(other); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a second file was made: %v", err)
	}
	if _, err := secret.Make(other); err != nil {
		t.Fatal(err)
	}
	_, err = workflow.OpenKeys(ctx, db, other, true)
	wantError(t, err, other+" is not the file of keys of this database", made.IDs()[0])

	// A new key in front needs nothing more; the old one is needed until Reseal.
	if _, err := secret.Add(path); err != nil {
		t.Fatal(err)
	}
	if _, err := workflow.OpenKeys(ctx, db, path, true); err != nil {
		t.Error(err)
	}
}

// A database that was restored without its file starts, when nothing is lost.
func TestOpenKeys_NoFileIsMissedWhereNothingIsSealed(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := openStore(t, sqliteDSN(t))
	_, first := makeKeys(t)
	if _, err := workflow.OpenKeys(ctx, db, first, false); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "secret.key")
	_, err := workflow.OpenKeys(ctx, db, path, false) // there may be another server
	wantError(t, err, path, "the database holds what is sealed under key")
	keys, err := workflow.OpenKeys(ctx, db, path, true)
	if err != nil {
		t.Fatal(err)
	}
	sealMany(t, db, keys, 1)
	_, err = workflow.OpenKeys(ctx, db, first, true)
	wantError(t, err, first+" is not the file of keys of this database")
}

// Of servers that start at once with different files one alone goes on.
func TestOpenKeys_OneOfManyFilesWins(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqlstore.DB) {
		const starts = 8
		errs := make([]error, starts)
		var wg sync.WaitGroup
		for i := range starts {
			_, path := makeKeys(t)
			wg.Go(func() { _, errs[i] = workflow.OpenKeys(t.Context(), db, path, false) })
		}
		wg.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else {
				wantError(t, err, "is not the file of keys of this database")
			}
		}
		if won != 1 {
			t.Errorf("%d of %d files are taken for that of the database, want 1", won, starts)
		}
	})
}

// sealMany makes connections in two directories and returns what opens them.
func sealMany(t *testing.T, db store.Store, keys *secret.Keyring, n int) (check func()) {
	t.Helper()
	c := workflow.NewConnections(workflow.ConnectionOptions{Store: db, Keys: keys, Guard: newGuard(t)})
	for i := range n {
		for _, d := range []string{"d1", "d2"} {
			if _, err := c.Create(t.Context(), d, fmt.Sprint("c", i), workflow.ConnectionInput{URL: "https://service.example", Key: fmt.Sprint(canary, d, i)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return func() {
		t.Helper()
		for i := range n {
			for _, d := range []string{"d1", "d2"} {
				if got, key, err := c.Open(t.Context(), d, fmt.Sprint("c", i)); err != nil || key != fmt.Sprint(canary, d, i) || got.Version != 1 {
					t.Errorf("%s c%d: got %+v, %q, %v", d, i, got, key, err)
				}
			}
		}
	}
}

func TestReseal_GoesOnAfterItWasCutOff(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqlstore.DB) {
		ctx := t.Context()
		_, path := makeKeys(t)
		old, err := workflow.OpenKeys(ctx, db, path, false)
		if err != nil {
			t.Fatal(err)
		}
		check := sealMany(t, db, old, 4)
		keys, err := secret.Add(path)
		if err != nil {
			t.Fatal(err)
		}
		total := 0
		for cut := int64(1); ; cut++ { // after the first write, the second, …
			n, err := workflow.Reseal(ctx, &cutOff{Store: db, left: cut}, keys)
			total += n
			check()
			if err == nil {
				break
			}
			if !errors.Is(err, errCutOff) {
				t.Fatal(err)
			}
			if n != int(cut) {
				t.Errorf("got %d records sealed anew before the cut, want %d", n, cut)
			}
		}
		if want := 9; total != want { // 8 connections and the check
			t.Errorf("got %d records sealed anew, want %d", total, want)
		}
		if n, err := workflow.Reseal(ctx, db, keys); n != 0 || err != nil {
			t.Errorf("got %d, %v once more; want nothing to do", n, err)
		}
		use, err := workflow.CountKeys(ctx, db, keys)
		if err != nil {
			t.Fatal(err)
		}
		want := []*workflow.KeyUse{{ID: keys.IDs()[0], Seals: true, Connections: 8, Settings: 1}, {ID: old.IDs()[0]}}
		if old.IDs()[0] == keys.IDs()[0] { // old has read the file again
			want[1].ID = keys.IDs()[1]
		}
		if diff := cmp.Diff(use, want); diff != "" {
			t.Error(diff)
		}
		if _, err := secret.Remove(path, keys.IDs()[1]); err != nil {
			t.Fatal(err)
		}
		if _, err := workflow.OpenKeys(ctx, db, path, false); err != nil {
			t.Errorf("without the old key the database does not open: %v", err)
		}
	})
}

var errCutOff = errors.New("cut off")

// cutOff is a store that takes so many changes and then none.
type cutOff struct {
	store.Store
	left int64
}

func (s *cutOff) Update(ctx context.Context, fn func(store.Tx) error) error {
	if s.left == 0 {
		return errCutOff
	}
	s.left--
	return s.Store.Update(ctx, fn)
}

func TestCountKeys_NamesAKeyThatIsMissing(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := openStore(t, sqliteDSN(t))
	_, path := makeKeys(t)
	lost, err := workflow.OpenKeys(ctx, db, path, false)
	if err != nil {
		t.Fatal(err)
	}
	sealMany(t, db, lost, 1)
	keys, other := makeKeys(t)
	use, err := workflow.CountKeys(ctx, db, keys)
	if err != nil {
		t.Fatal(err)
	}
	want := []*workflow.KeyUse{{ID: keys.IDs()[0], Seals: true}, {ID: lost.IDs()[0], Missing: true, Connections: 2, Settings: 1}}
	if diff := cmp.Diff(use, want); diff != "" {
		t.Error(diff)
	}
	_, err = workflow.Reseal(ctx, db, keys)
	wantError(t, err, lost.IDs()[0])

	// The way out when a file is lost.
	c := workflow.NewConnections(workflow.ConnectionOptions{Store: db, Keys: keys, Guard: newGuard(t)})
	if _, err := c.Create(ctx, "d1", "kept", workflow.ConnectionInput{URL: "https://service.example", Key: canary}); err != nil {
		t.Fatal(err)
	}
	if n, err := workflow.ForgetSealed(ctx, db, keys); n != 2 || err != nil {
		t.Errorf("got %d, %v; want 2 connections gone", n, err)
	}
	if _, err := workflow.OpenKeys(ctx, db, other, false); err != nil {
		t.Error(err)
	}
	if _, key, err := c.Open(ctx, "d1", "kept"); err != nil || key != canary {
		t.Errorf("got %q, %v for a connection that opens", key, err)
	}
}
