use std::{borrow::Cow, fmt, sync::Arc};

/// What calls are counted by. Its name is one that `config::check_bucket` takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bucket(Arc<str>);

impl Bucket {
    /// All calls of a provider: `provider/stripe`.
    pub fn provider(provider: &str) -> Self {
        Self(format!("provider/{provider}").into())
    }

    /// Those of one of its profiles: `provider/email/default`.
    pub fn profile(provider: &str, profile: &str) -> Self {
        Self(format!("provider/{provider}/{}", encoded(profile)).into())
    }

    /// Those to one place: `destination/upstream/tickets`.
    pub fn destination(provider: &str, name: &str) -> Self {
        Self(format!("destination/{provider}/{}", encoded(name)).into())
    }

    /// Those of a tenant: `tenant/acme/provider/stripe`.
    pub fn tenant(tenant: &str, provider: &str) -> Self {
        Self(format!("tenant/{}/provider/{provider}", encoded(tenant)).into())
    }

    /// What a tenant submits: `submit/tenant/acme`.
    pub fn submits_of(tenant: &str) -> Self {
        Self(format!("submit/tenant/{}", encoded(tenant)).into())
    }

    /// What one caller submits, who has a name among those of its tenant: `submit/caller/acme/user-7`.
    pub fn submits_by(tenant: Option<&str>, subject: &str) -> Self {
        let tenant = tenant.map_or(Cow::Borrowed("-"), |tenant| match tenant {
            "-" => Cow::Borrowed("%2D"),
            tenant => encoded(tenant),
        });
        Self(format!("submit/caller/{tenant}/{}", encoded(subject)).into())
    }

    /// As it stands in the database.
    pub(super) fn named(name: &str) -> Self {
        Self(name.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Not another tenant's.
    pub(super) fn may_be_seen_by(&self, tenant: &str) -> bool {
        let own = encoded(tenant);
        let owner = match self.0.split('/').collect::<Vec<_>>().as_slice() {
            // Of callers without a tenant: admins.
            ["submit", "caller", "-", ..] => return false,
            ["submit", "caller", "%2D", ..] => Some("-"),
            ["tenant", owner, ..] | ["submit", "tenant" | "caller", owner, ..] => Some(*owner),
            _ => None,
        };
        owner.is_none_or(|owner| owner == "*" || owner == own)
    }

    /// `*` in a name stands for each name there.
    pub(super) fn is_one_of(&self, pattern: &str) -> bool {
        let (mut own, mut wanted) = (self.0.split('/'), pattern.split('/'));
        loop {
            match (own.next(), wanted.next()) {
                (None, None) => return true,
                (Some(own), Some(wanted)) if wanted == "*" || own == wanted => {}
                _ => return false,
            }
        }
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A tenant may be called anything: its name must stay one part of the bucket's, and not become a pattern.
fn encoded(name: &str) -> Cow<'_, str> {
    if !name.contains(['/', '%', '*']) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(name.replace('%', "%25").replace('/', "%2F").replace('*', "%2A"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::check_bucket;

    #[test]
    fn every_bucket_has_a_name_that_can_be_limited() {
        for bucket in [
            Bucket::provider("stripe"),
            Bucket::profile("email", "default"),
            Bucket::destination("upstream", "tickets"),
            Bucket::tenant("a/b*c%d e/provider/stripe", "stripe"),
            Bucket::tenant(&"ü/".repeat(64), "upstream"),
            Bucket::submits_of("a/b*c%d e"),
            Bucket::submits_by(Some("-"), "service:tickets/eu"),
            Bucket::submits_by(None, "ops@example.com"),
        ] {
            assert_eq!(check_bucket(bucket.as_str()), Ok(()), "{bucket}");
        }
    }

    #[test]
    fn a_star_is_each_name_and_no_tenant_can_be_called_so() {
        let of = |tenant| Bucket::tenant(tenant, "email");
        assert!(of("acme").is_one_of("tenant/*/provider/email"));
        assert!(of("a/b").is_one_of("tenant/*/provider/*"));
        assert!(!of("acme").is_one_of("tenant/*/provider/stripe"));
        assert!(!of("acme").is_one_of("tenant/*"));
        assert!(!Bucket::provider("email").is_one_of("provider/email/*"));
        assert_ne!(of("*").as_str(), "tenant/*/provider/email");
        assert!(Bucket::submits_by(None, "u").is_one_of("submit/caller/*/*"));
        assert_ne!(Bucket::submits_by(None, "u"), Bucket::submits_by(Some("-"), "u"));
    }

    #[test]
    fn a_tenant_sees_its_own_buckets_and_those_that_are_nobodys() {
        for (bucket, sees) in [
            (Bucket::provider("email"), true),
            (Bucket::tenant("a", "email"), true),
            (Bucket::tenant("b", "email"), false),
            (Bucket::named("tenant/*/provider/email"), true),
            (Bucket::submits_of("a"), true),
            (Bucket::submits_of("b"), false),
            (Bucket::submits_by(Some("a"), "u"), true),
            (Bucket::submits_by(Some("b"), "u"), false),
            (Bucket::named("submit/caller/*/*"), true),
            (Bucket::submits_by(None, "ops"), false),
        ] {
            assert_eq!(bucket.may_be_seen_by("a"), sees, "{bucket}");
        }
        assert!(Bucket::submits_by(Some("-"), "u").may_be_seen_by("-"));
        assert!(Bucket::submits_of("a/b").may_be_seen_by("a/b"));
    }
}
