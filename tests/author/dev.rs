//! A project under work: each change is built and swapped in, what it says on a host comes along, one job runs there.

use std::{fs, path::PathBuf, process::Stdio, time::Duration};

use serde_json::json;

use super::{builder, project, text};
use crate::support::{
    Db, Host, HostOptions, PASSWORD, SECRET, Sink, eventually, host::POLICY, message_id, scratch, usher, within,
};

/// Longer than building a plugin with its dependencies takes on a busy machine.
const BUILD: Duration = Duration::from_secs(300);

/// Its job says whom it greets.
fn talking_project(name: &str) -> PathBuf {
    let dir = project(name);
    let code = fs::read_to_string(dir.join("src/lib.rs")).unwrap();
    let talking = "job.payload;\n    usher_plugin::log::info(\"to greet\", &[(\"who\", &name)]);";
    let talking = code.replacen("job.payload;", talking, 1);
    assert_ne!(talking, code);
    fs::write(dir.join("src/lib.rs"), talking).unwrap();
    dir
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_built_and_swapped_in_under_a_version_of_its_own() {
    let dir = project("author-dev");
    let into = scratch("watched");
    let mut dev = builder(&dir)
        .args(["plugin", "dev", "--into"])
        .arg(&into)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let version = || {
        let checked = usher().args(["plugin", "check"]).arg(into.join("author-dev.wasm")).output().unwrap();
        let said = text(&checked);
        said.lines().find_map(|line| line.strip_prefix("plugin: author-dev ")).map(str::to_owned)
    };
    let first = within(BUILD, "the first build", async || version()).await;
    assert!(first.starts_with("0.1.0+dev."), "{first}");
    let code = fs::read_to_string(dir.join("src/lib.rs")).unwrap();
    fs::write(dir.join("src/lib.rs"), "no code").unwrap();
    fs::write(dir.join("src/lib.rs"), code.replace("\"Welcome\"", "\"Well come\"")).unwrap();
    let second = within(BUILD, "the second build", async || version().filter(|version| *version != first)).await;
    assert!(second.starts_with("0.1.0+dev."), "{second}");
    dev.kill().unwrap();
    dev.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_plugin_says_on_the_host_comes_along() {
    let dir = talking_project("author-talks");
    let db = Db::new().await;
    let policy = "[plugins.policy.author-talks]\nemail = [\"default\"]\n".to_owned();
    let options = HostOptions { plugins: vec!["guest.wasm"], policy: Some(policy + POLICY), ..HostOptions::default() };
    let host = Host::start(&db, None, options).await;
    let shown = scratch("shown").join("lines");
    let mut dev = builder(&dir)
        .args(["plugin", "dev", "--into"])
        .arg(host.plugins())
        .stdout(fs::File::create(&shown).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let shows = |words: &[&str]| {
        let shown = fs::read_to_string(&shown).unwrap_or_default();
        let has = |line: &str| words.iter().all(|word| line.contains(word));
        shown.lines().any(has).then_some(())
    };
    within(BUILD, "the host takes it", async || shows(&["host    takes author-talks 0.1.0+dev."])).await;
    let other = host.client().submit("guest", json!({"do": "log", "message": "of another plugin"})).await;
    host.client().wait(&other, "completed").await;
    // There is no mail server, and what it says comes before the mail.
    let id = host.client().submit("author-talks", json!({"name": "Ada", "email": "ada@example.com"})).await;
    eventually("its line", async || shows(&["log     info ", &id, "to greet who=Ada"])).await;
    assert_eq!(shows(&["of another plugin"]), None);

    // Saved again: the next job runs the new code.
    let versions = || {
        let shown = fs::read_to_string(&shown).unwrap_or_default();
        shown.lines().filter(|line| line.starts_with("host    takes author-talks")).count()
    };
    let code = fs::read_to_string(dir.join("src/lib.rs")).unwrap();
    fs::write(dir.join("src/lib.rs"), code.replace("\"to greet\"", "\"to greet anew\"")).unwrap();
    within(BUILD, "the host takes the second build", async || (versions() == 2).then_some(())).await;
    let id = host.client().submit("author-talks", json!({"name": "Bob", "email": "bob@example.com"})).await;
    eventually("the new line", async || shows(&["log     info ", &id, "to greet anew who=Bob"])).await;
    dev.kill().unwrap();
    dev.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_job_runs_on_a_host_against_the_sandboxes_that_it_has() {
    let dir = talking_project("author-runs");
    let (db, sink) = (Db::new().await, Sink::start().await);
    let policy = "[plugins.policy.author-runs]\nemail = [\"default\"]\n".to_owned();
    let host =
        Host::start(&db, Some(&sink), HostOptions { policy: Some(policy + POLICY), ..HostOptions::default() }).await;
    let run = |payload: &str, more: &[&str]| {
        fs::write(dir.join("payload.json"), payload).unwrap();
        let mut command = builder(&dir);
        command.args(["plugin", "run", "--payload", "payload.json", "--on", &host.base, "--into"]).arg(host.plugins());
        command.arg("--config").arg(host.data_dir.join("usher.toml")).args(more);
        command.env("USHER_TEST_JWT", SECRET).env("USHER_TEST_SMTP_PASSWORD", PASSWORD).output().unwrap()
    };
    let ada = r#"{"name": "Ada", "email": "ada@example.com"}"#;
    let done = run(ada, &[]);
    let said = text(&done);
    assert_eq!(done.status.code(), Some(0), "{said}");
    let mails = sink.wait_mails(1).await;
    let id = message_id(&mails[0]);
    assert!(said.contains("host    serves author-runs 0.1.0+dev."), "{said}");
    assert!(said.contains("log     info  to greet who=Ada"), "{said}");
    assert!(said.contains("effect  0 email.send {") && said.contains("\n        ok\n"), "{said}");
    assert!(said.contains("end     completed {") && said.contains(id), "{said}");
    // The same once more is another job, though the manifest's key is the same.
    let again = run(ada, &["--tenant", "t1"]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again));
    assert_eq!(sink.wait_mails(2).await.len(), 2);
    let job = text(&again).lines().find_map(|line| line.strip_prefix("job     ").map(str::to_owned)).unwrap();
    assert_eq!(host.client().job(&job).await["state"], "completed");

    sink.say_of("nobody@example.com", "550 5.1.1 no such mailbox").await;
    let refused = run(r#"{"name": "Ada", "email": "nobody@example.com"}"#, &[]);
    let said = text(&refused);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("\n        rejected") && said.contains("end     dead permanent"), "{said}");
    assert!(said.contains("failed  attempt 1, guest-permanent: "), "{said}");
    let wrong = run(r#"{"name": 1, "email": "ada@example.com"}"#, &[]);
    let said = text(&wrong);
    assert!(
        wrong.status.code() == Some(1) && said.contains("wrong   /name") && said.contains("invalid-payload"),
        "{said}"
    );
    let manifest = fs::read_to_string(dir.join("plugin.toml")).unwrap();
    fs::write(dir.join("plugin.toml"), manifest.replace("\"communication\"", "\"nowhere\"")).unwrap();
    let not_taken = run(ada, &[]);
    let said = text(&not_taken);
    assert!(
        not_taken.status.code() == Some(1) && said.contains("the host refuses it (") && said.contains("nowhere"),
        "{said}"
    );
    let both = run(ada, &["--answers", "payload.json"]);
    assert_eq!(both.status.code(), Some(2), "{}", text(&both));
    assert_eq!(sink.mails().await.len(), 2);
}
