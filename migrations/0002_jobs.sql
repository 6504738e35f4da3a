-- The hot table: live jobs only (and dead ones that wait for a person because an effect is in doubt).
--
-- Shape and indexes follow docs/design.md section 4: a claim touches no indexed column, so claims are HOT
-- updates; `lease` is the only fence token; `attempt` is only a budget.

-- Position in the queue, drawn at every transition to `ready`.
CREATE SEQUENCE ready_seq AS bigint CACHE 1;

CREATE TABLE jobs (
    tier             smallint    NOT NULL CHECK (tier IN (1, 2, 3)),
    id               uuid        NOT NULL,
    tenant           text        NOT NULL CHECK (length(tenant) BETWEEN 1 AND 128),
    job_type         text        NOT NULL,
    queue            text        NOT NULL,
    priority         smallint    NOT NULL CHECK (priority IN (1, 3, 5, 7, 10)),
    lane             smallint    NOT NULL DEFAULT 0,
    ord              bigint,
    run_at           timestamptz NOT NULL DEFAULT now(),
    state            text        NOT NULL CHECK (state IN ('scheduled', 'blocked', 'ready', 'running', 'dead')),
    reason           text,
    attempt          integer     NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    max_attempts     integer     NOT NULL CHECK (max_attempts >= 1),
    snoozes          integer     NOT NULL DEFAULT 0 CHECK (snoozes >= 0),
    reaps            integer     NOT NULL DEFAULT 0 CHECK (reaps >= 0),
    lease            uuid,
    node             uuid,
    claimed_at       timestamptz,
    payload          text        NOT NULL,
    metadata         text,
    subject          text        NOT NULL,
    parent           uuid,
    accepted_by      bytea       CHECK (length(accepted_by) = 32),
    release          bytea       CHECK (length(release) = 32),
    idempotency_key  text,
    key_ttl_ms       bigint,
    errors           jsonb       NOT NULL DEFAULT '[]',
    created_at       timestamptz NOT NULL DEFAULT now(),
    expires_at       timestamptz NOT NULL,
    PRIMARY KEY (tier, id),
    -- Impossible rows are forbidden, so that no reader has to wonder about them.
    CONSTRAINT jobs_running_has_lease CHECK ((state = 'running') = (lease IS NOT NULL)),
    CONSTRAINT jobs_running_has_node  CHECK ((state = 'running') = (node IS NOT NULL)),
    CONSTRAINT jobs_ord_means_ready   CHECK ((ord IS NOT NULL) = (state IN ('ready', 'running'))),
    CONSTRAINT jobs_dead_has_reason   CHECK ((state = 'dead') = (reason IS NOT NULL)),
    CONSTRAINT jobs_dead_is_in_doubt  CHECK (state <> 'dead' OR reason = 'unknown-outcome')
) PARTITION BY LIST (tier);

COMMENT ON COLUMN jobs.tier IS 'Storage class: 1 money, 2 communication, 3 background.';
COMMENT ON COLUMN jobs.id IS 'uuid v7; a child has a uuid v8 of its parent''s time and a hash of (parent, n).';
COMMENT ON COLUMN jobs.tenant IS 'Whose job it is; every read over HTTP is filtered by it.';
COMMENT ON COLUMN jobs.job_type IS 'One owner plugin per type.';
COMMENT ON COLUMN jobs.queue IS 'Name of a configured queue; the queue decides the tier.';
COMMENT ON COLUMN jobs.priority IS 'critical 10, high 7, normal 5, low 3, background 1.';
COMMENT ON COLUMN jobs.lane IS 'Fairness lane within a priority; 0 until tenants are told apart.';
COMMENT ON COLUMN jobs.ord IS 'Position, from ready_seq at every transition to ready; NULL while not claimable.';
COMMENT ON COLUMN jobs.run_at IS 'Not before this, by the clock of Postgres; infinity while blocked or dead.';
COMMENT ON COLUMN jobs.reason IS 'Why a dead job is dead.';
COMMENT ON COLUMN jobs.attempt IS 'Attempts begun; a budget, never a fence.';
COMMENT ON COLUMN jobs.max_attempts IS 'Retries + 1.';
COMMENT ON COLUMN jobs.snoozes IS 'Postponements in a row that burned no attempt; drives their growing delay.';
COMMENT ON COLUMN jobs.reaps IS 'Times a dead node was found holding this job.';
COMMENT ON COLUMN jobs.lease IS 'Random per claim batch; the only fence token. Cleared by every settle and reap.';
COMMENT ON COLUMN jobs.node IS 'The node that holds the lease.';
COMMENT ON COLUMN jobs.claimed_at IS 'Start of the attempt under way, for people.';
COMMENT ON COLUMN jobs.payload IS 'The submitted bytes, verbatim.';
COMMENT ON COLUMN jobs.metadata IS 'JSON text of the submitter; never shown to the guest.';
COMMENT ON COLUMN jobs.subject IS 'Who submitted it: the caller''s user or service.';
COMMENT ON COLUMN jobs.parent IS 'The job that enqueued this one.';
COMMENT ON COLUMN jobs.accepted_by IS 'Digest of the release whose schema accepted the payload; NULL if none served then.';
COMMENT ON COLUMN jobs.release IS 'Digest of the release that began the last attempt; pinned once an effect is journaled.';
COMMENT ON COLUMN jobs.idempotency_key IS 'The key in words, for people; the hash is in idempotency_keys.';
COMMENT ON COLUMN jobs.key_ttl_ms IS 'How long the key holds after the job''s end.';
COMMENT ON COLUMN jobs.errors IS 'One object per failed or postponed attempt, oldest first.';
COMMENT ON COLUMN jobs.expires_at IS 'After this a job with an empty journal is not started any more.';

-- Room on the page for the HOT updates of claims; a queue table dies fast, so it is vacuumed early.
CREATE TABLE jobs_t1 PARTITION OF jobs FOR VALUES IN (1)
    WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
CREATE TABLE jobs_t2 PARTITION OF jobs FOR VALUES IN (2)
    WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
CREATE UNLOGGED TABLE jobs_t3 PARTITION OF jobs FOR VALUES IN (3)
    WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);

-- The claim. Also over running jobs (ord stays), so that taking a lease moves no index entry.
CREATE INDEX jobs_ready ON jobs (queue, priority DESC, lane, ord) WHERE ord IS NOT NULL;
-- Promotion of due jobs, and the sweep of expired ones among them.
CREATE INDEX jobs_waiting ON jobs (run_at) WHERE ord IS NULL;
-- GET /jobs of a tenant, newest first; id is a uuid v7. Written once per job, not by claims.
CREATE INDEX jobs_tenant ON jobs (tenant, id DESC);

-- Finished jobs, with result, errors and journal in one row: the stored result of an idempotency key.
-- `keep` names the retention class; the day of finishing makes dropping history a DROP.
CREATE TABLE jobs_archive (
    keep             text        NOT NULL CHECK (keep IN ('d7', 'd30', 'hold')),
    finished_at      timestamptz NOT NULL DEFAULT now(),
    tier             smallint    NOT NULL,
    id               uuid        NOT NULL,
    tenant           text        NOT NULL,
    job_type         text        NOT NULL,
    queue            text        NOT NULL,
    priority         smallint    NOT NULL,
    state            text        NOT NULL CHECK (state IN ('completed', 'cancelled', 'dead')),
    reason           text        CHECK (reason IN ('retries-exhausted', 'permanent', 'expired', 'trapped',
                                                   'nondeterministic', 'unknown-outcome', 'invalid')),
    attempt          integer     NOT NULL,
    max_attempts     integer     NOT NULL,
    payload          text        NOT NULL,
    metadata         text,
    subject          text        NOT NULL,
    parent           uuid,
    accepted_by      bytea,
    release          bytea,
    idempotency_key  text,
    key_ttl_ms       bigint,
    result           text,
    errors           jsonb       NOT NULL DEFAULT '[]',
    journal          jsonb,
    cpu_us           bigint      NOT NULL DEFAULT 0,
    created_at       timestamptz NOT NULL,
    run_at           timestamptz NOT NULL,
    expires_at       timestamptz NOT NULL,
    CONSTRAINT archive_dead_has_reason CHECK ((state = 'dead') = (reason IS NOT NULL))
) PARTITION BY LIST (keep);
COMMENT ON COLUMN jobs_archive.keep IS 'Retention class: d7, d30, or hold (kept until a person says otherwise).';
COMMENT ON COLUMN jobs_archive.result IS 'The guest''s answer, JSON text, verbatim.';
COMMENT ON COLUMN jobs_archive.journal IS 'The job''s effects in order; NULL where there were none.';
COMMENT ON COLUMN jobs_archive.cpu_us IS 'CPU time of the last attempt inside the guest, in microseconds.';

CREATE TABLE jobs_archive_d7   PARTITION OF jobs_archive FOR VALUES IN ('d7')   PARTITION BY RANGE (finished_at);
CREATE TABLE jobs_archive_d30  PARTITION OF jobs_archive FOR VALUES IN ('d30')  PARTITION BY RANGE (finished_at);
CREATE TABLE jobs_archive_hold PARTITION OF jobs_archive FOR VALUES IN ('hold') PARTITION BY RANGE (finished_at);
-- GET /jobs/{id} and the replay of a stored result.
CREATE INDEX jobs_archive_id ON jobs_archive (id);
-- GET /jobs of a tenant.
CREATE INDEX jobs_archive_tenant ON jobs_archive (tenant, id DESC);

-- Makes the day partitions of [first, first + days) in every retention class. Idempotent.
-- There is no DEFAULT partition on purpose: it would forbid detaching one without a lock on all.
CREATE FUNCTION usher_make_archive_days(first date, days integer) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    class text;
    day   date;
    part  text;
    made  integer := 0;
BEGIN
    FOREACH class IN ARRAY ARRAY['d7', 'd30', 'hold'] LOOP
        FOR day IN SELECT first + n FROM generate_series(0, days - 1) AS n LOOP
            part := format('jobs_archive_%s_%s', class, to_char(day, 'YYYYMMDD'));
            IF to_regclass(part) IS NULL THEN
                -- Days are UTC days whatever the server's time zone.
                EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', part,
                               'jobs_archive_' || class, day::text || ' 00:00+00', (day + 1)::text || ' 00:00+00');
                made := made + 1;
            END IF;
        END LOOP;
    END LOOP;
    RETURN made;
END $$;
