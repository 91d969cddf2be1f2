-- +goose Up

-- What a resource is called where others show it, and how many members it has.
ALTER TABLE resources ADD COLUMN label TEXT NOT NULL DEFAULT '';
ALTER TABLE resources ADD COLUMN members INTEGER NOT NULL DEFAULT 0;

-- The schemas of a directory's own: a JSON object, empty for none.
ALTER TABLE directories ADD COLUMN schemas BLOB NOT NULL DEFAULT x'';

-- The seq of the event that an event undoes, 0 for none.
ALTER TABLE events ADD COLUMN undoes INTEGER NOT NULL DEFAULT 0;

-- Pure indexes of each other.
CREATE TABLE members (
    directory TEXT NOT NULL,
    grp       TEXT NOT NULL, -- the id of the group
    member    TEXT NOT NULL, -- the id of a user, or of another group
    type      TEXT NOT NULL, -- of the member
    PRIMARY KEY (directory, grp, member)
) WITHOUT ROWID;
CREATE INDEX members_member ON members (directory, member, grp);

-- The user that a key is bound to, empty for none.
ALTER TABLE keys ADD COLUMN user_id TEXT NOT NULL DEFAULT '';
