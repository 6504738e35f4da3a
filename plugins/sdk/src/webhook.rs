//! Events for the webhook endpoints of the job's tenant. The manifest's `[grants] webhook` names the types.

use serde::Serialize;

use crate::{Error, host};

/// Publishes an event such as `payment.completed`.
///
/// Type and size are checked now. The event exists when this job succeeds: in the same transaction, exactly once; a job that
/// fails publishes nothing. Each endpoint that wants it gets it signed, at least once, always under the same id.
pub fn publish(event_type: &str, data: &impl Serialize) -> Result<(), Error> {
    let data = serde_json::to_string(data).map_err(|e| Error::unwritable("the event's data", &e))?;
    Ok(host::publish(event_type, &data)?)
}
