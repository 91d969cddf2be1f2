-- +goose Up

-- Every primary key and index begins with the directory, so that the same
-- schema can be sharded by it. directories, keys and settings are the exception:
-- they are small, and are looked up before a directory is known.
--
-- Text is compared byte by byte (COLLATE "C"), as SQLite does. Times are microseconds since 1970 in UTC, 0 for none.

CREATE TABLE directories (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name       TEXT COLLATE "C" NOT NULL,
    rule_set   TEXT COLLATE "C" NOT NULL,
    rules      BYTEA            NOT NULL,
    is_default BIGINT           NOT NULL,
    created    BIGINT           NOT NULL,
    modified   BIGINT           NOT NULL,
    version    BIGINT           NOT NULL,
    deleted    BIGINT           NOT NULL DEFAULT 0 -- when; then what it holds is being erased
);
CREATE UNIQUE INDEX directories_default ON directories (is_default) WHERE is_default = 1 AND deleted = 0;

CREATE TABLE keys (
    id        TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    digest    BYTEA            NOT NULL UNIQUE,
    directory TEXT COLLATE "C" NOT NULL, -- empty: an operator key
    name      TEXT COLLATE "C" NOT NULL,
    prefix    TEXT COLLATE "C" NOT NULL,
    scopes    TEXT COLLATE "C" NOT NULL, -- separated by spaces
    created   BIGINT           NOT NULL,
    expires   BIGINT           NOT NULL,
    revoked   BIGINT           NOT NULL,
    last_used BIGINT           NOT NULL
);
CREATE INDEX keys_directory ON keys (directory, created, id);

CREATE TABLE settings (
    name  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value BYTEA            NOT NULL
);

-- Room is left in each page, so that the new version of a row fits beside the
-- old one and no index has to learn of it (a HOT update).
CREATE TABLE resources (
    directory TEXT COLLATE "C" NOT NULL,
    type      TEXT COLLATE "C" NOT NULL,
    id        TEXT COLLATE "C" NOT NULL,
    version   BIGINT           NOT NULL,
    created   BIGINT           NOT NULL,
    modified  BIGINT           NOT NULL,
    doc       BYTEA            NOT NULL, -- canonical JSON
    PRIMARY KEY (directory, type, id)
) WITH (fillfactor = 85);

-- There is no index from id to its terms and claims: who changes a resource has its document and so knows its keys.
CREATE TABLE terms (
    directory TEXT COLLATE "C" NOT NULL,
    type      TEXT COLLATE "C" NOT NULL,
    attribute TEXT COLLATE "C" NOT NULL,
    value     TEXT COLLATE "C" NOT NULL,
    id        TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (directory, type, attribute, value, id)
);

CREATE TABLE claims (
    directory TEXT COLLATE "C" NOT NULL,
    type      TEXT COLLATE "C" NOT NULL,
    attribute TEXT COLLATE "C" NOT NULL,
    value     TEXT COLLATE "C" NOT NULL,
    id        TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (directory, type, attribute, value)
);

-- How many resources of a type there are: the sum over the shards, of
-- which each writer picks one at random so that writers do not queue.
CREATE TABLE counters (
    directory TEXT COLLATE "C" NOT NULL,
    type      TEXT COLLATE "C" NOT NULL,
    shard     BIGINT           NOT NULL,
    n         BIGINT           NOT NULL,
    PRIMARY KEY (directory, type, shard)
);

CREATE TABLE trash (
    directory TEXT COLLATE "C" NOT NULL,
    id        TEXT COLLATE "C" NOT NULL,
    type      TEXT COLLATE "C" NOT NULL,
    version   BIGINT           NOT NULL,
    created   BIGINT           NOT NULL,
    modified  BIGINT           NOT NULL,
    doc       BYTEA            NOT NULL,
    deleted   BIGINT           NOT NULL,
    key_id    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (directory, id, type)
);
CREATE INDEX trash_deleted ON trash (directory, deleted);

CREATE SEQUENCE event_seq;

CREATE TABLE events (
    directory  TEXT COLLATE "C" NOT NULL,
    seq        BIGINT           NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    type       TEXT COLLATE "C" NOT NULL,
    resource   TEXT COLLATE "C" NOT NULL,
    version    BIGINT           NOT NULL,
    operation  TEXT COLLATE "C" NOT NULL,
    key_id     TEXT COLLATE "C" NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    at         BIGINT           NOT NULL,
    purged     BIGINT           NOT NULL,
    changes    BYTEA            NOT NULL, -- a JSON array of {attribute, before, after}
    PRIMARY KEY (directory, seq)
);
CREATE INDEX events_history ON events (directory, resource, version);

CREATE TABLE answers (
    directory TEXT COLLATE "C" NOT NULL,
    key_id    TEXT COLLATE "C" NOT NULL,
    name      TEXT COLLATE "C" NOT NULL,
    hash      BYTEA            NOT NULL,
    resource  TEXT COLLATE "C" NOT NULL,
    body      BYTEA            NOT NULL,
    created   BIGINT           NOT NULL,
    PRIMARY KEY (directory, key_id, name)
);
CREATE INDEX answers_created ON answers (directory, created);
