-- +goose Up

-- What one process has for itself for a while.
CREATE TABLE leases (
    name   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    holder TEXT COLLATE "C" NOT NULL,
    until  BIGINT NOT NULL -- microseconds, by the clock of the database
);
