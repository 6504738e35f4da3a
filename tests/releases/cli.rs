use std::fs;

use serde_json::{Value, json};

use super::options;
use crate::support::{Db, Host, component, scratch, token, usher};

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

fn command(host: &str, args: &[&str]) -> Said {
    let output = usher()
        .arg("plugin")
        .args(args)
        .args(["--host", host])
        .env("USHER_TOKEN", token("admin", None))
        .output()
        .unwrap();
    Said {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn releases_are_managed_by_command() {
    let db = Db::new().await;
    let host = Host::start(&db, None, options(Vec::new())).await;
    let run = |args: &[&str]| command(&host.base, args);
    let (v1, v2) = (component("analytics.wasm"), component("analytics-v2.wasm"));
    let (v1, v2) = (v1.to_str().unwrap(), v2.to_str().unwrap());
    let said = run(&["publish", v1]);
    assert_eq!(
        (said.code, said.out.starts_with("analytics 0.1.0 serves (generation ")),
        (Some(0), true),
        "{}",
        said.out
    );
    let said = run(&["publish", v2, "--no-activate"]);
    assert!(said.code == Some(0) && said.out.contains("usher plugin activate analytics 0.2.0"), "{}", said.out);
    let said = run(&["activate", "analytics", "0.2.0", "--json"]);
    let answer: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&answer["version"], &answer["state"]), (&json!("0.2.0"), &json!("active")), "{answer}");
    let said = run(&["rollback", "analytics"]);
    assert!(said.code == Some(0) && said.out.starts_with("analytics 0.1.0 serves"), "{}", said.out);
    let said = run(&["rollback", "analytics", "--to", answer["digest"].as_str().unwrap()]);
    assert!(said.code == Some(0) && said.out.starts_with("analytics 0.2.0 serves"), "{}", said.out);
    let said = run(&["releases", "analytics"]);
    let lines: Vec<_> = said.out.lines().collect();
    assert_eq!(lines.len(), 5, "{}", said.out);
    assert!(
        lines[0].starts_with("GEN") && lines[1].contains("serving") && lines[1].contains("rollback"),
        "{}",
        said.out
    );
    let said = run(&["retire", "analytics", "--drain"]);
    assert!(said.code == Some(0) && said.out.contains("is being retired (drain)"), "{}{}", said.out, said.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_refused_ends_with_1_and_one_that_is_wrong_with_2() {
    let db = Db::new().await;
    let host = Host::start(&db, None, options(vec!["analytics.wasm"])).await;
    let file = |name: &str, bytes: &[u8]| {
        let path = scratch("cli").join(name);
        fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let core = file("core.wasm", &wat::parse_str("(module)").unwrap());
    let empty = wat::parse_str("(component)").unwrap();
    let toml = file("toml.wasm", &crate::plugins::with_manifest(&empty, "[plugin]\nnmae = 1"));
    let unserved = file("unserved.wasm", &crate::plugins::unserved());
    for (args, code, part) in [
        (&["publish", core.as_str()][..], 1, "usher plugin pack"),
        (&["publish", &toml], 1, "line 2"),
        (&["publish", &unserved], 1, "usher:plugin/solano@0.1.0"),
        (&["publish", "/nowhere.wasm"], 2, "/nowhere.wasm"),
        (&["rollback", "analytics"], 1, "nothing-before"),
        (&["rollback", "nobody"], 1, "no plugin"),
        (&["rollback", "../x"], 2, "no plugin's name"),
        (&["retire", "analytics"], 2, "--drain"),
        (&["retire", "analytics", "--drain", "--cancel"], 2, "cannot be used with"),
        (&["activate", "analytics", "9.0.0"], 1, "no release 9.0.0"),
        (&["releases", "nobody"], 1, "no plugin"),
    ] {
        let said = command(&host.base, args);
        assert_eq!(said.code, Some(code), "{args:?}: {}{}", said.out, said.err);
        assert!(said.err.contains(part), "{args:?}: {}", said.err);
        assert!(said.out.is_empty(), "{args:?}: {}", said.out);
    }
    let without = |args: &[&str], env: &[(&str, &str)]| {
        let output = usher()
            .arg("plugin")
            .args(args)
            .env_remove("USHER_TOKEN")
            .env_remove("USHER_HOST")
            .envs(env.iter().copied())
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = without(&["releases", "analytics"], &[]);
    assert!(code == Some(2) && said.contains("--host"), "{said}");
    let (code, said) = without(&["releases", "analytics", "--host", &host.base], &[]);
    assert!(code == Some(2) && said.contains("--token-file"), "{said}");
    let (code, said) = without(&["releases", "analytics", "--host", "x"], &[("USHER_TOKEN", "x")]);
    assert!(code == Some(2) && said.contains("no address"), "{said}");
    let (code, said) = without(&["releases", "analytics", "--host", &host.base], &[("USHER_TOKEN", "x")]);
    assert!(code == Some(3) && said.contains("usher token mint"), "{said}");
    let (code, said) = without(&["releases", "analytics", "--host", "http://127.0.0.1:1"], &[("USHER_TOKEN", "x")]);
    assert!(code == Some(3) && said.contains("does not answer"), "{said}");
    for bad in ["", "two words"] {
        let (code, said) = without(&["releases", "analytics", "--host", &host.base], &[("USHER_TOKEN", bad)]);
        assert!(code == Some(2) && said.contains("the token is empty, or"), "{said}");
    }
    let (code, said) =
        without(&["releases", "analytics", "--host", "http://u:hunter2@127.0.0.1:1"], &[("USHER_TOKEN", "x")]);
    assert!(code == Some(2) && !said.contains("hunter2"), "{said}");
    // A token that is not an admin's, from a file.
    let user = file("token", token("user", Some("t1")).as_bytes());
    let (code, said) = without(&["rollback", "analytics", "--host", &host.base, "--token-file", &user], &[]);
    assert!(code == Some(1) && said.contains("admin"), "{said}");
}
