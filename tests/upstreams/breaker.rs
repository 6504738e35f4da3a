//! A service that fails again and again is left alone for a while.

use super::{ask, start};
use crate::support::{Db, Receiver, Say, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn after_failures_in_a_row_nobody_asks_and_nothing_is_begun() {
    let (db, receiver) = (Db::new().await, Receiver::start().await);
    let more = "breaker = { failures = 3, open_for = \"1h\" }\n";
    let host = start(&db, &format!("http://{}", receiver.place()), more).await;
    let client = host.client();
    receiver.always(Say::Status(500));
    let first = client.submit("guest-mail", ask("get")).await;
    client.wait_error(&first, "effect-snooze").await;
    assert_eq!(receiver.received().len(), 3);
    let second = client.submit("guest-mail", ask("post")).await;
    let error = client.wait_error(&second, "effect-snooze").await;
    assert!(error["message"].as_str().unwrap().contains("left alone"), "{error}");
    assert_eq!(receiver.received().len(), 3, "nobody asks");
    // Three attempts were burnt by answers, none by the breaker.
    let attempts = format!("SELECT attempt::bigint FROM jobs WHERE id = '{first}'");
    assert_eq!(db.count(&attempts).await, 3);
    assert_eq!(db.count(&format!("SELECT attempt::bigint FROM jobs WHERE id = '{second}'")).await, 0);
    assert_eq!(db.text("SELECT string_agg(state, ' ') FROM effects").await.as_deref(), Some("deferred"));
    assert_eq!(db.count("SELECT count(*) FROM alerts").await, 0);
    assert_eq!(host.log().matches("the circuit breaker has opened").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_is_back_is_found_and_all_goes_on() {
    let (db, receiver) = (Db::new().await, Receiver::start().await);
    let more = "idempotent = true\nbreaker = { failures = 2, open_for = \"300ms\" }\n";
    let host = start(&db, &format!("http://{}", receiver.place()), more).await;
    let client = host.client();
    receiver.always(Say::Status(503));
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(client.submit("guest-mail", ask("post")).await);
    }
    eventually("it opens", async || host.log().contains("the circuit breaker has opened").then_some(())).await;
    receiver.always(Say::Status(200));
    for id in ids {
        client.wait(&id, "completed").await;
    }
    assert!(host.log().contains("the circuit breaker has closed"), "{}", host.log());
}
