use std::{collections::BTreeMap, time::Duration};

use lettre::message::Mailbox;
use serde::{Deserialize, Serialize};

use super::{Dkim, Secret, validate::is_loopback};

/// Most that `max_attachments` may say, in bytes: what a guest can pass in by one call, less the text.
const MAX_ATTACHMENTS: usize = 3 << 20;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Email {
    /// By name; a guest names the profile, the host attaches server and credential.
    pub profiles: BTreeMap<String, EmailProfile>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmailProfile {
    pub host: String,
    /// 587 is STARTTLS, 465 implicit TLS; any other port wants `security` said.
    #[serde(default = "default_port")]
    pub port: u16,
    pub security: Option<SmtpSecurity>,
    pub username: Option<String>,
    pub password: Option<Secret>,
    /// `Name <address>`; the domain of the address also names our Message-IDs.
    pub from: String,
    /// One call, from connect to the reply after the message.
    #[serde(default = "default_timeout", with = "humantime_serde")]
    pub timeout: Duration,
    /// Idle connections kept.
    #[serde(default = "default_pool")]
    pub pool: usize,
    #[serde(default)]
    pub on_doubt: OnDoubt,
    /// A PEM file with a further root that this server's certificate may chain to.
    pub ca_file: Option<std::path::PathBuf>,
    /// All attachments of one mail together, in bytes, before they are encoded; 0: none.
    #[serde(default = "default_attachments")]
    pub max_attachments: usize,
    /// Signs every mail of the profile.
    pub dkim: Option<Dkim>,
}

impl EmailProfile {
    /// What `security` and `port` say together; `None`: they say nothing that is certain.
    pub fn effective_security(&self) -> Option<SmtpSecurity> {
        match (self.security, self.port) {
            (Some(security), _) => Some(security),
            (None, 587) => Some(SmtpSecurity::Starttls),
            (None, 465) => Some(SmtpSecurity::Tls),
            (None, _) => None,
        }
    }

    /// What is wrong with it, each with its place.
    pub(super) fn findings(&self, place: &str, out: &mut Vec<String>) {
        match (self.effective_security(), self.port) {
            (None, port) => {
                out.push(format!("{place}.security: port {port} says nothing: \"starttls\", \"tls\" or \"none\""));
            }
            (Some(SmtpSecurity::Starttls), 465) => {
                out.push(format!("{place}.security: port 465 is implicit TLS: \"tls\""));
            }
            (Some(SmtpSecurity::Tls), 587) => {
                out.push(format!("{place}.security: port 587 is STARTTLS: \"starttls\""));
            }
            (Some(SmtpSecurity::None), _) => {
                if self.password.is_some() {
                    out.push(format!("{place}.security: \"none\" would send the password in clear text"));
                }
                if !is_loopback(&self.host) {
                    out.push(format!("{place}.security: \"none\" is for loopback only"));
                }
            }
            (Some(_), _) => {}
        }
        if self.username.is_some() != self.password.is_some() {
            out.push(format!("{place}: username and password go together"));
        }
        match self.from.parse::<Mailbox>() {
            Ok(from) => {
                if let Some(dkim) = &self.dkim {
                    dkim.findings(from.email.domain(), &format!("{place}.dkim"), out);
                }
            }
            Err(_) => out.push(format!("{place}.from: is no address (\"Name <name@example.com>\")")),
        }
        if self.timeout.is_zero() || self.timeout > Duration::from_secs(300) {
            out.push(format!("{place}.timeout: must be more than 0 and at most 5 minutes"));
        }
        if self.max_attachments > MAX_ATTACHMENTS {
            out.push(format!("{place}.max_attachments: at most {MAX_ATTACHMENTS} (3 MiB)"));
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpSecurity {
    Starttls,
    Tls,
    /// Clear text; refused with a password, and for hosts other than loopback.
    None,
}

/// What to do about a call whose answer was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDoubt {
    /// Send again under the same id: at least once, dedupable.
    #[default]
    Resend,
    /// Leave it to a person: at most once.
    Park,
}

fn default_port() -> u16 {
    587
}

fn default_timeout() -> Duration {
    Duration::from_secs(30)
}

fn default_pool() -> usize {
    4
}

fn default_attachments() -> usize {
    1 << 20
}
