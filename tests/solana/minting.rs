//! What is minted, as wallets' libraries read it.

use serde_json::{Value, json};

use super::{Rig, mint, options};
use crate::support::{Client, Cluster, Db, Host, HostOptions, token};

const TOKEN_2022: &str = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb";
const SPL_TOKEN: &str = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA";

#[tokio::test(flavor = "multi_thread")]
async fn a_token_2022_mint_is_one_token_that_holds_its_own_metadata() {
    let rig = Rig::start("commitment = \"finalized\"\ncollections = [\"*\"]").await;
    let collection = rig.cluster.key().await.address;
    let mut job = mint("seat-12a", &rig.recipient);
    job["royaltyBps"] = 500.into();
    job["collection"] = collection.clone().into();
    job["attributes"] = json!({"seat": "12A", "block": "süd"});
    let before = rig.cluster.balance(&rig.wallet).await;
    let minted = rig.run(job).await;
    rig.is_the_only_one(&minted).await;

    let read = rig.cluster.read("token-2022", &minted["mint"]).await;
    let wallet = &rig.wallet.address;
    let expected = json!({
        "program": TOKEN_2022, "supply": 1, "decimals": 0, "mintAuthority": null, "freezeAuthority": null,
        "pointsTo": minted["mint"], "name": "Seat 12A", "symbol": "TICKET", "updateAuthority": wallet,
        "uri": "https://files.example.com/sha256-0123456789abcdef.json",
        "fields": {"seat": "12A", "block": "süd", "royalty_basis_points": "500", "collection": collection},
    });
    assert_eq!(read, expected);
    owns(&rig.cluster, &minted, &rig.recipient).await;

    assert_eq!(rig.outcomes().await, "landed");
    let line = "SELECT kind || ' ' || provider_id || ' ' || currency || ' ' || status FROM ledger";
    let mint = minted["mint"].as_str().unwrap();
    assert_eq!(rig.db.text(line).await.unwrap(), format!("mint {mint} sol finalized"));
    let paid = i64::try_from(before - rig.cluster.balance(&rig.wallet).await).unwrap();
    assert_eq!(rig.db.count("SELECT amount FROM ledger").await, paid, "what the ledger says was paid");
}

/// The recipient's token account holds the one token.
async fn owns(cluster: &Cluster, minted: &Value, recipient: &str) {
    let data = cluster.data(minted["tokenAccount"].as_str().unwrap()).await;
    // Mint, owner, amount.
    assert_eq!(data[64..72], 1_u64.to_le_bytes());
    let owner = cluster.call("rig_base58", json!([data[32..64].to_vec()])).await;
    assert_eq!(owner, recipient);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_metaplex_mint_has_the_accounts_of_its_kind_and_a_verified_collection() {
    let cluster = Cluster::start().await;
    let (wallet, other) = (cluster.wallet().await, cluster.wallet().await);
    let (recipient, db) = (cluster.key().await.address, Db::new().await);
    let mut options = options(&wallet, &[cluster.url()], "standard = \"metaplex\"\ncollections = [\"*\"]");
    options.config += "[solana.profiles.other]\nwallet = { env = \"USHER_TEST_OTHER\" }\ntenants = [\"*\"]\nstandard = \"metaplex\"\n\
                       commitment = \"confirmed\"\nendpoints = [{ url = { env = \"USHER_TEST_SOLANA_0\" } }]\n";
    options.env.push(("USHER_TEST_OTHER", other.secret.clone()));
    let host = Host::start(&db, None, HostOptions { ..options }).await;
    let run = async |client: Client, payload| {
        let id = client.submit("guest-mint", payload).await;
        client.wait(&id, "completed").await["result"].clone()
    };
    let own = run(host.client(), mint("collection", &recipient)).await;
    let foreign = run(Client::new(&host.base, token("user", Some("t2"))), mint("collection", &recipient)).await;
    for (collection, verified) in [(&own, true), (&foreign, false)] {
        let mut job = mint("seat", &recipient);
        job["royaltyBps"] = 750.into();
        job["collection"] = collection["mint"].clone();
        let minted = run(host.client(), job).await;
        owns(&cluster, &minted, &recipient).await;
        let read = cluster.read("metaplex", &minted["mint"]).await;
        let edition = read["edition"].clone();
        let expected = json!({
            "program": SPL_TOKEN, "supply": 1, "decimals": 0, "mintAuthority": edition, "freezeAuthority": edition,
            "edition": edition, "prints": 0, "name": "Seat 12A", "symbol": "TICKET",
            "uri": "https://files.example.com/sha256-0123456789abcdef.json", "updateAuthority": wallet.address,
            "royaltyBps": 750, "creators": [{"address": wallet.address, "verified": true, "share": 100}],
            "collection": {"verified": verified, "key": collection["mint"]}, "isMutable": true,
        });
        assert_eq!(read, expected);
    }
    let mints = cluster.mints().await;
    assert_eq!(mints.len(), 4);
    assert!(mints.values().all(|mint| (mint.succeeded, mint.supply) == (1, 1)), "{mints:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_is_one_mint_of_its_job() {
    let rig = Rig::start("").await;
    let with = |label: &str, name: &str| {
        let mut job = mint(label, &rig.recipient);
        (job["name"], job["catch"]) = (name.into(), true.into());
        job
    };
    let steps = [with("a", "One"), with("a", "One"), with("a", "Two"), with("b", "Two")];
    let all = rig.run(json!({"do": "steps", "steps": steps})).await;
    assert_eq!(all[0], all[1], "the same under the same label is there already");
    assert_eq!(all[2]["code"], "label-taken", "{all}");
    assert_ne!(all[0]["mint"], all[3]["mint"]);
    let again = rig.run(with("a", "One")).await;
    assert_ne!(again["mint"], all[0]["mint"], "another job's");
    let mints = rig.cluster.mints().await;
    assert_eq!(mints.len(), 3);
    assert!(mints.values().all(|mint| (mint.succeeded, mint.supply) == (1, 1)), "{mints:?}");
    let lines = "SELECT count(*) FROM ledger";
    assert_eq!(rig.db.count(lines).await, 3, "a line a mint, however often it is asked for");
}
