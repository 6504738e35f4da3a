use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
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

struct Known {
    caller: Caller,
    /// Seconds since the epoch, leeway included.
    from: u64,
    until: u64,
}

impl Seen {
    /// Whose token it is, if it was good before and is so at this moment.
    pub fn get(&self, token: &str, now: u64) -> Option<Caller> {
        let callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        let known = callers.get(token).filter(|known| (known.from..known.until).contains(&now))?;
        Some(known.caller.clone())
    }

    /// Good from `from` (when it was checked) to before `until`.
    pub fn put(&self, token: &str, caller: &Caller, from: u64, until: u64) {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if callers.len() >= MOST {
            callers.retain(|_, known| from < known.until);
        }
        // Full of good ones: those that come again will be there soon.
        if callers.len() >= MOST {
            callers.clear();
        }
        callers.insert(token.into(), Known { caller: caller.clone(), from, until });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Role;

    #[test]
    fn a_token_is_known_only_within_its_time_and_only_whole() {
        let seen = Seen::default();
        let caller = Caller { tenant: Some("t1".to_owned()), subject: "u1".to_owned(), role: Role::User, scope: None };
        seen.put("a.b.c", &caller, 100, 200);
        assert_eq!(seen.get("a.b.c", 100), Some(caller.clone()));
        assert_eq!(seen.get("a.b.c", 199), Some(caller));
        assert_eq!(seen.get("a.b.c", 200), None, "expired");
        assert_eq!(seen.get("a.b.c", 99), None, "the clock was set back: checked anew");
        assert_eq!(seen.get("a.b.d", 150), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let seen = Seen::default();
        let caller = Caller { tenant: None, subject: "u1".to_owned(), role: Role::Admin, scope: None };
        for n in 0..3 * MOST {
            seen.put(&n.to_string(), &caller, 100, 200);
        }
        assert!(seen.callers.lock().expect("a lock").len() <= MOST);
    }
}
