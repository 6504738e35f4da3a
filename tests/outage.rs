//! The database goes away and comes back; the hosts stay.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::{Answer, Db, Host, HostOptions, Proxy, Sink, eventually, postgres::Postgres, scratch};

/// A database whose only way can be closed; the tests themselves go straight.
async fn behind_a_proxy() -> (Db, Db, Proxy) {
    let db = Db::new().await;
    let proxy = Proxy::start(&db.url).await;
    let through = Db::at(proxy.url.clone(), db.pool.clone());
    (db, through, proxy)
}

async fn wait_ready(host: &Host, status: u16) {
    eventually(&format!("readiness is {status}"), async || {
        (host.client().get("/health/ready").await.status == status).then_some(())
    })
    .await;
}

async fn wait_log(host: &Host, part: &str) {
    eventually(&format!("the host says: {part}"), async || host.log().contains(part).then_some(())).await;
}

/// Nothing is known to be done, and the caller hears when to come again.
fn assert_come_again(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.body);
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert_eq!(answer.body["type"], "urn:usher:problem:unavailable");
    let seconds = answer.headers["retry-after"].to_str().unwrap();
    assert!(seconds.parse::<u32>().is_ok(), "{seconds}");
}

fn job(n: usize) -> String {
    json!({"type": "guest-money", "payload": {"do": "ok", "echo": n}}).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_database_a_host_lives_is_not_ready_and_acknowledges_nothing() {
    let (db, through, proxy) = behind_a_proxy().await;
    let host = Host::start(&through, None, HostOptions::default()).await;
    let client = host.client();
    let kept = client.submit("guest-money", json!({"do": "ok"})).await;
    client.wait(&kept, "completed").await;

    proxy.close();
    wait_ready(&host, 503).await;
    let picture = client.get("/health").await;
    assert_eq!((picture.status.as_u16(), &picture.body["parts"]["database"]["status"]), (200, &json!("down")));
    assert_eq!(client.get("/health/live").await.status, 200);
    for n in 0..3 {
        assert_come_again(&client.post(job(n)).await);
    }
    assert_come_again(&client.get(&format!("/jobs/{kept}")).await);
    assert_come_again(&client.get("/queues").await);
    assert_come_again(&host.admin().send(Method::POST, "/queues/money/pause", None).await);

    proxy.open();
    wait_ready(&host, 200).await;
    assert_eq!(client.job(&kept).await["state"], "completed");
    let after = client.submit("guest-money", json!({"do": "ok"})).await;
    client.wait(&after, "completed").await;
    assert_eq!(db.count("SELECT count(*) FROM jobs_archive").await, 2, "what was refused was not written");
    assert_eq!(db.count("SELECT count(*) FROM jobs").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_around_outages_runs_once_whatever_was_cut() {
    let (db, through, proxy) = behind_a_proxy().await;
    let host = Host::start(&through, None, HostOptions::default()).await;
    let submits: Vec<_> = (0..8)
        .map(|caller| {
            let client = host.client();
            tokio::spawn(async move {
                let mut ids = Vec::new();
                for n in 0..25 {
                    let n = caller * 25 + n;
                    ids.push(client.submit_surely(&job(n), &format!("order-{n}")).await);
                }
                ids
            })
        })
        .collect();
    for taken in [20, 60, 120] {
        eventually("some are taken", async || {
            (db.count("SELECT count(*) FROM idempotency_keys").await >= taken).then_some(())
        })
        .await;
        proxy.close();
        wait_ready(&host, 503).await;
        proxy.open();
        wait_ready(&host, 200).await;
    }
    for submit in submits {
        for id in submit.await.unwrap() {
            host.client().wait(&id, "completed").await;
        }
    }
    assert_eq!(db.count("SELECT count(*) FROM jobs_archive").await, 200, "one a key");
    assert_eq!(db.count("SELECT count(*) FROM jobs_archive WHERE state = 'completed'").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_runs_through_an_outage_is_settled_once_and_by_its_first_attempt() {
    let (db, through, proxy) = behind_a_proxy().await;
    let host = Host::start(&through, None, within_the_lease()).await;
    // It would reap the other's jobs after the lease, and run none itself.
    let bystander = HostOptions { concurrency: 0, plugins: Vec::new(), ..within_the_lease() };
    let _bystander = Host::start(&db, None, bystander).await;
    let id = host.client().submit("guest-slow", json!({"do": "spin", "ms": 2000})).await;
    host.client().wait(&id, "running").await;

    proxy.close();
    wait_log(&host, "settlements could not be committed").await;
    let row = format!("SELECT state || ' ' || attempt FROM jobs WHERE id = '{id}'");
    assert_eq!(db.text(&row).await.as_deref(), Some("running 1"), "the guest has ended, and nobody knows");
    proxy.open();

    let job = host.client().wait(&id, "completed").await;
    assert_eq!((&job["attempt"], &job["errors"]), (&json!(1), &json!([])), "{job}");
    assert_eq!(db.count("SELECT count(*) FROM jobs_archive").await, 1);
    assert!(!host.log().contains("lease lost"), "no second attempt was made");
}

fn within_the_lease() -> HostOptions {
    let cluster = "[cluster]\nheartbeat = \"300ms\"\nconfirm_within = \"700ms\"\ndead_after = \"120s\"\n\
                   doubt_margin = \"500ms\"\npoll = \"500ms\"\n";
    HostOptions { cluster: Some(cluster.to_owned()), ..HostOptions::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_is_sent_while_the_database_is_away_is_journaled_and_not_repeated() {
    let (db, through, proxy) = behind_a_proxy().await;
    let sink = Sink::start().await;
    let options = HostOptions { plugins: vec!["guest.wasm", "guest-effects.wasm"], ..within_the_lease() };
    let host = Host::start(&through, Some(&sink), HostOptions { mail_timeout: "30s", ..options }).await;
    sink.faults(&["hold"]).await;
    let id = host.client().submit("guest-mail", json!({"do": "mail", "to": "anna@example.com"})).await;
    sink.wait_held().await;

    proxy.close();
    wait_ready(&host, 503).await;
    sink.release().await;
    wait_log(&host, "an effect's answer could not be written; trying again").await;
    assert_eq!(db.text("SELECT state FROM effects").await.as_deref(), Some("started"));
    proxy.open();

    let job = host.client().wait(&id, "completed").await;
    assert_eq!(job["attempt"], 1, "{job}");
    assert_eq!(sink.mails().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_restarted_in_immediate_mode_and_every_acknowledged_money_job_completes() {
    let server = Postgres::start(scratch("postgres")).await;
    let db = Db::on(&server.url("postgres")).await;
    let mut host = Host::start(&db, None, HostOptions { concurrency: 4, ..HostOptions::default() }).await;
    let client = host.client();
    let mut ids = Vec::new();
    for n in 0..40 {
        let payload = if n % 4 == 0 { json!({"do": "spin", "ms": 300}) } else { json!({"do": "ok", "echo": n}) };
        ids.push(client.submit("guest-money", payload).await);
    }

    server.crash().await;
    wait_ready(&host, 503).await;
    assert_come_again(&client.post(job(0)).await);
    server.start_again().await;

    wait_ready(&host, 200).await;
    ids.push(client.submit("guest-money", json!({"do": "ok"})).await);
    for id in &ids {
        client.wait(id, "completed").await;
    }
    assert_eq!(db.count("SELECT count(*) FROM jobs_archive").await, 41, "each once");
    assert!(host.is_alive());
    assert_eq!(host.terminate().await, Some(0), "and it ends as ever");
}
