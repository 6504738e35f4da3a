use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use super::{Old, command, host, import, imported, size};
use crate::support::{Db, eventually, usher};

/// All jobs that came, in one number; a job that changed changes it.
const MARK: &str = "SELECT md5(string_agg(md5(j::text), '' ORDER BY id)) FROM jobs j";

async fn nothing_is_written(db: &Db) {
    for table in ["jobs", "imported_jobs", "imported_keys", "imported_types"] {
        assert_eq!(db.count(&format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
    }
}

/// Looked at, cut off in the middle, gone on with, repeated: each job and each key is here once.
async fn none_is_lost_and_none_doubled(version: u8) {
    let n = size();
    let old = Old::start(version, n, n).await;
    let before = old.mark().await;
    let db = Db::new().await;
    let host = host(&db).await;

    let report = imported(&old, &db, &[]).await;
    assert_eq!((&report["applied"], &report["pgBoss"]), (&json!(false), &json!(version)), "{report}");
    assert_eq!(report["jobs"]["moved"], n, "{report}");
    assert_eq!((&report["keys"]["imported"], &report["keys"]["expired"]), (&json!(n - 1), &json!(1)), "{report}");
    nothing_is_written(&db).await;

    // Somebody has the last job's place for as long as we want, so the import stands still in the middle.
    let created = if version == 9 { "createdon" } else { "created_on" };
    let last: String = old
        .db
        .text(&format!(
            "SELECT id::text FROM pgboss.job WHERE state::text IN ('created', 'retry') AND name NOT LIKE '\\_\\_%' \
             ORDER BY {created} DESC, id DESC LIMIT 1"
        ))
        .await
        .unwrap();
    let mut other = PgConnection::connect(&db.url).await.unwrap();
    let mut held = other.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO imported_jobs (source_id, job_id, outcome, queue) VALUES ($1::uuid, $1::uuid, 'moved', 'q')",
    )
    .bind(last)
    .execute(&mut *held)
    .await
    .unwrap();
    let mut child = command(&old, &db, &["--apply", "--batch", "100"]).spawn().unwrap();
    eventually("the import stands still", async || {
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' \
                     AND query LIKE '%imported_jobs%'";
        (db.count(waits).await > 0).then_some(())
    })
    .await;
    child.kill().unwrap();
    child.wait().unwrap();
    held.rollback().await.unwrap();
    let here = db.count("SELECT count(*) FROM imported_jobs").await;
    assert!(here > 0 && here < i64::try_from(n).unwrap(), "{here} of {n}");
    assert_eq!(db.count("SELECT count(*) FROM jobs").await, here);

    let report = imported(&old, &db, &["--apply"]).await;
    let (moved, already) = (report["jobs"]["moved"].as_i64().unwrap(), report["jobs"]["already"].as_i64().unwrap());
    assert_eq!((moved + already, already), (i64::try_from(n).unwrap(), here), "{report}");
    assert_eq!(report["keys"]["already"], n - 1, "{report}");
    let n_jobs = i64::try_from(n).unwrap();
    for (what, sql) in [
        ("jobs", "SELECT count(*) FROM jobs"),
        ("of the source", "SELECT count(DISTINCT metadata::json ->> 'pgBossId') FROM jobs"),
        ("records", "SELECT count(*) FROM imported_jobs i JOIN jobs j ON j.id = i.job_id AND i.outcome = 'moved'"),
        ("keys", "SELECT count(*) + 1 FROM imported_keys"),
    ] {
        assert_eq!(db.count(sql).await, n_jobs, "{what}");
    }
    the_jobs_are_as_they_were(&db).await;

    let mark = db.text(MARK).await;
    let report = imported(&old, &db, &["--apply"]).await;
    assert_eq!((&report["jobs"]["moved"], &report["jobs"]["already"]), (&json!(0), &json!(n)), "{report}");
    assert_eq!((&report["keys"]["imported"], &report["keys"]["already"]), (&json!(0), &json!(n - 1)), "{report}");
    assert_eq!(db.text(MARK).await, mark, "a repeat changes nothing");
    assert_eq!(old.mark().await, before, "the source was only read");

    // A seat that waits here is not minted beside it.
    let seat = json!({"type": "nft-mint", "payload": {"eventId": "e1", "seatId": "s4", "name": "x"}});
    let t1 = host.client().post(seat.to_string()).await;
    assert_eq!(t1.body["deduplicated"], true, "s4 is t1's: {}", t1.body);
    assert_eq!(db.count("SELECT count(*) FROM jobs").await, n_jobs);
    assert_eq!(db.count("SELECT count(*) FROM audit_log WHERE action = 'import'").await, 2);
}

/// Their time, priority, tries, expiry, tenant and payload.
async fn the_jobs_are_as_they_were(db: &Db) {
    let of = |n: usize| {
        format!(
            "SELECT json_build_object('tenant', tenant, 'type', job_type, 'queue', queue, 'priority', priority, 'attempts', \
             max_attempts, 'state', state, 'payload', payload::json, 'ahead', run_at > now() + interval '23 hours', 'expiry', \
             round(extract(epoch FROM expires_at - greatest(created_at, CASE WHEN state = 'ready' THEN created_at ELSE run_at END)) \
             / 86400), 'from', metadata::json ->> 'pgBossQueue')::text \
             FROM jobs WHERE payload LIKE '%\"s{n}\"%' OR payload LIKE '%\"a{n}@example.com\"%'"
        )
    };
    for (n, expected) in [
        (
            4,
            json!({"tenant": "t1", "type": "nft-mint", "queue": "money", "priority": 5, "attempts": 11, "state": "ready",
                   "payload": {"eventId": "e1", "seatId": "s4", "name": "Seat 4"}, "ahead": false, "from": "nft-mint"}),
        ),
        (
            6,
            json!({"tenant": "t0", "type": "nft-mint", "queue": "money", "priority": 7, "attempts": 11, "state": "ready",
                   "payload": {"eventId": "e1", "seatId": "s6", "name": "Seat 6"}, "ahead": false, "from": "money-queue"}),
        ),
        (
            7,
            json!({"tenant": "t1", "type": "nft-mint", "queue": "money", "priority": 10, "attempts": 11, "state": "scheduled",
                   "payload": {"eventId": "e1", "seatId": "s7", "name": "Seat 7"}, "ahead": true, "from": "nft-mint"}),
        ),
    ] {
        let mut found: Value = serde_json::from_str(&db.text(&of(n)).await.unwrap()).unwrap();
        let expiry = found.as_object_mut().unwrap().remove("expiry").unwrap().as_f64().unwrap();
        assert!((12.0..=15.0).contains(&expiry), "pg-boss kept it for a fortnight: {expiry}");
        assert_eq!(found, expected, "{n}");
    }
    // Ten mails waited for a retry: the first of their eleven attempts is gone.
    assert_eq!(db.count("SELECT count(*) FROM jobs WHERE job_type = 'send-email' AND max_attempts = 10").await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_from_pg_boss_9_loses_no_job_and_no_key_and_doubles_none() {
    none_is_lost_and_none_doubled(9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_from_pg_boss_10_loses_no_job_and_no_key_and_doubles_none() {
    none_is_lost_and_none_doubled(10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_mapped_stops_an_import_unless_a_map_or_a_word_says_how() {
    let old = Old::start(10, 8, 3).await;
    for data in
        [r#"{"tenantId": "t1", "x": 1}"#, r#"{"do": "ok"}"#, r#"{"tenantId": "t1", "eventId": "no id", "name": "n"}"#]
    {
        let queue = if data.contains("eventId") {
            "nft-mint"
        } else if data.contains("do") {
            "guest"
        } else {
            "ghost"
        };
        old.db.execute(&format!("INSERT INTO pgboss.job (name, data) VALUES ('{queue}', '{data}')")).await;
    }
    let old_wallet = r#"{"tenantId": "t1", "eventId": "e9", "seatId": "s1", "name": "n", "ownerWallet": "11111111111111111111111111111111", "extra": 1}"#;
    old.db.execute(&format!("INSERT INTO pgboss.job (name, data) VALUES ('nft-mint', '{old_wallet}')")).await;
    let db = Db::new().await;
    let _host = host(&db).await;

    let (code, report, said) = import(&old, &db, &["--apply"]).await;
    assert_eq!((code, &report["applied"]), (1, &json!(false)), "{report}");
    assert!(said.contains("--skip-unmapped"), "{said}");
    let reasons: Vec<_> =
        report["unmapped"].as_array().unwrap().iter().map(|group| (&group["reason"], &group["queue"])).collect();
    for (reason, queue) in [("unknown-type", "ghost"), ("no-tenant", "guest"), ("payload", "nft-mint")] {
        assert!(reasons.contains(&(&json!(reason), &json!(queue))), "{reason}: {report}");
    }
    nothing_is_written(&db).await;

    // The wallet's field has another name here, one is left out, ghosts are guests; a job without a tenant gets one.
    let file = crate::support::scratch("map").join("map.toml");
    std::fs::write(
        &file,
        "[types]\nghost = \"guest\"\n[fields.nft-mint]\ndrop = [\"extra\"]\nrename = { ownerWallet = \"recipient\" }\n\
         [fields.guest]\nrename = { x = \"do\" }\n",
    )
    .unwrap();
    let map = ["--map", file.to_str().unwrap(), "--tenant", "t7"];
    let report = imported(&old, &db, &[&map[..], &["--apply", "--skip-unmapped"]].concat()).await;
    // The ghost's `do` is a number, and a seat's event is no id.
    assert_eq!((&report["jobs"]["moved"], &report["jobs"]["unmapped"]), (&json!(10), &json!(2)), "{report}");
    let wallet = "SELECT payload::json ->> 'recipient' FROM jobs WHERE payload LIKE '%\"e9\"%'";
    assert_eq!(db.text(wallet).await.as_deref(), Some("11111111111111111111111111111111"));
    assert_eq!(db.text("SELECT tenant FROM jobs WHERE job_type = 'guest'").await.as_deref(), Some("t7"));
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_told_with_exit_code_2() {
    let old = Old::start(10, 1, 3).await;
    let db = Db::new().await;
    let dir = crate::support::scratch("bad-map");
    let (bad, missing) = (dir.join("bad.toml"), dir.join("missing.toml"));
    std::fs::write(&bad, "tenants = []").unwrap();
    for (arguments, says) in [
        (vec!["--from", "mysql://u:hunter2@h/d"], "--from is no URL"),
        (vec!["--from", "postgres://u:hunter2@127.0.0.1:x/d"], "--from is no URL"),
        (vec!["--schema", "elsewhere"], "no pg-boss in the schema"),
        (vec!["--schema", "a;b"], "no name of a schema"),
        (vec!["--keys", "a.b.c"], "no name of a table"),
        (vec!["--map", bad.to_str().unwrap()], "unknown field"),
        (vec!["--map", missing.to_str().unwrap()], "cannot be read"),
        (vec!["--tenant", ""], "1 to 128 characters"),
        (vec!["--dry-run", "--apply"], "cannot be used with"),
        (vec!["--cancel-source"], "required"),
        (vec!["--treat-active-as", "done"], "invalid value"),
    ] {
        let (code, _, said) = import(&old, &db, &arguments).await;
        assert_eq!(code, 2, "{arguments:?}: {said}");
        assert!(said.contains(says) && !said.contains("hunter2"), "{arguments:?}: {said}");
    }
    old.db.execute("UPDATE pgboss.version SET version = 25").await;
    let (code, _, said) = import(&old, &db, &[]).await;
    assert!(code == 2 && said.contains("version 25"), "{said}");
    old.db.execute("UPDATE pgboss.version SET version = 24").await;
    let empty = Db::empty().await;
    let (code, _, said) = import(&old, &empty, &[]).await;
    assert!(code == 2 && said.contains("usher migrate"), "{said}");
    // Nobody is named at all.
    let output = usher().args(["import", "pg-boss"]).env("DATABASE_URL", &db.url).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    nothing_is_written(&db).await;
}
