-- The engine: fair lanes, limits, cancel, pause, the outbox, and the claim's cursors.

ALTER TABLE jobs
    ADD COLUMN ordering_key     text    CHECK (length(ordering_key) BETWEEN 1 AND 255),
    ADD COLUMN limited          boolean NOT NULL DEFAULT false,
    ADD COLUMN cancel_requested boolean NOT NULL DEFAULT false,
    ADD COLUMN unchecked        boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN jobs.lane IS 'Fairness lane within a priority: 0 for tenants with few live jobs, 1 to 16 for the others, 99 runs alone.';
COMMENT ON COLUMN jobs.ordering_key IS 'Jobs of one tenant, queue and ordering key run one after another, in order of submit.';
COMMENT ON COLUMN jobs.limited IS 'A limit of concurrency counts this job: it becomes ready only when a slot is free.';
COMMENT ON COLUMN jobs.cancel_requested IS 'Somebody wants it cancelled: no new effect; it ends as soon as the open one is journaled.';
COMMENT ON COLUMN jobs.unchecked IS 'Came in by SQL: schema and key are checked by a host before its first claim.';

-- None of these columns is in the claim's way: a claim changes neither ord nor run_at, so it stays HOT.
-- Jobs that hold a slot, by scope: a limit counts them.
CREATE INDEX jobs_limited ON jobs (queue, job_type) WHERE limited AND ord IS NOT NULL;
-- Jobs that wait for a slot. A blocked job for want of a release has no limit, or it waits here too: harmless.
CREATE INDEX jobs_limited_waiting ON jobs (queue, job_type, priority DESC, id) WHERE limited AND ord IS NULL;
-- The line of one ordering key.
CREATE INDEX jobs_ordered ON jobs (queue, tenant, ordering_key, id) WHERE ordering_key IS NOT NULL;
-- What came in by SQL and was not looked at yet.
CREATE INDEX jobs_unchecked ON jobs (id) WHERE unchecked;

-- What operators decide about a queue at run time. A queue without a row is neither paused nor limited.
CREATE TABLE queues (
    name       text        PRIMARY KEY,
    paused     boolean     NOT NULL DEFAULT false,
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by text        NOT NULL DEFAULT ''
);
COMMENT ON COLUMN queues.paused IS 'Read by every claim itself, so that a pause binds all nodes with their next claim.';

-- Where the last claimer of a queue stood, so that a restart does not walk over the dead entries again.
CREATE TABLE claim_cursors (
    queue    text     NOT NULL,
    priority smallint NOT NULL,
    lane     smallint NOT NULL,
    ord      bigint   NOT NULL,
    PRIMARY KEY (queue, priority, lane)
) WITH (fillfactor = 50);
COMMENT ON COLUMN claim_cursors.ord IS 'Nothing ready was left below this when it was written; a scan from the front every minute checks it.';

-- What happened to jobs, for those who want to know; written by the statement that made it happen.
CREATE TABLE outbox (
    seq      bigint      GENERATED ALWAYS AS IDENTITY,
    at       timestamptz NOT NULL DEFAULT now(),
    tenant   text        NOT NULL,
    job_id   uuid        NOT NULL,
    job_type text        NOT NULL,
    event    text        NOT NULL,
    PRIMARY KEY (seq, at)
) PARTITION BY RANGE (at);
COMMENT ON TABLE outbox IS 'Events in order of seq, kept for a week by day partitions.';
COMMENT ON COLUMN outbox.event IS 'job.completed, job.dead or job.cancelled.';

-- As before, and the outbox with it.
CREATE OR REPLACE FUNCTION usher_make_archive_days(first date, days integer) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    day    date;
    part   text;
    made   integer := 0;
BEGIN
    FOREACH parent IN ARRAY ARRAY['jobs_archive_d7', 'jobs_archive_d30', 'jobs_archive_hold', 'outbox'] LOOP
        FOR day IN SELECT first + n FROM generate_series(0, days - 1) AS n LOOP
            part := format('%s_%s', parent, to_char(day, 'YYYYMMDD'));
            IF to_regclass(part) IS NULL THEN
                -- Days are UTC days whatever the server's time zone. Made apart and attached: a plain
                -- PARTITION OF would take the lock on the parent that stands behind every reader.
                EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part, parent);
                EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, part,
                               day::text || ' 00:00+00', (day + 1)::text || ' 00:00+00');
                made := made + 1;
            END IF;
        END LOOP;
    END LOOP;
    RETURN made;
END $$;
