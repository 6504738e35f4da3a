use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{Http, Outgoing, Request, Response, Targets};
use crate::{
    config::{Breaker, GrantSet, Method, OnDoubt, Upstream},
    effects::{CallEnd, OnBehalf, Prepared, Provider, Refused, Sending},
    ids::JobId,
    journal::{Answer, Class},
};

fn http(base_url: String, idempotent: bool) -> Http {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let upstream = Upstream {
        base_url,
        methods: vec![Method::Get, Method::Post],
        paths: vec!["/*".to_owned()],
        headers: BTreeMap::new(),
        tenant_header: None,
        timeout: Duration::from_secs(2),
        idempotent,
        remembers: Duration::from_secs(3_600),
        on_doubt: OnDoubt::Park,
        bearer: None,
        basic: None,
        signature: None,
        google: None,
        max_response: 1_000,
        breaker: Breaker::default(),
    };
    Http::new(&Targets::new(&BTreeMap::from([("svc".to_owned(), upstream)])).expect("sound"))
}

fn prepare(http: &Http, method: Method) -> Prepared<Outgoing> {
    let grants = Arc::new(GrantSet { upstream: vec!["svc".to_owned()], ..GrantSet::default() });
    let who = OnBehalf { grants, ..OnBehalf::default() };
    let request = Request {
        upstream: "svc".to_owned(),
        method,
        path: "/x".to_owned(),
        query: Vec::new(),
        headers: Vec::new(),
        body: (method == Method::Post).then(|| b"hi".to_vec()),
    };
    http.prepare(&who, request).expect("sound")
}

/// A server that gives one raw answer, and what it was asked. `""` closes without an answer.
async fn ask(method: Method, idempotent: bool, answer: &'static str) -> (CallEnd, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let http = http(format!("http://{}/base", listener.local_addr().expect("bound")), idempotent);
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.expect("accepts");
        let mut asked = vec![0; 4_096];
        let n = socket.read(&mut asked).await.expect("reads");
        socket.write_all(answer.as_bytes()).await.expect("writes");
        socket.shutdown().await.expect("closes");
        String::from_utf8_lossy(&asked[..n]).into_owned()
    });
    let call = prepare(&http, method).call;
    let end = http.call(sending(), &call).await;
    (end, server.await.expect("no panic"))
}

fn sending() -> Sending {
    Sending { id: JobId(uuid::Uuid::from_u128(1)).effect(0, 0), try_no: 1 }
}

fn response(end: CallEnd) -> Response {
    match end {
        CallEnd::Answer(Answer::Ok(value)) => Response::from_answer(value).expect("a response"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn answers_are_answers_up_to_4xx() {
    let (end, asked) =
        ask(Method::Post, true, "HTTP/1.1 201 Created\r\nX-A: b\r\nSet-Cookie: s\r\nContent-Length: 2\r\n\r\nok").await;
    let got = response(end);
    assert_eq!((got.status, got.body.as_slice()), (201, b"ok".as_slice()));
    assert!(got.headers.iter().any(|(n, _)| n == "x-a") && !got.headers.iter().any(|(n, _)| n == "set-cookie"));
    assert!(asked.starts_with("POST /base/x HTTP/1.1"), "{asked}");
    assert!(asked.to_lowercase().contains(&format!("idempotency-key: {}", sending().id)), "{asked}");
    let (end, _) = ask(Method::Get, false, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(response(end).status, 404);
    let (end, _) =
        ask(Method::Get, false, "HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\nContent-Length: 0\r\n\r\n")
            .await;
    assert_eq!(response(end).status, 302, "redirects are not followed");
}

#[tokio::test]
async fn not_now_is_transient_and_a_lost_write_is_doubt() {
    let (end, _) = ask(Method::Post, false, "HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n").await;
    assert!(matches!(end, CallEnd::Transient { retry_after: Some(d), .. } if d == Duration::from_secs(7)), "{end:?}");
    for (answer, method, doubt) in [
        ("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", Method::Post, true),
        ("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", Method::Get, false),
        ("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", Method::Post, true),
        ("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", Method::Get, false),
        ("", Method::Post, true),
        ("", Method::Get, false),
    ] {
        let (end, _) = ask(method, false, answer).await;
        assert_eq!(matches!(end, CallEnd::Doubt { .. }), doubt, "{answer} {method:?} {end:?}");
        assert_eq!(matches!(end, CallEnd::Transient { .. }), !doubt, "{answer} {method:?} {end:?}");
    }
}

#[tokio::test]
async fn what_a_repeat_hears_may_be_about_the_repeat_alone() {
    let http = http("http://h".to_owned(), true);
    let settles = |method, status: u16| {
        let answer = Answer::Ok(serde_json::json!({"status": status, "headers": [], "body": ""}));
        http.settles(&prepare(&http, method).call, &answer)
    };
    for status in [200, 201, 400, 402, 410, 422] {
        assert!(settles(Method::Post, status), "{status}");
    }
    for status in [401, 403, 404, 407, 409, 423] {
        assert!(!settles(Method::Post, status), "{status}");
        assert!(settles(Method::Get, status), "{status}");
    }
}

#[tokio::test]
async fn nobody_there_is_an_outage() {
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").await.expect("binds").local_addr().expect("bound").port();
    let http = http(format!("http://127.0.0.1:{port}"), false);
    let end = http.call(sending(), &prepare(&http, Method::Post).call).await;
    assert!(matches!(end, CallEnd::Unreachable(_)), "{end:?}");
}

#[tokio::test]
async fn a_long_answer_never_reads_as_nothing_happened() {
    const LONG: &str = concat!("HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n", "xxxxxxxxxxxxxxxxxxxx");
    // The server closes early; what matters is that a write is answered as having happened.
    let (end, _) = ask(Method::Post, false, LONG).await;
    let got = response(end);
    assert_eq!(got.status, 200);
    assert!(got.headers.contains(&("usher-body-truncated".to_owned(), "true".to_owned())));
    let (end, _) = ask(Method::Get, false, LONG).await;
    assert!(matches!(end, CallEnd::Transient { .. }), "{end:?}");
}

#[tokio::test]
async fn what_a_closed_port_and_an_answer_mean_to_the_breaker() {
    let port = TcpListener::bind("127.0.0.1:0").await.expect("binds").local_addr().expect("bound").port();
    let http = http(format!("http://127.0.0.1:{port}"), false);
    let call = prepare(&http, Method::Get).call;
    for _ in 0..Breaker::default().failures {
        assert!(http.admit(&call).await.is_ok());
        http.call(sending(), &call).await;
    }
    let away = http.admit(&call).await.err().expect("open");
    let after = away.after.expect("a time is said");
    assert!(after <= Breaker::default().open_for && !after.is_zero(), "{after:?}");
}

#[test]
fn a_tenant_that_reads_as_another_is_not_told() {
    let config = toml::from_str("base_url = \"http://h\"\nmethods = [\"GET\"]\ntenant_header = \"X-Tenant-ID\"\n");
    let _ = rustls::crypto::ring::default_provider().install_default();
    let targets = Targets::new(&BTreeMap::from([("svc".to_owned(), config.expect("sound"))]));
    let http = Http::new(&targets.expect("sound"));
    let ask = |tenant: &str| {
        let grants = Arc::new(GrantSet { upstream: vec!["svc".to_owned()], ..GrantSet::default() });
        let who = OnBehalf { job: JobId::new(), grants, tenant: tenant.to_owned(), venue: None };
        let (upstream, path) = ("svc".to_owned(), "/x".to_owned());
        let (query, headers) = (Vec::new(), Vec::new());
        http.prepare(&who, Request { upstream, method: Method::Get, path, query, headers, body: None })
    };
    for tenant in ["", " t1", "t1 ", "t1\r\nx: y", "tä"] {
        assert!(matches!(ask(tenant), Err(Refused { answer: Answer::Denied(_), .. })), "{tenant:?}");
    }
    let call = ask("acme 1").expect("sound").call;
    assert_eq!(call.headers["x-tenant-id"], "acme 1");
}

#[test]
fn class_follows_method_and_configuration() {
    let class = |method, idempotent| prepare(&http("http://h".to_owned(), idempotent), method).class;
    assert_eq!(class(Method::Get, false), Class::Read);
    assert_eq!(class(Method::Post, true), Class::Idempotent);
    assert_eq!(class(Method::Post, false), Class::Once);
}
