use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{analytics, bare, built, change, guest, is, offer, options, plugin, publish, published, release_of};
use crate::support::{Db, Host, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_component_is_published_and_serves_when_the_answer_is_there() {
    let db = Db::new().await;
    let host = bare(&db).await;
    let admin = host.admin();
    let answer = publish(&admin, built("analytics.wasm")).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    assert_eq!((&answer.body["name"], &answer.body["version"]), (&json!("analytics"), &json!("0.1.0")));
    assert!(answer.body["digest"].as_str().unwrap().starts_with("sha256:"));
    assert_eq!(answer.body["state"], "active");
    assert_eq!(answer.body["warnings"], json!([]), "no track has an end");
    assert_eq!(release_of(&host.client()).await, "v1");

    let again = publish(&admin, built("analytics.wasm")).await;
    assert_eq!(again.status, StatusCode::OK, "the same bytes again");
    assert_eq!(again.body["generation"], answer.body["generation"]);
    let next = published(&admin, built("analytics-v2.wasm")).await;
    assert!(next["generation"].as_i64() > answer.body["generation"].as_i64(), "{next}");
    assert_eq!(release_of(&host.client()).await, "v2");

    // Who did what and when, for all to see.
    let history = host.client().get("/plugins/analytics/releases").await.body;
    let items = history["items"].as_array().unwrap();
    let line = |n: usize| {
        let item = &items[n];
        (item["version"].clone(), item["state"].clone(), item["reason"].clone(), item["activatedBy"].clone())
    };
    assert_eq!(line(0), (json!("0.2.0"), json!("serving"), json!("publish"), json!("u1")), "{history}");
    assert_eq!(line(1), (json!("0.1.0"), json!("replaced"), json!("publish"), json!("u1")), "{history}");
    assert!(items.iter().all(|item| item["effectiveAt"].is_string() && item["digest"].is_string()));
    let audit = admin.get("/audit?target=plugin/analytics").await.body;
    let actions: Vec<_> = audit["items"].as_array().unwrap().iter().map(|entry| entry["action"].clone()).collect();
    assert_eq!(actions, ["plugin.publish", "plugin.publish"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_only_serves_when_somebody_says_so() {
    let db = Db::new().await;
    let host = Host::start(&db, None, options(vec!["analytics.wasm"])).await;
    let admin = host.admin();
    let stored = offer(&admin, "/plugins?activate=false", built("analytics-v2.wasm"), &[]).await;
    assert_eq!((stored.status, &stored.body["state"]), (StatusCode::CREATED, &json!("stored")), "{}", stored.body);
    assert_eq!(stored.body["generation"], Value::Null);
    assert_eq!(release_of(&host.client()).await, "v1");
    let done = change(&admin, "analytics", "activate", Some(json!({"version": "0.2.0"}))).await;
    assert_eq!((done.status, &done.body["state"]), (StatusCode::OK, &json!("active")), "{}", done.body);
    assert_eq!(release_of(&host.client()).await, "v2");
    let again = change(&admin, "analytics", "activate", Some(json!({"digest": done.body["digest"]}))).await;
    is(&again, StatusCode::CONFLICT, "already-active");
    for (body, status, slug) in [
        (json!({"version": "9.9.9"}), StatusCode::NOT_FOUND, "release-not-found"),
        (json!({"digest": format!("sha256:{}", "0".repeat(64))}), StatusCode::NOT_FOUND, "release-not-found"),
        (json!({}), StatusCode::UNPROCESSABLE_ENTITY, "invalid-request"),
        (json!({"digest": "x"}), StatusCode::UNPROCESSABLE_ENTITY, "invalid-request"),
    ] {
        is(&change(&admin, "analytics", "activate", Some(body)).await, status, slug);
    }
    is(
        &change(&admin, "nobody", "activate", Some(json!({"version": "1.0.0"}))).await,
        StatusCode::NOT_FOUND,
        "not-found",
    );
    is(&offer(&admin, "/plugins?activate=maybe", Vec::new(), &[]).await, StatusCode::BAD_REQUEST, "invalid-query");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_goes_to_the_release_that_served_before() {
    let db = Db::new().await;
    let host = Host::start(&db, None, options(vec!["analytics.wasm"])).await;
    let admin = host.admin();
    is(&change(&admin, "analytics", "rollback", None).await, StatusCode::CONFLICT, "nothing-before");
    published(&admin, built("analytics-v2.wasm")).await;
    published(&admin, analytics("0.3.0")).await;
    let back = change(&admin, "analytics", "rollback", None).await;
    assert_eq!((back.status, &back.body["version"]), (StatusCode::OK, &json!("0.2.0")), "{}", back.body);
    assert_eq!(release_of(&host.client()).await, "v2");
    let named = change(&admin, "analytics", "rollback", Some(json!({"version": "0.1.0"}))).await;
    assert_eq!((named.status, &named.body["version"]), (StatusCode::OK, &json!("0.1.0")), "{}", named.body);
    assert_eq!(release_of(&host.client()).await, "v1");
    let history = admin.get("/plugins/analytics/releases").await.body;
    let reasons: Vec<_> = history["items"].as_array().unwrap().iter().map(|item| item["reason"].clone()).collect();
    assert_eq!(reasons, ["rollback", "rollback", "publish", "publish", "publish"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_is_asked_for_twice_never_leads_back_to_what_the_first_one_left() {
    let db = Db::new().await;
    let host = Host::start(&db, None, options(vec!["analytics.wasm"])).await;
    let admin = host.admin();
    published(&admin, built("analytics-v2.wasm")).await;
    published(&admin, analytics("0.3.0")).await;
    for version in ["0.2.0", "0.1.0"] {
        let back = change(&admin, "analytics", "rollback", None).await;
        assert_eq!((back.status, &back.body["version"]), (StatusCode::OK, &json!(version)), "{}", back.body);
    }
    is(&change(&admin, "analytics", "rollback", None).await, StatusCode::CONFLICT, "nothing-before");
    assert_eq!(release_of(&host.client()).await, "v1");
    // What is shipped afterwards is gone back from to what served then.
    published(&admin, analytics("0.4.0")).await;
    let back = change(&admin, "analytics", "rollback", None).await;
    assert_eq!((back.status, &back.body["version"]), (StatusCode::OK, &json!("0.1.0")), "{}", back.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_publishers_at_once_leave_one_version_with_one_content() {
    let db = Db::new().await;
    let (one, two) = (bare(&db).await, bare(&db).await);
    published(&one.admin(), built("analytics.wasm")).await;
    // The same version, other bytes, on two hosts at once.
    let (a, b) =
        (analytics("0.5.0"), super::version("analytics-v2.wasm", "../plugins/analytics/plugin.v2.toml", "0.5.0"));
    let (first, second) = (one.admin(), two.admin());
    let (first, second) = tokio::join!(publish(&first, a), publish(&second, b));
    let mut codes = [first.status, second.status];
    codes.sort_unstable();
    assert_eq!(codes, [StatusCode::CREATED, StatusCode::CONFLICT], "{} {}", first.body, second.body);
    let refused = if first.status == StatusCode::CONFLICT { &first } else { &second };
    is(refused, StatusCode::CONFLICT, "version-taken");
    // Two versions: both are taken, and the one with the higher generation serves.
    let (first, second) = (one.admin(), two.admin());
    let (first, second) = tokio::join!(published(&first, analytics("0.6.0")), published(&second, analytics("0.7.0")));
    let newest = if first["generation"].as_i64() > second["generation"].as_i64() { first } else { second };
    eventually("the newest serves", async || {
        let plugin = plugin(&two.client(), "analytics").await;
        (plugin["version"] == newest["version"] && plugin["next"].is_null()).then_some(())
    })
    .await;
    // The same bytes on two hosts at once: one stores, one finds them.
    let bytes = guest("0.9.0");
    let (first, second) = (one.admin(), two.admin());
    let (first, second) = tokio::join!(publish(&first, bytes.clone()), publish(&second, bytes));
    let mut codes = [first.status, second.status];
    codes.sort_unstable();
    assert_eq!(codes, [StatusCode::OK, StatusCode::CREATED], "{} {}", first.body, second.body);
}
