use std::time::Duration;

use sqlx::PgConnection;

use crate::ids::{EffectId, JobId};

/// A blockhash is good for 150 blocks, which take 60 to 90 s; nodes send what they were given on until then. So long after
/// it was signed, nothing lands.
const LONGEST_LIFE: Duration = Duration::from_secs(300);

/// A transaction that a mint was signed as.
#[derive(Clone, Debug)]
pub struct Try {
    pub number: i32,
    /// The one that signed it.
    pub effect: EffectId,
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
    /// Which try of the effect this call is.
    pub effect_try: i32,
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
    /// The effect is answered or somebody else's by now, this call is over, or somebody else wrote that try or a later one.
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
        SELECT number, effect_id, request_hash, mint, token_account, signature, transaction, last_valid_block_height, fee_lamports,
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
        effect: EffectId(row.effect_id),
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

/// Writes a try, durably, if the caps have room for it and this call is still its effect's. It is committed when it has
/// returned (through a pooler: by `done`), and only then sent.
///
/// All who spend of one purse (profile and tenant) stand behind one lock, in a function of the database's so that no client
/// is waited for under it: two at once cannot both pass where there is room for one. Longer than `patience` nobody stands there
/// (an error that is a lock time-out).
pub async fn write(
    db: &mut PgConnection,
    durability: &str,
    patience: Duration,
    place: &Place<'_>,
    new: &NewTry<'_>,
    caps: Caps,
) -> sqlx::Result<Written> {
    let row = sqlx::query!(
        r#"
        SELECT result AS "result!", coalesce(spent, 0) AS "spent!"
        FROM usher_solana_write($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
        "#,
        durability,
        // 0 would be for ever.
        patience.as_millis().max(1).to_string(),
        place.job.0,
        place.label,
        new.number,
        new.effect.0,
        new.effect_try,
        place.tenant,
        place.profile,
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
    .fetch_one(db)
    .await?;
    let spent = row.spent.cast_unsigned();
    Ok(match row.result.as_str() {
        "written" => Written::Yes,
        "job-cap" => Written::JobCap(spent),
        "hour-cap" => Written::HourCap(spent),
        _ => Written::Overtaken,
    })
}

/// Whether an earlier try of this effect's may have happened, for all that its caller knew.
pub async fn is_doubted(db: &mut PgConnection, job: JobId, effect: EffectId) -> sqlx::Result<bool> {
    let doubted =
        sqlx::query_scalar!("SELECT doubted FROM effects WHERE job_id = $1 AND effect_id = $2", job.0, effect.0);
    // Unknown is the careful reading.
    Ok(doubted.fetch_optional(db).await?.unwrap_or(true))
}

/// What of a mint stands in the way of saying that it did not happen.
#[derive(Clone, Debug, PartialEq)]
pub enum Alive {
    /// This signature minted.
    Landed(String),
    /// For so long, something that was signed may still land.
    For(Duration),
}

/// `None`: nothing that was signed under this label can land any more, as the chain or the clock says.
pub async fn alive(db: &mut PgConnection, job: JobId, label: &str) -> sqlx::Result<Option<Alive>> {
    let row = sqlx::query!(
        r#"
        SELECT max(signature) FILTER (WHERE outcome = 'landed') AS landed,
               max(extract(epoch FROM created_at - now()) + $3::float8) FILTER (WHERE outcome IS NULL)::float8 AS left
        FROM solana_tries WHERE job_id = $1 AND label = $2
        "#,
        job.0,
        label,
        LONGEST_LIFE.as_secs_f64(),
    )
    .fetch_one(db)
    .await?;
    let left = row.left.filter(|left| *left > 0.0).and_then(|left| Duration::try_from_secs_f64(left).ok());
    Ok(row.landed.map(Alive::Landed).or(left.map(Alive::For)))
}

/// What became of a try. What was seen first stays, but for what was thought not to have been sent; and what landed has
/// landed, whatever was thought before.
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
        WHERE job_id = $1 AND label = $2 AND number = $3 AND outcome IS DISTINCT FROM $4
          AND (outcome IS NULL OR $4 = 'landed' OR outcome = 'refused' AND $4 <> 'expired')
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
