use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Secret;

/// Services that sign their requests. Without a key there are none.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Services {
    /// At least 32 bytes: the secrets of all service keys are derived from it, so all nodes have the same, for ever.
    pub key: Option<Secret>,
    /// How long the secret before a rotation is still good.
    #[serde(with = "humantime_serde")]
    pub overlap: Duration,
    /// Host, or host and port, as callers name this cluster. With none, whatever a signature is for is taken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub authorities: Vec<String>,
}

impl Default for Services {
    fn default() -> Self {
        Self { key: None, overlap: Duration::from_secs(24 * 3600), authorities: Vec::new() }
    }
}

impl Services {
    pub(super) fn findings(&self, out: &mut Vec<String>) {
        if let Some(key) = self.key.as_ref().filter(|key| key.expose().len() < 32) {
            out.push(format!(
                "auth.services.key: has {} bytes, at least 32 are needed: openssl rand -base64 48",
                key.expose().len()
            ));
        }
        if self.overlap > Duration::from_secs(90 * 24 * 3600) {
            out.push("auth.services.overlap: at most 90 days".to_owned());
        }
        for name in &self.authorities {
            let is_host = |c: char| c.is_ascii_alphanumeric() || "-._~:[]".contains(c);
            if name.is_empty() || !name.chars().all(is_host) {
                out.push(format!("auth.services.authorities: \"{name}\" is no host, or host:port, as in a URL"));
            }
        }
    }
}
