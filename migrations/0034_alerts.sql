-- Alerts by rule: what is looked at, what became of an alert, and whom it was told.

ALTER TABLE alerts DROP CONSTRAINT alerts_state_check, DROP CONSTRAINT alerts_severity_check;
UPDATE alerts SET state = 'firing' WHERE state = 'open';
ALTER TABLE alerts ALTER COLUMN state SET DEFAULT 'firing';
ALTER TABLE alerts
    ADD CONSTRAINT alerts_state_check CHECK (state IN ('firing', 'acknowledged', 'resolved')),
    ADD CONSTRAINT alerts_severity_check CHECK (severity IN ('info', 'warning', 'critical')),
    ADD COLUMN rule           text,
    ADD COLUMN value          double precision,
    ADD COLUMN clear_since    timestamptz,
    ADD COLUMN silenced_until timestamptz,
    ADD COLUMN tell_at        timestamptz,
    ADD COLUMN told           integer     NOT NULL DEFAULT 0 CHECK (told >= 0),
    ADD COLUMN changed_at     timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN changed_by     text        NOT NULL DEFAULT 'usher';
-- What fired before there was anybody to tell is not told now.
ALTER TABLE alerts ALTER COLUMN tell_at SET DEFAULT now();
COMMENT ON COLUMN alerts.subject IS 'What it is about, e.g. a queue, a type or a job: repeats of the same are counted, not listed. '
    'Of a rule: its name, a slash, and the part of its scope.';
COMMENT ON COLUMN alerts.rule IS 'The rule that fired; NULL: raised where it happened.';
COMMENT ON COLUMN alerts.value IS 'What the rule measured last, in its unit.';
COMMENT ON COLUMN alerts.clear_since IS 'Since when what the rule is about is over; NULL: it is not.';
COMMENT ON COLUMN alerts.silenced_until IS 'Nobody is told before.';
COMMENT ON COLUMN alerts.tell_at IS 'When it is to be told, or told again; NULL: never.';
COMMENT ON COLUMN alerts.told IS 'How often it was told. Part of the identity of what tells it.';
COMMENT ON COLUMN alerts.changed_at IS 'Of its state, or of its silence.';
COMMENT ON COLUMN alerts.changed_by IS 'Who did that; usher: a host.';
-- Pages, newest first; an alert does not move in it.
CREATE INDEX alerts_first ON alerts (first_at DESC, id DESC);
-- The same of one tenant, which may have none among very many.
CREATE INDEX alerts_of_tenant ON alerts (tenant, first_at DESC, id DESC) WHERE tenant IS NOT NULL;
-- Those that somebody is to be told of.
CREATE INDEX alerts_owed ON alerts (tell_at) WHERE tell_at IS NOT NULL;
-- Whether the same was silenced before it was over, and came again.
CREATE INDEX alerts_silenced ON alerts (kind, subject) WHERE silenced_until IS NOT NULL;
-- For clearing up.
CREATE INDEX alerts_over ON alerts (changed_at) WHERE state = 'resolved';

-- What became of an alert, and by whom. By a trigger, so that whoever changes one, an older host too, leaves its line.
CREATE TABLE alert_transitions (
    alert uuid        NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
    n     bigint      GENERATED ALWAYS AS IDENTITY,
    at    timestamptz NOT NULL DEFAULT now(),
    state text        NOT NULL CHECK (state IN ('firing', 'acknowledged', 'resolved', 'silenced')),
    who   text        NOT NULL,
    until timestamptz,
    PRIMARY KEY (alert, n)
);
COMMENT ON COLUMN alert_transitions.until IS 'Of a silence; in the past: it was ended.';

CREATE FUNCTION usher_alert_changed() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO alert_transitions (alert, state, who) VALUES (NEW.id, NEW.state, NEW.changed_by);
    ELSE
        IF NEW.state <> OLD.state THEN
            INSERT INTO alert_transitions (alert, state, who) VALUES (NEW.id, NEW.state, NEW.changed_by);
        END IF;
        IF NEW.silenced_until IS DISTINCT FROM OLD.silenced_until THEN
            INSERT INTO alert_transitions (alert, state, who, until) VALUES (NEW.id, 'silenced', NEW.changed_by, NEW.silenced_until);
        END IF;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER alerts_changed AFTER INSERT OR UPDATE OF state, silenced_until ON alerts
    FOR EACH ROW EXECUTE FUNCTION usher_alert_changed();

-- What rules have seen and not yet told, or shall not tell. A row goes when it is over.
CREATE TABLE alert_conditions (
    subject text        PRIMARY KEY,
    since   timestamptz NOT NULL DEFAULT now(),
    muted   boolean     NOT NULL DEFAULT false
) WITH (fillfactor = 50);
COMMENT ON COLUMN alert_conditions.subject IS 'As in alerts, of a rule.';
COMMENT ON COLUMN alert_conditions.since IS 'A rule fires when it has lasted for its window, whichever node looks.';
COMMENT ON COLUMN alert_conditions.muted IS 'A person resolved its alert while it lasted: it is no news until it is over once.';

-- Nodes whose jobs others took. A node that ended by itself is none of them.
CREATE TABLE lost_nodes (
    id      uuid        NOT NULL,
    lost_at timestamptz NOT NULL DEFAULT now(),
    host    text        NOT NULL,
    version text        NOT NULL,
    PRIMARY KEY (id, lost_at)
);
CREATE INDEX lost_nodes_at ON lost_nodes (lost_at);

-- Rules look at those that ended dead lately; the completed, which are many, are not in it.
CREATE INDEX jobs_archive_died ON jobs_archive (finished_at) WHERE state = 'dead';

-- Takes or keeps the duty of alerts, and looks at what the rules of the node need (`wants`, by kind); NULL: another node
-- has the duty. One call, since an idle node makes it every few seconds. `counted` holds the rules that count what happened:
-- kind, rule, within (seconds), tier, queue, job_type, tenant. `own_tenant`: whose mails tell of alerts; what tells of alerts
-- makes none.
CREATE FUNCTION usher_look(of_node uuid, secs double precision, wants text[], counted jsonb, own_tenant text) RETURNS jsonb
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    seen     jsonb := '[]';
    finished jsonb := '[]';
    part     jsonb;
    bytes    bigint;
    -- Dead jobs and places in line that one look reads, at most.
    most     bigint := 20000;
BEGIN
    INSERT INTO duties AS d (name, holder, until) VALUES ('alerts', of_node, now() + make_interval(secs => usher_look.secs))
    ON CONFLICT (name) DO UPDATE
    SET fence = d.fence + CASE WHEN d.holder = of_node THEN 0 ELSE 1 END, holder = of_node, until = excluded.until
    WHERE d.holder = of_node OR d.until < now();
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    IF 'queue-depth' = ANY (wants) THEN
        SELECT jsonb_agg(jsonb_build_object('kind', 'queue-depth', 'name', c.queue, 'value', c.count)) INTO part
        FROM queue_counts c WHERE c.state = 'ready' AND c.count > 0 AND c.sampled_at > now() - interval '10 minutes';
        seen := seen || coalesce(part, '[]');
    END IF;

    IF 'oldest-ready' = ANY (wants) THEN
        -- Of queues with a backlog: the first of each place in them, from where the last claimer stood. In a paused one a
        -- claimer passes by what lies there.
        SELECT jsonb_agg(jsonb_build_object('kind', 'oldest-ready', 'name', o.queue, 'value', o.age)) INTO part
        FROM (
            SELECT q.queue, max(extract(epoch FROM now() - x.run_at)) AS age
            FROM (SELECT c.queue FROM queue_counts c WHERE c.state = 'ready' AND c.count > 0) AS q
            CROSS JOIN unnest(ARRAY[10, 7, 5, 3, 1]::smallint[]) AS p (priority)
            CROSS JOIN unnest(ARRAY[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 99]::smallint[]) AS l (lane)
            LEFT JOIN claim_cursors c ON c.queue = q.queue AND c.priority = p.priority AND c.lane = l.lane
                                     AND NOT EXISTS (SELECT FROM queues s WHERE s.name = q.queue AND s.paused)
            CROSS JOIN LATERAL (
                SELECT j.run_at FROM jobs j
                WHERE j.queue = q.queue AND j.priority = p.priority AND j.lane = l.lane AND j.ord > coalesce(c.ord, 0)
                  AND j.ord IS NOT NULL AND j.lease IS NULL
                ORDER BY j.ord LIMIT 1
            ) AS x
            GROUP BY q.queue
        ) AS o;
        seen := seen || coalesce(part, '[]');
    END IF;

    IF 'failure-rate' = ANY (wants) THEN
        SELECT jsonb_agg(jsonb_build_object('day', f.day, 'queue', f.queue, 'ended', f.ended, 'dead', f.dead)) INTO part
        FROM (SELECT q.day, q.queue, sum(q.count) AS ended, coalesce(sum(q.count) FILTER (WHERE q.state = 'dead'), 0) AS dead
              FROM queue_finished q WHERE q.day >= (now() AT TIME ZONE 'UTC')::date - 1 GROUP BY 1, 2) AS f;
        finished := coalesce(part, '[]');
    END IF;

    IF 'dead-jobs' = ANY (wants) THEN
        WITH r AS MATERIALIZED (
            SELECT * FROM jsonb_to_recordset(counted)
                AS r (kind text, rule text, within float8, tier smallint, queue text, job_type text, tenant text)
            WHERE r.kind = 'dead-jobs'
        ), d AS MATERIALIZED (
            SELECT a.finished_at, a.id, a.tier, a.queue, a.job_type, a.tenant FROM jobs_archive a
            WHERE a.state = 'dead' AND a.finished_at > now() - make_interval(secs => (SELECT max(r.within) FROM r))
              AND NOT (a.tenant = own_tenant AND a.job_type = 'send-email')
            ORDER BY a.finished_at DESC LIMIT most
        ), answered AS (
            -- What a person has dealt with is not counted again.
            SELECT l.rule, l.subject, max(l.changed_at) AS at FROM alerts l
            WHERE l.kind = 'dead-jobs' AND l.state = 'resolved' AND l.rule IS NOT NULL AND l.changed_by <> 'usher'
            GROUP BY 1, 2
        ), n AS (
            SELECT r.rule, d.job_type, count(*) AS count, (array_agg(d.id ORDER BY d.finished_at DESC))[1] AS last
            FROM r JOIN d ON d.finished_at > now() - make_interval(secs => r.within) AND d.tier = coalesce(r.tier, d.tier)
                         AND d.queue = coalesce(r.queue, d.queue) AND d.job_type = coalesce(r.job_type, d.job_type)
                         AND d.tenant = coalesce(r.tenant, d.tenant)
            LEFT JOIN answered w ON w.rule = r.rule
                                AND w.subject = r.rule || CASE WHEN r.tenant IS NULL THEN '' ELSE '/tenant/' || r.tenant END
                                                || '/type/' || d.job_type
            WHERE d.finished_at > coalesce(w.at, '-infinity')
            GROUP BY 1, 2
        )
        SELECT jsonb_agg(jsonb_build_object('kind', 'dead-jobs', 'rule', n.rule, 'name', n.job_type, 'value', n.count,
                                            'detail', jsonb_build_object('lastJob', n.last))) INTO part FROM n;
        seen := seen || coalesce(part, '[]');
    END IF;

    IF 'node-lost' = ANY (wants) THEN
        WITH r AS MATERIALIZED (
            SELECT * FROM jsonb_to_recordset(counted) AS r (kind text, rule text, within float8) WHERE r.kind = 'node-lost'
        ), n AS (
            SELECT r.rule, count(*) AS count,
                   jsonb_agg(jsonb_build_object('id', l.id, 'host', l.host, 'at', l.lost_at) ORDER BY l.lost_at DESC) AS nodes
            FROM r JOIN lost_nodes l ON l.lost_at > now() - make_interval(secs => r.within)
            WHERE l.lost_at > coalesce((SELECT max(w.changed_at) FROM alerts w
                                        WHERE w.kind = 'node-lost' AND w.rule = r.rule AND w.state = 'resolved'
                                          AND w.changed_by <> 'usher'), '-infinity')
            GROUP BY 1
        )
        SELECT jsonb_agg(jsonb_build_object('kind', 'node-lost', 'rule', n.rule, 'value', n.count,
                                            'detail', jsonb_build_object('nodes', n.nodes))) INTO part FROM n;
        seen := seen || coalesce(part, '[]');
    END IF;

    IF 'effect-in-doubt' = ANY (wants) THEN
        SELECT jsonb_agg(jsonb_build_object('kind', 'effect-in-doubt', 'name', e.provider, 'tenant', e.tenant, 'value', e.count)) INTO part
        FROM (
            SELECT x.provider, j.tenant, count(*) AS count
            FROM jobs j JOIN effects x ON x.job_id = j.id AND x.state IN ('started', 'doubt')
            WHERE j.ord IS NULL AND j.waits IS NULL AND j.run_at = 'infinity' AND j.state = 'dead'
            GROUP BY 1, 2
        ) AS e;
        seen := seen || coalesce(part, '[]');
    END IF;

    IF 'provider-limited' = ANY (wants) THEN
        SELECT jsonb_agg(jsonb_build_object('kind', 'provider-limited', 'name', b.provider, 'tenant', b.tenant, 'value', b.calls)) INTO part
        FROM (
            SELECT CASE WHEN n.bucket LIKE 'tenant/%' THEN split_part(n.bucket, '/', 4) ELSE split_part(n.bucket, '/', 2) END AS provider,
                   CASE WHEN n.bucket LIKE 'tenant/%'
                        THEN replace(replace(replace(split_part(n.bucket, '/', 2), '%2F', '/'), '%2A', '*'), '%25', '%') END AS tenant,
                   max(n.calls) AS calls
            FROM (
                -- Who is held stands for one call, also where nobody waits just now.
                SELECT u.bucket, greatest(sum(u.calls), 1) AS calls
                FROM (SELECT r.bucket, 0 AS calls FROM rate_buckets r WHERE r.held_until > now()
                      UNION ALL
                      (SELECT s.bucket, 1 FROM rate_slots s WHERE s.until > now() LIMIT most)) AS u
                GROUP BY 1
            ) AS n
            GROUP BY 1, 2
        ) AS b;
        seen := seen || coalesce(part, '[]');
    END IF;

    IF 'provider-paused' = ANY (wants) THEN
        SELECT jsonb_agg(jsonb_build_object('kind', 'provider-paused', 'name', p.provider, 'tenant', nullif(p.tenant, ''),
                                            'value', extract(epoch FROM now() - p.paused_at),
                                            'detail', jsonb_build_object('by', p.paused_by))) INTO part
        FROM provider_pauses p;
        seen := seen || coalesce(part, '[]');
    END IF;

    IF 'release-quarantined' = ANY (wants) THEN
        -- Until somebody activates something: what stepped in was activated in the same moment.
        SELECT jsonb_agg(jsonb_build_object('kind', 'release-quarantined', 'name', q.plugin,
                                            'value', extract(epoch FROM now() - q.at))) INTO part
        FROM (
            SELECT r.plugin, max(r.quarantined_at) AS at FROM releases r
            WHERE r.quarantined_at IS NOT NULL
              AND r.quarantined_at >= coalesce((SELECT max(a.activated_at) FROM activations a
                                                WHERE a.plugin = r.plugin AND a.withdrawn_at IS NULL), '-infinity')
            GROUP BY 1
        ) AS q;
        seen := seen || coalesce(part, '[]');
    END IF;

    IF 'postgres-xmin' = ANY (wants) THEN
        -- Whoever reads, or has written, in this database. Of other roles' sessions pg_read_all_stats sees more.
        SELECT jsonb_agg(jsonb_build_object('kind', 'postgres-xmin', 'value', o.age,
                                            'detail', jsonb_build_object('pid', o.pid, 'application', o.application))) INTO part
        FROM (
            SELECT a.pid, a.application_name AS application, extract(epoch FROM now() - a.xact_start) AS age
            FROM pg_stat_activity a
            WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.backend_type = 'client backend'
              AND a.xact_start IS NOT NULL AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
            UNION ALL
            SELECT NULL, 'a prepared transaction', extract(epoch FROM now() - p.prepared)
            FROM pg_prepared_xacts p WHERE p.database = current_database()
            ORDER BY 3 DESC LIMIT 1
        ) AS o;
        seen := seen || coalesce(part, '[]');
    END IF;

    IF 'postgres-wal' = ANY (wants) AND NOT pg_is_in_recovery() THEN
        -- Kept for the slot that is furthest behind; not archived yet; and all there is, for a role that may see it.
        SELECT jsonb_build_object('slot', s.slot_name, 'slotBytes', pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn)) INTO part
        FROM pg_replication_slots s WHERE s.restart_lsn IS NOT NULL ORDER BY s.restart_lsn LIMIT 1;
        part := coalesce(part, '{}');
        IF current_setting('archive_mode') <> 'off' THEN
            SELECT greatest(0, pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')
                               - (('x' || substr(a.last_archived_wal, 9, 8))::bit(32)::bigint::numeric * 4294967296
                                  + (('x' || substr(a.last_archived_wal, 17, 8))::bit(32)::bigint + 1)
                                    * pg_size_bytes(current_setting('wal_segment_size')))) INTO bytes
            FROM pg_stat_archiver a WHERE a.last_archived_wal ~ '^[0-9A-F]{24}$';
            IF bytes IS NOT NULL THEN
                part := part || jsonb_build_object('unarchivedBytes', bytes);
            END IF;
        END IF;
        IF has_function_privilege('pg_ls_waldir()', 'execute') THEN
            SELECT sum(w.size) INTO bytes FROM pg_ls_waldir() AS w;
            part := part || jsonb_build_object('allBytes', coalesce(bytes, 0));
        END IF;
        seen := seen || jsonb_build_array(jsonb_build_object(
            'kind', 'postgres-wal', 'detail', part,
            'value', greatest((part ->> 'slotBytes')::numeric, (part ->> 'unarchivedBytes')::numeric, (part ->> 'allBytes')::numeric, 0)));
    END IF;

    IF 'postgres-disk' = ANY (wants) THEN
        seen := seen || jsonb_build_array(jsonb_build_object('kind', 'postgres-disk', 'value', pg_database_size(current_database())));
    END IF;

    RETURN jsonb_build_object(
        'seen', seen,
        'finished', finished,
        'live', coalesce((SELECT jsonb_agg(jsonb_build_object(
                              'id', a.id, 'kind', a.kind, 'subject', a.subject, 'rule', a.rule, 'value', a.value,
                              'clear', extract(epoch FROM now() - a.clear_since)))
                          FROM alerts a WHERE a.state <> 'resolved' AND a.rule IS NOT NULL), '[]'),
        'conditions', coalesce((SELECT jsonb_agg(jsonb_build_object(
                                    'subject', c.subject, 'age', extract(epoch FROM now() - c.since), 'muted', c.muted))
                                FROM alert_conditions c), '[]'),
        'owed', EXISTS (SELECT FROM alerts a WHERE a.tell_at <= now() AND a.state = 'firing'
                                             AND (a.silenced_until IS NULL OR a.silenced_until <= now())));
END $$;
