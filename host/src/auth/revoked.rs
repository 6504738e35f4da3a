use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

use super::store::Revocation;

/// Tokens that are not let in though their signature is good, as this node knows them: no request asks the database.
#[derive(Default)]
pub(super) struct Revoked(RwLock<List>);

struct List {
    version: i64,
    by_jti: HashMap<Box<str>, Vec<Entry>>,
}

struct Entry {
    /// `None`: whoever signed it.
    issuer: Option<Box<str>>,
    /// Seconds since the epoch; the token has expired by then.
    until: i64,
}

impl Default for List {
    fn default() -> Self {
        Self { version: -1, by_jti: HashMap::new() }
    }
}

impl Revoked {
    pub fn has(&self, issuer: &str, jti: &str, now: u64) -> bool {
        let list = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let Some(entries) = list.by_jti.get(jti) else { return false };
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        entries.iter().any(|entry| entry.until > now && entry.issuer.as_deref().is_none_or(|named| named == issuer))
    }

    /// The version of what this node knows; another one in the database means that it must look.
    pub fn version(&self) -> i64 {
        self.0.read().unwrap_or_else(PoisonError::into_inner).version
    }

    pub fn len(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).by_jti.len()
    }

    /// What came since, up to that version. What is over goes.
    pub fn learn(&self, version: i64, new: Vec<Revocation>, now: u64) {
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let mut list = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for revocation in new {
            let issuer = Some(revocation.issuer).filter(|issuer| !issuer.is_empty()).map(String::into_boxed_str);
            let until = revocation.expires_at.timestamp();
            let entries = list.by_jti.entry(revocation.jti.into_boxed_str()).or_default();
            // Told again: for longer, if anything.
            entries.retain(|entry| entry.issuer != issuer);
            entries.push(Entry { issuer, until });
        }
        list.by_jti.retain(|_, entries| {
            entries.retain(|entry| entry.until > now);
            !entries.is_empty()
        });
        list.version = list.version.max(version);
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn revocation(jti: &str, issuer: &str, until: i64) -> Revocation {
        let expires_at = DateTime::from_timestamp(until, 0).expect("a time");
        Revocation { jti: jti.to_owned(), issuer: issuer.to_owned(), expires_at }
    }

    #[test]
    fn a_token_is_revoked_by_its_id_for_its_issuer_and_until_it_has_expired() {
        let revoked = Revoked::default();
        assert_eq!(revoked.version(), -1);
        revoked.learn(1, vec![revocation("a", "", 200), revocation("b", "main", 200)], 100);
        assert!(revoked.has("main", "a", 199) && revoked.has("other", "a", 199));
        assert!(!revoked.has("main", "a", 200), "it has expired");
        assert!(revoked.has("main", "b", 100) && !revoked.has("other", "b", 100));
        assert!(!revoked.has("main", "c", 100));
        revoked.learn(2, vec![revocation("a", "", 300)], 100);
        assert!(revoked.has("main", "a", 299), "for longer");
        revoked.learn(3, Vec::new(), 250);
        assert_eq!((revoked.len(), revoked.version()), (1, 3));
        revoked.learn(1, Vec::new(), 250);
        assert_eq!(revoked.version(), 3, "older news change nothing");
    }
}
