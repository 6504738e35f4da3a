-- Limits of each node, beside those of the cluster: `node` (all its jobs), `node/queue/NAME` and `node/type/NAME`.

ALTER TABLE limits DROP CONSTRAINT limits_scope_check;
ALTER TABLE limits ADD CONSTRAINT limits_scope_check CHECK (scope ~ '^((node/)?(queue|type)/.|node$)');
COMMENT ON TABLE limits IS 'queue/NAME, type/NAME: how many of its jobs are ready or running at once, on all nodes together. '
    'node, node/queue/NAME, node/type/NAME: how many run at once on each node.';

-- One entry point for each queue and type that waits: a full one is passed by, however many of its jobs wait.
DROP INDEX jobs_slot_wanted;
CREATE INDEX jobs_slot_wanted ON jobs (queue, job_type, priority DESC, id) WHERE waits = 'slot';

-- As before, but for two things: it steps over the jobs of full queues and types, and no more jobs of a type are let go
-- than all nodes together may run by `node/type/NAME`; which node has room, the nodes see to.
CREATE OR REPLACE FUNCTION usher_take_slots() RETURNS TABLE (queue text, priority smallint, lane smallint, ord bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    rule      record;
    candidate record;
    kind      text;
    room      jsonb := '{}';
    scopes    text[];
    scope_    text;
    full_q    text[] := '{}';
    full_t    text[] := '{}';
    left_     integer;
    place     bigint;
BEGIN
    -- Under a lock, so that two settles do not both give away the last slot.
    FOR rule IN
        SELECT l.scope, l.max, substr(l.scope, position('/' IN l.scope) + 1) AS rest FROM limits l
        WHERE l.scope ~ '^(queue|type|node/type)/' ORDER BY l.scope FOR UPDATE
    LOOP
        kind := CASE WHEN starts_with(rule.scope, 'node/type/') THEN 'node' ELSE split_part(rule.scope, '/', 1) END;
        CASE kind
            WHEN 'queue' THEN
                SELECT rule.max - count(*) INTO left_ FROM jobs j
                WHERE j.limited AND j.ord IS NOT NULL AND j.queue = rule.rest;
                IF left_ <= 0 THEN full_q := full_q || rule.rest; END IF;
            WHEN 'type' THEN
                SELECT rule.max - count(*) INTO left_ FROM jobs j
                WHERE j.limited AND j.ord IS NOT NULL AND j.job_type = rule.rest;
                IF left_ <= 0 THEN full_t := full_t || rule.rest; END IF;
            WHEN 'node' THEN
                SELECT rule.max * greatest((SELECT count(*) FROM nodes), 1) - count(*) INTO left_ FROM jobs j
                WHERE j.limited AND j.ord IS NOT NULL AND j.job_type = substr(rule.scope, 11);
                IF left_ <= 0 THEN full_t := full_t || substr(rule.scope, 11); END IF;
        END CASE;
        room := room || jsonb_build_object(rule.scope, left_);
    END LOOP;
    FOR candidate IN
        -- The queues and types that wait, by loose index scan, and the first of each that has room.
        WITH RECURSIVE pair AS (
            (SELECT j.queue, j.job_type FROM jobs j WHERE j.waits = 'slot' ORDER BY j.queue, j.job_type LIMIT 1)
            UNION ALL
            SELECT next.queue, next.job_type FROM pair p CROSS JOIN LATERAL (
                SELECT j.queue, j.job_type FROM jobs j
                WHERE j.waits = 'slot' AND (j.queue, j.job_type) > (p.queue, p.job_type)
                ORDER BY j.queue, j.job_type LIMIT 1
            ) AS next
        ), first AS (
            SELECT f.* FROM pair p CROSS JOIN LATERAL (
                SELECT j.tier, j.id, j.priority FROM jobs j
                WHERE j.waits = 'slot' AND j.queue = p.queue AND j.job_type = p.job_type
                ORDER BY j.priority DESC, j.id LIMIT 1000
            ) AS f
            WHERE p.queue <> ALL (full_q) AND p.job_type <> ALL (full_t)
            ORDER BY f.priority DESC, f.id LIMIT 1000
        )
        SELECT j.tier, j.id, j.queue, j.job_type, j.priority, j.lane FROM jobs j JOIN first f USING (tier, id)
        WHERE j.waits = 'slot' ORDER BY j.priority DESC, j.id FOR UPDATE OF j SKIP LOCKED
    LOOP
        scopes := ARRAY['queue/' || candidate.queue, 'type/' || candidate.job_type, 'node/type/' || candidate.job_type];
        CONTINUE WHEN EXISTS (SELECT FROM unnest(scopes) AS s WHERE (room ->> s)::int <= 0);
        FOREACH scope_ IN ARRAY scopes LOOP
            IF room ? scope_ THEN room := jsonb_set(room, ARRAY[scope_], to_jsonb((room ->> scope_)::int - 1)); END IF;
        END LOOP;
        place := nextval('ready_seq');
        UPDATE jobs j SET state = 'ready', waits = NULL, ord = place, run_at = now(), limited = room ?| scopes
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
