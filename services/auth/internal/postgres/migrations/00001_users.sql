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
    -- Changes with the credentials, and when the account is disabled: a login that is under way then begins no session.
    version             bigint      NOT NULL DEFAULT 1,
    -- The domain checks the same and more; this is for whoever writes to the table by hand.
    CONSTRAINT users_email_normal CHECK (email <> '' AND email = lower(email) AND length(email) <= 254),
    CONSTRAINT users_name_length CHECK (length(name) BETWEEN 1 AND 100),
    CONSTRAINT users_password_hash_phc CHECK (password_hash LIKE '$argon2id$%')
);

-- +goose Down
DROP TABLE users;
