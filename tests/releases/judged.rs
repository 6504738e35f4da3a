//! Which release goes when most of the last jobs trap, what comes in its place, and whose jobs count.

use serde_json::{Value, json};

use super::{
    change,
    cluster::{heavy, weak},
    guest, options, patient, published, serves, slow_queues,
};
use crate::support::{Client, Db, Host, HostOptions, eventually, token};

/// As shipped: 10 of the last 20. What trapped does not come again to the release that takes the place.
fn judged() -> HostOptions {
    let config = "[plugins.quarantine]\n".to_owned();
    HostOptions { config, filter: "warn", queues: slow_queues(), ..options(Vec::new()) }
}

/// What the newest alert tells of the quarantine of that version.
async fn stopped(host: &Host, version: &str) -> Value {
    eventually("an alert tells of it", async || {
        let alerts = host.admin().get("/alerts").await.body;
        let is_it = |alert: &&Value| alert["kind"] == "release-quarantined" && alert["detail"]["version"] == version;
        alerts["items"].as_array()?.iter().find(is_it).cloned()
    })
    .await
}

async fn trap(host: &Host, times: usize) {
    for _ in 0..times {
        host.client().submit("guest", json!({"do": "panic"})).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_a_person_backed_out_of_does_not_come_back_by_itself() {
    let db = Db::new().await;
    let host = Host::start(&db, None, judged()).await;
    let admin = host.admin();
    for version in ["0.1.0", "0.2.0", "0.3.0"] {
        published(&admin, guest(version)).await;
        serves(&host.client(), "guest", version).await;
    }
    // Away from 0.3.0, and on to 0.4.0.
    let back = change(&admin, "guest", "activate", Some(json!({"version": "0.2.0"}))).await;
    assert!(back.status.is_success(), "{}", back.body);
    serves(&host.client(), "guest", "0.2.0").await;
    published(&admin, guest("0.4.0")).await;
    serves(&host.client(), "guest", "0.4.0").await;

    trap(&host, 10).await;
    assert_eq!(stopped(&host, "0.4.0").await["detail"]["nowServes"], "0.2.0");
    serves(&host.client(), "guest", "0.2.0").await;
    trap(&host, 10).await;
    let alert = stopped(&host, "0.2.0").await;
    assert_eq!(alert["detail"]["nowServes"], "0.1.0", "not 0.3.0, which served between: {alert}");
}

/// A cluster's times, in which a node that never beats stays, and no activation takes effect without it.
fn with_a_silent_node() -> HostOptions {
    let times = "[cluster]\nheartbeat = \"500ms\"\nconfirm_within = \"3s\"\ndead_after = \"10m\"\ndoubt_margin = \"500ms\"\n\
                 poll = \"500ms\"\nready_within = \"30m\"\n";
    HostOptions { cluster: Some(times.to_owned()), ..judged() }
}

const SILENT: &str = "INSERT INTO nodes (id, host, version) VALUES (gen_random_uuid(), 'silent', '0')";
const GONE: &str = "DELETE FROM nodes WHERE host = 'silent'";

async fn history(host: &Host) -> Value {
    host.admin().get("/plugins/guest/releases").await.body["items"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_good_release_serves_while_another_one_waits_for_the_nodes() {
    let db = Db::new().await;
    let host = Host::start(&db, None, with_a_silent_node()).await;
    let (admin, client) = (host.admin(), host.client());
    for version in ["0.1.0", "0.2.0"] {
        published(&admin, guest(version)).await;
        serves(&client, "guest", version).await;
    }
    db.execute(SILENT).await;
    assert_eq!(published(&admin, guest("0.3.0")).await["state"], "waiting");
    trap(&host, 10).await;
    assert_eq!(stopped(&host, "0.2.0").await["detail"]["nowServes"], "0.1.0");
    let now = history(&host).await;
    assert_eq!((&now[0]["version"], &now[0]["state"]), (&json!("0.3.0"), &json!("waiting")), "{now}");
    assert_eq!((&now[1]["version"], &now[1]["state"]), (&json!("0.1.0"), &json!("serving")), "{now}");
    let id = client.submit("guest", json!({"do": "ok"})).await;
    client.wait(&id, "completed").await;

    db.execute(GONE).await;
    serves(&client, "guest", "0.3.0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_is_stopped_while_it_waits_never_takes_effect() {
    let db = Db::new().await;
    let host = Host::start(&db, None, with_a_silent_node()).await;
    let (admin, client) = (host.admin(), host.client());
    published(&admin, guest("0.1.0")).await;
    serves(&client, "guest", "0.1.0").await;
    db.execute(SILENT).await;
    assert_eq!(published(&admin, guest("0.2.0")).await["state"], "waiting");
    // Jobs that are held to it run on it all the same.
    for _ in 0..10 {
        client.submit("guest", json!({"do": "retry"})).await;
    }
    let again = "SELECT count(*) FROM jobs WHERE state = 'scheduled' AND errors <> '[]'";
    eventually("they are to come again", async || (db.count(again).await == 10).then_some(())).await;
    db.execute(
        "UPDATE jobs SET payload = '{\"do\": \"panic\"}', run_at = now(), \
         pinned = (SELECT digest FROM releases WHERE version = '0.2.0')",
    )
    .await;
    stopped(&host, "0.2.0").await;
    let now = history(&host).await;
    assert_eq!((&now[0]["version"], &now[0]["state"]), (&json!("0.2.0"), &json!("withdrawn")), "{now}");
    assert_eq!((&now[1]["version"], &now[1]["state"]), (&json!("0.1.0"), &json!("serving")), "{now}");

    // Nor where its row is as a host of the version before leaves it.
    db.execute("UPDATE activations SET withdrawn_at = NULL, withdrawn = NULL WHERE effective_at IS NULL").await;
    db.execute(GONE).await;
    assert_eq!(db.count("SELECT usher_take_effect(0)").await, 0);
    assert_eq!(db.count("SELECT count(*) FROM activations WHERE effective_at IS NULL").await, 1);
    let id = client.submit("guest", json!({"do": "ok"})).await;
    client.wait(&id, "completed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tenant_takes_no_plugin_from_the_others() {
    let db = Db::new().await;
    let host = Host::start(&db, None, judged()).await;
    for version in ["0.1.0", "0.2.0"] {
        published(&host.admin(), guest(version)).await;
        serves(&host.client(), "guest", version).await;
    }
    let other = Client::new(&host.base, token("user", Some("t2")));
    let ok = async || {
        let id = other.submit("guest", json!({"do": "ok"})).await;
        other.wait(&id, "completed").await;
        let by = "SELECT r.version FROM jobs_archive a JOIN releases r ON r.digest = a.release";
        db.text(&format!("{by} WHERE a.id = '{id}'")).await.unwrap()
    };
    assert_eq!(ok().await, "0.2.0");
    // In a lull: nobody else's job is among the last ones.
    trap(&host, 25).await;
    let trapped = "SELECT count(*) FROM jobs WHERE errors <> '[]'";
    eventually("they trap", async || (db.count(trapped).await == 25).then_some(())).await;
    assert_eq!(ok().await, "0.2.0", "it serves on");
    assert_eq!(db.count("SELECT count(*) FROM audit_log WHERE action = 'plugin.quarantine'").await, 0);

    // Once it fails for the others too, everybody's count.
    for _ in 0..10 {
        other.submit("guest", json!({"do": "panic"})).await;
    }
    assert_eq!(stopped(&host, "0.2.0").await["detail"]["nowServes"], "0.1.0");
    assert_eq!(ok().await, "0.1.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_trap_under_two_releases_get_nothing_back_from_the_second() {
    let db = Db::new().await;
    let host = Host::start(&db, None, judged()).await;
    for version in ["0.1.0", "0.2.0"] {
        published(&host.admin(), guest(version)).await;
        serves(&host.client(), "guest", version).await;
    }
    trap(&host, 12).await;
    stopped(&host, "0.2.0").await;
    serves(&host.client(), "guest", "0.1.0").await;
    let once = "SELECT count(*) FROM jobs WHERE errors @> '[{\"givenBack\": true}]'";
    eventually("they get their attempts back", async || (db.count(once).await >= 9).then_some(())).await;
    db.execute("UPDATE jobs SET run_at = now() WHERE state = 'scheduled'").await;
    stopped(&host, "0.1.0").await;
    let twice = "SELECT count(*) FROM jobs WHERE \
                 (SELECT count(DISTINCT e ->> 'release') FROM jsonb_array_elements(errors) AS e \
                  WHERE starts_with(e ->> 'kind', 'trap-')) = 2";
    eventually("some trapped under both", async || (db.count(twice).await > 0).then_some(())).await;
    assert_eq!(db.count(&format!("{twice} AND attempt = 0")).await, 0, "the second time is their own fault");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_waits_for_whoever_changes_what_serves() {
    let db = Db::new().await;
    let one = Host::start(&db, None, HostOptions { cluster: patient(), ..options(vec!["guest.wasm"]) }).await;
    let _two = Host::start(&db, None, HostOptions { cluster: patient(), ..weak() }).await;
    let mut change = db.pool.begin().await.unwrap();
    // As an activation does, but for the rows that it writes then.
    let heavy = heavy();
    assert_eq!(published(&one.admin(), heavy).await["state"], "waiting");
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('usher_plugin:guest'))").execute(&mut *change).await.unwrap();
    let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    eventually("the rejection waits", async || (db.count(waits).await > 0).then_some(())).await;
    // The news, then what waits: whoever took them the other way round would be in a deadlock with us.
    sqlx::query("UPDATE release_news SET version = version + 1").execute(&mut *change).await.unwrap();
    let row = "UPDATE activations SET withdrawn = NULL WHERE effective_at IS NULL AND withdrawn_at IS NULL";
    assert_eq!(sqlx::query(row).execute(&mut *change).await.unwrap().rows_affected(), 1, "nobody has withdrawn it");
    change.commit().await.unwrap();
    let withdrawn = "SELECT count(*) FROM activations WHERE withdrawn_at IS NOT NULL";
    eventually("it is withdrawn then", async || (db.count(withdrawn).await == 1).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_owed_to_jobs_outlasts_the_host_and_holds_up_no_other() {
    let db = Db::new().await;
    let mut host = Host::start(&db, None, judged()).await;
    published(&host.admin(), guest("0.1.0")).await;
    serves(&host.client(), "guest", "0.1.0").await;
    trap(&host, 5).await;
    let burnt = "SELECT count(*) FROM jobs WHERE state = 'scheduled' AND attempt > 0";
    eventually("they trap", async || (db.count(burnt).await == 5).then_some(())).await;
    let mut held = db.pool.begin().await.unwrap();
    sqlx::query("SELECT id FROM jobs FOR UPDATE").execute(&mut *held).await.unwrap();
    trap(&host, 10).await;
    stopped(&host, "0.1.0").await;
    eventually("the others have got theirs back", async || (db.count(burnt).await == 5).then_some(())).await;
    host.kill9();
    assert_eq!(db.count("SELECT count(*) FROM amends").await, 1);
    held.rollback().await.unwrap();

    let _next = Host::start(&db, None, judged()).await;
    eventually("they get theirs back", async || (db.count(burnt).await == 0).then_some(())).await;
    let owed = "SELECT count(*) FROM amends";
    eventually("nothing is owed any more", async || (db.count(owed).await == 0).then_some(())).await;
}
