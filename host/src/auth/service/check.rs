use std::{sync::Arc, time::Duration};

use sqlx::PgConnection;

use super::{
    ServiceError, ServiceKeys,
    keys::{Key, SUBJECT},
    nonces::Nonce,
    store,
};
use crate::{
    auth::{Caller, is_tenant},
    clock,
    signature::{Message, Offered, is_digest_of, offered},
};

/// The header that names a tenant.
pub const TENANT: &str = "x-tenant-id";
const DIGEST: &str = "content-digest";
/// What each signature covers.
const ALWAYS: [&str; 4] = ["@method", "@authority", "@path", "@query"];
/// What it covers where the request has it: all that decides what is done, and for whom.
const IF_THERE: [&str; 4] = [DIGEST, "content-type", TENANT, "idempotency-key"];
/// How old a signature may be, and how far ahead of our clock, in seconds.
const MOST_OLD: i64 = 300;
const MOST_AHEAD: i64 = 60;
/// A nonce is kept for so long. Its signature could be good for six minutes; the rest is for clocks of hosts that differ.
const KEPT: Duration = Duration::from_secs(15 * 60);
/// Longest nonce, in bytes; it is ASCII.
const MAX_NONCE: usize = 128;

/// A request without its body. `F`: the value of a header, by its name in lower case; several lines of it joined by `, `.
pub struct Incoming<'a, F> {
    pub message: Message<'a>,
    /// Its two headers.
    pub input: &'a str,
    pub signature: &'a str,
    pub field: F,
}

/// Who signed a request. Neither its body nor its nonce have been looked at yet.
#[derive(Debug)]
#[must_use]
pub struct Checked {
    caller: Caller,
    digest: Option<String>,
    nonce: Option<Nonce>,
}

impl Checked {
    /// Whose key it was.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }
}

impl ServiceKeys {
    /// Who signed it.
    pub fn check<F: Fn(&str) -> Option<String>>(&self, request: &Incoming<'_, F>) -> Result<Checked, ServiceError> {
        if !self.is_on() {
            return Err(ServiceError::Off);
        }
        let all = offered(request.input, request.signature).map_err(ServiceError::Unsound)?;
        let mut ours = all.iter().filter_map(|one| Some((one, self.find(one.key_id()?)?)));
        let (offer, key) = ours.next().ok_or(ServiceError::NoKey)?;
        if ours.next().is_some() {
            return Err(ServiceError::SeveralKeys);
        }
        let now = i64::try_from(clock::unix_ms() / 1_000).unwrap_or(i64::MAX);
        let nonce = check_terms(offer, now, !is_safe(request.message.method))?;
        let there = IF_THERE.into_iter().filter(|name| (request.field)(name).is_some());
        if let Some(missing) = ALWAYS.into_iter().chain(there).find(|name| !offer.covers(name)) {
            return Err(ServiceError::NotCovered(missing));
        }
        let base = offer.base(&request.message, &request.field).map_err(ServiceError::Unsound)?;
        if !key.secrets().any(|secret| offer.is_by(secret.reveal().as_bytes(), &base)) {
            return Err(ServiceError::Mismatch);
        }
        // Only now, so that strangers do not learn the names.
        if !self.is_at(request.message.authority) {
            return Err(ServiceError::Authority);
        }
        let caller = caller(&key, (request.field)(TENANT))?;
        self.note_use(key.id);
        let nonce = nonce.map(|text| Nonce { key: key.id, text });
        Ok(Checked { caller, digest: (request.field)(DIGEST), nonce })
    }

    /// The caller, once the body is the one that was signed, and nobody has used the nonce before.
    pub async fn admit(&self, checked: Checked, body: &[u8]) -> Result<Caller, ServiceError> {
        match &checked.digest {
            None if body.is_empty() => {}
            None => return Err(ServiceError::NotCovered(DIGEST)),
            Some(digest) if is_digest_of(digest, body) => {}
            Some(_) => return Err(ServiceError::Digest),
        }
        if let Some(nonce) = checked.nonce {
            self.shared.nonces.spend(nonce).await?;
        }
        Ok(checked.caller)
    }
}

/// Algorithm, times and nonce. The nonce is returned where it counts.
fn check_terms(offer: &Offered, now: i64, wants_nonce: bool) -> Result<Option<String>, ServiceError> {
    let unsound = ServiceError::Unsound;
    // The algorithm is our table's; a signature that names another one is not what its signer thinks it is.
    if offer.alg().map_err(unsound)?.is_some_and(|alg| alg != "hmac-sha256") {
        return Err(ServiceError::Algorithm);
    }
    let created = offer.created().map_err(unsound)?.ok_or(ServiceError::NoTime)?;
    if created < now - MOST_OLD {
        return Err(ServiceError::Old);
    }
    if created > now + MOST_AHEAD {
        return Err(ServiceError::Early);
    }
    if offer.expires().map_err(unsound)?.is_some_and(|expires| expires <= now) {
        return Err(ServiceError::Expired);
    }
    let nonce = offer.nonce().map_err(unsound)?;
    match nonce {
        _ if !wants_nonce => Ok(None),
        Some(nonce) if (1..=MAX_NONCE).contains(&nonce.len()) => Ok(Some(nonce.to_owned())),
        _ => Err(ServiceError::NoNonce),
    }
}

/// Whether it changes nothing (RFC 9110, 9.2.1).
fn is_safe(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE")
}

/// For the tenant that the request names, or the key's only one.
fn caller(key: &Key, named: Option<String>) -> Result<Caller, ServiceError> {
    let tenant = match named {
        Some(named) if is_tenant(&named) && key.scope.has_tenant(&named) => Some(named),
        Some(_) => return Err(ServiceError::Tenant),
        None => key.scope.only_tenant().cloned(),
    };
    Ok(Caller { tenant, subject: format!("{SUBJECT}{}", key.id), role: key.role, scope: Some(Arc::clone(&key.scope)) })
}

/// Lets go nonces whose time is over, a bounded number in each statement and round.
pub async fn forget_nonces(db: &mut PgConnection, most: i64, rounds: usize) -> sqlx::Result<()> {
    for _ in 0..rounds {
        let gone = store::forget(db, KEPT, most).await?;
        if i64::try_from(gone).is_ok_and(|gone| gone < most) {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn terms(params: &str, wants_nonce: bool) -> Result<Option<String>, ServiceError> {
        let mut all = offered(&format!("a=(){params}"), "a=:AAAA:").expect("sound");
        check_terms(&all.remove(0), NOW, wants_nonce)
    }

    #[test]
    fn a_signature_is_good_for_five_minutes_by_a_clock_that_is_a_minute_off() {
        let at = |created: i64| terms(&format!(";created={created}"), false);
        for created in [NOW, NOW - 300, NOW + 60] {
            assert_eq!(at(created), Ok(None), "{created}");
        }
        assert_eq!(at(NOW - 301), Err(ServiceError::Old));
        assert_eq!(at(-1), Err(ServiceError::Old));
        assert_eq!(at(NOW + 61), Err(ServiceError::Early));
        assert_eq!(terms("", false), Err(ServiceError::NoTime));
        assert_eq!(terms(&format!(";created={NOW};expires={NOW}"), false), Err(ServiceError::Expired));
        assert_eq!(terms(&format!(";created={NOW};expires={}", NOW + 1), false), Ok(None));
    }

    #[test]
    fn the_algorithm_is_ours_and_what_changes_something_has_a_nonce() {
        let with = |more: &str, wants_nonce| terms(&format!(";created={NOW}{more}"), wants_nonce);
        assert_eq!(with(";alg=\"hmac-sha256\"", false), Ok(None));
        for alg in ["none", "hmac-sha1", "HMAC-SHA256", "rsa-v1_5-sha256", ""] {
            assert_eq!(with(&format!(";alg=\"{alg}\""), false), Err(ServiceError::Algorithm), "{alg}");
        }
        assert_eq!(with(";nonce=\"n\"", true), Ok(Some("n".to_owned())));
        assert_eq!(with(";nonce=\"n\"", false), Ok(None));
        for nonce in [String::new(), ";nonce=\"\"".to_owned(), format!(";nonce=\"{}\"", "n".repeat(129))] {
            assert_eq!(with(&nonce, true), Err(ServiceError::NoNonce), "{nonce}");
        }
        assert!(is_safe("GET") && is_safe("HEAD") && !is_safe("POST") && !is_safe("DELETE") && !is_safe("get"));
    }
}
