-- One row a running host: its heartbeat is the lease of all its jobs.
CREATE TABLE nodes (
    id         uuid        PRIMARY KEY,
    host       text        NOT NULL,
    version    text        NOT NULL,
    beat       bigint      NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT now(),
    beat_at    timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
COMMENT ON COLUMN nodes.beat IS 'Counts up; a reaper trusts an unchanged count over its own clock, never a timestamp.';
COMMENT ON COLUMN nodes.beat_at IS 'For people.';
