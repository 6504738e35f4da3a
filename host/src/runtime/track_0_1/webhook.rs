use super::{
    State,
    wit::{types::Error, webhook},
};
use crate::{
    submit,
    webhooks::{MAX_DATA, MAX_EVENTS, Publication},
};

impl webhook::Host for State {
    /// Checked here, so that the guest learns of a mistake; an event once the job has succeeded, with it.
    async fn publish(&mut self, event_type: String, data: String) -> wasmtime::Result<Result<(), Error>> {
        if !self.attempt.who.grants.webhook.contains(&event_type) {
            // A guest's word may be long.
            let named: String = event_type.chars().take(128).collect();
            return Ok(Err(Error::Denied(format!("grants.webhook does not name \"{named}\""))));
        }
        if self.published.len() >= MAX_EVENTS {
            return Ok(Err(Error::Denied(format!("an attempt publishes at most {MAX_EVENTS} events"))));
        }
        if data.len() > MAX_DATA {
            return Ok(Err(Error::Invalid(format!("an event's data has at most {MAX_DATA} bytes"))));
        }
        if let Err(violation) = submit::parse_json(&data) {
            return Ok(Err(Error::Invalid(format!("data{}: {}", violation.pointer, violation.message))));
        }
        self.memory.keep((event_type.len() + data.len()) as u64)?;
        self.published.push(Publication { event_type, data });
        Ok(Ok(()))
    }
}
