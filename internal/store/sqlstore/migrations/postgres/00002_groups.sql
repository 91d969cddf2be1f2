-- +goose Up

-- What a resource is called where others show it, and how many members it has.
ALTER TABLE resources ADD COLUMN label TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE resources ADD COLUMN members BIGINT NOT NULL DEFAULT 0;

-- The schemas of a directory's own: a JSON object, empty for none.
ALTER TABLE directories ADD COLUMN schemas BYTEA NOT NULL DEFAULT '';

-- The seq of the event that an event undoes, 0 for none.
ALTER TABLE events ADD COLUMN undoes BIGINT NOT NULL DEFAULT 0;

-- Pure indexes of each other.
CREATE TABLE members (
    directory TEXT COLLATE "C" NOT NULL,
    grp       TEXT COLLATE "C" NOT NULL, -- the id of the group
    member    TEXT COLLATE "C" NOT NULL, -- the id of a user, or of another group
    type      TEXT COLLATE "C" NOT NULL, -- of the member
    PRIMARY KEY (directory, grp, member)
);
CREATE INDEX members_member ON members (directory, member, grp);

-- The user that a key is bound to, empty for none.
ALTER TABLE keys ADD COLUMN user_id TEXT COLLATE "C" NOT NULL DEFAULT '';
