use std::{ops::RangeInclusive, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    LONGEST_SILENCE,
    kind::{RuleKind, Severity, Unit, parse_bytes},
};
use crate::{
    config::{PROVIDERS, Queues},
    ids::Tier,
};

/// One of `alerts.rules`, as the file has it. Words are read by `read`, so that a wrong one is named with its place.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertRule {
    /// Unique; one of the product's own is replaced by it.
    pub name: String,
    pub kind: String,
    /// What it is narrowed to, where its kind has that; otherwise each queue, type or provider is looked at by itself.
    pub queue: Option<String>,
    pub tier: Option<Tier>,
    #[serde(rename = "type")]
    pub job_type: Option<String>,
    pub provider: Option<String>,
    pub plugin: Option<String>,
    /// Whose: an alert of such a rule is that tenant's.
    pub tenant: Option<String>,
    /// It fires from here on: a number, a time such as "15m", a share such as 0.5, or a size such as "10GiB".
    pub threshold: Threshold,
    /// How long it must last, and be over; or the time in which it is counted.
    #[serde(default, with = "humantime_serde")]
    pub window: Duration,
    #[serde(default = "warning")]
    pub severity: String,
    /// Told again after this while it fires; 0: once only.
    #[serde(default, with = "humantime_serde")]
    pub repeat: Duration,
    /// Whether it is told by mail, where mails are made at all.
    #[serde(default = "yes")]
    pub mail: bool,
}

/// A number, or a text with its unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Threshold {
    Number(f64),
    Text(String),
}

fn yes() -> bool {
    true
}

fn warning() -> String {
    Severity::Warning.as_str().to_owned()
}

/// A rule that is sound.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub name: String,
    pub kind: RuleKind,
    pub queue: Option<String>,
    pub tier: Option<Tier>,
    pub job_type: Option<String>,
    pub provider: Option<String>,
    pub plugin: Option<String>,
    pub tenant: Option<String>,
    /// In the kind's unit.
    pub threshold: f64,
    pub window: Duration,
    pub severity: Severity,
    /// 0: told once only.
    pub repeat: Duration,
    pub mail: bool,
}

/// Of reminders.
pub(super) const REPEAT: RangeInclusive<Duration> = Duration::from_secs(1)..=LONGEST_SILENCE;
/// The longest window: so far back are the dead looked at.
const WINDOW: Duration = Duration::from_secs(24 * 3600);
const MAX_NAME: usize = 64;

impl AlertRule {
    /// What is wrong with it, by key.
    pub(super) fn read(&self) -> Result<Rule, Vec<(&'static str, String)>> {
        let mut wrong = Vec::new();
        if !is_name(&self.name) {
            wrong.push(("name", format!("a name is 1 to {MAX_NAME} of a-z, 0-9, - and _")));
        }
        let kind = RuleKind::of(&self.kind);
        if kind.is_none() {
            let known: Vec<_> = RuleKind::ALL.iter().map(|kind| kind.as_str()).collect();
            wrong.push(("kind", format!("there is no \"{}\"; there are {}", self.kind, known.join(", "))));
        }
        let severity = Severity::ALL.into_iter().find(|severity| severity.as_str() == self.severity);
        if severity.is_none() {
            wrong.push(("severity", "must be info, warning or critical".to_owned()));
        }
        if !self.repeat.is_zero() && !REPEAT.contains(&self.repeat) {
            wrong.push(("repeat", "0s, or 1s to 30 days".to_owned()));
        }
        if let Some(kind) = kind {
            self.check_scopes(kind, &mut wrong);
            self.check_window(kind, &mut wrong);
        }
        let threshold = kind.and_then(|kind| self.threshold(kind).map_err(|what| wrong.push(("threshold", what))).ok());
        match (kind, severity, threshold) {
            (Some(kind), Some(severity), Some(threshold)) if wrong.is_empty() => Ok(Rule {
                name: self.name.clone(),
                kind,
                queue: self.queue.clone(),
                tier: self.tier,
                job_type: self.job_type.clone(),
                provider: self.provider.clone(),
                plugin: self.plugin.clone(),
                tenant: self.tenant.clone(),
                threshold,
                window: self.window,
                severity,
                repeat: self.repeat,
                mail: self.mail,
            }),
            _ => Err(wrong),
        }
    }

    pub(super) fn findings(&self, place: &str, queues: &Queues, out: &mut Vec<String>) {
        out.extend(self.read().err().into_iter().flatten().map(|(key, what)| format!("{place}.{key}: {what}")));
        // A rule about something that does not exist is a spelling mistake.
        if let Some(queue) = self.queue.as_ref().filter(|queue| !queues.0.contains_key(*queue)) {
            out.push(format!("{place}.queue: there is no queues.{queue}"));
        }
    }

    fn check_scopes(&self, kind: RuleKind, wrong: &mut Vec<(&'static str, String)>) {
        let given = [
            ("queue", self.queue.is_some()),
            ("tier", self.tier.is_some()),
            ("type", self.job_type.is_some()),
            ("provider", self.provider.is_some()),
            ("plugin", self.plugin.is_some()),
            ("tenant", self.tenant.is_some()),
        ];
        let known = kind.scopes();
        for (key, _) in given.into_iter().filter(|(key, is_given)| *is_given && !known.contains(key)) {
            let can =
                if known.is_empty() { "is about the whole".to_owned() } else { format!("knows {}", known.join(", ")) };
            wrong.push((key, format!("a rule of {} {can}", kind.as_str())));
        }
        if let Some(provider) = self.provider.as_deref().filter(|provider| !PROVIDERS.contains(provider)) {
            wrong.push(("provider", format!("there is no \"{provider}\"; there are {}", PROVIDERS.join(", "))));
        }
        for (key, name) in [("type", &self.job_type), ("plugin", &self.plugin), ("tenant", &self.tenant)] {
            let is_sound =
                |name: &String| (1..=128).contains(&name.chars().count()) && !name.contains(char::is_control);
            if name.as_ref().is_some_and(|name| !is_sound(name)) {
                wrong.push((key, "1 to 128 characters, none of control".to_owned()));
            }
        }
    }

    fn check_window(&self, kind: RuleKind, wrong: &mut Vec<(&'static str, String)>) {
        if self.window > WINDOW {
            wrong.push(("window", "at most 24 hours".to_owned()));
        }
        if kind.counts() && self.window < Duration::from_secs(1) {
            wrong.push(("window", format!("at least 1s: a rule of {} counts what happened in it", kind.as_str())));
        }
    }

    fn threshold(&self, kind: RuleKind) -> Result<f64, String> {
        let unit = kind.unit();
        let value = match (unit, &self.threshold) {
            (Unit::Count, Threshold::Number(n)) if n.fract() == 0.0 => Some(*n),
            (Unit::Share, Threshold::Number(n)) if *n <= 1.0 => Some(*n),
            (Unit::Time, Threshold::Text(text)) => time(text),
            (Unit::Bytes, Threshold::Text(text)) => parse_bytes(text),
            _ => None,
        };
        // Also not a number.
        value.filter(|value| *value > 0.0 && value.is_finite()).ok_or_else(|| {
            let such = match unit {
                Unit::Count => "a whole number of at least 1",
                Unit::Share => "a share of more than 0 and at most 1, such as 0.5",
                Unit::Time => "a time of more than 0, such as \"15m\"",
                Unit::Bytes => "a size of more than 0, such as \"10GiB\"",
            };
            format!("must be {such}")
        })
    }
}

fn is_name(name: &str) -> bool {
    let is_one = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    (1..=MAX_NAME).contains(&name.len()) && name.chars().all(is_one)
}

/// In seconds.
fn time(text: &str) -> Option<f64> {
    let deserializer = serde::de::value::StrDeserializer::<serde::de::value::Error>::new(text);
    humantime_serde::deserialize::<Duration, _>(deserializer).ok().map(|time| time.as_secs_f64())
}

/// The product's own.
pub(super) fn builtin() -> Vec<AlertRule> {
    let rule = |name: &str, kind: RuleKind, threshold: Threshold, window: u64| AlertRule {
        name: name.to_owned(),
        kind: kind.as_str().to_owned(),
        queue: None,
        tier: None,
        job_type: None,
        provider: None,
        plugin: None,
        tenant: None,
        threshold,
        window: Duration::from_secs(window),
        severity: warning(),
        repeat: Duration::ZERO,
        mail: true,
    };
    let text = |text: &str| Threshold::Text(text.to_owned());
    vec![
        AlertRule {
            tier: Some(Tier::Money),
            severity: Severity::Critical.as_str().to_owned(),
            // Each of these failures makes its own mail, in the transaction that ends the job.
            mail: false,
            ..rule("money-failed", RuleKind::DeadJobs, Threshold::Number(1.0), 24 * 3600)
        },
        rule("queue-depth", RuleKind::QueueDepth, Threshold::Number(100_000.0), 600),
        rule("oldest-ready", RuleKind::OldestReady, text("30m"), 300),
        rule("failure-rate", RuleKind::FailureRate, Threshold::Number(0.5), 900),
        rule("provider-limited", RuleKind::ProviderLimited, Threshold::Number(100.0), 900),
        rule("provider-paused", RuleKind::ProviderPaused, text("1h"), 0),
        rule("node-lost", RuleKind::NodeLost, Threshold::Number(1.0), 3600),
        rule("old-transaction", RuleKind::PostgresXmin, text("5m"), 0),
        rule("postgres-wal", RuleKind::PostgresWal, text("16GiB"), 300),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_products_own_rules_are_sound_and_their_names_their_own() {
        let rules = builtin();
        for (n, rule) in rules.iter().enumerate() {
            rule.read().expect("sound");
            assert!(rules.iter().skip(n + 1).all(|other| other.name != rule.name), "{}", rule.name);
        }
        let money = rules[0].read().expect("sound");
        assert_eq!((money.kind, money.tier, money.threshold), (RuleKind::DeadJobs, Some(Tier::Money), 1.0));
    }
}
