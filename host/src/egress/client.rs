use std::{collections::BTreeSet, error::Error, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use reqwest::{
    Client, StatusCode,
    header::{HeaderMap, RETRY_AFTER},
    redirect,
};
use url::{Host, Url};

use super::{
    Refused,
    address::is_public,
    guard::{Guard, Lookup, system},
};

/// Longest URL, in bytes.
const MAX_URL: usize = 2_048;
/// Most of an answer that is read, in bytes.
const MAX_ANSWER: usize = 64 << 10;
/// A name must be resolved within this when it is only looked at.
const LOOK: Duration = Duration::from_secs(5);
/// The longest `Retry-After` that is believed.
const MAX_PAUSE: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug)]
pub struct Settings<'a> {
    /// Of one call, from the look at the name to the end of the answer.
    pub timeout: Duration,
    pub user_agent: &'a str,
    /// `host:port` of destinations that may be private and need no TLS.
    pub allowed: &'a [String],
}

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: StatusCode,
    pub retry_after: Option<Duration>,
}

/// Why nothing came back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    #[error("the URL {0}")]
    Refused(#[from] Refused),
    #[error("no answer within the time-out")]
    TimedOut,
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    #[error("the call failed: {0}")]
    Failed(String),
}

/// Calls foreign addresses.
pub struct Egress {
    /// Connects to the open internet only, by TLS only.
    guarded: Client,
    /// For what the operator allowed.
    open: Client,
    allowed: BTreeSet<String>,
    guard: Guard,
}

/// A URL whose form is fine.
struct Target {
    url: Url,
    is_allowed: bool,
}

impl Egress {
    pub fn new(settings: &Settings<'_>) -> Result<Self, reqwest::Error> {
        Self::with_lookup(settings, system())
    }

    pub(super) fn with_lookup(settings: &Settings<'_>, lookup: Lookup) -> Result<Self, reqwest::Error> {
        let guard = Guard(lookup);
        // Never a retry of its own: a call is sent once. (Decompression is not compiled in.)
        let client = || {
            Client::builder()
                .no_proxy()
                .redirect(redirect::Policy::none())
                .retry(reqwest::retry::never())
                .referer(false)
                .timeout(settings.timeout)
                .connect_timeout(settings.timeout)
                .pool_max_idle_per_host(2)
                .pool_idle_timeout(Duration::from_secs(15))
                .user_agent(settings.user_agent)
        };
        Ok(Self {
            guarded: client().https_only(true).dns_resolver(Arc::new(guard.clone())).build()?,
            open: client().build()?,
            allowed: settings.allowed.iter().map(|place| place.to_ascii_lowercase()).collect(),
            guard,
        })
    }

    /// Looks at a URL that somebody wants to have called, and at where its name leads now.
    pub async fn check(&self, url: &str) -> Result<(), Refused> {
        let target = self.target(url)?;
        match target.url.host() {
            Some(Host::Domain(name)) if !target.is_allowed => {
                let found = tokio::time::timeout(LOOK, self.guard.addresses(name)).await;
                found.map_err(|_| Refused::Unresolved)?.map(drop)
            }
            _ => Ok(()),
        }
    }

    /// One POST. The status decides; what follows it is read away, so that the connection can be used again, and no
    /// further than 64 KiB.
    pub async fn post(&self, url: &str, headers: HeaderMap, body: String) -> Result<Reply, SendError> {
        let target = self.target(url)?;
        let client = if target.is_allowed { &self.open } else { &self.guarded };
        let mut response = client.post(target.url).headers(headers).body(body).send().await.map_err(|e| said(&e))?;
        let reply = Reply { status: response.status(), retry_after: retry_after(response.headers()) };
        let mut left = MAX_ANSWER;
        while let Ok(Some(chunk)) = response.chunk().await {
            match left.checked_sub(chunk.len()) {
                Some(rest) => left = rest,
                None => break,
            }
        }
        Ok(reply)
    }

    /// What can be said without asking anybody. The parser has brought every notation of an IPv4 address (decimal, octal,
    /// hexadecimal, short) into one form.
    fn target(&self, url: &str) -> Result<Target, Refused> {
        if url.len() > MAX_URL {
            return Err(Refused::TooLong);
        }
        let url = Url::parse(url).map_err(|_| Refused::NotAUrl)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refused::NotHttps);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::Credentials);
        }
        if url.fragment().is_some() {
            return Err(Refused::Fragment);
        }
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else { return Err(Refused::NotAUrl) };
        let is_allowed = self.allowed.contains(&format!("{host}:{port}"));
        if !is_allowed {
            // A client does not ask its resolver about an address that is written out.
            let is_private = match host {
                Host::Domain(_) => false,
                Host::Ipv4(address) => !is_public(address.into()),
                Host::Ipv6(address) => !is_public(address.into()),
            };
            if is_private {
                return Err(Refused::Private);
            }
            if url.scheme() != "https" {
                return Err(Refused::NotHttps);
            }
        }
        Ok(Target { url, is_allowed })
    }
}

/// Without the URL.
fn said(error: &reqwest::Error) -> SendError {
    let mut cause: &dyn Error = error;
    loop {
        if let Some(refused) = cause.downcast_ref::<Refused>() {
            return SendError::Refused(*refused);
        }
        match cause.source() {
            Some(source) => cause = source,
            None => break,
        }
    }
    let text: String = cause.to_string().chars().filter(|c| !c.is_control()).take(200).collect();
    match error {
        e if e.is_timeout() => SendError::TimedOut,
        e if e.is_connect() => SendError::Unreachable(text),
        _ => SendError::Failed(text),
    }
}

/// Seconds, or a date (RFC 9110 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let pause = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => (DateTime::parse_from_rfc2822(text).ok()?.with_timezone(&Utc) - Utc::now()).to_std().ok()?,
    };
    Some(pause.min(MAX_PAUSE))
}
