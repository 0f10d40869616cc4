-- name: UserByIdentity :one
SELECT u.id, u.email, u.name, u.password_hash, u.roles, u.created_at, (u.disabled_at IS NOT NULL)::boolean AS disabled, u.version
FROM identities AS i
JOIN users AS u ON u.id = i.user_id
WHERE i.issuer = @issuer AND i.subject = @subject;

-- name: AddIdentity :exec
INSERT INTO identities (issuer, subject, user_id, linked_at)
VALUES (@issuer, @subject, @user_id, @linked_at);

-- name: IdentitiesOfUser :many
SELECT issuer, subject
FROM identities
WHERE user_id = @user_id
ORDER BY linked_at, issuer, subject
LIMIT 100;

-- name: AddProviderSession :exec
INSERT INTO provider_sessions (family, provider, issuer, subject, sid, sealed, check_at)
SELECT s.family, @provider, @issuer, @subject, @sid, @sealed::bytea, sqlc.narg('check_at')::timestamptz
FROM sessions AS s
WHERE s.family = @family AND s.revoked_at IS NULL;

-- name: GetProviderSession :one
SELECT family, provider, issuer, subject, sid, sealed, check_at
FROM provider_sessions
WHERE family = @family;

-- ClaimProviderSession lets one replica ask the provider, and no other until then.
-- name: ClaimProviderSession :one
UPDATE provider_sessions
SET check_at = @until
WHERE family = @family AND check_at <= @now
RETURNING family, provider, issuer, subject, sid, sealed, check_at;

-- name: UpdateProviderSession :exec
UPDATE provider_sessions
SET sealed = @sealed, check_at = @check_at
WHERE family = @family;

-- name: FamiliesOfSid :many
SELECT family
FROM provider_sessions
WHERE issuer = @issuer AND sid = @sid AND sid <> '' AND (@subject::text = '' OR subject = @subject)
LIMIT 10000;

-- name: FamiliesOfSubject :many
SELECT family
FROM provider_sessions
WHERE issuer = @issuer AND subject = @subject
LIMIT 10000;
