use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    analytics, bare, built, change, guest, is, offer, options, plugin, publish, published, serves, slow_queues, version,
};
use crate::{
    plugins::{manifest, repacked},
    retention::backdate,
    support::{Client, Db, Host, HostOptions, Sink, eventually},
};

async fn gone(client: &Client, name: &str) {
    eventually(&format!("{name} is retired"), async || {
        (client.get(&format!("/plugins/{name}")).await.status == StatusCode::NOT_FOUND).then_some(())
    })
    .await;
}

async fn later(client: &Client, job_type: &str, payload: Value) -> String {
    let at = chrono::Utc::now() + chrono::TimeDelta::hours(1);
    let body = json!({"type": job_type, "payload": payload, "runAt": at});
    let answer = client.post(body.to_string()).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    answer.body["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_lets_waiting_jobs_end_and_then_the_types_are_free() {
    let db = Db::new().await;
    let host = Host::start(&db, None, options(vec!["analytics.wasm"])).await;
    let (admin, client) = (host.admin(), host.client());
    let waits = later(&client, "analytics-track", json!({"event": "x"})).await;
    for body in [None, Some(json!({})), Some(json!({"mode": "now"}))] {
        let answer = change(&admin, "analytics", "retire", body).await;
        assert!(answer.status.is_client_error(), "the mode must be said: {}", answer.body);
    }
    let answer = change(&admin, "analytics", "retire", Some(json!({"mode": "drain"}))).await;
    assert_eq!((answer.status, &answer.body["jobs"]), (StatusCode::ACCEPTED, &json!(1)), "{}", answer.body);
    assert_eq!(plugin(&client, "analytics").await["state"], "retiring");
    let refused = client.post(json!({"type": "analytics-track", "payload": {"event": "y"}}).to_string()).await;
    is(&refused, StatusCode::CONFLICT, "job-type-retiring");
    let by_sql =
        sqlx::query("SELECT usher.submit('t1', 'analytics-track', '{\"event\":\"y\"}')").execute(&db.pool).await;
    assert!(by_sql.unwrap_err().to_string().contains("is being retired"));
    is(&publish(&admin, built("analytics-v2.wasm")).await, StatusCode::CONFLICT, "plugin-retiring");
    // The types are the plugin's until the last job is gone.
    let heir = || repacked("analytics.wasm", &manifest("heir", "analytics-track", "").replace("money", "background"));
    is(&publish(&admin, heir()).await, StatusCode::CONFLICT, "job-type-taken");
    db.execute("UPDATE jobs SET run_at = now() WHERE state = 'scheduled'").await;
    client.wait(&waits, "completed").await;
    gone(&client, "analytics").await;
    eventually("nobody knows the type any more", async || {
        let answer = client.post(json!({"type": "analytics-track", "payload": {"event": "y"}}).to_string()).await;
        (super::problem(&answer) == "unknown-job-type").then_some(())
    })
    .await;
    assert_eq!(publish(&admin, heir()).await.status, StatusCode::CREATED, "the type is free");
    let id = client.submit("analytics-track", json!({"event": "z"})).await;
    client.wait(&id, "completed").await;
    let history = client.get("/plugins/analytics/releases").await.body;
    assert_eq!((&history["items"][0]["reason"], &history["items"][0]["state"]), (&json!("retire"), &json!("nothing")));
    is(
        &change(&admin, "analytics", "retire", Some(json!({"mode": "drain"}))).await,
        StatusCode::CONFLICT,
        "already-retired",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_ends_what_waits_by_the_rules_of_any_cancel() {
    let db = Db::new().await;
    let sink = Sink::start().await;
    let options = HostOptions { queues: slow_queues(), ..options(vec!["guest-effects.wasm", "guest.wasm"]) };
    let host = Host::start(&db, Some(&sink), options).await;
    let client = host.client();
    // One with an effect behind it, that waits for its next attempt; some that never ran; one of another plugin.
    let had = client.submit("guest-mail", json!({"do": "mail-then-fail-once", "to": "a@example.com"})).await;
    client.wait(&had, "scheduled").await;
    let waiting: Vec<_> = [
        later(&client, "guest-mail", json!({"do": "ok"})).await,
        later(&client, "guest-mail-money", json!({"do": "ok"})).await,
    ]
    .into();
    let other = later(&client, "guest", json!({"do": "ok"})).await;
    let answer = change(&host.admin(), "guest-effects", "retire", Some(json!({"mode": "cancel"}))).await;
    assert_eq!((answer.status, &answer.body["jobs"]), (StatusCode::ACCEPTED, &json!(3)), "{}", answer.body);
    for id in waiting.iter().chain([&had]) {
        client.wait(id, "cancelled").await;
    }
    gone(&client, "guest-effects").await;
    assert_eq!(client.job(&other).await["state"], "scheduled", "others are left alone");
    let kept = "SELECT count(*) FROM jobs_archive WHERE journal IS NOT NULL AND state = 'cancelled'";
    assert_eq!(db.count(kept).await, 1, "what happened is kept");
    assert_eq!(sink.mails().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retirement_is_called_off_by_an_activation() {
    let db = Db::new().await;
    let host = Host::start(&db, None, options(vec!["analytics.wasm"])).await;
    let (admin, client) = (host.admin(), host.client());
    later(&client, "analytics-track", json!({"event": "x"})).await;
    change(&admin, "analytics", "retire", Some(json!({"mode": "drain"}))).await;
    let back = change(&admin, "analytics", "activate", Some(json!({"version": "0.1.0"}))).await;
    assert_eq!(back.status, StatusCode::OK, "{}", back.body);
    let id = client.submit("analytics-track", json!({"event": "y"})).await;
    client.wait(&id, "completed").await;
    assert_eq!(plugin(&client, "analytics").await["state"], "active");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_deleted_only_when_nothing_names_it() {
    let db = Db::new().await;
    let host = Host::start(&db, None, options(vec!["analytics.wasm"])).await;
    let (admin, client) = (host.admin(), host.client());
    let first = plugin(&client, "analytics").await["digest"].as_str().unwrap().to_owned();
    let path = format!("/plugins/analytics/releases/{first}");
    is(&admin.send(Method::DELETE, &path, None).await, StatusCode::CONFLICT, "release-serves");
    let waits = later(&client, "analytics-track", json!({"event": "x"})).await;
    published(&admin, built("analytics-v2.wasm")).await;
    let in_use = admin.send(Method::DELETE, &path, None).await;
    is(&in_use, StatusCode::CONFLICT, "release-in-use");
    assert!(in_use.body["detail"].as_str().unwrap().contains("1 live"), "{}", in_use.body);
    client.with_token(crate::support::token("admin", None)).send(Method::DELETE, &format!("/jobs/{waits}"), None).await;
    client.wait(&waits, "cancelled").await;
    assert_eq!(admin.send(Method::DELETE, &path, None).await.status, StatusCode::NO_CONTENT);
    is(&admin.send(Method::DELETE, &path, None).await, StatusCode::NOT_FOUND, "release-not-found");
    is(&change(&admin, "analytics", "rollback", None).await, StatusCode::CONFLICT, "nothing-before");
    assert_eq!(db.count("SELECT count(*) FROM releases WHERE length(wasm) = 0").await, 1);
    // Its version never means other bytes; the same bytes may come back.
    let other = publish(&admin, analytics("0.1.0")).await;
    is(&other, StatusCode::CONFLICT, "version-taken");
    assert_eq!(
        offer(&admin, "/plugins?activate=false", built("analytics.wasm"), &[]).await.status,
        StatusCode::CREATED
    );
    let unknown = format!("/plugins/analytics/releases/sha256:{}", "0".repeat(64));
    is(&admin.send(Method::DELETE, &unknown, None).await, StatusCode::NOT_FOUND, "release-not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_kept_as_long_as_a_dead_job_could_be_retried_on_it() {
    let db = Db::new().await;
    let host = Host::start(&db, None, options(vec!["guest.wasm"])).await;
    let (admin, client) = (host.admin(), host.client());
    let first = plugin(&client, "guest").await["digest"].as_str().unwrap().to_owned();
    let path = format!("/plugins/guest/releases/{first}");
    let dead = client.submit("guest", json!({"do": "permanent"})).await;
    client.wait(&dead, "dead").await;
    published(&admin, guest("0.2.0")).await;
    let in_use = admin.send(Method::DELETE, &path, None).await;
    is(&in_use, StatusCode::CONFLICT, "release-in-use");
    let detail = in_use.body["detail"].as_str().unwrap();
    assert!(detail.contains("0 live jobs and 1 dead ones that could be retried"), "{detail}");
    // That is what it is kept for.
    let retry = admin.send(Method::POST, &format!("/jobs/{dead}/retry"), Some(json!({"release": first}))).await;
    assert_eq!(retry.status, StatusCode::ACCEPTED, "{}", retry.body);
    let again = eventually("it is dead again", async || {
        let job = client.job(&dead).await;
        // Its first death, a line for the retry, and the second one.
        (job["state"] == "dead" && job["errors"].as_array().unwrap().len() == 3).then_some(job)
    })
    .await;
    assert_eq!(again["release"], first.as_str(), "{again}");

    // Its day leaves the archive, as it does after a week.
    assert_eq!(host.terminate().await, Some(0));
    backdate(&db, &dead, "d7", 15).await;
    let host = Host::start(&db, None, options(Vec::new())).await;
    serves(&host.client(), "guest", "0.2.0").await;
    eventually("the dead job is gone", async || {
        (host.client().get(&format!("/jobs/{dead}")).await.status == StatusCode::NOT_FOUND).then_some(())
    })
    .await;
    let gone = host.admin().send(Method::DELETE, &path, None).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT, "{}", gone.body);
    is(&host.admin().send(Method::DELETE, &path, None).await, StatusCode::NOT_FOUND, "release-not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_are_held_to_a_release_move_to_another_where_their_journal_allows_it() {
    let db = Db::new().await;
    let sink = Sink::start().await;
    let options = HostOptions { queues: slow_queues(), ..options(vec!["guest-effects.wasm"]) };
    let host = Host::start(&db, Some(&sink), options).await;
    let (admin, client) = (host.admin(), host.client());
    let held = client.submit("guest-mail", json!({"do": "mail-then-fail-once", "to": "a@example.com"})).await;
    client.wait(&held, "scheduled").await;
    let hold = client.submit("guest-mail", json!({"do": "mail-then-fail-once", "to": "b@example.com"})).await;
    client.wait(&hold, "scheduled").await;
    // As if its answer had been lost.
    db.execute(&format!("UPDATE effects SET state = 'doubt', answer = NULL, ended_at = NULL WHERE job_id = '{hold}'"))
        .await;
    later(&client, "guest-mail", json!({"do": "ok"})).await;
    published(&admin, version("guest-effects.wasm", "guests/effects.toml", "0.2.0")).await;
    let moved = change(&admin, "guest-effects", "migrate", Some(json!({"from": "0.1.0", "to": "0.2.0"}))).await;
    assert_eq!(moved.status, StatusCode::OK, "{}", moved.body);
    assert_eq!((&moved.body["moved"], &moved.body["left"]), (&json!(1), &json!(1)), "{}", moved.body);
    assert_eq!(moved.body["leftBecause"]["inDoubt"], 1);
    db.execute(&format!("UPDATE jobs SET run_at = now() WHERE id = '{held}'")).await;
    client.wait(&held, "completed").await;
    let ran =
        format!("SELECT r.version FROM jobs_archive a JOIN releases r ON r.digest = a.release WHERE a.id = '{held}'");
    assert_eq!(db.text(&ran).await.as_deref(), Some("0.2.0"), "on the new code");
    assert_eq!(sink.mails().await.len(), 2, "the mail of its first attempt was not sent again");
    for (body, status, slug) in [
        (json!({"from": "0.1.0"}), StatusCode::UNPROCESSABLE_ENTITY, "invalid-request"),
        (json!({"from": "0.1.0", "to": "0.1.0"}), StatusCode::UNPROCESSABLE_ENTITY, "invalid-request"),
        (json!({"from": "0.1.0", "to": "7.0.0"}), StatusCode::NOT_FOUND, "release-not-found"),
    ] {
        is(&change(&admin, "guest-effects", "migrate", Some(body)).await, status, slug);
    }
    let audit = "SELECT count(*) FROM audit_log WHERE action = 'plugin.migrate'";
    assert_eq!(db.count(audit).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_hear_of_a_retirement_from_each_other() {
    let db = Db::new().await;
    let (one, two) = (bare(&db).await, bare(&db).await);
    published(&one.admin(), built("analytics.wasm")).await;
    serves(&two.client(), "analytics", "0.1.0").await;
    // Either node may have made it take effect; the other's door knows its types a moment later.
    eventually("the door knows the type", async || {
        let job = json!({"type": "analytics-track", "payload": {"event": "x"}, "runAt": chrono::Utc::now() + chrono::TimeDelta::hours(1)});
        (one.client().post(job.to_string()).await.status == StatusCode::ACCEPTED).then_some(())
    })
    .await;
    change(&one.admin(), "analytics", "retire", Some(json!({"mode": "cancel"}))).await;
    gone(&two.client(), "analytics").await;
    assert_eq!(db.count("SELECT count(*) FROM jobs").await, 0);
    assert_eq!(db.count("SELECT count(*) FROM job_types").await, 0);
}
