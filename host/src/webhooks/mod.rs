//! What tenants want to be told, and what is on its way to them.
//!
//! Owns: the endpoints, their secrets' generations, the events that jobs publish, and what becomes of each of them at
//! each endpoint.
//! Refuses: URLs that egress refuses, names that are no event types, more endpoints than a tenant may have. It sends
//! nothing: that is `delivery`.
//! Invariant: an event is written in the transaction of what it tells, once for each endpoint that wants it, under an id
//! that never changes.
//! Tables: webhook_endpoints, webhook_deliveries, webhook_archive.

mod endpoint;
mod event;
pub mod store;

use std::sync::Arc;

use tokio::sync::Notify;

pub use self::{
    endpoint::{Change, Endpoint, NewEndpoint, Replay, Rotated, WebhookError, Webhooks},
    event::{Alerted, Event, Failed, MAX_DATA, MAX_EVENTS, PING, Publication},
    store::{Delivery, DeliveryState, Page},
};

/// Rings on this node when something may be due to be sent.
#[derive(Clone, Debug, Default)]
pub struct Bell(Arc<Notify>);

impl Bell {
    pub fn ring(&self) {
        self.0.notify_one();
    }

    pub async fn rung(&self) {
        self.0.notified().await;
    }
}
