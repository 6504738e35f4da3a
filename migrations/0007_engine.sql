-- The engine: fair lanes, cancel, pause, redrive, alerts, the outbox, and the claim's cursors.

ALTER TABLE jobs
    ADD COLUMN cancel_requested boolean NOT NULL DEFAULT false,
    ADD COLUMN unchecked        boolean NOT NULL DEFAULT false,
    ADD COLUMN runs             integer NOT NULL DEFAULT 0,
    ADD COLUMN key_hashes       bytea   CHECK (length(key_hashes) % 32 = 0),
    ADD COLUMN redrives         integer NOT NULL DEFAULT 0 CHECK (redrives >= 0),
    ADD COLUMN generation       integer NOT NULL DEFAULT 0 CHECK (generation >= 0),
    ADD COLUMN pinned           bytea   CHECK (length(pinned) = 32);
COMMENT ON COLUMN jobs.lane IS 'Fairness lane within a priority: 0 for tenants with few live jobs, 1 to 16 for the others, 99 runs alone.';
COMMENT ON COLUMN jobs.cancel_requested IS 'Somebody wants it cancelled: no new effect; it ends as soon as the open one is journaled.';
COMMENT ON COLUMN jobs.unchecked IS 'Came in by SQL: schema and key are checked by a host before its first claim.';
-- Who was there before may have been run.
UPDATE jobs SET runs = 1;
COMMENT ON COLUMN jobs.runs IS 'Claims of this job, never given back: only the first one may take it that there is no journal.';
COMMENT ON COLUMN jobs.key_hashes IS 'The keys it holds, as in idempotency_keys, one after another, 32 bytes each.';
COMMENT ON COLUMN jobs.redrives IS 'Times a person (or a bulk redrive) started it again after its end.';
COMMENT ON COLUMN jobs.generation IS 'Part of the identity of its next effects; counted up when a redrive reopens the journal at a refusal.';
COMMENT ON COLUMN jobs.pinned IS 'The release that a redrive chose; NULL: the usual rules.';

ALTER TABLE jobs_archive
    ADD COLUMN key_hashes bytea,
    ADD COLUMN redrives   integer NOT NULL DEFAULT 0,
    ADD COLUMN generation integer NOT NULL DEFAULT 0;

-- Half of each page for the second version of a row: measured on rows of 300 bytes, 40 % of the claims were HOT with
-- 70, and a claim that is not costs an entry in each index.
ALTER TABLE jobs_t1 SET (fillfactor = 45);
ALTER TABLE jobs_t2 SET (fillfactor = 45);
ALTER TABLE jobs_t3 SET (fillfactor = 45);

-- None of these columns is in the claim's way: a claim changes neither ord nor run_at, so it stays HOT.
-- What came in by SQL and was not looked at yet.
CREATE INDEX jobs_unchecked ON jobs (id) WHERE unchecked;

-- What operators decide about a queue at run time. A queue without a row is not paused.
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
    seq       bigint      GENERATED ALWAYS AS IDENTITY,
    at        timestamptz NOT NULL DEFAULT now(),
    tenants   text[]      NOT NULL,
    job_ids   uuid[]      NOT NULL,
    job_types text[]      NOT NULL,
    events    text[]      NOT NULL,
    PRIMARY KEY (seq, at)
) PARTITION BY RANGE (at);
-- Compressing ids costs more than it saves.
ALTER TABLE outbox ALTER COLUMN tenants SET STORAGE EXTERNAL, ALTER COLUMN job_ids SET STORAGE EXTERNAL,
                   ALTER COLUMN job_types SET STORAGE EXTERNAL, ALTER COLUMN events SET STORAGE EXTERNAL;
COMMENT ON TABLE outbox IS 'One row a settled batch, in order of seq, kept for a week by day partitions; the arrays run side by side.';
COMMENT ON COLUMN outbox.events IS 'job.completed, job.dead or job.cancelled.';

-- As before, and the outbox with it.
CREATE OR REPLACE FUNCTION usher_make_archive_days(first date, days integer) RETURNS integer
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
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
                EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)',
                               part, parent);
                EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, part,
                               day::text || ' 00:00+00', (day + 1)::text || ' 00:00+00');
                made := made + 1;
            END IF;
        END LOOP;
    END LOOP;
    RETURN made;
END $$;

-- What a person should know. One open row for each (kind, subject), however often it is raised.
CREATE TABLE alerts (
    id          uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    kind        text        NOT NULL,
    subject     text        NOT NULL,
    tenant      text,
    severity    text        NOT NULL CHECK (severity IN ('warning', 'critical')),
    message     text        NOT NULL,
    detail      jsonb       NOT NULL DEFAULT '{}',
    state       text        NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'acknowledged', 'resolved')),
    count       bigint      NOT NULL DEFAULT 1,
    first_at    timestamptz NOT NULL DEFAULT now(),
    last_at     timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX alerts_open ON alerts (kind, subject) WHERE state <> 'resolved';
CREATE INDEX alerts_last ON alerts (last_at DESC);
COMMENT ON COLUMN alerts.subject IS 'What it is about, e.g. a queue, a type or a job: repeats of the same are counted, not listed.';
COMMENT ON COLUMN alerts.tenant IS 'Whose it is; NULL: of the host as a whole, for admins.';
COMMENT ON COLUMN alerts.detail IS 'Of the last time it was raised.';

-- Bulk redrives under way and done: a filter, a rate, and how far they came.
CREATE TABLE redrives (
    id          uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    filter      jsonb       NOT NULL,
    rate        integer     NOT NULL CHECK (rate BETWEEN 1 AND 10000),
    state       text        NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done', 'stopped')),
    cursor      uuid        NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    redriven    bigint      NOT NULL DEFAULT 0,
    refused     bigint      NOT NULL DEFAULT 0,
    created_at  timestamptz NOT NULL DEFAULT now(),
    created_by  text        NOT NULL,
    ended_at    timestamptz
);
COMMENT ON COLUMN redrives.filter IS 'type, queue, tenant, reason, finishedAfter, finishedBefore.';
COMMENT ON COLUMN redrives.rate IS 'Jobs a second, at most.';
COMMENT ON COLUMN redrives.cursor IS 'The last job that was looked at; jobs go by id.';

-- Redrives go over the dead by id; the completed, which are many, are not in it.
CREATE INDEX jobs_archive_dead ON jobs_archive (id) WHERE state = 'dead';
