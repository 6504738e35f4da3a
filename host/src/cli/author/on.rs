//! One job on a host that runs with --dev, whose configuration says what the providers are: sandboxes of this machine, as a rule.

use std::{
    collections::BTreeSet,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::anyhow;
use reqwest::Method;
use serde_json::Value;

use super::{
    build::Built,
    follow::{Follow, shown},
};
use crate::{
    cli::{
        Failure,
        client::{Host, slug, text},
    },
    ids::{Digest, JobId},
};

const LOOK: Duration = Duration::from_millis(200);
/// How long a host may take to compile and try a component.
const TAKES: Duration = Duration::from_secs(300);
/// How long what serves may be news to the node that is asked.
const NEWS: Duration = Duration::from_secs(10);

/// Reasons that pass by themselves: the host tries again.
const PASSING: [&str; 4] = ["crowded", "compile-failed", "database", "verify-impossible"];

/// Asked before anybody waits for a build.
pub(super) async fn answers(host: &Host) -> Result<(), Failure> {
    host.send(host.request(Method::GET, "/plugins")?).await.map(drop)
}

/// Until what was put into the folder serves.
pub(super) async fn serves(host: &Host, built: &Built, into: &Path) -> Result<(), Failure> {
    let digest = Digest::of(&built.component).to_string();
    let began = Instant::now();
    while began.elapsed() < TAKES {
        let listing = host.send(host.request(Method::GET, "/plugins")?).await?;
        let of_it = |list: &str| {
            listing[list].as_array().into_iter().flatten().find(|one| one["digest"] == digest.as_str()).cloned()
        };
        if let Some(plugin) = of_it("plugins") {
            println!("host    serves {} {}", built.name, text(&plugin["version"]));
            return Ok(());
        }
        if let Some(refusal) = of_it("refusals").filter(|refusal| !PASSING.contains(&text(&refusal["reason"]))) {
            let (reason, detail) = (text(&refusal["reason"]), text(&refusal["detail"]));
            return Err(anyhow!("the host refuses it ({reason}): {detail}").into());
        }
        tokio::time::sleep(LOOK).await;
    }
    let folder = into.display();
    Err(anyhow!("the host does not serve it; is {folder} the folder that it looks into? Its log may say more").into())
}

/// Submits, shows what comes of it until its end, and fails unless that is a result.
pub(super) async fn run(host: &Host, mut follow: Follow, job_type: &str, payload: &str) -> Result<(), Failure> {
    let submitted = submit(host, job_type, payload).await?;
    let id = text(&submitted["id"]);
    println!("job     {id}");
    if submitted["deduplicated"] == true {
        println!("        was there already: its key is taken");
    }
    let job = ended(host, &mut follow, job_type, id).await?;
    let effects = host.send(host.request(Method::GET, &format!("/effects?job={id}"))?).await?;
    // Newest first.
    for effect in effects["items"].as_array().into_iter().flatten().rev() {
        let call = format!("{}.{}", text(&effect["provider"]), text(&effect["function"]));
        println!("effect  {} {call} {}", effect["seq"], effect["request"]);
        let said = if effect["answer"].is_null() { &effect["state"] } else { &effect["answer"] };
        println!("        {}", [text(said), text(&effect["note"])].join(" ").trim_end());
    }
    if let Some(ms) = job["cpuMs"].as_f64() {
        println!("used    {ms:.1} ms of CPU");
    }
    let state = text(&job["state"]);
    if state == "completed" {
        println!("end     completed {}", job["result"]);
        return Ok(());
    }
    let end = [state, text(&job["reason"])].join(" ");
    println!("end     {}", end.trim_end());
    Err(anyhow!("the job did not complete: {}", end.trim_end()).into())
}

/// As it is written, and under a key of its own: two runs are two jobs, whatever the manifest's template makes of them.
async fn submit(host: &Host, job_type: &str, payload: &str) -> Result<Value, Failure> {
    let key = format!("plugin-run-{}", JobId::new());
    let body = format!(r#"{{"type":{},"payload":{payload}}}"#, Value::from(job_type));
    let began = Instant::now();
    loop {
        let request = host.request(Method::POST, "/jobs")?.header("content-type", "application/json");
        let (status, answer) = host.ask(request.header("idempotency-key", &key).body(body.clone())).await?;
        if status.is_success() {
            return Ok(answer);
        }
        if slug(&answer) != "unknown-job-type" || began.elapsed() > NEWS {
            let wrong = answer["errors"].as_array().into_iter().flatten();
            for error in wrong.filter(|error| error["pointer"].is_string()) {
                println!("wrong   {} {}", text(&error["pointer"]), text(&error["message"]));
            }
            return Err(host.refused(status, &answer));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Shows what its guest says and how its attempts fail, as it comes.
async fn ended(host: &Host, follow: &mut Follow, job_type: &str, id: &str) -> Result<Value, Failure> {
    let types = BTreeSet::from([job_type.to_owned()]);
    let of_it = format!("{id} ");
    let mut told = 0;
    loop {
        // In this order: what was said before its end is in the file by then.
        let job = host.send(host.request(Method::GET, &format!("/jobs/{id}"))?).await?;
        let lines = follow.lines();
        for line in lines.iter().filter_map(|line| shown(line, &types)).filter(|line| line.contains(&of_it)) {
            println!("{}", line.replacen(&of_it, "", 1));
        }
        let errors = job["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        for error in errors.iter().skip(told) {
            println!("failed  attempt {}, {}: {}", error["attempt"], text(&error["kind"]), text(&error["message"]));
        }
        told = told.max(errors.len());
        if ["completed", "dead", "cancelled"].contains(&text(&job["state"])) {
            return Ok(job);
        }
        tokio::time::sleep(LOOK).await;
    }
}
