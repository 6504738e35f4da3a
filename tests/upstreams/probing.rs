//! How the journal finds its rows.

use super::{ask, json, start};
use crate::support::{Db, Receiver, eventually};

/// The planner believes that a table is as empty as it was when its statistics were made, or the statement planned.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_found_by_its_key_and_not_by_reading_the_journal() {
    let (db, receiver) = (Db::new().await, Receiver::start().await);
    let host = start(&db, &format!("http://{}", receiver.place()), "").await;
    let client = host.client();
    // One call after the other: each has its start and its end.
    let steps: Vec<_> = (0..15).map(|_| ask("post")).collect();
    for _ in 0..6 {
        let id = client.submit("guest-mail", json!({"do": "steps", "steps": steps})).await;
        client.wait(&id, "completed").await;
    }
    assert_eq!(receiver.received().len(), 90);
    let scans = async |kind| {
        db.count(&format!("SELECT coalesce(sum({kind}), 0)::bigint FROM pg_stat_user_tables WHERE relname = 'effects'"))
            .await
    };
    // A backend tells its figures when it has nothing to do.
    eventually("the ends were looked up", async || (scans("idx_scan").await >= 90).then_some(())).await;
    let whole = scans("seq_scan").await;
    assert!(whole < 60, "the whole journal was read {whole} times for 90 calls");
}
