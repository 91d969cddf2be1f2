package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
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
	// Of a copy that was made in another way, newer changes may be in the log
	// beside it, and they would be lost without a word.
	if ok, err := exists(backup + "-wal"); err != nil {
		return "", err
	} else if ok {
		return "", fmt.Errorf("some of its changes may be in %[1]s-wal: make one file of the two with roster backup --db sqlite:%[1]s FILE", backup)
	}
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
	if kept, err = moveAway(path); err != nil {
		return "", err
	}
	if err := os.Rename(part, path); err != nil {
		if kept != "" {
			err = errors.Join(err, renameDatabase(kept, path))
		}
		return "", err
	}
	return kept, syncDir(filepath.Dir(path))
}

// moveAway renames what is at path and returns its new name, "" when nothing is.
// A log without its database goes too: SQLite would add it to the next one.
func moveAway(path string) (kept string, err error) {
	database, err := exists(path)
	if err != nil {
		return "", err
	}
	log, err := exists(path + "-wal")
	if err != nil || !database && !log {
		return "", err
	}
	if database {
		// With its log written back, one file is all there is. When that cannot
		// be done, which may be why it is replaced, the log goes where it goes.
		_ = writeBackLog(path)
	}
	kept = path + ".before-restore-" + time.Now().UTC().Format("20060102T150405.000000")
	if err := renameDatabase(path, kept); err != nil {
		return "", errors.Join(err, renameDatabase(kept, path))
	}
	return kept, nil
}

// databaseFiles are the endings of the files that a database consists of.
var databaseFiles = []string{"", "-wal", "-shm"}

func renameDatabase(from, to string) error {
	for _, suffix := range databaseFiles {
		if err := os.Rename(from+suffix, to+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
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
func checkCopy(path string) (err error) {
	c, err := connectSQLite(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	result, err := c.first("PRAGMA integrity_check(1)")
	if err != nil {
		return fmt.Errorf("the file is damaged, or no database: %w", err)
	}
	if len(result) != 1 || result[0] != "ok" {
		return fmt.Errorf("the file is damaged: %s", strings.ReplaceAll(fmt.Sprint(result), "\n", ": "))
	}
	// Of other programs, too, some have their version where goose keeps it.
	ours, err := c.first(`SELECT count(*) = 4 FROM sqlite_master WHERE type = 'table' AND name IN ('directories', 'resources', 'claims', 'events')`)
	if err != nil {
		return err
	}
	s, err := schemaSQLite(path)
	if err != nil {
		return err
	}
	if s.Current == 0 || ours[0] != int64(1) {
		return errors.New("the file is no database of Roster")
	}
	return s.newer()
}

func removeDatabase(path string) {
	for _, suffix := range databaseFiles {
		_ = os.Remove(path + suffix)
	}
}
