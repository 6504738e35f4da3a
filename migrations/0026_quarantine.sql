-- Quarantine that holds, whatever waits meanwhile.

-- As before, but for releases in quarantine: jobs that are held to one stop it also while its activation waits.
CREATE OR REPLACE FUNCTION usher_take_effect(patience double precision) RETURNS bigint
LANGUAGE sql SET search_path = public, pg_temp AS $$
    WITH due AS MATERIALIZED (
        SELECT a.generation, a.plugin FROM activations a
        WHERE a.effective_at IS NULL AND a.withdrawn_at IS NULL
          AND a.generation = (SELECT max(n.generation) FROM activations n WHERE n.plugin = a.plugin)
          AND NOT EXISTS (SELECT FROM releases r WHERE r.digest = a.digest AND r.quarantined_at IS NOT NULL)
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

-- Releases in quarantine some of whose jobs have not got back yet what they lost: somebody held their rows, or they ended
-- on a node that had not heard of it. A row goes when nothing is owed any more.
CREATE TABLE amends (
    release  bytea       PRIMARY KEY REFERENCES releases (digest),
    since    timestamptz NOT NULL,
    asked_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN amends.since IS 'What the release burnt before it began to serve is not given back.';

-- How many attempts of a job, by its errors, a release burnt that are not given back yet. None where it trapped under
-- another release, too: that is its own fault, and given back, it would stop that one next.
CREATE FUNCTION usher_burnt(errors jsonb, release text, since timestamptz, kinds text[]) RETURNS bigint
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT CASE WHEN bool_or(e.value ->> 'release' <> $2) THEN 0
                ELSE count(*) FILTER (WHERE e.value ->> 'release' = $2 AND NOT e.value ? 'givenBack'
                                      -- That is a node's clock, and $3 is ours.
                                      AND (e.value ->> 'at')::timestamptz >= $3 - interval '1 minute') END
    FROM jsonb_array_elements($1) AS e
    WHERE EXISTS (SELECT FROM unnest($4) AS k WHERE starts_with(e.value ->> 'kind', k))
$$;
