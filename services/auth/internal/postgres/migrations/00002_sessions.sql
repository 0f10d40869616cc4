-- +goose Up
CREATE TABLE sessions (
    family      text        CONSTRAINT sessions_pkey PRIMARY KEY,
    user_id     uuid        NOT NULL CONSTRAINT sessions_user_id_fkey REFERENCES users (id) ON DELETE CASCADE,
    roles       text[]      NOT NULL,
    client      text        NOT NULL,
    device      text        NOT NULL,
    begun_at    timestamptz NOT NULL,
    seen_at     timestamptz NOT NULL,
    ends_at     timestamptz NOT NULL,
    -- Every refresh token of a generation below is stale.
    floor       bigint      NOT NULL DEFAULT 1,
    -- The tombstone. It is committed before anything else happens.
    revoked_at  timestamptz,
    reason      text        NOT NULL DEFAULT '',
    -- Its place in the revocation stream; NULL until it is there.
    propagated  bigint,
    CONSTRAINT sessions_family_form CHECK (family ~ '^[A-Za-z0-9_-]{22}$'),
    CONSTRAINT sessions_floor_positive CHECK (floor > 0)
);
CREATE INDEX sessions_of_user ON sessions (user_id, begun_at DESC) WHERE revoked_at IS NULL;
-- The outbox, and what a stream that lost its end must get again: short, and asked for every second.
CREATE INDEX sessions_to_propagate ON sessions (propagated NULLS FIRST) WHERE revoked_at IS NOT NULL;
CREATE INDEX sessions_past ON sessions (ends_at);

-- +goose Down
DROP TABLE sessions;
