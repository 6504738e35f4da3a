-- What came over from another queue: keys that go on holding, and jobs that must not come twice.

CREATE TABLE imported_keys (
    key_hash    bytea       PRIMARY KEY CHECK (length(key_hash) = 32),
    key         text        NOT NULL,
    old_type    text        NOT NULL,
    job_type    text        NOT NULL,
    queue       text        NOT NULL,
    job_id      uuid        NOT NULL,
    result      text,
    happened_at timestamptz NOT NULL,
    expires_at  timestamptz,
    imported_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE imported_keys IS 'Keys of the service before this one. They had no tenant, so they hold in every tenant.';
COMMENT ON COLUMN imported_keys.key_hash IS 'sha256 of the key: some keys are longer than an index takes.';
COMMENT ON COLUMN imported_keys.key IS 'As the old service derived it.';
COMMENT ON COLUMN imported_keys.old_type IS 'What the old service called the job type; part of how it derived the key.';
COMMENT ON COLUMN imported_keys.job_type IS 'What it is called here.';
COMMENT ON COLUMN imported_keys.queue IS 'Where its job ran, by the name that the queue has here.';
COMMENT ON COLUMN imported_keys.job_id IS 'What a repeat is answered with; no job has this id.';
COMMENT ON COLUMN imported_keys.result IS 'JSON text, as the old service kept it.';
COMMENT ON COLUMN imported_keys.happened_at IS 'When the old service had done it.';
COMMENT ON COLUMN imported_keys.expires_at IS 'Until when it holds; NULL: for good.';
-- The answer to a repeat.
CREATE UNIQUE INDEX imported_keys_job ON imported_keys (job_id);
-- Letting go of what holds no longer.
CREATE INDEX imported_keys_expiry ON imported_keys (expires_at);
-- Whether a type has any left.
CREATE INDEX imported_keys_types ON imported_keys (job_type, old_type);

-- Read by every heartbeat: submits of other types ask nothing more than before.
CREATE TABLE imported_types (
    job_type text        NOT NULL,
    old_type text        NOT NULL,
    seen_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_type, old_type)
);
COMMENT ON TABLE imported_types IS 'Job types that imported keys may stand in the way of.';
COMMENT ON COLUMN imported_types.seen_at IS 'The last time that keys of it were imported; it goes a day later at the earliest, when it has none.';

CREATE TABLE imported_jobs (
    source_id   uuid        PRIMARY KEY,
    job_id      uuid        NOT NULL,
    outcome     text        NOT NULL CHECK (outcome IN ('moved', 'parked', 'deduplicated')),
    queue       text        NOT NULL,
    imported_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE imported_jobs IS 'Jobs of another queue that are here. Kept for good: a repeat of an import changes nothing.';
COMMENT ON COLUMN imported_jobs.source_id IS 'Its id there.';
COMMENT ON COLUMN imported_jobs.job_id IS 'Its id here; of what was deduplicated, the first job''s.';
COMMENT ON COLUMN imported_jobs.queue IS 'Its queue there.';
