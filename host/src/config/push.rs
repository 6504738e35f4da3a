use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{OnDoubt, Upstreams};

/// Push notifications, each profile by way of an upstream.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Push {
    /// By name; a guest names the profile, the host attaches project and credential.
    pub profiles: BTreeMap<String, PushProfile>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushProfile {
    /// One of `upstreams`: its base URL, credential, limits and breaker are used. Plugins need no grant of it.
    pub upstream: String,
    #[serde(default)]
    pub adapter: PushAdapter,
    /// The id of the Firebase project, or its number.
    pub project: String,
    #[serde(default)]
    pub on_doubt: OnDoubt,
}

/// The shape of the provider's HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PushAdapter {
    /// `POST /v1/projects/{project}/messages:send`.
    #[default]
    Fcm,
}

impl PushProfile {
    pub(super) fn findings(&self, upstreams: &Upstreams, place: &str, out: &mut Vec<String>) {
        if !upstreams.contains_key(&self.upstream) {
            out.push(format!("{place}.upstream: there is no upstreams.{}", self.upstream));
        }
        let is_id = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !(1..=64).contains(&self.project.len()) || !self.project.bytes().all(is_id) {
            out.push(format!("{place}.project: 1 to 64 of a-z, 0-9 and -"));
        }
    }
}
