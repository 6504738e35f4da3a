use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{bare, built, is, offer, options, problem, publish, release_of};
use crate::{
    plugins::{bomb, manifest, repacked, unserved, with_manifest},
    support::{Db, Host, HostOptions, read, token},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_why_and_where_and_changes_nothing() {
    let db = Db::new().await;
    let host = Host::start(&db, None, options(vec!["analytics.wasm"])).await;
    let admin = host.admin();
    let empty = wat::parse_str("(component)").unwrap();
    let good = built("guest.wasm");
    let mut mutated = good.clone();
    let middle = mutated.len() / 2;
    mutated[middle..middle + 64].fill(0xff);
    // Each instance would copy them.
    let passive = format!("(component (core module (func) (elem func{})))", " 0".repeat(5_000));
    let passive = wat::parse_str(passive).unwrap();
    let unprocessable = StatusCode::UNPROCESSABLE_ENTITY;
    let cases = [
        ("text", b"#!/bin/sh".to_vec(), unprocessable, "not-wasm", json!(null), json!(null)),
        ("nothing", Vec::new(), unprocessable, "not-wasm", json!(null), json!(null)),
        ("core module", wat::parse_str("(module)").unwrap(), unprocessable, "core-module", json!(null), json!(null)),
        ("no manifest", empty.clone(), unprocessable, "no-manifest", json!(null), json!(null)),
        ("cut short", good[..good.len() / 2].to_vec(), unprocessable, "damaged", json!(null), json!(null)),
        (
            "elements without end",
            with_manifest(&passive, &manifest("passive", "passive", "")),
            unprocessable,
            "needs-too-much",
            json!(null),
            json!(null),
        ),
        (
            "another world",
            with_manifest(&empty, &manifest("export", "x", "")),
            unprocessable,
            "does-not-link",
            json!(null),
            json!(null),
        ),
        (
            "an import of nobody's",
            unserved(),
            unprocessable,
            "import-not-granted",
            json!(null),
            json!("usher:plugin/solano@0.1.0"),
        ),
        ("TOML", with_manifest(&empty, "[plugin]\nnmae = 1"), unprocessable, "manifest-invalid", json!(2), json!(null)),
        (
            "a version that is none",
            with_manifest(&empty, &manifest("v", "v", "").replace("1.0.0", "new")),
            unprocessable,
            "manifest-invalid",
            json!(3),
            json!(null),
        ),
        (
            "a queue of nobody's",
            with_manifest(&empty, &manifest("q", "q", "").replace("money", "ghost")),
            unprocessable,
            "policy",
            json!(6),
            json!(null),
        ),
        (
            "a grant of nobody's",
            with_manifest(&empty, &manifest("p", "p", "").replace("[[job]]", "[grants]\njobs = [\"a\"]\n[[job]]")),
            unprocessable,
            "policy",
            json!(5),
            json!(null),
        ),
        (
            "another plugin's type",
            repacked("analytics.wasm", &manifest("thief", "analytics-track", "")),
            StatusCode::CONFLICT,
            "job-type-taken",
            json!(5),
            json!(null),
        ),
    ];
    for (what, bytes, status, slug, line, import) in cases {
        let answer = publish(&admin, bytes).await;
        is(&answer, status, slug);
        assert_eq!((&answer.body["line"], &answer.body["import"]), (&line, &import), "{what}: {}", answer.body);
        assert_eq!(answer.body["reason"], slug, "{what}");
    }
    let answer = publish(&admin, mutated).await;
    assert_eq!(answer.status, unprocessable, "mutated bytes: {}", answer.body);
    let other = repacked("analytics-v2.wasm", &manifest("analytics", "analytics-track", "").replace("1.0.0", "0.1.0"));
    let answer = publish(&admin, other).await;
    is(&answer, StatusCode::CONFLICT, "version-taken");
    assert_eq!(answer.body["line"], 3, "{}", answer.body);
    assert_eq!(release_of(&host.client()).await, "v1", "the one before serves on");
    assert_eq!(db.count("SELECT count(*) FROM releases").await, 1, "nothing of it is stored");
    assert_eq!(db.count("SELECT count(*) FROM job_types WHERE plugin <> 'analytics'").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_admins_change_what_serves() {
    let db = Db::new().await;
    let host = Host::start(&db, None, options(vec!["analytics.wasm"])).await;
    let routes = [
        (Method::POST, "/plugins"),
        (Method::POST, "/plugins/analytics/activate"),
        (Method::POST, "/plugins/analytics/rollback"),
        (Method::POST, "/plugins/analytics/retire"),
        (Method::POST, "/plugins/analytics/migrate"),
        (Method::DELETE, "/plugins/analytics/releases/sha256:00"),
        // Role first: whether it is there is not told.
        (Method::POST, "/plugins/nobody/rollback"),
    ];
    for (method, path) in routes {
        for role in ["user", "venue_admin", "nobody-knows"] {
            let client = host.client().with_token(token(role, Some("t1")));
            let answer = client.send(method.clone(), path, None).await;
            assert_eq!((answer.status, problem(&answer)), (StatusCode::FORBIDDEN, "forbidden"), "{role} {path}");
        }
        let anonymous = reqwest::Client::new().request(method, format!("{}{path}", host.base)).send().await.unwrap();
        assert_eq!(read(anonymous).await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    let client = host.client();
    is(&offer(&client, "/plugins", built("analytics-v2.wasm"), &[]).await, StatusCode::FORBIDDEN, "forbidden");
    assert_eq!(client.get("/plugins/analytics").await.body["version"], "0.1.0", "reading is for everybody");
    assert_eq!(db.count("SELECT count(*) FROM releases").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_no_plugin_can_have_is_nobodys() {
    let db = Db::new().await;
    let host = bare(&db).await;
    for path in ["/plugins/%00", "/plugins/a%00/releases", "/plugins/a%00/usage"] {
        is(&host.client().get(path).await, StatusCode::NOT_FOUND, "not-found");
    }
    let digest = format!("/plugins/a%00/releases/sha256:{}", "0".repeat(64));
    for (method, path) in [(Method::POST, "/plugins/a%00/rollback"), (Method::DELETE, digest.as_str())] {
        is(&host.admin().send(method, path, None).await, StatusCode::NOT_FOUND, "not-found");
    }
}

/// The head of a request without its body, and what is answered to that.
async fn begins(host: &Host, head: &str) -> String {
    let mut door = TcpStream::connect(host.base.trim_start_matches("http://")).await.unwrap();
    let token = token("admin", None);
    let text = format!(
        "POST /plugins HTTP/1.1\r\nhost: usher\r\nauthorization: Bearer {token}\r\ncontent-type: application/wasm\r\n{head}\r\n\r\n"
    );
    door.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") && door.read_buf(&mut answer).await.unwrap() > 0 {}
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_a_hundred_megabytes_is_refused_unread() {
    let db = Db::new().await;
    let host = bare(&db).await;
    // Not one of its bytes is ever sent.
    let answer = begins(&host, &format!("content-length: {}", 100_usize << 20)).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("payload-too-large"), "{answer}");
    // Without a length, it is read as far as the limit.
    let before = host.rss();
    let admin = host.admin();
    let pieces = futures(40);
    let request = admin.request(Method::POST, "/plugins").header("content-type", "application/wasm");
    if let Ok(answer) = request.body(reqwest::Body::wrap_stream(pieces)).send().await {
        assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
    assert!(host.rss() < before + (200 << 20));
    // One who is refused before all is sent sends on, and is answered all the same.
    let mut door = TcpStream::connect(host.base.trim_start_matches("http://")).await.unwrap();
    let (token, size) = (token("user", Some("t1")), 8 << 20);
    let head = format!(
        "POST /plugins HTTP/1.1\r\nhost: usher\r\nauthorization: Bearer {token}\r\ncontent-type: application/wasm\r\ncontent-length: {size}\r\n\r\n"
    );
    door.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    door.read_exact(&mut answer).await.unwrap();
    door.write_all(&vec![0; size]).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 403");
    door.write_all(b"GET /health/live HTTP/1.1\r\nhost: usher\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    while !String::from_utf8_lossy(&rest).contains("HTTP/1.1 200") {
        assert!(door.read_buf(&mut rest).await.unwrap() > 0, "the connection serves on");
    }
    let json = offer(&admin, "/plugins", Vec::new(), &[]).await;
    is(&json, StatusCode::UNPROCESSABLE_ENTITY, "not-wasm");
    let other = admin.send(Method::POST, "/plugins", Some(json!({}))).await;
    is(&other, StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type");
}

/// So many megabytes, one by one.
fn futures(megabytes: usize) -> impl futures_util::Stream<Item = std::io::Result<Vec<u8>>> + Send + 'static {
    futures_util::stream::iter((0..megabytes).map(|_| Ok(vec![0; 1 << 20])))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_compile_stands_in_nobodys_way_and_is_not_asked_for_twice() {
    let db = Db::new().await;
    let env = vec![
        ("USHER_RUNTIME__COMPILE_CPU", "6s".to_owned()),
        ("USHER_RUNTIME__COMPILE_MEMORY", "3221225472".to_owned()),
    ];
    let start = async |env| Host::start(&db, None, HostOptions { env, ..options(vec!["analytics.wasm"]) }).await;
    let host = start(env.clone()).await;
    let explosive = with_manifest(&bomb(6_000), &manifest("bomb", "bomb", ""));
    let (admin, bytes) = (host.admin(), explosive.clone());
    let slow = tokio::spawn(async move { publish(&admin, bytes).await });
    let mut jobs = 0;
    while !slow.is_finished() {
        assert_eq!(release_of(&host.client()).await, "v1");
        jobs += 1;
    }
    let answer = slow.await.unwrap();
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.body);
    assert!(["compile-time", "compile-memory"].contains(&problem(&answer)), "{}", answer.body);
    assert!(jobs > 3, "{jobs} jobs ran meanwhile");
    // Another node of the same kind does not ask its compiler again.
    let other = start(env).await;
    let began = Instant::now();
    let again = publish(&other.admin(), explosive).await;
    assert_eq!((again.status, problem(&again)), (answer.status, problem(&answer)), "{}", again.body);
    assert!(again.body["detail"].as_str().unwrap().contains("before"), "{}", again.body);
    println!("{jobs} jobs beside the compile; the second refusal took {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(5), "it was compiled again");
}
