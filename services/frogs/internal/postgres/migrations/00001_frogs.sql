-- +goose Up
CREATE TABLE frogs (
    id       text   PRIMARY KEY,
    name     text   NOT NULL,
    latin    text   NOT NULL,
    position int    NOT NULL,
    pets     bigint NOT NULL DEFAULT 0 CHECK (pets >= 0)
);

-- A row for each frog and user who has petted it. The total in frogs.pets is
-- the sum of these; both change in one statement.
CREATE TABLE pettings (
    frog_id   text        NOT NULL REFERENCES frogs (id),
    user_id   text        NOT NULL,
    pets      bigint      NOT NULL CHECK (pets > 0),
    petted_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, frog_id)
);

-- +goose Down
DROP TABLE pettings;
DROP TABLE frogs;
