-- +goose Up
CREATE TABLE sessions (
    family        text        CONSTRAINT sessions_pkey PRIMARY KEY,
    -- No foreign key: the tombstone, which the trigger below writes, outlives the account.
    user_id       uuid        NOT NULL,
    roles         text[]      NOT NULL,
    client        text        NOT NULL,
    device        text        NOT NULL,
    begun_at      timestamptz NOT NULL,
    seen_at       timestamptz NOT NULL,
    ends_at       timestamptz NOT NULL,
    -- Refresh tokens of a lower generation are stale.
    floor         bigint      NOT NULL DEFAULT 1,
    -- The tombstone, committed before Redis and the revocation stream are updated.
    revoked_at    timestamptz,
    reason        text        NOT NULL DEFAULT '',
    -- A change that Redis lacks is pending. From due_at on, by this server's clock, the leader
    -- copies it to Redis. NULL if nothing is pending.
    due_at        timestamptz,
    CONSTRAINT sessions_family_form CHECK (family ~ '^[A-Za-z0-9_-]{22}$'),
    CONSTRAINT sessions_floor_positive CHECK (floor > 0)
) WITH (
    -- Room for heap-only updates: floor and seen_at change often and are in no index.
    fillfactor = 80
);
CREATE INDEX sessions_of_user ON sessions (user_id, begun_at DESC) WHERE revoked_at IS NULL;
-- The outbox: it has few rows and is queried twice a second.
CREATE INDEX sessions_pending ON sessions (due_at) WHERE due_at IS NOT NULL;
-- To publish revocations again to a stream that may have lost entries.
CREATE INDEX sessions_revoked ON sessions (revoked_at, family) WHERE revoked_at IS NOT NULL;
CREATE INDEX sessions_past ON sessions (ends_at);

-- However an account is changed, its sessions end when it is disabled or deleted, and get its new
-- roles.
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
