//! A finished job runs again with its journal as the world: the same to the byte, or the first difference; nothing leaves.

use std::process::Output;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    support::{Db, Host, HostOptions, Sink, component, eventually, place, read, token, usher},
    verify::{Shop, shop},
};

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
        // The end itself is printed, as it was stored.
        let end = format!(
            "SELECT coalesce('completed ' || result::text, 'permanent failure: no') FROM jobs_archive WHERE id = '{id}'"
        );
        let end = db.text(&end).await.unwrap();
        let line = said.lines().find(|line| line.starts_with(&end)).unwrap_or_else(|| panic!("{id} {end}: {said}"));
        assert!(line == end || end.starts_with("permanent"), "{id} {end}: {said}");
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
    let result = db.text("SELECT result::text FROM jobs_archive").await.unwrap();
    assert!(result.contains("\"v1\""), "{result}");
    assert!(code == 0 && said.lines().any(|line| line == format!("completed {result}")), "{result}: {said}");
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
        (vec![], "required"),
        (vec![id.as_str(), "--last", "3"], "cannot be used with"),
        (vec!["--last", "0"], "invalid value"),
        (vec![id.as_str(), "--type", "guest"], "cannot be used with"),
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

/// Jobs of nine kinds: with effects of every sort, jobs and events of their own, and none; a tenth of them die by their own word.
fn job(n: usize) -> Value {
    let (job_type, payload) = match n % 10 {
        0 => ("guest-shop", json!({"do": "shop", "order": format!("order-{n}"), "amount": 1_000 + n})),
        1 => ("guest-mail", json!({"do": "mail", "subject": format!("mail {n}")})),
        2 | 3 => ("guest-mail", json!({"do": "upstream", "path": "/reads"})),
        4 => {
            let once = json!({"do": "upstream", "method": "post", "path": "/once", "body": format!("{{\"ticket\": \"{n}\"}}")});
            let child = json!({"do": "enqueue", "type": "guest-mail", "payload": {"do": "ok", "echo": n}});
            ("guest-mail", json!({"do": "steps", "steps": [{"do": "time-around-mail"}, once, child]}))
        }
        5 => ("guest-webhook", json!({"do": "publish", "event": "guest.happened", "data": {"n": n}})),
        6 => {
            let publish = json!({"do": "publish", "event": "guest.happened", "data": {"n": n}});
            ("guest-webhook", json!({"do": "steps", "steps": [publish, {"do": "time"}]}))
        }
        7 => ("guest", json!({"do": "enqueue", "type": "guest", "payload": {"do": "time"}})),
        8 => ("guest", json!({"do": "time"})),
        _ => ("guest-mail", json!({"do": "permanent", "message": format!("no {n}")})),
    };
    json!({"type": job_type, "payload": payload})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_recorded_jobs_of_many_types_replay_byte_for_byte() {
    let plugins = vec!["guest-shop.wasm", "guest-effects.wasm", "guest-webhook.wasm", "guest.wasm"];
    let rig = Shop::start(plugins, "").await;
    let jobs: Vec<_> = (0..800).map(job).collect();
    let client = rig.host.client().with_token(token("venue_admin", Some("t1")));
    let answer = client.send(Method::POST, "/jobs/batch", Some(json!({"jobs": jobs}))).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    // With what they enqueued: notes of orders, and one more of those of the kinds 4 and 7.
    let ended = "SELECT count(*) FROM jobs_archive WHERE state = 'completed' OR reason = 'permanent'";
    eventually("all have ended", async || (rig.db.count(ended).await == 1_040).then_some(())).await;

    let before = rig.left().await;
    let said = rig.run(&["jobs", "replay", "--last", "1000"]).await;
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let expected = "replay: jobs=1000 same=1000 different=0 failed=0 skipped=0";
    assert_eq!(said.last_line(), expected, "{}", said.out);
    for job_type in ["guest", "guest-mail", "guest-shop", "guest-shop-note", "guest-webhook"] {
        assert!(said.out.lines().any(|line| line.starts_with(&format!("{job_type}: "))), "{job_type}: {}", said.out);
    }
    assert_eq!(rig.left().await, before, "nothing left, nothing is written");
    let said = rig.run(&["jobs", "replay", "--last", "50", "--type", "guest-webhook", "--json"]).await;
    let report: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&report["jobs"], &report["types"]), (&json!(50), &json!({"guest-webhook": 50})), "{report}");

    // With other code that is stored, and serves nobody.
    let request = rig.host.admin().request(Method::POST, "/plugins?activate=false");
    let request = request.header("content-type", "application/wasm").body(shop("0.2.0", "amount"));
    let stored = read(request.send().await.unwrap()).await.body;
    let release = stored["digest"].as_str().unwrap();
    let said = rig.run(&["jobs", "replay", "--last", "9", "--type", "guest-shop", "--release", release]).await;
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    assert!(said.out.contains("effect 0 (stripe.create-transfer) differs in amount"), "{}", said.out);
    assert_eq!(said.last_line(), "replay: jobs=9 same=0 different=9 failed=0 skipped=0");
}
