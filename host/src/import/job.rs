use chrono::{DateTime, Utc};
use serde_json::{Map as Object, Value, json};
use uuid::Uuid;

use super::{map::Map, source::Row, types::Types};
use crate::{
    config::Queues,
    ids::Priority,
    submit::{NewJob, PreparedJob, SubmitError, Terms, prepare_moved},
};

/// A job of the source, ready to be taken in.
pub(super) struct Moving {
    pub source: Uuid,
    /// As it is called there.
    pub queue: String,
    pub parked: bool,
    pub job: PreparedJob,
}

/// Why a job can't be taken in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Unmapped {
    pub reason: &'static str,
    pub queue: String,
    /// Empty where none is known.
    pub job_type: String,
    /// Places and names, nothing of the payload.
    pub detail: String,
}

/// Reads jobs of the source as jobs of ours.
pub(super) struct Reader<'a> {
    pub map: &'a Map,
    pub types: &'a Types,
    pub queues: &'a Queues,
    /// Of jobs that name none.
    pub tenant: Option<&'a str>,
    pub now: DateTime<Utc>,
}

/// Who submitted it, as far as is known here.
const SUBJECT: &str = "import:pg-boss";
/// Characters, as the table has it.
const MAX_TENANT: usize = 128;

impl Reader<'_> {
    pub fn read(&self, row: &Row) -> Result<Moving, Unmapped> {
        let mut refusal =
            Unmapped { reason: "", queue: row.name.clone(), job_type: String::new(), detail: String::new() };
        let mut refuse = |reason, job_type: &str, detail: String| {
            refusal.reason = reason;
            job_type.clone_into(&mut refusal.job_type);
            refusal.detail = detail;
            refusal.clone()
        };
        let text = row.data.as_deref().unwrap_or("null");
        let Ok(Value::Object(outer)) = serde_json::from_str::<Value>(text) else {
            return Err(refuse("payload", "", "it is no object, or no JSON that is taken here".to_owned()));
        };
        let Some(old_type) = self.old_type(&row.name, &outer) else {
            let detail =
                format!("the queue's name is no job type, and none of {} names one", self.map.type_in.join(", "));
            return Err(refuse("unknown-type", "", detail));
        };
        let job_type = self.map.job_type(&old_type);
        let Some(entry) = self.types.get(&job_type) else {
            return Err(refuse("unknown-type", &job_type, "no plugin serves it".to_owned()));
        };
        let Some(queue) = self.queues.0.get(&entry.job_type.queue) else {
            let detail = format!("its queue \"{}\" is not configured", entry.job_type.queue);
            return Err(refuse("no-queue", &job_type, detail));
        };
        let inner = self.inner(&outer);
        let Some(tenant) = self.tenant(inner, &outer) else {
            let detail = format!("none of {} has 1 to {MAX_TENANT} characters", self.map.tenant.join(", "));
            return Err(refuse("no-tenant", &job_type, detail));
        };
        if row.keep_until <= self.now {
            return Err(refuse("expired", &job_type, "pg-boss kept it until a time that is over".to_owned()));
        }
        let (payload, old_payload) = match self.translated(&job_type, &entry.job_type.schema, inner) {
            Ok(None) if std::ptr::eq(inner, &outer) => (text.to_owned(), text.to_owned()),
            Ok(None) => (as_text(inner), as_text(inner)),
            Ok(Some(new)) => (as_text(&new), as_text(inner)),
            Err(field) => {
                return Err(refuse("payload", &job_type, format!("two fields would be \"{field}\"")));
            }
        };
        let job = NewJob {
            job_type: job_type.clone(),
            payload,
            priority: Some(priority(row.priority)),
            run_at: Some(row.start_after).filter(|at| *at > self.now),
            expires_in: None,
            metadata: Some(metadata(row)),
            tenant,
            subject: SUBJECT.to_owned(),
            key: None,
            ordering_key: None,
        };
        let terms = Terms {
            attempts: attempts(row),
            expires_at: row.keep_until,
            parked: row.state == "active",
            old_type: &old_type,
            old_payload: &old_payload,
        };
        match prepare_moved(entry, queue, job, &terms) {
            Ok(job) => Ok(Moving { source: row.id, queue: row.name.clone(), parked: terms.parked, job }),
            Err(SubmitError::Payload(findings)) => {
                let places: Vec<_> = findings.iter().map(|finding| format!("\"{}\"", finding.pointer)).collect();
                let detail = format!("it does not fit the schema or the key at {}", places.join(", "));
                Err(refuse("payload", &job_type, detail))
            }
            Err(error) => Err(refuse("payload", &job_type, error.to_string())),
        }
    }

    /// What the old service called its type: the queue's own name, or a field of the payload where that is a queue of many
    /// types.
    fn old_type(&self, name: &str, outer: &Object<String, Value>) -> Option<String> {
        if self.types.get(&self.map.job_type(name)).is_some() {
            return Some(name.to_owned());
        }
        let named = self.map.type_in.iter().find_map(|field| outer.get(field)?.as_str());
        named.map(str::to_owned).or_else(|| self.map.queue(name).is_none().then(|| name.to_owned()))
    }

    /// The payload itself, where a field holds it and all others are envelope.
    fn inner<'o>(&self, outer: &'o Object<String, Value>) -> &'o Object<String, Value> {
        let is_envelope = |field: &String| *field == self.map.payload || self.map.envelope.contains(field);
        match outer.get(&self.map.payload) {
            Some(Value::Object(inner)) if outer.keys().all(is_envelope) => inner,
            _ => outer,
        }
    }

    fn tenant(&self, inner: &Object<String, Value>, outer: &Object<String, Value>) -> Option<String> {
        let of = |object: &Object<String, Value>| {
            self.map.tenant.iter().find_map(|field| match object.get(field)? {
                Value::String(name) => Some(name.clone()),
                Value::Number(number) => Some(number.to_string()),
                _ => None,
            })
        };
        let named = of(inner).or_else(|| of(outer)).or_else(|| self.tenant.map(str::to_owned));
        named.filter(|name| (1..=MAX_TENANT).contains(&name.chars().count()))
    }

    /// The payload by the map; `None`: it stays as it is. `Err`: a field that two of the old ones would be.
    fn translated(
        &self,
        job_type: &str,
        schema: &Value,
        inner: &Object<String, Value>,
    ) -> Result<Option<Object<String, Value>>, String> {
        let own = self.map.fields.get(job_type);
        let is_closed = schema["additionalProperties"] == false || schema["unevaluatedProperties"] == false;
        let is_dropped = |field: &String| {
            let by_map = own.is_some_and(|own| own.drop.contains(field));
            let is_envelope =
                is_closed && self.map.envelope.contains(field) && schema["properties"].get(field).is_none();
            let is_renamed = own.is_some_and(|own| own.rename.contains_key(field));
            by_map || (is_envelope && !is_renamed)
        };
        let renamed = |field: &String| own.and_then(|own| own.rename.get(field));
        if !inner.keys().any(|field| is_dropped(field) || renamed(field).is_some()) {
            return Ok(None);
        }
        let mut new = Object::new();
        for (field, value) in inner.iter().filter(|&(field, _)| !is_dropped(field)) {
            let name = renamed(field).unwrap_or(field);
            if new.insert(name.clone(), value.clone()).is_some() {
                return Err(name.clone());
            }
        }
        Ok(Some(new))
    }
}

fn as_text(object: &Object<String, Value>) -> String {
    serde_json::to_string(object).unwrap_or_default()
}

/// The old service's numbers are ours; any other is rounded down to the next, and pg-boss's default 0 is the ordinary one.
fn priority(number: i32) -> Priority {
    match number {
        10.. => Priority::Critical,
        7..=9 => Priority::High,
        4..=6 | 0 => Priority::Normal,
        2..=3 => Priority::Low,
        1 | ..=-1 => Priority::Background,
    }
}

/// How often it may still begin. What waits for a retry has used its first attempt, and `retry_count` retries.
fn attempts(row: &Row) -> i32 {
    let first = i32::from(row.state == "created");
    row.retry_limit.saturating_sub(row.retry_count).saturating_add(first).max(1)
}

/// For people.
fn metadata(row: &Row) -> String {
    json!({
        "importedFrom": "pg-boss", "pgBossId": row.id, "pgBossQueue": row.name, "createdOn": row.created_on,
        "retryCount": row.retry_count,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(state: &str, limit: i32, count: i32) -> Row {
        let now = Utc::now();
        Row {
            id: Uuid::nil(),
            name: "q".to_owned(),
            state: state.to_owned(),
            priority: 0,
            data: None,
            retry_limit: limit,
            retry_count: count,
            start_after: now,
            created_on: now,
            keep_until: now,
        }
    }

    #[test]
    fn attempts_that_are_left_are_counted_as_pg_boss_does() {
        for (state, limit, count, left) in [
            ("created", 0, 0, 1),
            ("created", 10, 0, 11),
            ("retry", 10, 0, 10),
            ("retry", 10, 9, 1),
            ("active", 2, 2, 1),
        ] {
            assert_eq!(attempts(&row(state, limit, count)), left, "{state} {limit} {count}");
        }
    }

    #[test]
    fn priorities_are_the_next_that_there_is() {
        for (number, ours) in [
            (0, Priority::Normal),
            (10, Priority::Critical),
            (99, Priority::Critical),
            (8, Priority::High),
            (5, Priority::Normal),
            (2, Priority::Low),
            (1, Priority::Background),
            (-3, Priority::Background),
        ] {
            assert_eq!(priority(number), ours, "{number}");
        }
    }
}
