//! What becomes of an event.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{NEXT, OTHER, SECRET, event, header, now, options, send, slug, tell, told, with_config};
use crate::support::{Db, Host, HostOptions, eventually};

const JOBS: &str = r#"
[[stripe.jobs]]
event = "charge.dispute.created"
type = "guest-inbound"
[[stripe.jobs]]
event = "charge.dispute.created"
type = "guest-inbound-note"
[[stripe.jobs]]
event = "payout.failed"
type = "guest-inbound"
tenant = "ops"
[[stripe.jobs]]
event = "charge.failed"
type = "guest-inbound-strict"
[[stripe.jobs]]
event = "charge.expired"
type = "guest-of-nobody"
"#;

fn dispute() -> Value {
    let object = json!({
        "id": "du_1", "object": "dispute", "amount": 1200, "currency": "eur", "charge": "ch_1", "payment_intent": "pi_1",
        "reason": "fraudulent", "status": "needs_response", "evidence": {"note": "4242 4242 4242 4242"}, "metadata": {},
    });
    event("charge.dispute.created", object)
}

/// All jobs that there are or were under this event's id.
async fn jobs_of(db: &Db, event: &Value) -> i64 {
    let id = event["id"].as_str().unwrap();
    db.count(&format!(
        "SELECT count(*) FROM (SELECT idempotency_key FROM jobs UNION ALL SELECT idempotency_key FROM jobs_archive) j \
         WHERE idempotency_key = '{id}'"
    ))
    .await
}

/// The tenants of the jobs under this event's id, each once.
async fn tenants_of(db: &Db, event: &Value) -> Option<String> {
    let id = event["id"].as_str().unwrap();
    db.text(&format!(
        "SELECT string_agg(DISTINCT tenant, ',') FROM (SELECT tenant, idempotency_key FROM jobs \
         UNION ALL SELECT tenant, idempotency_key FROM jobs_archive) j WHERE idempotency_key = '{id}'"
    ))
    .await
}

async fn events(db: &Db) -> i64 {
    db.count("SELECT count(*) FROM stripe_events").await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_event_fifty_times_at_once_over_two_nodes_makes_one_job_of_each_type() {
    let db = Db::new().await;
    let old = "INSERT INTO stripe_events (source, id, event_type, livemode, created_at, received_at) \
               SELECT 'main', 'evt_' || d, 'charge.failed', false, now(), now() - d * interval '1 day' FROM unnest('{29,32}'::int[]) d";
    db.execute(old).await;
    let one = Host::start(&db, None, options("http://127.0.0.1:1", JOBS)).await;
    let two = Host::start(&db, None, HostOptions { plugins: Vec::new(), ..options("http://127.0.0.1:1", JOBS) }).await;
    let event = dispute();
    let body = event.to_string();
    let sent = (0..50).map(|n| {
        // Signed by either secret, as while one is rolled.
        let (host, secret) = if n % 2 == 0 { (&one, SECRET) } else { (&two, NEXT) };
        let (signature, body) = (header(secret, now(), body.as_bytes()), body.clone());
        async move { send(host, &[signature], body).await }
    });
    let answers = join_all(sent).await;
    assert!(answers.iter().all(|answer| answer.status.as_u16() == 200), "{answers:?}");
    let first: Vec<_> = answers.iter().filter(|answer| answer.body["replayed"] == false).collect();
    assert_eq!(first.len(), 1, "{answers:?}");
    let jobs = first[0].body["jobs"].as_array().unwrap();
    assert_eq!((jobs.len(), jobs_of(&db, &event).await), (2, 2));
    for job in jobs {
        // The tenant of the profile; a user of it sees the job.
        let done = two.client().wait(job.as_str().unwrap(), "completed").await;
        let told = &done["result"];
        assert_eq!((&told["id"], &told["type"], &told["created"]), (&event["id"], &event["type"], &event["created"]));
        assert_eq!(
            (&told["object"]["payment_intent"], &told["object"]["reason"]),
            (&json!("pi_1"), &json!("fraudulent"))
        );
        assert_eq!(told["object"]["evidence"]["note"], "(card number)", "{told}");
        assert_eq!((&told["account"], &told["livemode"]), (&Value::Null, &json!(false)));
    }
    assert_eq!(told(&two, SECRET, &event, true).await, Vec::<String>::new(), "and nothing more, after their end too");
    assert_eq!(jobs_of(&db, &event).await, 2);
    let row =
        "SELECT event_type || ' ' || object_id || ' ' || cardinality(jobs) FROM stripe_events WHERE object_id = 'du_1'";
    assert_eq!(db.text(row).await.as_deref(), Some("charge.dispute.created du_1 2"));

    // One that nobody wants, and one of the other mode: kept, and no job.
    let mut live = dispute();
    live["livemode"] = true.into();
    for event in [super::event("invoice.paid", json!({"id": "in_1", "object": "invoice"})), live] {
        assert_eq!(told(&one, SECRET, &event, false).await, Vec::<String>::new());
        assert_eq!(told(&two, SECRET, &event, true).await, Vec::<String>::new());
        assert_eq!(jobs_of(&db, &event).await, 0);
    }
    let log = one.log() + &two.log();
    assert!(!log.contains("canary") && !log.contains("needs_response"), "neither a secret nor a body is logged");
    eventually("what is too old is gone", async || {
        (db.count("SELECT count(*) FROM stripe_events WHERE id = 'evt_32'").await == 0).then_some(())
    })
    .await;
    assert_eq!(db.count("SELECT count(*) FROM stripe_events WHERE id = 'evt_29'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_a_host_dies_with_is_one_job_when_it_comes_again() {
    let db = Db::new().await;
    let mut host = Host::start(&db, None, options("http://127.0.0.1:1", JOBS)).await;
    let event = dispute();
    let body = event.to_string();

    // Before the commit: nothing of it is there.
    let mut lock = db.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE stripe_events IN SHARE MODE").execute(&mut *lock).await.unwrap();
    let sending = send_and_be_cut(&host, &body);
    eventually("it waits for the table", async || {
        let sql = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'stripe_events'::regclass";
        (db.count(sql).await > 0).then_some(())
    })
    .await;
    host.kill9();
    sending.await.unwrap();
    lock.rollback().await.unwrap();
    host = restarted(&db, &host).await;
    assert_eq!((events(&db).await, jobs_of(&db, &event).await), (0, 0));

    // After it: the answer is lost, and all else is there.
    let sending = send_and_be_cut(&host, &body);
    eventually("it is taken", async || (events(&db).await == 1).then_some(())).await;
    host.kill9();
    sending.await.unwrap();
    let host = restarted(&db, &host).await;
    assert_eq!(told(&host, SECRET, &event, true).await, Vec::<String>::new());
    assert_eq!((events(&db).await, jobs_of(&db, &event).await), (1, 2));

    // A database that is busy is no answer, and nothing is written.
    let next = dispute();
    let mut lock = db.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE stripe_events IN SHARE MODE").execute(&mut *lock).await.unwrap();
    let answer = tell(&host, SECRET, &next).await;
    assert_eq!((answer.status.as_u16(), slug(&answer)), (503, "unavailable"), "{}", answer.body);
    assert!(answer.headers.contains_key("retry-after"));
    lock.rollback().await.unwrap();
    assert_eq!(told(&host, SECRET, &next, false).await.len(), 2);
}

async fn restarted(db: &Db, dead: &Host) -> Host {
    let options = options("http://127.0.0.1:1", JOBS);
    Host::start(db, None, HostOptions { data_dir: Some(dead.data_dir.clone()), ..options }).await
}

/// Sends an event, and lets the answer be whatever it is.
fn send_and_be_cut(host: &Host, body: &str) -> tokio::task::JoinHandle<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = http
        .post(format!("{}/webhooks/stripe", host.base))
        .header("stripe-signature", header(SECRET, now(), body.as_bytes()))
        .body(body.to_owned());
    tokio::spawn(async move { drop(request.send().await) })
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_the_job_is_the_operator_and_the_ledger_say_and_no_event() {
    let db = Db::new().await;
    let profile = |name: &str, key: &str, secret: &str, more: &str| {
        format!(
            "[stripe.profiles.{name}]\nkey = {{ env = \"{key}\" }}\nbase_url = \"http://127.0.0.1:1\"\n\
             webhook_secrets = [{{ env = \"{secret}\" }}]\n{more}\n"
        )
    };
    let config = [
        profile("all", "USHER_TEST_STRIPE", "USHER_TEST_WHSEC", "tenants = [\"*\"]\nconnected = [\"acct_paid\"]"),
        profile("arena", "USHER_TEST_STRIPE", "USHER_TEST_WHSEC_NEXT", "tenants = [\"t1\"]\naccount = \"acct_arena\""),
        profile("own", "USHER_TEST_STRIPE_OTHER", "USHER_TEST_WHSEC_OTHER", "tenants = [\"t2\"]"),
        JOBS.to_owned(),
    ]
    .concat();
    let host = Host::start(&db, None, with_config(config)).await;
    for (tenant, profile, account, id) in [("t7", "all", "NULL", "pi_of_t7"), ("t8", "all", "'acct_paid'", "po_of_t8")]
    {
        db.execute(&format!(
            "INSERT INTO ledger (tenant, job_id, seq, effect_id, provider, profile, account, kind, provider_id, amount, currency, \
             status, source) VALUES ('{tenant}', gen_random_uuid(), 0, gen_random_uuid(), 'stripe', '{profile}', {account}, \
             'payment', '{id}', 5, 'eur', 'succeeded', 'answer')"
        ))
        .await;
    }
    let about = |account: Option<&str>, payment: &str, mark: Option<&str>| {
        let mut event = dispute();
        event["data"]["object"]["payment_intent"] = payment.into();
        if let Some(account) = account {
            event["account"] = account.into();
        }
        if let Some(mark) = mark {
            event["data"]["object"]["metadata"] = json!({"usher_tenant": mark, "usher_effect": uuid::Uuid::new_v4()});
        }
        event
    };
    for (why, secret, event, tenant) in [
        ("one tenant's own account", OTHER, about(None, "pi_1", Some("t1")), Some("t2")),
        ("another account's ledger is not asked", OTHER, about(None, "pi_of_t7", None), Some("t2")),
        ("one tenant's connected account", SECRET, about(Some("acct_arena"), "pi_1", Some("t9")), Some("t1")),
        ("the mark, on the platform's own account", NEXT, about(None, "pi_1", Some("t5")), Some("t5")),
        ("no mark of a tenant that has its own", SECRET, about(None, "pi_1", Some("t2")), None),
        ("the ledger", SECRET, about(None, "pi_of_t7", None), Some("t7")),
        (
            "the ledger, on an account that is paid",
            SECRET,
            about(Some("acct_paid"), "po_of_t8", Some("t5")),
            Some("t8"),
        ),
        ("its owner may have written the mark", SECRET, about(Some("acct_paid"), "pi_1", Some("t5")), None),
        ("the ledger of another account", SECRET, about(Some("acct_paid"), "pi_of_t7", None), None),
        ("nobody's account", SECRET, about(Some("acct_unknown"), "pi_1", Some("t5")), None),
    ] {
        let jobs = told(&host, secret, &event, false).await;
        assert_eq!(jobs.len(), if tenant.is_some() { 2 } else { 0 }, "{why}");
        assert_eq!(tenants_of(&db, &event).await.as_deref(), tenant, "{why}");
    }
    let alerts = host.admin().get("/alerts?state=open").await;
    let of_events: Vec<_> =
        alerts.body["items"].as_array().unwrap().iter().filter(|alert| alert["kind"] == "inbound-event").collect();
    assert_eq!(of_events.len(), 2, "one for each type, counted: {}", alerts.body);
    assert_eq!(of_events[0]["count"], 4, "{}", alerts.body);

    let payout = event("payout.failed", json!({"id": "po_1", "object": "payout"}));
    told(&host, SECRET, &payout, false).await;
    assert_eq!(tenants_of(&db, &payout).await.as_deref(), Some("ops"));

    // An id is of its account: another one's does not stand in its way.
    told(&host, OTHER, &payout, false).await;
    assert_eq!(jobs_of(&db, &payout).await, 1, "under one key");

    // What cannot become a job is not taken, and Stripe comes again.
    let before = events(&db).await;
    for (kind, said) in [("charge.failed", "invalid-payload"), ("charge.expired", "unknown-job-type")] {
        let event = event(kind, json!({"id": "ch_1", "object": "charge", "metadata": {"usher_tenant": "t5"}}));
        let answer = tell(&host, SECRET, &event).await;
        assert_eq!((answer.status.as_u16(), slug(&answer)), (422, said), "{}", answer.body);
        assert_eq!(jobs_of(&db, &event).await, 0);
    }
    assert_eq!(events(&db).await, before);
    let raised = "SELECT count(*) FROM alerts WHERE kind = 'inbound-event' AND subject IN \
                ('stripe/charge.failed/guest-inbound-strict', 'stripe/charge.expired/guest-of-nobody')";
    assert_eq!(db.count(raised).await, 2);
}
