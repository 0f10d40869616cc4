-- +goose Up
CREATE TABLE frogs (
    id       text   PRIMARY KEY,
    name     text   NOT NULL,
    latin    text   NOT NULL,
    position int    NOT NULL,
    pets     bigint NOT NULL DEFAULT 0 CHECK (pets >= 0)
);

-- One row per frog and user who petted it. frogs.pets is the sum of pets over these rows; one
-- statement changes both.
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
