-- A read changes nothing: whether it was answered, or its answer was lost, says nothing about what a job has done.

CREATE FUNCTION usher_happened(journal jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM jsonb_array_elements(journal) AS e
                   WHERE e ->> 'class' <> 'read' AND (e ->> 'state' IN ('started', 'doubt') OR e -> 'answer' ->> 'kind' = 'ok'))
$$;
COMMENT ON FUNCTION usher_happened IS 'Of an archived journal: an effect happened, or may have.';

-- As before, by that.
CREATE OR REPLACE FUNCTION usher_outlive(part text) RETURNS bigint
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    kept bigint;
BEGIN
    IF NOT starts_with(part, 'jobs_archive_') THEN
        RETURN 0;
    END IF;
    EXECUTE format($q$
        UPDATE idempotency_keys k
        SET state = a.state, result = a.result, expires_at = a.finished_at + a.key_ttl_ms * interval '1 millisecond'
        FROM %I a CROSS JOIN LATERAL generate_series(0, length(a.key_hashes) / 32 - 1) AS n
        WHERE a.key_hashes IS NOT NULL AND a.finished_at + a.key_ttl_ms * interval '1 millisecond' > now()
          AND (a.state = 'completed' OR usher_happened(a.journal))
          AND k.tier = a.tier AND k.tenant = a.tenant AND k.job_type = a.job_type
          AND k.key_hash = substring(a.key_hashes FROM n * 32 + 1 FOR 32) AND k.job_id = a.id
    $q$, part);
    GET DIAGNOSTICS kept = ROW_COUNT;
    RETURN kept;
END $$;
