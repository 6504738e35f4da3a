-- A try is counted and written in one call of the server, so that no client stands between the purse's lock and its end: a
-- host that is frozen or lost there would stop all others.

-- Writes a try, if this call is still its effect's and the caps have room. `result`: `written`; `overtaken`: the effect is
-- answered, begun again by somebody else or out of time, or somebody wrote a try of that number or a later one; `job-cap`,
-- `hour-cap`: no room beside what is `spent`. Earlier tries of the same mint whose end is not known are taken for dead, as the
-- caller has just judged them.
CREATE FUNCTION usher_solana_write(
    durability text, patience text, of_job uuid, of_label text, of_number integer, of_effect uuid, of_try integer,
    of_tenant text, of_profile text, hash bytea, of_mint text, account text, of_signature text, bytes bytea, hash_of_block text,
    last_height bigint, fee bigint, rent bigint, most_job bigint, most_hour bigint,
    OUT result text, OUT spent bigint
) LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    due    timestamptz;
    -- Without an end, so that no sum is too large.
    cost   numeric := fee::numeric + rent;
    of_one numeric;
    hourly numeric;
BEGIN
    PERFORM set_config('synchronous_commit', durability, true), set_config('lock_timeout', patience, true),
            set_config('idle_in_transaction_session_timeout', '5s', true);
    -- The row first: who waits for it holds nobody up at the purse. It stays as it is until we have committed.
    SELECT e.deadline_at INTO due FROM effects e
    WHERE e.job_id = of_job AND e.effect_id = of_effect AND e.state = 'started' AND e.tries = of_try
    FOR SHARE;
    IF NOT FOUND THEN
        result := 'overtaken';
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('usher_solana/' || of_profile || '/' || of_tenant, 0));
    -- All that follows sees what those before us at the lock have committed.
    IF due <= clock_timestamp() OR EXISTS (
        SELECT FROM solana_tries t WHERE t.job_id = of_job AND t.label = of_label AND t.number >= of_number
    ) THEN
        result := 'overtaken';
        RETURN;
    END IF;
    SELECT coalesce(sum(p.lamports) FILTER (WHERE p.job_id = of_job), 0),
           coalesce(sum(p.lamports) FILTER (WHERE p.created_at > now() - interval '1 hour'), 0)
    INTO of_one, hourly
    FROM (
        SELECT t.job_id, t.created_at,
               -- What is not known to have been spared counts whole.
               CASE WHEN t.outcome IN ('expired', 'refused') THEN 0
                    WHEN t.outcome = 'failed' THEN t.fee_lamports::numeric
                    ELSE t.fee_lamports::numeric + t.rent_lamports END AS lamports
        FROM solana_tries t
        WHERE t.profile = of_profile AND t.tenant = of_tenant
          AND (t.created_at > now() - interval '1 hour' OR t.job_id = of_job)
          AND (t.outcome IS NOT NULL OR t.job_id <> of_job OR t.label <> of_label)
    ) AS p;
    IF of_one + cost > most_job THEN
        result := 'job-cap';
        spent := least(of_one, 9223372036854775807);
        RETURN;
    ELSIF hourly + cost > most_hour THEN
        result := 'hour-cap';
        spent := least(hourly, 9223372036854775807);
        RETURN;
    END IF;
    INSERT INTO solana_tries (job_id, label, number, effect_id, tenant, profile, request_hash, mint, token_account, signature,
                              transaction, blockhash, last_valid_block_height, fee_lamports, rent_lamports)
    VALUES (of_job, of_label, of_number, of_effect, of_tenant, of_profile, hash, of_mint, account, of_signature, bytes,
            hash_of_block, last_height, fee, rent)
    -- The same bytes under an earlier number.
    ON CONFLICT DO NOTHING;
    result := CASE WHEN FOUND THEN 'written' ELSE 'overtaken' END;
END $$;
