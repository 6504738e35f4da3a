-- Events that people follow: in the order in which they became visible, and written only while somebody follows.

-- Rows of before keep the number of this migration's transaction: nobody is told of them.
ALTER TABLE outbox
    ADD COLUMN xid     bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
    ADD COLUMN reasons text[];
COMMENT ON TABLE outbox IS 'One row a submitted or settled batch, in order of (xid, seq), kept for a week by day partitions; the arrays run side by side.';
COMMENT ON COLUMN outbox.events IS 'job. and the state that a job came to.';
COMMENT ON COLUMN outbox.xid IS 'Its transaction. What lies below the oldest one under way will never change: readers go as far as that, so that none is passed by that commits late.';
COMMENT ON COLUMN outbox.reasons IS 'Why a dead job is dead.';
-- Readers go on from where they were.
CREATE INDEX outbox_order ON outbox (xid, seq);

-- Whether anybody wants events: read by every statement that would write one.
CREATE TABLE event_log (
    one    boolean     PRIMARY KEY DEFAULT true CHECK (one),
    era    bigint      NOT NULL DEFAULT 0,
    until  timestamptz NOT NULL DEFAULT '-infinity',
    server timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 50);
INSERT INTO event_log DEFAULT VALUES;
COMMENT ON COLUMN event_log.era IS 'Random; another one after a time in which nothing was written, and after a restart of the server, which may give numbers of lost transactions out again. Part of every event''s id.';
COMMENT ON COLUMN event_log.until IS 'Events are written until then; put off by hosts with clients that follow.';
COMMENT ON COLUMN event_log.server IS 'When the server of this era was started.';

-- As before, and the event.
CREATE OR REPLACE FUNCTION usher.submit(
    tenant       text,
    type         text,
    payload      json,
    key          text        DEFAULT NULL,
    run_at       timestamptz DEFAULT NULL,
    priority     text        DEFAULT 'normal',
    metadata     json        DEFAULT NULL,
    ordering_key text        DEFAULT NULL
) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    known  public.job_types;
    number smallint;
    ms     bigint := floor(extract(epoch FROM clock_timestamp()) * 1000);
    random bytea := uuid_send(gen_random_uuid());
    new_id uuid;
BEGIN
    -- Held until the caller's end: a retirement frees the type only when it can see whether this job is there.
    SELECT t.* INTO known FROM public.job_types t WHERE t.job_type = type AND t.queue IS NOT NULL FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no plugin owns the job type "%"', type
            USING ERRCODE = 'invalid_parameter_value', HINT = 'GET /plugins names the known ones';
    END IF;
    IF known.retiring THEN
        RAISE EXCEPTION 'the job type "%" is being retired and takes no jobs any more', type
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    number := CASE priority WHEN 'critical' THEN 10 WHEN 'high' THEN 7 WHEN 'normal' THEN 5 WHEN 'low' THEN 3
                            WHEN 'background' THEN 1 END;
    IF number IS NULL THEN
        RAISE EXCEPTION 'priority must be critical, high, normal, low or background, not "%"', priority
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF tenant IS NULL OR length(tenant) NOT BETWEEN 1 AND 128 THEN
        RAISE EXCEPTION 'tenant must have 1 to 128 characters' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF payload IS NULL OR octet_length(payload::text) > 262144 THEN
        RAISE EXCEPTION 'payload must be there and have at most 262144 bytes' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF key IS NOT NULL AND key !~ '^[ -~]{1,255}$' THEN
        RAISE EXCEPTION 'key must have 1 to 255 characters of visible ASCII' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF run_at > now() + interval '366 days' OR NOT isfinite(run_at) THEN
        RAISE EXCEPTION 'run_at is more than a year ahead' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF metadata IS NOT NULL AND (json_typeof(metadata) <> 'object' OR octet_length(metadata::text) > 16384) THEN
        RAISE EXCEPTION 'metadata must be an object of at most 16384 bytes' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF ordering_key IS NOT NULL AND (length(ordering_key) NOT BETWEEN 1 AND 255 OR run_at IS NOT NULL) THEN
        RAISE EXCEPTION 'ordering_key must have 1 to 255 characters, and goes without run_at'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- What money is about must be as durable as a submit over HTTP, whatever the caller's default is. A stronger
    -- setting of the caller stays.
    IF known.tier = 1 AND current_setting('synchronous_commit') IN ('off', 'local') THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    -- A uuid v7 (RFC 9562): 48 bits of milliseconds, then random bits.
    random := substring(decode(lpad(to_hex(ms), 12, '0'), 'hex') FROM 1 FOR 6) || substring(random FROM 7 FOR 10);
    random := set_byte(random, 6, (get_byte(random, 6) & 15) | 112);
    new_id := encode(set_byte(random, 8, (get_byte(random, 8) & 63) | 128), 'hex')::uuid;
    INSERT INTO public.jobs (tier, id, tenant, job_type, queue, priority, state, run_at, max_attempts, payload, metadata,
                             subject, idempotency_key, ordering_key, expires_at, unchecked)
    VALUES (known.tier, new_id, tenant, type, known.queue, number, 'scheduled', coalesce(run_at, now()),
            known.max_attempts, payload::text, metadata::text, 'sql:' || session_user, key, ordering_key,
            greatest(run_at, now()) + known.expiry, true);
    -- In the caller's own transaction, so that it is told if and only if the caller commits.
    INSERT INTO public.outbox (tenants, job_ids, job_types, events)
    SELECT ARRAY[tenant], ARRAY[new_id], ARRAY[type], ARRAY['job.scheduled']
    FROM public.event_log AS log WHERE log.until > now();
    RETURN new_id;
END $$;
