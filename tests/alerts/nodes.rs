use serde_json::json;

use super::{alerts, fail, wait};
use crate::support::{Db, Host, HostOptions, Sink, eventually};

const OPS: &str = "ops@example.com";

#[tokio::test(flavor = "multi_thread")]
async fn of_two_hosts_one_looks_each_alert_is_told_once_and_a_killed_one_is_missed() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let options = || HostOptions {
        plugins: vec!["guest.wasm", "notifications.wasm"],
        config: format!(
            "[alerts]\ninterval = \"200ms\"\n\
             [[alerts.rules]]\nname = \"failed\"\nkind = \"dead-jobs\"\ntype = \"guest\"\nthreshold = 1\nwindow = \"1h\"\n\
             [alerts.mail]\nto = [\"{OPS}\"]\n"
        ),
        ..HostOptions::default()
    };
    let mut first = Host::start(&db, Some(&sink), options()).await;
    eventually("it looks", async || {
        (db.count("SELECT count(*) FROM duties WHERE name = 'alerts'").await == 1).then_some(())
    })
    .await;
    let second = Host::start(&db, Some(&sink), options()).await;
    fail(&second.client(), "guest").await;
    let failed = wait(&second, "failed", "firing").await;
    // The failure's own mail, and the alert's.
    let mails = sink.wait_mails(2).await;
    let about = |mails: &[serde_json::Value], what: &str| {
        mails.iter().filter(|mail| mail["headers"]["Subject"].as_str().unwrap().contains(what)).count()
    };
    assert_eq!(about(&mails, "failed/type/guest"), 1, "{mails:?}");

    // The one that looks dies; the other looks from now on, and says so.
    first.kill9();
    let lost = wait(&second, "node-lost", "firing").await;
    assert_eq!((&lost["value"], &lost["subject"]), (&json!(1.0), &json!("node-lost/cluster")), "{lost}");
    assert_eq!(lost["detail"]["nodes"].as_array().unwrap().len(), 1, "{lost}");
    let mails = sink.wait_mails(3).await;
    assert_eq!((about(&mails, "failed/type/guest"), about(&mails, "node-lost/cluster")), (1, 1), "{mails:?}");
    let still = alerts(&second.admin(), "rule=failed").await;
    assert_eq!((still.len(), &still[0]["id"]), (1, &failed["id"]), "it is the same alert");
    assert_eq!(db.count("SELECT count(*) FROM alerts WHERE told <> 1").await, 0, "each once");
    // A host that ends by itself is missed by nobody.
    let third = Host::start(&db, Some(&sink), HostOptions { plugins: Vec::new(), ..options() }).await;
    assert_eq!(third.terminate().await, Some(0));
    assert_eq!(db.count("SELECT count(*) FROM lost_nodes").await, 1);
}
