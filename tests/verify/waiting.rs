use std::fs;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{Said, file};
use crate::{
    plugins::repacked_with,
    support::{Db, Host, HostOptions, read, usher},
};

/// The next version of analytics, whose event is a number.
fn numbered() -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/analytics/plugin.toml");
    let manifest = fs::read_to_string(path).unwrap().replace("0.1.0", "0.3.0");
    repacked_with("analytics.wasm", &manifest, r#"{"type": "object", "properties": {"event": {"type": "integer"}}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_jobs_that_the_new_schema_refuses_are_told_before_and_at_the_publish() {
    let db = Db::new().await;
    let options = HostOptions { plugins: vec!["analytics.wasm"], concurrency: 0, ..HostOptions::default() };
    let host = Host::start(&db, None, options).await;
    let secret = "the name of an event";
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(host.client().submit("analytics-track", json!({"event": secret})).await);
    }
    let component = numbered();
    let verify = async |json: bool| {
        let mut command = usher();
        command.args(["plugin", "verify", &file(&component)]).env("DATABASE_URL", &db.url);
        if json {
            command.arg("--json");
        }
        Said::of(tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap())
    };
    let said = verify(false).await;
    // They run on the release that accepted them, so that they are no reason to fail.
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(said.out.contains("3 waiting jobs of analytics-track (accepted by 0.1.0)"), "{}", said.out);
    assert_eq!(said.last_line(), "verify: jobs=0 same=0 different=0 failed=0 skipped=0 unfit=3");
    let report: Value = serde_json::from_str(&verify(true).await.out).unwrap();
    let told = |waiting: &Value| {
        let unfit = waiting["unfit"].as_array().unwrap();
        assert_eq!(unfit.len(), 1, "{waiting}");
        let one = &unfit[0];
        assert_eq!(
            (&one["type"], &one["version"], &one["jobs"]),
            (&json!("analytics-track"), &json!("0.1.0"), &json!(3))
        );
        assert_eq!(one["pointer"], "/event");
        assert!(one["acceptedBy"].as_str().unwrap().starts_with("sha256:"), "{one}");
        assert!(ids.iter().any(|id| one["example"] == **id), "{one}");
        assert!(!one.to_string().contains(secret), "no value of a payload: {one}");
    };
    told(&report["waiting"]);

    let request = host.admin().request(reqwest::Method::POST, "/plugins").header("content-type", "application/wasm");
    let answer = read(request.body(component.clone()).send().await.unwrap()).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    told(&answer.body["waiting"]);
    // A schema that took them before is not asked again, and one that takes them has nothing to say.
    let same = repacked_with(
        "analytics.wasm",
        &fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/analytics/plugin.toml"))
            .unwrap()
            .replace("0.1.0", "0.4.0"),
        "{}",
    );
    let request = host.admin().request(reqwest::Method::POST, "/plugins").header("content-type", "application/wasm");
    let answer = read(request.body(same).send().await.unwrap()).await;
    assert_eq!(answer.body["waiting"]["unfit"], json!([]), "{}", answer.body);
}
