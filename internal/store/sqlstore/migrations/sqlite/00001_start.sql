-- +goose Up

-- Every primary key and index begins with the directory, so that the same
-- schema can be sharded by it. directories, keys and settings are the exception:
-- they are small, and are looked up before a directory is known.
--
-- Times are microseconds since 1970 in UTC, 0 for none.

CREATE TABLE directories (
    id         TEXT    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    rule_set   TEXT    NOT NULL,
    rules      BLOB    NOT NULL,
    is_default INTEGER NOT NULL,
    created    INTEGER NOT NULL,
    modified   INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    deleted    INTEGER NOT NULL DEFAULT 0 -- when; then what it holds is being erased
);
CREATE UNIQUE INDEX directories_default ON directories (is_default) WHERE is_default = 1 AND deleted = 0;

CREATE TABLE keys (
    id        TEXT    NOT NULL PRIMARY KEY,
    digest    BLOB    NOT NULL UNIQUE,
    directory TEXT    NOT NULL, -- empty: an operator key
    name      TEXT    NOT NULL,
    prefix    TEXT    NOT NULL,
    scopes    TEXT    NOT NULL, -- separated by spaces
    created   INTEGER NOT NULL,
    expires   INTEGER NOT NULL,
    revoked   INTEGER NOT NULL,
    last_used INTEGER NOT NULL
);
CREATE INDEX keys_directory ON keys (directory, created, id);

CREATE TABLE settings (
    name  TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
);

-- An ordinary rowid table: without a rowid, 1 KB documents in the primary key's
-- tree make every write 3 to 6 times as dear.
CREATE TABLE resources (
    directory TEXT    NOT NULL,
    type      TEXT    NOT NULL,
    id        TEXT    NOT NULL,
    version   INTEGER NOT NULL,
    created   INTEGER NOT NULL,
    modified  INTEGER NOT NULL,
    doc       BLOB    NOT NULL, -- canonical JSON
    PRIMARY KEY (directory, type, id)
);

-- Pure indexes, hence without a rowid. There is none from id to its terms and
-- claims: who changes a resource has its document and so knows its keys.
CREATE TABLE terms (
    directory TEXT NOT NULL,
    type      TEXT NOT NULL,
    attribute TEXT NOT NULL,
    value     TEXT NOT NULL,
    id        TEXT NOT NULL,
    PRIMARY KEY (directory, type, attribute, value, id)
) WITHOUT ROWID;

CREATE TABLE claims (
    directory TEXT NOT NULL,
    type      TEXT NOT NULL,
    attribute TEXT NOT NULL,
    value     TEXT NOT NULL,
    id        TEXT NOT NULL,
    PRIMARY KEY (directory, type, attribute, value)
) WITHOUT ROWID;

-- How many resources of a type there are: the sum over the shards. SQLite has
-- one writer and so needs one shard.
CREATE TABLE counters (
    directory TEXT    NOT NULL,
    type      TEXT    NOT NULL,
    shard     INTEGER NOT NULL,
    n         INTEGER NOT NULL,
    PRIMARY KEY (directory, type, shard)
) WITHOUT ROWID;

CREATE TABLE trash (
    directory TEXT    NOT NULL,
    id        TEXT    NOT NULL,
    type      TEXT    NOT NULL,
    version   INTEGER NOT NULL,
    created   INTEGER NOT NULL,
    modified  INTEGER NOT NULL,
    doc       BLOB    NOT NULL,
    deleted   INTEGER NOT NULL,
    key_id    TEXT    NOT NULL,
    PRIMARY KEY (directory, id, type)
);
CREATE INDEX trash_deleted ON trash (directory, deleted);

CREATE TABLE events (
    directory  TEXT    NOT NULL,
    seq        INTEGER NOT NULL,
    id         TEXT    NOT NULL,
    type       TEXT    NOT NULL,
    resource   TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    operation  TEXT    NOT NULL,
    key_id     TEXT    NOT NULL,
    request_id TEXT    NOT NULL,
    at         INTEGER NOT NULL,
    purged     INTEGER NOT NULL,
    changes    BLOB    NOT NULL, -- a JSON array of {attribute, before, after}
    PRIMARY KEY (directory, seq)
);
CREATE INDEX events_history ON events (directory, resource, version);

CREATE TABLE answers (
    directory TEXT    NOT NULL,
    key_id    TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    hash      BLOB    NOT NULL,
    resource  TEXT    NOT NULL,
    body      BLOB    NOT NULL,
    created   INTEGER NOT NULL,
    PRIMARY KEY (directory, key_id, name)
);
CREATE INDEX answers_created ON answers (directory, created);
