use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Duration,
};

use super::{Client, Db, SECRET, Sink, env, scratch, token, usher, within};

/// How a test host differs from the others.
#[derive(Clone, Debug)]
pub struct HostOptions {
    /// Appended to the configuration.
    pub config: String,
    /// Components of `USHER_PLUGINS` and `USHER_GUESTS` that are in the plugins folder from the start.
    pub plugins: Vec<&'static str>,
    pub concurrency: u32,
    pub filter: &'static str,
    pub on_doubt: &'static str,
    pub grace: &'static str,
    /// The email profile speaks TLS from the first byte.
    pub implicit_tls: bool,
    /// Of the email profile.
    pub mail_timeout: &'static str,
    /// The plugins folder (and the rest of the data folder) of another host, to restart it.
    pub data_dir: Option<PathBuf>,
    /// Further environment.
    pub env: Vec<(&'static str, String)>,
    /// In place of the queues with short delays.
    pub queues: Option<String>,
    /// In place of a tenth of the product's times.
    pub cluster: Option<String>,
    /// In place of the policy that grants what the components here ask for.
    pub policy: Option<String>,
}

impl Default for HostOptions {
    fn default() -> Self {
        Self {
            config: String::new(),
            plugins: vec!["guest.wasm"],
            concurrency: 32,
            filter: "info,usher_host=debug",
            on_doubt: "resend",
            grace: "5s",
            implicit_tls: false,
            mail_timeout: "3s",
            data_dir: None,
            env: Vec::new(),
            queues: None,
            cluster: None,
            policy: None,
        }
    }
}

/// A running `usher serve`.
pub struct Host {
    child: Child,
    pub base: String,
    pub data_dir: PathBuf,
    log: PathBuf,
}

/// A tenth of the product's times.
const CLUSTER: &str = r#"
[cluster]
heartbeat = "300ms"
confirm_within = "700ms"
dead_after = "1s"
doubt_margin = "500ms"
poll = "500ms"
ready_within = "6s"
"#;

pub const QUEUES: &str = r#"
[queues.money]
tier = 1
retries = 10
delay = "200ms"
backoff = "exponential"
max_delay = "2s"
expiry = "24h"
[queues.communication]
tier = 2
retries = 5
delay = "300ms"
backoff = "fixed"
expiry = "12h"
[queues.background]
tier = 3
retries = 2
delay = "200ms"
backoff = "fixed"
expiry = "6h"
"#;

/// Grants what most components here ask for.
pub const POLICY: &str = r#"
[plugins.policy.payments]
stripe = ["create-payment-intent"]
jobs = ["send-email"]
webhook = ["payment.completed", "payment.processing", "payment.requires_action"]
[plugins.policy.notifications]
email = ["default"]
[plugins.policy.guest]
jobs = ["guest", "guest-money"]
[plugins.policy.guest-effects]
email = ["default"]
upstream = ["rig"]
jobs = ["guest-mail"]
[plugins.policy.guest-money]
email = ["default"]
upstream = ["rig"]
jobs = ["guest-mail"]
stripe = [
    "create-payment-intent", "get-payment-intent", "capture-payment-intent", "cancel-payment-intent", "create-refund",
    "create-payout", "create-transfer",
]
[plugins.policy.guest-shop]
email = ["default"]
upstream = ["rig"]
stripe = ["create-transfer"]
jobs = ["guest-shop-note"]
webhook = ["guest.happened"]
[plugins.policy.guest-mint]
jobs = ["guest-mint"]
solana = ["mint-nft"]
[plugins.policy.guest-inbound]
jobs = ["guest-inbound"]
[plugins.policy.guest-webhook]
jobs = ["guest-webhook"]
webhook = ["payment.completed", "refund.completed", "nft.minted", "guest.happened"]
"#;

impl Host {
    pub async fn start(db: &Db, sink: Option<&Sink>, options: HostOptions) -> Self {
        let data_dir = options.data_dir.clone().unwrap_or_else(|| scratch("host"));
        let plugins = data_dir.join("plugins");
        fs::create_dir_all(&plugins).unwrap();
        for name in &options.plugins {
            place(&component(name), &plugins.join(name));
        }
        let config = data_dir.join("usher.toml");
        fs::write(&config, text(&options, sink)).unwrap();
        let log = data_dir.join(format!("log-{}", uuid::Uuid::new_v4().simple()));
        let mut command = usher();
        command
            .args(["serve", "--dev", "--config"])
            .arg(&config)
            .arg("--data-dir")
            .arg(&data_dir)
            .env("DATABASE_URL", &db.url)
            .env("USHER_TEST_JWT", SECRET)
            .env("USHER_TEST_SMTP_PASSWORD", super::PASSWORD)
            .envs(options.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log).unwrap());
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let ready = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(stdout).read_line(&mut line).unwrap();
            line
        });
        let line = tokio::time::timeout(Duration::from_secs(60), ready).await.expect("the host gets ready").unwrap();
        let base = line.trim().strip_prefix("usher: ready on ").map(str::to_owned);
        let Some(base) = base else {
            panic!("the host did not get ready: {}", fs::read_to_string(&log).unwrap_or_default());
        };
        Self { child, base, data_dir, log }
    }

    /// A user of tenant t1.
    pub fn client(&self) -> Client {
        Client::new(&self.base, token("user", Some("t1")))
    }

    /// An admin without a tenant.
    pub fn admin(&self) -> Client {
        Client::new(&self.base, token("admin", None))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn plugins(&self) -> PathBuf {
        self.data_dir.join("plugins")
    }

    pub fn signal(&self, signal: &str) {
        let status =
            std::process::Command::new("kill").arg(format!("-{signal}")).arg(self.pid().to_string()).status().unwrap();
        assert!(status.success());
    }

    /// kill -9, and the process is gone.
    pub fn kill9(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and the process is gone; its exit code.
    pub async fn terminate(mut self) -> Option<i32> {
        self.signal("TERM");
        let status = within(Duration::from_secs(40), "the host ends", async || self.child.try_wait().unwrap()).await;
        status.code()
    }

    /// Resident memory, in bytes.
    pub fn rss(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<_> = log.lines().rev().take(30).collect();
            eprintln!("── the host's last lines\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
    }
}

/// The configuration, as TOML.
pub fn text(options: &HostOptions, sink: Option<&Sink>) -> String {
    let artifacts = std::env::temp_dir().join(format!("usher-test-artifacts-{}", std::process::id()));
    let mut text = format!(
        r#"
[server]
listen = "127.0.0.1:0"
grace = "{}"
[[auth.issuers]]
name = "test"
algorithm = "HS256"
secret = {{ env = "USHER_TEST_JWT" }}
[worker]
concurrency = {}
[runtime]
artifacts = "{}"
[log]
filter = "{}"
{}
{}
{}
"#,
        options.grace,
        options.concurrency,
        artifacts.display(),
        options.filter,
        options.cluster.as_deref().unwrap_or(CLUSTER),
        options.queues.as_deref().unwrap_or(QUEUES),
        options.policy.as_deref().unwrap_or(POLICY),
    );
    let (port, ca) = sink.map_or((1, String::new()), |sink| {
        let port = if options.implicit_tls { sink.tls_port } else { sink.port };
        (port, format!("ca_file = \"{}\"", sink.ca.display()))
    });
    let security = if options.implicit_tls { "tls" } else { "starttls" };
    text.push_str(&format!(
        r#"
[email.profiles.default]
host = "localhost"
port = {port}
security = "{security}"
username = "u"
password = {{ env = "USHER_TEST_SMTP_PASSWORD" }}
from = "Tickets <tickets@example.com>"
timeout = "{}"
on_doubt = "{}"
{ca}
"#,
        options.mail_timeout, options.on_doubt,
    ));
    if !options.config.contains("[upstreams.rig]") {
        text.push_str("[upstreams.rig]\nbase_url = \"http://127.0.0.1:1\"\nmethods = [\"GET\", \"POST\"]\n");
    }
    // Guests that misbehave on purpose are not to stop the others of their release.
    if !options.config.contains("[plugins.quarantine]") {
        text.push_str("[plugins.quarantine]\nbad = 0\n");
    }
    // Many hosts and their database share one control group here.
    if !options.config.contains("[pressure]") {
        text.push_str("[pressure]\nmemory = 1099511627776\n");
    }
    // Hosts are killed and jobs fail here all the time; tests of alerts say which rules count.
    if !options.config.contains("[alerts]") {
        text.push_str("[alerts]\nbuiltin = false\n");
    }
    text.push_str(&options.config);
    text
}

/// A built component by its file name.
pub fn component(name: &str) -> PathBuf {
    let found = ["USHER_PLUGINS", "USHER_GUESTS"]
        .into_iter()
        .map(|dir| Path::new(&env(dir)).join(name))
        .find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not built"))
}

/// The documented way to ship: write beside, rename.
pub fn place(from: &Path, to: &Path) {
    let beside = to.with_file_name(format!(".{}", uuid::Uuid::new_v4().simple()));
    fs::copy(from, &beside).unwrap();
    fs::rename(&beside, to).unwrap();
}
