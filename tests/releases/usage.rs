use reqwest::StatusCode;
use serde_json::json;

use super::{is, options};
use crate::support::{Db, Host, Sink, eventually, token};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plugin_used_is_told_by_day_to_those_it_concerns() {
    let db = Db::new().await;
    let sink = Sink::start().await;
    let host = Host::start(&db, Some(&sink), options(vec!["guest.wasm", "guest-effects.wasm"])).await;
    let first = host.client();
    let second = first.with_token(token("user", Some("t2")));
    let mine =
        [json!({"do": "spin", "ms": 20}), json!({"do": "log", "message": "0123456789"}), json!({"do": "permanent"})];
    for step in mine {
        let id = first.submit("guest", step.clone()).await;
        let state = if step["do"] == "permanent" { "dead" } else { "completed" };
        first.wait(&id, state).await;
    }
    let id = second.submit("guest", json!({"do": "ok"})).await;
    second.wait(&id, "completed").await;
    let id = second.submit("guest-mail", json!({"do": "mail", "to": "a@example.com"})).await;
    second.wait(&id, "completed").await;
    assert_eq!(db.count("SELECT count(*) FROM plugin_usage").await, 0, "no statement a job");
    // What a minute would do.
    host.terminate().await;
    let host = Host::start(&db, Some(&sink), options(Vec::new())).await;
    let (first, admin) = (host.client(), host.admin());
    let second = first.with_token(token("user", Some("t2")));

    let used = first.get("/plugins/guest/usage?days=1").await;
    assert_eq!(used.status, StatusCode::OK, "{}", used.body);
    let day = &used.body["days"][0];
    assert_eq!((&day["attempts"], &day["failed"], &day["effects"]), (&json!(3), &json!(1), &json!(0)), "{day}");
    assert!(day["cpuMs"].as_f64().unwrap() > 1.0 && day["memoryPeak"].as_i64().unwrap() >= 1 << 16, "{day}");
    assert!(day["logBytes"].as_i64().unwrap() >= 10, "{day}");
    let day = &second.get("/plugins/guest-effects/usage").await.body["days"][0];
    assert_eq!((&day["attempts"], &day["effects"]), (&json!(1), &json!(1)), "{day}");
    assert_eq!(first.get("/plugins/guest-effects/usage").await.body["days"], json!([]), "another tenant's");
    assert_eq!(admin.get("/plugins/guest/usage").await.body["days"][0]["attempts"], 4, "all of them");
    assert_eq!(admin.get("/plugins/guest/usage?tenant=t2").await.body["days"][0]["attempts"], 1);
    is(&first.get("/plugins/guest/usage?tenant=t2").await, StatusCode::FORBIDDEN, "forbidden");
    for bad in ["days=0", "days=93", "days=x", "hours=1"] {
        is(&first.get(&format!("/plugins/guest/usage?{bad}")).await, StatusCode::BAD_REQUEST, "invalid-query");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn days_are_told_apart_and_kept_as_long_as_they_can_be_asked_for() {
    let db = Db::new().await;
    let host = Host::start(&db, None, options(Vec::new())).await;
    assert_eq!(host.terminate().await, Some(0));
    // So many attempts of `guest`, so many days ago.
    for (ago, tenant, attempts) in
        [(0, "t1", 1), (1, "t1", 10), (1, "t2", 20), (2, "t1", 40), (91, "t1", 80), (93, "t1", 160), (400, "t2", 320)]
    {
        db.execute(&format!(
            "INSERT INTO plugin_usage (day, plugin, tenant, attempts, failed, cpu_us, memory_peak, effects, log_bytes) \
             VALUES ((now() AT TIME ZONE 'UTC')::date - {ago}, 'guest', '{tenant}', {attempts}, 1, 1000, {attempts}, 2, 3)"
        ))
        .await;
    }
    let host = Host::start(&db, None, options(Vec::new())).await;
    let (client, admin) = (host.client(), host.admin());
    for (query, by_admin, by_tenant) in [
        ("?days=1", vec![1], vec![1]),
        ("?days=2", vec![1, 30], vec![1, 10]),
        ("", vec![1, 30, 40], vec![1, 10, 40]),
        ("?days=92", vec![1, 30, 40, 80], vec![1, 10, 40, 80]),
    ] {
        for (caller, attempts) in [(&admin, by_admin), (&client, by_tenant)] {
            let used = caller.get(&format!("/plugins/guest/usage{query}")).await;
            let days = used.body["days"].as_array().unwrap();
            let told: Vec<_> = days.iter().filter_map(|day| day["attempts"].as_i64()).collect();
            assert_eq!(told, attempts, "{query}: {}", used.body);
        }
    }
    let yesterday = &admin.get("/plugins/guest/usage?days=2").await.body["days"][1];
    let day = db.text("SELECT ((now() AT TIME ZONE 'UTC')::date - 1)::text").await.unwrap();
    assert_eq!(yesterday["day"], day.as_str(), "{yesterday}");
    assert_eq!(
        (&yesterday["failed"], &yesterday["effects"], &yesterday["logBytes"]),
        (&json!(2), &json!(4), &json!(6))
    );
    assert_eq!((&yesterday["cpuMs"], &yesterday["memoryPeak"]), (&json!(2.0), &json!(20)), "the most of one attempt");
    eventually("what nobody can ask for is gone", async || {
        (db.count("SELECT count(*) FROM plugin_usage").await == 5).then_some(())
    })
    .await;
}
