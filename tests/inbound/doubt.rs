//! Events about money whose answer was lost: they bring the question forward, and are not the answer.

use reqwest::Method;
use serde_json::{Value, json};

use super::{SECRET, event, options, told};
use crate::{
    stripe::payment,
    support::{Db, Fault, FaultProxy, Host, HostOptions, Reply, StripeWorld, eventually},
};

/// A job that failed comes back tomorrow.
const QUEUES: &str = r#"
[queues.money]
tier = 1
retries = 10
delay = "20h"
backoff = "fixed"
max_delay = "20h"
expiry = "24h"
[queues.communication]
tier = 2
retries = 5
delay = "300ms"
backoff = "fixed"
expiry = "12h"
[queues.background]
tier = 3
retries = 2
delay = "200ms"
backoff = "fixed"
expiry = "6h"
"#;

struct Rig {
    world: StripeWorld,
    proxy: FaultProxy,
    db: Db,
    host: Host,
    card: String,
}

impl Rig {
    async fn start() -> Self {
        let world = StripeWorld::start().await;
        let proxy = FaultProxy::start(world.base_url()).await;
        let db = Db::new().await;
        let options = HostOptions { queues: Some(QUEUES.to_owned()), ..options(&proxy.base, "") };
        let host = Host::start(&db, None, options).await;
        let card = world.stripe.payment_method("tok_visa").await;
        Self { world, proxy, db, host, card }
    }

    async fn pay(&self) -> String {
        self.host.client().submit("guest-money", payment(&self.card)).await
    }

    /// The payment that Stripe has of this job, by its mark.
    async fn made(&self, job: &str) -> Value {
        let effect = self.effect(job).await;
        let made = self.world.stripe.with_metadata("/v1/payment_intents", "usher_effect", &effect).await;
        assert_eq!(made.len(), 1, "{made:?}");
        made[0].clone()
    }

    async fn effect(&self, job: &str) -> String {
        self.db.text(&format!("SELECT effect_id::text FROM effects WHERE job_id = '{job}' AND seq = 0")).await.unwrap()
    }

    async fn state(&self, job: &str) -> Value {
        self.host.client().job(job).await["state"].clone()
    }

    async fn parked(&self, job: &str) {
        let job = self.host.client().wait(job, "dead").await;
        assert_eq!(job["reason"], "unknown-outcome", "{job}");
    }
}

fn paid(payment: &Value) -> Value {
    event("payment_intent.succeeded", payment.clone())
}

/// A 500 that Stripe would repeat for ever: left to a person.
fn sticky(acted: bool) -> Fault {
    let mut reply = Reply::error(500, "api_error");
    reply.headers.push(("idempotent-replayed".to_owned(), "true".to_owned()));
    Fault::Sticky { reply, acted }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_lets_what_is_in_doubt_ask_stripe_whose_word_it_is() {
    let rig = Rig::start().await;
    rig.proxy.on("POST /v1/payment_intents", 1, sticky(true));
    let job = rig.pay().await;
    rig.parked(&job).await;
    let made = rig.made(&job).await;

    // Nobody else's event does anything.
    let mut others = vec![paid(&made), paid(&made), paid(&made), paid(&made), paid(&made)];
    others[0]["data"]["object"]["metadata"]["usher_tenant"] = "t2".into();
    others[1]["data"]["object"]["metadata"]["usher_effect"] = json!(uuid::Uuid::new_v4());
    others[2]["account"] = "acct_of_somebody".into();
    others[3]["livemode"] = true.into();
    others[4]["data"]["object"]["metadata"] = json!({});
    for event in &others {
        told(&rig.host, SECRET, event, false).await;
    }
    assert_eq!(rig.state(&job).await, "dead");
    assert_eq!(rig.db.count("SELECT count(*) FROM effects WHERE state = 'doubt'").await, 1);

    // One with the right mark is followed by the question; that it lies about the sum changes nothing.
    let mut event = paid(&made);
    event["data"]["object"]["amount"] = 999_999.into();
    event["data"]["object"]["id"] = "pi_of_a_liar".into();
    told(&rig.host, SECRET, &event, false).await;
    let done = rig.host.client().wait(&job, "completed").await;
    assert_eq!((&done["result"]["id"], &done["result"]["amount"]), (&made["id"], &json!(1200)), "{done}");
    assert!(done["errors"].as_array().unwrap().iter().any(|error| error["kind"] == "woken"), "{done}");
    assert_eq!(rig.db.text("SELECT source || ' ' || amount FROM ledger").await.as_deref(), Some("asked 1200"));
    let alerts = rig.host.client().get("/alerts?state=open").await;
    assert_eq!(alerts.body["items"], json!([]), "its alert is over");
    told(&rig.host, SECRET, &event, true).await;

    // One that only waits for its next attempt need not wait until tomorrow.
    rig.proxy.on("POST /v1/payment_intents", 1, Fault::CutAfter);
    let job = rig.pay().await;
    rig.host.client().wait(&job, "scheduled").await;
    told(&rig.host, SECRET, &paid(&rig.made(&job).await), false).await;
    rig.host.client().wait(&job, "completed").await;

    // Stripe knows nothing of this one, whatever an event says: it is parked again, and a person decides.
    rig.proxy.on("POST /v1/payment_intents", 1, sticky(false));
    let job = rig.pay().await;
    rig.parked(&job).await;
    let before = rig.world.stripe.list("/v1/payment_intents").await.len();
    let mut lie = paid(&made);
    lie["data"]["object"]["metadata"]["usher_effect"] = rig.effect(&job).await.into();
    told(&rig.host, SECRET, &lie, false).await;
    let parked = eventually("it is parked again", async || {
        let job = rig.host.client().job(&job).await;
        let times = job["errors"].as_array()?.iter().filter(|error| error["kind"] == "unknown-outcome").count();
        (job["state"] == "dead" && times == 2).then_some(job)
    })
    .await;
    assert_eq!(parked["reason"], "unknown-outcome", "{parked}");
    assert_eq!(rig.world.stripe.list("/v1/payment_intents").await.len(), before);
    assert_eq!(rig.db.count("SELECT count(*) FROM ledger").await, 2);
    let path = format!("/effects/{job}/0/resolve");
    let void = json!({"outcome": "void", "evidence": "the dashboard shows nothing"});
    assert_eq!(rig.host.admin().send(Method::POST, &path, Some(void)).await.status.as_u16(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_under_way_is_left_alone() {
    let rig = Rig::start().await;
    rig.proxy.on("POST /v1/payment_intents", 1, Fault::HoldAfter);
    let job = rig.pay().await;
    rig.proxy.wait_held(1).await;
    // As it is: Stripe's event overtakes Stripe's answer.
    told(&rig.host, SECRET, &paid(&rig.made(&job).await), false).await;
    assert_eq!(rig.state(&job).await, "running");
    rig.proxy.release();
    let done = rig.host.client().wait(&job, "completed").await;
    assert_eq!(done["attempt"], 1, "{done}");
    assert_eq!(rig.db.text("SELECT source FROM ledger").await.as_deref(), Some("answer"));
    let asked = rig.proxy.seen().iter().filter(|seen| seen.request.method == "GET").count();
    assert_eq!(asked, 0, "nobody was asked");
}
