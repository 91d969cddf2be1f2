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

-- The history of a resource is a chain of events: the last seq here, and in each
-- event that of the one before it; 0 for none. It takes the place of an index,
-- which cost every write a page of its own.
ALTER TABLE resources ADD COLUMN last_seq BIGINT NOT NULL DEFAULT 0;
ALTER TABLE trash ADD COLUMN last_seq BIGINT NOT NULL DEFAULT 0;
ALTER TABLE events ADD COLUMN prev_seq BIGINT NOT NULL DEFAULT 0;
UPDATE events SET prev_seq = coalesce((SELECT e.seq FROM events e
    WHERE e.directory = events.directory AND e.resource = events.resource AND e.type = events.type AND e.version < events.version
    ORDER BY e.version DESC LIMIT 1), 0);
UPDATE resources SET last_seq = coalesce((SELECT e.seq FROM events e
    WHERE e.directory = resources.directory AND e.resource = resources.id AND e.type = resources.type
    ORDER BY e.version DESC LIMIT 1), 0);
UPDATE trash SET last_seq = coalesce((SELECT e.seq FROM events e
    WHERE e.directory = trash.directory AND e.resource = trash.id AND e.type = trash.type
    ORDER BY e.version DESC LIMIT 1), 0);
DROP INDEX events_history;
