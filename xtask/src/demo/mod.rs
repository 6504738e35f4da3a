//! The main job before your eyes: a real Postgres, a real SMTP server, sandboxed components, and a swap under load.

mod all;
pub mod http;
mod story;
mod stripe;
mod swap;

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

pub use self::all::{all, play_all};
use self::http::Http;
use crate::{
    guests::{self, Built},
    postgres,
    python::{self, Python},
    sh::{self, OrFail, Result, Running},
};

/// What it shows: three plugins, one of them in two releases, and a guest that panics.
const COMPONENTS: [&str; 5] =
    ["payments.wasm", "notifications.wasm", "analytics.wasm", "analytics-v2.wasm", "guest.wasm"];

/// What the steps of the demo share.
pub struct Stage {
    pub base: String,
    pub token: String,
    /// Where the SMTP server shows its mails and takes faults.
    pub mail_control: String,
    pub plugins: PathBuf,
    pub built: Built,
}

impl Stage {
    pub fn http(&self) -> Result<Http> {
        Http::connect(&self.base, &self.token)
    }
}

pub fn run(once: bool) -> Result<()> {
    let began = Instant::now();
    // No more than it needs: neither Node nor what the tests' peers are made of.
    postgres::setup(false)?;
    let compiler = guests::setup(false)?;
    let python = python::setup(false)?;
    // Fresh each time: a version is published once, and a rebuild of it may have other bytes.
    let dir = sh::target_dir()?.join("demo");
    if dir.exists() {
        fs::remove_dir_all(&dir).or_fail("clear the demo's folder")?;
    }
    let plugins = dir.join("data/plugins");
    fs::create_dir_all(&plugins).or_fail("make the demo's folder")?;
    println!("building a host without Solana, three plugins and a guest that panics …");
    let host = guests::build_lean_usher(&dir)?;
    let built = guests::build_some(&compiler, &host, &COMPONENTS)?;
    for name in ["payments.wasm", "notifications.wasm", "analytics.wasm"] {
        ship(&built.plugins.join(name), &plugins.join(name))?;
    }
    ship(&built.guests.join("guest.wasm"), &plugins.join("guest.wasm"))?;

    let password = random()?;
    let (mut mail, smtp_port, mail_control) = start_mail(&python, &dir, &password)?;
    println!("SMTP server   127.0.0.1:{smtp_port}  (aiosmtpd; STARTTLS and log-in required)");
    let stripe = stripe::start()?;
    println!("Stripe        {stripe}  (not Stripe, but a stand-in inside this process; `demo --all` has a peer)");
    let (mut usher, base) = start_usher(&host, &dir, &smtp_port, &password, &stripe)?;
    println!("Usher         {base}  (its own PostgreSQL in {})", dir.join("data/postgres").display());
    let token = mint(&host, &dir)?;
    let stage = Stage { base, token, mail_control, plugins, built };

    story::tell(&stage)?;
    let sums = swap::run(&stage)?;
    println!("\n{sums}");
    if !once {
        invite(&stage);
        // Ctrl-C reaches the host as well, which stops its Postgres.
        usher.child.wait().or_fail("wait for the host")?;
        return Ok(());
    }
    usher.stop("TERM", Duration::from_secs(60))?;
    if usher.child.wait().or_fail("wait for the host")?.code() != Some(0) {
        return sh::failed("the host did not end with 0");
    }
    mail.stop("TERM", Duration::from_secs(10))?;
    println!(
        "demo ok: a payment (at the stand-in), its mail, a retry, one job for one key, a trap contained, {sums}; {:.0} s",
        began.elapsed().as_secs_f64()
    );
    Ok(())
}

/// The documented way to ship: write beside, rename.
pub fn ship(from: &Path, to: &Path) -> Result<()> {
    let beside = to.with_extension("tmp");
    fs::copy(from, &beside).or_fail(from.display())?;
    fs::rename(&beside, to).or_fail(to.display())
}

pub fn start_mail(python: &Python, dir: &Path, password: &str) -> Result<(Running, String, String)> {
    let folder = dir.join("mail");
    fs::create_dir_all(&folder).or_fail("make the mail server's folder")?;
    let log = fs::File::create(folder.join("log")).or_fail("make the mail server's log")?;
    let mut child = Command::new(python.executable())
        .arg(sh::root().join("tests/support/smtp_sink.py"))
        .arg(&folder)
        .env("SMTP_PASSWORD", password)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .or_fail("start the SMTP server")?;
    let line = first_line(&mut child, "the SMTP server")?;
    let running = Running::new("the SMTP server", child);
    match line.split_whitespace().collect::<Vec<_>>().as_slice() {
        [smtp, control, _] => Ok((running, (*smtp).to_owned(), format!("http://127.0.0.1:{control}"))),
        _ => sh::failed(format!("the SMTP server did not start; see {}", folder.join("log").display())),
    }
}

fn start_usher(host: &Path, dir: &Path, smtp_port: &str, password: &str, stripe: &str) -> Result<(Running, String)> {
    let config = dir.join("usher.toml");
    let text = format!(
        r#"# What the demo runs with.
[server]
listen = "127.0.0.1:0"

# Deny, then grant: what each plugin may do.
[plugins.policy.payments]
stripe = ["create-payment-intent"]
jobs = ["send-email"]
webhook = ["payment.completed", "payment.processing", "payment.requires_action"]
[plugins.policy.notifications]
email = ["default"]
[plugins.policy.guest]
jobs = ["guest", "guest-money"]

[stripe.profiles.demo]
key = {{ env = "STRIPE_KEY" }}
tenants = ["demo"]
base_url = "{stripe}"

[email.profiles.default]
host = "localhost"
port = {smtp_port}
security = "starttls"
username = "u"
password = {{ env = "SMTP_PASSWORD" }}
from = "Tickets <tickets@example.com>"
ca_file = "{}"
"#,
        dir.join("mail/ca.pem").display()
    );
    fs::write(&config, text).or_fail(config.display())?;
    let log_path = dir.join("usher.log");
    let log = fs::File::create(&log_path).or_fail("make the host's log")?;
    let mut child = Command::new(host)
        .args(["serve", "--dev", "--config"])
        .arg(&config)
        .arg("--data-dir")
        .arg(dir.join("data"))
        .env("SMTP_PASSWORD", password)
        .env("STRIPE_KEY", "sk_test_of_the_demo")
        .env_remove("DATABASE_URL")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .or_fail("start usher")?;
    let line = first_line(&mut child, "usher")?;
    let running = Running::new("usher", child);
    match line.strip_prefix("usher: ready on ") {
        Some(base) => Ok((running, base.to_owned())),
        None => sh::failed(format!("usher did not start: {}", fs::read_to_string(log_path).unwrap_or_default().trim())),
    }
}

/// The line a child says when it is ready.
pub fn first_line(child: &mut std::process::Child, name: &str) -> Result<String> {
    let Some(stdout) = child.stdout.take() else { return sh::failed(format!("{name} has no output")) };
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).or_fail(name)?;
    Ok(line.trim().to_owned())
}

fn mint(host: &Path, dir: &Path) -> Result<String> {
    let mut usher = Command::new(host);
    usher.args([
        "token",
        "mint",
        "--role",
        "venue_admin",
        "--tenant",
        "demo",
        "--subject",
        "you",
        "--ttl",
        "12h",
        "--data-dir",
    ]);
    // Away from any usher.toml.
    sh::output(usher.arg(dir.join("data")).current_dir(dir.join("mail")))
}

/// A password for this run only.
pub fn random() -> Result<String> {
    let mut bytes = [0; 18];
    let mut source = fs::File::open("/dev/urandom").or_fail("open /dev/urandom")?;
    std::io::Read::read_exact(&mut source, &mut bytes).or_fail("read /dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn invite(stage: &Stage) {
    let Stage { base, token, .. } = stage;
    println!(
        r#"
Now you. Ctrl-C ends it.

curl -s {base}/jobs -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' -d '{{"type":"analytics-track","payload":{{"event":"Hello World"}}}}'

curl -s '{base}/jobs?limit=3' -H 'Authorization: Bearer {token}'

curl -s {base}/plugins -H 'Authorization: Bearer {token}'
"#
    );
    if env::var_os("CI").is_some() {
        println!("(in CI, say --once)");
    }
}
