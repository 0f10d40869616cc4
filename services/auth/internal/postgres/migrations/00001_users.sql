-- +goose Up
CREATE TABLE users (
    id                  uuid        CONSTRAINT users_pkey PRIMARY KEY,
    -- Normalized by user.ParseEmail, so that addresses compare with = and need no collation or
    -- extension.
    email               text        NOT NULL CONSTRAINT users_email_key UNIQUE,
    name                text        NOT NULL,
    password_hash       text        NOT NULL,
    roles               text[]      NOT NULL DEFAULT '{}',
    created_at          timestamptz NOT NULL,
    password_changed_at timestamptz NOT NULL,
    disabled_at         timestamptz,
    -- The trigger below increments it with every change that a login in progress must notice.
    version             bigint      NOT NULL DEFAULT 1,
    -- The domain checks this and more. The constraints catch changes that are made by hand.
    CONSTRAINT users_email_normal CHECK (email <> '' AND email = lower(email) AND length(email) <= 254),
    CONSTRAINT users_name_length CHECK (length(name) BETWEEN 1 AND 100),
    CONSTRAINT users_password_hash_phc CHECK (password_hash LIKE '$argon2id$%')
);

-- +goose StatementBegin
CREATE FUNCTION users_next_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := OLD.version + 1;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER users_version BEFORE UPDATE OF password_changed_at, disabled_at, roles ON users
    FOR EACH ROW EXECUTE FUNCTION users_next_version();

-- +goose Down
DROP TABLE users;
DROP FUNCTION users_next_version;
