-- +goose Up
-- An account without a password signs in with an identity provider.
ALTER TABLE users DROP CONSTRAINT users_password_hash_phc;
ALTER TABLE users ADD CONSTRAINT users_password_hash_phc CHECK (password_hash = '' OR password_hash LIKE '$argon2id$%');

-- When and how the user was authenticated. authenticated_at is NULL where it equals begun_at.
ALTER TABLE sessions
    ADD COLUMN authenticated_at timestamptz,
    ADD COLUMN provider         text NOT NULL DEFAULT '',
    ADD COLUMN acr              text NOT NULL DEFAULT '';

-- Who an account is at a provider (OpenID Connect Core section 5.7: issuer and subject together).
CREATE TABLE identities (
    issuer    text        NOT NULL,
    subject   text        NOT NULL,
    user_id   uuid        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    linked_at timestamptz NOT NULL,
    CONSTRAINT identities_pkey PRIMARY KEY (issuer, subject)
);
CREATE INDEX identities_of_user ON identities (user_id);

-- The session at the provider that bounds one of ours. It has a row as long as ours is live.
CREATE TABLE provider_sessions (
    family   text        CONSTRAINT provider_sessions_pkey PRIMARY KEY REFERENCES sessions (family) ON DELETE CASCADE,
    provider text        NOT NULL,
    issuer   text        NOT NULL,
    subject  text        NOT NULL,
    -- The provider's ID of its session, or empty.
    sid      text        NOT NULL,
    -- The tokens, encrypted with a key that is not in this database.
    sealed   bytea       NOT NULL,
    -- From then on the next rotation asks the provider. NULL if it cannot be asked.
    check_at timestamptz
) WITH (
    fillfactor = 80
);
CREATE INDEX provider_sessions_subject ON provider_sessions (issuer, subject);
CREATE INDEX provider_sessions_sid ON provider_sessions (issuer, sid) WHERE sid <> '';

-- However a session ends, the tokens go with it.
-- +goose StatementBegin
CREATE FUNCTION provider_sessions_follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM provider_sessions WHERE family = NEW.family;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER sessions_ended AFTER UPDATE OF revoked_at ON sessions
    FOR EACH ROW WHEN (NEW.provider <> '' AND OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL)
    EXECUTE FUNCTION provider_sessions_follow();

-- +goose Down
DROP TRIGGER sessions_ended ON sessions;
DROP FUNCTION provider_sessions_follow;
DROP TABLE provider_sessions;
DROP TABLE identities;
ALTER TABLE sessions DROP COLUMN authenticated_at, DROP COLUMN provider, DROP COLUMN acr;
DELETE FROM users WHERE password_hash = '';
ALTER TABLE users DROP CONSTRAINT users_password_hash_phc;
ALTER TABLE users ADD CONSTRAINT users_password_hash_phc CHECK (password_hash LIKE '$argon2id$%');
