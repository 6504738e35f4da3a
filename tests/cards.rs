//! A card's number: neither what a guest asks with nor what a provider says is written down with one in it.
//!
//! Payloads are kept as they came, so nothing here looks into `payload`; where a guest has the number, it has it from there. What a
//! guest says itself (its result, its log, its failures) is the guest's, and bodies of upstreams are kept as they came too.

use serde_json::{Value, json};

use crate::{
    stripe::{Rig, options, payment},
    support::{Db, Fault, FaultProxy, Host, HostOptions, Receiver, Reply, Sink, StripeWorld, eventually},
};

const CARD: &str = "4242424242424242";
const WRITTEN: &str = "4242 4242 4242 4242";

/// Every table, but for its payloads.
async fn assert_nowhere(db: &Db) {
    let tables = "SELECT string_agg(quote_ident(schemaname) || '.' || quote_ident(tablename), ' ') FROM pg_tables \
                  WHERE schemaname NOT IN ('pg_catalog', 'information_schema')";
    let tables = db.text(tables).await.unwrap();
    assert!(tables.contains("jobs_archive") && tables.contains("ledger") && tables.contains("alerts"), "{tables}");
    // Code, in which digits are but bytes.
    for table in tables.split(' ').filter(|table| !table.ends_with(".releases")) {
        for number in [CARD, WRITTEN] {
            let sql = format!(
                "SELECT string_agg((to_jsonb(t) - 'payload')::text, ' ') FROM {table} t \
                 WHERE (to_jsonb(t) - 'payload')::text LIKE '%{number}%'"
            );
            assert_eq!(db.text(&sql).await, None, "in {table}");
        }
    }
}

fn assert_not_in(what: &str, text: &str) {
    assert!(!text.contains(CARD) && !text.contains(WRITTEN), "in {what}: {text}");
}

async fn assert_not_told(host: &Host) {
    assert_not_in("the log", &host.log());
    for path in ["/effects", "/alerts", "/jobs", "/providers"] {
        let mut answer = host.admin().get(path).await;
        without_payloads(&mut answer.body);
        assert_not_in(path, &format!("{:?} {}", answer.headers, answer.body));
    }
}

fn without_payloads(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("payload");
            fields.values_mut().for_each(without_payloads);
        }
        Value::Array(items) => items.iter_mut().for_each(without_payloads),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_guest_asks_for_with_a_cards_number_is_refused_and_not_written_down() {
    let rig = Rig::start().await;
    for change in [
        json!({"paymentMethod": CARD}),
        json!({"paymentMethod": WRITTEN}),
        json!({"paymentMethod": format!("pm_{CARD}")}),
        json!({"customer": format!("cus_{CARD}")}),
        json!({"currency": CARD}),
        json!({"account": format!("acct_{CARD}")}),
        json!({"extra": {"description": format!("paid with {WRITTEN}")}}),
        json!({"extra": {"statement_descriptor": CARD}}),
        json!({"extra": {"metadata[card]": CARD}}),
        json!({"extra": {format!("metadata[{CARD}]"): "x"}}),
        json!({"extra": {CARD: "x"}}),
        json!({"call": "get", "paymentIntent": format!("pi_{CARD}")}),
        json!({"call": "refund", "paymentIntent": CARD}),
        json!({"call": "refund", "paymentIntent": "pi_1", "reason": CARD}),
        json!({"call": "refund", "paymentIntent": "pi_1", "extra": {"metadata[card]": WRITTEN}}),
        json!({"call": "payout", "extra": {"description": WRITTEN}}),
        json!({"call": "transfer", "account": "acct_venue", "group": CARD}),
    ] {
        let mut call = json!({"do": "stripe", "call": "payment", "amount": 1200, "currency": "eur", "catch": true});
        call.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let refused = rig.run(call).await;
        assert_eq!(refused["error"], "invalid", "{change}: {refused}");
        assert_not_in("what the guest is told", &refused.to_string());
    }
    assert_eq!(rig.proxy.seen().len(), 0, "nothing left");
    assert_nowhere(&rig.db).await;
    assert_not_told(&rig.host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_of_an_upstream_is_journaled_without_a_cards_number() {
    let (db, receiver) = (Db::new().await, Receiver::start().await);
    let options = HostOptions {
        plugins: vec!["guest-effects.wasm"],
        config: format!("[upstreams.rig]\nbase_url = \"http://{}\"\nmethods = [\"GET\"]\n", receiver.place()),
        ..HostOptions::default()
    };
    let host = Host::start(&db, None, options).await;
    let client = host.client();
    let id = client.submit("guest-mail", json!({"do": "upstream", "path": format!("/cards/{CARD}")})).await;
    client.wait(&id, "completed").await;
    assert_eq!(receiver.received()[0].path, format!("/cards/{CARD}"), "what is asked is the guest's");
    assert_nowhere(&db).await;
    assert_not_told(&host).await;
}

/// Stripe's error, quoting the number.
fn quoting(status: u16, kind: &str) -> Reply {
    let mut reply = Reply::error(status, "made_up");
    let error = json!({"type": kind, "code": "made_up", "message": format!("No such card: '{CARD}' ({WRITTEN})")});
    reply.body = json!({ "error": error }).to_string().into_bytes();
    reply
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cards_number_that_a_provider_says_is_not_written_down() {
    let (world, sink, db) = (StripeWorld::start().await, Sink::start().await, Db::new().await);
    let proxy = FaultProxy::start(world.base_url()).await;
    let base = options(&proxy.base);
    let options = HostOptions { plugins: vec!["guest-money.wasm", "guest-effects.wasm"], filter: "debug", ..base };
    let host = Host::start(&db, Some(&sink), options).await;
    let client = host.client();
    let card = world.stripe.payment_method("tok_visa").await;
    let on = "POST /v1/payment_intents";
    let mut told = Vec::new();
    let mut run = async |payload: Value, state: &str| {
        let id = client.submit("guest-money", payload).await;
        let job = client.wait(&id, state).await;
        told.push(job.clone());
        job
    };

    // Refused: the guest hears it, and the job dies of it.
    for (status, kind) in [(402, "card_error"), (400, "invalid_request_error")] {
        proxy.on(on, 1, Fault::Answer(quoting(status, kind)));
        let job = run(payment(&card), "dead").await;
        assert!(job["errors"].to_string().contains("No such card: '(card number)'"), "{job}");
    }
    // Not now, not with this key, and perhaps: the job goes on later.
    for (status, kind) in [
        (409, "invalid_request_error"),
        (429, "invalid_request_error"),
        (401, "invalid_request_error"),
        (500, "api_error"),
    ] {
        proxy.on(on, 1, Fault::Answer(quoting(status, kind)));
        let job = run(payment(&card), "completed").await;
        assert!(job["errors"].to_string().contains("(card number)"), "{status}: {job}");
    }
    // Nobody will ever know: an alert says so.
    proxy.on(on, 1, Fault::Sticky { reply: quoting(500, "api_error"), acted: false });
    let job = run(payment(&card), "dead").await;
    assert_eq!(job["reason"], "unknown-outcome", "{job}");
    let alert = host.admin().get("/alerts").await.body;
    assert!(alert.to_string().contains("unknown-outcome") || alert.to_string().contains("(card number)"), "{alert}");
    // Somebody else has put it where it does not belong.
    let description = format!("by telephone, {WRITTEN}");
    let fields = [("amount", "1200"), ("currency", "eur"), ("description", &*description), ("metadata[card]", CARD)];
    let made = world.stripe.create("/v1/payment_intents", &fields).await;
    let job = run(json!({"do": "stripe", "call": "get", "paymentIntent": made["id"]}), "completed").await;
    assert_eq!(job["result"]["raw"]["description"], "by telephone, (card number)", "{job}");
    assert_eq!(job["result"]["raw"]["metadata"]["card"], "(card number)", "{job}");
    // A mail server has its own words.
    let said = format!("550 5.7.1 {CARD} is a card's number");
    sink.faults(&[&said]).await;
    let id = client.submit("guest-mail", json!({"do": "mail", "to": "anna@example.com"})).await;
    let job = client.wait(&id, "dead").await;
    assert!(job["errors"].to_string().contains("(card number) is a card's number"), "{job}");
    told.push(job);

    for job in told {
        assert_not_in("a job", &job.to_string());
    }
    // The last alert is told to the log, too.
    eventually("the log is there", async || host.log().contains("INFO").then_some(())).await;
    assert_nowhere(&db).await;
    assert_not_told(&host).await;
}
