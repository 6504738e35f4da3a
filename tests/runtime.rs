//! Guests that misbehave, each in its own way: named in the job's error, contained, and no harm to others.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    expectations::{Expected, behaviours},
    support::{Db, Host, HostOptions, Sink, eventually},
};

#[tokio::test(flavor = "multi_thread")]
async fn each_misbehaviour_has_its_name_and_others_go_on() {
    let db = Db::new().await;
    let plugins = vec!["guest.wasm", "guest-effects.wasm", "analytics.wasm"];
    let mut host = Host::start(&db, None, HostOptions { plugins, ..HostOptions::default() }).await;
    let client = host.client();
    let (mut ids, mut completes) = (Vec::new(), Vec::new());
    for (name, expected) in behaviours() {
        let with = |mut payload: Value| {
            payload["do"] = name.into();
            payload
        };
        match expected {
            Expected::Fails(job_type, more, kind) => ids.push((client.submit(job_type, with(more)).await, kind)),
            Expected::Completes(job_type, more) => completes.push(client.submit(job_type, with(more)).await),
            Expected::Shown(_) => {}
        }
    }
    for n in 0..20 {
        let id = client.submit("analytics-track", json!({"event": format!("e{n}")})).await;
        client.wait(&id, "completed").await;
    }
    for (id, kind) in ids {
        let error = client.wait_error(&id, kind).await;
        assert!(!error["message"].as_str().unwrap().is_empty() || kind.starts_with("guest"), "{error}");
        assert!(error["attempt"].as_i64().unwrap() >= 1 && error["release"].is_string(), "{error}");
    }
    for id in completes {
        let job = client.wait(&id, "completed").await;
        assert_eq!((&job["attempt"], &job["errors"]), (&json!(1), &json!([])), "{job}");
    }
    let rss = host.rss();
    assert!(rss < 500 << 20, "the host has {} MiB", rss >> 20);
    assert!(host.is_alive());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_megabytes_of_log_are_one_truncated_line() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions::default()).await;
    let id = host.client().submit("guest-slow", json!({"do": "log-flood"})).await;
    host.client().wait(&id, "completed").await;
    let log = host.log();
    assert!(log.contains("truncated: this attempt may log no more"));
    assert!(log.len() < 1 << 20, "{} bytes of log", log.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_told_in_its_own_words_and_the_job_dies_of_it_in_the_end() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions::default()).await;
    let id = host.client().submit("guest", json!({"do": "panic"})).await;
    let job = host.client().wait(&id, "dead").await;
    assert_eq!((&job["reason"], &job["attempt"]), (&json!("trapped"), &json!(3)));
    let errors = job["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 3, "one for each attempt");
    assert!(errors[0]["message"].as_str().unwrap().contains("panic, as asked"), "{}", errors[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_mail_server_is_no_cpu_hog() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let plugins = vec!["guest-effects.wasm"];
    let options = HostOptions { plugins, mail_timeout: "10s", ..HostOptions::default() };
    let host = Host::start(&db, Some(&sink), options).await;
    sink.faults(&["silence 2"]).await;
    let id = host.client().submit("guest-mail", json!({"do": "mail", "to": "a@example.com"})).await;
    let job = host.client().wait(&id, "completed").await;
    assert_eq!(job["errors"], json!([]), "no CPU limit, no retry");
    let cpu = job["cpuMs"].as_f64().unwrap();
    assert!(cpu > 0.0 && cpu < 500.0, "{cpu} ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_asleep_in_a_host_call_meets_the_wall_and_its_mail_is_journaled() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let plugins = vec!["guest-effects.wasm"];
    let options = HostOptions { plugins, mail_timeout: "10s", ..HostOptions::default() };
    let host = Host::start(&db, Some(&sink), options).await;
    sink.faults(&["silence 2"]).await;
    let id = host.client().submit("guest-mail-hasty", json!({"do": "mail", "to": "a@example.com"})).await;
    host.client().wait_error(&id, "wall-limit").await;
    // The call outlived its guest; the second attempt is answered from the journal.
    let job = host.client().wait(&id, "completed").await;
    assert_eq!(job["attempt"], 2);
    assert_eq!(sink.mails().await.len(), 1, "sent once");
}

#[tokio::test(flavor = "multi_thread")]
async fn time_and_random_numbers_are_the_same_on_the_next_attempt() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let host =
        Host::start(&db, Some(&sink), HostOptions { plugins: vec!["guest-effects.wasm"], ..HostOptions::default() })
            .await;
    let payload = json!({"do": "time-around-mail", "to": "a@example.com", "failOnce": true});
    let id = host.client().submit("guest-mail", payload).await;
    let job = host.client().wait(&id, "completed").await;
    assert_eq!(job["attempt"], 2, "{job}");
    // The first attempt told what it saw in its failure.
    let told = job["errors"][0]["message"].as_str().unwrap();
    let told: Value = serde_json::from_str(told).unwrap_or_else(|e| panic!("{e}: {told}"));
    assert!(told["before"]["now"].is_u64() && told["before"] != told["after"], "{told}");
    assert_eq!(told, job["result"]);
    assert_eq!(sink.mails().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_request_at_the_same_place_kills_the_job_with_a_diff() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let host =
        Host::start(&db, Some(&sink), HostOptions { plugins: vec!["guest-effects.wasm"], ..HostOptions::default() })
            .await;
    let id = host.client().submit("guest-mail", json!({"do": "nondeterministic", "to": "a@example.com"})).await;
    let job = host.client().wait(&id, "dead").await;
    assert_eq!(job["reason"], "nondeterministic", "{job}");
    let error = host.client().wait_error(&id, "nondeterministic").await;
    assert!(error["message"].as_str().unwrap().contains("differs from the journal"), "{error}");
    assert_eq!(sink.mails().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_effects_and_a_missing_grant_are_answers() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let plugins = vec!["guest-effects.wasm", "guest.wasm"];
    let host = Host::start(&db, Some(&sink), HostOptions { plugins, ..HostOptions::default() }).await;
    let id = host.client().submit("guest-mail-single", json!({"do": "two-mails", "to": "a@example.com"})).await;
    let error = host.client().wait_error(&id, "guest-permanent").await;
    assert!(error["message"].as_str().unwrap().contains("effects"), "{error}");
    assert_eq!(sink.mails().await.len(), 1);
    let id = host.client().submit("guest", json!({"do": "enqueue", "type": "send-email", "payload": {}})).await;
    let error = host.client().wait_error(&id, "guest-permanent").await;
    assert!(error["message"].as_str().unwrap().contains("grants.jobs"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn children_are_committed_with_success_only() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions::default()).await;
    let enqueue = json!({"do": "enqueue", "type": "guest-money", "payload": {"do": "ok"}, "count": 3});
    let good = host.client().submit("guest", enqueue.clone()).await;
    host.client().wait(&good, "completed").await;
    let of = |id: &str| format!("SELECT count(*) FROM jobs_archive WHERE parent = '{id}' AND state = 'completed'");
    eventually("the children ran", async || (db.count(&of(&good)).await >= 1).then_some(())).await;
    let steps = json!({"do": "steps", "steps": [enqueue, {"do": "permanent"}]});
    let bad = host.client().submit("guest", steps).await;
    host.client().wait(&bad, "dead").await;
    let any = format!(
        "SELECT (SELECT count(*) FROM jobs WHERE parent = '{bad}') + (SELECT count(*) FROM jobs_archive WHERE parent = '{bad}')"
    );
    assert_eq!(db.count(&any).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_is_called_with_its_credential_and_its_answer_is_journaled() {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut asked = vec![0; 4096];
        let n = socket.read(&mut asked).await.unwrap();
        socket.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        String::from_utf8_lossy(&asked[..n]).to_lowercase()
    });
    let db = Db::new().await;
    let config = format!(
        "[upstreams.rig]\nbase_url = \"{base}\"\nmethods = [\"POST\"]\nidempotent = true\nbearer = {{ env = \"USHER_TEST_BEARER\" }}\n"
    );
    let env = vec![("USHER_TEST_BEARER", "bearer-of-the-tests".to_owned())];
    let options = HostOptions { plugins: vec!["guest-effects.wasm"], config, env, ..HostOptions::default() };
    let host = Host::start(&db, None, options).await;
    let id = host
        .client()
        .submit("guest-mail", json!({"do": "upstream", "method": "post", "path": "/v1/things", "body": "hi"}))
        .await;
    let job = host.client().wait(&id, "completed").await;
    assert_eq!(job["result"]["status"], 201, "{job}");
    let asked = tokio::time::timeout(Duration::from_secs(10), server).await.unwrap().unwrap();
    assert!(asked.starts_with("post /v1/things"), "{asked}");
    assert!(
        asked.contains("authorization: bearer bearer-of-the-tests") && asked.contains("idempotency-key: "),
        "{asked}"
    );
    let journal = db.text(&format!("SELECT journal::text FROM jobs_archive WHERE id = '{id}'")).await.unwrap();
    assert!(journal.contains("idempotent") && !journal.contains("bearer-of-the-tests"), "{journal}");
}
