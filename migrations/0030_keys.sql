-- Services that sign their requests: their keys, and the nonces that were seen.

CREATE TABLE service_keys (
    id             uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    name           text        NOT NULL CHECK (length(name) BETWEEN 1 AND 128),
    role           text        NOT NULL CHECK (role IN ('service', 'venue_admin', 'admin')),
    tenants        text[]      CHECK (cardinality(tenants) BETWEEN 1 AND 100),
    job_types      text[]      CHECK (cardinality(job_types) BETWEEN 1 AND 100),
    generation     integer     NOT NULL DEFAULT 1 CHECK (generation >= 1),
    previous_until timestamptz,
    created_at     timestamptz NOT NULL DEFAULT now(),
    created_by     text        NOT NULL,
    revoked_at     timestamptz,
    revoked_by     text,
    last_used_at   timestamptz,
    CONSTRAINT service_keys_admin_is_of_no_tenant CHECK (role <> 'admin' OR tenants IS NULL),
    -- Whoever cancels and retries does so with jobs of all types.
    CONSTRAINT service_keys_types_are_for_submits CHECK (role = 'service' OR job_types IS NULL),
    CONSTRAINT service_keys_revoked_by_somebody CHECK ((revoked_at IS NULL) = (revoked_by IS NULL))
) WITH (fillfactor = 80);
COMMENT ON TABLE service_keys IS 'Keys of services. Secrets are not here: they are derived from the host''s key, the id and the generation.';
COMMENT ON COLUMN service_keys.id IS 'The keyid of its signatures. Random, and no secret.';
COMMENT ON COLUMN service_keys.name IS 'For people.';
COMMENT ON COLUMN service_keys.tenants IS 'For which it may act; NULL: all.';
COMMENT ON COLUMN service_keys.job_types IS 'Which it may submit; NULL: all.';
COMMENT ON COLUMN service_keys.generation IS 'Of its secret; a rotation counts up.';
COMMENT ON COLUMN service_keys.previous_until IS 'Until when the secret of the generation before is good, too; NULL: there is none.';
COMMENT ON COLUMN service_keys.last_used_at IS 'To the minute.';

CREATE TABLE key_news (
    is_one  boolean PRIMARY KEY DEFAULT true CHECK (is_one),
    version bigint  NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
INSERT INTO key_news DEFAULT VALUES;
COMMENT ON TABLE key_news IS 'One row: counts up with each change of a key, so that nodes see that they must look.';

-- Logged: a crash must not make a request good for a second time.
CREATE TABLE nonces (
    key_id  uuid        NOT NULL,
    nonce   text        NOT NULL CHECK (length(nonce) BETWEEN 1 AND 128),
    seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (key_id, nonce)
);
-- What is let go is the oldest.
CREATE INDEX nonces_seen ON nonces (seen_at);
COMMENT ON TABLE nonces IS 'Of signed requests that changed something, for 15 minutes: no signature is good for longer.';
