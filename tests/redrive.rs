//! Which release goes on with a job that has a journal.

use std::{fs, path::Path};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Db, Host, HostOptions, Sink, component, eventually, place, scratch};

/// The same component as its next version: the manifest is a JSON string inside of it, and stays as long as it was.
fn next_version(name: &str) -> std::path::PathBuf {
    let mut bytes = fs::read(component(name)).unwrap();
    let (old, new) = (br#"version = \"0.1.0\""#, br#"version = \"0.1.1\""#);
    let places: Vec<_> = (0..bytes.len() - old.len()).filter(|at| bytes[*at..].starts_with(old)).collect();
    assert_eq!(places.len(), 1, "one manifest");
    bytes[places[0]..places[0] + new.len()].copy_from_slice(new);
    let file = scratch("release").join(name);
    fs::write(&file, bytes).unwrap();
    file
}

fn plugins() -> HostOptions {
    HostOptions { plugins: vec!["guest-effects.wasm"], ..HostOptions::default() }
}

/// Puts it into the folder, and waits until it is what new jobs run on. Returns its digest, as jobs name it.
async fn release(host: &Host, file: &Path) -> String {
    let before = runs_on(host).await;
    place(file, &host.plugins().join("guest-effects.wasm"));
    eventually("the new release serves", async || Some(runs_on(host).await).filter(|digest| *digest != before)).await
}

async fn runs_on(host: &Host) -> String {
    let id = host.client().submit("guest-mail", json!({"do": "ok"})).await;
    host.client().wait(&id, "completed").await["release"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_with_a_journal_stays_on_its_release_and_one_without_takes_the_new_one() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let host = Host::start(&db, Some(&sink), plugins()).await;
    let client = host.client();
    let later = json!({"do": "retry-after", "delayMs": 3_600_000, "until": 2});
    let old = runs_on(&host).await;
    let with = json!({"do": "steps", "steps": [{"do": "mail", "to": "a@example.com"}, later]});
    let with = client.submit("guest-mail", with).await;
    let without = client.submit("guest-mail", json!({"do": "steps", "steps": [later]})).await;
    for id in [&with, &without] {
        client.wait_error(id, "guest-retry").await;
    }
    let new = release(&host, &next_version("guest-effects.wasm")).await;
    assert_ne!(old, new);
    db.execute("UPDATE jobs SET run_at = now() WHERE state = 'scheduled'").await;
    assert_eq!(client.wait(&with, "completed").await["release"], old.as_str());
    assert_eq!(client.wait(&without, "completed").await["release"], new.as_str());
    assert_eq!(sink.mails().await.len(), 1, "replayed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redriven_job_runs_on_the_current_release_or_on_the_one_that_is_named() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let host = Host::start(&db, Some(&sink), plugins()).await;
    let client = host.client();
    let old = runs_on(&host).await;
    let dies = json!({"do": "steps", "steps": [{"do": "mail", "to": "a@example.com"}, {"do": "permanent"}]});
    let id = client.submit("guest-mail", dies).await;
    assert_eq!(client.wait(&id, "dead").await["release"], old.as_str());
    let new = release(&host, &next_version("guest-effects.wasm")).await;
    for (n, body, on) in
        [(1, None, &new), (2, Some(json!({ "release": old })), &old), (3, Some(json!({ "release": new })), &new)]
    {
        let retry = host.admin().send(Method::POST, &format!("/jobs/{id}/retry"), body).await;
        assert_eq!(retry.status, StatusCode::ACCEPTED, "{}", retry.body);
        let job: Value = eventually("it is dead again", async || {
            let job = client.job(&id).await;
            // The first death, and for each retry a line and another one.
            (job["state"] == "dead" && job["errors"].as_array().unwrap().len() == 1 + 2 * n).then_some(job)
        })
        .await;
        assert_eq!(job["release"], on.as_str(), "{job}");
    }
    assert_eq!(sink.mails().await.len(), 1, "finished effects are replayed, whatever release runs");
}
