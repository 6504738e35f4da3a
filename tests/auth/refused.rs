use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{host, own};
use crate::support::{Db, Host, token};

/// An escape that paints, one that clears, C1, DEL, a bell, a newline that begins a line of a log, and what turns text around.
const NASTY: &str = "\u{1b}[31mroot\u{7}\u{7f}\u{9b}2J\r\n2030-01-01T00:00:00Z ERROR usher: forged\u{202e}\u{2028}";

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// What must not reach a terminal.
fn is_unsafe(c: char) -> bool {
    (c.is_control() && c != '\n') || ('\u{2028}'..='\u{202e}').contains(&c)
}

/// The bytes of an answer to a request as it is written here.
async fn raw(host: &Host, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(host.base.trim_start_matches("http://")).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    // Whoever refuses a head may close before all of it was read.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_is_a_problem_about_its_request_and_nothing_of_a_stranger_is_said_raw() {
    let db = Db::new().await;
    let host = host(&db, String::new()).await;
    let nasty = encoded(NASTY);
    let user = format!("Bearer {}", token("user", Some("t1")));
    let admin = format!("Bearer {}", token("admin", Some("t1")));
    let mut claims = json!({ "userId": NASTY, "tenantId": "t1", "role": "admin", "exp": super::now() + 60 });
    let by_name = format!("Bearer {}", own(&claims));
    claims["userId"] = json!("u1");
    claims["jti"] = json!(NASTY);
    let by_id = format!("Bearer {}", own(&claims));
    let json_type = "application/json";
    let none = String::new;
    let body = |value: Value| value.to_string();
    let long = format!("/{}", "x".repeat(5_000));
    let cases = [
        (Method::GET, format!("/{nasty}"), &user, json_type, none(), 404),
        (Method::GET, long, &user, json_type, none(), 404),
        (Method::GET, "/jobs/%ff".to_owned(), &user, json_type, none(), 400),
        (Method::GET, format!("/jobs/{nasty}"), &user, json_type, none(), 404),
        (Method::GET, format!("/queues/{nasty}"), &user, json_type, none(), 404),
        (Method::GET, format!("/jobs?{nasty}={nasty}"), &user, json_type, none(), 400),
        (Method::GET, format!("/jobs?state={nasty}"), &user, json_type, none(), 400),
        (Method::GET, format!("/jobs?cursor={nasty}"), &user, json_type, none(), 400),
        (Method::GET, format!("/health?{nasty}"), &user, json_type, none(), 400),
        (Method::GET, format!("/plugins/{nasty}"), &user, json_type, none(), 404),
        (Method::POST, format!("/plugins/{nasty}/retire"), &admin, json_type, body(json!({ "mode": "drain" })), 404),
        (Method::POST, "/plugins/guest/activate".to_owned(), &admin, json_type, body(json!({ "version": NASTY })), 404),
        (Method::POST, format!("/providers/{nasty}/pause"), &admin, json_type, none(), 404),
        (Method::PUT, format!("/limits/queue/{nasty}"), &admin, json_type, body(json!({ "max": 1 })), 404),
        (Method::PUT, format!("/rate-limits/{nasty}"), &admin, json_type, body(json!({ "rate": "1/s" })), 404),
        (Method::PATCH, "/jobs".to_owned(), &user, json_type, none(), 405),
        (Method::POST, "/jobs".to_owned(), &user, "text/\u{e9}", body(json!({})), 415),
        (Method::POST, "/jobs".to_owned(), &user, json_type, format!("{{\"a\": {NASTY}"), 400),
        (Method::POST, "/jobs".to_owned(), &user, json_type, body(json!({ NASTY: 1 })), 422),
        (Method::POST, "/jobs".to_owned(), &user, json_type, body(json!({ "type": NASTY, "payload": {} })), 422),
        (
            Method::POST,
            "/jobs".to_owned(),
            &user,
            json_type,
            body(json!({ "type": "guest", "payload": { NASTY: 1 } })),
            422,
        ),
        (Method::POST, "/jobs".to_owned(), &user, json_type, format!("[{}", "[".repeat(100_000)), 422),
        (Method::POST, "/jobs".to_owned(), &user, json_type, "x".repeat(600 << 10), 413),
        (Method::GET, "/audit".to_owned(), &user, json_type, none(), 403),
        (Method::GET, "/jobs".to_owned(), &by_name, json_type, none(), 401),
        (Method::GET, "/jobs".to_owned(), &by_id, json_type, none(), 401),
    ];
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for (method, path, authorization, content_type, body, status) in cases {
        let shown = format!("{method} {}", &path[..path.len().min(60)]);
        let request = client.request(method, format!("{}{path}", host.base)).header("authorization", authorization);
        let content_type = reqwest::header::HeaderValue::from_bytes(content_type.as_bytes()).unwrap();
        let answer = request.header("content-type", content_type).body(body).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{shown}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{shown}");
        let text = answer.text().await.unwrap();
        assert!(!text.contains(is_unsafe), "{shown}: {text:?}");
        let problem: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(problem["status"], status, "{shown}");
        let slug = problem["type"].as_str().unwrap().strip_prefix("urn:usher:problem:");
        assert!(slug.is_some_and(|slug| !slug.is_empty()), "{shown}: {problem}");
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{shown}: {problem}");
        let instance = problem["instance"].as_str().unwrap();
        let (asked, _) = path.split_once('?').unwrap_or((&path, ""));
        assert!(asked.starts_with(instance) && (instance == asked || instance.len() == 2_048), "{shown}: {problem}");
        let errors = problem["errors"].as_array().unwrap();
        assert_eq!(errors.is_empty(), status != 422, "{shown}: {problem}");
        assert!(errors.iter().all(|error| error["pointer"].is_string() && error["message"].is_string()), "{shown}");
        // The same as a program reads it: escapes of JSON are no way round.
        let said = [&problem["detail"], &problem["title"], &problem["instance"]];
        let is_clean = said.iter().all(|said| !said.as_str().unwrap_or_default().contains(is_unsafe));
        assert!(is_clean, "{shown}: {problem}");
    }

    // What no client library would send.
    for request in [
        "GET /\u{1b}[31m HTTP/1.1\r\nhost: x\r\n\r\n".as_bytes(),
        b"GET /jobs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer \x1b[31m\r\n\r\n",
        b"GET /jobs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer \xff\xfe\xc2\x9b31m\r\nconnection: close\r\n\r\n",
        b"GET /jobs HTTP/1.1\r\nhost: x\r\nuser-agent: \xc2\x9b2J\r\nconnection: close\r\n\r\n",
        b"\x1b[31m /jobs HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /jobs HTTP/1.1\r\nhost: \x1b[31m\r\n\r\n",
    ] {
        let answer = raw(&host, request).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer:?}");
        assert!(!answer.chars().any(|c| is_unsafe(c) && c != '\r'), "{answer:?}");
    }

    // A name that a token says comes into the log where something is done; and each event is one line of it.
    let refused = host.admin().send(Method::POST, "/revocations", Some(json!({ "jti": NASTY }))).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let log = host.log();
    assert!(
        !log.is_empty() && !log.contains(is_unsafe),
        "{:?}",
        log.chars().filter(|c| is_unsafe(*c)).collect::<Vec<_>>()
    );
    assert!(!log.lines().any(|line| line.starts_with("2030-01-01")), "no line is a stranger's");
}
