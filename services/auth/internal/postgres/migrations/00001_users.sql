-- +goose Up
CREATE TABLE users (
    id                  uuid        CONSTRAINT users_pkey PRIMARY KEY,
    -- Stored as user.ParseEmail returns it, so that equality is the comparison and no collation or extension is needed.
    email               text        NOT NULL CONSTRAINT users_email_key UNIQUE,
    name                text        NOT NULL,
    password_hash       text        NOT NULL,
    roles               text[]      NOT NULL DEFAULT '{}',
    created_at          timestamptz NOT NULL,
    password_changed_at timestamptz NOT NULL,
    disabled_at         timestamptz,
    -- Grows with every change that a login which is under way must not miss: see the trigger.
    version             bigint      NOT NULL DEFAULT 1,
    -- The domain checks the same and more; this is for whoever writes to the table by hand.
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
