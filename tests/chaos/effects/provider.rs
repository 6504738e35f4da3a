//! What the providers have to show, by business key and by effect.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;
use uuid::Uuid;

use super::{
    plan::{Done, NFT},
    rig::Rig,
};
use crate::support::message_id;

/// Everything there is, counted where it happened.
#[derive(Default)]
pub struct Shown {
    /// How often each thing was done for a business key. Mails by their Message-ID, events by their id: of those a repeat is one.
    times: HashMap<(String, Done), usize>,
    /// All effect ids that providers were told.
    pub effects: BTreeSet<Uuid>,
}

impl Shown {
    pub async fn by(rig: &Rig) -> Self {
        let mut shown = Self::default();
        for account in &rig.accounts {
            for (collection, done) in
                [("payment_intents", Done::Charge), ("refunds", Done::Refund), ("payouts", Done::Payout)]
            {
                for object in account.stripe.list(&format!("/v1/{collection}")).await {
                    shown.object(done, &object);
                }
            }
        }
        for act in rig.mint.acts() {
            shown.add(&act.ticket, if act.path == "/mint" { Done::Mint } else { Done::Once });
            shown.effect(&act.key);
        }
        for (address, mint) in rig.cluster.mints().await {
            let data = rig.cluster.data(&address).await;
            let text = String::from_utf8_lossy(&data);
            let key = text.split_once(NFT).and_then(|(_, rest)| rest.split_once(".json")).map(|(key, _)| key);
            for _ in 0..mint.succeeded.max(mint.supply) {
                shown.add(key.unwrap_or("a mint without an order"), Done::Nft);
            }
        }
        let mut seen = BTreeSet::new();
        for mail in rig.sink.mails().await {
            let to = mail["to"][0].as_str().unwrap_or_default();
            let key = to.split('@').next().unwrap_or_default();
            let is_strict = mail["headers"]["From"].as_str().is_some_and(|from| from.contains("strict@"));
            let done = if is_strict { Done::StrictMail } else { Done::Mail };
            let id = message_id(&mail);
            shown.effect(id.trim_start_matches('<').split('@').next().unwrap_or_default());
            if is_strict || seen.insert(id.to_owned()) {
                shown.add(key, done);
            }
        }
        for event in rig.receiver.received() {
            let body: Value = serde_json::from_str(&event.body).unwrap_or_default();
            let id = event.headers.get("webhook-id").cloned().unwrap_or_default();
            if seen.insert(id) {
                shown.add(body["data"]["order"].as_str().unwrap_or("an event without an order"), Done::Event);
            }
        }
        for seen in rig.proxies().flat_map(crate::support::FaultProxy::seen) {
            seen.request.header("idempotency-key").into_iter().for_each(|key| shown.effect(key));
        }
        shown
    }

    pub fn times(&self, key: &str, done: Done) -> usize {
        self.times.get(&(key.to_owned(), done)).copied().unwrap_or(0)
    }

    /// Business keys that anything was done for.
    pub fn keys(&self) -> BTreeSet<&str> {
        self.times.keys().map(|(key, _)| key.as_str()).collect()
    }

    fn object(&mut self, done: Done, object: &Value) {
        let (metadata, status) = (&object["metadata"], object["status"].as_str().unwrap_or_default());
        if let Some(effect) = metadata["usher_effect"].as_str() {
            self.effect(effect);
        }
        if let Some(key) = metadata["order"].as_str() {
            // A declined one stays as a payment that waits for another card.
            if done != Done::Charge || status == "succeeded" {
                self.add(key, done);
            }
        }
        // Made beforehand, and held: what became of it was a job's doing.
        let held = object["capture_method"] == "manual";
        if let Some(key) = metadata["beforehand"].as_str().filter(|_| held) {
            match status {
                "succeeded" => self.add(key, Done::Capture),
                "canceled" => self.add(key, Done::Cancel),
                _ => {}
            }
        }
    }

    fn add(&mut self, key: &str, done: Done) {
        *self.times.entry((key.to_owned(), done)).or_default() += 1;
    }

    fn effect(&mut self, id: &str) {
        self.effects.extend(id.parse::<Uuid>());
    }
}
