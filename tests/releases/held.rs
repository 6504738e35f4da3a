//! Jobs that are held to a release, or left behind by one.

use std::{fs, path::Path};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{bare, built, change, guest, is, offer, options, plugin, problem, published, slow_queues};
use crate::{
    plugins::repacked_with,
    support::{Answer, Client, Db, Host, HostOptions, eventually, token},
};

/// The guest as another version, with what `change` makes of its manifest, and with a schema of its own.
fn changed(version: &str, change: impl Fn(&str) -> String, schema: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests/plugin.toml");
    let text = fs::read_to_string(path).unwrap().replace("version = \"0.1.0\"", &format!("version = \"{version}\""));
    repacked_with("guest.wasm", &change(&text), schema)
}

async fn retry(client: &Client, id: &str, release: &str) -> Answer {
    client.send(Method::POST, &format!("/jobs/{id}/retry"), Some(json!({ "release": release }))).await
}

/// Until the job is dead of this release.
async fn dead_of(client: &Client, id: &str, release: &str) {
    eventually("it is dead again", async || {
        let job = client.job(id).await;
        (job["state"] == "dead" && job["release"] == release).then_some(())
    })
    .await;
}

fn digest(answer: &Value) -> &str {
    answer["digest"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_names_no_release_that_never_served_or_has_no_right_to_the_job() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions { queues: slow_queues(), ..options(vec!["guest.wasm"]) }).await;
    let (admin, client) = (host.admin(), host.client());
    let venue = client.with_token(token("venue_admin", Some("t1")));
    let dead = client.submit("guest", json!({"do": "permanent"})).await;
    client.wait(&dead, "dead").await;

    let stored = offer(&admin, "/plugins?activate=false", guest("0.2.0"), &[]).await;
    assert_eq!(stored.status, StatusCode::CREATED, "{}", stored.body);
    let stored = digest(&stored.body);
    for caller in [&venue, &admin] {
        is(&retry(caller, &dead, stored).await, StatusCode::CONFLICT, "release-never-served");
    }
    assert_eq!(client.job(&dead).await["state"], "dead", "nothing was changed");
    let taken = change(&admin, "guest", "activate", Some(json!({ "digest": stored }))).await;
    assert_eq!(taken.status, StatusCode::OK, "{}", taken.body);
    assert_eq!(retry(&venue, &dead, stored).await.status, StatusCode::ACCEPTED);
    dead_of(&client, &dead, stored).await;

    let strict = published(&admin, changed("0.3.0", str::to_owned, r#"{"required": ["strict"]}"#)).await;
    is(&retry(&venue, &dead, digest(&strict)).await, StatusCode::CONFLICT, "payload-refused");

    change(&admin, "guest", "retire", Some(json!({"mode": "drain"}))).await;
    gone(&client, "guest").await;
    is(&retry(&venue, &dead, stored).await, StatusCode::CONFLICT, "wrong-release");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_to_a_release_that_never_served_wants_an_admins_word() {
    let db = Db::new().await;
    let host = Host::start(&db, None, options(vec!["guest.wasm"])).await;
    let admin = host.admin();
    offer(&admin, "/plugins?activate=false", guest("0.2.0"), &[]).await;
    let body = || Some(json!({"from": "0.1.0", "to": "0.2.0"}));
    is(&change(&admin, "guest", "migrate", body()).await, StatusCode::CONFLICT, "release-never-served");
    let taken = change(&admin, "guest", "migrate?unverified=true", body()).await;
    assert_eq!((taken.status, &taken.body["moved"]), (StatusCode::OK, &json!(0)), "{}", taken.body);
    change(&admin, "guest", "activate", Some(json!({"version": "0.2.0"}))).await;
    assert_eq!(change(&admin, "guest", "migrate", body()).await.status, StatusCode::OK, "it has served");
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_type_that_what_serves_does_not_name_run_on_the_release_that_took_them() {
    let db = Db::new().await;
    let host = Host::start(&db, None, options(vec!["guest.wasm"])).await;
    let (admin, client) = (host.admin(), host.client());
    let more = |manifest: &str| {
        let job = "type = \"guest-new\"\nqueue = \"background\"\nschema = \"schema.json\"\nidempotency = \"none\"";
        format!("{manifest}\n[[job]]\n{job}\n")
    };
    let two = published(&admin, changed("0.2.0", more, "{}")).await;
    let at = chrono::Utc::now() + chrono::TimeDelta::hours(1);
    let job = json!({"type": "guest-new", "payload": {"do": "ok"}, "runAt": at}).to_string();
    let taken = client.post(job.clone()).await;
    assert_eq!(taken.status, StatusCode::ACCEPTED, "{}", taken.body);
    let waits = taken.body["id"].as_str().unwrap();

    let back = change(&admin, "guest", "rollback", None).await;
    assert_eq!((back.status, &back.body["version"]), (StatusCode::OK, &json!("0.1.0")), "{}", back.body);
    assert_eq!(problem(&client.post(job).await), "unknown-job-type");
    // SQL cannot know; what comes in is checked by the release that named the type last.
    let by_sql = "SELECT usher.submit('t1', 'guest-new', '{\"do\": \"ok\"}')::text";
    let by_sql = db.text(by_sql).await.unwrap();
    assert_eq!(client.wait(&by_sql, "completed").await["release"], digest(&two));

    let three = published(&admin, guest("0.3.0")).await;
    let unfit = &three["waiting"]["unfit"][0];
    assert_eq!(
        (&unfit["type"], &unfit["version"], &unfit["jobs"]),
        (&json!("guest-new"), &json!("0.2.0"), &json!(1)),
        "{three}"
    );
    db.execute("UPDATE jobs SET run_at = now() WHERE state = 'scheduled'").await;
    let job = client.wait(waits, "completed").await;
    assert_eq!((&job["release"], &job["attempt"], &job["errors"]), (&two["digest"], &json!(1), &json!([])), "{job}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_is_not_freed_under_a_submit_that_is_not_committed_yet() {
    let db = Db::new().await;
    let host = Host::start(&db, None, options(vec!["analytics.wasm", "guest.wasm"])).await;
    let (admin, client) = (host.admin(), host.client());
    let mut tx = db.pool.begin().await.unwrap();
    let call = r#"SELECT usher.submit('t1', 'analytics-track', '{"event": "x"}')::text"#;
    let id: String = sqlx::query_scalar(call).fetch_one(&mut *tx).await.unwrap();
    for name in ["analytics", "guest"] {
        let answer = change(&admin, name, "retire", Some(json!({"mode": "drain"}))).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    }
    // They end in the order of their names: when the second one is gone, the first one's turn has been.
    gone(&client, "guest").await;
    assert_eq!(plugin(&client, "analytics").await["state"], "retiring");
    tx.commit().await.unwrap();
    client.wait(&id, "completed").await;
    gone(&client, "analytics").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_cannot_be_read_just_now_is_no_fault_of_the_release() {
    let db = Db::new().await;
    let before = bare(&db).await;
    published(&before.admin(), built("guest.wasm")).await;
    let stored = offer(&before.admin(), "/plugins?activate=false", guest("0.2.0"), &[]).await;
    assert_eq!(stored.status, StatusCode::CREATED, "{}", stored.body);
    before.terminate().await;
    // A host that has only the one loaded that serves.
    let host = bare(&db).await;
    let admin = host.admin();
    db.execute("ALTER TABLE releases RENAME COLUMN wasm TO hidden").await;
    for (verb, body) in
        [("activate", json!({"version": "0.2.0"})), ("migrate", json!({"from": "0.1.0", "to": "0.2.0"}))]
    {
        let answer = change(&admin, "guest", verb, Some(body)).await;
        is(&answer, StatusCode::SERVICE_UNAVAILABLE, "unavailable");
        assert!(!answer.body.to_string().contains("wasm"), "not in the database's words: {}", answer.body);
    }
    db.execute("ALTER TABLE releases RENAME COLUMN hidden TO wasm").await;
    let taken = change(&admin, "guest", "activate", Some(json!({"version": "0.2.0"}))).await;
    assert_eq!(taken.status, StatusCode::OK, "{}", taken.body);
}

/// Until the plugin is retired.
async fn gone(client: &Client, name: &str) {
    eventually(&format!("{name} is retired"), async || {
        (client.get(&format!("/plugins/{name}")).await.status == StatusCode::NOT_FOUND).then_some(())
    })
    .await;
}
