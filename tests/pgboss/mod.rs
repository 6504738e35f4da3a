//! From pg-boss: its two versions as npm sells them, filled by their own calls, beside a table of keys as the old service had it.
//! The short form has 1,000 jobs and 1,000 keys: `USHER_IMPORTED=10000 cargo xtask test pgboss` is the long one.

mod active;
mod keys;
mod moving;

use std::{
    path::Path,
    process::{Output, Stdio},
};

use serde_json::Value;

use crate::support::{Db, Host, HostOptions, env, usher};

/// The old service's database.
pub struct Old {
    pub db: Db,
}

impl Old {
    pub async fn start(version: u8, jobs: usize, keys: usize) -> Self {
        let db = Db::empty().await;
        // Packages are found from where a script lies.
        let name = format!("old-service-{}.mjs", uuid::Uuid::new_v4().simple());
        let file = Path::new(&env("USHER_TEST_NODE")).join(name);
        std::fs::write(&file, include_str!("old_service.mjs")).unwrap();
        let mut node = std::process::Command::new("node");
        node.arg(&file).args([&db.url, &version.to_string(), &jobs.to_string(), &keys.to_string()]);
        let output = node.stdin(Stdio::null()).output().unwrap();
        std::fs::remove_file(&file).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { db }
    }

    /// All that lies there, in one number.
    pub async fn mark(&self) -> String {
        let sql = "SELECT md5(coalesce(string_agg(j::text, '' ORDER BY id), '')) FROM pgboss.job j WHERE name NOT LIKE '\\_\\_%'";
        self.db.text(sql).await.unwrap()
    }
}

/// `usher import pg-boss`, from one database into the other.
pub fn command(old: &Old, db: &Db, arguments: &[&str]) -> std::process::Command {
    let mut command = usher();
    command
        .args(["import", "pg-boss", "--json"])
        .args(arguments)
        .env("USHER_IMPORT_FROM", &old.db.url)
        .env("DATABASE_URL", &db.url)
        .stdin(Stdio::null());
    command
}

/// The exit code, and the report where there is one; else null.
pub async fn import(old: &Old, db: &Db, arguments: &[&str]) -> (i32, Value, String) {
    let mut command = command(old, db, arguments);
    let output: Output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap_or_default(), said)
}

/// It ends well.
pub async fn imported(old: &Old, db: &Db, arguments: &[&str]) -> Value {
    let (code, report, said) = import(old, db, arguments).await;
    assert_eq!(code, 0, "{report} {said}");
    report
}

/// A host that takes submits of the types that come over, and runs none.
pub async fn host(db: &Db) -> Host {
    let upstreams = r#"
[upstreams.metadata]
base_url = "http://127.0.0.1:1"
methods = ["PUT"]
[upstreams.minting]
base_url = "http://127.0.0.1:1"
methods = ["POST"]
"#;
    let policy = r#"
[plugins.policy.nft]
upstream = ["metadata", "minting"]
jobs = ["send-email"]
webhook = ["nft.minted"]
[plugins.policy.notifications]
email = ["default"]
[plugins.policy.guest]
jobs = ["guest", "guest-money"]
"#;
    let options = HostOptions {
        plugins: vec!["nft-service.wasm", "notifications.wasm", "guest.wasm"],
        policy: Some(policy.to_owned()),
        config: upstreams.to_owned(),
        concurrency: 0,
        ..HostOptions::default()
    };
    Host::start(db, None, options).await
}

/// Jobs, and as many keys.
pub fn size() -> usize {
    std::env::var("USHER_IMPORTED").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000)
}
