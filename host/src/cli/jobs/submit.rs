use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use chrono::{DateTime, FixedOffset};
use clap::Args;
use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, value::RawValue};

use crate::cli::{
    Failure,
    client::{Host, text, with_text},
    output, progress, read_json,
    releases::Door,
    runtime,
    token::humantime,
};

/// Submit a job, and print its id. With --wait also its state and what it came to. Exit code 0: it is taken, or, with --wait,
/// completed; 1: the host says no, or it ended otherwise; 3: no answer, or it has not ended yet.
#[derive(Debug, Args)]
pub(in crate::cli) struct Submit {
    #[arg(value_name = "TYPE")]
    job_type: String,
    /// JSON, or a file with it; - is standard input
    #[arg(long, value_name = "JSON|FILE|-")]
    payload: String,
    /// The job's idempotency key: said twice, it is one job
    #[arg(long, value_parser = key)]
    key: Option<String>,
    #[arg(long, value_parser = ["background", "low", "normal", "high", "critical"])]
    priority: Option<String>,
    /// Not before then: a time such as 2030-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    run_at: Option<DateTime<FixedOffset>>,
    /// Not after so long, such as 2h
    #[arg(long, value_name = "TIME")]
    expires_in: Option<String>,
    /// A JSON object that comes back with the job; or a file with it; - is standard input
    #[arg(long, value_name = "JSON|FILE|-")]
    metadata: Option<String>,
    /// Jobs of one ordering key run one after another
    #[arg(long, value_name = "KEY")]
    ordering_key: Option<String>,
    /// For this tenant, if the token may
    #[arg(long)]
    tenant: Option<String>,
    /// Wait until it has ended, for so long at most [default: 5m]
    #[arg(
        long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "5m",
        value_parser = |text: &str| humantime(text)
    )]
    wait: Option<Duration>,
    #[command(flatten)]
    door: Door,
}

/// As the host takes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(rename = "type")]
    job_type: &'a str,
    /// Verbatim.
    payload: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ordering_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
}

/// Between two looks at a host that does not wait itself.
const LOOK: Duration = Duration::from_millis(300);
/// Seconds for which a host is asked to wait, where it can.
const AT_ONCE: u64 = 30;

impl Submit {
    pub fn run(self) -> Result<(), Failure> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        if self.payload == "-" && self.metadata.as_deref() == Some("-") {
            return Err(Failure::Usage("standard input is one of --payload and --metadata".to_owned()));
        }
        let payload = read_json("--payload", &self.payload)?;
        let metadata = self.metadata.as_deref().map(|said| read_json("--metadata", said)).transpose()?;
        let body = Body {
            job_type: &self.job_type,
            payload: &payload,
            priority: self.priority.as_deref(),
            run_at: self.run_at.map(|at| at.to_rfc3339()),
            expires_in: self.expires_in.as_deref(),
            metadata: metadata.as_deref(),
            ordering_key: self.ordering_key.as_deref(),
            tenant: self.tenant.as_deref(),
        };
        let host = self.door.open()?;
        let body = serde_json::to_string(&body).map_err(anyhow::Error::new)?;
        let mut request = with_text(host.request(Method::POST, "/jobs")?, body);
        if let Some(key) = &self.key {
            request = request.header("idempotency-key", key);
        }
        runtime()?.block_on(async {
            let taken = host.fetch(request).await?;
            let job = parsed(&taken)?;
            let id = text(&job["id"]);
            let Some(most) = self.wait else {
                if self.door.json {
                    output::json(taken.get());
                } else {
                    println!("{id}");
                }
                return Ok(());
            };
            if !self.door.json {
                // Before the wait: whoever gives it up knows what for.
                println!("{id}");
            }
            let ended = progress::spinner(&format!("job {id}"), ended(&host, id, taken, most)).await?;
            let job = parsed(&ended)?;
            let state = text(&job["state"]);
            let end = [state, text(&job["reason"])].join(" ");
            if self.door.json {
                output::json(ended.get());
            } else {
                println!("{}", end.trim_end());
                if !job["result"].is_null() {
                    println!("{}", job["result"]);
                }
            }
            if state == "completed" {
                return Ok(());
            }
            let last = job["errors"].as_array().and_then(|errors| errors.last());
            let last = last.map_or_else(String::new, |last| format!(": {}", text(&last["message"])));
            Err(anyhow!("job {id} did not complete ({}){last}", end.trim_end()).into())
        })
    }
}

/// The job, once it has ended.
async fn ended(host: &Host, id: &str, taken: Box<RawValue>, most: Duration) -> Result<Box<RawValue>, Failure> {
    let began = Instant::now();
    let mut seen = taken;
    loop {
        let job = parsed(&seen)?;
        let state = text(&job["state"]);
        if ["completed", "dead", "cancelled"].contains(&state) {
            return Ok(seen);
        }
        let left = most.saturating_sub(began.elapsed());
        if left.is_zero() {
            let most = humantime_serde::re::humantime::format_duration(most);
            return Err(Failure::NoAnswer(anyhow!("job {id} has not ended within {most}: it is {state}")));
        }
        // A host that does not know this preference answers at once.
        let wait = left.as_secs().clamp(1, AT_ONCE);
        let asked = Instant::now();
        let request = host.request(Method::GET, &format!("/jobs/{id}"))?.header("prefer", format!("wait={wait}"));
        seen = host.fetch(request).await.map_err(|failure| failure.about(&format!("job {id}")))?;
        tokio::time::sleep(LOOK.saturating_sub(asked.elapsed()).min(left)).await;
    }
}

fn parsed(job: &RawValue) -> Result<Value, Failure> {
    Ok(serde_json::from_str(job.get()).context("the answer is not understood")?)
}

/// What a header takes; the host trims it.
fn key(text: &str) -> Result<String, String> {
    let is_one = (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if is_one { Ok(text.to_owned()) } else { Err("a key has 1 to 255 characters of visible ASCII".to_owned()) }
}
