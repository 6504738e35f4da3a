//! The engine under many jobs: fairness, aging, races of keys, several nodes, plans at a million rows.

use std::fs;

use serde_json::json;
use sqlx::{AssertSqlSafe, Row};

use crate::support::{Db, Host, HostOptions, eventually, token};

fn second() -> HostOptions {
    HostOptions { plugins: Vec::new(), ..HostOptions::default() }
}

/// Submits by SQL, which is the quickest way to very many.
async fn many(db: &Db, tenant: &str, count: u32, more: &str) {
    let sql = format!(
        "SELECT count(usher.submit('{tenant}', 'guest-money', '{{\"do\": \"ok\"}}'{more})) FROM generate_series(1, {count})"
    );
    db.execute(&sql).await;
    eventually("they are checked", async || {
        (db.count("SELECT count(*) FROM jobs WHERE unchecked").await == 0).then_some(())
    })
    .await;
}

async fn pause(host: &Host, verb: &str) {
    let answer = host.admin().send(reqwest::Method::POST, &format!("/queues/money/{verb}"), None).await;
    assert_eq!(answer.status, 200);
}

async fn done(db: &Db) {
    eventually("all are done", async || (db.count("SELECT count(*) FROM jobs").await == 0).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_with_thousands_of_jobs_does_not_delay_anothers_single_one() {
    let db = Db::new().await;
    let options = HostOptions { concurrency: 48, ..HostOptions::default() };
    let host = Host::start(&db, None, options).await;
    pause(&host, "pause").await;
    many(&db, "t1", 5_000, "").await;
    let lanes = db.count("SELECT count(DISTINCT lane) FROM jobs").await;
    assert_eq!(lanes, 2, "its first few in the light lane, the others in one of its own");
    let other = host.client().with_token(token("user", Some("t2")));
    let single = other.submit("guest-money", json!({"do": "ok"})).await;
    pause(&host, "resume").await;
    done(&db).await;
    // A batch here is what two thirds of the node hold.
    let before = format!(
        "SELECT count(*) FROM jobs_archive WHERE finished_at < (SELECT finished_at FROM jobs_archive WHERE id = '{single}')"
    );
    let before = db.count(&before).await;
    assert!(before < 2 * 32, "{before} jobs of the other tenant ended first");
    // And its own are in order: each claim took what was next.
    let swapped = "SELECT count(*) FROM (SELECT claimed, lag(claimed) OVER (ORDER BY id) AS earlier FROM \
                   (SELECT id, finished_at AS claimed FROM jobs_archive WHERE tenant = 't1') AS a) AS b \
                   WHERE claimed < earlier - interval '1 s'";
    assert_eq!(db.count(swapped).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_share_a_queue_by_their_weight() {
    let db = Db::new().await;
    let config = "[tenants.heavy]\nweight = 3\n".to_owned();
    let host = Host::start(&db, None, HostOptions { concurrency: 48, config, ..HostOptions::default() }).await;
    pause(&host, "pause").await;
    many(&db, "heavy", 1_500, "").await;
    many(&db, "other", 1_500, "").await;
    pause(&host, "resume").await;
    done(&db).await;
    let first = "SELECT count(*) FILTER (WHERE tenant = 'heavy') FROM \
                 (SELECT tenant FROM jobs_archive ORDER BY finished_at LIMIT 1200) AS f";
    let heavy = db.count(first).await;
    assert!((800..=1_000).contains(&heavy), "three of four: {heavy} of 1200");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tenant_takes_no_more_of_a_node_than_its_share() {
    let db = Db::new().await;
    let queues = "[queues.money]\ntier = 1\nretries = 10\ndelay = \"200ms\"\nbackoff = \"fixed\"\nexpiry = \"24h\"\n\
                  tenant_share = 0.25\n[queues.background]\ntier = 3\nretries = 2\ndelay = \"200ms\"\nbackoff = \"fixed\"\n\
                  expiry = \"6h\"\n";
    let options = HostOptions { concurrency: 40, queues: Some(queues.to_owned()), ..HostOptions::default() };
    let host = Host::start(&db, None, options).await;
    pause(&host, "pause").await;
    let slow = "SELECT count(usher.submit('t1', 'guest-money', '{\"do\": \"spin\", \"ms\": 300}')) FROM generate_series(1, 60)";
    db.execute(slow).await;
    eventually("they are checked", async || {
        (db.count("SELECT count(*) FROM jobs WHERE unchecked").await == 0).then_some(())
    })
    .await;
    pause(&host, "resume").await;
    let mut most = 0;
    eventually("all are done", async || {
        most = most.max(db.count("SELECT count(*) FROM jobs WHERE state = 'running' AND lane <> 0").await);
        (db.count("SELECT count(*) FROM jobs").await == 0).then_some(())
    })
    .await;
    assert!((1..=10).contains(&most), "a quarter of 40, beyond its first few: {most}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_low_priority_is_not_starved() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions { concurrency: 24, ..HostOptions::default() }).await;
    pause(&host, "pause").await;
    many(&db, "t1", 3_000, ", priority => 'critical'").await;
    many(&db, "t1", 1, ", priority => 'background'").await;
    pause(&host, "resume").await;
    done(&db).await;
    let before = "SELECT count(*) FROM jobs_archive WHERE finished_at < \
                  (SELECT finished_at FROM jobs_archive WHERE priority = 1)";
    let before = db.count(before).await;
    // One claim in eight begins at the low end; a claim takes up to 16 jobs here.
    assert!(before < 3 * 8 * 16, "{before} critical jobs ended first");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_a_hundred_times_at_once_from_three_nodes_is_one_job() {
    let db = Db::new().await;
    let first = Host::start(&db, None, HostOptions::default()).await;
    let (other, third) = (Host::start(&db, None, second()).await, Host::start(&db, None, second()).await);
    let clients = [first.client(), other.client(), third.client()];
    let body = json!({"type": "guest-money", "payload": {"do": "ok"}}).to_string();
    let key = [("idempotency-key", "once")];
    let all = (0..100).map(|n| clients[n % 3].post_with(body.clone(), &key));
    let answers = futures_util::future::join_all(all).await;
    let new = answers.iter().filter(|answer| answer.status == 202).count();
    let replayed = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!((new, replayed), (1, 99));
    let ids: std::collections::BTreeSet<_> = answers.iter().map(|answer| answer.body["id"].to_string()).collect();
    assert_eq!(ids.len(), 1);
    done(&db).await;
    assert_eq!(db.count("SELECT count(*) FROM jobs_archive").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_drain_one_queue_and_no_job_runs_twice() {
    let db = Db::new().await;
    let first = Host::start(&db, None, HostOptions::default()).await;
    pause(&first, "pause").await;
    many(&db, "t1", 3_000, "").await;
    let hosts = [first, Host::start(&db, None, second()).await, Host::start(&db, None, second()).await];
    pause(&hosts[0], "resume").await;
    done(&db).await;
    let sum = "SELECT count(*) FILTER (WHERE state = 'completed' AND attempt = 1) FROM jobs_archive";
    assert_eq!(db.count(sum).await, 3_000);
    assert_eq!(db.count("SELECT count(DISTINCT id) FROM jobs_archive").await, 3_000);
    for host in &hosts {
        assert!(!host.log().contains("lease lost"), "nobody took another's job");
    }
}

/// The statements as they are sent, from what the build checked against a server.
fn statements() -> Vec<String> {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/.sqlx");
    let files = fs::read_dir(dir).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    files
        .map(|text| serde_json::from_str::<serde_json::Value>(&text).unwrap()["query"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_million_live_jobs_no_statement_of_the_data_path_scans_or_sorts_the_table() {
    let db = Db::new().await;
    db.execute(
        "INSERT INTO jobs (tier, id, tenant, job_type, queue, priority, lane, ord, state, max_attempts, payload, subject, \
         expires_at) SELECT 1, gen_random_uuid(), 't' || g % 50, 'guest-money', 'money', (ARRAY[10, 7, 5, 3, 1])[1 + g % 5], \
         g % 17, nextval('ready_seq'), 'ready', 11, '{\"do\": \"ok\"}', 's', now() + interval '1 day' \
         FROM generate_series(1, 1000000) AS g",
    )
    .await;
    db.execute("ANALYZE jobs").await;
    let all = statements();
    let of = |marks: &[&str]| {
        let found: Vec<_> = all.iter().filter(|sql| marks.iter().all(|mark| sql.contains(mark))).cloned().collect();
        assert!(!found.is_empty(), "no statement has {marks:?}");
        found
    };
    let mut path = of(&["FOR UPDATE SKIP LOCKED", "SET state = 'running'"]);
    path.extend(of(&["DELETE FROM jobs j USING f", "INSERT INTO jobs_archive"]));
    path.extend(of(&["UPDATE jobs j", "snoozes    ="]));
    path.extend(of(&["INSERT INTO jobs (tier", "WITH ORDINALITY"]));
    for (n, sql) in path.iter().enumerate() {
        let mut connection = db.pool.acquire().await.unwrap();
        let run = async |sql: String, connection: &mut sqlx::PgConnection| {
            sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await.unwrap()
        };
        run("SET plan_cache_mode = force_generic_plan".to_owned(), &mut connection).await;
        run(format!("PREPARE p{n} AS {sql}"), &mut connection).await;
        let parameters = (1..).take_while(|n| sql.contains(&format!("${n}"))).count();
        let nulls = vec!["NULL"; parameters].join(", ");
        let rows = run(format!("EXPLAIN EXECUTE p{n}({nulls})"), &mut connection).await;
        let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let plan = plan.join("\n");
        assert!(!plan.contains("Seq Scan on jobs_t1"), "{plan}");
        // An enqueue sorts its own batch, and a settlement the journal of its own; nothing sorts what it reads of jobs.
        let reads_jobs = plan.contains("Scan using") || plan.contains("Tid Scan on jobs_t1");
        let sorts = plan.matches("Sort  (").count();
        assert!(sorts == 0 || (sorts <= 2 && !reads_jobs) || sql.contains("jsonb_agg"), "{sorts} sorts: {plan}");
    }
}
