//! From a job's success to the acknowledgement: once if all goes well, and never under another id.

use std::{collections::BTreeSet, time::Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    act, body, change, deliveries, endpoint, header, ids, manager, options, publish, published, restart, shown, start,
    verify, wait_delivery,
};
use crate::support::{Db, Host, Received, Receiver, Say, eventually, token};

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
    let other = Receiver::start().await;
    let host = start(&db, &[&receiver, &other]).await;
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
    // Nor is what comes after it sent, while another endpoint gets that and more.
    endpoint(&host, &other, &[]).await;
    published(&host, "guest.happened", json!(2)).await;
    other.wait(1).await;
    published(&host, "guest.happened", json!(3)).await;
    other.wait(2).await;
    assert_eq!(receiver.received().len(), 1);
    // Enabling it gives it another chance, and the hour of the first one is over.
    db.execute("UPDATE webhook_deliveries SET next_at = now()").await;
    assert_eq!(change(&host, &id, json!({"state": "enabled"})).await.status, StatusCode::OK);
    assert_eq!(ids(&receiver.wait(4).await).len(), 3);
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
async fn many_slow_endpoints_are_their_tenants_affair() {
    let (db, slow, quick) = (Db::new().await, Receiver::start().await, Receiver::start().await);
    let host = start(&db, &[&slow, &quick]).await;
    slow.always(Say::Nothing);
    // Of eight sends at once, ten slow endpoints with two each would take all.
    let other = manager(&host, "t2");
    for _ in 0..10 {
        let body = json!({"url": slow.url(), "events": ["guest.happened"]});
        let answer = other.send(Method::POST, "/webhook-endpoints", Some(body)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    }
    endpoint(&host, &quick, &["guest.happened"]).await;
    let many = json!({"type": "guest-webhook", "payload": {"do": "publish", "event": "guest.happened", "data": 1, "count": 5}});
    for _ in 0..3 {
        let answer = other.post(many.to_string()).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    }
    let leased = "SELECT count(*) FROM webhook_deliveries WHERE tenant = 't2' AND lease IS NOT NULL";
    eventually("its sends are under way", async || (db.count(leased).await >= 4).then_some(())).await;
    host.client().post(many.to_string()).await;
    quick.wait(5).await;
    assert_eq!(db.count(leased).await, 4, "half of all sends is the most that one tenant has");
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
async fn all_events_of_the_product_and_others_come_under_the_operators_name() {
    let (db, receiver) = (Db::new().await, Receiver::start().await);
    let mut options = options(&[&receiver]);
    options.config += "user_agent = \"Tickets/7 (+https://tickets.example.com)\"\n";
    let host = Host::start(&db, None, options).await;
    endpoint(&host, &receiver, &[]).await;
    for (n, event) in ["payment.completed", "refund.completed", "nft.minted", "guest.happened"].into_iter().enumerate()
    {
        published(&host, event, json!({ "n": n })).await;
        receiver.wait(n + 1).await;
    }
    let failed = host.client().submit("guest-webhook", json!({"do": "permanent"})).await;
    let received = receiver.wait(5).await;
    let came: Vec<_> =
        received.iter().map(|r| (body(r)["type"].as_str().unwrap().to_owned(), body(r)["data"].clone())).collect();
    let data = |n: usize| json!({ "n": n });
    let wanted = [
        ("payment.completed", data(0)),
        ("refund.completed", data(1)),
        ("nft.minted", data(2)),
        ("guest.happened", data(3)),
    ];
    assert_eq!(came[..4], wanted.map(|(event, data)| (event.to_owned(), data)));
    assert_eq!((came[4].0.as_str(), &came[4].1["jobId"]), ("operation.failed", &json!(failed)));
    for one in &received {
        assert_eq!(header(one, "user-agent"), "Tickets/7 (+https://tickets.example.com)");
        assert_eq!(header(one, "content-type"), "application/json");
    }
}
