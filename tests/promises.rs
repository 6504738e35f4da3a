//! docs/security.md says what is promised of each provider. Its tables hold what the code has, and nothing else.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// What a row of that class promises of a call whose answer was lost.
const PROMISES: [(&str, &str); 5] = [
    ("read", "made again until it is answered"),
    ("idempotent", "as often as the service acts under one"),
    ("asked", "looked for first"),
    ("resend", "at least once"),
    ("once", "at most once"),
];

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A source without its tests and comments.
fn code(path: &Path) -> String {
    let text = read(path);
    let (code, _) = text.split_once("#[cfg(test)]\nmod tests {").unwrap_or((&text, ""));
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Rows of the first table of a section whose head begins with this cell, without the head.
fn table(section: &str, head: &str) -> Vec<Vec<String>> {
    let page = read(&here("docs/security.md"));
    let mut lines = page
        .lines()
        .skip_while(|line| *line != format!("## {section}"))
        .skip_while(|line| !line.starts_with(&format!("| {head} |")));
    assert!(lines.next().is_some(), "docs/security.md: no table \"{head}\" below \"{section}\"");
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let rows: Vec<_> = lines.skip(1).take_while(|line| line.starts_with('|')).map(cells).collect();
    assert!(rows.len() > 5, "{section}, {head}: {rows:?}");
    rows
}

/// Words between backticks.
fn quoted(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Each provider's name with the class of a call that its code makes.
fn in_code() -> BTreeSet<(String, String)> {
    let mut pairs = BTreeSet::new();
    for entry in fs::read_dir(here("host/src/effects")).unwrap() {
        let folder = entry.unwrap().path();
        if !folder.join("mod.rs").is_file() {
            continue;
        }
        let main = code(&folder.join("mod.rs"));
        let Some((_, name)) = main.split_once("const NAME: &'static str = \"") else { continue };
        let (name, _) = name.split_once('"').unwrap();
        for file in fs::read_dir(&folder).unwrap() {
            let file = file.unwrap().path();
            if file.extension().is_none_or(|extension| extension != "rs") || file.ends_with("tests.rs") {
                continue;
            }
            let text = code(&file);
            let classes = text.split("Class::").skip(1).map(|rest| {
                let class: String = rest.chars().take_while(|c| c.is_alphanumeric()).collect();
                (name.to_owned(), class.to_lowercase())
            });
            pairs.extend(classes);
        }
    }
    pairs
}

#[test]
fn each_provider_has_a_row_for_each_class_of_its_calls() {
    let rows = table("Effects", "provider");
    let word = |cell: &str| cell.trim_matches('`').to_owned();
    let promised: BTreeSet<_> = rows.iter().map(|row| (word(&row[0]), word(&row[2]))).collect();
    assert_eq!(promised, in_code());
    assert_eq!(promised.len(), rows.len(), "a row twice");

    let journal = code(&here("host/src/journal/mod.rs"));
    for row in &rows {
        let class = word(&row[2]);
        assert!(journal.contains(&format!("=> \"{class}\"")), "the journal knows no class {class}");
        let (_, promise) = PROMISES.iter().find(|(of, _)| *of == class).unwrap_or_else(|| panic!("{class}"));
        assert!(row[3].contains(promise), "{}, {class}: {}", row[0], row[3]);
    }
    let providers: BTreeSet<_> = promised.into_iter().map(|(provider, _)| provider).collect();
    let all = code(&here("host/src/config/rate_limits.rs"));
    let (_, all) = all.split_once("const PROVIDERS:").unwrap();
    let (_, all) = all.split_once("= [").unwrap();
    let (all, _) = all.split_once(']').unwrap();
    let all: BTreeSet<_> = all.split(',').map(|name| name.trim().trim_matches('"').to_owned()).collect();
    assert_eq!(providers, all, "what can be limited");
}

/// Statuses of HTTP that are failures.
fn statuses(text: &str) -> BTreeSet<u16> {
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    words
        .filter(|word| word.len() == 3)
        .filter_map(|word| word.parse::<u16>().ok())
        .filter(|n| (400..600_u16).contains(n))
        .collect()
}

#[test]
fn each_status_that_has_a_meaning_of_its_own_has_it_in_the_table_too() {
    for (section, head, file) in [
        ("Stripe", "what comes back", "stripe/answer.rs"),
        ("Text messages and push notifications", "what comes back from Twilio's shape", "sms/twilio.rs"),
        ("Text messages and push notifications", "what comes back from FCM's shape", "push/fcm.rs"),
    ] {
        let text = code(&here("host/src/effects").join(file));
        let (_, meaning) = text.split_once("fn meaning(").unwrap();
        let (meaning, _) = meaning.split_once("\n}\n").unwrap();
        let patterns = meaning.lines().filter_map(|line| line.split_once("=>")).map(|(pattern, _)| pattern);
        let patterns = patterns.collect::<Vec<_>>().join("\n").replace("400..=499", "").replace("500..=599", "");
        let known = statuses(&patterns);
        assert!(known.contains(&429), "{file}: {known:?}");

        // Where a row speaks of all others too, what it names is an example.
        let (examples, told): (Vec<_>, Vec<_>) =
            table(section, head).into_iter().map(|row| row[0].clone()).partition(|what| what.contains("other 4xx"));
        let (examples, told) = (statuses(&examples.join("\n")), statuses(&told.join("\n")));
        assert!(told.is_subset(&known), "{head}: the page has {told:?}, {file} {known:?}");
        let all: BTreeSet<_> = told.union(&examples).copied().collect();
        assert!(known.is_subset(&all), "{head}: {file} has {known:?}, the page {all:?}");
    }
}

#[test]
fn what_the_chain_refuses_for_ever_is_named() {
    let rows = table("Solana", "what comes back");
    let row = rows.iter().find(|row| row[0].contains("or of the transaction itself")).unwrap();
    let text = code(&here("host/src/effects/solana/meaning.rs"));
    let (_, list) = text.split_once("const FOR_EVER:").unwrap();
    let (_, list) = list.split_once("= [").unwrap();
    let (list, _) = list.split_once("];").unwrap();
    let list: BTreeSet<_> =
        list.split(',').map(|word| word.trim().trim_matches('"').to_owned()).filter(|word| !word.is_empty()).collect();
    assert_eq!(quoted(&row[0]), list);
}
