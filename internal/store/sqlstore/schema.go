package sqlstore

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
)

//go:embed migrations
var migrations embed.FS

// A Schema is the state of a database's schema.
type Schema struct {
	Current int64    // the version of the database; 0: it has no schema yet
	Latest  int64    // the version of this program
	Pending []string // the migrations between them, in order: "00002_name"
}

// newer is the error of a database that this program must not touch; nil when it
// may.
func (s Schema) newer() error {
	if s.Current <= s.Latest {
		return nil
	}
	return fmt.Errorf("schema version %d is newer than this program's, %d: use the newer program", s.Current, s.Latest)
}

// ReadSchema reads the state of the schema of the database that dsn names. It
// changes nothing.
func ReadSchema(ctx context.Context, dsn string) (Schema, error) {
	s, err := readSchema(ctx, dsn)
	return s, wrap(err, "read schema")
}

func readSchema(ctx context.Context, dsn string) (Schema, error) {
	switch kind, path := split(dsn); kind {
	case kindSQLite:
		if ok, err := exists(path); !ok {
			if err != nil {
				return Schema{}, err
			}
			return schemaOf(folder(kindSQLite), 0)
		}
		return schemaSQLite(path)
	case kindPostgres:
		c, err := pgx.Connect(ctx, dsn)
		if err != nil {
			return Schema{}, err
		}
		defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
		return schemaPostgres(ctx, c)
	}
	return Schema{}, errDSN(dsn)
}

// Migrate brings the schema of the database that dsn names to that of this
// program and returns its state before. A SQLite database must not be in use,
// and is copied first when there is something to migrate in it.
func Migrate(ctx context.Context, dsn string, logger *slog.Logger) (Schema, error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	before, err := readSchema(ctx, dsn)
	if err != nil {
		return Schema{}, fmt.Errorf("migrate: %w", err)
	}
	kind, path := split(dsn)
	if kind == kindPostgres {
		return before, wrap(migratePostgres(ctx, dsn, before, logger), "migrate")
	}
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return before, fmt.Errorf("migrate: %w", err)
	}
	return before, wrap(errors.Join(migrateSQLite(ctx, path, folder(kindSQLite), logger), lock.Close()), "migrate")
}

// schemaOf returns the state of a database of version current to which files,
// the migrations, belong.
func schemaOf(files fs.FS, current int64) (Schema, error) {
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return Schema{}, err
	}
	s := Schema{Current: current}
	for _, e := range entries {
		number, _, _ := strings.Cut(e.Name(), "_")
		if s.Latest, err = strconv.ParseInt(number, 10, 64); err != nil {
			return Schema{}, fmt.Errorf("migration %s: %w", e.Name(), err)
		}
		if s.Latest > current {
			s.Pending = append(s.Pending, strings.TrimSuffix(e.Name(), ".sql"))
		}
	}
	return s, nil
}

func folder(k kind) fs.FS {
	name := "migrations/sqlite"
	if k == kindPostgres {
		name = "migrations/postgres"
	}
	sub, err := fs.Sub(migrations, name)
	if err != nil {
		panic(err) // the name is not valid
	}
	return sub
}

// latestVersion asks for the version in the table that goose keeps.
const latestVersion = `SELECT CAST(coalesce(max(version_id), 0) AS BIGINT) FROM goose_db_version`

func schemaSQLite(path string) (Schema, error) {
	current, err := versionSQLite(path)
	if err != nil {
		return Schema{}, err
	}
	return schemaOf(folder(kindSQLite), current)
}

// versionSQLite reads the version of a database, 0 when it has no schema.
func versionSQLite(path string) (current int64, err error) {
	c, err := connectSQLite(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	table, err := c.first(`SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'goose_db_version'`)
	if err != nil || table == nil {
		return 0, err
	}
	version, err := c.first(latestVersion)
	if err == nil {
		current, _ = version[0].(int64)
	}
	return current, err
}

// migrateSQLite migrates a database that is locked.
func migrateSQLite(ctx context.Context, path string, files fs.FS, logger *slog.Logger) error {
	// SQLite gives its other files the mode of this one.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	current, err := versionSQLite(path)
	if err != nil {
		return err
	}
	s, err := schemaOf(files, current)
	if err != nil {
		return err
	}
	if err := s.newer(); err != nil || len(s.Pending) == 0 {
		return err
	}
	if s.Current > 0 {
		copied := fmt.Sprintf("%s.before-%s", path, s.Pending[0])
		if err := copySQLite(ctx, path, copied); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("copy the database before migrating it: %w", err)
		}
		logger.Info("copied the database before migrating it", "copy", copied)
	}
	connector, err := sqlite.NewConnector(sqliteURI(path) +
		"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate")
	if err != nil {
		return err
	}
	return up(ctx, goose.DialectSQLite3, files, sql.OpenDB(connector), logger)
}

// schemaPostgres reads the version on c.
func schemaPostgres(ctx context.Context, c interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}) (Schema, error) {
	var current int64
	err := c.QueryRow(ctx, latestVersion).Scan(&current)
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == undefinedTable {
		err = nil
	}
	if err != nil {
		return Schema{}, err
	}
	return schemaOf(folder(kindPostgres), current)
}

func migratePostgres(ctx context.Context, dsn string, s Schema, logger *slog.Logger) error {
	if err := s.newer(); err != nil || len(s.Pending) == 0 {
		return err
	}
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return err
	}
	for len(s.Pending) > 0 {
		err := up(ctx, goose.DialectPostgres, folder(kindPostgres), stdlib.OpenDB(*config), logger)
		if err == nil {
			return nil
		}
		// Another process may migrate at the same time: each migration is one
		// transaction, so one of the two succeeds and the other fails, and goes on
		// with the next.
		now, e := readSchema(ctx, dsn)
		if e != nil || now.Current == s.Current {
			return err
		}
		s = now
	}
	return nil
}

// up runs the pending migrations and closes db.
func up(ctx context.Context, dialect goose.Dialect, files fs.FS, db *sql.DB, logger *slog.Logger) error {
	p, err := goose.NewProvider(dialect, db, files, goose.WithDisableGlobalRegistry(true), goose.WithSlog(slog.New(slog.DiscardHandler)))
	if err != nil {
		return errors.Join(err, db.Close())
	}
	results, err := p.Up(ctx)
	for _, r := range results {
		logger.Info("migrated the database", "migration", r.Source.Path, "took", r.Duration)
	}
	return errors.Join(err, p.Close())
}
