use serde_json::{Value, json};

use super::{options, post, rules, wait};
use crate::support::{Db, Host, token, usher};

/// Exit code and output of `usher alerts …`, in the name of a role.
fn command(host: &Host, role: &str, args: &[&str]) -> (Option<i32>, String) {
    let tenant = (role != "admin").then_some("t1");
    let output = usher()
        .arg("alerts")
        .args(args)
        .args(["--host", &host.base])
        .env("USHER_TOKEN", token(role, tenant))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_are_managed_by_command() {
    let db = Db::new().await;
    let rule = "[[alerts.rules]]\nname = \"paused\"\nkind = \"provider-paused\"\nthreshold = \"1s\"\n";
    let host = Host::start(&db, None, options(rules(rule))).await;
    post(&host, "/providers/stripe/pause").await;
    let alert = wait(&host, "paused", "firing").await;
    let id = alert["id"].as_str().unwrap();
    let run = |args: &[&str]| command(&host, "admin", args);
    let (code, said) = run(&["list", "--severity", "warning", "--rule", "paused"]);
    assert_eq!(code, Some(0), "{said}");
    let lines: Vec<_> = said.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("ID") && lines[1].starts_with(id), "{said}");
    assert!(lines[1].contains("firing") && lines[1].contains("paused/provider/stripe"), "{said}");
    let (_, said) = run(&["list", "--json"]);
    let listed: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(listed["items"][0]["id"], alert["id"], "{listed}");
    let (code, said) = run(&["silence", id, "--for", "2h"]);
    assert!(code == Some(0) && said.contains("is firing, silent until "), "{said}");
    let (code, said) = run(&["silence", id, "--for", "soon"]);
    assert!(code == Some(1) && said.contains("/for"), "{said}");
    let (code, said) = run(&["ack", id]);
    assert!(code == Some(0) && said.contains("provider-paused paused/provider/stripe is acknowledged"), "{said}");
    let (code, said) = command(&host, "user", &["resolve", id]);
    assert!(code == Some(1) && said.contains("must be an admin's"), "{said}");
    let (code, said) = run(&["resolve", id, "--json"]);
    let resolved: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &resolved["state"]), (Some(0), &json!("resolved")), "{said}");
    let (code, said) = run(&["ack", id]);
    assert!(code == Some(1) && said.contains("[alert-resolved]"), "{said}");
    assert_eq!(run(&["list", "--state", "over"]).0, Some(2));
    assert_eq!(run(&["ack", "nonsense"]).0, Some(2));
    let (_, said) = run(&["list"]);
    assert_eq!(said.lines().count(), 1, "what is open, which is nothing: {said}");
}
