//! What ships into the plugins folder: refused with a reason, or swapped in; the old release serves on meanwhile.

use std::{fs, io::Write, path::Path, time::Duration};

use serde_json::{Value, json};

pub use crate::support::hostile::{bomb, manifest, repacked, repacked_with, unserved, with_manifest};
use crate::support::{Db, Host, HostOptions, component, env, eventually, place, usher, within};

async fn host(db: &Db) -> Host {
    Host::start(db, None, HostOptions { plugins: vec!["guest.wasm", "analytics.wasm"], ..HostOptions::default() }).await
}

/// What the host says of a file, once it has looked.
pub async fn refusal(host: &Host, source: &str) -> Value {
    // A compiler gives way to all else on the machine.
    within(Duration::from_secs(300), &format!("{source} is refused"), async || {
        let plugins = host.client().get("/plugins").await.body;
        let refusals = plugins["refusals"].as_array().unwrap().clone();
        refusals.into_iter().find(|refusal| refusal["source"] == source)
    })
    .await
}

async fn serves(host: &Host) {
    let id = host.client().submit("guest", json!({"do": "ok"})).await;
    host.client().wait(&id, "completed").await;
}

pub fn drop_bytes(host: &Host, name: &str, bytes: &[u8]) {
    let beside = host.plugins().join(format!(".{name}.part"));
    fs::write(&beside, bytes).unwrap();
    fs::rename(&beside, host.plugins().join(name)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_good_component_is_refused_with_its_reason() {
    let db = Db::new().await;
    let mut host = host(&db).await;
    let good = fs::read(component("guest.wasm")).unwrap();
    let empty = wat::parse_str("(component)").unwrap();
    let importing = |name: &str| wat::parse_str(format!("(component (import \"{name}\" (instance)))")).unwrap();
    let cases: Vec<(&str, Vec<u8>, &str, &str)> = vec![
        ("text.wasm", b"#!/bin/sh".to_vec(), "not-wasm", "no WebAssembly"),
        ("core.wasm", wat::parse_str("(module)").unwrap(), "core-module", "usher plugin pack"),
        ("bare.wasm", empty.clone(), "no-manifest", "usher plugin pack"),
        ("short.wasm", good[..good.len() / 2].to_vec(), "damaged", "cut short"),
        (
            "ungranted.wasm",
            fs::read(component("guest-ungranted.wasm")).unwrap(),
            "import-not-granted",
            "[grants] has no",
        ),
        ("unserved.wasm", unserved(), "import-not-granted", "usher:plugin/solano@0.1.0"),
        (
            "sockets.wasm",
            with_manifest(&importing("wasi:sockets/tcp@0.2.3"), &manifest("sockets", "s", "")),
            "import-not-granted",
            "imports wasi:sockets/tcp@0.2.3",
        ),
        (
            "http.wasm",
            with_manifest(&importing("wasi:http/outgoing-handler@0.2.3"), &manifest("http", "h", "")),
            "import-not-granted",
            "imports wasi:http/outgoing-handler@0.2.3",
        ),
        (
            "later.wasm",
            with_manifest(&importing("wasi:cli/environment@0.3.0"), &manifest("later", "l", "")),
            "import-not-granted",
            "wasi:cli/environment@0.3.0",
        ),
        ("export.wasm", with_manifest(&empty, &manifest("export", "x", "")), "does-not-link", "handler"),
        ("toml.wasm", with_manifest(&empty, "[plugin]\nnmae = 1"), "manifest-invalid", "line 2"),
        (
            "queue.wasm",
            with_manifest(&empty, &manifest("q", "q", "").replace("money", "ghost")),
            "policy",
            "queues.ghost",
        ),
        (
            "greedy.wasm",
            with_manifest(&empty, &manifest("g", "g", "limits = { memory = \"4GiB\" }")),
            "policy",
            "max_memory",
        ),
        (
            "grant.wasm",
            with_manifest(&empty, &manifest("p", "p", "").replace("[[job]]", "[grants]\njobs = [\"a\"]\n[[job]]")),
            "policy",
            "plugins.policy.p.jobs",
        ),
    ];
    for (name, bytes, ..) in &cases {
        drop_bytes(&host, name, bytes);
    }
    for (name, _, reason, detail) in &cases {
        let refusal = refusal(&host, name).await;
        assert_eq!(refusal["reason"], *reason, "{name}: {refusal}");
        assert!(refusal["detail"].as_str().unwrap().contains(detail), "{name}: {refusal}");
    }
    serves(&host).await;
    assert!(host.is_alive());
    // A refusal goes with its file.
    fs::remove_file(host.plugins().join("text.wasm")).unwrap();
    eventually("the refusal is gone", async || {
        let plugins = host.client().get("/plugins").await.body;
        let gone = plugins["refusals"].as_array().unwrap().iter().all(|refusal| refusal["source"] != "text.wasm");
        gone.then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_explodes_the_compiler_harms_only_its_child() {
    let db = Db::new().await;
    let mut host = host(&db).await;
    drop_bytes(&host, "bomb.wasm", &with_manifest(&bomb(16_000), &manifest("bomb", "bomb", "")));
    let refusal = refusal(&host, "bomb.wasm").await;
    assert!(["compile-memory", "compile-time"].contains(&refusal["reason"].as_str().unwrap()), "{refusal}");
    serves(&host).await;
    assert!(host.is_alive() && host.rss() < 500 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_written_file_never_takes_the_old_release_down() {
    let db = Db::new().await;
    let host = host(&db).await;
    let new = fs::read(component("analytics-v2.wasm")).unwrap();
    let file = host.plugins().join("analytics.wasm");
    // In place, in two halves: not the documented way.
    fs::write(&file, &new[..new.len() / 2]).unwrap();
    refusal(&host, "analytics.wasm").await;
    let id = host.client().submit("analytics-track", json!({"event": "x"})).await;
    assert_eq!(host.client().wait(&id, "completed").await["result"]["release"], "v1");
    place(&component("analytics-v2.wasm"), &file);
    eventually("the new release serves", async || {
        let id = host.client().submit("analytics-track", json!({"event": "x"})).await;
        let job = host.client().wait(&id, "completed").await;
        (job["result"]["release"] == "v2").then_some(())
    })
    .await;
    // It serves a moment before the folder's look at it is over.
    let plugins = eventually("the good file clears the refusal", async || {
        let plugins = host.client().get("/plugins").await.body;
        (plugins["refusals"] == json!([])).then_some(plugins)
    })
    .await;
    let analytics = plugins["plugins"].as_array().unwrap().iter().find(|p| p["name"] == "analytics").unwrap();
    assert_eq!((&analytics["version"], &analytics["jobTypes"]), (&json!("0.2.0"), &json!(["analytics-track"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_completed_in_place_is_taken_in_the_end() {
    let db = Db::new().await;
    let host = host(&db).await;
    let new = fs::read(component("payments.wasm")).unwrap();
    let (first, rest) = new.split_at(new.len() / 2);
    let path = host.plugins().join("payments.wasm");
    fs::write(&path, first).unwrap();
    let told = refusal(&host, "payments.wasm").await;
    assert_eq!(told["reason"], "damaged", "{told}");
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(rest).unwrap();
    eventually("it is taken", async || {
        let plugins = host.client().get("/plugins").await.body;
        let serves = plugins["plugins"].as_array().unwrap().iter().any(|plugin| plugin["name"] == "payments");
        (serves && plugins["refusals"] == json!([])).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_has_one_owner_and_a_version_one_content() {
    let db = Db::new().await;
    let host = host(&db).await;
    let thief = manifest("thief", "analytics-track", "");
    drop_bytes(&host, "thief.wasm", &repacked("analytics.wasm", &thief));
    let told = refusal(&host, "thief.wasm").await;
    assert_eq!(told["reason"], "job-type-taken", "{told}");
    assert!(told["detail"].as_str().unwrap().contains("analytics"), "{told}");
    let other = manifest("analytics", "analytics-track", "").replace("1.0.0", "0.1.0");
    drop_bytes(&host, "again.wasm", &repacked("analytics.wasm", &other));
    let told = refusal(&host, "again.wasm").await;
    assert_eq!(told["reason"], "version-taken", "{told}");
    // Email may not be in tier 3.
    let mut low = manifest("guest-effects", "low", "").replace("\"money\"", "\"background\"");
    low = low.replace("[[job]]", "[grants]\nemail = [\"default\"]\n[[job]]");
    drop_bytes(&host, "low.wasm", &with_manifest(&wat::parse_str("(component)").unwrap(), &low));
    let told = refusal(&host, "low.wasm").await;
    assert_eq!(told["reason"], "policy", "{told}");
    assert!(told["detail"].as_str().unwrap().contains("tier"), "{told}");
    // Whatever was refused, those who were there before serve on.
    serves(&host).await;
    let id = host.client().submit("analytics-track", json!({"event": "x"})).await;
    assert_eq!(host.client().wait(&id, "completed").await["result"]["release"], "v1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_job_runs_on_a_release_whose_schema_takes_it() {
    let db = Db::new().await;
    let options = HostOptions { plugins: vec!["analytics.wasm"], concurrency: 0, ..HostOptions::default() };
    let waiting = Host::start(&db, None, options).await;
    let id = waiting.client().submit("analytics-track", json!({"event": "x"})).await;
    waiting.terminate().await;
    let host =
        Host::start(&db, None, HostOptions { plugins: vec!["analytics-v2.wasm"], ..HostOptions::default() }).await;
    let job = host.client().wait(&id, "completed").await;
    assert_eq!(job["result"]["release"], "v2", "the payload passes, so the active release runs it");
}

/// What `usher plugin check` ends with, and says.
fn check(file: &Path, config: &str) -> (Option<i32>, String) {
    let path = crate::support::scratch("check").join("usher.toml");
    fs::write(&path, config).unwrap();
    let output = usher().args(["plugin", "check"]).arg(file).arg("--config").arg(path).output().unwrap();
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn plugin_check_says_what_a_file_is_and_whether_it_would_load() {
    assert!(!env("USHER_BIN").is_empty());
    let policy = "[plugins.policy.guest]\njobs = [\"guest\", \"guest-money\"]\n";
    let (code, said) = check(&component("guest.wasm"), policy);
    assert_eq!(code, Some(0), "{said}");
    for part in [
        "plugin: guest 0.1.0",
        "job type: guest (queue background",
        "usher:plugin/log@0.1.0",
        "asks for: jobs",
        "needs: ",
        "this host would load it",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let (code, said) = check(&component("guest.wasm"), "");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("refused: ") && said.contains("plugins.policy.guest.jobs"), "{said}");
    let good = fs::read(component("guest.wasm")).unwrap();
    let bad = [
        (b"#!/bin/sh".to_vec(), "no WebAssembly"),
        (wat::parse_str("(module)").unwrap(), "usher plugin pack"),
        (wat::parse_str("(component)").unwrap(), "no manifest"),
        (good[..good.len() / 2].to_vec(), "cut short"),
        (fs::read(component("guest-ungranted.wasm")).unwrap(), "[grants] has no"),
        (unserved(), "usher:plugin/solano@0.1.0"),
    ];
    for (bytes, why) in bad {
        let file = crate::support::scratch("bad").join("bad.wasm");
        fs::write(&file, bytes).unwrap();
        let (code, said) = check(&file, policy);
        assert_eq!(code, Some(2), "{why}: {said}");
        let refused = said.lines().find(|line| line.starts_with("refused: "));
        assert!(refused.is_some_and(|line| line.contains(why)), "{why}: {said}");
    }
    let (code, said) = check(Path::new("/nowhere.wasm"), policy);
    assert_eq!(code, Some(2));
    assert!(said.contains("/nowhere.wasm"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_artifact_is_noticed_and_compiled_again() {
    let db = Db::new().await;
    let artifacts = crate::support::scratch("artifacts");
    let env = vec![("USHER_RUNTIME__ARTIFACTS", artifacts.join("private").display().to_string())];
    let host = Host::start(&db, None, HostOptions { env: env.clone(), ..HostOptions::default() }).await;
    serves(&host).await;
    host.terminate().await;
    let files: Vec<_> = fs::read_dir(artifacts.join("private")).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "one artifact, no remains");
    let bytes = fs::read(&files[0]).unwrap();
    fs::write(&files[0], &bytes[..bytes.len() - 100]).unwrap();
    let host = Host::start(&db, None, HostOptions { env, plugins: Vec::new(), ..HostOptions::default() }).await;
    serves(&host).await;
    assert!(host.log().contains("a compiled component is damaged"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_used_for_a_month_leaves_the_artifact_cache() {
    let db = Db::new().await;
    let folder = crate::support::scratch("artifacts").join("private");
    let env = vec![("USHER_RUNTIME__ARTIFACTS", folder.display().to_string())];
    let first =
        HostOptions { env: env.clone(), plugins: vec!["guest.wasm", "analytics.wasm"], ..HostOptions::default() };
    let host = Host::start(&db, None, first).await;
    serves(&host).await;
    host.terminate().await;
    let names = || -> Vec<String> {
        let all = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut all: Vec<_> = all.collect();
        all.sort();
        all
    };
    let serving = names();
    assert_eq!(serving.len(), 2, "{serving:?}");
    // Of a release that is long gone, of another engine, of another host that is at work, cut off by a kill, and none of ours.
    let (_, engine) = serving[0].split_once('-').unwrap();
    let gone = format!("{}-{engine}", "a".repeat(64));
    let other_engine = format!("{}-{}.cwasm", "b".repeat(64), "0".repeat(16));
    let young = format!("{}-{engine}", "c".repeat(64));
    let half = format!(".4711.{}", uuid::Uuid::new_v4());
    let foreign = "notes.txt".to_owned();
    let month = Duration::from_secs(31 * 24 * 3600);
    for name in [&gone, &other_engine, &young, &half, &foreign] {
        fs::write(folder.join(name), "x").unwrap();
    }
    for name in serving.iter().chain([&gone, &other_engine, &half, &foreign]) {
        let file = fs::File::open(folder.join(name)).unwrap();
        file.set_modified(std::time::SystemTime::now() - month).unwrap();
    }

    let host = Host::start(&db, None, HostOptions { env, plugins: Vec::new(), ..HostOptions::default() }).await;
    let mut kept = [serving.clone(), vec![young, foreign]].concat();
    kept.sort();
    eventually("what nobody used is gone", async || (names() == kept).then_some(())).await;
    serves(&host).await;
    let log = host.log();
    assert!(log.contains("compiled components that nobody used are gone") && !log.contains("is damaged"), "{log}");
    // What this host has loaded is as good as new.
    for name in &serving {
        let age = fs::metadata(folder.join(name)).unwrap().modified().unwrap().elapsed().unwrap_or_default();
        assert!(age < month / 2, "{name}: {age:?}");
    }
}
