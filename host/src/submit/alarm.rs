//! The mail to the operator about jobs that failed for good, and about those that wait for a person: a `send-email` job of a tenant
//! of its own, in the transaction that settles the failure. It has the retries, the limits and the history of any job. Its own
//! failure makes no mail: a mail server that takes none would be told so by mail for ever. It raises an alert.

use std::{collections::HashSet, sync::Arc};

use chrono::Utc;
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::{NewJob, PreparedJob, SubmitError, Submitter, check::Origin, commit};
use crate::{
    alerts::{self, Alert, Severity},
    config::AlertMail,
    ids::{Digest, JobId, Priority, Tier},
    queue::{Ready, store::Dead},
};

/// The type that sends it, whichever plugin owns it.
const MAIL: &str = "send-email";

/// A job that the operator should hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub job: JobId,
    pub tenant: String,
    pub job_type: String,
    /// As of a dead job; `unknown-outcome` waits for a person.
    pub reason: String,
    /// A job that is started again after its end may fail again.
    pub redrives: i32,
}

impl From<&Dead> for Trouble {
    fn from(dead: &Dead) -> Self {
        Self {
            job: dead.id,
            tenant: dead.tenant.clone(),
            job_type: dead.job_type.clone(),
            reason: dead.reason.clone(),
            redrives: dead.redrives,
        }
    }
}

/// Something that the operator should read.
#[derive(Clone, Debug)]
pub struct Notice {
    /// What this mail is: it is made once.
    pub key: String,
    pub severity: &'static str,
    pub title: String,
    pub message: String,
    pub details: Vec<(String, String)>,
}

impl Notice {
    fn payload(&self, mail: &AlertMail) -> Value {
        let details: Vec<_> = self.details.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        let (severity, title, message) = (self.severity, &self.title, &self.message);
        json!({
            "profile": mail.profile,
            "to": mail.to,
            "template": "admin-alert",
            "data": {"severity": severity, "title": title, "message": message, "details": details},
        })
    }
}

impl Submitter {
    /// As it is, and the operator hears of failures. `None`: not by mail.
    #[must_use]
    pub fn alarming(self, mail: Option<AlertMail>) -> Self {
        Self { alarm: mail.map(Arc::new), ..self }
    }

    /// Enqueues the mails about these in the caller's transaction, as durable as that is. Returns where they are ready.
    pub async fn alarm(&self, db: &mut PgConnection, troubles: &[Trouble]) -> sqlx::Result<Vec<Ready>> {
        let Some(mail) = self.alarm.as_deref().filter(|_| !troubles.is_empty()) else { return Ok(Vec::new()) };
        let mut silent: Option<String> = None;
        let mut keys = HashSet::new();
        let mut jobs = Vec::new();
        for trouble in troubles {
            if trouble.tenant == mail.tenant && trouble.job_type == MAIL {
                silent = Some(format!("the mail's job {} ended: {}", trouble.job, trouble.reason));
                continue;
            }
            let key = key(mail, trouble, Utc::now().timestamp());
            if !keys.insert(key.clone()) {
                continue;
            }
            match self.prepare_mail(mail, payload(mail, trouble), key) {
                Ok(job) => jobs.push(job),
                Err(error) => silent = Some(error.to_string()),
            }
        }
        if let Some(cause) = silent {
            tracing::warn!(cause = %cause, "a mail about a failure cannot be sent");
            alerts::raise(db, &[unsent(&cause)]).await?;
        }
        self.enqueue_mails(db, &jobs).await
    }

    /// Enqueues a mail to the operator in the caller's transaction, where mails are made. Returns where it is ready. What tells of
    /// alerts makes no mail where it cannot be made: it raises an alert.
    pub async fn notify(&self, db: &mut PgConnection, notice: &Notice) -> sqlx::Result<Vec<Ready>> {
        let Some(mail) = self.alarm.as_deref() else { return Ok(Vec::new()) };
        match self.prepare_mail(mail, notice.payload(mail), notice.key.clone()) {
            Ok(job) => self.enqueue_mails(db, &[job]).await,
            Err(error) => {
                tracing::warn!(error = %error, "a mail about an alert cannot be sent");
                alerts::raise(db, &[unsent(&error.to_string())]).await?;
                Ok(Vec::new())
            }
        }
    }

    async fn enqueue_mails(&self, db: &mut PgConnection, jobs: &[PreparedJob]) -> sqlx::Result<Vec<Ready>> {
        let mut ready = Vec::new();
        for tier in Tier::ALL {
            let of_tier: Vec<_> = jobs.iter().filter(|job| job.tier() == tier).collect();
            if !of_tier.is_empty() {
                // A key that is held says that this was mailed a while ago.
                ready.extend(commit::enqueue(db, tier, &of_tier, &self.lanes).await?.ready);
            }
        }
        Ok(ready)
    }

    fn prepare_mail(&self, mail: &AlertMail, payload: Value, key: String) -> Result<PreparedJob, SubmitError> {
        let job = NewJob {
            job_type: MAIL.to_owned(),
            payload: payload.to_string(),
            priority: Some(Priority::High),
            run_at: None,
            expires_in: None,
            metadata: None,
            tenant: mail.tenant.clone(),
            subject: "usher".to_owned(),
            key: Some(key),
            ordering_key: None,
        };
        self.check(job, &Origin { id: JobId::new(), parent: None, delay_ms: 0 })
    }
}

/// The same for all that one mail stands for. Hashed: a tenant's name may be longer than a key.
fn key(mail: &AlertMail, trouble: &Trouble, now: i64) -> String {
    let Trouble { job, tenant, job_type, reason, redrives } = trouble;
    let of_what = match i64::try_from(mail.every.as_secs()).unwrap_or(i64::MAX) {
        0 => json!([job, redrives, reason]),
        every => json!([tenant, job_type, reason, now / every]),
    };
    format!("alert-{}", Digest::of(of_what.to_string().as_bytes()))
}

/// A payload of `send-email`. Nothing of the job's own payload or its error is in it: `GET /jobs/{id}` has them, for those who may
/// see them.
fn payload(mail: &AlertMail, trouble: &Trouble) -> Value {
    let Trouble { job, tenant, job_type, reason, .. } = trouble;
    let (severity, title, what) = if reason == "unknown-outcome" {
        let title = format!("{job_type} waits for you: an effect is in doubt");
        ("critical", title, "Say whether it happened (usher effects, or POST /effects/{job}/{seq}/resolve).")
    } else {
        ("error", format!("{job_type} failed: {reason}"), "It will not be tried again by itself.")
    };
    let rest = if mail.every.is_zero() {
        String::new()
    } else {
        format!(
            " There may be more of this kind: for the next {} minutes they are not mailed. GET /jobs?state=dead has them.",
            mail.every.as_secs().div_ceil(60)
        )
    };
    let details: Vec<_> = [("Job", &job.to_string()), ("Tenant", tenant), ("Reason", reason)]
        .into_iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    json!({
        "profile": mail.profile,
        "to": mail.to,
        "template": "admin-alert",
        "data": {"severity": severity, "title": title, "message": format!("{what}{rest}"), "details": details},
    })
}

fn unsent(cause: &str) -> Alert {
    Alert {
        kind: alerts::UNSENT,
        subject: "alerts.mail".to_owned(),
        tenant: None,
        severity: Severity::Critical,
        message: "A mail to the operator could not be sent.".to_owned(),
        detail: json!({ "cause": cause }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn mail(every: u64) -> AlertMail {
        AlertMail {
            to: vec!["ops@example.com".to_owned()],
            profile: "default".to_owned(),
            tenant: "usher".to_owned(),
            every: Duration::from_secs(every),
        }
    }

    fn trouble(job_type: &str) -> Trouble {
        let (tenant, reason) = ("t1".to_owned(), "permanent".to_owned());
        Trouble { job: JobId::new(), tenant, job_type: job_type.to_owned(), reason, redrives: 0 }
    }

    #[test]
    fn one_key_stands_for_a_kind_of_failure_in_a_while() {
        let hour = mail(3600);
        let now = 1_767_225_600;
        assert_eq!(key(&hour, &trouble("a"), now), key(&hour, &trouble("a"), now + 3599));
        assert_ne!(key(&hour, &trouble("a"), now), key(&hour, &trouble("a"), now + 3600));
        assert_ne!(key(&hour, &trouble("a"), now), key(&hour, &trouble("b"), now));
        assert_ne!(key(&mail(0), &trouble("a"), now), key(&mail(0), &trouble("a"), now), "two jobs");
        let again = Trouble { redrives: 1, ..trouble("a") };
        let first = Trouble { redrives: 0, ..again.clone() };
        assert_ne!(key(&mail(0), &first, now), key(&mail(0), &again, now));
        assert!(key(&hour, &trouble(&"x".repeat(500)), now).len() < 255);
    }

    #[test]
    fn a_job_in_doubt_is_more_than_a_failure() {
        let doubt = Trouble { reason: "unknown-outcome".to_owned(), ..trouble("payment-process") };
        assert_eq!(payload(&mail(60), &doubt)["data"]["severity"], "critical");
        let failed = payload(&mail(60), &trouble("payment-process"));
        assert_eq!(failed["data"]["title"], "payment-process failed: permanent");
        assert!(failed["data"]["message"].as_str().expect("text").contains("next 1 minutes"));
    }
}
