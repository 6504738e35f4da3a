use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{OnDoubt, Secret};

/// By name; a guest names the upstream, the host owns base URL and credential.
pub type Upstreams = BTreeMap<String, Upstream>;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// `http(s)://host[:port][/prefix]`; guest paths are appended to it.
    pub base_url: String,
    /// Methods a guest may use.
    pub methods: Vec<Method>,
    #[serde(default = "default_timeout", with = "humantime_serde")]
    pub timeout: Duration,
    /// The upstream honours `Idempotency-Key`: a write in doubt is repeated under the same key.
    #[serde(default)]
    pub idempotent: bool,
    /// For a write in doubt to an upstream that is not idempotent.
    #[serde(default = "park")]
    pub on_doubt: OnDoubt,
    /// Sent as `Authorization: Bearer …`.
    pub bearer: Option<Secret>,
    /// Longest response body, in bytes.
    #[serde(default = "default_response")]
    pub max_response: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

fn default_timeout() -> Duration {
    Duration::from_secs(30)
}

fn park() -> OnDoubt {
    OnDoubt::Park
}

fn default_response() -> usize {
    256 * 1024
}
