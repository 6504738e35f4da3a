//! Hosts behind PgBouncer in transaction mode, with few connections to the server that all must share.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, postgres::PgConnectOptions};

use crate::support::{Client, Db, Host, HostOptions, PgBouncer, Sink, component, eventually, place, within};

/// Connections to the server; a host has 23 to the pooler.
const FEW: u32 = 4;
const CALLERS: usize = 8;
const EACH: usize = 40;

/// A database, and the same through a pooler. Which schema a role sees first is its own setting there.
async fn behind_a_pooler() -> (Db, Db, PgBouncer) {
    let db = Db::new().await;
    db.execute(&for_the_role(&db, "SET search_path = public").await).await;
    let bouncer = PgBouncer::start(FEW).await;
    let through = Db::at(bouncer.url(&db.url), db.pool.clone());
    (db, through, bouncer)
}

async fn for_the_role(db: &Db, setting: &str) -> String {
    let role = "SELECT format('ALTER ROLE %I IN DATABASE %I ', current_user, current_database())";
    db.text(role).await.unwrap() + setting
}

/// `direct`: past the pooler.
fn pooled(direct: &Db) -> HostOptions {
    HostOptions {
        config: "[database]\npooler = \"transaction\"\ndirect_url = { env = \"STRAIGHT\" }\n".to_owned(),
        env: vec![("STRAIGHT", direct.url.clone())],
        ..HostOptions::default()
    }
}

/// A program that has no way but the pooler either, and speaks the simple protocol.
async fn service(through: &Db) -> PgConnection {
    let options: PgConnectOptions = through.url.parse().unwrap();
    PgConnection::connect_with(&options.extra_float_digits(None)).await.unwrap()
}

async fn post(client: &Client, body: Value, key: &str) -> Value {
    let answer = client.post_with(body.to_string(), &[("idempotency-key", key)]).await;
    assert!(answer.status.is_success(), "{}", answer.body);
    answer.body
}

/// What one of many callers does: new jobs, some of which fail once, send a mail or are for later, each submitted again
/// through the other host.
async fn caller(number: usize, clients: [Client; 2]) {
    for n in 0..EACH {
        let (job_type, payload) = match n % 5 {
            0 => ("guest-money", json!({"do": "retry", "until": 2})),
            1 => ("guest-mail", json!({"do": "mail", "to": format!("u{number}-{n}@example.com")})),
            2 => ("guest", json!({"do": "ok", "echo": n})),
            _ => ("guest-money", json!({"do": "ok", "echo": n})),
        };
        let mut body = json!({"type": job_type, "payload": payload});
        if n % 8 == 3 {
            body["runAt"] = json!(chrono::Utc::now() + Duration::from_millis(700));
        }
        let key = format!("{number}-{n}");
        let first = post(&clients[n % 2], body.clone(), &key).await;
        let again = post(&clients[(n + 1) % 2], body, &key).await;
        assert_eq!(first["id"], again["id"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_work_through_a_pooler_as_they_do_without() {
    let (db, through, bouncer) = behind_a_pooler().await;
    let sink = Sink::start().await;
    let plugins = vec!["guest.wasm", "guest-effects.wasm", "analytics.wasm"];
    let one = Host::start(&through, Some(&sink), HostOptions { plugins, ..pooled(&db) }).await;
    let two = Host::start(&through, Some(&sink), HostOptions { plugins: Vec::new(), ..pooled(&db) }).await;
    let hosts = [&one, &two];
    let clients = hosts.map(Host::client);

    let callers: Vec<_> =
        (0..CALLERS).map(|number| tokio::spawn(caller(number, [clients[0].clone(), clients[1].clone()]))).collect();
    // Meanwhile, by SQL.
    let mut session = service(&through).await;
    for n in 0..20 {
        let submit = format!(r#"SELECT usher.submit('t1', 'guest-money', '{{"do": "ok", "sql": {n}}}')"#);
        sqlx::raw_sql(AssertSqlSafe(submit)).execute(&mut session).await.unwrap();
    }
    for caller in callers {
        caller.await.unwrap();
    }
    eventually("all are done", async || (db.count("SELECT count(*) FROM jobs").await == 0).then_some(())).await;
    let total = i64::try_from(CALLERS * EACH + 20).unwrap();
    assert_eq!(db.count("SELECT count(*) FROM jobs_archive WHERE state = 'completed'").await, total);
    assert_eq!(sink.mails().await.len(), CALLERS * EACH / 5, "each mail once");
    let journaled = "SELECT count(*) FROM jobs_archive WHERE job_type = 'guest-mail' AND journal::text LIKE '%ended%'";
    assert_eq!(db.count(journaled).await, i64::try_from(CALLERS * EACH / 5).unwrap());
    let both = "SELECT count(*) FROM nodes";
    assert_eq!(db.count(both).await, 2, "nobody was declared dead");

    what_people_do(&db, &one, &two).await;
    a_release_is_activated(&one, &two).await;
    for host in hosts {
        let log = host.log();
        for wrong in ["prepared statement", "read-only transaction", " ERROR ", "aborted", "not be found"] {
            assert!(!log.contains(wrong), "{wrong}: {}", log.lines().find(|l| l.contains(wrong)).unwrap());
        }
    }
    assert!(!bouncer.log().contains("unsupported"), "{}", bouncer.log());
    assert_eq!((one.terminate().await, two.terminate().await), (Some(0), Some(0)));
    assert_eq!(db.count(both).await, 0, "and they took their rows away");
}

/// Pause and resume by one host, seen by the other; cancels of a waiting and of a running job; limits.
async fn what_people_do(db: &Db, one: &Host, two: &Host) {
    let (client, admin) = (two.client(), one.admin());
    assert_eq!(admin.send(Method::POST, "/queues/money/pause", None).await.status, 200);
    let held = client.submit("guest-money", json!({"do": "ok", "paused": true})).await;
    let cancelled = client.submit("guest-money", json!({"do": "ok", "cancelled": true})).await;
    let answer = admin.send(Method::DELETE, &format!("/jobs/{cancelled}"), None).await;
    assert!(answer.status.is_success(), "{}", answer.body);
    client.wait(&cancelled, "cancelled").await;
    assert_eq!(client.job(&held).await["state"], "ready");
    assert_eq!(db.text("SELECT name FROM queues WHERE paused").await.as_deref(), Some("money"));
    assert_eq!(admin.send(Method::POST, "/queues/money/resume", None).await.status, 200);
    client.wait(&held, "completed").await;

    let slow = client.submit("guest-slow", json!({"do": "spin", "ms": 9000})).await;
    client.wait(&slow, "running").await;
    assert!(admin.send(Method::DELETE, &format!("/jobs/{slow}"), None).await.status.is_success());
    client.wait(&slow, "cancelled").await;
    for path in ["/queues", "/alerts", "/plugins", "/limits", "/jobs?state=completed"] {
        assert_eq!(admin.get(path).await.status, 200, "{path}");
    }
}

async fn a_release_is_activated(one: &Host, two: &Host) {
    let release = async |client: Client, n: usize| {
        let id = client.submit("analytics-track", json!({"event": format!("event {n}")})).await;
        client.wait(&id, "completed").await["release"].clone()
    };
    let before = release(one.client(), 0).await;
    place(&component("analytics-v2.wasm"), &one.plugins().join("analytics.wasm"));
    // Whoever runs it: in the end both hosts have swapped.
    let mut n = 0;
    eventually("the other release serves", async || {
        n += 1;
        (release(two.client(), n).await != before).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn news_between_hosts_come_by_the_straight_way() {
    let (db, through, _bouncer) = behind_a_pooler().await;
    // Nobody polls within the time of this test.
    let cluster = "[cluster]\nheartbeat = \"300ms\"\nconfirm_within = \"20s\"\ndead_after = \"30s\"\npoll = \"1h\"\n";
    let quiet = || HostOptions { cluster: Some(cluster.to_owned()), ..pooled(&db) };
    let _worker = Host::start(&through, None, quiet()).await;
    let door = Host::start(&through, None, HostOptions { concurrency: 0, plugins: Vec::new(), ..quiet() }).await;
    let done = async |id: &str| {
        let id = id.to_owned();
        within(Duration::from_secs(30), "it is heard of", async || {
            (door.client().job(&id).await["state"] == "completed").then_some(())
        })
        .await;
    };
    // Its first heartbeat tells it that somebody listens.
    eventually("they know each other", async || {
        (db.count("SELECT count(*) FROM nodes WHERE beat > 3").await == 2).then_some(())
    })
    .await;
    done(&door.client().submit("guest-money", json!({"do": "ok"})).await).await;
    let mut session = service(&through).await;
    let submit =
        r#"BEGIN; SELECT usher.submit('t1', 'guest-money', '{"do": "ok", "sql": 1}'); SELECT usher.wake(); COMMIT"#;
    sqlx::raw_sql(submit).execute(&mut session).await.unwrap();
    let id =
        db.text("SELECT id::text FROM jobs UNION ALL SELECT id::text FROM jobs_archive ORDER BY 1 DESC").await.unwrap();
    done(&id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_is_over_goes_by_the_straight_way() {
    let (db, through, _bouncer) = behind_a_pooler().await;
    db.execute("SELECT usher_make_archive_days((now() - interval '20 days')::date, 1)").await;
    let day = db.text("SELECT 'jobs_archive_d7_' || to_char(now() - interval '20 days', 'YYYYMMDD')").await.unwrap();
    let count = format!("SELECT count(*) FROM pg_class WHERE relname = '{day}'");
    assert_eq!(db.count(&count).await, 1);
    let host = Host::start(&through, None, pooled(&db)).await;
    assert_eq!(db.count(&count).await, 0);
    assert!(!host.log().contains("could not be dropped"), "{}", host.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_sees_another_schema_is_refused_with_the_sql_that_helps() {
    let (db, through, bouncer) = behind_a_pooler().await;
    db.execute(&for_the_role(&db, "SET search_path = usher, public").await).await;
    let said = refused(&through, &db).await;
    assert!(said.contains("current_schema() = \"usher\""), "{said}");
    let remedy = said.lines().map(str::trim).find(|line| line.starts_with("ALTER ROLE")).unwrap().to_owned();
    db.execute(&remedy).await;
    // As RECONNECT would: server connections that know the new setting.
    drop(bouncer);
    let bouncer = PgBouncer::start(FEW).await;
    let through = Db::at(bouncer.url(&db.url), db.pool.clone());
    let host = Host::start(&through, None, pooled(&db)).await;
    assert_eq!(host.client().get("/health/ready").await.status, 200);
}

/// What a host says that does not start.
async fn refused(through: &Db, direct: &Db) -> String {
    let mut command = crate::support::usher();
    let secret = crate::support::SECRET;
    let dir = crate::support::scratch("refused");
    command
        .args(["serve", "--dev", "--data-dir"])
        .arg(&dir)
        .env("DATABASE_URL", &through.url)
        .env("USHER_DATABASE__POOLER", "transaction")
        .env("USHER_DATABASE__DIRECT_URL", "{ env = \"STRAIGHT\" }")
        .env("STRAIGHT", &direct.url)
        .env("USHER_TEST_JWT", secret);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8_lossy(&output.stderr).into_owned()
}
