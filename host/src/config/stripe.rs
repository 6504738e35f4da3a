use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::Secret;

/// Accounts at Stripe. The host picks the profile by the job's tenant and venue; a guest never names one.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stripe {
    /// The field of a payload, at its top level, that names the venue.
    pub venue_field: String,
    pub profiles: BTreeMap<String, StripeProfile>,
}

impl Default for Stripe {
    fn default() -> Self {
        Self { venue_field: "venueId".to_owned(), profiles: BTreeMap::new() }
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

fn default_url() -> String {
    "https://api.stripe.com".to_owned()
}

fn default_timeout() -> Duration {
    Duration::from_secs(30)
}
