//! kill -9 of the host at every point of a job's effects: one charge, one event, one mail; every row deleted once, and no page
//! left; one file, whole. (`tickets_crash` has the mints.)

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use serde_json::{Value, json};

use crate::{
    stripe,
    support::{
        Db, Fault, FaultProxy, Host, HostOptions, Receiver, Services, Sink, StripeWorld,
        cells::{self, Harm, Held, Point, Requests, Way},
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

fn cleaning(base: &str, data_dir: Option<PathBuf>) -> HostOptions {
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

/// How a request begins, and which of those that begin so it is, from 1.
pub type Ask = (&'static str, u32);

/// All points of a job of so many effects, with the place of the effect. The end of one is the moment before the next.
pub fn boundaries(effects: usize) -> Vec<(usize, Point)> {
    let of = |nth: usize| {
        let last = nth + 1 == effects;
        Point::ALL.into_iter().filter(move |point| last || *point != Point::AfterEnd).map(move |point| (nth, point))
    };
    (0..effects).flat_map(of).collect()
}

/// As `cells::reach`, for one of the requests that a job makes one after another.
pub async fn reach(
    point: Point,
    db: &Db,
    proxy: &FaultProxy,
    (asks, nth): (&[Ask], usize),
    submit: impl AsyncFnOnce() -> String,
) -> (String, Held) {
    let way = |(path, which): Ask| {
        if which > 1 {
            proxy.on(path, which - 1, Fault::Delay(Duration::ZERO));
        }
        Requests { proxy, path }
    };
    if point != Point::BeforeStart || nth == 0 {
        return cells::reach(point, db, &way(asks[nth]), submit).await;
    }
    between(db, &way(asks[nth - 1]), submit).await
}

/// Submits a job and brings it to before the start of what follows this request of its. Between the two there is a moment only,
/// which the answer to the one before makes longer.
pub async fn between(db: &Db, way: &impl Way, submit: impl AsyncFnOnce() -> String) -> (String, Held) {
    way.hold_after().await;
    let job = submit().await;
    way.wait_held().await;
    let session = cells::lock(db, cells::NO_START).await;
    way.release().await;
    cells::waits(db).await;
    (job, Some(session))
}

fn reporting(base: &str, data_dir: Option<PathBuf>) -> HostOptions {
    let service = |name: &str, more: &str| {
        format!(
            "[upstreams.{name}]\nbase_url = \"{base}/{name}\"\ntimeout = \"5s\"\nbreaker = {{ failures = 0 }}\n{more}\n"
        )
    };
    HostOptions {
        plugins: vec!["reports.wasm"],
        policy: Some("[plugins.policy.reports]\nupstream = [\"data\", \"storage\"]\n".to_owned()),
        config: service("data", "methods = [\"GET\"]") + &service("storage", "methods = [\"PUT\"]\nidempotent = true"),
        data_dir,
        ..HostOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_one_whole_file_wherever_its_host_dies() {
    let page = "GET /data/reports/sales";
    let asks: [Ask; 4] = [(page, 1), (page, 2), (page, 3), ("PUT /storage/reports/", 1)];
    cells::all("generate-report", boundaries(asks.len()), async |(nth, point)| {
        let (services, db) = (Services::start().await, Db::new().await);
        let proxy = FaultProxy::start(&services.base).await;
        let mut first = Host::start(&db, None, reporting(&proxy.base, None)).await;
        let client = first.client();
        let payload = json!({"report": "sales", "format": "csv", "columns": ["sum", "seat"]});
        let submitted =
            reach(point, &db, &proxy, (asks.as_slice(), nth), async || client.submit("generate-report", payload).await);
        let (id, held) = submitted.await;
        let again = reporting(&proxy.base, Some(first.data_dir.clone()));
        let second = cells::strike(Harm::Kill, &mut first, &db, held, Host::start(&db, None, again)).await;
        let job = second.client().wait(&id, "completed").await;
        // What was held on its way arrives all the same, late.
        proxy.release();
        proxy.wait_quiet().await;

        let files = services.files();
        let path = format!("/reports/sales/{id}.csv");
        let rows = "sum,seat\r\n1000,1A\r\n2000,2A\r\n3000,3A\r\n4000,4A\r\n5000,5A\r\n";
        let told = (job["result"]["path"].as_str(), job["result"]["rows"].as_u64());
        if files.len() != 1 || files.get(&path).is_none_or(|(_, text)| text != rows) || told != (Some(&*path), Some(5))
        {
            return Err(format!("{files:?}: {job}"));
        }
        let seen = proxy.seen();
        // A page that is written down is not asked for again: the one at hand is, at most.
        let reads = seen.iter().filter(|seen| seen.request.method == "GET").count();
        let keys: BTreeSet<_> = seen
            .iter()
            .filter(|seen| seen.request.method == "PUT")
            .map(|seen| seen.request.header("idempotency-key"))
            .collect();
        let most = if nth == 3 || point == Point::BeforeStart { 3 } else { 4 };
        if !(3..=most).contains(&reads) || keys.len() != 1 {
            return Err(format!("{reads} pages were read, and stored under {keys:?}"));
        }
        let journal = db.text("SELECT journal::text FROM jobs_archive").await.unwrap_or_default();
        let journal: Value = serde_json::from_str(&journal).unwrap_or_default();
        match journal.as_array().map(Vec::len) {
            Some(4) => Ok(()),
            _ => Err(format!("the journal is {journal}")),
        }
    })
    .await;
}
