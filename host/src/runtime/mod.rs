//! stub until the runtime room lands
use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{effects::{self, Attempt}, ids::{Digest, JobId}, releases::JobType, submit::PreparedJob, config::GrantSet};

pub struct Release {
    pub digest: Digest,
    pub grants: Arc<GrantSet>,
    pub jobs: Vec<JobType>,
}
impl Release {
    pub fn accepts(&self, _t: &str, _p: &str) -> bool { true }
    pub fn job_type(&self, name: &str) -> Option<&JobType> { self.jobs.iter().find(|j| j.job_type == name) }
}
pub struct JobInput { pub id: JobId, pub job_type: String, pub tenant: String, pub subject: String, pub payload: String, pub attempt: u32, pub max_attempts: u32 }
pub struct Ended { pub verdict: Verdict, pub cpu: Duration, pub peak_memory: u64, pub children: Vec<PreparedJob> }
pub enum Verdict {
    Completed(String),
    GuestRetry { message: String, after: Option<Duration> },
    GuestPermanent(String),
    Stopped(effects::Stop),
    Trapped { kind: TrapKind, message: String },
    Cancelled,
}
#[derive(Debug, Clone, Copy)]
pub struct TrapKind;
impl std::fmt::Display for TrapKind { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("trap") } }
pub struct Runtime;
impl Runtime {
    pub async fn run(&self, _release: &Arc<Release>, _job: JobInput, _attempt: Arc<Attempt>, _cancel: CancellationToken) -> Ended { unimplemented_stub() }
}
fn unimplemented_stub() -> Ended { Ended { verdict: Verdict::Cancelled, cpu: Duration::ZERO, peak_memory: 0, children: vec![] } }
pub struct Registry;
impl Registry {
    pub fn resolve(&self, _job_type: &str) -> Option<Arc<Release>> { None }
    pub async fn by_digest(&self, _digest: Digest) -> Result<Arc<Release>, String> { Err(String::new()) }
    pub async fn refresh(&self, _p: &sqlx::PgPool) -> Result<Vec<String>, String> { Ok(vec![]) }
    pub fn served(&self) -> Vec<String> { vec![] }
}
pub mod compile { pub fn child_main() -> std::process::ExitCode { std::process::ExitCode::FAILURE } }
pub mod check { pub struct Report { pub refusal: Option<String> } impl std::fmt::Display for Report { fn fmt(&self, _f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { Ok(()) } }
 pub async fn check(_p: &std::path::Path, _c: &crate::config::Config) -> Result<Report, String> { Err(String::new()) } }
pub mod pack { pub fn pack(_m: &std::path::Path, _c: &std::path::Path) -> Result<Vec<u8>, String> { Err(String::new()) } }
