//! A write whose answer is lost: what the operator said about the upstream decides.

use super::{ask, start};
use crate::support::{Db, Fault, FaultProxy, Receiver};

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
