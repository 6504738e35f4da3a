use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    process::Stdio,
    thread,
};

use super::{Said, admin, assert_calm, run};
use crate::support::{Db, Host, HostOptions, component, scratch, token, usher};

/// A host of one answer, whatever is asked.
fn stranger(status: &str, kind: &str, body: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut some = [0; 8192];
            let _ = client.read(&mut some);
            let _ = client.write_all(answer.as_bytes());
        }
    });
    base
}

fn at(base: &str, token: &str, args: &[&str]) -> Said {
    let mut command = usher();
    command.args(args).args(["--host", base]).env("USHER_TOKEN", token).stdin(Stdio::null());
    Said::of(command.output().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_is_another_exit_code_than_no() {
    let db = Db::new().await;
    let host = Host::start(&db, None, HostOptions::default()).await;
    let nobody = "http://127.0.0.1:1";
    let id = "00000000-0000-7000-8000-000000000000";
    for args in [
        &["jobs", "list"][..],
        &["jobs", "show", id],
        &["jobs", "submit", "guest", "--payload", "{}"],
        &["jobs", "retry", id],
        &["jobs", "cancel", id],
        &["queues"],
        &["queues", "pause", "money"],
        &["effects"],
        &["plugins"],
        &["audit"],
        &["plugin", "releases", "guest"],
    ] {
        let token = admin();
        let said = at(nobody, &token, args);
        assert!(said.code == Some(3) && said.err.contains("does not answer"), "{args:?}: {}", said.err);
        assert!(said.out.is_empty() && !said.err.contains(&token), "{args:?}: {}", said.err);
        let said = at(&host.base, "nonsense", args);
        assert!(said.code == Some(3) && said.err.contains("usher token mint"), "not let in: {args:?}: {}", said.err);
    }
    // The answer is no.
    for args in [&["jobs", "show", id][..], &["jobs", "retry", id], &["jobs", "cancel", id], &["plugins", "show", "x"]]
    {
        let said = run(&host, &admin(), args);
        assert!(said.code == Some(1) && said.err.contains("Not Found: "), "{args:?}: {}", said.err);
    }
    assert_eq!(run(&host, &token("user", Some("t1")), &["audit"]).code, Some(1));
    // The question is wrong.
    for args in [
        &["jobs"][..],
        &["jobs", "show", "nonsense"],
        &["jobs", "list", "--watch=0"],
        &["jobs", "list", "--color", "sometimes"],
        &["jobs", "submit", "guest"],
        &["jobs", "submit", "guest", "--payload", "/nowhere.json"],
        &["jobs", "submit", "guest", "--payload", "{}", "--priority", "utmost"],
        &["jobs", "submit", "guest", "--payload", "{}", "--run-at", "soon"],
        &["jobs", "submit", "guest", "--payload", "{}", "--key", "é"],
        &["jobs", "submit", "guest", "--payload", "-", "--metadata", "-"],
        &["audit", "--since", "yesterday"],
        &["effects", "--state", "gone"],
        &["completions", "tcsh"],
    ] {
        assert_eq!(run(&host, &admin(), args).code, Some(2), "{args:?}");
    }

    // Hosts that say "not now", and what is no host.
    let problem = |status: u16, title: &str| {
        format!(r#"{{"type":"urn:usher:problem:x","title":"{title}","status":{status},"detail":"Come again."}}"#)
    };
    let json = "application/problem+json";
    for (status, kind, body, code, part) in [
        ("503 Service Unavailable", json, problem(503, "Service Unavailable"), 3, "Service Unavailable: Come again."),
        ("429 Too Many Requests", json, problem(429, "Too Many Requests"), 3, "Too Many Requests: Come again."),
        ("409 Conflict", json, problem(409, "Conflict"), 1, "Conflict: Come again. [x]"),
        ("404 Not Found", "text/html", "<html>".to_owned(), 3, "is it a host of Usher?"),
        ("200 OK", "text/html", "<html>".to_owned(), 3, "is it a host of Usher?"),
    ] {
        let said = at(&stranger(status, kind, &body), "token-of-a-test", &["jobs", "list"]);
        assert!(said.code == Some(code) && said.err.contains(part), "{status}: {}", said.err);
    }
    // What it says of itself steers no terminal, in no place of the answer.
    let nasty = r#"\u001b[2J\u009b31m\u202e\r\u0007"#;
    let body = format!(
        r#"{{"type":"urn:usher:problem:{nasty}","title":"{nasty}","status":422,"detail":"{nasty}","errors":[{{"pointer":"/{nasty}","message":"{nasty}"}}]}}"#
    );
    let said = at(&stranger("422 Unprocessable Entity", json, &body), "token-of-a-test", &["jobs", "show", id]);
    assert_eq!(said.code, Some(1));
    assert_calm(&said.err);
    assert!(said.err.contains(r"    /\u001b[2J\u009b31m\u202e\u000d\u0007 \u001b"), "{}", said.err);
    let body = format!(r#"{{"items":[{{"id":"{nasty}","state":"{nasty}","type":"{nasty}","{nasty}":1}}]}}"#);
    let base = stranger("200 OK", "application/json", &body);
    for args in [&["jobs", "list"][..], &["jobs", "list", "--json"], &["jobs", "show", id], &["effects"], &["audit"]] {
        let said = at(&base, "token-of-a-test", args);
        assert_eq!(said.code, Some(0), "{args:?}: {}", said.err);
        assert_calm(&said.out);
        assert!(said.out.contains(r"\u001b[2J"), "{args:?}: {}", said.out);
    }
}

#[tokio::test]
async fn commands_with_a_verdict_say_otherwise_that_they_have_none() {
    let dir = scratch("verdict");
    let config = dir.join("usher.toml");
    let text = "[stripe.profiles.main]\nkey = { env = \"STRIPE\" }\ntenants = [\"*\"]\n";
    fs::write(&config, text).unwrap();
    let guest = component("guest.wasm");
    let (guest, config) = (guest.to_str().unwrap(), config.to_str().unwrap());
    let id = "00000000-0000-7000-8000-000000000000";
    for args in [
        &["plugin", "verify", guest][..],
        &["jobs", "replay", id],
        &["jobs", "replay", "--last", "1"],
        &["effects", "reconcile", "--provider", "stripe", "--day", "2026-01-31"],
        &["migrate"],
    ] {
        let ask = |url: Option<&str>| {
            let mut command = usher();
            command.args(args).args(["--config", config]).env("STRIPE", "sk_test_1");
            if let Some(url) = url {
                command.env("DATABASE_URL", url);
            }
            Said::of(command.output().unwrap())
        };
        let said = ask(Some("postgres://u:hunter2@127.0.0.1:1/x"));
        assert_eq!(said.code, Some(3), "{args:?}: {}{}", said.out, said.err);
        assert!(said.err.contains("cannot connect to") && !said.err.contains("hunter2"), "{args:?}: {}", said.err);
        assert_eq!(ask(None).code, Some(2), "{args:?}: no database is named");
    }
}
