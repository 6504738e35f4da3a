use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::Caller;

/// Most tokens that are remembered.
const MOST: usize = 1_024;

/// Tokens whose signature was good, so that one that comes again costs a look. Lives as long as the keys it was checked
/// with: a verifier with other keys starts with none.
#[derive(Default)]
pub(super) struct Seen {
    /// Whole tokens, never a part or a short hash of one.
    callers: Mutex<HashMap<Box<str>, Known>>,
}

/// Whose a token is that was good, and what a revocation would name it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub caller: Caller,
    /// Its place in the configuration.
    pub issuer: usize,
    pub jti: Option<Arc<str>>,
    /// Seconds since the epoch, leeway included.
    pub from: u64,
    pub until: u64,
}

impl Seen {
    /// Whose token it is, if it was good before and is so at this moment.
    pub fn get(&self, token: &str, now: u64) -> Option<Known> {
        let callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        callers.get(token).filter(|known| (known.from..known.until).contains(&now)).cloned()
    }

    /// Good from `known.from` (when it was checked) to before `known.until`.
    pub fn put(&self, token: &str, known: Known) {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if callers.len() >= MOST {
            callers.retain(|_, old| known.from < old.until);
        }
        // Full of good ones: those that come again will be there soon.
        if callers.len() >= MOST {
            callers.clear();
        }
        callers.insert(token.into(), known);
    }

    pub fn len(&self) -> usize {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Role;

    fn known(from: u64, until: u64) -> Known {
        let caller = Caller { tenant: Some("t1".to_owned()), subject: "u1".to_owned(), role: Role::User, scope: None };
        Known { caller, issuer: 0, jti: None, from, until }
    }

    #[test]
    fn a_token_is_known_only_within_its_time_and_only_whole() {
        let seen = Seen::default();
        seen.put("a.b.c", known(100, 200));
        assert_eq!(seen.get("a.b.c", 100), Some(known(100, 200)));
        assert_eq!(seen.get("a.b.c", 199), Some(known(100, 200)));
        assert_eq!(seen.get("a.b.c", 200), None, "expired");
        assert_eq!(seen.get("a.b.c", 99), None, "the clock was set back: checked anew");
        assert_eq!(seen.get("a.b.d", 150), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let seen = Seen::default();
        for n in 0..3 * MOST {
            seen.put(&n.to_string(), known(100, 200));
        }
        assert!(seen.len() <= MOST);
    }
}
