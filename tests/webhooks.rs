//! Webhooks out: published with a job's success, signed, sent until they are acknowledged, and to nobody but whom they
//! may be sent to.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{
    Answer, Client, Db, Host, HostOptions, Received, Receiver, Say, Sink, TlsReceiver, env, eventually, token,
};

/// A host that may call these receivers, and nothing else that is private.
async fn start(db: &Db, receivers: &[&Receiver]) -> Host {
    Host::start(db, None, options(receivers)).await
}

fn options(receivers: &[&Receiver]) -> HostOptions {
    let places: Vec<_> = receivers.iter().map(|receiver| receiver.place()).collect();
    HostOptions { plugins: vec!["guest-webhook.wasm"], config: config(&places), ..HostOptions::default() }
}

fn config(places: &[String]) -> String {
    format!(
        "[webhooks]\ntimeout = \"2s\"\nretries = [\"100ms\", \"150ms\", \"200ms\", \"250ms\"]\nconcurrency = 8\n\
         per_endpoint = 2\nallow_private = {places:?}\n"
    )
}

/// The same host again.
async fn restart(db: &Db, dead: &Host, receivers: &[&Receiver]) -> Host {
    let options = HostOptions { data_dir: Some(dead.data_dir.clone()), plugins: Vec::new(), ..options(receivers) };
    Host::start(db, None, options).await
}

fn manager(host: &Host, tenant: &str) -> Client {
    host.client().with_token(token("venue_admin", Some(tenant)))
}

/// Id and secret of a new endpoint of tenant t1.
async fn endpoint(host: &Host, receiver: &Receiver, events: &[&str]) -> (String, String) {
    let body = json!({"url": receiver.url(), "events": events});
    let answer = manager(host, "t1").send(Method::POST, "/webhook-endpoints", Some(body)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    let text = |name: &str| answer.body[name].as_str().unwrap().to_owned();
    (text("id"), text("secret"))
}

async fn act(host: &Host, id: &str, what: &str, body: Option<Value>) -> Answer {
    manager(host, "t1").send(Method::POST, &format!("/webhook-endpoints/{id}/{what}"), body).await
}

async fn change(host: &Host, id: &str, body: Value) -> Answer {
    manager(host, "t1").send(Method::PATCH, &format!("/webhook-endpoints/{id}"), Some(body)).await
}

async fn shown(host: &Host, id: &str) -> Value {
    manager(host, "t1").get(&format!("/webhook-endpoints/{id}")).await.body
}

async fn deliveries(host: &Host, id: &str) -> Vec<Value> {
    let page = manager(host, "t1").get(&format!("/webhook-endpoints/{id}/deliveries")).await;
    page.body["items"].as_array().unwrap_or_else(|| panic!("{}", page.body)).clone()
}

/// Waits until the endpoint's newest delivery is in that state.
async fn wait_delivery(host: &Host, id: &str, state: &str) -> Value {
    eventually(&format!("a delivery is {state}"), async || {
        deliveries(host, id).await.into_iter().next().filter(|delivery| delivery["state"] == state)
    })
    .await
}

fn publish(event: &str, data: Value) -> Value {
    json!({"do": "publish", "event": event, "data": data})
}

async fn published(host: &Host, event: &str, data: Value) -> String {
    let id = host.client().submit("guest-webhook", publish(event, data)).await;
    host.client().wait(&id, "completed").await;
    id
}

fn header<'a>(received: &'a Received, name: &str) -> &'a str {
    received.headers.get(name).unwrap_or_else(|| panic!("no {name}: {received:?}"))
}

fn ids(received: &[Received]) -> BTreeSet<&str> {
    received.iter().map(|r| header(r, "webhook-id")).collect()
}

fn body(received: &Received) -> Value {
    serde_json::from_str(&received.body).unwrap()
}

/// What the libraries of receivers say: npm's and PyPI's `standardwebhooks`.
fn verify(received: &Received, secret: &str) -> [bool; 2] {
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let headers: BTreeMap<_, _> = names.iter().map(|name| (*name, header(received, name))).collect();
    let input = json!({"secret": secret, "body": received.body, "headers": headers}).to_string();
    let node = "const { Webhook } = require(process.argv[1]);
        const { secret, body, headers } = JSON.parse(require('fs').readFileSync(0, 'utf8'));
        const hook = new Webhook(secret);
        try { hook.verify(body, headers); console.log('good'); } catch (e) { console.log('bad: ' + e.message); }";
    let python = "import json, sys\nfrom standardwebhooks.webhooks import Webhook\ni = json.load(sys.stdin)\nhook = Webhook(i['secret'])\n\
        try:\n    hook.verify(i['body'], i['headers'])\n    print('good')\nexcept Exception as e:\n    print('bad:', e)\n";
    let library = Path::new(&env("USHER_TEST_PEERS")).join("node_modules/standardwebhooks");
    let mut npm = Command::new("node");
    npm.arg("-e").arg(node).arg(library);
    let mut pypi = Command::new(env("USHER_TEST_PYTHON"));
    pypi.arg("-c").arg(python);
    [npm, pypi].map(|mut command| {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.starts_with("good") || said.starts_with("bad"), "{said}");
        said.starts_with("good")
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_arrives_once_signed_as_the_libraries_of_receivers_verify_it() {
    let (db, receiver) = (Db::new().await, Receiver::start().await);
    let host = start(&db, &[&receiver]).await;
    let (id, secret) = endpoint(&host, &receiver, &["payment.completed", "nft.minted"]).await;
    let job = published(&host, "payment.completed", json!({"amount": 4200, "currency": "EUR", "note": "é"})).await;
    // Nobody asked for it.
    published(&host, "refund.completed", json!({})).await;
    published(&host, "nft.minted", json!([1, "two"])).await;
    let received = receiver.wait(2).await;
    assert_eq!(received[0].path, "/hook");
    assert_eq!(header(&received[0], "content-type"), "application/json");
    assert!(header(&received[0], "user-agent").starts_with("Usher/"));
    let (first, second) = (body(&received[0]), body(&received[1]));
    assert_eq!(first["type"], "payment.completed");
    assert_eq!(first["data"], json!({"amount": 4200, "currency": "EUR", "note": "é"}));
    assert!(chrono::DateTime::parse_from_rfc3339(first["timestamp"].as_str().unwrap()).is_ok());
    assert_eq!((&second["type"], &second["data"]), (&json!("nft.minted"), &json!([1, "two"])));

    assert_eq!(verify(&received[0], &secret), [true, true]);
    let altered = Received { body: received[0].body.replace("4200", "4201"), ..received[0].clone() };
    assert_eq!(verify(&altered, &secret), [false, false]);
    let (_, other) = endpoint(&host, &receiver, &["guest.happened"]).await;
    assert_eq!(verify(&received[0], &other), [false, false]);

    let delivered = eventually("both are written down", async || {
        let all = deliveries(&host, &id).await;
        all.iter().all(|delivery| delivery["state"] == "delivered").then_some(all)
    })
    .await;
    assert_eq!(delivered.len(), 2, "{delivered:?}");
    assert_eq!(delivered[1]["jobId"], json!(job));
    assert_eq!(delivered[1]["id"], header(&received[0], "webhook-id"));
    assert_eq!((&delivered[1]["tries"], &delivered[1]["lastStatus"]), (&json!(1), &json!(200)));
    assert_eq!(receiver.received().len(), 2, "each once");
    assert_eq!(db.count("SELECT count(*) FROM webhook_deliveries").await, 0);

    // Nothing of a secret is stored or logged.
    let dump = format!(
        "SELECT count(*) FROM webhook_endpoints e, webhook_archive a WHERE e::text LIKE '%{0}%' OR a::text LIKE '%{0}%'",
        &secret[6..]
    );
    assert_eq!(db.count(&dump).await, 0);
    let key = std::fs::read_to_string(host.data_dir.join("dev-webhooks-key")).unwrap();
    assert!(key.len() >= 32);
    for hidden in [&secret[6..], key.trim()] {
        assert!(!host.log().contains(hidden));
    }
    assert!(!shown(&host, &id).await.to_string().contains(&secret[6..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_fails_publishes_nothing_and_its_failure_is_told() {
    let (db, receiver) = (Db::new().await, Receiver::start().await);
    let host = start(&db, &[&receiver]).await;
    endpoint(&host, &receiver, &[]).await;
    let client = host.client();
    let steps = |last: Value| json!({"do": "steps", "steps": [publish("guest.happened", json!(1)), last]});
    let failed = client.submit("guest-webhook", steps(json!({"do": "permanent"}))).await;
    client.wait(&failed, "dead").await;
    let received = receiver.wait(1).await;
    let told = body(&received[0]);
    assert_eq!(told["type"], "operation.failed");
    assert_eq!(
        told["data"],
        json!({"jobId": failed, "jobType": "guest-webhook", "queue": "money", "reason": "permanent"})
    );
    // One that succeeds the second time publishes what it said then.
    let again = client.submit("guest-webhook", steps(json!({"do": "retry", "until": 2}))).await;
    client.wait(&again, "completed").await;
    receiver.wait(2).await;
    // Started again, a job may fail again: that is another event.
    let admin = client.with_token(token("admin", None));
    let retried = admin.send(Method::POST, &format!("/jobs/{failed}/retry"), None).await;
    assert!(retried.status.is_success(), "{}", retried.body);
    let received = receiver.wait(3).await;
    let types: Vec<_> = received.iter().map(|r| body(r)["type"].as_str().unwrap().to_owned()).collect();
    assert_eq!(types, ["operation.failed", "guest.happened", "operation.failed"]);
    assert_eq!(ids(&received).len(), 3);
    // Cancelled is not failed.
    let later = json!({"type": "guest-webhook", "payload": publish("guest.happened", json!(2)),
                       "runAt": chrono::Utc::now() + chrono::TimeDelta::hours(1)});
    let waits = client.post(later.to_string()).await.body["id"].as_str().unwrap().to_owned();
    let cancelled = admin.send(Method::DELETE, &format!("/jobs/{waits}"), None).await;
    assert!(cancelled.status.is_success(), "{}", cancelled.body);
    published(&host, "guest.happened", json!(3)).await;
    let received = receiver.wait(4).await;
    assert_eq!(body(&received[3])["data"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_before_the_settle_publishes_once_after_it() {
    let (db, receiver) = (Db::new().await, Receiver::start().await);
    let mut host = start(&db, &[&receiver]).await;
    endpoint(&host, &receiver, &[]).await;
    // It has said what it publishes, and is not done.
    let slow = json!({"do": "steps", "steps": [publish("guest.happened", json!(1)), {"do": "spin", "ms": 3000}]});
    let job = host.client().submit("guest-webhook-large", slow).await;
    host.client().wait(&job, "running").await;
    host.kill9();
    assert_eq!(db.count("SELECT count(*) FROM webhook_deliveries").await, 0, "nothing before the job's success");
    let host = restart(&db, &host, &[&receiver]).await;
    host.client().wait(&job, "completed").await;
    // A second event comes behind it, so that we need not wait for what should not come.
    published(&host, "guest.happened", json!(2)).await;
    let received = receiver.wait(2).await;
    assert_eq!((received.len(), ids(&received).len()), (2, 2));
    let data: BTreeSet<_> = received.iter().map(|r| body(r)["data"].to_string()).collect();
    assert_eq!(data.into_iter().collect::<Vec<_>>(), ["1", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_while_it_sends_sends_again_under_the_same_id() {
    let (db, receiver) = (Db::new().await, Receiver::start().await);
    let mut host = start(&db, &[&receiver]).await;
    let (id, secret) = endpoint(&host, &receiver, &[]).await;
    receiver.plan([Say::Nothing]);
    published(&host, "guest.happened", json!(1)).await;
    receiver.wait(1).await;
    host.kill9();
    let host = restart(&db, &host, &[&receiver]).await;
    // Another node would wait until the sender is surely gone; that is over now.
    assert_eq!(db.execute("UPDATE webhook_deliveries SET next_at = now() WHERE lease IS NOT NULL").await, 1);
    let received = receiver.wait(2).await;
    assert_eq!(ids(&received).len(), 1, "one id");
    assert_eq!(received[0].body, received[1].body, "one body");
    assert_eq!(verify(&received[1], &secret), [true, true]);
    let delivery = wait_delivery(&host, &id, "delivered").await;
    assert_eq!(delivery["tries"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_that_was_not_written_down_costs_a_repeat_under_the_same_id() {
    let (db, receiver) = (Db::new().await, Receiver::start().await);
    let mut host = start(&db, &[&receiver]).await;
    let (id, _) = endpoint(&host, &receiver, &[]).await;
    // Where it would be written down, we stand in the way.
    let mut session = db.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE webhook_archive IN EXCLUSIVE MODE").execute(&mut *session).await.unwrap();
    published(&host, "guest.happened", json!(1)).await;
    receiver.wait(1).await;
    eventually("its end waits to be written down", async || {
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        (db.count(waiting).await > 0).then_some(())
    })
    .await;
    host.kill9();
    session.rollback().await.unwrap();
    let host = restart(&db, &host, &[&receiver]).await;
    db.execute("UPDATE webhook_deliveries SET next_at = now() WHERE lease IS NOT NULL").await;
    let received = receiver.wait(2).await;
    assert_eq!(ids(&received).len(), 1);
    wait_delivery(&host, &id, "delivered").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_share_the_sending_and_each_event_is_sent_once() {
    let (db, receiver) = (Db::new().await, Receiver::start().await);
    let receivers = [&receiver];
    let (one, two) = tokio::join!(start(&db, &receivers), start(&db, &receivers));
    let (id, _) = endpoint(&one, &receiver, &[]).await;
    for host in [&one, &two, &one, &two, &one, &two] {
        let many = json!({"do": "publish", "event": "guest.happened", "data": 1, "count": 20});
        host.client().submit("guest-webhook", many).await;
    }
    receiver.wait(120).await;
    let all =
        format!("SELECT count(*) FROM webhook_archive WHERE endpoint = '{id}' AND state = 'delivered' AND tries = 1");
    eventually("all are written down", async || (db.count(&all).await == 120).then_some(())).await;
    let received = receiver.received();
    assert_eq!((received.len(), ids(&received).len()), (120, 120));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_acknowledged_is_sent_again_and_redirects_are_not_followed() {
    let (db, receiver, private) = (Db::new().await, Receiver::start().await, Receiver::start().await);
    let host = start(&db, &[&receiver]).await;
    let (id, _) = endpoint(&host, &receiver, &[]).await;
    receiver.plan([
        Say::Status(500),
        Say::Nothing,
        Say::With(307, "location", private.url()),
        Say::With(302, "location", "http://169.254.169.254/latest/meta-data/".to_owned()),
    ]);
    published(&host, "guest.happened", json!(1)).await;
    let received = receiver.wait(5).await;
    assert_eq!(ids(&received).len(), 1);
    let delivery = wait_delivery(&host, &id, "delivered").await;
    assert_eq!(delivery["tries"], 5);
    assert_eq!(private.received().len(), 0, "nobody followed the redirect");
    assert!(shown(&host, &id).await["failingSince"].is_null(), "a success ends a time of failures");

    // And none is left: failed, until somebody asks for it.
    receiver.always(Say::Status(404));
    published(&host, "guest.happened", json!(2)).await;
    let delivery = wait_delivery(&host, &id, "failed").await;
    assert_eq!((&delivery["tries"], &delivery["lastStatus"]), (&json!(5), &json!(404)));
    assert!(delivery["lastError"].as_str().unwrap().contains("404"), "{delivery}");
    receiver.always(Say::Status(204));
    let one = delivery["id"].as_str().unwrap();
    let answer = act(&host, &id, "replay", Some(json!({"delivery": one}))).await;
    assert_eq!((answer.status, &answer.body["replayed"]), (StatusCode::ACCEPTED, &json!(1)));
    wait_delivery(&host, &id, "delivered").await;
    assert_eq!(header(receiver.received().last().unwrap(), "webhook-id"), one);
    let ghost = json!({"delivery": "019a0000-0000-7000-8000-000000000000"});
    assert_eq!(act(&host, &id, "replay", Some(ghost)).await.status, StatusCode::NOT_FOUND);
    // What arrived is sent again only if that is said.
    let since = json!({"since": "2020-01-01T00:00:00Z"});
    assert_eq!(act(&host, &id, "replay", Some(since)).await.body["replayed"], 0);
    let before = receiver.received().len();
    let all = json!({"since": "2020-01-01T00:00:00Z", "delivered": true});
    assert_eq!(act(&host, &id, "replay", Some(all)).await.body["replayed"], 2);
    receiver.wait(before + 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_asks_for_peace_gets_it() {
    let (db, receiver) = (Db::new().await, Receiver::start().await);
    let host = start(&db, &[&receiver]).await;
    let (id, _) = endpoint(&host, &receiver, &[]).await;
    receiver.plan([Say::With(429, "retry-after", "3600".to_owned())]);
    published(&host, "guest.happened", json!(1)).await;
    receiver.wait(1).await;
    eventually("its wish is written down", async || {
        (db.count("SELECT count(*) FROM webhook_endpoints WHERE quiet_until > now() + interval '50 minutes'").await
            == 1)
            .then_some(())
    })
    .await;
    // Nor is what comes after it sent.
    published(&host, "guest.happened", json!(2)).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(receiver.received().len(), 1);
    // Enabling it gives it another chance, and the hour of the first one is over.
    db.execute("UPDATE webhook_deliveries SET next_at = now()").await;
    assert_eq!(change(&host, &id, json!({"state": "enabled"})).await.status, StatusCode::OK);
    assert_eq!(ids(&receiver.wait(3).await).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_endpoint_is_slow_alone() {
    let (db, slow, quick) = (Db::new().await, Receiver::start().await, Receiver::start().await);
    let host = start(&db, &[&slow, &quick]).await;
    slow.always(Say::Nothing);
    let (id, _) = endpoint(&host, &slow, &["guest.happened"]).await;
    endpoint(&host, &quick, &["guest.happened"]).await;
    let began = Instant::now();
    for _ in 0..3 {
        let many = json!({"do": "publish", "event": "guest.happened", "data": 1, "count": 20});
        host.client().submit("guest-webhook", many).await;
    }
    quick.wait(60).await;
    // Each send to the slow one takes 2 s, two at a time, and one at a time once it is known to fail.
    let (sent, most) = (slow.received().len(), 4 + began.elapsed().as_secs() as usize / 2);
    assert!(sent <= most, "the slow one had {sent}, at most {most}");
    assert_eq!(db.count(&format!("SELECT count(*) FROM webhook_deliveries WHERE endpoint = '{id}'")).await, 60);
    let most = format!("SELECT count(*) FROM webhook_deliveries WHERE endpoint = '{id}' AND lease IS NOT NULL");
    assert!(db.count(&most).await <= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_gone_or_fails_for_too_long_is_disabled_with_an_alert() {
    let (db, receiver) = (Db::new().await, Receiver::start().await);
    let host = start(&db, &[&receiver]).await;
    let alerted = async |id: &str, reason: &str| {
        eventually("an alert is raised", async || {
            let alerts = manager(&host, "t1").get("/alerts?state=open").await.body["items"].clone();
            let subject = format!("webhook-endpoint/{id}");
            let found = alerts.as_array().unwrap().iter().find(|alert| alert["subject"] == subject).cloned();
            found.filter(|alert| alert["kind"] == "webhook-disabled" && alert["detail"]["reason"] == reason)
        })
        .await
    };

    let (gone, _) = endpoint(&host, &receiver, &["guest.happened"]).await;
    receiver.plan([Say::Status(410)]);
    published(&host, "guest.happened", json!(1)).await;
    alerted(&gone, "gone").await;
    let now = shown(&host, &gone).await;
    assert_eq!((&now["state"], &now["disabledReason"]), (&json!("disabled"), &json!("gone")));
    published(&host, "guest.happened", json!(2)).await;
    assert_eq!(deliveries(&host, &gone).await.len(), 1, "it gets nothing any more");
    for action in ["ping", "replay"] {
        let body = (action == "replay").then(|| json!({"since": "2020-01-01T00:00:00Z"}));
        let answer = act(&host, &gone, action, body).await;
        assert_eq!(answer.status, StatusCode::CONFLICT, "{action}");
        assert_eq!(answer.body["type"], "urn:usher:problem:endpoint-disabled");
    }

    let (failing, _) = endpoint(&host, &receiver, &["nft.minted"]).await;
    receiver.always(Say::Status(503));
    published(&host, "nft.minted", json!(1)).await;
    wait_delivery(&host, &failing, "failed").await;
    assert_eq!(shown(&host, &failing).await["state"], "enabled", "not yet for long");
    db.execute("UPDATE webhook_endpoints SET failing_since = failing_since - interval '5 days'").await;
    // Several, of which some wait while one is tried.
    let many = json!({"do": "publish", "event": "nft.minted", "data": 2, "count": 5});
    host.client().submit("guest-webhook", many).await;
    alerted(&failing, "failing").await;
    assert_eq!(shown(&host, &failing).await["disabledReason"], "failing");
    let all = deliveries(&host, &failing).await;
    assert!(all.len() == 6 && all.iter().all(|delivery| delivery["state"] == "failed"), "{all:?}");

    // Well again: enabled, and what failed is sent.
    receiver.always(Say::Status(200));
    assert_eq!(change(&host, &failing, json!({"state": "enabled"})).await.status, StatusCode::OK);
    let replayed = act(&host, &failing, "replay", Some(json!({"since": "2020-01-01T00:00:00Z"}))).await;
    assert_eq!(replayed.body["replayed"], 6, "{}", replayed.body);
    eventually("all have arrived", async || {
        deliveries(&host, &failing).await.iter().all(|delivery| delivery["state"] == "delivered").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_rotation_both_secrets_sign_for_a_while() {
    let (db, receiver) = (Db::new().await, Receiver::start().await);
    let host = start(&db, &[&receiver]).await;
    let (id, old) = endpoint(&host, &receiver, &[]).await;
    let rotated = act(&host, &id, "rotate", None).await;
    assert_eq!(rotated.status, StatusCode::OK, "{}", rotated.body);
    let new = rotated.body["secret"].as_str().unwrap().to_owned();
    assert_ne!(old, new);
    let ping = act(&host, &id, "ping", None).await;
    assert_eq!(ping.status, StatusCode::ACCEPTED, "{}", ping.body);
    let received = receiver.wait(1).await;
    let told = body(&received[0]);
    assert_eq!((&told["type"], &told["data"]["endpoint"]), (&json!("webhook.ping"), &json!(id)));
    assert_eq!(ping.body["delivery"], header(&received[0], "webhook-id"));
    assert_eq!(header(&received[0], "webhook-signature").split(' ').count(), 2);
    for secret in [&old, &new] {
        assert_eq!(verify(&received[0], secret), [true, true]);
    }
    db.execute("UPDATE webhook_endpoints SET previous_until = now()").await;
    act(&host, &id, "ping", None).await;
    let received = receiver.wait(2).await;
    assert_eq!(header(&received[1], "webhook-signature").split(' ').count(), 1);
    assert_eq!((verify(&received[1], &old), verify(&received[1], &new)), ([false; 2], [true; 2]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_guest_may_not_publish_is_refused_at_the_call() {
    let (db, receiver) = (Db::new().await, Receiver::start().await);
    let host = start(&db, &[&receiver]).await;
    endpoint(&host, &receiver, &[]).await;
    let client = host.client();
    let result = async |job_type: &str, what: Value| {
        let mut what = what;
        what["do"] = "publish".into();
        what["catch"] = true.into();
        let id = client.submit(job_type, what).await;
        client.wait(&id, "completed").await["result"].clone()
    };
    for event in ["guest.other", "operation.failed", "webhook.ping", "", "payment.completed "] {
        assert_eq!(result("guest-webhook", json!({"event": event})).await["error"], "denied", "{event}");
    }
    for raw in ["", "{", "nonsense", "{\"a\":1,\"a\":2}", "\"\\u0000\"", "1 2"] {
        assert_eq!(
            result("guest-webhook", json!({"event": "guest.happened", "raw": raw})).await["error"],
            "invalid",
            "{raw}"
        );
    }
    let long = result("guest-webhook-large", json!({"event": "guest.happened", "bytes": 65_536})).await;
    assert_eq!(long["error"], "invalid", "{long}");
    let many = result("guest-webhook", json!({"event": "guest.happened", "count": 21})).await;
    assert_eq!(many["error"], "denied", "{many}");
    // Those before the one too many are published.
    assert_eq!(ids(&receiver.wait(20).await).len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_endpoints_are_refused_with_their_place_and_nothing_is_written() {
    let (db, receiver) = (Db::new().await, Receiver::start().await);
    let host = start(&db, &[&receiver]).await;
    let good = receiver.url();
    let (id, _) = endpoint(&host, &receiver, &[]).await;
    let cases = [
        (json!({}), "/url"),
        (json!({"url": 7}), "/url"),
        (json!({"url": "nonsense"}), "/url"),
        (json!({"url": "http://example.com/"}), "/url"),
        (json!({"url": "https://127.0.0.1/"}), "/url"),
        (json!({"url": "https://0x7f.1:8443/"}), "/url"),
        (json!({"url": "https://[::ffff:10.0.0.1]/"}), "/url"),
        (json!({"url": "https://localhost/"}), "/url"),
        (json!({"url": "https://no-such-name.invalid/"}), "/url"),
        (json!({"url": "https://u:p@example.com/"}), "/url"),
        (json!({"url": good, "events": "all"}), "/events"),
        (json!({"url": good, "events": ["a b"]}), "/events"),
        (json!({"url": good, "events": vec!["a.b"; 101]}), "/events"),
        (json!({"url": good, "description": "x".repeat(257)}), "/description"),
        (json!({"url": good, "description": "a\u{0}b"}), "/description"),
        (json!({"url": good, "secret": "whsec_mine"}), "/secret"),
    ];
    for (wanted, pointer) in cases {
        let answer = manager(&host, "t1").send(Method::POST, "/webhook-endpoints", Some(wanted.clone())).await;
        let seen = (answer.status, answer.body["errors"][0]["pointer"].clone());
        assert_eq!(seen, (StatusCode::UNPROCESSABLE_ENTITY, json!(pointer)), "{wanted}: {}", answer.body);
        if wanted.get("url").is_some() {
            let answer = change(&host, &id, wanted.clone()).await;
            assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{wanted}: {}", answer.body);
        }
    }
    assert_eq!(change(&host, &id, json!({"state": "asleep"})).await.body["errors"][0]["pointer"], "/state");
    for (wanted, pointer) in [
        (json!({}), "/delivery"),
        (json!({"delivery": "x"}), "/delivery"),
        (json!({"since": "yesterday"}), "/since"),
        (json!({"since": "2999-01-01T00:00:00Z"}), "/since"),
        (json!({"since": "2020-01-01T00:00:00Z", "delivery": id}), "/since"),
    ] {
        let answer = act(&host, &id, "replay", Some(wanted.clone())).await;
        assert_eq!(answer.body["errors"][0]["pointer"], pointer, "{wanted}: {}", answer.body);
    }
    for query in ["limit=0", "limit=x", "state=ghost", "cursor=x", "cursor=gAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "a=b"] {
        let answer = manager(&host, "t1").get(&format!("/webhook-endpoints/{id}/deliveries?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}: {}", answer.body);
    }
    assert_eq!(db.count("SELECT count(*) FROM webhook_endpoints").await, 1);
    // An admin names the tenant; nobody has more than fifty.
    let answer = host.admin().send(Method::POST, "/webhook-endpoints", Some(json!({"url": good}))).await;
    assert_eq!(answer.body["errors"][0]["pointer"], "/tenant");
    for n in 0..50 {
        let wanted = json!({"url": good, "tenant": "t9"});
        let answer = host.admin().send(Method::POST, "/webhook-endpoints", Some(wanted)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{n}: {}", answer.body);
    }
    let one_more =
        host.admin().send(Method::POST, "/webhook-endpoints", Some(json!({"url": good, "tenant": "t9"}))).await;
    assert_eq!(one_more.status, StatusCode::CONFLICT, "{}", one_more.body);
    let (mut seen, mut cursor) = (0, String::new());
    loop {
        let page = host.admin().get(&format!("/webhook-endpoints?tenant=t9&limit=20{cursor}")).await.body;
        seen += page["items"].as_array().unwrap().len();
        let Some(next) = page["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_manages_its_own_endpoints_and_hears_its_own_events() {
    let (db, mine, theirs) = (Db::new().await, Receiver::start().await, Receiver::start().await);
    let host = start(&db, &[&mine, &theirs]).await;
    let (id, _) = endpoint(&host, &mine, &[]).await;
    let stranger = manager(&host, "t2");
    let made = stranger.send(Method::POST, "/webhook-endpoints", Some(json!({"url": theirs.url()}))).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    published(&host, "guest.happened", json!(1)).await;
    mine.wait(1).await;
    let path = format!("/webhook-endpoints/{id}");
    let delivery = deliveries(&host, &id).await[0]["id"].clone();
    for (method, path, body) in [
        (Method::GET, path.clone(), None),
        (Method::PATCH, path.clone(), Some(json!({"url": theirs.url()}))),
        (Method::PATCH, path.clone(), Some(json!({"state": "disabled"}))),
        (Method::DELETE, path.clone(), None),
        (Method::GET, format!("{path}/deliveries"), None),
        (Method::POST, format!("{path}/ping"), None),
        (Method::POST, format!("{path}/rotate"), None),
        (Method::POST, format!("{path}/replay"), Some(json!({"delivery": delivery}))),
        (Method::GET, "/webhook-endpoints/nonsense".to_owned(), None),
    ] {
        let answer = stranger.send(method.clone(), &path, body.clone()).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {path}: {}", answer.body);
        assert_eq!(answer.body["type"], "urn:usher:problem:not-found");
        let user = host.client().send(method.clone(), &path, body).await;
        assert_eq!(user.status, StatusCode::FORBIDDEN, "{method} {path}");
    }
    assert_eq!(stranger.get("/webhook-endpoints").await.body["items"].as_array().unwrap().len(), 1);
    assert_eq!(stranger.get("/webhook-endpoints?tenant=t1").await.status, StatusCode::FORBIDDEN);
    let named = json!({"url": theirs.url(), "tenant": "t1"});
    assert_eq!(stranger.send(Method::POST, "/webhook-endpoints", Some(named)).await.status, StatusCode::FORBIDDEN);
    assert_eq!(host.admin().get("/webhook-endpoints").await.body["items"].as_array().unwrap().len(), 2);
    assert_eq!(theirs.received().len(), 0, "another tenant's event");

    // Disabled it waits, deleted it is gone with what waits for it.
    assert_eq!(change(&host, &id, json!({"state": "disabled"})).await.body["disabledReason"], "asked");
    published(&host, "guest.happened", json!(2)).await;
    assert_eq!(deliveries(&host, &id).await.len(), 1);
    let answer = manager(&host, "t1").send(Method::DELETE, &path, None).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(manager(&host, "t1").get(&path).await.status, StatusCode::NOT_FOUND);
    published(&host, "guest.happened", json!(3)).await;
    assert_eq!(db.count("SELECT count(*) FROM webhook_deliveries").await, 0);
    assert_eq!(mine.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_has_become_private_is_not_called() {
    let (db, receiver, private) = (Db::new().await, Receiver::start().await, Receiver::start().await);
    let host = start(&db, &[&receiver]).await;
    let (id, _) = endpoint(&host, &receiver, &[]).await;
    // As if the name led elsewhere now: what was looked at when it was made says nothing about today.
    for url in [format!("https://127.0.0.1:{}/", private.port), format!("https://localhost:{}/", private.port)] {
        db.execute(&format!("UPDATE webhook_endpoints SET url = '{url}'")).await;
        act(&host, &id, "ping", None).await;
        let failed = wait_delivery(&host, &id, "failed").await;
        assert!(failed["lastError"].as_str().unwrap().contains("open internet"), "{failed}");
    }
    assert_eq!(private.received().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_end_and_bombs_do_no_harm() {
    let (db, receiver) = (Db::new().await, Receiver::start().await);
    let host = start(&db, &[&receiver]).await;
    let (id, _) = endpoint(&host, &receiver, &[]).await;
    published(&host, "guest.happened", json!(0)).await;
    receiver.wait(1).await;
    let before = host.rss();
    receiver.plan([Say::Endless, Say::Bomb, Say::Endless, Say::Bomb]);
    for n in 1..=4 {
        published(&host, "guest.happened", json!(n)).await;
    }
    receiver.wait(5).await;
    eventually("all are written down as arrived", async || {
        let all = deliveries(&host, &id).await;
        (all.len() == 5 && all.iter().all(|delivery| delivery["state"] == "delivered")).then_some(())
    })
    .await;
    let grown = host.rss().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_of_the_environment_is_not_asked() {
    let (db, receiver, proxy) = (Db::new().await, Receiver::start().await, Receiver::start().await);
    let url = format!("http://{}", proxy.place());
    let names = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];
    let env = names.into_iter().map(|name| (name, url.clone())).collect();
    let host = Host::start(&db, None, HostOptions { env, ..options(&[&receiver]) }).await;
    endpoint(&host, &receiver, &[]).await;
    published(&host, "guest.happened", json!(1)).await;
    receiver.wait(1).await;
    assert_eq!(proxy.received().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_counts_only_if_somebody_known_vouches_for_it() {
    // Of an authority of its own; one host is told to trust it.
    let sink = Sink::start().await;
    let folder = sink.ca.parent().unwrap();
    for (env, state) in [(vec![], "failed"), (vec![("SSL_CERT_FILE", sink.ca.display().to_string())], "delivered")] {
        let (db, receiver) = (Db::new().await, TlsReceiver::start(folder));
        let place = format!("localhost:{}", receiver.port);
        let options = HostOptions {
            plugins: vec!["guest-webhook.wasm"],
            config: config(std::slice::from_ref(&place)),
            env,
            ..HostOptions::default()
        };
        let host = Host::start(&db, None, options).await;
        let wanted = json!({"url": format!("https://{place}/")});
        let made = manager(&host, "t1").send(Method::POST, "/webhook-endpoints", Some(wanted)).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
        let id = made.body["id"].as_str().unwrap().to_owned();
        act(&host, &id, "ping", None).await;
        let ended = wait_delivery(&host, &id, state).await;
        let refused = ended["lastError"].as_str().unwrap_or_default().contains("certificate");
        assert_eq!((refused, receiver.requests()), if state == "failed" { (true, 0) } else { (false, 1) }, "{ended}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn history_goes_by_the_day_after_thirty() {
    let (db, receiver) = (Db::new().await, Receiver::start().await);
    let host = start(&db, &[&receiver]).await;
    let (id, _) = endpoint(&host, &receiver, &[]).await;
    for n in 0..2 {
        published(&host, "guest.happened", json!(n)).await;
    }
    eventually("both are kept", async || (db.count("SELECT count(*) FROM webhook_archive").await == 2).then_some(()))
        .await;
    assert_eq!(host.terminate().await, Some(0));
    // One of them, as if it had ended then.
    let data = "body LIKE '%\"data\":0}'";
    db.execute("SELECT usher_make_webhook_days((now() - interval '32 days')::date, 1)").await;
    db.execute(&format!("UPDATE webhook_archive SET finished_at = finished_at - interval '32 days' WHERE {data}"))
        .await;
    let host = Host::start(&db, None, HostOptions { plugins: Vec::new(), ..options(&[&receiver]) }).await;
    assert_eq!(db.count("SELECT count(*) FROM webhook_archive").await, 1);
    assert_eq!(deliveries(&host, &id).await.len(), 1);
}
