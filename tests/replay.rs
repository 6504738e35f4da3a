//! A finished job runs again with its journal as the world: the same to the byte, or the first difference; nothing leaves.

use std::process::Output;

use serde_json::json;

use crate::support::{Db, Host, HostOptions, Sink, component, eventually, place, usher};

async fn replay(db: &Db, args: &[&str]) -> (i32, String) {
    let mut command = usher();
    command.args(["jobs", "replay"]).args(args).env("DATABASE_URL", &db.url);
    let Output { status, stdout, stderr } =
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    (status.code().unwrap(), format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_job_replays_byte_for_byte_and_nothing_leaves() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let options = HostOptions { plugins: vec!["guest-effects.wasm"], ..HostOptions::default() };
    let host = Host::start(&db, Some(&sink), options).await;
    let jobs = [
        json!({"do": "two-mails"}),
        json!({"do": "time-around-mail"}),
        json!({"do": "mail", "to": "nobody", "catch": true}),
        json!({"do": "steps", "steps": [{"do": "mail"}, {"do": "enqueue", "type": "guest-mail", "payload": {"do": "ok"}}]}),
    ];
    let mut ids = Vec::new();
    for payload in jobs {
        let id = host.client().submit("guest-mail", payload).await;
        host.client().wait(&id, "completed").await;
        ids.push(id);
    }
    // One that took two attempts, and one that failed for good after its mail.
    let id = host.client().submit("guest-mail", json!({"do": "mail-then-fail-once"})).await;
    host.client().wait(&id, "completed").await;
    ids.push(id);
    let failing = json!({"do": "steps", "steps": [{"do": "mail"}, {"do": "permanent", "message": "no"}]});
    let id = host.client().submit("guest-mail", failing).await;
    host.client().wait(&id, "dead").await;
    ids.push(id);
    // Words longer than a job's errors keep.
    let wordy = json!({"do": "permanent", "message": "no ".repeat(1_000)});
    let id = host.client().submit("guest-mail", wordy).await;
    host.client().wait(&id, "dead").await;
    ids.push(id);

    let (mails, rows) = (sink.mails().await.len(), db.count("SELECT count(*) FROM jobs_archive").await);
    for id in &ids {
        let (code, said) = replay(&db, &[id]).await;
        assert!(code == 0 && said.contains("byte for byte"), "{id}: {said}");
    }
    assert_eq!(sink.mails().await.len(), mails, "no mail left");
    assert_eq!(db.count("SELECT count(*) FROM jobs_archive").await, rows, "nothing is written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_ended_inside_a_call_replays_up_to_there() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let options = HostOptions { plugins: vec!["guest-effects.wasm"], ..HostOptions::default() };
    let host = Host::start(&db, Some(&sink), options).await;
    // Put off until no attempt is left.
    sink.say_always("mail", "451 4.3.0 later").await;
    let id = host.client().submit("guest-mail", json!({"do": "mail"})).await;
    let job = host.client().wait(&id, "dead").await;
    assert_eq!(job["reason"], "retries-exhausted", "{job}");
    let (code, said) = replay(&db, &[&id]).await;
    assert!(code == 0 && said.contains("the same 1 effects, the last of which never had an answer"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_release_is_told_from_the_one_that_ran_by_its_first_difference() {
    let db = Db::new().await;
    let options = HostOptions { plugins: vec!["analytics.wasm"], ..HostOptions::default() };
    let host = Host::start(&db, None, options).await;
    let id = host.client().submit("analytics-track", json!({"event": "door opened"})).await;
    host.client().wait(&id, "completed").await;
    let (code, said) = replay(&db, &[&id]).await;
    assert_eq!(code, 0, "{said}");
    place(&component("analytics-v2.wasm"), &host.plugins().join("analytics.wasm"));
    let newer = "SELECT 'sha256:' || encode(digest, 'hex') FROM releases WHERE version = '0.2.0'";
    let newer = eventually("the second release is stored", async || db.text(newer).await).await;
    let (code, said) = replay(&db, &[&id, "--release", &newer]).await;
    assert!(code == 1 && said.contains("it ends differently") && said.contains("\"v2\""), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_replayed_says_why() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions { plugins: vec!["guest.wasm"], ..HostOptions::default() }).await;
    let id = host.client().submit("guest", json!({"do": "retry-after", "delayMs": 600_000})).await;
    host.client().wait_error(&id, "guest-retry").await;
    let nobody = "01900000-0000-7000-8000-000000000000";
    for (args, said) in [
        (vec![id.as_str()], "only what has finished can be replayed"),
        (vec![nobody], "there is no job"),
        (vec!["not-an-id"], "invalid value"),
    ] {
        let (code, output) = replay(&db, &args).await;
        assert!(code == 2 && output.contains(said), "{said}: {output}");
    }
    let id = host.client().submit("guest", json!({"do": "ok", "echo": 1})).await;
    host.client().wait(&id, "completed").await;
    let unknown = format!("sha256:{}", "0".repeat(64));
    let (code, output) = replay(&db, &[&id, "--release", &unknown]).await;
    assert!(code == 2 && output.contains("is not stored"), "{output}");
}
