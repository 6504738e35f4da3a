use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{OnDoubt, Upstreams};

/// Text messages, each profile by way of an upstream.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sms {
    /// By name; a guest names the profile, the host attaches account, sender and credential.
    pub profiles: BTreeMap<String, SmsProfile>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmsProfile {
    /// One of `upstreams`: its base URL, credential, limits and breaker are used. Plugins need no grant of it.
    pub upstream: String,
    #[serde(default)]
    pub adapter: SmsAdapter,
    /// `AC…` at Twilio.
    pub account: String,
    /// The sender: a number (E.164), a short code, or up to 11 letters and digits. Or `messaging_service`.
    pub from: Option<String>,
    /// `MG…` at Twilio; it picks the sender.
    pub messaging_service: Option<String>,
    #[serde(default)]
    pub on_doubt: OnDoubt,
}

/// The shape of the provider's HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmsAdapter {
    /// `POST /2010-04-01/Accounts/{account}/Messages.json`.
    #[default]
    Twilio,
}

impl SmsProfile {
    pub(super) fn findings(&self, upstreams: &Upstreams, place: &str, out: &mut Vec<String>) {
        if !upstreams.contains_key(&self.upstream) {
            out.push(format!("{place}.upstream: there is no upstreams.{}", self.upstream));
        }
        if !is_id(&self.account) {
            out.push(format!("{place}.account: 1 to 64 letters, digits and -, such as AC0123…"));
        }
        match (&self.from, &self.messaging_service) {
            (Some(from), None) if !is_sender(from) => {
                out.push(format!(
                    "{place}.from: a number such as +15550100, a short code, or 1 to 11 letters and digits"
                ));
            }
            (None, Some(service)) if !is_id(service) => {
                out.push(format!("{place}.messaging_service: 1 to 64 letters, digits and -, such as MG0123…"));
            }
            (Some(_), None) | (None, Some(_)) => {}
            (Some(_), Some(_)) | (None, None) => {
                out.push(format!("{place}: one of from and messaging_service says who sends"));
            }
        }
    }
}

/// Becomes a part of a path.
fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn is_sender(from: &str) -> bool {
    match from.strip_prefix('+') {
        Some(digits) => (8..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()),
        None => (1..=11).contains(&from.len()) && from.bytes().all(|b| b.is_ascii_alphanumeric() || b == b' '),
    }
}
