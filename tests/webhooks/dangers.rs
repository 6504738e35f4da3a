//! What guests and receivers may try.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{act, config, deliveries, endpoint, ids, manager, options, published, start, wait_delivery};
use crate::support::{Db, Host, HostOptions, Receiver, Say, Sink, TlsReceiver, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_guest_may_not_publish_is_refused_at_the_call() {
    let (db, receiver) = (Db::new().await, Receiver::start().await);
    let host = start(&db, &[&receiver]).await;
    endpoint(&host, &receiver, &[]).await;
    let client = host.client();
    let result = async |job_type: &str, what: Value| {
        let mut what = what;
        what["do"] = "publish".into();
        what["catch"] = true.into();
        let id = client.submit(job_type, what).await;
        client.wait(&id, "completed").await["result"].clone()
    };
    for event in ["guest.other", "operation.failed", "webhook.ping", "", "payment.completed "] {
        assert_eq!(result("guest-webhook", json!({"event": event})).await["error"], "denied", "{event}");
    }
    for raw in ["", "{", "nonsense", "{\"a\":1,\"a\":2}", "\"\\u0000\"", "1 2"] {
        assert_eq!(
            result("guest-webhook", json!({"event": "guest.happened", "raw": raw})).await["error"],
            "invalid",
            "{raw}"
        );
    }
    let long = result("guest-webhook-large", json!({"event": "guest.happened", "bytes": 65_536})).await;
    assert_eq!(long["error"], "invalid", "{long}");
    let many = result("guest-webhook", json!({"event": "guest.happened", "count": 21})).await;
    assert_eq!(many["error"], "denied", "{many}");
    // Those before the one too many are published.
    assert_eq!(ids(&receiver.wait(20).await).len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_has_become_private_is_not_called() {
    let (db, receiver, private) = (Db::new().await, Receiver::start().await, Receiver::start().await);
    let host = start(&db, &[&receiver]).await;
    let (id, _) = endpoint(&host, &receiver, &[]).await;
    // As if the name led elsewhere now: what was looked at when it was made says nothing about today.
    for url in [format!("https://127.0.0.1:{}/", private.port), format!("https://localhost:{}/", private.port)] {
        db.execute(&format!("UPDATE webhook_endpoints SET url = '{url}'")).await;
        act(&host, &id, "ping", None).await;
        let failed = wait_delivery(&host, &id, "failed").await;
        assert!(failed["lastError"].as_str().unwrap().contains("open internet"), "{failed}");
    }
    assert_eq!(private.received().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_end_and_bombs_do_no_harm() {
    let (db, receiver) = (Db::new().await, Receiver::start().await);
    let host = start(&db, &[&receiver]).await;
    let (id, _) = endpoint(&host, &receiver, &[]).await;
    published(&host, "guest.happened", json!(0)).await;
    receiver.wait(1).await;
    let before = host.rss();
    receiver.plan([Say::Endless, Say::Bomb, Say::Endless, Say::Bomb]);
    for n in 1..=4 {
        published(&host, "guest.happened", json!(n)).await;
    }
    receiver.wait(5).await;
    eventually("all are written down as arrived", async || {
        let all = deliveries(&host, &id).await;
        (all.len() == 5 && all.iter().all(|delivery| delivery["state"] == "delivered")).then_some(())
    })
    .await;
    let grown = host.rss().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_of_the_environment_is_not_asked() {
    let (db, receiver, proxy) = (Db::new().await, Receiver::start().await, Receiver::start().await);
    let url = format!("http://{}", proxy.place());
    let names = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];
    let env = names.into_iter().map(|name| (name, url.clone())).collect();
    let host = Host::start(&db, None, HostOptions { env, ..options(&[&receiver]) }).await;
    endpoint(&host, &receiver, &[]).await;
    published(&host, "guest.happened", json!(1)).await;
    receiver.wait(1).await;
    assert_eq!(proxy.received().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_counts_only_if_somebody_known_vouches_for_it() {
    // Of an authority of its own; one host is told to trust it.
    let sink = Sink::start().await;
    let folder = sink.ca.parent().unwrap();
    for (env, state) in [(vec![], "failed"), (vec![("SSL_CERT_FILE", sink.ca.display().to_string())], "delivered")] {
        let (db, receiver) = (Db::new().await, TlsReceiver::start(folder));
        let place = format!("localhost:{}", receiver.port);
        let options = HostOptions {
            plugins: vec!["guest-webhook.wasm"],
            config: config(std::slice::from_ref(&place)),
            env,
            ..HostOptions::default()
        };
        let host = Host::start(&db, None, options).await;
        let wanted = json!({"url": format!("https://{place}/")});
        let made = manager(&host, "t1").send(Method::POST, "/webhook-endpoints", Some(wanted)).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
        let id = made.body["id"].as_str().unwrap().to_owned();
        act(&host, &id, "ping", None).await;
        let ended = wait_delivery(&host, &id, state).await;
        let refused = ended["lastError"].as_str().unwrap_or_default().contains("certificate");
        assert_eq!((refused, receiver.requests()), if state == "failed" { (true, 0) } else { (false, 1) }, "{ended}");
    }
}
