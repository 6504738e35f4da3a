//! Lamports are counted before they are spent.

use serde_json::json;

use super::{Rig, mint};
use crate::support::eventually;

/// What one mint as here takes, with the test's fees.
async fn price(rig: &Rig) -> i64 {
    rig.db.count("SELECT fee_lamports + rent_lamports FROM solana_tries LIMIT 1").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_spends_no_more_than_its_cap() {
    // Room for two mints, and not for three.
    let rig = Rig::start("max_lamports_per_job = 14000000").await;
    let with = |label: &str| {
        let mut job = mint(label, &rig.recipient);
        job["catch"] = true.into();
        job
    };
    let steps = ["a", "b", "c"].map(with);
    let all = rig.run(json!({"do": "steps", "steps": steps})).await;
    let room = 14_000_000 / price(&rig).await;
    assert_eq!(room, 2, "a mint here takes {}", price(&rig).await);
    assert!(all[0]["mint"].is_string() && all[1]["mint"].is_string(), "{all}");
    assert_eq!((&all[2]["error"], &all[2]["code"]), (&json!("rejected"), &json!("lamports-per-job")), "{all}");
    assert_eq!(rig.cluster.mints().await.len(), 2);
    // Another job has its own.
    rig.mint("c").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_jobs_together_spend_no_more_in_an_hour() {
    let settings = "max_lamports_per_job = 14000000\nmax_lamports_per_hour = 21000000";
    let rig = Rig::start(settings).await;
    let mut jobs = Vec::new();
    for n in 0..8 {
        jobs.push(rig.submit(mint(&format!("seat-{n}"), &rig.recipient)).await);
    }
    let room = usize::try_from(
        21_000_000 / {
            eventually("something is signed", async || {
                (rig.db.count("SELECT count(*) FROM solana_tries").await > 0).then_some(())
            })
            .await;
            price(&rig).await
        },
    )
    .unwrap();
    assert!((1..8).contains(&room));
    // All that had no room wait, and burn no attempt.
    let waiting = "SELECT count(*) FROM jobs WHERE errors::text LIKE '%lamports%'";
    let rest = i64::try_from(8 - room).unwrap();
    eventually("the others wait", async || (rig.db.count(waiting).await == rest).then_some(())).await;
    eventually("those with room are done", async || (rig.cluster.mints().await.len() == room).then_some(())).await;
    let attempts = rig.db.count("SELECT max(attempt) FROM jobs").await;
    assert!(attempts <= 1, "{attempts} attempts");
    // An hour later there is room again.
    for _ in 0..8 {
        rig.db.execute("UPDATE solana_tries SET created_at = created_at - interval '1 hour'").await;
        if rig.db.count("SELECT count(*) FROM jobs").await == 0 {
            break;
        }
        let left = rig.db.count("SELECT count(*) FROM jobs").await;
        eventually("more go through", async || {
            (rig.db.count("SELECT count(*) FROM jobs").await <= (left - room as i64).max(0)).then_some(())
        })
        .await;
    }
    for id in jobs {
        rig.host.client().wait(&id, "completed").await;
    }
    let mints = rig.cluster.mints().await;
    assert_eq!(mints.len(), 8);
    assert!(mints.values().all(|mint| mint.succeeded == 1), "{mints:?}");
}
