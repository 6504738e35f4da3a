use std::time::Duration;

use chrono::Utc;
use serde_json::json;
use sqlx::PgConnection;

use super::event::Event;
use crate::{
    alerts,
    journal::store::{self as journal, Marked},
    queue::{Ready, store as queue},
};

/// What an event did about an effect in doubt.
pub(super) enum Wake {
    Nothing,
    /// A parked job goes on, and asks.
    Ready(Vec<Ready>),
    /// A job that would have asked later asks now.
    Sooner,
}

/// Attempts that a parked job gets, as by a person's word.
const MORE_ATTEMPTS: i32 = 11;

/// Stripe knows something of this effect. If its outcome is in doubt here, its job goes on at once, whose attempt asks Stripe what
/// became of it, by the same rules as ever: the event itself is not the answer. A call whose sender may be alive is left alone,
/// since it ends by itself or is asked for then.
pub(super) async fn wake(
    db: &mut PgConnection,
    marked: Option<&Marked>,
    event: &Event,
    margin: Duration,
) -> sqlx::Result<Wake> {
    let (Some(marked), Some(effect)) = (marked, event.effect) else { return Ok(Wake::Nothing) };
    let Some(job) = queue::lock(db, marked.job, Some(&marked.tenant)).await? else { return Ok(Wake::Nothing) };
    let payment = event.payment();
    match journal::doubt_about(db, marked.job, effect, payment.as_deref(), margin).await? {
        Some(settle_in) if settle_in.is_zero() => {}
        Some(_) | None => return Ok(Wake::Nothing),
    }
    let wake = match job.state.as_str() {
        // It waits for a person, who need not look if Stripe can tell.
        "dead" => {
            let message = format!("Stripe's event {} is about an effect in doubt; Stripe is asked", event.id);
            let note = json!({ "kind": "woken", "message": message, "at": Utc::now() });
            let Some(ready) = queue::unpark(db, job.tier, marked.job, MORE_ATTEMPTS, &note).await? else {
                return Ok(Wake::Nothing);
            };
            alerts::resolve(db, "unknown-outcome", &format!("job/{}", marked.job)).await?;
            Wake::Ready(ready)
        }
        "scheduled" => match queue::hasten(db, job.tier, marked.job).await? {
            true => Wake::Sooner,
            false => return Ok(Wake::Nothing),
        },
        _ => return Ok(Wake::Nothing),
    };
    tracing::info!(event.id, job.id = %marked.job, "an event of Stripe is about an effect in doubt; Stripe is asked");
    Ok(wake)
}
