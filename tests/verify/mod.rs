//! A release that is not published yet, against what is recorded: the same, what is otherwise and where, what fails.

mod gate;
mod history;
mod planted;
mod waiting;

use std::{fs, path::Path, process::Output};

use serde_json::{Value, json};

use crate::{
    plugins::repacked,
    support::{
        ActingService, Db, Host, HostOptions, PASSWORD, SECRET, Sink, StripeStandIn, eventually, scratch, stripe, usher,
    },
};

/// Where the shop's code has a word of ours.
const MARK: &[u8] = b"usher-test-plant:";

/// The shop's code as another version of it, with something planted; "nothing" is the code as it is.
pub fn shop(version: &str, plant: &str) -> Vec<u8> {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("guests/shop.toml")).unwrap();
    assert!(manifest.contains("version = \"0.1.0\""));
    let mut bytes =
        repacked("guest-shop.wasm", &manifest.replace("version = \"0.1.0\"", &format!("version = \"{version}\"")));
    let places: Vec<_> = (0..bytes.len() - MARK.len() - 8).filter(|&at| &bytes[at..at + MARK.len()] == MARK).collect();
    assert!(!places.is_empty(), "the mark is in the component");
    for at in places {
        bytes[at + MARK.len()..at + MARK.len() + 8].copy_from_slice(format!("{plant:<8}").as_bytes());
    }
    bytes
}

/// All that an order needs, and how often each was asked.
pub struct Shop {
    pub db: Db,
    pub host: Host,
    pub sink: Sink,
    pub stripe: StripeStandIn,
    pub service: ActingService,
}

impl Shop {
    /// `more`: what else the configuration says.
    pub async fn start(plugins: Vec<&'static str>, more: &str) -> Self {
        let (db, sink) = (Db::new().await, Sink::start().await);
        let (stripe, service) = (StripeStandIn::start().await, ActingService::start().await);
        let options = HostOptions { plugins, ..options(&stripe, &service, more) };
        let host = Host::start(&db, Some(&sink), options).await;
        Self { db, host, sink, stripe, service }
    }

    /// The same host again, with something else in its configuration.
    pub async fn restart(self, more: &str) -> Self {
        let Self { db, host, sink, stripe, service } = self;
        let data_dir = Some(host.data_dir.clone());
        host.terminate().await;
        let options = HostOptions { data_dir, ..options(&stripe, &service, more) };
        let host = Host::start(&db, Some(&sink), options).await;
        Self { db, host, sink, stripe, service }
    }

    /// Takes orders, and waits until they and their notes are done. Their ids.
    pub async fn orders(&self, count: usize) -> Vec<String> {
        let client = self.host.client();
        let before = self.notes().await;
        let mut ids = Vec::new();
        for n in 0..count {
            let order = json!({"do": "shop", "order": format!("order-{n}"), "amount": 1_200 + n});
            ids.push(client.submit("guest-shop", order).await);
        }
        for id in &ids {
            client.wait(id, "completed").await;
        }
        let all = before + i64::try_from(count).unwrap();
        eventually("the notes are done", async || (self.notes().await == all).then_some(())).await;
        ids
    }

    async fn notes(&self) -> i64 {
        self.db.count("SELECT count(*) FROM jobs_archive WHERE job_type = 'guest-shop-note'").await
    }

    /// What left the host so far: requests to Stripe, mails, acts of the service, rows of the archive.
    pub async fn left(&self) -> (usize, usize, usize, i64) {
        let rows =
            self.db.count("SELECT count(*) FROM jobs_archive").await + self.db.count("SELECT count(*) FROM jobs").await;
        (self.stripe.seen().len(), self.sink.mails().await.len(), self.service.acts().len(), rows)
    }

    /// A command with the host's own configuration.
    pub async fn run(&self, args: &[&str]) -> Said {
        let mut command = usher();
        command
            .args(args)
            .arg("--config")
            .arg(self.host.data_dir.join("usher.toml"))
            .env("DATABASE_URL", &self.db.url)
            .env("USHER_TEST_JWT", SECRET)
            .env("USHER_TEST_SMTP_PASSWORD", PASSWORD)
            .env("USHER_TEST_STRIPE", stripe::KEY);
        Said::of(tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap())
    }

    /// `usher plugin verify`, as JSON; its exit code.
    pub async fn verify(&self, component: &[u8]) -> (i32, Value) {
        let said = self.run(&["plugin", "verify", &file(component), "--last", "100", "--json"]).await;
        let report = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{}{}", said.out, said.err));
        (said.code, report)
    }
}

/// A host that has all that an order needs, and no plugin yet.
fn options(stripe: &StripeStandIn, service: &ActingService, more: &str) -> HostOptions {
    let config = format!(
        r#"
[upstreams.rig]
base_url = "{}"
methods = ["GET", "POST"]
idempotent = true
[stripe.profiles.main]
key = {{ env = "USHER_TEST_STRIPE" }}
tenants = ["t1"]
connected = ["acct_venue"]
base_url = "{}"
{more}
"#,
        service.base, stripe.base,
    );
    let env = vec![("USHER_TEST_STRIPE", stripe::KEY.to_owned())];
    HostOptions { plugins: Vec::new(), config, env, ..HostOptions::default() }
}

/// What a command said.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    pub fn last_line(&self) -> &str {
        self.out.lines().next_back().unwrap_or_default()
    }
}

/// A component as a file.
pub fn file(component: &[u8]) -> String {
    let path = scratch("verify").join("component.wasm");
    fs::write(&path, component).unwrap();
    path.display().to_string()
}

/// The first group of what is different or failed.
pub fn first(report: &Value) -> &Value {
    &report["groups"][0]
}
