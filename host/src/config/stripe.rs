use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::Secret;

/// Accounts at Stripe. The host picks the profile by the job's tenant and venue; a guest never names one.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stripe {
    /// The field of a payload, at its top level, that names the venue.
    pub venue_field: String,
    /// Which of Stripe's events become jobs.
    pub jobs: Vec<StripeJob>,
    pub profiles: BTreeMap<String, StripeProfile>,
}

impl Default for Stripe {
    fn default() -> Self {
        Self { venue_field: "venueId".to_owned(), jobs: Vec::new(), profiles: BTreeMap::new() }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StripeProfile {
    /// `sk_test_…` or `rk_test_…`; a live key only with `allow_live`.
    pub key: Secret,
    /// Whose jobs use it; `"*"`: those of every tenant that no other profile names.
    pub tenants: Vec<String>,
    /// Only jobs of these venues; empty: all that no other profile of the tenant names.
    #[serde(default)]
    pub venues: Vec<String>,
    /// The connected account that all calls are made for (`Stripe-Account`).
    pub account: Option<String>,
    /// Connected accounts that a guest may name as the destination of a payment, payout or transfer; `"*"`: any.
    #[serde(default)]
    pub connected: Vec<String>,
    #[serde(default)]
    pub allow_live: bool,
    #[serde(default = "default_url")]
    pub base_url: String,
    #[serde(default = "default_timeout", with = "humantime_serde")]
    pub timeout: Duration,
    /// `whsec_…` of the endpoints that Stripe sends this account's events to; several, while one is rolled. Empty: none is taken.
    #[serde(default)]
    pub webhook_secrets: Vec<Secret>,
}

/// An event of Stripe that becomes a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StripeJob {
    /// Stripe's word for it: `charge.dispute.created`.
    pub event: String,
    #[serde(rename = "type")]
    pub job_type: String,
    /// Whose job it is; absent: of the tenant whose account or payment the event is about.
    pub tenant: Option<String>,
}

/// What its prefix says about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StripeMode {
    Test,
    Live,
}

impl StripeProfile {
    /// `None`: no secret key of Stripe.
    pub fn mode(&self) -> Option<StripeMode> {
        let key = self.key.expose();
        let is = |prefixes: [&str; 2]| prefixes.iter().any(|prefix| key.starts_with(prefix));
        match () {
            () if is(["sk_test_", "rk_test_"]) => Some(StripeMode::Test),
            () if is(["sk_live_", "rk_live_"]) => Some(StripeMode::Live),
            () => None,
        }
    }

    /// The tenants and venues that it serves, one by one.
    pub fn routes(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.tenants.iter().flat_map(|tenant| {
            let all = self.venues.is_empty().then_some((tenant.as_str(), None));
            all.into_iter().chain(self.venues.iter().map(|venue| (tenant.as_str(), Some(venue.as_str()))))
        })
    }
}

impl Stripe {
    /// What is wrong about the events that come in.
    pub(super) fn inbound_findings(&self, out: &mut Vec<String>) {
        let mut secrets: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
        for (name, profile) in &self.profiles {
            let place = format!("stripe.profiles.{name}.webhook_secrets");
            for secret in &profile.webhook_secrets {
                // The rest is secret, and is not told either.
                if !secret.expose().starts_with("whsec_") || secret.expose().len() < MIN_SECRET {
                    out.push(format!("{place}: holds what is no signing secret of an endpoint at Stripe (whsec_…)"));
                }
                // The secret tells whose event it is.
                let (other, key) = *secrets.entry(secret.expose()).or_insert((name.as_str(), profile.key.expose()));
                if key != profile.key.expose() {
                    out.push(format!("{place}: stripe.profiles.{other}, which has another key, has the same secret"));
                }
            }
        }
        if secrets.len() > MAX_SECRETS {
            out.push(format!("stripe.profiles: at most {MAX_SECRETS} webhook_secrets in all; each is tried"));
        }
        if secrets.is_empty() && !self.jobs.is_empty() {
            out.push("stripe.jobs: no event comes in, since no profile has webhook_secrets".to_owned());
        }
        let mut seen = BTreeSet::new();
        for (n, job) in self.jobs.iter().enumerate() {
            let place = format!("stripe.jobs.{n}");
            if !is_event(&job.event) {
                out.push(format!("{place}.event: is no type of Stripe's events such as charge.dispute.created"));
            }
            if job.job_type.is_empty() || job.job_type.len() > 128 || job.job_type.chars().any(char::is_control) {
                out.push(format!("{place}.type: is no job type"));
            }
            let is_tenant =
                |tenant: &String| (1..=128).contains(&tenant.chars().count()) && !tenant.chars().any(char::is_control);
            if job.tenant.as_ref().is_some_and(|tenant| !is_tenant(tenant)) {
                out.push(format!("{place}.tenant: 1 to 128 characters, none of control"));
            }
            if !seen.insert((&job.event, &job.job_type)) {
                out.push(format!("{place}: the same event and type stand there twice"));
            }
        }
    }
}

/// Of Stripe's events: letters, digits, `_` and dots between.
fn is_event(text: &str) -> bool {
    text.len() <= 128
        && text.contains('.')
        && text.split('.').all(|part| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        })
}

/// Shorter than any that Stripe makes.
const MIN_SECRET: usize = 16;
/// Each costs a hash of the body for a request that nobody has signed.
const MAX_SECRETS: usize = 16;

fn default_url() -> String {
    "https://api.stripe.com".to_owned()
}

fn default_timeout() -> Duration {
    Duration::from_secs(30)
}
