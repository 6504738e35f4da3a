//! Calls of which nobody heard the end.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{Rig, options, payment};
use crate::support::{Db, Fault, FaultProxy, Host, LocalStripe, Reply, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_asked_for_before_anything_is_sent_again() {
    let rig = Rig::start().await;
    let card = rig.card("tok_visa").await;
    rig.world.stripe.balance(9000, "eur").await;
    let before = rig.count("payment_intents").await;
    rig.proxy.on("POST /v1/payment_intents", 1, Fault::CutAfter);
    let paid = rig.run(payment(&card)).await;
    assert_eq!(rig.count("payment_intents").await, before + 1);
    assert_eq!(rig.db.text("SELECT source FROM ledger WHERE kind = 'payment'").await.as_deref(), Some("asked"));
    for (call, path, collection) in [
        (json!({"call": "refund", "paymentIntent": paid["id"], "amount": 100}), "POST /v1/refunds", "refunds"),
        (json!({"call": "payout", "amount": 700, "currency": "eur"}), "POST /v1/payouts", "payouts"),
    ] {
        let mut call = call;
        call["do"] = "stripe".into();
        let made = rig.count(collection).await;
        rig.proxy.on(path, 1, Fault::CutAfter);
        rig.run(call).await;
        assert_eq!(rig.count(collection).await, made + 1, "{collection}");
        let posts = rig
            .proxy
            .seen()
            .iter()
            .filter(|seen| format!("{} {}", seen.request.method, seen.request.path).starts_with(path))
            .count();
        assert_eq!(posts, 1, "{collection}: found by asking, not sent again");
    }
    // A decline whose answer was lost is found as one.
    let bad = rig.card("tok_visa_chargeDeclined").await;
    rig.proxy.on("POST /v1/payment_intents", 1, Fault::CutAfter);
    let mut call = payment(&bad);
    call["catch"] = true.into();
    let refused = rig.run(call).await;
    assert_eq!((&refused["error"], &refused["status"]), (&json!("rejected"), &json!(402)), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cancelled_job_has_in_doubt_is_asked_about_before_anybody_is() {
    let mut rig = Rig::start().await;
    let card = rig.card("tok_visa").await;
    for (held, fault, state) in [(1, Fault::HoldAfter, "cancelled"), (2, Fault::HoldBefore, "dead")] {
        rig.proxy.on("POST /v1/payment_intents", 1, fault);
        let two = json!({"do": "steps", "steps": [payment(&card), payment(&card)]});
        let job = rig.submit(two).await;
        rig.proxy.wait_held(held).await;
        // The host dies with its call under way, and somebody cancels the job.
        rig.host.kill9();
        rig.db.execute(&format!("UPDATE jobs SET cancel_requested = true WHERE id = '{job}'")).await;
        rig.host = Host::start(&rig.db, None, options(&rig.proxy.base)).await;
        let ended = rig.host.client().wait(&job, state).await;
        assert_eq!(rig.count("payment_intents").await, 1, "{ended}");
        if state == "cancelled" {
            // Stripe has it, so finance hears of it, and the key stays held.
            assert_eq!(rig.db.text("SELECT source FROM ledger").await.as_deref(), Some("asked"));
        } else {
            assert_eq!(ended["reason"], "unknown-outcome", "Stripe does not have it yet: {ended}");
        }
        rig.proxy.release();
        rig.proxy.wait_quiet().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_attempts_doubt_is_asked_about_before_anybody_is() {
    let rig = Rig::start().await;
    let card = rig.card("tok_visa").await;
    let later = chrono::Utc::now() + chrono::TimeDelta::hours(1);
    let body = json!({"type": "guest-money", "payload": payment(&card), "runAt": later}).to_string();
    let job = rig.host.client().post(body).await.body["id"].as_str().unwrap().to_owned();
    // All attempts but one are spent.
    let spent = format!("UPDATE jobs SET attempt = max_attempts - 1, run_at = now() WHERE id = '{job}'");
    rig.proxy.on("POST /v1/payment_intents", 1, Fault::CutAfter);
    assert_eq!(rig.db.execute(&spent).await, 1);
    let done = rig.host.client().wait(&job, "completed").await;
    assert_eq!(done["result"]["status"], "succeeded", "{done}");
    assert_eq!(rig.count("payment_intents").await, 1);
    assert_eq!(rig.db.count("SELECT count(*) FROM alerts").await, 0, "nobody was asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_key_protects_the_question_alone_keeps_it_single() {
    let (local, db) = (LocalStripe::start().await, Db::new().await);
    let proxy = FaultProxy::start(local.base_url()).await;
    let host = Host::start(&db, None, options(&proxy.base)).await;
    let card = "pm_card_visa";
    for fault in [Fault::CutAfter, Fault::CutBefore, Fault::broken()] {
        let made = local.stripe.list("/v1/payment_intents").await.len();
        let name = format!("{fault:?}");
        proxy.on("POST /v1/payment_intents", 1, fault);
        let id = host.client().submit("guest-money", payment(card)).await;
        host.client().wait(&id, "completed").await;
        assert_eq!(local.stripe.list("/v1/payment_intents").await.len(), made + 1, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_repeats_itself_under_its_key_is_left_to_a_person() {
    let rig = Rig::start().await;
    let card = rig.card("tok_visa").await;
    let mut broken = Reply::error(500, "api_error");
    broken.headers.push(("idempotent-replayed".to_owned(), "true".to_owned()));
    for (resolution, outcome, intents) in [
        (json!({"outcome": "resend", "evidence": "the dashboard shows nothing"}), "completed", 1),
        (json!({"outcome": "void", "evidence": "the order was withdrawn"}), "dead", 1),
    ] {
        rig.proxy.on("POST /v1/payment_intents", 1, Fault::Sticky { reply: broken.clone(), acted: false });
        let job = rig.submit(payment(&card)).await;
        rig.parked(&job).await;
        let shown = rig.host.client().get("/effects?state=doubt").await;
        assert_eq!(shown.body["items"][0]["job"], job.as_str(), "{}", shown.body);
        let alerts = rig.host.client().get("/alerts?state=open").await;
        assert_eq!(alerts.body["items"][0]["kind"], "unknown-outcome", "{}", alerts.body);
        let retry = rig.host.admin().send(Method::POST, &format!("/jobs/{job}/retry"), None).await;
        assert_eq!(retry.status, StatusCode::CONFLICT, "until then a retry is refused: {}", retry.body);
        rig.resolve(&job, resolution).await;
        rig.host.client().wait(&job, outcome).await;
        assert_eq!(rig.count("payment_intents").await, intents);
        let alerts = rig.host.client().get("/alerts?state=open").await;
        assert_eq!(alerts.body["items"], json!([]), "its alert is over");
    }
    let audit = rig.host.admin().get("/audit").await;
    // Beside them: the plugin was published.
    let of_effects = audit.body["items"].as_array().unwrap().iter().filter(|item| item["action"] == "effect.resolve");
    assert_eq!(of_effects.count(), 2, "{}", audit.body);
    assert_eq!(audit.body["items"][0]["detail"]["evidence"], "the order was withdrawn");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_job_waits_for_a_person_however_long() {
    let mut rig = Rig::start().await;
    let card = rig.card("tok_visa").await;
    let mut broken = Reply::error(500, "api_error");
    broken.headers.push(("idempotent-replayed".to_owned(), "true".to_owned()));
    rig.proxy.on("POST /v1/payment_intents", 1, Fault::Sticky { reply: broken, acted: false });
    let job = rig.submit(payment(&card)).await;
    rig.parked(&job).await;
    let later = chrono::Utc::now() + chrono::TimeDelta::hours(1);
    let other = json!({"type": "guest-money", "payload": payment(&card), "runAt": later}).to_string();
    let other = rig.host.client().post(other).await.body["id"].as_str().unwrap().to_owned();
    // A year later: beyond its expiry, and beyond the days of every archive.
    rig.db.age("365 days").await;
    rig.host.kill9();
    rig.host = Host::start(&rig.db, None, options(&rig.proxy.base)).await;
    // The round that ends what has expired goes by.
    eventually("the other has expired", async || {
        (rig.host.client().job(&other).await["reason"] == "expired").then_some(())
    })
    .await;
    rig.parked(&job).await;
    rig.resolve(&job, json!({"outcome": "resend", "evidence": "Stripe shows nothing"})).await;
    rig.host.client().wait(&job, "completed").await;
    assert_eq!(rig.count("payment_intents").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_saw_at_stripe_is_the_answer_and_the_ledgers_line() {
    let rig = Rig::start().await;
    let card = rig.card("tok_visa").await;
    let mut broken = Reply::error(500, "api_error");
    broken.headers.push(("idempotent-replayed".to_owned(), "true".to_owned()));
    rig.proxy.on("POST /v1/payment_intents", 1, Fault::Sticky { reply: broken, acted: true });
    let job = rig.submit(payment(&card)).await;
    rig.parked(&job).await;
    let made = rig.world.stripe.list("/v1/payment_intents").await;
    let (admin, path) = (rig.host.admin(), format!("/effects/{job}/0/resolve"));
    for (body, pointer) in [
        (json!({"outcome": "happened", "evidence": "x"}), "/answer"),
        (json!({"outcome": "happened", "evidence": "x", "answer": {"id": "pi_1"}}), "/answer/amount"),
        (json!({"outcome": "void", "evidence": "x", "answer": {}}), "/answer"),
        (json!({"outcome": "void"}), "/evidence"),
        (json!({"outcome": "maybe", "evidence": "x"}), "/outcome"),
    ] {
        let answer = admin.send(Method::POST, &path, Some(body)).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.body);
        assert_eq!(answer.body["errors"][0]["pointer"], pointer, "{}", answer.body);
    }
    let user = rig.host.client().send(Method::POST, &path, Some(json!({"outcome": "void", "evidence": "x"}))).await;
    assert_eq!(user.status, StatusCode::FORBIDDEN);
    let told = json!({"id": made[0]["id"], "status": "succeeded", "amount": 1200, "currency": "EUR"});
    rig.resolve(&job, json!({"outcome": "happened", "evidence": "seen in the dashboard", "answer": told})).await;
    let done = rig.host.client().wait(&job, "completed").await;
    assert_eq!(done["result"]["id"], made[0]["id"]);
    assert_eq!(rig.count("payment_intents").await, 1);
    assert_eq!(rig.db.text("SELECT source FROM ledger").await.as_deref(), Some("person"));
    let again = admin.send(Method::POST, &path, Some(json!({"outcome": "void", "evidence": "x"}))).await;
    assert!(matches!(again.status, StatusCode::CONFLICT | StatusCode::NOT_FOUND), "{}", again.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_may_have_forgotten_is_not_repeated() {
    let rig = Rig::start().await;
    let card = rig.card("tok_visa").await;
    // Nothing arrived, and Stripe cannot be asked until a day has gone by.
    rig.proxy.on("POST /v1/payment_intents", 1, Fault::broken());
    rig.proxy.on("GET /v1/payment_intents", 1_000, Fault::broken());
    let job = rig.submit(payment(&card)).await;
    rig.host.client().wait_error(&job, "effect-snooze").await;
    rig.db.execute("UPDATE effects SET first_at = first_at - interval '23 hours'").await;
    rig.proxy.clear();
    rig.parked(&job).await;
    assert_eq!(rig.count("payment_intents").await, 0);
}
