package durable

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	_ "github.com/dbos-inc/dbos-transact-golang/dbos/driver/sqlite" // for sqlite: DSNs
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

// schema is where the tables are on PostgreSQL.
const schema = "roster_runs"

// node is the name of the one node of a SQLite file: who has the file open is it.
const node = "embedded"

// Connections to PostgreSQL: of the calls, and beside those of the runs of a node.
const (
	callConns = 4
	restConns = 4
)

// shutdownTime bounds each part of the end of a DBOS context, and what a node that
// stops asks of its database.
const shutdownTime = 5 * time.Second

// A database holds the tables of DBOS.
type database struct {
	dsn    string
	path   string // of the SQLite file; empty on PostgreSQL
	prefix string // of the names of tables
	lock   *sql.Conn
	locker *sql.DB
	idle   time.Duration // how long a transaction may wait for its process
	sql    *sql.DB       // for statements of ours, and the transactions of Start
	log    *slog.Logger
}

func openDatabase(ctx context.Context, opts Options) (_ *database, err error) {
	d := &database{dsn: opts.DSN, idle: opts.Dead / 3, log: opts.Log}
	dsn, migrate := opts.DSN, opts.Migrate
	if path, ok := strings.CutPrefix(dsn, "sqlite:"); ok && path != "" {
		d.path = path
		if err := d.lockFile(ctx); err != nil {
			return nil, err
		}
		migrate = true
	} else if strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://") {
		d.prefix = schema + "."
	} else {
		return nil, errors.New("want sqlite:PATH or postgres://…")
	}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	if d.path == "" {
		there, err := d.migrated(ctx)
		switch {
		case err != nil:
			return nil, err
		case !there && !migrate:
			return nil, errors.New("the database has no tables for runs: run `roster migrate`")
		case there:
			migrate = false
		}
	}
	if migrate {
		if err := d.migrate(ctx); err != nil {
			return nil, err
		}
	}
	d.sql, err = d.connect(callConns)
	return d, err
}

// migrated reports whether the schema has any tables of DBOS.
func (d *database) migrated(ctx context.Context) (bool, error) {
	db, err := d.connect(1)
	if err != nil {
		return false, err
	}
	defer db.Close()
	var n int
	// The index is made last.
	err = db.QueryRowContext(ctx, `SELECT count(*) FROM pg_indexes WHERE schemaname = $1 AND indexname = 'roster_runs_of_directory'`, schema).Scan(&n)
	return n > 0, err
}

// indexes are ours: List finds runs by them.
var indexes = []string{
	`CREATE INDEX IF NOT EXISTS roster_runs_of_workflow ON {}workflow_status (authenticated_user, assumed_role, created_at, workflow_uuid)`,
	`CREATE INDEX IF NOT EXISTS roster_runs_of_status ON {}workflow_status (authenticated_user, status, created_at, workflow_uuid)`,
	`CREATE INDEX IF NOT EXISTS roster_runs_of_directory ON {}workflow_status (authenticated_user, created_at, workflow_uuid)`,
}

// migrate makes the tables, or brings those of an older program up to date.
func (d *database) migrate(ctx context.Context) error {
	db, err := d.connect(2)
	if err != nil {
		return err
	}
	defer db.Close()
	config := d.config("")
	config.SkipMigrations = false
	c, err := d.open(context.WithoutCancel(ctx), config, 2)
	if err != nil {
		if d.path != "" {
			return fmt.Errorf("make its tables in %[1]s: %[2]w (when the file is damaged, move %[1]s and its -wal and -shm away: the next start makes a new one, without the runs that were in it)", d.path, err)
		}
		return fmt.Errorf("make its tables: %w", err)
	}
	defer func() { _ = dbos.Shutdown(c, shutdownTime) }()
	for _, text := range indexes {
		if _, err := db.ExecContext(ctx, d.text(text)); err != nil {
			return fmt.Errorf("make its tables: %w", err)
		}
	}
	return nil
}

// Migrate makes the engine's tables in a PostgreSQL database, or brings them up to
// date.
func Migrate(ctx context.Context, dsn string, log *slog.Logger) error {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	clearEnvironment()
	d := &database{dsn: dsn, prefix: schema + ".", idle: defaultDead, log: log}
	if err := d.migrate(ctx); err != nil {
		return fmt.Errorf("migrate the engine of workflows: %w", err)
	}
	return nil
}

// config returns what all contexts of DBOS have in common; executor is the node
// whose runs one takes, empty for none.
func (d *database) config(executor string) dbos.Config {
	return dbos.Config{
		AppName: application, ApplicationVersion: version, ExecutorID: executor, DatabaseSchema: schema,
		Serializer: codec{}, Logger: quiet(d.log), SkipMigrations: true,
	}
}

// handle opens connections for a context of DBOS, which closes them.
func (d *database) handle(ctx context.Context, config *dbos.Config, conns int) error {
	if d.path != "" {
		db, err := d.connect(conns)
		config.SQLiteSystemDB = db
		return err
	}
	pc, err := d.poolConfig(conns)
	if err != nil {
		return err
	}
	config.SystemDBPool, err = pgxpool.NewWithConfig(context.WithoutCancel(ctx), pc)
	return err
}

// open returns a context of DBOS on connections of its own, which are closed with it.
// It lasts for as long as ctx: what DBOS does in it is tried again till then while
// the database is away.
func (d *database) open(ctx context.Context, config dbos.Config, conns int) (dbos.Context, error) {
	if err := d.handle(ctx, &config, conns); err != nil {
		return nil, err
	}
	c, err := dbos.NewContext(ctx, config)
	if err == nil {
		return c, nil
	}
	if d.path == "" {
		config.SystemDBPool.Close()
	} else {
		_ = config.SQLiteSystemDB.Close()
	}
	return nil, err
}

// context is open for the runs of a node; it is not launched.
func (d *database) context(ctx context.Context, executor string, conns int) (dbos.Context, error) {
	c, err := d.open(ctx, d.config(executor), conns)
	if err != nil && d.path == "" {
		err = fmt.Errorf("%w (run `roster migrate` when the tables are older than this program)", err)
	}
	return c, err
}

// connect returns a handle for statements.
func (d *database) connect(conns int) (*sql.DB, error) {
	if d.path == "" {
		config, err := d.poolConfig(conns)
		if err != nil {
			return nil, err
		}
		db := stdlib.OpenDB(*config.ConnConfig, stdlib.OptionAfterConnect(config.AfterConnect))
		db.SetMaxOpenConns(conns)
		return db, nil
	}
	db, err := sql.Open("sqlite", sqliteURI(d.path)+"?_txlock=immediate"+
		"&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(ON)")
	if err != nil {
		return nil, err
	}
	// Each transaction begins as one that writes, and those who wait for it poll: the
	// fewer the faster. Not one alone, so that DBOS may read in between.
	db.SetMaxOpenConns(min(conns, 2))
	return db, nil
}

func (d *database) poolConfig(conns int) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(d.dsn)
	if err != nil {
		return nil, err
	}
	config.MaxConns = int32(conns)
	if _, ok := config.ConnConfig.RuntimeParams["application_name"]; !ok {
		config.ConnConfig.RuntimeParams["application_name"] = "roster runs"
	}
	// A node that stands still in a transaction would keep the others from taking its
	// runs over. Not as a parameter of the connection, which some proxies refuse.
	config.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, fmt.Sprintf(`SET idle_in_transaction_session_timeout = %d`, d.idle.Milliseconds()))
		return err
	}
	return config, nil
}

// sqliteURI returns the URI of a file, in which nothing of its path is taken for
// a parameter.
func sqliteURI(path string) string {
	path = filepath.ToSlash(path)
	if filepath.VolumeName(path) != "" {
		path = "/" + path
	}
	return "file:" + strings.ReplaceAll((&url.URL{Path: path}).EscapedPath(), "?", "%3F")
}

// lockFile makes the file, which its owner alone may read, and keeps other
// processes off it: two on one file would begin each other's runs again. The lock
// is one of SQLite on a file beside it; it ends with the process, however that
// ends.
func (d *database) lockFile(ctx context.Context) (err error) {
	for _, path := range []string{d.path, d.path + ".lock"} {
		// One that is there stays closed: the locks that this process has on a file end
		// when it closes the file, whoever opened it.
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
		switch {
		case errors.Is(err, fs.ErrExist):
			continue
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("the folder of %s is not there: %w", path, err)
		case err != nil:
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	if d.locker, err = sql.Open("sqlite", sqliteURI(d.path+".lock")); err != nil {
		return err
	}
	if d.lock, err = d.locker.Conn(ctx); err == nil {
		_, err = d.lock.ExecContext(ctx, `BEGIN EXCLUSIVE`)
	}
	if err != nil {
		_ = d.locker.Close()
		return fmt.Errorf("%s is in use by another process: %w", d.path, err)
	}
	return nil
}

// text puts the schema in.
func (d *database) text(s string) string { return strings.ReplaceAll(s, "{}", d.prefix) }

// ids returns the one column of a query. Its parameters stand in their order.
func (d *database) ids(ctx context.Context, text string, args ...any) (list []string, err error) {
	rows, err := d.sql.QueryContext(ctx, d.text(text), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		list = append(list, id)
	}
	return list, rows.Err()
}

func (d *database) close() {
	if d.sql != nil {
		_ = d.sql.Close()
	}
	if d.lock != nil {
		_ = d.lock.Close()
		_ = d.locker.Close()
	}
}
