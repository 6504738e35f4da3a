use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use serde_json::Value;

use super::{dev, follow::Follow, on, test, usage};
use crate::{
    auth::MintClaims,
    cli::{Common, Failure, client::Host, token},
    effects::script::{Effect, End},
    journal::Answer,
    runtime::stage::{Case, Finish, Played, Said, Stage},
    telemetry,
};

/// Run one job: here, with answers from a file in place of the providers, or by --on on a host that runs with --dev.
#[derive(Debug, Args)]
pub(in crate::cli) struct Run {
    /// A component; with --on, a project, which is built first [default with --on: .]
    #[arg(required_unless_present = "on")]
    target: Option<PathBuf>,
    /// The job's type [default: the plugin's only one]
    #[arg(long = "type")]
    job_type: Option<String>,
    /// File of the payload, or - for stdin
    #[arg(long)]
    payload: PathBuf,
    /// File of what the providers say, in order: [{"ok": {…}}, {"rejected": {"code": "550", "message": "no"}}]
    #[arg(long)]
    answers: Option<PathBuf>,
    /// Address of a host that runs with --dev, such as http://127.0.0.1:8080: the project is built and swapped into it, and the
    /// job is submitted there; its providers are those of the host's configuration
    #[arg(long, value_name = "URL", conflicts_with = "answers")]
    on: Option<String>,
    /// The folder that this host watches
    #[arg(long, requires = "on", default_value = ".usher/plugins")]
    into: PathBuf,
    /// The data folder of this host, whose secret signs for the caller if the configuration names no issuer
    #[arg(long, requires = "on", default_value = ".usher")]
    data_dir: PathBuf,
    /// Whose job it is [default with --on: dev]
    #[arg(long)]
    tenant: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// Of who runs a job on a host, unless they say another one.
const TENANT: &str = "dev";
/// Longer than anybody looks on.
const TTL: Duration = Duration::from_secs(24 * 3600);

impl Run {
    pub fn run(self) -> Result<(), Failure> {
        match &self.on {
            Some(address) => self.on_host(address),
            None => self.here(),
        }
    }

    fn on_host(&self, address: &str) -> Result<(), Failure> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut config = self.common.load()?;
        let claims = MintClaims {
            subject: "cli".to_owned(),
            tenant: Some(self.tenant.clone().unwrap_or_else(|| TENANT.to_owned())),
            role: "user".to_owned(),
            ttl: TTL,
        };
        let host = Host::at(address, "--on", &token::sign(&mut config, &self.data_dir, None, &claims)?)?;
        let (payload, _) = self.payload()?;
        let into = dev::watched(&self.into)?;
        let runtime = crate::cli::runtime()?;
        runtime.block_on(on::answers(&host))?;
        let follow = Follow::from_now(into.join(telemetry::GUESTS));
        let built = dev::swap(self.target.as_deref().unwrap_or(Path::new(".")), &into)?;
        let job_type = only(self.job_type.as_deref(), built.job_types.iter().map(String::as_str))?;
        runtime.block_on(async {
            on::serves(&host, &built, &into).await?;
            on::run(&host, follow, job_type, &payload).await
        })
    }

    /// As it is written, and as it is.
    fn payload(&self) -> Result<(String, Value), Failure> {
        let text = if self.payload.as_os_str() == "-" {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).map(|_| text)
        } else {
            fs::read_to_string(&self.payload)
        };
        let text = text.map_err(|e| usage(&self.payload, format!("cannot be read: {e}")))?;
        let payload = serde_json::from_str(&text).map_err(|e| usage(&self.payload, e.to_string()))?;
        Ok((text, payload))
    }

    fn here(&self) -> Result<(), Failure> {
        let config = self.common.load()?;
        let file = self.target.as_deref().unwrap_or(Path::new("."));
        let component = test::read(file)?;
        let (text, payload) = self.payload()?;
        let answers: Vec<Said> = match &self.answers {
            None => Vec::new(),
            Some(file) => {
                let text = fs::read_to_string(file).map_err(|e| usage(file, format!("cannot be read: {e}")))?;
                serde_json::from_str(&text).map_err(|e| usage(file, e.to_string()))?
            }
        };
        let played = crate::cli::runtime()?.block_on(async {
            let stage = Stage::load(&component, &config).await.map_err(|e| usage(file, e))?;
            let types = stage.release().manifest.jobs.iter().map(|job| job.job_type.as_str());
            let job_type = only(self.job_type.as_deref(), types)?.to_owned();
            let wrong = stage.violations(&job_type, &payload);
            if !wrong.is_empty() {
                return Err(usage(&self.payload, wrong.join("; ")));
            }
            let payload = serde_json::value::RawValue::from_string(text.trim().to_owned())
                .map_err(|e| usage(&self.payload, e.to_string()))?;
            let case = Case { job_type, payload, tenant: self.tenant.clone(), at: None, answers, expect: None };
            let scene = crate::runtime::stage::Scene { at_ms: crate::clock::unix_ms(), ..case.scene() };
            stage.play(scene).await.map_err(Failure::Usage)
        })?;
        print(&played);
        match &played.end {
            Finish::Completed(_) => Ok(()),
            end => Err(Failure::Failed(anyhow::anyhow!("the job did not complete: {end}"))),
        }
    }
}

/// The one that was said, or that there is.
fn only<'a>(said: Option<&'a str>, mut types: impl Iterator<Item = &'a str>) -> Result<&'a str, Failure> {
    match (said, types.next(), types.next()) {
        (Some(said), ..) => Ok(said),
        (None, Some(only), None) => Ok(only),
        (None, ..) => Err(Failure::Usage("the plugin has several job types: say --type".to_owned())),
    }
}

fn print(played: &Played) {
    for line in &played.log {
        println!("log     {:5} {}", line.level, line.text);
    }
    for effect in &played.effects {
        println!("effect  {} {} {}", effect.seq, effect.call(), effect.request);
        println!("        {}", answer(effect));
    }
    for child in &played.children {
        println!("job     {} {}", child.job_type, child.payload);
    }
    for (event_type, data) in &played.events {
        println!("event   {event_type} {data}");
    }
    println!("used    {:.1} ms of CPU, {} KiB of memory", played.cpu.as_secs_f64() * 1e3, played.peak_memory >> 10);
    println!("end     {}", played.end);
}

fn answer(effect: &Effect) -> String {
    let said = match &effect.end {
        End::Missing => return format!("no answer: --answers lacks one, such as {}", example(effect)),
        End::Recorded(answer) | End::Refused(answer) | End::Scripted(answer) => answer,
    };
    match said {
        Answer::Ok(value) => format!("ok {value}"),
        Answer::Denied(message) => format!("denied: {message}"),
        Answer::Invalid(message) => format!("invalid: {message}"),
        Answer::Rejected(no) => format!("rejected ({}): {}", no.code, no.message),
    }
}

/// What a provider of this kind says when all is well.
fn example(effect: &Effect) -> &'static str {
    match effect.provider {
        "email" => r#"{"ok": {"messageId": "<1@example.com>"}}"#,
        "stripe" => r#"{"ok": {"id": "pi_1", "status": "succeeded", "amount": 1250, "currency": "eur"}}"#,
        "sms" => r#"{"ok": {"id": "SM1", "status": "queued"}}"#,
        "push" => r#"{"ok": {"id": "projects/p/messages/1"}}"#,
        "solana" => r#"{"ok": {"mint": "…", "tokenAccount": "…", "signature": "…", "slot": 1}}"#,
        _ => r#"{"ok": {"status": 200, "json": {}}}"#,
    }
}
