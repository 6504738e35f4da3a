use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Key, get, job, options, request, submit, text};
use crate::support::{Db, Host, token};

const FORBIDDEN: &str = "urn:usher:problem:forbidden";

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_key_of_one_tenant_and_type_does_nothing_for_another() {
    let db = Db::new().await;
    let host = Host::start(&db, None, options()).await;
    let theirs = host.client().with_token(token("user", Some("t2"))).submit("guest", json!({"do": "ok"})).await;
    let key = Key::new(&host, "service", json!(["t1"]), json!(["guest"])).await;
    let batch = |jobs: Vec<Value>| request(&host, "POST", "/jobs/batch", &[], &json!({"jobs": jobs}).to_string());
    let atomic = |jobs: Vec<Value>| {
        request(&host, "POST", "/jobs/batch", &[], &json!({"jobs": jobs, "atomic": true}).to_string())
    };
    let sound = || job("guest", json!({}));

    let forbidden = [
        submit(&host, "guest", &[], json!({"tenant": "t2"})),
        submit(&host, "guest", &[("x-tenant-id", "t2")], json!({})),
        submit(&host, "guest-money", &[], json!({})),
        submit(&host, "ghost", &[], json!({})),
        batch(vec![sound(), job("guest", json!({"tenant": "t2"}))]),
        batch(vec![sound(), job("guest-money", json!({})), sound()]),
        atomic(vec![sound(), job("guest", json!({"tenant": "t2"}))]),
        get(&host, "/jobs?tenant=t2", &[]),
        get(&host, "/jobs", &[("x-tenant-id", "t2")]),
        request(&host, "DELETE", &format!("/jobs/{theirs}"), &[], ""),
        request(&host, "POST", &format!("/jobs/{theirs}/retry"), &[], ""),
        request(&host, "POST", "/queues/money/pause", &[], ""),
        request(&host, "POST", "/keys", &[], "{}"),
        get(&host, "/keys", &[]),
        get(&host, "/audit", &[]),
        get(&host, "/webhook-endpoints", &[]),
    ];
    for (answer, asked) in key.call_all(&forbidden).await.iter().zip(&forbidden) {
        let what = format!("{} {}: {}", asked["method"], asked["url"], answer.body);
        assert_eq!((answer.status, text(&answer.body, "type").as_str()), (StatusCode::FORBIDDEN, FORBIDDEN), "{what}");
    }
    assert_eq!(db.count("SELECT count(*) FROM jobs").await, 1, "nothing was written");

    let allowed = [
        submit(&host, "guest", &[], json!({})),
        submit(&host, "guest", &[("x-tenant-id", "t1")], json!({"tenant": "t1"})),
        batch(vec![sound(), job("guest", json!({"tenant": "t1"}))]),
        get(&host, "/jobs", &[]),
        get(&host, &format!("/jobs/{theirs}"), &[]),
    ];
    let answers = key.call_all(&allowed).await;
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(statuses, [202, 202, 200, 200, 404], "{answers:?}");
    let seen = answers[3].body["items"].as_array().unwrap();
    assert_eq!(seen.len(), 4);
    assert!(seen.iter().all(|job| job["tenant"] == "t1"), "{seen:?}");
    assert_eq!(db.count("SELECT count(*) FROM jobs WHERE tenant = 't1' AND job_type = 'guest'").await, 4);
    // Who has only a token names no tenant by this header.
    let answer = host.client().post_with(sound().to_string(), &[("x-tenant-id", "t2")]).await;
    assert_eq!((answer.status, &answer.body["tenant"]), (StatusCode::ACCEPTED, &json!("t1")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_several_tenants_says_for_which_and_one_of_a_higher_role_does_more() {
    let db = Db::new().await;
    let host = Host::start(&db, None, options()).await;
    let key = Key::new(&host, "service", json!(["t1", "t2"]), Value::Null).await;
    let batch = json!({"jobs": [job("guest", json!({"tenant": "t1"})), job("guest", json!({"tenant": "t2"}))]});
    let mut atomic = batch.clone();
    atomic["atomic"] = json!(true);
    let headed = json!({"jobs": [job("guest", json!({})), job("guest", json!({}))]});
    let t2 = [("x-tenant-id", "t2")];
    let asked = [
        (422, submit(&host, "guest", &[], json!({}))),
        (422, submit(&host, "guest", &t2, json!({"tenant": "t1"}))),
        (403, submit(&host, "guest", &t2, json!({"tenant": "t3"}))),
        (400, get(&host, "/jobs", &[])),
        (202, submit(&host, "guest", &[], json!({"tenant": "t2"}))),
        (202, submit(&host, "guest", &t2, json!({}))),
        (200, request(&host, "POST", "/jobs/batch", &[], &batch.to_string())),
        (200, request(&host, "POST", "/jobs/batch", &t2, &headed.to_string())),
        (200, request(&host, "POST", "/jobs/batch", &[], &atomic.to_string())),
        (200, get(&host, "/jobs", &t2)),
    ];
    let (statuses, requests): (Vec<u16>, Vec<_>) = asked.into_iter().unzip();
    let answers = key.call_all(&requests).await;
    for (answer, status) in answers.iter().zip(statuses) {
        assert_eq!(answer.status.as_u16(), status, "{}", answer.body);
    }
    assert_eq!(answers[1].body["errors"][0]["pointer"], "/tenant");
    assert_eq!(answers[3].body["type"], "urn:usher:problem:tenant-needed");
    let seen = answers[9].body["items"].as_array().unwrap();
    assert!(seen.len() == 6 && seen.iter().all(|job| job["tenant"] == "t2"), "{seen:?}");
    assert_eq!(db.count("SELECT count(*) FROM jobs WHERE tenant = 't1'").await, 2);

    // For all tenants: each is named all the same.
    let all = Key::new(&host, "service", Value::Null, json!(["guest"])).await;
    let asked = [submit(&host, "guest", &[], json!({})), submit(&host, "guest", &[("x-tenant-id", "t9")], json!({}))];
    let answers = all.call_all(&asked).await;
    assert_eq!((answers[0].status.as_u16(), answers[1].status.as_u16()), (422, 202));

    let manager = Key::new(&host, "venue_admin", json!(["t1"]), Value::Null).await;
    let (own, theirs) = (id_of(&db, "t1").await, id_of(&db, "t2").await);
    let asked = [
        request(&host, "DELETE", &format!("/jobs/{theirs}"), &[], ""),
        request(&host, "DELETE", &format!("/jobs/{own}"), &[], ""),
        request(&host, "POST", "/queues/money/pause", &[], ""),
    ];
    let statuses: Vec<_> = manager.call_all(&asked).await.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(statuses, [404, 200, 403]);

    let admin = Key::new(&host, "admin", Value::Null, Value::Null).await;
    let asked = [
        get(&host, "/keys", &[]),
        request(&host, "POST", "/queues/money/pause", &[], ""),
        submit(&host, "guest-money", &[("x-tenant-id", "t7")], json!({})),
        get(&host, "/jobs", &[]),
    ];
    let answers = admin.call_all(&asked).await;
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(statuses, [200, 200, 202, 200], "{answers:?}");
    let tenants: std::collections::BTreeSet<_> =
        answers[3].body["items"].as_array().unwrap().iter().map(|job| text(job, "tenant")).collect();
    assert!(tenants.contains("t2") && tenants.contains("t7"), "{tenants:?}");

    // It is one caller, whichever tenant it names; a key of one tenant is one of that tenant's.
    let limit = json!({"rate": "1/h", "burst": 3});
    let set = host.admin().send(Method::PUT, "/rate-limits/submit/caller/*/*", Some(limit)).await;
    assert_eq!(set.status, StatusCode::OK, "{}", set.body);
    let asked: Vec<_> = ["t1", "t2", "t1", "t2"]
        .iter()
        .map(|tenant| submit(&host, "guest", &[("x-tenant-id", *tenant)], json!({})))
        .collect();
    let statuses: Vec<_> = key.call_all(&asked).await.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(statuses, [202, 202, 202, 429]);
    assert_eq!(manager.call(submit(&host, "guest", &[], json!({}))).await.status, StatusCode::ACCEPTED);
    let buckets = host.admin().get("/rate-limits").await.body.to_string();
    assert!(!buckets.contains(&format!("submit/caller/t1/key%2F{}", key.id)), "{buckets}");
}

async fn id_of(db: &Db, tenant: &str) -> String {
    db.text(&format!("SELECT id::text FROM jobs WHERE tenant = '{tenant}' LIMIT 1")).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_for_everything_is_not_made_by_leaving_something_out() {
    let db = Db::new().await;
    let host = Host::start(&db, None, options()).await;
    let admin = host.admin();
    for (body, pointer) in [
        (json!({"tenants": null, "jobTypes": null}), "/name"),
        (json!({"name": "", "tenants": null, "jobTypes": null}), "/name"),
        (json!({"name": "a\nb", "tenants": null, "jobTypes": null}), "/name"),
        (json!({"name": "a", "jobTypes": null}), "/tenants"),
        (json!({"name": "a", "tenants": null}), "/jobTypes"),
        (json!({"name": "a", "tenants": [], "jobTypes": null}), "/tenants"),
        (json!({"name": "a", "tenants": ["t1", ""], "jobTypes": null}), "/tenants/1"),
        (json!({"name": "a", "tenants": ["t\u{0}"], "jobTypes": null}), "/tenants/0"),
        (json!({"name": "a", "tenants": "t1", "jobTypes": null}), "/tenants"),
        (json!({"name": "a", "tenants": vec!["t"; 101], "jobTypes": null}), "/tenants"),
        (json!({"name": "a", "tenants": null, "jobTypes": [7]}), "/jobTypes"),
        (json!({"name": "a", "tenants": null, "jobTypes": null, "role": "root"}), "/role"),
        (json!({"name": "a", "role": "venue_admin", "tenants": ["t1"], "jobTypes": ["guest"]}), "/jobTypes"),
        (json!({"name": "a", "role": "venue_admin"}), "/tenants"),
        (json!({"name": "a", "role": "admin", "tenants": ["t1"]}), "/tenants"),
        (json!({"name": "a", "role": "admin", "jobTypes": ["guest"]}), "/jobTypes"),
        (json!({"name": "a", "tenants": null, "jobTypes": null, "secret": "mine"}), "/secret"),
    ] {
        let answer = admin.send(Method::POST, "/keys", Some(body.clone())).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}: {}", answer.body);
        assert_eq!(answer.body["errors"][0]["pointer"], pointer, "{body}: {}", answer.body);
    }
    assert_eq!(db.count("SELECT count(*) FROM service_keys").await, 0);
    for (method, path) in [
        (Method::GET, "/keys/nonsense"),
        (Method::GET, "/keys/019a0000-0000-4000-8000-000000000000"),
        (Method::DELETE, "/keys/019a0000-0000-4000-8000-000000000000"),
        (Method::POST, "/keys/019a0000-0000-4000-8000-000000000000/rotate"),
    ] {
        assert_eq!(admin.send(method, path, None).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    for query in ["limit=0", "limit=201", "cursor=x", "colour=red"] {
        let answer = admin.get(&format!("/keys?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
    }
    for _ in 0..3 {
        Key::new(&host, "service", json!(["t1"]), Value::Null).await;
    }
    let page = admin.get("/keys?limit=2").await.body;
    let rest = admin.get(&format!("/keys?limit=2&cursor={}", text(&page, "nextCursor"))).await.body;
    assert_eq!((page["items"].as_array().unwrap().len(), rest["items"].as_array().unwrap().len()), (2, 1));
    assert!(rest["nextCursor"].is_null(), "{rest}");
    // Keys are for admins.
    for role in ["user", "venue_admin"] {
        let client = host.client().with_token(token(role, Some("t1")));
        let path = format!("/keys/{}", text(&rest["items"][0], "id"));
        let rotate = format!("{path}/rotate");
        for (method, path) in [
            (Method::GET, "/keys"),
            (Method::POST, "/keys"),
            (Method::GET, path.as_str()),
            (Method::DELETE, path.as_str()),
            (Method::POST, rotate.as_str()),
        ] {
            assert_eq!(client.send(method, path, None).await.status, StatusCode::FORBIDDEN, "{role} {path}");
        }
    }
}
