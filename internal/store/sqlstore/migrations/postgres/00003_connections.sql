-- +goose Up

-- Where the workflows of a directory act beside the directory itself.
CREATE TABLE connections (
    directory TEXT COLLATE "C" NOT NULL, -- which owns it
    name      TEXT COLLATE "C" NOT NULL,
    url       TEXT COLLATE "C" NOT NULL,
    target    TEXT COLLATE "C" NOT NULL, -- the id of the directory there, empty for none
    rule_set  TEXT COLLATE "C" NOT NULL,
    sealed    BYTEA            NOT NULL, -- its key
    created   BIGINT           NOT NULL,
    modified  BIGINT           NOT NULL,
    version   BIGINT           NOT NULL,
    PRIMARY KEY (directory, name)
);
