//! What an error of a transaction means, whether a node's check foresaw it or the chain has it. The table in docs/security.md,
//! in code.

use std::time::Duration;

use serde_json::Value;

use crate::{
    effects::CallEnd,
    journal::{Answer, Rejection},
};

/// How long the wallet's jobs wait when it cannot pay.
const UNFUNDED: Duration = Duration::from_secs(15);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// This very transaction has landed.
    Processed,
    /// The node does not know the blockhash, yet or any more.
    Stale,
    /// The wallet cannot pay.
    Funds,
    /// The mint is there already.
    Exists,
    /// It would fail for ever: the provider's word and its details.
    Wrong { code: String, message: String },
    /// It fails now; nothing says that it does for ever.
    NotNow(String),
}

/// The two instructions of the budget stand before the one that makes the mint.
const MAKES_MINT: u64 = 2;
/// `SystemError`: the account is there; and what a transfer beyond the balance gives, also from inside another program.
const ALREADY_IN_USE: u64 = 0;
const NEGATIVE_BALANCE: u64 = 1;
/// `TransactionError`s, beside those of an instruction, that lie in the transaction itself. All others may pass: they are
/// about the cluster's state, such as an account that is in use, or about what a node keeps.
const FOR_EVER: [&str; 7] = [
    "AccountLoadedTwice",
    "DuplicateInstruction",
    "MaxLoadedAccountsDataSizeExceeded",
    "SanitizeFailure",
    "SignatureFailure",
    "TooManyAccountLocks",
    "UnsupportedVersion",
];

pub(super) fn meaning(err: &Value) -> Meaning {
    let word = err.as_str().or_else(|| err.as_object()?.keys().next().map(String::as_str)).unwrap_or("unknown");
    let instruction = err["InstructionError"][0].as_u64();
    let details = &err["InstructionError"][1];
    match word {
        "AlreadyProcessed" => Meaning::Processed,
        "BlockhashNotFound" => Meaning::Stale,
        "AccountNotFound" | "InsufficientFundsForFee" | "InsufficientFundsForRent" => Meaning::Funds,
        "InstructionError" if instruction == Some(MAKES_MINT) && details["Custom"] == ALREADY_IN_USE => Meaning::Exists,
        "InstructionError" if details["Custom"] == NEGATIVE_BALANCE || details == "InsufficientFunds" => Meaning::Funds,
        word if word == "InstructionError" || FOR_EVER.contains(&word) => {
            Meaning::Wrong { code: word.to_owned(), message: err.to_string().chars().take(300).collect() }
        }
        word => {
            Meaning::NotNow(format!("the transaction cannot land now: {}", word.chars().take(64).collect::<String>()))
        }
    }
}

/// Nothing came of it: refused by a node's check, or failed on the chain.
pub(super) fn refused(meaning: Meaning) -> CallEnd {
    match meaning {
        Meaning::Funds => {
            CallEnd::Transient { message: "the wallet cannot pay for the mint".to_owned(), retry_after: Some(UNFUNDED) }
        }
        Meaning::Exists => {
            CallEnd::Unknown("the mint is on the chain, and none of the signatures that were kept made it".to_owned())
        }
        Meaning::Processed | Meaning::Stale => CallEnd::doubt("the nodes contradict each other"),
        Meaning::Wrong { code, message } => CallEnd::Answer(no(&code, message)),
        Meaning::NotNow(message) => CallEnd::Transient { message, retry_after: None },
    }
}

pub(super) fn no(code: &str, message: impl Into<String>) -> Answer {
    Answer::Rejected(Rejection { code: code.to_owned(), message: message.into(), status: None })
}

pub(super) fn taken() -> Answer {
    no("label-taken", "another NFT was minted under this label of the job")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn errors_are_told_apart() {
        assert_eq!(meaning(&json!("AlreadyProcessed")), Meaning::Processed);
        assert_eq!(meaning(&json!({"InstructionError": [2, {"Custom": 0}]})), Meaning::Exists);
        assert_eq!(meaning(&json!({"InstructionError": [2, {"Custom": 1}]})), Meaning::Funds);
        assert_eq!(meaning(&json!({"InsufficientFundsForRent": {"account_index": 0}})), Meaning::Funds);
        let wrong = meaning(&json!({"InstructionError": [7, {"Custom": 80}]}));
        assert!(matches!(wrong, Meaning::Wrong { code, .. } if code == "InstructionError"));
        assert!(matches!(meaning(&json!("SanitizeFailure")), Meaning::Wrong { .. }));
    }

    #[test]
    fn only_what_lies_in_the_transaction_itself_is_final() {
        for passing in [
            json!("AccountInUse"),
            json!("ClusterMaintenance"),
            json!("ProgramCacheHitMaxLimit"),
            json!("ResanitizationNeeded"),
            json!("WouldExceedMaxBlockCostLimit"),
            json!({"ProgramExecutionTemporarilyRestricted": {"account_index": 3}}),
            json!("WhatNobodyKnowsYet"),
            json!({}),
            json!(["AccountInUse"]),
            json!(7),
            // A check that failed, and nothing about why.
            Value::Null,
        ] {
            let meaning = meaning(&passing);
            assert!(matches!(meaning, Meaning::NotNow(_)), "{passing}: {meaning:?}");
            assert!(matches!(refused(meaning), CallEnd::Transient { .. }), "{passing}");
        }
    }
}
