use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    process::Stdio,
};

use reqwest::Method;
use serde_json::{Value, json};

use super::{Said, admin, assert_calm, command, field, run, venue_admin};
use crate::support::{Db, Host, HostOptions, eventually, scratch, token};

fn submitted(said: Said) -> String {
    let out = said.good();
    let id = out.trim_end().to_owned();
    assert!(uuid::Uuid::parse_str(&id).is_ok(), "{out}");
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_submitted_waited_for_shown_retried_and_cancelled() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions::default()).await;
    let (admin, user, chief) = (admin(), token("user", Some("t1")), venue_admin());
    let submit = |more: &[&str]| run(&host, &user, &[&["jobs", "submit", "guest"][..], more].concat());

    // Waited for: its id, its state, its result.
    let out = submit(&["--payload", r#"{"do": "ok", "echo": [1.50, "é"]}"#, "--wait"]).good();
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(&lines[1..], ["completed", r#"[1.5,"é"]"#], "{out}");
    // What programs get is the host's own word, the payload as it was written.
    let shown = run(&host, &user, &["jobs", "show", lines[0], "--json"]).good();
    assert!(shown.contains(r#""payload":{"do": "ok", "echo": [1.50, "é"]}"#) && shown.lines().count() == 1, "{shown}");
    let shown = run(&host, &user, &["jobs", "show", lines[0]]).good();
    assert_eq!((field(&shown, "id"), field(&shown, "state")), (lines[0], "completed"), "{shown}");
    assert_eq!(field(&shown, "payload"), r#"{"do":"ok","echo":[1.5,"é"]}"#, "{shown}");

    // From a file, from standard input, and under a key, which makes it one job.
    let file = scratch("payload").join("payload.json");
    fs::write(&file, "{\n  \"do\": \"ok\"\n}\n").unwrap();
    let file = file.to_str().unwrap();
    let first = submitted(submit(&["--payload", file, "--key", "one of them"]));
    assert_eq!(submitted(submit(&["--payload", file, "--key", "one of them"])), first);
    let mut piped = command(&host, &user, &["jobs", "submit", "guest", "--payload", "-", "--json"]);
    let mut piped = piped.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    piped.stdin.take().unwrap().write_all(b"{\"do\": \"ok\"}").unwrap();
    let piped = Said::of(piped.wait_with_output().unwrap()).documents();
    assert_eq!((&piped[0]["type"], &piped[0]["tenant"]), (&json!("guest"), &json!("t1")));
    // Its line breaks are not lines of ours.
    assert_eq!(run(&host, &user, &["jobs", "show", &first, "--json"]).documents()[0]["payload"], json!({"do": "ok"}));

    // All that a request may say.
    let later = (chrono::Utc::now() + chrono::TimeDelta::hours(1)).to_rfc3339();
    let options =
        ["--payload", r#"{"do":"ok"}"#, "--priority", "low", "--run-at", &later, "--expires-in", "2h", "--metadata"];
    let options = [&options[..], &[r#"{"of":"a test"}"#, "--tenant", "t9", "--json"]].concat();
    let job = run(&host, &admin, &[&["jobs", "submit", "guest"][..], &options].concat()).documents().remove(0);
    assert_eq!((&job["priority"], &job["state"], &job["tenant"]), (&json!("low"), &json!("scheduled"), &json!("t9")));
    assert_eq!(job["metadata"], json!({"of": "a test"}));
    let id = job["id"].as_str().unwrap();
    let ordered = submitted(submit(&["--payload", r#"{"do":"ok"}"#, "--ordering-key", "seat 1"]));
    host.client().wait(&ordered, "completed").await;

    // What is not over in time is no failure, and no success.
    let said = run(
        &host,
        &admin,
        &["jobs", "submit", "guest", "--payload", r#"{"do":"ok"}"#, "--tenant", "t9", "--run-at", &later, "--wait=1s"],
    );
    assert!(said.code == Some(3) && said.err.contains("has not ended within 1s: it is scheduled"), "{}", said.err);

    // Cancelled once; who is no admin may not, and another tenant's is not there.
    let said = run(&host, &user, &["jobs", "cancel", id]);
    assert!(said.code == Some(1) && said.err.contains("Forbidden: Only an admin or a venue admin"), "{}", said.err);
    let said = run(&host, &chief, &["jobs", "cancel", id]);
    assert!(said.code == Some(1) && said.err.contains("[not-found]"), "{}", said.err);
    assert_eq!(run(&host, &admin, &["jobs", "cancel", id]).good(), format!("job {id} is cancelled\n"));
    let said = run(&host, &admin, &["jobs", "cancel", id]);
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "over is over: {}", said.err);

    // One that fails, with what a stranger would do to the terminal of who looks.
    let nasty = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}line\nother";
    let payload = json!({"do": "permanent", "message": nasty, "echo": nasty}).to_string();
    let said = submit(&["--payload", &payload, "--wait"]);
    assert!(said.code == Some(1) && said.out.ends_with("\ndead permanent\n"), "{}{}", said.out, said.err);
    assert!(said.err.contains("did not complete (dead permanent)") && said.err.contains("line"), "{}", said.err);
    let dead = said.out.lines().next().unwrap();
    let shown = run(&host, &user, &["jobs", "show", dead]).good();
    assert!(shown.contains("attempt 1, guest-permanent: ") && shown.contains(r"\u001b[2J"), "{shown}");
    let document = run(&host, &user, &["jobs", "show", dead, "--json"]).documents().remove(0);
    assert_eq!(document["payload"]["echo"], nasty, "JSON is the same JSON");
    let listed = run(&host, &user, &["jobs", "list", "--state", "dead"]).good();
    assert!(listed.lines().count() == 2 && listed.contains("permanent guest-permanent: "), "{listed}");
    // It begins again, and dies again.
    assert_eq!(run(&host, &chief, &["jobs", "retry", dead]).good(), format!("job {dead} begins again\n"));
    host.client().wait(dead, "dead").await;
    let said = run(&host, &chief, &["jobs", "retry", lines[0]]);
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "it has completed: {}", said.err);

    // What is wrong with a payload is told by its place.
    let said = submit(&["--payload", r#"{"do": 7}"#]);
    assert!(said.code == Some(1) && said.out.is_empty(), "{}", said.err);
    assert!(said.err.contains("Unprocessable Entity: ") && said.err.contains("\n    /do "), "{}", said.err);
    let said = submit(&["--payload", "{nonsense"]);
    assert!(said.code == Some(2) && said.err.contains("--payload: {nonsense is no JSON"), "{}", said.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_follow_their_pages_and_stop_when_nobody_reads() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions::default()).await;
    let chief = venue_admin();
    let client = host.client().with_token(chief.clone());
    let jobs: Vec<_> = (0..450)
        .map(|n| json!({"type": if n < 430 { "guest-money" } else { "guest" }, "payload": {"do": "ok", "echo": "x".repeat(300)}}))
        .collect();
    assert_eq!(client.send(Method::POST, "/jobs/batch", Some(json!({"jobs": jobs}))).await.status, 200);
    eventually("all have run", async || {
        (db.count("SELECT count(*) FROM jobs_archive WHERE state = 'completed'").await == 450).then_some(())
    })
    .await;
    let list = |more: &[&str]| run(&host, &chief, &[&["jobs", "list"][..], more].concat());
    let ids = |documents: &[Value]| {
        documents.iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect::<std::collections::BTreeSet<_>>()
    };
    let all = list(&["--all", "--json"]).documents();
    assert_eq!((all.len(), ids(&all).len()), (450, 450));
    assert_eq!(ids(&list(&["--json", "--limit", "205"]).documents()).len(), 205);
    let of = |more: &[&str]| list(&[&["--json", "--all"][..], more].concat()).documents().len();
    assert_eq!([of(&["--type", "guest"]), of(&["--queue", "money"]), of(&["--state", "dead"])], [20, 430, 0]);
    // A venue admin may name its own tenant.
    assert_eq!((of(&["--tenant", "t1"]), list(&["--tenant", "t2"]).code), (450, Some(1)));
    // Off a terminal a table is a line a job, without colours, uncut.
    let table = list(&["--type", "guest"]).good();
    let first: Vec<_> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(first, ["ID", "STATE", "TRY", "AGE", "TYPE", "QUEUE", "TENANT", "WHY"]);
    assert!(table.lines().count() == 21 && table.lines().skip(1).all(|line| line.contains("  t1")), "{table}");
    assert_eq!(list(&[]).good().lines().count(), 51);
    for (wrong, part) in [
        (&["--state", "gone"][..], "possible values"),
        (&["--limit", "0"], "0"),
        (&["--all", "--limit", "3"], "cannot be used with"),
    ] {
        let said = list(wrong);
        assert!(said.code == Some(2) && said.err.contains(part), "{wrong:?}: {}", said.err);
    }

    // More than a pipe holds, and a reader that goes after a line.
    for args in [&["jobs", "list", "--all", "--json"][..], &["jobs", "list", "--limit", "3", "--json", "--watch=1"]] {
        let mut child = command(&host, &chief, args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert!(serde_json::from_str::<Value>(&line).is_ok(), "{line}");
        drop(out);
        assert_eq!(child.wait().unwrap().code(), Some(0), "{args:?}");
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert_eq!(err, "", "{args:?}");
    }
    // A disk that is full is told.
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let said = Said::of(command(&host, &chief, &["jobs", "list"]).stdout(full).output().unwrap());
    assert!(said.code == Some(1) && said.err.contains("cannot write to standard output"), "{}", said.err);
    assert_calm(&said.err);
}
