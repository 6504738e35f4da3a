//! Cells of a crash matrix: a call is brought to a point of its life, its host is killed, or frozen past its lease and then
//! woken, and another host takes over.

use std::{
    fmt::Debug,
    io::{self, Write},
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, StreamExt, stream};
use sqlx::{AssertSqlSafe, Postgres, Transaction};
use tokio::sync::Semaphore;

use super::{Cluster, Db, FaultProxy, Host, Sink, eventually};

/// Cells at once, of all matrices together: each has two hosts, and most of its time is waiting.
const SIDE_BY_SIDE: usize = 6;
static PLACES: Semaphore = Semaphore::const_new(SIDE_BY_SIDE);

/// Past the lease (1 s) and past the moment from which doubt may be settled (at most 3 s for the call, 0.5 s of margin).
const OVER: Duration = Duration::from_secs(5);

/// Where in a call's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    BeforeStart,
    /// Journaled, and the provider has heard nothing.
    AfterStart,
    /// The provider has acted, and its reply is on its way.
    AfterSend,
    /// The reply has come, and is not journaled.
    AfterReply,
    /// Journaled, and the job is not settled.
    AfterEnd,
}

impl Point {
    pub const ALL: [Self; 5] = [Self::BeforeStart, Self::AfterStart, Self::AfterSend, Self::AfterReply, Self::AfterEnd];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    Kill,
    Freeze,
}

impl Harm {
    pub const ALL: [Self; 2] = [Self::Kill, Self::Freeze];
}

/// The way to a provider, on which a call can be stopped.
pub trait Way {
    /// The next call, before the provider hears of it.
    async fn hold_before(&self);
    /// The next call, once the provider has acted.
    async fn hold_after(&self);
    /// Until a call is held.
    async fn wait_held(&self);
    /// All that is held goes on, be the client still there or not.
    async fn release(&self);
}

/// Requests to the proxy that begin so, e.g. `POST /v1/refunds`.
pub struct Requests<'a> {
    pub proxy: &'a FaultProxy,
    pub path: &'a str,
}

impl Way for Requests<'_> {
    async fn hold_before(&self) {
        self.proxy.on(self.path, 1, super::Fault::HoldBefore);
    }

    async fn hold_after(&self) {
        self.proxy.on(self.path, 1, super::Fault::HoldAfter);
    }

    async fn wait_held(&self) {
        self.proxy.wait_held(1).await;
    }

    async fn release(&self) {
        self.proxy.release();
    }
}

impl Way for Sink {
    async fn hold_before(&self) {
        self.say("rcpt", "hold").await;
    }

    async fn hold_after(&self) {
        self.faults(&["hold"]).await;
    }

    async fn wait_held(&self) {
        Self::wait_held(self).await;
    }

    async fn release(&self) {
        Self::release(self).await;
    }
}

/// Calls to the nodes of a cluster.
pub struct Rpc<'a> {
    pub cluster: &'a Cluster,
    /// The method by which `hold_before` knows the call; the cluster acts at `sendTransaction`.
    pub before: &'a str,
}

impl Way for Rpc<'_> {
    async fn hold_before(&self) {
        self.cluster.fault(self.before, "hold-before", 1).await;
    }

    async fn hold_after(&self) {
        self.cluster.fault("sendTransaction", "hold-after", 1).await;
    }

    async fn wait_held(&self) {
        self.cluster.wait_held(1).await;
    }

    async fn release(&self) {
        self.cluster.release().await;
    }
}

/// Under this lock no call gets as far as the journal.
pub const NO_START: &str = "LOCK TABLE provider_pauses IN ACCESS EXCLUSIVE MODE";

/// What keeps a host at its point, beside the way.
pub type Held = Option<Transaction<'static, Postgres>>;

/// Submits a job of one effect and brings it to the point. Returns its id, and what keeps it there.
pub async fn reach(point: Point, db: &Db, way: &impl Way, submit: impl AsyncFnOnce() -> String) -> (String, Held) {
    match point {
        Point::BeforeStart => {
            let session = lock(db, NO_START).await;
            let job = submit().await;
            waits(db).await;
            (job, Some(session))
        }
        Point::AfterStart => {
            way.hold_before().await;
            let job = submit().await;
            way.wait_held().await;
            (job, None)
        }
        Point::AfterSend => {
            way.hold_after().await;
            let job = submit().await;
            way.wait_held().await;
            (job, None)
        }
        Point::AfterReply | Point::AfterEnd => {
            way.hold_after().await;
            let job = submit().await;
            way.wait_held().await;
            let sql = match point {
                Point::AfterReply => format!("SELECT FROM effects WHERE job_id = '{job}' FOR UPDATE"),
                _ => format!("SELECT FROM jobs WHERE id = '{job}' FOR KEY SHARE"),
            };
            let session = lock(db, &sql).await;
            way.release().await;
            waits(db).await;
            (job, Some(session))
        }
    }
}

/// The harm; another host; what was held is let go; who was frozen is woken once it is surely too late. Returns the other host.
pub async fn strike(harm: Harm, first: &mut Host, db: &Db, held: Held, second: impl Future<Output = Host>) -> Host {
    match harm {
        Harm::Kill => first.kill9(),
        Harm::Freeze => first.signal("STOP"),
    }
    let second = second.await;
    if let Some(session) = held {
        session.rollback().await.unwrap();
    }
    if harm == Harm::Freeze {
        let began = Instant::now();
        while began.elapsed() < OVER && db.count("SELECT count(*) FROM jobs_archive").await == 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        first.signal("CONT");
    }
    second
}

/// The state in which the only job ends: `completed`, or `dead`, parked included.
pub async fn ended(db: &Db) -> String {
    eventually("the job ends", async || {
        let states = "SELECT state FROM jobs_archive UNION ALL SELECT state FROM jobs WHERE state = 'dead'";
        db.text(states).await
    })
    .await
}

/// Runs all cells, some at once, says how many and how long, and panics with a list of those that went wrong: which, and what it says.
pub async fn all<C: Copy + Debug>(of_what: &str, cells: Vec<C>, cell: impl AsyncFn(C) -> Result<(), String>) {
    let (began, count) = (Instant::now(), cells.len());
    let cell = &cell;
    let wrong: Vec<_> = stream::iter(cells)
        .map(|which| async move {
            let _place = PLACES.acquire().await.unwrap();
            match AssertUnwindSafe(cell(which)).catch_unwind().await {
                Ok(Ok(())) => None,
                Ok(Err(what)) => Some(format!("{which:?}: {what}")),
                Err(_) => Some(format!("{which:?}: see above")),
            }
        })
        .buffer_unordered(SIDE_BY_SIDE)
        .filter_map(async |wrong| wrong)
        .collect()
        .await;
    let took = began.elapsed();
    // Not by `println!`, which is shown of tests that fail only.
    let _ = writeln!(io::stderr(), "crash matrix, {of_what}: {count} cells in {:.0} s", took.as_secs_f64());
    assert_eq!(wrong, Vec::<String>::new());
}

/// A session of ours that stands in the way.
pub async fn lock(db: &Db, sql: &str) -> Transaction<'static, Postgres> {
    let mut session = db.pool.begin().await.unwrap();
    sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut *session).await.unwrap();
    session
}

/// Some statement stands behind our lock.
pub async fn waits(db: &Db) {
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    eventually("a statement waits for us", async || (db.count(waiting).await > 0).then_some(())).await;
}
