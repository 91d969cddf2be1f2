-- +goose Up

-- Where the workflows of a directory act beside the directory itself.
CREATE TABLE connections (
    directory TEXT    NOT NULL, -- which owns it
    name      TEXT    NOT NULL,
    url       TEXT    NOT NULL,
    target    TEXT    NOT NULL, -- the id of the directory there, empty for none
    rule_set  TEXT    NOT NULL,
    sealed    BLOB    NOT NULL, -- its key
    created   INTEGER NOT NULL,
    modified  INTEGER NOT NULL,
    version   INTEGER NOT NULL,
    PRIMARY KEY (directory, name)
);
