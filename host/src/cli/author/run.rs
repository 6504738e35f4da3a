use std::{
    fs,
    io::{self, Read},
    path::PathBuf,
};

use clap::Args;
use serde_json::Value;

use super::{test, usage};
use crate::{
    cli::{Common, Failure},
    effects::script::{Effect, End},
    journal::Answer,
    runtime::stage::{Case, Finish, Played, Said, Stage},
};

/// Run one job here, with answers from a file in place of the providers. Nothing leaves this machine.
#[derive(Debug, Args)]
pub(in crate::cli) struct Run {
    /// A component.
    file: PathBuf,
    /// The job's type [default: the plugin's only one]
    #[arg(long = "type")]
    job_type: Option<String>,
    /// File of the payload, or - for stdin
    #[arg(long)]
    payload: PathBuf,
    /// File of what the providers say, in order: [{"ok": {…}}, {"rejected": {"code": "550", "message": "no"}}]
    #[arg(long)]
    answers: Option<PathBuf>,
    #[arg(long)]
    tenant: Option<String>,
    #[command(flatten)]
    common: Common,
}

impl Run {
    pub fn run(self) -> Result<(), Failure> {
        let config = self.common.load()?;
        let component = test::read(&self.file)?;
        let text = if self.payload.as_os_str() == "-" {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).map(|_| text)
        } else {
            fs::read_to_string(&self.payload)
        };
        let text = text.map_err(|e| usage(&self.payload, format!("cannot be read: {e}")))?;
        let payload: Value = serde_json::from_str(&text).map_err(|e| usage(&self.payload, e.to_string()))?;
        let answers: Vec<Said> = match &self.answers {
            None => Vec::new(),
            Some(file) => {
                let text = fs::read_to_string(file).map_err(|e| usage(file, format!("cannot be read: {e}")))?;
                serde_json::from_str(&text).map_err(|e| usage(file, e.to_string()))?
            }
        };
        let played = crate::cli::runtime()?.block_on(async {
            let stage = Stage::load(&component, &config).await.map_err(|e| usage(&self.file, e))?;
            let job_type = match (self.job_type, stage.release().manifest.jobs.as_slice()) {
                (Some(job_type), _) => job_type,
                (None, [only]) => only.job_type.clone(),
                (None, _) => return Err(Failure::Usage("the plugin has several job types: say --type".to_owned())),
            };
            let wrong = stage.violations(&job_type, &payload);
            if !wrong.is_empty() {
                return Err(usage(&self.payload, wrong.join("; ")));
            }
            let payload = serde_json::value::RawValue::from_string(text.trim().to_owned())
                .map_err(|e| usage(&self.payload, e.to_string()))?;
            let case = Case { job_type, payload, tenant: self.tenant, at: None, answers, expect: None };
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
