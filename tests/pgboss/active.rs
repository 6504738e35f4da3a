use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Old, host, import, imported};
use crate::support::{Db, token};

/// As a worker of the old service that was killed: it had taken these.
async fn take(old: &Old, seats: &[u32]) {
    for seat in seats {
        let sql = format!("UPDATE pgboss.job SET state = 'active' WHERE data ->> 'seatId' = 's{seat}'");
        assert_eq!(old.db.execute(&sql).await, 1);
    }
}

/// What was under way comes only if somebody asks for it, and then a person decides about each: it happened, or it did not.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_under_way_are_refused_or_wait_for_a_person() {
    let old = Old::start(9, 20, 3).await;
    take(&old, &[4, 16]).await;
    let db = Db::new().await;
    let host = host(&db).await;
    let (code, report, said) = import(&old, &db, &["--apply"]).await;
    assert_eq!((code, &report["applied"]), (1, &json!(false)), "{report}");
    assert!(said.contains("2 jobs are under way") && said.contains("--treat-active-as=park"), "{said}");
    assert_eq!(db.count("SELECT count(*) FROM imported_jobs").await, 0);
    let (code, ..) = import(&old, &db, &[]).await;
    assert_eq!(code, 1, "a dry run says so too");

    let report = imported(&old, &db, &["--apply", "--treat-active-as=park", "--cancel-source"]).await;
    let counts = ["moved", "parked", "cancelled"].map(|name| report["jobs"][name].as_i64().unwrap());
    assert_eq!(counts, [18, 2, 20], "{report}");
    let left = "SELECT count(*) FROM pgboss.job WHERE state < 'completed' AND name NOT LIKE '\\_\\_%'";
    assert_eq!(old.db.count(left).await, 0, "no worker there takes one any more");
    assert_eq!(old.db.count("SELECT count(*) FROM pgboss.job WHERE state = 'cancelled'").await, 20, "and none is gone");

    let parked = async |seat: u32| {
        let sql = format!("SELECT id::text FROM jobs WHERE state = 'dead' AND payload::json ->> 'seatId' = 's{seat}'");
        db.text(&sql).await.unwrap()
    };
    let (undone, done) = (parked(4).await, parked(16).await);
    assert_eq!(db.count("SELECT count(*) FROM alerts WHERE kind = 'unknown-outcome' AND state <> 'resolved'").await, 2);
    let admin = host.admin();
    let job = admin.job(&undone).await;
    assert_eq!((&job["state"], &job["reason"]), (&json!("dead"), &json!("unknown-outcome")), "{job}");
    let mint = |seat: u32| json!({"type": "nft-mint", "payload": {"eventId": "e1", "seatId": format!("s{seat}"), "name": "x"}});
    let submit = async |seat: u32| host.client().post(mint(seat).to_string()).await.body;
    assert_eq!(submit(4).await["id"], json!(undone), "it holds its key meanwhile");

    // Whose money it is does not decide what the chain shows.
    let manager = host.client().with_token(token("venue_admin", Some("t1")));
    for (method, path) in [(Method::POST, format!("/jobs/{undone}/retry")), (Method::DELETE, format!("/jobs/{undone}"))]
    {
        assert_eq!(manager.send(method, &path, None).await.status, StatusCode::CONFLICT, "{path}");
    }
    let retried = admin.send(Method::POST, &format!("/jobs/{undone}/retry"), None).await;
    assert!(retried.status.is_success(), "{}", retried.body);
    assert_eq!(admin.job(&undone).await["state"], "ready");
    let cancelled = admin.send(Method::DELETE, &format!("/jobs/{done}"), None).await;
    assert!(cancelled.status.is_success(), "{}", cancelled.body);
    let answer: Value = submit(16).await;
    assert_eq!((&answer["id"], &answer["deduplicated"]), (&json!(done), &json!(true)), "it was done there: {answer}");
    assert_eq!(admin.job(&done).await["state"], "cancelled");
    assert_eq!(db.count("SELECT count(*) FROM alerts WHERE kind = 'unknown-outcome' AND state <> 'resolved'").await, 0);

    // Cut off after the commit here and before the one there, a repeat makes up for it and nothing else.
    let mails = "UPDATE pgboss.job SET state = 'created', completedon = NULL WHERE name = 'send-email'";
    let mails = old.db.execute(mails).await;
    let report = imported(&old, &db, &["--apply", "--cancel-source"]).await;
    assert_eq!((&report["jobs"]["moved"], &report["jobs"]["cancelled"]), (&json!(0), &json!(mails)), "{report}");
    assert_eq!(old.db.count(left).await, 0);
}

/// Signs that the old service still runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_still_runs_is_warned_of() {
    let old = Old::start(10, 2, 3).await;
    let db = Db::new().await;
    let _host = host(&db).await;
    let url = format!("{}?application_name=pgboss", old.db.url);
    let _worker = sqlx::PgPool::connect(&url).await.unwrap();
    old.db.execute("UPDATE pgboss.version SET maintained_on = now()").await;
    old.db.execute("INSERT INTO pgboss.schedule (name, cron) VALUES ('nft-mint', '* * * * *')").await;
    let warnings = imported(&old, &db, &[]).await["warnings"].to_string();
    for sign in ["connections of pg-boss are open", "kept house", "schedules"] {
        assert!(warnings.contains(sign), "{sign}: {warnings}");
    }
}
