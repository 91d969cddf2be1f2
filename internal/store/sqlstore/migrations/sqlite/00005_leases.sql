-- +goose Up

-- What one process has for itself for a while.
CREATE TABLE leases (
    name   TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    until  INTEGER NOT NULL -- microseconds, by the clock of the database
) WITHOUT ROWID;
