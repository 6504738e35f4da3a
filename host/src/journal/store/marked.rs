use std::time::Duration;

use sqlx::PgConnection;

use crate::ids::{EffectId, JobId};

/// The effect of a live job by which an object at Stripe says that it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked {
    pub job: JobId,
    pub tenant: String,
    /// Of the host's configuration, as it was when the effect began.
    pub profile: Option<String>,
    /// The connected account that it was made on.
    pub account: Option<String>,
}

/// `None`: no live job has one of this id.
pub async fn marked(db: &mut PgConnection, id: EffectId) -> sqlx::Result<Option<Marked>> {
    let row = sqlx::query!(
        r#"
        SELECT e.job_id, j.tenant, e.request ->> 'profile' AS profile,
               coalesce(e.request ->> 'account', e.request ->> 'on') AS account
        FROM effects e JOIN jobs j ON j.tier = e.tier AND j.id = e.job_id
        -- As the index of it says.
        WHERE e.provider = 'stripe' AND e.effect_id = $1
        "#,
        id.0,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Marked { job: JobId(row.job_id), tenant: row.tenant, profile: row.profile, account: row.account }))
}

/// Whether this effect is in doubt, or one of the same job that changes the same payment: how long until the doubt may be settled,
/// as the sender may still be alive. `None`: there is no doubt.
pub async fn doubt_about(
    db: &mut PgConnection,
    job: JobId,
    id: EffectId,
    payment: Option<&str>,
    margin: Duration,
) -> sqlx::Result<Option<Duration>> {
    let settle_in = sqlx::query_scalar!(
        r#"
        -- One in `doubt` was left so by its sender itself.
        SELECT max(CASE WHEN state = 'doubt' THEN 0
                        ELSE greatest(0, extract(epoch FROM deadline_at - now()) + $4::float8) END)::float8 AS settle_in
        FROM effects
        WHERE job_id = $1 AND provider = 'stripe' AND state IN ('started', 'doubt') AND class NOT IN ('read', 'resend')
          AND (effect_id = $2 OR request ->> 'paymentIntent' = $3)
        "#,
        job.0,
        id.0,
        payment,
        margin.as_secs_f64(),
    )
    .fetch_one(db)
    .await?;
    Ok(settle_in.map(|secs| Duration::from_secs_f64(secs.max(0.0))))
}
