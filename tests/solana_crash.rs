//! The crash matrix of mints: each standard × each point of a call × a host that is killed, or frozen past its lease and then
//! woken. Counted at the bank: one mint, one token, and none missing. What is held up on its way arrives in the end, too.

use std::{
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, StreamExt, stream};
use sqlx::{AssertSqlSafe, Postgres, Transaction};

use crate::{
    solana::{mint, options},
    support::{Cluster, Db, Host, HostOptions, eventually},
};

/// Cells at once: each has two hosts and a cluster, and most of its time is waiting.
const SIDE_BY_SIDE: usize = 4;

#[derive(Clone, Copy, Debug)]
enum Point {
    /// Before the journal's start.
    BeforeStart,
    /// After it, with nothing signed.
    AfterStart,
    /// Signed and written down, and on its way for long.
    AfterTry,
    /// On the chain, and its answer is on its way.
    AfterSend,
    /// Seen on the chain, and the journal not written yet.
    AfterReply,
    /// In the journal, and the job not settled yet.
    AfterEnd,
}

#[derive(Clone, Copy, Debug)]
enum Harm {
    Kill,
    Freeze,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mint_happens_once_wherever_the_host_dies_or_freezes() {
    let began = Instant::now();
    let mut cells = Vec::new();
    for standard in ["token-2022", "metaplex"] {
        for harm in [Harm::Kill, Harm::Freeze] {
            let points = [
                Point::BeforeStart,
                Point::AfterStart,
                Point::AfterTry,
                Point::AfterSend,
                Point::AfterReply,
                Point::AfterEnd,
            ];
            cells.extend(points.map(|point| (standard, point, harm)));
        }
    }
    let all = cells.len();
    let wrong: Vec<_> = stream::iter(cells)
        .map(|(standard, point, harm)| async move {
            let made = AssertUnwindSafe(cell(standard, point, harm)).catch_unwind().await;
            match made.as_deref() {
                Ok([(1, 1)]) => None,
                Ok(mints) => Some(format!("{standard} {point:?} {harm:?}: {mints:?} at the bank")),
                Err(_) => Some(format!("{standard} {point:?} {harm:?}: see above")),
            }
        })
        .buffer_unordered(SIDE_BY_SIDE)
        .filter_map(async |wrong| wrong)
        .collect()
        .await;
    println!("{all} cells in {:.0} s", began.elapsed().as_secs_f64());
    assert_eq!(wrong, Vec::<String>::new());
}

/// Returns for each mint at the bank how many transactions made it, and its supply.
async fn cell(standard: &str, point: Point, harm: Harm) -> Vec<(u64, u64)> {
    let cluster = Cluster::start().await;
    let (wallet, recipient, db) = (cluster.wallet().await, cluster.key().await.address, Db::new().await);
    let settings = format!("standard = \"{standard}\"\ntimeout = \"3s\"");
    let options = |data_dir| HostOptions { data_dir, ..options(&wallet, &[cluster.url()], &settings) };
    let mut first = Host::start(&db, None, options(None)).await;
    let submit = async || first.client().submit("guest-mint", mint("seat", &recipient)).await;

    // Up to the point.
    let held = match point {
        Point::BeforeStart => {
            let session = lock(&db, "LOCK TABLE provider_pauses IN ACCESS EXCLUSIVE MODE").await;
            submit().await;
            waits(&db).await;
            Some(session)
        }
        Point::AfterStart | Point::AfterTry => {
            let method = if matches!(point, Point::AfterTry) { "sendTransaction" } else { "getLatestBlockhash" };
            cluster.fault(method, "hold-before", 1).await;
            submit().await;
            cluster.wait_held(1).await;
            None
        }
        Point::AfterSend | Point::AfterReply | Point::AfterEnd => {
            cluster.fault("sendTransaction", "hold-after", 1).await;
            let job = submit().await;
            cluster.wait_held(1).await;
            let held = match point {
                Point::AfterReply => Some(format!("SELECT FROM effects WHERE job_id = '{job}' FOR UPDATE")),
                Point::AfterEnd => Some(format!("SELECT FROM jobs WHERE id = '{job}' FOR KEY SHARE")),
                _ => None,
            };
            match held {
                Some(sql) => {
                    let session = lock(&db, &sql).await;
                    cluster.release().await;
                    waits(&db).await;
                    Some(session)
                }
                None => None,
            }
        }
    };

    // The harm, and another host.
    match harm {
        Harm::Kill => first.kill9(),
        Harm::Freeze => first.signal("STOP"),
    }
    let second = Host::start(&db, None, options(Some(first.data_dir.clone()))).await;
    if let Some(session) = held {
        session.rollback().await.unwrap();
    }
    if matches!(harm, Harm::Freeze) {
        // Past the lease (1 s) and past the moment from which doubt may be settled (3 s for the call, 0.5 s of margin).
        let over = Duration::from_secs(5);
        let began = Instant::now();
        while began.elapsed() < over && db.count("SELECT count(*) FROM jobs_archive").await == 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        first.signal("CONT");
    }
    let ended = eventually("the job ends", async || {
        let states = "SELECT state FROM jobs_archive UNION ALL SELECT state FROM jobs WHERE state = 'dead'";
        db.text(states).await
    })
    .await;
    assert_eq!(ended, "completed", "{}", second.log());
    // What was held on its way arrives all the same, late: its signature is known, or its time is over.
    cluster.release().await;
    cluster.warp(40).await;
    assert_eq!(db.count("SELECT count(*) FROM ledger").await, 1);
    assert_eq!(db.count("SELECT count(*) FROM solana_tries WHERE outcome = 'landed'").await, 1);
    cluster.mints().await.values().map(|mint| (mint.succeeded, mint.supply)).collect()
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
