//! The crash matrix of a mint through a service: each point of the gate × a host that is killed, or frozen past its lease and then
//! woken. Counted at the service: one for the ticket, and none missing.

use std::{
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, StreamExt, stream};
use sqlx::{AssertSqlSafe, Postgres, Transaction};

use crate::{
    support::{Db, Fault, FaultProxy, Host, HostOptions, MintingService, eventually},
    upstreams::minting::{mint, options},
};

/// Cells at once: each has two hosts, and most of its time is waiting.
const SIDE_BY_SIDE: usize = 5;
const MINT: &str = "POST /api/v1/mint/compressed";

#[derive(Clone, Copy, Debug)]
enum Point {
    BeforeStart,
    AfterStart,
    AfterSend,
    AfterReply,
    AfterEnd,
}

#[derive(Clone, Copy, Debug)]
enum Harm {
    Kill,
    Freeze,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_mints_once_wherever_the_host_dies_or_freezes() {
    let points = [Point::BeforeStart, Point::AfterStart, Point::AfterSend, Point::AfterReply, Point::AfterEnd];
    let cells = points.into_iter().flat_map(|point| [(point, Harm::Kill), (point, Harm::Freeze)]);
    let wrong: Vec<_> = stream::iter(cells)
        .map(|(point, harm)| async move {
            match AssertUnwindSafe(cell(point, harm)).catch_unwind().await {
                Ok(tickets) if tickets == ["t-1"] => None,
                Ok(tickets) => Some(format!("{point:?} {harm:?}: {tickets:?} at the service")),
                Err(_) => Some(format!("{point:?} {harm:?}: see above")),
            }
        })
        .buffer_unordered(SIDE_BY_SIDE)
        .filter_map(async |wrong| wrong)
        .collect()
        .await;
    assert_eq!(wrong, Vec::<String>::new());
}

/// Returns the tickets that the service has minted.
async fn cell(point: Point, harm: Harm) -> Vec<String> {
    let service = MintingService::start().await;
    let proxy = FaultProxy::start(&service.base).await;
    let db = Db::new().await;
    let mut first = Host::start(&db, None, options(&proxy.base)).await;

    // Up to the point.
    let (on, fault) = match point {
        Point::BeforeStart => ("PUT /storage/", Fault::HoldAfter),
        Point::AfterStart => (MINT, Fault::HoldBefore),
        Point::AfterSend | Point::AfterReply | Point::AfterEnd => (MINT, Fault::HoldAfter),
    };
    proxy.on(on, 1, fault);
    let job = first.client().submit("guest-ticket", mint("ticket", "t-1")).await;
    proxy.wait_held(1).await;
    let lock_on = match point {
        Point::BeforeStart => Some("LOCK TABLE provider_pauses IN ACCESS EXCLUSIVE MODE".to_owned()),
        Point::AfterStart | Point::AfterSend => None,
        Point::AfterReply => Some(format!("SELECT FROM effects WHERE job_id = '{job}' AND seq = 1 FOR UPDATE")),
        Point::AfterEnd => Some(format!("SELECT FROM jobs WHERE id = '{job}' FOR KEY SHARE")),
    };
    let held = match lock_on {
        Some(sql) => {
            let session = lock(&db, &sql).await;
            proxy.release();
            waits(&db).await;
            Some(session)
        }
        None => None,
    };

    // The harm, and another host.
    match harm {
        Harm::Kill => first.kill9(),
        Harm::Freeze => first.signal("STOP"),
    }
    let second = HostOptions { data_dir: Some(first.data_dir.clone()), ..options(&proxy.base) };
    let second = Host::start(&db, None, second).await;
    if let Some(session) = held {
        session.rollback().await.unwrap();
    }
    if matches!(harm, Harm::Freeze) {
        // Past the lease (1 s) and past the moment from which doubt may be settled (2 s for the call, 0.5 s of margin).
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(4) && db.count("SELECT count(*) FROM jobs_archive").await == 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        first.signal("CONT");
    }
    let ended = eventually("the job ends", async || {
        db.text("SELECT state FROM jobs_archive UNION ALL SELECT state FROM jobs WHERE state = 'dead'").await
    })
    .await;
    assert_eq!(ended, "completed", "{}", second.log());
    // What was held on its way arrives all the same, late.
    proxy.release();
    proxy.wait_quiet().await;
    let result = db.text("SELECT result::text FROM jobs_archive").await.unwrap_or_default();
    assert!(result.contains("asset-1"), "{result}");
    service.mints().await.iter().map(|mint| mint["ticket"].as_str().unwrap().to_owned()).collect()
}

async fn lock(db: &Db, sql: &str) -> Transaction<'static, Postgres> {
    let mut session = db.pool.begin().await.unwrap();
    sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut *session).await.unwrap();
    session
}

/// Some statement stands behind our lock.
async fn waits(db: &Db) {
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    eventually("a statement waits for us", async || (db.count(waiting).await > 0).then_some(())).await;
}
