mod kind;
mod rule;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::{
    kind::{RuleKind, Severity, Unit},
    rule::{AlertRule, Rule},
};
use super::{Email, Queues};

/// What is looked at, who hears of what a person should know, and how long it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Alerts {
    /// How often one node looks at what the rules are about.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// The product's own rules count beside those of the file; one of the same name goes before.
    pub builtin: bool,
    /// Names of the product's own that do not count.
    pub off: Vec<String>,
    /// How long an alert is kept that is over.
    #[serde(with = "humantime_serde")]
    pub keep: Duration,
    /// An alert that is raised where something happens, by no rule, is told again after this while it fires; 0: once only.
    #[serde(with = "humantime_serde")]
    pub repeat: Duration,
    pub rules: Vec<AlertRule>,
    /// Absent: nobody gets a mail.
    pub mail: Option<AlertMail>,
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(15),
            builtin: true,
            off: Vec::new(),
            keep: Duration::from_secs(90 * 24 * 3600),
            repeat: Duration::ZERO,
            rules: Vec::new(),
            mail: None,
        }
    }
}

/// Mails to the operator: `send-email` jobs of a tenant of their own, by the plugin that owns the type.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertMail {
    /// 1 to 50 addresses, which see each other.
    pub to: Vec<String>,
    /// One of `email.profiles`; the plugin must be granted it.
    #[serde(default = "default_profile")]
    pub profile: String,
    /// Whose jobs the mails are. Nobody else's should be: those who see this tenant's jobs see the addresses.
    #[serde(default = "default_tenant")]
    pub tenant: String,
    /// In this time one mail for a tenant's failures of one job type and reason; 0: one for each failure.
    #[serde(default = "default_every", with = "humantime_serde")]
    pub every: Duration,
}

fn default_profile() -> String {
    "default".to_owned()
}

fn default_tenant() -> String {
    "usher".to_owned()
}

fn default_every() -> Duration {
    Duration::from_secs(3600)
}

/// The longest silence, and pause between reminders.
pub const LONGEST_SILENCE: Duration = Duration::from_secs(30 * 24 * 3600);

impl Alerts {
    /// The tenant that is told of alerts: its jobs are the mails, its webhook endpoints hear of all that fires.
    pub fn tenant(&self) -> String {
        self.mail.as_ref().map_or_else(default_tenant, |mail| mail.tenant.clone())
    }

    /// The rules that count: those of the file, then those of the product that it neither names nor turns off.
    pub fn rules(&self) -> Vec<Rule> {
        let gone = |name: &String| self.off.contains(name) || self.rules.iter().any(|rule| rule.name == *name);
        let ours = rule::builtin().into_iter().filter(|rule| self.builtin && !gone(&rule.name));
        self.rules.iter().cloned().chain(ours).filter_map(|rule| rule.read().ok()).collect()
    }

    pub(super) fn findings(&self, email: &Email, queues: &Queues, out: &mut Vec<String>) {
        self.bounds(out);
        for (n, rule) in self.rules.iter().enumerate() {
            let place = format!("alerts.rules.{n} ({})", rule.name);
            rule.findings(&place, queues, out);
            if self.rules.iter().take(n).any(|before| before.name == rule.name) {
                out.push(format!("{place}.name: another rule has this name"));
            }
        }
        let ours: Vec<_> = rule::builtin().into_iter().map(|rule| rule.name).collect();
        for name in self.off.iter().filter(|name| !ours.contains(name)) {
            out.push(format!("alerts.off: the product has no rule \"{name}\"; it has {}", ours.join(", ")));
        }
        let Some(mail) = &self.mail else { return };
        if !(1..=50).contains(&mail.to.len()) || !mail.to.iter().all(|address| is_address(address)) {
            out.push("alerts.mail.to: 1 to 50 addresses such as ops@example.com".to_owned());
        }
        if !email.profiles.contains_key(&mail.profile) {
            out.push(format!("alerts.mail.profile: there is no email.profiles.{}", mail.profile));
        }
        if !(1..=128).contains(&mail.tenant.chars().count()) || mail.tenant.chars().any(char::is_control) {
            out.push("alerts.mail.tenant: 1 to 128 characters, none of control".to_owned());
        }
        if mail.every > Duration::from_secs(24 * 3600) {
            out.push("alerts.mail.every: at most 24 hours".to_owned());
        }
    }

    fn bounds(&self, out: &mut Vec<String>) {
        if self.interval < Duration::from_millis(100) || self.interval > Duration::from_secs(300) {
            out.push("alerts.interval: 100ms to 5m".to_owned());
        }
        if self.keep < Duration::from_secs(24 * 3600) || self.keep > Duration::from_secs(3660 * 24 * 3600) {
            out.push("alerts.keep: 1 day to 10 years".to_owned());
        }
        if !self.repeat.is_zero() && !rule::REPEAT.contains(&self.repeat) {
            out.push("alerts.repeat: 0s, or 1s to 30 days".to_owned());
        }
        if self.rules.len() > MOST_RULES {
            out.push(format!("alerts.rules: at most {MOST_RULES}"));
        }
    }
}

/// Each is looked at every few seconds.
const MOST_RULES: usize = 200;

/// As the schema of `send-email` has it.
fn is_address(text: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && !part.contains(|c: char| c == '@' || c.is_whitespace());
    text.len() <= 254 && text.split_once('@').is_some_and(|(name, domain)| is_part(name) && is_part(domain))
}
