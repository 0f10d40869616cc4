-- +goose Up
CREATE TABLE sessions (
    family        text        CONSTRAINT sessions_pkey PRIMARY KEY,
    -- No foreign key: a tombstone outlives its account. The trigger below writes it.
    user_id       uuid        NOT NULL,
    roles         text[]      NOT NULL,
    client        text        NOT NULL,
    device        text        NOT NULL,
    begun_at      timestamptz NOT NULL,
    seen_at       timestamptz NOT NULL,
    ends_at       timestamptz NOT NULL,
    -- Every refresh token of a generation below is stale.
    floor         bigint      NOT NULL DEFAULT 1,
    -- The tombstone. It is committed before anything else happens.
    revoked_at    timestamptz,
    reason        text        NOT NULL DEFAULT '',
    -- What changed here and Redis lacks is pending; from then on, by this server's clock, the leader takes it there. NULL if nothing is.
    due_at        timestamptz,
    CONSTRAINT sessions_family_form CHECK (family ~ '^[A-Za-z0-9_-]{22}$'),
    CONSTRAINT sessions_floor_positive CHECK (floor > 0)
) WITH (
    -- Room for heap-only updates: floor and seen_at, which no index holds, change all the time.
    fillfactor = 80
);
CREATE INDEX sessions_of_user ON sessions (user_id, begun_at DESC) WHERE revoked_at IS NULL;
-- The outbox: short, and asked for twice a second.
CREATE INDEX sessions_pending ON sessions (due_at) WHERE due_at IS NOT NULL;
-- What a stream that may have lost entries gets again.
CREATE INDEX sessions_revoked ON sessions (revoked_at, family) WHERE revoked_at IS NOT NULL;
CREATE INDEX sessions_past ON sessions (ends_at);

-- A session outlives neither its account nor that the account is enabled, and has its account's roles, whoever changes the account.
-- +goose StatementBegin
CREATE FUNCTION sessions_follow_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        UPDATE sessions SET revoked_at = clock_timestamp(), reason = 'user_deleted', due_at = clock_timestamp()
        WHERE user_id = OLD.id AND revoked_at IS NULL;
    ELSIF NEW.disabled_at IS NOT NULL THEN
        UPDATE sessions SET revoked_at = clock_timestamp(), reason = 'user_disabled', due_at = clock_timestamp()
        WHERE user_id = NEW.id AND revoked_at IS NULL;
    ELSIF NEW.roles <> OLD.roles THEN
        UPDATE sessions SET roles = NEW.roles, due_at = clock_timestamp()
        WHERE user_id = NEW.id AND revoked_at IS NULL;
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER users_changed AFTER DELETE OR UPDATE OF disabled_at, roles ON users
    FOR EACH ROW EXECUTE FUNCTION sessions_follow_account();

-- +goose Down
DROP TRIGGER users_changed ON users;
DROP FUNCTION sessions_follow_account;
DROP TABLE sessions;
