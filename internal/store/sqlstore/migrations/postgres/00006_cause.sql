-- +goose Up

-- The run that made the change, as roster.Cause.String has it; empty for none.
ALTER TABLE events ADD COLUMN cause TEXT COLLATE "C" NOT NULL DEFAULT '';
