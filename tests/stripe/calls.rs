//! What is asked for, and what never leaves the host.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{Rig, options, payment};
use crate::support::{Db, Fault, Host, StripeStandIn, StripeWorld, stripe_api, token};

#[tokio::test(flavor = "multi_thread")]
async fn each_function_does_what_it_says_and_the_ledger_has_its_line() {
    let rig = Rig::start().await;
    let card = rig.card("tok_visa").await;
    let customer = rig.world.stripe.customer("anna@example.com").await;

    let mut pay = payment(&card);
    pay["customer"] = customer.clone().into();
    pay["extra"] = json!({"description": "two seats", "metadata[order]": "o-1"});
    let paid = rig.run(pay).await;
    assert_eq!(
        (&paid["status"], &paid["amount"], &paid["currency"]),
        (&json!("succeeded"), &json!(1200), &json!("eur"))
    );
    assert_eq!(paid["raw"]["metadata"]["order"], "o-1", "{paid}");
    assert!(paid["raw"].get("client_secret").is_none(), "{paid}");

    let seen = rig.run(json!({"do": "stripe", "call": "get", "paymentIntent": paid["id"]})).await;
    assert_eq!((&seen["id"], &seen["status"]), (&paid["id"], &paid["status"]));

    let part =
        json!({"do": "stripe", "call": "refund", "paymentIntent": paid["id"], "amount": 200, "reason": "duplicate"});
    assert_eq!(rig.run(part).await["amount"], 200);
    let rest = rig.run(json!({"do": "stripe", "call": "refund", "paymentIntent": paid["id"]})).await;
    assert_eq!(rest["amount"], 1000, "what was left");

    let mut held = payment(&card);
    held["extra"] = json!({"capture_method": "manual"});
    let authorised = rig.run(held.clone()).await;
    assert_eq!(authorised["status"], "requires_capture", "{authorised}");
    let capture = json!({"do": "stripe", "call": "capture", "paymentIntent": authorised["id"], "amount": 900});
    let captured = rig.run(capture).await;
    assert_eq!((&captured["status"], &captured["amount"]), (&json!("succeeded"), &json!(900)), "{captured}");

    held["amount"] = 1300.into();
    let authorised = rig.run(held).await;
    let cancel = json!({"do": "stripe", "call": "cancel", "paymentIntent": authorised["id"], "reason": "abandoned"});
    assert_eq!(rig.run(cancel).await["status"], "canceled");

    rig.world.stripe.balance(5000, "eur").await;
    let payout = rig.run(json!({"do": "stripe", "call": "payout", "amount": 700, "currency": "eur"})).await;
    assert_eq!(payout["amount"], 700, "{payout}");

    let lines: Vec<(String, i64)> =
        sqlx::query_as("SELECT kind, amount FROM ledger ORDER BY at").fetch_all(&rig.db.pool).await.unwrap();
    let lines: Vec<_> = lines.iter().map(|(kind, amount)| (kind.as_str(), *amount)).collect();
    let want = [
        ("payment", 1200),
        ("refund", 200),
        ("refund", 1000),
        ("payment", 1200),
        ("capture", 900),
        ("payment", 1300),
        ("cancel", 1300),
        ("payout", 700),
    ];
    assert_eq!(lines, want);
    assert_eq!(rig.db.count("SELECT count(*) FROM ledger WHERE tenant = 't1' AND profile = 'main'").await, 8);
    let changed = sqlx::query("UPDATE ledger SET amount = 0").execute(&rig.db.pool).await;
    assert!(changed.is_err(), "the ledger is append-only");

    // What was sent is what Stripe's own description allows, each write with its key, all of one pinned version.
    for seen in rig.proxy.seen() {
        let request = &seen.request;
        let (path, query) = request.split();
        let fields = if request.method == "POST" { request.text() } else { query.to_owned() };
        let complaints = stripe_api::newest().complaints(&request.method, path, &fields);
        assert_eq!(complaints, Vec::<String>::new(), "{} {path} {fields}", request.method);
        assert_eq!(request.header("idempotency-key").is_some(), request.method == "POST");
        assert_eq!(request.header("stripe-version"), Some(stripe_api::newest().version()));
    }
    assert!(rig.proxy.seen().len() >= 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn transfers_and_connected_accounts_are_asked_for_as_stripe_describes_them() {
    let (stand_in, db) = (StripeStandIn::start().await, Db::new().await);
    let host = Host::start(&db, None, options(&stand_in.base)).await;
    let client = host.client();
    let transfer = json!({
        "do": "stripe", "call": "transfer", "amount": 500, "currency": "eur", "account": "acct_venue", "group": "g1",
        "extra": {"description": "share"},
    });
    let id = client.submit("guest-money", transfer).await;
    let made = client.wait(&id, "completed").await["result"].clone();
    assert_eq!((&made["status"], &made["amount"]), (&json!("created"), &json!(500)), "{made}");
    let payout = json!({"do": "stripe", "call": "payout", "amount": 300, "currency": "eur", "account": "acct_venue"});
    let id = client.submit("guest-money", payout).await;
    client.wait(&id, "completed").await;
    assert_eq!((stand_in.all("transfers", "").len(), stand_in.all("payouts", "acct_venue").len()), (1, 1));
    for call in ["transfer", "payout"] {
        let other = json!({
            "do": "stripe", "call": call, "amount": 500, "currency": "eur", "account": "acct_stranger", "catch": true,
        });
        let id = client.submit("guest-money", other).await;
        let refused = client.wait(&id, "completed").await["result"].clone();
        assert_eq!(refused["error"], "denied", "{refused}");
        assert!(refused["message"].as_str().unwrap().contains("stripe.profiles.main.connected"), "{refused}");
    }
    assert_eq!(stand_in.seen().len(), 2, "nothing left the host");
    assert_eq!(db.text("SELECT account FROM ledger WHERE kind = 'payout'").await.as_deref(), Some("acct_venue"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_nothing_is_sent_again_under_the_same_key() {
    let rig = Rig::start().await;
    let card = rig.card("tok_visa").await;
    for fault in [Fault::too_many(1), Fault::conflict(), Fault::CutBefore] {
        let name = format!("{fault:?}");
        let (sent, made) = (rig.proxy.seen().len(), rig.count("payment_intents").await);
        rig.proxy.on("POST /v1/payment_intents", 1, fault);
        rig.run(payment(&card)).await;
        assert_eq!(rig.count("payment_intents").await, made + 1, "{name}");
        let seen = rig.proxy.seen();
        let mut keys: Vec<_> = seen[sent..].iter().filter_map(|seen| seen.request.header("idempotency-key")).collect();
        keys.dedup();
        assert_eq!(keys.len(), 1, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_provider_is_called_by_nobody_and_jobs_wait_without_burning_attempts() {
    let rig = Rig::start().await;
    let second = Host::start(&rig.db, None, options(&rig.proxy.base)).await;
    let card = rig.card("tok_visa").await;
    let admin = rig.host.admin();
    let pause = admin.send(Method::POST, "/providers/stripe/pause", Some(json!({"tenant": "t1"}))).await;
    assert_eq!((pause.status, &pause.body["changed"]), (StatusCode::OK, &json!(true)), "{}", pause.body);
    let mut jobs = Vec::new();
    for _ in 0..4 {
        jobs.push(rig.submit(payment(&card)).await);
    }
    for job in &jobs {
        let error = rig.host.client().wait_error(job, "effect-snooze").await;
        assert_eq!(error["message"], "stripe is paused");
    }
    assert_eq!(rig.proxy.seen().len(), 0);
    let resume = second.admin().send(Method::POST, "/providers/stripe/resume", Some(json!({"tenant": "t1"}))).await;
    assert_eq!(resume.body["changed"], true, "{}", resume.body);
    for job in &jobs {
        let done = rig.host.client().wait(job, "completed").await;
        assert_eq!(done["attempt"], 1, "{done}");
    }
    let unknown = admin.send(Method::POST, "/providers/carrot/pause", None).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let user = rig.host.client().send(Method::POST, "/providers/stripe/pause", None).await;
    assert_eq!(user.status, StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_never_leaves_the_host() {
    let rig = Rig::start().await;
    let long = "x".repeat(600);
    for (change, said) in [
        (json!({"amount": 0}), "amount"),
        (json!({"amount": 100_000_000}), "amount"),
        (json!({"amount": i64::MAX}), "amount"),
        (json!({"currency": "xxx"}), "currency"),
        (json!({"currency": ""}), "currency"),
        (json!({"amount": 1234, "currency": "kwd"}), "multiple of 10"),
        (json!({"customer": "pi_1"}), "customer"),
        (json!({"customer": "cus_1\n"}), "customer"),
        (json!({"paymentMethod": "pm_1&amount=1"}), "payment-method"),
        (json!({"paymentMethod": "4242 4242 4242 4242"}), "payment-method"),
        (json!({"extra": {"amount": "1"}}), "extra"),
        (json!({"extra": {"transfer_data[destination]": "acct_x"}}), "extra"),
        (json!({"extra": {"metadata[usher_effect]": "x"}}), "extra"),
        (json!({"extra": {"metadata[a][b]": "x"}}), "extra"),
        (json!({"extra": {"description": long}}), "extra"),
        (json!({"extra": {"description": "a\r\nb"}}), "extra"),
        (json!({"account": "venue"}), "account"),
        (json!({"call": "get", "paymentIntent": "pi_1/../../v1/customers"}), "payment-intent"),
        (json!({"call": "refund", "paymentIntent": "ch_1"}), "payment-intent"),
        (json!({"call": "refund", "paymentIntent": "pi_1", "reason": "spite"}), "reason"),
        (json!({"call": "cancel", "paymentIntent": "pi_1", "reason": "spite"}), "reason"),
        (json!({"call": "refund", "paymentIntent": "pi_1", "amount": 0}), "amount"),
        (json!({"call": "payout", "amount": 550, "currency": "huf"}), "multiple of 100"),
        (json!({"call": "transfer", "account": "cus_1"}), "acct_"),
    ] {
        let mut call = json!({"do": "stripe", "call": "payment", "amount": 1200, "currency": "eur", "catch": true});
        for (name, value) in change.as_object().unwrap() {
            call[name] = value.clone();
        }
        let refused = rig.run(call).await;
        assert_eq!(refused["error"], "invalid", "{change}: {refused}");
        assert!(refused["message"].as_str().unwrap().contains(said), "{change}: {refused}");
    }
    assert_eq!(rig.proxy.seen().len(), 0, "nothing left");
    let card = "4242 4242 4242 4242";
    assert_eq!(
        rig.db.count(&format!("SELECT count(*) FROM jobs_archive WHERE journal::text LIKE '%{card}%'")).await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_grant_or_profile_nothing_is_asked() {
    let (world, db) = (StripeWorld::start().await, Db::new().await);
    let host = Host::start(&db, None, options(world.base_url())).await;
    let stranger = host.client().with_token(token("user", Some("t9")));
    let mut call = payment("pm_1");
    call["catch"] = true.into();
    let id = stranger.submit("guest-money", call).await;
    let refused = stranger.wait(&id, "completed").await["result"].clone();
    assert_eq!(refused["error"], "denied", "{refused}");
    assert_eq!(db.count("SELECT count(*) FROM ledger").await, 0);
}
