use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{alerts, fail, options, post, rules, wait};
use crate::support::{Db, Host, HostOptions, Sink, eventually, token};

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_fires_by_its_depth_and_by_its_age() {
    let db = Db::new().await;
    let host = Host::start(&db, None, options(rules(""))).await;
    post(&host, "/queues/money/pause").await;
    let mut jobs = Vec::new();
    for n in 0..5 {
        jobs.push(host.client().submit("guest-money", json!({"do": "ok", "echo": n})).await);
    }
    // Counts are sampled once a minute, and at a start.
    let data_dir = host.data_dir.clone();
    assert_eq!(host.terminate().await, Some(0));
    let config = rules(
        "[[alerts.rules]]\nname = \"deep\"\nkind = \"queue-depth\"\nqueue = \"money\"\nthreshold = 5\nseverity = \"critical\"\n\
         [[alerts.rules]]\nname = \"deeper\"\nkind = \"queue-depth\"\nthreshold = 6\n\
         [[alerts.rules]]\nname = \"old\"\nkind = \"oldest-ready\"\nthreshold = \"1s\"\nwindow = \"1s\"\nseverity = \"info\"\n\
         [[alerts.rules]]\nname = \"older\"\nkind = \"oldest-ready\"\nthreshold = \"1h\"\n",
    );
    let host = Host::start(&db, None, HostOptions { data_dir: Some(data_dir), ..options(config) }).await;
    let deep = wait(&host, "deep", "firing").await;
    assert_eq!((&deep["kind"], &deep["severity"]), (&json!("queue-depth"), &json!("critical")), "{deep}");
    assert_eq!((&deep["subject"], &deep["value"]), (&json!("deep/queue/money"), &json!(5.0)), "{deep}");
    assert_eq!(deep["detail"]["threshold"], json!(5.0), "{deep}");
    let old = wait(&host, "old", "firing").await;
    assert_eq!((&old["subject"], &old["severity"]), (&json!("old/queue/money"), &json!("info")), "{old}");
    let seen: Vec<_> = alerts(&host.admin(), "").await.into_iter().map(|alert| alert["rule"].clone()).collect();
    assert_eq!(seen.len(), 2, "the higher thresholds are not reached: {seen:?}");
    // The backlog goes, and so does the alert, when it has been gone for the window.
    post(&host, "/queues/money/resume").await;
    for job in jobs {
        host.client().wait(&job, "completed").await;
    }
    let over = wait(&host, "old", "resolved").await;
    assert_eq!((&over["id"], &over["changedBy"]), (&old["id"], &json!("usher")), "{over}");
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_money_jobs_and_a_high_rate_of_failures_fire_by_the_products_own_rules() {
    let db = Db::new().await;
    let config = "[alerts]\ninterval = \"200ms\"\n\
                  [[alerts.rules]]\nname = \"of-t1\"\nkind = \"dead-jobs\"\ntype = \"guest\"\ntenant = \"t1\"\nthreshold = 2\nwindow = \"1h\"\n\
                  [[alerts.rules]]\nname = \"of-t2\"\nkind = \"dead-jobs\"\ntenant = \"t2\"\nthreshold = 1\nwindow = \"1h\"\n";
    let host = Host::start(&db, None, options(config.to_owned())).await;
    let client = host.client();
    let job = fail(&client, "guest-money").await;
    let money = wait(&host, "money-failed", "firing").await;
    assert_eq!((&money["kind"], &money["severity"]), (&json!("dead-jobs"), &json!("critical")), "{money}");
    assert_eq!((&money["subject"], &money["value"]), (&json!("money-failed/type/guest-money"), &json!(1.0)), "{money}");
    assert_eq!(money["detail"]["lastJob"], json!(job), "it names the job, and quotes nothing: {money}");

    // Another one is the same alert. It is resolved by hand; one more is another alert, which counts from there.
    fail(&client, "guest-money").await;
    eventually("the alert counts two", async || {
        let now = wait(&host, "money-failed", "firing").await;
        (now["value"] == 2.0 && now["id"] == money["id"]).then_some(())
    })
    .await;
    super::done(&host, &money, "resolve", None).await;
    fail(&client, "guest-money").await;
    let again = wait(&host, "money-failed", "firing").await;
    assert_ne!(again["id"], money["id"]);
    assert_eq!(again["value"], 1.0, "what was dealt with counts no more: {again}");

    // What fails without money is told by the rule that asks for it, to the tenant that it is about.
    for _ in 0..20 {
        client.submit("guest", json!({"do": "permanent"})).await;
    }
    let of_t1 = wait(&host, "of-t1", "firing").await;
    assert_eq!((&of_t1["tenant"], &of_t1["subject"]), (&json!("t1"), &json!("of-t1/tenant/t1/type/guest")), "{of_t1}");
    let rate = wait(&host, "failure-rate", "firing").await;
    assert_eq!((&rate["subject"], &rate["value"]), (&json!("failure-rate/queue/background"), &json!(1.0)), "{rate}");
    let own = alerts(&client, "").await;
    assert_eq!(own.iter().map(|alert| &alert["id"]).collect::<Vec<_>>(), [&of_t1["id"]], "t1 sees what is its own");
    let other = client.with_token(token("user", Some("t2")));
    assert_eq!(alerts(&other, "").await, Vec::<serde_json::Value>::new(), "and t2 nothing");
    for (whose, status) in [(&client, StatusCode::OK), (&other, StatusCode::NOT_FOUND)] {
        let path = format!("/alerts/{}", of_t1["id"].as_str().unwrap());
        assert_eq!(whose.get(&path).await.status, status);
    }
    let hosts_own = format!("/alerts/{}", again["id"].as_str().unwrap());
    assert_eq!(client.get(&hosts_own).await.status, StatusCode::NOT_FOUND, "of the host as a whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_that_are_limited_paused_or_in_doubt_and_a_release_in_quarantine_fire() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let config = rules(
        "[[alerts.rules]]\nname = \"doubt\"\nkind = \"effect-in-doubt\"\nprovider = \"email\"\nthreshold = 1\nseverity = \"critical\"\n\
         [[alerts.rules]]\nname = \"doubt-of-t2\"\nkind = \"effect-in-doubt\"\ntenant = \"t2\"\nthreshold = 1\n\
         [[alerts.rules]]\nname = \"limited\"\nkind = \"provider-limited\"\nthreshold = 1\n\
         [[alerts.rules]]\nname = \"paused\"\nkind = \"provider-paused\"\nthreshold = \"1s\"\n\
         [[alerts.rules]]\nname = \"bad-release\"\nkind = \"release-quarantined\"\nplugin = \"guest\"\nthreshold = \"1s\"\n\
         [rate_limits]\n\"provider/email\" = { rate = \"1/h\", burst = 1 }\n[plugins.quarantine]\n",
    );
    let options =
        HostOptions { plugins: vec!["guest.wasm", "guest-effects.wasm"], on_doubt: "park", ..options(config) };
    let host = Host::start(&db, Some(&sink), options).await;
    let client = host.client();
    // The mail server keeps the first, and its answer is lost; the second waits in line.
    sink.faults(&["drop"]).await;
    let parked = client.submit("guest-mail", json!({"do": "mail", "to": "anna@example.com"})).await;
    client.wait(&parked, "dead").await;
    let doubt = wait(&host, "doubt", "firing").await;
    assert_eq!((&doubt["subject"], &doubt["value"]), (&json!("doubt/provider/email"), &json!(1.0)), "{doubt}");
    client.submit("guest-mail", json!({"do": "mail", "to": "ben@example.com"})).await;
    let limited = wait(&host, "limited", "firing").await;
    assert_eq!(limited["subject"], "limited/provider/email", "{limited}");
    post(&host, "/providers/stripe/pause").await;
    let paused = wait(&host, "paused", "firing").await;
    assert_eq!(paused["subject"], "paused/provider/stripe", "{paused}");
    assert!(paused["value"].as_f64().unwrap() >= 1.0, "{paused}");
    for _ in 0..10 {
        client.submit("guest", json!({"do": "panic"})).await;
    }
    let bad = wait(&host, "bad-release", "firing").await;
    assert_eq!(bad["subject"], "bad-release/plugin/guest", "{bad}");
    assert!(alerts(&host.admin(), "rule=doubt-of-t2").await.is_empty(), "it is t1's");

    // What is over is resolved by itself.
    let void = json!({"outcome": "void", "evidence": "nobody got it"});
    let path = format!("/effects/{parked}/0/resolve");
    eventually("the sender is gone", async || {
        let answer = host.admin().send(Method::POST, &path, Some(void.clone())).await;
        (answer.status == StatusCode::OK).then_some(())
    })
    .await;
    post(&host, "/providers/stripe/resume").await;
    // They would trap again.
    let clear =
        host.admin().send(Method::POST, "/queues/background/clear", Some(json!({"confirm": "background"}))).await;
    assert!(clear.status.is_success(), "{}", clear.body);
    let version = json!({"version": "0.1.0"});
    let activated = host.admin().send(Method::POST, "/plugins/guest/activate", Some(version)).await;
    assert!(activated.status.is_success(), "{}", activated.body);
    for rule in ["doubt", "paused", "bad-release"] {
        wait(&host, rule, "resolved").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_postgres_from_cleaning_up_its_wal_and_its_size_fire() {
    let db = Db::new().await;
    let slot = format!("alerts_{}", uuid::Uuid::new_v4().simple());
    db.text(&format!("SELECT slot_name::text FROM pg_create_physical_replication_slot('{slot}', true)")).await;
    let config = rules(
        "[[alerts.rules]]\nname = \"xmin\"\nkind = \"postgres-xmin\"\nthreshold = \"1s\"\n\
         [[alerts.rules]]\nname = \"wal\"\nkind = \"postgres-wal\"\nthreshold = \"1KiB\"\n\
         [[alerts.rules]]\nname = \"disk\"\nkind = \"postgres-disk\"\nthreshold = \"1MiB\"\n\
         [[alerts.rules]]\nname = \"huge\"\nkind = \"postgres-disk\"\nthreshold = \"900TiB\"\n",
    );
    let host = Host::start(&db, None, options(config)).await;
    let mut session = db.pool.begin().await.unwrap();
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").execute(&mut *session).await.unwrap();
    sqlx::query("SELECT count(*) FROM jobs").execute(&mut *session).await.unwrap();
    let xmin = wait(&host, "xmin", "firing").await;
    assert_eq!(xmin["subject"], "xmin/postgres", "{xmin}");
    assert!(xmin["detail"]["pid"].is_i64(), "{xmin}");
    session.rollback().await.unwrap();
    let wal = wait(&host, "wal", "firing").await;
    assert!(wal["detail"]["slotBytes"].is_number() && wal["detail"]["allBytes"].is_number(), "{wal}");
    let disk = wait(&host, "disk", "firing").await;
    assert!(disk["value"].as_f64().unwrap() > 1_048_576.0, "{disk}");
    wait(&host, "xmin", "resolved").await;
    assert!(alerts(&host.admin(), "rule=huge").await.is_empty());
    db.text(&format!("SELECT pg_drop_replication_slot('{slot}')::text")).await;
}
