use std::{collections::BTreeMap, fmt, time::Duration};

use reqwest::header::{HeaderName, HeaderValue};
use serde::{
    Deserialize, Serialize,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{Google, OnDoubt, Secret};

/// By name; a guest names the upstream, the host owns base URL and credential.
pub type Upstreams = BTreeMap<String, Upstream>;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// `http(s)://host[:port][/prefix]`; guest paths are appended to it.
    pub base_url: String,
    /// Methods a guest may use; none where only a profile of `sms` or `push` sends through it.
    #[serde(default)]
    pub methods: Vec<Method>,
    /// Paths a guest may ask for: `/v1/mint` is that one, `/v1/*` all below it.
    #[serde(default = "all_paths")]
    pub paths: Vec<String>,
    /// Sent with every request; a guest may not set them.
    #[serde(default)]
    pub headers: BTreeMap<String, FixedHeader>,
    /// Name of the header that carries the job's tenant; a guest may not set it.
    pub tenant_header: Option<String>,
    #[serde(default = "default_timeout", with = "humantime_serde")]
    pub timeout: Duration,
    /// A repeat does no harm: the upstream honours `Idempotency-Key`, or what is written is named by its content. A write in
    /// doubt is repeated under the same key.
    #[serde(default)]
    pub idempotent: bool,
    /// How long an idempotent upstream surely knows a call again after it was first sent. A write in doubt for longer is a
    /// person's to decide.
    #[serde(default = "default_remembers", with = "humantime_serde")]
    pub remembers: Duration,
    /// For a write in doubt to an upstream that is not idempotent.
    #[serde(default = "park")]
    pub on_doubt: OnDoubt,
    /// Sent as `Authorization: Bearer …`.
    pub bearer: Option<Secret>,
    /// Sent as `Authorization: Basic …`.
    pub basic: Option<Basic>,
    /// Each try is signed (RFC 9421, `hmac-sha256`).
    pub signature: Option<SignatureKey>,
    /// Access tokens for a service account of Google's.
    pub google: Option<Google>,
    /// Longest response body, in bytes.
    #[serde(default = "default_response")]
    pub max_response: usize,
    #[serde(default)]
    pub breaker: Breaker,
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

/// RFC 7617.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Basic {
    pub username: String,
    pub password: Secret,
}

/// A key that both sides have. Its bytes are taken as they are written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignatureKey {
    pub key_id: String,
    pub key: Secret,
}

/// When calls to an upstream that fails are no longer made, on each node by itself.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Breaker {
    /// So many failures in a row open it; 0: it never opens.
    pub failures: u32,
    /// After so long one call tries whether the upstream is back.
    #[serde(with = "humantime_serde")]
    pub open_for: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { failures: 5, open_for: Duration::from_secs(30) }
    }
}

/// A header's value: text, or a secret by its source.
#[derive(Clone, Debug)]
pub enum FixedHeader {
    Plain(String),
    Secret(Secret),
}

impl FixedHeader {
    pub fn expose(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Secret(secret) => secret.expose(),
        }
    }
}

impl Serialize for FixedHeader {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plain(text) => text.serialize(s),
            Self::Secret(secret) => secret.serialize(s),
        }
    }
}

impl<'de> Deserialize<'de> for FixedHeader {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(FixedHeaderVisitor)
    }
}

struct FixedHeaderVisitor;

impl<'de> Visitor<'de> for FixedHeaderVisitor {
    type Value = FixedHeader;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, { env = \"NAME\" } or { file = \"path\" }")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<FixedHeader, E> {
        Ok(FixedHeader::Plain(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FixedHeader, A::Error> {
        Secret::deserialize(MapAccessDeserializer::new(map)).map(FixedHeader::Secret)
    }
}

fn all_paths() -> Vec<String> {
    vec!["/*".to_owned()]
}

fn default_timeout() -> Duration {
    Duration::from_secs(30)
}

/// What keys are commonly kept for is a day.
fn default_remembers() -> Duration {
    Duration::from_secs(23 * 3600)
}

fn park() -> OnDoubt {
    OnDoubt::Park
}

fn default_response() -> usize {
    256 * 1024
}

/// Headers that the host makes, or that would change what a request is. In lower case.
const OURS: [&str; 30] = [
    "host",
    "authorization",
    "proxy-authorization",
    "idempotency-key",
    "signature",
    "signature-input",
    "content-digest",
    "cookie",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "via",
    "forwarded",
    "x-real-ip",
    // Answers are taken as they come, whole, so that our credential is seen if it comes back in them.
    "accept-encoding",
    "range",
    "if-range",
    // What some frameworks take for another method or path than the one that was checked.
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
    "x-rewrite-uri",
];

impl Upstream {
    /// A header of this name, in lower case, is nobody's but the host's.
    pub fn is_hosts_header(name: &str) -> bool {
        OURS.contains(&name)
    }

    /// `path` as the guest gave it, already checked for what leads out of a folder.
    pub fn allows_path(&self, path: &str) -> bool {
        self.paths.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(folder) => path.starts_with(folder),
            None => path == pattern,
        })
    }

    /// `is_named`: by a profile of `sms` or `push`.
    pub(super) fn findings(&self, place: &str, is_named: bool, out: &mut Vec<String>) {
        match url::Url::parse(&self.base_url) {
            Ok(url) => {
                if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
                    out.push(format!("{place}.base_url: must be http:// or https:// with a host"));
                }
                if url.query().is_some()
                    || url.fragment().is_some()
                    || !url.username().is_empty()
                    || url.password().is_some()
                {
                    out.push(format!("{place}.base_url: holds no user, query or fragment; secrets have their own key"));
                }
            }
            Err(error) => out.push(format!("{place}.base_url: {error}")),
        }
        if self.methods.is_empty() && !is_named {
            out.push(format!("{place}.methods: an upstream without methods can't be called"));
        }
        if self.paths.is_empty() {
            out.push(format!(
                "{place}.paths: an upstream without paths can't be called; leave the key out and all may be asked for"
            ));
        }
        for path in self.paths.iter().filter(|path| !is_path_pattern(path)) {
            out.push(format!(
                "{place}.paths: \"{path}\" is neither a path such as /v1/mint nor a folder such as /v1/*"
            ));
        }
        self.header_findings(place, out);
        self.credential_findings(place, out);
        if self.timeout.is_zero() || self.timeout > Duration::from_secs(300) {
            out.push(format!("{place}.timeout: must be more than 0 and at most 5 minutes"));
        }
        if self.remembers.is_zero() {
            out.push(format!(
                "{place}.remembers: must be more than 0; where nothing is remembered, say idempotent = false"
            ));
        }
        if self.max_response == 0 || self.max_response > 4 << 20 {
            out.push(format!("{place}.max_response: must be more than 0 and at most 4 MiB"));
        }
        if self.breaker.open_for.is_zero() || self.breaker.open_for > Duration::from_secs(3_600) {
            out.push(format!(
                "{place}.breaker.open_for: must be more than 0 and at most 1 hour; failures = 0 turns it off"
            ));
        }
    }

    fn header_findings(&self, place: &str, out: &mut Vec<String>) {
        let mut names = BTreeMap::new();
        let fixed = self.headers.keys().map(|name| (name, format!("{place}.headers.{name}")));
        let tenant = self.tenant_header.iter().map(|name| (name, format!("{place}.tenant_header")));
        for (name, place) in fixed.chain(tenant) {
            let lower = name.to_ascii_lowercase();
            if HeaderName::try_from(name).is_err() {
                out.push(format!("{place}: \"{name}\" is no name of an HTTP header"));
            } else if lower == "authorization" {
                out.push(format!("{place}: Authorization is made of bearer, basic or google"));
            } else if Self::is_hosts_header(&lower) {
                out.push(format!("{place}: {name} is made by the host"));
            } else if let Some(other) = names.insert(lower, place.clone()) {
                out.push(format!("{place}: names the same header as {other}"));
            }
        }
        // The value may be a secret, so it isn't repeated.
        for (name, _) in self.headers.iter().filter(|(_, value)| HeaderValue::try_from(value.expose()).is_err()) {
            out.push(format!("{place}.headers.{name}: the value is not one of an HTTP header (visible ASCII)"));
        }
    }

    fn credential_findings(&self, place: &str, out: &mut Vec<String>) {
        let all = [self.bearer.is_some(), self.basic.is_some(), self.signature.is_some(), self.google.is_some()];
        if all.iter().filter(|there| **there).count() > 1 {
            out.push(format!("{place}: bearer, basic, signature and google exclude each other; keep one"));
        }
        if let Some(google) = &self.google {
            google.findings(&self.base_url, place, out);
        }
        if self.bearer.as_ref().is_some_and(|token| HeaderValue::try_from(token.expose()).is_err()) {
            out.push(format!("{place}.bearer: is not text that fits into a header (visible ASCII)"));
        }
        if let Some(basic) = &self.basic
            && (basic.username.contains(':') || basic.username.chars().any(char::is_control))
        {
            out.push(format!("{place}.basic.username: holds no colon and no control character (RFC 7617)"));
        }
        if let Some(SignatureKey { key_id, key }) = &self.signature {
            let is_plain = |b: u8| (b' '..=b'~').contains(&b) && b != b'"' && b != b'\\';
            if key_id.is_empty() || key_id.len() > 256 || !key_id.bytes().all(is_plain) {
                out.push(format!("{place}.signature.key_id: 1 to 256 characters of visible ASCII without \" and \\"));
            }
            if key.expose().len() < 32 {
                out.push(format!(
                    "{place}.signature.key: has {} bytes, at least 32 are needed: openssl rand -base64 48",
                    key.expose().len()
                ));
            }
        }
    }
}

/// A path, or a folder and `*`. What a guest's path never holds would never match.
fn is_path_pattern(pattern: &str) -> bool {
    let path = pattern.strip_suffix("/*").map_or(pattern, |folder| if folder.is_empty() { "/" } else { folder });
    path.starts_with('/')
        && !path.contains("//")
        && !path.contains(['*', '\\', '@', '?', '#', ';'])
        && !path.chars().any(char::is_control)
        && !path.split('/').any(|segment| segment == "." || segment == "..")
}
