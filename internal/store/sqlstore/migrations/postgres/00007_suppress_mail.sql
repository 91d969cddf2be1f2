-- +goose Up

-- Whether no workflow of the directory sends mail.
ALTER TABLE directories ADD COLUMN suppress_mail BIGINT NOT NULL DEFAULT 0;
