-- How many jobs of a queue are in each state, for people: sampled, never scanned for.

ALTER TABLE nodes ADD COLUMN running jsonb NOT NULL DEFAULT '{}';
COMMENT ON COLUMN nodes.running IS 'Jobs in flight on this node by queue, as of its last beat.';

CREATE TABLE queue_counts (
    queue      text        NOT NULL,
    state      text        NOT NULL CHECK (state IN ('scheduled', 'blocked', 'ready', 'running', 'parked')),
    count      bigint      NOT NULL CHECK (count >= 0),
    estimated  boolean     NOT NULL,
    sampled_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (queue, state)
) WITH (fillfactor = 50);
COMMENT ON TABLE queue_counts IS 'Live jobs, looked at every minute by one node.';
COMMENT ON COLUMN queue_counts.estimated IS 'There were too many to count: this is what the planner believes.';

CREATE TABLE queue_finished (
    day    date   NOT NULL,
    queue  text   NOT NULL,
    state  text   NOT NULL CHECK (state IN ('completed', 'cancelled', 'dead')),
    count  bigint NOT NULL CHECK (count >= 0),
    PRIMARY KEY (day, queue, state)
) WITH (fillfactor = 50);
COMMENT ON TABLE queue_finished IS 'Jobs that ended on a UTC day. Hosts add theirs once a minute: what one counted since is lost with it.';

-- Ready and running jobs of a queue: counted as far as `most`, estimated by the planner beyond it.
CREATE FUNCTION usher_count_ready(of_queue text, most bigint, OUT count bigint, OUT estimated boolean)
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    plan json;
BEGIN
    SELECT count(*) INTO count FROM (SELECT FROM jobs j WHERE j.queue = of_queue AND j.ord IS NOT NULL LIMIT most) AS first;
    estimated := count >= most;
    IF estimated THEN
        EXECUTE format('EXPLAIN (FORMAT JSON) SELECT FROM jobs j WHERE j.queue = %L AND j.ord IS NOT NULL', of_queue) INTO plan;
        count := greatest(count, (plan -> 0 -> 'Plan' ->> 'Plan Rows')::numeric::bigint);
    END IF;
END $$;
