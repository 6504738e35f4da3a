//! The walls: each has a guest that runs into it, in each language that can.

use std::process::Output;

use serde_json::json;

use super::{LANGUAGES, Rig, order, trouble};
use crate::support::{component, scratch, usher};

#[tokio::test(flavor = "multi_thread")]
async fn each_way_to_fail_has_its_name_in_each_language() {
    let rig = Rig::start().await;
    let mut ids = Vec::new();
    for language in LANGUAGES {
        // A loop that waits for its clock computes: time stands still.
        for (which, kind) in
            [("throw", "trap-unreachable"), ("loop", "cpu-limit"), ("wait", "cpu-limit"), ("allocate", "memory-limit")]
        {
            ids.push((language, which, kind, rig.submit(language, trouble(which)).await));
        }
    }
    ids.push(("py", "socket", "not-there", rig.submit("py", trouble("socket")).await));
    ids.push(("py", "exit", "exit", rig.submit("py", trouble("exit")).await));
    for (language, which, kind, id) in ids {
        let job = rig.host.client().wait(&id, "dead").await;
        assert_eq!(job["reason"], "trapped", "{language} {which}: {job}");
        for error in job["errors"].as_array().unwrap() {
            assert_eq!(error["kind"], kind, "{language} {which}: {error}");
            let message = error["message"].as_str().unwrap();
            assert!(which != "throw" || message.contains("the guest gave up"), "{language}: {message}");
            assert!(which != "socket" || message.contains("wasi:sockets/"), "{message}");
        }
    }
    // And others go on.
    for language in LANGUAGES {
        let id = rig.submit(language, order("o-1")).await;
        rig.host.client().wait(&id, "completed").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_guest_prints_is_a_log_line_and_a_flood_is_cut() {
    let rig = Rig::start().await;
    for language in LANGUAGES {
        let id = rig.submit(language, trouble("print")).await;
        rig.host.client().wait(&id, "completed").await;
        let log = rig.host.log();
        let line = |words: &str| {
            log.lines()
                .find(|line| line.contains(&id) && line.contains(words))
                .unwrap_or_else(|| panic!("{language}: {words}"))
        };
        assert!(line("said by the guest").contains("INFO"), "{language}");
        assert!(line("complained by the guest").contains("WARN"), "{language}");
    }
    let before = rig.host.log().len();
    for language in LANGUAGES {
        let id = rig.submit(language, trouble("flood")).await;
        rig.host.client().wait(&id, "completed").await;
        let log = rig.host.log();
        let of_it = || log.lines().filter(|line| line.contains(&id) && line.contains("guest log"));
        assert!(
            of_it().next_back().is_some_and(|line| line.contains("truncated: this attempt may log no more")),
            "{language}"
        );
        assert!(of_it().count() <= 257, "{language}");
    }
    let grown = rig.host.log().len() - before;
    assert!(grown < 1 << 20, "{grown} bytes of log");
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_file_environment_or_network_in_any_language() {
    let rig = Rig::start().await;
    for language in LANGUAGES {
        let id = rig.submit(language, trouble("probe")).await;
        let job = rig.host.client().wait(&id, "completed").await;
        let nothing =
            json!({"environment": false, "file": false, "folder": false, "written": false, "connected": false});
        assert_eq!(job["result"], nothing, "{language}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleep_is_over_at_once_and_no_time_has_passed() {
    let rig = Rig::start().await;
    let id = rig.submit("py", trouble("sleep")).await;
    let job = rig.host.client().wait(&id, "completed").await;
    assert_eq!((&job["attempt"], &job["errors"]), (&json!(1), &json!([])), "an hour of sleep: {job}");
}

fn pack(manifest: &str, component: &str) -> (Output, std::path::PathBuf) {
    let dir = scratch("pack");
    std::fs::write(dir.join("plugin.toml"), manifest).unwrap();
    std::fs::write(dir.join("schema.json"), "{}").unwrap();
    let made = dir.join("packed.wasm");
    let output = usher()
        .args(["plugin", "pack", "--manifest"])
        .arg(dir.join("plugin.toml"))
        .arg("--component")
        .arg(component)
        .arg("-o")
        .arg(&made)
        .output()
        .unwrap();
    (output, made)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_is_packed_once_and_a_core_module_is_none() {
    let manifest = "[plugin]\nname = \"p\"\nversion = \"1.0.0\"\n[[job]]\ntype = \"t\"\nqueue = \"money\"\nschema = \"schema.json\"\n";
    let packed = component("order-ts.wasm");
    let (output, _) = pack(manifest, packed.to_str().unwrap());
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("carries a manifest already"), "{output:?}");
    let core = scratch("core").join("core.wasm");
    std::fs::write(&core, wat::parse_str("(module)").unwrap()).unwrap();
    let (output, _) = pack(manifest, core.to_str().unwrap());
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is a core module"), "{output:?}");
}
