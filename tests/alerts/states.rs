use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{act, alerts, done, options, post, rules, wait};
use crate::support::{Db, Host, eventually, token};

fn paused() -> String {
    rules(
        "[[alerts.rules]]\nname = \"paused\"\nkind = \"provider-paused\"\nthreshold = \"1s\"\nseverity = \"critical\"\n",
    )
}

/// What became of an alert: states, and by whom.
async fn history(host: &Host, alert: &Value) -> Vec<(String, String)> {
    let shown = host.admin().get(&format!("/alerts/{}", alert["id"].as_str().unwrap())).await.body;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    shown["history"].as_array().unwrap().iter().map(|past| (text(&past["state"]), text(&past["by"]))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_fires_is_acknowledged_and_resolved_and_each_step_is_written_down() {
    let db = Db::new().await;
    let host = Host::start(&db, None, options(paused())).await;
    post(&host, "/providers/stripe/pause").await;
    let alert = wait(&host, "paused", "firing").await;
    let acknowledged = done(&host, &alert, "ack", None).await;
    assert_eq!((&acknowledged["state"], &acknowledged["changedBy"]), (&json!("acknowledged"), &json!("u1")));
    done(&host, &alert, "ack", None).await;
    // It lasts, and stays one alert.
    let looked = "SELECT count(*) FROM alerts WHERE last_at > changed_at AND state = 'acknowledged'";
    eventually("it is seen again", async || (db.count(looked).await == 1).then_some(())).await;
    assert_eq!(alerts(&host.admin(), "").await.len(), 1);
    post(&host, "/providers/stripe/resume").await;
    wait(&host, "paused", "resolved").await;
    let past = history(&host, &alert).await;
    let expected = [("firing", "usher"), ("acknowledged", "u1"), ("resolved", "usher")];
    assert_eq!(past, expected.map(|(state, by)| (state.to_owned(), by.to_owned())));
    let refused = act(&host.admin(), &alert, "ack", None).await;
    assert_eq!(
        (refused.status, &refused.body["type"]),
        (StatusCode::CONFLICT, &json!("urn:usher:problem:alert-resolved"))
    );

    // Resolved by hand while it lasts, it is no news until it is over once.
    post(&host, "/providers/stripe/pause").await;
    let second = wait(&host, "paused", "firing").await;
    assert_ne!(second["id"], alert["id"]);
    done(&host, &second, "resolve", None).await;
    let muted = "SELECT count(*) FROM alert_conditions WHERE muted";
    assert_eq!(db.count(muted).await, 1);
    post(&host, "/providers/push/pause").await;
    eventually("the other provider fires", async || {
        let open = alerts(&host.admin(), "state=open").await;
        open.iter().any(|alert| alert["subject"] == "paused/provider/push").then_some(())
    })
    .await;
    assert_eq!(alerts(&host.admin(), "state=open").await.len(), 1, "and not the first one");
    post(&host, "/providers/stripe/resume").await;
    eventually("it is over", async || (db.count(muted).await == 0).then_some(())).await;
    post(&host, "/providers/stripe/pause").await;
    eventually("it is news again", async || (alerts(&host.admin(), "state=firing").await.len() == 2).then_some(()))
        .await;

    let audit = host.admin().get("/audit").await.body;
    let actions: Vec<_> =
        audit["items"].as_array().unwrap().iter().map(|item| item["action"].as_str().unwrap()).collect();
    for action in ["alert.ack", "alert.resolve"] {
        assert_eq!(actions.iter().filter(|done| **done == action).count(), 1, "{action}: {actions:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_admins_change_alerts_and_lists_are_filtered_page_by_page() {
    let db = Db::new().await;
    let host = Host::start(&db, None, options(paused())).await;
    for provider in ["stripe", "push", "sms"] {
        post(&host, &format!("/providers/{provider}/pause")).await;
    }
    let admin = host.admin();
    eventually("all three fire", async || (alerts(&admin, "state=firing").await.len() == 3).then_some(())).await;
    let all = alerts(&admin, "").await;
    for role in ["user", "venue_admin"] {
        let caller = host.client().with_token(token(role, Some("t1")));
        for (verb, body) in [("ack", None), ("resolve", None), ("silence", Some(json!({"for": "1h"})))] {
            assert_eq!(act(&caller, &all[0], verb, body).await.status, StatusCode::FORBIDDEN, "{role} {verb}");
        }
        assert!(alerts(&caller, "").await.is_empty(), "they are the host's");
    }
    let nobody = host.client().with_token("nonsense".to_owned());
    assert_eq!(nobody.get("/alerts").await.status, StatusCode::UNAUTHORIZED);

    // Page by page, whatever changes meanwhile.
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    for page in 0..3 {
        let answer = admin.get(&format!("/alerts?limit=1{cursor}")).await.body;
        let alert = answer["items"][0].clone();
        done(&host, &alert, "ack", None).await;
        seen.push(alert["id"].clone());
        match answer["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => assert_eq!(page, 2, "{answer}"),
        }
    }
    assert_eq!(seen, all.iter().map(|alert| alert["id"].clone()).collect::<Vec<_>>());
    for (query, count) in [
        ("state=firing", 0),
        ("state=acknowledged", 3),
        ("state=open", 3),
        ("state=resolved", 0),
        ("severity=critical", 3),
        ("severity=warning", 0),
        ("rule=paused&kind=provider-paused", 3),
        ("rule=other", 0),
    ] {
        assert_eq!(alerts(&admin, query).await.len(), count, "{query}");
    }
    for query in [
        "state=over",
        "severity=bad",
        "limit=0",
        "limit=201",
        "limit=x",
        "cursor=x",
        "cursor=AAAA",
        "rule=%00",
        "what=1",
    ] {
        let answer = admin.get(&format!("/alerts?{query}")).await;
        assert_eq!(
            (answer.status, &answer.body["type"]),
            (StatusCode::BAD_REQUEST, &json!("urn:usher:problem:invalid-query")),
            "{query}"
        );
    }
    for body in
        [json!({}), json!({"for": "soon"}), json!({"for": "31days"}), json!({"for": 7}), json!({"for": "1h", "x": 1})]
    {
        let answer = act(&admin, &all[0], "silence", Some(body.clone())).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}: {}", answer.body);
    }
    // A tenant sees what is its own, and that an operator did something, but not which.
    let own = "INSERT INTO alerts (kind, subject, tenant, severity, message, detail) \
               VALUES ('k', 'of t1', 't1', 'warning', 'm', '{\"by\": \"u1\"}')";
    db.execute(own).await;
    let tenant = host.client();
    let alert = alerts(&tenant, "").await.remove(0);
    assert_eq!((&alert["changedBy"], &alert["detail"]["by"]), (&json!("usher"), &json!("operator")), "{alert}");
    done(&host, &alert, "ack", None).await;
    assert_eq!(alerts(&tenant, "").await[0]["changedBy"], "operator");
    let shown = tenant.get(&format!("/alerts/{}", alert["id"].as_str().unwrap())).await.body;
    let by: Vec<_> = shown["history"].as_array().unwrap().iter().map(|past| past["by"].clone()).collect();
    assert_eq!((by, &shown["changedBy"]), (vec![json!("usher"), json!("operator")], &json!("operator")), "{shown}");
    assert_eq!(history(&host, &alert).await[1].1, "u1");
    for path in ["/alerts/nonsense", "/alerts/00000000-0000-0000-0000-000000000000"] {
        assert_eq!(admin.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(
            admin.send(Method::POST, &format!("{path}/ack"), None).await.status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_is_kept_for_its_time_and_then_gone() {
    let db = Db::new().await;
    let insert = |subject: &str, state: &str, days: u32| {
        format!(
            "INSERT INTO alerts (kind, subject, severity, message, state, changed_at) \
             VALUES ('k', '{subject}', 'warning', 'm', '{state}', now() - interval '{days} days')"
        )
    };
    db.execute(&insert("long over", "resolved", 91)).await;
    db.execute(&insert("just over", "resolved", 89)).await;
    db.execute(&insert("lasts", "firing", 400)).await;
    db.execute("INSERT INTO lost_nodes (id, lost_at, host, version) VALUES (gen_random_uuid(), now() - interval '31 days', 'h', '1')").await;
    let host = Host::start(&db, None, options(rules(""))).await;
    eventually("the first round goes by", async || (db.count("SELECT count(*) FROM alerts").await == 2).then_some(()))
        .await;
    let left: Vec<_> = alerts(&host.admin(), "").await.into_iter().map(|alert| alert["subject"].clone()).collect();
    assert!(left.contains(&json!("just over")) && left.contains(&json!("lasts")), "{left:?}");
    assert_eq!(db.count("SELECT count(*) FROM lost_nodes").await, 0);
    assert_eq!(
        db.count("SELECT count(DISTINCT alert) FROM alert_transitions").await,
        2,
        "their history goes with them"
    );
}
