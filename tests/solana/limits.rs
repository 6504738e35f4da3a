//! Lamports are counted before they are spent.

use serde_json::json;

use super::{Rig, mint, options};
use crate::support::{Client, Cluster, Db, Host, eventually, token};

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
    let attempts = rig.db.count("SELECT max(attempt)::bigint FROM jobs").await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_purse_that_somebody_holds_puts_its_own_jobs_off_and_no_others() {
    let cluster = Cluster::start().await;
    let (wallet, recipient, db) = (cluster.wallet().await, cluster.key().await.address, Db::new().await);
    let mut options = options(&wallet, &[cluster.url()], "");
    options.config = options.config.replace("tenants = [\"t1\"]", "tenants = [\"*\"]");
    let host = Host::start(&db, None, options).await;
    // A host that is frozen there would hold it so.
    let mut session = db.pool.begin().await.unwrap();
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('usher_solana/main/t1', 0))")
        .execute(&mut *session)
        .await
        .unwrap();
    let (client, other) = (host.client(), Client::new(&host.base, token("user", Some("t2"))));
    let mut waiting = Vec::new();
    for n in 0..3 {
        waiting.push(client.submit("guest-mint", mint(&format!("seat-{n}"), &recipient)).await);
    }
    for id in &waiting {
        let error = client.wait_error(id, "effect-snooze").await;
        assert!(error["message"].as_str().unwrap().contains("counting lamports"), "{error}");
    }
    let id = other.submit("guest-mint", mint("seat", &recipient)).await;
    other.wait(&id, "completed").await;
    assert_eq!(db.count("SELECT count(*) FROM solana_tries WHERE tenant = 't1'").await, 0);
    assert!(db.count("SELECT max(attempt)::bigint FROM jobs").await <= 1, "no attempt was burnt");
    session.rollback().await.unwrap();
    for id in &waiting {
        client.wait(id, "completed").await;
    }
    assert_eq!(cluster.mints().await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_judged_dead_does_not_count_even_if_that_could_not_be_written_down() {
    // Room for one mint, and not for two.
    let rig = Rig::start("max_lamports_per_job = 8000000").await;
    rig.cluster.fault("sendTransaction", "drop", 1_000).await;
    let id = rig.submit(mint("a", &rig.recipient)).await;
    eventually("the first is sent", async || (!rig.cluster.sent().await.is_empty()).then_some(())).await;
    for sql in [
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$",
        "CREATE TRIGGER no BEFORE UPDATE ON solana_tries FOR EACH ROW WHEN (NEW.outcome = 'expired') EXECUTE FUNCTION no()",
    ] {
        rig.db.execute(sql).await;
    }
    rig.cluster.warp(600).await;
    rig.cluster.calm().await;
    let minted = rig.host.client().wait(&id, "completed").await["result"].clone();
    rig.is_the_only_one(&minted).await;
    let outcomes = rig.outcomes().await;
    assert!(outcomes.starts_with("open") && outcomes.ends_with("landed"), "{outcomes}");
    assert!(2 * price(&rig).await > 8_000_000, "there is room for one only");
}
