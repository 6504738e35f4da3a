//! docs/contract.md: each promise names the tests that hold it, and each limit that plugin-authors.md states is the code's.

use std::{
    fs,
    path::{Path, PathBuf},
};

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(here(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Where the promises stand, and where it is said what holds them.
const PROMISES: [&str; 3] = ["Within a track", "A new track", "Releases of a plugin"];
const HELD: &str = "How it is held";

/// Lines below a heading, up to the next one.
fn section<'a>(page: &'a str, heading: &str) -> Vec<&'a str> {
    let heading = format!("## {heading}");
    let lines = page.lines().skip_while(|line| *line != heading).skip(1);
    let lines: Vec<_> = lines.take_while(|line| !line.starts_with('#')).collect();
    assert!(!lines.is_empty(), "the page has no \"{heading}\"");
    lines
}

/// Points and paragraphs, cut at each full stop and semicolon: whatever can be broken by itself.
fn promises(page: &str) -> Vec<String> {
    let mut parts: Vec<String> = vec![String::new()];
    for line in PROMISES.iter().flat_map(|heading| section(page, heading)) {
        // What kind of promises come.
        if line.is_empty() || (line.starts_with("**") && line.ends_with(":**")) {
            parts.push(String::new());
            continue;
        }
        if line.starts_with("- ") {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut() {
            part.push_str(line.trim_start_matches("- "));
            part.push(' ');
        }
    }
    let cut = parts.iter().flat_map(|part| part.split("; ").flat_map(|part| part.split(". ")));
    let whole = cut.map(|part| part.trim().trim_end_matches([';', '.']).to_owned());
    whole.filter(|part| !part.is_empty()).collect()
}

/// Words of a promise, and the tests that hold it.
fn held(page: &str) -> Vec<(String, Vec<String>)> {
    let lines = section(page, HELD);
    let rows = lines.iter().filter(|line| line.starts_with('|')).skip(2);
    let row = |line: &&str| {
        let (promise, tests) = line.trim_matches('|').split_once('|').unwrap_or_else(|| panic!("{line}"));
        // Words in backticks are every second part.
        let tests = tests.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        (promise.trim().to_owned(), tests)
    };
    rows.map(row).collect()
}

/// Whether the text has a test of that name.
fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<_> = text.lines().map(str::trim_start).collect();
    let is_it = |line: &str| {
        let rest = line.trim_start_matches("async ").strip_prefix("fn ").and_then(|rest| rest.strip_prefix(name));
        rest.is_some_and(|rest| rest.starts_with('('))
    };
    let is_test = |line: &&&str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
    let at = lines.iter().position(|line| is_it(line));
    at.is_some_and(|at| lines[..at].iter().rev().take_while(|line| line.starts_with("#[")).any(|line| is_test(&line)))
}

/// What is wrong with the page.
fn findings(page: &str) -> Vec<String> {
    let (promises, held) = (promises(page), held(page));
    let mut found = Vec::new();
    for promise in &promises {
        if !held.iter().any(|(words, _)| promise.contains(words)) {
            found.push(format!("no test holds: {promise}"));
        }
    }
    for (words, tests) in &held {
        if promises.iter().filter(|promise| promise.contains(words)).count() != 1 {
            found.push(format!("these are not the words of one promise: {words}"));
        }
        if tests.is_empty() {
            found.push(format!("no test is named for: {words}"));
        }
        for test in tests {
            let text =
                test.split_once("::").and_then(|(file, name)| Some((fs::read_to_string(here(file)).ok()?, name)));
            if text.is_none_or(|(text, name)| !has_test(&text, name)) {
                found.push(format!("there is no such test: {test}"));
            }
        }
    }
    found
}

#[test]
fn each_promise_of_the_contract_is_held_by_tests_that_are_there() {
    let page = read("docs/contract.md");
    assert!(promises(&page).len() > 20, "{:?}", promises(&page));
    let found = findings(&page);
    assert!(found.is_empty(), "docs/contract.md: {}", found.join("\n"));
}

#[test]
fn a_promise_without_a_test_and_a_test_that_is_gone_are_found_out() {
    let row = "| it stays | `tests/contract_page.rs::each_promise_of_the_contract_is_held_by_tests_that_are_there` |";
    let page = |promises: &str, rows: &str| {
        format!(
            "## Within a track\n\n**Never:**\n\n{promises}\n\n## A new track\n\n## Releases of a plugin\n\n## {HELD}\n\n\
             | promise | held by |\n|---|---|\n{rows}\n"
        )
    };
    assert_eq!(findings(&page("- it stays.", row)), Vec::<String>::new());
    for (promises, rows, said) in [
        ("- it stays; it grows.", row.to_owned(), "no test holds: it grows"),
        ("- it stays. It grows.", row.to_owned(), "no test holds: It grows"),
        ("- it stays,\n  and grows.", row.replace("it stays", "it goes"), "not the words of one promise: it goes"),
        ("- it stays here;\n- it stays there.", row.to_owned(), "not the words of one promise: it stays"),
        ("- it stays.", row.replace("_are_there", "_were_there"), "there is no such test"),
        ("- it stays.", row.replace("contract_page", "contract_pages"), "there is no such test"),
        (
            "- it stays.",
            row.replace("each_promise_of_the_contract_is_held_by_tests_that_are_there", "findings"),
            "no such test",
        ),
        ("- it stays.", "| it stays | people |".to_owned(), "no test is named for: it stays"),
    ] {
        let found = findings(&page(promises, &rows));
        assert!(found.iter().any(|finding| finding.contains(said)), "{said}: {found:?}");
    }
}

/// A row of the table "Limits" of docs/plugin-authors.md, words of it, and the code that has the same number. What the page
/// has said once is a promise: these numbers change upwards only.
const LIMITS: [(&str, &str, &str, &str); 36] = [
    ("component", "32 MiB", "runtime/compile.rs", "MAX_COMPONENT: usize = 32 << 20;"),
    ("component", "64 core instances, memories and tables", "runtime/engine.rs", "PER_COMPONENT: u32 = 64;"),
    ("component", "4,096 elements in passive segments", "runtime/inspect.rs", "MAX_PASSIVE: u32 = 4096;"),
    ("payload", "256 KiB", "submit/payload.rs", "MAX_PAYLOAD: usize = 256 * 1024;"),
    ("payload", "depth 64", "submit/payload.rs", "MAX_DEPTH: usize = 64;"),
    ("payload", "at most 19 digits", "submit/payload.rs", "MAX_DIGITS: usize = 19;"),
    ("result", "256 KiB", "runtime/run.rs", "MAX_RESULT: usize = 256 << 10;"),
    ("log", "256 lines", "runtime/guest_log.rs", "MAX_LINES: usize = 256;"),
    ("log", "64 KiB", "runtime/guest_log.rs", "MAX_BYTES: usize = 64 << 10;"),
    ("log", "4,096 characters", "runtime/guest_log.rs", "MAX_LINE: usize = 4 << 10;"),
    ("log", "32 fields", "runtime/track_0_1/log.rs", "fields.iter().take(32)"),
    ("children", "100 an attempt", "runtime/track_0_1/jobs.rs", "MAX_CHILDREN: usize = 100;"),
    ("children", "365 days", "submit/mod.rs", "MAX_DELAY_MS: i64 = 365 * 24 * 3600 * 1000;"),
    ("events", "20 an attempt", "webhooks/event.rs", "MAX_EVENTS: usize = 20;"),
    ("events", "64 KiB", "webhooks/event.rs", "MAX_DATA: usize = 64 << 10;"),
    ("host calls", "4 MiB", "runtime/run.rs", "HOSTCALL_FUEL: usize = 4 << 20;"),
    ("stack", "512 KiB", "runtime/engine.rs", "WASM_STACK: usize = 512 << 10;"),
    ("handles", "4,096 at a time", "runtime/run.rs", "MAX_HANDLES: usize = 4096;"),
    ("handles", "1,000 of WASI", "runtime/wasi.rs", "MAX_HANDLES: usize = 1000;"),
    ("tables", "100,000 elements", "runtime/limits.rs", "MAX_TABLE: usize = 100_000;"),
    ("answers", "16 MiB", "effects/attempt.rs", "MAX_ANSWERS: u64 = 16 << 20;"),
    ("mail", "1 to 50 recipients", "effects/email/message.rs", "MAX_RECIPIENTS: usize = 50;"),
    ("mail", "250 characters", "effects/email/message.rs", "MAX_SUBJECT: usize = 250;"),
    ("mail", "256 KiB of text and HTML", "effects/email/message.rs", "MAX_BODY: usize = 256 << 10;"),
    ("mail", "20 attachments", "effects/email/attachment.rs", "MAX_COUNT: usize = 20;"),
    ("mail", "3 MiB at most", "config/email.rs", "MAX_ATTACHMENTS: usize = 3 << 20;"),
    ("SMS", "1,600 characters", "effects/sms/mod.rs", "MAX_TEXT: usize = 1_600;"),
    ("push", "4,096 bytes", "effects/push/fcm.rs", "MAX_TO_TOKEN: usize = 4_096;"),
    ("push", "2,048 to a topic", "effects/push/fcm.rs", "MAX_TO_TOPIC: usize = 2_048;"),
    ("stripe", "40 metadata", "effects/stripe/request.rs", "MAX_METADATA: usize = 40;"),
    ("stripe", "key of 40 characters", "effects/stripe/request.rs", "MAX_KEY: usize = 40;"),
    ("stripe", "value of 500", "effects/stripe/request.rs", "MAX_VALUE: usize = 500;"),
    ("upstream", "path of 2,000 bytes", "effects/upstream/request.rs", "MAX_PATH: usize = 2_000;"),
    ("upstream", "100 query pairs, 100 headers", "effects/upstream/request.rs", "MAX_PAIRS: usize = 100;"),
    ("upstream", "1 MiB of request body", "effects/upstream/request.rs", "MAX_BODY: usize = 1 << 20;"),
    ("upstream", "64 headers", "effects/upstream/reply.rs", "MAX_HEADERS: usize = 64;"),
];

#[test]
fn the_limits_that_authors_are_told_are_those_of_the_code() {
    let page = read("docs/plugin-authors.md");
    let lines = section(&page, "Limits");
    let rows: Vec<_> = lines.iter().filter(|line| line.starts_with('|')).skip(2).collect();
    for (row, words, file, code) in LIMITS {
        let text = rows.iter().find(|line| line.starts_with(&format!("| {row} |"))).unwrap_or_else(|| panic!("{row}"));
        assert!(text.contains(words), "{row}: \"{words}\" is not what the page says: {text}");
        assert!(read(&format!("host/src/{file}")).contains(code), "{row}: {file} has not \"{code}\"");
    }
    for row in rows {
        let name = row.trim_matches('|').split('|').next().unwrap_or_default().trim();
        assert!(LIMITS.iter().any(|(of, ..)| *of == name), "the page has a limit that is not held: {name}");
    }
}
