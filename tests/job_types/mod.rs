//! The product's ten job types, each against its peer: one key is one job, what fails for now is tried again, what is refused ends
//! it, and a host that dies on the way changes nothing of that.

mod alarm;
mod cases;
mod crash;
mod each;
mod money;
mod payloads;
mod replay;
mod tickets;
mod tickets_crash;
mod upkeep;

use serde_json::Value;

use crate::{
    support::{Db, Host, HostOptions, Product},
    webhooks,
};

/// Everything, and a host.
pub struct Rig {
    pub product: Product,
    pub db: Db,
    pub host: Host,
}

impl Rig {
    pub async fn start() -> Self {
        Self::start_with("", |options| options).await
    }

    /// `more`: further sections of the configuration.
    pub async fn start_with(more: &str, change: impl FnOnce(HostOptions) -> HostOptions) -> Self {
        let (product, db) = tokio::join!(Product::start(), Db::new());
        let host = Host::start(&db, Some(&product.sink), change(product.options(more))).await;
        Self { product, db, host }
    }

    /// Runs a job of tenant t1 to this end.
    pub async fn run(&self, job_type: &str, payload: Value, state: &str) -> Value {
        let client = self.host.client();
        let id = client.submit(job_type, payload).await;
        client.wait(&id, state).await
    }

    /// Data of the events of a type that arrived, in any order.
    pub fn told(&self, event: &str) -> Vec<Value> {
        let bodies = self.product.receiver.received().iter().map(webhooks::body).collect::<Vec<_>>();
        bodies.into_iter().filter(|body| body["type"] == event).map(|body| body["data"].clone()).collect()
    }

    /// Waits until so many have come.
    pub async fn wait_told(&self, event: &str, count: usize) -> Vec<Value> {
        crate::support::eventually(&format!("{count} times {event}"), async || {
            Some(self.told(event)).filter(|told| told.len() >= count)
        })
        .await
    }
}
