use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    body::{Body, to_bytes},
    http::{Request, Response, StatusCode, header},
    response::IntoResponse,
};
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt;

use super::{Rooms, health::Health, metrics::Scrapes, pressure::Pressure, problem::Problem, router};
use crate::{
    auth::{MintClaims, ServiceKeys, Verifier, mint},
    config::{self, Algorithm, Auth, Config, Events, Issuer, MetricsAuth, Queues, RateLimits, Secret, Services},
    db::Pool,
    ids::NodeId,
    lifecycle::Lifecycle,
    operate::{OperateError, Operator},
    outbox::{Hub, Live},
    queue::{Bell, Lanes},
    ratelimit::Limiter,
    runtime::{Registry, check},
    submit::{Catalog, Quotas, SubmitError, Submitter},
    telemetry::metrics::Metrics,
};

fn issuer() -> Issuer {
    // Any text of 32 bytes does; this file has more.
    let secret =
        Secret::from_file(std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))).expect("there");
    let name = "test".to_owned();
    Issuer {
        name,
        algorithm: Algorithm::HS256,
        secret: Some(secret),
        public_key: None,
        jwks: None,
        kid: None,
        iss: None,
        aud: None,
    }
}

fn token(role: &str, tenant: Option<&str>) -> String {
    let claims = MintClaims {
        subject: "u".to_owned(),
        tenant: tenant.map(str::to_owned),
        role: role.to_owned(),
        ttl: Duration::from_secs(60),
    };
    mint(&issuer(), &claims).expect("signs")
}

/// One for all: it is never asked for what it runs.
fn registry() -> Arc<Registry> {
    static REGISTRY: OnceLock<Arc<Registry>> = OnceLock::new();
    let make = || {
        let cache = std::env::temp_dir().join(format!("usher-http-{}", uuid::Uuid::new_v4()));
        let registry = check::without_database(&Config::default(), &cache).expect("makes one");
        let _ = std::fs::remove_dir_all(&cache);
        Arc::new(registry)
    };
    Arc::clone(REGISTRY.get_or_init(make))
}

/// No database is there: what these tests ask must be answered before one is needed.
async fn ask(request: Request<Body>) -> Response<Body> {
    let pool = Pool::lazy("postgres://nobody@127.0.0.1:1/none").expect("lazy");
    let queues = Arc::new(Queues::default());
    let submitter =
        Submitter::start(&pool, Arc::new(Catalog::default()), Arc::clone(&queues), &Bell::default(), &Lanes::default());
    let (_, parts) = watch::channel(BTreeMap::new());
    let verifier = Arc::new(Verifier::new(&Auth { issuers: vec![issuer()], ..Auth::default() }).expect("usable"));
    let operator = Operator {
        pool: pool.clone(),
        bell: Bell::default(),
        lanes: Lanes::default(),
        queues: Arc::clone(&queues),
        catalog: Arc::new(Catalog::default()),
        node: NodeId::random(),
        doubt_margin: Duration::ZERO,
    };
    let limiter = Limiter::start(&pool, &RateLimits::default());
    let events = Hub::new(&pool, &Events::default(), &Lifecycle::new(), &Live::default());
    let rooms = Rooms {
        verifier,
        services: ServiceKeys::start(&pool, &Services::default()),
        submitter,
        operator,
        registry: registry(),
        limiter,
        quotas: Quotas::start(&pool, &BTreeMap::new()),
        pressure: Pressure::new(&config::Pressure::default()),
        queues,
        pool: pool.clone(),
        health: Health { pool, parts },
        scrapes: Scrapes::new(Metrics::default(), MetricsAuth::None),
        events,
        webhooks: None,
        inbound: None,
    };
    router(rooms).oneshot(request).await.expect("infallible")
}

async fn problem(response: Response<Body>) -> (StatusCode, Value) {
    let status = response.status();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    let body = to_bytes(response.into_body(), 1 << 20).await.expect("read");
    let body: Value = serde_json::from_slice(&body).expect("json");
    assert_eq!(body["status"], status.as_u16());
    (status, body)
}

async fn submit(body: impl Into<Body>) -> (StatusCode, Value) {
    let request = Request::post("/jobs")
        .header(header::AUTHORIZATION, format!("Bearer {}", token("user", Some("t1"))))
        .header(header::CONTENT_TYPE, "application/json")
        .body(body.into())
        .expect("request");
    problem(ask(request).await).await
}

#[tokio::test]
async fn a_stranger_gets_a_challenge() {
    for authorization in [None, Some("Basic dTpw"), Some("Bearer nonsense"), Some("Bearer")] {
        let mut request = Request::get("/jobs");
        if let Some(value) = authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        let response = ask(request.body(Body::empty()).expect("request")).await;
        assert!(response.headers()[header::WWW_AUTHENTICATE].to_str().expect("ascii").starts_with("Bearer"));
        assert_eq!(problem(response).await.0, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn what_is_no_json_is_told_with_line_and_column() {
    let (status, body) = submit("{\n  \"type\": nonsense}").await;
    assert_eq!((status, &body["line"], &body["column"]), (StatusCode::BAD_REQUEST, &json!(2), &json!(12)), "{body}");
    for text in ["", "{", "{}x", "{\"type\":\"a\",}", "\u{0}"] {
        assert_eq!(submit(text).await.0, StatusCode::BAD_REQUEST, "{text:?}");
    }
    assert_eq!(submit(vec![0xff, 0xfe]).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn fields_are_checked_with_their_pointer() {
    for (text, pointer) in [
        (r#"{"type":"a","payload":{},"typ":1}"#, "/typ"),
        (r#"{"payload":{}}"#, "/type"),
        (r#"{"type":"a"}"#, "/payload"),
        (r#"{"type":7,"payload":{}}"#, "/type"),
        (r#"{"type":"a","payload":{},"priority":"urgent"}"#, "/priority"),
        (r#"{"type":"a","payload":{},"runAt":"tomorrow"}"#, "/runAt"),
        (r#"{"type":"a","payload":{},"runAt":"2999-01-01T00:00:00Z"}"#, "/runAt"),
        (r#"{"type":"a","payload":{},"expiresIn":"0s"}"#, "/expiresIn"),
        (r#"{"type":"a","payload":{},"expiresIn":"soon"}"#, "/expiresIn"),
        (r#"{"type":"a","payload":{},"metadata":[]}"#, "/metadata"),
        (r#"{"type":"a","payload":{},"metadata":{"a":"\u0000"}}"#, "/metadata"),
        (r#"{"type":"a","type":"b","payload":{}}"#, ""),
        ("[]", ""),
    ] {
        let (status, body) = submit(text).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{text}");
        assert_eq!(body["errors"][0]["pointer"], pointer, "{text}: {body}");
    }
}

#[tokio::test]
async fn an_unknown_job_type_is_told_with_the_known_ones() {
    let (status, body) = submit(r#"{"type":"ghost","payload":{}}"#).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(body["type"], "urn:usher:problem:unknown-job-type");
    assert_eq!(body["known"], json!([]));
}

#[tokio::test]
async fn size_and_content_type_are_limits() {
    let long = format!(r#"{{"type":"a","payload":"{}"}}"#, "x".repeat(256 * 1024));
    assert_eq!(submit(long).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(submit(vec![b' '; 600 * 1024]).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    for content_type in ["text/plain", "application/xml", "application/jsonx"] {
        let request = Request::post("/jobs")
            .header(header::AUTHORIZATION, format!("Bearer {}", token("user", Some("t1"))))
            .header(header::CONTENT_TYPE, content_type)
            .body(Body::from("{}"))
            .expect("request");
        assert_eq!(problem(ask(request).await).await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
}

#[tokio::test]
async fn only_an_admin_names_a_tenant() {
    let (status, _) = submit(r#"{"type":"a","payload":{},"tenant":"t2"}"#).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let request = Request::post("/jobs")
        .header(header::AUTHORIZATION, format!("Bearer {}", token("admin", None)))
        .header(header::CONTENT_TYPE, "application/json; charset=utf-8")
        .body(Body::from(r#"{"type":"a","payload":{}}"#))
        .expect("request");
    assert_eq!(problem(ask(request).await).await.1["errors"][0]["pointer"], "/tenant");
}

#[tokio::test]
async fn unknown_routes_methods_and_parameters_are_problems() {
    let as_user = |request: axum::http::request::Builder| {
        let value = format!("Bearer {}", token("user", Some("t1")));
        request.header(header::AUTHORIZATION, value).body(Body::empty()).expect("request")
    };
    assert_eq!(problem(ask(as_user(Request::get("/nothing"))).await).await.0, StatusCode::NOT_FOUND);
    let response = ask(as_user(Request::put("/jobs"))).await;
    assert!(response.headers()[header::ALLOW].to_str().expect("ascii").contains("POST"));
    assert_eq!(problem(response).await.0, StatusCode::METHOD_NOT_ALLOWED);
    for query in ["limit=0", "limit=201", "limit=x", "cursor=!!", "state=lost", "colour=red"] {
        let (status, body) = problem(ask(as_user(Request::get(format!("/jobs?{query}")))).await).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}: {body}");
    }
    let (status, _) = problem(ask(as_user(Request::get("/jobs?tenant=t2"))).await).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(problem(ask(as_user(Request::get("/jobs/not-a-uuid"))).await).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_refusal_names_its_path_and_options_are_answered_by_the_methods() {
    let ask_for = |method: &str, path: &str| {
        ask(Request::builder().method(method).uri(path).body(Body::empty()).expect("request"))
    };
    let (_, body) = problem(ask_for("GET", "/nothing/%1b?x=1").await).await;
    assert_eq!((&body["instance"], &body["errors"]), (&json!("/nothing/%1b"), &json!([])));
    let options = ask_for("OPTIONS", "/jobs").await;
    assert_eq!(options.status(), StatusCode::NO_CONTENT);
    assert!(options.headers()[header::ALLOW].to_str().expect("ascii").contains("POST"));
    // A parameter of a route that has none, and one that is there twice.
    for path in ["/health?deep=1", "/jobs?limit=5&limit=5"] {
        let (status, body) = problem(ask_for("GET", path).await).await;
        assert_eq!(
            (status, &body["type"]),
            (StatusCode::BAD_REQUEST, &json!("urn:usher:problem:invalid-query")),
            "{path}"
        );
    }
}

#[tokio::test]
async fn liveness_needs_no_database_and_readiness_does() {
    let get = |path: &str| Request::get(path).body(Body::empty()).expect("request");
    assert_eq!(ask(get("/health/live")).await.status(), StatusCode::OK);
    assert_eq!(ask(get("/health/ready")).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ask(get("/health")).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn whoever_is_turned_away_for_now_hears_when_to_come_again() {
    let database = || sqlx::Error::PoolTimedOut;
    let away = [
        SubmitError::Busy.into(),
        SubmitError::Unavailable(None).into(),
        SubmitError::Unavailable(Some(database())).into(),
        OperateError::Database(database()).into(),
        Problem::database(&database()),
    ];
    for response in away.map(Problem::into_response) {
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        assert_eq!(problem(response).await.0, StatusCode::SERVICE_UNAVAILABLE);
    }
}

#[tokio::test]
async fn without_a_key_there_are_no_webhooks_and_it_is_said() {
    let get = |role: &str| {
        let token = token(role, Some("t1"));
        let request = Request::get("/webhook-endpoints").header(header::AUTHORIZATION, format!("Bearer {token}"));
        request.body(Body::empty()).expect("request")
    };
    let (status, body) = problem(ask(get("venue_admin")).await).await;
    assert_eq!((status, &body["type"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("urn:usher:problem:webhooks-off")));
    assert!(body["detail"].as_str().expect("text").contains("webhooks.key"), "{body}");
    // Who may not ask hears that first.
    assert_eq!(problem(ask(get("user")).await).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn who_signs_is_told_what_is_wrong_and_who_shows_a_token_too_is_refused() {
    let request = || {
        Request::get("/jobs")
            .header(header::HOST, "usher.example")
            .header("signature-input", "a=(\"@method\");created=1;keyid=\"k\"")
            .header("signature", "a=:AAAA:")
    };
    let signed = request().body(Body::empty()).expect("request");
    let (status, body) = problem(ask(signed).await).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(body["detail"].as_str().expect("text").contains("auth.services.key"), "{body}");
    let authorization = format!("Bearer {}", token("admin", None));
    let both = request().header(header::AUTHORIZATION, authorization).body(Body::empty()).expect("request");
    let (status, body) = problem(ask(both).await).await;
    let slug = json!("urn:usher:problem:ambiguous-credentials");
    assert_eq!((status, &body["type"]), (StatusCode::BAD_REQUEST, &slug));
    // Half a signature is one, too.
    let half = Request::get("/jobs").header(header::HOST, "h").header("signature", "a=:AAAA:");
    let (status, _) = problem(ask(half.body(Body::empty()).expect("request")).await).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    // Where strangers may ask, a bad one is as good as none.
    let stranger = Request::get("/health").header(header::HOST, "h").header("signature", "a=:AAAA:");
    let response = ask(stranger.body(Body::empty()).expect("request")).await;
    assert_eq!(
        (response.status(), response.headers()["usher-authentication"].as_bytes()),
        (StatusCode::OK, &b"invalid"[..])
    );
}

#[tokio::test]
async fn without_a_host_key_no_key_is_made_and_it_is_said() {
    let create = |role: &str| {
        Request::post("/keys")
            .header(header::AUTHORIZATION, format!("Bearer {}", token(role, Some("t1"))))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from("{}"))
            .expect("request")
    };
    let (status, body) = problem(ask(create("admin")).await).await;
    assert_eq!(
        (status, &body["type"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("urn:usher:problem:service-keys-off"))
    );
    // Who may not ask hears that first.
    assert_eq!(problem(ask(create("venue_admin")).await).await.0, StatusCode::FORBIDDEN);
}

/// `Allow` of a method that nothing has says which methods a path has.
#[tokio::test]
async fn every_route_is_described_and_every_description_has_its_route() {
    let described = super::openapi::document()["paths"].as_object().expect("paths");
    let routes = super::routes();
    let mut seen = Vec::new();
    for route in routes.paths() {
        let path = route.replace("{*", "{");
        let there = route.split('/').map(|part| if part.starts_with('{') { "0" } else { part }).collect::<Vec<_>>();
        let request = Request::builder().method("TRACE").uri(there.join("/")).body(Body::empty()).expect("a request");
        let answer = ask(request).await;
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{route}");
        let allow = answer.headers()[header::ALLOW].to_str().expect("text").to_lowercase();
        // HEAD comes with GET, and is not told apart.
        let has: BTreeSet<&str> = allow.split(',').filter(|method| *method != "head").collect();
        let told = described.get(&path).and_then(Value::as_object);
        let told: BTreeSet<&str> = told.into_iter().flat_map(|item| item.keys().map(String::as_str)).collect();
        assert_eq!(told, has, "{path}: what the document says, and what the router has");
        seen.push(path);
    }
    for path in described.keys() {
        assert!(seen.contains(path), "{path} is described, and there is no such route");
    }
}
