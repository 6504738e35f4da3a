-- Rate limits of provider calls, by named buckets that all nodes share: GCRA, counted in tokens.
--
-- A bucket's clock counts the tokens that were ever refilled: it goes on by `rate` a second, and stands still while the
-- bucket is held. Each call has a place in line, one higher than the last; place p may pass when the clock has come to
-- p - burst. So a change of the rate and a hold move all places at once, and nobody's place is lost.

CREATE TABLE rate_limits (
    bucket     text        PRIMARY KEY CHECK (length(bucket) BETWEEN 1 AND 600),
    rate       text        NOT NULL CHECK (rate ~ '^[1-9][0-9]{0,6}/[smhd]$'),
    burst      integer     NOT NULL CHECK (burst BETWEEN 1 AND 1000000),
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by text        NOT NULL
);
COMMENT ON TABLE rate_limits IS 'Limits set at run time; they go before those of the hosts'' configuration.';
COMMENT ON COLUMN rate_limits.bucket IS 'provider/P, provider/P/PROFILE, destination/P/NAME, tenant/T/provider/P; * as a name: each by itself.';
COMMENT ON COLUMN rate_limits.rate IS 'Calls a second, minute, hour or day: 100/s.';
COMMENT ON COLUMN rate_limits.burst IS 'Calls at once, after a rest.';

CREATE TABLE rate_news (
    is_one  boolean PRIMARY KEY DEFAULT true CHECK (is_one),
    version bigint  NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
INSERT INTO rate_news DEFAULT VALUES;
COMMENT ON TABLE rate_news IS 'One row: counts up with each change of a limit and each hold, so that nodes see that they must look.';

CREATE TABLE rate_buckets (
    bucket     text             PRIMARY KEY,
    rate       double precision CHECK (rate > 0),
    refilled   double precision NOT NULL DEFAULT 0,
    since      timestamptz      NOT NULL DEFAULT now(),
    line       double precision NOT NULL DEFAULT 0,
    passed     double precision NOT NULL DEFAULT 0,
    held_until timestamptz
) WITH (fillfactor = 50);
COMMENT ON TABLE rate_buckets IS 'One row a bucket that was used lately; a missing one is full.';
COMMENT ON COLUMN rate_buckets.rate IS 'Tokens a second, as of `since`. NULL: it was only held, never limited.';
COMMENT ON COLUMN rate_buckets.refilled IS 'The clock of the bucket at `since`, in tokens.';
COMMENT ON COLUMN rate_buckets.since IS 'While it is held: the end of that.';
COMMENT ON COLUMN rate_buckets.line IS 'The last place that was given, also to calls that wait.';
COMMENT ON COLUMN rate_buckets.passed IS 'The same, of calls that passed: those who come late for their place do not pass all at once.';
COMMENT ON COLUMN rate_buckets.held_until IS 'Nobody passes before: the provider said so.';
-- For nodes that look what is held.
CREATE INDEX rate_buckets_held ON rate_buckets (held_until) WHERE held_until IS NOT NULL;

CREATE TABLE rate_slots (
    effect_id uuid             NOT NULL,
    bucket    text             NOT NULL,
    place     double precision NOT NULL,
    passing   double precision,
    until     timestamptz      NOT NULL,
    PRIMARY KEY (effect_id, bucket)
);
COMMENT ON TABLE rate_slots IS 'Places in line of calls that were told to come back.';
COMMENT ON COLUMN rate_slots.place IS 'In rate_buckets.line.';
COMMENT ON COLUMN rate_slots.passing IS 'In rate_buckets.passed: it came late, with many others, and has its turn among them.';
COMMENT ON COLUMN rate_slots.until IS 'Whoever has not come back by then never will.';
-- For clearing up: slots whose time is over, and buckets without slots.
CREATE INDEX rate_slots_until ON rate_slots (until);
CREATE INDEX rate_slots_bucket ON rate_slots (bucket);

-- Lets calls pass, in order, or gives them a place in line: each bucket once (`buckets`, with its rate, burst, and how
-- many tokens this node would like to have ahead), each call once (`effects`), and which call needs which buckets
-- (`of_effect`, `of_bucket`: indexes into those, by call). A call passes all its buckets or none. One that would wait no
-- longer than `patience` seconds has passed, and waits for itself.
CREATE FUNCTION usher_rate_take(
    buckets text[], rates double precision[], bursts integer[], wants integer[],
    effects uuid[], of_effect integer[], of_bucket integer[], patience double precision,
    OUT version bigint, OUT goes boolean[], OUT waits double precision[], OUT tokens integer[]
) LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    moment   timestamptz;
    seen     integer;
    clocks   double precision[];
    dues     double precision[];
    stands   double precision[];
    lines    double precision[];
    passes   double precision[];
    places   double precision[];
    passings double precision[];
    p        integer := 1;
    head     integer;
    i        integer;
    place    double precision;
    passing  double precision;
    wait     double precision;
    at_pass  double precision;
    has_slot boolean;
    gone     uuid[] := '{}';
    kept     integer[] := '{}';
    ends     timestamptz[] := '{}';
BEGIN
    -- Not durable by itself: what a crash takes back is a moment of counting. Nobody waits for long behind another node.
    PERFORM set_config('synchronous_commit', 'off', true), set_config('lock_timeout', '2s', true),
            set_config('idle_in_transaction_session_timeout', '5s', true);
    -- One order of locks for all; again where somebody cleared one up in between.
    LOOP
        INSERT INTO rate_buckets (bucket) SELECT u.b FROM unnest(buckets) AS u (b) ORDER BY u.b COLLATE "C" ON CONFLICT DO NOTHING;
        PERFORM FROM rate_buckets b WHERE b.bucket = ANY (buckets) ORDER BY b.bucket COLLATE "C" FOR UPDATE;
        GET DIAGNOSTICS seen = ROW_COUNT;
        EXIT WHEN seen = cardinality(buckets);
    END LOOP;
    -- After the locks, which may have taken their time.
    moment := clock_timestamp();
    SELECT array_agg(b.refilled + coalesce(greatest(0, extract(epoch FROM moment - b.since))::float8 * b.rate, 0) ORDER BY u.n),
           array_agg(coalesce(greatest(0, extract(epoch FROM b.held_until - moment))::float8, 0) ORDER BY u.n),
           array_agg(b.line ORDER BY u.n), array_agg(b.passed ORDER BY u.n)
    INTO clocks, stands, lines, passes
    FROM unnest(buckets) WITH ORDINALITY AS u (b, n) JOIN rate_buckets b ON b.bucket = u.b;
    -- A place up to here is due; a millionth of a second is rounding.
    FOR i IN 1 .. cardinality(buckets) LOOP
        dues[i] := clocks[i] + bursts[i] + rates[i] * 0.000001;
    END LOOP;
    SELECT array_agg(s.place ORDER BY u.n), array_agg(s.passing ORDER BY u.n)
    INTO places, passings
    FROM unnest(of_effect, of_bucket) WITH ORDINALITY AS u (e, b, n)
    LEFT JOIN rate_slots s ON s.effect_id = effects[u.e] AND s.bucket = buckets[u.b];
    -- Late for its turn among the late: it takes another one.
    FOR m IN 1 .. cardinality(of_bucket) LOOP
        IF passings[m] < clocks[of_bucket[m]] THEN passings[m] := NULL; END IF;
    END LOOP;

    FOR n IN 1 .. cardinality(effects) LOOP
        head := p;
        wait := 0;
        has_slot := false;
        WHILE p <= cardinality(of_effect) AND of_effect[p] = n LOOP
            i := of_bucket[p];
            place := coalesce(places[p], greatest(lines[i], clocks[i]) + 1);
            passing := coalesce(passings[p], greatest(passes[i], clocks[i]) + 1);
            wait := greatest(wait, stands[i] + greatest(0, greatest(place, passing) - dues[i]) / rates[i]);
            has_slot := has_slot OR places[p] IS NOT NULL;
            p := p + 1;
        END LOOP;
        goes[n] := wait <= patience;
        waits[n] := wait;
        IF goes[n] AND has_slot THEN
            gone := gone || effects[n];
        END IF;
        FOR m IN head .. p - 1 LOOP
            i := of_bucket[m];
            place := coalesce(places[m], greatest(lines[i], clocks[i]) + 1);
            passing := coalesce(passings[m], greatest(passes[i], clocks[i]) + 1);
            IF goes[n] THEN
                IF places[m] IS NULL THEN lines[i] := place; END IF;
                -- It counts when it passes, which may be later, for the sake of its place or of another bucket.
                at_pass := clocks[i] + greatest(0, wait - stands[i]) * rates[i];
                IF passings[m] IS NULL OR passings[m] < at_pass THEN
                    passes[i] := greatest(passes[i], at_pass) + 1;
                END IF;
                CONTINUE;
            END IF;
            IF places[m] IS NULL THEN
                -- In this bucket it need not wait: it takes no place ahead of time.
                CONTINUE WHEN stands[i] = 0 AND greatest(place, passing) <= dues[i];
                lines[i] := place;
                places[m] := place;
            ELSIF passings[m] IS NULL AND stands[i] = 0 AND place <= dues[i] AND passing > dues[i] THEN
                -- It is late, and so are others.
                passes[i] := passing;
                passings[m] := passing;
            END IF;
            kept := kept || m;
            ends := ends || moment + make_interval(secs => wait + 3600);
        END LOOP;
    END LOOP;

    -- Ahead, and never the second half of the burst: that is for calls that are there.
    FOR i IN 1 .. cardinality(buckets) LOOP
        tokens[i] := 0;
        CONTINUE WHEN wants[i] <= 0 OR stands[i] > 0;
        tokens[i] := greatest(0, least(wants[i], floor(clocks[i] + bursts[i] / 2.0 - greatest(lines[i], passes[i], clocks[i]))));
        CONTINUE WHEN tokens[i] = 0;
        lines[i] := greatest(lines[i], clocks[i]) + tokens[i];
        passes[i] := greatest(passes[i], clocks[i]) + tokens[i];
    END LOOP;

    UPDATE rate_buckets b
    SET rate = u.rate, refilled = u.clock, line = u.line, passed = u.passed,
        -- A server's clock that was set back begins anew from there.
        since = CASE WHEN b.held_until > moment THEN b.since ELSE moment END
    FROM unnest(buckets, rates, clocks, lines, passes) AS u (bucket, rate, clock, line, passed)
    WHERE b.bucket = u.bucket;
    IF cardinality(gone) > 0 THEN
        DELETE FROM rate_slots s WHERE s.effect_id = ANY (gone);
    END IF;
    IF cardinality(kept) > 0 THEN
        INSERT INTO rate_slots (effect_id, bucket, place, passing, until)
        SELECT DISTINCT ON (effects[of_effect[u.m]], buckets[of_bucket[u.m]])
               effects[of_effect[u.m]], buckets[of_bucket[u.m]], places[u.m], passings[u.m], u.t
        FROM unnest(kept, ends) AS u (m, t)
        ON CONFLICT ON CONSTRAINT rate_slots_pkey
        DO UPDATE SET place = excluded.place, passing = excluded.passing, until = excluded.until;
    END IF;
    SELECT r.version INTO version FROM rate_news r;
END $$;

-- Nobody passes for so long, and then they pass one after another: the bucket is empty. `of_burst` NULL: it has no limit.
CREATE FUNCTION usher_rate_hold(of_bucket text, secs double precision, of_burst integer) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    moment timestamptz;
    b      rate_buckets;
    clock  double precision;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true), set_config('lock_timeout', '2s', true);
    LOOP
        INSERT INTO rate_buckets (bucket) VALUES (of_bucket) ON CONFLICT DO NOTHING;
        SELECT * INTO b FROM rate_buckets r WHERE r.bucket = of_bucket FOR UPDATE;
        EXIT WHEN FOUND;
    END LOOP;
    moment := clock_timestamp();
    IF b.held_until >= moment + make_interval(secs => secs) THEN
        RETURN;
    END IF;
    clock := b.refilled + coalesce(greatest(0, extract(epoch FROM moment - b.since))::float8 * b.rate, 0);
    UPDATE rate_buckets r
    SET refilled = clock, since = moment + make_interval(secs => secs), held_until = moment + make_interval(secs => secs),
        line = greatest(r.line, clock + of_burst - 1), passed = greatest(r.passed, clock + of_burst - 1)
    WHERE r.bucket = of_bucket;
    UPDATE rate_news r SET version = r.version + 1;
    PERFORM pg_notify('usher_rates', '');
END $$;
