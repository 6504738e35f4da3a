use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{Scrape, wait};
use crate::support::{Db, Host, HostOptions, Proxy, eventually, forged_token, read, token};

fn stranger() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn scrapes_share_a_look_into_the_database_and_answer_without_one() {
    let mut db = Db::new().await;
    let proxy = Proxy::start(&db.url).await;
    db.url = proxy.url.clone();
    // The product's own times, so that the host itself asks for little.
    let options = HostOptions { cluster: Some(String::new()), ..HostOptions::default() };
    let host = Host::start(&db, None, options).await;
    let id = host.client().submit("guest-money", json!({"do": "ok"})).await;
    host.client().wait(&id, "completed").await;
    let up = wait(&host, "it is counted", |scrape| {
        scrape.value("usher_jobs_finished_total{queue=\"money\",state=\"completed\"}") == Some(1.0)
    })
    .await;
    assert_eq!(up.value("usher_database_up"), Some(1.0));
    assert!(up.families.contains_key("usher_queue_oldest_ready_age_seconds"));

    let before = proxy.statements();
    for _ in 0..100 {
        Scrape::of(&host).await;
    }
    let statements = proxy.statements() - before;
    assert!(statements < 100, "{statements} statements for 100 scrapes");

    // Everybody may, and HEAD is a GET without a body.
    let (http, url) = (stranger(), format!("{}/metrics", host.base));
    let got = http.get(&url).send().await.unwrap();
    assert_eq!((got.status(), &got.headers()["cache-control"]), (StatusCode::OK, &"no-store".parse().unwrap()));
    let head = http.head(&url).send().await.unwrap();
    assert_eq!((head.status(), &head.headers()["content-type"]), (StatusCode::OK, &got.headers()["content-type"]));
    assert!(head.bytes().await.unwrap().is_empty());
    let refused = http.post(&url).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert!(refused.headers()["allow"].to_str().unwrap().contains("GET"));

    proxy.close();
    let down =
        wait(&host, "the database is seen to be away", |scrape| scrape.value("usher_database_up") == Some(0.0)).await;
    assert_eq!(down.value("usher_attempts_total{outcome=\"completed\",type=\"guest-money\"}"), Some(1.0));
    assert!(down.value("process_resident_memory_bytes").unwrap() > 0.0);
    // Old numbers would look like new ones.
    assert_eq!(down.beginning("usher_queue_jobs"), [""; 0]);
    assert_eq!(down.beginning("usher_queue_oldest"), [""; 0]);
    assert_eq!(host.client().get("/health/live").await.status, 200);
    assert_eq!(host.client().get("/health/ready").await.status, 503);
    proxy.open();
    wait(&host, "the database is back", |scrape| {
        scrape.value("usher_database_up") == Some(1.0) && !scrape.beginning("usher_queue_oldest").is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_shows_its_depth_and_the_age_of_its_oldest_job_and_health_names_its_parts() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions::default()).await;
    let admin = host.admin();
    assert_eq!(admin.send(Method::POST, "/queues/background/pause", None).await.status, StatusCode::OK);
    for _ in 0..3 {
        host.client().submit("guest", json!({"do": "ok"})).await;
    }
    db.age("2 hours").await;
    // The sample of the next minute.
    wait(&host, "the first sample", |scrape| !scrape.beginning("usher_queue_jobs{").is_empty()).await;
    db.execute("UPDATE queue_counts SET count = 3 WHERE queue = 'background' AND state = 'ready'").await;
    let scrape = wait(&host, "the depth is shown", |scrape| {
        scrape.value("usher_queue_jobs{queue=\"background\",state=\"ready\"}") == Some(3.0)
    })
    .await;
    let age = scrape.value("usher_queue_oldest_ready_age_seconds{queue=\"background\"}").unwrap();
    assert!((7_200.0..9_000.0).contains(&age), "{age}");
    assert_eq!(scrape.value("usher_queue_oldest_ready_age_seconds{queue=\"money\"}"), Some(0.0));

    let part = async |name: &str| host.client().get("/health/ready").await.body["parts"][name].clone();
    eventually("the host has looked at itself", async || {
        (part("heartbeat").await["status"] == "ok" && part("plugins").await["status"] == "ok").then_some(())
    })
    .await;
    for name in ["database", "pool", "schema"] {
        assert_eq!(part(name).await, json!({"status": "ok"}), "{name}");
    }
    assert_eq!(part("email.default").await["status"], "degraded", "nobody listens there");
    assert!(part("provider.stripe").await.is_null());
    assert_eq!(admin.send(Method::POST, "/providers/stripe/pause", None).await.status, StatusCode::OK);
    assert_eq!(part("provider.stripe").await, json!({"status": "degraded", "detail": "is paused"}));
    db.execute(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (99990101, 'of a newer Usher', true, '', 1)",
    )
    .await;
    let schema = part("schema").await;
    assert!(schema["status"] == "degraded" && schema["detail"].as_str().unwrap().contains("99990101"), "{schema}");
    assert_eq!(host.client().get("/health/ready").await.status, 200, "it still takes submits");
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_tenants_nor_paths_nor_ids_make_the_metrics_more() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions::default()).await;
    let round = async |tenants: std::ops::Range<usize>| {
        let items: Vec<_> = tenants
            .clone()
            .map(|n| json!({"type": "guest", "payload": {"do": "ok"}, "tenant": format!("tenant-{n}")}))
            .collect();
        let count = items.len();
        let taken = host.admin().send(Method::POST, "/jobs/batch", Some(json!({ "jobs": items }))).await;
        assert!(taken.status.is_success(), "{}", taken.body);
        eventually("all have ended", async || {
            let ended = db.count("SELECT count(*) FROM jobs_archive WHERE state = 'completed'").await;
            (ended >= i64::try_from(count).unwrap()).then_some(())
        })
        .await;
        for n in tenants {
            let client = host.client().with_token(token("user", Some(&format!("tenant-{n}"))));
            assert_eq!(client.get(&format!("/unknown-{n}")).await.status, StatusCode::NOT_FOUND);
            assert_eq!(client.get(&format!("/jobs/{}", uuid::Uuid::new_v4())).await.status, StatusCode::NOT_FOUND);
            let odd = Method::from_bytes(format!("ODD{n}").as_bytes()).unwrap();
            assert_eq!(client.send(odd, "/jobs", None).await.status, StatusCode::METHOD_NOT_ALLOWED);
        }
        // Those of a minute's sample are there from the first one on.
        wait(&host, "the queues are seen", |scrape| !scrape.beginning("usher_queue_jobs{").is_empty()).await
    };
    round(0..1).await;
    // Its own scrape is of the text from the second time on.
    let few = Scrape::of(&host).await;
    let many = round(1..101).await;
    assert_eq!(many.series(), few.series(), "one tenant or a hundred");
    for part in ["tenant-", "unknown-", "ODD"] {
        assert!(!many.text.contains(part), "{part}");
    }
    let unknown = "usher_http_requests_total{method=\"GET\",route=\"none\",status=\"4xx\"}";
    assert_eq!(many.value(unknown), Some(101.0));
    let odd = "usher_http_requests_total{method=\"other\",route=\"/jobs\",status=\"4xx\"}";
    assert_eq!(many.value(odd), Some(101.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_token_is_required_strangers_get_none_of_it() {
    let db = Db::new().await;
    let config = "[metrics]\nauth = \"required\"\n".to_owned();
    let host = Host::start(&db, None, HostOptions { config, ..HostOptions::default() }).await;
    let url = format!("{}/metrics", host.base);
    let forged = forged_token(
        json!({"userId": "u1", "role": "admin", "exp": 4_000_000_000_u64}),
        jsonwebtoken::Algorithm::HS256,
        b"the secret of somebody else, which is long enough",
    );
    for bearer in [None, Some(forged.as_str()), Some("nonsense")] {
        for method in [Method::GET, Method::HEAD] {
            let mut request = stranger().request(method.clone(), &url);
            if let Some(bearer) = bearer {
                request = request.bearer_auth(bearer);
            }
            let answer = read(request.send().await.unwrap()).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {bearer:?}");
            assert_eq!(answer.headers["content-type"], "application/problem+json");
            assert!(answer.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
            assert!(!answer.body.to_string().contains("usher_"), "{}", answer.body);
        }
    }
    for role in ["user", "venue_admin", "admin"] {
        let client = host.client().with_token(token(role, Some("t1")));
        let answer = client.get("/metrics").await;
        assert_eq!(answer.status, StatusCode::OK, "{role}");
        assert!(answer.body.as_str().unwrap().contains("usher_build_info"), "{role}");
    }
}
