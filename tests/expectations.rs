//! What every guest of `tests/guests` is there for. A guest or a behaviour that is in no table here fails the build, and so does a
//! row of one that is gone.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};

/// Components, as `build.list` and `languages.list` name them, and a test that uses each.
const GUESTS: [(&str, &str); 17] = [
    ("guest.wasm", "runtime.rs"),
    ("guest-effects.wasm", "runtime.rs"),
    ("guest-ungranted.wasm", "plugins.rs"),
    ("guest-webhook.wasm", "webhooks/mod.rs"),
    ("guest-money.wasm", "stripe/mod.rs"),
    ("guest-inbound.wasm", "inbound/mod.rs"),
    ("guest-messages.wasm", "messages/mod.rs"),
    ("guest-ticket.wasm", "upstreams/minting.rs"),
    ("guest-shop.wasm", "verify/mod.rs"),
    ("guest-mint.wasm", "solana/mod.rs"),
    ("guest-chaos.wasm", "chaos/effects/rig.rs"),
    ("guest-chaos-mail.wasm", "chaos/effects/rig.rs"),
    ("guest-broken.wasm", "releases/quarantine.rs"),
    ("everything.wasm", "contract.rs"),
    ("order-rust.wasm", "languages/mod.rs"),
    ("order-ts.wasm", "languages/mod.rs"),
    ("order-py.wasm", "languages/mod.rs"),
];

/// What must become of a behaviour.
pub enum Expected {
    /// A job of this type, with this beside `do`, has an error of this kind; all of them are run by `runtime.rs`.
    Fails(&'static str, Value, &'static str),
    /// It completes.
    Completes(&'static str, Value),
    /// It needs a world around it, and these tests have one.
    Shown(&'static str),
}

/// Behaviours of `guests/src/lib.rs`.
pub fn behaviours() -> Vec<(&'static str, Expected)> {
    use Expected::{Completes, Fails, Shown};
    let nothing = || json!({});
    vec![
        ("ok", Completes("guest", json!({"echo": [1, {"a": null}]}))),
        ("steps", Completes("guest", json!({"steps": [{"do": "ok"}, {"do": "time"}]}))),
        ("log", Completes("guest", json!({"message": "a line"}))),
        ("log-flood", Completes("guest", json!({"bytes": 1_000_000}))),
        ("progress", Completes("guest", json!({"percent": 50, "note": "half done"}))),
        ("time", Completes("guest", nothing())),
        ("enqueue", Completes("guest", json!({"type": "guest-money", "payload": {"do": "ok"}}))),
        ("spin", Completes("guest", json!({"ms": 5}))),
        ("spin", Fails("guest", json!({"ms": 600_000}), "cpu-limit")),
        ("loop", Fails("guest", nothing(), "cpu-limit")),
        ("allocate", Fails("guest", nothing(), "memory-limit")),
        ("recurse", Fails("guest", nothing(), "stack-overflow")),
        ("panic", Fails("guest", nothing(), "trap-unreachable")),
        ("unreachable", Fails("guest", nothing(), "trap-unreachable")),
        ("out-of-bounds", Fails("guest", nothing(), "trap-memory-out-of-bounds")),
        ("return-big", Fails("guest-large", nothing(), "hostcall-limit")),
        ("return-big", Fails("guest-large", json!({"bytes": 300_000}), "result-too-large")),
        ("invalid-result", Fails("guest", nothing(), "result-invalid")),
        ("million-strings", Fails("guest-large", json!({"through": "log"}), "hostcall-limit")),
        ("million-strings", Fails("guest-mail-large", json!({"through": "upstream"}), "hostcall-limit")),
        ("million-strings", Fails("guest-mail-large", json!({"through": "email"}), "hostcall-limit")),
        ("retry", Fails("guest", json!({"until": 99}), "guest-retry")),
        ("retry-after", Fails("guest", json!({"delayMs": 10, "until": 99}), "guest-retry")),
        ("permanent", Fails("guest", nothing(), "guest-permanent")),
        ("scan-memory", Shown("secrets.rs")),
        ("mail", Shown("runtime.rs")),
        ("mail-template", Shown("chaos/effects/plan.rs")),
        ("two-mails", Shown("runtime.rs")),
        ("mail-then-fail-once", Shown("replay.rs")),
        ("nondeterministic", Shown("runtime.rs")),
        ("time-around-mail", Shown("runtime.rs")),
        ("upstream", Shown("runtime.rs")),
        ("sms", Shown("messages/sms.rs")),
        ("push", Shown("messages/push.rs")),
        ("ticket", Shown("upstreams/minting.rs")),
        ("ticket-by-rpc", Shown("upstreams/minting.rs")),
        ("stripe", Shown("stripe/calls.rs")),
        ("mint", Shown("solana/mod.rs")),
        ("shop", Shown("verify/mod.rs")),
        // Each order enqueues one, and the tests count them.
        ("shop-note", Shown("guests/src/shop.rs")),
        ("publish", Shown("webhooks/mod.rs")),
    ]
}

/// Troubles that the same plugin makes in each language, and a test of each.
const TROUBLES: [(&str, &[&str], &str); 11] = [
    ("throw", &["rust", "ts", "py"], "languages/sandbox.rs"),
    ("loop", &["rust", "ts", "py"], "languages/sandbox.rs"),
    ("wait", &["rust", "ts", "py"], "languages/sandbox.rs"),
    ("allocate", &["rust", "ts", "py"], "languages/sandbox.rs"),
    ("print", &["rust", "ts", "py"], "languages/sandbox.rs"),
    ("flood", &["rust", "ts", "py"], "languages/sandbox.rs"),
    ("probe", &["rust", "ts", "py"], "languages/sandbox.rs"),
    ("sleep", &["py"], "languages/sandbox.rs"),
    ("socket", &["py"], "languages/sandbox.rs"),
    ("exit", &["py"], "languages/sandbox.rs"),
    ("dice", &["rust", "ts", "py"], "languages/behaviour.rs"),
];

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The same set on both sides, or what is missing on either.
fn are_the_same(what: &str, there: &BTreeSet<String>, expected: &BTreeSet<String>) {
    let (new, gone): (Vec<_>, Vec<_>) = (there.difference(expected).collect(), expected.difference(there).collect());
    assert!(new.is_empty(), "{what} without an expectation (tests/expectations.rs): {new:?}");
    assert!(gone.is_empty(), "{what} that are not there any more: {gone:?}");
}

#[test]
fn a_guest_without_an_expectation_fails_the_build() {
    let lists = read("guests/build.list") + &read("guests/languages.list");
    let lines = lists.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let built: BTreeSet<String> =
        lines.filter_map(|line| line.split_whitespace().next_back()).map(str::to_owned).collect();
    are_the_same("guests", &built, &GUESTS.iter().map(|(name, _)| (*name).to_owned()).collect());
    for (name, test) in GUESTS {
        assert!(read(test).contains(name), "{test} uses no {name}");
    }
}

#[test]
fn a_behaviour_without_an_expectation_fails_the_build() {
    let source = read("guests/src/lib.rs");
    let variants = source.split("\nenum What {\n").nth(1).unwrap().split("\n}\n").next().unwrap();
    let name = |line: &str| {
        let name = line.strip_prefix("    ")?;
        let name: String = name.chars().take_while(char::is_ascii_alphanumeric).collect();
        name.starts_with(|c: char| c.is_ascii_uppercase()).then(|| kebab(&name))
    };
    let there: BTreeSet<String> = variants.lines().filter_map(name).collect();
    let table = behaviours();
    are_the_same("behaviours", &there, &table.iter().map(|(name, _)| (*name).to_owned()).collect());
    for (name, expected) in table {
        if let Expected::Shown(test) = expected {
            assert!(read(test).contains(&format!("\"{name}\"")), "{test} has no {name}");
        }
    }
}

/// As serde has it.
fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.push(c.to_ascii_lowercase());
    }
    kebab
}

#[test]
fn a_trouble_without_an_expectation_fails_the_build() {
    let mut there = BTreeSet::new();
    for (language, file, before, after) in [
        ("rust", "guests/orders/rust/src/lib.rs", "        \"", "\" =>"),
        ("ts", "guests/orders/ts/order.ts", "    case '", "':"),
        ("py", "guests/orders/py/order_plugin.py", "    if trouble == \"", "\":"),
    ] {
        let source = read(file);
        let named = |line: &str| Some(line.strip_prefix(before)?.split_once(after)?.0.to_owned());
        there.extend(source.lines().filter_map(named).map(|trouble| format!("{trouble} in {language}")));
    }
    let rows = TROUBLES
        .iter()
        .flat_map(|(trouble, languages, _)| languages.iter().map(move |language| format!("{trouble} in {language}")));
    are_the_same("troubles", &there, &rows.collect());
    for (trouble, _, test) in TROUBLES {
        assert!(read(test).contains(&format!("\"{trouble}\"")), "{test} has no {trouble}");
    }
}
