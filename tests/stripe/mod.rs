//! Money through the gate, counted at the provider: Stripe World, which keeps Stripe's promises about keys; localstripe, which
//! shows a double that a key would hide; and for what neither has, a stand-in.

mod accounts;
mod answers;
mod calls;
mod dangers;
mod doubt;
mod retries;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Db, FaultProxy, Host, HostOptions, StripeWorld, stripe::KEY};

/// A profile of tenant t1 at this base URL.
pub fn options(base: &str) -> HostOptions {
    HostOptions {
        plugins: vec!["guest-money.wasm"],
        config: format!(
            r#"
[stripe.profiles.main]
key = {{ env = "USHER_TEST_STRIPE" }}
tenants = ["t1"]
connected = ["acct_venue"]
base_url = "{base}"
timeout = "5s"
"#
        ),
        env: vec![("USHER_TEST_STRIPE", KEY.to_owned())],
        ..HostOptions::default()
    }
}

pub fn payment(card: &str) -> Value {
    json!({"do": "stripe", "call": "payment", "amount": 1200, "currency": "eur", "paymentMethod": card, "confirm": true})
}

/// World, a way to it that breaks by script, a host.
pub struct Rig {
    pub world: StripeWorld,
    pub proxy: FaultProxy,
    pub db: Db,
    pub host: Host,
}

impl Rig {
    pub async fn start() -> Self {
        let world = StripeWorld::start().await;
        let proxy = FaultProxy::start(world.base_url()).await;
        let db = Db::new().await;
        let host = Host::start(&db, None, options(&proxy.base)).await;
        Self { world, proxy, db, host }
    }

    pub async fn submit(&self, payload: Value) -> String {
        self.host.client().submit("guest-money", payload).await
    }

    pub async fn run(&self, payload: Value) -> Value {
        let id = self.submit(payload).await;
        self.host.client().wait(&id, "completed").await["result"].clone()
    }

    pub async fn card(&self, token: &str) -> String {
        self.world.stripe.payment_method(token).await
    }

    pub async fn parked(&self, id: &str) -> Value {
        let job = self.host.client().wait(id, "dead").await;
        assert_eq!(job["reason"], "unknown-outcome", "{job}");
        job
    }

    pub async fn resolve(&self, id: &str, body: Value) -> Value {
        let answer = self.host.admin().send(Method::POST, &format!("/effects/{id}/0/resolve"), Some(body)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.body
    }

    /// What Stripe has, by collection: `payment_intents`, `refunds`, `payouts`.
    pub async fn count(&self, collection: &str) -> usize {
        self.world.stripe.list(&format!("/v1/{collection}")).await.len()
    }
}
