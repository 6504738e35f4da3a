//! What an upstream may send back.

use serde_json::json;

use super::{ask, header, options, result, start};
use crate::support::{Db, Host, HostOptions, Receiver, Say};

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_end_and_bombs_are_cut_at_the_limit() {
    let (db, receiver) = (Db::new().await, Receiver::start().await);
    let host = start(&db, &format!("http://{}", receiver.place()), "max_response = 100000\n").await;
    assert_eq!(result(&host, ask("get")).await["status"], 200);
    let before = host.rss();
    for say in [Say::Endless, Say::Bomb] {
        receiver.plan([say.clone(), say.clone()]);
        let read = result(&host, ask("get")).await;
        assert_eq!((&read["error"], &read["code"]), (&json!("rejected"), &json!("response-too-large")), "{say:?}");
        // A write has happened, so it can't be refused any more.
        let written = result(&host, ask("post")).await;
        assert_eq!((&written["status"], &written["body"]), (&json!(200), &json!("")), "{say:?}: {written}");
        assert_eq!(header(&written, "usher-body-truncated"), Some("true"), "{say:?}");
    }
    let grown = host.rss().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes more");
    assert_eq!(receiver.received().len(), 5, "each was asked once");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_come_or_does_not_end_is_cut_by_the_time_out() {
    let (db, receiver) = (Db::new().await, Receiver::start().await);
    let more = "timeout = \"1s\"\nidempotent = true\n";
    let host = start(&db, &format!("http://{}", receiver.place()), more).await;
    let client = host.client();
    for (say, method, again) in [
        (Say::Nothing, "get", true),
        (Say::Drip, "get", true),
        (Say::Nothing, "post", true),
        (Say::Drip, "post", false),
    ] {
        let before = receiver.received().len();
        receiver.plan([say.clone()]);
        let id = client.submit("guest-mail", ask(method)).await;
        let job = client.wait(&id, "completed").await;
        assert_eq!(job["result"]["status"], 200, "{say:?} {method}: {job}");
        let came = &receiver.received()[before..];
        assert_eq!(came.len(), if again { 2 } else { 1 }, "{say:?} {method}");
        if again {
            assert_eq!(job["errors"][0]["kind"], "effect-retry", "{job}");
            let keys: Vec<_> = came.iter().map(|request| request.headers.get("idempotency-key")).collect();
            assert_eq!((keys[0] == keys[1], keys[0].is_some()), (true, method == "post"));
        } else {
            // Status and headers came: it happened.
            assert_eq!(header(&job["result"], "usher-body-truncated"), Some("true"), "{job}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_unpacked() {
    // "hello", by gzip.
    let packed =
        [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 7, 0, 0x86, 0xa6, 0x10, 0x36, 5, 0, 0, 0];
    let (db, receiver) = (Db::new().await, Receiver::start().await);
    let host = start(&db, &format!("http://{}", receiver.place()), "").await;
    receiver.plan([Say::Body("content-encoding: gzip\r\n".to_owned(), packed.to_vec())]);
    let got = result(&host, ask("get")).await;
    assert_eq!(header(&got, "content-encoding"), Some("gzip"), "{got}");
    assert_eq!(got["body"], String::from_utf8_lossy(&packed).into_owned());
    assert!(!receiver.received()[0].headers.contains_key("accept-encoding"), "nor asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_not_followed() {
    let (db, receiver, other) = (Db::new().await, Receiver::start().await, Receiver::start().await);
    let host = start(&db, &format!("http://{}", receiver.place()), "").await;
    for status in [301, 302, 303, 307, 308] {
        receiver.plan([Say::With(status, "location", other.url())]);
        let got = result(&host, ask("get")).await;
        assert_eq!((&got["status"], header(&got, "location")), (&json!(status), Some(other.url().as_str())), "{got}");
    }
    assert_eq!((receiver.received().len(), other.received().len()), (5, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_echoes_our_credential_does_not_show_it_to_the_guest() {
    const SECRET: &str = "canary-4717-of-the-upstream-and-long-enough";
    // base64 of "usher:" and the secret
    const PAIR: &str = "dXNoZXI6Y2FuYXJ5LTQ3MTctb2YtdGhlLXVwc3RyZWFtLWFuZC1sb25nLWVub3VnaA==";
    let secret = "{ env = \"CANARY_UPSTREAM\" }";
    for (more, sent, taken) in [
        (format!("bearer = {secret}\n"), "authorization", "authorization"),
        (format!("basic = {{ username = \"usher\", password = {secret} }}\n"), "authorization", "authorization"),
        (format!("headers = {{ X-Api-Key = {secret}, X-Service = \"tickets\" }}\n"), "x-api-key", "x-api-key"),
        (format!("signature = {{ key_id = \"k1\", key = {secret} }}\n"), "signature", "signature"),
    ] {
        let (db, receiver) = (Db::new().await, Receiver::start().await);
        let env = vec![("CANARY_UPSTREAM", SECRET.to_owned())];
        let base = format!("http://{}", receiver.place());
        let host = Host::start(&db, None, HostOptions { env, filter: "debug", ..options(&base, &more) }).await;
        receiver.always(Say::Echo);
        let mut what = ask("post");
        what["body"] = "{}".into();
        let got = result(&host, what).await;
        let credential = receiver.received()[0].headers[sent].clone();
        let said = got.to_string();
        assert_eq!(header(&got, &format!("x-echo-{taken}")), None, "{got}");
        assert_eq!(header(&got, "usher-redacted"), Some("true"), "{got}");
        assert!(got["body"].as_str().unwrap().contains("***"), "{got}");
        // What is no secret comes through.
        assert!(header(&got, "x-echo-idempotency-key").is_some(), "{got}");
        let journal = db.text("SELECT journal::text FROM jobs_archive").await.unwrap();
        for hidden in [credential.as_str(), SECRET, PAIR] {
            for (place, text) in [("the guest", &said), ("the journal", &journal), ("the log", &host.log())] {
                assert!(!text.contains(hidden), "{hidden} shows in {place}: {text}");
            }
        }
    }
}
