//! kill -9 of the host at every point of the line, made from outside: the SMTP server holds a reply, a guest computes,
//! a session holds a row. What is asserted is seen from the mail server and from the database.

use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::support::{Db, Host, HostOptions, Sink, eventually, message_id};

fn options(on_doubt: &'static str) -> HostOptions {
    HostOptions { plugins: vec!["guest.wasm", "guest-effects.wasm"], on_doubt, ..HostOptions::default() }
}

fn mail() -> Value {
    json!({"do": "mail", "to": "anna@example.com"})
}

/// The same host again: same data folder, same plugins.
async fn restart(db: &Db, sink: &Sink, dead: &Host, on_doubt: &'static str) -> Host {
    let options = HostOptions { data_dir: Some(dead.data_dir.clone()), plugins: Vec::new(), ..options(on_doubt) };
    Host::start(db, Some(sink), options).await
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_commit_of_the_submit_the_job_is_kept() {
    let db = Db::new().await;
    let idle = HostOptions { concurrency: 0, ..HostOptions::default() };
    let mut host = Host::start(&db, None, idle).await;
    let mut ids = Vec::new();
    for job_type in ["guest", "guest-money"] {
        ids.push(host.client().submit(job_type, json!({"do": "ok", "n": ids.len()})).await);
    }
    host.kill9();
    let host = Host::start(&db, None, HostOptions::default()).await;
    for id in ids {
        host.client().wait(&id, "completed").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn during_the_guest_the_attempt_is_given_back() {
    let db = Db::new().await;
    let mut host = Host::start(&db, None, HostOptions::default()).await;
    let id = host.client().submit("guest-slow", json!({"do": "spin", "ms": 3000})).await;
    host.client().wait(&id, "running").await;
    host.kill9();
    let host = Host::start(&db, None, HostOptions::default()).await;
    let job = host.client().wait(&id, "completed").await;
    assert_eq!(job["attempt"], 1, "the host's death is not the job's: {job}");
}

#[tokio::test(flavor = "multi_thread")]
async fn between_journal_and_mail_nothing_was_sent_and_resend_sends_it_once() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let mut host = Host::start(&db, Some(&sink), options("resend")).await;
    hold_before_the_mail(&sink, &db).await;
    let id = host.client().submit("guest-mail", mail()).await;
    sink.wait_held_connect().await;
    assert_eq!(db.text("SELECT state FROM effects").await.as_deref(), Some("started"));
    host.kill9();
    sink.release().await;
    let host = restart(&db, &sink, &host, "resend").await;
    host.client().wait(&id, "completed").await;
    assert_eq!(sink.mails().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn between_journal_and_mail_park_sends_nothing_by_itself() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let mut host = Host::start(&db, Some(&sink), options("park")).await;
    hold_before_the_mail(&sink, &db).await;
    let id = host.client().submit("guest-mail", mail()).await;
    sink.wait_held_connect().await;
    host.kill9();
    sink.release().await;
    let host = restart(&db, &sink, &host, "park").await;
    parked(&host, &db, &id).await;
    assert_eq!(sink.mails().await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn between_mail_and_journal_end_resend_repeats_the_same_message_id() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let mut host = Host::start(&db, Some(&sink), options("resend")).await;
    sink.faults(&["hold"]).await;
    let id = host.client().submit("guest-mail", mail()).await;
    sink.wait_held_data().await;
    host.kill9();
    sink.release().await;
    let host = restart(&db, &sink, &host, "resend").await;
    let job = host.client().wait(&id, "completed").await;
    let mails = sink.mails().await;
    assert_eq!(mails.len(), 2, "at least once");
    assert_eq!(message_id(&mails[0]), message_id(&mails[1]), "and dedupable");
    assert_eq!(job["result"]["messageId"], message_id(&mails[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn between_mail_and_journal_end_park_never_sends_twice() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let mut host = Host::start(&db, Some(&sink), options("park")).await;
    sink.faults(&["hold"]).await;
    let id = host.client().submit("guest-mail", mail()).await;
    sink.wait_held_data().await;
    host.kill9();
    sink.release().await;
    let host = restart(&db, &sink, &host, "park").await;
    parked(&host, &db, &id).await;
    assert_eq!(sink.mails().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_settle_the_journal_answers_and_the_mail_is_not_repeated() {
    for on_doubt in ["resend", "park"] {
        let (db, sink) = (Db::new().await, Sink::start().await);
        let mut host = Host::start(&db, Some(&sink), options(on_doubt)).await;
        // The mail waits until we hold the job's row; then the settle waits for us.
        sink.faults(&["hold"]).await;
        let id = host.client().submit("guest-mail", mail()).await;
        sink.wait_held_data().await;
        let mut session = db.pool.begin().await.unwrap();
        sqlx::query(AssertSqlSafe(format!("SELECT FROM jobs WHERE id = '{id}' FOR KEY SHARE")))
            .execute(&mut *session)
            .await
            .unwrap();
        sink.release().await;
        eventually("the settle waits for the row", async || {
            let waiting =
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
            (db.count(waiting).await > 0).then_some(())
        })
        .await;
        assert_eq!(db.text("SELECT state FROM effects").await.as_deref(), Some("ended"));
        host.kill9();
        session.rollback().await.unwrap();
        let host = restart(&db, &sink, &host, on_doubt).await;
        let job = host.client().wait(&id, "completed").await;
        let mails = sink.mails().await;
        assert_eq!(mails.len(), 1, "{on_doubt}");
        assert_eq!(job["result"]["messageId"], message_id(&mails[0]), "the journaled answer, replayed");
    }
}

/// The next job's connection is held at EHLO. The health probe also says EHLO, so it gets its turn first.
async fn hold_before_the_mail(sink: &Sink, _: &Db) {
    sink.wait_probe().await;
    sink.hold_connects(1).await;
}

async fn parked(host: &Host, db: &Db, id: &str) {
    let job = host.client().wait(id, "dead").await;
    assert_eq!(job["reason"], "unknown-outcome", "{job}");
    assert_eq!(db.count(&format!("SELECT count(*) FROM jobs WHERE id = '{id}'")).await, 1, "it waits for a person");
}
