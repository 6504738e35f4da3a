use serde_json::{Value, json};

use super::{alerts, done, fail, post, rules, wait};
use crate::{
    support::{Db, Host, HostOptions, Receiver, Sink, eventually},
    webhooks,
};

const OPS: &str = "ops@example.com";

/// A rule about pauses that is told again every second, and another that is told once.
fn config(more: &str) -> String {
    rules(&format!(
        "[[alerts.rules]]\nname = \"often\"\nkind = \"provider-paused\"\nprovider = \"stripe\"\nthreshold = \"1s\"\nrepeat = \"1s\"\n\
         [[alerts.rules]]\nname = \"once\"\nkind = \"provider-paused\"\nprovider = \"push\"\nthreshold = \"1s\"\n\
         {more}[alerts.mail]\nto = [\"{OPS}\"]\n"
    ))
}

fn options(config: String) -> HostOptions {
    HostOptions { plugins: vec!["guest.wasm", "notifications.wasm"], config, ..HostOptions::default() }
}

/// Mails about a rule.
async fn mails(sink: &Sink, rule: &str) -> Vec<String> {
    let all = sink.mails().await;
    let subjects = all.iter().map(|mail| mail["headers"]["Subject"].as_str().unwrap().to_owned());
    subjects.filter(|subject| subject.contains(rule)).collect()
}

async fn wait_mails(sink: &Sink, rule: &str, count: usize) -> Vec<String> {
    eventually(&format!("{count} mails about {rule}"), async || {
        Some(mails(sink, rule).await).filter(|mails| mails.len() >= count)
    })
    .await
}

async fn told(db: &Db, alert: &Value) -> i64 {
    db.count(&format!("SELECT told::bigint FROM alerts WHERE id = '{}'", alert["id"].as_str().unwrap())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_is_mailed_once_again_by_its_rule_and_not_while_it_is_silenced_or_looked_after() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let host = Host::start(&db, Some(&sink), options(config(""))).await;
    post(&host, "/providers/stripe/pause").await;
    let often = wait(&host, "often", "firing").await;
    let subjects = wait_mails(&sink, "often", 3).await;
    assert!(subjects[0].starts_with("[warning] provider-paused: often/provider/stripe"), "{subjects:?}");
    assert!(subjects[1].contains("still"), "a reminder says so: {subjects:?}");
    let body = sink.mails().await[0]["body"].as_str().unwrap().to_owned();
    assert!(body.contains("stripe has been paused for") && body.contains(often["id"].as_str().unwrap()), "{body}");

    let silenced = done(&host, &often, "silence", Some(json!({"for": "2h"}))).await;
    assert!(silenced["silencedUntil"].is_string() && silenced["state"] == "firing", "{silenced}");
    let so_far = told(&db, &often).await;
    // Another one fires, and is told: this one would have been, too.
    post(&host, "/providers/push/pause").await;
    wait_mails(&sink, "once", 1).await;
    assert_eq!(told(&db, &often).await, so_far);
    // What comes again while it is silenced is silenced.
    post(&host, "/providers/stripe/resume").await;
    wait(&host, "often", "resolved").await;
    post(&host, "/providers/stripe/pause").await;
    let again = wait(&host, "often", "firing").await;
    assert!(again["id"] != often["id"] && again["silencedUntil"].is_string(), "{again}");
    assert_eq!(told(&db, &again).await, 0);
    let heard = done(&host, &again, "silence", Some(json!({"for": "0s"}))).await;
    assert!(heard["silencedUntil"].is_null(), "{heard}");
    eventually("it is told now", async || (told(&db, &again).await > 0).then_some(())).await;

    // Whoever looks after it needs no reminder.
    done(&host, &again, "ack", None).await;
    let so_far = told(&db, &again).await;
    let once = wait(&host, "once", "firing").await;
    done(&host, &once, "resolve", None).await;
    post(&host, "/providers/push/resume").await;
    eventually("it is over", async || (db.count("SELECT count(*) FROM alert_conditions").await == 0).then_some(()))
        .await;
    post(&host, "/providers/push/pause").await;
    wait_mails(&sink, "once", 2).await;
    assert_eq!(told(&db, &again).await, so_far);
    assert_eq!(mails(&sink, "once").await.len(), 2, "each firing once");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_dies_after_an_alert_has_told_it_once_and_the_operators_endpoint_hears_of_it() {
    let (db, sink, receiver) = (Db::new().await, Sink::start().await, Receiver::start().await);
    let with = || options(config("") + &webhooks::config(&[receiver.place()]));
    let mut host = Host::start(&db, Some(&sink), with()).await;
    webhooks::endpoint_of("usher", &host, &receiver, &["operation.failed"]).await;
    webhooks::endpoint_of("t1", &host, &receiver, &["operation.failed"]).await;
    // No mail leaves before it dies.
    sink.stop().await;
    post(&host, "/providers/push/pause").await;
    let alert = wait(&host, "once", "firing").await;
    host.kill9();
    sink.start_again().await;
    let data_dir = Some(host.data_dir.clone());
    let host = Host::start(&db, Some(&sink), HostOptions { data_dir, plugins: Vec::new(), ..with() }).await;
    wait_mails(&sink, "once", 1).await;
    let received = receiver.wait(1).await;
    let event = webhooks::body(&received[0]);
    assert_eq!((&event["type"], &event["data"]["alertId"]), (&json!("operation.failed"), &alert["id"]), "{event}");
    assert_eq!(
        (&event["data"]["kind"], &event["data"]["reminder"]),
        (&json!("provider-paused"), &json!(false)),
        "{event}"
    );
    // A second alert comes behind it, so that we need not wait for what should not come.
    post(&host, "/providers/stripe/pause").await;
    wait_mails(&sink, "often", 1).await;
    assert_eq!(mails(&sink, "once").await.len(), 1, "once");
    let received = receiver.received();
    let of_alert: Vec<_> =
        received.into_iter().filter(|r| webhooks::body(r)["data"]["alertId"] == alert["id"]).collect();
    assert_eq!(webhooks::ids(&of_alert).len(), 1, "to the operator's endpoint, and no tenant's");
    assert_eq!(told(&db, &alert).await, 1);
}

/// Jobs that are mails.
async fn mail_jobs(db: &Db) -> i64 {
    db.count("SELECT (SELECT count(*) FROM jobs_archive WHERE job_type = 'send-email') + (SELECT count(*) FROM jobs WHERE job_type = 'send-email')")
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn mails_about_alerts_that_cannot_be_sent_make_no_more_mails() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    // It would fire for the mails, too.
    let dead = "[[alerts.rules]]\nname = \"dead\"\nkind = \"dead-jobs\"\nthreshold = 1\nwindow = \"1h\"\n";
    let host = Host::start(&db, Some(&sink), options(config(dead))).await;
    sink.say_always("rcpt", "550 5.1.1 no such user").await;
    let client = host.client();
    fail(&client, "guest").await;
    wait(&host, "dead", "firing").await;
    let refused = "SELECT count(*) FROM jobs_archive WHERE job_type = 'send-email' AND state = 'dead'";
    eventually("both mails are refused", async || (db.count(refused).await == 2).then_some(())).await;
    eventually("it is told by an alert, which makes no mail", async || {
        let unsent = alerts(&host.admin(), "kind=alert-mail&state=firing").await;
        (unsent.len() == 1).then_some(())
    })
    .await;
    assert_eq!(mail_jobs(&db).await, 2, "the failure's own, and the alert's");
    sink.say_nothing_more().await;
    post(&host, "/providers/push/pause").await;
    wait_mails(&sink, "once", 1).await;
    assert_eq!(mail_jobs(&db).await, 3);
    assert_eq!(sink.mails().await.len(), 1);
    let about_mails = alerts(&host.admin(), "rule=dead").await;
    assert!(about_mails.iter().all(|alert| alert["subject"] == "dead/type/guest"), "{about_mails:?}");
}
