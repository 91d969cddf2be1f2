package workflow

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/secret"
	"github.com/roster-scim/roster/internal/store"
)

// checkSetting is the name of the setting that proves which file of keys belongs
// to a database: a text that is sealed under the first key of the file.
const checkSetting = "secret.check"

var checkContext = secret.Context("setting", checkSetting)

// OpenKeys returns the keyring of the file that belongs to a database, nil for
// none: path is empty and no file was used yet. Once one was used it is needed: one
// that is missing or another one is an error that says what to do. alone says that
// no other server has the database: then a file that is not there is made, and one
// takes the place of another as long as nothing is sealed.
func OpenKeys(ctx context.Context, s store.Store, path string, alone bool) (*secret.Keyring, error) {
	check, err := readCheck(ctx, s)
	if err != nil {
		return nil, err
	}
	if check != nil && alone {
		if sealed, err := holdsSealed(ctx, s); err != nil {
			return nil, err
		} else if !sealed { // as after the backup of a server that never sealed anything
			return takeKeys(ctx, s, path)
		}
	}
	const keep = "it is the file that was kept with the backup of this database; if it is lost, roster secret-key reset gives up what was sealed"
	if path == "" {
		if check != nil {
			return nil, fmt.Errorf("the database holds what is sealed under key %s: give --secret-key-file with the file that has it: %s", keyOf(check), keep)
		}
		return nil, nil
	}
	keys, err := secret.Load(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && check != nil:
		return nil, fmt.Errorf("%w: the database holds what is sealed under key %s of it: %s", err, keyOf(check), keep)
	case errors.Is(err, fs.ErrNotExist) && alone:
		keys, err = secret.Make(path)
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("%w: roster secret-key create %s makes it; all servers of a database need the same file", err, path)
	}
	if err != nil {
		return nil, err
	}
	if check == nil {
		if check, err = putCheck(ctx, s, keys); err != nil {
			return nil, err
		}
	}
	if _, err := keys.Open(check, checkContext); err != nil {
		return nil, fmt.Errorf("%s is not the file of keys of this database: %w; %s", path, err, keep)
	}
	return keys, nil
}

// holdsSealed reports whether there is a connection, or was ever a workflow, which
// may have runs.
func holdsSealed(ctx context.Context, s store.Store) (sealed bool, err error) {
	err = s.View(ctx, func(r store.Reader) error {
		list, err := r.ListDispatches()
		sealed = len(list) > 0
		return err
	})
	if sealed || err != nil {
		return sealed, err
	}
	err = eachConnection(ctx, s, func(*store.Connection) error {
		sealed = true
		return nil
	})
	return sealed, err
}

// takeKeys makes the file at path that of the database, whichever was before.
func takeKeys(ctx context.Context, s store.Store, path string) (*secret.Keyring, error) {
	keys, err := secret.Make(path)
	if err != nil {
		return nil, err
	}
	return keys, s.Update(ctx, func(tx store.Tx) error {
		return tx.PutSetting(checkSetting, sealCheck(keys))
	})
}

func sealCheck(keys *secret.Keyring) []byte { return keys.Seal([]byte("roster"), checkContext) }

// keyOf names the key of a record in words.
func keyOf(record []byte) string {
	id, err := secret.KeyID(record)
	if err != nil {
		return "(unknown: the record is damaged)"
	}
	return id
}

// readCheck returns the check, nil when there is none yet.
func readCheck(ctx context.Context, s store.Store) (check []byte, err error) {
	err = s.View(ctx, func(r store.Reader) (err error) {
		check, err = r.GetSetting(checkSetting)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return check, err
}

// putCheck keeps a check, unless there is one since, and returns the one there is.
func putCheck(ctx context.Context, s store.Store, keys *secret.Keyring) (check []byte, err error) {
	err = s.Update(ctx, func(tx store.Tx) error {
		// Of servers that start at once with different files one must be first.
		if _, err := tx.Reserve("", "", checkSetting, [32]byte{}, time.Now()); err != nil {
			return err
		}
		check, err = tx.GetSetting(checkSetting)
		if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		check = sealCheck(keys)
		return tx.PutSetting(checkSetting, check)
	})
	return check, err
}

// KeyUse is how many records of a database are sealed under one key.
type KeyUse struct {
	ID          string `json:"id"`
	Seals       bool   `json:"seals"`   // it is the first of the file
	Missing     bool   `json:"missing"` // the file lacks it
	Connections int    `json:"connections"`
	Settings    int    `json:"settings"`
}

// CountKeys returns the use of each key: of those in the file in its order, then
// of those that records need and the file lacks.
func CountKeys(ctx context.Context, s store.Store, keys *secret.Keyring) ([]*KeyUse, error) {
	var list []*KeyUse
	for i, id := range keys.IDs() {
		list = append(list, &KeyUse{ID: id, Seals: i == 0})
	}
	of := func(record []byte) *KeyUse {
		id := keyOf(record)
		for _, u := range list {
			if u.ID == id {
				return u
			}
		}
		u := &KeyUse{ID: id, Missing: true}
		list = append(list, u)
		return u
	}
	check, err := readCheck(ctx, s)
	if err != nil {
		return nil, err
	}
	if check != nil {
		of(check).Settings++
	}
	err = eachConnection(ctx, s, func(c *store.Connection) error {
		of(c.Sealed).Connections++
		return nil
	})
	return list, err
}

// eachConnection calls fn for every connection of the database.
func eachConnection(ctx context.Context, s store.Store, fn func(*store.Connection) error) error {
	var directories []*roster.Directory
	err := s.View(ctx, func(r store.Reader) (err error) {
		directories, err = r.ListDirectories()
		return err
	})
	if err != nil {
		return err
	}
	for _, d := range directories {
		var list []*store.Connection
		err := s.View(ctx, func(r store.Reader) (err error) {
			list, err = r.ListConnections(d.ID)
			return err
		})
		if err != nil {
			return err
		}
		for _, c := range list {
			if err := fn(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// Reseal seals anew, one by one, what is not sealed under the first key: settings,
// then connections. It returns how many records that were. What it has done stays
// done when it is cut off, and when it is called again it does the rest.
func Reseal(ctx context.Context, s store.Store, keys *secret.Keyring) (n int, err error) {
	first := keys.IDs()[0]
	check, err := readCheck(ctx, s)
	if err != nil {
		return 0, err
	}
	if check != nil && keyOf(check) != first {
		if _, err := keys.Open(check, checkContext); err != nil {
			return 0, fmt.Errorf("setting %s: %w", checkSetting, err)
		}
		err := s.Update(ctx, func(tx store.Tx) error {
			return tx.PutSetting(checkSetting, sealCheck(keys))
		})
		if err != nil {
			return 0, err
		}
		n++
	}
	err = eachConnection(ctx, s, func(c *store.Connection) error {
		done, err := reseal(ctx, s, keys, first, c)
		if done {
			n++
		}
		return err
	})
	return n, err
}

// reseal seals the key of a connection anew, and reports false when that was not
// needed any more. Where a server has changed the connection meanwhile, it looks
// again.
func reseal(ctx context.Context, s store.Store, keys *secret.Keyring, first string, c *store.Connection) (done bool, err error) {
	if keyOf(c.Sealed) == first {
		return false, nil
	}
	place := SealedConnection(c.Owner, c.Name)
	for {
		err = s.Update(ctx, func(tx store.Tx) error {
			done = false
			cur, err := tx.GetConnection(c.Owner, c.Name)
			if errors.Is(err, store.ErrNotFound) {
				return nil
			}
			if err != nil || keyOf(cur.Sealed) == first {
				return err
			}
			key, err := keys.Open(cur.Sealed, place)
			if err != nil {
				return fmt.Errorf("connection %s of directory %s: %w", c.Name, c.Owner, err)
			}
			cur.Sealed = keys.Seal(key, place)
			done = true
			return tx.ResealConnection(cur)
		})
		if !errors.Is(err, store.ErrStale) {
			return done && err == nil, err
		}
	}
}

// ForgetSealed makes a keyring that of a database, whatever was sealed before: it
// deletes every connection whose key the keyring does not open, and returns how
// many these were.
func ForgetSealed(ctx context.Context, s store.Store, keys *secret.Keyring) (n int, err error) {
	err = eachConnection(ctx, s, func(c *store.Connection) error {
		if _, err := keys.Open(c.Sealed, SealedConnection(c.Owner, c.Name)); err == nil {
			return nil
		}
		err := s.Update(ctx, func(tx store.Tx) error { return tx.DeleteConnection(c.Owner, c.Name, c.Version) })
		if err == nil {
			n++
		}
		return err
	})
	if err != nil {
		return n, err
	}
	return n, s.Update(ctx, func(tx store.Tx) error {
		return tx.PutSetting(checkSetting, sealCheck(keys))
	})
}
