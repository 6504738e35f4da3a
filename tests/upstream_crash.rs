//! The crash matrix of upstreams: each kind of call × each point of the gate × a host that is killed, or frozen past its lease and
//! then woken. Counted at the service.
//!
//! A mint by a service that honours keys: one for the ticket, and none missing. A write to a service that knows none: at most one,
//! and none missing but those that wait for a person. A read: made again until it is answered, and never after that.

use serde_json::{Value, json};

use crate::{
    support::{
        ActingService, Db, Fault, FaultProxy, Host, HostOptions, MintingService,
        cells::{self, Harm, Held, Point, Requests},
    },
    upstreams::{
        self,
        minting::{self, mint},
    },
};

fn points() -> Vec<(Point, Harm)> {
    Point::ALL.into_iter().flat_map(|point| Harm::ALL.map(|harm| (point, harm))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_mints_once_wherever_the_host_dies_or_freezes() {
    cells::all("mints by a service", points(), async |(point, harm)| {
        let tickets = mints(point, harm).await;
        if tickets == ["t-1"] { Ok(()) } else { Err(format!("{tickets:?} at the service")) }
    })
    .await;
}

/// Returns the tickets that the service has minted.
async fn mints(point: Point, harm: Harm) -> Vec<String> {
    let service = MintingService::start().await;
    let proxy = FaultProxy::start(&service.base).await;
    let db = Db::new().await;
    let mut first = Host::start(&db, None, minting::options(&proxy.base)).await;
    let client = first.client();
    let submit = async || client.submit("guest-ticket", mint("ticket", "t-1")).await;
    let held: Held = match point {
        // Its metadata is stored before, by a call of its own.
        Point::BeforeStart => {
            proxy.on("PUT /storage/", 1, Fault::HoldAfter);
            submit().await;
            proxy.wait_held(1).await;
            let session = cells::lock(&db, cells::NO_START).await;
            proxy.release();
            cells::waits(&db).await;
            Some(session)
        }
        _ => {
            let way = Requests { proxy: &proxy, path: "POST /api/v1/mint/compressed" };
            cells::reach(point, &db, &way, submit).await.1
        }
    };
    let again = HostOptions { data_dir: Some(first.data_dir.clone()), ..minting::options(&proxy.base) };
    let second = cells::strike(harm, &mut first, &db, held, Host::start(&db, None, again)).await;
    assert_eq!(cells::ended(&db).await, "completed", "{}", second.log());
    // What was held on its way arrives all the same, late.
    proxy.release();
    proxy.wait_quiet().await;
    let result = db.text("SELECT result::text FROM jobs_archive").await.unwrap_or_default();
    assert!(result.contains("asset-1"), "{result}");
    service.mints().await.iter().map(|mint| mint["ticket"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_without_a_key_is_sent_once_or_left_to_a_person_wherever_the_host_dies_or_freezes() {
    cells::all("writes without a key", points(), async |(point, harm)| {
        let what =
            json!({"do": "upstream", "method": "post", "path": "/once", "body": json!({"ticket": "t-1"}).to_string()});
        let ended = call(point, harm, "POST /once", what).await;
        let states: &[&str] = match (point, harm) {
            (Point::BeforeStart | Point::AfterEnd, _) => &["completed"],
            // Who wakes with an answer at hand may write it down before it is asked for.
            (Point::AfterReply, _) => &["completed", "dead"],
            // That nothing was sent is known to nobody but the service, nor that it was.
            (Point::AfterStart | Point::AfterSend, _) => &["dead"],
        };
        if !states.contains(&ended.state.as_str()) {
            return Err(format!("{}, and not {states:?}", ended.state));
        }
        if ended.state == "dead" && ended.job["reason"] != "unknown-outcome" {
            return Err(format!("it does not wait for a person: {}", ended.job));
        }
        // What was held on its way has arrived by now.
        match ended.service.acts().len() {
            1 => Ok(()),
            count => Err(format!("{count} at the service")),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_is_made_until_it_is_answered_wherever_the_host_dies_or_freezes() {
    cells::all("reads", points(), async |(point, harm)| {
        let what = json!({"do": "upstream", "method": "get", "path": "/reads"});
        let ended = call(point, harm, "GET /reads", what).await;
        if ended.state != "completed" {
            return Err(format!("{}", ended.job));
        }
        // What was held before the service heard of it arrives last, when the job is over.
        let reads = ended.service.reads();
        let most = if matches!(point, Point::BeforeStart | Point::AfterEnd) { 1 } else { 2 };
        if !(1..=most).contains(&reads) {
            return Err(format!("{reads} reads"));
        }
        // The answer that the guest went on with is the journal's.
        let answer = ended.db.text("SELECT journal::text FROM jobs_archive").await.unwrap_or_default();
        let journal: Value = serde_json::from_str(&answer).unwrap_or_default();
        if journal.as_array().is_none_or(|rows| rows.len() != 1) {
            return Err(format!("the journal is {answer}"));
        }
        let told: Value =
            serde_json::from_str(ended.job["result"]["body"].as_str().unwrap_or_default()).unwrap_or_default();
        match told["number"].as_u64() {
            Some(number) if (1..=reads as u64).contains(&number) && (point != Point::AfterEnd || number == 1) => Ok(()),
            _ => Err(format!("the guest was told {told}")),
        }
    })
    .await;
}

/// How a job of one call ended, and what stands behind it.
struct Ended {
    state: String,
    job: Value,
    service: ActingService,
    db: Db,
}

/// A call to a service that is not declared idempotent.
async fn call(point: Point, harm: Harm, path: &str, what: Value) -> Ended {
    let service = ActingService::start().await;
    let proxy = FaultProxy::start(&service.base).await;
    let db = Db::new().await;
    let options = |data_dir| HostOptions { data_dir, ..upstreams::options(&proxy.base, "timeout = \"2s\"\n") };
    let mut first = Host::start(&db, None, options(None)).await;
    let client = first.client();
    let way = Requests { proxy: &proxy, path };
    let (job, held) = cells::reach(point, &db, &way, async || client.submit("guest-mail", what).await).await;
    let again = options(Some(first.data_dir.clone()));
    let second = cells::strike(harm, &mut first, &db, held, Host::start(&db, None, again)).await;
    let state = cells::ended(&db).await;
    proxy.release();
    proxy.wait_quiet().await;
    Ended { state, job: second.client().job(&job).await, service, db }
}
