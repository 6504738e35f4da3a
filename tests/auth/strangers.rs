use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{host, own};
use crate::support::{Answer, Client, Db, Host, HostOptions, read, token};

async fn ask(host: &Host, path: &str, authorization: Option<&str>) -> Answer {
    let mut request = reqwest::Client::builder().no_proxy().build().unwrap().get(format!("{}{path}", host.base));
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    read(request.send().await.unwrap()).await
}

const OPTIONAL: [&str; 4] = ["/health", "/health/ready", "/cache/stats", "/metrics"];

#[tokio::test(flavor = "multi_thread")]
async fn where_strangers_may_ask_a_bad_token_is_as_good_as_none_and_the_answer_says_so() {
    let db = Db::new().await;
    let host = host(&db, String::new()).await;
    let good = format!("Bearer {}", token("user", Some("t1")));
    let bad = format!("Bearer {}", own(&json!({ "userId": "u", "tenantId": "t1", "role": "admin", "exp": 1 })));
    for path in OPTIONAL {
        for (authorization, who) in [
            (None, "anonymous"),
            (Some(good.as_str()), "caller"),
            (Some(bad.as_str()), "invalid"),
            (Some("Bearer nonsense"), "invalid"),
            (Some("Basic dTpw"), "invalid"),
        ] {
            let answer = ask(&host, path, authorization).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}, {who}: {}", answer.body);
            assert_eq!(answer.headers["usher-authentication"], who, "{path}");
        }
    }
    // What a stranger hears less of.
    assert_eq!(ask(&host, "/health", None).await.body.as_object().unwrap().len(), 1);
    let known = ask(&host, "/health", Some(&good)).await.body;
    assert!(known["version"].is_string() && known["parts"]["database"]["status"] == "ok", "{known}");
    let ready = ask(&host, "/health/ready", Some(&bad)).await.body;
    let parts = ready["parts"].as_object().unwrap();
    assert!(parts.contains_key("database") && parts.values().all(|part| part["detail"].is_null()), "{ready}");
    assert_eq!(ask(&host, "/health/live", Some(&bad)).await.status, StatusCode::OK, "it asks nobody anything");
    let stats = ask(&host, "/cache/stats", None).await.body["caches"].clone();
    assert!(stats["artifacts"]["bytes"].is_null() && stats["jwks"]["issuers"].is_null(), "{stats}");
    assert!(ask(&host, "/cache/stats", Some(&good)).await.body["caches"]["jwks"]["issuers"].is_null());
    // Where a caller is needed nothing has changed.
    assert_eq!(ask(&host, "/jobs", Some(&bad)).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_host_refuses_a_bad_token_also_there() {
    let db = Db::new().await;
    let env = vec![("USHER_AUTH__OPTIONAL", "strict".to_owned())];
    let host = Host::start(&db, None, HostOptions { env, concurrency: 0, ..HostOptions::default() }).await;
    for path in OPTIONAL {
        assert_eq!(ask(&host, path, None).await.headers["usher-authentication"], "anonymous", "{path}");
        let refused = ask(&host, path, Some("Bearer nonsense")).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(refused.headers["www-authenticate"], "Bearer error=\"invalid_token\"", "{path}");
    }
}

fn count(stats: &Value, cache: &str, what: &str) -> u64 {
    stats["caches"][cache][what].as_u64().unwrap_or_else(|| panic!("{cache}.{what}: {stats}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn caches_say_of_what_use_they_are_and_are_flushed_by_an_admin_only() {
    let db = Db::new().await;
    let limits = "[rate_limits]\n\"provider/email\" = { rate = \"1000/s\" }\n";
    let host = host(&db, limits.to_owned()).await;
    let client = host.client();
    let before = client.get("/cache/stats").await.body;
    for cache in ["artifacts", "schemas", "jwks", "rateLimitLeases", "config", "tokens", "revocations"] {
        for what in ["hits", "misses", "entries"] {
            count(&before, cache, what);
        }
    }
    // The guest's component was compiled, or came from the disk; and its types have schemas.
    assert!(count(&before, "artifacts", "hits") + count(&before, "artifacts", "misses") > 0, "{before}");
    assert!(count(&before, "artifacts", "bytes") > 0 && count(&before, "schemas", "entries") > 0, "{before}");
    assert!(count(&before, "config", "entries") >= 1, "{before}");
    client.submit("guest", json!({"do": "ok"})).await;
    client.post(json!({"type": "ghost", "payload": {}}).to_string()).await;
    let after = client.get("/cache/stats").await.body;
    assert!(count(&after, "schemas", "hits") > count(&before, "schemas", "hits"), "{after}");
    assert!(count(&after, "schemas", "misses") > count(&before, "schemas", "misses"), "{after}");
    assert!(count(&after, "tokens", "hits") >= count(&before, "tokens", "hits") + 3, "{after}");

    for (role, expected) in [("user", 403), ("venue_admin", 403), ("admin", 200)] {
        let client = Client::new(&host.base, token(role, Some("t1")));
        let answer = client.send(Method::POST, "/cache/flush", None).await;
        assert_eq!(answer.status, expected, "{role}: {}", answer.body);
    }
    let flushed = client.get("/cache/stats").await.body;
    assert_eq!(count(&flushed, "tokens", "entries"), 1, "the one that asks: {flushed}");
    assert!(count(&flushed, "config", "misses") > count(&after, "config", "misses"), "limits were read again");
    for (body, pointer) in [
        (json!({ "caches": ["schemas", "keys"] }), "/caches/1"),
        (json!({ "caches": [] }), "/caches"),
        (json!({ "caches": "all" }), "/caches"),
        (json!({ "cache": [] }), "/cache"),
    ] {
        let refused = host.admin().send(Method::POST, "/cache/flush", Some(body.clone())).await;
        assert_eq!(
            (refused.status, &refused.body["errors"][0]["pointer"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!(pointer)),
            "{body}: {}",
            refused.body
        );
    }
    // What is no cache stays: the key of a job that is there.
    let keyed =
        async || client.post_with(r#"{"type":"guest","payload":{"do":"ok"}}"#, &[("idempotency-key", "k")]).await;
    let first = keyed().await;
    host.admin().send(Method::POST, "/cache/flush", None).await;
    assert_eq!(keyed().await.body["id"], first.body["id"]);
}
