-- +goose Up

-- Workflows that are deployed.
CREATE TABLE workflows (
    directory TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    source    BLOB    NOT NULL, -- YAML
    enabled   INTEGER NOT NULL,
    key_id    TEXT    NOT NULL, -- of who deployed it
    created   INTEGER NOT NULL,
    modified  INTEGER NOT NULL,
    version   INTEGER NOT NULL,
    since     INTEGER NOT NULL, -- its triggers see events with a greater seq
    active    INTEGER NOT NULL, -- when its triggers began to start runs
    held      INTEGER NOT NULL, -- events that did not start it, lest it goes round in a circle
    PRIMARY KEY (directory, name)
);

-- How far the events of a directory were given to its workflows.
CREATE TABLE dispatches (
    directory TEXT    NOT NULL PRIMARY KEY,
    seq       INTEGER NOT NULL, -- of the last event that was
    changed   INTEGER NOT NULL  -- goes up with each change of the directory's workflows
);
