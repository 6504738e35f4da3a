-- Webhooks: who wants to hear of what, what is on its way to them, and what arrived or did not.

CREATE TABLE webhook_endpoints (
    id              uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant          text        NOT NULL CHECK (length(tenant) BETWEEN 1 AND 128),
    url             text        NOT NULL CHECK (length(url) <= 2048),
    events          text[]      NOT NULL DEFAULT '{}',
    description     text        NOT NULL DEFAULT '' CHECK (length(description) <= 256),
    state           text        NOT NULL DEFAULT 'enabled' CHECK (state IN ('enabled', 'disabled')),
    disabled_reason text        CHECK (disabled_reason IN ('asked', 'gone', 'failing')),
    generation      integer     NOT NULL DEFAULT 1 CHECK (generation >= 1),
    previous_until  timestamptz,
    failing_since   timestamptz,
    quiet_until     timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now(),
    created_by      text        NOT NULL,
    changed_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT webhook_endpoints_disabled_has_reason CHECK ((state = 'disabled') = (disabled_reason IS NOT NULL))
) WITH (fillfactor = 80);
-- A settlement looks for those of its tenants; people list theirs.
CREATE INDEX webhook_endpoints_tenant ON webhook_endpoints (tenant, id);
COMMENT ON TABLE webhook_endpoints IS 'Where a tenant wants its events. Secrets are not here: they are derived from the host''s key, the id and the generation.';
COMMENT ON COLUMN webhook_endpoints.events IS 'Event types it wants; empty: all.';
COMMENT ON COLUMN webhook_endpoints.disabled_reason IS 'asked: somebody said so; gone: it answered 410; failing: nothing arrived for too long.';
COMMENT ON COLUMN webhook_endpoints.generation IS 'Of its secret; a rotation counts up.';
COMMENT ON COLUMN webhook_endpoints.previous_until IS 'Until when the secret of the generation before signs, too; NULL: there is none.';
COMMENT ON COLUMN webhook_endpoints.failing_since IS 'The first failure since the last success.';
COMMENT ON COLUMN webhook_endpoints.quiet_until IS 'Nothing is sent before: its own Retry-After.';

-- What is on its way. Small, like `jobs`: what has ended is in the archive.
CREATE TABLE webhook_deliveries (
    id          uuid        PRIMARY KEY,
    endpoint    uuid        NOT NULL,
    tenant      text        NOT NULL,
    job_id      uuid,
    event_type  text        NOT NULL,
    body        text        NOT NULL,
    tries       integer     NOT NULL DEFAULT 0 CHECK (tries >= 0),
    next_at     timestamptz NOT NULL DEFAULT now(),
    lease       uuid,
    last_status smallint,
    last_error  text,
    created_at  timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);
-- The claim goes from endpoint to endpoint and takes of each what is due.
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint, next_at);
COMMENT ON COLUMN webhook_deliveries.id IS 'uuid_v5 of (job, n, endpoint): the webhook-id, the same on every try for ever.';
COMMENT ON COLUMN webhook_deliveries.job_id IS 'The job that published it; NULL: a ping.';
COMMENT ON COLUMN webhook_deliveries.body IS 'The signed bytes, verbatim, the same on every try.';
COMMENT ON COLUMN webhook_deliveries.tries IS 'Sends begun.';
COMMENT ON COLUMN webhook_deliveries.next_at IS 'When it is due; while it is being sent: when another node may take it for lost.';
COMMENT ON COLUMN webhook_deliveries.lease IS 'Random per claim: only its holder says how the send ended. NULL: nobody is sending it.';

-- What has ended, by day of its end, for 30 days; a replay moves a row back.
CREATE TABLE webhook_archive (
    finished_at timestamptz NOT NULL DEFAULT now(),
    id          uuid        NOT NULL,
    endpoint    uuid        NOT NULL,
    tenant      text        NOT NULL,
    job_id      uuid,
    event_type  text        NOT NULL,
    body        text        NOT NULL,
    state       text        NOT NULL CHECK (state IN ('delivered', 'failed')),
    tries       integer     NOT NULL,
    last_status smallint,
    last_error  text,
    created_at  timestamptz NOT NULL
) PARTITION BY RANGE (finished_at);
-- A replay of one.
CREATE INDEX webhook_archive_id ON webhook_archive (id);
-- Lists, and replays since a time.
CREATE INDEX webhook_archive_endpoint ON webhook_archive (endpoint, created_at DESC, id DESC);

-- Makes the day partitions of [first, first + days). Idempotent.
CREATE FUNCTION usher_make_webhook_days(first date, days integer) RETURNS integer
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    day  date;
    part text;
    made integer := 0;
BEGIN
    FOR day IN SELECT first + n FROM generate_series(0, days - 1) AS n LOOP
        part := format('webhook_archive_%s', to_char(day, 'YYYYMMDD'));
        IF to_regclass(part) IS NULL THEN
            -- Apart and attached, and UTC days, as those of the jobs' archive.
            EXECUTE format('CREATE TABLE %I (LIKE webhook_archive INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)', part);
            EXECUTE format('ALTER TABLE webhook_archive ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', part,
                           day::text || ' 00:00+00', (day + 1)::text || ' 00:00+00');
            made := made + 1;
        END IF;
    END LOOP;
    RETURN made;
END $$;

-- As before, and the webhooks' archive with it.
CREATE OR REPLACE FUNCTION usher_due_partitions(today date) RETURNS TABLE (parent text, part text)
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT p.relname::text, c.relname::text
    FROM (VALUES ('jobs_archive_d7', 7), ('jobs_archive_d30', 30), ('outbox', 7), ('webhook_archive', 30)) AS k (parent, days)
    JOIN pg_class p ON p.oid = to_regclass(k.parent)
    JOIN pg_inherits i ON i.inhparent = p.oid
    JOIN pg_class c ON c.oid = i.inhrelid
    WHERE to_date(right(c.relname, 8), 'YYYYMMDD') + 1 + k.days <= today
    ORDER BY right(c.relname, 8), 1
$$;

-- As before; a day of anything but jobs has no keys, and hosts of an earlier version ask for every parent but `outbox`.
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
          AND (a.state = 'completed'
               OR EXISTS (SELECT FROM jsonb_array_elements(a.journal) AS e
                          WHERE e ->> 'state' IN ('started', 'doubt') OR e -> 'answer' ->> 'kind' = 'ok'))
          AND k.tier = a.tier AND k.tenant = a.tenant AND k.job_type = a.job_type
          AND k.key_hash = substring(a.key_hashes FROM n * 32 + 1 FOR 32) AND k.job_id = a.id
    $q$, part);
    GET DIAGNOSTICS kept = ROW_COUNT;
    RETURN kept;
END $$;
