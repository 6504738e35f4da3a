//! The door: what is refused and how it is told, who is let in, keys, and who sees what.

use std::{
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use futures_util::future::join_all;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Client, Db, Host, HostOptions, SECRET, forged_token, read, token};

async fn host(db: &Db) -> Host {
    let plugins = vec!["guest.wasm", "payments.wasm", "notifications.wasm", "analytics.wasm"];
    Host::start(db, None, HostOptions { plugins, concurrency: 0, ..HostOptions::default() }).await
}

fn payment(event: &str) -> Value {
    json!({"venueId": "v", "userId": "u", "eventId": event, "amount": 100, "currency": "EUR", "email": "a@example.com",
           "paymentMethod": "pm_1", "items": [{"name": "Seat", "quantity": 1, "unitAmount": 100}]})
}

fn submit(job_type: &str, payload: &str) -> String {
    format!(r#"{{"type":"{job_type}","payload":{payload}}}"#)
}

/// Body, status, slug of the problem.
fn bad_input() -> Vec<(String, u16, &'static str)> {
    let nested = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    vec![
        (submit("ghost", "{}"), 422, "unknown-job-type"),
        (submit("guest", &format!(r#"{{"do":"{}"}}"#, "x".repeat(256 * 1024))), 413, "payload-too-large"),
        ("{\"type\":".to_owned(), 400, "malformed-json"),
        (r#"{"type":"guest","payload":{"do":"ok"},"colour":"red"}"#.to_owned(), 422, "invalid-request"),
        (submit("guest", r#"{"do":"ok","echo":"\u0000"}"#), 422, "invalid-payload"),
        (submit("guest", r#"{"do":"ok","echo":1e400000}"#), 422, "invalid-payload"),
        (submit("guest", r#"{"do":"ok","do":"panic"}"#), 422, "invalid-payload"),
        (submit("guest", &format!(r#"{{"do":"ok","echo":{nested}}}"#)), 422, "invalid-payload"),
        (submit("analytics-track", r#"{"event":7}"#), 422, "invalid-payload"),
        (r#"{"type":"guest","type":"guest","payload":{}}"#.to_owned(), 422, "invalid-request"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_told_apart_and_the_others_of_its_moment_land() {
    let db = Db::new().await;
    let host = host(&db).await;
    let client = host.client();
    // All at once, so that bad and good ones meet in the same batches.
    let good = (0..40).map(|n| {
        let client = client.clone();
        async move { client.submit("guest", json!({"do": "ok", "echo": n})).await }
    });
    let bad = bad_input().into_iter().map(|(body, status, slug)| {
        let client = client.clone();
        async move {
            let answer = client.post(body.clone()).await;
            let shown = &body[..body.len().min(120)];
            assert_eq!(answer.status.as_u16(), status, "{shown}: {}", answer.body);
            assert_eq!(answer.body["type"], format!("urn:usher:problem:{slug}"), "{shown}");
            assert_eq!(answer.headers["content-type"], "application/problem+json");
            answer.body
        }
    });
    let (_, problems) = tokio::join!(join_all(good), join_all(bad));
    assert!(problems[0]["known"].as_array().unwrap().contains(&json!("payment-process")), "{}", problems[0]);
    assert_eq!((&problems[2]["line"], problems[2]["column"].is_u64()), (&json!(1), true));
    assert_eq!(problems[3]["errors"][0]["pointer"], "/colour");
    assert_eq!(problems[4]["errors"][0]["pointer"], "/echo");
    assert_eq!(problems[6]["errors"][0]["pointer"], "/do");
    assert_eq!(problems[8]["errors"][0]["pointer"], "/event");
    assert_eq!(db.count("SELECT count(*) FROM jobs").await, 40, "all good ones, and no bad one");

    let other =
        client.request(Method::POST, "/jobs").header("content-type", "text/plain").body("{}").send().await.unwrap();
    assert_eq!(other.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_missing_expired_or_forged() {
    let db = Db::new().await;
    let host = host(&db).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = |exp: u64| json!({"userId": "u", "tenantId": "t1", "role": "admin", "exp": exp});
    let part = |value: Value| {
        use base64::Engine;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string())
    };
    let tokens = [
        String::new(),
        "nonsense".to_owned(),
        forged_token(claims(now - 120), Algorithm::HS256, SECRET.as_bytes()),
        forged_token(claims(now + 60), Algorithm::HS256, b"another secret, also long enough for it"),
        forged_token(claims(now + 60), Algorithm::HS384, SECRET.as_bytes()),
        format!("{}.{}.", part(json!({"alg": "none", "typ": "JWT"})), part(claims(now + 60))),
        forged_token(json!({"userId": "u", "tenantId": "t1", "role": "user"}), Algorithm::HS256, SECRET.as_bytes()),
        forged_token(json!({"userId": "u", "role": "user", "exp": now + 60}), Algorithm::HS256, SECRET.as_bytes()),
    ];
    for token in tokens {
        let answer = Client::new(&host.base, token.clone()).post(submit("guest", "{}")).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{token}");
        let challenge = if token.is_empty() { "Bearer" } else { "Bearer error=\"invalid_token\"" };
        assert_eq!(answer.headers["www-authenticate"], challenge, "{token}");
        assert!(!answer.body.to_string().contains(SECRET));
    }
    let bare =
        reqwest::Client::builder().no_proxy().build().unwrap().get(format!("{}/jobs", host.base)).send().await.unwrap();
    assert_eq!(bare.headers()["www-authenticate"], "Bearer");
    assert_eq!(db.count("SELECT count(*) FROM jobs").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_key_is_nobodys_secret() {
    let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/src/auth/testkeys");
    let config = format!(
        "[[auth.issuers]]\nname = \"rsa\"\nalgorithm = \"RS256\"\npublic_key = {{ file = {:?} }}\n",
        keys.join("rsa.pub.pem")
    );
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions { config, ..HostOptions::default() }).await;
    let exp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 60;
    let claims = json!({"userId": "u", "tenantId": "t1", "role": "admin", "exp": exp});
    let private = EncodingKey::from_rsa_pem(&fs::read(keys.join("rsa.pem")).unwrap()).unwrap();
    let signed = encode(&Header::new(Algorithm::RS256), &claims, &private).unwrap();
    assert_eq!(Client::new(&host.base, signed).get("/jobs").await.status, StatusCode::OK, "the key is in use");
    // All the world has it, so an HMAC with it proves nothing.
    let public = fs::read(keys.join("rsa.pub.pem")).unwrap();
    for key in [public.as_slice(), public.trim_ascii_end()] {
        let forged = forged_token(claims.clone(), Algorithm::HS256, key);
        let answer = Client::new(&host.base, forged).get("/jobs").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(answer.headers["www-authenticate"], "Bearer error=\"invalid_token\"");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_and_what_cannot_be_asked_is_said() {
    let db = Db::new().await;
    let host = host(&db).await;
    let client = host.client();
    for path in ["/nothing", "/jobs/nonsense", "/jobs/019a0000-0000-7000-8000-000000000000"] {
        let answer = client.get(path).await;
        assert_eq!(
            (answer.status, &answer.body["type"]),
            (StatusCode::NOT_FOUND, &json!("urn:usher:problem:not-found")),
            "{path}"
        );
    }
    let answer = read(client.request(Method::DELETE, "/jobs").send().await.unwrap()).await;
    assert_eq!(
        (answer.status, &answer.body["type"]),
        (StatusCode::METHOD_NOT_ALLOWED, &json!("urn:usher:problem:method-not-allowed"))
    );
    assert!(answer.headers["allow"].to_str().unwrap().contains("POST"));
    for (query, parameter) in
        [("limit=0", "limit"), ("limit=201", "limit"), ("cursor=x", "cursor"), ("state=ghost", "state"), ("a=b", "a")]
    {
        let answer = client.get(&format!("/jobs?{query}")).await;
        assert_eq!(
            (answer.status, &answer.body["parameter"]),
            (StatusCode::BAD_REQUEST, &json!(parameter)),
            "{query}: {}",
            answer.body
        );
    }
    // Nobody's tenant is guessed.
    let admin = client.with_token(token("admin", None));
    let answer = admin.post(submit("guest", r#"{"do":"ok"}"#)).await;
    assert_eq!(
        (answer.status, &answer.body["errors"][0]["pointer"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("/tenant"))
    );
    assert_eq!(db.count("SELECT count(*) FROM jobs").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_key_is_kept_and_guarded() {
    let db = Db::new().await;
    let host = host(&db).await;
    let client = host.client();
    let post =
        async |payload: &str| client.post_with(submit("guest-money", payload), &[("idempotency-key", "k-1")]).await;
    let first = post(r#"{"do":"ok","echo":1}"#).await;
    assert_eq!(first.status, StatusCode::ACCEPTED);
    assert_eq!(first.headers["location"], format!("/jobs/{}", first.body["id"].as_str().unwrap()).as_str());
    // White space and the order of keys make no other payload.
    let again = post(r#"{ "echo": 1, "do": "ok" }"#).await;
    assert_eq!((again.status, &again.body["id"]), (StatusCode::OK, &first.body["id"]));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    let reused = post(r#"{"do":"ok","echo":2}"#).await;
    assert_eq!(
        (reused.status, &reused.body["type"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("urn:usher:problem:idempotency-key-reused"))
    );
    // Another tenant's key is another key.
    let other = client.with_token(token("user", Some("t2")));
    let theirs = other.post_with(submit("guest-money", r#"{"do":"ok"}"#), &[("idempotency-key", "k-1")]).await;
    assert_eq!(theirs.status, StatusCode::ACCEPTED);
    let bad = client.post_with(submit("guest-money", "{}"), &[("idempotency-key", "")]).await;
    assert_eq!(bad.status, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_derived_key_finds_the_first_job_also_after_its_end() {
    let db = Db::new().await;
    let plugins = vec!["payments.wasm", "analytics.wasm"];
    let host = Host::start(&db, None, HostOptions { plugins, ..HostOptions::default() }).await;
    let client = host.client();
    // No account at Stripe serves the tenant, so the charge is refused and the payment is dead: its key is free again.
    let id = client.submit("payment-process", payment("e1")).await;
    client.wait(&id, "dead").await;
    let next = client.submit("payment-process", payment("e1")).await;
    assert_ne!(next, id, "nothing happened, so the key is free");
    // From here on nobody runs anything.
    assert_eq!(host.terminate().await, Some(0));

    let host = self::host(&db).await;
    let client = host.client();
    let first = client.post(submit("payment-process", &payment("e2").to_string())).await;
    let again = client.post(submit("payment-process", &payment("e2").to_string())).await;
    assert_eq!(
        (again.status, &again.body["id"], &again.body["deduplicated"]),
        (StatusCode::ACCEPTED, &first.body["id"], &json!(true))
    );
    let text = again.body["idempotencyKey"].as_str().unwrap();
    assert_eq!(text, "payment-v-u-e2-100");
    // No key by manifest: the same event twice is two jobs.
    let track = || client.submit("analytics-track", json!({"event": "x"}));
    assert_ne!(track().await, track().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completed_job_holds_its_key_for_its_time_and_no_longer() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions::default()).await;
    let client = host.client();
    let post = async || client.post_with(submit("guest-money", r#"{"do":"ok"}"#), &[("idempotency-key", "k")]).await;
    let first = post().await;
    let id = first.body["id"].as_str().unwrap().to_owned();
    client.wait(&id, "completed").await;
    let replay = post().await;
    assert_eq!(
        (replay.status, &replay.body["result"]),
        (StatusCode::OK, &json!({"attempt": 1})),
        "the stored result: {}",
        replay.body
    );
    db.execute(&format!("UPDATE jobs_archive SET key_ttl_ms = 1 WHERE id = '{id}'")).await;
    let fresh = post().await;
    assert_eq!(fresh.status, StatusCode::ACCEPTED);
    assert_ne!(fresh.body["id"], json!(id));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_a_hundred_times_at_once_is_one_job() {
    let db = Db::new().await;
    let (one, two) = (host(&db).await, host(&db).await);
    for header in [None, Some("rush")] {
        let event = format!("e-{header:?}").replace(['"', '(', ')'], "");
        let all = (0..100).map(|n| {
            let client = if n % 2 == 0 { one.client() } else { two.client() };
            let body = submit("payment-process", &payment(&event).to_string());
            async move {
                let headers: Vec<_> = header.map(|key| ("idempotency-key", key)).into_iter().collect();
                let answer = client.post_with(body, &headers).await;
                assert!(answer.status.is_success(), "{}", answer.body);
                answer.body["id"].as_str().unwrap().to_owned()
            }
        });
        let ids: std::collections::HashSet<_> = join_all(all).await.into_iter().collect();
        assert_eq!(ids.len(), 1, "{header:?}");
        assert_eq!(db.count(&format!("SELECT count(*) FROM jobs WHERE payload LIKE '%{event}%'")).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_sees_its_own_and_an_admin_all() {
    let db = Db::new().await;
    let host = host(&db).await;
    let mine = host.client();
    let theirs = mine.with_token(token("venue_admin", Some("t2")));
    let admin = mine.with_token(token("admin", None));
    let id = mine.submit("guest", json!({"do": "ok"})).await;
    assert_eq!(theirs.get(&format!("/jobs/{id}")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(theirs.get("/jobs").await.body["items"], json!([]));
    assert_eq!(admin.get(&format!("/jobs/{id}")).await.status, StatusCode::OK);
    assert_eq!(theirs.get("/jobs?tenant=t1").await.status, StatusCode::FORBIDDEN);
    let named = admin.post(r#"{"type":"guest","payload":{"do":"ok"},"tenant":"t3"}"#).await;
    assert_eq!((named.status, &named.body["tenant"]), (StatusCode::ACCEPTED, &json!("t3")));
    let refused = mine.post(r#"{"type":"guest","payload":{"do":"ok"},"tenant":"t3"}"#).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let stranger = reqwest::Client::builder().no_proxy().build().unwrap();
    for path in ["/health", "/health/live", "/health/ready"] {
        let answer = read(stranger.get(format!("{}{path}", host.base)).send().await.unwrap()).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_and_paged_newest_first() {
    let db = Db::new().await;
    let host = host(&db).await;
    let client = host.client();
    let mut ids = Vec::new();
    for n in 0..7 {
        let job_type = if n % 2 == 0 { "guest" } else { "guest-money" };
        ids.push(client.submit(job_type, json!({"do": "ok", "echo": n})).await);
    }
    ids.reverse();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("/jobs?limit=3{cursor}")).await.body;
        seen.extend(page["items"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, ids);
    for (query, count) in [("type=guest", 4), ("queue=money", 3), ("state=ready", 7), ("state=completed", 0)] {
        let page = client.get(&format!("/jobs?{query}")).await.body;
        assert_eq!(page["items"].as_array().unwrap().len(), count, "{query}");
    }
    // Long ones: fewer on a page than it may have, and none is passed by.
    for n in 0..18 {
        client.submit("guest", json!({"do": "ok", "echo": n, "more": "x".repeat(250_000)})).await;
    }
    let first = client.get("/jobs?limit=200").await.body;
    let count = first["items"].as_array().unwrap().len();
    assert!((10..18).contains(&count), "{count}");
    let rest = client.get(&format!("/jobs?limit=200&cursor={}", first["nextCursor"].as_str().unwrap())).await.body;
    assert_eq!((count + rest["items"].as_array().unwrap().len(), &rest["nextCursor"]), (25, &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn payload_and_metadata_are_kept_verbatim() {
    let db = Db::new().await;
    let host = host(&db).await;
    let payload = r#"{ "do":"ok",  "echo": 1.50 }"#;
    let body = format!(
        r#"{{"type":"guest","payload":{payload},"metadata":{{"order":"7"}},"expiresIn":"2h","priority":"high"}}"#
    );
    let id = host.client().post(body).await.body["id"].as_str().unwrap().to_owned();
    assert_eq!(db.text(&format!("SELECT payload FROM jobs WHERE id = '{id}'")).await.as_deref(), Some(payload));
    let job = host.client().job(&id).await;
    assert_eq!((&job["metadata"], &job["priority"]), (&json!({"order": "7"}), &json!("high")));
    let hours =
        format!("SELECT (extract(epoch FROM expires_at - created_at) / 3600)::bigint FROM jobs WHERE id = '{id}'");
    assert_eq!(db.count(&hours).await, 2);
}
