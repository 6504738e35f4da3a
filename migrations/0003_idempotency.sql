-- One row per held key. Settle never touches it: the archived job is the stored result, and a submit that
-- meets an expired key takes it over.
CREATE TABLE idempotency_keys (
    tier         smallint    NOT NULL CHECK (tier IN (1, 2, 3)),
    tenant       text        NOT NULL,
    job_type     text        NOT NULL,
    key_hash     bytea       NOT NULL CHECK (length(key_hash) = 32),
    job_id       uuid        NOT NULL,
    payload_hash bytea       NOT NULL CHECK (length(payload_hash) = 32),
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tier, tenant, job_type, key_hash)
) PARTITION BY LIST (tier);
COMMENT ON COLUMN idempotency_keys.tier IS 'Follows the tier of the job, so that both survive or vanish together.';
COMMENT ON COLUMN idempotency_keys.key_hash IS 'sha256 over kind (header or derived), job type and the canonical JSON of the values.';
COMMENT ON COLUMN idempotency_keys.payload_hash IS 'sha256 of the canonical payload: tells a repeat from a reuse.';

CREATE TABLE idempotency_keys_t1 PARTITION OF idempotency_keys FOR VALUES IN (1);
CREATE TABLE idempotency_keys_t2 PARTITION OF idempotency_keys FOR VALUES IN (2);
CREATE UNLOGGED TABLE idempotency_keys_t3 PARTITION OF idempotency_keys FOR VALUES IN (3);
