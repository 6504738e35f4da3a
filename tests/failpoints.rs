//! What only tests may do to a host is in no host but theirs.

use std::fs;

use crate::support::env;

#[test]
fn a_release_holds_no_failpoints_and_cannot_be_planted_with_errors() {
    let binary = fs::read(env("USHER_BIN")).unwrap();
    let holds = |text: &str| binary.windows(text.len()).any(|window| window == text.as_bytes());
    for name in ["USHER_FAILPOINTS", "USHER_PLANT", "attempt-key"] {
        assert!(!holds(name), "{name}");
    }
    assert!(holds("the journal could not be written"), "the test sees what the gate says");
}
