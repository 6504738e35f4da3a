//! Which release goes when most of the last jobs trap, what comes in its place, and whose jobs count.

use serde_json::{Value, json};

use super::{change, guest, options, plugin, published, serves};
use crate::support::{Db, Host, HostOptions, eventually};

/// As shipped: 10 of the last 20.
fn judged() -> HostOptions {
    HostOptions { config: "[plugins.quarantine]\n".to_owned(), filter: "warn", ..options(Vec::new()) }
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
