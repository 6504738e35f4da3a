use reqwest::StatusCode;
use serde_json::{Value, json};

use super::Document;
use crate::support::{Db, Host, HostOptions, component, eventually, place, read};

fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|inner| references(inner, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_follows_the_live_job_types_and_the_page_fetches_nothing() {
    let db = Db::new().await;
    let plugins = vec!["guest.wasm", "analytics.wasm"];
    let host = Host::start(&db, None, HostOptions { plugins, concurrency: 0, ..HostOptions::default() }).await;
    let client = host.client();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = async |path: &str, etag: Option<&str>| {
        let mut request = http.get(format!("{}{path}", host.base));
        if let Some(etag) = etag {
            request = request.header("if-none-match", etag);
        }
        read(request.send().await.unwrap()).await
    };
    let first = ask("/openapi.json", None).await;
    assert_eq!((first.status, &first.body["openapi"]), (StatusCode::OK, &json!("3.1.0")));
    let etag = first.headers["etag"].to_str().unwrap().to_owned();
    for known in [etag.clone(), format!("W/{etag}"), format!("\"x\", {etag}"), "*".to_owned()] {
        let same = ask("/openapi.json", Some(&known)).await;
        assert_eq!((same.status, &same.body), (StatusCode::NOT_MODIFIED, &json!("")), "{known}");
        assert_eq!(same.headers["etag"], etag.as_str());
    }
    assert_eq!(ask("/openapi.json", Some("\"x\"")).await.status, StatusCode::OK);

    let document = Document(first.body);
    let submit = document.validator(&json!({ "$ref": "#/components/schemas/Submit" }));
    let event = |payload: Value| json!({ "type": "analytics-track", "payload": payload });
    assert!(submit.is_valid(&event(json!({ "event": "x" }))) && !submit.is_valid(&event(json!({}))));
    assert!(submit.is_valid(&json!({ "type": "guest-money", "payload": { "do": "ok" }, "priority": "low" })));
    assert!(!submit.is_valid(&json!({ "type": "payment-process", "payload": {} })), "nobody owns it");
    // What the document takes, the host takes; what it does not, neither.
    for (payload, status) in [(json!({ "event": "x" }), 202), (json!({}), 422), (json!({ "event": 1 }), 422)] {
        assert_eq!(client.post(event(payload).to_string()).await.status.as_u16(), status);
    }

    place(&component("payments.wasm"), &host.plugins().join("payments.wasm"));
    let next = eventually("the document tells of the new type", async || {
        let answer = ask("/openapi.json", Some(&etag)).await;
        (answer.status == StatusCode::OK).then_some(answer)
    })
    .await;
    assert_ne!(next.headers["etag"], etag.as_str());
    let document = Document(next.body);
    let schemas = &document.0["components"]["schemas"];
    let id = "#/components/schemas/Payload.payment-process/$defs/id";
    assert_eq!(schemas["Payload.payment-process"]["properties"]["venueId"]["$ref"], id, "moved with its schema");
    let mut all = Vec::new();
    references(&document.0, &mut all);
    for target in all {
        assert!(document.0.pointer(target.strip_prefix('#').unwrap()).is_some(), "{target} leads nowhere");
    }

    let page = ask("/docs", None).await;
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    let html = page.body.as_str().unwrap();
    assert!(html.contains("id=\"submitJob\"") && html.contains("Payload.payment-process"));
    for never in ["<script", "src=", "<link", "<img", "@import", "url("] {
        assert!(!html.contains(never), "{never}");
    }
}
