//! The crash matrix of mints: each standard × each point of a call × a host that is killed, or frozen past its lease and then
//! woken. Counted at the bank: one mint, one token, and none missing. What is held up on its way arrives in the end, too.

use crate::{
    solana::{mint, options},
    support::{
        Cluster, Db, Host, HostOptions,
        cells::{self, Harm, Point, Rpc},
    },
};

/// Where in the life of a mint.
#[derive(Clone, Copy, Debug)]
enum At {
    Gate(Point),
    /// Signed and written down, and on its way for long. (At `AfterStart` nothing is signed.)
    AfterTry,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mint_happens_once_wherever_the_host_dies_or_freezes() {
    let mut all = Vec::new();
    for standard in ["token-2022", "metaplex"] {
        for at in Point::ALL.map(At::Gate).into_iter().chain([At::AfterTry]) {
            all.extend(Harm::ALL.map(|harm| (standard, at, harm)));
        }
    }
    cells::all("mints", all, async |(standard, at, harm)| match cell(standard, at, harm).await.as_slice() {
        [(1, 1)] => Ok(()),
        mints => Err(format!("{mints:?} at the bank")),
    })
    .await;
}

/// Returns for each mint at the bank how many transactions made it, and its supply.
async fn cell(standard: &str, at: At, harm: Harm) -> Vec<(u64, u64)> {
    let cluster = Cluster::start().await;
    let (wallet, recipient, db) = (cluster.wallet().await, cluster.key().await.address, Db::new().await);
    let settings = format!("standard = \"{standard}\"\ntimeout = \"3s\"");
    let options = |data_dir| HostOptions { data_dir, ..options(&wallet, &[cluster.url()], &settings) };
    let mut first = Host::start(&db, None, options(None)).await;
    let client = first.client();
    let (point, before) = match at {
        At::Gate(point) => (point, "getLatestBlockhash"),
        At::AfterTry => (Point::AfterStart, "sendTransaction"),
    };
    let way = Rpc { cluster: &cluster, before };
    let submit = async || client.submit("guest-mint", mint("seat", &recipient)).await;
    let (_, held) = cells::reach(point, &db, &way, submit).await;
    let again = options(Some(first.data_dir.clone()));
    let second = cells::strike(harm, &mut first, &db, held, Host::start(&db, None, again)).await;
    assert_eq!(cells::ended(&db).await, "completed", "{}", second.log());
    // What was held on its way arrives all the same, late: its signature is known, or its time is over.
    cluster.release().await;
    cluster.warp(40).await;
    assert_eq!(db.count("SELECT count(*) FROM ledger").await, 1);
    assert_eq!(db.count("SELECT count(*) FROM solana_tries WHERE outcome = 'landed'").await, 1);
    cluster.mints().await.values().map(|mint| (mint.succeeded, mint.supply)).collect()
}
