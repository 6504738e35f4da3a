//! The services that the tests play themselves, and what they promise.

use std::time::Duration;

use serde_json::json;

use crate::support::{Act, ActingService, Db, Host, HostOptions, Receiver, Say, Sink, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn the_minting_service_acts_once_under_a_key_and_the_other_every_time() {
    let service = ActingService::start().await;
    let http = client();
    let post = async |path: &str, key: &str, ticket: &str| {
        let body = json!({ "ticket": ticket }).to_string();
        let request = http.post(format!("{}{path}", service.base)).header("idempotency-key", key).body(body);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let first = post("/mint", "k1", "t1").await;
    assert_eq!(first.0, 200);
    assert_eq!(post("/mint", "k1", "t1").await, first, "the first answer again");
    assert_eq!(post("/mint", "k1", "t2").await.0, 422);
    post("/mint", "k2", "t1").await;
    post("/once", "k3", "t1").await;
    post("/once", "k3", "t1").await;
    let did = |path: &str, key: &str| Act { path: path.to_owned(), ticket: "t1".to_owned(), key: key.to_owned() };
    assert_eq!(service.acts(), [did("/mint", "k1"), did("/mint", "k2"), did("/once", "k3"), did("/once", "k3")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_says_what_it_was_told_and_then_yes() {
    let receiver = Receiver::start().await;
    let http = client();
    let post = async || http.post(receiver.url()).body("x").send().await.map(|answer| answer.status().as_u16()).ok();
    receiver.plan([Say::Cut, Say::Status(500), Say::Status(404)]);
    assert_eq!((post().await, post().await, receiver.planned()), (None, Some(500), 1));
    receiver.clear();
    assert_eq!((post().await, receiver.planned(), receiver.received().len()), (Some(200), 0, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mail_server_tells_which_mail_met_which_fault() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let options = HostOptions { plugins: vec!["guest-effects.wasm"], ..HostOptions::default() };
    let host = Host::start(&db, Some(&sink), options).await;
    sink.faults(&["451 4.3.0 later"]).await;
    let job = host.client().submit("guest-mail", json!({"do": "mail", "to": "a@example.com"})).await;
    host.client().wait(&job, "completed").await;
    let met = sink.met().await;
    assert_eq!((met.len(), &met[0]["fault"]), (1, &json!("451 4.3.0 later")));
    let mails = eventually("it came", async || Some(sink.mails().await).filter(|mails| mails.len() == 1)).await;
    assert_eq!(met[0]["id"], mails[0]["headers"]["Message-ID"], "refused first, and then the same one was taken");
}

fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap()
}
