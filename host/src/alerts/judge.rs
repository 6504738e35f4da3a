use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Severity,
    rates::{Ended, Rates},
};
use crate::{
    config::{Rule, RuleKind},
    ids::AlertId,
};

/// What one look found.
#[derive(Debug, Deserialize)]
pub struct Look {
    pub(super) seen: Vec<Seen>,
    /// Only where a rule is about rates.
    pub finished: Vec<Ended>,
    /// Alerts of rules that are not resolved.
    pub(super) live: Vec<Live>,
    pub(super) conditions: Vec<Condition>,
    /// Somebody is to be told of something.
    pub owed: bool,
}

/// One measurement.
#[derive(Debug, Deserialize)]
pub(super) struct Seen {
    kind: String,
    /// It was counted for one rule.
    rule: Option<String>,
    /// Of the queue, type, provider or plugin; `None`: of the whole.
    name: Option<String>,
    tenant: Option<String>,
    value: f64,
    #[serde(default)]
    detail: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Live {
    id: AlertId,
    kind: String,
    subject: String,
    rule: String,
    /// Seconds since it is over.
    clear: Option<f64>,
}

/// What a rule has seen for some time.
#[derive(Debug, Deserialize)]
pub(super) struct Condition {
    subject: String,
    /// In seconds.
    age: f64,
    /// A person has said that it is no news.
    muted: bool,
}

/// What is to be written down.
#[derive(Debug, Default, PartialEq)]
pub struct Verdict {
    /// Conditions that begin and those that are over, by subject.
    pub begins: Vec<String>,
    pub ends: Vec<String>,
    pub fires: Vec<Firing>,
    pub lasts: Vec<Lasting>,
    /// Alerts that begin to be over, and those that are.
    pub clears: Vec<AlertId>,
    pub resolves: Vec<AlertId>,
}

impl Verdict {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A rule fires.
#[derive(Clone, Debug, PartialEq)]
pub struct Firing {
    pub kind: &'static str,
    pub rule: String,
    pub subject: String,
    pub tenant: Option<String>,
    pub severity: Severity,
    pub value: f64,
    pub message: String,
    pub detail: Value,
}

/// An alert whose cause is still there.
#[derive(Clone, Debug, PartialEq)]
pub struct Lasting {
    pub id: AlertId,
    pub value: f64,
    pub message: String,
    pub detail: Value,
}

/// Jobs that must have ended before a part of them means anything.
const ENOUGH: i64 = 20;

/// What the rules make of a look.
pub fn judge(rules: &[Rule], look: &Look, rates: &Rates) -> Verdict {
    let mut verdict = Verdict::default();
    let mut over = BTreeSet::new();
    for rule in rules {
        for (name, (value, detail)) in measured(rule, look, rates) {
            if value < rule.threshold {
                continue;
            }
            let subject = subject(rule, name.as_deref());
            over.insert(subject.clone());
            let message = message(rule, name.as_deref(), value);
            let detail = detailed(rule, value, detail);
            if let Some(live) = look.live.iter().find(|live| live.kind == rule.kind.as_str() && live.subject == subject)
            {
                verdict.lasts.push(Lasting { id: live.id, value, message, detail });
                continue;
            }
            let condition = look.conditions.iter().find(|condition| condition.subject == subject);
            if condition.is_some_and(|condition| condition.muted) {
                continue;
            }
            let needed = if rule.kind.counts() { 0.0 } else { rule.window.as_secs_f64() };
            if needed > condition.map_or(0.0, |condition| condition.age) {
                if condition.is_none() {
                    verdict.begins.push(subject);
                }
                continue;
            }
            if condition.is_some() {
                verdict.ends.push(subject.clone());
            }
            verdict.fires.push(Firing {
                kind: rule.kind.as_str(),
                rule: rule.name.clone(),
                subject,
                tenant: rule.tenant.clone(),
                severity: rule.severity,
                value,
                message,
                detail,
            });
        }
    }
    let gone = look.conditions.iter().filter(|condition| !over.contains(&condition.subject));
    verdict.ends.extend(gone.map(|condition| condition.subject.clone()));
    for live in look.live.iter().filter(|live| !over.contains(&live.subject)) {
        // Of a rule that is gone, or counts, nothing needs to last.
        let rule = rules.iter().find(|rule| rule.name == live.rule && !rule.kind.counts());
        let needed = rule.map_or(0.0, |rule| rule.window.as_secs_f64());
        match live.clear {
            Some(clear) if clear < needed => {}
            None if needed > 0.0 => verdict.clears.push(live.id),
            _ => verdict.resolves.push(live.id),
        }
    }
    verdict
}

/// What a rule sees, by name: the worst of each, and of what adds up the sum.
fn measured(rule: &Rule, look: &Look, rates: &Rates) -> BTreeMap<Option<String>, (f64, Map<String, Value>)> {
    let mut found = BTreeMap::new();
    if rule.kind == RuleKind::FailureRate {
        for (queue, (ended, dead)) in rates.within(rule.window) {
            if ended >= ENOUGH && rule.queue.as_ref().is_none_or(|wanted| *wanted == queue) {
                let detail = Map::from_iter([("ended".to_owned(), json!(ended)), ("dead".to_owned(), json!(dead))]);
                found.insert(Some(queue), (dead as f64 / ended as f64, detail));
            }
        }
        return found;
    }
    let wanted = match rule.kind {
        RuleKind::QueueDepth | RuleKind::OldestReady => rule.queue.as_ref(),
        RuleKind::EffectInDoubt | RuleKind::ProviderLimited | RuleKind::ProviderPaused => rule.provider.as_ref(),
        RuleKind::ReleaseQuarantined => rule.plugin.as_ref(),
        _ => None,
    };
    let is_its = |seen: &&Seen| {
        let of_tenant = match (&rule.tenant, &seen.tenant) {
            // What was counted for the rule was counted by tenant.
            (None, _) => true,
            (Some(_), None) => rule.kind == RuleKind::ProviderPaused || seen.rule.is_some(),
            (Some(wanted), Some(tenant)) => wanted == tenant,
        };
        seen.kind == rule.kind.as_str()
            && seen.rule.as_ref().is_none_or(|counted| *counted == rule.name)
            && wanted.is_none_or(|wanted| seen.name.as_ref() == Some(wanted))
            && of_tenant
    };
    for seen in look.seen.iter().filter(is_its) {
        let entry = found.entry(seen.name.clone()).or_insert_with(|| (0.0, seen.detail.clone()));
        if rule.kind == RuleKind::EffectInDoubt {
            entry.0 += seen.value;
        } else if seen.value > entry.0 {
            *entry = (seen.value, seen.detail.clone());
        }
    }
    found
}

fn subject(rule: &Rule, name: Option<&str>) -> String {
    let of = match rule.kind {
        RuleKind::QueueDepth | RuleKind::OldestReady | RuleKind::FailureRate => "queue",
        RuleKind::DeadJobs => "type",
        RuleKind::EffectInDoubt | RuleKind::ProviderLimited | RuleKind::ProviderPaused => "provider",
        RuleKind::ReleaseQuarantined => "plugin",
        RuleKind::NodeLost => "cluster",
        RuleKind::PostgresXmin | RuleKind::PostgresWal | RuleKind::PostgresDisk => "postgres",
    };
    let tenant = rule.tenant.as_ref().map(|tenant| format!("/tenant/{tenant}")).unwrap_or_default();
    let name = name.map(|name| format!("/{name}")).unwrap_or_default();
    format!("{}{tenant}/{of}{name}", rule.name)
}

/// One sentence, and what counts as too much.
fn message(rule: &Rule, name: Option<&str>, value: f64) -> String {
    let unit = rule.kind.unit();
    let (value, most, name) = (unit.show(value), unit.show(rule.threshold), name.unwrap_or_default());
    let window = crate::config::Unit::Time.show(rule.window.as_secs_f64());
    let what = match rule.kind {
        RuleKind::QueueDepth => format!("{value} jobs are ready in the queue {name}"),
        RuleKind::OldestReady => format!("A job in the queue {name} has been ready for {value}"),
        RuleKind::FailureRate => {
            format!("{value} of the jobs of the queue {name} that ended within {window} ended dead")
        }
        RuleKind::DeadJobs => format!("{value} jobs of the type {name} ended dead within {window}"),
        RuleKind::EffectInDoubt => format!("{value} effects at {name} wait for a person"),
        RuleKind::ProviderLimited => format!("{value} calls wait for {name}, which is limited"),
        RuleKind::ProviderPaused => format!("{name} has been paused for {value}"),
        RuleKind::NodeLost => format!("{value} nodes died within {window}; their jobs run elsewhere"),
        RuleKind::ReleaseQuarantined => format!("A release of {name} has been in quarantine for {value}"),
        RuleKind::PostgresXmin => {
            format!("A transaction has been open for {value} and keeps PostgreSQL from cleaning up")
        }
        RuleKind::PostgresWal => format!("PostgreSQL keeps {value} of WAL"),
        RuleKind::PostgresDisk => format!("The database has {value}"),
    };
    format!("{what} (alert from {most}).")
}

fn detailed(rule: &Rule, value: f64, mut detail: Map<String, Value>) -> Value {
    detail.insert("value".to_owned(), json!(value));
    detail.insert("threshold".to_owned(), json!(rule.threshold));
    Value::Object(detail)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;

    fn rule(kind: RuleKind, threshold: f64, window: u64) -> Rule {
        Rule {
            name: "r".to_owned(),
            kind,
            queue: None,
            tier: None,
            job_type: None,
            provider: None,
            plugin: None,
            tenant: None,
            threshold,
            window: Duration::from_secs(window),
            severity: Severity::Warning,
            repeat: Duration::ZERO,
            mail: true,
        }
    }

    fn look(seen: Value, live: Value, conditions: Value) -> Look {
        let all = json!({"seen": seen, "finished": [], "live": live, "conditions": conditions, "owed": false});
        serde_json::from_value(all).expect("a look")
    }

    fn deep(value: u32) -> Value {
        json!([{"kind": "queue-depth", "name": "money", "value": value}])
    }

    fn live(clear: Option<f64>) -> Value {
        json!([{"id": Uuid::nil(), "kind": "queue-depth", "subject": "r/queue/money", "rule": "r", "value": 9.0, "clear": clear}])
    }

    fn told(rules: &[Rule], look: &Look) -> Verdict {
        judge(rules, look, &Rates::default())
    }

    #[test]
    fn what_must_last_begins_first_and_fires_when_it_has_lasted() {
        let rules = [rule(RuleKind::QueueDepth, 5.0, 60)];
        let none = json!([]);
        assert!(told(&rules, &look(deep(4), none.clone(), none.clone())).is_empty(), "below");
        let began = told(&rules, &look(deep(5), none.clone(), none.clone()));
        assert_eq!((began.begins, began.fires.len()), (vec!["r/queue/money".to_owned()], 0));
        let lasting = |age: f64, muted: bool| json!([{"subject": "r/queue/money", "age": age, "muted": muted}]);
        assert!(told(&rules, &look(deep(5), none.clone(), lasting(59.0, false))).is_empty());
        let fired = told(&rules, &look(deep(7), none.clone(), lasting(60.0, false)));
        assert_eq!(fired.fires[0].message, "7 jobs are ready in the queue money (alert from 5).");
        assert_eq!(fired.ends, ["r/queue/money"]);
        assert!(
            told(&rules, &look(deep(7), none.clone(), lasting(600.0, true))).is_empty(),
            "a person has resolved it"
        );
        let over = told(&rules, &look(deep(1), none, lasting(600.0, true)));
        assert_eq!(over.ends, ["r/queue/money"], "from now on it is news again");
    }

    #[test]
    fn an_alert_ends_when_its_cause_has_been_gone_for_the_window() {
        let rules = [rule(RuleKind::QueueDepth, 5.0, 60)];
        let none = json!([]);
        assert_eq!(told(&rules, &look(deep(8), live(None), none.clone())).lasts.len(), 1, "one alert, not two");
        assert_eq!(told(&rules, &look(deep(1), live(None), none.clone())).clears.len(), 1);
        assert!(told(&rules, &look(deep(1), live(Some(30.0)), none.clone())).is_empty());
        assert_eq!(told(&rules, &look(deep(1), live(Some(60.0)), none.clone())).resolves.len(), 1);
        assert_eq!(told(&[], &look(deep(9), live(None), none)).resolves.len(), 1, "nobody asks any more");
    }

    #[test]
    fn a_rule_sees_what_it_is_narrowed_to() {
        let seen = json!([
            {"kind": "effect-in-doubt", "name": "stripe", "tenant": "t1", "value": 1},
            {"kind": "effect-in-doubt", "name": "stripe", "tenant": "t2", "value": 2},
            {"kind": "effect-in-doubt", "name": "email", "tenant": "t1", "value": 4},
            {"kind": "dead-jobs", "rule": "other", "name": "pay", "value": 9},
        ]);
        let look = look(seen, json!([]), json!([]));
        let all = told(&[rule(RuleKind::EffectInDoubt, 3.0, 0)], &look);
        let subjects: Vec<_> = all.fires.iter().map(|f| (f.subject.as_str(), f.value)).collect();
        assert_eq!(subjects, [("r/provider/email", 4.0), ("r/provider/stripe", 3.0)]);
        let of_t1 = Rule { tenant: Some("t1".to_owned()), ..rule(RuleKind::EffectInDoubt, 1.0, 0) };
        let of_t1 = told(&[Rule { provider: Some("stripe".to_owned()), ..of_t1 }], &look);
        assert_eq!((of_t1.fires.len(), of_t1.fires[0].subject.as_str()), (1, "r/tenant/t1/provider/stripe"));
        assert_eq!(of_t1.fires[0].tenant.as_deref(), Some("t1"));
        assert!(told(&[rule(RuleKind::DeadJobs, 1.0, 60)], &look).is_empty(), "counted for another rule");
    }
}
