//! A write whose answer is lost: what the operator said about the upstream decides.

use super::{ask, start};
use crate::support::{Db, Fault, FaultProxy, Receiver, Reply, Say};

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_answer_is_lost_parks_or_is_sent_again_as_the_operator_said() {
    for (more, sent) in
        [("", 1), ("on_doubt = \"park\"\n", 1), ("on_doubt = \"resend\"\n", 2), ("idempotent = true\n", 2)]
    {
        let (db, receiver) = (Db::new().await, Receiver::start().await);
        let proxy = FaultProxy::start(&format!("http://{}", receiver.place())).await;
        let host = start(&db, &proxy.base, more).await;
        let client = host.client();
        proxy.on("POST /x", 1, Fault::CutAfter);
        let id = client.submit("guest-mail", ask("post")).await;
        if sent == 1 {
            let job = client.wait(&id, "dead").await;
            assert_eq!(job["reason"], "unknown-outcome", "{more}: {job}");
            assert_eq!(db.text("SELECT state FROM effects").await.as_deref(), Some("doubt"), "{more}");
        } else {
            assert_eq!(client.wait(&id, "completed").await["result"]["status"], 200, "{more}");
        }
        let received = receiver.received();
        assert_eq!(received.len(), sent, "{more}");
        let keys: Vec<_> = received.iter().map(|request| &request.headers["idempotency-key"]).collect();
        assert!(keys.iter().all(|key| *key == keys[0]), "{more}: {keys:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_503_is_no_word_that_a_write_was_not_made() {
    let (db, receiver) = (Db::new().await, Receiver::start().await);
    let host = start(&db, &format!("http://{}", receiver.place()), "").await;
    let client = host.client();
    receiver.always(Say::Status(503));
    let id = client.submit("guest-mail", ask("post")).await;
    let job = client.wait(&id, "dead").await;
    assert_eq!(job["reason"], "unknown-outcome", "{job}");
    assert_eq!(receiver.received().len(), 1);
    // A read is simply made again.
    let id = client.submit("guest-mail", ask("get")).await;
    client.wait_error(&id, "effect-retry").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_repeat_hears_is_no_answer_for_the_try_before_it() {
    for status in [401, 404, 409] {
        let (db, receiver) = (Db::new().await, Receiver::start().await);
        let proxy = FaultProxy::start(&format!("http://{}", receiver.place())).await;
        let host = start(&db, &proxy.base, "idempotent = true\n").await;
        let client = host.client();
        // The first was taken and its reply lost; the second hears something about itself; the third has the answer.
        proxy.on("POST /x", 1, Fault::CutAfter);
        proxy.on("POST /x", 1, Fault::Answer(Reply::error(status, "in progress")));
        let id = client.submit("guest-mail", ask("post")).await;
        let job = client.wait(&id, "completed").await;
        assert_eq!((&job["result"]["status"], &job["attempt"]), (&200.into(), &3.into()), "{status}: {job}");
        assert_eq!(db.count("SELECT count(*) FROM alerts").await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_that_the_service_would_not_know_again_is_left_to_a_person() {
    let (db, receiver) = (Db::new().await, Receiver::start().await);
    let proxy = FaultProxy::start(&format!("http://{}", receiver.place())).await;
    let more = "idempotent = true\nremembers = \"1h\"\n";
    let mut host = start(&db, &proxy.base, more).await;
    proxy.on("POST /x", 1, Fault::HoldAfter);
    let id = host.client().submit("guest-mail", ask("post")).await;
    proxy.wait_held(1).await;
    // Nobody hears its answer, and nobody works for two hours.
    host.kill9();
    db.age("2 hours").await;
    let host = start(&db, &proxy.base, more).await;
    let job = host.client().wait(&id, "dead").await;
    assert_eq!(job["reason"], "unknown-outcome", "{job}");
    assert!(job["errors"].to_string().contains("would not be known again"), "{job}");
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_did_not_leave_is_no_doubt() {
    // The connection is refused: nothing was sent, so even a park would be wrong.
    let (db, receiver) = (Db::new().await, Receiver::start().await);
    let host = start(&db, "http://127.0.0.1:1", "breaker = { failures = 0 }\n").await;
    let client = host.client();
    let id = client.submit("guest-mail", ask("post")).await;
    client.wait_error(&id, "effect-snooze").await;
    assert_eq!(db.count("SELECT count(*) FROM effects WHERE state = 'doubt' OR doubted").await, 0);
    assert_eq!(receiver.received().len(), 0);
}
