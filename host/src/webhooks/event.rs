use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;

use crate::ids::{AlertId, DeliveryId, EndpointId, JobId, OPERATION_FAILED};

/// Sent when somebody asks for a test.
pub const PING: &str = "webhook.ping";
/// Longest data of one event, in bytes of JSON.
pub const MAX_DATA: usize = 64 << 10;
/// Events of one attempt.
pub const MAX_EVENTS: usize = 20;

/// What a guest said; it is an event once its job has succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    pub event_type: String,
    /// JSON text.
    pub data: String,
}

/// Something that happened to a job, for its tenant's endpoints; or an alert, for those of the tenant that is told of alerts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub tenant: String,
    about: About,
    pub event_type: String,
    data: String,
}

/// What it is about, and which one of that: the identity of its deliveries.
#[derive(Clone, Debug, PartialEq, Eq)]
enum About {
    Job(JobId, String),
    Alert(AlertId, i32),
}

/// An alert that fires.
#[derive(Clone, Debug)]
pub struct Alerted {
    /// Who is told.
    pub tenant: String,
    pub alert: AlertId,
    /// How often it was told before.
    pub told: i32,
    /// As `GET /alerts` names it.
    pub kind: String,
    pub subject: String,
    pub severity: String,
    pub message: String,
    /// Whose it is.
    pub of_tenant: Option<String>,
}

/// A job that ended dead.
#[derive(Clone, Debug)]
pub struct Failed {
    pub tenant: String,
    pub job: JobId,
    pub job_type: String,
    pub queue: String,
    pub reason: String,
    /// A job that is started again after its end may fail again.
    pub redrives: i32,
}

impl Event {
    /// The n-th publication of a job. A job succeeds once.
    pub fn published(tenant: &str, job: JobId, n: usize, publication: &Publication) -> Self {
        Self {
            tenant: tenant.to_owned(),
            about: About::Job(job, n.to_string()),
            event_type: publication.event_type.clone(),
            data: publication.data.clone(),
        }
    }

    /// Without the error's words, which may hold what is the host's own business; `GET /jobs/{id}` has them.
    pub fn failed(failed: Failed) -> Self {
        let data = json!({
            "jobId": failed.job,
            "jobType": failed.job_type,
            "queue": failed.queue,
            "reason": failed.reason,
        });
        Self {
            tenant: failed.tenant,
            about: About::Job(failed.job, format!("failed/{}", failed.redrives)),
            event_type: OPERATION_FAILED.to_owned(),
            data: data.to_string(),
        }
    }

    /// By the event of failures: something of the host's own goes wrong.
    pub fn alerted(alerted: Alerted) -> Self {
        let data = json!({
            "alertId": alerted.alert,
            "kind": alerted.kind,
            "subject": alerted.subject,
            "severity": alerted.severity,
            "message": alerted.message,
            "tenant": alerted.of_tenant,
            "reminder": alerted.told > 0,
        });
        Self {
            tenant: alerted.tenant,
            about: About::Alert(alerted.alert, alerted.told),
            event_type: OPERATION_FAILED.to_owned(),
            data: data.to_string(),
        }
    }

    pub(super) fn delivery(&self, endpoint: EndpointId) -> DeliveryId {
        match &self.about {
            About::Job(job, what) => job.delivery(what, endpoint),
            About::Alert(alert, told) => alert.delivery(*told, endpoint),
        }
    }

    /// `None`: no job published it.
    pub(super) fn job(&self) -> Option<JobId> {
        match self.about {
            About::Job(job, _) => Some(job),
            About::Alert(..) => None,
        }
    }

    pub(super) fn body(&self, at: DateTime<Utc>) -> String {
        body(&self.event_type, at, &self.data)
    }
}

/// As Standard Webhooks recommends it. `event_type` has no character that JSON escapes; `data` is JSON.
pub(super) fn body(event_type: &str, at: DateTime<Utc>, data: &str) -> String {
    let at = at.to_rfc3339_opts(SecondsFormat::Millis, true);
    format!(r#"{{"type":"{event_type}","timestamp":"{at}","data":{data}}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_holds_the_data_verbatim() {
        let publication = Publication { event_type: "a.b".to_owned(), data: r#"{"z":1, "a":1.50}"#.to_owned() };
        let event = Event::published("t", JobId::new(), 0, &publication);
        assert_eq!(
            event.body(DateTime::from_timestamp_millis(1_700_000_000_123).expect("a time")),
            r#"{"type":"a.b","timestamp":"2023-11-14T22:13:20.123Z","data":{"z":1, "a":1.50}}"#
        );
    }
}
