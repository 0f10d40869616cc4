-- name: CreateUser :exec
INSERT INTO users (id, email, name, password_hash, roles, created_at, password_changed_at, disabled_at)
VALUES (@id, @email, @name, @password_hash, @roles, @created_at, @created_at,
        CASE WHEN @disabled::boolean THEN @created_at::timestamptz END);

-- name: UserByEmail :one
SELECT id, email, name, password_hash, roles, created_at, (disabled_at IS NOT NULL)::boolean AS disabled, version
FROM users
WHERE email = @email;

-- name: UserByID :one
SELECT id, email, name, password_hash, roles, created_at, (disabled_at IS NOT NULL)::boolean AS disabled, version
FROM users
WHERE id = @id;

-- name: ReplacePasswordHash :execrows
UPDATE users
SET password_hash = @new_hash
WHERE id = @id AND password_hash = @old_hash;

-- name: DisableUser :execrows
UPDATE users
SET disabled_at = coalesce(disabled_at, @now)
WHERE email = @email;

-- name: EnableUser :execrows
UPDATE users
SET disabled_at = NULL
WHERE email = @email;

-- name: SetUserRoles :execrows
UPDATE users
SET roles = @roles
WHERE email = @email;

-- name: DeleteUser :execrows
DELETE FROM users
WHERE email = @email;

-- name: ChangePassword :execrows
UPDATE users
SET password_hash = @new_hash, password_changed_at = @now
WHERE id = @id AND password_hash = @old_hash;
