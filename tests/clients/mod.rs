//! The generated clients, and the signers beside them, against a real host: their own tests, in their own languages.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{Db, Host, HostOptions, env, scratch, token};

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients")
}

/// Runs it to its end; what it said, when it fails.
fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{said}");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_in_typescript_and_python_submit_wait_list_and_sign() {
    let db = Db::new().await;
    let plugins = vec!["analytics.wasm"];
    let host = Host::start(&db, None, HostOptions { plugins, ..HostOptions::default() }).await;
    let variables = [
        ("USHER_URL", host.base.clone()),
        ("USHER_TOKEN", token("user", Some("t1"))),
        ("USHER_ADMIN", token("admin", None)),
        ("NO_PROXY", "*".to_owned()),
    ];
    let done = tokio::task::spawn_blocking(move || {
        typescript(&variables);
        python(&variables);
    });
    done.await.unwrap();
}

/// Beside its packages, which are not in the source tree.
fn typescript(variables: &[(&str, String)]) {
    let (from, dir) = (clients().join("typescript"), scratch("typescript"));
    copy(&from, &dir);
    copy(&from.join("src"), &dir.join("src"));
    copy(&from.join("test"), &dir.join("test"));
    let packages = Path::new(&env("USHER_TEST_CLIENTS_NODE")).join("node_modules");
    symlink(&packages, dir.join("node_modules")).unwrap();
    run(Command::new("node").arg(packages.join("typescript/bin/tsc")).current_dir(&dir));
    let tests = ["signature", "client"].map(|name| format!("dist/test/{name}.test.js"));
    run(Command::new("node")
        .arg("--test")
        .args(tests)
        .current_dir(&dir)
        .envs(variables.iter().map(|(name, value)| (name, value))));
}

fn python(variables: &[(&str, String)]) {
    let dir = clients().join("python");
    run(Command::new(env("USHER_TEST_CLIENTS_PYTHON"))
        .args(["-B", "-m", "unittest", "discover", "--start-directory", "tests"])
        .current_dir(&dir)
        .env("PYTHONPATH", &dir)
        .envs(variables.iter().map(|(name, value)| (name, value))));
}
