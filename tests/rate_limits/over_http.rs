//! What is set, shown and refused over HTTP.

use serde_json::{Value, json};

use super::{effects, hold, put, shown, take};
use crate::support::{Db, Host, HostOptions};

const LIMITED: &str = "[rate_limits]\n\"provider/stripe\" = { rate = \"100/s\", burst = 50 }\n\
                       \"tenant/*/provider/email\" = { rate = \"5/m\" }\n";

fn idle(config: &str) -> HostOptions {
    HostOptions { concurrency: 0, config: config.to_owned(), ..HostOptions::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_set_over_the_configuration_and_taken_away_again() {
    let db = Db::new().await;
    let host = Host::start(&db, None, idle(LIMITED)).await;
    let (admin, user) = (host.admin(), host.client());
    let list = user.get("/rate-limits").await.body;
    let stripe = json!({"bucket": "provider/stripe", "rate": "100/s", "burst": 50, "source": "config", "waiting": 0});
    assert_eq!(shown(&list, "provider/stripe"), &stripe);
    assert_eq!(shown(&list, "tenant/*/provider/email")["burst"], 1);

    let (status, body) = put(&admin, "provider/stripe", json!({"rate": "7/m", "burst": 3})).await;
    assert_eq!((status, body), (200, json!({"bucket": "provider/stripe", "rate": "7/m", "burst": 3, "source": "set"})));
    // Every host shows it, and one that starts later.
    let other = Host::start(&db, None, HostOptions { plugins: Vec::new(), ..idle(LIMITED) }).await;
    for client in [&user, &other.client()] {
        let limit = shown(&client.get("/rate-limits").await.body, "provider/stripe").clone();
        assert_eq!((&limit["rate"], &limit["source"]), (&json!("7/m"), &json!("set")));
        assert!(limit["changedAt"].is_string(), "{limit}");
    }
    assert_eq!(db.text("SELECT changed_by FROM rate_limits").await.as_deref(), Some("u1"));
    // Null: what the configuration says. Twice is once.
    for _ in 0..2 {
        let (status, body) = put(&admin, "provider/stripe", json!({"rate": null})).await;
        assert_eq!((status, &body["rate"], &body["source"]), (200, &json!("100/s"), &json!("config")));
    }
    let (_, body) = put(&admin, "destination/upstream/rig", json!({"rate": "1/s"})).await;
    assert_eq!(body["burst"], 1, "a second's worth");
    let (_, body) = put(&admin, "destination/upstream/rig", json!({"rate": null})).await;
    assert_eq!((&body["rate"], &body["source"]), (&Value::Null, &Value::Null));
    assert_eq!(db.count("SELECT count(*) FROM rate_limits").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_sees_its_own_limits_and_what_is_held_and_waited_for() {
    let db = Db::new().await;
    let host = Host::start(&db, None, idle("")).await;
    let admin = host.admin();
    for tenant in ["t1", "t2", "*"] {
        assert_eq!(put(&admin, &format!("tenant/{tenant}/provider/stripe"), json!({"rate": "9/h"})).await.0, 200);
    }
    // In the path of a request the sign of an encoded slash is encoded again.
    assert_eq!(put(&admin, "tenant/t%252F1/provider/stripe", json!({"rate": "9/h"})).await.0, 200);
    hold(&db, "provider/email", 100.0, None).await;
    take(&db.pool, &[("tenant/t1/provider/stripe", 0.01, 1, 0)], &effects(3), 0.0).await;
    let names = |list: &Value| -> Vec<String> {
        list["rateLimits"].as_array().unwrap().iter().map(|l| l["bucket"].as_str().unwrap().to_owned()).collect()
    };
    let list = host.client().get("/rate-limits").await.body;
    assert_eq!(names(&list), ["provider/email", "tenant/*/provider/stripe", "tenant/t1/provider/stripe"]);
    assert_eq!(shown(&list, "tenant/t1/provider/stripe")["waiting"], 2);
    let email = shown(&list, "provider/email");
    assert!(email["rate"].is_null() && email["heldUntil"].is_string(), "{list}");
    let list = admin.get("/rate-limits").await.body;
    assert_eq!(names(&list).len(), 5, "{list}");
    assert!(shown(&list, "tenant/t%2F1/provider/stripe")["rate"].is_string(), "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_limit_is_told_and_changes_nothing() {
    let db = Db::new().await;
    let host = Host::start(&db, None, idle("")).await;
    for (body, pointer) in [
        (json!({}), "/rate"),
        (json!({"burst": 5}), "/rate"),
        (json!({"rate": "fast"}), "/rate"),
        (json!({"rate": "0/s"}), "/rate"),
        (json!({"rate": "1.5/s"}), "/rate"),
        (json!({"rate": "1000001/s"}), "/rate"),
        (json!({"rate": "1/y"}), "/rate"),
        (json!({"rate": "-1/s"}), "/rate"),
        (json!({"rate": 100}), "/rate"),
        (json!({"rate": "1/s", "burst": 0}), "/burst"),
        (json!({"rate": "1/s", "burst": 1_000_001}), "/burst"),
        (json!({"rate": "1/s", "burst": 1.5}), "/burst"),
        (json!({"rate": "1/s", "burst": "5"}), "/burst"),
        (json!({"rate": null, "burst": 5}), "/burst"),
        (json!({"rate": "1/s", "brust": 5}), "/brust"),
    ] {
        let (status, answer) = put(&host.admin(), "provider/stripe", body.clone()).await;
        assert_eq!((status, &answer["errors"][0]["pointer"]), (422, &json!(pointer)), "{body}: {answer}");
    }
    for bucket in [
        "stripe",
        "provider/paypal",
        "provider/stripe/a/b",
        "tenant/t1",
        "tenant/a*/provider/stripe",
        "destination/upstream",
    ] {
        let (status, answer) = put(&host.admin(), bucket, json!({"rate": "1/s"})).await;
        assert_eq!((status, &answer["type"]), (404, &json!("urn:usher:problem:not-found")), "{bucket}");
    }
    assert_eq!(put(&host.client(), "provider/stripe", json!({"rate": "1/s"})).await.0, 403);
    assert_eq!(db.count("SELECT count(*) FROM rate_limits").await, 0);
}
