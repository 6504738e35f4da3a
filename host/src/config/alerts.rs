use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Email;

/// Who hears of what a person should know.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Alerts {
    /// Absent: nobody gets a mail.
    pub mail: Option<AlertMail>,
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

impl Alerts {
    pub(super) fn findings(&self, email: &Email, out: &mut Vec<String>) {
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
}

/// As the schema of `send-email` has it.
fn is_address(text: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && !part.contains(|c: char| c == '@' || c.is_whitespace());
    text.len() <= 254 && text.split_once('@').is_some_and(|(name, domain)| is_part(name) && is_part(domain))
}
