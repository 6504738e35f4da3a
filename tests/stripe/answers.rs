//! The table of docs/security.md, "Stripe": each answer, and what becomes of the job.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Rig, options, payment};
use crate::support::{Db, Fault, Host, Reply};

/// What an answer means for the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// The guest is told, with this code; nothing was done.
    Rejected(&'static str),
    /// Put off; no attempt is burned.
    Waits,
    /// Tried again under the same key; an attempt is burned.
    Again,
    /// Asked about, and made if there is nothing of it; an attempt is burned.
    Doubt,
    /// A person decides.
    Parked,
}

/// In the shape of Stripe's errors.
fn error(status: u16, kind: &str, code: &str) -> Reply {
    let mut reply = Reply::error(status, code);
    reply.body = json!({"error": {"type": kind, "code": code, "message": "Made up."}}).to_string().into_bytes();
    reply
}

/// Of something in between.
fn page(status: u16) -> Reply {
    Reply { status, headers: vec![("content-type".to_owned(), "text/html".to_owned())], body: b"<html>".to_vec() }
}

fn replayed(mut reply: Reply) -> Reply {
    reply.headers.push(("idempotent-replayed".to_owned(), "true".to_owned()));
    reply
}

fn with(mut reply: Reply, name: &str, value: &str) -> Reply {
    reply.headers.push((name.to_owned(), value.to_owned()));
    reply
}

fn said(body: &Value) -> Reply {
    Reply { status: 200, headers: Vec::new(), body: body.to_string().into_bytes() }
}

fn table() -> Vec<(Fault, Meaning)> {
    let broken = || error(500, "api_error", "api_error");
    let own = "invalid_request_error";
    let answers = [
        (error(400, own, "parameter_missing"), Meaning::Rejected("parameter_missing")),
        (error(402, "card_error", "card_declined"), Meaning::Rejected("card_declined")),
        (error(404, own, "resource_missing"), Meaning::Rejected("resource_missing")),
        (error(409, own, "idempotency_key_in_use"), Meaning::Again),
        (with(error(429, own, "rate_limit"), "retry-after", "1"), Meaning::Again),
        (error(401, own, "api_key_expired"), Meaning::Waits),
        (error(403, own, "more_permissions_required"), Meaning::Waits),
        (error(400, "idempotency_error", "idempotency_error"), Meaning::Parked),
        (replayed(broken()), Meaning::Parked),
        (error(408, "api_error", "timeout"), Meaning::Doubt),
        (error(421, "api_error", "misdirected"), Meaning::Doubt),
        (error(424, own, "external_dependency_failed"), Meaning::Doubt),
        (error(425, "api_error", "too_early"), Meaning::Doubt),
        (page(404), Meaning::Doubt),
        (page(413), Meaning::Doubt),
        (with(page(302), "location", "http://127.0.0.1:1/"), Meaning::Doubt),
        (broken(), Meaning::Doubt),
        (page(502), Meaning::Doubt),
        (page(503), Meaning::Doubt),
        (said(&json!([])), Meaning::Doubt),
        (said(&json!({"id": "pi_1", "object": "payment_intent"})), Meaning::Doubt),
        (page(200), Meaning::Doubt),
    ];
    let mut table: Vec<_> = answers.into_iter().map(|(reply, meaning)| (Fault::Answer(reply), meaning)).collect();
    // The profile waits for five seconds.
    table
        .extend([Fault::CutBefore, Fault::CutAfter, Fault::Delay(Duration::from_secs(6))].map(|f| (f, Meaning::Doubt)));
    table
}

#[tokio::test(flavor = "multi_thread")]
async fn each_answer_means_what_the_table_says() {
    let rig = Rig::start().await;
    let client = rig.host.client();
    let card = rig.card("tok_visa").await;
    let mut made = 0;
    for (fault, meaning) in table() {
        let name = format!("{fault:?}");
        let before = rig.proxy.seen().len();
        rig.proxy.on("POST /v1/payment_intents", 1, fault);
        let id = rig.submit(payment(&card)).await;
        let state = if matches!(meaning, Meaning::Rejected(_) | Meaning::Parked) { "dead" } else { "completed" };
        let job = client.wait(&id, state).await;
        rig.proxy.wait_quiet().await;
        let seen = rig.proxy.seen();
        let (posts, questions): (Vec<_>, Vec<_>) =
            seen[before..].iter().map(|seen| &seen.request).partition(|request| request.method == "POST");
        let mut keys: Vec<_> = posts.iter().filter_map(|request| request.header("idempotency-key")).collect();
        keys.dedup();
        assert_eq!(keys.len(), 1, "one key, {name}");
        let errors = job["errors"].to_string();
        match meaning {
            Meaning::Rejected(code) => {
                assert_eq!((&job["reason"], posts.len()), (&json!("permanent"), 1), "{name}: {job}");
                assert!(errors.contains(code), "{name}: {errors}");
            }
            Meaning::Parked => {
                assert_eq!((&job["reason"], posts.len()), (&json!("unknown-outcome"), 1), "{name}: {job}");
            }
            Meaning::Waits => {
                assert_eq!((&job["attempt"], posts.len()), (&json!(1), 2), "{name}: {job}");
                assert_eq!(job["errors"][0]["kind"], "effect-snooze", "{name}: {job}");
            }
            Meaning::Again => {
                assert_eq!((&job["attempt"], posts.len(), questions.len()), (&json!(2), 2, 0), "{name}: {job}");
                assert_eq!(job["errors"][0]["kind"], "effect-retry", "{name}: {job}");
            }
            Meaning::Doubt => {
                assert_eq!(job["attempt"], 2, "{name}: {job}");
                assert!(!questions.is_empty() && posts.len() <= 2, "{name}: asked about, {seen:?}");
            }
        }
        made += usize::from(state == "completed");
        assert_eq!(rig.count("payment_intents").await, made, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_refused_is_an_outage_that_burns_no_attempt() {
    let db = Db::new().await;
    let host = Host::start(&db, None, options("http://127.0.0.1:1")).await;
    let id = host.client().submit("guest-money", payment("pm_card_visa")).await;
    let error = host.client().wait_error(&id, "effect-snooze").await;
    assert!(error["message"].as_str().unwrap().contains("cannot be reached"), "{error}");
    assert_eq!(db.text("SELECT state FROM effects").await.as_deref(), Some("deferred"));
    assert_eq!(db.count("SELECT attempt::bigint FROM jobs").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_currency_without_a_smaller_unit_is_charged_in_its_own() {
    let rig = Rig::start().await;
    let card = rig.card("tok_visa").await;
    for (currency, amount) in [("jpy", 500), ("KRW", 1_000)] {
        let mut call = payment(&card);
        (call["amount"], call["currency"]) = (amount.into(), currency.into());
        let paid = rig.run(call).await;
        assert_eq!((&paid["amount"], &paid["currency"]), (&json!(amount), &json!(currency.to_lowercase())), "{paid}");
    }
    let sent: Vec<_> = rig.proxy.seen().iter().map(|seen| seen.request.text()).collect();
    for field in ["amount=500&currency=jpy", "amount=1000&currency=krw"] {
        assert!(sent.iter().any(|body| body.contains(field)), "{field}: {sent:?}");
    }
    assert_eq!(
        rig.db.text("SELECT amount || currency FROM ledger WHERE currency = 'jpy'").await.as_deref(),
        Some("500jpy")
    );
    // A króna has none either, and Stripe wants two zeroes for it.
    let mut call = payment(&card);
    (call["amount"], call["currency"], call["catch"]) = (750.into(), "isk".into(), true.into());
    let refused = rig.run(call).await;
    assert_eq!(refused["error"], "invalid", "{refused}");
}
