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
