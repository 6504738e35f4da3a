//! The house: who may use whom (docs/design.md, section 3), and what each room says of itself.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// From the ground up. A room uses rooms of lower levels only.
const LEVELS: [&[&str]; 6] = [
    &["config", "db", "clock", "ids", "signature", "egress", "telemetry", "lifecycle", "audit"],
    &["auth", "idempotency", "queue", "journal", "releases", "ratelimit", "outbox", "alerts", "webhooks"],
    &["submit", "effects"],
    &["runtime", "operate", "inbound", "import"],
    &["http", "worker", "scheduler", "delivery"],
    &["cli", "app"],
];

/// Edges within a level, each with its reason.
const SIDEWAYS: [(&str, &str, &str); 8] = [
    ("cli", "app", "the command line starts what the composition root builds"),
    ("config", "ids", "settings are typed: a tier is a Tier"),
    ("db", "ids", "a commit is as durable as its tier"),
    ("telemetry", "config", "the log's settings are a section of the configuration"),
    ("telemetry", "clock", "the clocks of the process are read in one place"),
    ("lifecycle", "clock", "a pulse is read on the clock that counts suspend"),
    ("releases", "idempotency", "a manifest is refused for a bad key template, whose parser lives there"),
    ("scheduler", "worker", "strays are what the table says we run and the worker's list does not"),
];

fn host() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/src")
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn level(room: &str) -> Option<usize> {
    LEVELS.iter().position(|rooms| rooms.contains(&room))
}

/// Rooms named after `crate::`, also in a braced list, with nested braces skipped.
fn used(text: &str) -> BTreeSet<String> {
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut rooms = BTreeSet::new();
    for part in code.split("crate::").skip(1) {
        let Some(list) = part.strip_prefix('{') else {
            rooms.insert(word(part));
            continue;
        };
        let (mut depth, mut start) = (0, true);
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => start = true,
                c if start && c.is_alphabetic() => {
                    rooms.insert(word(&list[at..]));
                    start = false;
                }
                _ => {}
            }
        }
    }
    rooms.retain(|room| level(room).is_some());
    rooms
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn rooms_use_only_rooms_below() {
    let mut edges = BTreeSet::new();
    for file in sources(&host()) {
        let inside = file.strip_prefix(host()).unwrap().to_owned();
        let room = inside.components().next().unwrap().as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned();
        if ["lib", "main"].contains(&room.as_str()) {
            continue;
        }
        let from = level(&room).unwrap_or_else(|| panic!("{} is no room of the design", inside.display()));
        for used in used(&fs::read_to_string(&file).unwrap()) {
            if used == room {
                continue;
            }
            edges.insert((room.clone(), used.clone()));
            let to = level(&used).unwrap();
            let argued = SIDEWAYS.iter().any(|(a, b, _)| *a == room && *b == used);
            let may = to < from || (argued && to == from);
            assert!(may, "{}: {room} (L{from}) uses {used} (L{to})", inside.display());
        }
    }
    assert!(edges.contains(&("worker".to_owned(), "queue".to_owned())), "the test sees edges");
    for (a, b, why) in SIDEWAYS {
        assert!(
            edges.contains(&(a.to_owned(), b.to_owned())),
            "the exception {a} -> {b} ({why}) is not needed any more"
        );
    }
}

#[test]
fn no_room_leaves_by_the_back_door() {
    for file in sources(&host()) {
        let inside = file.strip_prefix(host()).unwrap().to_owned();
        let text = fs::read_to_string(&file).unwrap();
        // Out of a room by `super` or by the crate's outer name, where the reader of edges does not look.
        let is_room = inside.components().count() == 2 && inside.ends_with("mod.rs");
        for line in text.lines() {
            assert!(!line.contains("super::super"), "{}: {line}", inside.display());
            let leaves = is_room && (line.starts_with("use super::") || line.starts_with("pub use super::"));
            assert!(!leaves, "{}: {line}", inside.display());
            let is_outer = line.contains("usher_host::") && inside != Path::new("main.rs");
            assert!(!is_outer, "{}: {line}", inside.display());
        }
    }
}

#[test]
fn each_room_says_what_it_owns_and_refuses() {
    for room in LEVELS.concat() {
        let file = host().join(room).join("mod.rs");
        // Rooms of the design that are not built yet.
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let doc: Vec<_> = text.lines().take_while(|line| line.starts_with("//!")).collect();
        for part in ["Owns:", "Refuses:", "Invariant:", "Tables:"] {
            assert!(doc.iter().any(|line| line.contains(part)), "{room}/mod.rs does not say {part}");
        }
    }
}

#[test]
fn no_file_has_become_two() {
    for file in sources(&host()) {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= 450, "{} has {lines} lines", file.display());
    }
}

#[test]
fn the_reader_of_edges_reads_them() {
    let text = "use crate::queue::Bell;\n// crate::app\nuse crate::{\n    config::{Config, Queues},\n    ids::JobId,\n};\nlet x = crate::db::connect();";
    assert_eq!(used(text).into_iter().collect::<Vec<_>>(), ["config", "db", "ids", "queue"]);
}
