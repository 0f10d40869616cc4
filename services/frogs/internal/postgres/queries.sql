-- name: ListFrogs :many
SELECT f.id, f.name, f.latin, f.pets, p.petted_at
FROM frogs f
LEFT JOIN pettings p ON p.frog_id = f.id AND p.user_id = @user_id
ORDER BY f.position;

-- One statement changes the total and the user's row atomically. It locks the row of the frog
-- first, so that concurrent pettings of a frog wait for each other and all are counted.
-- name: PetFrog :one
WITH counted AS (
    UPDATE frogs SET pets = frogs.pets + 1
    WHERE frogs.id = @frog_id
    RETURNING frogs.id, frogs.name, frogs.latin, frogs.pets
), remembered AS (
    INSERT INTO pettings (frog_id, user_id, pets, petted_at)
    SELECT counted.id, @user_id, 1, @petted_at FROM counted
    ON CONFLICT (user_id, frog_id) DO UPDATE
    SET pets = pettings.pets + 1, petted_at = greatest(pettings.petted_at, excluded.petted_at)
    RETURNING pettings.petted_at
)
SELECT counted.id, counted.name, counted.latin, counted.pets, remembered.petted_at
FROM counted CROSS JOIN remembered;

-- name: SeedFrogs :exec
INSERT INTO frogs (id, name, latin, position)
SELECT unnest(@ids::text[]), unnest(@names::text[]), unnest(@latins::text[]), generate_series(1, cardinality(@ids::text[]))
ON CONFLICT (id) DO UPDATE
SET name = excluded.name, latin = excluded.latin, position = excluded.position
WHERE (frogs.name, frogs.latin, frogs.position) IS DISTINCT FROM (excluded.name, excluded.latin, excluded.position);
