//! What the ten did, run again: the same to the byte, without a word to their peers or a row of the database.
//!
//! The long form is the same test over at least so many jobs as `USHER_REPLAYED` says, by rounds of the counts below:
//! `USHER_REPLAYED=1000 cargo xtask test jobs_of_all_ten_types`.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    time::Duration,
};

use serde_json::{Value, json};

use super::Rig;
use crate::{
    support::{Db, PASSWORD, PATIENCE, Product, SECRET, product::TYPES, token, usher, within},
    verify::Said,
    webhooks,
};

/// Jobs of each type in a round; the very first of them meets a fault on its way, and every fifth is refused for good.
const EACH: u32 = 20;
const REFUSED: u32 = 5;
/// Further ones of `nft-mint`, on the chain.
const ON_SOLANA: u32 = 4;
/// Further ones of `payout-process`, tenant t2's: transfers to a connected account, and payouts of its balance.
const CONNECTED: u32 = 4;
/// Types that enqueue a mail with their success.
const MAILED: [&str; 3] = ["payment-process", "refund-process", "nft-mint"];
/// Jobs of a round, with those mails; neither the further ones nor those that are refused lead to any.
const ROUND: u32 = 10 * EACH + 3 * (EACH - EACH / REFUSED) + ON_SOLANA + CONNECTED;

/// Jobs by type and end.
type Ended = BTreeMap<(&'static str, &'static str), u32>;

/// How many rounds there are to be.
fn rounds() -> u32 {
    let wanted = std::env::var("USHER_REPLAYED").unwrap_or_else(|_| ROUND.to_string());
    let wanted = wanted.parse::<u32>().unwrap_or_else(|e| panic!("USHER_REPLAYED={wanted}: {e}"));
    wanted.div_ceil(ROUND).max(1)
}

/// Has the jobs done, one of each type after the other. Their ends, with those of the mails that they lead to.
async fn record(rig: &Rig, rounds: u32) -> Ended {
    let Rig { product, host, .. } = rig;
    let client = host.client();
    let mut ended = Ended::new();
    for n in 1..=rounds * EACH {
        // A new token now and then: it is good for an hour.
        let client = client.with_token(token("user", Some("t1")));
        for (job_type, _) in TYPES {
            let is_refused = n % REFUSED == 0;
            let payload =
                if is_refused { product.refused(job_type, n).await.0 } else { product.payload(job_type, n).await };
            if n == 1 {
                product.stumble(job_type, &payload).await;
            }
            client.submit(job_type, payload).await;
            *ended.entry((job_type, if is_refused { "permanent" } else { "completed" })).or_default() += 1;
            if MAILED.contains(&job_type) && !is_refused {
                *ended.entry(("send-email", "completed")).or_default() += 1;
            }
        }
    }
    let recipient = product.cluster.key().await;
    let client = client.with_token(token("user", Some("t1")));
    for n in 1..=rounds * ON_SOLANA {
        client.submit("nft-mint", product.on_solana(&recipient, n)).await;
        *ended.entry(("nft-mint", "completed")).or_default() += 1;
    }
    let client = client.with_token(token("user", Some("t2")));
    for n in 1..=rounds * CONNECTED {
        client.submit("payout-process", product.connected(n)).await;
        *ended.entry(("payout-process", "completed")).or_default() += 1;
    }
    ended
}

/// All jobs by type and end, once none is left to do.
async fn wait_ended(db: &Db, jobs: u32, patience: Duration) -> String {
    let all = "SELECT count(*) FROM jobs_archive";
    within(patience, &format!("{jobs} jobs have ended"), async || {
        (db.count(all).await >= i64::from(jobs) && db.count("SELECT count(*) FROM jobs").await == 0).then_some(())
    })
    .await;
    let by_end = "SELECT string_agg(line, E'\\n' ORDER BY line COLLATE \"C\") FROM (
                      SELECT format('%s %s %s', job_type, coalesce(reason, state), count(*)) AS line
                      FROM jobs_archive GROUP BY job_type, coalesce(reason, state)) AS l";
    db.text(by_end).await.unwrap()
}

/// How often anybody was asked for anything: whatever it is, it leaves by one of these ways.
async fn asked(product: &Product) -> Value {
    let Product { to_stripe, to_minting, to_twilio, to_fcm, to_services, .. } = product;
    let along = [to_stripe, to_minting, to_twilio, to_fcm, to_services].map(|proxy| proxy.seen().len());
    json!({
        "Stripe, minting service, Twilio, FCM, services": along,
        "connected accounts": product.connect.seen().len(),
        "cluster": product.cluster.call("rig_calls", json!([])).await,
        "SMTP": product.sink.greetings().await,
        "tokens": product.tokens.told("sold").await.len(),
        "webhooks": product.receiver.received().len(),
    })
}

/// A line for each table: how many rows it has, and a digest of all that is in them.
async fn rows(db: &Db) -> Vec<String> {
    let tables = "SELECT string_agg(c.oid::regclass::text, ' ' ORDER BY c.oid) FROM pg_class AS c
                  JOIN pg_namespace AS n ON n.oid = c.relnamespace
                  WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')";
    let mut lines = Vec::new();
    for table in db.text(tables).await.unwrap().split(' ') {
        let all = format!(
            "SELECT '{table} ' || count(*) || ' ' || coalesce(md5(string_agg(whole_row::text, '|' ORDER BY whole_row::text)), '')
             FROM {table} AS whole_row"
        );
        lines.push(db.text(&all).await.unwrap());
    }
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_all_ten_types_replay_byte_for_byte_and_nothing_leaves() {
    let rounds = rounds();
    let patience = PATIENCE * rounds;
    let rig = Rig::start().await;
    for tenant in ["t1", "t2"] {
        webhooks::endpoint_of(tenant, &rig.host, &rig.product.receiver, &[]).await;
    }
    let ended = record(&rig, rounds).await;
    let jobs = ended.values().sum::<u32>();
    assert_eq!(jobs, rounds * ROUND);
    let mut expected: Vec<_> =
        ended.iter().map(|((job_type, end), count)| format!("{job_type} {end} {count}")).collect();
    expected.sort();
    assert_eq!(wait_ended(&rig.db, jobs, patience).await, expected.join("\n"));
    // Each that is refused is told, and each that pays, gives back or mints.
    let is_told = |(job_type, end): &(&str, &str)| {
        *end == "permanent" || ["payment-process", "refund-process", "payout-process", "nft-mint"].contains(job_type)
    };
    let told = ended.iter().filter(|(of, _)| is_told(of)).map(|(_, count)| i64::from(*count)).sum::<i64>();
    let delivered = "SELECT count(*) FROM webhook_archive WHERE state = 'delivered'";
    within(patience, &format!("{told} events are delivered"), async || {
        (rig.db.count(delivered).await == told).then_some(())
    })
    .await;

    let Rig { product, db, host } = rig;
    assert_eq!(db.count("SELECT count(*) FROM jobs_archive WHERE journal IS NULL").await, 0, "each had an effect");
    let retried = "SELECT count(DISTINCT job_type) FROM jobs_archive WHERE state = 'completed' AND attempt > 1";
    assert_eq!(db.count(retried).await, 10, "one of each type took more than one attempt");
    let calls = "SELECT string_agg(DISTINCT (e ->> 'provider') || '.' || (e ->> 'function'), ' ')
                 FROM jobs_archive, jsonb_array_elements(journal) AS e";
    let calls = db.text(calls).await.unwrap();
    let mut calls: Vec<_> = calls.split(' ').collect();
    calls.sort_unstable();
    assert_eq!(
        calls,
        [
            "email.send",
            "email.send-template",
            "push.send",
            "sms.send",
            "solana.mint-nft",
            "stripe.create-payment-intent",
            "stripe.create-payout",
            "stripe.create-refund",
            "stripe.create-transfer",
            "upstream.call",
        ]
    );

    // Without the host, whatever is asked or written from here on is the replay's doing.
    let config = host.data_dir.join("usher.toml");
    assert_eq!(host.terminate().await, Some(0));
    let last = jobs.to_string();
    let replay = async |more: &[&str]| {
        let mut command = usher();
        command
            .args(["jobs", "replay", "--last", last.as_str(), "--config"])
            .arg(&config)
            .args(more)
            .env("DATABASE_URL", &db.url)
            .env("USHER_TEST_JWT", SECRET)
            .env("USHER_TEST_SMTP_PASSWORD", PASSWORD)
            .envs(product.options("").env);
        Said::of(tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap())
    };
    let before = (asked(&product).await, rows(&db).await);
    let said = replay(&["--json"]).await;
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let report: Value = serde_json::from_str(&said.out).unwrap();
    let mut by_type = BTreeMap::<&str, u32>::new();
    for ((job_type, _), count) in &ended {
        *by_type.entry(job_type).or_default() += count;
    }
    assert_eq!(report["types"], json!(by_type), "{report}");
    for (what, count) in [("jobs", jobs), ("same", jobs), ("different", 0), ("failed", 0), ("skipped", 0)] {
        assert_eq!(report[what], count, "{what}: {report}");
    }
    assert_eq!(report["uncompared"], 0, "{report}");
    assert_eq!((asked(&product).await, rows(&db).await), before, "nobody was asked, and nothing was written");

    // One byte more in one result of each type, and the same as JSON.
    let planted = "UPDATE jobs_archive SET result = result || ' ' WHERE id IN (
                       SELECT DISTINCT ON (job_type) id FROM jobs_archive WHERE state = 'completed' ORDER BY job_type, id)";
    assert_eq!(db.execute(planted).await, 10);
    let said = replay(&[]).await;
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    let expected = format!("replay: jobs={jobs} same={} different=10 failed=0 skipped=0", jobs - 10);
    assert_eq!(said.last_line(), expected, "{}", said.out);
    let by_type: Vec<_> = by_type.iter().map(|(job_type, count)| format!("{job_type}={count}")).collect();
    // Not by `println!`, which is shown of tests that fail only.
    let _ = writeln!(io::stderr(), "replayed byte for byte: jobs={jobs} {}", by_type.join(" "));
}
