use sqlx::{PgConnection, Postgres, Transaction};

use crate::ids::{EffectId, JobId};

/// A transaction that a mint was signed as.
#[derive(Clone, Debug)]
pub struct Try {
    pub number: i32,
    pub request_hash: Vec<u8>,
    pub mint: String,
    pub token_account: String,
    pub signature: String,
    pub transaction: Vec<u8>,
    pub last_valid_block_height: u64,
    pub fee_lamports: u64,
    pub rent_lamports: u64,
    pub outcome: Option<Outcome>,
}

/// What became of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It minted.
    Landed,
    /// It is on the chain, to no effect but its fee.
    Failed,
    /// The node's own check refused it, and it was not sent on.
    Refused,
    /// No chain takes it any more.
    Expired,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Landed => "landed",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Expired => "expired",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Landed, Self::Failed, Self::Refused, Self::Expired].into_iter().find(|o| o.as_str() == text)
    }
}

/// What is minted, and in whose name.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub job: JobId,
    pub label: &'a str,
    pub tenant: &'a str,
    pub profile: &'a str,
}

/// A try about to be sent, as it is written down.
#[derive(Debug)]
pub struct NewTry<'a> {
    pub effect: EffectId,
    /// One more than the last one.
    pub number: i32,
    pub request_hash: [u8; 32],
    pub mint: String,
    pub token_account: String,
    pub signature: String,
    pub transaction: &'a [u8],
    pub blockhash: String,
    pub last_valid_block_height: u64,
    pub fee_lamports: u64,
    pub rent_lamports: u64,
}

/// The most that may be spent, in lamports.
#[derive(Clone, Copy, Debug)]
pub struct Caps {
    /// By one job.
    pub job: u64,
    /// By the tenant's jobs within an hour.
    pub hour: u64,
}

/// What came of writing a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It may be sent.
    Yes,
    /// The effect is answered, this call is over, or somebody else wrote a try of that number.
    Overtaken,
    /// The job would spend more than its cap; what it spent already.
    JobCap(u64),
    /// The tenant would; what it spent within the hour.
    HourCap(u64),
}

/// All tries of this mint, oldest first, whichever effect signed them.
pub async fn tries(db: &mut PgConnection, job: JobId, label: &str) -> sqlx::Result<Vec<Try>> {
    let rows = sqlx::query!(
        r#"
        SELECT number, request_hash, mint, token_account, signature, transaction, last_valid_block_height, fee_lamports,
               rent_lamports, outcome
        FROM solana_tries WHERE job_id = $1 AND label = $2 ORDER BY number
        "#,
        job.0,
        label,
    )
    .fetch_all(db)
    .await?;
    let tries = rows.into_iter().map(|row| Try {
        number: row.number,
        request_hash: row.request_hash,
        mint: row.mint,
        token_account: row.token_account,
        signature: row.signature,
        transaction: row.transaction,
        last_valid_block_height: row.last_valid_block_height.cast_unsigned(),
        fee_lamports: row.fee_lamports.cast_unsigned(),
        rent_lamports: row.rent_lamports.cast_unsigned(),
        // Unknown is the careful reading.
        outcome: row.outcome.as_deref().and_then(Outcome::parse),
    });
    Ok(tries.collect())
}

/// Writes a try, if the caps have room for it and the effect is still under way. The caller commits before it sends.
///
/// All who spend of one purse (profile and tenant) stand behind one lock until they have committed, and the sums are read
/// by a statement that begins after it: two at once cannot both pass where there is room for one. The effect's row is
/// locked too, so that nothing is signed for a call that was answered, or whose time is over.
pub async fn write(
    tx: &mut Transaction<'static, Postgres>,
    place: &Place<'_>,
    new: &NewTry<'_>,
    caps: Caps,
) -> sqlx::Result<Written> {
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended('usher_solana/' || $1 || '/' || $2, 0))",
        place.profile,
        place.tenant,
    )
    .execute(&mut **tx)
    .await?;
    let row = sqlx::query!(
        r#"
        WITH paid AS (
            SELECT job_id, created_at,
                   -- What is not known to have been spared counts whole.
                   CASE WHEN outcome IN ('expired', 'refused') THEN 0 WHEN outcome = 'failed' THEN fee_lamports
                        ELSE fee_lamports + rent_lamports END AS lamports
            FROM solana_tries
            WHERE profile = $5 AND tenant = $4 AND (created_at > now() - interval '1 hour' OR job_id = $1)
        ), spent AS (
            SELECT coalesce(sum(lamports) FILTER (WHERE job_id = $1), 0)::bigint AS job,
                   coalesce(sum(lamports) FILTER (WHERE created_at > now() - interval '1 hour'), 0)::bigint AS hour
            FROM paid
        ), mine AS (
            SELECT e.effect_id FROM effects e
            WHERE e.job_id = $1 AND e.effect_id = $6 AND e.state = 'started' AND e.deadline_at > now()
            FOR SHARE
        ), written AS (
            INSERT INTO solana_tries (job_id, label, number, effect_id, tenant, profile, request_hash, mint, token_account,
                                      signature, transaction, blockhash, last_valid_block_height, fee_lamports, rent_lamports)
            SELECT $1, $2, $3, mine.effect_id, $4, $5, $7, $8, $9, $10, $11, $12, $13, $14, $15
            FROM mine, spent
            WHERE spent.job <= $16::bigint - ($14::bigint + $15::bigint) AND spent.hour <= $17::bigint - ($14::bigint + $15::bigint)
            ON CONFLICT DO NOTHING
            RETURNING number
        )
        SELECT spent.job AS "job!", spent.hour AS "hour!", EXISTS (SELECT FROM mine) AS "mine!",
               EXISTS (SELECT FROM written) AS "written!"
        FROM spent
        "#,
        place.job.0,
        place.label,
        new.number,
        place.tenant,
        place.profile,
        new.effect.0,
        &new.request_hash,
        new.mint,
        new.token_account,
        new.signature,
        new.transaction,
        new.blockhash,
        lamports(new.last_valid_block_height),
        lamports(new.fee_lamports),
        lamports(new.rent_lamports),
        lamports(caps.job),
        lamports(caps.hour),
    )
    .fetch_one(&mut **tx)
    .await?;
    let (job, hour) = (row.job.cast_unsigned(), row.hour.cast_unsigned());
    let cost = new.fee_lamports.saturating_add(new.rent_lamports);
    Ok(match (row.written, row.mine) {
        (true, _) => Written::Yes,
        (false, true) if job.saturating_add(cost) > caps.job => Written::JobCap(job),
        (false, true) if hour.saturating_add(cost) > caps.hour => Written::HourCap(hour),
        (false, _) => Written::Overtaken,
    })
}

/// What became of a try. What was seen first stays, but for what was thought not to have been sent.
pub async fn conclude(
    db: &mut PgConnection,
    job: JobId,
    label: &str,
    number: i32,
    outcome: Outcome,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        UPDATE solana_tries SET outcome = $4, outcome_at = now()
        WHERE job_id = $1 AND label = $2 AND number = $3 AND (outcome IS NULL OR outcome = 'refused' AND $4 <> 'expired')
        "#,
        job.0,
        label,
        number,
        outcome.as_str(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Lets go at most `most` tries that are older than any archived job, and belong to no job with a journal.
pub async fn clear_up(db: &mut PgConnection, most: i64) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        DELETE FROM solana_tries WHERE (job_id, label, number) IN (
            SELECT t.job_id, t.label, t.number FROM solana_tries t
            -- A day more than the longest time of the archive.
            WHERE t.created_at < now() - interval '31 days'
              AND NOT EXISTS (SELECT FROM effects e WHERE e.job_id = t.job_id)
            ORDER BY t.created_at
            LIMIT $1
        )
        "#,
        most,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Heights and lamports are far from 2⁶³; a number beyond it is as good as the largest.
fn lamports(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
