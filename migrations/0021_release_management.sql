-- Releases as people manage them: activations that wait until the live nodes are ready, rollback, quarantine, retirement,
-- deletion, and what the compiler rejected.

ALTER TABLE releases
    ADD COLUMN signed_by      text,
    ADD COLUMN quarantined_at timestamptz,
    ADD COLUMN quarantine     jsonb,
    ADD COLUMN deleted_at     timestamptz,
    ADD COLUMN deleted_by     text,
    ADD CONSTRAINT releases_deleted_has_no_bytes CHECK (deleted_at IS NULL OR length(wasm) = 0);
COMMENT ON COLUMN releases.signed_by IS 'The trusted key whose signature came along, base64; NULL: none was asked for.';
COMMENT ON COLUMN releases.quarantined_at IS 'Most of its last jobs trapped: no node runs it until somebody activates it again.';
COMMENT ON COLUMN releases.quarantine IS 'What was counted then.';
COMMENT ON COLUMN releases.deleted_at IS 'The bytes are gone; the row stays, so that its version never means other bytes and its history can be read.';
CREATE INDEX releases_quarantined ON releases (digest) WHERE quarantined_at IS NOT NULL;

-- Rows are never changed but for what becomes of them: they take effect, or are withdrawn. The newest one in effect
-- serves; the newest of all waits for the nodes if it is not in effect.
ALTER TABLE activations ALTER COLUMN digest DROP NOT NULL;
ALTER TABLE activations
    ADD COLUMN reason       text        NOT NULL DEFAULT 'publish'
        CHECK (reason IN ('publish', 'activate', 'rollback', 'quarantine', 'retire')),
    ADD COLUMN effective_at timestamptz DEFAULT now(),
    ADD COLUMN withdrawn_at timestamptz,
    ADD COLUMN withdrawn    text,
    ADD CONSTRAINT activations_nothing_serves CHECK (digest IS NOT NULL OR reason IN ('quarantine', 'retire')),
    ADD CONSTRAINT activations_one_end CHECK (effective_at IS NULL OR withdrawn_at IS NULL);
UPDATE activations SET effective_at = activated_at;
COMMENT ON COLUMN activations.digest IS 'NULL: nothing serves from then on.';
COMMENT ON COLUMN activations.effective_at IS 'Since when it counts: the live nodes had the code ready, or were given time enough. NULL: it waits, or was withdrawn.';
COMMENT ON COLUMN activations.withdrawn IS 'Why it never took effect.';
-- Which releases an activation names, for deletion.
CREATE INDEX activations_digest ON activations (digest);

-- What a compiler said no to, so that nobody asks it again.
CREATE TABLE rejections (
    digest      bytea       PRIMARY KEY CHECK (length(digest) = 32),
    compiler    text        NOT NULL,
    reason      text        NOT NULL,
    detail      text        NOT NULL,
    node        uuid        NOT NULL,
    rejected_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN rejections.compiler IS 'The host''s version and its limits of compiling: another compiler may be asked again.';

ALTER TABLE nodes
    ADD COLUMN ready    bytea[] NOT NULL DEFAULT '{}',
    ADD COLUMN unready  jsonb   NOT NULL DEFAULT '{}',
    ADD COLUMN outcomes jsonb   NOT NULL DEFAULT '{}',
    ADD COLUMN leaving  boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN nodes.ready IS 'Digests that this node could run at once, as of its last report.';
COMMENT ON COLUMN nodes.unready IS 'Digests that it should run and cannot, each with the reason.';
COMMENT ON COLUMN nodes.outcomes IS 'Of releases some of whose last jobs trapped here: [generation, trapped, counted], by digest.';
COMMENT ON COLUMN nodes.leaving IS 'It is shutting down and claims nothing: no activation waits for it.';

-- Plugins that are being retired. A row goes when the last job of their types is gone; then the types are free.
CREATE TABLE retirements (
    plugin   text        PRIMARY KEY,
    mode     text        NOT NULL CHECK (mode IN ('drain', 'cancel')),
    asked_at timestamptz NOT NULL DEFAULT now(),
    asked_by text        NOT NULL
);
ALTER TABLE job_types ADD COLUMN retiring boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN job_types.retiring IS 'Its plugin is being retired: no submits any more.';

-- What a release killed is started again by the hosts themselves once it is in quarantine.
ALTER TABLE redrives ADD COLUMN as_it_was boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN redrives.as_it_was IS 'Journals are not reopened: no person decided that a refusal is asked about anew.';

-- One row: counts up with each change of what should run, so that a node sees with its heartbeat that it must look.
CREATE TABLE release_news (
    is_one  boolean PRIMARY KEY DEFAULT true CHECK (is_one),
    version bigint  NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
INSERT INTO release_news DEFAULT VALUES;

CREATE FUNCTION usher_release_news() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE release_news SET version = version + 1;
    PERFORM pg_notify('usher_activation', '');
    RETURN NULL;
END $$;
-- For each row: a statement that changes none is no news.
CREATE TRIGGER activations_news AFTER INSERT OR UPDATE ON activations FOR EACH ROW EXECUTE FUNCTION usher_release_news();
CREATE TRIGGER retirements_news AFTER INSERT OR UPDATE OR DELETE ON retirements FOR EACH ROW EXECUTE FUNCTION usher_release_news();
CREATE TRIGGER releases_news AFTER UPDATE OF quarantined_at ON releases FOR EACH ROW
    WHEN (OLD.quarantined_at IS DISTINCT FROM NEW.quarantined_at) EXECUTE FUNCTION usher_release_news();

-- Activations take effect that all live nodes are ready for, or that have waited long enough and one node is ready for.
-- Coming back from a bad release waits less: five seconds instead of a minute.
CREATE FUNCTION usher_take_effect(patience double precision) RETURNS bigint
LANGUAGE sql SET search_path = public, pg_temp AS $$
    WITH due AS MATERIALIZED (
        SELECT a.generation, a.plugin FROM activations a
        WHERE a.effective_at IS NULL AND a.withdrawn_at IS NULL
          AND a.generation = (SELECT max(n.generation) FROM activations n WHERE n.plugin = a.plugin)
          AND (NOT EXISTS (SELECT FROM nodes n WHERE NOT n.leaving AND NOT a.digest = ANY (n.ready))
               OR EXISTS (SELECT FROM nodes n WHERE NOT n.leaving AND a.digest = ANY (n.ready))
              AND a.activated_at < now() - make_interval(secs => patience / CASE WHEN a.reason IN ('rollback', 'quarantine') THEN 12 ELSE 1 END))
    ), mine AS MATERIALIZED (
        -- Who changes what serves a plugin holds this lock, and decides by what it found: a rollback that calls one off
        -- must not see it take effect meanwhile. It is looked at again in a moment.
        SELECT d.generation FROM due d WHERE pg_try_advisory_xact_lock(hashtext('usher_plugin:' || d.plugin))
    ), done AS (
        UPDATE activations a SET effective_at = now() FROM mine d
        WHERE a.generation = d.generation AND a.effective_at IS NULL AND a.withdrawn_at IS NULL
        RETURNING a.generation
    )
    SELECT count(*) FROM done
$$;

-- As before, but for types that are being retired.
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
    SELECT t.* INTO known FROM public.job_types t WHERE t.job_type = type AND t.queue IS NOT NULL;
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
    RETURN new_id;
END $$;
