-- +goose Up

-- Workflows that are deployed.
CREATE TABLE workflows (
    directory TEXT COLLATE "C" NOT NULL,
    name      TEXT COLLATE "C" NOT NULL,
    source    BYTEA            NOT NULL, -- YAML
    enabled   BIGINT           NOT NULL,
    key_id    TEXT COLLATE "C" NOT NULL, -- of who deployed it
    created   BIGINT           NOT NULL,
    modified  BIGINT           NOT NULL,
    version   BIGINT           NOT NULL,
    since     BIGINT           NOT NULL, -- its triggers see events with a greater seq
    active    BIGINT           NOT NULL, -- when its triggers began to start runs
    held      BIGINT           NOT NULL, -- events that did not start it, lest it goes round in a circle
    PRIMARY KEY (directory, name)
);

-- How far the events of a directory were given to its workflows.
CREATE TABLE dispatches (
    directory TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    seq       BIGINT           NOT NULL, -- of the last event that was
    changed   BIGINT           NOT NULL  -- goes up with each change of the directory's workflows
);
