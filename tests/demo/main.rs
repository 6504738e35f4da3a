//! `demo`: the ten job types, one after the other, on a real host against the peers that the tests have; what there is no peer of
//! is answered by a stand-in, which is named as such. A line a type says who answered and what came of it; the last one begins with
//! `demo --all ok`. `cargo xtask demo --all` starts what it needs and runs it.

#![expect(clippy::unwrap_used, reason = "a demo that cannot go on panics, and stops its children all the same")]

#[path = "../support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests use the rest of it")]
mod support;

use std::{collections::BTreeMap, time::Instant};

use reqwest::Method;
use serde_json::{Value, json};

use self::support::{Client, Db, Host, Product, eventually, product::TYPES, token};

/// Who hears of failures.
const OPS: &str = "ops@example.com";

#[tokio::main]
async fn main() {
    let began = Instant::now();
    let (product, db) = tokio::join!(Product::start(), Db::new());
    let host =
        Host::start(&db, Some(&product.sink), product.options(&format!("[alerts.mail]\nto = [\"{OPS}\"]\n"))).await;
    println!("Usher         {}  (development build, {} plugins)", host.base, support::product::PLUGINS.len());
    println!("webhooks      {}  (a receiver of ours)\n", product.receiver.url());
    let demo = Demo { product, host };
    demo.subscribe().await;

    for ((job_type, peer), n) in TYPES.into_iter().zip(1..) {
        demo.run(job_type, peer, n).await;
    }
    println!();
    demo.on_solana().await;
    demo.connected().await;
    demo.declined().await;
    let events = demo.events().await;
    println!("\nevents that arrived, signed: {events}");

    let Demo { host, product } = demo;
    assert_eq!(host.terminate().await, Some(0), "the host ends as it should");
    product.services.no_complaints();
    println!(
        "demo --all ok: ten job types, each done once by its peer; a mint on the chain, a connected account, a declined card told \
         and mailed; {events}; {:.0} s",
        began.elapsed().as_secs_f64()
    );
}

struct Demo {
    product: Product,
    host: Host,
}

impl Demo {
    /// All events of tenant t1 go to the receiver.
    async fn subscribe(&self) {
        let venue = self.host.client().with_token(token("venue_admin", Some("t1")));
        let body = json!({"url": self.product.receiver.url(), "events": []});
        let answer = venue.send(Method::POST, "/webhook-endpoints", Some(body)).await;
        assert!(answer.status.is_success(), "{}", answer.body);
    }

    async fn run(&self, job_type: &str, peer: &str, n: u32) {
        let payload = self.product.payload(job_type, n).await;
        let job = finished(&self.host.client(), job_type, payload.clone(), "completed").await;
        let done = self.product.done(job_type, job["id"].as_str().unwrap(), &payload).await;
        assert_eq!(done, 1, "{job_type} is done once: {job}");
        say(job_type, &job, peer);
    }

    /// The same type by the payload's other profile.
    async fn on_solana(&self) {
        let recipient = self.product.cluster.key().await;
        let job = finished(&self.host.client(), "nft-mint", self.product.on_solana(&recipient, 1), "completed").await;
        let mints = self.product.cluster.mints().await;
        assert!(mints.len() == 1 && mints.values().all(|mint| (mint.succeeded, mint.supply) == (1, 1)), "{mints:?}");
        say("nft-mint", &job, "Solana: LiteSVM (PyPI solders) behind JSON-RPC");
    }

    /// Of another tenant, whose profile reaches it.
    async fn connected(&self) {
        let client = self.host.client().with_token(token("user", Some("t2")));
        let job = finished(&client, "payout-process", self.product.connected(1), "completed").await;
        assert_eq!(self.product.connect.all("transfers", "").len(), 1, "{job}");
        say("payout-process", &job, "stand-in for Stripe's transfers, by Stripe's published description");
    }

    async fn declined(&self) {
        let order = self.product.payment("tok_visa_chargeDeclinedInsufficientFunds", 20).await;
        let job = finished(&self.host.client(), "payment-process", order, "dead").await;
        say("payment-process", &job, "Stripe World (PyPI seahaven-stripe-world), which declines this card");
        let alert = eventually("the operator hears of it", async || {
            self.product.sink.mails().await.into_iter().find(|mail| mail["to"] == json!([OPS]))
        })
        .await;
        println!("{:18}mail to the operator: {}", "", alert["headers"]["Subject"].as_str().unwrap());
    }

    /// How many of each type.
    async fn events(&self) -> String {
        let wanted = ["nft.minted", "operation.failed", "payment.completed", "payout.created", "refund.completed"];
        let arrived = eventually("all events arrive", async || {
            let mut counts = BTreeMap::<String, usize>::new();
            for received in self.product.receiver.received() {
                assert!(received.headers.contains_key("webhook-signature"), "{received:?}");
                let body: Value = serde_json::from_str(&received.body).unwrap();
                *counts.entry(body["type"].as_str().unwrap().to_owned()).or_default() += 1;
            }
            wanted.iter().all(|event| counts.contains_key(*event)).then_some(counts)
        })
        .await;
        let shown: Vec<_> = arrived.iter().map(|(event, count)| format!("{event}={count}")).collect();
        shown.join(" ")
    }
}

/// Submits a job and waits for its end.
async fn finished(client: &Client, job_type: &str, payload: Value, state: &str) -> Value {
    let id = client.submit(job_type, payload).await;
    eventually(&format!("{job_type} {id} is {state}"), async || {
        let job = client.job(&id).await;
        let now = job["state"].as_str().unwrap();
        assert!(
            now == state || !matches!(now, "completed" | "dead" | "cancelled"),
            "{job_type} ended otherwise: {job}"
        );
        (now == state).then_some(job)
    })
    .await
}

/// One line: the type, its end, who answered, what it said.
fn say(job_type: &str, job: &Value, peer: &str) {
    let state = job["state"].as_str().unwrap();
    let said = match job["errors"].as_array().and_then(|errors| errors.last()) {
        Some(error) if state == "dead" => error["message"].as_str().unwrap().to_owned(),
        _ => short(&job["result"]),
    };
    println!("{job_type:18}{state:11}{peer}\n{:29}{said}", "");
}

/// The fields that people look for.
fn short(result: &Value) -> String {
    let shown = [
        "paymentIntent",
        "refund",
        "id",
        "status",
        "amount",
        "currency",
        "assetId",
        "mint",
        "messageId",
        "event",
        "deleted",
        "pages",
        "path",
        "rows",
    ];
    let fields = shown.iter().filter(|name| !result[**name].is_null());
    let fields = fields.map(|name| match &result[*name] {
        Value::String(text) => format!("{name}={text}"),
        other => format!("{name}={other}"),
    });
    fields.collect::<Vec<_>>().join(" ")
}
