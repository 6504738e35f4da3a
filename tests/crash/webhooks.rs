//! Webhooks: one id for an event, however often it is sent, and it arrives in the end.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::{
    support::{
        Db, Host, HostOptions, Receiver, Say,
        cells::{self, Harm},
        eventually,
    },
    webhooks::{deliveries, endpoint, header, ids, options, publish, start, wait_delivery},
};

/// Where in the life of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    /// Published by the guest, and the job is not settled.
    BeforeSettle,
    /// Settled, and nobody has taken it up.
    BeforeClaim,
    /// The receiver has it, and does not answer.
    WhileSending,
    /// The receiver has acknowledged it, and that is not written down.
    BeforeEnd,
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_keeps_its_id_and_arrives_wherever_the_host_dies_or_freezes() {
    let mut all = Vec::new();
    for point in [Point::BeforeSettle, Point::BeforeClaim, Point::WhileSending, Point::BeforeEnd] {
        all.extend(Harm::ALL.map(|harm| (point, harm)));
    }
    cells::all("webhooks", all, async |(point, harm)| {
        let (db, receiver) = (Db::new().await, Receiver::start().await);
        let mut first = start(&db, &[&receiver]).await;
        let (id, _) = endpoint(&first, &receiver, &[]).await;

        // Up to the point.
        let client = first.client();
        let event = publish("guest.happened", json!(1));
        let held = match point {
            Point::BeforeSettle => {
                let slow = json!({"do": "steps", "steps": [event, {"do": "spin", "ms": 1000}]});
                let job = client.submit("guest-webhook-large", slow).await;
                client.wait(&job, "running").await;
                let session = cells::lock(&db, &format!("SELECT FROM jobs WHERE id = '{job}' FOR KEY SHARE")).await;
                cells::waits(&db).await;
                Some(session)
            }
            Point::BeforeClaim => {
                db.execute("UPDATE webhook_endpoints SET quiet_until = now() + interval '1 hour'").await;
                let job = client.submit("guest-webhook", event).await;
                client.wait(&job, "completed").await;
                None
            }
            Point::WhileSending => {
                receiver.plan([Say::Nothing]);
                client.submit("guest-webhook", event).await;
                receiver.wait(1).await;
                None
            }
            Point::BeforeEnd => {
                let session = cells::lock(&db, "LOCK TABLE webhook_archive IN EXCLUSIVE MODE").await;
                client.submit("guest-webhook", event).await;
                receiver.wait(1).await;
                cells::waits(&db).await;
                Some(session)
            }
        };
        let before = db.count("SELECT count(*) FROM webhook_deliveries").await;
        assert_eq!(before, i64::from(point != Point::BeforeSettle), "an event exists with its job's success");

        // The harm, and another host, for which the first one's time is over.
        match harm {
            Harm::Kill => first.kill9(),
            Harm::Freeze => first.signal("STOP"),
        }
        let again = HostOptions { data_dir: Some(first.data_dir.clone()), ..options(&[&receiver]) };
        let second = Host::start(&db, None, again).await;
        db.execute("UPDATE webhook_endpoints SET quiet_until = NULL").await;
        db.execute("UPDATE webhook_deliveries SET next_at = now() WHERE lease IS NOT NULL").await;
        let sent_again = matches!(point, Point::WhileSending | Point::BeforeEnd);
        if sent_again {
            receiver.wait(2).await;
        }
        if let Some(session) = held {
            session.rollback().await.unwrap();
        }
        if harm == Harm::Freeze {
            // A settlement that was under way holds its job until the host wakes; all else is over without it.
            let (began, over) = (Instant::now(), Duration::from_secs(4));
            let delivered = "SELECT count(*) FROM webhook_archive WHERE state = 'delivered'";
            while began.elapsed() < over && db.count(delivered).await == 0 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            first.signal("CONT");
        }
        let delivery = wait_delivery(&second, &id, "delivered").await;
        let tries = if sent_again { 2 } else { 1 };
        if delivery["tries"] != tries {
            return Err(format!("{tries} tries were to be: {delivery}"));
        }

        // One event more, by whoever is left: nothing else comes along with it.
        let by = if harm == Harm::Freeze { &first } else { &second };
        by.client().submit("guest-webhook", publish("guest.happened", json!(2))).await;
        eventually("the next event has arrived", async || {
            let all = deliveries(&second, &id).await;
            (all.len() == 2 && all.iter().all(|delivery| delivery["state"] == "delivered")).then_some(())
        })
        .await;
        let received = receiver.received();
        let of_it = received.iter().filter(|r| header(r, "webhook-id") == delivery["id"]).count();
        if ids(&received).len() != 2 || of_it != tries || received.len() != tries + 1 {
            return Err(format!("{of_it} under its id, {} in all, of {:?}", received.len(), ids(&received)));
        }
        Ok(())
    })
    .await;
}
