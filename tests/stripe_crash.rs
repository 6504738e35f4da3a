//! The crash matrix: each function that moves money × each point of the gate × a host that is killed, or frozen past its lease
//! and then woken. Counted at the provider: exactly one, and none missing. Stripe World acts once under a key, as Stripe does.
//! localstripe ignores keys, so that there the question alone keeps it single; but for what is held up on its way until after
//! that (`AfterStart`), where only the key protects.

use std::{
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, StreamExt, stream};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Postgres, Transaction};

use crate::{
    stripe::{options, payment},
    support::{
        Db, Fault, FaultProxy, Host, HostOptions, LocalStripe, StripeClient, StripeWorld, eventually, stripe::id,
    },
};

/// Cells at once: each has two hosts, and most of its time is waiting.
const SIDE_BY_SIDE: usize = 5;

#[derive(Clone, Copy, Debug)]
enum Function {
    Payment,
    Capture,
    Cancel,
    Refund,
    Payout,
}

#[derive(Clone, Copy, Debug)]
enum Peer {
    World,
    Local,
}

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
async fn money_moves_once_wherever_the_host_dies_or_freezes() {
    let began = Instant::now();
    let mut cells = Vec::new();
    for harm in [Harm::Kill, Harm::Freeze] {
        for point in [Point::BeforeStart, Point::AfterStart, Point::AfterSend, Point::AfterReply, Point::AfterEnd] {
            cells
                .extend([Function::Payment, Function::Refund, Function::Payout].map(|f| (Peer::World, f, point, harm)));
        }
        for function in [Function::Capture, Function::Cancel] {
            cells.extend([Point::AfterSend, Point::AfterReply].map(|point| (Peer::World, function, point, harm)));
        }
        for point in [Point::BeforeStart, Point::AfterSend, Point::AfterReply, Point::AfterEnd] {
            cells.push((Peer::Local, Function::Payment, point, harm));
        }
    }
    let all = cells.len();
    let wrong: Vec<_> = stream::iter(cells)
        .map(|(peer, function, point, harm)| async move {
            let made = match peer {
                Peer::World => {
                    let world = StripeWorld::start().await;
                    AssertUnwindSafe(cell(&world.stripe, world.base_url(), function, point, harm)).catch_unwind().await
                }
                Peer::Local => {
                    let local = LocalStripe::start().await;
                    AssertUnwindSafe(cell(&local.stripe, local.base_url(), function, point, harm)).catch_unwind().await
                }
            };
            match made {
                Ok(1) => None,
                Ok(n) => Some(format!("{peer:?} {function:?} {point:?} {harm:?}: {n} at the provider")),
                Err(_) => Some(format!("{peer:?} {function:?} {point:?} {harm:?}: see above")),
            }
        })
        .buffer_unordered(SIDE_BY_SIDE)
        .filter_map(async |wrong| wrong)
        .collect()
        .await;
    println!("{all} cells in {:.0} s", began.elapsed().as_secs_f64());
    assert_eq!(wrong, Vec::<String>::new());
}

/// Returns how many the provider has of what was asked for once.
async fn cell(stripe: &StripeClient, base: &str, function: Function, point: Point, harm: Harm) -> usize {
    let proxy = FaultProxy::start(base).await;
    let db = Db::new().await;
    let (payload, path, counted) = ask(function, stripe).await;
    let mut first = Host::start(&db, None, options(&proxy.base)).await;

    // Up to the point.
    let held = match point {
        Point::BeforeStart => {
            let session = lock(&db, "LOCK TABLE provider_pauses IN ACCESS EXCLUSIVE MODE").await;
            first.client().submit("guest-money", payload).await;
            waits(&db).await;
            Some(session)
        }
        Point::AfterStart => {
            proxy.on(path, 1, Fault::HoldBefore);
            first.client().submit("guest-money", payload).await;
            proxy.wait_held(1).await;
            None
        }
        Point::AfterSend | Point::AfterReply | Point::AfterEnd => {
            proxy.on(path, 1, Fault::HoldAfter);
            let job = first.client().submit("guest-money", payload).await;
            proxy.wait_held(1).await;
            let held = match point {
                Point::AfterReply => Some(format!("SELECT FROM effects WHERE job_id = '{job}' FOR UPDATE")),
                Point::AfterEnd => Some(format!("SELECT FROM jobs WHERE id = '{job}' FOR KEY SHARE")),
                _ => None,
            };
            match held {
                Some(sql) => {
                    let session = lock(&db, &sql).await;
                    proxy.release();
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
    let second =
        Host::start(&db, None, HostOptions { data_dir: Some(first.data_dir.clone()), ..options(&proxy.base) }).await;
    if let Some(session) = held {
        session.rollback().await.unwrap();
    }
    if matches!(harm, Harm::Freeze) {
        // Past the lease (1 s) and past the moment from which doubt may be settled (2 s for the call, 0.5 s of margin).
        let over = Duration::from_secs(4);
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
    // What was held on its way arrives all the same, late.
    proxy.release();
    proxy.wait_quiet().await;
    assert_eq!(db.count("SELECT count(*) FROM ledger").await, 1);
    match counted {
        Counted::Marked(collection) => {
            let all = stripe.list(collection).await;
            all.iter().filter(|object| object["metadata"]["usher_effect"].is_string()).count()
        }
        Counted::Status(status) => {
            let all = stripe.list("/v1/payment_intents").await;
            all.iter().filter(|object| object["status"] == status).count()
        }
    }
}

/// Where what was done is counted at the provider.
enum Counted {
    /// Objects of a collection that carry an effect's mark.
    Marked(&'static str),
    /// Payments in that state.
    Status(&'static str),
}

/// The payload, how its request begins, and where it is counted.
async fn ask(function: Function, stripe: &StripeClient) -> (Value, &'static str, Counted) {
    match function {
        Function::Payment => {
            let made = stripe.post("/v1/payment_methods", &[("type", "card"), ("card[token]", "tok_visa")]).await;
            // localstripe knows cards by name only.
            let card = made.body["id"].as_str().unwrap_or("pm_card_visa").to_owned();
            (payment(&card), "POST /v1/payment_intents", Counted::Marked("/v1/payment_intents"))
        }
        Function::Capture | Function::Cancel => {
            let card = stripe.payment_method("tok_visa").await;
            let fields = [
                ("amount", "900"),
                ("currency", "eur"),
                ("payment_method", card.as_str()),
                ("confirm", "true"),
                ("capture_method", "manual"),
            ];
            let held = id(&stripe.create("/v1/payment_intents", &fields).await);
            let (call, status) = match function {
                Function::Capture => ("capture", "succeeded"),
                _ => ("cancel", "canceled"),
            };
            let payload = json!({"do": "stripe", "call": call, "paymentIntent": held});
            (payload, "POST /v1/payment_intents", Counted::Status(status))
        }
        Function::Refund => {
            stripe.balance(5000, "eur").await;
            let paid = id(&stripe.list("/v1/payment_intents").await[0]);
            let payload = json!({"do": "stripe", "call": "refund", "paymentIntent": paid, "amount": 100});
            (payload, "POST /v1/refunds", Counted::Marked("/v1/refunds"))
        }
        Function::Payout => {
            stripe.balance(5000, "eur").await;
            let payload = json!({"do": "stripe", "call": "payout", "amount": 700, "currency": "eur"});
            (payload, "POST /v1/payouts", Counted::Marked("/v1/payouts"))
        }
    }
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
