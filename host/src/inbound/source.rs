use std::collections::BTreeSet;

use sqlx::PgConnection;

use super::event::Event;
use crate::{
    config::{self, Secret, StripeMode, StripeProfile},
    journal::{ledger, store::Marked},
    signature::StripeSignature,
};

/// One account at Stripe, as its key says: who uses it, and what its endpoints' events are signed with.
pub(super) struct Source {
    /// The first of its profiles.
    pub name: String,
    pub livemode: bool,
    secrets: Vec<Secret>,
    profiles: Vec<(String, StripeProfile)>,
    /// Tenants that a profile of any account names as wholly its own: `"*"` is not about them.
    named: BTreeSet<String>,
}

/// Those whose events can be told from forgeries.
pub(super) fn all(config: &config::Stripe) -> Vec<Source> {
    let routes = config.profiles.values().flat_map(StripeProfile::routes);
    let named: BTreeSet<_> = routes.filter(|(_, venue)| venue.is_none()).map(|(tenant, _)| tenant.to_owned()).collect();
    let mut sources: Vec<Source> = Vec::new();
    for (name, profile) in &config.profiles {
        let is_of = |source: &&mut Source| source.profiles.iter().any(|(_, p)| p.key.expose() == profile.key.expose());
        let known = sources.iter_mut().find(is_of);
        let (secrets, own) = (profile.webhook_secrets.clone(), (name.clone(), profile.clone()));
        match known {
            Some(source) => {
                source.secrets.extend(secrets);
                source.profiles.push(own);
            }
            None => sources.push(Source {
                name: name.clone(),
                livemode: profile.mode() == Some(StripeMode::Live),
                secrets,
                profiles: vec![own],
                named: named.clone(),
            }),
        }
    }
    for source in &mut sources {
        let mut seen = BTreeSet::new();
        source.secrets.retain(|secret| seen.insert(secret.expose().to_owned()));
    }
    sources.retain(|source| !source.secrets.is_empty());
    sources
}

impl Source {
    pub fn has_signed(&self, signature: &StripeSignature<'_>, body: &[u8]) -> bool {
        self.secrets.iter().any(|secret| signature.is_by(secret.expose(), body))
    }

    pub fn has_profile(&self, name: &str) -> bool {
        self.profiles.iter().any(|(own, _)| own == name)
    }

    /// Whose the event is, by what nobody but the operator and this host can have written: the profiles, the journal and the
    /// ledger; and the mark on an object of the profiles' own account. `None`: it cannot be told.
    pub async fn tenant(
        &self,
        db: &mut PgConnection,
        event: &Event,
        marked: Option<&Marked>,
    ) -> sqlx::Result<Option<String>> {
        let account = event.account.as_deref();
        if let Some(tenant) = self.by_profiles(account, event.marked_tenant.as_deref()) {
            return Ok(Some(tenant.to_owned()));
        }
        if let Some(marked) = marked {
            return Ok(Some(marked.tenant.clone()));
        }
        let profiles: Vec<_> = self.profiles.iter().map(|(name, _)| name.clone()).collect();
        ledger::owner(db, "stripe", &profiles, account, &event.ledger_ids()).await
    }

    fn by_profiles<'a>(&'a self, account: Option<&str>, mark: Option<&'a str>) -> Option<&'a str> {
        // An account that is only paid is somebody else's, who may write what he likes on what is there.
        let own: Vec<_> = self.profiles.iter().map(|(_, p)| p).filter(|p| p.account.as_deref() == account).collect();
        let tenants: BTreeSet<_> = own.iter().flat_map(|profile| &profile.tenants).map(String::as_str).collect();
        match tenants.first() {
            None => None,
            Some(only) if tenants.len() == 1 && *only != "*" => Some(*only),
            Some(_) => mark.filter(|mark| {
                tenants.contains(mark) || tenants.contains("*") && *mark != "*" && !self.named.contains(*mark)
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Name, key, tenants, account.
    fn profile(key: &str, tenants: &[&str], account: Option<&str>) -> StripeProfile {
        let mut profile: StripeProfile =
            serde_json::from_value(json!({"key": {"env": "PATH"}, "tenants": tenants, "account": account}))
                .expect("a profile");
        profile.key = Secret::stand_in(key);
        profile.webhook_secrets = vec![Secret::stand_in(&format!("whsec_of_{key}"))];
        profile
    }

    fn sources(profiles: &[(&str, StripeProfile)]) -> Vec<Source> {
        let profiles = profiles.iter().map(|(name, profile)| ((*name).to_owned(), profile.clone())).collect();
        all(&config::Stripe { profiles, ..config::Stripe::default() })
    }

    #[test]
    fn the_tenant_comes_from_the_profiles_and_from_a_mark_only_where_they_leave_a_choice() {
        let sources = sources(&[
            ("all", profile("sk_test_a", &["*"], None)),
            ("arena", profile("sk_test_a", &["t1"], Some("acct_arena"))),
            ("own", profile("sk_test_b", &["t2"], None)),
        ]);
        let names: Vec<_> = sources.iter().map(|source| (source.name.as_str(), source.secrets.len())).collect();
        assert_eq!(names, [("all", 1), ("own", 1)]);
        let (platform, own) = (&sources[0], &sources[1]);
        assert_eq!(platform.by_profiles(None, Some("t9")), Some("t9"));
        assert_eq!(platform.by_profiles(None, Some("t2")), None, "another account is t2's");
        assert_eq!(platform.by_profiles(None, Some("*")), None);
        assert_eq!(platform.by_profiles(None, None), None);
        assert_eq!(platform.by_profiles(Some("acct_arena"), Some("t9")), Some("t1"), "the profile's word counts");
        assert_eq!(platform.by_profiles(Some("acct_paid"), Some("t9")), None, "its owner may have written it");
        assert_eq!(own.by_profiles(None, Some("t1")), Some("t2"), "t2 may have written it");
        assert!(platform.has_profile("arena") && !platform.has_profile("own"));
    }
}
