//! The counting itself, in SQL.

use std::time::{Duration, Instant};

use uuid::Uuid;

use super::{Taken, effects, hold, take};
use crate::support::{Db, Host, HostOptions, eventually};

/// So much time goes by, for the buckets.
async fn later(db: &Db, seconds: f64) {
    let by = format!("make_interval(secs => {seconds})");
    db.execute(&format!("UPDATE rate_buckets SET since = since - {by}, held_until = held_until - {by}")).await;
    db.execute(&format!("UPDATE rate_slots SET until = until - {by}")).await;
}

fn passed(taken: &Taken) -> usize {
    taken.calls.iter().filter(|(goes, _)| *goes).count()
}

/// Within what the test's own statements take.
fn near(found: f64, expected: f64) -> bool {
    (expected - 1.0..=expected + 0.01).contains(&found)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_passes_and_the_rest_stand_in_line() {
    let db = Db::new().await;
    let bucket = [("b", 0.1, 5, 0)];
    let ids = effects(8);
    let taken = take(&db.pool, &bucket, &ids, 0.25).await;
    assert_eq!(passed(&taken), 5);
    for (n, (_, wait)) in taken.calls[5..].iter().enumerate() {
        assert!(near(*wait, 10.0 * (n + 1) as f64), "{taken:?}");
    }
    // A short wait is waited in place, and nothing is kept of it.
    let taken = take(&db.pool, &[("c", 10.0, 1, 0)], &effects(3), 0.25).await;
    assert_eq!(passed(&taken), 3);
    assert!(near(taken.calls[2].1, 0.2), "{taken:?}");
    assert_eq!(db.count("SELECT count(*) FROM rate_slots").await, 3);
    // After a rest no more than a burst.
    later(&db, 1_000_000.0).await;
    assert_eq!(passed(&take(&db.pool, &bucket, &effects(9), 0.0).await), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_passes_all_of_its_buckets_or_takes_from_none() {
    let db = Db::new().await;
    let (wide, narrow) = (("wide", 0.01, 3, 0), ("narrow", 0.01, 1, 0));
    let ids = effects(4);
    let taken = take(&db.pool, &[narrow, wide], &ids, 0.0).await;
    assert_eq!(passed(&taken), 1, "{taken:?}");
    // Those that the narrow one refused have taken nothing from the wide one.
    assert_eq!(passed(&take(&db.pool, &[wide], &effects(3), 0.0).await), 2);
    // The refused ones come back at their time, which is that of the narrow one, and now wait for the wide one too.
    later(&db, 100.0).await;
    assert_eq!(passed(&take(&db.pool, &[narrow, wide], &ids[1..2], 0.0).await), 0, "its turn comes behind the others");
    later(&db, 300.0).await;
    assert_eq!(passed(&take(&db.pool, &[narrow, wide], &ids[1..], 0.0).await), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_is_kept_and_passes_before_newcomers() {
    let db = Db::new().await;
    let bucket = [("b", 0.1, 1, 0)];
    let (old, new) = (effects(4), effects(3));
    assert_eq!(passed(&take(&db.pool, &bucket, &old, 0.25).await), 1);
    for n in 1..4 {
        later(&db, 10.0).await;
        let newcomers = take(&db.pool, &bucket, &new, 0.25).await;
        assert_eq!(passed(&newcomers), 0, "{newcomers:?}");
        // The one after it is not yet due; that it asks costs it nothing.
        if let Some(early) = old.get(n + 1) {
            let early = take(&db.pool, &bucket, &[*early], 0.25).await;
            assert!(near(early.calls[0].1, 10.0), "{early:?}");
        }
        assert_eq!(passed(&take(&db.pool, &bucket, &old[n..=n], 0.25).await), 1, "{n}");
    }
    // It passed: its place is used up.
    assert_eq!(passed(&take(&db.pool, &bucket, &old[3..], 0.25).await), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_come_late_for_their_places_do_not_pass_all_at_once() {
    let db = Db::new().await;
    let bucket = [("b", 0.1, 2, 0)];
    let ids = effects(10);
    assert_eq!(passed(&take(&db.pool, &bucket, &ids, 0.0).await), 2);
    // All are due, e.g. since all hosts were off.
    later(&db, 1_000.0).await;
    let back = take(&db.pool, &bucket, &ids[2..], 0.0).await;
    assert_eq!(passed(&back), 2, "{back:?}");
    for (n, (_, wait)) in back.calls[2..].iter().enumerate() {
        assert!(near(*wait, 10.0 * (n + 1) as f64), "{back:?}");
    }
    // Each has its turn among them, before newcomers and however late it is.
    later(&db, 10.0).await;
    assert_eq!(passed(&take(&db.pool, &bucket, &effects(1), 0.0).await), 0);
    assert_eq!(passed(&take(&db.pool, &bucket, &ids[4..5], 0.0).await), 1);
    assert_eq!(passed(&take(&db.pool, &bucket, &ids[5..], 0.0).await), 0);
    // Late once more.
    later(&db, 1_000.0).await;
    assert_eq!(passed(&take(&db.pool, &bucket, &ids[5..], 0.0).await), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_bucket_lets_nobody_pass_and_then_one_after_another() {
    let db = Db::new().await;
    let bucket = [("b", 0.1, 5, 3)];
    let ids = effects(7);
    assert_eq!(passed(&take(&db.pool, &bucket, &ids, 0.0).await), 5);
    let version = db.count("SELECT version FROM rate_news").await;
    hold(&db, "b", 100.0, Some(5)).await;
    hold(&db, "b", 30.0, Some(5)).await;
    assert_eq!(db.count("SELECT version FROM rate_news").await, version + 1, "less than is known is no news");
    // Places move with it, in their order; newcomers stand behind, and nobody gets tokens ahead.
    let back = take(&db.pool, &bucket, &ids[5..], 0.0).await;
    assert!(near(back.calls[0].1, 110.0) && near(back.calls[1].1, 120.0), "{back:?}");
    let new = take(&db.pool, &bucket, &effects(1), 0.0).await;
    assert!(near(new.calls[0].1, 130.0), "{new:?}");
    assert_eq!(new.tokens, [0]);
    later(&db, 111.0).await;
    assert_eq!(passed(&take(&db.pool, &bucket, &ids[5..], 0.0).await), 1);

    // A full bucket is empty afterwards, too.
    hold(&db, "full", 50.0, Some(5)).await;
    let ids = effects(6);
    assert_eq!(passed(&take(&db.pool, &[("full", 0.1, 5, 0)], &ids[..1], 0.0).await), 0);
    later(&db, 50.0).await;
    assert_eq!(passed(&take(&db.pool, &[("full", 0.1, 5, 0)], &ids, 0.0).await), 1);
    // One that had no limit when it was held stands still just so.
    hold(&db, "free", 50.0, None).await;
    let taken = take(&db.pool, &[("free", 0.1, 5, 0)], &effects(1), 0.0).await;
    assert!(near(taken.calls[0].1, 50.0), "{taken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_rate_moves_all_places() {
    let db = Db::new().await;
    let ids = effects(12);
    assert_eq!(passed(&take(&db.pool, &[("b", 0.001, 1, 0)], &ids, 0.0).await), 1);
    // From a thousand seconds each to ten.
    let taken = take(&db.pool, &[("b", 0.1, 1, 0)], &ids[1..], 0.0).await;
    for (n, (_, wait)) in taken.calls.iter().enumerate() {
        assert!(near(*wait, 10.0 * (n + 1) as f64), "{taken:?}");
    }
    // And a larger burst lets the first of them go.
    assert_eq!(passed(&take(&db.pool, &[("b", 0.1, 4, 0)], &ids[1..], 0.0).await), 3);
}

/// What two nodes do to a bucket, with the times of all that passes, also of tokens ahead, which are used at the worst
/// moment: as late as they may.
#[tokio::test(flavor = "multi_thread")]
async fn in_no_time_does_more_pass_than_rate_times_time_and_burst() {
    let db = Db::new().await;
    let (rate, burst, ahead) = (20.0, 10, 4);
    let life = f64::from(ahead) / rate;
    // As a host counts it: what may lie ahead is taken off.
    let bucket = [("b", rate, burst - ahead, ahead)];
    let mut aged = 0.0;
    let mut times: Vec<f64> = Vec::new();
    let mut waiting: Vec<Uuid> = Vec::new();
    let mut random = 7_u64;
    for _ in 0..120 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let roll = random >> 33;
        let mut ids = effects((roll % 5) as usize);
        // Those that wait come back when they like.
        if roll.is_multiple_of(3) {
            ids.append(&mut waiting);
        }
        if !ids.is_empty() {
            let taken = take(&db.pool, &bucket, &ids, 0.1).await;
            let now: f64 = sqlx::query_scalar("SELECT extract(epoch FROM since)::float8 FROM rate_buckets")
                .fetch_one(&db.pool)
                .await
                .unwrap();
            let now = now + aged;
            for (id, (goes, wait)) in ids.iter().zip(&taken.calls) {
                if *goes {
                    times.push(now + wait);
                } else {
                    waiting.push(*id);
                }
            }
            times.extend((0..taken.tokens[0]).map(|_| now + life));
        }
        let pause = (roll % 7) as f64 * if roll.is_multiple_of(11) { 0.5 } else { 0.02 };
        later(&db, pause).await;
        aged += pause;
    }
    times.sort_by(f64::total_cmp);
    assert!(times.len() > 60, "{}", times.len());
    for (first, from) in times.iter().enumerate() {
        for (last, to) in times.iter().enumerate().skip(first) {
            let count = (last - first + 1) as f64;
            let most = rate * (to - from) + f64::from(burst) + 0.01;
            assert!(count <= most, "{count} in {} s", to - from);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_ask_at_once_and_for_several_buckets_stay_within_the_rate() {
    let db = Db::new().await;
    let began = Instant::now();
    let nodes = (0..4).map(|node| {
        let pool = db.pool.clone();
        tokio::spawn(async move {
            let (mut count, mut waiting) = (0, Vec::new());
            while began.elapsed() < Duration::from_secs(2) {
                // All orders, and buckets that are new.
                let own = format!("own {node} {count}");
                let mut buckets = vec![("a", 50.0, 10, 0), ("b", 40.0, 10, 0), (own.as_str(), 50.0, 10, 0)];
                buckets.rotate_left(node % 3);
                waiting.extend(effects(3 - waiting.len()));
                let taken = take(&pool, &buckets, &waiting, 0.0).await;
                count += passed(&taken);
                waiting = waiting.into_iter().zip(taken.calls).filter(|(_, call)| !call.0).map(|(id, _)| id).collect();
            }
            count
        })
    });
    let mut count = 0;
    for node in nodes.collect::<Vec<_>>() {
        count += node.await.unwrap();
    }
    let most = 40.0 * began.elapsed().as_secs_f64() + 10.0;
    assert!(count as f64 <= most && count >= 40, "{count} of {most}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_comes_back_for_is_cleared_up() {
    let db = Db::new().await;
    let bucket = [("b", 100.0, 1, 0)];
    take(&db.pool, &[("full", 100.0, 1, 0)], &effects(1), 0.0).await;
    take(&db.pool, &bucket, &effects(3), 0.0).await;
    later(&db, 1_800.0).await;
    take(&db.pool, &[("young", 100.0, 1, 0), ("z", 0.01, 1, 0)], &effects(1), 0.0).await;
    let host = Host::start(&db, None, HostOptions { concurrency: 0, ..HostOptions::default() }).await;
    let names = "SELECT string_agg(bucket, ' ' ORDER BY bucket) FROM rate_buckets";
    eventually("the full one is gone", async || (db.text(names).await.as_deref() == Some("b young z")).then_some(()))
        .await;
    assert_eq!(db.count("SELECT count(*) FROM rate_slots").await, 2, "an hour is not over");
    host.terminate().await;
    later(&db, 3_600.0).await;
    let _other = Host::start(&db, None, HostOptions { concurrency: 0, ..HostOptions::default() }).await;
    eventually("their time is over", async || {
        let left = "SELECT (SELECT count(*) FROM rate_slots) + (SELECT count(*) FROM rate_buckets)";
        (db.count(left).await == 0).then_some(())
    })
    .await;
}
