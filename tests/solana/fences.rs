//! Two hosts that both think a mint is theirs.

use std::time::{Duration, Instant};

use super::{mint, options};
use crate::support::{Cluster, Db, Host, HostOptions, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn who_wakes_after_another_has_begun_writes_nothing_and_the_mint_is_not_refused_for_its_sake() {
    let cluster = Cluster::start().await;
    let (wallet, recipient, db) = (cluster.wallet().await, cluster.key().await.address, Db::new().await);
    // Room for one mint, and not for two.
    let settings = "timeout = \"3s\"\nmax_lamports_per_job = 8000000";
    let options = |data_dir| HostOptions { data_dir, ..options(&wallet, &[cluster.url()], settings) };
    let first = Host::start(&db, None, options(None)).await;
    cluster.fault("getLatestBlockhash", "hold-before", 1).await;
    let id = first.client().submit("guest-mint", mint("seat", &recipient)).await;
    cluster.wait_held(1).await;
    // Between its look at what was signed and its own signature.
    first.signal("STOP");
    cluster.fault("getLatestBlockhash", "hold-before", 1).await;
    let second = Host::start(&db, None, options(Some(first.data_dir.clone()))).await;
    cluster.wait_held(2).await;
    first.signal("CONT");
    // It asks again, signs, and stands before the purse before the other does.
    let began = Instant::now();
    eventually("the first has asked again", async || {
        (cluster.callers("getLatestBlockhash").await.len() > 2 || began.elapsed() > Duration::from_secs(3))
            .then_some(())
    })
    .await;
    cluster.release().await;
    let done = second.client().wait(&id, "completed").await;
    assert!(done["result"]["mint"].is_string(), "{done}");
    assert_eq!(cluster.mints().await.values().map(|mint| mint.succeeded).collect::<Vec<_>>(), [1]);
    assert_eq!(db.text("SELECT string_agg(coalesce(outcome, 'open'), ' ') FROM solana_tries").await.unwrap(), "landed");
}
