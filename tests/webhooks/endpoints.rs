//! Made, changed, shown and taken away by their tenant.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{act, body, change, deliveries, endpoint, header, manager, options, published, start, verify};
use crate::support::{Db, Host, HostOptions, Receiver, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn after_a_rotation_both_secrets_sign_for_a_while() {
    let (db, receiver) = (Db::new().await, Receiver::start().await);
    let host = start(&db, &[&receiver]).await;
    let (id, old) = endpoint(&host, &receiver, &[]).await;
    let rotated = act(&host, &id, "rotate", None).await;
    assert_eq!(rotated.status, StatusCode::OK, "{}", rotated.body);
    let new = rotated.body["secret"].as_str().unwrap().to_owned();
    assert_ne!(old, new);
    let ping = act(&host, &id, "ping", None).await;
    assert_eq!(ping.status, StatusCode::ACCEPTED, "{}", ping.body);
    let received = receiver.wait(1).await;
    let told = body(&received[0]);
    assert_eq!((&told["type"], &told["data"]["endpoint"]), (&json!("webhook.ping"), &json!(id)));
    assert_eq!(ping.body["delivery"], header(&received[0], "webhook-id"));
    assert_eq!(header(&received[0], "webhook-signature").split(' ').count(), 2);
    for secret in [&old, &new] {
        assert_eq!(verify(&received[0], secret), [true, true]);
    }
    db.execute("UPDATE webhook_endpoints SET previous_until = now()").await;
    act(&host, &id, "ping", None).await;
    let received = receiver.wait(2).await;
    assert_eq!(header(&received[1], "webhook-signature").split(' ').count(), 1);
    assert_eq!((verify(&received[1], &old), verify(&received[1], &new)), ([false; 2], [true; 2]));
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_endpoints_are_refused_with_their_place_and_nothing_is_written() {
    let (db, receiver) = (Db::new().await, Receiver::start().await);
    let host = start(&db, &[&receiver]).await;
    let good = receiver.url();
    let (id, _) = endpoint(&host, &receiver, &[]).await;
    let cases = [
        (json!({}), "/url"),
        (json!({"url": 7}), "/url"),
        (json!({"url": "nonsense"}), "/url"),
        (json!({"url": "http://example.com/"}), "/url"),
        (json!({"url": "https://127.0.0.1/"}), "/url"),
        (json!({"url": "https://0x7f.1:8443/"}), "/url"),
        (json!({"url": "https://[::ffff:10.0.0.1]/"}), "/url"),
        (json!({"url": "https://localhost/"}), "/url"),
        (json!({"url": "https://no-such-name.invalid/"}), "/url"),
        (json!({"url": "https://u:p@example.com/"}), "/url"),
        (json!({"url": good, "events": "all"}), "/events"),
        (json!({"url": good, "events": ["a b"]}), "/events"),
        (json!({"url": good, "events": vec!["a.b"; 101]}), "/events"),
        (json!({"url": good, "description": "x".repeat(257)}), "/description"),
        (json!({"url": good, "description": "a\u{0}b"}), "/description"),
        (json!({"url": good, "secret": "whsec_mine"}), "/secret"),
    ];
    for (wanted, pointer) in cases {
        let answer = manager(&host, "t1").send(Method::POST, "/webhook-endpoints", Some(wanted.clone())).await;
        let seen = (answer.status, answer.body["errors"][0]["pointer"].clone());
        assert_eq!(seen, (StatusCode::UNPROCESSABLE_ENTITY, json!(pointer)), "{wanted}: {}", answer.body);
        if wanted.get("url").is_some() {
            let answer = change(&host, &id, wanted.clone()).await;
            assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{wanted}: {}", answer.body);
        }
    }
    assert_eq!(change(&host, &id, json!({"state": "asleep"})).await.body["errors"][0]["pointer"], "/state");
    for (wanted, pointer) in [
        (json!({}), "/delivery"),
        (json!({"delivery": "x"}), "/delivery"),
        (json!({"since": "yesterday"}), "/since"),
        (json!({"since": "2999-01-01T00:00:00Z"}), "/since"),
        (json!({"since": "2020-01-01T00:00:00Z", "delivery": id}), "/since"),
    ] {
        let answer = act(&host, &id, "replay", Some(wanted.clone())).await;
        assert_eq!(answer.body["errors"][0]["pointer"], pointer, "{wanted}: {}", answer.body);
    }
    for query in ["limit=0", "limit=x", "state=ghost", "cursor=x", "cursor=gAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "a=b"] {
        let answer = manager(&host, "t1").get(&format!("/webhook-endpoints/{id}/deliveries?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}: {}", answer.body);
    }
    assert_eq!(db.count("SELECT count(*) FROM webhook_endpoints").await, 1);
    // An admin names the tenant; nobody has more than fifty.
    let answer = host.admin().send(Method::POST, "/webhook-endpoints", Some(json!({"url": good}))).await;
    assert_eq!(answer.body["errors"][0]["pointer"], "/tenant");
    for n in 0..50 {
        let wanted = json!({"url": good, "tenant": "t9"});
        let answer = host.admin().send(Method::POST, "/webhook-endpoints", Some(wanted)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{n}: {}", answer.body);
    }
    let one_more =
        host.admin().send(Method::POST, "/webhook-endpoints", Some(json!({"url": good, "tenant": "t9"}))).await;
    assert_eq!(one_more.status, StatusCode::CONFLICT, "{}", one_more.body);
    let (mut seen, mut cursor) = (0, String::new());
    loop {
        let page = host.admin().get(&format!("/webhook-endpoints?tenant=t9&limit=20{cursor}")).await.body;
        seen += page["items"].as_array().unwrap().len();
        let Some(next) = page["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_manages_its_own_endpoints_and_hears_its_own_events() {
    let (db, mine, theirs) = (Db::new().await, Receiver::start().await, Receiver::start().await);
    let host = start(&db, &[&mine, &theirs]).await;
    let (id, _) = endpoint(&host, &mine, &[]).await;
    let stranger = manager(&host, "t2");
    let made = stranger.send(Method::POST, "/webhook-endpoints", Some(json!({"url": theirs.url()}))).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    published(&host, "guest.happened", json!(1)).await;
    mine.wait(1).await;
    let path = format!("/webhook-endpoints/{id}");
    let delivery = deliveries(&host, &id).await[0]["id"].clone();
    for (method, path, body) in [
        (Method::GET, path.clone(), None),
        (Method::PATCH, path.clone(), Some(json!({"url": theirs.url()}))),
        (Method::PATCH, path.clone(), Some(json!({"state": "disabled"}))),
        (Method::DELETE, path.clone(), None),
        (Method::GET, format!("{path}/deliveries"), None),
        (Method::POST, format!("{path}/ping"), None),
        (Method::POST, format!("{path}/rotate"), None),
        (Method::POST, format!("{path}/replay"), Some(json!({"delivery": delivery}))),
        (Method::GET, "/webhook-endpoints/nonsense".to_owned(), None),
    ] {
        let answer = stranger.send(method.clone(), &path, body.clone()).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {path}: {}", answer.body);
        assert_eq!(answer.body["type"], "urn:usher:problem:not-found");
        let user = host.client().send(method.clone(), &path, body).await;
        assert_eq!(user.status, StatusCode::FORBIDDEN, "{method} {path}");
    }
    assert_eq!(stranger.get("/webhook-endpoints").await.body["items"].as_array().unwrap().len(), 1);
    assert_eq!(stranger.get("/webhook-endpoints?tenant=t1").await.status, StatusCode::FORBIDDEN);
    let named = json!({"url": theirs.url(), "tenant": "t1"});
    assert_eq!(stranger.send(Method::POST, "/webhook-endpoints", Some(named)).await.status, StatusCode::FORBIDDEN);
    assert_eq!(host.admin().get("/webhook-endpoints").await.body["items"].as_array().unwrap().len(), 2);
    assert_eq!(theirs.received().len(), 0, "another tenant's event");

    // Disabled it waits, deleted it is gone with what waits for it.
    assert_eq!(change(&host, &id, json!({"state": "disabled"})).await.body["disabledReason"], "asked");
    published(&host, "guest.happened", json!(2)).await;
    assert_eq!(deliveries(&host, &id).await.len(), 1);
    let answer = manager(&host, "t1").send(Method::DELETE, &path, None).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(manager(&host, "t1").get(&path).await.status, StatusCode::NOT_FOUND);
    published(&host, "guest.happened", json!(3)).await;
    assert_eq!(db.count("SELECT count(*) FROM webhook_deliveries").await, 0);
    assert_eq!(mine.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn history_goes_by_the_day_after_thirty() {
    let (db, receiver) = (Db::new().await, Receiver::start().await);
    let host = start(&db, &[&receiver]).await;
    let (id, _) = endpoint(&host, &receiver, &[]).await;
    for n in 0..2 {
        published(&host, "guest.happened", json!(n)).await;
    }
    eventually("both are kept", async || (db.count("SELECT count(*) FROM webhook_archive").await == 2).then_some(()))
        .await;
    assert_eq!(host.terminate().await, Some(0));
    // One of them, as if it had ended then.
    let data = "body LIKE '%\"data\":0}'";
    db.execute("SELECT usher_make_webhook_days((now() - interval '32 days')::date, 1)").await;
    db.execute(&format!("UPDATE webhook_archive SET finished_at = finished_at - interval '32 days' WHERE {data}"))
        .await;
    let host = Host::start(&db, None, HostOptions { plugins: Vec::new(), ..options(&[&receiver]) }).await;
    assert_eq!(db.count("SELECT count(*) FROM webhook_archive").await, 1);
    assert_eq!(deliveries(&host, &id).await.len(), 1);
}
