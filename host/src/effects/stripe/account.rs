use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use reqwest::Client;
use url::Url;

use super::StripeError;
use crate::{
    config::{Secret, StripeProfile},
    effects::{OnBehalf, client},
};

/// One configured profile: whose money it is, and how to reach it.
pub(super) struct Account {
    pub profile: String,
    pub account: Option<String>,
    pub connected: BTreeSet<String>,
    /// It serves several tenants, so that an id in a payload may be another tenant's.
    pub is_shared: bool,
    pub base: Url,
    pub key: Secret,
    pub client: Client,
    pub timeout: std::time::Duration,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("profile", &self.profile).finish_non_exhaustive()
    }
}

impl Account {
    pub fn new(name: &str, config: &StripeProfile, is_shared: bool) -> Result<Self, StripeError> {
        let failed = |message: String| StripeError { profile: name.to_owned(), message };
        Ok(Self {
            profile: name.to_owned(),
            account: config.account.clone(),
            connected: config.connected.iter().cloned().collect(),
            is_shared,
            base: Url::parse(&config.base_url).map_err(|e| failed(format!("base_url: {e}")))?,
            key: config.key.clone(),
            client: client(config.timeout).map_err(|e| failed(e.to_string()))?,
            timeout: config.timeout,
        })
    }

    /// Whether a guest may send money to this connected account.
    pub fn reaches(&self, account: &str) -> bool {
        self.connected.contains("*") || self.connected.contains(account)
    }
}

/// Which profile serves whom.
#[derive(Default)]
pub(super) struct Routes(BTreeMap<(String, Option<String>), Arc<Account>>);

impl Routes {
    pub fn add(&mut self, config: &StripeProfile, account: &Arc<Account>) {
        for (tenant, venue) in config.routes() {
            self.0.insert((tenant.to_owned(), venue.map(str::to_owned)), Arc::clone(account));
        }
    }

    /// The most particular one: this tenant's venue, this tenant, anybody's venue, anybody.
    pub fn find(&self, who: &OnBehalf) -> Option<&Arc<Account>> {
        let of = |tenant: &str, venue: Option<&String>| self.0.get(&(tenant.to_owned(), venue.cloned()));
        let venue = who.venue.as_ref();
        let particular = |tenant: &str| venue.and_then(|venue| of(tenant, Some(venue))).or_else(|| of(tenant, None));
        particular(&who.tenant).or_else(|| particular("*"))
    }

    /// Somebody must know the venue.
    pub fn know_venues(&self) -> bool {
        self.0.keys().any(|(_, venue)| venue.is_some())
    }
}
