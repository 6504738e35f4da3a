//! What a guest may try, and what a host won't connect to.

use serde_json::{Value, json};

use super::{ask, options, result, start};
use crate::support::{Db, Host, HostOptions, Receiver, Sink, TlsReceiver};

const BOUNDS: &str = r#"
paths = ["/v1/*", "/health"]
tenant_header = "X-Tenant-ID"
headers = { X-Service = "tickets" }
[upstreams.other]
base_url = "http://127.0.0.1:1"
methods = ["GET"]
"#;

/// Each as a step of one job; each is refused so, which is written down, and nothing leaves.
async fn refused(host: &Host, db: &Db, receiver: &Receiver, as_what: &str, tries: &[Value]) {
    let steps: Vec<_> = tries
        .iter()
        .map(|one| {
            let mut step = ask("get");
            step["path"] = "/v1/x".into();
            step.as_object_mut().unwrap().extend(one.as_object().unwrap().clone());
            step
        })
        .collect();
    let client = host.client();
    let id = client.submit("guest-mail", json!({"do": "steps", "steps": steps})).await;
    let job = client.wait(&id, "completed").await;
    for (one, got) in tries.iter().zip(job["result"].as_array().unwrap()) {
        assert_eq!(got["error"], as_what, "{one}: {got}");
    }
    let journal = db.text(&format!("SELECT journal::text FROM jobs_archive WHERE id = '{id}'")).await.unwrap();
    let journal: Vec<Value> = serde_json::from_str(&journal).unwrap();
    assert_eq!(journal.len(), tries.len(), "each is written down");
    assert_eq!(receiver.received().len(), 0, "nothing leaves");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_granted_is_denied_and_nothing_leaves() {
    let (db, receiver) = (Db::new().await, Receiver::start().await);
    let host = start(&db, &format!("http://{}", receiver.place()), BOUNDS).await;
    let tries = [
        json!({"upstream": "other"}),
        json!({"upstream": "ghost"}),
        json!({"upstream": "RIG"}),
        json!({"method": "delete"}),
        json!({"method": "put"}),
        json!({"path": "/"}),
        json!({"path": "/v1"}),
        json!({"path": "/v2/x"}),
        json!({"path": "/v1x"}),
        json!({"path": "/V1/x"}),
        json!({"path": "/health/x"}),
        json!({"path": "/%76%31/x"}),
    ];
    refused(&host, &db, &receiver, "denied", &tries).await;
    for (path, status) in [("/v1/x/y", 200), ("/v1/", 200), ("/health", 200)] {
        let got = result(&host, json!({"do": "upstream", "path": path})).await;
        assert_eq!(got["status"], status, "{path}: {got}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_smuggle_is_invalid_and_nothing_leaves() {
    let (db, receiver) = (Db::new().await, Receiver::start().await);
    let host = start(&db, &format!("http://{}", receiver.place()), BOUNDS).await;
    let paths = [
        "/v1/../v2",
        "/v1/%2e%2e/v2",
        "/v1/%252e%252e/v2",
        "//evil.example/v1/",
        "/v1/x HTTP/1.1\r\nX-Evil: 1\r\n\r\n",
        "/v1/x%0d%0aX-Evil:1",
        "/v1/x?a=b",
        "/v1/x#a",
        "/v1/@evil.example",
        "/v1\\x",
        "",
    ];
    refused(&host, &db, &receiver, "invalid", &paths.map(|path| json!({"path": path}))).await;
    let headers = [
        ("X-Ok", "a\r\nX-Evil: 1"),
        ("X-Ok", "a\n"),
        ("X-Ok\r\nX-Evil", "1"),
        ("bad name", "1"),
        ("", "1"),
        ("X-Tenant-Id", "t2"),
        ("x-service", "other"),
        ("Host", "evil.example"),
        ("Authorization", "Bearer x"),
        ("Idempotency-Key", "x"),
        ("Signature", "usher=:AAAA:"),
        ("Signature-Input", "usher=()"),
        ("Content-Digest", "sha-256=:AAAA:"),
        ("Content-Length", "1"),
        ("Transfer-Encoding", "chunked"),
        ("X-Forwarded-Host", "evil.example"),
        ("Cookie", "a=b"),
    ];
    refused(&host, &db, &receiver, "invalid", &headers.map(|(name, value)| json!({"headers": {name: value}}))).await;

    // In a query it is text like any other.
    let query = json!({"a\r\nX-Evil": "b c&d\r\n\r\n"});
    let what = json!({"do": "upstream", "path": "/v1/x", "query": query, "headers": {"X-Mine": "1"}});
    assert_eq!(result(&host, what).await["status"], 200);
    let [came] = receiver.received().try_into().unwrap();
    assert_eq!(came.path, "/v1/x?a%0D%0AX-Evil=b+c%26d%0D%0A%0D%0A");
    let header = |name: &str| came.headers.get(name).map(String::as_str);
    assert_eq!(
        (header("x-tenant-id"), header("x-service"), header("x-mine"), header("x-evil")),
        (Some("t1"), Some("tickets"), Some("1"), None)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_of_the_environment_is_not_asked() {
    let (db, receiver, proxy) = (Db::new().await, Receiver::start().await, Receiver::start().await);
    let url = format!("http://{}", proxy.place());
    let names = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];
    let env = names.into_iter().map(|name| (name, url.clone())).collect();
    let base = format!("http://{}", receiver.place());
    let host = Host::start(&db, None, HostOptions { env, ..options(&base, "") }).await;
    assert_eq!(result(&host, ask("get")).await["status"], 200);
    assert_eq!((receiver.received().len(), proxy.received().len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_good_certificate_nothing_is_sent_and_the_job_waits() {
    // Of an authority of its own, for localhost and 127.0.0.1; two hosts are told to trust it.
    let sink = Sink::start().await;
    let trusted = ("SSL_CERT_FILE", sink.ca.display().to_string());
    let (here, beside) = ("127.0.0.1", "127.0.0.2");
    for (env, address, is_good) in
        [(vec![], here, false), (vec![trusted.clone()], beside, false), (vec![trusted.clone()], here, true)]
    {
        let (db, receiver) = (Db::new().await, TlsReceiver::start_at(address, sink.ca.parent().unwrap()));
        let base = format!("https://{address}:{}", receiver.port);
        let more = "bearer = { env = \"USHER_TEST_BEARER\" }\n";
        let env = [env, vec![("USHER_TEST_BEARER", "bearer-of-the-tests".to_owned())]].concat();
        let host = Host::start(&db, None, HostOptions { env, ..options(&base, more) }).await;
        let mut what = ask("post");
        what["body"] = "{}".into();
        if is_good {
            assert_eq!(result(&host, what).await["status"], 200);
            assert_eq!(receiver.requests(), 1);
            continue;
        }
        let client = host.client();
        let id = client.submit("guest-mail", what).await;
        let error = client.wait_error(&id, "effect-snooze").await;
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("cannot be reached") && message.contains("certificate"), "{message}");
        let doubted = "SELECT count(*) FROM effects WHERE state = 'doubt' OR doubted";
        assert_eq!((receiver.requests(), db.count(doubted).await), (0, 0), "{address}");
    }
}
