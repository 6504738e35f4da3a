//! `usher serve --dev` with a Postgres of its own: it persists, it recovers, and it goes when the host goes.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use serde_json::json;

use crate::support::{Client, component, eventually, place, scratch, usher};

struct Dev {
    child: Child,
    base: String,
    dir: PathBuf,
}

async fn start(dir: &Path) -> Dev {
    let mut child = usher()
        .args(["serve", "--dev", "--config"])
        .arg(dir.join("usher.toml"))
        .arg("--data-dir")
        .arg(dir.join("data"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(fs::File::create(dir.join("log")).unwrap())
        .spawn()
        .unwrap();
    let stdout = child.stdout.take().unwrap();
    let line = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        line
    });
    let line = line.await.unwrap();
    let base = line
        .trim()
        .strip_prefix("usher: ready on ")
        .unwrap_or_else(|| panic!("{}", fs::read_to_string(dir.join("log")).unwrap()));
    Dev { child, base: base.to_owned(), dir: dir.to_owned() }
}

impl Dev {
    fn client(&self) -> Client {
        let token = usher()
            .args(["token", "mint", "--role", "user", "--tenant", "t1", "--data-dir"])
            .arg(self.dir.join("data"))
            .output()
            .unwrap();
        assert!(token.status.success(), "{}", String::from_utf8_lossy(&token.stderr));
        Client::new(&self.base, String::from_utf8(token.stdout).unwrap().trim().to_owned())
    }

    fn postgres(&self) -> u32 {
        let pid = fs::read_to_string(self.dir.join("data/postgres/data/postmaster.pid")).unwrap();
        pid.lines().next().unwrap().trim().parse().unwrap()
    }
}

fn is_running(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// The effective user.
fn uid(pid: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("Uid:")).unwrap();
    line.split_whitespace().nth(2).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_persists_recovers_from_kill_9_and_goes_with_its_host() {
    let dir = scratch("dev");
    fs::write(
        dir.join("usher.toml"),
        "[server]\nlisten = \"127.0.0.1:0\"\n[plugins.policy.guest]\njobs = [\"guest\", \"guest-money\"]\n",
    )
    .unwrap();
    fs::create_dir_all(dir.join("data/plugins")).unwrap();
    place(&component("guest.wasm"), &dir.join("data/plugins/guest.wasm"));

    let mut host = start(&dir).await;
    let mode = |file: &str| fs::metadata(dir.join(file)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("data/dev-secret"), 0o600);
    assert_eq!(mode("data/postgres/password"), 0o600);
    let id = host.client().submit("guest-money", json!({"do": "ok"})).await;
    host.client().wait(&id, "completed").await;
    // Postgres refuses root; ours runs as somebody else, or as somebody else of a user namespace.
    let postgres = host.postgres();
    let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/user")).unwrap();
    let is_apart = namespace(&postgres.to_string()) != namespace("self");
    assert!(uid(postgres) != 0 || is_apart, "postgres runs as root");
    let status = fs::read_to_string(format!("/proc/{postgres}/cmdline")).unwrap();
    assert!(status.contains("127.0.0.1") && status.contains("unix_socket_directories="), "{status}");

    // kill -9: the orphan is found and stopped by the next start; the job is there.
    host.child.kill().unwrap();
    host.child.wait().unwrap();
    assert!(is_running(postgres));
    let mut host = start(&dir).await;
    assert!(!is_running(postgres));
    assert_eq!(host.client().job(&id).await["state"], "completed");

    // The database is killed with its host: recovery.
    let postgres = host.postgres();
    host.child.kill().unwrap();
    host.child.wait().unwrap();
    assert!(std::process::Command::new("kill").arg("-9").arg(postgres.to_string()).status().unwrap().success());
    eventually("it is gone", async || (!is_running(postgres)).then_some(())).await;
    let mut host = start(&dir).await;
    assert_eq!(host.client().job(&id).await["state"], "completed");

    for signal in ["TERM", "INT"] {
        let postgres = host.postgres();
        assert!(
            std::process::Command::new("kill")
                .arg(format!("-{signal}"))
                .arg(host.child.id().to_string())
                .status()
                .unwrap()
                .success()
        );
        let code = eventually("the host ends", async || host.child.try_wait().unwrap()).await.code();
        assert_eq!(code, Some(0), "{}", fs::read_to_string(dir.join("log")).unwrap());
        assert!(!is_running(postgres), "{signal}");
        if signal == "TERM" {
            host = start(&dir).await;
        }
    }
    fs::remove_dir_all(&dir).unwrap();
}
