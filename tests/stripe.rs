//! Money through the gate, counted at the provider: Stripe World, which keeps Stripe's promises about keys; localstripe, which
//! shows a double that a key would hide; and for what neither has, a stand-in.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{
    Db, Fault, FaultProxy, Host, HostOptions, LocalStripe, Reply, StripeStandIn, StripeWorld, eventually,
    stripe::{KEY, id},
    stripe_api, token, usher,
};

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
timeout = "2s"
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
struct Rig {
    world: StripeWorld,
    proxy: FaultProxy,
    db: Db,
    host: Host,
}

impl Rig {
    async fn start() -> Self {
        let world = StripeWorld::start().await;
        let proxy = FaultProxy::start(world.base_url()).await;
        let db = Db::new().await;
        let host = Host::start(&db, None, options(&proxy.base)).await;
        Self { world, proxy, db, host }
    }

    async fn submit(&self, payload: Value) -> String {
        self.host.client().submit("guest-money", payload).await
    }

    async fn run(&self, payload: Value) -> Value {
        let id = self.submit(payload).await;
        self.host.client().wait(&id, "completed").await["result"].clone()
    }

    async fn card(&self, token: &str) -> String {
        self.world.stripe.payment_method(token).await
    }

    async fn parked(&self, id: &str) -> Value {
        let job = self.host.client().wait(id, "dead").await;
        assert_eq!(job["reason"], "unknown-outcome", "{job}");
        job
    }

    async fn resolve(&self, id: &str, body: Value) -> Value {
        let answer = self.host.admin().send(Method::POST, &format!("/effects/{id}/0/resolve"), Some(body)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.body
    }

    /// What Stripe has, by collection: `payment_intents`, `refunds`, `payouts`.
    async fn count(&self, collection: &str) -> usize {
        self.world.stripe.list(&format!("/v1/{collection}")).await.len()
    }
}

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
async fn a_declined_card_is_a_refusal_and_a_retry_after_the_card_was_changed_charges_once() {
    let rig = Rig::start().await;
    // The card is the customer's default, so that it can change while the payload stays.
    let bad = rig.card("tok_visa_chargeDeclinedInsufficientFunds").await;
    let body = json!({"type": "guest-money", "payload": payment(&bad)}).to_string();
    let client = rig.host.client();
    let first = client.post_with(body.clone(), &[("idempotency-key", "order-1")]).await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{}", first.body);
    let job = first.body["id"].as_str().unwrap().to_owned();
    let dead = client.wait(&job, "dead").await;
    assert_eq!(dead["reason"], "permanent", "{dead}");
    let error = dead["errors"][0]["message"].as_str().unwrap();
    assert!(error.contains("insufficient_funds"), "{error}");
    assert_eq!(rig.db.count("SELECT count(*) FROM ledger").await, 0);

    // A customer's new submit under the same key is taken: nothing happened under it.
    let good = rig.card("tok_visa").await;
    let body = json!({"type": "guest-money", "payload": payment(&good)}).to_string();
    let second = client.post_with(body, &[("idempotency-key", "order-1")]).await;
    assert_eq!(second.status, StatusCode::ACCEPTED, "{}", second.body);
    client.wait(second.body["id"].as_str().unwrap(), "completed").await;
    let charged = rig.world.stripe.list("/v1/payment_intents").await;
    let succeeded = charged.iter().filter(|intent| intent["status"] == "succeeded").count();
    assert_eq!(succeeded, 1, "{charged:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admins_retry_asks_anew_and_charges_once() {
    let rig = Rig::start().await;
    let good = rig.card("tok_visa").await;
    // A decline that is gone by the time of the retry, as when the bank or the customer has seen to it.
    let mut declined = Reply::error(402, "card_declined");
    declined.body = json!({"error": {"type": "card_error", "code": "card_declined", "decline_code": "do_not_honor",
        "message": "Your card was declined."}})
    .to_string()
    .into_bytes();
    rig.proxy.on("POST /v1/payment_intents", 1, Fault::Sticky { reply: declined, acted: false });
    let job = rig.submit(payment(&good)).await;
    let dead = rig.host.client().wait(&job, "dead").await;
    assert_eq!(dead["reason"], "permanent", "{dead}");
    let answer = rig.host.admin().send(Method::POST, &format!("/jobs/{job}/retry"), None).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    let done = rig.host.client().wait(&job, "completed").await;
    assert_eq!(done["result"]["status"], "succeeded");
    assert_eq!(rig.count("payment_intents").await, 1);
    let keys: Vec<_> =
        rig.proxy.seen().iter().filter_map(|s| s.request.header("idempotency-key").map(str::to_owned)).collect();
    assert_ne!(keys[0], keys[1], "under the old key Stripe would repeat the old decline");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_new_beginning_has_a_key_of_its_own_and_what_was_voided_stays_so() {
    let rig = Rig::start().await;
    let card = rig.card("tok_visa").await;
    let mut broken = Reply::error(500, "api_error");
    broken.headers.push(("idempotent-replayed".to_owned(), "true".to_owned()));
    let mut declined = Reply::error(402, "card_declined");
    declined.body =
        json!({"error": {"type": "card_error", "code": "card_declined", "message": "No."}}).to_string().into_bytes();
    rig.proxy.on("POST /v1/payment_intents", 1, Fault::Sticky { reply: broken.clone(), acted: false });
    rig.proxy.on("POST /v1/payment_intents", 1, Fault::Sticky { reply: declined, acted: false });
    let job = rig.submit(payment(&card)).await;
    rig.parked(&job).await;
    rig.resolve(&job, json!({"outcome": "resend", "evidence": "Stripe shows nothing"})).await;
    eventually("the card is declined", async || {
        (rig.host.client().job(&job).await["reason"] == "permanent").then_some(())
    })
    .await;
    let retry = rig.host.admin().send(Method::POST, &format!("/jobs/{job}/retry"), None).await;
    assert_eq!(retry.status, StatusCode::ACCEPTED, "{}", retry.body);
    rig.host.client().wait(&job, "completed").await;
    let seen = rig.proxy.seen();
    let mut keys: Vec<_> = seen.iter().filter_map(|seen| seen.request.header("idempotency-key")).collect();
    let sent = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!((sent, keys.len()), (3, 3), "three beginnings, three keys");
    assert_eq!(rig.count("payment_intents").await, 1);

    rig.proxy.on("POST /v1/payment_intents", 1, Fault::Sticky { reply: broken, acted: false });
    let job = rig.submit(payment(&card)).await;
    rig.parked(&job).await;
    rig.resolve(&job, json!({"outcome": "void", "evidence": "withdrawn"})).await;
    eventually("it is dead", async || (rig.host.client().job(&job).await["reason"] == "permanent").then_some(())).await;
    rig.host.admin().send(Method::POST, &format!("/jobs/{job}/retry"), None).await;
    eventually("it is dead again", async || {
        let again = "SELECT count(*) FROM jobs_archive WHERE state = 'dead' AND redrives = 1 AND id = ";
        (rig.db.count(&format!("{again}'{job}'")).await == 1).then_some(())
    })
    .await;
    assert_eq!(rig.count("payment_intents").await, 1, "a retry does not charge what a person has voided");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_account_under_two_names_is_shared_all_the_same() {
    let (world, db) = (StripeWorld::start().await, Db::new().await);
    let mut options = options(world.base_url());
    options.config = ["t1", "t2"].map(|tenant| {
        format!(
            "[stripe.profiles.{tenant}]\nkey = {{ env = \"USHER_TEST_STRIPE\" }}\ntenants = [\"{tenant}\"]\nbase_url = \"{}\"\n",
            world.base_url()
        )
    })
    .concat();
    let host = Host::start(&db, None, options).await;
    let card = world.stripe.payment_method("tok_visa").await;
    let paid = host.client().submit("guest-money", payment(&card)).await;
    let paid = host.client().wait(&paid, "completed").await["result"]["id"].clone();
    let other = host.client().with_token(token("user", Some("t2")));
    let refund = json!({"do": "stripe", "call": "refund", "paymentIntent": paid, "catch": true});
    let id = other.submit("guest-money", refund).await;
    assert_eq!(other.wait(&id, "completed").await["result"]["code"], "resource_missing");
    assert_eq!(world.stripe.list("/v1/refunds").await.len(), 0);
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
    assert_eq!(audit.body["items"].as_array().unwrap().len(), 2, "{}", audit.body);
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
    // A year later: beyond its expiry, and beyond the days of every archive. A host that starts does its rounds first.
    rig.db.age("365 days").await;
    rig.host.kill9();
    rig.host = Host::start(&rig.db, None, options(&rig.proxy.base)).await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
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
async fn each_tenant_and_venue_has_its_account_and_sees_no_others_payments() {
    let (shared, venue) = (StripeWorld::start().await, StripeWorld::start().await);
    let db = Db::new().await;
    let mut options = options(shared.base_url());
    options.config = format!(
        r#"
[stripe.profiles.all]
key = {{ env = "USHER_TEST_STRIPE" }}
tenants = ["*"]
base_url = "{}"
[stripe.profiles.arena]
key = {{ env = "USHER_TEST_STRIPE" }}
tenants = ["t1"]
venues = ["arena"]
base_url = "{}"
"#,
        shared.base_url(),
        venue.base_url()
    );
    let host = Host::start(&db, None, options).await;
    let (one, other) = (host.client(), host.client().with_token(token("user", Some("t2"))));
    let cards = [shared.stripe.payment_method("tok_visa").await, venue.stripe.payment_method("tok_visa").await];
    let mut at_venue = payment(&cards[1]);
    at_venue["venueId"] = "arena".into();
    for (payload, world) in [(payment(&cards[0]), &shared), (at_venue, &venue)] {
        let id = one.submit("guest-money", payload).await;
        one.wait(&id, "completed").await;
        assert_eq!(world.stripe.list("/v1/payment_intents").await.len(), 1);
    }
    // Another tenant on the same account names t1's payment.
    let theirs = id(&shared.stripe.list("/v1/payment_intents").await[0]);
    for call in ["get", "refund", "capture", "cancel"] {
        let payload = json!({"do": "stripe", "call": call, "paymentIntent": theirs, "catch": true});
        let id = other.submit("guest-money", payload).await;
        let refused = other.wait(&id, "completed").await["result"].clone();
        assert_eq!((&refused["error"], &refused["code"]), (&json!("rejected"), &json!("resource_missing")), "{call}");
    }
    assert_eq!(shared.stripe.list("/v1/refunds").await.len(), 0);
    let own = one.submit("guest-money", json!({"do": "stripe", "call": "refund", "paymentIntent": theirs})).await;
    one.wait(&own, "completed").await;
    assert_eq!(shared.stripe.list("/v1/refunds").await.len(), 1);
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

#[tokio::test(flavor = "multi_thread")]
async fn a_day_is_reconciled_and_only_what_one_side_has_is_named() {
    let rig = Rig::start().await;
    let card = rig.card("tok_visa").await;
    let mut paid = Vec::new();
    for _ in 0..3 {
        paid.push(rig.run(payment(&card)).await);
    }
    rig.run(json!({"do": "stripe", "call": "refund", "paymentIntent": paid[0]["id"], "amount": 100})).await;
    let config = rig.host.data_dir.join("usher.toml");
    let reconcile = || {
        let day = chrono::Utc::now().format("%Y-%m-%d").to_string();
        let mut command = usher();
        command.args(["effects", "reconcile", "--provider", "stripe", "--day", &day, "--config"]).arg(&config);
        command.env("DATABASE_URL", &rig.db.url).env("USHER_TEST_STRIPE", KEY).env("USHER_TEST_JWT", env_secret());
        command.env("USHER_TEST_SMTP_PASSWORD", "x");
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), text + &String::from_utf8_lossy(&output.stderr))
    };
    let (code, text) = reconcile();
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("4 agree, 0 differ"), "{text}");

    // What was in doubt may be written down a day later: both days agree all the same.
    let late = format!(
        "ALTER TABLE ledger DISABLE TRIGGER ALL; UPDATE ledger SET at = at + interval '1 day' WHERE provider_id = '{}'; \
         ALTER TABLE ledger ENABLE TRIGGER ALL",
        paid[2]["id"].as_str().unwrap()
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(late)).execute(&rig.db.pool).await.unwrap();
    let (code, text) = reconcile();
    assert_eq!(code, Some(0), "{text}");

    // One charge made outside, one line of the ledger taken away.
    rig.world.stripe.balance(777, "eur").await;
    let gone = paid[1]["id"].as_str().unwrap();
    let sql = format!("ALTER TABLE ledger DISABLE TRIGGER ALL; DELETE FROM ledger WHERE provider_id = '{gone}'");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&rig.db.pool).await.unwrap();
    let (code, text) = reconcile();
    assert_eq!(code, Some(1), "{text}");
    let named: Vec<_> = text.lines().filter(|line| line.starts_with("only ")).collect();
    assert_eq!(named.len(), 2, "{text}");
    assert!(named.iter().any(|line| line.contains("777 eur") && line.contains("none of ours")), "{text}");
    assert!(named.iter().any(|line| line.contains(gone)), "{text}");
}

fn env_secret() -> &'static str {
    crate::support::SECRET
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_both_kinds_wrong_ones_and_crossed_profiles_are_refused_at_the_start() {
    let profile =
        |name: &str, key: &str, more: &str| format!("[stripe.profiles.{name}]\nkey = {{ env = \"{key}\" }}\n{more}\n");
    let cases = [
        (profile("a", "LIVE", "tenants = [\"t1\"]"), "stripe.profiles.a.key: is a live key"),
        (profile("a", "NONE", "tenants = [\"t1\"]"), "stripe.profiles.a.key: is no secret key"),
        (profile("a", "TEST", "tenants = []"), "stripe.profiles.a.tenants"),
        (profile("a", "TEST", "tenants = [\"t1\"]\nallow_live = true"), "stripe.profiles.a.allow_live"),
        (profile("a", "TEST", "tenants = [\"t1\"]\nbase_url = \"http://example.com\""), "stripe.profiles.a.base_url"),
        (profile("a", "TEST", "tenants = [\"t1\"]\nconnected = [\"venue\"]"), "acct_"),
        (
            profile("a", "TEST", "tenants = [\"t1\"]") + &profile("b", "LIVE", "tenants = [\"t2\"]\nallow_live = true"),
            "test and live keys",
        ),
        (
            profile("a", "TEST", "tenants = [\"t1\"]") + &profile("b", "TEST", "tenants = [\"t1\"]"),
            "serves tenant \"t1\" already",
        ),
        ("[plugins.policy.p]\nstripe = [\"create-money\"]\n".to_owned(), "there is no \"create-money\""),
    ];
    let dir = crate::support::scratch("stripe-config");
    for (n, (text, said)) in cases.iter().enumerate() {
        let file = dir.join(format!("{n}.toml"));
        std::fs::write(&file, text).unwrap();
        let output = usher()
            .args(["config", "check", "--config"])
            .arg(&file)
            .env("LIVE", "sk_live_canary1")
            .env("TEST", "sk_test_canary2")
            .env("NONE", "canary3-no-key")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(2), "{text}: {told}");
        assert!(told.contains(said), "{text}: {told}");
        assert!(!told.contains("canary"), "{told}");
    }
}
