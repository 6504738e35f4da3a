//! A streaming standby takes over from a primary that dies; the host stays. And what commits wait for meanwhile.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::postgres::PgPoolOptions;

use crate::support::{
    Answer, Client, Db, Host, HostOptions, Proxy, env, eventually, postgres::Postgres, scratch, usher,
};

/// Two servers, and a way that can lead to either.
struct Pair {
    primary: Postgres,
    standby: Postgres,
    /// On the primary.
    db: Db,
    /// By the way that leads to either.
    through: Db,
    proxy: Proxy,
}

impl Pair {
    async fn start() -> Self {
        let primary = Postgres::start(scratch("primary")).await;
        let db = Db::on(&primary.url("postgres")).await;
        let standby = primary.standby(scratch("standby")).await;
        // Now, and not before: without a standby every commit would wait for one. It stays with the primary, as its
        // counterpart has nobody to wait for.
        db.execute("ALTER SYSTEM SET synchronous_standby_names = '*'").await;
        db.execute("SELECT pg_reload_conf()").await;
        let proxy = Proxy::start(&db.url).await;
        let through = Db::at(proxy.url.clone(), db.pool.clone());
        let pair = Self { primary, standby, db, through, proxy };
        pair.is_synchronous().await;
        pair
    }

    async fn is_synchronous(&self) {
        let sync = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        eventually("the standby is synchronous", async || (self.db.count(sync).await == 1).then_some(())).await;
    }

    /// The same database on the standby.
    async fn on_the_standby(&self) -> Db {
        let (_, name) = self.db.url.rsplit_once('/').unwrap();
        let url = self.standby.url(name);
        let pool = PgPoolOptions::new().max_connections(2).connect(&url).await.unwrap();
        Db::at(url, pool)
    }
}

async fn promote(standby: &Db) {
    assert_eq!(standby.text("SELECT pg_promote()::text").await.as_deref(), Some("true"));
}

async fn wait_ready(host: &Host, status: u16) -> Answer {
    eventually(&format!("readiness is {status}"), async || {
        let answer = host.client().get("/health/ready").await;
        (answer.status == status).then_some(answer)
    })
    .await
}

/// 503, and when to come again.
fn assert_come_again(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.body);
    assert!(answer.headers["retry-after"].to_str().unwrap().parse::<u32>().is_ok());
}

fn options(synchronous_commit: &str) -> HostOptions {
    let config = format!("[database]\nsynchronous_commit = \"{synchronous_commit}\"\n");
    HostOptions { config, ..HostOptions::default() }
}

fn body(job_type: &str, n: usize) -> Value {
    json!({"type": job_type, "payload": {"do": "ok", "echo": n}})
}

const TYPES: [&str; 2] = ["guest-money", "guest"];

/// What was acknowledged, in order: type and id.
type Acks = Arc<Mutex<Vec<(&'static str, String)>>>;

/// Submits to both tiers, one after another, until it is told to stop; a 503 is nothing that was acknowledged.
async fn caller(client: Client, acks: Acks, stop: Arc<AtomicBool>) {
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        let job_type = TYPES[n % 2];
        let answer = client.post(body(job_type, n).to_string()).await;
        if answer.status == StatusCode::ACCEPTED {
            acks.lock().unwrap().push((job_type, answer.body["id"].as_str().unwrap().to_owned()));
        } else {
            assert_come_again(&answer);
        }
    }
}

async fn acknowledged(acks: &Acks, count: usize) {
    eventually(&format!("{count} are acknowledged"), async || (acks.lock().unwrap().len() >= count).then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_takes_over_and_every_acknowledged_money_job_completes_once() {
    let pair = Pair::start().await;
    let mut host = Host::start(&pair.through, None, options("remote_apply")).await;
    let client = host.client();
    let later = chrono::Utc::now() + chrono::TimeDelta::hours(1);
    let mut waiting = Vec::new();
    for job_type in TYPES {
        let mut body = body(job_type, 0);
        body["runAt"] = json!(later);
        waiting.push(client.post(body.to_string()).await.body["id"].as_str().unwrap().to_owned());
    }
    let (acks, stop) = (Acks::default(), Arc::new(AtomicBool::new(false)));
    let callers: Vec<_> =
        (0..4).map(|_| tokio::spawn(caller(client.clone(), Arc::clone(&acks), Arc::clone(&stop)))).collect();
    acknowledged(&acks, 80).await;

    pair.primary.kill9();
    wait_ready(&host, 503).await;
    assert_come_again(&client.post(body("guest-money", 0).to_string()).await);
    assert_come_again(&client.post(body("guest", 0).to_string()).await);
    assert_eq!(client.get("/health/live").await.status, 200);
    let standby = pair.on_the_standby().await;
    promote(&standby).await;
    pair.proxy.lead_to(&standby.url);
    wait_ready(&host, 200).await;
    // Whoever was cut off hears 503; so the ones after these were all taken by the new primary.
    let known = acks.lock().unwrap().len();
    acknowledged(&acks, known + 80).await;
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }

    let live = "SELECT count(*) FROM jobs WHERE state <> 'scheduled'";
    eventually("all are done", async || (standby.count(live).await == 0).then_some(())).await;
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT id::text, state FROM jobs_archive").fetch_all(&standby.pool).await.unwrap();
    let mut archived: HashMap<&str, Vec<&str>> = HashMap::new();
    for (id, state) in &rows {
        archived.entry(id).or_default().push(state);
    }
    let acks = acks.lock().unwrap().clone();
    for (at, (job_type, id)) in acks.iter().enumerate() {
        let found = archived.get(id.as_str()).map(Vec::as_slice);
        match (*job_type, found) {
            (_, Some(["completed"])) => {}
            // Live jobs of tier 3 are not on a promoted standby.
            ("guest", None) if at < known => {
                assert_eq!(client.get(&format!("/jobs/{id}")).await.status, StatusCode::NOT_FOUND);
            }
            _ => panic!("{job_type} {id}, acknowledged as number {at} of {}, {known} before: {found:?}", acks.len()),
        }
    }
    assert!(archived.values().all(|ends| ends.len() == 1), "nothing ended twice");
    assert_eq!(client.job(&waiting[0]).await["state"], "scheduled");
    assert_eq!(client.get(&format!("/jobs/{}", waiting[1])).await.status, StatusCode::NOT_FOUND);

    for job_type in TYPES {
        let id = client.submit(job_type, json!({"do": "ok"})).await;
        client.wait(&id, "completed").await;
    }
    assert!(host.is_alive());
    assert_eq!(host.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_runs_through_a_failover_is_settled_once_also_where_the_way_leads_there_too_early() {
    let pair = Pair::start().await;
    // The type that may run for long lives in this queue.
    let queues = "[queues.background]\ntier = 1\nretries = 2\ndelay = \"200ms\"\nbackoff = \"fixed\"\nexpiry = \"6h\"\n\
                  [queues.money]\ntier = 1\nretries = 2\ndelay = \"200ms\"\nbackoff = \"fixed\"\nexpiry = \"6h\"\n";
    let options = HostOptions { queues: Some(queues.to_owned()), ..options("remote_apply") };
    let host = Host::start(&pair.through, None, options).await;
    let client = host.client();
    let standby = pair.on_the_standby().await;
    let id = client.submit("guest-slow", json!({"do": "spin", "ms": 2000})).await;
    let row = format!("SELECT state || ' ' || attempt FROM jobs_t1 WHERE id = '{id}'");
    // A claim commits asynchronously; one that the standby does not know of is made again.
    eventually("the standby knows of the claim", async || {
        (standby.text(&row).await.as_deref() == Some("running 1")).then_some(())
    })
    .await;

    pair.primary.kill9();
    wait_ready(&host, 503).await;
    pair.proxy.lead_to(&standby.url);
    eventually("it is seen for what it is", async || {
        let answer = client.get("/health/ready").await;
        (answer.body["parts"]["database"]["detail"].as_str()?.contains("standby")).then_some(())
    })
    .await;
    assert_come_again(&client.post(body("guest-money", 0).to_string()).await);
    assert_come_again(&client.get(&format!("/jobs/{id}")).await);
    eventually("the guest has ended, and its settlement is refused", async || {
        host.log().contains("settlements could not be committed").then_some(())
    })
    .await;
    promote(&standby).await;

    wait_ready(&host, 200).await;
    let job = client.wait(&id, "completed").await;
    assert_eq!((&job["attempt"], &job["errors"]), (&json!(1), &json!([])), "{job}");
    assert_eq!(standby.count("SELECT count(*) FROM jobs_archive").await, 1);
    assert!(!host.log().contains("lease lost"));
    let after = client.submit("guest-money", json!({"do": "ok"})).await;
    client.wait(&after, "completed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn money_is_acknowledged_when_the_standby_has_it_and_with_remote_apply_when_it_shows_it() {
    let pair = Pair::start().await;
    let flushed = Host::start(&pair.db, None, options("on")).await;
    let applied = Host::start(&pair.db, None, HostOptions { plugins: Vec::new(), ..options("remote_apply") }).await;
    let standby = pair.on_the_standby().await;
    let post = async |host: &Host, job_type: &str, key: &str| {
        host.client().post_with(body(job_type, 0).to_string(), &[("idempotency-key", key)]).await
    };
    let repeated = async |host: &Host, key: &str| {
        let id = host.client().submit_surely(&body("guest-money", 0).to_string(), key).await;
        host.client().wait(&id, "completed").await;
    };

    standby.execute("SELECT pg_wal_replay_pause()").await;
    assert_eq!(post(&flushed, "guest-money", "a").await.status, StatusCode::ACCEPTED);
    assert_eq!(post(&applied, "guest", "b").await.status, StatusCode::ACCEPTED);
    assert_come_again(&post(&applied, "guest-money", "c").await);
    standby.execute("SELECT pg_wal_replay_resume()").await;
    repeated(&applied, "c").await;

    pair.standby.crash().await;
    assert_come_again(&post(&flushed, "guest-money", "d").await);
    assert_come_again(&post(&applied, "guest-money", "e").await);
    assert_eq!(post(&flushed, "guest", "f").await.status, StatusCode::ACCEPTED, "tier 3 waits for nobody");
    pair.standby.start_again().await;
    repeated(&flushed, "d").await;
    repeated(&applied, "e").await;
    eventually("all are done", async || (pair.db.count("SELECT count(*) FROM jobs").await == 0).then_some(())).await;
    let total = "SELECT count(*) FROM jobs_archive WHERE state = 'completed'";
    assert_eq!(pair.db.count(total).await, 6, "one a key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_role_that_owns_its_database_is_enough() {
    let name = format!("plain_{}", uuid::Uuid::new_v4().simple());
    let admin = env("USHER_TEST_PG");
    let superuser = Db::at(admin.clone(), PgPoolOptions::new().max_connections(1).connect(&admin).await.unwrap());
    superuser
        .execute(&format!(
            "CREATE ROLE {name} LOGIN PASSWORD 'plain' NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION"
        ))
        .await;
    superuser.execute(&format!("CREATE DATABASE {name} OWNER {name}")).await;
    let (_, server) = admin.rsplit_once('@').unwrap();
    let url = format!("postgres://{name}:plain@{}/{name}", server.split_once('/').unwrap().0);
    let migrated = usher().arg("migrate").env("DATABASE_URL", &url).output().unwrap();
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    let pool = PgPoolOptions::new().max_connections(2).connect(&url).await.unwrap();
    let db = Db::at(url, pool);
    // A day whose time is over, as its own.
    db.execute("SELECT usher_make_archive_days((now() - interval '20 days')::date, 1)").await;
    let day = db.text("SELECT 'jobs_archive_d7_' || to_char(now() - interval '20 days', 'YYYYMMDD')").await.unwrap();

    let host = Host::start(&db, None, HostOptions::default()).await;
    for job_type in TYPES {
        let id = host.client().submit(job_type, json!({"do": "ok"})).await;
        host.client().wait(&id, "completed").await;
    }
    assert_eq!(db.count(&format!("SELECT count(*) FROM pg_class WHERE relname = '{day}'")).await, 0);
    let log = host.log();
    assert!(!log.contains("permission denied") && !log.contains("must be owner"), "{log}");
    assert_eq!(host.terminate().await, Some(0));
    db.pool.close().await;
    superuser.execute(&format!("DROP DATABASE {name}")).await;
    superuser.execute(&format!("DROP ROLE {name}")).await;
}
