-- name: AddSession :exec
INSERT INTO sessions (family, user_id, roles, client, device, begun_at, seen_at, ends_at, floor)
VALUES (@family, @user_id, @roles, @client, @device, @begun_at, @begun_at, @ends_at, @floor);

-- name: GetSession :one
SELECT family, user_id, roles, client, device, begun_at, seen_at, ends_at, floor, revoked_at, reason
FROM sessions
WHERE family = @family;

-- name: LiveSessions :many
SELECT family, user_id, roles, client, device, begun_at, seen_at, ends_at, floor, revoked_at, reason
FROM sessions
WHERE user_id = @user_id AND revoked_at IS NULL AND ends_at > @now
ORDER BY begun_at DESC, family
LIMIT 1000;

-- name: RevokeSession :exec
UPDATE sessions
SET revoked_at = @now, reason = @reason
WHERE family = @family AND revoked_at IS NULL
  AND (@client::text = '' OR client = @client)
  AND (sqlc.narg('user_id')::uuid IS NULL OR user_id = sqlc.narg('user_id'));

-- name: RevokeSessionsOfUser :exec
UPDATE sessions
SET revoked_at = @now, reason = @reason
WHERE user_id = @user_id AND revoked_at IS NULL AND family <> @except_family
  AND (@client::text = '' OR client = @client);

-- name: UnpropagatedSession :many
SELECT family, reason
FROM sessions
WHERE family = @family AND revoked_at IS NOT NULL AND propagated IS NULL;

-- name: UnpropagatedSessionsOfUser :many
SELECT family, reason
FROM sessions
WHERE user_id = @user_id AND revoked_at IS NOT NULL AND propagated IS NULL;

-- name: UnpropagatedSessions :many
SELECT family, reason
FROM sessions
WHERE revoked_at IS NOT NULL AND ends_at > @now
  AND (propagated IS NULL OR propagated > @last OR propagated > @since AND family <> ALL(@present::text[]))
ORDER BY propagated NULLS FIRST
LIMIT @most;

-- name: MarkPropagated :one
UPDATE sessions AS s
SET propagated = @mark
FROM (SELECT o.family, o.propagated FROM sessions AS o WHERE o.family = @family AND o.revoked_at IS NOT NULL FOR UPDATE) AS old
WHERE s.family = old.family
RETURNING (old.propagated IS NULL)::boolean AS first;

-- name: SeeSessions :exec
UPDATE sessions AS s
SET floor = greatest(s.floor, seen.generation), seen_at = greatest(s.seen_at, seen.at)
FROM (SELECT unnest(@families::text[]) AS family, unnest(@generations::bigint[]) AS generation, unnest(@times::timestamptz[]) AS at) AS seen
WHERE s.family = seen.family AND s.revoked_at IS NULL;

-- name: PruneSessions :exec
DELETE FROM sessions
WHERE ends_at < @before;
