use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::Secret;

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
