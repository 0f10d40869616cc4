-- LockAccount waits for whoever is changing the account, and lets nobody change it before this transaction ends.
-- name: LockAccount :one
SELECT id
FROM users
WHERE id = @id AND version = @version AND disabled_at IS NULL
FOR NO KEY UPDATE;

-- name: AddSession :exec
INSERT INTO sessions (family, user_id, roles, client, device, begun_at, seen_at, ends_at, floor, authenticated_at, provider, acr)
VALUES (@family, @user_id, @roles, @client, @device, @begun_at, @begun_at, @ends_at, @floor, @authenticated_at, @provider, @acr);

-- name: EndOldestSessions :exec
UPDATE sessions
SET revoked_at = @now, reason = @reason, due_at = clock_timestamp()
WHERE family IN (
    SELECT s.family FROM sessions AS s
    WHERE s.user_id = @user_id AND s.revoked_at IS NULL AND s.ends_at > @now
    ORDER BY s.begun_at DESC, s.family
    OFFSET @keep::int
);

-- name: GetSession :one
SELECT family, user_id, roles, client, device, begun_at, seen_at, ends_at, floor, revoked_at, reason,
       coalesce(authenticated_at, begun_at)::timestamptz AS authenticated_at, provider, acr
FROM sessions
WHERE family = @family;

-- name: LiveSessions :many
SELECT family, user_id, roles, client, device, begun_at, seen_at, ends_at, floor, revoked_at, reason,
       coalesce(authenticated_at, begun_at)::timestamptz AS authenticated_at, provider, acr
FROM sessions
WHERE user_id = @user_id AND revoked_at IS NULL AND ends_at > @now
ORDER BY begun_at DESC, family
LIMIT 1000;

-- RevokeSession leaves what it ends to the caller for a while.
-- name: RevokeSession :exec
UPDATE sessions
SET revoked_at = @now, reason = @reason, due_at = clock_timestamp() + make_interval(secs => @grace_seconds)
WHERE family = @family AND revoked_at IS NULL
  AND (@client::text = '' OR client = @client)
  AND (sqlc.narg('user_id')::uuid IS NULL OR user_id = sqlc.narg('user_id'));

-- RevokeSessionsOfUser leaves what it ends to the caller for a while.
-- name: RevokeSessionsOfUser :exec
UPDATE sessions
SET revoked_at = @now, reason = @reason, due_at = clock_timestamp() + make_interval(secs => @grace_seconds)
WHERE user_id = @user_id AND revoked_at IS NULL AND family <> @except_family
  AND (@client::text = '' OR client = @client);

-- name: PendingRevocation :many
SELECT family, reason
FROM sessions
WHERE family = @family AND revoked_at IS NOT NULL AND due_at IS NOT NULL;

-- name: PendingRevocationsOfUser :many
SELECT family, reason
FROM sessions
WHERE user_id = @user_id AND revoked_at IS NOT NULL AND due_at IS NOT NULL;

-- name: PendingSessions :many
SELECT family, reason, (revoked_at IS NOT NULL)::boolean AS ended, due_at::timestamptz AS due_at
FROM sessions
WHERE due_at <= now() + make_interval(secs => @within_seconds)
ORDER BY due_at
LIMIT @most;

-- name: SettleRevocations :many
UPDATE sessions AS s
SET due_at = NULL
FROM (
    SELECT o.family FROM sessions AS o
    WHERE o.family = ANY(@families::text[]) AND o.revoked_at IS NOT NULL AND o.due_at IS NOT NULL
    ORDER BY o.family
    FOR UPDATE
) AS pending
WHERE s.family = pending.family
RETURNING s.family, s.user_id, s.roles, s.client, s.device, s.begun_at, s.seen_at, s.ends_at, s.floor, s.revoked_at, s.reason,
          coalesce(s.authenticated_at, s.begun_at)::timestamptz AS authenticated_at, s.provider, s.acr;

-- name: SettleChanges :exec
UPDATE sessions
SET due_at = NULL
WHERE family = ANY(@families::text[]) AND revoked_at IS NULL AND due_at <= @as_of;

-- name: RevokedSessions :many
SELECT family, reason, revoked_at::timestamptz AS revoked_at
FROM sessions
WHERE revoked_at IS NOT NULL AND (revoked_at, family) > (@since::timestamptz, @after::text)
ORDER BY revoked_at, family
LIMIT @most;

-- name: SeeSessions :exec
UPDATE sessions AS s
SET floor = greatest(s.floor, seen.generation), seen_at = greatest(s.seen_at, seen.at)
FROM (SELECT unnest(@families::text[]) AS family, unnest(@generations::bigint[]) AS generation, unnest(@times::timestamptz[]) AS at) AS seen
WHERE s.family = seen.family AND s.revoked_at IS NULL;

-- PruneSessions leaves out what another replica is deleting.
-- name: PruneSessions :execrows
DELETE FROM sessions
WHERE family IN (
    SELECT s.family FROM sessions AS s
    WHERE s.ends_at < @before
    ORDER BY s.ends_at
    LIMIT @most
    FOR UPDATE SKIP LOCKED
);
