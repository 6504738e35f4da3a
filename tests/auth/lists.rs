use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Client, Db, Host, HostOptions, token};

/// Lists, and what their entries stand under and are named by.
const LISTS: [(&str, &str, &str); 11] = [
    ("/jobs", "items", "id"),
    ("/effects", "items", "seq"),
    ("/audit", "items", "id"),
    ("/revocations", "items", "jti"),
    ("/webhook-endpoints", "items", "id"),
    ("/alerts", "items", "id"),
    ("/keys", "items", "id"),
    ("/queues", "queues", "name"),
    ("/limits", "limits", "scope"),
    ("/rate-limits", "rateLimits", "bucket"),
    ("/plugins", "plugins", "name"),
];

/// All entries, two by two.
async fn paged(client: &Client, path: &str, under: &str, name: &str) -> Vec<String> {
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("{path}?limit=2{cursor}")).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.body);
        let entries = page.body[under].as_array().unwrap_or_else(|| panic!("{path}: {}", page.body));
        assert!(entries.len() <= 2, "{path}: {}", page.body);
        seen.extend(entries.iter().map(|entry| entry[name].to_string()));
        let Some(next) = page.body["nextCursor"].as_str() else { return seen };
        cursor = format!("&cursor={next}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_paged_whole_and_what_their_queries_do_not_know_is_refused() {
    let db = Db::new().await;
    let plugins = vec!["guest.wasm", "payments.wasm", "notifications.wasm", "analytics.wasm"];
    let host = Host::start(&db, None, HostOptions { plugins, concurrency: 0, ..HostOptions::default() }).await;
    let admin = host.admin();
    for n in 0..5 {
        host.client().submit("guest", json!({"do": "ok", "echo": n})).await;
        let body = json!({ "jti": format!("t{n}") });
        assert_eq!(admin.send(Method::POST, "/revocations", Some(body)).await.status, StatusCode::CREATED);
        let body = json!({ "rate": "5/s" });
        let path = format!("/rate-limits/provider/upstream/u{n}");
        assert_eq!(admin.send(Method::PUT, &path, Some(body)).await.status, StatusCode::OK);
    }
    for scope in ["queue/money", "queue/background", "node"] {
        let done = admin.send(Method::PUT, &format!("/limits/{scope}"), Some(json!({ "max": 9 }))).await;
        assert_eq!(done.status, StatusCode::OK, "{}", done.body);
    }
    for (path, under, name) in LISTS {
        let whole = admin.get(path).await;
        assert_eq!(whole.status, StatusCode::OK, "{path}: {}", whole.body);
        let whole: Vec<_> = whole.body[under].as_array().unwrap().iter().map(|entry| entry[name].to_string()).collect();
        assert_eq!(paged(&admin, path, under, name).await, whole, "{path}");
        assert_eq!(whole.iter().collect::<BTreeSet<_>>().len(), whole.len(), "{path}");
        if !["/effects", "/webhook-endpoints", "/alerts", "/keys"].contains(&path) {
            assert!(whole.len() > 2, "{path}: {whole:?}");
        }
        for (query, parameter) in [
            ("limit=0", "limit"),
            ("limit=201", "limit"),
            ("limit=-1", "limit"),
            ("limit=ten", "limit"),
            ("limit=1e2", "limit"),
            ("cursor=x", "cursor"),
            ("cursor=", "cursor"),
            ("colour=red", "colour"),
            ("LIMIT=5", "LIMIT"),
            ("limit=5&limit=6", "limit"),
            ("limit=5&limi%74=5", "limit"),
        ] {
            let answer = admin.get(&format!("{path}?{query}")).await;
            assert_eq!(
                (answer.status, &answer.body["type"], &answer.body["parameter"]),
                (StatusCode::BAD_REQUEST, &json!("urn:usher:problem:invalid-query"), &json!(parameter)),
                "{path}?{query}: {}",
                answer.body
            );
        }
        assert_eq!(admin.get(&format!("{path}?limit=200")).await.status, StatusCode::OK, "{path}");
    }
    // A cursor is of its own list.
    let cursor = admin.get("/audit?limit=1").await.body["nextCursor"].as_str().unwrap().to_owned();
    for path in ["/revocations", "/effects", "/queues", "/jobs", "/alerts", "/keys"] {
        assert_eq!(admin.get(&format!("{path}?cursor={cursor}")).await.status, StatusCode::BAD_REQUEST, "{path}");
    }

    // Stable under writes: what comes meanwhile is before the first page, what goes leaves no hole.
    let before = paged(&admin, "/jobs", "items", "id").await;
    let page = admin.get("/jobs?limit=2").await.body;
    host.client().submit("guest", json!({"do": "ok", "echo": "new"})).await;
    let gone = page["items"][1]["id"].as_str().unwrap();
    db.execute(&format!("DELETE FROM jobs WHERE id = '{gone}'")).await;
    let next = page["nextCursor"].as_str().unwrap();
    let rest = admin.get(&format!("/jobs?limit=200&cursor={next}")).await.body;
    let rest: Vec<_> = rest["items"].as_array().unwrap().iter().map(|job| job["id"].to_string()).collect();
    assert_eq!(rest, before[2..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugins_history_goes_on_through_what_was_never_activated() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions { concurrency: 0, ..HostOptions::default() }).await;
    // Releases that lie there, as a publish without an activation leaves them; some of the same moment.
    for n in 0..5 {
        db.execute(&format!(
            "INSERT INTO releases (digest, plugin, version, manifest, wasm, needs, published_at, published_by) \
             SELECT decode('{n:064x}', 'hex'), plugin, '9.0.{n}', manifest, wasm, needs, '2030-01-01T00:00:0{}Z', 'sql' \
             FROM releases WHERE version NOT LIKE '9.%'",
            n / 2
        ))
        .await;
    }
    let path = "/plugins/guest/releases";
    let whole = host.admin().get(path).await.body;
    let whole: Vec<_> = whole["items"].as_array().unwrap().iter().map(|past| past["version"].to_string()).collect();
    assert_eq!(whole.len(), 6, "{whole:?}");
    assert_eq!(paged(&host.admin(), path, "items", "version").await, whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_route_answers_head_and_options_and_refuses_other_methods_and_parameters() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions { concurrency: 0, ..HostOptions::default() }).await;
    let admin = host.admin();
    let job = host.client().submit("guest", json!({"do": "ok"})).await;
    let allowed = |answer: &reqwest::Response| -> Vec<String> {
        let allow = answer.headers()["allow"].to_str().unwrap();
        allow.split(',').map(|method| method.trim().to_owned()).collect()
    };
    for (path, methods) in [
        ("/jobs".to_owned(), &["GET", "HEAD", "POST"][..]),
        (format!("/jobs/{job}"), &["GET", "HEAD", "DELETE"]),
        (format!("/jobs/{job}/retry"), &["POST"]),
        ("/jobs/batch".to_owned(), &["POST"]),
        ("/queues".to_owned(), &["GET", "HEAD"]),
        ("/queues/money/pause".to_owned(), &["POST"]),
        ("/limits/queue/money".to_owned(), &["PUT"]),
        ("/audit".to_owned(), &["GET", "HEAD"]),
        ("/revocations".to_owned(), &["GET", "HEAD", "POST"]),
        ("/cache/stats".to_owned(), &["GET", "HEAD"]),
        ("/cache/flush".to_owned(), &["POST"]),
        ("/plugins".to_owned(), &["GET", "HEAD", "POST"]),
        ("/webhook-endpoints".to_owned(), &["GET", "HEAD", "POST"]),
        ("/rate-limits".to_owned(), &["GET", "HEAD"]),
        ("/alerts".to_owned(), &["GET", "HEAD"]),
        ("/keys".to_owned(), &["GET", "HEAD", "POST"]),
        ("/metrics".to_owned(), &["GET", "HEAD"]),
        ("/health/live".to_owned(), &["GET", "HEAD"]),
    ] {
        let options = admin.request(Method::OPTIONS, &path).send().await.unwrap();
        assert_eq!(options.status(), StatusCode::NO_CONTENT, "{path}");
        let mut told = allowed(&options);
        told.sort_unstable();
        let mut expected: Vec<_> = methods.iter().map(|method| (*method).to_owned()).collect();
        expected.sort_unstable();
        assert_eq!(told, expected, "{path}");
        let other = Method::from_bytes(b"REPORT").unwrap();
        let refused = admin.request(other, &path).send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(allowed(&refused).len(), methods.len(), "{path}");
        let body: Value = serde_json::from_slice(&refused.bytes().await.unwrap()).unwrap();
        assert_eq!((&body["type"], &body["instance"]), (&json!("urn:usher:problem:method-not-allowed"), &json!(path)));
        if methods.contains(&"GET") {
            let head = admin.request(Method::HEAD, &path).send().await.unwrap();
            assert_eq!(head.status(), StatusCode::OK, "{path}");
            let length: usize = head.headers()["content-length"].to_str().unwrap().parse().unwrap();
            assert!(length > 0 && head.bytes().await.unwrap().is_empty(), "{path}");
        }
        // Also where there are none at all.
        let method = Method::from_bytes(methods[methods.len() - 1].as_bytes()).unwrap();
        let answer = admin.send(method, &format!("{path}?colour=red"), None).await;
        if answer.status != StatusCode::BAD_REQUEST || answer.body.is_object() {
            assert_eq!(
                (answer.status, &answer.body["parameter"]),
                (StatusCode::BAD_REQUEST, &json!("colour")),
                "{path}"
            );
        }
    }
    assert_eq!(db.count("SELECT count(*) FROM jobs WHERE state = 'ready'").await, 1, "nothing was done");
    let refused = Client::new(&host.base, token("admin", None)).get("/nothing?colour=red").await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
}
