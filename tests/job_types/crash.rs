//! kill -9 of the host at every point of a job's effects: one charge, one event, one mail; every row deleted once, and no page left.

use std::time::Duration;

use serde_json::json;

use crate::{
    stripe,
    support::{
        Db, Fault, FaultProxy, Host, HostOptions, Receiver, Services, Sink, StripeWorld,
        cells::{self, Harm, Point, Requests},
        eventually,
    },
    webhooks,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_charged_told_and_confirmed_once_wherever_its_host_dies() {
    cells::all("payment-process", Point::ALL.to_vec(), async |point| {
        let (world, sink, receiver, db) =
            (StripeWorld::start().await, Sink::start().await, Receiver::start().await, Db::new().await);
        let proxy = FaultProxy::start(world.base_url()).await;
        let options = |data_dir| {
            let base = stripe::options(&proxy.base);
            HostOptions {
                plugins: vec!["payments.wasm", "notifications.wasm"],
                config: base.config + &webhooks::config(&[receiver.place()]),
                data_dir,
                env: base.env,
                ..HostOptions::default()
            }
        };
        let mut first = Host::start(&db, Some(&sink), options(None)).await;
        webhooks::endpoint(&first, &receiver, &["payment.completed"]).await;
        let order = json!({
            "venueId": "v1", "userId": "u1", "eventId": "e1", "amount": 5000, "currency": "EUR",
            "paymentMethod": world.stripe.payment_method("tok_visa").await, "email": "anna@example.com",
            "items": [{"name": "Seat", "quantity": 2, "unitAmount": 2500}],
        });
        let client = first.client();
        let way = Requests { proxy: &proxy, path: "POST /v1/payment_intents" };
        let (id, held) = cells::reach(point, &db, &way, async || client.submit("payment-process", order).await).await;
        let again = options(Some(first.data_dir.clone()));
        let second = cells::strike(Harm::Kill, &mut first, &db, held, Host::start(&db, Some(&sink), again)).await;
        let job = second.client().wait(&id, "completed").await;
        // What was held on its way arrives all the same, late.
        proxy.release();
        proxy.wait_quiet().await;
        let mail = job["result"]["emailJob"].as_str().ok_or("no mail")?;
        second.client().wait(mail, "completed").await;
        receiver.wait(1).await;
        let delivered = "SELECT count(*) FROM webhook_archive WHERE state = 'delivered'";
        eventually("the event is delivered", async || (db.count(delivered).await == 1).then_some(())).await;

        let intents = world.stripe.list("/v1/payment_intents").await;
        let (received, mails) = (receiver.received(), sink.mails().await);
        let counts = [intents.len(), webhooks::ids(&received).len(), mails.len()];
        if counts != [1, 1, 1] || job["result"]["paymentIntent"] != intents[0]["id"] {
            return Err(format!("{counts:?} charges, events and mails: {job}"));
        }
        Ok(())
    })
    .await;
}

/// At which page the host dies, before the service hears of it or after it acted; and of how many rows, how many a page.
#[derive(Clone, Copy, Debug)]
struct Cell {
    page: u32,
    acted: bool,
    rows: u64,
    size: u64,
}

fn cleaning(base: &str, data_dir: Option<std::path::PathBuf>) -> HostOptions {
    HostOptions {
        plugins: vec!["cleanup.wasm"],
        policy: Some("[plugins.policy.cleanup]\nupstream = [\"data\"]\njobs = [\"cleanup-old-data\"]\n".to_owned()),
        config: format!(
            "[upstreams.data]\nbase_url = \"{base}/data\"\nmethods = [\"POST\"]\nidempotent = true\ntimeout = \"3s\"\n\
             breaker = {{ failures = 0 }}\n"
        ),
        data_dir,
        ..HostOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cleanup_deletes_each_row_once_whichever_page_its_host_dies_at() {
    let mut all = Vec::new();
    for acted in [false, true] {
        all.extend([1, 2, 3].map(|page| Cell { page, acted, rows: 1_200, size: 500 }));
        // The last page of one job, which another follows.
        all.push(Cell { page: 40, acted, rows: 45, size: 1 });
    }
    cells::all("cleanup-old-data", all, async |Cell { page, acted, rows, size }| {
        let (services, db) = (Services::start().await, Db::new().await);
        services.fill("sessions", rows);
        let proxy = FaultProxy::start(&services.base).await;
        let asks = "POST /data/cleanup/sessions";
        if page > 1 {
            proxy.on(asks, page - 1, Fault::Delay(Duration::ZERO));
        }
        proxy.on(asks, 1, if acted { Fault::HoldAfter } else { Fault::HoldBefore });
        let mut first = Host::start(&db, None, cleaning(&proxy.base, None)).await;
        let payload = json!({"collection": "sessions", "before": "2026-01-01T00:00:00Z", "pageSize": size});
        let id = first.client().submit("cleanup-old-data", payload).await;
        proxy.wait_held(1).await;
        first.kill9();
        let second = Host::start(&db, None, cleaning(&proxy.base, Some(first.data_dir.clone()))).await;
        // The first one's request arrives after its death, and the second one's repeat under the same key beside it.
        proxy.release();
        let mut job = second.client().wait(&id, "completed").await;
        let mut jobs = 1;
        while let Some(next) = job["result"]["continuedBy"].as_str().map(str::to_owned) {
            job = second.client().wait(&next, "completed").await;
            jobs += 1;
        }
        proxy.wait_quiet().await;
        services.no_complaints();
        let pages = rows.div_ceil(size);
        let told = (job["result"]["deleted"].as_u64(), job["result"]["pages"].as_u64());
        let ran = db.count("SELECT count(*) FROM jobs_archive").await;
        if told != (Some(rows), Some(pages)) || services.left("sessions") != Some(0) || ran != jobs {
            return Err(format!("{ran} jobs, {:?} rows left: {job}", services.left("sessions")));
        }
        match services.cleanups("sessions") as u64 {
            done if done == pages => Ok(()),
            done => Err(format!("rows were deleted {done} times, of {pages}")),
        }
    })
    .await;
}
