use reqwest::Method;
use serde_json::{Value, json};

use super::{admin, field, run};
use crate::{
    plugins::{drop_bytes, refusal},
    support::{Db, Host, HostOptions, Sink, eventually, token},
};

fn columns(table: &str) -> Vec<Vec<&str>> {
    table.lines().map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_plugins_effects_and_the_audit_log_are_looked_at() {
    let (db, sink) = (Db::new().await, Sink::start().await);
    let plugins = vec!["guest.wasm", "guest-effects.wasm"];
    let options = HostOptions { plugins, on_doubt: "park", ..HostOptions::default() };
    let host = Host::start(&db, Some(&sink), options).await;
    let (admin, user) = (admin(), token("user", Some("t1")));
    let ask = |args: &[&str]| run(&host, &admin, args);

    // Queues: paused on all nodes, and told so; numbers are for admins.
    assert_eq!(ask(&["queues", "pause", "money"]).good(), "money is paused\n");
    let table = ask(&["queues"]).good();
    let rows = columns(&table);
    assert_eq!(rows[0][..5], ["NAME", "TIER", "STATE", "READY", "RUNNING"]);
    assert!(rows.iter().any(|row| row[..3] == ["money", "1", "paused"]), "{table}");
    assert!(rows.iter().any(|row| row[..3] == ["background", "3", "open"]), "{table}");
    let queues = ask(&["queues", "list", "--json"]).documents();
    assert!(queues.len() == 3 && queues.iter().all(|queue| queue["counts"].is_object()), "{queues:?}");
    let theirs = run(&host, &user, &["queues"]).good();
    assert!(columns(&theirs).iter().any(|row| row[..5] == ["money", "1", "paused", "-", "-"]), "{theirs}");
    let shown = run(&host, &user, &["queues", "show", "money"]).good();
    assert_eq!(shown, "name    money\ntier    1\npaused  true\n");
    assert_eq!(ask(&["queues", "resume", "money", "--json"]).documents()[0]["paused"], false);
    for (args, code, part) in [
        (&["queues", "pause", "nothing"][..], 1, "no queue \"nothing\""),
        (&["queues", "show", "../jobs"], 2, "no queue's name"),
    ] {
        let said = ask(args);
        assert!(said.code == Some(code) && said.err.contains(part), "{args:?}: {}", said.err);
    }
    assert_eq!(run(&host, &user, &["queues", "pause", "money"]).code, Some(1));

    // Plugins: what serves, what was refused.
    let table = ask(&["plugins"]).good();
    assert!(columns(&table).iter().any(|row| row[..4] == ["guest", "0.1.0", "active", "1/1"]), "{table}");
    assert!(table.contains("guest-large"), "{table}");
    let shown = ask(&["plugins", "show", "guest"]).good();
    assert_eq!((field(&shown, "name"), field(&shown, "version")), ("guest", "0.1.0"), "{shown}");
    assert!(field(&shown, "nodes").starts_with("{\""), "an admin sees the nodes: {shown}");
    assert_eq!(run(&host, &user, &["plugins", "list", "--json"]).documents().len(), 2);
    drop_bytes(&host, "text.wasm", b"#!/bin/sh");
    refusal(&host, "text.wasm").await;
    let table = ask(&["plugins", "refusals"]).good();
    assert!(table.lines().count() == 2 && table.contains("not-wasm") && table.contains("text.wasm"), "{table}");
    assert_eq!(ask(&["plugins", "show", "nobody"]).code, Some(1));
    assert_eq!(ask(&["plugins", "show", "../jobs"]).code, Some(2));

    // Effects: one in doubt, and what a person says of it.
    sink.faults(&["drop"]).await;
    let id = host.client().submit("guest-mail", json!({"do": "mail", "to": "a@example.com"})).await;
    host.client().wait(&id, "dead").await;
    let table = run(&host, &user, &["effects", "--state", "doubt"]).good();
    let rows = columns(&table);
    assert_eq!((rows.len(), &rows[1][..4]), (2, &[id.as_str(), "0", "doubt", "email.send"][..]), "{table}");
    assert_eq!(ask(&["effects", "list", "--job", &id, "--provider", "email", "--json"]).documents().len(), 1);
    assert_eq!(ask(&["effects", "list", "--provider", "stripe", "--json"]).documents(), Vec::<Value>::new());
    let said = ask(&["effects", "resolve", &id, "0", "--outcome", "happened", "--evidence", "x"]);
    assert!(said.code == Some(2) && said.err.contains("--answer"), "{}", said.err);
    let resolve = ["effects", "resolve", &id, "0", "--outcome", "resend", "--evidence", "the server's log says no"];
    assert_eq!(run(&host, &user, &resolve).code, Some(1), "only an admin");
    // The host that sent it is given a moment to come back to it.
    let resolved = eventually("it may be resolved", async || Some(ask(&resolve)).filter(|said| said.code == Some(0)));
    assert_eq!(resolved.await.good(), format!("effect 0 of job {id} is resolved; the job is ready\n"));
    host.client().wait(&id, "completed").await;
    assert_eq!(ask(&resolve).code, Some(1), "once");

    // The audit log says who that was.
    let target = format!("effect/{id}/0");
    eventually("it is written", async || {
        (db.count("SELECT count(*) FROM audit_log WHERE action = 'effect.resolve'").await == 1).then_some(())
    })
    .await;
    let table = ask(&["audit", "--target", &target]).good();
    let rows = columns(&table);
    assert_eq!((rows.len(), rows[1][2], rows[1][3]), (2, "u1", "effect.resolve"), "{table}");
    let entry = ask(&["audit", "--target", &target, "--json"]).documents().remove(0);
    assert_eq!(entry["detail"]["evidence"], "the server's log says no");
    let of = |more: &[&str]| {
        ask(&[&["audit", "--all", "--json", "--action", "effect.resolve"][..], more].concat()).documents().len()
    };
    assert_eq!([of(&["--since", "1h"]), of(&["--until", "1h"]), of(&["--subject", "u1"])], [1, 0, 1]);
    assert_eq!([of(&["--tenant", "t1"]), of(&["--since", "2099-01-01T00:00:00Z"])], [1, 0]);
    assert_eq!(run(&host, &user, &["audit"]).code, Some(1), "only an admin");

    // Many of them are followed page by page.
    for n in 0..130 {
        let path = format!("/providers/stripe/{}", if n % 2 == 0 { "pause" } else { "resume" });
        assert_eq!(host.admin().send(Method::POST, &path, None).await.status, 200);
    }
    let of = |more: &[&str]| {
        ask(&[&["audit", "--json", "--target", "provider/stripe"][..], more].concat()).documents().len()
    };
    assert_eq!([of(&["--all"]), of(&["--limit", "120"]), of(&[])], [130, 120, 50]);
}
