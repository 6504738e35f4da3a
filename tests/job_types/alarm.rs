//! The mail to the operator about a job that failed for good, and that none is made about that mail.

use serde_json::{Value, json};

use crate::support::{Client, Db, Host, HostOptions, Sink, eventually, token};

const OPS: &str = "ops@example.com";

async fn start(db: &Db, sink: &Sink, more: &str) -> Host {
    let options = HostOptions {
        plugins: vec!["guest.wasm", "guest-effects.wasm", "notifications.wasm"],
        config: format!("[alerts.mail]\nto = [\"{OPS}\"]\n{more}"),
        on_doubt: "park",
        ..HostOptions::default()
    };
    Host::start(db, Some(sink), options).await
}

async fn fail(client: &Client, job_type: &str) -> String {
    let id = client.submit(job_type, json!({"do": "permanent", "message": "words of a guest"})).await;
    client.wait(&id, "dead").await;
    id
}

fn subjects(mails: &[Value]) -> Vec<&str> {
    mails.iter().map(|mail| mail["headers"]["Subject"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_hears_of_a_kind_of_failure_once_in_a_while() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let host = start(&db, &sink, "").await;
    let client = host.client();
    let first = fail(&client, "guest").await;
    let mails = sink.wait_mails(1).await;
    assert_eq!((&mails[0]["to"], subjects(&mails)), (&json!([OPS]), vec!["[error] guest failed: permanent"]));
    let body = mails[0]["body"].as_str().unwrap();
    assert!(body.contains(&first) && body.contains("t1"), "{body}");
    assert!(!body.contains("words of a guest"), "what a guest says is not the mail's business: {body}");

    // The same kind is quiet for an hour; another kind is not.
    fail(&client, "guest").await;
    fail(&client, "guest-money").await;
    sink.wait_mails(2).await;
    let theirs = client.with_token(token("user", Some("t2")));
    fail(&theirs, "guest").await;
    let mails = sink.wait_mails(3).await;
    assert_eq!(
        subjects(&mails),
        ["[error] guest failed: permanent", "[error] guest-money failed: permanent", "[error] guest failed: permanent"]
    );
    assert!(mails[2]["body"].as_str().unwrap().contains("t2"), "another tenant's is another kind");

    // The mails are jobs of a tenant of their own: who failed does not see whom it was told to.
    let own = client.get("/jobs?type=send-email").await.body;
    assert_eq!(own["items"], json!([]));
    let all = host.admin().get("/jobs?type=send-email&tenant=usher").await.body;
    assert_eq!(all["items"].as_array().unwrap().len(), 3, "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_every_failure_counts_each_is_mailed() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let host = start(&db, &sink, "every = \"0s\"\n").await;
    let (one, two) = (fail(&host.client(), "guest").await, fail(&host.client(), "guest").await);
    let mails = sink.wait_mails(2).await;
    for id in [one, two] {
        assert!(mails.iter().any(|mail| mail["body"].as_str().unwrap().contains(&id)), "{id}: {mails:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_cannot_be_sent_makes_an_alert_and_no_mail() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let host = start(&db, &sink, "every = \"0s\"\n").await;
    sink.say_of(OPS, "550 5.1.1 no such user").await;
    fail(&host.client(), "guest").await;
    let alert = eventually("an alert is raised", async || {
        let alerts = host.admin().get("/alerts?state=open").await.body["items"].as_array().unwrap().clone();
        alerts.into_iter().find(|alert| alert["kind"] == "alert-mail")
    })
    .await;
    assert_eq!(alert["severity"], "critical", "{alert}");
    // The next one arrives, so what should not have come would be there by now.
    let next = fail(&host.client(), "guest-money").await;
    let mails = sink.wait_mails(1).await;
    assert!(mails.len() == 1 && mails[0]["body"].as_str().unwrap().contains(&next), "{mails:?}");
    let over = "SELECT count(*) FROM jobs_archive WHERE job_type = 'send-email'";
    eventually("both mails are over", async || (db.count(over).await == 2).then_some(())).await;
    assert_eq!(db.count("SELECT count(*) FROM jobs").await, 0, "and there is no third");
    let tenants = host.client().get("/alerts?state=open").await.body;
    assert_eq!(tenants["items"], json!([]), "it is about the host, not about a tenant");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_nobody_sends_mail_for_says_so() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let options = HostOptions {
        plugins: vec!["guest.wasm"],
        config: format!("[alerts.mail]\nto = [\"{OPS}\"]\n"),
        ..HostOptions::default()
    };
    let host = Host::start(&db, Some(&sink), options).await;
    fail(&host.client(), "guest").await;
    let alert = eventually("an alert is raised", async || {
        host.admin().get("/alerts").await.body["items"].as_array().unwrap().first().cloned()
    })
    .await;
    assert_eq!(alert["kind"], "alert-mail", "{alert}");
    assert!(alert["detail"]["cause"].as_str().unwrap().contains("send-email"), "{alert}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_in_doubt_and_one_that_came_in_by_sql_are_told_too() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let host = start(&db, &sink, "").await;
    // The mail server keeps it, and its answer is lost; the profile leaves that to a person.
    sink.faults(&["drop"]).await;
    let parked = host.client().submit("guest-mail", json!({"do": "mail", "to": "anna@example.com"})).await;
    let job = host.client().wait(&parked, "dead").await;
    assert_eq!(job["reason"], "unknown-outcome", "{job}");
    let mails = eventually("the operator hears", async || {
        let mails: Vec<_> = sink.mails().await.into_iter().filter(|mail| mail["to"] == json!([OPS])).collect();
        Some(mails).filter(|mails| !mails.is_empty())
    })
    .await;
    assert_eq!(subjects(&mails), ["[critical] guest-mail waits for you: an effect is in doubt"]);
    assert!(mails[0]["body"].as_str().unwrap().contains(&parked), "{}", mails[0]);

    let invalid = db.text("SELECT usher.submit('t1', 'guest-money', '{\"no\": \"step\"}')::text").await.unwrap();
    host.client().wait(&invalid, "dead").await;
    eventually("the operator hears of it", async || {
        let mails = sink.mails().await;
        subjects(&mails).contains(&"[error] guest-money failed: invalid").then_some(())
    })
    .await;
}
