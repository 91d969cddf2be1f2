package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// lockFile keeps every other server off a database. The file itself stays: to
// remove it would let two servers lock two files of one name.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock file: %w", err)
	}
	ok, err := tryLock(f)
	if err == nil && ok {
		return f, nil
	}
	_ = f.Close()
	if err != nil {
		return nil, fmt.Errorf("lock file %s: %w", path, err)
	}
	return nil, fmt.Errorf("in use by another roster process, which has locked %s: stop that one first", path)
}

// Backup writes a consistent copy of the SQLite database that dsn names to a new
// file, also while a server has the database open. It fails with fs.ErrExist
// when there is a file of that name, and on PostgreSQL.
func Backup(ctx context.Context, dsn, path string) error {
	kind, source := split(dsn)
	if kind != kindSQLite {
		return errors.New("back up the database: this is for SQLite; use pg_dump or pg_basebackup on PostgreSQL")
	}
	if err := copySQLite(ctx, source, path); err != nil {
		return fmt.Errorf("back up the database to %s: %w", path, err)
	}
	return nil
}

// copySQLite writes the copy under another name first, so that a file with the
// name path is a whole one.
func copySQLite(ctx context.Context, source, path string) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = fs.ErrExist
		}
		return err
	}
	if ok, err := exists(source); !ok {
		return errors.Join(err, fmt.Errorf("%s: no database", source))
	}
	// SQLite accepts an empty file and keeps its mode.
	part, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".part*")
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, part.Close())
		if err != nil {
			_ = os.Remove(part.Name())
		}
	}()
	c, err := connectSQLite(source)
	if err != nil {
		return err
	}
	_, err = c.first("VACUUM INTO '" + strings.ReplaceAll(part.Name(), "'", "''") + "'")
	if err = errors.Join(err, c.close()); err != nil {
		return err
	}
	if err := part.Sync(); err != nil {
		return err
	}
	if err := os.Rename(part.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes the names in a folder durable, where that is possible.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	_ = d.Sync() // not on Windows
	return d.Close()
}
