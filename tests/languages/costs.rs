//! What docs/plugin-authors.md and docs/operators.md say of the cost of a guest is what it costs, by language. Never times.

use std::{fs, path::Path};

use super::options;
use crate::{plugins::check, support::component};

/// Of the order plugin in one language.
struct Cost {
    megabytes: f64,
    core_instances: f64,
    slots: f64,
    /// Memory at the start.
    mib: f64,
}

/// As the file is, and as `usher plugin check` says that the host charges for an instance.
fn measured(language: &str) -> Cost {
    let file = component(&format!("order-{language}.wasm"));
    let options = options("http://127.0.0.1:1");
    let mail =
        "[email.profiles.default]\nhost = \"127.0.0.1\"\nport = 25\nsecurity = \"none\"\nfrom = \"a@example.com\"\n";
    let (code, said) = check(&file, &[mail, &options.config, &options.policy.unwrap_or_default()].concat());
    assert_eq!(code, Some(0), "{said}");
    let needs = said.lines().find(|line| line.starts_with("needs: ")).unwrap_or_else(|| panic!("{said}"));
    Cost {
        megabytes: fs::metadata(&file).unwrap().len() as f64 / 1e6,
        core_instances: number(needs, " core instances"),
        slots: number(needs, " slot"),
        mib: number(needs, " KiB of memory at the start") / 1024.0,
    }
}

/// A page, each run of white space as one space.
fn page(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("nowhere: {from}"));
    rest.split_once(to).unwrap_or_else(|| panic!("nowhere after \"{from}\": {to}")).0
}

/// The number that stands before these words, in digits or as a word.
fn number(text: &str, words: &str) -> f64 {
    let (left, _) = text.split_once(words).unwrap_or_else(|| panic!("no \"{words}\": {text}"));
    let last = left.rsplit([' ', '(']).next().unwrap_or_default();
    let named = ["no", "one", "two", "three", "four"].iter().position(|word| *word == last).map(|n| n as f64);
    named.or_else(|| last.parse().ok()).unwrap_or_else(|| panic!("no number before \"{words}\": {text}"))
}

/// Toolchains change by some per cent from version to version; a page that is off by a quarter misleads.
fn is_near(said: f64, real: f64) -> bool {
    (said - real).abs() <= real / 4.0
}

#[test]
fn the_pages_say_what_a_guest_of_each_language_costs() {
    let (rust, ts, py) = (measured("rust"), measured("ts"), measured("py"));
    let authors = page("plugin-authors.md");
    for (heading, real) in [("## TypeScript and JavaScript ", &ts), ("## Python (experimental) ", &py)] {
        let said = between(between(&authors, heading, " ## "), "- Cost: ", "MiB of memory at the start");
        let mib = number(&format!("{said}MiB"), " MiB");
        assert!(is_near(number(said, " MB"), real.megabytes), "{heading}: {} MB: {said}", real.megabytes);
        assert!(is_near(mib, real.mib), "{heading}: {} MiB at the start: {said}", real.mib);
        assert_eq!(number(said, " slot"), real.slots, "{heading}: {said}");
        assert_eq!(number(said, " core instances"), real.core_instances, "{heading}: {said}");
    }

    let operators = page("operators.md");
    let said = between(&operators, "A Rust guest takes ", " at the start");
    let parts: Vec<_> = said.split(", ").collect();
    assert_eq!(parts.len(), 3, "{said}");
    for (part, real) in parts.iter().zip([&rust, &ts, &py]) {
        assert_eq!(number(&part.replace(" slot", ""), " and"), real.slots, "{part}");
        assert!(is_near(number(part, " MiB"), real.mib), "{} MiB at the start: {part}", real.mib);
    }

    // Heavy ones have three quarters of the budget together, which is 1 GiB unless it is set.
    let at_once = 0.75 * 1024.0 / py.mib;
    for said in [number(&authors, " of them at once"), number(&operators, " Python guests at once")] {
        assert!(is_near(said, at_once), "{said} Python guests at once, and {at_once} fit");
    }
}
