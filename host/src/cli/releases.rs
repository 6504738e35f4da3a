//! Releases on a running host, over HTTP with an admin's token.

use std::{path::PathBuf, time::Duration};

use anyhow::anyhow;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    Failure,
    client::{Host, text, with_json},
    progress, runtime,
};
use crate::{releases::signing, runtime::compile::MAX_COMPONENT};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Ship a component to a host; it serves as soon as all live nodes have it ready.
    Publish {
        file: PathBuf,
        #[command(flatten)]
        door: Door,
        /// Store it only.
        #[arg(long)]
        no_activate: bool,
        /// Take it whatever recorded jobs do with it, where the host asks them (plugins.require_verify); the audit log says so.
        #[arg(long)]
        unverified: bool,
        /// Sign it with this Ed25519 private key (PEM).
        #[arg(long, value_name = "KEYFILE")]
        sign: Option<PathBuf>,
    },
    /// Say who activated which release of a plugin and when.
    Releases {
        name: String,
        #[command(flatten)]
        door: Door,
    },
    /// Make a stored release the one that serves, also one in quarantine.
    Activate {
        name: String,
        /// A version, or a digest.
        release: String,
        /// Whatever recorded jobs do with it, where the host asks them; the audit log says so.
        #[arg(long)]
        unverified: bool,
        #[command(flatten)]
        door: Door,
    },
    /// Go back to the release that served before.
    Rollback {
        name: String,
        /// Another one: a version, or a digest.
        #[arg(long, value_name = "VERSION|DIGEST")]
        to: Option<String>,
        /// As of `activate`, for one that never served.
        #[arg(long, requires = "to")]
        unverified: bool,
        #[command(flatten)]
        door: Door,
    },
    /// Retire a plugin: its types take no jobs any more, and are free once the last one is gone.
    #[command(group(clap::ArgGroup::new("mode").required(true)))]
    Retire {
        name: String,
        /// Waiting jobs go on to their end.
        #[arg(long, group = "mode")]
        drain: bool,
        /// Waiting jobs are cancelled; those that had an effect end as soon as none is under way.
        #[arg(long, group = "mode")]
        cancel: bool,
        #[command(flatten)]
        door: Door,
    },
}

/// Which host, in whose name, and for whom the answer is.
#[derive(Debug, Args)]
pub(super) struct Door {
    /// The host's address, such as http://127.0.0.1:8080 [default: $USHER_HOST]
    #[arg(long, value_name = "URL")]
    host: Option<String>,
    /// File with an admin's token [default: $USHER_TOKEN holds it]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Print the host's answer as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// How long a change may take to reach all nodes before the command gives up looking.
const PATIENCE: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(300);

impl Command {
    pub fn run(self) -> Result<(), Failure> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        match self {
            Self::Publish { file, door, no_activate, unverified, sign } => {
                let bytes =
                    std::fs::read(&file).map_err(|e| Failure::Usage(format!("cannot read {}: {e}", file.display())))?;
                if bytes.len() > MAX_COMPONENT {
                    let message =
                        format!("{} has {} bytes, at most {MAX_COMPONENT} are taken", file.display(), bytes.len());
                    return Err(Failure::Usage(message));
                }
                let signature = sign.map(|key| signature(&key, &bytes)).transpose()?;
                let host = door.open()?;
                runtime()?.block_on(async {
                    let flags = [no_activate.then_some("activate=false"), unverified.then_some("unverified=true")];
                    let flags: Vec<_> = flags.into_iter().flatten().collect();
                    let path =
                        if flags.is_empty() { "/plugins".to_owned() } else { format!("/plugins?{}", flags.join("&")) };
                    let mut request =
                        host.request(Method::POST, &path)?.header("content-type", "application/wasm").body(bytes);
                    if let Some(signature) = signature {
                        request = request.header("usher-signature", signature);
                    }
                    // It compiles the component, tries it, and may run recorded jobs with it.
                    let done = progress::spinner("the host looks at it", host.send(request)).await?;
                    host.follow(done, &door).await
                })
            }
            Self::Releases { name, door } => {
                let host = door.open()?;
                runtime()?.block_on(async {
                    let path = format!("/plugins/{}/releases", segment(&name)?);
                    let history = host.send(host.request(Method::GET, &path)?).await?;
                    if door.json {
                        println!("{history}");
                    } else {
                        print!("{}", table(&history));
                    }
                    Ok(())
                })
            }
            Self::Activate { name, release, unverified, door } => {
                door.change(&name, "activate", Some(target(&release)), unverified)
            }
            Self::Rollback { name, to, unverified, door } => {
                door.change(&name, "rollback", to.as_deref().map(target), unverified)
            }
            Self::Retire { name, drain, cancel: _, door } => {
                let mode = if drain { "drain" } else { "cancel" };
                let host = door.open()?;
                runtime()?.block_on(async {
                    let path = format!("/plugins/{}/retire", segment(&name)?);
                    let done =
                        host.send(with_json(host.request(Method::POST, &path)?, &json!({ "mode": mode }))).await?;
                    if door.json {
                        println!("{done}");
                    } else {
                        let jobs = &done["jobs"];
                        println!(
                            "{name} is being retired ({mode}): {jobs} jobs are left; its types are free when none is"
                        );
                    }
                    Ok(())
                })
            }
        }
    }
}

impl Door {
    pub(super) fn open(&self) -> Result<Host, Failure> {
        let said = self.host.clone().or_else(|| std::env::var("USHER_HOST").ok());
        let said = said.ok_or_else(|| Failure::Usage("which host? Say --host URL, or set USHER_HOST".to_owned()))?;
        let token = match &self.token_file {
            Some(file) => std::fs::read_to_string(file)
                .map_err(|e| Failure::Usage(format!("cannot read {}: {e}", file.display())))?,
            None => std::env::var("USHER_TOKEN").map_err(|_| {
                Failure::Usage(
                    "who asks? Say --token-file FILE, or set USHER_TOKEN (see `usher token mint`)".to_owned(),
                )
            })?,
        };
        Host::at(&said, "--host", &token)
    }

    fn change(&self, name: &str, verb: &str, body: Option<Value>, unverified: bool) -> Result<(), Failure> {
        let host = self.open()?;
        runtime()?.block_on(async {
            let flag = if unverified { "?unverified=true" } else { "" };
            let path = format!("/plugins/{}/{verb}{flag}", segment(name)?);
            let mut request = host.request(Method::POST, &path)?;
            if let Some(body) = body {
                request = with_json(request, &body);
            }
            let done = host.send(request).await?;
            host.follow(done, self).await
        })
    }
}

/// As the API takes it: digests are told by their form.
fn target(said: &str) -> Value {
    match said.parse::<crate::ids::Digest>() {
        Ok(digest) => json!({ "digest": digest }),
        Err(_) => json!({ "version": said }),
    }
}

/// A plugin's name as part of a path.
pub(super) fn segment(name: &str) -> Result<&str, Failure> {
    let is_one = !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if is_one { Ok(name) } else { Err(Failure::Usage(format!("\"{name}\" is no plugin's name (a-z, 0-9 and -)"))) }
}

fn signature(key: &std::path::Path, bytes: &[u8]) -> Result<String, Failure> {
    let pem =
        std::fs::read_to_string(key).map_err(|e| Failure::Usage(format!("cannot read {}: {e}", key.display())))?;
    let (signature, _) = signing::sign(&pem, bytes).map_err(|e| Failure::Usage(format!("{} {e}", key.display())))?;
    Ok(signature)
}

impl Host {
    /// The state of a change, once it has reached all nodes.
    async fn settled(&self, done: &Value) -> Result<String, Failure> {
        let (name, version) = (text(&done["name"]), text(&done["version"]));
        let mut state = text(&done["state"]).to_owned();
        let began = std::time::Instant::now();
        while state == "waiting" && began.elapsed() < PATIENCE {
            tokio::time::sleep(LOOK).await;
            let path = format!("/plugins/{}/releases", segment(name)?);
            let history = self.send(self.request(Method::GET, &path)?).await?;
            let own =
                history["items"].as_array().into_iter().flatten().find(|past| past["generation"] == done["generation"]);
            match own.map(|past| (text(&past["state"]), text(&past["withdrawn"]))) {
                Some(("waiting", _)) | None => {}
                Some(("withdrawn", why)) => {
                    return Err(anyhow!(
                        "{name} {version} does not serve: {}",
                        if why.is_empty() { "another activation took its place" } else { why }
                    )
                    .into());
                }
                Some(_) => "active".clone_into(&mut state),
            }
        }
        Ok(state)
    }

    /// Until the change has reached all nodes.
    async fn follow(&self, done: Value, door: &Door) -> Result<(), Failure> {
        let (name, version) = (text(&done["name"]), text(&done["version"]));
        let state = progress::spinner("waiting for all nodes", self.settled(&done)).await?;
        if door.json {
            let mut done = done.clone();
            done["state"] = state.as_str().into();
            println!("{done}");
        }
        // A script that goes on must be able to rely on it.
        if state == "waiting" {
            return Err(anyhow!(
                "{name} {version} still waits for nodes that do not have it ready; see GET /plugins/{name}"
            )
            .into());
        }
        let digest = text(&done["digest"]);
        match state.as_str() {
            // That is all.
            _ if door.json => {}
            "active" => println!("{name} {version} serves (generation {}, {digest})", done["generation"]),
            _ => {
                println!(
                    "{name} {version} is stored ({digest}); make it serve: usher plugin activate {name} {version}"
                );
            }
        }
        if !door.json {
            findings(&done);
        }
        Ok(())
    }
}

/// What a publish found out on the way.
fn findings(done: &Value) {
    for warning in warnings(done) {
        println!("{warning}");
    }
    if let Some(verified) = done["verified"].as_object() {
        let of = |what: &str| verified.get(what).and_then(Value::as_u64).unwrap_or_default();
        println!(
            "verify: jobs={} same={} different={} failed={} skipped={}",
            of("jobs"),
            of("same"),
            of("different"),
            of("failed"),
            of("skipped")
        );
    }
    for unfit in done["waiting"]["unfit"].as_array().into_iter().flatten() {
        println!(
            "{} waiting jobs of {} do not fit the new release, e.g. job {} at \"{}\": they run on the release that accepted them ({})",
            unfit["jobs"],
            text(&unfit["type"]),
            text(&unfit["example"]),
            text(&unfit["pointer"]),
            unfit["version"].as_str().or(unfit["acceptedBy"].as_str()).unwrap_or("none did yet")
        );
    }
}

/// Each with the release that it is about.
fn warnings(done: &Value) -> Vec<String> {
    let said = done["warnings"].as_array().into_iter().flatten();
    said.map(|warning| format!("warning: {} {}: {}", text(&done["name"]), text(&done["version"]), text(warning)))
        .collect()
}

fn table(history: &Value) -> String {
    let header = ["GEN", "VERSION", "STATE", "REASON", "BY", "AT", "DIGEST"].map(str::to_owned);
    let rows = history["items"].as_array().into_iter().flatten().map(|past| {
        let or = |first: &str, second: &str| {
            let shown = if past[first].is_null() { &past[second] } else { &past[first] };
            text(shown).to_owned()
        };
        let mut state = text(&past["state"]).to_owned();
        if !past["deletedAt"].is_null() {
            state.push_str(", deleted");
        } else if !past["quarantinedAt"].is_null() {
            state.push_str(", quarantined");
        }
        let at = or("activatedAt", "publishedAt");
        [
            past["generation"].as_i64().map_or_else(|| "-".to_owned(), |generation| generation.to_string()),
            if past["version"].is_null() { "-".to_owned() } else { text(&past["version"]).to_owned() },
            state,
            if past["reason"].is_null() { "-".to_owned() } else { text(&past["reason"]).to_owned() },
            or("activatedBy", "publishedBy"),
            at.get(..19).unwrap_or(&at).replace('T', " "),
            text(&past["digest"]).get(..19).unwrap_or("-").to_owned(),
        ]
    });
    let all: Vec<_> = std::iter::once(header).chain(rows).collect();
    let width = |column: usize| all.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..7).map(width).collect();
    let mut out = String::new();
    for row in &all {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_is_a_table() {
        let history = json!({ "items": [
            { "generation": 12, "version": "1.1.0", "state": "serving", "reason": "publish", "activatedBy": "ann",
              "activatedAt": "2026-01-02T03:04:05.678Z", "digest": "sha256:0123456789abcdef", "quarantinedAt": "x" },
            { "generation": null, "version": "1.2.0", "state": "stored", "reason": null, "publishedBy": "bob",
              "publishedAt": "2026-01-02T03:04:05Z", "digest": "sha256:ff" },
        ]});
        let shown = table(&history);
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(lines[0], "GEN  VERSION  STATE                 REASON   BY   AT                   DIGEST");
        assert_eq!(
            lines[1],
            "12   1.1.0    serving, quarantined  publish  ann  2026-01-02 03:04:05  sha256:0123456789ab"
        );
        assert!(lines[2].starts_with("-    1.2.0    stored") && lines[2].contains("bob"), "{}", lines[2]);
    }

    #[test]
    fn warnings_of_the_host_are_shown() {
        let done = json!({ "name": "payments", "version": "1.2.0", "warnings": ["it ends on 2031-04-30"] });
        assert_eq!(warnings(&done), ["warning: payments 1.2.0: it ends on 2031-04-30"]);
        assert!(warnings(&json!({ "warnings": [] })).is_empty());
        assert!(warnings(&json!({})).is_empty(), "a host of before");
    }

    #[test]
    fn digests_are_told_by_their_form() {
        assert_eq!(target("1.2.0"), json!({ "version": "1.2.0" }));
        let digest = format!("sha256:{}", "ab".repeat(32));
        assert_eq!(target(&digest), json!({ "digest": digest }));
    }
}
