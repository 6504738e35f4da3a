//! What may come from where a node should be, and what the operator's policy of fees does.

use super::{Rig, mint, options};
use crate::support::{Cluster, Db, Host, HostOptions, Receiver, Say, Sink, TlsReceiver};

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_end_or_packed_or_from_elsewhere_is_none_and_the_next_node_is_asked() {
    let (cluster, other) = (Cluster::start().await, Receiver::start().await);
    let (wallet, recipient) = (cluster.wallet().await, cluster.key().await.address);
    for (n, say) in [
        Say::Endless,
        Say::Bomb,
        Say::Cut,
        Say::With(307, "location", other.url()),
        Say::With(200, "x-a", "b".to_owned()),
    ]
    .into_iter()
    .enumerate()
    {
        let (db, receiver) = (Db::new().await, Receiver::start().await);
        receiver.always(say.clone());
        let urls = [format!("http://{}", receiver.place()), cluster.url()];
        let host = Host::start(&db, None, options(&wallet, &urls, "timeout = \"8s\"")).await;
        let before = host.rss();
        let id = host.client().submit("guest-mint", mint("seat", &recipient)).await;
        host.client().wait(&id, "completed").await;
        assert!(!receiver.received().is_empty(), "{say:?}: it was asked");
        assert!(receiver.received().iter().all(|came| !came.headers.contains_key("accept-encoding")), "{say:?}");
        let grown = host.rss().saturating_sub(before);
        assert!(grown < 64 << 20, "{say:?}: {grown} bytes more");
        let mints = cluster.mints().await;
        assert_eq!(mints.len(), n + 1, "{say:?}");
        assert!(mints.values().all(|mint| (mint.succeeded, mint.supply) == (1, 1)), "{say:?}: {mints:?}");
    }
    assert_eq!(other.received().len(), 0, "nobody is led elsewhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_of_the_environment_is_not_asked() {
    let (cluster, db, proxy) = (Cluster::start().await, Db::new().await, Receiver::start().await);
    let (wallet, recipient) = (cluster.wallet().await, cluster.key().await.address);
    let url = format!("http://{}", proxy.place());
    let mut options = options(&wallet, &[cluster.url()], "");
    let names = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];
    options.env.extend(names.into_iter().map(|name| (name, url.clone())));
    let host = Host::start(&db, None, options).await;
    let id = host.client().submit("guest-mint", mint("seat", &recipient)).await;
    host.client().wait(&id, "completed").await;
    assert_eq!((cluster.mints().await.len(), proxy.received().len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_good_certificate_nothing_is_sent_and_the_job_waits() {
    let (cluster, sink) = (Cluster::start().await, Sink::start().await);
    let (wallet, recipient) = (cluster.wallet().await, cluster.key().await.address);
    // Of an authority of its own, for localhost and 127.0.0.1.
    let trusted = ("SSL_CERT_FILE", sink.ca.display().to_string());
    for (env, address) in [(vec![], "127.0.0.1"), (vec![trusted], "127.0.0.2")] {
        let (db, server) = (Db::new().await, TlsReceiver::start_at(address, sink.ca.parent().unwrap()));
        let base = options(&wallet, &[format!("https://{address}:{}", server.port)], "");
        let env = [base.env.clone(), env].concat();
        let host = Host::start(&db, None, HostOptions { env, ..base }).await;
        let id = host.client().submit("guest-mint", mint("seat", &recipient)).await;
        let error = host.client().wait_error(&id, "effect-snooze").await;
        assert!(error["message"].as_str().unwrap().contains("cannot be reached"), "{error}");
        assert_eq!(db.count("SELECT count(*) FROM effects WHERE state = 'deferred'").await, 1, "{address}");
        assert_eq!((server.requests(), db.count("SELECT count(*) FROM solana_tries").await), (0, 0), "{address}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_fee_and_compute_units_are_on_every_mint() {
    for standard in ["token-2022", "metaplex"] {
        let settings = format!("standard = \"{standard}\"\ncompute_units = 300000\npriority_fee = 2000000");
        let rig = Rig::start(&settings).await;
        let before = rig.cluster.balance(&rig.wallet).await;
        rig.mint("a").await;
        let paid = i64::try_from(before - rig.cluster.balance(&rig.wallet).await).unwrap();
        // 5,000 lamports for each of the two signatures; 2 lamports for each of 300,000 units.
        let fee = rig.db.count("SELECT fee_lamports FROM solana_tries").await;
        assert_eq!(fee, 10_000 + 600_000, "{standard}");
        assert!(paid > fee, "{standard}: {paid} paid");
    }
}
