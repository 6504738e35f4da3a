-- History goes by the day, and what outlives it: the results that idempotency keys still stand for.

ALTER TABLE idempotency_keys
    ADD COLUMN state      text CHECK (state IN ('completed', 'cancelled', 'dead')),
    ADD COLUMN result     text,
    ADD COLUMN expires_at timestamptz;
COMMENT ON COLUMN idempotency_keys.state IS 'How its job ended, once the archive has forgotten it; NULL before.';
COMMENT ON COLUMN idempotency_keys.result IS 'The job''s result, once the archive has forgotten it.';
COMMENT ON COLUMN idempotency_keys.expires_at IS 'Until when the key holds, once the archive has forgotten its job.';
-- The replay of a stored result.
CREATE INDEX idempotency_keys_outlived ON idempotency_keys (job_id) WHERE expires_at IS NOT NULL;

-- Which node does what only one should do. If two believe they do, nothing breaks: it is only done twice.
CREATE TABLE duties (
    name   text        PRIMARY KEY,
    holder uuid        NOT NULL,
    fence  bigint      NOT NULL DEFAULT 1,
    until  timestamptz NOT NULL
);
COMMENT ON COLUMN duties.fence IS 'Counts up with each new holder.';

-- Day partitions whose time is over: (parent, partition), oldest first. A day is over for good when its last moment is
-- longer ago than its class is kept; `hold` never is.
CREATE FUNCTION usher_due_partitions(today date) RETURNS TABLE (parent text, part text)
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT p.relname::text, c.relname::text
    FROM (VALUES ('jobs_archive_d7', 7), ('jobs_archive_d30', 30), ('outbox', 7)) AS k (parent, days)
    JOIN pg_class p ON p.oid = to_regclass(k.parent)
    JOIN pg_inherits i ON i.inhparent = p.oid
    JOIN pg_class c ON c.oid = i.inhrelid
    WHERE to_date(right(c.relname, 8), 'YYYYMMDD') + 1 + k.days <= today
    ORDER BY right(c.relname, 8), 1
$$;

-- Before a day of history goes: keys that still hold get what they stand for. Returns how many.
CREATE FUNCTION usher_outlive(part text) RETURNS bigint
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    kept bigint;
BEGIN
    EXECUTE format($q$
        UPDATE idempotency_keys k
        SET state = a.state, result = a.result, expires_at = a.finished_at + a.key_ttl_ms * interval '1 millisecond'
        FROM %I a CROSS JOIN LATERAL generate_series(0, length(a.key_hashes) / 32 - 1) AS n
        WHERE a.key_hashes IS NOT NULL AND a.finished_at + a.key_ttl_ms * interval '1 millisecond' > now()
          AND (a.state = 'completed'
               OR EXISTS (SELECT FROM jsonb_array_elements(a.journal) AS e
                          WHERE e ->> 'state' IN ('started', 'doubt') OR e -> 'answer' ->> 'kind' = 'ok'))
          AND k.tier = a.tier AND k.tenant = a.tenant AND k.job_type = a.job_type
          AND k.key_hash = substring(a.key_hashes FROM n * 32 + 1 FOR 32) AND k.job_id = a.id
    $q$, part);
    GET DIAGNOSTICS kept = ROW_COUNT;
    RETURN kept;
END $$;
