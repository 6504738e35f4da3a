-- Rate limits of submits. The buckets are those of provider calls (0015), and are counted by the same clocks; but who does
-- not pass is told to come again, and keeps no place in line.

COMMENT ON COLUMN rate_limits.bucket IS 'provider/P, provider/P/PROFILE, destination/P/NAME, tenant/T/provider/P, submit/tenant/T, '
    'submit/caller/T/SUBJECT; * as a name: each by itself.';

-- Lets submits pass, in order, or says how long there is no room for them: each bucket once (`buckets`, with its rate,
-- burst, and how many tokens this node would like to have ahead), and for each submit (counted from 1 to `calls`) which
-- buckets it takes how many tokens from (`of_call`, `of_bucket`, `counts`, by submit). A submit passes all its buckets or
-- none. `rooms` are the tokens left in each bucket for the next one.
CREATE FUNCTION usher_rate_enter(
    buckets text[], rates double precision[], bursts integer[], wants integer[],
    of_call integer[], of_bucket integer[], counts integer[], calls integer,
    OUT version bigint, OUT goes boolean[], OUT waits double precision[], OUT rooms double precision[], OUT tokens integer[]
) LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    moment timestamptz;
    seen   integer;
    clocks double precision[];
    lines  double precision[];
    p      integer := 1;
    head   integer;
    i      integer;
    wait   double precision;
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
           array_agg(greatest(b.line, b.passed) ORDER BY u.n)
    INTO clocks, lines
    FROM unnest(buckets) WITH ORDINALITY AS u (b, n) JOIN rate_buckets b ON b.bucket = u.b;
    FOR i IN 1 .. cardinality(buckets) LOOP
        rooms[i] := clocks[i] + bursts[i] - greatest(lines[i], clocks[i]);
    END LOOP;

    FOR n IN 1 .. calls LOOP
        head := p;
        wait := 0;
        WHILE p <= cardinality(of_call) AND of_call[p] = n LOOP
            i := of_bucket[p];
            -- A millionth of a second is rounding.
            wait := greatest(wait, (counts[p] - rooms[i]) / rates[i] - 0.000001);
            p := p + 1;
        END LOOP;
        goes[n] := wait <= 0;
        waits[n] := wait;
        CONTINUE WHEN NOT goes[n];
        FOR m IN head .. p - 1 LOOP
            rooms[of_bucket[m]] := rooms[of_bucket[m]] - counts[m];
        END LOOP;
    END LOOP;

    -- Ahead, and never the second half of the burst: that is for submits that are there.
    FOR i IN 1 .. cardinality(buckets) LOOP
        tokens[i] := greatest(0, least(wants[i], floor(rooms[i] - bursts[i] / 2.0)));
        rooms[i] := rooms[i] - tokens[i];
        lines[i] := clocks[i] + bursts[i] - rooms[i];
    END LOOP;

    UPDATE rate_buckets b
    SET rate = u.rate, refilled = u.clock, line = u.line, passed = u.line, since = moment
    FROM unnest(buckets, rates, clocks, lines) AS u (bucket, rate, clock, line)
    WHERE b.bucket = u.bucket;
    SELECT r.version INTO version FROM rate_news r;
END $$;
