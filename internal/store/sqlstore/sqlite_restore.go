package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Restore puts a copy that Backup made in the place of the SQLite database that
// dsn names, which no server may have open. The copy is checked first, and is
// not changed; what was there is kept beside it under the name that Restore
// returns, "" when nothing was.
func Restore(ctx context.Context, dsn, backup string) (kept string, err error) {
	kind, path := split(dsn)
	if kind != kindSQLite {
		return "", errors.New("restore the database: this is for SQLite; use pg_restore on PostgreSQL")
	}
	if kept, err = restoreSQLite(ctx, path, backup); err != nil {
		return "", fmt.Errorf("restore the database from %s: %w", backup, err)
	}
	return kept, nil
}

func restoreSQLite(ctx context.Context, path, backup string) (kept string, err error) {
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	part, err := copyFile(ctx, backup, path)
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			removeDatabase(part)
		}
	}()
	if err := checkCopy(part); err != nil {
		return "", err
	}
	if ok, err := exists(path); err != nil {
		return "", err
	} else if ok {
		// With its log written back, one file is all there is. When that cannot
		// be done, which may be why it is replaced, the log goes where it goes.
		_ = writeBackLog(path)
		kept = path + ".before-restore-" + time.Now().UTC().Format("20060102T150405.000000")
		for _, suffix := range []string{"", "-wal", "-shm"} {
			if err := os.Rename(path+suffix, kept+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return "", err
			}
		}
	}
	if err := os.Rename(part, path); err != nil {
		return "", err
	}
	return kept, syncDir(filepath.Dir(path))
}

// writeBackLog brings all of a database into its one file.
func writeBackLog(path string) error {
	c, err := connectSQLite(path)
	if err != nil {
		return err
	}
	_, err = c.pragma("wal_checkpoint(TRUNCATE)")
	return errors.Join(err, c.close())
}

// copyFile copies backup into a new file beside path and syncs it.
func copyFile(ctx context.Context, backup, path string) (_ string, err error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	in, err := os.Open(backup)
	if err != nil {
		return "", err
	}
	defer func() { _ = in.Close() }()
	out, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".part*") // mode 0600
	if err != nil {
		return "", err
	}
	if _, err = io.Copy(out, in); err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		_ = os.Remove(out.Name())
		return "", err
	}
	return out.Name(), nil
}

// checkCopy refuses what is no whole Roster database, or a newer one.
func checkCopy(path string) error {
	c, err := connectSQLite(path)
	if err != nil {
		return err
	}
	result, err := c.first("PRAGMA integrity_check(1)")
	if err = errors.Join(err, c.close()); err != nil {
		return err
	}
	if len(result) != 1 || result[0] != "ok" {
		return fmt.Errorf("the file is damaged: %v", result)
	}
	s, err := schemaSQLite(path)
	if err != nil {
		return err
	}
	if s.Current == 0 {
		return errors.New("the file is no database of Roster")
	}
	return s.newer()
}

func removeDatabase(path string) {
	for _, suffix := range []string{"-wal", "-shm", ""} {
		_ = os.Remove(path + suffix)
	}
}
