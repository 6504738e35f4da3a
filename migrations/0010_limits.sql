-- Limits of concurrency over the whole cluster, and lines of jobs that run one after another. A job that has to wait is
-- `blocked` and has no place in the queue, so it costs a claim nothing.

ALTER TABLE jobs
    ADD COLUMN ordering_key text    CHECK (length(ordering_key) BETWEEN 1 AND 255),
    ADD COLUMN limited      boolean NOT NULL DEFAULT false,
    ADD COLUMN waits        text    CHECK (waits IN ('turn', 'slot')),
    ADD CONSTRAINT jobs_waits_blocked CHECK (waits IS NULL OR state = 'blocked');
COMMENT ON COLUMN jobs.ordering_key IS 'Jobs of one queue, tenant and ordering key run one after another, in order of submit.';
COMMENT ON COLUMN jobs.limited IS 'A limit counts it: from ready to its end, or until it is put off.';
COMMENT ON COLUMN jobs.waits IS 'What a blocked job waits for: its turn behind others of its key, or a slot of a limit; NULL: a release.';
ALTER TABLE jobs_archive ADD COLUMN ordering_key text;

-- Those that wait for a turn or a slot are many and not due: the timer must not walk over them.
DROP INDEX jobs_waiting;
CREATE INDEX jobs_waiting ON jobs (run_at) WHERE ord IS NULL AND waits IS NULL;
-- None of them is touched by a claim, which stays HOT.
CREATE INDEX jobs_line ON jobs (queue, tenant, ordering_key, id) WHERE ordering_key IS NOT NULL;
CREATE INDEX jobs_slot_wanted ON jobs (priority DESC, id) WHERE waits = 'slot';
CREATE INDEX jobs_slot_queue ON jobs (queue) WHERE limited AND ord IS NOT NULL;
CREATE INDEX jobs_slot_type ON jobs (job_type) WHERE limited AND ord IS NOT NULL;

CREATE TABLE limits (
    scope      text        PRIMARY KEY CHECK (scope ~ '^(queue|type)/.'),
    max        integer     NOT NULL CHECK (max >= 0),
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by text        NOT NULL
);
COMMENT ON TABLE limits IS 'queue/NAME or type/NAME: how many of its jobs are ready or running at once, on all nodes together.';

-- Gives the turn in each of these lines to the next one, if nobody has it. A job has the turn until it has left `jobs`:
-- also while it waits for a retry, or for a person.
CREATE FUNCTION usher_next_turns(queues text[], tenants text[], keys text[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    line record;
    next record;
BEGIN
    -- One order of locks for all.
    FOR line IN SELECT DISTINCT u.q, u.t, u.k FROM unnest(queues, tenants, keys) AS u (q, t, k) ORDER BY 1, 2, 3 LOOP
        PERFORM pg_advisory_xact_lock(hashtextextended(line.q || '/' || line.t || '/' || line.k, 0));
        CONTINUE WHEN EXISTS (SELECT FROM jobs j WHERE j.queue = line.q AND j.tenant = line.t AND j.ordering_key = line.k
                                                   AND j.waits IS DISTINCT FROM 'turn');
        SELECT j.tier, j.id, j.limited INTO next FROM jobs j
        WHERE j.queue = line.q AND j.tenant = line.t AND j.ordering_key = line.k ORDER BY j.id LIMIT 1 FOR UPDATE SKIP LOCKED;
        -- Whoever has locked it ends it, and calls again.
        CONTINUE WHEN NOT FOUND;
        -- Without a limit it passes `usher_take_slots` at once.
        UPDATE jobs j SET waits = 'slot' WHERE j.tier = next.tier AND j.id = next.id;
    END LOOP;
END $$;

-- Makes those ready that wait for a slot and for which there is one in each of their limits; the highest priority first,
-- then in order of submit. At most 1,000 in one call.
CREATE FUNCTION usher_take_slots() RETURNS TABLE (queue text, priority smallint, lane smallint, ord bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    rule      record;
    candidate record;
    room      jsonb := '{}';
    full_q    text[] := '{}';
    full_t    text[] := '{}';
    left_     integer;
    q_scope   text;
    t_scope   text;
    place     bigint;
BEGIN
    -- Under a lock, so that two settles do not both give away the last slot.
    FOR rule IN SELECT l.scope, l.max FROM limits l ORDER BY l.scope FOR UPDATE LOOP
        IF starts_with(rule.scope, 'queue/') THEN
            SELECT rule.max - count(*) INTO left_ FROM jobs j
            WHERE j.limited AND j.ord IS NOT NULL AND j.queue = substr(rule.scope, 7);
            IF left_ <= 0 THEN full_q := full_q || substr(rule.scope, 7); END IF;
        ELSE
            SELECT rule.max - count(*) INTO left_ FROM jobs j
            WHERE j.limited AND j.ord IS NOT NULL AND j.job_type = substr(rule.scope, 6);
            IF left_ <= 0 THEN full_t := full_t || substr(rule.scope, 6); END IF;
        END IF;
        room := room || jsonb_build_object(rule.scope, left_);
    END LOOP;
    FOR candidate IN
        SELECT j.tier, j.id, j.queue, j.job_type, j.priority, j.lane FROM jobs j
        WHERE j.waits = 'slot' AND j.queue <> ALL (full_q) AND j.job_type <> ALL (full_t)
        ORDER BY j.priority DESC, j.id LIMIT 1000 FOR UPDATE SKIP LOCKED
    LOOP
        q_scope := 'queue/' || candidate.queue;
        t_scope := 'type/' || candidate.job_type;
        CONTINUE WHEN (room ->> q_scope)::int <= 0 OR (room ->> t_scope)::int <= 0;
        IF room ? q_scope THEN room := jsonb_set(room, ARRAY[q_scope], to_jsonb((room ->> q_scope)::int - 1)); END IF;
        IF room ? t_scope THEN room := jsonb_set(room, ARRAY[t_scope], to_jsonb((room ->> t_scope)::int - 1)); END IF;
        place := nextval('ready_seq');
        UPDATE jobs j SET state = 'ready', waits = NULL, ord = place, run_at = now(), limited = room ?| ARRAY[q_scope, t_scope]
        WHERE j.tier = candidate.tier AND j.id = candidate.id AND j.waits = 'slot';
        IF FOUND THEN
            queue := candidate.queue;
            priority := candidate.priority;
            lane := candidate.lane;
            ord := place;
            RETURN NEXT;
        END IF;
    END LOOP;
END $$;
