use std::time::Duration;

use super::{
    State,
    wit::{
        jobs::{self, NewJob},
        types::Error,
    },
};
use crate::submit::SubmitError;

/// Children of one attempt.
const MAX_CHILDREN: usize = 100;
/// Bytes of one, beside its payload.
const CHILD: u64 = 1 << 10;

impl jobs::Host for State {
    /// Checked here, so that the guest learns of a mistake; committed with the job's success.
    async fn enqueue(&mut self, job: NewJob) -> wasmtime::Result<Result<String, Error>> {
        if !self.attempt.who.grants.jobs.contains(&job.job_type) {
            return Ok(Err(Error::Denied(format!("grants.jobs does not name \"{}\"", job.job_type))));
        }
        if self.children.len() >= MAX_CHILDREN {
            return Ok(Err(Error::Denied(format!("an attempt enqueues at most {MAX_CHILDREN} jobs"))));
        }
        if job.key.as_ref().is_some_and(|key| key.is_empty() || key.len() > 255 || key.contains('\0')) {
            return Ok(Err(Error::Invalid("a key has 1 to 255 bytes and no NUL".to_owned())));
        }
        let delay = Duration::from_millis(job.delay_ms);
        let prepared =
            self.submitter.prepare_child(&self.parent, &job.job_type, &job.payload, job.key.as_deref(), delay);
        Ok(match prepared {
            Ok(child) => {
                self.memory.keep((job.job_type.len() + job.payload.len()) as u64 + CHILD)?;
                let id = child.id().to_string();
                self.parent.n += 1;
                self.children.push(child);
                Ok(id)
            }
            Err(SubmitError::Payload(violations)) => {
                let findings: Vec<_> = violations.iter().map(|v| format!("{}: {}", v.pointer, v.message)).collect();
                Err(Error::Invalid(findings.join("; ")))
            }
            Err(error) => Err(Error::Invalid(error.to_string())),
        })
    }
}
